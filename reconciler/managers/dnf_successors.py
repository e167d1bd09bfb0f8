"""What dnf would put in the place of installed packages: renames, and others that obsolete them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from reconciler.managers.dnf_formats import RpmPackage, joined, packages
from reconciler.managers.dnf_relations import relations
from reconciler.managers.rpm import Advice, Relation, RpmRow
from reconciler.managers.sections import Sections, fields_of
from reconciler.planning.facts.observation import Available, Offer
from reconciler.planning.facts.package import PackageId


def successors_of(sections: Sections, present: Sequence[RpmRow], architecture: str) -> Iterator[Offer]:
    """Yield an offer for each package that would take the place of installed ones.

    Args:
        sections: ``obsoleters`` are packages with what they obsolete, ``obsoleters-advised`` those of them
            that security advisories name.
        present: What is installed. A package of whose name something is there is an ordinary update, or none.
        architecture: Of the machine. Of several, dnf takes that of what is replaced, else this one.

    Raises:
        Stalled: A section does not parse.
    """
    names = {row.name for row in present}
    offered = [one for one in packages(sections.get("obsoleters")) if one.name not in names]
    section = sections.get("obsoleters-advised")
    advised = {tuple(fields_of(section, line, 3)) for line in section.lines}
    builds: defaultdict[PackageId, list[RpmPackage]] = defaultdict(list)
    for one in offered:
        builds[one.package].append(one)
    replaced = _replaced(offered, present, architecture)
    for package in sorted(replaced):
        old = replaced[package]
        versions = joined(
            (
                Available(one.version, (one.origin,), False, one.size, one.installed_size)
                for one in builds[package]
            ),
            {one.version for one in builds[package] if (one.name, one.arch, one.version) in advised},
            lambda _: Advice(),
        )
        yield Offer(
            *(package.name, package.arch, old[0].version, versions[0].version, versions),
            replaces=tuple(dict.fromkeys(row.package for row in old)),
        )


def _replaced(
    offered: Iterable[RpmPackage], present: Iterable[RpmRow], architecture: str
) -> Mapping[PackageId, list[RpmRow]]:
    """Find what each package would take the place of, in the architecture that dnf would choose."""
    by_name: defaultdict[str, defaultdict[str, list[Relation]]] = defaultdict(lambda: defaultdict(list))
    arches: defaultdict[str, set[str]] = defaultdict(set)
    for one in offered:
        arches[one.name].add(one.arch)
        for relation in relations(one.relations.get("obsoletes", ())):
            by_name[relation.name][one.name].append(relation)
    found: defaultdict[PackageId, list[RpmRow]] = defaultdict(list)
    for row in present:
        for name, obsoleted in by_name.get(row.name, {}).items():
            if any(relation.admits(row.version) for relation in obsoleted):
                found[PackageId(name, _chosen(arches[name], row.arch, architecture))].append(row)
    return found


def _chosen(arches: Iterable[str], old: str, architecture: str) -> str:
    order = ([old] if old != "noarch" else []) + [architecture, "noarch"]
    return min(arches, key=lambda arch: (order.index(arch) if arch in order else len(order), arch))
