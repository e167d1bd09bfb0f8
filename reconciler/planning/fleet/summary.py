"""``summary.json``: all rows of a fleet in one file, a line each, so that a changed target is a changed line.

Ten thousand rows are read and written in a fraction of a second, so this is not the canonical form of other
files: keys are sorted, and blanks are left out. What a publisher has signed is read back strictly: a row that
is not as it should be makes the file unreadable.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from reconciler.errors import Misuse
from reconciler.planning.fleet.rows import NewestRun, OldestSecurity, Row, TargetState
from reconciler.planning.gates.types import Outcome
from reconciler.planning.reporting.document import Counts, Decided
from reconciler.planning.reporting.host_status import NextWindow
from reconciler.planning.reporting.schema import schema_of
from reconciler.planning.runs.record import RunOutcome
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.layout import UnknownWord

SUMMARY_VERSION = 1
"""Of the layout of ``summary.json``; it grows when a reader of an older one could misread a newer one."""
SILENT_AFTER = timedelta(days=2)
"""A target of which nothing was heard for longer is silent: two heartbeats of 24 hours."""


@dataclass(frozen=True, slots=True)
class FleetSummary:
    """A fleet at the last time that its reports were read.

    Attributes:
        schema: Version of this layout.
        policy_commit: By which policy the reports were judged.
        policy_is_verified: Its signatures were asked for, and were good.
        silent_after: Seconds without a report after which a target is silent.
        states: How many targets are in each state, the worst first; states in which none is are left out.
        rows: A row for each target, the worst first.
    """

    schema: int
    policy_commit: str
    policy_is_verified: bool
    silent_after: int
    states: Mapping[str, int]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A row, and the text that it stands as in ``summary.json``."""

    row: Row
    text: str

    @classmethod
    def of(cls, row: Row) -> "Line":
        """Return the line of a row."""
        return cls(row, _dumped(plain(row)))


@dataclass(frozen=True, slots=True)
class Head:
    """What ``summary.json`` says besides its rows; as in :class:`FleetSummary`."""

    policy_commit: str
    policy_is_verified: bool
    silent_after: timedelta = SILENT_AFTER


def counted(rows: Iterable[Row]) -> dict[TargetState, int]:
    """Return how many targets are in each state, the worst first."""
    found = Counter(row.state for row in rows)
    return {state: found[state] for state in TargetState if found[state]}


def write_summary(head: Head, lines: Sequence[Line]) -> bytes:
    """Return the bytes of ``summary.json``.

    Args:
        head: What it says besides the rows.
        lines: The worst first.
    """
    about = {
        "schema": SUMMARY_VERSION,
        "policy_commit": head.policy_commit,
        "policy_is_verified": head.policy_is_verified,
        "silent_after": int(head.silent_after.total_seconds()),
        "states": {str(state): number for state, number in counted(line.row for line in lines).items()},
    }
    told = "".join(f"{json.dumps(key)}:{_dumped(value)},\n" for key, value in about.items())
    rows = ",\n".join(line.text for line in lines)
    return f'{{{told}"rows":[\n{rows}\n]}}\n'.encode()


def read_summary(data: bytes) -> tuple[Head, list[Line]]:
    """Return what ``summary.json`` holds.

    Raises:
        Misuse: It is none, or one of a newer version.
    """
    try:
        document = json.loads(data)
        version = document["schema"]
        if type(version) is int and version > SUMMARY_VERSION:
            raise Misuse(
                f"summary.json was written by a newer patchledger (schema {version})",
                "use a patchledger that is at least as new",
            )
        silent = timedelta(seconds=int(document["silent_after"]))
        head = Head(str(document["policy_commit"]), document["policy_is_verified"] is True, silent)
        rows = list(map(_row, document["rows"]))
        texts = _texts(data, len(rows))
        return head, [Line(row, text) for row, text in zip(rows, texts, strict=True)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise Misuse(f"summary.json cannot be read: {type(error).__name__}: {error}") from None


def _texts(data: bytes, count: int) -> list[str]:
    """Return the lines of the rows; they are what is below the line that begins them."""
    if not count:
        return []
    lines = data.decode().split("\n")
    begin = lines.index('"rows":[') + 1
    return [line.removesuffix(",") for line in lines[begin : begin + count]]


def summary_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``summary.json``."""
    schema = schema_of(FleetSummary, "patchledger fleet")
    schema["$defs"]["FleetSummary"]["properties"]["schema"] = {"const": SUMMARY_VERSION}
    for kind, name, known in (("Decided", "outcome", Outcome), ("NewestRun", "outcome", RunOutcome)):
        words = [str(one) for one in known]
        schema["$defs"][kind]["properties"][name] = {"type": "string", "examples": words}
    return schema


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _row(told: dict[str, Any]) -> Row:
    decision, counts, security = told["decision"], told["counts"], told["oldest_security"]
    run, window = told["last_run"], told["next_window"]
    return Row(
        target=str(told["target"]),
        branch=str(told["branch"]),
        state=TargetState(told["state"]),
        reason=str(told["reason"]),
        head=str(told["head"]),
        tip=str(told["tip"]),
        tree=str(told["tree"]),
        key=str(told["key"]),
        heard=_at(told["heard"]),
        program=str(told["program"]),
        policy_commit=str(told["policy_commit"]),
        policies=tuple(told["policies"]),
        os=str(told["os"]),
        manager=str(told["manager"]),
        guest_of=told["guest_of"],
        labels=dict(told["labels"]),
        own_labels=None if told["own_labels"] is None else dict(told["own_labels"]),
        headline=str(told["headline"]),
        resolution=str(told["resolution"]),
        inventory=str(told["inventory"]),
        decision=None if decision is None else _decision(decision),
        counts=None if counts is None else Counts(**counts),
        oldest_security=None if security is None else OldestSecurity(**security | _times(security, "since")),
        security={name: datetime.fromisoformat(since) for name, since in told["security"].items()},
        last_run=None if run is None else _run(run),
        next_window=None if window is None else NextWindow(**window | _times(window, "start", "end")),
        reboot=told["reboot"] is True,
        changed_outside=int(told["changed_outside"]),
    )


def _decision(told: Mapping[str, Any]) -> Decided:
    word = told["outcome"]
    outcome: Any = Outcome(word) if word in _OUTCOMES else UnknownWord(word)
    return Decided(outcome, str(told["reason"]), _at(told["until"]))


_OUTCOMES = frozenset(map(str, Outcome))
_RUN_OUTCOMES = frozenset(map(str, RunOutcome))


def _run(told: dict[str, Any]) -> NewestRun:
    word = told["outcome"]
    outcome: Any = RunOutcome(word) if word in _RUN_OUTCOMES else UnknownWord(word)
    return NewestRun(**told | _times(told, "ended") | {"outcome": outcome})


def _times(told: Mapping[str, Any], *names: str) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(told[name]) for name in names}


def _at(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
