"""pacman: its patch script asked, and what it answered.

The parsers are pure: recorded text in, values out. pacman itself names what would come and go; whose doing it
is, is told by what the packages of the transaction declare.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from reconciler.managers.dialect import Dialect
from reconciler.managers.pacman_formats import LocalPackage, SyncPackage, records, rows
from reconciler.managers.pacman_observation import read_observation
from reconciler.managers.sections import Section, Sections, sentence_of, unparsed, words_of
from reconciler.planning.facts import exit_codes as codes
from reconciler.planning.facts.observation import (
    Action,
    Answer,
    Change,
    Offer,
    Refresh,
    RefreshOutcome,
    Unmet,
)
from reconciler.planning.facts.versions import VersionRange, compare_alpm

_LIST = re.compile(r"Packages \(\d+\) (.*)")
_ITEM = re.compile(r"(?P<name>.+)-(?P<version>[^-]+-[^-]+)")
_REMOVAL = " [removal]"
_RELATION = re.compile(r"(?P<name>[^<>=]+)(?P<operator>[<>=]*)(?P<version>.*)")


def read_answer(sections: Sections, offers: Sequence[Offer] = ()) -> Answer:
    """Read ``--dry-run``; the script says all that is needed itself, so ``offers`` are not.

    Raises:
        Stalled: A section is missing or does not parse.
    """
    del offers
    code = sections.exit_code
    resolve = sections.get("resolve")
    said = (*resolve.errors, *resolve.lines)
    words = sections.get("refused").errors or _complaints(said)
    return Answer(
        changes=_changes(sections, resolve) if resolve.code == 0 and code not in codes.REFUSED else (),
        exit_code=code,
        native_code=resolve.code,
        message=(words_of(words) or "pacman could not resolve") if code in codes.REFUSED else "",
        unmet=tuple(_unmet(said, _installed_names(sections))) if code in codes.REFUSED else (),
    )


def _complaints(lines: Iterable[str]) -> list[str]:
    found = [line for line in lines if line.startswith(("error:", ":: "))]
    return [line for line in found if not line.endswith(("] ", "]", "dependencies:"))]


# --- what it would do -------------------------------------------------------------------------------------

_Asked = dict[str, list[tuple[str, str]]]
"""Packages with a relation of theirs, by the name that it asks for."""


def _changes(sections: Sections, resolve: Section) -> tuple[Change, ...]:
    present = {row.name: row for row in rows(sections.need("installed"))}
    known = records(sections.get("available"))
    coming: list[SyncPackage] = []
    going: list[LocalPackage] = []
    for name, version, is_removed in _listed(resolve):
        if is_removed:
            if name not in present:
                raise unparsed(resolve, f"{name} is to be removed and is not installed")
            going.append(present[name])
        elif name not in known or known[name].version != version:
            raise unparsed(resolve, f"{name} {version} is offered by no repository")
        else:
            coming.append(known[name])
    asked = _asked(coming)
    return (
        *(_removal(row, coming) for row in going),
        *(_move(record, present.get(record.name), asked) for record in coming),
    )


def _listed(resolve: Section) -> Iterator[tuple[str, str, bool]]:
    """Read the list of names with versions; two blanks stand between them, and removals are marked."""
    for line in resolve.lines:
        if found := _LIST.fullmatch(line):
            for item in found[1].split("  "):
                is_removed = item.endswith(_REMOVAL)
                match = _ITEM.fullmatch(item.removesuffix(_REMOVAL).strip())
                if match is None:
                    raise unparsed(resolve, line)
                yield match["name"], match["version"], is_removed


def _move(record: SyncPackage, row: LocalPackage | None, asked: _Asked) -> Change:
    action: Action = "install"
    if row is not None:
        # In the same version it is another build, or is installed again with what it replaces.
        action = "downgrade" if compare_alpm(row.version, record.version) > 0 else "upgrade"
    before = 0 if row is None else row.size
    after = record.installed_size
    return Change(
        action=action,
        name=record.name,
        arch=row.arch if row else record.arch,
        from_version=row.version if row else None,
        to_version=record.version,
        origin=record.repository,
        size=record.size,
        installed_delta=None if after is None or before is None else after - before,
        sha256=record.sha256,
        by=_needing(record, row, asked),
    )


def _asked(coming: Iterable[SyncPackage]) -> _Asked:
    """Return who asks for what, by the name that is asked for."""
    asked: _Asked = {}
    for other in coming:
        for relation in other.depends:
            if match := _RELATION.fullmatch(relation):
                asked.setdefault(match["name"], []).append((other.name, relation))
    return asked


def _needing(record: SyncPackage, row: LocalPackage | None, asked: _Asked) -> tuple[str, ...]:
    """Return who needs this version, and could not do with what is installed."""
    names = {record.name, *(_provided(text)[0] for text in record.provides)}
    return tuple(
        sorted(
            {
                other
                for name in names
                for other, relation in asked.get(name, ())
                if other != record.name
                and _meets(record.name, record.version, record.provides, relation)
                and (row is None or not _meets(row.name, row.version, (), relation))
            }
        )
    )


def _meets(name: str, version: str, provides: Iterable[str], relation: str) -> bool:
    """Tell whether a package, or what it provides, meets a relation such as ``base>=1.1``."""
    for candidate, at in ((name, version), *(_provided(text) for text in provides)):
        match = _RELATION.fullmatch(relation)
        if match is None or match["name"] != candidate:
            continue
        if not match["operator"]:
            return True
        if at and VersionRange.parse(match["operator"] + match["version"]).contains(at, compare_alpm):
            return True
    return False


def _provided(text: str) -> tuple[str, str]:
    name, _, version = text.partition("=")
    return name, version


def _removal(row: LocalPackage, coming: Sequence[SyncPackage]) -> Change:
    replacing = _naming(row, {record.name: record.replaces for record in coming})
    conflicting = _naming(row, {record.name: record.conflicts for record in coming})
    return Change(
        action="replace" if replacing else "remove",
        name=row.name,
        arch=row.arch,
        from_version=row.version,
        to_version=None,
        installed_delta=None if row.size is None else -row.size,
        by=replacing or conflicting,
    )


def _naming(row: LocalPackage, relations: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    return tuple(
        sorted(
            name
            for name, named in relations.items()
            if any(_meets(row.name, row.version, (), relation) for relation in named)
        )
    )


# --- why it cannot ----------------------------------------------------------------------------------------

_UNSATISFIED = re.compile(r":: unable to satisfy dependency '(?P<needs>[^']+)' required by (?P<package>\S+)")
_BREAKS = re.compile(
    r":: installing (?P<package>\S+) \((?P<version>\S+)\) breaks dependency '(?P<needs>[^']+)'"
    r" required by (?P<other>\S+)"
)
_REMOVES = re.compile(
    r":: removing (?P<package>\S+) breaks dependency '(?P<needs>[^']+)' required by (?P<other>\S+)"
)
_CONFLICT = re.compile(r":: (?P<package>\S+) and (?P<other>\S+) are in conflict(?: \([^)]*\))?")


def _installed_names(sections: Sections) -> frozenset[str]:
    return frozenset(row.name for row in rows(sections.get("installed")))


def _unmet(lines: Iterable[str], installed: Container[str]) -> Iterator[Unmet]:
    """Read what stands in the way; the package that is named first is the one that would have to stay."""
    for line in lines:
        if found := _UNSATISFIED.fullmatch(line):
            yield Unmet(found["package"], "", "Depends", _written(found["needs"]))
        elif found := _BREAKS.fullmatch(line):
            needs = f"{found['other']} (which needs {_written(found['needs'])})"
            yield Unmet(found["package"], found["version"], "Breaks", needs)
        elif found := _REMOVES.fullmatch(line):
            needs = f"{found['other']} (which needs {_written(found['needs'])})"
            yield Unmet(found["package"], "", "Breaks", needs)
        elif found := _CONFLICT.fullmatch(line):
            package, other = (_bare(found[group], installed) for group in ("package", "other"))
            yield Unmet(package, "", "Conflicts", other)


def _bare(word: str, installed: Container[str]) -> str:
    """Return the name alone: pacman 7 writes the version behind that of each package in a conflict."""
    match = _ITEM.fullmatch(word)
    return word if word in installed or match is None else match["name"]


def _written(relation: str) -> str:
    """Write ``base>=1.1`` as the other managers do: ``base (>= 1.1)``."""
    match = _RELATION.fullmatch(relation)
    if match is None or not match["operator"]:
        return relation
    return f"{match['name']} ({match['operator']} {match['version']})"


# --- refresh ----------------------------------------------------------------------------------------------


def read_refresh(sections: Sections) -> Refresh:
    """Read why ``--refresh`` failed.

    Raises:
        Stalled: The section is missing.
    """
    section = sections.need("refresh")
    said = sections.get("refused").errors or [
        line for line in (*section.errors, *section.lines) if line.startswith(("error:", "warning:"))
    ]
    words = sentence_of(said or section.errors)
    detail = words or f"pacman -Sy ended with {section.code}"
    if "unless you are root" in detail:
        return Refresh(RefreshOutcome.NOT_PERMITTED, detail)
    missing = tuple(sorted(set(sections.get("unread").lines)))
    return Refresh(RefreshOutcome.FAILED, detail, missing=missing)


PACMAN = Dialect(
    name="pacman",
    observation=read_observation,
    answer=read_answer,
    refresh=read_refresh,
    hint="run `pacman -Dk` to see more",
    coded=frozenset({"clock", "dependencies"}),
    explaining={"successors": "what would take the place of installed packages"},
)
"""How pacman's sections are read."""
