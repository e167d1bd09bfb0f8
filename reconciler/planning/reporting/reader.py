"""Read ``report.json`` and ``runs/<id>.json`` back, without the cost of a validation library: many are read.

A newer release may have written one. A key that this version does not know is passed over, and a word of a
closed list that it does not know stays what it is, an :class:`UnknownWord`, so that a host that is ahead by a
release is still read: the schema version grows when that could mislead. A key that the file's own version
should have, a wrong type or a newer schema version is refused, with the place.
"""

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from reconciler.errors import Misuse
from reconciler.planning.reporting.document import Report
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.text import canonical
from reconciler.planning.text.layout import UnknownWord, first_version, is_known, may_be_missing, refusal

_TOO_LARGE = 2**63
"""For any number of ours. JSON knows larger ones, and Python infinite ones and such as are none."""


class _Unreadable(Exception):
    """Carries the place and what was expected there."""


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
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Misuse(f"{name} is not JSON: {error}") from None
    version = document.get("schema") if isinstance(document, dict) else None
    if not is_known(version):
        raise Misuse(*refusal(name, version))
    try:
        return _Reader(version).read(kind, document, name)
    except _Unreadable as error:
        raise Misuse(str(error)) from None


class _Reader:
    """Reads JSON data as what annotations say.

    Args:
        version: Of the document's layout; younger fields have their defaults.
    """

    def __init__(self, version: int) -> None:
        self._version = version

    def read(self, kind: Any, value: Any, place: str) -> Any:
        """Return ``value`` as what the annotation ``kind`` says."""
        if kind is types.NoneType or kind in (str, bool):
            _expect(type(value) is kind, kind.__name__, place)
            return value
        if kind in (int, float):
            is_one = type(value) in (int, kind) and abs(value) < _TOO_LARGE
            _expect(is_one, "int" if kind is int else "a number", place)
            return kind(value)
        if kind is datetime:
            return _instant(value, place)
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return kind(value) if value in list(kind) else _word(value, place)
        if is_dataclass(kind):
            return self._object(kind, value, place)
        return self._composed(kind, value, place)

    def _composed(self, kind: Any, value: Any, place: str) -> Any:
        arguments = typing.get_args(kind)
        match typing.get_origin(kind):
            case typing.Literal:
                return value if value in arguments else _word(value, place)
            case typing.Union | types.UnionType:
                (present,) = (one for one in arguments if one not in (types.NoneType, UnknownWord))
                return None if value is None else self.read(present, value, place)
            case origin if origin is tuple:
                _expect(isinstance(value, list), "a list", place)
                return tuple(
                    self.read(arguments[0], item, f"{place}[{index}]") for index, item in enumerate(value)
                )
            case origin if origin is Mapping:
                _expect(isinstance(value, dict), "an object", place)
                return {key: self.read(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
            case _:
                raise TypeError(f"{kind!r} has no place in a report")

    def _object(self, kind: Any, value: Any, place: str) -> Any:
        _expect(isinstance(value, dict), "an object", place)
        arguments = {}
        for name, key, annotation, version, may_lack in _layout(kind):
            if version <= self._version and (key in value or not may_lack):
                _expect(key in value, f"the key {key}", place)
                arguments[name] = self.read(annotation, value[key], f"{place}.{key}")
        return kind(**arguments)


@lru_cache(maxsize=64)
def _layout(kind: Any) -> tuple[tuple[str, str, Any, int, bool], ...]:
    annotations = typing.get_type_hints(kind)
    return tuple(
        (
            one.name,
            canonical.key_of(one.name),
            annotations[one.name],
            first_version(one),
            may_be_missing(one),
        )
        for one in fields(kind)
    )


def _word(value: object, place: str) -> str:
    _expect(isinstance(value, str), "a word", place)
    return UnknownWord(value)


def _instant(value: object, place: str) -> datetime:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise _Unreadable(f"{place}: expected an instant")
    return at


def _expect(is_met: bool, expected: str, place: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not is_met:
        raise _Unreadable(f"{place}: expected {expected}")
