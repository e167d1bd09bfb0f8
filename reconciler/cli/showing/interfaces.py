"""JSON Schemas of what commands print, for those who rely on it (plan and report have theirs elsewhere)."""

from typing import Any

from reconciler.planning.reporting.ailments import Ailment

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

_COUNT = {"type": "integer", "minimum": 0}
_MAYBE_INSTANT = {"type": ["string", "null"], "format": "date-time"}


def _closed(properties: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON Schema
    """Return the schema of an object that has all of these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": ["object", "null"]}


_CHANGED = _closed(
    {
        "action": _TEXT,
        "name": _TEXT,
        "arch": _TEXT,
        "from": {"type": ["string", "null"]},
        "to": {"type": ["string", "null"]},
        "origin": _TEXT,
    }
)
_PAUSED = _or_null(
    _closed(
        {
            "reason": _TEXT,
            "by": {**_TEXT, "description": "Who paused the host."},
            "since": _MAYBE_INSTANT,
            "until": {**_MAYBE_INSTANT, "description": "When it ends by itself, or null."},
        }
    )
)

STATUS: dict[str, Any] = {
    "$schema": _DRAFT,
    "title": "What `status --format json` prints",
    **_closed(
        {
            "host": _TEXT,
            "program": _TEXT,
            "looked_at": {**_INSTANT, "description": "When the newest report was made."},
            "confirmed_at": {
                **_MAYBE_INSTANT,
                "description": "When a tick after that found nothing changed, or null.",
            },
            "headline": _TEXT,
            "ailments": {
                "type": "array",
                "items": {"enum": [str(one) for one in Ailment]},
                "description": "What is wrong, worst first; empty where all is well.",
            },
            "decision": _closed({"outcome": _TEXT, "reason": _TEXT, "until": _MAYBE_INSTANT}),
            "next_window": _or_null(_closed({"start": _INSTANT, "end": _INSTANT, "schedule": _TEXT})),
            "plan": {**_TEXT, "description": "Digest of the plan."},
            "counts": {"type": "object", "additionalProperties": _COUNT, "description": "As in a report."},
            "reboot": _closed(
                {
                    "need": {"enum": ["required", "not-required", "unknown"]},
                    "reasons": {"type": "array", "items": _TEXT},
                }
            ),
            "policy": _closed({"commit": _TEXT, "state": _TEXT, "message": _TEXT}),
            "conditions": {
                "type": "array",
                "items": {"type": "object"},
                "description": "Those of the report that hold or may hold.",
            },
            "last_run": _or_null(
                _closed(
                    {
                        "run": {**_TEXT, "description": "Its id, for `log`."},
                        "started": _INSTANT,
                        "ended": _INSTANT,
                        "outcome": _TEXT,
                        "code": _TEXT,
                        "reason": _TEXT,
                        "headline": _TEXT,
                        "changed": {"type": "array", "items": _CHANGED},
                    }
                )
            ),
            "unpushed": {
                "type": "array",
                "items": _TEXT,
                "description": "Report branches that the remote does not have whole.",
            },
            "tick": _closed(
                {
                    "state": {
                        "enum": ["done", "troubled", "failed", "running", "killed", "unknown"],
                        "description": "`troubled`: a report was made, and something went wrong; `failed`: "
                        "none was made, and the rest of this document is from before; `killed`: it never "
                        "said how it ended.",
                    },
                    "run": {
                        "type": ["string", "null"],
                        "description": "Id of the run that the tick at work makes, or null.",
                    },
                    "began": _MAYBE_INSTANT,
                    "ended": _MAYBE_INSTANT,
                    "exit_code": {"type": ["integer", "null"]},
                    "problems": {"type": "array", "items": _closed({"message": _TEXT, "hint": _TEXT})},
                    "notices": {"type": "array", "items": _TEXT},
                }
            ),
            "next_tick": {
                **_MAYBE_INSTANT,
                "description": "About when the next tick is due, or was; null where no timer is enabled.",
            },
            "is_overdue": {"type": "boolean"},
            "paused": _PAUSED,
            "outbox": {**_COUNT, "description": "Notifications that wait for delivery."},
        }
    ),
}

PAUSE: dict[str, Any] = {
    "$schema": _DRAFT,
    "title": "What `pause --format json` and `resume --format json` print",
    **_closed({"host": _TEXT, "paused": _PAUSED}),
}

LOG: dict[str, Any] = {
    "$schema": _DRAFT,
    "title": "What `log --format json` prints: the list, or with RUN one run",
    "oneOf": [
        _closed(
            {
                "folder": _TEXT,
                "kept": {**_COUNT, "description": "Runs that are kept, the ones left out here included."},
                "runs": {
                    "type": "array",
                    "description": "The oldest first.",
                    "items": _closed(
                        {
                            "run": _TEXT,
                            "started": _MAYBE_INSTANT,
                            "seconds": {"type": ["integer", "null"]},
                            "outcome": {**_TEXT, "description": "Of the run, or `damaged`."},
                            "changes": _COUNT,
                            "reason": _TEXT,
                        }
                    ),
                },
            }
        ),
        _closed(
            {
                "run": _TEXT,
                "record": {
                    "type": ["object", "null"],
                    "description": "As in run.schema.json; null where it is damaged.",
                },
                "log": _TEXT,
            }
        ),
    ],
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

REPORTS_REPAIR: dict[str, Any] = {
    "$schema": _DRAFT,
    "title": "What `reports repair --format json` prints",
    "type": "object",
    "properties": {
        "host": _TEXT,
        "branches": {
            "type": "array",
            "description": "The report branches of this host that could be looked at, sorted by name.",
            "items": {
                "type": "object",
                "properties": {
                    "branch": _TEXT,
                    "found": {
                        "description": "What somebody else wrote there; null where nobody did.",
                        "type": ["object", "null"],
                        "properties": {
                            "ours": {"type": "string", "description": "This host's newest report before."},
                            "theirs": {"type": "string", "description": "The remote's newest report before."},
                            "unknown_reports": {
                                "type": "integer",
                                "description": "Reports there that this host does not know, up to 1000.",
                            },
                            "newest": {"type": "string", "format": "date-time"},
                            "subject": {"type": "string", "description": "Of the newest; foreign text."},
                            "message": _TEXT,
                            "hint": _TEXT,
                        },
                    },
                    "joined": {"type": "string", "description": "The commit that has both; empty without."},
                    "sent": {"type": "boolean", "description": "Something was pushed."},
                    "dry_run": {"type": "boolean", "description": "It was only looked."},
                },
                "required": ["branch", "found", "joined", "sent", "dry_run"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["host", "branches"],
    "additionalProperties": False,
}
