r"""A fleet as files for people and machines: ``STATUS.md``, ``heads.txt``, CSV and OpenMetrics.

Whatever a host could choose is escaped for where it goes: in Markdown it forms no markup, in a spreadsheet no
formula, in OpenMetrics no line and no label of its own. Series are counted by what comes from closed lists or
is one for all, never by host, so that a fleet of any size has as many of them as a small one.
"""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from reconciler.planning.fleet.rows import Row, TargetState
from reconciler.planning.fleet.summary import Head, Line, counted
from reconciler.planning.gates.types import Outcome
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.untrusted import markdown, markdown_code
from reconciler.planning.text.wording import by_both_clocks, instants_on_the_clock, plural, short_digest
from reconciler.policy.managers import NAMES
from reconciler.policy.problems import visible

_MOST_SHOWN = 200
"""Rows of ``STATUS.md``, so that a forge still shows it."""
_FORMULA = frozenset("=+-@")
"""What a formula begins with; some spreadsheets take the wide forms of Japanese input for the same."""
_QUIET = (TargetState.FINE, TargetState.RETIRED)

COLUMNS = (
    "target",
    "state",
    "reason",
    "heard",
    "os",
    "manager",
    "guest_of",
    "outcome",
    "until",
    "pending",
    "pending_security",
    "oldest_security",
    "oldest_security_since",
    "last_run",
    "last_run_ended",
    "next_window",
    "reboot",
    "changed_outside",
    "policies",
    "labels",
    "head",
)
"""Of the CSV."""


def heads(rows: Iterable[Row | Line]) -> bytes:
    """Return ``heads.txt``: the newest commit of each branch that continued what was seen before.

    It is the witness against rewriting: each line is a commit and a branch, sorted by branch.
    """
    lines = sorted((row.branch, row.tip) for row in rows if row.tip)
    return "".join(f"{tip} {branch}\n" for branch, tip in lines).encode()


def status_page(head: Head, rows: Sequence[Row | Line]) -> bytes:
    """Return ``STATUS.md``: how many targets are in which state, and the worst of them.

    Args:
        head: By which policy they were judged.
        rows: The worst first.
    """
    return ("\n".join(_page(head, rows)) + "\n").encode()


def _page(head: Head, rows: Sequence[Row | Line]) -> Iterator[str]:
    yield from ("# Fleet", "", f"{plural(len(rows), 'target')}, the worst first.", "")
    yield from ("| state | targets |", "|---|---:|")
    for state, number in counted(rows).items():
        yield f"| {state} | {number} |"
    said = "signatures verified" if head.policy_is_verified else "**signatures are not asked for**"
    yield from ("", f"Policy {markdown_code(head.policy_commit[:12])}, {said}.")
    worth = [row for row in rows if row.state not in _QUIET]
    if worth:
        yield from ("", "| target | state | why | last heard of |", "|---|---|---|---|")
        for one in worth[:_MOST_SHOWN]:
            row = one.row if isinstance(one, Line) else one
            why = instants_on_the_clock(row.reason, row.timezone, beside=True)
            cells = (markdown_code(row.target), str(row.state), markdown(why), _when(row))
            yield f"| {' | '.join(cells)} |"
    if len(worth) > _MOST_SHOWN:
        yield from ("", f"{len(worth) - _MOST_SHOWN} more are in `summary.json`.")


def _when(row: Row) -> str:
    if row.heard is None:
        return "never"
    return by_both_clocks(row.heard.replace(second=0, microsecond=0), row.timezone)


def as_csv(rows: Iterable[Row]) -> str:
    """Return rows as CSV (RFC 4180) with a line of headings; no cell is a formula of a spreadsheet."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([cell(told[column]) for column in COLUMNS] for told in map(_cells, rows))
    return written.getvalue()


def cell(text: str) -> str:
    """Return a text as a cell; one that a spreadsheet would calculate begins with an apostrophe."""
    seen = visible(text)
    first = unicodedata.normalize("NFKC", seen.lstrip()[:1])
    return f"'{seen}" if first in _FORMULA else seen


def _cells(row: Row) -> Mapping[str, str]:
    decision, counts, oldest, run = row.decision, row.counts, row.oldest_security, row.last_run
    return {
        "target": row.target,
        "state": row.state,
        "reason": row.reason,
        "heard": _instant(row.heard),
        "os": row.os,
        "manager": row.manager,
        "guest_of": row.guest_of or "",
        "outcome": "" if decision is None else decision.outcome,
        "until": "" if decision is None else _instant(decision.until),
        "pending": "" if counts is None else str(counts.pending),
        "pending_security": "" if counts is None else str(counts.pending_security),
        "oldest_security": "" if oldest is None else f"{oldest.package} {oldest.candidate}",
        "oldest_security_since": "" if oldest is None else _instant(oldest.since),
        "last_run": "" if run is None else run.headline,
        "last_run_ended": "" if run is None else _instant(run.ended),
        "next_window": "" if row.next_window is None else _instant(row.next_window.start),
        "reboot": "yes" if row.reboot else "no",
        "changed_outside": str(row.changed_outside),
        "policies": " ".join(row.policies),
        "labels": " ".join(f"{key}={value}" for key, value in sorted(row.labels.items())),
        "head": row.head,
    }


def _instant(at: datetime | None) -> str:
    return "" if at is None else instant(at)


def open_metrics(head: Head, rows: Sequence[Row], now: datetime, gathered: datetime) -> bytes:
    """Return a fleet in the text format of OpenMetrics 1.0.

    Args:
        head: By which policy the rows were judged.
        rows: As they are at ``now``.
        now: The present instant.
        gathered: When the reports were read last.
    """
    return ("".join(f"{line}\n" for line in _metrics(head, rows, now, gathered)) + "# EOF\n").encode()


def _metrics(head: Head, rows: Sequence[Row], now: datetime, gathered: datetime) -> Iterator[str]:
    states = Counter(row.state for row in rows)
    yield from _family("targets", "Targets in each state.", (("state", s, states[s]) for s in TargetState))
    managers = Counter(row.manager if row.manager in NAMES else "other" for row in rows if row.is_known)
    known = (("manager", name, managers[name]) for name in (*NAMES, "other"))
    yield from _family("targets_by_manager", "Targets with each package manager.", known)
    outcomes = Counter(_outcome(row) for row in rows if row.decision is not None)
    decided = (("outcome", name, outcomes[name]) for name in sorted(outcomes))
    yield from _family("targets_by_outcome", "Targets by the decision's outcome.", decided)
    told = [row for row in rows if row.counts is not None]
    sums = {
        "updates_pending": sum(row.counts.pending for row in told if row.counts),
        "updates_pending_security": sum(row.counts.pending_security for row in told if row.counts),
        "updates_held": sum(row.counts.held for row in told if row.counts),
        "targets_pending_security": sum(row.oldest_security is not None for row in rows),
        "targets_reboot": sum(row.reboot for row in rows),
        "targets_changed_outside": sum(bool(row.changed_outside) for row in rows),
        "policy_verified": int(head.policy_is_verified),
        "gathered_timestamp_seconds": int(gathered.timestamp()),
    }
    for name, value in sums.items():
        yield from _family(name, _HELP[name], [("", "", value)])
    since = [row.oldest_security.since for row in rows if row.oldest_security is not None]
    age = int((now - min(since)).total_seconds()) if since else 0
    yield from _family("oldest_security_update_age_seconds", _HELP["oldest"], [("", "", age)])
    yield from _family("info", _HELP["info"], [("policy_commit", short_digest(head.policy_commit), 1)])


_HELP = {
    "updates_pending": "Updates that are applied once the gates are open.",
    "updates_pending_security": "Security updates among the pending ones.",
    "updates_held": "Updates that an exception or an operator holds back.",
    "targets_pending_security": "Targets for which a security update is on offer.",
    "targets_reboot": "Targets that need a reboot.",
    "targets_changed_outside": "Targets whose last report tells of changes that no run made.",
    "policy_verified": "1 where the signatures of the policy were asked for, and were good.",
    "gathered_timestamp_seconds": "When the reports were read last.",
    "oldest": "How long the security update waits that waits longest; 0 where none does.",
    "info": "Always 1.",
}


def _outcome(row: Row) -> str:
    """Return the outcome as a value of a label: a word of ours, of a newer release ``other``."""
    word = row.decision.outcome if row.decision is not None else ""
    return word if isinstance(word, Outcome) else "other"


def _family(name: str, words: str, samples: Iterable[tuple[str, str, int]]) -> Iterator[str]:
    """Yield a gauge with its samples, each a label's name, its value, and the number."""
    yield f"# HELP patchledger_fleet_{name} {words}"
    yield f"# TYPE patchledger_fleet_{name} gauge"
    for label, value, number in samples:
        labels = f'{{{label}="{_label(value)}"}}' if label else ""
        yield f"patchledger_fleet_{name}{labels} {number}"


def _label(value: str) -> str:
    """Return the value of a label: letters that need no escape, whatever it was."""
    return re.sub(r"[^A-Za-z0-9 ._:/-]", "_", value)
