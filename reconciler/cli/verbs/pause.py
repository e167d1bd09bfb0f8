"""``patchledger pause`` and ``resume``: the operator's own word that nothing is applied for a while."""

import re
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from reconciler.cli.showing.interfaces import PauseState
from reconciler.cli.showing.terminal import Format, note, print_json
from reconciler.cli.wiring.aimed import Aim, aim, kept_at_all
from reconciler.errors import DONE, Misuse
from reconciler.host.config import load_config
from reconciler.host.machine.clock import SystemClock
from reconciler.host.state.folder import StateFolder, TargetFolder
from reconciler.ownership import user_name
from reconciler.planning.gates.types import Pause
from reconciler.planning.runs.log import without_secrets
from reconciler.planning.text.canonical import instant, plain
from reconciler.policy import zones
from reconciler.policy.problems import visible
from reconciler.policy.values import DURATION, as_duration
from reconciler.records import dataclass

LONGEST_REASON = 200
_LONGEST = timedelta(days=3660)
_HINT = "write a duration (3d), a date (2026-12-20), or a time with its zone (2026-12-20T08:00+01:00)"


@dataclass(frozen=True, slots=True)
class PauseOptions:
    """What ``pause`` is told; its help says what each is."""

    config: str
    reason: str
    until: str | None
    target: str | None
    format: Format


def pause(options: PauseOptions) -> int:
    """Pause the host or a guest, or change its pause, and say until when.

    Raises:
        Misuse: There is no reason, the end cannot be read or is past, or the state folder cannot be written;
            or there is no such guest.
    """
    aimed, folder = _open(options.config, options.target)
    now = SystemClock().now()
    said = " ".join(options.reason.split())
    if not said:
        raise Misuse("a pause needs a reason for those who wonder", 'add --reason "..."')
    if len(said) > LONGEST_REASON:
        raise Misuse(f"the reason has {len(said)} characters; {LONGEST_REASON} is the most", "say it shorter")
    reason = visible(without_secrets(said, aimed.config.secrets))
    until = None if options.until is None else read_until(options.until, now)
    wanted = Pause(reason, user_name(), now.replace(microsecond=0), until)
    earlier = _standing(folder.pause(), now)
    folder.write_pause(wanted)
    if earlier is not None:
        note(f"this replaces the pause by {visible(earlier.by)}: {visible(earlier.reason)}")
    if options.format == "json":
        print_json(plain(PauseState(aimed.name, wanted)))
        return DONE
    sys.stdout.write(f"{aimed.shown} is paused {_until(until)}: {reason}\n")
    sys.stdout.write("Nothing is applied and nothing reboots; it is still looked at and reported on.\n")
    if aimed.guest is None and aimed.config.guests is not None:
        sys.stdout.write("Its guests go on: `patchledger pause --target GUEST` holds one of them.\n")
    return DONE


def resume(config_file: str, form: Format, target: str | None = None) -> int:
    """End the pause; where there is none, say so, which is no failure.

    Raises:
        Misuse: The state folder cannot be written, or there is no such guest.
    """
    aimed, folder = _open(config_file, target)
    earlier = _standing(folder.pause(), SystemClock().now())
    folder.clear_pause()
    if form == "json":
        print_json(plain(PauseState(aimed.name, None)))
        return DONE
    if earlier is None:
        sys.stdout.write(f"{aimed.shown} was not paused.\n")
    else:
        since = f"{earlier.since:%Y-%m-%d %H:%M} UTC"
        by, reason = visible(earlier.by), visible(earlier.reason)
        sys.stdout.write(f"{aimed.shown} goes on; it was paused by {by} since {since}: {reason}\n")
    return DONE


def read_until(text: str, now: datetime) -> datetime:
    """Return the instant that ``--until`` names, in UTC and in whole seconds.

    A date lasts through the end of that day, in this machine's own time zone. A time names its zone: by an
    offset, by ``UTC`` or ``Z``, or by the name of a zone behind it.

    Raises:
        Misuse: It is no duration, date or time with a zone, or it is not in the future.
    """
    stripped = text.strip()
    until = now + as_duration(stripped) if re.fullmatch(DURATION, stripped) else _moment(stripped)
    if until <= now:
        raise Misuse(f"--until {visible(text)} is not in the future", _HINT)
    if until > now + _LONGEST:
        raise Misuse(f"--until {visible(text)} is more than ten years away", "leave --until out")
    return until.astimezone(UTC).replace(microsecond=0)


def _moment(text: str) -> datetime:
    stem, _, name = text.rpartition(" ")
    try:
        if stem and re.match(r"[A-Za-z]", name) and name.upper() != "UTC":
            return zones.end_instant(zones.parse_moment(stem), zones.zone(name))
        found = zones.parse_moment(text)
    except ValueError as error:
        raise Misuse(f"--until: {visible(str(error))}", _HINT) from error
    if not isinstance(found, datetime):
        return _end_of_day(found)
    if found.tzinfo is None:
        raise Misuse(f"--until {visible(text)} names no zone", _HINT)
    return found


def _end_of_day(day: date) -> datetime:
    """Return the end of a day where this machine is (``TZ``, or /etc/localtime)."""
    try:
        return datetime.combine(day + timedelta(days=1), time()).astimezone()
    except (OverflowError, ValueError, OSError) as error:
        raise Misuse(f"--until {day} lies too far away", _HINT) from error


def _open(config_file: str, target: str | None) -> tuple[Aim, TargetFolder]:
    aimed = kept_at_all(aim(load_config(Path(config_file)), target))
    # The host's own folder first: one for itself alone, in which that of a guest is.
    StateFolder(aimed.config.state_dir).prepare()
    folder = aimed.folder
    folder.prepare()
    return aimed, folder


def _standing(found: Pause | None, now: datetime) -> Pause | None:
    return None if found is None or (found.until is not None and found.until <= now) else found


def _until(until: datetime | None) -> str:
    return "until somebody resumes it" if until is None else f"until {instant(until)}"
