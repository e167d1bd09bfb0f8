"""What a patch script printed, taken apart; see ``docs/reference/patch-scripts.md``.

Output that is not exactly in the documented form is an error; nothing is guessed from it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from reconciler.errors import Stalled
from reconciler.planning.text.untrusted import redacted
from reconciler.records import dataclass

CONTRACT = "1"

_HEADER = re.compile(r"patchledger-patch (\S+) ([a-z]+)\Z")
_BEGIN = re.compile(r"\[([a-z-]+)\]\Z")
_END = re.compile(r"= (\d{1,3})\Z")
_EXIT = re.compile(r"exit (\d{1,3})\Z")


class Unparsable(Stalled):
    """Output that is not in the documented form.

    Attributes:
        printed: All of it, where whoever raised this had it.
    """

    printed: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """What one command printed.

    Attributes:
        name: Of the section.
        lines: Its standard output.
        errors: Its standard error.
        code: Its own exit code.
    """

    name: str
    lines: tuple[str, ...]
    errors: tuple[str, ...]
    code: int


@dataclass(frozen=True, slots=True)
class Sections:
    """A whole run of a patch script, by section; :meth:`get` gives an empty section for an absent one.

    Attributes:
        printed: All of it, as it was printed.
    """

    manager: str
    by_name: Mapping[str, Section]
    exit_code: int
    printed: str = ""

    def get(self, name: str) -> Section:
        """Return a section, empty where the script had no reason to print it."""
        return self.by_name.get(name, Section(name, (), (), 0))

    def need(self, name: str) -> Section:
        """Return a section that must be there.

        Raises:
            Unparsable: It is not.
        """
        if name not in self.by_name:
            raise Unparsable(f"the patch script's output does not parse: no section [{name}]")
        return self.by_name[name]


def parse_sections(text: str) -> Sections:
    """Take the output of a patch script apart.

    Lines are ended by line feeds alone: a package's text may hold any other character that Python would
    take for the end of a line.

    Args:
        text: All of its standard output.

    Raises:
        Unparsable: It is not in the form of ``docs/reference/patch-scripts.md``.
        Stalled: It is of another version of that form.
    """
    if not text.endswith("\n"):
        raise _garbage("it ends in the middle of a line")
    first, *lines, last = text[:-1].split("\n") if text.count("\n") > 1 else [text[:-1], ""]
    header, end = _HEADER.match(first), _EXIT.match(last)
    if header is None:
        raise _garbage(f"it begins with {first[:60]!r}")
    if header[1] != CONTRACT:
        raise Stalled(f"the patch script speaks version {header[1]} of the contract, not {CONTRACT}")
    if end is None:
        raise _garbage(f"it ends with {last[:60]!r}")
    found: dict[str, Section] = {}
    for section in _sections(iter(lines)):
        if section.name in found:
            raise _garbage(f"section [{section.name}] comes twice")
        found[section.name] = section
    return Sections(header[2], found, int(end[1]), text)


def _sections(lines: Iterator[str]) -> Iterator[Section]:
    for line in lines:
        begin = _BEGIN.match(line)
        if begin is None:
            raise _garbage(f"{line[:60]!r} begins no section")
        yield _section(begin[1], lines)


def _section(name: str, lines: Iterator[str]) -> Section:
    out: list[str] = []
    errors: list[str] = []
    for line in lines:
        mark = line[:1]
        if mark == "|":
            out.append(line[1:])
        elif mark == "!":
            errors.append(line[1:])
        elif mark == "=" and (end := _END.match(line)):
            return Section(name, tuple(out), tuple(errors), int(end[1]))
        else:
            raise _garbage(f"{line[:60]!r} in section [{name}]")
    raise _garbage(f"section [{name}] has no end")


def _garbage(what: str) -> Unparsable:
    return Unparsable(f"the patch script's output does not parse: {what}")


def pairs(section: Section) -> dict[str, str]:
    """Read ``key=value`` lines."""
    found = (line.partition("=") for line in section.lines)
    return {key: value for key, _, value in found}


_NUMBER = re.compile(r"[0-9]{1,18}")
"""No size, time or process id has more digits; Python refuses to read thousands, and ``²`` is one for it."""


def number(text: str) -> int | None:
    """Return a whole number, ``None`` where there is none that can be meant."""
    return int(text) if _NUMBER.fullmatch(text) else None


def kib(text: str) -> int | None:
    """Return a size given in KiB in bytes, ``None`` where there is none."""
    size = number(text)
    return None if size is None else size * 1024


def whole(section: Section, line: str, text: str) -> int:
    """Return the whole number that must stand in a line.

    Raises:
        Unparsable: There is none.
    """
    found = number(text)
    if found is None:
        raise unparsed(section, line)
    return found


def instant(section: Section, line: str, text: str) -> datetime:
    """Return the instant that must stand in a line as seconds since 1970, in UTC.

    Raises:
        Unparsable: There is none, or the calendar has no such year.
    """
    try:
        return datetime.fromtimestamp(whole(section, line, text), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise unparsed(section, line) from error


def unparsed(section: Section, line: str) -> Unparsable:
    """Return the error that names a line nobody can read."""
    return Unparsable(f"section [{section.name}] of the patch script's output does not parse: {line[:80]!r}")


def fields_of(section: Section, line: str, count: int, later: int = 0) -> list[str]:
    """Split a line at its tabs.

    Args:
        section: That the line is of.
        line: As it was printed.
        count: How many fields every script prints.
        later: How many more came in later, which scripts of an earlier release do not print.

    Returns:
        So many fields; those that were not printed are empty.

    Raises:
        Unparsable: It has another number of fields.
    """
    fields = line.split("\t")
    if len(fields) == count:
        return fields + [""] * later
    if len(fields) != count + later:
        raise unparsed(section, line)
    return fields


def unless_same(said: str, own: str) -> str:
    """Return what a column says of a package's source, empty where that is as the package's ``own``."""
    return "" if said == own else said


def words_of(lines: Iterable[str]) -> str:
    """Return what a manager said of some trouble, without its progress and without user information."""
    return redacted("\n".join(line for line in lines if line.strip() and not line.endswith("..."))).strip()[
        :4000
    ]


def sentence_of(lines: Iterable[str]) -> str:
    """Return the same on one line, each line once, in order; what a colon announces stands behind it."""
    said = dict.fromkeys(line.strip() for line in words_of(lines).splitlines())
    return "; ".join(said).replace(":; ", ": ")
