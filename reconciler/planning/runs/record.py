"""The record of one run: what was to be done, what was done, and what the machine says of it afterwards.

It is the content of ``runs/<id>.json`` of a report branch. The rules:

1. What a run changed is the difference of what was installed before and after it. What a package manager said
   of it stands beside, as evidence.
2. A run has succeeded when every change of its plan is there, and whole, at its end. What a step found before
   that is evidence and stays in the step; it decides only where the package database cannot tell.
3. What was found half done when the run began is not of its doing, and is told apart.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import (
    Action,
    Change,
    ClockState,
    ExecutedScript,
    Installed,
    Move,
    Quarantined,
    Rival,
)
from reconciler.planning.facts.package import Mention, Names, PackageId, Transition, of_other_architecture
from reconciler.planning.facts.patience import pause_after
from reconciler.planning.facts.versions import order_of
from reconciler.planning.gates.types import BreakGlass, Closed, GateInputs, GateName, GateResult, Pause
from reconciler.planning.runs.execution import FailedPackage
from reconciler.planning.runs.hooks_and_health import CheckResult, HookResult, Leftovers, Restart
from reconciler.planning.text import canonical
from reconciler.planning.text.layout import since
from reconciler.planning.text.wording import listed
from reconciler.policy.managers import traits_of
from reconciler.records import dataclass


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


class RunResult(StrEnum):
    """What a run came to for those who are told of it."""

    APPLIED = "applied"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


def result_of(outcome: RunOutcome) -> RunResult | None:
    """Return what a run is told as; one that changed nothing is not told."""
    match outcome:
        case RunOutcome.APPLIED | RunOutcome.REPAIRED | RunOutcome.REBOOTED | RunOutcome.PARTIAL:
            return RunResult.APPLIED
        case RunOutcome.FAILED | RunOutcome.ROLLED_BACK:
            return RunResult.FAILED
        case RunOutcome.INTERRUPTED:
            return RunResult.INTERRUPTED
        case RunOutcome.DEFERRED | RunOutcome.VETOED | RunOutcome.PLAN_CHANGED:
            return None


def outcome_of(word: str) -> RunOutcome | None:
    """Return the outcome that a record's word stands for; ``None`` for one of a newer release."""
    return RunOutcome(word) if word in list(RunOutcome) else None


class StepOutcome(StrEnum):
    """How one call of the package manager ended, as seen on the machine."""

    DONE = "done"
    FAILED = "failed"  # not all of its changes are there
    REFUSED = "refused"  # the manager would have done something else; nothing was changed
    LOCKED = "locked"  # another program held the package database for too long; nothing was changed
    INTERRUPTED = "interrupted"  # it was ended from outside


@dataclass(frozen=True, slots=True)
class PolicySeen:
    """Which policy a step was made under.

    Attributes:
        commit: That counted.
        fetched_at: When the remote last answered; null for never.
        reason: Why the newest one could not be had just before the step; empty where it could.
    """

    commit: str
    fetched_at: datetime | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GatesAsked:
    """What the gates were shown just before a step, besides the policy.

    Attributes:
        at: The instant of the question.
        pause: The operator's own, null where there was none.
        health: ``sha256:`` and the digest of what was then known of the machine's package system.
        database: Digest of its package database.
        budget: Seconds that what was left was given.
        closed: The gates that were closed; none before a step that was made, but those that were passed over.
    """

    at: datetime
    clock: ClockState
    pause: Pause | None
    health: str
    database: str
    budget: float
    closed: tuple[GateName, ...]

    @classmethod
    def of(cls, inputs: GateInputs, gates: Iterable[GateResult], now: datetime) -> "GatesAsked":
        """Return what ``inputs`` were, and which of ``gates`` were closed by them at ``now``."""
        health = canonical.to_bytes(canonical.plain(inputs.host.health))
        return cls(
            at=now,
            clock=inputs.clock,
            pause=inputs.pause,
            health=f"sha256:{sha256(health).hexdigest()}",
            database=inputs.host.database,
            budget=inputs.settings.budget.total_seconds(),
            closed=tuple(gate.gate for gate in gates if isinstance(gate, Closed)),
        )


@dataclass(frozen=True, slots=True)
class Announced:
    """The report that said what was going to be done.

    Attributes:
        commit: Its id.
        pushed: The remote had it before anything was done; false without a remote.
    """

    commit: str
    pushed: bool


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One call of the package manager.

    Attributes:
        changes: What it was told to do.
        message: Why it did not end well, in the manager's own words.
        failed: Packages that the manager complained of.
        conffiles: As in :class:`RunRecord`.
        exit_code: By the table of the patch scripts, and in ``native_code`` the manager's own.
        policy: Which one it was made under, fetched anew just before it; null of a repair.
        asked: What the gates were shown just before it; null of a repair.
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
    policy: PolicySeen | None = since(2, None)
    asked: GatesAsked | None = since(3, None)


@dataclass(frozen=True, slots=True)
class Difference:
    """What moved between two observations, and what does not fit the plan.

    Attributes:
        changed: Everything that is installed in another version, new or gone; sorted by name.
        missing: Changes of the plan that are not there, or are there half done.
        unplanned: What moved although the plan does not say so.
        broken: Packages that are half done now and were not before, in words: ``name (status)``, or
            ``name:arch (status)`` where the name is there in several architectures.
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
        announced: The report that announced it; null of a reboot, and of a run that was not announced.
        asked: What the gates were shown last: where they stopped the run, before the step that was not made.
        freeze: Name of the freeze whose separate security plan it was; empty of any other run.
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
    announced: Announced | None = since(3, None)
    asked: GatesAsked | None = since(3, None)
    freeze: str = since(3, "", is_left_out=True)

    @property
    def hook_against(self) -> str:
        """What a hook of the machine's own said that was against the run; empty where none was."""
        is_against = self.code == PRE_HOOK or any(
            step.exit_code == exit_codes.NOT_BEGUN and any(one.is_hook for one in step.failed)
            for step in self.steps
        )
        return self.reason if is_against else ""

    @property
    def leaves_rest(self) -> bool:
        """Whether the package manager would not begin for the sake of packages that it named.

        They are left alone now, and what else was to be done with them is still to be done; on a machine that
        is not well since then, by a later tick.
        """
        return not self.unhealthy and any(
            step.exit_code in {exit_codes.NOT_BEGUN, exit_codes.NOT_FETCHED}
            and any(not one.is_hook for one in step.failed)
            for step in self.steps
        )


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
    old, new, wanted = tuple(before), tuple(after), tuple(planned)
    known = {one.transition: move_of(one) for one in wanted}
    renamed = _renamed(old, new, wanted)
    moved = _moves(old, new, renamed, manager)
    whole = {(one.package, one.version) for one in new if one.is_whole}
    present = {(one.package, one.version) for one in new}
    # A removal is missing while the old version is there, all else while the new one is not there whole.
    missing = [
        change
        for change in wanted
        if (
            (change.package, change.from_version) in present
            if change.to_version is None
            else (renamed.get(change.package, change.package), change.to_version) not in whole
        )
    ]
    return Difference(
        changed=tuple(known.get(move.transition, move) for move in moved),
        missing=tuple(map(move_of, missing)),
        unplanned=tuple(move for move in moved if move.transition not in known),
        broken=_words_of_broken(half_done(old, new), new),
    )


def half_done(before: Iterable[Installed], after: Iterable[Installed]) -> tuple[Installed, ...]:
    """Return what is half done now and was not before, or not in this way."""
    known = {(one.package, one.version, one.status) for one in before}
    return tuple(
        one for one in after if not one.is_whole and (one.package, one.version, one.status) not in known
    )


def _words_of_broken(broken: Iterable[Installed], present: Iterable[Installed]) -> tuple[str, ...]:
    name = Names.among(one.package for one in present)
    return tuple(f"{name(one.package)} ({one.status})" for one in broken)


def _renamed(
    old: Iterable[Installed], new: Iterable[Installed], planned: Iterable[Change]
) -> dict[PackageId, PackageId]:
    """Return what changed its architecture, unless the plan itself has one go and another come."""
    was, is_now = {one.package for one in old}, {one.package for one in new}
    single = {one.package for one in planned if one.from_version is None or one.to_version is None}
    return of_other_architecture(was - is_now - single, is_now - was - single)


def _moves(
    old: Iterable[Installed],
    new: Iterable[Installed],
    renamed: Mapping[PackageId, PackageId],
    manager: str,
) -> tuple[Move, ...]:
    """Return every move: a version that went and one that came are one where each is the only one.

    Of what may be installed in several versions, such as kernels, one comes and another goes.
    """
    was, is_now = _versions(old), _versions(new)
    found: list[Move] = []
    for package in was.keys() | (is_now.keys() - renamed.values()):
        had, has = was.get(package, _NO_VERSION), is_now.get(renamed.get(package, package), _NO_VERSION)
        if len(had) == len(has) == 1:
            if had != has or package in renamed:
                found.append(_move(package, min(had), min(has), manager))
            continue
        found += [Move("remove", package.name, package.arch, version, None, "") for version in had - has]
        name = renamed.get(package, package)
        found += [Move("install", name.name, name.arch, None, version, "") for version in has - had]
    return tuple(sorted(found, key=lambda move: (move.package, move.to or "", move.from_ or "")))


_NO_VERSION: frozenset[str] = frozenset()


def _versions(installed: Iterable[Installed]) -> dict[PackageId, frozenset[str]]:
    found: dict[PackageId, frozenset[str]] = {}
    for one in installed:
        found[one.package] = found.get(one.package, _NO_VERSION) | {one.version}
    return found


def _move(package: PackageId, old: str, new: str, manager: str) -> Move:
    order = order_of(manager)
    action: Action = "downgrade" if order is not None and order(new, old) < 0 else "upgrade"
    return Move(action, package.name, package.arch, old, new, "")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a run ended as it did; ``code`` and ``reason`` are empty after success."""

    outcome: RunOutcome
    code: str = ""
    reason: str = ""


NOT_FETCHED = "not-fetched"
"""Code of a run in which the files of some packages could not be had, and those of others could."""

_NOT_BEGUN = "not-begun"
_PACKAGES_FAILED = "packages-failed"
_UNREACHABLE = "unreachable"

NOTHING_TO_WORK_WITH = frozenset({NOT_FETCHED, _UNREACHABLE})
"""Codes of failures for which nothing was begun, since it was not there: they say nothing of the machine."""

_CODES = {
    exit_codes.LOCKED: "locked",
    exit_codes.STALE: _UNREACHABLE,
    exit_codes.UNTRUSTED: "signature",
    exit_codes.NO_SPACE: "no-space",
    exit_codes.INTERRUPTED: "manager-ended",
    exit_codes.UNRESOLVED: "cannot-resolve",
    exit_codes.GONE: "version-gone",
    exit_codes.NOT_BEGUN: _NOT_BEGUN,
    exit_codes.NOT_FETCHED: NOT_FETCHED,
}
"""Why a step failed, by the exit codes of the patch scripts; all others are about the packages themselves."""

PASSING = frozenset({"locked", _UNREACHABLE, "signature", "no-space", "manager-ended", NOT_FETCHED})
"""Codes of failures that may be over by the next tick: the same plan, or its rest, is tried again then."""

OF_PACKAGES = frozenset({NOT_FETCHED, _NOT_BEGUN, _PACKAGES_FAILED})
"""Codes of failures that are over when the quarantine of the packages is, not when the rest is applied."""

_SHORTLY = timedelta(minutes=10)
"""How long a package waits whose server did not answer: as a rule until the next tick, as whole plans do."""


PRE_HOOK = "pre-hook"
"""Code of a run that the host's own hook in ``pre.d`` was against."""

GUEST_AWAY = "guest-away"
"""Code of a run that made no more steps since the guest was stopped, frozen, locked or gone meanwhile."""

GUEST_GONE = "guest-gone"
"""Code of a run in a guest that went before the run ended: nobody will ever see what it came to."""

NOT_SEEN = "not-seen"
"""Code of a run after which the machine could not be looked at."""


def conclude_steps(
    steps: Sequence[StepRecord], found: Difference, stopped: Ending | None, manager: str
) -> Ending:
    """Say what a run's steps came to: the last look at the machine outweighs what a step said before it.

    Args:
        steps: Those that were made, in order.
        found: What moved from before the first to after the last.
        stopped: Why the remaining steps were not made; ``None`` where all were.
        manager: Whose package database this is.
    """
    failures = _lasting_failures(steps, found, manager)
    name = Names.among(move.package for move in (*found.changed, *found.missing))
    if failures or found.broken:
        said = next((step.message for step in failures if step.message), "")
        reason = _complained(failures, found) or said
        reason = reason or f"{len(found.missing)} of the planned changes are not there"
        codes = [_CODES.get(step.exit_code, _PACKAGES_FAILED) for step in failures]
        # What time does not mend counts for more than what it may.
        code = next((one for one in codes if one not in PASSING), next(iter(codes), "packages-broken"))
        return Ending(RunOutcome.FAILED, code, reason)
    if stopped is not None:
        return _stopped_on_the_way(stopped) if found.changed else stopped
    if found.missing:
        names = listed([name(move.package) for move in found.missing])
        reason = f"the package manager said that all was done, and {names} is not as planned"
        return Ending(RunOutcome.FAILED, "not-as-planned", reason)
    return Ending(RunOutcome.APPLIED)


_TOLD = 10
"""Causes, and packages of each, that a record's reason names: a mirror may lack thousands of files."""


def _complained(failures: Iterable[StepRecord], found: Difference) -> str:
    """Return what the manager complained of, each cause once, behind the packages that it is told of."""
    moves = {move.package for move in (*found.changed, *found.missing)}
    name_of = Names.among(moves)
    said = {one.name: one for step in failures for one in step.failed}
    causes: dict[str, list[str]] = {}
    for _, one in sorted(said.items()):
        meant = [name_of(package) for package in moves if one.mention.means(package)]
        causes.setdefault(one.message, []).append(meant[0] if len(meant) == 1 else one.name)
    told = [f"{listed(names, _TOLD)}: {message}" for message, names in causes.items()]
    rest = f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return "; ".join(told[:_TOLD]) + rest


def _stopped_on_the_way(stopped: Ending) -> Ending:
    """Return the ending of a run that had changed something when it was stopped."""
    match stopped.outcome:
        case RunOutcome.DEFERRED | RunOutcome.PLAN_CHANGED:
            return replace(stopped, outcome=RunOutcome.PARTIAL)
        case (
            RunOutcome.APPLIED
            | RunOutcome.REBOOTED
            | RunOutcome.REPAIRED
            | RunOutcome.PARTIAL
            | RunOutcome.FAILED
            | RunOutcome.INTERRUPTED
            | RunOutcome.VETOED
            | RunOutcome.ROLLED_BACK
        ):
            return stopped


def _lasting_failures(steps: Sequence[StepRecord], found: Difference, manager: str) -> list[StepRecord]:
    """Return the steps that failed and whose failure is still there at the end.

    It is where something is half done, or a change of the step is not there. Where the package database does
    not tell what a script left half done, it is also what the manager complained of, unless a later step
    made the same package's change without a complaint.
    """
    missing = frozenset(found.missing)
    return [
        step
        for number, step in enumerate(steps)
        if step.outcome is StepOutcome.FAILED
        and (found.broken or missing & set(step.changes) or _is_told(step, steps[number + 1 :], manager))
    ]


def _is_told(step: StepRecord, later: Sequence[StepRecord], manager: str) -> bool:
    mended = [move.package for one in later if one.outcome is StepOutcome.DONE for move in one.changes]
    return any(
        not any(package.mention.means(one) for one in mended)
        for package in complaints(step.failed, (move.package for move in step.changes), manager)
    )


def complaints(
    failed: Iterable[FailedPackage], changes: Iterable[PackageId], manager: str
) -> tuple[FailedPackage, ...]:
    """Return what a manager said that stands although every change is there, and whole.

    rpm and pacman call a package installed although its scriptlet failed, so what they say is the only
    evidence; dpkg keeps such a package half configured until its script went well, which is seen.

    Args:
        failed: What the manager complained of.
        changes: The packages that were to be changed: what failed earlier, and is complained of each time,
            is not of this step. The hooks of a transaction belong to no package, and so to all.
        manager: Which one it is.
    """
    if traits_of(manager).tells_half_done:
        return ()
    own = tuple(changes)
    return tuple(one for one in failed if not one.lacks and (one.is_hook or any(map(one.mention.means, own))))


def with_health(record: RunRecord, unhealthy: Sequence[CheckResult]) -> RunRecord:
    """Return the record of a run after which ``unhealthy`` checks fail that did not fail before it."""
    if not unhealthy:
        return record
    said = "; ".join(f"{check.name}: {check.detail}" if check.detail else check.name for check in unhealthy)
    record = replace(record, unhealthy=tuple(unhealthy))
    match record.outcome:
        case RunOutcome.APPLIED | RunOutcome.PARTIAL | RunOutcome.REBOOTED:
            reason = f"not healthy afterwards: {said}"
            return replace(record, outcome=RunOutcome.FAILED, code="unhealthy", reason=reason)
        case RunOutcome.FAILED if record.code in PASSING:
            # What may be over by the next tick is not to hide what somebody must look at.
            reason = f"not healthy afterwards: {said}; {record.reason}"
            return replace(record, code="unhealthy", reason=reason)
        case (
            RunOutcome.REPAIRED
            | RunOutcome.FAILED
            | RunOutcome.INTERRUPTED
            | RunOutcome.VETOED
            | RunOutcome.PLAN_CHANGED
            | RunOutcome.DEFERRED
            | RunOutcome.ROLLED_BACK
        ):
            return record


def with_rollback(record: RunRecord, rollback: Rollback, found: Difference) -> RunRecord:
    """Return the record of a failed run that was undone as far as it could be; ``found`` is what is left.

    One that was interrupted stays so, since somebody should look at why.
    """
    outcome = RunOutcome.FAILED if rollback.left else RunOutcome.ROLLED_BACK
    if record.outcome is RunOutcome.INTERRUPTED:
        outcome = record.outcome
    name = Names.among(move.package for move in rollback.moves)
    left = f"; not undone: {', '.join(name(move.package) for move in rollback.left)}" if rollback.left else ""
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


def quarantine_of(
    record: RunRecord,
    before: Iterable[Installed],
    after: Iterable[Installed],
    *,
    lists: datetime | None = None,
    earlier: Iterable[Quarantined] = (),
    unused: Iterable[Change] = (),
) -> tuple[Quarantined, ...]:
    """Return the versions that failed in a run and must be left alone: those the manager complained of.

    Where the cause is none of theirs and may be over by the next tick, only what is half done is left alone;
    and for a time what could not be fetched, while other packages could.

    Args:
        record: Of the run.
        before: What was installed when it began.
        after: What is installed now; of packages that are half done, the version that they are.
        lists: When the newest metadata were published, by which the files are looked for.
        earlier: What was left alone before, also where that is over.
        unused: What was to go because nothing needs it any more.
    """
    now = tuple(after)
    staying = _staying(record, {one.transition for one in unused}, now)
    failed = _failed(record, before, now)
    lacking = _unfetched(record, lists, {one.package: one for one in earlier if not one.is_removal})
    known = {one.key: one for one in (*lacking, *failed, *staying)}
    return tuple(known[key] for key in sorted(known))


def _staying(
    record: RunRecord, unused: Collection[Transition], after: Iterable[Installed]
) -> Iterator[Quarantined]:
    """Return what nothing needs and could not be removed: it would fail in each run."""
    said = _said(record)
    statuses = {(one.package, one.version): one for one in after}
    going = [(step, move) for step in record.steps for move in step.changes if move.transition in unused]
    for step, move in going:
        there = statuses.get((move.package, move.from_ or ""))
        if there is None:
            continue
        word = _word_on(move.package, said) or ("" if there.is_whole else "it was left half done")
        if step.exit_code == exit_codes.SCRIPT_FAILED and not step.failed:
            word = word or step.message or "a script failed, and nobody said of what"
        if record.rollback is not None:
            word = word or "rolled back"
        if word:
            told = record.ended, record.run, word, record.policy_commit
            yield Quarantined(move.name, move.arch, there.version, *told, is_removal=True)


def _unfetched(
    record: RunRecord, lists: datetime | None, earlier: Mapping[PackageId, Quarantined]
) -> Iterator[Quarantined]:
    """Return what could not be fetched, with when to try again.

    Where no file could be had that is no package's matter, but for those that are known to be missing.
    """
    missing = {(move.package, move.to) for move in record.difference.missing}
    for step in record.steps:
        for move in step.changes:
            told = [one for one in step.failed if one.lacks and one.mention.means(move.package)]
            if not told or move.to is None or (move.package, move.to) not in missing:
                continue
            last = earlier.get(move.package)
            tried = last.attempts if last is not None and last.version == move.to else 0
            if step.exit_code != exit_codes.NOT_FETCHED and not tried:
                continue
            is_file = told[0].lacks == "file"
            if last is not None and tried and is_file and last.run == record.run:
                tried -= 1  # Taken over after a kill, this very run is counted already.
            pause = pause_after(tried + 1) if is_file else _SHORTLY
            yield Quarantined(
                move.name,
                move.arch,
                move.to,
                record.ended,
                record.run,
                told[0].message or "its file could not be fetched",
                record.policy_commit,
                until=record.ended + pause,
                attempts=tried + is_file,
                lists=lists,
            )


def _failed(
    record: RunRecord, before: Iterable[Installed], after: Iterable[Installed]
) -> tuple[Quarantined, ...]:
    """Return the versions that failed, for as long as nothing changes."""
    now = tuple(after)
    said = _said(record)
    broken = {one.package for one in half_done(before, now)}
    planned = [move for step in record.steps for move in step.changes]
    found = {
        move.package: move.to
        # A rollback took away what had come, so that all that was planned may be what failed.
        for move in (planned if record.rollback is not None else record.difference.missing)
        if move.to is not None and (move.package in broken or _word_on(move.package, said))
    }
    found.update(
        (one.package, one.version)
        for one in now
        if not one.is_whole and (one.package in broken or _word_on(one.package, said))
    )
    rivals = {package: _rivals(package, record) for package in found}
    return tuple(
        Quarantined(
            package.name,
            package.arch,
            found[package],
            record.ended,
            record.run,
            _word_on(package, said) or "it was left half done",
            record.policy_commit,
            rivals[package],
        )
        for package in sorted(found)
        if package in broken or not _comes_first(package, rivals, record.security)
    )


def _rivals(package: PackageId, record: RunRecord) -> tuple[Rival, ...]:
    """Return what a package failed beside, each once."""
    told = (one for step in record.steps for one in step.failed if one.mention.means(package))
    return tuple(dict.fromkeys(rival for one in told for rival in one.rivals))


def _comes_first(
    package: PackageId, rivals: Mapping[PackageId, tuple[Rival, ...]], security: Iterable[str]
) -> bool:
    """Tell whether a package may come, since all its rivals are left alone and security wants it alone."""
    wanted = frozenset(security)
    others = [
        [other for other in rivals if Mention(rival.name, rival.arch).means(other)]
        for rival in rivals[package]
    ]
    return (
        str(package) in wanted
        and bool(others)
        and all(found and wanted.isdisjoint(map(str, found)) for found in others)
    )


def _said(record: RunRecord) -> dict[Mention, str]:
    """Return what is held against packages, by what they were called."""
    said = {
        package.mention: package.message
        for step in record.steps
        if _CODES.get(step.exit_code) not in PASSING  # a full disk is no fault of the package
        for package in step.failed
    }
    if record.rollback is not None:
        # Nobody knows which of them did it, so none of them is tried again.
        undone = (move for move in record.rollback.moves if move.from_ is not None)
        said |= {move.package.mention: "rolled back" for move in undone}
    return said


def _word_on(package: PackageId, said: Mapping[Mention, str]) -> str:
    return said.get(package.mention) or said.get(Mention(package.name), "")


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
