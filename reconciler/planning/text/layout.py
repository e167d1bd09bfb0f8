"""Layouts that outlive a release, and how a field comes into one.

``observation.json``, ``report.json``, ``runs/<id>.json`` and ``journal.json`` are written by one release and
read by others: an audit of a year spans many, and a run may be left half done by the program that is upgraded
in it. They share one number, :data:`SCHEMA_VERSION`. The rules:

1. A new field is declared by :func:`since`, with the value that it has in files from before. Nothing else is
   to be done: older files are read with that value, and are compared with what *their* version wrote.
   One that is hardly ever anything else may be left out of the file where it has that value.
2. What a field means, and its shape, never changes. What is to be told otherwise gets another name; the old
   field stays for those who read older files.
3. The number grows once for each release that adds a field, not for each field. A file of a newer number is
   refused with a sentence (:func:`refusal`), and stays where it is.
4. A word that an open list (:data:`OPEN`) does not hold comes from a newer release and is carried along as an
   :class:`UnknownWord`.
5. A decision made again from an older file is written as that version wrote it, so that it can be compared
   byte by byte: a document's own ``schema`` says which fields it has (:func:`fields_of`).

``tests/golden/v1`` and its like hold files of each released version.
"""

import dataclasses
from functools import lru_cache
from typing import Any, TypeGuard, TypeVar, get_args

SCHEMA_VERSION = 3
"""Of all these files as this program writes them."""

_SINCE = "since"
_LEFT_OUT = "left out"
_T = TypeVar("_T")


class UnknownWord(str):
    """A word in the place of one of a closed list, which this version's list does not hold.

    It compares equal to no word that is known, and is written again as it was read.
    """

    __slots__ = ()


class _KnownFirst:
    """Has pydantic read ``Words | UnknownWord`` as one of the words wherever it is one."""

    def __get_pydantic_core_schema__(self, source: object, handler: Any) -> Any:
        known, unknown = get_args(source)
        other = {
            "type": "function-after",
            "function": {"type": "no-info", "function": unknown},
            "schema": handler(str),
        }
        return {"type": "union", "mode": "left_to_right", "choices": [handler(known), other]}


OPEN = _KnownFirst()
"""Annotates a field ``Words | UnknownWord``: a recording with a newer release's word is read all the same."""


def since(version: int, default: _T, *, is_left_out: bool = False) -> _T:
    """Declare a field of a dataclass that files before ``version`` do not have.

    Args:
        version: The first :data:`SCHEMA_VERSION` with it.
        default: What it is in older files; immutable.
        is_left_out: Whether it is not written where it is the default: of what there are thousands in a file.
    """
    # Like dataclasses.field itself, this claims to be what it declares.
    return dataclasses.field(default=default, metadata={_SINCE: version, _LEFT_OUT: is_left_out})


def is_written(field: "dataclasses.Field[Any]", value: object) -> bool:
    """Tell whether ``field`` is in a file where it holds ``value``."""
    return value != field.default or not field.metadata.get(_LEFT_OUT)


def may_be_missing(field: "dataclasses.Field[Any]") -> bool:
    """Tell whether a file of today may do without ``field``."""
    return not is_written(field, field.default)


def first_version(field: "dataclasses.Field[Any]") -> int:
    """Return the first version that has ``field``."""
    version: int = field.metadata.get(_SINCE, 1)
    return version


@lru_cache(maxsize=256)
def fields_of(kind: Any, version: int) -> tuple["dataclasses.Field[Any]", ...]:
    """Return the fields that the dataclass ``kind`` has in files of ``version``."""
    return tuple(one for one in dataclasses.fields(kind) if first_version(one) <= version)


def is_known(version: object) -> TypeGuard[int]:
    """Tell whether files of ``version`` can be read."""
    return type(version) is int and 1 <= version <= SCHEMA_VERSION


def is_newer(version: object) -> bool:
    """Tell whether ``version`` is one that a later release made."""
    return type(version) is int and version > SCHEMA_VERSION


def refusal(name: str, version: object) -> tuple[str, str]:
    """Return what to say of the file ``name`` of a version that is not known, and what helps."""
    if is_newer(version):
        reads = f"schema {version}, and this one reads {SCHEMA_VERSION}"
        hint = "use a patchledger that is at least as new as the one that wrote it"
        return f"{name} was written by a newer patchledger ({reads})", hint
    return f"{name} has schema version {version}, and there is no such version", "take it from git unchanged"
