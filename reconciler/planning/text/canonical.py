"""Canonical JSON: equal values give equal bytes, whoever writes them.

Keys are sorted, text is UTF-8, the indent is one space and the last byte is a line feed, so that a line of a
diff in git is one changed value. A field whose name Python reserves carries a trailing underscore inside
(``from_``) and none in JSON (``from``).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from typing import Any, TypeAlias, cast

from reconciler.planning.text.layout import SCHEMA_VERSION, fields_of, is_written, may_be_missing

_SURROGATES = re.compile(r"[\ud800-\udfff]")
"""Neither UTF-8 nor another reader's JSON can hold them; they come from bytes that were no text."""


_ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half of a character beyond the first 65,536, or one of a pair."""

_LONGEST_KEY = 80


def instant(at: datetime) -> str:
    """Write an aware instant as ``2026-11-22T08:00:00Z``; fractions of a second are left off."""
    return at.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def exact_instant(at: datetime) -> str:
    """Write an aware instant with its fraction of a second, so that reading gives it back."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def duration(span: timedelta) -> str:
    """Write an elapsed time by ISO 8601, with days as the largest unit, such as ``P14D`` or ``PT1800S``."""
    sign, rest = ("-", -span) if span < timedelta(0) else ("", span)
    fraction = f".{rest.microseconds:06d}" if rest.microseconds else ""
    days = f"{rest.days}D" if rest.days else ""
    seconds = f"T{rest.seconds}{fraction}S" if rest.seconds or fraction or not days else ""
    return f"{sign}P{days}{seconds}"


def key_of(name: str) -> str:
    """Return the JSON key of a dataclass field."""
    return name.removesuffix("_")


def as_text(value: str) -> str:
    """Write what came from bytes that were no text so that it can be written at all."""
    return value if value.isascii() else _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", value)


def read(data: bytes) -> Any:  # noqa: ANN401 - JSON
    """Return what JSON holds that somebody else wrote, where all of its text can be written again.

    :func:`json.loads` makes half a character (a surrogate) of an escape, and of bytes that are no UTF-8.
    Whatever is done with that later fails, where nobody knows any more whose it was.

    Raises:
        ValueError: It is not JSON, or not UTF-8, or holds half a character.
        RecursionError: It is nested without end.
    """
    document = json.loads(data.decode())
    if _ESCAPED.search(data):
        json.dumps(document, ensure_ascii=False).encode()
    return document


def fault_in(error: Exception) -> str:
    """Say what is wrong with data, by what reading them raised: people are not shown Python's own words.

    Args:
        error: As of :func:`read`, or of taking apart what that returned.
    """
    match error:
        case RecursionError():
            return "it is nested without end"
        case UnicodeError():
            return "it is not text in UTF-8"
        case json.JSONDecodeError():
            return f"it is not JSON, as its line {error.lineno} shows"
        case KeyError(args=(str(key),)):
            return f"it holds no '{as_text(key)[:_LONGEST_KEY]}'"
        case _:
            return "a value in it is not what stands there"


def plain(
    value: object,
    *,
    write_instant: Callable[[datetime], str] = instant,
    version: int = SCHEMA_VERSION,
) -> Any:  # noqa: ANN401 - JSON
    """Turn dataclasses, enumerations, instants, spans, mappings and tuples into what JSON has.

    Args:
        value: What is to be written.
        write_instant: Says how an instant is.
        version: Of the layout; a field that is younger is left out.

    Raises:
        TypeError: For anything else, so that no value is written by its ``repr`` by accident.
    """
    return _Plain(write_instant, version).of(value)


class _Plain:
    """Writes values of any kind; there are thousands in each document."""

    def __init__(self, write_instant: Callable[[datetime], str], version: int) -> None:
        self._write_instant = write_instant
        self._version = version

    def of(self, value: object) -> Any:  # noqa: ANN401 - JSON
        kind: Any = type(value)
        if kind is str:
            return as_text(cast("str", value))
        if value is None or kind in _AS_THEY_ARE:
            return value
        if kind is tuple:
            return [self.of(item) for item in cast("tuple[object, ...]", value)]
        layout = _layout(kind, self._version)
        return self._other(value) if layout is None else self._object(value, layout)

    def _object(self, value: object, layout: "_Layout") -> dict[str, Any]:
        found = {}
        for name, key, sparse in layout:
            held = getattr(value, name)
            if sparse is None or is_written(sparse, held):
                found[key] = self.of(held)
        return found

    def _other(self, value: object) -> Any:  # noqa: ANN401 - JSON
        written: Any
        match value:
            case Enum():
                written = value.value
            case str():
                written = as_text(value)
            case int() | float():
                written = value
            case datetime():
                written = self._write_instant(value)
            case timedelta():
                written = duration(value)
            case Mapping():
                written = {as_text(str(key)): self.of(item) for key, item in value.items()}
            case tuple() | list():
                written = [self.of(item) for item in value]
            case _:
                raise TypeError(f"{type(value).__name__} has no canonical JSON form")
        return written


_Layout: TypeAlias = "tuple[tuple[str, str, Field[Any] | None], ...]"
_AS_THEY_ARE = frozenset({bool, int, float})


@lru_cache(maxsize=256)
def _layout(kind: Any, version: int) -> "_Layout | None":  # noqa: ANN401 - a class
    """Return of a dataclass its fields with their keys, and with what says whether one is left out."""
    if not is_dataclass(kind):
        return None
    told = fields_of(cast("Any", kind), version)
    return tuple((one.name, key_of(one.name), one if may_be_missing(one) else None) for one in told)


def digest(value: object, *, version: int = SCHEMA_VERSION) -> str:
    """Identify a value without instants and spans of time, at a fraction of what writing it would cost.

    Args:
        value: Dataclasses, mappings, sequences, texts, numbers and truth values.
        version: As for :func:`plain`.

    Returns:
        ``sha256:`` and the hexadecimal SHA-256 of JSON in UTF-8 with sorted keys and without blanks.

    Raises:
        TypeError: Something else is in it.
    """

    def fields(one: object) -> dict[str, object]:
        if not is_dataclass(one) or isinstance(one, type):
            raise TypeError(f"{type(one).__name__} has no digest")
        return {key_of(each.name): getattr(one, each.name) for each in fields_of(type(one), version)}

    text = json.dumps(value, default=fields, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"sha256:{sha256(as_text(text).encode()).hexdigest()}"


def to_bytes(document: object) -> bytes:
    """Write plain JSON data canonically.

    Raises:
        ValueError: A number is one that JSON does not have, such as infinity.
    """
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False)
    return (text + "\n").encode()
