"""What becomes of another updater's configuration: the nearest documents, and what they cannot say."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta

from reconciler.policy.problems import Problem, visible
from reconciler.policy.values import DAY, DURATION, format_duration
from reconciler.records import dataclass

Data = Mapping[str, object]
"""A document, or a mapping in one, as YAML holds it."""

NOTIFIER = "mail"
"""The notifier that a route leads to; its address is in the configuration of each host."""

KEPT_FOR = timedelta(days=365)
"""How long a list of packages holds that had no end; every Exception has one."""

_ROOM = timedelta(hours=2)
"""What a window has beside its splay: the usual budget, a late tick, and a reserve."""

_SHORTEST = timedelta(hours=3)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of such a configuration.

    Attributes:
        name: Its whole name as written; entries of apt's lists end with ``::``.
        value: Its text, without quotes.
        file: Where it is written.
        line: On which line, counted from 1.
    """

    name: str
    value: str
    file: str
    line: int

    def problem(self, message: str, hint: str = "") -> Problem:
        """Return what is to be said about it."""
        return Problem(self.file, self.line, self.name.removesuffix("::"), message, hint)


@dataclass(frozen=True, slots=True)
class Machine:
    """What such a configuration leaves to the machine that it is on.

    Attributes:
        os_id: ``ID`` of os-release, empty where it is unknown.
        os_version: ``VERSION_ID``, empty where it has none.
        codename: ``VERSION_CODENAME``, empty where it has none.
        timezone: Its time zone by name.
        today: The day there, from which the end of Exceptions is counted.
    """

    os_id: str
    os_version: str
    codename: str
    timezone: str
    today: date


@dataclass(frozen=True, slots=True)
class Converted:
    """A configuration in the words of policy.

    Attributes:
        documents: By the file of the policy repository in which each is written.
        left: What has no counterpart, or not quite, in the order of the files: each option with what to do.
    """

    documents: Mapping[str, Data]
    left: tuple[Problem, ...]


def schedule_of(
    tool: str, machine: Machine, at: str, *, splay: timedelta = _HOUR, days: str = "", every: int = 1
) -> Data:
    """Return the Schedule of a tool that ran at a time of day.

    Args:
        tool: Its name.
        machine: Whose local time it is.
        at: ``HH:MM``.
        splay: How much later it may have begun.
        days: Days of the week as in ``Mon,Fri``; empty for every day.
        every: Only on every so many days, from today.
    """
    when: Data = {"start": f"{days} {at}".strip()}
    if every > 1:
        when = {"rrule": f"FREQ=DAILY;INTERVAL={every}", "at": at, "from": machine.today.isoformat()}
    length = max(_SHORTEST, -(-(splay + _ROOM) // _HOUR) * _HOUR)
    late = {"splay": format_duration(splay)} if splay else {}
    return {
        "kind": "Schedule",
        "name": tool,
        "description": f"When {tool} ran.",
        "timezone": machine.timezone,
        "windows": [{**when, "duration": format_duration(length), **late}],
    }


def exception_of(
    name: str, entry: Entry, globs: Iterable[str], action: str, machine: Machine
) -> tuple[Data, Problem]:
    """Return the Exception for packages that an option lists, and what is to be said of its end."""
    expires = (machine.today + KEPT_FOR).isoformat()
    option = entry.problem("").path
    document: Data = {
        "kind": "Exception",
        "name": name,
        "packages": list(dict.fromkeys(globs)),
        "action": action,
        "reason": visible(f"{option} of {entry.file.rpartition('/')[2]}"),
        "expires": expires,
    }
    message = f"holds until {expires}, since every Exception has an end"
    return document, entry.problem(
        message, f"write another end into exceptions/{name}.yaml, or renew it then"
    )


def documents_of(policy: Data, schedule: Data, exceptions: Iterable[Data]) -> Mapping[str, Data]:
    """Return documents by the file that each is written to."""
    found = {f"policies/{policy['name']}.yaml": policy, f"schedules/{schedule['name']}.yaml": schedule}
    return found | {f"exceptions/{each['name']}.yaml": each for each in exceptions}


def yaml_of(document: Data) -> str:
    """Write a document as people do: a line for each value, and quotes only where they are needed."""
    return "".join(f"{line}\n" for line in _lines(document))


def _lines(mapping: Data) -> Iterator[str]:
    for key, value in mapping.items():
        match value:
            case dict():
                yield f"{inline(key)}:"
                yield from (f"  {line}" for line in _lines(value))
            case list():
                yield f"{inline(key)}:"
                yield from (f"  - {inline(item)}" for item in value)
            case _:
                yield f"{inline(key)}: {inline(value)}"


def inline(value: object) -> str:
    """Write a value on one line, with quotes only where they are needed."""
    match value:
        case dict():
            return f"{{{', '.join(f'{inline(key)}: {inline(item)}' for key, item in value.items())}}}"
        case list():
            return f"[{', '.join(map(inline, value))}]"
        case str() if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)


_PLAIN = re.compile(rf"[A-Za-z][\w.+/-]*(?: [\w.+/-]+)*|{DURATION}|{DAY}", re.ASCII)
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
