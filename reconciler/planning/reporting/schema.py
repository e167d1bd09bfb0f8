"""JSON Schemas from dataclasses: of ``report.json``, ``plan --format json``, ``runs/<id>.json`` and others.

The committed ``report``, ``plan`` and ``run.schema.json`` in ``schemas/`` are these and nothing else; a test
compares them. Descriptions are the dataclasses' docstrings, so that the reference, the code and an editor
say the same.
"""

import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from inspect import cleandoc
from typing import Any, NewType

from reconciler.planning.facts.guest_rows import GuestOutcome
from reconciler.planning.facts.inventory import OutsideAction
from reconciler.planning.reporting.document import INTERFACE, Report
from reconciler.planning.resolving.dispositions import ConditionType
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.text import canonical
from reconciler.planning.text.layout import SCHEMA_VERSION, UnknownWord, may_be_missing

_INSTANT = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
}
LocalTime = NewType("LocalTime", datetime)
"""An instant that is written with its own offset."""
_SCALARS: dict[object, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
    datetime: _INSTANT,
    LocalTime: {"type": "string", "format": "date-time"},
    Any: {},
    ConditionType | UnknownWord: {"type": "string"},  # open: a newer release may write further words
    GuestOutcome | UnknownWord: {"type": "string"},
    OutsideAction | UnknownWord: {"type": "string"},
}


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that every ``report.json`` of this version satisfies."""
    return _schema_of_document(Report, "patchledger report")


def run_schema() -> dict[str, Any]:
    """Return the JSON Schema that every ``runs/<id>.json`` of this version satisfies."""
    return _schema_of_document(RunRecord, "patchledger run")


def _schema_of_document(kind: type, title: str) -> dict[str, Any]:
    schema = schema_of(kind, title)
    schema["$defs"][kind.__name__]["properties"]["schema"] = {"const": SCHEMA_VERSION}
    return schema


def schema_of(kind: object, title: str) -> dict[str, Any]:
    """Return the JSON Schema of what :func:`~reconciler.planning.text.canonical.plain` makes of a ``kind``.

    Args:
        kind: A dataclass, or another type form of what such have for fields.
        title: Of the schema.
    """
    definitions: dict[str, Any] = {}
    root = _schema_of(kind, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def run_schema_json() -> bytes:
    """Return :func:`run_schema` as the bytes of ``schemas/run.schema.json``."""
    return canonical.to_bytes(run_schema())


def report_schema_json() -> bytes:
    """Return :func:`report_schema` as the bytes of ``schemas/report.schema.json``."""
    return canonical.to_bytes(report_schema())


def plan_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``plan --format json``: the stable ones among the keys of a report."""
    whole = report_schema()
    definitions: dict[str, Any] = whole["$defs"]
    for name, keys in INTERFACE.items():
        properties = {key: definitions[name]["properties"][key] for key in keys}
        required = sorted(properties.keys() & set(definitions[name]["required"]))
        definitions[name] |= {"properties": properties, "required": required}
    used = _reachable("Report", definitions)
    return {
        **whole,
        "title": "patchledger plan",
        "$defs": {name: schema for name, schema in definitions.items() if name in used},
    }


def plan_schema_json() -> bytes:
    """Return :func:`plan_schema` as the bytes of ``schemas/plan.schema.json``."""
    return canonical.to_bytes(plan_schema())


def _reachable(name: str, definitions: dict[str, Any]) -> set[str]:
    """Return ``name`` and all definitions that it refers to."""
    found, waiting = set[str](), [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += re.findall(r'"#/\$defs/(\w+)"', json.dumps(definitions[one]))
    return found


def _schema_of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an annotation and put the classes that it names into ``definitions``."""
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    if isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, StrEnum)):
        return _reference(kind, definitions)
    arguments = typing.get_args(kind)
    match typing.get_origin(kind):
        case typing.Literal:
            return {"enum": list(arguments)}
        case typing.Union | types.UnionType:
            return {"anyOf": [_schema_of(one, definitions) for one in arguments]}
        case origin if origin is Sequence or (origin is tuple and arguments[1:] == (...,)):
            return {"type": "array", "items": _schema_of(arguments[0], definitions)}
        case origin if origin is Mapping:
            return {"type": "object", "additionalProperties": _schema_of(arguments[1], definitions)}
        case _:
            raise TypeError(f"{kind!r} has no place in a report")


def _reference(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}
        definitions[name] = _values(kind) if issubclass(kind, StrEnum) else _object(kind, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _values(kind: type[StrEnum]) -> dict[str, Any]:
    return {"description": cleandoc(kind.__doc__ or ""), "enum": [member.value for member in kind]}


def _object(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    annotations = typing.get_type_hints(kind)
    summary, described = _documentation(kind)
    properties, required = {}, []
    for field in fields(kind):
        schema = _schema_of(annotations[field.name], definitions)
        if field.name in described:
            schema = {**schema, "description": described[field.name]}
        key = canonical.key_of(field.name)
        properties[key] = schema
        required += [] if may_be_missing(field) else [key]
    return {
        "type": "object",
        "description": summary,
        "properties": properties,
        "required": sorted(required),
        "additionalProperties": False,
    }


def _documentation(kind: type) -> tuple[str, dict[str, str]]:
    """Split a docstring in Google's style into its summary and the descriptions of its attributes."""
    summary, _, section = cleandoc(kind.__doc__ or "").partition("\nAttributes:\n")
    described: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        text = line.strip()
        if line.startswith("    ") and not line.startswith("     "):
            name, _, text = text.partition(": ")
        described[name] = f"{described[name]} {text}" if name in described else text
    return " ".join(summary.split()), described
