"""In-memory stand-ins that behave like the real thing and refuse what was not arranged."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cmp_to_key

from reconciler.planning.facts.observation import (
    Action,
    Answer,
    Available,
    Change,
    ClockState,
    Exchange,
    Facts,
    FirstSeen,
    Health,
    Installed,
    Observation,
    Offer,
    Question,
    Reboot,
    RebootNeed,
    Refresh,
    RefreshOutcome,
    Source,
    Unmet,
    Unused,
)
from reconciler.planning.facts.package import PackageId
from reconciler.planning.facts.versions import compare_debian
from reconciler.planning.resolving.dialogue import next_question
from reconciler.planning.resolving.dispositions import Plan
from reconciler.planning.resolving.plan import make_plan
from reconciler.policy.resolve import Effective

ARCH = "amd64"
STABLE = "Debian:12/stable"
SECURITY = "Debian-Security:12/stable-security"


@dataclass(frozen=True, slots=True)
class Build:
    """One version of a package in the archive.

    Attributes:
        depends: Name of each package it needs, and the least version of it (empty for any).
        conflicts: Packages that must not be installed beside it.
        replaces: Those of ``conflicts`` whose place it takes.
        source: Name of the source that has it, where that is none of the distribution's.
    """

    name: str
    version: str
    depends: tuple[tuple[str, str], ...] = ()
    conflicts: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    security: bool = False
    phased: int | None = None
    source: str = ""

    @property
    def origin(self) -> str:
        return self.source or (SECURITY if self.security else STABLE)

    @property
    def available(self) -> Available:
        return Available(self.version, (self.origin,), self.security, size=100, phased=self.phased)


class NotArrangedError(AssertionError):
    """A question that no planner may ask of this world."""


@dataclass(frozen=True, slots=True)
class PackageWorld:
    """A machine and its archive: answers questions the way apt does, and applies transactions to the letter.

    Each installed package is upgraded in the order of names where its dependencies can be met; an upgrade is
    taken with all that it needs or not at all. Mode ``safe`` removes nothing.

    With ``renames`` it is a machine of rpms: what replaces an installed package takes its place, in any mode.
    Of ``unused`` it says that they are old kernels.
    """

    archive: tuple[Build, ...]
    installed: Mapping[str, str]
    held: frozenset[str] = frozenset()
    renames: bool = False
    unused: frozenset[str] = frozenset()
    builds: Mapping[tuple[str, str], Build] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "builds", {(build.name, build.version): build for build in self.archive})

    # --- what a manager's adapter does --------------------------------------------------------------------

    def counting(self, without: Iterable[str]) -> "PackageWorld":
        """Return this world without what the sources of these names have."""
        gone = set(without)
        return replace(self, archive=tuple(one for one in self.archive if one.origin not in gone))

    def observe(self, at: datetime, first_seen: tuple[FirstSeen, ...] = ()) -> Observation:
        installed = tuple(
            Installed(name, ARCH, version, held=name in self.held)
            for name, version in sorted(self.installed.items())
        )
        return replace(healthy(at), installed=installed, offers=self.offers(), first_seen=first_seen)

    def offers(self) -> tuple[Offer, ...]:
        found = []
        for name, version in sorted(self.installed.items()):
            newer = [build for build in self.versions(name) if compare_debian(build.version, version) > 0]
            if newer:
                versions = tuple(build.available for build in newer)
                found.append(Offer(name, ARCH, version, newer[0].version, versions))
        return tuple(sorted([*found, *self._successors()], key=lambda offer: offer.package))

    def _successors(self) -> Iterator[Offer]:
        for build in self.archive if self.renames else ():
            replaced = [name for name in build.replaces if name in self.installed]
            if replaced and build.name not in self.installed:
                yield Offer(
                    build.name,
                    ARCH,
                    self.installed[replaced[0]],
                    build.version,
                    (build.available,),
                    replaces=tuple(PackageId(name, ARCH) for name in replaced),
                    held=build.name in self.held,
                )

    def versions(self, name: str) -> list[Build]:
        """Return the builds of a package, newest first."""
        order = cmp_to_key(compare_debian)
        builds = [build for build in self.archive if build.name == name]
        return sorted(builds, key=lambda build: order(build.version), reverse=True)

    def answer(self, question: Question) -> Answer:
        """Resolve like the package manager would.

        Raises:
            NotArrangedError: The question names what this world does not know.
        """
        if question.without:
            return self.counting(question.without).answer(replace(question, without=()))
        self._check(question)
        if question.is_of_unused:
            return self._answer_of_unused(question)
        if question.only is not None:
            return self._answer_only(replace(question, mode="full"), question.only)
        run = _Run(self, question, dict(self.installed))
        for name in sorted(self.installed):
            wanted = run.wanted(name)
            if wanted is not None and wanted.phased is None:
                run.take(wanted)
        for offer in self._successors():
            run.take_place(offer)
        kept = [offer.name for offer in self.offers() if run.state.get(offer.name) == offer.installed]
        changes = self._changes(run.state)
        return Answer(changes, tuple(kept), exit_code=0 if changes else 10)

    def _answer_of_unused(self, question: Question) -> Answer:
        """Tell what is unused, or that the removal of exactly what is named takes nothing along."""
        going = self.unused if question.unused else {name.partition(":")[0] for name, _ in question.remove}
        kind: Unused = "kernel" if question.unused else ""
        removed = (Change("remove", name, ARCH, self.installed[name], None, unused=kind) for name in going)
        return Answer(tuple(sorted(removed, key=lambda one: one.name)))

    def apply(self, transaction: Iterable[Change]) -> "PackageWorld":
        """Return the world after a transaction, which must start from what is installed."""
        state = dict(self.installed)
        for change in transaction:
            if state.get(change.name) != change.from_version:
                raise NotArrangedError(change)
            if change.to_version is None:
                del state[change.name]
            else:
                state[change.name] = self.builds[change.name, change.to_version].version
        return replace(self, installed=state)

    def _answer_only(self, question: Question, only: tuple[str, str]) -> Answer:
        run = _Run(self, question, dict(self.installed))
        build = self.builds[only[0].partition(":")[0], only[1]]
        if not run.take(build):
            return Answer((), exit_code=25, message="E: unmet dependencies", unmet=_unmet(build, run))
        changes = self._changes(run.state)
        gone = {change.name for change in changes if change.to_version is None}
        conflicts = [
            Unmet(build.name, build.version, "Conflicts", name) for name in build.conflicts if name in gone
        ]
        dependents = [
            Unmet(name, self.installed[name], "Depends", needed)
            for name in sorted(gone - set(build.conflicts))
            for needed, _ in self.builds.get((name, self.installed[name]), Build(name, "")).depends
        ]
        return Answer(changes, unmet=(*conflicts, *dependents))

    # --- inside -------------------------------------------------------------------------------------------

    def _check(self, question: Question) -> None:
        names = {build.name for build in self.archive} | set(self.installed)
        # A block may name what does not exist at all: nobody can know that beforehand.
        only = [] if question.only is None else [question.only]
        asked = {*question.exclude, *question.include, *(name for name, _ in (*question.choose, *only))}
        if {token.partition(":")[0] for token in asked} - names:
            raise NotArrangedError(f"unknown packages in {question}")
        if any((name, version) not in self.builds for name, version in (*question.choose, *only)):
            raise NotArrangedError(f"unknown versions in {question}")
        if question.include and not question.security:
            raise NotArrangedError(f"include without security in {question}")
        for names_ in (question.exclude, question.block, question.include):
            if list(names_) != sorted(set(names_)):
                raise NotArrangedError(f"not sorted or not unique: {question}")
        if list(question.choose) != sorted(dict(question.choose).items()):
            raise NotArrangedError(f"not sorted or not unique: {question}")

    def _changes(self, state: Mapping[str, str]) -> tuple[Change, ...]:
        moving = [
            self.builds[name, version]
            for name, version in sorted(state.items())
            if self.installed.get(name) != version
        ]
        removed = [
            Change(
                "replace" if any(name in build.replaces for build in moving) else "remove",
                name,
                ARCH,
                version,
                None,
                by=self._doers(name, version, moving),
            )
            for name, version in sorted(self.installed.items())
            if name not in state
        ]
        moved = []
        for name, version in sorted(state.items()):
            old = self.installed.get(name)
            if old != version:
                build = self.builds[name, version]
                action: Action = "install" if old is None else "upgrade"
                moved.append(
                    Change(
                        action,
                        name,
                        ARCH,
                        old,
                        version,
                        build.origin,
                        size=100,
                        security=build.security,
                        by=_needing(name, old, moving),
                    )
                )
        return (*removed, *moved)

    def _doers(self, name: str, version: str, moving: Iterable[Build]) -> tuple[str, ...]:
        needs = {needed for needed, _ in self.builds.get((name, version), Build(name, version)).depends}
        return tuple(build.name for build in moving if name in build.conflicts) or tuple(
            build.name for build in moving if build.name in needs
        )


def _needing(name: str, old: str | None, moving: Iterable[Build]) -> tuple[str, ...]:
    return tuple(
        build.name
        for build in moving
        for needed, least in build.depends
        if needed == name and (old is None or (least and compare_debian(old, least) < 0))
    )


def _unmet(build: Build, run: "_Run") -> tuple[Unmet, ...]:
    """Name the direct dependencies that cannot be had, as apt does: no deeper than that."""
    return tuple(
        Unmet(build.name, "", "Depends", f"{name} (>= {least})" if least else name)
        for name, least in build.depends
        if run.state.get(name) is None or (least and compare_debian(run.state[name], least) < 0)
    )


@dataclass(slots=True)
class _Run:
    """One run of the resolver."""

    world: PackageWorld
    question: Question
    state: dict[str, str]

    def wanted(self, name: str) -> Build | None:
        """Return the version an installed package would be upgraded to."""
        if self.question.security and name not in self.question.include:
            return next((build for build in self.reachable(name) if build.security), None)
        return next(iter(self.reachable(name)), None)

    def reachable(self, name: str) -> list[Build]:
        """Return the versions that may be installed, newest first."""
        tokens = {name, f"{name}:{ARCH}"}
        question = self.question
        if tokens & {*question.exclude, *question.block} or name in self.world.held:
            return []
        chosen = {version for token, version in question.choose if token in tokens}
        old = self.world.installed.get(name)
        return [
            build
            for build in self.world.versions(name)
            if (build.version in chosen if chosen else old is None or compare_debian(build.version, old) > 0)
        ]

    def take(self, build: Build) -> bool:
        """Upgrade with everything it needs, or leave the state as it is."""
        before = dict(self.state)
        if self._install(build, frozenset()) and self._is_consistent(build):
            return True
        self.state = before
        return False

    def take_place(self, offer: Offer) -> None:
        """Put a package in the place of others, which must not be kept where they are."""
        before = dict(self.state)
        replaced = {package.name for package in offer.replaces}
        kept = {*self.question.exclude, *self.question.block, *self.world.held}
        is_wanted = (
            not self.question.security or offer.versions[0].security or replaced & {*self.question.include}
        )
        if not is_wanted or replaced & kept or not self.reachable(offer.name):
            return
        self.state = {name: version for name, version in before.items() if name not in replaced}
        if not self.take(self.reachable(offer.name)[0]):
            self.state = before

    def _install(self, build: Build, pending: frozenset[str]) -> bool:
        self.state[build.name] = build.version
        for name, least in build.depends:
            version = self.state.get(name)
            if version is not None and (not least or compare_debian(version, least) >= 0):
                continue
            if name in pending or name == build.name:
                return False
            fits = [
                other
                for other in self.reachable(name)
                if not least or compare_debian(other.version, least) >= 0
            ]
            if not fits or not self._install(fits[0], pending | {build.name}):
                return False
        return True

    def _is_consistent(self, build: Build) -> bool:
        while broken := self._broken():
            victims = broken - {build.name} - self.world.held
            may_go = self.question.mode != "safe" or (self.world.renames and victims <= {*build.replaces})
            if not may_go or not victims:
                return False
            for victim in victims:
                del self.state[victim]
        return build.name in self.state

    def _broken(self) -> set[str]:
        """Return what must go because of a conflict or an unmet dependency."""
        found: set[str] = set()
        for name, version in self.state.items():
            build = self.world.builds.get((name, version), Build(name, version))
            found |= {other for other in build.conflicts if other in self.state}
            for needed, least in build.depends:
                present = self.state.get(needed)
                if present is None or (least and compare_debian(present, least) < 0):
                    found.add(name)
        return found


def healthy(at: datetime) -> Observation:
    """Return the observation of a machine without packages and without worries."""
    source = Source("Debian:12/stable", "http://deb.example/debian", at, None, at)
    return Observation(
        at=at,
        facts=Facts("debian", "12", "Debian GNU/Linux 12", ARCH, "6.1.0-1-amd64", "boot"),
        manager="apt",
        manager_version="2.6.2",
        privileged=True,
        installed=(),
        offers=(),
        sources=(source,),
        refresh=Refresh(RefreshOutcome.REFRESHED),
        health=Health(),
        reboot=Reboot(RebootNeed.NOT_REQUIRED),
        clock=ClockState.SYNCHRONISED,
    )


LIMIT = 60
"""No conversation of a test may take more questions than this."""


def converse(
    world: PackageWorld, observation: Observation, effective: Effective, now: datetime
) -> tuple[Exchange, ...]:
    """Lead the whole conversation with a world.

    Raises:
        NotArrangedError: A question came twice, or there was no end.
    """
    exchanges: list[Exchange] = []
    while (question := next_question(observation, effective, exchanges, now)) is not None:
        if any(exchange.question == question for exchange in exchanges) or len(exchanges) == LIMIT:
            raise NotArrangedError(f"question {len(exchanges)}: {question}")
        exchanges.append(Exchange(question, world.answer(question)))
    return tuple(exchanges)


def plan_for(
    world: PackageWorld, effective: Effective, now: datetime, first_seen: tuple[FirstSeen, ...] = ()
) -> Plan:
    """Observe a world, lead the conversation and make the plan."""
    observation = world.observe(now, first_seen)
    return make_plan(observation, effective, converse(world, observation, effective, now), now)
