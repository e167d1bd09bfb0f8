"""The part of a tick that is about the guests of a hypervisor: each a whole tick of its own, the host's last.

The rules:

1. Guests are looked for once. Those that are left out are rows of the hypervisor's report, and never entered.
2. Policy is fetched once for all, and reports are pushed once, with the hypervisor's own; but at once where
   something rests on it, as on an approved plan.
3. A guest whose last look still stands is not entered (:mod:`reconciler.cli.wiring.looks`): its row says what
   was found then.
4. Whoever waits longest is first: a guest that was never looked at, then by the last look. As many as the
   configuration says are looked after beside each other; what is told of them keeps that order.
5. What fails in a guest is its own: its row tells of it, and everybody else is looked after.
"""

import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import partial

import reconciler
from reconciler.cli.showing.terminal import at_work
from reconciler.cli.verbs.guests import unmeant_lines
from reconciler.cli.wiring.compose import Wiring
from reconciler.cli.wiring.guests import folders_of, guests_of, missed
from reconciler.cli.wiring.in_guests import KEPT_DEPTH, GuestTick, InGuests, state_now
from reconciler.cli.wiring.looking import followed
from reconciler.cli.wiring.looks import FILE as LOOKS
from reconciler.cli.wiring.looks import LONGEST, Look, Looks, changes_at, passes_unseen
from reconciler.cli.wiring.quiet import PROGRAM
from reconciler.cli.wiring.restarted import not_back
from reconciler.cli.wiring.side_by_side import side_by_side
from reconciler.errors import Misuse, PolicyRejected, ReconcilerError, Stalled, Transient
from reconciler.gitops.report_branches import guest_branch
from reconciler.host.config import Guests
from reconciler.host.state.fingerprint import digest, look, signature
from reconciler.host.state.guests import GuestFolders
from reconciler.planning.facts.guest_rows import GuestOutcome, GuestTold, farewell, guest_rows
from reconciler.planning.facts.guests import Guest, Inventory, Running, State, Unsupported, why_not
from reconciler.planning.facts.matching import unmeant
from reconciler.planning.fleet.rows import TargetState, state_of
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.summary import decided, headline, run_headline
from reconciler.planning.runs.record import RunRecord, RunResult, result_of
from reconciler.reconcile.policy_in_force import InForce
from reconciler.reconcile.ports.guest import GuestAway
from reconciler.reconcile.tick import Tick
from reconciler.records import dataclass
from reconciler.transports.signs import seen

_HOOKS_DEPTH = 2
"""How deep hooks are: a folder for each stage, and in it the hooks."""


@dataclass(slots=True)
class GuestsTick:
    """What came of the guests, before the tick of the hypervisor itself.

    Attributes:
        in_force: The policy that was fetched for all; ``None`` where the hypervisor's tick has to fetch it.
        failures: What went wrong in guests, each with its guest.
        notices: What a person should know of them.
        runs: What was run in them.
        away: Ids of guests that went, or stopped, while they were looked after.
    """

    in_force: InForce | None = None
    failures: list[ReconcilerError] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    runs: list[RunRecord] = field(default_factory=list)
    away: set[str] = field(default_factory=set)

    def and_host(self, done: Tick) -> Tick:
        """Return the hypervisor's tick with what came of its guests."""
        return replace(
            done,
            earlier=(*self.failures, *done.earlier),
            notices=(*self.notices, *done.notices),
            of_guests=tuple(self.runs),
        )


def tick_guests(wiring: Wiring, configured: str) -> GuestsTick:
    """Look after all guests whose last look does not stand any more; nothing in them raises.

    What the hypervisor's report says of them is left in the wiring, and how the next tick sees that none of
    them is to be looked at.

    Args:
        wiring: Of the hypervisor.
        configured: Digest of its configuration file.
    """
    said = wiring.config.guests
    if said is None:
        return GuestsTick()
    kept = folders_of(wiring.config)
    view = _View.of(said, configured)  # before anything is looked at
    found = guests_of(said, kept)
    told = GuestsTick(notices=[*found.notes])
    told.failures += [Transient(f"guests: {one}", "it is looked into again") for one in found.problems]
    try:
        told.in_force = followed(wiring)
    except ReconcilerError as error:
        # The hypervisor's own tick meets the same, and tells it.
        wiring.guests.rows = guest_rows(found, wiring.config.host, not_yet=error.message)
        return told
    inside = InGuests(wiring, said, kept, told.in_force)
    looks = _looks_before(wiring, view.key(told.in_force))
    fates, found, looks = _in_each(inside, found, looks, told)
    has_parted = _part(inside, found, told)
    try:
        wiring.folder.write(LOOKS, looks.to_json())
    except ReconcilerError as error:
        told.notices.append(f"{error.message}: all guests are looked at again next time")
    fates = {**fates, **not_back(kept, found.guests)}
    found = replace(found, guests=tuple(_unfinished(kept, one) for one in found.guests))
    reported = _reported(wiring, found.guests)
    wiring.guests.rows = guest_rows(found, wiring.config.host, fates, reported)
    unseen = {one.id for one in found.guests if not one.left_out} - set(looks.of)
    wiring.guests.policy_commit = told.in_force.state.commit
    _leave(inside, view, looks, is_all=not (unseen or has_parted or told.failures or told.away))
    return told


def _looks_before(wiring: Wiring, key: str) -> Looks:
    """Return the last looks; none where they cannot be read, which only costs looking again."""
    try:
        return Looks.read(wiring.folder.read(LOOKS), key)
    except ReconcilerError:
        return Looks(key, {})


def push_guests(wiring: Wiring) -> Iterator[ReconcilerError]:
    """Push what waits of the guests' reports alone, and yield why that failed where it did."""
    own = guest_branch(wiring.config.host, "0").removesuffix("0")
    try:
        branches = [name for name in wiring.queue.branches() if name.startswith(own)]
    except ReconcilerError as error:
        yield error
        return
    yield from wiring.ticker.reporter.push(branches)


@dataclass(frozen=True, slots=True)
class _View:
    """What is seen of guests without entering one, and what a look at each depends on besides.

    Attributes:
        kinds: Of guests that are looked for.
        seen: Digest of how they are, from outside; empty where that cannot be told.
        hooks: Digest of their hooks.
        configured: Digest of the configuration.
    """

    kinds: tuple[str, ...]
    seen: str
    hooks: str
    hooks_dir: str
    configured: str

    @classmethod
    def of(cls, said: Guests, configured: str) -> "_View":
        """Look now."""
        kinds = tuple(kind.value for kind in said.from_)
        folder = str(said.hooks_dir)
        try:
            outside = seen(kinds)
        except OSError:
            outside = ""
        return cls(kinds, outside, look(folder, _HOOKS_DEPTH), folder, configured)

    def key(self, in_force: InForce) -> str:
        """Return the digest of all that looks depend on; empty where none is to stand."""
        if not self.seen or in_force.failures or not in_force.state.commit:
            return ""
        program = (PROGRAM, signature(reconciler.__path__))
        return digest(
            "\0".join((*program, self.seen, self.hooks, self.configured, in_force.state.commit)).encode()
        )


def _leave(inside: InGuests, view: _View, looks: Looks, *, is_all: bool) -> None:
    """Leave how the next tick sees that no guest is to be looked at, where there are looks at all of them."""
    left = inside.wiring.guests
    left.until = min((one.until for one in looks.of.values()), default=None)
    if not looks.key or not is_all:
        return
    kept = ((str(inside.kept.of(number).path.absolute()), one.kept) for number, one in looks.of.items())
    left.fingerprint = {
        "kinds": view.kinds,
        "seen": view.seen,
        "kept": [
            (view.hooks_dir, _HOOKS_DEPTH, view.hooks),
            *((path, KEPT_DEPTH, digested) for path, digested in kept),
        ],
    }


@dataclass(frozen=True, slots=True)
class _Came:
    """What came of one guest that was to be looked after.

    Attributes:
        told: For its row; ``None`` where that tells how it is.
        failures: Each with its guest.
        away: How it is, where it does not run any more.
        tick: Where one was made.
        look: Where it stands for a while.
    """

    told: GuestTold | None
    failures: tuple[ReconcilerError, ...] = ()
    away: State | None = None
    tick: GuestTick | None = None
    look: Look | None = None


def _in_each(
    inside: InGuests, found: Inventory, before: Looks, told: GuestsTick
) -> tuple[Mapping[str, GuestTold], Inventory, Looks]:
    """Make a tick in each guest whose look does not stand; return what came of all, and how they are now."""
    waiting, standing = _to_look_at(inside, found, before)
    with inside.outliving.told():
        came = side_by_side(
            [partial(_looked_after, inside, one) for one in waiting], inside.said.parallel, inside.shut
        )
    each = dict(zip((one.id for one in waiting), came, strict=True))
    new: list[Guest] = []
    for guest in waiting:
        one = each[guest.id]
        told.failures += one.failures
        if one.tick is not None:
            told.notices += one.tick.notices
            told.notices += (f"guest {guest.id}: {notice}" for notice in one.tick.done.notices)
            told.runs += one.tick.done.runs
            new += [guest] if one.tick.is_first else []
    revision = inside.in_force.revision
    if new and revision is not None:
        told.notices += unmeant_lines(unmeant(revision, new, inside.wiring.config.host))
    away = {number: one.away for number, one in each.items() if one.away is not None}
    told.away |= set(away)
    guests = (
        replace(one, state=away[one.id], left_out=why_not(away[one.id])) if one.id in away else one
        for one in found.guests
    )
    fates = {number: one.told for number, one in standing.items()}
    fates |= {number: one.told for number, one in each.items() if one.told is not None}
    looks = {**standing, **{number: one.look for number, one in each.items() if one.look is not None}}
    return fates, replace(found, guests=tuple(guests)), Looks(before.key, looks)


def _to_look_at(inside: InGuests, found: Inventory, looks: Looks) -> tuple[list[Guest], dict[str, Look]]:
    """Return the guests to look at, whoever waits longest first, and the looks at the others."""
    now = inside.wiring.ticker.applier.clock.now()
    every = [one for one in found.guests if not one.left_out]
    known = {one.id: looks.of[one.id] for one in every if one.id in looks.of}
    standing = {number: one for number, one in known.items() if one.stands(inside.kept_of(number), now)}
    if len(standing) < len(every):
        standing = {number: one for number, one in standing.items() if not one.is_taken_along(now)}
    waiting = (one for one in every if one.id not in standing)
    return sorted(waiting, key=lambda one: _looked_at(inside.kept, one)), standing


def _looked_after(inside: InGuests, guest: Guest) -> _Came:
    """Make a tick in a guest, in whichever thread; what fails in there is what came of it."""
    at_work(f"guest {guest.id} is looked after")
    try:
        came = inside.tick(guest)
    except GuestAway as error:
        # That it is none of ours is how it is, and no failure.
        return _Came(None, () if isinstance(error.state, Unsupported) else (error,), error.state)
    except ReconcilerError as error:
        return _Came(GuestTold(GuestOutcome.FAILED, _bare(guest, error)), (_of(guest, error),))
    except Exception as error:  # noqa: BLE001 - a defect that one guest brings out is not to cost the others their tick
        traceback.print_exc(file=sys.stderr)
        words = f"a defect of patchledger ({type(error).__name__})"
        failure = Stalled(f"guest {guest.id}: {words}", "please report it with what is above")
        return _Came(GuestTold(GuestOutcome.FAILED, words), (failure,))
    failures = tuple(_of(guest, one) for one in came.done.failures)
    told = fate(came)
    return _Came(told, failures, _went(guest) if failures else None, came, _look(inside, guest, came, told))


def _look(inside: InGuests, guest: Guest, came: GuestTick, told: GuestTold) -> Look | None:
    """Return how long a look stands; ``None`` where the next tick has something to do in the guest."""
    done, at = came.done, came.done.report.generated_at
    is_settled = came.kept and not (came.is_first or done.failures or inside.kept.of(guest.id).tells_of_a_run)
    if not is_settled or passes_unseen(done.assessment) or not done.report.policy_commit:
        return None
    until = min(changes_at(inside.wiring.config, done), at + LONGEST)
    return Look(at, until, came.kept, told)


def _went(guest: Guest) -> State | None:
    """Return how a guest is that does not run any more, ``None`` where it does, or nobody knows."""
    try:
        state = state_now(guest)
    except ReconcilerError:
        return None
    return None if isinstance(state, Running) else state


def _part(inside: InGuests, found: Inventory, told: GuestsTick) -> bool:
    """Report of guests that were looked after, and are nowhere here now, where they went.

    One that went during this very tick is left to the next, which sees whether it is so.

    Returns:
        Whether one went: its row says so once, and the next tick leaves it out.
    """
    went = [one for one in found.guests if farewell(one.state) and one.id not in told.away]
    known, has_parted = missed(inside.said, inside.kept) if went else frozenset(), False
    for guest in went:
        if guest.id in known:
            has_parted = True
            try:
                told.notices += filter(None, [inside.farewell(guest)])
            except ReconcilerError as error:
                told.failures.append(_of(guest, error))
    return has_parted


def _unfinished(kept: GuestFolders, guest: Guest) -> Guest:
    """Return a guest that is left out so that its row tells of a run in it that did not come to its end."""
    if not guest.left_out or guest.id not in kept.known() or not kept.of(guest.id).tells_of_a_run:
        return guest
    return replace(guest, left_out=f"{guest.left_out}; a run in it is to be brought to its end")


def _looked_at(kept: GuestFolders, guest: Guest) -> float:
    """Return when a guest was looked at last, 0 where it never was."""
    try:
        return (kept.of(guest.id).path / "report.json").stat().st_mtime
    except OSError:
        return 0.0


def _reported(wiring: Wiring, guests: Sequence[Guest]) -> frozenset[str]:
    """Return the ids of guests that have a branch of reports."""
    try:
        branches = frozenset(wiring.queue.branches())
    except ReconcilerError:  # it is built anew by whoever reads it next
        return frozenset()
    return frozenset(
        one.id for one in guests if one.id and guest_branch(wiring.config.host, one.id) in branches
    )


def fate(came: GuestTick) -> GuestTold:
    """Return what the hypervisor's report says of a guest that was looked at."""
    report = came.done.report
    run = came.done.runs[-1] if came.done.runs else None
    outcome, reason = _worst(report, run, is_first=came.is_first)
    if run is not None and result_of(run.outcome) is RunResult.FAILED and not outcome.is_trouble:
        # Though nothing is left to do, or it comes by itself.
        outcome, reason = GuestOutcome.FAILED, f"{run_headline(run)}: {run.reason}"
    facts = report.host.facts
    window = next(iter(report.leading.free_windows), None)
    return GuestTold(
        outcome, reason, f"{facts.os_id} {facts.os_version}".strip(), None if window is None else window.start
    )


def _worst(report: Report, run: RunRecord | None, *, is_first: bool) -> tuple[GuestOutcome, str]:
    state, reason = state_of(report, run)
    has_more = GuestOutcome.PENDING if report.plan.transaction else GuestOutcome.FINE
    match state:
        case TargetState.WAITING if is_first:
            return has_more, decided(report)
        case TargetState.FAILED | TargetState.UNVERIFIED | TargetState.SILENT:
            return GuestOutcome.FAILED, reason
        case TargetState.INTERRUPTED:
            return GuestOutcome.INTERRUPTED, reason
        case TargetState.WAITING | TargetState.OVERDUE:
            return GuestOutcome.WAITING, reason
        case TargetState.REBOOT_PENDING | TargetState.CHANGED_OUTSIDE:
            return GuestOutcome.PENDING, reason
        case TargetState.RETIRED | TargetState.FINE:
            return has_more, decided(report) if report.plan.transaction else headline(report)


def _bare(guest: Guest, error: ReconcilerError) -> str:
    """Return what an error says, without its guest."""
    return error.message.removeprefix(f"guest {guest.id}: ")


def _of(guest: Guest, error: ReconcilerError) -> ReconcilerError:
    """Return a failure as that of a guest; nothing in a guest is a mistake of whoever called us."""
    if isinstance(error, GuestAway):
        return error  # it says so itself
    said = f"guest {guest.id}: {_bare(guest, error)}"
    kind = Stalled if isinstance(error, Misuse) else type(error)
    if kind in {Stalled, Transient, PolicyRejected}:
        return kind(said, error.hint, error.reason)
    plain = Transient if isinstance(error, Transient) else Stalled
    return plain(said, error.hint, error.reason)
