"""The tick that finds nothing changed: one ``git fetch``, some stat(2) calls, one line.

Once an hour it has a second child, which asks where the report branch stands: who rewrites or deletes it
changes no policy.

Anything unusual, however small, makes :func:`tick` return ``None``, and the full tick looks properly.
"""

import os
import sys
from time import time  # noqa: TID251 - compared with an instant that a full tick computed; nothing is decided

from reconciler import __version__, brief
from reconciler.host import DEFAULT_CONFIG, DEFAULT_STATE_DIR
from reconciler.host.state.fingerprint import Fingerprint, digest, look, signature
from reconciler.ownership import read_foreign, read_own, who_else_may_change

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import a quiet tick would pay for
if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = "fingerprint.json"
PROGRAM = f"{__version__} {__file__}"
_STATE_KEY = b"state_dir:"
_LONGEST_ID = 100
"""Bytes of a ref's file that are read; an object id has 40, or 64."""
_ASKED_EVERY = 3600
"""Seconds between two questions about a report branch that is elsewhere."""


def tick(arguments: "Sequence[str]") -> int | None:
    """Answer ``run`` when nothing changed since the last full tick.

    Returns:
        0 after printing one line, or ``None`` when the full tick must look.
    """
    path = _config_path(arguments)
    if path is None:
        return None
    try:
        known = _read(path)
        if known is None or not _policy_unchanged(known) or not _reports_unchanged(known):
            return None
        line = known.says + "\n"
    except Exception:  # noqa: BLE001 - a damaged file may fail anywhere; the full tick says what is wrong, and with what
        return None
    sys.stdout.write(line)
    return 0


def _read(path: str) -> Fingerprint | None:
    """Return what the last full tick left, where it still holds.

    It names a program that is started here, so it counts only where nobody else could have written it, nor
    the configuration that says where it is.
    """
    config = None if who_else_may_change(path) else read_own(path)
    if config is None:
        return None
    file = os.path.join(state_dir(config), FILE)
    data = None if who_else_may_change(file) else read_own(file)
    known = None if data is None else Fingerprint.from_json(data)
    return known if known is not None and _still_holds(known, config) else None


def _config_path(arguments: "Sequence[str]") -> str | None:
    match tuple(arguments):
        case ("run",):
            return DEFAULT_CONFIG
        case ("--config", path, "run"):
            return path
        case _:
            return None


def state_dir(config: bytes) -> str:
    """Guess ``state_dir`` without a YAML parser.

    A wrong guess only misses: what is found there names the configuration's digest and is refused unless it
    is this very file's.
    """
    for line in config.splitlines():
        if line.startswith(_STATE_KEY):
            return os.fsdecode(line[len(_STATE_KEY) :].split(b" #")[0].strip().strip(b"\"'"))
    return DEFAULT_STATE_DIR


def _still_holds(known: Fingerprint, config: bytes) -> bool:
    return (
        known.program == PROGRAM
        and known.config == digest(config)
        and known.since <= time() < known.until
        and signature(known.watched) == known.signature
        and _guests_unchanged(known)
    )


def _guests_unchanged(known: Fingerprint) -> bool:
    """Say whether guests are as they were, from outside, and nobody looked into one since.

    When each is to be looked at again at the latest is part of ``until``.
    """
    told = known.guests
    if told is None:
        return True
    from reconciler.transports.signs import seen

    kept = all(look(path, depth) == digested for path, depth, digested in told["kept"])
    return kept and seen(told["kinds"]) == told["seen"]


def _policy_unchanged(known: Fingerprint) -> bool:
    """Fetch the policy branch exactly as the full tick does, and compare its head."""
    said = brief.ask(known.argv, env=known.env, timeout=known.timeout)
    if said is None or not _is_head(known):
        return False
    os.utime(known.stamp)
    for path in known.touched:
        os.utime(path, follow_symlinks=False)
    return True


def _reports_unchanged(known: Fingerprint) -> bool:
    """Say whether the report branch is as this host left it, as far as that can be told now.

    A remote that does not answer changes nothing: there is nothing to push.
    """
    asked = known.reports
    if asked is None:
        return True
    if asked["folder"]:
        data = read_foreign(os.path.join(asked["folder"], asked["ref"]), _LONGEST_ID)
        return data is not None and data.strip() == asked["head"].encode()
    if time() - os.stat(asked["stamp"]).st_mtime < _ASKED_EVERY:
        return True
    said = brief.ask(asked["argv"], env=asked["env"], timeout=known.timeout)
    # The whole line, since git also finds refs whose names only end like this one's.
    line = f"{asked['head']}\t{asked['ref']}".encode()
    if said is not None and line not in said.splitlines():
        return False
    os.utime(asked["stamp"])
    return True


def _is_head(known: Fingerprint) -> bool:
    """Say whether the fetched ref still points to what was followed (gitrepository-layout(5))."""
    try:
        with open(os.path.join(known.mirror, known.ref), "rb") as file:
            return file.read().strip() == known.commit.encode()
    except FileNotFoundError:
        pass
    line = f"{known.commit} {known.ref}".encode()
    with open(os.path.join(known.mirror, "packed-refs"), "rb") as file:
        return line in file.read().splitlines()
