"""What zypper would put in the place of installed packages: renames, and others that obsolete them.

zypper tells of what an update brings. What obsoletes an installed package and cannot come, it does not
mention: the old one stays, without a word and without updates. So that is found in the metadata.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from reconciler.managers.rpm import version_key
from reconciler.managers.sections import Sections, fields_of, pairs
from reconciler.managers.zypper_formats import Advisory, Record, advised, document, names_of
from reconciler.planning.facts.observation import Available, Installed, Offer
from reconciler.planning.facts.package import PackageId
from reconciler.records import dataclass

_NATIVE_VENDORS = ("suse", "opensuse")
"""Between these an update moves packages as between one, unless ``vendors.d`` says otherwise."""


@dataclass(frozen=True, slots=True)
class _Lot:
    """One version of a package, as one of its sources tells of it, and the aliases of all that have it."""

    record: Record
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """What may be replaced, and by what.

    Attributes:
        staying: What is installed and an update does not remove, by name.
        newest: Versions that an update would bring, by name.
        vendors: Of what is installed, by name; empty where an update may change them.
        architecture: Of the machine.
    """

    staying: Mapping[str, Sequence[Installed]]
    newest: Mapping[str, str]
    vendors: Mapping[str, frozenset[str]]
    architecture: str

    def of(self, record: Record) -> list[Installed]:
        """Return what a package would take the place of, were nothing against it."""
        return [
            one
            for one in _obsoleted(record, self.staying)
            if record.arch in {one.arch, "noarch", self.architecture if one.arch == "noarch" else "noarch"}
            and _obsoletes(record, one.name, self.newest.get(one.name, one.version))
            and (not self.vendors or _family(record.vendor) in self.vendors.get(one.name, ()))
        ]


def successors_of(
    sections: Sections,
    installed: Sequence[Installed],
    known: Iterable[Record],
    patches: Sequence[Advisory],
) -> Iterator[Offer]:
    """Yield an offer for each package that takes the place of installed ones, or would and cannot.

    Args:
        sections: ``successors`` is what an update removes and installs, ``obsoleters`` what obsoletes any
            installed name, ``vendors`` whose the installed packages are.
        installed: A package of whose name something is there is an ordinary update, or none.
        known: What is on offer, of each source that has it.
        patches: Those that this machine needs; one is about the old name or about the new one.

    Raises:
        Stalled: A section does not parse.
    """
    market = _market(sections, known)
    section = sections.get("successors")
    moves = [fields_of(section, line, 5) for line in section.lines]
    going = {(name, version) for block, name, _, version, _ in moves if block == "to-remove"}
    leaving = _by_name(one for one in installed if (one.name, one.version) in going)
    present = {one.name for one in installed}
    for block, name, arch, version, _ in moves:
        is_new = block == "to-install" and name not in present
        lot = market.get((PackageId(name, arch), version)) if is_new else None
        if lot and (old := _obsoleted(lot.record, leaving)):
            yield _offer(lot, old, patches)
    yield from _kept_out(sections, [one for one in installed if one.name not in leaving], market, patches)


def _market(sections: Sections, known: Iterable[Record]) -> dict[tuple[PackageId, str], _Lot]:
    aliases = [repo.get("alias", "") for repo in document(sections.need("repos")).iter("repo")]
    found: defaultdict[tuple[PackageId, str], dict[str, Record]] = defaultdict(dict)
    for one in known:
        found[one.package, one.version][one.repository] = one
    return {
        key: _Lot(
            record=next(iter(records.values())),
            sources=tuple(alias for alias in aliases if alias in records) or tuple(records),
        )
        for key, records in found.items()
    }


def _kept_out(
    sections: Sections,
    staying: Sequence[Installed],
    market: Mapping[tuple[PackageId, str], _Lot],
    patches: Sequence[Advisory],
) -> Iterator[Offer]:
    section = sections.get("obsoleters")
    named = [fields_of(section, line, 3) for line in section.lines]
    known = [
        lot
        for name, arch, version in named
        if (lot := market.get((PackageId(name, arch), version))) is not None
    ]
    place = _place(sections, staying) if known else None
    newest = {
        lot.record.package: lot for lot in sorted(known, key=lambda one: version_key(one.record.version))
    }
    for lot in newest.values():
        if place is not None and (old := place.of(lot.record)):
            yield _offer(lot, old, patches)


def _place(sections: Sections, staying: Iterable[Installed]) -> _Place:
    section = sections.get("vendors")
    vendors: defaultdict[str, set[str]] = defaultdict(set)
    for name, vendor in (fields_of(section, line, 2) for line in section.lines):
        vendors[name].add(_family("" if vendor == "(none)" else vendor))
    updates = document(sections.need("updates")).iter("update")
    return _Place(
        staying=_by_name(staying),
        newest={one.get("name", ""): one.get("edition", "") for one in updates},
        vendors={name: frozenset(found) for name, found in vendors.items()},
        architecture=pairs(sections.need("machine")).get("architecture", ""),
    )


def _family(vendor: str) -> str:
    vendor = vendor.lower()
    return _NATIVE_VENDORS[0] if vendor.startswith(_NATIVE_VENDORS) else vendor


def _by_name(installed: Iterable[Installed]) -> Mapping[str, Sequence[Installed]]:
    found: defaultdict[str, list[Installed]] = defaultdict(list)
    for one in installed:
        found[one.name].append(one)
    return found


def _obsoleted(record: Record, installed: Mapping[str, Sequence[Installed]]) -> list[Installed]:
    names = dict.fromkeys(relation.name for relation in record.relations.get("obsoletes", ()))
    return [one for name in names for one in installed.get(name, ()) if _obsoletes(record, name, one.version)]


def _obsoletes(record: Record, name: str, version: str) -> bool:
    found = record.relations.get("obsoletes", ())
    return any(relation.name == name and relation.admits(version) for relation in found)


def _offer(lot: _Lot, old: Sequence[Installed], patches: Iterable[Advisory]) -> Offer:
    record = lot.record
    about = [patch for patch in patches if _is_about(patch, record, old)]
    found = (record.version, lot.sources, False, record.size, record.installed_size, record.sha256)
    available = advised(Available(*found), about)
    return Offer(
        *(record.name, record.arch, old[0].version, record.version, (available,), names_of(about)),
        replaces=tuple(one.package for one in old),
    )


def _is_about(patch: Advisory, record: Record, old: Iterable[Installed]) -> bool:
    """Tell whether a patch names a package that comes in, or what it says that it is instead of another."""
    stands_for = {one.name: one.version for one in record.relations.get("provides", ())}
    return patch.lies_in(record.package, "", record.version) or any(
        patch.lies_in(one.package, one.version, stands_for.get(one.name) or record.version) for one in old
    )
