"""Read YAML safely and with positions, and fit it to a model.

Rules:
* Scalars follow YAML 1.2's core schema: ``yes``, ``no``, ``on``, ``off``, dates and ``12:30`` are text,
  ``0o17`` and ``0x1f`` are numbers, ``010`` is ten.
* What could surprise a reader or harm the program is refused with its place: anchors and aliases, merge keys,
  tags, keys that are written twice or are no text, nesting deeper than 64, more than 256 KiB, bytes that are
  not UTF-8, control characters.
* Nothing that a file can hold makes this module raise: it returns problems.

libyaml composes the nodes and an own converter turns them into values. Where a place is asked for later, the
text is composed again: good documents keep no nodes.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from reconciler.policy.complaints import complaints
from reconciler.policy.problems import MAX_PROBLEMS, Problem, dotted, quoted, visible

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
_SCREEN_FROM = 16 * 1024  # libyaml's composer recurses in C; below this size it cannot exhaust the stack.
_SCREEN_BRACKETS = 150  # Python's composer recurses, too.

Path = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)

_PLAIN = "plain"  # The tag of everything that carries none; an explicit one is a URI or starts with "!".


class _NoTags:
    """Gives every node without a tag the same one: resolving YAML 1.1 tags would cost time and be wrong."""

    def resolve(self, kind: type[Node], value: str, implicit: tuple[bool, bool]) -> str:
        del kind, value, implicit
        return _PLAIN

    def descend_resolver(self, parent: Node | None, index: object) -> None:
        pass

    def ascend_resolver(self) -> None:
        pass


class PythonComposer(Reader, Scanner, Parser, Composer, _NoTags):
    """Composes without libyaml: the same nodes, about twelve times slower."""

    def __init__(self, stream: bytes) -> None:
        Reader.__init__(self, stream)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)


if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class FastComposer(CParser, _NoTags):
        """Composes with libyaml."""
else:  # pragma: no cover - a build of PyYAML without libyaml
    FastComposer = PythonComposer  # type: ignore[misc,assignment] # the alias has the same methods


class YamlDocument:
    """One document of a file.

    Attributes:
        data: Plain ``dict``, ``list``, ``str``, ``int``, ``float``, ``bool`` and ``None``.
        has_null: Some value is ``None``.
        values: How many there are: texts, numbers, lists and mappings, without keys.
    """

    __slots__ = ("_first", "_places", "_source", "data", "has_null", "values")

    def __init__(
        self, data: object, source: bytes, *, first_line: int, has_null: bool = False, values: int = 0
    ) -> None:
        self.data = data
        self._first = first_line
        self.has_null = has_null
        self.values = values
        self._source = source
        self._places: dict[Path, tuple[int, str | None]] | None = None

    def with_data(self, data: object) -> "YamlDocument":
        """Return other data in the same places; what was added to it has the line of what it is in."""
        return YamlDocument(data, self._source, first_line=self._first, has_null=self.has_null)

    def line(self, path: Path = ()) -> int:
        """Return the line, counted from 1, of a key or list entry; of an absent one, its nearest parent."""
        return self._place(path)[0] if path else self._first

    def written(self, path: Path) -> str | None:
        """Return the text of a scalar as written, so ``1.10`` and not 1.1; ``None`` for all else."""
        return self._place(path)[1] if path in self._located() else None

    def _place(self, path: Path) -> tuple[int, str | None]:
        places = self._located()
        while path not in places:
            path = path[:-1]
        return places[path]

    def _located(self) -> dict[Path, tuple[int, str | None]]:
        if self._places is None:
            self._places = {}
            _locate(_node(self._source, self._first), (), self._first, self._first, self._places)
        return self._places


def _node(source: bytes, line: int) -> Node:
    """Compose the document again whose first line this is, and nothing before or behind it."""
    return next(_nonempty(_compose(source[_line_starts(source)[line - 1] :], FastComposer)))


@lru_cache(maxsize=8)
def _line_starts(source: bytes) -> tuple[int, ...]:
    """Return where lines begin; remembered, since a file with many documents is asked for each of them."""
    return (0, *(found.end() for found in re.finditer(rb"\r\n|\r|\n", source)))


def _locate(
    node: Node, path: Path, line: int, first: int, places: dict[Path, tuple[int, str | None]]
) -> None:
    """Note where each key and entry below ``node`` stands; a key's place is its own, not its value's."""
    places[path] = (line, node.value if isinstance(node, ScalarNode) else None)
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode):  # Others are refused.
                _locate(value, (*path, key.value), key.start_mark.line + first, first, places)
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            _locate(item, (*path, index), item.start_mark.line + first, first, places)


def parse_documents(
    data: bytes, file: str, composer: type[Any] = FastComposer
) -> tuple[list[YamlDocument], list[Problem]]:
    """Read every document of ``data``.

    Args:
        data: The content of the file.
        file: Its name for the problems.
        composer: The parser to use; both give the same result.

    Returns:
        The documents that are not empty, as far as they could be read, and all problems. A file with problems
        is not to be used.
    """
    text = _decode(data, file)
    if isinstance(text, Problem):
        return [], [text]
    problems = list(islice(_screen(data, text, file, composer), MAX_PROBLEMS + 1))
    if problems:
        return [], problems
    documents: list[YamlDocument] = []
    try:
        for node in _nonempty(_compose(data, composer)):
            convert = _Converter(file)
            value = convert.node(node, 0)
            problems += convert.problems
            found = YamlDocument(
                value, data, first_line=_line(node), has_null=convert.has_null, values=convert.values
            )
            documents.append(found)
    except yaml.YAMLError as error:
        problems.append(_syntax(error, file, text))
    if not documents and not problems:
        problems.append(Problem(file, 1, "", "holds no document", "write one, or remove the file"))
    return documents, problems


def _decode(data: bytes, file: str) -> str | Problem:
    if len(data) > MAX_BYTES:
        return Problem(file, 1, "", f"is larger than {MAX_BYTES // 1024} KiB", "split it into several files")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        said = f"is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}"
        return Problem(file, line, "", said, "save it as UTF-8")
    conflict = _CONFLICT.search(text)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        return Problem(file, line, "", "holds an unresolved merge conflict", "keep one of the two sides")
    for pattern in (_CONTROL, _DIRECTIVE):
        found = pattern.search(text)
        if found:
            line = text.count("\n", 0, found.start()) + 1
            what = "a directive" if pattern is _DIRECTIVE else f"the control character U+{ord(found[0]):04X}"
            return Problem(file, line, "", f"holds {what}")
    return text


# Among them the line breaks that YAML 1.1 knows and YAML 1.2 does not, so that lines are counted alike.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_CONFLICT = re.compile(r"^(?:<{7}|>{7})(?: |$)", re.MULTILINE)
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
# Where an anchor or alias can begin: too wide on purpose, since what it finds is only looked at more closely.
_ANCHOR = re.compile(r"(?:^|[\s\[\]{},:?\ufeff])[&*][^\s\[\]{},]")


def _screen(data: bytes, text: str, file: str, composer: type[Any]) -> Iterator[Problem]:
    """Look through the events of suspicious text, without building anything."""
    brackets = text.count("[") + text.count("{")
    suspicious = len(data) > _SCREEN_FROM or brackets > _SCREEN_BRACKETS or "- - - " in text or "? ? " in text
    if not suspicious and not _ANCHOR.search(text):
        return
    depth = 0
    try:
        for event in yaml.parse(data, Loader=composer):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            line = _line(event)
            if depth > MAX_DEPTH:
                yield Problem(file, line, "", f"is nested deeper than {MAX_DEPTH} levels")
                return
            if isinstance(event, yaml.AliasEvent):
                yield Problem(file, line, "", f"alias *{event.anchor} is not allowed", "write the value out")
            elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
                yield Problem(file, line, "", f"anchor &{event.anchor} is not allowed", "write the value out")
    except yaml.YAMLError as error:
        yield _syntax(error, file, text)


def _line(thing: Any) -> int:  # noqa: ANN401 - the stubs give marks of three types, one of them none
    return int(thing.start_mark.line) + 1


def _compose(data: bytes, composer: type[Any]) -> Iterator[Node]:
    loader = composer(data)
    try:
        while loader.check_node():
            yield loader.get_node()
    finally:
        if hasattr(loader, "dispose"):
            loader.dispose()


def _nonempty(nodes: Iterator[Node]) -> Iterator[Node]:
    for node in nodes:
        if not (isinstance(node, ScalarNode) and not node.style and _scalar(node.value) is None):
            yield node


def _syntax(error: yaml.YAMLError, file: str, text: str) -> Problem:
    said = visible(str(getattr(error, "problem", None) or "cannot be read"))
    mark: Any = getattr(error, "problem_mark", None)
    if mark is None:
        return Problem(file, 1, "", f"is not YAML: {said}")
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    culprit = line[mark.column : mark.column + 1]
    hint = ""
    if culprit == "\t":
        said, hint = "a tab cannot stand here", "indent with spaces"
    elif culprit in _RESERVED and "token" in said:
        hint = f"quote a text that begins with {culprit}"
    elif "mapping values" in said:
        hint = "quote a text that holds a colon and a space, and indent keys of one mapping alike"
    elif "end of stream" in said:
        hint = "close the quote or bracket that is open"
    elif "expected ',' or" in said:
        hint = "close the bracket that is open"
    return Problem(file, mark.line + 1, "", f"is not YAML: {said}, column {mark.column + 1}", hint)


_RESERVED = {"@", "`", "%", "*", "&"}


class _Converter:
    """Turns the nodes of one document into values and notes everything that is refused."""

    __slots__ = ("file", "has_null", "path", "problems", "values")

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.has_null = False
        self.values = 0
        self.path: list[str | int] = []

    def node(self, node: Any, depth: int) -> object:  # noqa: ANN401 - the three kinds of node, told apart by class
        self.values += 1
        if node.__class__ is ScalarNode:
            if node.tag is not _PLAIN:
                self.refuse(
                    node, f"tag {quoted(node.tag)} is not allowed", "leave it out; quote what is text"
                )
            if node.style:
                return node.value
            value = _scalar(node.value)
            if value is None:
                self.has_null = True
            return value
        if depth >= MAX_DEPTH:
            self.refuse(node, f"is nested deeper than {MAX_DEPTH} levels")
            return None
        if node.tag is not _PLAIN:
            self.refuse(node, f"tag {quoted(node.tag)} is not allowed", "leave it out")
        if node.__class__ is MappingNode:
            return self.mapping(node, depth + 1)
        items = []
        for index, item in enumerate(node.value):
            self.path.append(index)
            items.append(self.node(item, depth + 1))
            self.path.pop()
        return items

    def mapping(self, node: MappingNode, depth: int) -> dict[str, object]:
        result: dict[str, object] = {}
        for key, value in node.value:
            if key.__class__ is not ScalarNode or (not key.style and not _is_key(key.value)):
                self.refuse_key(key)
                continue
            name = key.value
            if name in result:
                self.refuse(key, f"key {quoted(name)} is written twice", "keep one of them")
                continue
            self.path.append(name)
            result[name] = self.node(value, depth)
            self.path.pop()
        return result

    def refuse_key(self, key: Node) -> None:
        if not isinstance(key, ScalarNode):
            self.refuse(key, "a key is not a text", "quote a text that begins with {, and fill templates in")
        elif key.value == "<<":
            self.refuse(key, "merge keys are not allowed", "write the values out")
        else:
            self.refuse(key, f"key {key.value or 'null'} is not a text", f'write "{key.value}" with quotes')

    def refuse(self, node: Node, message: str, hint: str = "") -> None:
        line = node.start_mark.line + 1
        self.problems.append(Problem(self.file, line, dotted(tuple(self.path)), message, hint))


_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_OTHER_BASE = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]{1,3})?|[0-9]+[eE][-+]?[0-9]{1,3})")


@lru_cache(maxsize=4096)
def _scalar(text: str) -> str | int | float | bool | None:
    """Return the value of a plain scalar (YAML 1.2.2, section 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "0123456789+-.":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    return float(text) if _FLOAT.fullmatch(text) else text


@lru_cache(maxsize=4096)
def _is_key(text: str) -> bool:
    return text != "<<" and isinstance(_scalar(text), str)


def validate(model: type[M], document: YamlDocument, file: str) -> M | list[Problem]:
    """Fit a document to a model.

    Returns:
        The model, or every problem with its line, sorted.
    """
    problems: list[Problem] = []
    if document.has_null:
        problems += [
            _at(document, file, path, "has no value", "give it one, or leave the key out")
            for path in islice(_nulls(document.data, ()), MAX_PROBLEMS + 1)
        ]
    try:
        value = model.model_validate(document.data)
    except ValidationError as error:
        told = {problem.path for problem in problems}
        found = complaints(model, error, document.data, document.written)
        for path, message, hint in islice(found, MAX_PROBLEMS + 1):
            if dotted(path) not in told:
                problems.append(_at(document, file, path, message, hint))
        return sorted(problems)
    return sorted(problems) if problems else value


def _at(document: YamlDocument, file: str, path: Path, message: str, hint: str) -> Problem:
    return Problem(file, document.line(path), dotted(path), message, hint)


def _nulls(value: object, path: Path) -> Iterator[Path]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _nulls(item, (*path, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _nulls(item, (*path, index))
