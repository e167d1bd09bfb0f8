"""The three files that hold what one tick leaves for the next, by who owns it.

The rules:

1. Evidence and trust, runs, and the bookkeeping of notifications are three files, each with the version of
   its layout and a checksum: what is wrong with one of them costs the others nothing.
2. A word, key or item that this version does not know costs its own field or item, and is told.
3. A file of a newer patchledger is read as far as this one knows it, and that is told.
4. A file that is not what was written is not believed, however well it parses: one flipped bit is another
   commit, or another year. Of runs alone, what still parses is kept, since there it only makes more careful.
5. What can be observed again, or derived from what is kept elsewhere, is not in them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from reconciler.reconcile.ports.state import NOTICES, RUNS, TRUST, State
from reconciler.records import dataclass

VERSION = 2
"""Of the layout of the three files; version 1 was one file, ``state.json``, without version and checksum."""

BEFORE = "state.json"
"""The one file of version 1. It is read once; it is seen again where an older program ran in between."""

FILES = (RUNS, TRUST, NOTICES)
"""In the order of writing: a crash in between may repeat a message, and never a run."""

_DIGITS = 64  # of an object id, SHA-256


def fields_of(file: str) -> tuple[str, ...]:
    """Return the fields of :class:`State` that ``file`` holds; the one file of version 1 held all."""
    return tuple(one.name for one in fields(State) if file in {one.metadata["file"], BEFORE})


@dataclass(frozen=True, slots=True)
class Page:
    """One of the three files, as far as it can be believed.

    Attributes:
        kept: Its fields, as plain JSON data.
        moved: SHA-256 of the ``state.json`` that was taken over into it, empty where none was there.
        complaint: What is wrong with it, to follow the file's name; empty where nothing is.
        is_sound: It is what was written.
    """

    kept: Mapping[str, object]
    moved: str = ""
    complaint: str = ""
    is_sound: bool = True


ABSENT = Page({}, is_sound=False)
"""What stands for a file that is not there."""


def write_page(file: str, state: State, moved: str = "") -> bytes:
    """Return the content of ``file``.

    Args:
        file: One of :data:`FILES`.
        state: What is kept.
        moved: As in :class:`Page`.
    """
    whole = _adapter().dump_python(state, mode="json")
    content = {
        "schema": VERSION,
        "moved": moved,
        "kept": {name: whole[name] for name in fields_of(file)},
    }
    return json.dumps({"sha256": _checksum(content), **content}, indent=1).encode() + b"\n"


def read_page(file: str, data: bytes) -> Page:
    """Return what ``file`` holds, as far as it can be believed."""
    document = _object(data)
    if document is None or not isinstance(document.get("kept"), dict):
        return Page({}, complaint="is damaged; what it held begins anew", is_sound=False)
    kept: dict[str, object] = document["kept"]
    if document.pop("sha256", None) != _checksum(document):
        if file == RUNS:
            said = "is damaged; what can still be read of it is kept"
            return Page(kept, complaint=said, is_sound=False)
        return Page({}, complaint="is damaged; what it held begins anew", is_sound=False)
    moved, schema = document.get("moved"), document.get("schema")
    said = ""
    if type(schema) is int and schema > VERSION:
        said = f"was written by a newer patchledger (schema {schema}); it is read as far as this one knows it"
    return Page(kept, moved if isinstance(moved, str) else "", said)


def read_before(data: bytes) -> Page:
    """Return what the one file of version 1 holds."""
    document = _object(data)
    if document is None or "accepted" not in document:
        return Page({}, complaint="is damaged; what it held begins anew", is_sound=False)
    return Page(document)


def state_of(kept: Mapping[str, object]) -> tuple[State, tuple[str, ...]]:
    """Return the state that plain JSON data hold, and the fields that were not understood whole.

    What cannot be read of a list is left out of it; any other field begins anew.
    """
    values = {name: kept[name] for name in (one.name for one in fields(State)) if name in kept}
    lost: list[str] = []
    while True:
        try:
            state = _adapter().validate_json(json.dumps(values))
        except ValidationError as error:
            found = [each["loc"] for each in error.errors(include_url=False, include_input=False)]
            wrong = found if all(found) else [*_no_json(values)]
        else:
            wrong = list(_odd(state))
        if not wrong:
            return state, tuple(dict.fromkeys(lost))
        lost += [str(place[0]) for place in wrong]
        _leave_out(values, wrong)


def _leave_out(values: dict[str, object], wrong: list[tuple[int | str, ...]]) -> None:
    """Take out what stands at each of these places: an item of a list, or else the whole field."""
    for name in {str(place[0]) for place in wrong}:
        value = values.pop(name, None)
        bad = {place[1] for place in wrong if place[0] == name and len(place) > 1}
        whole_list = isinstance(value, list) and all(isinstance(one, int) for one in bad)
        if isinstance(value, list) and whole_list and bad:
            values[name] = [item for index, item in enumerate(value) if index not in bad]


def _odd(state: State) -> Iterator[tuple[int | str, ...]]:
    """Yield where something is of the right type and still none of ours."""
    for one in fields(State):
        value = getattr(state, one.name)
        if isinstance(value, tuple):
            yield from ((one.name, index) for index, item in enumerate(value) if not is_zoned(item))
        elif not is_zoned(value):
            yield (one.name,)
    for name in ("accepted", "floor"):
        commit = getattr(state, name)
        if commit.strip("0123456789abcdef") or len(commit) > _DIGITS:
            yield (name,)


def is_zoned(value: object) -> bool:
    """Tell whether every instant in ``value`` has a zone."""
    if isinstance(value, datetime):
        return value.tzinfo is not None
    if isinstance(value, tuple):
        return all(map(is_zoned, value))
    if is_dataclass(value):
        return all(is_zoned(getattr(value, one.name)) for one in fields(value))
    return True


def _no_json(values: Mapping[str, object]) -> Iterator[tuple[int | str, ...]]:
    """Yield what cannot be written so that a strict reader takes it for JSON."""
    for name, value in values.items():
        try:
            from_json(json.dumps(value))
        except ValueError:
            yield (name,)


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _checksum(content: Mapping[str, object]) -> str:
    try:
        data = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return ""
    return sha256(data).hexdigest()


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[State]:
    return TypeAdapter(State)
