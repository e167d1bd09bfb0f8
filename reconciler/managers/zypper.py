"""zypper: its patch script asked, and what it answered.

The parsers are pure: recorded text in, values out. A change is told under the architecture that the package
is installed with, also where the new version changes it. A relation that stands in the way is told as
``Depends`` or ``Conflicts``, whatever sentence the solver puts it in.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from xml.etree.ElementTree import Element

from reconciler.managers.dialect import Dialect
from reconciler.managers.rpm import rows
from reconciler.managers.sections import Section, Sections, fields_of, sentence_of, unparsed, words_of
from reconciler.managers.zypper_formats import (
    Record,
    against,
    document,
    locked,
    messages,
    needing,
    passed_over,
    problems,
    problems_in,
    records,
)
from reconciler.managers.zypper_observation import read_observation
from reconciler.planning.facts import exit_codes as codes
from reconciler.planning.facts.observation import (
    VENDOR,
    Action,
    Answer,
    Change,
    Offer,
    Refresh,
    RefreshOutcome,
    Unmet,
)
from reconciler.planning.facts.package import PackageId

_ACTIONS: dict[str, Action] = {
    "to-upgrade": "upgrade",
    "to-upgrade-change-arch": "upgrade",
    "to-change-arch": "upgrade",
    "to-change-vendor": "upgrade",
    "to-reinstall": "upgrade",
    "to-downgrade": "downgrade",
    "to-downgrade-change-arch": "downgrade",
    "to-install": "install",
    "to-remove": "remove",
}


def read_answer(sections: Sections, offers: Sequence[Offer] = ()) -> Answer:
    """Read ``--dry-run``.

    Which versions are security updates is known from ``offers`` alone; size and hash as well, where the
    repository's metadata could not be read.

    Raises:
        Stalled: A section is missing or does not parse.
    """
    code, resolve = sections.exit_code, sections.get("resolve")
    stream = document(resolve)
    is_resolved = code not in codes.REFUSED and bool(resolve.lines)
    return Answer(
        changes=_changes(sections, stream, offers) if is_resolved else (),
        kept_back=_kept_back(sections.get("left-out")),
        exit_code=code,
        native_code=resolve.code,
        message=_message(sections, stream) if code in codes.REFUSED else "",
        unmet=(
            *dict.fromkeys(_unmet(problems(document(sections.get("why"))) or problems(stream))),
            *_other_vendors(sections, stream),
        ),
    )


def _other_vendors(sections: Sections, stream: Element) -> Iterator[Unmet]:
    """Tell which packages would come from another vendor than they did, which no upgrade does by itself."""
    section = sections.get("vendors")
    now = dict(fields_of(section, line, 2) for line in section.lines)
    coming = {(one.name, one.version): one.vendor for one in records(sections)}
    for element in stream.iterfind(".//to-change-vendor/solvable[@type='package']"):
        name, version = element.get("name", ""), element.get("edition", "")
        if name in now:
            new = coming.get((name, version)) or "nobody"
            yield Unmet(name, version, VENDOR, f"{new} instead of {now[name]}")


def _message(sections: Sections, stream: Element) -> str:
    locks = tuple(f"there is a lock on {package}" for package in locked(stream))
    said = sections.get("refused").errors or (*problems(stream), *locks) or messages(stream, "error")
    return words_of(said) or "zypper could not resolve"


# --- the transaction ----------------------------------------------------------------------------------------


def _changes(sections: Sections, stream: Element, offers: Sequence[Offer]) -> tuple[Change, ...]:
    known = _with_offers(records(sections), offers)
    present = {(row.package, row.version): row.size for row in rows(sections.need("installed"), 6)}
    coming: list[tuple[Change, Record | None]] = []
    going: list[Change] = []
    for block, element in _solvables(sections.need("resolve"), stream):
        told = _change(sections.need("resolve"), _ACTIONS[block], element, present)
        comes = _as_it_comes(told, element)
        for change in _apart(told, comes, present):
            if change.to_version is None:
                going.append(change)
            else:
                record = known.get((comes, change.to_version))
                coming.append((change, record or known.get((change.package, change.to_version))))
    going = list(dict.fromkeys(going))
    # The same version from another vendor is no update.
    coming = list(
        {
            change: (change, record) for change, record in coming if change.from_version != change.to_version
        }.values()
    )
    moving = [record for _, record in coming if record is not None]
    secure = {(offer.package, one.version) for offer in offers for one in offer.versions if one.security}
    return (
        *(_removal(change, moving) for change in going),
        *(
            replace(
                _detailed(change, record, moving, present),
                security=(change.package, change.to_version) in secure,
            )
            for change, record in coming
        ),
    )


def _solvables(section: Section, stream: Element) -> Iterator[tuple[str, Element]]:
    """Yield the packages of the summary; patches, patterns and products move with theirs.

    One package stands in every block that is true of it. Those whose name does not begin with ``to-``, such
    as ``unsupported``, only remark on packages of the others.
    """
    for summary in stream.iter("install-summary"):
        for block in summary:
            for element in block.iterfind("solvable"):
                if element.get("type") != "package":
                    continue
                if not block.tag.startswith("to-"):
                    continue
                if block.tag not in _ACTIONS:
                    raise unparsed(section, f"{block.tag} {element.get('name')}")
                yield block.tag, element


_Sizes = Mapping[tuple[PackageId, str], int | None]
"""Bytes on disk of what is installed, by package and version."""


def _as_it_comes(change: Change, element: Element) -> PackageId:
    """Return which package of the sources it is: also where it changes the architecture."""
    return PackageId(change.name, element.get("arch") or change.arch)


def _apart(change: Change, comes: PackageId, present: _Sizes) -> tuple[Change, ...]:
    """Return the two changes that it is where a package takes the place of its other architecture.

    zypper has one package of a name. Where rpm has two, it calls that a change of architecture.
    """
    now = next((version for package, version in present if package == comes), None)
    if comes == change.package or now is None:
        return (change,)
    size = present.get((change.package, change.from_version or ""))
    gone = replace(change, action="remove", to_version=None, installed_delta=None if size is None else -size)
    return (replace(change, arch=comes.arch, from_version=now), gone)


def _change(section: Section, action: Action, element: Element, present: _Sizes) -> Change:
    name, edition = element.get("name", ""), element.get("edition", "")
    arch = element.get("arch-old") or element.get("arch") or ""
    if not name or not edition:
        raise unparsed(section, f"a package without name or version in {action}")
    if action == "remove":
        size = present.get((PackageId(name, arch), edition))
        return Change(action, name, arch, edition, None, installed_delta=None if size is None else -size)
    return Change(action, name, arch, element.get("edition-old"), edition)


def _removal(change: Change, moving: Sequence[Record]) -> Change:
    version = change.from_version or ""
    if any(record.name == change.name for record in moving):
        return replace(change, by=(change.name,))
    if replacing := against(change.name, version, moving, "obsoletes"):
        return replace(change, action="replace", by=replacing)
    return replace(change, by=against(change.name, version, moving, "conflicts"))


_Known = dict[tuple[PackageId, str], Record]


def _with_offers(found: Iterable[Record], offers: Iterable[Offer]) -> _Known:
    """Return what is known of each version, by package and version; the last observation fills the gaps."""
    known: _Known = {
        (offer.package, one.version): Record(
            one.origins[0] if one.origins else "",
            offer.name,
            offer.arch,
            one.version,
            one.size,
            one.installed_size,
            one.sha256,
        )
        for offer in offers
        for one in offer.versions
    }
    known.update({(record.package, record.version): record for record in found})
    return known


def _detailed(change: Change, record: Record | None, moving: Sequence[Record], present: _Sizes) -> Change:
    if record is None:
        return change
    before = 0 if change.from_version is None else present.get((change.package, change.from_version))
    after = record.installed_size
    return replace(
        change,
        origin=record.repository,
        size=record.size,
        installed_delta=None if after is None or before is None else after - before,
        sha256=record.sha256,
        by=needing(record, moving) if change.action == "install" else (),
    )


# --- what stands in the way ---------------------------------------------------------------------------------

_WHO = r"(?:the (?:to be )?installed )?'?(?P<who>(?:\w+:)?[^\s']+)'?"
_SENTENCES = (
    (
        re.compile(rf"{_WHO} requires '?(?P<needs>[^',]+?)'?, but this requirement cannot be provided"),
        "Depends",
    ),
    (re.compile(rf"nothing provides '?(?P<needs>.+?)'? needed by {_WHO}"), "Depends"),
    (re.compile(rf"{_WHO} conflicts with '?(?P<needs>.+?)'? provided by .+"), "Conflicts"),
    (re.compile(rf"{_WHO} obsoletes '?(?P<needs>.+?)'? provided by .+"), "Conflicts"),
)
_PACKAGE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+-[^-]+)\.[^.-]+")
_PATCH = re.compile(r"(?P<name>patch:.+)-(?P<version>[^-]+)\.[^.-]+")  # has no release


def _unmet(said: Iterable[str]) -> Iterator[Unmet]:
    for problem in said:
        for sentence, kind in _SENTENCES:
            if match := sentence.fullmatch(problem):
                form = _PATCH if match["who"].startswith("patch:") else _PACKAGE
                package = form.fullmatch(match["who"].partition("[")[0])
                name, version = (package["name"], package["version"]) if package else (match["who"], "")
                yield Unmet(name, version, kind, match["needs"])
                break


def _kept_back(section: Section) -> tuple[str, ...]:
    """Return the packages that stay for what was left out: zypper itself only names patches."""
    found = {line.removeprefix("package ") for line in section.lines if line.startswith("package ")}
    for unmet in _unmet(problems_in(section.lines)):
        # A patch conflicts with the version that it is to replace.
        is_patch = unmet.package.startswith("patch:")
        found.add(unmet.needs.partition(" ")[0] if is_patch else unmet.package)
    return tuple(sorted(found))


# --- refresh ------------------------------------------------------------------------------------------------


def read_refresh(sections: Sections) -> Refresh:
    """Read why ``--refresh`` failed.

    Raises:
        Stalled: The section is missing or does not parse.
    """
    section = sections.need("refresh")
    stream = document(section)
    said = [*messages(stream, "error", "warning"), *section.errors]
    words = sentence_of(said)
    detail = words or f"zypper refresh ended with {section.code}"
    if "Root privileges are required" in detail or "Permission denied" in detail:
        return Refresh(RefreshOutcome.NOT_PERMITTED, detail)
    return Refresh(RefreshOutcome.FAILED, detail, missing=_unread(sections, passed_over(stream)))


def _unread(sections: Sections, names: frozenset[str]) -> tuple[str, ...]:
    """Return the aliases of what has these names, which need not be unique."""
    listed = sections.get("repos")
    if listed.code != 0 or not names:
        return ()
    repos = document(listed).iter("repo")
    return tuple(
        sorted(
            repo.get("alias", "")
            for repo in repos
            if repo.get("enabled") == "1" and repo.get("name", "") in names
        )
    )


ZYPPER = Dialect(
    name="zypper",
    observation=read_observation,
    answer=read_answer,
    refresh=read_refresh,
    repairs_whole=True,
    explaining={
        "successors": "what an update would put in the place of installed packages",
        "obsoleters": "what else could take the place of installed packages",
        "dependencies": "whether all that installed packages need is there",
    },
    hint="run `zypper verify --dry-run` to see more",
    coded=frozenset({"clock", "held", "needs-rebooting", "patches", "repos", "updates", "versions"}),
)
"""How zypper's sections are read."""
