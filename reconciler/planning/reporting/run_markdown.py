"""``runs/<id>.md``: one run for people, on a git forge."""

from collections.abc import Sequence

from reconciler.planning.facts.observation import Move
from reconciler.planning.reporting.markdown import table
from reconciler.planning.reporting.summary import run_headline
from reconciler.planning.runs.hooks_and_health import Restart
from reconciler.planning.runs.record import RunRecord, StepRecord
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.untrusted import markdown as prose
from reconciler.planning.text.untrusted import markdown_code as code
from reconciler.planning.text.wording import short_digest

_ROWS = 200
"""Of one table; a longer one says how many more there are."""


def run_markdown(record: RunRecord) -> str:
    """Return the page on ``record``: CommonMark with GitHub's tables."""
    sections = [
        f"# {prose(record.target, 130)}: {run_headline(record)}",
        f"**{record.outcome}**: {prose(record.reason)}." if record.reason else "",
        _exceptional(record),
        _facts(record),
        _moves("What changed", record.difference.changed),
        _moves("Planned, and not there", record.difference.missing),
        _moves("Not planned, and moved all the same", record.difference.unplanned),
        _list("Half done", record.difference.broken),
        _list("Not healthy afterwards", [f"{one.name}: {one.detail}" for one in record.unhealthy]),
        _rollback(record),
        _steps(record.steps),
        _list("Configuration files that wait for a person", record.conffiles),
        _list("Services with replaced files", [_restart(one) for one in record.restarts]),
        _list("Hooks", [f"{one.stage}.d/{one.name}: {one.reason or one.outcome}" for one in record.hooks]),
        _list("Notes", record.notes),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _rollback(record: RunRecord) -> str:
    rollback = record.rollback
    if rollback is None:
        return ""
    left = _moves("Rolled back, and still another version", rollback.left)
    words = f"\n\n{prose(rollback.message)}" if rollback.message else ""
    return (_moves("Rolled back", rollback.moves) + (f"\n\n{left}" if left else "") + words).strip()


def _restart(one: Restart) -> str:
    return f"{one.service}: {one.state}" + (f" ({one.detail})" if one.detail else "")


def _exceptional(record: RunRecord) -> str:
    glass = record.exceptional
    if glass is None:
        return ""
    return f"**Exceptional**: started outside of the windows by {prose(glass.by)}: {prose(glass.reason)}."


def _facts(record: RunRecord) -> str:
    rows = [
        ("Run", code(record.run)),
        ("Policy", code(record.policy_commit[:12])),
        ("Plan", code(short_digest(record.digest))),
        ("Started", instant(record.started)),
        ("Ended", instant(record.ended) + (" (**past the end of its window**)" if record.overran else "")),
    ]
    return table(("", ""), rows)


def _moves(title: str, moves: Sequence[Move]) -> str:
    rows = [
        (prose(move.action), code(str(move.package)), _version(move.from_), _version(move.to))
        for move in moves
    ]
    return "" if not rows else f"## {title}\n\n" + _bounded(("What", "Package", "From", "To"), rows)


def _version(version: str | None) -> str:
    return "" if version is None else code(version)


def _steps(steps: Sequence[StepRecord]) -> str:
    rows = [
        (
            str(number),
            str(len(step.changes)),
            str(step.outcome),
            f"{step.exit_code} ({step.native_code})",
            prose(step.message),
        )
        for number, step in enumerate(steps, 1)
    ]
    heading = ("Step", "Changes", "Outcome", "Exit (the manager's own)", "Words")
    return "" if not rows else "## Steps\n\n" + _bounded(heading, rows)


def _list(title: str, items: Sequence[str]) -> str:
    return "" if not items else f"## {title}\n\n" + "\n".join(f"- {prose(item)}" for item in items[:_ROWS])


def _bounded(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text, more = table(heading, rows[:_ROWS]), len(rows) - _ROWS
    return text if more <= 0 else f"{text}\n\n… and {more} more."
