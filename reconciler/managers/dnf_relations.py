"""Relations between rpms: whose doing a move of a transaction is, and what dnf says stands in the way.

Whose doing is told by what the packages themselves declare, and by nothing else: where no declared relation
explains a move, nobody is named.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from reconciler.managers.dnf_formats import RpmPackage, split_nevra
from reconciler.managers.rpm import Relation
from reconciler.planning.facts.observation import Unmet
from reconciler.planning.facts.package import PackageId
from reconciler.records import dataclass

_RELATION = re.compile(r"(?P<name>[^\s()]\S*)(?:\s+(?P<operator><=|>=|<|>|=)\s+(?P<version>\S+))?")
_WORDS_OF_RICH = frozenset({"and", "or", "if", "else", "unless", "with", "without"})


def relations(texts: Iterable[str]) -> Iterator[Relation]:
    """Read dependencies; of a boolean one such as ``(a >= 1 if b)`` every part; what is none is left out."""
    for text in texts:
        parts = (
            re.split(r"[()]|\b(?:" + "|".join(_WORDS_OF_RICH) + r")\b", text) if text[:1] == "(" else [text]
        )
        for part in parts:
            if match := _RELATION.fullmatch(part.strip()):
                yield Relation(match["name"], match["operator"] or "", match["version"] or "")


def _is_meant(relation: Relation, package: RpmPackage) -> bool:
    if relation.name == package.name:
        return relation.admits(package.version)
    return any(
        provided.name == relation.name and relation.admits(provided.version)
        for provided in relations(package.relations.get("provides", ()))
    )


@dataclass(frozen=True, slots=True)
class RpmDoings:
    """Finds in a transaction whose doing a move is.

    Attributes:
        coming: What is installed, upgraded or downgraded.
        before: The version that each of them has now; absent where it comes in new.
    """

    coming: Sequence[RpmPackage]
    before: Mapping[PackageId, str]

    def needing(self, come: RpmPackage) -> tuple[str, ...]:
        """Return who needs a package that comes in, or the newer version of one that is there."""
        was = self.before.get(come.package)
        return _names(
            other
            for other in self.coming
            if other.name != come.name
            and any(
                _is_meant(one, come) and (was is None or (one.name == come.name and not one.admits(was)))
                for one in relations(other.relations.get("requires", ()))
            )
        )

    def of_removals(self, gone: Sequence[RpmPackage]) -> dict[PackageId, tuple[str, ...]]:
        """Return whose doing each removal is: of what goes with another, the same ones'."""
        by = {package.package: self._removing(package) for package in gone}
        for _ in gone:
            for package in gone:
                if not by[package.package]:
                    needed = tuple(relations(package.relations.get("requires", ())))
                    lost = [
                        other.package
                        for other in gone
                        if other.name != package.name and any(_is_meant(one, other) for one in needed)
                    ]
                    by[package.package] = tuple(sorted({name for other in lost for name in by[other]}))
        return by

    def _removing(self, gone: RpmPackage) -> tuple[str, ...]:
        """Return who conflicts with a package that goes, else whose new version it cannot live with."""
        return _names(
            other
            for other in self.coming
            if any(_is_meant(one, gone) for one in relations(other.relations.get("conflicts", ())))
        ) or _names(
            other
            for other in self.coming
            if any(
                one.name == other.name and not one.admits(other.version)
                for one in relations(gone.relations.get("requires", ()))
            )
        )


def _names(packages: Iterable[RpmPackage]) -> tuple[str, ...]:
    return tuple(sorted({package.name for package in packages}))


# --- dnf's own words ----------------------------------------------------------------------------------------

_WHO = r"[\s-]*(?:.*: )?(?:installed )?package (?P<package>\S+)(?: from \S+)?"
_WORDS = (
    (
        re.compile(r"[\s-]*nothing provides (?P<needs>.+) needed by (?P<package>\S+)(?: from \S+)?"),
        "Depends",
    ),
    (re.compile(_WHO + r" requires (?P<needs>.+), but none of the providers can be installed"), "Depends"),
    (
        re.compile(_WHO + r" conflicts with (?P<needs>.+) provided by (?P<other>\S+)(?: from \S+)?"),
        "Conflicts",
    ),
    (re.compile(_WHO + r" would remove (?P<needs>.+)"), "Removes"),
    (re.compile(_WHO + r" obsoletes (?P<needs>.+) provided by \S+(?: from \S+)?"), "Obsoletes"),
)
_PROBLEM = re.compile(r"\s*Problem(?: \d+)?: ")


def _declarer(match: re.Match[str]) -> str:
    """Return who declares a relation: dnf 5 may turn a conflict round, and name what it is with first."""
    told = match.groupdict()
    package, other = match["package"], told.get("other") or ""
    parts = split_nevra(package)
    is_turned = bool(other) and parts is not None and parts[0] == told["needs"].partition(" ")[0]
    return other if is_turned else package


def unmet(lines: Iterable[str]) -> tuple[Unmet, ...]:
    """Read what dnf says of problems; sentences of another form tell of no single relation."""
    found: dict[Unmet, None] = {}
    for line in lines:
        sentence = _PROBLEM.sub("", line.rstrip())
        for pattern, kind in _WORDS:
            match = pattern.fullmatch(sentence)
            parts = match and split_nevra(_declarer(match))
            if match and parts:
                found.setdefault(Unmet(parts[0], parts[2], kind, match["needs"]))
                break
    return tuple(found)
