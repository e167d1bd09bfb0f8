"""The configuration of apt as apt itself reads it: scopes, lists, directives and comments (apt.conf(5)).

apt looks at one line after the other: a comment ends with its line and a quoted text does, too, while a
statement goes on until ``;``, ``{`` or ``}``. Names are compared without regard to case. A statement that has
only a value, and one whose name ends with ``::``, is a new entry of a list.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

from reconciler.policy.conversion import Entry
from reconciler.policy.problems import Problem, quoted
from reconciler.records import dataclass

_SPACE = " \t\r\n\v\f"
_WORD = re.compile(r'(?:"[^"]*"|\[[^\]]*\]|[^\s"\[])+', re.ASCII)
_TEXTS = re.compile(r'"[^"]*"(?:\s*"[^"]*")*', re.ASCII)
_PIECE = re.compile(r'"([^"]*)"|\s+', re.ASCII)
_MARKS = {mark: re.compile(f'"|{re.escape(mark)}') for mark in ("//", "#", "/*")}
_HEX = re.compile(r"%([0-9a-fA-F]{2})")
_DIRECTIVES = ("clear", "include", "x-apt-configure-index")
_TRUE = frozenset({"yes", "true", "with", "on", "enable", "1"})
_FALSE = frozenset({"no", "false", "without", "off", "disable", "0"})

_DEEPEST = 100

_Key = tuple[str | int, ...]


def is_on(entry: Entry | None, *, default: bool) -> bool:
    """Return what an entry means as a truth value, ``default`` where there is none or it is none."""
    word = entry.value.strip().lower() if entry else ""
    return word in _TRUE if word in _TRUE | _FALSE else default


@dataclass(frozen=True, slots=True)
class Configuration:
    """What all files together say; a later one replaces values, and adds to lists.

    Attributes:
        includes: Directives that name further files, which are not read.
    """

    _entries: Mapping[_Key, Entry]
    includes: tuple[Entry, ...] = ()

    def find(self, name: str) -> Entry | None:
        """Return the entry of this name, ``None`` where there is none or its value is empty."""
        found = self._entries.get(_fixed(name))
        return found if found is not None and found.value else None

    def list(self, name: str) -> tuple[Entry, ...]:
        """Return the entries below a name, in order."""
        above = _fixed(name)
        return tuple(
            entry for key, entry in self._entries.items() if key[:-1] == above and len(key) > len(above)
        )

    def below(self, name: str) -> tuple[Entry, ...]:
        """Return all entries with a value that are anywhere below a name, in order."""
        above = _fixed(name)
        return tuple(
            entry
            for key, entry in self._entries.items()
            if key[: len(above)] == above and len(key) > len(above) and entry.value
        )


def read_configuration(files: Sequence[tuple[str, str]]) -> Configuration | Problem:
    """Read files, each a name and its text, in the order in which apt would.

    Returns:
        The configuration, or the first mistake that apt would stop at.
    """
    reader = _StatementReader()
    for name, text in files:
        for line, statement in _statements(text):
            fault = reader.take(statement, name, line)
            if fault:
                return Problem(name, line, "", f"apt cannot read this: {fault}")
        if reader.rest:
            fault = f"{quoted(' '.join(reader.rest))} does not end"
            return Problem(name, text.count("\n") + 1, "", f"apt cannot read this: {fault}")
        reader.scopes.clear()
    return Configuration(reader.entries, tuple(reader.includes))


@dataclass(slots=True)
class _StatementReader:
    """What was read so far."""

    entries: dict[_Key, Entry] = field(default_factory=dict)
    includes: list[Entry] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    def take(self, statement: str, file: str, line: int) -> str:
        """Take a statement with the character that ends it, or with a line break the beginning of one.

        Returns:
            What is wrong with it, empty where nothing is.
        """
        text, end = statement[:-1].strip(_SPACE), statement[-1]
        if text:
            self.rest.append(text)
        if end == "\n":
            return ""
        whole, self.rest = " ".join(self.rest), []
        fault = "a block has no name" if end == "{" and not whole else ""
        if whole:
            fault = self._statement(whole, end, file, line)
        if end == "}" and self.scopes:
            self.scopes.pop()
        return fault

    def _statement(self, text: str, end: str, file: str, line: int) -> str:
        parts = _parts(text)
        if parts is None:
            return f"{quoted(text)} is no name with a value"
        name, value = parts
        if end == "{":
            self.scopes.append(name)
            name = ""
        elif value is None:
            name, value = "", name
        if len(self.scopes) > _DEEPEST:
            return f"blocks are nested deeper than {_DEEPEST}"
        if name.startswith("#") or (value == "#clear" and not name):
            return self._directive(name[1:], Entry(name, value or "", file, line))
        if value is not None:
            above = "::".join(scope for scope in self.scopes if scope)
            whole = above if end == "{" else f"{above}::{name}" if above else name
            self._set(Entry(whole, value, file, line))
        return ""

    def _directive(self, name: str, entry: Entry) -> str:
        if self.scopes:
            return "a directive inside of a block"
        match name:
            case "clear":
                above = _fixed(entry.value)
                for key in [key for key in self.entries if key[: len(above)] == above]:
                    del self.entries[key]
            case "include":
                self.includes.append(entry)
            case "x-apt-configure-index":
                pass
            case _:
                return f"{quoted(f'#{name}')} is no directive with a value"
        return ""

    def _set(self, entry: Entry) -> None:
        # What has no name of its own is new each time: lists are made of it.
        key = tuple(part or len(self.entries) for part in _fixed(entry.name))
        self.entries[key] = entry


def _fixed(name: str) -> tuple[str, ...]:
    return tuple(name.lower().split("::"))


def _parts(text: str) -> tuple[str, str | None] | None:
    """Take a statement apart: a word, and a value or none; ``None`` where there is more or less than that."""
    word = _WORD.match(text)
    if word is None:
        return None
    name, rest = _plain(word[0]), text[word.end() :].lstrip(_SPACE)
    if not rest:
        return name, None
    if _TEXTS.fullmatch(rest):
        return name, _PIECE.sub(lambda found: " " if found[1] is None else found[1], rest)
    return (name, _plain(rest)) if _WORD.fullmatch(rest) else None


def _plain(word: str) -> str:
    return _HEX.sub(lambda found: chr(int(found[1], 16)), word.replace('"', ""))


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the parts of statements without comments: each with its line and the character behind it."""
    is_comment = False
    for number, raw in enumerate(text.split("\n"), 1):
        line, is_comment = _uncommented(raw.replace("\t", " " * 8).strip(_SPACE), is_comment=is_comment)
        begin, is_quoted = 0, False
        for index, char in enumerate(line):
            is_quoted ^= char == '"'
            if not is_quoted and char in "{;}":
                yield number, line[begin : index + 1]
                begin = index + 1
        yield number, f"{line[begin:]}\n"


def _uncommented(line: str, *, is_comment: bool) -> tuple[str, bool]:
    """Return a line without comments, and whether the next one begins inside of a comment."""
    if is_comment:
        _, end, line = line.partition("*/")
        if not end:
            return "", True
    for mark in ("//", "#"):
        line = line[: _outside(line, mark)]
    kept, at = [], 0
    while (begin := _outside(line, "/*", at)) < len(line):
        kept.append(line[at:begin])
        closed = line.find("*/", begin + 2)
        if closed < 0:
            return "".join(kept), True
        at = closed + 2
    return "".join(kept) + line[at:], False


def _outside(line: str, mark: str, at: int = 0) -> int:
    """Return where a comment of this kind begins: outside of quotes, and not where a directive does."""
    is_quoted = False
    for found in _MARKS[mark].finditer(line, at):
        if found[0] == '"':
            is_quoted = not is_quoted
        elif not is_quoted and not (mark == "#" and line.startswith(_DIRECTIVES, found.end())):
            return found.start()
    return len(line)
