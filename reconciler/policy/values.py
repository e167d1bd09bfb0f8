"""The small values of the policy language: durations, moments, percentages, globs, names and pins.

Each pattern is written once, serves pydantic and the JSON Schemas, and has a sentence in ``SENTENCES`` that
tells a person what was expected. The ``as_*`` functions turn text into a value, the ``check_*`` functions
return their argument; both raise the error made by :func:`refuse`, which carries a hint.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache

from pydantic_core import PydanticCustomError

from reconciler.policy.calendar import parse_calendar, parse_cron
from reconciler.policy.machine_ids import MACHINE_ID
from reconciler.policy.managers import NAMES, in_words
from reconciler.policy.sources import PATTERN as SOURCE
from reconciler.policy.sources import RELEASE
from reconciler.policy.zones import zone

NAME = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
REPOSITORY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$"
HOST_NAME = r"^[a-z0-9][a-z0-9.-]{0,62}$"
TARGET_NAME = r"^[a-z0-9][a-z0-9.-]{0,62}(?:/[a-z0-9][a-z0-9.-]{0,62})?$"
LABEL_KEY = r"^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$"
GLOB = r"^\S{1,255}$"
PACKAGE_GLOB = r"^[A-Za-z0-9*?\[][A-Za-z0-9.+_@~*?\[\]!-]{0,254}(?::[A-Za-z0-9_-]+)?$"
PACKAGE = r"^[A-Za-z0-9][A-Za-z0-9.+_@~-]*(?::[A-Za-z0-9_-]+)?$"
HELD = rf"{PACKAGE.removesuffix('$')}(?:=[^\s,<>=!]+)?$"
BRANCH = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$"
COMMIT = r"^[0-9a-f]{40}([0-9a-f]{24})?$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
CREDENTIAL = r"^[A-Za-z0-9._-]+$"
UNIT = r"^[A-Za-z0-9:_.\\@-]+$"
DIGEST = r"^sha256:[0-9a-f]{64}$"
DURATION = r"^(?=[0-9])(?:[0-9]{1,4}w)?(?:[0-9]{1,5}d)?(?:[0-9]{1,6}h)?(?:[0-9]{1,7}m)?(?:[0-9]{1,8}s)?$"
RATE = r"^[1-9][0-9]{0,6}[KMG]$"
PERCENT = r"^(?:100|[1-9]?[0-9])%$"
TIME_OF_DAY = r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$"
MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
SCRIPT_NAME = rf"^(?:{'|'.join(NAMES)})-update\.sh$"
_COMPARISON = r"\s*(?:>=|<=|==|!=|>|<)\s*[0-9]{1,9}(?:\.[0-9]{1,9}){0,3}\s*"
REQUIREMENT = f"^{_COMPARISON}(?:,{_COMPARISON})*$"
_BOUND = r"\s*(?:>=|<=|=|!=|>|<)\s*[^\s,<>=!]+\s*"
VERSION_RANGE = f"^{_BOUND}(?:,{_BOUND})*$"
ICS_PATH = r"^calendars/[A-Za-z0-9][A-Za-z0-9._-]*\.ics$"
LINE = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"

GUEST_LABEL = "guest"
"""The label that says what runs a guest, such as ``guest: proxmox``."""

SENTENCES: dict[str, tuple[str, str]] = {
    NAME: (
        "is not a name",
        "use letters, digits, '.', '_' and '-', at most 63, first and last a letter or digit",
    ),
    REPOSITORY_NAME: ("is not a name", "use letters, digits, '.', '_', '/' and '-', such as example/policy"),
    HOST_NAME: ("is not a host id", "use small letters, digits, '.' and '-', at most 63"),
    TARGET_NAME: (
        "is not a host id",
        "use small letters, digits, '.' and '-', at most 63; a guest is HOST/GUEST",
    ),
    LABEL_KEY: ("is not a label's name", "use letters, digits, '.', '_', '/' and '-', at most 63"),
    GLOB: (
        "is empty, too long or holds a space",
        "write one name or pattern of at most 255 characters for each entry of a list",
    ),
    PACKAGE_GLOB: ("is not a package name or pattern", 'write "name", "name*" or "name:arch"'),
    PACKAGE: ("is not a package name", 'write "name" or "name:arch", without patterns'),
    HELD: ("is not a package name", 'write "name", "name:arch" or "name=version", without patterns'),
    BRANCH: ("is not the name of a branch", "write it as git has it, such as main"),
    COMMIT: ("is not the full id of a commit", "write all its digits, as `git rev-parse HEAD` prints them"),
    VARIABLE: ("is not the name of a variable", "use letters, digits and '_', and no digit first"),
    CREDENTIAL: ("is not the name of a credential", "use letters, digits, '.', '_' and '-', and no path"),
    UNIT: ("is not the name of a systemd unit", 'write "nginx" or "nginx.service"'),
    DIGEST: ("is not a SHA-256 pin", 'write "sha256:" and 64 hexadecimal digits in small letters'),
    TIME_OF_DAY: ("is not a time of day", 'write "HH:MM", with quotes, from "00:00" to "23:59"'),
    MACHINE_ID: ("is not a machine id", "copy the 32 hexadecimal digits of /etc/machine-id"),
    SCRIPT_NAME: (
        "is not the name of a patch script",
        f"the scripts are {in_words([f'{name}-update.sh' for name in NAMES])}",
    ),
    REQUIREMENT: ("is not a version requirement", 'write ">=1.4" or ">=1.4, <2"'),
    VERSION_RANGE: ("is not a range of versions", 'write ">= 1.22.1-9" or ">= 1, < 2"'),
    ICS_PATH: ("is not the path of a calendar", 'write "calendars/NAME.ics"'),
    SOURCE: (
        "is no pattern of package sources",
        'write a repository\'s id, or fields of an apt source (o, l, n, a, v, site): "o=Debian,n=bookworm*"',
    ),
    RELEASE: (
        "is no pattern of apt's sources",
        'write fields (o, l, n, a, v, site): "o=Kali,n=kali-*"; a value with a comma stands in double quotes',
    ),
    LINE: ("is empty or holds a control character", "write one line of text"),
}
"""What a value that does not match a pattern is told: message and hint."""


def refuse(message: str, hint: str = "", key: str = "") -> PydanticCustomError:
    """Return the error that a validator raises; ``key`` names the key below it that is to blame."""
    return PydanticCustomError("policy", "{message}", {"message": message, "hint": hint, "key": key})


def nearest(word: str, known: Sequence[str]) -> str:
    """Return ``did you mean ...?`` for the known word most like ``word``, or nothing where none is."""
    folded = {name.casefold(): name for name in known}
    found = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return f"did you mean {folded[found[0]]}?" if found else ""


def names_a_branch(host: str) -> bool:
    """Tell whether a host id can stand in a branch's name as well (git-check-ref-format(1))."""
    return ".." not in host and not host.endswith((".", ".lock"))


def suggested_id(name: str) -> str:
    """Return a name in the alphabet of host ids, fit for a git branch; empty where nothing is left of it."""
    text = re.sub(r"[^a-z0-9.-]+", "-", name.strip().lower())
    text = re.sub(r"\.[.-]*", ".", text).strip(".-")[:63].rstrip(".-")
    while text.endswith(".lock"):
        text = text.removesuffix(".lock").rstrip(".-")
    return text


def check_host_name(host: str) -> str:
    """Check that a host's reports can have a branch of its name.

    Raises:
        PydanticCustomError: They cannot.
    """
    if not names_a_branch(host):
        raise refuse(f'"{host}" cannot name a git branch', "leave out '..' and a '.' or '.lock' at the end")
    return host


def check_target_name(target: str) -> str:
    """Check that the reports of a host, or of a guest as ``HOST/GUEST``, can have a branch of its name.

    Raises:
        PydanticCustomError: They cannot.
    """
    for part in target.split("/"):
        check_host_name(part)
    return target


def not_yet_restored(value: object) -> object:
    """Refuse what is meant to be a setting later on, by a sentence of its own.

    Raises:
        PydanticCustomError: It is ``restore``.
    """
    if value == "restore":
        raise refuse("restore is not in this version", "`rollback` goes back to earlier packages")
    return value


def as_list(value: object) -> object:
    """Turn a single scalar into a list of one, and leave everything else to the type that follows."""
    return [value] if isinstance(value, str | int | float) else value


_PARTS = re.compile(
    r"(?:([0-9]{1,4})w)?(?:([0-9]{1,5})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,7})m)?(?:([0-9]{1,8})s)?"
)


def as_duration(value: object) -> timedelta:
    """Parse ``90s``, ``30m``, ``6h``, ``14d``, ``2w`` or a sum in that falling order such as ``1h30m``.

    Raises:
        PydanticCustomError: It is a bare number, or not a duration.
    """
    if isinstance(value, timedelta):
        return value
    parsed = _duration(value) if isinstance(value, str) else None
    if parsed is not None:
        return parsed
    if isinstance(value, int | float) or (isinstance(value, str) and value.isdecimal()):
        raise refuse("has no unit", f"write {value}m for minutes, {value}h for hours or {value}d for days")
    raise refuse("is not a duration", _duration_meant(value))


def _duration_meant(value: object) -> str:
    text = value.strip().lower() if isinstance(value, str) else ""
    if re.fullmatch(r"[0-9]+ *(?:y|years?|mon|months?)", text) or re.fullmatch(r"[0-9]+M", str(value)):
        return "months and years differ in length: count them in days, such as 30d"
    words = re.fullmatch(r"([0-9]+) *(s|m|h|d|w)[a-z]*", text)
    if words:
        return f"write {words[1]}{words[2]}"
    if text.startswith("-"):
        return "write a length, without a sign"
    return "write 90s, 30m, 6h, 14d, 2w or 1h30m"


@lru_cache(maxsize=1024)
def _duration(text: str) -> timedelta | None:
    found = _PARTS.fullmatch(text) if text else None
    if found is None:
        return None
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def format_duration(value: timedelta) -> str:
    """Write a duration the way policies do, so that parsing it again gives the same value."""
    left = int(value.total_seconds())
    text = ""
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count:
            text += f"{count}{unit}"
    return text or "0d"


def as_deadline(value: object) -> timedelta | str:
    """Parse a duration that is not zero, or ``none``.

    Raises:
        PydanticCustomError: It is neither.
    """
    if value == "none":
        return "none"
    length = as_duration(value)
    if not length:
        raise refuse("must be longer than zero", "write `none` for no deadline")
    return length


def format_deadline(value: timedelta | str) -> str:
    """Write a deadline the way policies do."""
    return value if isinstance(value, str) else format_duration(value)


_UNITS_OF_RATE = {"K": 2**10, "M": 2**20, "G": 2**30}
LEAST_RATE = 32 * 2**10
"""Bytes a second. dnf gives up a file that comes with less than 1,000 for a while, and metadata of a
distribution would take an hour."""


def as_rate(value: object) -> int | str:
    """Parse bytes a second such as ``2M`` or ``500K``, or ``none``; K is 1024, as for curl and dnf.

    Raises:
        PydanticCustomError: It is neither, or too little to fetch anything with.
    """
    if value == "none":
        return "none"
    if not isinstance(value, str) or not re.fullmatch(RATE, value):
        raise refuse("is no number of bytes a second", "write it as `500K`, `2M` or `none`; K is 1024")
    rate = int(value[:-1]) * _UNITS_OF_RATE[value[-1]]
    if rate < LEAST_RATE:
        raise refuse(
            f"must be at least {format_rate(LEAST_RATE)}",
            "write `none` for no limit; to fetch no packages, write `action: plan`",
        )
    return rate


def format_rate(value: int | str) -> str:
    """Write bytes a second the way policies do."""
    if isinstance(value, str):
        return value
    unit = next(one for one in reversed(_UNITS_OF_RATE) if value % _UNITS_OF_RATE[one] == 0)
    return f"{value // _UNITS_OF_RATE[unit]}{unit}"


def as_percent(value: object) -> int:
    """Parse ``95%``.

    Raises:
        PydanticCustomError: It is not a whole percentage from 0% to 100%.
    """
    if isinstance(value, str) and re.fullmatch(PERCENT, value):
        return int(value[:-1])
    raise refuse("is not a percentage", "write 95%, from 0% to 100%")


def format_percent(value: int) -> str:
    """Write a percentage the way policies do."""
    return f"{value}%"


_FIRST_YEAR, _LAST_YEAR = 1970, 9000


def as_moment(value: object) -> date | datetime:
    """Parse a date (``2026-12-20``) or a local date and time (``2026-12-20 18:00``) without a zone.

    Raises:
        PydanticCustomError: It is neither, does not exist, lies in the far past or future, or carries a zone.
    """
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise refuse("is not a date", 'write 2026-12-20 or "2026-12-20 18:00"')
    if not re.fullmatch(MOMENT, value):
        if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:.]+ ?(?:Z|UTC|[+-])", value):
            raise refuse("carries a zone of its own", "leave the offset out and set `timezone`")
        raise refuse("is not a date", 'write 2026-12-20 or "2026-12-20 18:00"')
    try:
        found = (
            date.fromisoformat(value) if len(value) == len("2026-12-20") else datetime.fromisoformat(value)
        )
    except ValueError:
        raise refuse("does not exist in the calendar", "check day, month and time") from None
    # At the ends of the calendar, zones and lead times have nothing to count with.
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise refuse(f"lies outside {_FIRST_YEAR} to {_LAST_YEAR}", "write a year that somebody will see")
    return found


def as_day(value: object) -> date:
    """Parse a date (``2026-12-20``).

    Raises:
        PydanticCustomError: It is not one, or does not exist.
    """
    found = as_moment(value)
    if isinstance(found, datetime):
        raise refuse("is not a date alone", "write 2026-12-20")
    return found


def as_state(value: object) -> date | str:
    """Parse a date whose state is meant, or ``none``.

    Raises:
        PydanticCustomError: It is neither, or does not exist.
    """
    if value == "none":
        return "none"
    if not isinstance(value, date) and not (isinstance(value, str) and re.fullmatch(DAY, value)):
        raise refuse("is not a day", "write 2026-12-01, or `none`")
    return as_day(value)


def format_state(value: date | str) -> str:
    """Write it the way policies do."""
    return value if isinstance(value, str) else format_moment(value)


def format_moment(value: date | datetime) -> str:
    """Write a moment the way policies do."""
    return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()


def check_zone(name: str) -> str:
    """Check that the time zone database knows ``name``.

    Raises:
        PydanticCustomError: It does not.
    """
    try:
        zone(name)
    except ValueError as error:
        raise explained(error) from None
    return name


def explained(error: ValueError, key: str = "") -> PydanticCustomError:
    """Return what a parser of schedules said as a refusal: its part after a semicolon is the hint."""
    message, _, hint = str(error).partition("; ")
    return refuse(message, hint, key)


calendar_of = lru_cache(maxsize=4096)(parse_calendar)
"""The expression of a ``start``, parsed once; raises ``ValueError``."""

cron_of = lru_cache(maxsize=4096)(parse_cron)
"""The expression of a ``cron``, parsed once; raises ``ValueError``."""


def check_start(text: str) -> str:
    """Check a systemd calendar expression without a zone of its own.

    Raises:
        PydanticCustomError: It is not that.
    """
    try:
        named = calendar_of(text).timezone
    except ValueError as error:
        meant = start_meant(text)
        raise (refuse(*meant) if meant else explained(error)) from None
    if named is not None:
        raise refuse(
            f"names the zone {named} beside `timezone`", f"leave it out here and write `timezone: {named}`"
        )
    return text


_CRON = re.compile(r"(?:[0-9*/,-]+\s+){4}[0-9A-Za-z*/,#-]+")
_TWELVE_HOURS = re.compile(r"(.*?)\b([0-9]{1,2})(?::([0-9]{2}))?\s*([ap])\.?m\.?", re.IGNORECASE)


def start_meant(text: str) -> tuple[str, str] | None:
    """Return message and hint for a start in words that another tool has, ``None`` for any other one."""
    if _CRON.fullmatch(text.strip()):
        return f"{text!r} is a cron expression", f'write `cron: "{text.strip()}"` instead of `start`'
    if text.startswith("@"):
        return f"{text!r} is a word of cron", f"write {text[1:]}"
    found = _TWELVE_HOURS.fullmatch(text.strip())
    if found and 1 <= int(found[2]) <= _NOON:
        hour = int(found[2]) % _NOON + (_NOON if found[4].lower() == "p" else 0)
        return f"{text!r} counts twelve hours", f'write "{found[1]}{hour:02}:{found[3] or "00"}"'
    return None


_NOON = 12


def check_cron(text: str) -> str:
    """Check a cron expression.

    Raises:
        PydanticCustomError: It is not that.
    """
    try:
        cron_of(text)
    except ValueError as error:
        raise explained(error) from None
    return text


_LAST_PORT = 65535


_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_ENDPOINT = re.compile(rf"{_HOST}:([0-9]{{1,5}})")
_URL = re.compile(
    rf"https?://([^/?#\s@]*@)?{_HOST}(?::([0-9]{{1,5}}))?(?:[/?#][^\s\x00-\x1f\x7f]*)?", re.ASCII
)


def as_endpoint(value: object) -> object:
    """Refuse a port alone, which would otherwise be asked for as a text."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise refuse(f"{value} is a port without a host", f'write "127.0.0.1:{value}"')
    return value


def check_endpoint(value: str) -> str:
    """Check ``host:port`` (``[::1]:443`` for IPv6).

    Raises:
        PydanticCustomError: It is not that.
    """
    found = _ENDPOINT.fullmatch(value)
    if found is None or not _is_port(found[1]):
        raise refuse("is not host:port", 'write "127.0.0.1:80" or "[::1]:443"')
    return value


def _is_port(text: str) -> bool:
    return 0 < int(text) <= _LAST_PORT


def check_url(value: str) -> str:
    """Check an ``http`` or ``https`` URL without user information.

    Raises:
        PydanticCustomError: It is not that.
    """
    found = _URL.fullmatch(value)
    if found is None or not _is_port(found[2] or "80"):
        raise refuse("is not a URL", 'write "http://127.0.0.1/healthz"')
    if found[1] is not None:
        raise refuse("holds user information", "secrets never enter the policy repository")
    return value


def check_public_key(value: str) -> str:
    """Check one line of an SSH public key.

    Raises:
        PydanticCustomError: It is not that.
    """
    if not is_public_key(value):
        hint = 'copy the line of the .pub file, such as "ssh-ed25519 AAAA... web-01"'
        raise refuse("is not an SSH public key", hint)
    return value


def is_public_key(line: str) -> bool:
    """Tell whether a line is an SSH public key: a blob of whole strings, the first of which is its type.

    One that was cut off while it was copied is none (RFC 4253, section 6.6; RFC 4251, section 5).
    """
    algorithm, _, rest = line.strip().partition(" ")
    try:
        blob = a2b_base64(rest.partition(" ")[0], strict_mode=True)
    except (Base64Error, ValueError):
        return False
    size = int.from_bytes(blob[:4], "big")
    is_named = bool(size) and "\n" not in line and blob[4 : 4 + size] == algorithm.encode()
    at, last = 4 + size, len(blob)
    while is_named and at + 4 <= last:
        at += 4 + int.from_bytes(blob[at : at + 4], "big")
    return is_named and at == last > 4 + size
