"""apt: its patch script asked, and what it answered.

The parsers are pure: recorded text in, values out. A change is told under the architecture that the package
is installed with, also where the new version changes it; whose doing a removal is, and whether it is a
replacement, is told by `apt_relations`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote

from reconciler.managers.apt_formats import (
    DpkgRow,
    PackageFile,
    Records,
    key_of,
    native_key,
    package_files,
    record_of,
    records_of,
    rows,
    tables,
)
from reconciler.managers.apt_observation import read_observation
from reconciler.managers.apt_relations import Doings, Package, needs_of, unmet
from reconciler.managers.dialect import Dialect
from reconciler.managers.sections import (
    Section,
    Sections,
    fields_of,
    kib,
    pairs,
    sentence_of,
    unparsed,
    whole,
    words_of,
)
from reconciler.planning.facts import exit_codes as codes
from reconciler.planning.facts.observation import (
    Action,
    Answer,
    Change,
    Offer,
    Refresh,
    RefreshOutcome,
)
from reconciler.planning.facts.package import Identified, PackageId
from reconciler.planning.runs.steps import Needs
from reconciler.records import dataclass

_Sizes = Mapping[tuple[PackageId, str], int]
"""Bytes on disk, by package and version."""


def _installed_sizes(offers: Iterable[Offer]) -> _Sizes:
    return {
        (offer.package, version.version): version.installed_size
        for offer in offers
        for version in offer.versions
        if version.installed_size is not None
    }


_HEADINGS = {
    "The following NEW packages will be installed:": "install",
    "The following packages will be upgraded:": "upgrade",
    "The following packages will be DOWNGRADED:": "downgrade",
    "The following packages will be REMOVED:": "remove",
    "The following packages have been kept back:": "kept",
    "The following upgrades have been deferred due to phasing:": "kept",
}
_URI_LINE = re.compile(r"'(?P<uri>[^']*)' (?P<file>\S+) (?P<size>\d+) ?(?P<hash>\S*)")


def read_answer(sections: Sections, offers: Sequence[Offer] = ()) -> Answer:
    """Read ``--dry-run``; sizes on disk that the script does not repeat are those of ``offers``.

    Raises:
        Stalled: A section is missing or does not parse.
    """
    code, sizes = sections.exit_code, _installed_sizes(offers)
    resolve = sections.get("resolve")
    lists = _lists(resolve.lines)
    # Where the script refuses what apt would do, that is still known.
    is_resolved = resolve.code == 0 and code != codes.GONE
    changes = _changes(sections, lists, sizes) if is_resolved else ()
    words = sections.get("refused").errors or (*resolve.errors, *resolve.lines)
    return Answer(
        changes=changes,
        kept_back=tuple(sorted(lists["kept"])) if is_resolved else (),
        exit_code=code,
        native_code=resolve.code,
        message=(words_of(words) or "apt could not resolve") if code in codes.REFUSED else "",
        # Without a transaction, it is not known which version of a package apt speaks of.
        unmet=unmet(sections.get("why").lines, _versions(sections, changes))
        if is_resolved
        else unmet(resolve.lines, {}),
    )


def _versions(sections: Sections, changes: Iterable[Change]) -> dict[str, str]:
    """Return the version of every package that apt may name: as it would be, else as it is."""
    native = pairs(sections.need("machine")).get("architecture", "")
    present = {_written(row.package, native): row.version for row in rows(sections.need("installed"))}
    coming = {
        _written(change.package, native): change.to_version
        for change in changes
        if change.to_version is not None
    }
    return present | coming


def _written(package: PackageId, native: str) -> str:
    return package.name if package.arch in {native, "all"} else str(package)


def _lists(lines: Iterable[str]) -> dict[str, list[str]]:
    """Read the names below apt's headings; apt wraps them over several indented lines."""
    found: dict[str, list[str]] = {kind: [] for kind in _HEADINGS.values()}
    kind: str | None = None
    for line in lines:
        if not line.startswith("  "):
            kind = _HEADINGS.get(line)
        elif kind is not None:
            found[kind] += [name.removesuffix("*") for name in line.split()]
    return found


@dataclass(frozen=True, slots=True)
class _Archive(Identified):
    """A package file that apt would fetch, as ``--print-uris`` names it."""

    name: str
    arch: str
    version: str
    size: int
    sha256: str | None


def _archives(section: Section) -> Iterator[_Archive]:
    for line in section.lines:
        if not line.startswith("'"):
            continue
        match = _URI_LINE.fullmatch(line)
        parts = match["file"].rpartition(".")[0].split("_") if match else ()
        if match is None or len(parts) != 3:  # noqa: PLR2004 - name_version_arch.deb
            raise unparsed(section, line)
        name, version, arch = (unquote(part) for part in parts)
        digest = match["hash"].removeprefix("SHA256:") if match["hash"].startswith("SHA256:") else None
        yield _Archive(name, arch, version, whole(section, line, match["size"]), digest)


def _changes(sections: Sections, lists: Mapping[str, list[str]], sizes: _Sizes) -> tuple[Change, ...]:
    native = pairs(sections.need("machine")).get("architecture", "")
    present = {native_key(row.package, native): row for row in rows(sections.need("installed"))}
    resolve = sections.need("resolve")
    records = records_of(sections.get("available"))
    removed: list[DpkgRow] = []
    for name in lists["remove"]:
        row = present.get(key_of(name, native))
        if row is None:
            raise unparsed(resolve, f"{name} is to be removed and is not installed")
        removed.append(row)
    coming = [
        (archive, action, present.get(native_key(archive.package, native)))
        for archive, action in _coming(resolve, lists, native, present)
    ]
    packages = [_package(archive, row, records) for archive, _, row in coming]
    moving = {id(row) for _, _, row in coming} | {id(row) for row in removed}
    doings = Doings(packages, _grouped(row for row in present.values() if id(row) not in moving))
    sources = _sources_of(sections, native)
    handing_on = {key_of(name, native).name for name in sections.get("handing-on").lines}
    moves: list[Change] = []
    for (archive, action, row), package in zip(coming, packages, strict=True):
        key = native_key(archive.package, native)
        size = _disk_size(records, archive, row, sizes)
        change = _move(action, archive, row, sources.get((key, archive.version), ()), size)
        by = doings.needing(package)
        heir_of = tuple(name for name in by if row is None and name in handing_on)
        moves.append(replace(change, by=by, heir_of=heir_of))
    return (*_removals(removed, doings, sections.get("relations")), *moves)


def _grouped(present: Iterable[DpkgRow]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for row in present:
        found[row.name] = found.get(row.name, frozenset()) | {row.version}
    return found


def _coming(
    resolve: Section, lists: Mapping[str, list[str]], native: str, present: Mapping[PackageId, DpkgRow]
) -> Iterator[tuple[_Archive, Action]]:
    wanted = _wanted(lists, native)
    for archive in _archives(resolve):
        key = native_key(archive.package, native)
        action = wanted.pop(key, None)
        if action is None:
            if key in present and present[key].version == archive.version:
                continue  # What is half there is fetched to come again, which moves nothing.
            raise unparsed(resolve, f"{archive.name} {archive.version}")
        yield archive, action
    if wanted:
        raise unparsed(resolve, f"nothing to fetch for {' '.join(map(str, wanted))}")


def _package(archive: _Archive, row: DpkgRow | None, records: Records) -> Package:
    record = record_of(records, archive.name, archive.version, archive.arch)
    return Package(archive.name, archive.version, record, row.version if row else "")


def _removals(removed: Sequence[DpkgRow], doings: Doings, relations: Section) -> Iterator[Change]:
    """Tell of each removal whether it is a replacement, and whose doing."""
    declared: dict[PackageId, dict[str, str]] = {}
    for line in relations.lines:
        name, arch, depends, provides = fields_of(relations, line, 4)
        declared[PackageId(name, arch)] = {"Depends": depends, "Provides": provides}
    packages = [Package(row.name, row.version, declared.get(row.package, {})) for row in removed]
    by = doings.of_removals(packages)
    for row, package, doers in zip(removed, packages, by, strict=True):
        yield replace(_removal(row, replaced=bool(doings.replacing(package))), by=doers)


def _wanted(lists: Mapping[str, list[str]], native: str) -> dict[PackageId, Action]:
    actions: tuple[Action, ...] = ("install", "upgrade", "downgrade")
    return {key_of(name, native): action for action in actions for name in lists[action]}


def _sources_of(sections: Sections, native: str) -> dict[tuple[PackageId, str], tuple[PackageFile, ...]]:
    if "sources" not in sections.by_name:
        return {}
    files = package_files(sections)
    return {
        (key_of(table.name, native), version.version): tuple(
            files[line] for line in version.files if line in files
        )
        for table in tables(sections.get("policy"))
        for version in table.versions
    }


def _disk_size(records: Records, archive: _Archive, row: DpkgRow | None, sizes: _Sizes) -> int | None:
    record = record_of(records, archive.name, archive.version, archive.arch)
    if record:
        return kib(record.get("Installed-Size", ""))
    return sizes.get((row.package if row else archive.package, archive.version))


def _move(
    action: Action, archive: _Archive, row: DpkgRow | None, files: Sequence[PackageFile], size: int | None
) -> Change:
    before = 0 if row is None else row.size
    return Change(
        action=action,
        name=archive.name,
        arch=row.arch if row else archive.arch,
        from_version=row.version if row else None,
        to_version=archive.version,
        origin=files[0].label if files else "",
        size=archive.size,
        installed_delta=None if size is None or before is None else size - before,
        sha256=archive.sha256,
        security=any(file.security for file in files),
    )


def _removal(row: DpkgRow, *, replaced: bool) -> Change:
    return Change(
        action="replace" if replaced else "remove",
        name=row.name,
        arch=row.arch,
        from_version=row.version,
        to_version=None,
        installed_delta=None if row.size is None else -row.size,
    )


# --- refresh --------------------------------------------------------------------------------------


# apt-secure(8): a source says that it is another than before, and apt waits for a person to accept that.
_CHANGED_RELEASE = r"E: Repository '.*' changed its '.*' value from '.*' to '.*'"
_ACCEPT_RELEASE = "apt-get update --allow-releaseinfo-change"


def read_refresh(sections: Sections) -> Refresh:
    """Read why ``--refresh`` failed.

    Raises:
        Stalled: The section is missing.
    """
    section = sections.need("refresh")
    complaints = [line for line in (*section.errors, *section.lines) if re.match(r"[EW]:|Err:", line)]
    # apt asks several servers at once, and complains in the order in which they fail.
    words = sentence_of(sorted(complaints) or section.errors)
    detail = words or f"apt-get update ended with {section.code}"
    if "Permission denied" in detail or "are you root" in detail:
        return Refresh(RefreshOutcome.NOT_PERMITTED, detail)
    is_another = any(re.match(_CHANGED_RELEASE, line) for line in complaints)
    accept = _ACCEPT_RELEASE if is_another else ""
    return Refresh(RefreshOutcome.FAILED, detail, accept, tuple(sorted(sections.get("unread").lines)))


def read_relations(sections: Sections, changes: Sequence[Change]) -> Needs:
    """Read ``--relations``: which changes must be made before, or with, which others.

    Raises:
        Stalled: A section is missing or does not parse.
    """
    native = pairs(sections.need("machine")).get("architecture", "")
    records = records_of(sections.get("available"))
    moving = {
        change.package: Package(
            change.name,
            change.to_version,
            record_of(
                records, change.name, change.to_version, native if change.arch == "all" else change.arch
            ),
            change.from_version or "",
        )
        for change in changes
        if change.to_version is not None
    }
    return needs_of(moving, _declared(sections.need("declared")))


def _declared(section: Section) -> dict[PackageId, dict[str, str]]:
    """Read what installed packages declare."""
    found: dict[PackageId, dict[str, str]] = {}
    for line in section.lines:
        name, arch, depends, breaks, provides = fields_of(section, line, 5)
        found[PackageId(name, arch)] = {"Depends": depends, "Breaks": breaks, "Provides": provides}
    return found


APT = Dialect(
    name="apt",
    observation=read_observation,
    answer=read_answer,
    refresh=read_refresh,
    relations=read_relations,
    repairs_whole=True,
    hint="run `apt-get check` to see more",
    coded=frozenset({"audit", "clock", "dependencies"}),
)
"""How apt's sections are read."""
