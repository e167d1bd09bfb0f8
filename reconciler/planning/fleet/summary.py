"""``summary.json``: all rows of a fleet in one file, a line each, so that a changed target is a changed line.

Ten thousand rows are read and written in a fraction of a second, so this is not the canonical form of other
files: a line begins with what tells whether its target moved, other keys are sorted, and blanks are left out.
What a publisher has signed is read back strictly: a row that is not as it should be makes the file
unreadable. Of a file that this program is known to have written itself (:func:`read_own`) only the beginnings
of lines are read, and the row of a line once somebody asks for it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from reconciler.errors import Misuse
from reconciler.planning.fleet.rows import NewestRun, OldestSecurity, Row, TargetState, as_of
from reconciler.planning.gates.types import Outcome
from reconciler.planning.reporting.document import Counts, Decided
from reconciler.planning.reporting.host_status import NextWindow
from reconciler.planning.reporting.schema import schema_of
from reconciler.planning.runs.record import RunOutcome
from reconciler.planning.text import canonical
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.layout import UnknownWord
from reconciler.records import dataclass

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


_FIRST = ("target", "branch", "state", "head", "tip", "tree", "key", "heard")
"""What a line begins with."""
_BEGINNING = re.compile(
    r'\{"target":"([^"\\]*)","branch":"([^"\\]*)","state":"([a-z-]+)",'
    r'"head":"([0-9a-f]*)","tip":"([0-9a-f]*)","tree":"([0-9a-f]*)",'
    r'"key":"([^"\\]*)","heard":(?:null|"([^"\\]*)"),'
)
_STATES = {str(state): state for state in TargetState}
_ROWS, _BETWEEN, _END = '"rows":[\n', ",\n", "\n]}\n"
"""What stands before, between and after rows; no text of JSON holds an end of a line."""


class Line:
    """A row, and the text that it stands as in ``summary.json``.

    Attributes:
        text: That text.
        target: This and the following as of the row.
    """

    __slots__ = ("_row", "branch", "head", "heard", "key", "state", "target", "text", "tip", "tree")

    def __init__(self, text: str, row: Row | None = None) -> None:
        """Make a line of a row and its text, or of a text that this program wrote, of which it reads little.

        Raises:
            ValueError: It cannot have been.
        """
        self.text = text
        self._row = row
        if row is None:
            found = _BEGINNING.match(text)
            if found is None:
                raise ValueError("a line does not begin as it should")
            self.target, self.branch, state, self.head, self.tip, self.tree, self.key, heard = found.groups()
            self.state, self.heard = _STATES[state], _at(heard)
        else:
            self.target, self.branch, self.state = row.target, row.branch, row.state
            self.head, self.tip, self.tree = row.head, row.tip, row.tree
            self.key, self.heard = row.key, row.heard

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return the line of a row."""
        told = plain(row)
        first = {name: told.pop(name) for name in _FIRST}
        return cls(
            f"{json.dumps(first, ensure_ascii=False, separators=(',', ':'))[:-1]},{_dumped(told)[1:]}", row
        )

    def __eq__(self, other: object) -> bool:
        """Say whether both are the same text."""
        return isinstance(other, Line) and self.text == other.text

    def __hash__(self) -> int:
        """Return a number for the text."""
        return hash(self.text)

    @property
    def row(self) -> Row:
        """The row, read when it is asked for."""
        if self._row is None:
            self._row = _row(json.loads(self.text))
        return self._row

    def as_of(self, now: datetime, silent_after: timedelta) -> "Line":
        """Return the line as it is at an instant, as :func:`reconciler.planning.fleet.rows.as_of` has it."""
        if self.heard is None or now - self.heard <= silent_after:
            return self
        row = as_of(self.row, now, silent_after)
        return self if row is self.row else Line.of(row)


@dataclass(frozen=True, slots=True)
class Head:
    """What ``summary.json`` says besides its rows; as in :class:`FleetSummary`."""

    policy_commit: str
    policy_is_verified: bool
    silent_after: timedelta = SILENT_AFTER


def counted(rows: Iterable[Row | Line]) -> dict[TargetState, int]:
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
        "states": {str(state): number for state, number in counted(lines).items()},
    }
    told = _BETWEEN.join(f"{json.dumps(key)}:{_dumped(value)}" for key, value in about.items())
    texts = [line.text for line in lines] or [""]
    # Put together once: it may have many millions of characters.
    texts[0] = f"{{{told}{_BETWEEN}{_ROWS}{texts[0]}"
    texts[-1] += _END
    return _BETWEEN.join(texts).encode()


def read_summary(data: bytes) -> tuple[Head, list[Line]]:
    """Return what ``summary.json`` holds.

    Raises:
        Misuse: It is none, or one of a newer version.
    """
    head, rows = read_rows(data)
    return head, list(map(Line.of, rows))


def read_rows(data: bytes, name: str = "summary.json") -> tuple[Head, list[Row]]:
    """Return what ``summary.json`` holds, without the texts of its lines.

    Args:
        data: Of the file.
        name: Of it, for people.

    Raises:
        Misuse: It is none, or one of a newer version.
    """
    try:
        document = canonical.read(data)
        return _head(document), list(map(_row, document["rows"]))
    except _MALFORMED as error:
        raise _unreadable(error, name) from None


def read_own(data: bytes) -> tuple[Head, list[Line]]:
    """Return what ``summary.json`` holds, of a file that :func:`write_summary` is known to have made.

    Raises:
        Misuse: It cannot have been.
    """
    try:
        texts = data.decode().split(_BETWEEN)
        first = next(place for place, text in enumerate(texts) if text.startswith(_ROWS))
        head = _head(json.loads(f"{_BETWEEN.join(texts[:first])}{_BETWEEN}{_ROWS}{_END}"))
        texts[first] = texts[first].removeprefix(_ROWS)
        texts[-1] = texts[-1].removesuffix(_END)
        del texts[:first]
        return head, [Line(text) for text in texts] if texts != [""] else []
    except _MALFORMED as error:
        raise _unreadable(error, "summary.json") from None


_MALFORMED = (StopIteration, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


def _unreadable(error: Exception, name: str) -> Misuse:
    said = f"{name} is no summary of a fleet: {canonical.fault_in(error)}"
    return Misuse(said, "give summary.json of `patchledger fleet publish`")


def _head(document: Mapping[str, Any]) -> Head:
    version = document["schema"]
    if type(version) is int and version > SUMMARY_VERSION:
        raise Misuse(
            f"summary.json was written by a newer patchledger (schema {version})",
            "use a patchledger that is at least as new",
        )
    silent = timedelta(seconds=int(document["silent_after"]))
    return Head(str(document["policy_commit"]), document["policy_is_verified"] is True, silent)


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
        called=str(told.get("called", "")),
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
        timezone=str(told.get("timezone", "UTC")),
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
