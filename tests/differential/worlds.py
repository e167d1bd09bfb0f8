"""Small worlds of packages, made up from a seed: what is installed, what is on offer, and what people want.

Nothing is built here, and no package manager is asked. A world is the same for a manager and a seed whenever
and wherever it is made, so a seed is all that a failure needs to tell.

What is installed is whole: each relation of an installed package is met. What is on offer may be anything: it
may need what nobody has, or what stays behind, and it may not be beside another package or take its place.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reconciler.policy.managers import ManagerName

Sign = Literal["", "=", ">=", "<"]
Arch = Literal["any", "native", "both"]
"""``any``: one package for all architectures; ``both``: one of this machine's beside one of another."""

LADDERS: Mapping[ManagerName, tuple[str, ...]] = {
    "apt": ("1.0", "1.0+deb12u1", "1.1~rc1-1", "1.1-1", "1.10-1", "1:0.9-1"),
    "dnf": ("1.0-1", "1.0-1.1", "1.1~rc1-1", "1.1-1", "1.10-1", "1:0.9-1"),
    "zypper": ("1.0-1", "1.0-1.1", "1.1~rc1-1", "1.1-1", "1.10-1", "1:0.9-1"),
    "pacman": ("1.0-1", "1.0-2", "1.1rc1-1", "1.1-1", "1.10-1", "1:0.9-1"),
}
"""The versions that a package can have, in the order of the manager: an index here is a *rung*."""
SMALL = 10
"""The worlds of seeds below that are small, since they are part of every run of the tests."""
_LOWEST = 3
"""What is installed has one of that many lowest versions."""

SOURCES: Mapping[ManagerName, tuple[str, ...]] = {
    "apt": ("stable", "stable-security"),
    "dnf": ("base", "extra"),
    "zypper": ("base", "extra"),
    "pacman": ("core", "extra"),
}
VENDORS = ("Lab", "Other")

NAMES = (
    *(
        "alpha",
        "bravo-libs",
        "charlie",
        "delta.data",
        "echo++",
        "foxtrot0.1",
        "golf2",
        "hotel",
        "india-common",
    ),
    *("juliet", "kilo-3.1", "lima", "mike", "november-doc", "oscar", "papa4"),
)
NOBODY = "nobody-has-this"


@dataclass(frozen=True, slots=True)
class Relation:
    """A package in any version (no sign), or only in some."""

    name: str
    sign: Sign = ""
    rung: int = 0

    def is_met_by(self, rung: int) -> bool:
        """Tell whether a version of the package will do."""
        match self.sign:
            case "":
                return True
            case "=":
                return rung == self.rung
            case ">=":
                return rung >= self.rung
            case "<":
                return rung < self.rung


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a package.

    Attributes:
        replaces: Names of packages whose place it takes.
        is_security: An advisory says that it fixes a security problem.
    """

    name: str
    rung: int
    arch: Arch = "any"
    vendor: str = VENDORS[0]
    needs: tuple[Relation, ...] = ()
    conflicts: tuple[Relation, ...] = ()
    replaces: tuple[str, ...] = ()
    is_security: bool = False


@dataclass(frozen=True, slots=True)
class Pin:
    """The operator prefers a source, for one package (or ``*``); a priority in apt's sense."""

    package: str
    source: str
    priority: int


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the policy says."""

    updates: Literal["all", "security"]
    upgrade: Literal["safe", "full"]
    removals: Literal["forbid", "allow"]
    steps: Literal["minimal", "single"]
    excepted: frozenset[str]


@dataclass(frozen=True, slots=True)
class World:
    """All of it.

    Attributes:
        offered: By source.
        automatic: Installed only for others.
        held: By the operator.
        mixes_vendors: A package may be replaced by one of another vendor.
    """

    manager: ManagerName
    seed: int
    installed: tuple[Release, ...]
    offered: Mapping[str, tuple[Release, ...]]
    automatic: frozenset[str]
    held: frozenset[str]
    pins: tuple[Pin, ...]
    mixes_vendors: bool
    wishes: Wishes

    def version(self, rung: int) -> str:
        """Return the version of a rung as the manager writes it."""
        return LADDERS[self.manager][rung]

    @property
    def releases(self) -> Iterator[Release]:
        """Every version there is."""
        yield from self.installed
        for each in self.offered.values():
            yield from each


def make_world(manager: ManagerName, seed: int) -> World:
    """Make the world of a seed."""
    return _Chance(manager, seed).world()


class _Chance:
    """Draws one world; the order of the draws is part of what a seed means."""

    def __init__(self, manager: ManagerName, seed: int) -> None:
        self.manager = manager
        self.seed = seed
        self.random = random.Random(f"{manager} {seed}")
        self.top = len(LADDERS[manager])
        fewest, most = (4, 6) if seed < SMALL else (8, 12)
        self.names = self.random.sample(NAMES, self.random.randint(fewest, most))
        self.here = {name: self.random.randrange(_LOWEST) for name in self.names if self.is_so(0.8)}
        self.arches = {name: self._arch() for name in self.names}

    def is_so(self, share: float) -> bool:
        """Draw whether something is so that is so in a share of cases."""
        return self.random.random() < share

    def some(self, names: Sequence[str], share: float) -> frozenset[str]:
        """Draw a share of names."""
        return frozenset(name for name in names if self.is_so(share))

    def world(self) -> World:
        """Draw the rest."""
        here = sorted(self.here)
        return World(
            manager=self.manager,
            seed=self.seed,
            installed=tuple(map(self._installed, here)),
            offered=self._offered(),
            automatic=self.some(here, 0.25),
            held=self.some(here, 0.08),
            pins=self._pins(),
            mixes_vendors=self.is_so(0.3),
            wishes=self._wishes(here),
        )

    def _arch(self) -> Arch:
        match self.manager:
            case "pacman":
                return "any"
            case "zypper":
                return self.random.choices(("any", "native"), (6, 4))[0]
            case _:
                return self.random.choices(("any", "native", "both"), (12, 7, 3))[0]

    def _arch_of_new(self, name: str) -> Arch:
        """Draw the architecture of a new version: now and then it is another one."""
        arch = self.arches[name]
        if self.manager == "pacman" or arch == "both" or not self.is_so(0.06):
            return arch
        return "any" if arch == "native" else "native"

    def _vendor(self) -> str:
        return self.random.choices(VENDORS, (6, 1))[0]

    def _needable(self, name: str, names: Iterable[str]) -> list[str]:
        """Return which of the names a package may need; what serves both architectures where it has both."""
        others = [other for other in sorted(names) if other != name]
        if self.arches[name] != "both":
            return others
        return [other for other in others if self.arches[other] != "native"]

    def _sample(self, names: Sequence[str], count: int) -> list[str]:
        return self.random.sample(names, min(count, len(names)))

    def _installed(self, name: str) -> Release:
        rung = self.here[name]
        needs = tuple(map(self._met, self._sample(self._needable(name, self.here), self._few())))
        return Release(name, rung, self.arches[name], self._vendor(), needs)

    def _few(self) -> int:
        return self.random.choices((0, 1, 2), (6, 3, 1))[0]

    def _met(self, name: str) -> Relation:
        rung = self.here[name]
        sign = self.random.choices(("", "=", ">=", "<"), (5, 2, 3, 1))[0]
        match sign:
            case ">=":
                return Relation(name, ">=", self.random.randint(0, rung))
            case "<":
                return Relation(name, "<", self.random.randrange(rung + 1, self.top))
            case _:
                return Relation(name, "=" if sign else "", rung)

    def _offered(self) -> Mapping[str, tuple[Release, ...]]:
        # A repository of pacman's has one version of a package.
        has_one = self.manager == "pacman"
        found: dict[str, dict[tuple[str, int], Release]] = {source: {} for source in SOURCES[self.manager]}
        for name in sorted(self.names):
            for release in self._newer(name):
                for source in self._sources():
                    found[source][name, 0 if has_one else release.rung] = release
        return {source: tuple(each.values()) for source, each in found.items()}

    def _sources(self) -> Sequence[str]:
        first, second = SOURCES[self.manager]
        return self.random.choices(((first,), (second,), (first, second)), (6, 3, 1))[0]

    def _newer(self, name: str) -> Iterator[Release]:
        lowest = self.here[name] + 1 if name in self.here and self.is_so(0.9) else self.here.get(name, 0)
        rungs = range(lowest, self.top)
        count = self.random.choices((0, 1, 2), (2, 5, 3) if name in self.here else (0, 4, 1))[0]
        for rung in sorted(self.random.sample(rungs, min(count, len(rungs)))):
            yield self._release(name, rung)

    def _release(self, name: str, rung: int) -> Release:
        others = [other for other in sorted(self.names) if other != name]
        needed = self._sample(self._needable(name, self.names), self._few())
        needs = [self._wanted(other, rung) for other in needed]
        if self.is_so(0.04):
            needs.append(Relation(NOBODY))
        taken = {relation.name for relation in needs}
        free = [other for other in others if other not in taken]
        conflicts = [self._disliked(other) for other in self._sample(free, 1) if self.is_so(0.12)]
        replaces = [other for other in self._sample(self._replaceable(name, free), 1) if self.is_so(0.06)]
        return Release(
            name,
            rung,
            self._arch_of_new(name),
            vendor=self._vendor(),
            needs=tuple(needs),
            conflicts=tuple(conflicts),
            replaces=tuple(replaces),
            is_security=self.is_so(0.3),
        )

    def _replaceable(self, name: str, names: Iterable[str]) -> list[str]:
        is_both = self.arches[name] == "both"
        return [other for other in names if other in self.here and (self.arches[other] == "both") == is_both]

    def _wanted(self, name: str, rung: int) -> Relation:
        """Draw what a new version needs: often the other one in the version that goes with it."""
        sign: Sign = self.random.choices(("", "=", ">=", "<"), (4, 3, 4, 1))[0]
        return Relation(name, sign, rung if self.is_so(0.6) else self.random.randrange(self.top))

    def _disliked(self, name: str) -> Relation:
        sign: Sign = self.random.choices(("", "<"), (1, 2))[0]
        return Relation(name, sign, self.random.randrange(1, self.top))

    def _pins(self) -> tuple[Pin, ...]:
        if not self.is_so(0.3):
            return ()
        source = self.random.choice(SOURCES[self.manager])
        package = self.random.choice(("*", *sorted(self.names)))
        return (Pin(package, source, self.random.choice((50, 100, 600, 990))),)

    def _wishes(self, here: Sequence[str]) -> Wishes:
        knows_security = self.manager != "pacman"
        return Wishes(
            updates="security" if knows_security and self.is_so(0.25) else "all",
            upgrade=self.random.choice(("safe", "full")),
            removals=self.random.choice(("forbid", "forbid", "allow")),
            steps=self.random.choice(("minimal", "single")),
            excepted=self.some(here, 0.08),
        )
