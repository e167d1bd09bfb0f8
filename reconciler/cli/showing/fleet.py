"""A fleet on a terminal: the worst first, and one target in full."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from reconciler.cli.showing.table import Paint, Style, table
from reconciler.planning.fleet.rows import Row, TargetState
from reconciler.planning.fleet.summary import Head, counted
from reconciler.planning.text.wording import (
    day_and_hours,
    instants_on_the_clock,
    minute,
    on_the_clock,
    plural,
)
from reconciler.policy.problems import visible

_HEADS = ("State", "Target", "Heard of", "Why")
_WIDEST = 40


def overview(
    head: Head, rows: Sequence[Row], gathered: datetime, width: int | None, *, colour: bool
) -> Iterator[str]:
    """Yield the lines that show many targets.

    Args:
        head: By which policy they were judged.
        rows: The worst first.
        gathered: When the reports were read.
        width: Of the terminal, ``None`` where lines are not to be wrapped.
        colour: Whether to use colours.
    """
    paint = Paint(colour=colour)
    states = ", ".join(f"{number} {state}" for state, number in counted(rows).items())
    yield paint(f"{plural(len(rows), 'target')}{': ' if states else ''}{states}", Style.STRONG)
    yield f"Reports read {minute(gathered)}, by policy {head.policy_commit[:12]}{_trust(head)}"
    if rows:
        yield ""
        told = [(str(row.state), row.target, _heard(row), _why(row)) for row in rows]
        yield from table(told, width, heads=_HEADS, widest=_WIDEST, paint=paint, style_of=_style_of)


def _trust(head: Head) -> str:
    return "" if head.policy_is_verified else " (its signatures are not asked for)"


def _heard(row: Row) -> str:
    return "never" if row.heard is None else _at(row.heard, row)


def _why(row: Row) -> str:
    return instants_on_the_clock(row.reason, row.timezone)


def _at(at: datetime, row: Row) -> str:
    """Write an instant to the minute, by the clock of a target's windows."""
    return on_the_clock(at.replace(second=0, microsecond=0), row.timezone)


def _style_of(cells: Sequence[str]) -> Style:
    return _style(TargetState(cells[0]))


def _style(state: TargetState) -> Style:
    if state.alarms or state is TargetState.INTERRUPTED:
        return Style.BAD
    return Style.PLAIN if state in {TargetState.FINE, TargetState.RETIRED} else Style.NOTE


def in_full(row: Row, width: int | None, *, colour: bool) -> Iterator[str]:
    """Yield the lines that show one target."""
    paint = Paint(colour=colour)
    yield paint(visible(f"{row.target}: {row.state}"), _style(row.state))
    yield ""
    yield from table([*_facts(row)], width, paint=paint)


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    yield "Why", _why(row)
    if not row.is_known:
        return
    yield "Report", row.headline
    if row.decision is not None:
        until = "" if row.decision.until is None else f", until {_at(row.decision.until, row)}"
        reason = instants_on_the_clock(row.decision.reason, row.timezone)
        yield "Decision", f"{row.decision.outcome}: {reason}{until}"
    if row.oldest_security is not None:
        oldest = row.oldest_security
        yield "Security", f"{oldest.package} {oldest.candidate} waits since {_at(oldest.since, row)}"
    if row.last_run is not None:
        yield "Last run", f"{_at(row.last_run.ended, row)}, {row.last_run.headline}"
    if row.next_window is not None:
        window = row.next_window
        yield "Window", f"{day_and_hours(window.start, window.end, row.timezone)} ({window.schedule})"
    yield "System", f"{row.os}, {row.manager}" + (f", guest of {row.guest_of}" if row.guest_of else "")
    yield "Labels", ", ".join(f"{key}={value}" for key, value in sorted(row.labels.items()))
    yield "Policies", ", ".join(row.policies)
    yield "Heard of", f"{_heard(row)}, by {row.program}, policy {row.policy_commit[:12]}"
    yield "Commit", f"{row.head} on {row.branch}"
    yield "Key", row.key
