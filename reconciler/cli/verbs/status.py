"""``patchledger status``: what happened last, what is next, why not now. Imports next to nothing.

The last tick left the greater part rendered. What can have changed since is read at the moment of asking: how
the last tick ended or whether one is at work, when the host was last looked at, the pause, and what waits.
"""

import json
import os
import sys
from time import gmtime, localtime, strftime, tzset
from time import time as present  # noqa: TID251 - only shown, and compared with what a tick left

from reconciler.agent import STATUS_FILE, TICK_FILE
from reconciler.cli.wiring.quiet import state_dir
from reconciler.errors import Misuse, ReconcilerError, Stalled, Transient
from reconciler.host import DEFAULT_CONFIG
from reconciler.host.state.fingerprint import digest

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import would be paid for
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from reconciler.cli.showing.terminal import Format

_PLAIN_WIDTH = 100
_UNITS = "/etc/systemd/system"
_ZONES = "/usr/share/zoneinfo"
# Seconds by which clocks are set back somewhere, both ways.
_SET_BACK = (-7200, -3600, -1800, 1800, 3600, 7200)
_WANTED = ("timers.target.wants/patchledger.timer", "multi-user.target.wants/patchledger-watch.service")
# Runs that did not go well: words, since their enumeration would be the dearest import of a quick look.
BAD_ENDS = ("failed", "interrupted", "rolled-back")
_LABEL = 9
# Characters of "000000000001-", 32 hexadecimal digits and ".json", and of that for one receiver of several.
_MESSAGE_NAMES = (50, 67)


def run(config_file: str, form: "Format", target: str | None = None) -> int:
    """Print how the host is, or a guest of it, and return 0.

    Raises:
        Misuse: The configuration or the state folder cannot be read, or there is no such guest.
        Stalled: There was no report yet.
        Transient: The first tick is at work, and has come to no report yet.
    """
    if target is not None:
        from reconciler.cli.verbs.status_of_guest import left_of, of_target

        if (guest := of_target(config_file, target)) is not None:
            folder, left, tick = left_of(guest)
            document = _document(folder, left, tick, is_default=config_file == DEFAULT_CONFIG)
            _print(document, left, form, target)
            return 0
    try:
        config = _read(config_file)
    except OSError as error:
        raise _unread(config_file) from error
    folder = _verified_folder(config, config_file)
    left, tick = _json(folder, STATUS_FILE), _json(folder, TICK_FILE)
    try:
        document = _document(folder, left, tick, is_default=config_file == DEFAULT_CONFIG)
    except (KeyError, TypeError, ValueError) as error:
        raise _no_report(folder, tick) from error
    _print(document, left, form)
    return 0


def _print(document: "dict[str, Any]", left: "dict[str, Any]", form: "Format", target: str = "") -> None:
    if form == "json":
        from reconciler.cli.showing.terminal import print_json

        print_json(document)
    else:
        sys.stdout.write(_text(document, left["texts"], target))


def _unread(config_file: str) -> Misuse:
    """Return why the configuration cannot be read, in the words that every other verb has for it."""
    from pathlib import Path

    from reconciler.host.config import read_guarded

    try:
        read_guarded(Path(config_file))
    except Misuse as error:
        return error
    return Misuse(f"{config_file}: could not be read", "try it again")  # it has come in between


def _no_report(folder: str, tick: "dict[str, Any]") -> ReconcilerError:
    """Say why there is nothing to show, as far as the first tick told."""
    said = f"{folder}: there is no report yet"
    hint = "the timer begins the first tick; `patchledger run` makes it now"
    match _state(folder, tick):
        case "running":
            began = shown(tick["began"])
            return Transient(
                f"{said}; the first tick is at work since {began}", "ask again when it has ended"
            )
        case "killed":
            return Stalled(f"{said}; the first tick began at {shown(tick['began'])} and was killed", hint)
        case _ if tick.get("ended") and tick.get("problems"):
            why = f"the last tick failed at {shown(tick['ended'])}: {tick['problems'][0]['message']}"
            return Stalled(f"{said}; {why}", hint)
        case _:
            return Stalled(said, hint)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _json(folder: str, name: str) -> "dict[str, Any]":
    """Return what a tick left in a file; empty where it is not there or damaged."""
    try:
        found = json.loads(_read(f"{folder}/{name}"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Misuse(f"{folder}: {error.strerror}", "run as the owner of the state folder") from error
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _verified_folder(config: bytes, path: str) -> str:
    """Return the state folder: the guessed one if it names this configuration, else the parsed one."""
    guess = state_dir(config)
    try:
        if json.loads(_read(f"{guess}/{STATUS_FILE}"))["config"] == digest(config):
            return guess
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    from pathlib import Path

    from reconciler.host.config import load_config

    return str(load_config(Path(path)).state_dir)


def _document(
    folder: str, left: "dict[str, Any]", tick: "dict[str, Any]", *, is_default: bool
) -> "dict[str, Any]":
    """Return what ``--format json`` prints; its type is ``Status`` in ``showing/interfaces.py``.

    Raises:
        KeyError: No tick has left anything, or another version did.
        TypeError: The same.
    """
    now = present()
    document: dict[str, Any] = {**left["document"]}
    confirmed = _time_of(left["stamp"])
    ended = tick.get("ended")
    is_newer = confirmed is not None and ended is not None and confirmed > ended
    document["confirmed_at"] = confirmed if is_newer else None
    document["tick"] = {
        "state": _state(folder, tick),
        "run": _run_at_work(folder, tick),
        "began": tick.get("began"),
        "ended": ended,
        "exit_code": tick.get("exit_code"),
        "problems": tick.get("problems", []),
        "notices": tick.get("notices", []),
    }
    latest = max(filter(None, (confirmed if is_newer else None, ended, document["looked_at"])))
    document["next_tick"] = _later(latest, left["interval"]) if is_default and _is_scheduled() else None
    document["is_overdue"] = document["next_tick"] is not None and _later(
        document["next_tick"], left["interval"]
    ) < _instant(now)
    document["paused"] = _pause(folder, _instant(now))
    document["outbox"] = _waiting(folder)
    document["undelivered"] = _undelivered(folder)
    return document


def _state(folder: str, tick: "dict[str, Any]") -> str:
    if not isinstance(tick.get("began"), str):
        return "unknown"
    if tick.get("ended") is None:
        return "running" if _is_locked(f"{folder}/lock") else "killed"
    if not tick.get("complete"):
        return "failed"
    return "troubled" if tick.get("exit_code") else "done"


def _run_at_work(folder: str, tick: "dict[str, Any]") -> str | None:
    """Return the id of the run that the tick at work makes, ``None`` where it makes none just now."""
    if _state(folder, tick) != "running":
        return None
    run = _json(folder, "journal.json").get("run")
    return run if isinstance(run, str) else None


def _is_locked(path: str) -> bool:
    """Say whether a tick holds its lock (proc_locks(5)), without taking it; where nobody tells, it may."""
    try:
        inode = str(os.stat(path).st_ino)
        locks = _read("/proc/locks").decode()
    except OSError:
        return True
    # 1: FLOCK  ADVISORY  WRITE 4711 fd:01:131090 0 EOF
    held = (line.split() for line in locks.splitlines() if "FLOCK" in line)
    return any(fields[-3].rpartition(":")[2] == inode for fields in held)


def _pause(folder: str, now: str) -> "dict[str, Any] | None":
    found = _json(folder, "pause.json")
    try:
        until = None if found["until"] is None else _canonical(found["until"])
        pause = {"reason": found["reason"], "by": found["by"], "since": _canonical(found["since"])}
    except (KeyError, TypeError, AttributeError):
        if not os.path.lexists(f"{folder}/pause.json"):
            return None
        return {"reason": "pause.json is damaged", "by": "nobody knows whom", "since": None, "until": None}
    return {**pause, "until": until} if until is None or until > now else None


def _waiting(folder: str) -> int:
    try:
        names = os.listdir(f"{folder}/outbox")
    except OSError:
        return 0
    return sum(
        len(name) in _MESSAGE_NAMES and name[:12].isdigit() and name.endswith(".json") for name in names
    )


def _undelivered(folder: str) -> "list[str]":
    """Return what will never arrive, in the sentences that the deliveries left."""
    found = _json(f"{folder}/outbox", "refused").get("said", [])
    said = [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
    try:
        bad = sum(name.endswith(".bad") for name in os.listdir(f"{folder}/outbox"))
    except OSError:
        bad = 0
    if bad:
        said.append(f"{bad} message{'s' * (bad > 1)} could not be read and will not be sent: outbox/*.bad")
    return said


def _is_scheduled(units: str = _UNITS) -> bool:
    return any(os.path.lexists(f"{units}/{name}") for name in _WANTED)


def _time_of(path: str) -> str | None:
    try:
        return _instant(os.stat(path).st_mtime)
    except OSError:
        return None


def _instant(at: float) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(at))


def _later(instant: str, seconds: float) -> str:
    return _instant(_seconds(instant) + seconds)


def _seconds(instant: str) -> int:
    from calendar import timegm

    numbers = (instant[:4], instant[5:7], instant[8:10], instant[11:13], instant[14:16], instant[17:19])
    return timegm(tuple(map(int, numbers)))


def _canonical(instant: str) -> str:
    return instant[:19] + "Z"


def shown(instant: str, timezone: str = "UTC") -> str:
    """Say it to the minute by the clock of a zone, as :mod:`reconciler.planning.text.wording` does.

    The C library has the same zones, and costs next to nothing.
    """
    # Without a ":" an unknown zone would be taken for one of POSIX's form.
    is_known = timezone != "UTC" and os.path.isfile(f"{_ZONES}/{timezone}")
    at, before = _seconds(instant), os.environ.get("TZ")
    try:
        os.environ["TZ"] = f":{_ZONES}/{timezone}" if is_known else "UTC0"
        tzset()
        said, offset = strftime("%a %Y-%m-%d %H:%M", localtime(at)), strftime("%z", localtime(at))
        is_twice = said in {strftime("%a %Y-%m-%d %H:%M", localtime(at + one)) for one in _SET_BACK}
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        tzset()
    more = f" ({offset[:3]}:{offset[3:]})" if is_twice else ""
    return f"{said} {timezone if is_known else 'UTC'}{more}"


def _text(document: "dict[str, Any]", texts: "dict[str, list[str]]", target: str) -> str:
    """Put what is known now between the title and the rest of what the last tick rendered."""
    is_terminal = sys.stdout.isatty()
    columns = os.get_terminal_size(sys.stdout.fileno()).columns if is_terminal else _PLAIN_WIDTH
    there = sorted(map(int, texts))  # of another version's last tick, these may be others
    width = max((one for one in there if one <= columns), default=there[0])
    # As `terminal.colour` decides it, whose import would be paid for.
    is_coloured = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    title, _, rest = texts[str(width)][is_coloured].partition("\n\n")
    lines = []
    for label, text, is_bad in _rows(document, target):
        row = f"  {label:{_LABEL}}  "
        folded = _folded(row, text, width) if is_terminal else (row + text,)
        lines += [f"\x1b[31m{line}\x1b[0m" if is_bad and is_coloured else line for line in folded]
    return "\n".join((title, "", *lines, "", rest))


def _folded(label: str, text: str, width: int) -> "Iterator[str]":
    """Yield the lines of a row; a word that is longer than a line stays whole."""
    line = label
    for word in text.split(" "):
        if len(line) + len(word) > width and line.strip() and line != label:
            yield line.rstrip()
            line = " " * len(label)
        line += f"{word} "
    yield line.rstrip()


def _rows(document: "dict[str, Any]", target: str) -> "Iterator[tuple[str, str, bool]]":
    """Yield label, text and whether it is bad."""
    zone = document.get("timezone", "UTC")  # an earlier version left none
    yield from _tick_rows(document, zone)
    if document["next_tick"] is None:
        yield "Next tick", "none by itself: no timer of ours is enabled for this configuration", False
    elif document["is_overdue"]:
        due = shown(document["next_tick"], zone)
        yield (
            "Next tick",
            f"was due at {due} and did not come: see `systemctl status patchledger.timer`",
            True,
        )
    else:
        yield "Next tick", f"about {shown(document['next_tick'], zone)}", False
    last = document["last_run"]
    if last is None:
        yield "Last run", "none yet", False
    else:
        is_bad = last["outcome"] in BAD_ENDS
        why = f": {last['reason']}" if last["reason"] else ""
        yield "Last run", f"{shown(last['ended'], zone)}, {last['headline']}{why}", is_bad
        whose = f" --target {_printable(target)}" if target else ""
        yield "", f"`patchledger log {last['run']}{whose}` shows it", False
    pause = document["paused"]
    if pause is not None:
        end = "somebody resumes" if pause["until"] is None else shown(pause["until"], zone)
        yield "Paused", _printable(f"by {pause['by']} until {end}: {pause['reason']}"), True
    waiting = []
    if document["outbox"]:
        waiting.append(f"{document['outbox']} notification{'s' * (document['outbox'] > 1)} not delivered")
    if document["unpushed"]:
        waiting.append(f"reports on {', '.join(document['unpushed'])} not pushed")
    if waiting:
        yield "Waiting", "; ".join(waiting), True
    for number, said in enumerate(document["undelivered"]):
        yield "" if number else "Untold", _printable(said), True


def _tick_rows(document: "dict[str, Any]", zone: str) -> "Iterator[tuple[str, str, bool]]":
    tick = document["tick"]
    match tick["state"]:
        case "running":
            yield "Now", f"a tick is at work since {shown(tick['began'], zone)}", False
            if tick["run"] is not None:
                yield "", _printable(f"it makes run {tick['run']}; the report below is from before it"), False
        case "killed":
            said = "and did not end: it was killed; the next one looks what it left half done"
            yield "Last tick", f"began {shown(tick['began'], zone)} {said}", True
        case "failed":
            ended, code = shown(tick["ended"], zone), tick["exit_code"]
            yield "Last tick", f"FAILED at {ended} (exit code {code}); the rest is from before", True
        case "troubled":
            ended, code = shown(tick["ended"], zone), tick["exit_code"]
            yield "Last tick", f"{ended}, with trouble (exit code {code})", True
        case "done":
            since = document["confirmed_at"]
            quiet = "" if since is None else f"; nothing new by {shown(since, zone)}"
            yield "Last tick", f"{shown(tick['ended'], zone)}, well{quiet}", False
        case _:
            yield "Last tick", "nobody knows how it ended", True
    for problem in tick["problems"]:
        yield "", problem["message"], True
        if problem["hint"]:
            yield "", f"hint: {problem['hint']}", False
    for notice in tick["notices"]:
        yield "", notice, False


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)
