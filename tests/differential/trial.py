"""One world on trial: what the product plans is what the package manager would do, and so is what it does.

What may be left out is told from what must not be. The manager is first asked with nothing excluded but what
policy and operator hold. Only where policy refuses its answer, or it has none, is it asked again without what
the product left out for that: first what it told its own resolver, and only where that will not do either,
all that it tells as not to be had, and at last what the resolver chose to keep. Each of these must then be a
reason by itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.errors import DEFECT, DONE, FAILED, exit_code, worst
from reconciler.host.config import load_config
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Change, Exchange
from reconciler.planning.reporting.document import PlannedMove
from reconciler.planning.resolving.dispositions import Disposition
from reconciler.policy.managers import ManagerName
from reconciler.reconcile.tick import Tick
from tests.differential.arch import Arches
from tests.differential.debian import Debians
from tests.differential.machines import Answer, Machine, Maker, Moved
from tests.differential.rhel import Rhels
from tests.differential.suse import Suses
from tests.differential.worlds import World, make_world
from tests.e2e.site import BEFORE, OPENING, POLICY, SetClock, Site

INSIDE = OPENING + timedelta(minutes=5)
MAKERS: Mapping[ManagerName, type[Maker]] = {"apt": Debians, "dnf": Rhels, "zypper": Suses, "pacman": Arches}
LATER = timedelta(minutes=15)
_ROUNDS = 4
_NOT_TO_BE_HAD = frozenset({Disposition.UNAVAILABLE, Disposition.REMOVAL_REFUSED})
_NEVER = frozenset({FAILED, DEFECT})


def try_world(manager: ManagerName, seed: int, maker: Maker, folder: Path) -> list[str]:
    """Make the world of a seed in ``folder``, let the product work on it, and return what is wrong."""
    world = make_world(manager, seed)
    return list(_Trial.begin(world, maker, folder).faults())


@dataclass(frozen=True)
class _Trial:
    world: World
    machine: Machine
    site: Site

    @classmethod
    def begin(cls, world: World, maker: Maker, folder: Path) -> "_Trial":
        machine = maker.make(world, folder / "machine")
        settings = {"manager": world.manager, **machine.settings}
        site = Site.create(folder / "site", environment=machine.environment, **settings)
        site.commit({"policies/base.yaml": _policy(world), **_exceptions(world)})
        return cls(world, machine, site)

    def faults(self) -> Iterator[str]:
        """Yield what is wrong; more than one round is right only where the manager itself would do more."""
        tick = self._tick(BEFORE)
        yield from self._codes("planning", tick)
        there = [self._there()]
        for number in range(_ROUNDS):
            planned = _moves(tick.report.plan.transaction)
            yield from self._of_plan(tick, planned)
            if not planned or _is_back(there):
                return
            tick = self._tick(INSIDE + number * LATER)
            yield from self._codes("applying", tick)
            there.append(self._there())
            if there[-1] != (due := self._applied(there[-2], planned)):
                yield f"not applied: {_listed(due - there[-1])}; there instead: {_listed(there[-1] - due)}"
                return
        yield f"never done: {_listed(planned)}"

    def _tick(self, at: datetime) -> Tick:
        return run_once(self.site.config, wire(load_config(self.site.config), SetClock(at)))

    def _there(self) -> frozenset[Moved]:
        return self._where_it_matters(self.machine.installed())

    def _applied(self, before: frozenset[Moved], planned: frozenset[Moved]) -> frozenset[Moved]:
        """Return what is to be there after all that is planned."""
        gone = {(one.name, one.arch) for one in self._where_it_matters(planned)}
        stays = {one for one in before if (one.name, one.arch) not in gone}
        return self._where_it_matters(one for one in planned if one.to) | stays

    def _where_it_matters(self, packages: Iterable[Moved]) -> frozenset[Moved]:
        """Return packages without the architecture, which may change, but of what is there in both."""
        return frozenset(one if one.name in self.twins else replace(one, arch="") for one in packages)

    @property
    def twins(self) -> frozenset[str]:
        """Names of what is there in two architectures."""
        return frozenset(release.name for release in self.world.releases if release.arch == "both")

    def _codes(self, when: str, tick: Tick) -> Iterator[str]:
        if worst([DONE, *map(exit_code, tick.failures)]) in _NEVER:
            said = "; ".join(failure.message for failure in tick.failures)
            yield f"{when}: ended badly: {said}"

    # --- the plan ---

    def _of_plan(self, tick: Tick, planned: frozenset[Moved]) -> Iterator[str]:
        excepted = self.world.wishes.excepted
        spare: frozenset[str] = frozenset()
        answer = self.machine.would_do(self.world, excepted)
        for more in (_excluded(tick), _unavailable(tick), _kept_back(tick)):
            if not self._is_acceptable(answer):
                spare |= more - excepted - self.world.held
                answer = self.machine.would_do(self.world, excepted | spare)
        if not self._is_acceptable(answer):
            yield f"nobody knows what to leave out: {answer.said}"
        elif planned != (moves := self._as_told(answer.moves)):
            too_few, too_many = moves - planned, planned - moves
            yield f"it would do, and is not planned: {_listed(too_few)}; planned instead: {_listed(too_many)}"
        yield from self._of_spares(answer, spare, excepted)

    def _of_spares(self, answer: Answer, spare: frozenset[str], excepted: frozenset[str]) -> Iterator[str]:
        """Say what was left out although the manager would have let it go with the rest."""
        for one in sorted(spare):
            wider = self.machine.would_do(self.world, (excepted | spare) - {one})
            if self._is_acceptable(wider) and answer.moves < wider.moves:
                yield f"{one} was left out, and need not be: {_listed(wider.moves - answer.moves)}"

    def _is_acceptable(self, answer: Answer) -> bool:
        """Tell whether there is a transaction, and policy permits what it removes."""
        coming = {(move.name, move.to) for move in answer.moves}
        releases = [one for one in self.world.releases if (one.name, self.world.version(one.rung)) in coming]
        replaced = {name for one in releases for name in one.replaces}
        gone = answer.removed
        kept = self.world.held | self.world.wishes.excepted
        forbidden = gone - replaced if self._forbids_removals() else frozenset[str]()
        return answer.resolves and not gone & kept and not forbidden

    def _as_told(self, moves: Iterable[Moved]) -> frozenset[Moved]:
        """Return moves under the architecture that a package has now, as plans tell them."""
        now = {one.name: one.arch for one in self.machine.installed() if one.name not in self.twins}
        return frozenset(replace(one, arch=now.get(one.name, one.arch)) for one in moves)

    def _forbids_removals(self) -> bool:
        wishes = self.world.wishes
        return wishes.removals == "forbid" or wishes.updates == "security"


def _is_back(there: Sequence[frozenset[Moved]]) -> bool:
    """Tell whether what was done has been undone, where each was what the manager itself would do."""
    return there[-1] in there[:-2] and there[-1] != there[-2]


def _policy(world: World) -> str:
    wishes = world.wishes
    return POLICY + "".join(
        f"{key}: {getattr(wishes, key)}\n" for key in ("updates", "upgrade", "removals", "steps")
    )


def _exceptions(world: World) -> dict[str, str]:
    return {
        f"exceptions/{number}.yaml": f"kind: Exception\nname: e{number}\npackages: {name}\naction: hold\n"
        "reason: breaks the lab\nexpires: 2099-01-01\n"
        for number, name in enumerate(sorted(world.wishes.excepted))
    }


def _moves(transaction: Iterable[PlannedMove]) -> frozenset[Moved]:
    return frozenset(Moved(move.name, move.arch, move.to or "") for move in transaction)


def _excluded(tick: Tick) -> frozenset[str]:
    """Return names of what the question that gave the plan was to exclude."""
    return _names(told for one in _deciding(tick) for told in (*one.question.exclude, *one.question.block))


def _kept_back(tick: Tick) -> frozenset[str]:
    """Return names of what stays in the answer that is the plan, by the choice of the resolver."""
    return _names(told for one in _deciding(tick) for told in one.answer.kept_back)


def _deciding(tick: Tick) -> Sequence[Exchange]:
    """Return the last exchange that gave the plan, be it an empty one; else the last about the whole."""
    about_all = [one for one in tick.assessment.finding.recording.exchanges if one.question.only is None]
    planned = _moves(tick.report.plan.transaction)
    answered = [one for one in about_all if one.answer.exit_code in exit_codes.WELL]
    return ([one for one in answered if _changed(one.answer.changes) == planned] or about_all)[-1:]


def _names(told: Iterable[str]) -> frozenset[str]:
    return frozenset(one.partition(":")[0] for one in told)


def _changed(changes: Iterable[Change]) -> frozenset[Moved]:
    return frozenset(Moved(change.name, change.arch, change.to_version or "") for change in changes)


def _unavailable(tick: Tick) -> frozenset[str]:
    """Return names of what is not to be had, or only with what must not move.

    A security update is told as held, or not selected, where it needs a package that is.
    """
    return frozenset(
        one.name
        for one in tick.report.plan.updates
        if one.disposition in _NOT_TO_BE_HAD or (one.security and one.disposition is not Disposition.PLANNED)
    )


def _listed(moves: Iterable[Moved]) -> str:
    return ", ".join(f"{one.name}:{one.arch} {one.to or 'gone'}" for one in sorted(moves)) or "nothing"
