"""JSON Schemas of what commands print, for those who rely on it (plan and report have theirs elsewhere)."""

from typing import Any

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_INSTANT = {"type": "string", "format": "date-time"}
_TEXT = {"type": "string"}
_PROBLEM = {
    "type": "object",
    "properties": {
        "file": _TEXT,
        "line": {"type": "integer", "minimum": 1},
        "path": {
            "type": "string",
            "description": "Dotted path of the key, empty for the whole document.",
        },
        "message": _TEXT,
        "hint": {"type": "string", "description": "What to do, empty where there is nothing to advise."},
    },
    "required": ["file", "line", "path", "message", "hint"],
    "additionalProperties": False,
}

WINDOWS: dict[str, Any] = {
    "$schema": _DRAFT,
    "title": "What `windows --format json` prints",
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "start": {**_INSTANT, "description": "With offset; this host's splay included."},
            "end": {**_INSTANT, "description": "The first instant outside."},
            "schedule": {
                "type": ["string", "null"],
                "description": "Name of the Schedule, null for an expression of the command line.",
            },
            "blocked_by": {
                "type": ["string", "null"],
                "description": "The freeze that keeps every run out, `budget` where none fits, or null.",
            },
        },
        "required": ["start", "end", "schedule", "blocked_by"],
        "additionalProperties": False,
    },
}

POLICY_CHECK: dict[str, Any] = {
    "$schema": _DRAFT,
    "title": "What `policy check --format json` prints",
    "type": "object",
    "properties": {
        "problems": {"type": "array", "items": _PROBLEM, "description": "Sorted; empty for a valid policy."},
        "warnings": {"type": "array", "items": _PROBLEM, "description": "Sorted; they reject nothing."},
    },
    "required": ["problems", "warnings"],
    "additionalProperties": False,
}

NOTIFY_TEST: dict[str, Any] = {
    "$schema": _DRAFT,
    "title": "What `notify test --format json` prints",
    "type": "object",
    "properties": {
        "notifiers": {
            "type": "array",
            "description": "Those that were tried, sorted by name.",
            "items": {
                "type": "object",
                "properties": {
                    "name": _TEXT,
                    "answered": {"type": "boolean", "description": "Its service took the message."},
                    "message": {"type": "string", "description": "Why not; empty where it did."},
                    "hint": {"type": "string", "description": "What to do, empty for no advice."},
                    "waiting": {
                        "type": "integer",
                        "minimum": 0,
                        "description": "Messages for it in the outbox, this one not included.",
                    },
                },
                "required": ["name", "answered", "message", "hint", "waiting"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["notifiers"],
    "additionalProperties": False,
}
