"""Read ``report.json`` and ``runs/<id>.json`` back, without the cost of a validation library: many are read.

A newer release may have written one. A key that this version does not know is passed over, and a word of a
closed list that it does not know stays what it is, an :class:`UnknownWord`, so that a host that is ahead by a
release is still read: the schema version grows when that could mislead. A key that the file's own version
should have, a wrong type or a newer schema version is refused, with the place.
"""

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache, partial
from typing import Any

from reconciler.errors import Misuse
from reconciler.planning.reporting.document import Report
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.text import canonical
from reconciler.planning.text.layout import UnknownWord, fields_of, is_known, may_be_missing, refusal

_TOO_LARGE = 2**63
"""For any number of ours. JSON knows larger ones, and Python infinite ones and such as are none."""


_Read = Callable[[Any], Any]
"""Returns JSON data as what an annotation says; raises :class:`_Unreadable`."""


class _Unreadable(Exception):
    """Carries what was expected, and from the inside out where."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.within: list[str] = []

    def at(self, name: str) -> str:
        """Return the place in the document of this name, and what was expected there."""
        return f"{name}{''.join(reversed(self.within))}: expected {self.expected}"


def read_report(data: bytes) -> Report:
    """Return the report that ``report.json`` holds, of this or an earlier schema version.

    Writing it again gives the same bytes, where it holds no key that this version does not know.

    Raises:
        Misuse: It is not JSON, not a report, or one of a newer schema version.
    """
    report: Report = _read_document(Report, data, "report.json")
    return report


def read_run(data: bytes) -> RunRecord:
    """Return the record that ``runs/<id>.json`` holds; otherwise as :func:`read_report`.

    Raises:
        Misuse: It is not JSON, not a run's record, or one of a newer schema version.
    """
    record: RunRecord = _read_document(RunRecord, data, "the run's record")
    return record


def _read_document(kind: Any, data: bytes, name: str) -> Any:
    try:
        document = canonical.read(data)
    except (ValueError, RecursionError) as error:
        raise Misuse(f"{name} cannot be read: {canonical.fault_in(error)}") from None
    version = document.get("schema") if isinstance(document, dict) else None
    if not is_known(version):
        raise Misuse(*refusal(name, version))
    try:
        return _reader(kind, version)(document)
    except _Unreadable as error:
        raise Misuse(error.at(name)) from None


# Ten thousand reports are of the same few types: what an annotation asks for is found out once, and a place
# is put together where something is wrong with it.
@lru_cache(maxsize=1024)
def _reader(kind: Any, version: int) -> _Read:
    """Return what reads JSON data as what the annotation ``kind`` says.

    Args:
        kind: The annotation.
        version: Of the document's layout; younger fields have their defaults.
    """
    if kind is types.NoneType or kind in (str, bool):
        return partial(_plain, kind)
    if kind in (int, float):
        return partial(_number, kind)
    if kind is datetime:
        return _instant
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return partial(_word, {str(one): one for one in kind})
    if is_dataclass(kind):
        return partial(_object, kind, _layout(kind, version))
    return _composed(kind, version)


def _composed(kind: Any, version: int) -> _Read:
    arguments = typing.get_args(kind)
    match typing.get_origin(kind):
        case typing.Literal:
            return partial(_word, {one: one for one in arguments})
        case typing.Union | types.UnionType:
            (present,) = (one for one in arguments if one not in (types.NoneType, UnknownWord))
            return partial(_optional, _reader(present, version))
        case origin if origin is tuple:
            return partial(_list, _reader(arguments[0], version))
        case origin if origin is Mapping:
            return partial(_mapping, _reader(arguments[1], version))
        case _:
            raise TypeError(f"{kind!r} has no place in a report")


def _layout(kind: Any, version: int) -> tuple[tuple[str, str, _Read, bool], ...]:
    """Return name, key and reader of each field that a dataclass has here, and whether it may be missing."""
    annotations = typing.get_type_hints(kind)
    return tuple(
        (
            one.name,
            canonical.key_of(one.name),
            _reader(annotations[one.name], version),
            may_be_missing(one),
        )
        for one in fields_of(kind, version)
    )


def _plain(kind: type, value: object) -> object:
    if type(value) is not kind:
        raise _Unreadable(kind.__name__)
    return value


def _number(kind: type[int | float], value: Any) -> int | float:
    if type(value) not in (int, kind) or not abs(value) < _TOO_LARGE:
        raise _Unreadable("int" if kind is int else "a number")
    return kind(value)


def _word(known: Mapping[str, object], value: object) -> object:
    if not isinstance(value, str):
        raise _Unreadable("a word")
    return known[value] if value in known else UnknownWord(value)


def _instant(value: object) -> datetime:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise _Unreadable("an instant")
    return at


def _optional(read: _Read, value: object) -> Any:
    return None if value is None else read(value)


def _list(read: _Read, value: object) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _Unreadable("a list")
    found: list[Any] = []
    try:
        for item in value:
            found.append(read(item))  # noqa: PERF401 - how many there are says which one is wrong
    except _Unreadable as error:
        error.within.append(f"[{len(found)}]")
        raise
    return tuple(found)


def _mapping(read: _Read, value: object) -> dict[str, Any]:
    return {key: _below(key, read, item) for key, item in _an_object(value).items()}


def _object(kind: Any, layout: Sequence[tuple[str, str, _Read, bool]], value: object) -> Any:
    told = _an_object(value)
    arguments = {}
    for name, key, read, may_lack in layout:
        if key in told:
            arguments[name] = _below(key, read, told[key])
        elif not may_lack:
            raise _Unreadable(f"the key {key}")
    return kind(**arguments)


def _an_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Unreadable("an object")
    return value


def _below(key: str, read: _Read, value: object) -> Any:
    try:
        return read(value)
    except _Unreadable as error:
        error.within.append(f".{key}")
        raise
