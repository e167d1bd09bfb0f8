"""Read ``report.json`` back, without the cost of a validation library, so that many can be read.

A key that this version does not know is passed over: the schema version grows when that could mislead. A
missing key, a wrong type or another schema version is refused, with the place.
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
from reconciler.planning import canonical
from reconciler.planning.observation import SCHEMA_VERSION
from reconciler.planning.report_document import Report


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    """Carries the place and what was expected there."""


def read_report(data: bytes) -> Report:
    """Return the report that ``report.json`` holds; writing it again gives the same bytes.

    Raises:
        Misuse: It is not JSON, not a report, or one of another schema version.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Misuse(f"report.json is not JSON: {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA_VERSION:
        raise Misuse(
            f"report.json has schema version {schema}, this program reads {SCHEMA_VERSION}",
            "Use a version of patchledger that is at least as new as the one that wrote it.",
        )
    try:
        report: Report = _read(Report, document, "report.json")
    except _Unreadable as error:
        raise Misuse(str(error)) from None
    return report


def _read(kind: Any, value: Any, place: str) -> Any:  # noqa: ANN401 - from JSON, by a type form
    """Return ``value`` as what the annotation ``kind`` says."""
    if kind is types.NoneType or kind in (str, int, bool):
        _expect(type(value) is kind, kind.__name__, place)
        return value
    if kind is datetime:
        return _instant(value, place)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        _expect(value in list(kind), f"one of {', '.join(kind)}", place)
        return kind(value)
    if is_dataclass(kind):
        return _object(kind, value, place)
    return _composed(kind, value, place)


def _composed(kind: Any, value: Any, place: str) -> Any:  # noqa: ANN401 - the same
    arguments = typing.get_args(kind)
    match typing.get_origin(kind):
        case typing.Literal:
            _expect(value in arguments, f"one of {', '.join(map(str, arguments))}", place)
            return value
        case typing.Union | types.UnionType:
            (present,) = (one for one in arguments if one is not types.NoneType)
            return None if value is None else _read(present, value, place)
        case origin if origin is tuple:
            _expect(isinstance(value, list), "a list", place)
            return tuple(_read(arguments[0], item, f"{place}[{index}]") for index, item in enumerate(value))
        case origin if origin is Mapping:
            _expect(isinstance(value, dict), "an object", place)
            return {key: _read(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
        case _:
            raise TypeError(f"{kind!r} has no place in a report")


def _object(kind: Any, value: Any, place: str) -> Any:  # noqa: ANN401 - the same
    _expect(isinstance(value, dict), "an object", place)
    arguments = {}
    for name, key, annotation in _layout(kind):
        _expect(key in value, f"the key {key}", place)
        arguments[name] = _read(annotation, value[key], f"{place}.{key}")
    return kind(**arguments)


@lru_cache(maxsize=64)
def _layout(kind: Any) -> tuple[tuple[str, str, Any], ...]:  # noqa: ANN401 - any dataclass
    annotations = typing.get_type_hints(kind)
    return tuple(
        (field.name, canonical.key_of(field.name), annotations[field.name]) for field in fields(kind)
    )


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
