"""Canonical JSON."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from reconciler.planning.text import canonical


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Thing:
    from_: str
    colour: Colour
    at: datetime
    span: timedelta
    parts: tuple[int | None, ...]


AT = datetime(2026, 11, 22, 9, 0, 0, 500, tzinfo=timezone(timedelta(hours=1)))
THING = Thing("a", Colour.RED, AT, timedelta(minutes=30), (1, None))


def test_values_are_written_plainly() -> None:
    assert canonical.plain(THING) == {
        "from": "a",
        "colour": "red",
        "at": "2026-11-22T08:00:00Z",
        "span": "PT1800S",
        "parts": [1, None],
    }
    assert canonical.plain(AT, write_instant=canonical.exact_instant) == "2026-11-22T08:00:00.000500Z"


def test_the_bytes_do_not_depend_on_the_order_of_keys() -> None:
    assert canonical.to_bytes({"b": 1, "a": "é"}) == '{\n "a": "é",\n "b": 1\n}\n'.encode()
    assert canonical.to_bytes({"a": "é", "b": 1}) == canonical.to_bytes({"b": 1, "a": "é"})


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", Thing])
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no canonical JSON form"):
        canonical.plain(value)


@given(st.text() | st.just("\ud800"))
def test_every_text_can_be_written(text: str) -> None:
    data = canonical.to_bytes(canonical.plain({"text": text}))
    assert json.loads(data.decode()) == {"text": text.replace("\ud800", "\ufffd")}


@given(st.timedeltas(timedelta(-900), timedelta(9_000)))
def test_spans_are_iso_8601_and_read_back(span: timedelta) -> None:
    assert TypeAdapter(timedelta).validate_python(canonical.duration(span)) == span


@given(st.datetimes(timezones=st.just(UTC)))
def test_exact_instants_read_back(at: datetime) -> None:
    assert datetime.fromisoformat(canonical.exact_instant(at)) == at
