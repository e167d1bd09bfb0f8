"""The record of one run: what was to be done, what was done, and what the machine says of it afterwards.

It is the content of ``runs/<id>.json`` of a report branch. The rules:

1. What a run changed is the difference of what was installed before and after it. What a package manager said
   of it stands beside, as evidence.
2. A run has succeeded when every change of its plan is there, whole, and nothing else moved.
3. What was found half done when the run began is not of its doing, and is told apart.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from reconciler.planning import canonical, exit_codes
from reconciler.planning.around import CheckResult, HookResult, Leftovers, Restart
from reconciler.planning.execution import FailedPackage
from reconciler.planning.gate import BreakGlass
from reconciler.planning.observation import Action, Change, Installed, Quarantined
from reconciler.planning.report_document import ExecutedScript, Move
from reconciler.planning.selection import Key
from reconciler.planning.versions import order_of


class RunOutcome(StrEnum):
    """How a run ended; the closed list of ``outcome`` in a run's record."""

    APPLIED = "applied"  # all of the plan is there
    REBOOTED = "rebooted"  # the machine is back from a reboot that was asked for
    REPAIRED = "repaired"  # what others, or an earlier run, had left half done was brought to its end
    PARTIAL = "partial"  # a gate closed between two steps: the rest waits
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # ended from outside, and told by the run after it
    VETOED = "vetoed"  # a hook asked for another day
    PLAN_CHANGED = "plan-changed"  # the package manager would now do something else: nothing was done
    DEFERRED = "deferred"  # a gate closed before the first step
    ROLLED_BACK = "rolled-back"  # applied, found unhealthy, and undone


class StepOutcome(StrEnum):
    """How one call of the package manager ended, as seen on the machine."""

    DONE = "done"
    FAILED = "failed"  # not all of its changes are there
    REFUSED = "refused"  # the manager would have done something else; nothing was changed
    LOCKED = "locked"  # another program held the package database for too long; nothing was changed
    INTERRUPTED = "interrupted"  # it was ended from outside


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One call of the package manager.

    Attributes:
        changes: What it was told to do.
        message: Why it did not end well, in the manager's own words.
        failed: Packages that the manager complained of.
        conffiles: As in :class:`RunRecord`.
        exit_code: By the table of the patch scripts, and in ``native_code`` the manager's own.
    """

    changes: tuple[Move, ...]
    started: datetime
    ended: datetime
    outcome: StepOutcome
    exit_code: int
    native_code: int
    message: str
    failed: tuple[FailedPackage, ...] = ()
    conffiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """What moved between two observations, and what does not fit the plan.

    Attributes:
        changed: Everything that is installed in another version, new or gone; sorted by name.
        missing: Changes of the plan that are not there, or are there half done.
        unplanned: What moved although the plan does not say so.
        broken: Packages that are half done now and were not before, as ``name (status)``.
    """

    changed: tuple[Move, ...]
    missing: tuple[Move, ...]
    unplanned: tuple[Move, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rollback:
    """The attempt to bring back what was there before a run.

    Attributes:
        moves: What it was to do.
        left: Moves of it that could not be made: the honest rest.
        message: Why, in the package manager's words; empty where nothing is left.
        healthy: Whether the checks that failed are well again; null where there was none.
    """

    moves: tuple[Move, ...]
    left: tuple[Move, ...]
    message: str
    healthy: bool | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, whole.

    Attributes:
        schema: As in a report.
        run: ``<UTC stamp>-<12 characters of the plan's digest>``, the name of its files.
        code: Stable word for why it did not end well; empty after success.
        reason: One sentence for people; empty after success.
        exceptional: Who passed over the window by ``run --now``, and why; null in an ordinary run.
        deadline: End of the window, null where no window bounds the run.
        overran: It was still at work at the deadline.
        hooks: What became of the host's own programs, in the order of running.
        unhealthy: Checks that fail after the run and did not fail before it.
        restarts: What became of services that ran replaced files.
        leftovers: What runs replaced files, in the words of who can tell; null where nobody can.
        rollback: What was done where the host was not healthy afterwards; null where nothing was.
        security: ``name:arch`` of the planned changes that fix security.
        conffiles: Files that wait for a person, since a configuration file was changed locally.
        notes: What else a reader should know, one sentence each.
        scripts: The patch scripts that ran.
    """

    schema: int
    program: str
    run: str
    target: str
    policy_commit: str
    digest: str
    started: datetime
    ended: datetime
    outcome: RunOutcome
    code: str
    reason: str
    exceptional: BreakGlass | None
    deadline: datetime | None
    overran: bool
    steps: tuple[StepRecord, ...]
    difference: Difference
    hooks: tuple[HookResult, ...] = ()
    unhealthy: tuple[CheckResult, ...] = ()
    restarts: tuple[Restart, ...] = ()
    leftovers: Leftovers | None = None
    rollback: Rollback | None = None
    security: tuple[str, ...] = ()
    conffiles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    scripts: tuple[ExecutedScript, ...] = ()


def move_of(change: Change) -> Move:
    """Return a change as reports write it."""
    return Move(
        change.action, change.name, change.arch, change.from_version, change.to_version, change.origin
    )


def difference(
    before: Iterable[Installed], after: Iterable[Installed], planned: Iterable[Change], manager: str
) -> Difference:
    """Compare what was installed before with what is now, and both with the plan.

    Args:
        before: Of the last observation before anything was done.
        after: Of the first one after it.
        planned: What was to be done.
        manager: Decides whether another version is a newer one.
    """
    old, new = list(before), list(after)
    changed = _moves(old, new, manager)
    wanted = tuple(planned)
    known = {(change.name, change.from_version, change.to_version): move_of(change) for change in wanted}
    changed = tuple(known.get((move.name, move.from_, move.to), move) for move in changed)
    whole = {(one.name, one.version) for one in new if one.status == "installed"}
    present = {(one.name, one.version) for one in new}
    missing = [change for change in wanted if not _is_there(change, whole, present)]
    halves = {(one.name, one.arch, one.version, one.status) for one in old}
    return Difference(
        changed=changed,
        missing=tuple(map(move_of, missing)),
        unplanned=tuple(move for move in changed if (move.name, move.from_, move.to) not in known),
        broken=tuple(
            f"{one.name} ({one.status})"
            for one in new
            if one.status != "installed" and (one.name, one.arch, one.version, one.status) not in halves
        ),
    )


def _is_there(change: Change, whole: set[tuple[str, str]], present: set[tuple[str, str]]) -> bool:
    if change.to_version is not None:
        return (change.name, change.to_version) in whole
    return (change.name, change.from_version) not in present


def _moves(old: Sequence[Installed], new: Sequence[Installed], manager: str) -> tuple[Move, ...]:
    """Return every move: a version that went and one that came are one where each is the only one.

    Of what may be installed in several versions, such as kernels, one comes and another goes.
    """
    was, is_now = _versions(old), _versions(new)
    found: list[Move] = []
    arches: defaultdict[str, list[Key]] = defaultdict(list)
    for key in sorted(was.keys() | is_now.keys()):
        gone, come = (
            was.get(key, set()) - is_now.get(key, set()),
            is_now.get(key, set()) - was.get(key, set()),
        )
        is_single = len(was.get(key, ())) == len(is_now.get(key, ())) == 1
        if is_single and gone:
            found.append(_move(key, gone.pop(), come.pop(), manager))
        elif gone or come:
            arches[key[0]].append(key)
    for keys in arches.values():
        found += _unpaired(keys, was, is_now, manager)
    return tuple(sorted(found, key=lambda move: (move.name, move.arch, move.to or "", move.from_ or "")))


def _unpaired(
    keys: Sequence[Key], was: Mapping[Key, set[str]], is_now: Mapping[Key, set[str]], manager: str
) -> list[Move]:
    """Return the moves of one name that are no simple step; a changed architecture is one step."""
    gone = [(key, version) for key in keys for version in was.get(key, set()) - is_now.get(key, set())]
    come = [(key, version) for key in keys for version in is_now.get(key, set()) - was.get(key, set())]
    if len(gone) == len(come) == 1 and gone[0][0] != come[0][0]:
        return [_move(gone[0][0], gone[0][1], come[0][1], manager)]
    return [
        *(Move("remove", *key, version, None, "") for key, version in gone),
        *(Move("install", *key, None, version, "") for key, version in come),
    ]


def _versions(installed: Iterable[Installed]) -> dict[Key, set[str]]:
    found: defaultdict[Key, set[str]] = defaultdict(set)
    for one in installed:
        found[one.name, one.arch].add(one.version)
    return dict(found)


def _move(key: Key, old: str, new: str, manager: str) -> Move:
    order = order_of(manager)
    action: Action = "downgrade" if order is not None and order(new, old) < 0 else "upgrade"
    return Move(action, *key, old, new, "")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a run ended as it did; ``code`` and ``reason`` are empty after success."""

    outcome: RunOutcome
    code: str = ""
    reason: str = ""


_CODES = {
    exit_codes.LOCKED: "locked",
    exit_codes.STALE: "unreachable",
    exit_codes.UNTRUSTED: "signature",
    exit_codes.NO_SPACE: "no-space",
    exit_codes.UNRESOLVED: "cannot-resolve",
    exit_codes.GONE: "version-gone",
}
"""Why a step failed, by the exit codes of the patch scripts; all others are about the packages themselves."""

PASSING = frozenset({"locked", "unreachable", "signature", "no-space"})
"""Codes of failures that may be over by the next tick: the same plan is tried again then."""


def conclude_steps(steps: Sequence[StepRecord], found: Difference, stopped: Ending | None) -> Ending:
    """Say what a run's steps came to.

    Args:
        steps: Those that were made, in order.
        found: What moved from before the first to after the last.
        stopped: Why the remaining steps were not made; ``None`` where all were.
    """
    failures = [step for step in steps if step.outcome is StepOutcome.FAILED]
    if failures or found.broken:
        complained = {package.name: package.message for step in failures for package in step.failed}
        said = next((step.message for step in failures if step.message), "")
        reason = "; ".join(f"{name}: {complained[name]}" for name in sorted(complained)) or said
        reason = reason or f"{len(found.missing)} of the planned changes are not there"
        code = _CODES.get(failures[0].exit_code, "packages-failed") if failures else "packages-broken"
        return Ending(RunOutcome.FAILED, code, reason)
    if stopped is not None:
        if found.changed and stopped.outcome in {RunOutcome.DEFERRED, RunOutcome.PLAN_CHANGED}:
            return Ending(RunOutcome.PARTIAL, stopped.code, stopped.reason)
        return stopped
    if found.missing:
        names = ", ".join(move.name for move in found.missing[:5])
        reason = f"the package manager said that all was done, and {names} is not as planned"
        return Ending(RunOutcome.FAILED, "not-as-planned", reason)
    return Ending(RunOutcome.APPLIED)


def with_health(record: RunRecord, unhealthy: Sequence[CheckResult]) -> RunRecord:
    """Return the record of a run after which ``unhealthy`` checks fail that did not fail before it."""
    if not unhealthy:
        return record
    said = "; ".join(f"{check.name}: {check.detail}" if check.detail else check.name for check in unhealthy)
    if record.outcome in {RunOutcome.APPLIED, RunOutcome.PARTIAL, RunOutcome.REBOOTED}:
        record = replace(
            record, outcome=RunOutcome.FAILED, code="unhealthy", reason=f"not healthy afterwards: {said}"
        )
    return replace(record, unhealthy=tuple(unhealthy))


def with_rollback(record: RunRecord, rollback: Rollback, found: Difference) -> RunRecord:
    """Return the record of a failed run that was undone as far as it could be; ``found`` is what is left."""
    outcome = RunOutcome.FAILED if rollback.left else RunOutcome.ROLLED_BACK
    left = f"; not undone: {', '.join(move.name for move in rollback.left)}" if rollback.left else ""
    why = f" ({rollback.message})" if rollback.message else ""
    return replace(
        record,
        outcome=outcome,
        reason=f"{record.reason}{left}{why}" if rollback.left else f"{record.reason}; rolled back",
        rollback=rollback,
        difference=replace(record.difference, changed=found.changed, broken=found.broken),
    )


def undoing(changed: Iterable[Move]) -> tuple[Change, ...]:
    """Return the changes that bring back what was there before ``changed``, in the opposite order."""
    return tuple(_undo(move) for move in reversed(tuple(changed)))


def _undo(move: Move) -> Change:
    if move.from_ is None:
        return Change("remove", move.name, move.arch, move.to, None)
    if move.to is None:
        return Change("install", move.name, move.arch, None, move.from_)
    action: Action = "upgrade" if move.action == "downgrade" else "downgrade"
    return Change(action, move.name, move.arch, move.to, move.from_)


def quarantine_of(record: RunRecord, after: Iterable[Installed]) -> tuple[Quarantined, ...]:
    """Return the versions that failed in a run and must be left alone: those the manager complained of.

    Where the cause is none of theirs and may be over by the next tick, only what is half done is left alone.

    Args:
        record: Of the run.
        after: What is installed now; of packages that are half done, the version that they are.
    """
    said: dict[str, str] = {}
    for step in record.steps:
        if _CODES.get(step.exit_code) not in PASSING:  # a full disk is no fault of the package
            said.update((package.name.partition(":")[0], package.message) for package in step.failed)
    if record.rollback is not None:
        # Nobody knows which of them did it, so none of them is tried again.
        said.update((move.name, "rolled back") for move in record.rollback.moves if move.from_ is not None)
    broken = {one.partition(" ")[0] for one in record.difference.broken}
    planned = [move for step in record.steps for move in step.changes]
    found = {
        (move.name, move.arch): move.to
        for move in (planned if record.rollback is not None else record.difference.missing)
        if move.to is not None and (move.name in said or move.name in broken)
    }
    found.update(
        ((one.name, one.arch), one.version)
        for one in after
        if one.status != "installed" and (one.name in said or one.name in broken)
    )
    return tuple(
        Quarantined(
            *key,
            found[key],
            record.ended,
            record.run,
            said.get(key[0], "it was left half done"),
            record.policy_commit,
        )
        for key in sorted(found)
    )


def to_run_document(record: RunRecord) -> dict[str, Any]:
    """Return a run's record as plain JSON data."""
    document: dict[str, Any] = canonical.plain(record, version=record.schema)
    return document


def run_json(record: RunRecord) -> bytes:
    """Return ``runs/<id>.json``: canonical, so that equal records are equal bytes."""
    return canonical.to_bytes(to_run_document(record))


def run_id(started: datetime, digest: str) -> str:
    """Return the name of a run: when it started (UTC) and what it applied."""
    return f"{started:%Y%m%dT%H%M%SZ}-{digest.removeprefix('sha256:')[:12]}"
