"""Which of the offered updates are wanted, in which version, and what stands against the others.

The rules, in the order in which the first obstacle decides:

* What the operator put on hold, and what an exception holds, stays as it is.
* What an exception blocks neither moves nor comes in.
* What comes only from sources that policy does not admit is not installed.
* ``updates: security`` wants what the security service offers, ``none`` wants nothing; ``severity`` and
  ``kinds`` leave some of it out (see ``mode.py``); an exception ``include`` adds to all of these. The others
  move only where a wanted one needs them.
* A version must have been on offer for ``min_age``, and seen before the end of ``as_of``: see ``youth.py``.
* Where the newest version meets an obstacle, the next older one that is still newer than the installed one is
  tried, so that a package with a release every week does not starve.
* What an exception allows only as a dependency moves only where another update needs it.
* What would take the place of an installed package is an update of it: exceptions for either name count, and
  what holds the installed one keeps the other out.
* A manager that knows no partial upgrades upgrades to everything on offer or to nothing: where one version is
  too young, all wait, and a choice of some updates (``security``, or ``include`` beside ``none``) is none.
  What is held or blocked stays behind all the same, since somebody decided that.

A range of versions is judged on the version that would be installed. Where the order of the manager's
versions is not known, the range counts as met for everything that holds back, and as not met for ``include``.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache

from reconciler.planning.facts.observation import (
    Available,
    Change,
    FirstSeen,
    Installed,
    Observation,
    Offer,
    Quarantined,
    Source,
)
from reconciler.planning.facts.package import Names, PackageId, of_other_architecture
from reconciler.planning.facts.versions import Order, VersionRange, order_of
from reconciler.planning.resolving.mode import LeftOutBy, kinds_of, left_out_by
from reconciler.planning.resolving.sources import SourcesAsked, SourcesKey, by_name, missing, not_admitted
from reconciler.planning.resolving.youth import Dates, TooYoung, youth_of
from reconciler.policy.documents import PackageException, Sources
from reconciler.policy.load import Placed
from reconciler.policy.managers import ManagerTraits, traits_of
from reconciler.policy.match import is_begin, is_pattern
from reconciler.policy.resolve import Effective
from reconciler.records import dataclass

PlacedException = Placed[PackageException]


@dataclass(frozen=True, slots=True)
class OperatorHold:
    """The operator's own hold or lock on this machine.

    Attributes:
        of: What is on hold, where that is not the package itself but one whose place it would take.
    """

    of: PackageId | None = None


@dataclass(frozen=True, slots=True)
class ExceptionHold:
    """An exception ``hold`` covers the version."""

    exception: PlacedException
    version: str


@dataclass(frozen=True, slots=True)
class ExceptionBlock:
    """An exception ``block`` covers the version."""

    exception: PlacedException
    version: str


@dataclass(frozen=True, slots=True)
class OutsideMode:
    """The update mode leaves the version out.

    Attributes:
        by: What of it does.
        said: The severity that its advisories tell, or their kinds; empty where it is not left out by these.
    """

    by: LeftOutBy
    version: str
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """Only sources that policy does not admit, or that could not be read, have the version.

    Attributes:
        origins: Their names.
        setting: Dotted key of the setting that leaves them out; ``None`` of those that could not be read.
    """

    version: str
    origins: tuple[str, ...]
    setting: SourcesKey | None


@dataclass(frozen=True, slots=True)
class FailedBefore:
    """The version failed to install on this host, or to go from it, and nothing has changed since."""

    quarantined: Quarantined


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """The manager knows no partial upgrades, and another version is too young.

    Attributes:
        package: The one that is waited for.
        cause: What keeps it: of several, the one that is ready last.
    """

    package: PackageId
    cause: TooYoung


Obstacle = (
    OperatorHold
    | ExceptionHold
    | ExceptionBlock
    | FailedBefore
    | NotAdmitted
    | OutsideMode
    | TooYoung
    | WaitsFor
)
"""Why a version is not installed although the sources offer it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An update that policy wants.

    Attributes:
        version: The version to install.
        chosen: It differs from what the manager would take, so the resolver must be told.
        passed_over: What stood against the newer versions, newest first; empty where none was passed over.
        included_by: The exception that wants it where the update mode does not.
        only_as_dependency: The exception that wants it only where another update needs it.
    """

    offer: Offer
    version: Available
    chosen: bool = False
    passed_over: tuple[Obstacle, ...] = ()
    included_by: PlacedException | None = None
    only_as_dependency: PlacedException | None = None


@dataclass(frozen=True, slots=True)
class Unwanted:
    """An update that policy or operator do not want now.

    Attributes:
        version: The one that was judged: the newest that the update mode wants, else the manager's candidate.
        obstacles: What stands against it, the decisive first; never empty.
    """

    offer: Offer
    version: Available
    obstacles: tuple[Obstacle, ...]


Standing = Wanted | Unwanted
"""What policy says about one offered update, before the resolver is asked."""


def precedence(obstacle: Obstacle) -> int:
    """Rank an obstacle: of several, the one with the lowest rank decides the disposition."""
    match obstacle:  # the most lasting first
        case OperatorHold():
            rank = 0
        case ExceptionHold():
            rank = 1
        case ExceptionBlock():
            rank = 2
        case FailedBefore():
            rank = 3
        case NotAdmitted():
            rank = 4
        case OutsideMode():
            rank = 5
        case TooYoung():
            rank = 6
        case WaitsFor():
            rank = 7
    return rank


def is_named_by(package: PackageId, patterns: Iterable[str]) -> bool:
    """Tell whether one of ``patterns`` (name or glob, each with an optional ``:arch``) names the package."""
    for pattern in patterns:
        glob, colon, wanted_arch = pattern.partition(":")
        if fnmatchcase(package.name, glob) and (not colon or fnmatchcase(package.arch, wanted_arch)):
            return True
    return False


class Naming:
    """Finds which of many exceptions name a package, without asking each of them.

    A name without patterns, and the begin of one, are looked up; other patterns are asked for every package.
    """

    def __init__(self, exceptions: Sequence[PlacedException]) -> None:
        self._exceptions = exceptions
        self._by_name: defaultdict[str, set[int]] = defaultdict(set)
        self._by_begin: defaultdict[str, set[int]] = defaultdict(set)
        self._patterns: set[int] = set()
        self._found: dict[PackageId, tuple[PlacedException, ...]] = {}
        for position, placed in enumerate(exceptions):
            for pattern in placed.value.packages:
                self._filed(pattern.partition(":")[0]).add(position)

    def _filed(self, name: str) -> set[int]:
        if not is_pattern(name):
            return self._by_name[name]
        return self._by_begin[name[:-1]] if is_begin(name) else self._patterns

    def of(self, package: PackageId) -> tuple[PlacedException, ...]:
        """Return those that name the package, in their order; each version of it asks several times."""
        found = self._found.get(package)
        if found is None:
            found = self._found[package] = tuple(self._looked_up(package))
        return found

    def _looked_up(self, package: PackageId) -> Iterator[PlacedException]:
        name = package.name
        found = self._patterns | self._by_name.get(name, set())
        if self._by_begin:
            found = found.union(*(self._by_begin.get(name[:length], ()) for length in range(len(name) + 1)))
        for position in sorted(found):
            placed = self._exceptions[position]
            if is_named_by(package, placed.value.packages):
                yield placed

    def of_any(self, packages: Iterable[PackageId]) -> frozenset[str]:
        """Return the names of the exceptions that name one of the packages."""
        return frozenset(placed.value.name for package in packages for placed in self.of(package))


@lru_cache(maxsize=1024)
def version_range(text: str) -> VersionRange:
    """Return what an exception's ``versions`` means; it was checked when the document was read."""
    return VersionRange.parse(text)


@dataclass(frozen=True, slots=True)
class SeenMachine:
    """What was seen of a machine, by package and by source, whatever policy makes of it.

    Attributes:
        order: Of the manager's versions; ``None`` where nobody knows it.
        held: What the operator put on hold.
        arches: Architectures in which each name is installed.
        installed: What is on the machine.
        first_seen: When each version was first seen, by origin, name and version.
        sources: By name.
        traits: What the manager can do.
        name_of: What people read a package of this machine as.
    """

    order: Order | None
    held: frozenset[PackageId]
    arches: Mapping[str, frozenset[str]]
    installed: tuple[Installed, ...]
    first_seen: Dates
    sources: Mapping[str, tuple[Source, ...]]
    traits: ManagerTraits
    name_of: Names

    @classmethod
    def of(cls, observation: Observation) -> "SeenMachine":
        """Look up what was seen; of thousands of packages, once for all policies that are asked about it."""
        arches: defaultdict[str, set[str]] = defaultdict(set)
        for package in observation.installed:
            arches[package.name].add(package.arch)
        return cls(
            order=order_of(observation.manager),
            held=frozenset(one.package for one in observation.installed if one.held),
            arches={name: frozenset(found) for name, found in arches.items()},
            installed=observation.installed,
            first_seen=_earliest(observation.first_seen),
            sources=by_name(observation.sources),
            traits=traits_of(observation.manager),
            name_of=Names.among(
                (*observation.installed, *observation.offers), observation.facts.architecture
            ),
        )

    def versions(self, names: Collection[str]) -> dict[PackageId, str]:
        """Return the packages of some names that are on the machine, with their versions."""
        return {one.package: one.version for one in self.installed if one.name in names}


@dataclass(frozen=True, slots=True)
class Rules:
    """What policy, operator and evidence say about any version of any package at one moment.

    Attributes:
        machine: What was seen.
        exceptions: Those in force, sorted by name.
        naming_exceptions: The same, to be asked for those of a package.
        failed: Versions that failed to install here, by package.
        staying: Versions whose removal failed here.
        asked: As what the machine's sources are seen.
        not_admitted: Names of sources none of which is admitted, each with the setting that says so.
        missing: Names of sources that could not be read, and may be missing.
    """

    machine: SeenMachine
    effective: Effective
    now: datetime
    exceptions: tuple[PlacedException, ...]
    naming_exceptions: Naming
    failed: Mapping[PackageId, Quarantined]
    staying: Mapping[tuple[PackageId, str], Quarantined]
    asked: SourcesAsked
    not_admitted: Mapping[str, SourcesKey]
    missing: frozenset[str]

    @classmethod
    def of(
        cls, observation: Observation, effective: Effective, now: datetime, machine: SeenMachine | None = None
    ) -> "Rules":
        """Collect them from what was seen and what policy says.

        Args:
            observation: Of the machine.
            effective: Policy in force for it.
            now: The moment.
            machine: Of the observation, or of one of the same packages and sources, where it is known.
        """
        in_force = (placed for placed in effective.exceptions if placed.value.ends() > now)
        exceptions = tuple(sorted(in_force, key=lambda placed: placed.value.name))
        return cls(
            machine=machine or SeenMachine.of(observation),
            effective=effective,
            now=now,
            exceptions=exceptions,
            naming_exceptions=Naming(exceptions),
            failed={one.package: one for one in observation.quarantined if not one.is_removal},
            staying={(one.package, one.version): one for one in observation.quarantined if one.is_removal},
            asked=SourcesAsked.of(observation, effective.settings),
            not_admitted=not_admitted(observation.sources, effective.settings.sources),
            missing=frozenset(one.name for one in missing(observation, effective.settings)),
        )

    def naming(self, package: PackageId, action: str) -> tuple[PlacedException, ...]:
        """Return the exceptions in force with this action that name the package, whatever the version."""
        return tuple(placed for placed in self.naming_exceptions.of(package) if placed.value.action == action)

    def covering(self, package: PackageId, action: str, available: Available) -> tuple[PlacedException, ...]:
        """Return the exceptions in force with this action that are about this version of the package."""
        return self._covering(self.naming_exceptions.of(package), action, available)

    def _covering(
        self, named: tuple[PlacedException, ...], action: str, available: Available
    ) -> tuple[PlacedException, ...]:
        """Return those with this action that are about this version, of exceptions that name the package."""
        if not named:
            return ()
        return tuple(
            one for one in named if one.value.action == action and self._covers(one.value, available)
        )

    def covering_offer(self, offer: Offer, action: str, available: Available) -> tuple[PlacedException, ...]:
        """Return the exceptions in force with this action that are about this version of what is offered."""
        if not offer.replaces:
            return self.covering(offer.package, action, available)
        found = (
            one for each in (offer.package, *offer.replaces) for one in self.covering(each, action, available)
        )
        return tuple(dict.fromkeys(found))

    def _covers(self, exception: PackageException, available: Available) -> bool:
        """Tell whether an exception is about a version; what cannot be judged counts for what holds back."""
        holds_back = exception.action != "include"
        if exception.sources is not None:
            found = [self._is_from(exception.sources, name) for name in available.origins]
            # What another source has as well can come from there.
            if not (all(found) if holds_back else any(found)):
                return False
        if exception.versions is None:
            return True
        if self.machine.order is None:
            return holds_back
        return version_range(exception.versions).contains(available.version, self.machine.order)

    def _is_from(self, wanted: Sources, name: str) -> bool:
        """Tell whether a source of this name is among those that an exception is about."""
        known = self.machine.sources.get(name)
        if not known:
            return wanted.admit(name, "")
        return any(wanted.admit(one.name, one.release) for one in known)

    def against(self, package: PackageId, available: Available) -> tuple[Obstacle, ...]:
        """Return what stands against moving an installed package to this version, the decisive first.

        The update mode is not asked: a version outside of it may be needed by one inside.
        """
        named = self.naming_exceptions.of(package)
        holds: list[Obstacle] = [OperatorHold()] if package in self.machine.held else []
        holds += (ExceptionHold(one, available.version) for one in self._covering(named, "hold", available))
        return (*holds, *self._against_new(package, available, named))

    def against_offer(self, offer: Offer, available: Available) -> tuple[Obstacle, ...]:
        """Return what stands against this version of what is offered, the decisive first."""
        if not offer.replaces:
            return self.against(offer.package, available)
        held: list[Obstacle] = [OperatorHold(one) for one in offer.replaces if one in self.machine.held]
        if offer.held and not held:
            held.append(OperatorHold())
        held += (
            ExceptionHold(placed, available.version)
            for placed in self.covering_offer(offer, "hold", available)
        )
        blocked = (
            ExceptionBlock(placed, available.version)
            for placed in self.covering_offer(offer, "block", available)
        )
        return tuple(dict.fromkeys((*held, *blocked, *self.against_new(offer.package, available))))

    def against_new(self, package: PackageId, available: Available) -> tuple[Obstacle, ...]:
        """Return what stands against a package that would come in new, the decisive first."""
        return self._against_new(package, available, self.naming_exceptions.of(package))

    def _against_new(
        self, package: PackageId, available: Available, named: tuple[PlacedException, ...]
    ) -> tuple[Obstacle, ...]:
        blocks = [ExceptionBlock(one, available.version) for one in self._covering(named, "block", available)]
        failed = self.failed.get(package)
        failures = (FailedBefore(failed),) if failed and failed.version == available.version else ()
        strangers = self._strangers(available)
        return (*blocks, *failures, *strangers, *self._youth(package.name, available))

    def _strangers(self, available: Available) -> tuple[NotAdmitted, ...]:
        settings = [self.not_admitted[name] for name in available.origins if name in self.not_admitted]
        # It comes from whichever source is admitted, if one is.
        if not available.left_out and (not settings or len(settings) < len(available.origins)):
            return ()
        # Whose it is nobody knows while the source cannot be read: no setting is to blame.
        if not settings and self.missing.issuperset(available.origins):
            return (NotAdmitted(available.version, available.origins, None),)
        only: SourcesKey = "sources.only" if self.effective.settings.sources.only else "sources.except"
        return (NotAdmitted(available.version, available.origins, settings[0] if settings else only),)

    def _youth(self, name: str, available: Available) -> tuple[TooYoung, ...]:
        found = youth_of(name, available, self.machine.first_seen, self.effective.settings, self.now)
        return () if found is None else (found,)

    def protects(self, package: PackageId) -> bool:
        """Tell whether a package must not even be removed: an operator or an exception holds or blocks it."""
        return bool(self.keeping(package, ""))

    def stays(self, package: PackageId, going: Collection[Change]) -> bool:
        """Say whether another version of a package is installed than those that go."""
        gone = {change.from_version for change in going}
        return any(one.package == package and one.version not in gone for one in self.machine.installed)

    def keeping(self, package: PackageId, version: str) -> tuple[Obstacle, ...]:
        """Return what keeps a package where it is, whatever is on offer; ``version`` is the present."""
        found: list[Obstacle] = [OperatorHold()] if package in self.machine.held else []
        found += (ExceptionHold(placed, version) for placed in self._of_all_versions(package, "hold"))
        found += (ExceptionBlock(placed, version) for placed in self._of_all_versions(package, "block"))
        return tuple(found)

    def _of_all_versions(self, package: PackageId, action: str) -> Iterator[PlacedException]:
        return (placed for placed in self.naming(package, action) if placed.value.is_about_all)


def _earliest(entries: Iterable[FirstSeen]) -> dict[tuple[str, str, str], datetime]:
    seen: dict[tuple[str, str, str], datetime] = {}
    for entry in entries:
        key = (entry.origin, entry.name, entry.version)
        seen[key] = min(entry.at, seen.get(key, entry.at))
    return seen


def within_reach(offer: Offer) -> tuple[Available, ...]:
    """Return the versions that may be installed: the manager's candidate and the older ones behind it.

    Newer ones than the candidate are left out by the operator's own pins, or by policy, which is to be told.
    """
    versions = [available.version for available in offer.versions]
    if offer.candidate in versions:
        place = versions.index(offer.candidate)
        return (*(one for one in offer.versions[:place] if one.left_out), *offer.versions[place:])
    return (Available(offer.candidate, (), security=False), *offer.versions)


def standing_of(offer: Offer, rules: Rules) -> Standing:
    """Say whether and in which version policy wants one offered update."""
    reach = within_reach(offer)
    selected = [available for available in reach if is_selected(offer, available, rules)]
    # From the newest on: what stands against the newer ones is why an older one is chosen, and is told with
    # it.
    passed_over: list[Obstacle] = []
    against: list[tuple[Available, tuple[Obstacle, ...]]] = []
    for available in selected:
        obstacles = rules.against_offer(offer, available)
        if not obstacles:
            return _wanted(offer, available, rules, selected, tuple(passed_over))
        passed_over += sorted(obstacles, key=precedence)
        against.append((available, obstacles))
    if not against:
        judged = _too_mild(reach, rules) or reach[0]
        against.append((judged, rules.against_offer(offer, judged)))
    judged, found = next((one for one in against if not one[0].left_out), against[0])
    obstacles = (*found, *_outside(reach, rules, selected))
    return Unwanted(offer, judged, tuple(sorted(obstacles, key=precedence)))


def standings_of(offers: Mapping[PackageId, Offer], rules: Rules) -> dict[PackageId, Standing]:
    """Say of every offered update whether and in which version policy wants it."""
    found = {key: standing_of(offer, rules) for key, offer in offers.items()}
    return found if rules.machine.traits.knows_partial_upgrades else _together(found, rules)


def _together(standings: Mapping[PackageId, Standing], rules: Rules) -> dict[PackageId, Standing]:
    """Leave out everything that is wanted where not all of it may come now."""
    settings = rules.effective.settings
    # All moves in one step, so that a part cannot be had without the rest.
    if settings.updates != "all" or settings.kinds:
        return {
            key: _unwanted(standing, _outside_mode(standing.version, rules))
            for key, standing in standings.items()
        }
    common = _waiting(standings)
    if common is None:
        return dict(standings)
    return {key: _unwanted(standing, common) for key, standing in standings.items()}


def _waiting(standings: Mapping[PackageId, Standing]) -> WaitsFor | None:
    """Return what everything waits for: the version that is old enough last, if nothing else keeps it."""
    young = [
        (standing.obstacles[0], package)
        for package, standing in standings.items()
        if isinstance(standing, Unwanted) and isinstance(standing.obstacles[0], TooYoung)
    ]
    return latest(young)


def latest(young: Iterable[tuple[Obstacle, PackageId]]) -> WaitsFor | None:
    """Return what to wait for: of too young versions, with their packages, the one that is ready last."""
    found = [WaitsFor(package, obstacle) for obstacle, package in young if isinstance(obstacle, TooYoung)]
    return max(found, key=lambda each: (each.cause.order, each.package), default=None)


def _unwanted(standing: Standing, obstacle: Obstacle) -> Unwanted:
    match standing:
        case Wanted(offer=offer, version=version):
            return Unwanted(offer, version, (obstacle,))
        case Unwanted():
            return standing


def is_selected(offer: Offer, available: Available, rules: Rules) -> bool:
    """Tell whether the update mode, or an exception that includes it, wants this version of an offer."""
    is_wanted = left_out_by(available, rules.effective.settings) is None
    return is_wanted or bool(rules.covering_offer(offer, "include", available))


def _outside_mode(available: Available, rules: Rules) -> OutsideMode:
    """Say what leaves out a version that the mode does not want, or that cannot be had without all others."""
    settings = rules.effective.settings
    by = left_out_by(available, settings) or ("kinds" if settings.updates == "all" else settings.updates)
    match by:
        case "severity":
            said: tuple[str, ...] = (available.severity,)
        case "kinds":
            said = tuple(sorted(kinds_of(available)))
        case "security" | "none":
            said = ()
    return OutsideMode(by, available.version, said)


def _too_mild(reach: Iterable[Available], rules: Rules) -> Available | None:
    """Return the newest security update that is not severe enough, which the manager would take for one."""
    settings = rules.effective.settings
    found = (one for one in reach if left_out_by(one, settings) == "severity" and not one.left_out)
    return next(found, None)


def _outside(
    reach: Sequence[Available], rules: Rules, selected: Collection[Available]
) -> tuple[OutsideMode, ...]:
    """Say that the mode leaves out what the manager would take, if possible from a source that counts."""
    taken = _too_mild(reach, rules) or next((one for one in reach if not one.left_out), reach[0])
    is_wanted = taken in selected or any(not one.left_out for one in selected)
    return () if is_wanted else (_outside_mode(taken, rules),)


def _wanted(
    offer: Offer,
    available: Available,
    rules: Rules,
    selected: list[Available],
    passed_over: tuple[Obstacle, ...],
) -> Wanted:
    settings = rules.effective.settings
    is_whole = settings.updates == "all"
    included = rules.covering_offer(offer, "include", available)
    by_mode = left_out_by(available, settings) is None
    # Without exception or minimum age the manager takes its candidate, or what the security service offers.
    admitted = next(one for one in selected if not one.left_out)
    default = offer.candidate if included or is_whole else admitted.version
    if not passed_over and available.version != offer.candidate and not (is_whole and not settings.kinds):
        newest = next((one for one in offer.versions if one.version == offer.candidate), admitted)
        passed_over = (replace(_outside_mode(newest, rules), version=offer.candidate),)
    dependency = rules.covering_offer(offer, "allow-as-dependency", available)
    return Wanted(
        offer,
        available,
        chosen=available.version != default,
        passed_over=passed_over,
        included_by=included[0] if included and not by_mode else None,
        only_as_dependency=dependency[0] if dependency else None,
    )


def moves(changes: Iterable[Change], offers: Mapping[PackageId, Offer]) -> dict[PackageId, Change]:
    """Find each change by the package of its offer, or by its own where it has none.

    A package may change its architecture (from ``all`` to the native one); it is found by its name then. So
    is one that takes the place of another.
    """
    found = {change.package: change for change in changes}
    coming = {key.name for key, offer in offers.items() if offer.replaces}
    moved = [
        package
        for package, change in found.items()
        if change.from_version is not None or package.name in coming
    ]
    renamed = of_other_architecture(
        (one for one in moved if one not in offers), (one for one in offers if one not in found)
    )
    return {renamed.get(package, package): change for package, change in found.items()}


def against_change(change: Change, offers: Mapping[PackageId, Offer], rules: Rules) -> tuple[Obstacle, ...]:
    """Return what stands against one move of a resolver's answer, the decisive first.

    A removal is not judged here; a downgrade is not asked for its age.
    """
    if change.to_version is None:
        return ()
    package = change.package
    available = _available(change, offers.get(package))
    if change.from_version is None:
        return rules.against_new(package, available)
    found = rules.against(package, available)
    # What is older was there before: waiting proves nothing about it.
    if change.action == "downgrade":
        return tuple(obstacle for obstacle in found if not isinstance(obstacle, TooYoung))
    return found


def _available(change: Change, offer: Offer | None) -> Available:
    version = change.to_version or ""
    known = next((each for each in offer.versions if each.version == version), None) if offer else None
    return known or Available(version, (change.origin,), security=change.security)
