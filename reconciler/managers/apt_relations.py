"""Relations between packages (Debian Policy chapter 7): whose doing a move of a transaction is.

apt does not say why it removes or brings in a package. What the packages themselves declare does, and that is
all that is told: where no declared relation explains a move, nobody is named.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import lru_cache

from reconciler.planning.facts.observation import Unmet
from reconciler.planning.facts.package import PackageId
from reconciler.planning.facts.versions import compare_debian
from reconciler.records import dataclass

_RELATION = re.compile(
    r"\s*(?P<name>[^\s:(]+)(?::\S+?)?\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^)\s]+)\s*\))?"
)


@dataclass(frozen=True, slots=True)
class DebRelation:
    """One package that a field names, with the versions that are meant: all where ``operator`` is empty."""

    name: str
    operator: str = ""
    version: str = ""

    def admits(self, version: str) -> bool:
        """Tell whether a version is among those that are meant."""
        sign = compare_debian(version, self.version) if self.operator else 0
        match self.operator:
            case "":
                return True
            case "<<":
                return sign < 0
            case ">>":
                return sign > 0
            case "=":
                return sign == 0
            # In old packages the simple signs include equality.
            case "<=" | "<":
                return sign <= 0
            case _:
                return sign >= 0


Groups = tuple[tuple[DebRelation, ...], ...]
"""All of a field: each group needs one of its alternatives."""


@lru_cache(maxsize=65536)  # the same fields are compared with every other package of a transaction
def groups(text: str) -> Groups:
    """Read the value of a field such as ``Depends``; what cannot be read is left out."""
    parsed = (
        tuple(
            DebRelation(match["name"], match["operator"] or "", match["version"] or "")
            for part in group.split("|")
            if (match := _RELATION.match(part))
        )
        for group in text.split(",")
    )
    return tuple(group for group in parsed if group)


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package with what it declares.

    Attributes:
        record: Its control data, as far as they are known.
        before: The version it has now, empty where it comes in new.
    """

    name: str
    version: str
    record: Mapping[str, str]
    before: str = ""

    def declares(self, *fields: str) -> Groups:
        """Return the groups of some fields together."""
        return tuple(group for field in fields for group in groups(self.record.get(field, "")))

    def is_meant(self, relation: DebRelation) -> bool:
        """Tell whether a relation names this package, or what it provides."""
        if relation.name == self.name:
            return relation.admits(self.version)
        return any(
            provided.name == relation.name
            and (not relation.operator or (provided.operator == "=" and relation.admits(provided.version)))
            for (provided, *_) in self.declares("Provides")
        )


@dataclass(frozen=True, slots=True)
class Doings:
    """Finds in a transaction whose doing a move is.

    Attributes:
        coming: What is installed or upgraded.
        staying: Versions by name of what is on the machine and stays as it is.
    """

    coming: Sequence[Package]
    staying: Mapping[str, frozenset[str]]
    _by_wish: dict[str, list[Package]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find who names whom once: a transaction may have thousands of packages."""
        for package in self.coming:
            for group in package.declares("Pre-Depends", "Depends", "Recommends"):
                for relation in group:
                    self._by_wish.setdefault(relation.name, []).append(package)

    def replacing(self, gone: Package) -> tuple[str, ...]:
        """Return who takes the place of a package that goes.

        Debian Policy 7.6.2: who replaces it and conflicts with it. Who only breaks it must provide it as
        well: Replaces with Breaks alone means that some files move from one package to the other.
        """
        return _names(
            other
            for other in self.coming
            if _hits(other, gone, "Replaces")
            and (
                _hits(other, gone, "Conflicts")
                or (_hits(other, gone, "Breaks") and _provides(other, gone.name))
            )
        )

    def of_removals(self, gone: Sequence[Package]) -> tuple[tuple[str, ...], ...]:
        """Return whose doing each removal is, in this order; of what goes with another, the same ones'."""
        by = [self.replacing(package) or self._removing(package) for package in gone]
        for _ in gone:
            for number, package in enumerate(gone):
                if not by[number]:
                    lost = {one.name for group in package.declares("Depends") for one in group}
                    theirs = (doers for other, doers in zip(gone, by, strict=True) if other.name in lost)
                    by[number] = tuple(sorted({name for doers in theirs for name in doers}))
        return tuple(by)

    def _removing(self, gone: Package) -> tuple[str, ...]:
        """Return who conflicts with a package that goes, else whose new version it cannot live with."""
        return _names(other for other in self.coming if _hits(other, gone, "Conflicts", "Breaks")) or _names(
            other
            for group in gone.declares("Depends")
            if not self._is_met(group)
            for other in self.coming
            if other.name in {relation.name for relation in group}
        )

    def needing(self, come: Package) -> tuple[str, ...]:
        """Return who needs a package that comes in or moves up, else who recommends it."""
        return self._wanting(come, "Pre-Depends", "Depends") or self._wanting(come, "Recommends")

    def _wanting(self, come: Package, *fields: str) -> tuple[str, ...]:
        provided = (one.name for group in come.declares("Provides") for one in group)
        return _names(
            other
            for name in {come.name, *provided}
            for other in self._by_wish.get(name, ())
            if other is not come
            and any(
                any(come.is_meant(relation) for relation in group)
                and not any(
                    come.before and relation.name == come.name and relation.admits(come.before)
                    for relation in group
                )
                and not self._stays(group)
                for group in other.declares(*fields)
            )
        )

    def _stays(self, group: tuple[DebRelation, ...]) -> bool:
        return any(
            relation.admits(version)
            for relation in group
            for version in self.staying.get(relation.name, frozenset())
        )

    def _is_met(self, group: tuple[DebRelation, ...]) -> bool:
        return self._stays(group) or any(
            other.is_meant(relation) for relation in group for other in self.coming
        )


def _hits(other: Package, package: Package, *fields: str) -> bool:
    return any(package.is_meant(relation) for group in other.declares(*fields) for relation in group)


def _provides(other: Package, name: str) -> bool:
    return any(relation.name == name for group in other.declares("Provides") for relation in group)


def _names(packages: Iterable[Package]) -> tuple[str, ...]:
    return tuple(sorted({package.name for package in packages}))


def needs_of(
    moving: Mapping[PackageId, Package], present: Mapping[PackageId, Mapping[str, str]]
) -> dict[PackageId, tuple[str, ...]]:
    """Say for each package that moves which others must have moved before it, or move with it.

    Only declared relations count, of the new version and of the one that is installed: a dependency that
    what is installed does not meet, a conflict with what is installed, and a dependency of an installed
    package that the new version does not meet any more.

    Args:
        moving: What comes in or moves up, each with the version it has now and the record of the new one.
        present: Control data of those of them that are installed.

    Returns:
        Names, sorted; each means every architecture of it that moves. A package that needs nothing is absent.
    """
    found: dict[PackageId, set[str]] = {which: set() for which in moving}
    for which, package in moving.items():
        for group in package.declares("Pre-Depends", "Depends"):
            found[which] |= _missing_now(group, package, tuple(moving.values()))
        for one, other in moving.items():
            if one != which and _cannot_come_before(package, other, present.get(one, {})):
                found[which].add(other.name)
    return {which: tuple(sorted(names)) for which, names in found.items() if names}


def _missing_now(group: tuple[DebRelation, ...], package: Package, moving: Sequence[Package]) -> set[str]:
    """Return who must come so that a dependency is met, unless what is installed meets it already."""
    named = [(relation, other) for relation in group for other in moving if other is not package]
    offering = {other.name for relation, other in named if other.is_meant(relation)}
    is_met = len(offering) < len({relation.name for relation in group}) or any(
        relation.name == other.name and other.before and relation.admits(other.before)
        for relation, other in named
    )
    return set() if is_met else offering


def _cannot_come_before(package: Package, other: Package, installed: Mapping[str, str]) -> bool:
    """Tell whether ``package`` in its new version does not fit the ``other`` one as it is now."""
    if not other.before:
        return False
    # It breaks the other one as that is now ...
    breaks = package.declares("Breaks", "Conflicts")
    if any(one.name == other.name and one.admits(other.before) for group in breaks for one in group):
        return True
    # ... or the other one, as it is now, needs the old version of it and would take nothing else ...
    old = Package(other.name, other.before, installed, other.before)
    for group in old.declares("Pre-Depends", "Depends"):
        mine = [one for one in group if one.name == package.name]
        if mine and len(mine) == len(group) and not any(one.admits(package.version) for one in mine):
            return True
    # ... or breaks the new one.
    against = old.declares("Breaks", "Conflicts")
    return any(one.name == package.name and one.admits(package.version) for group in against for one in group)


# --- apt's own words ----------------------------------------------------------------------------------------

_BLOCK = ("The following packages have unmet dependencies:", "Unsatisfiable dependencies:")
_UNMET = re.compile(
    r" +(?:(?P<package>[A-Za-z0-9][A-Za-z0-9+._-]*(?::[a-z0-9-]+)?) : )?"
    r"(?:(?P<kind>[A-Z]\w+): )?"
    r"(?P<needs>[A-Za-z0-9][^\s]*(?: \([^)]*\))?)"
    r"(?: but .*?)?(?P<more> or)?"
)


def unmet(lines: Iterable[str], versions: Mapping[str, str]) -> tuple[Unmet, ...]:
    """Read apt's block of unmet dependencies; lines of another form end it.

    Args:
        lines: What apt printed.
        versions: The version in question of each package, by its name as apt writes it.
    """
    found: list[Unmet] = []
    package = kind = ""
    alternatives: list[str] = []
    for match in _unmet_lines(lines):
        package, kind = match["package"] or package, match["kind"] or kind
        alternatives.append(match["needs"])
        if not match["more"]:
            found.append(Unmet(package, versions.get(package, ""), kind, " or ".join(alternatives)))
            alternatives = []
    return tuple(dict.fromkeys(found))


def _unmet_lines(lines: Iterable[str]) -> Iterator[re.Match[str]]:
    is_inside = False
    for line in lines:
        if line.startswith(_BLOCK):
            is_inside = True
        elif is_inside and (match := _UNMET.fullmatch(line.rstrip())):
            yield match
        elif is_inside:
            return
