"""What ``dnf-update.sh --observe`` printed, as an observation.

- Offers are what the enabled repositories hold and the operator's excludes and locks admit. Where these admit
  nothing of a package, all that there is of it is shown, and the package is held.
- What would take the place of an installed package is an offer, unless something of its name is installed.
- Of an install-only package (kernels) every installed version is told; its offer starts from the newest.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from reconciler.errors import Stalled
from reconciler.managers.dialect import Seen
from reconciler.managers.dnf_formats import (
    Advised,
    advice_for,
    advised,
    joined,
    rows,
)
from reconciler.managers.dnf_successors import successors_of
from reconciler.managers.machine import (
    digest_of,
    read_filesystems,
    read_kernels,
    read_lock_holder,
    unless_unanswered,
)
from reconciler.managers.rpm import RpmRow, read_unsatisfied, serves_security, version_key
from reconciler.managers.sections import Section, Sections, fields_of, instant, number, pairs
from reconciler.planning.facts.observation import (
    Available,
    Health,
    Installed,
    Offer,
    Reboot,
    RebootNeed,
    Source,
)
from reconciler.planning.facts.package import PackageId
from reconciler.planning.facts.versions import compare_rpm
from reconciler.planning.text.untrusted import redacted
from reconciler.records import dataclass


def read_observation(sections: Sections, at: datetime) -> Seen:
    """Read ``--observe`` of a run that ended with 0, taken at an aware instant.

    Raises:
        Stalled: A section is missing or does not parse, or rpm knows no package at all.
    """
    machine = pairs(sections.need("machine"))
    present = rows(sections.need("installed"))
    if not present:
        raise Stalled("rpm knows no installed package", "look at its database with `rpm -qa`")
    admitted = _admitted(sections)
    successors = successors_of(sections, present, machine.get("architecture", ""))
    offers = sorted((*_offers(sections, present), *successors), key=lambda offer: offer.package)
    return Seen(
        installed=_installed(sections, present, _hidden(offers, admitted)),
        offers=tuple(_as_admitted(offer, admitted) for offer in offers),
        sources=tuple(_sources(sections, at)),
        health=_health(sections),
        reboot=_reboot(sections, machine, present),
        database=digest_of((*sections.need("installed").lines, "", *sections.need("reasons").lines)),
    )


# --- installed ----------------------------------------------------------------------------------------------


def _installed(
    sections: Sections, present: Iterable[RpmRow], hidden: frozenset[PackageId]
) -> tuple[Installed, ...]:
    automatic = _automatic(sections.need("reasons"))
    held = _keys(sections.need("versionlock")) | hidden
    visible = _keys(sections.get("visible")) if "visible" in sections.by_name else None
    return tuple(
        Installed(
            row.name,
            row.arch,
            row.version,
            held=row.package in held or (visible is not None and row.package not in visible),
            automatic=(row.package, row.version) in automatic,
            source=row.source,
            source_version=row.source_version,
        )
        for row in present
    )


def _automatic(section: Section) -> frozenset[tuple[PackageId, str]]:
    """Return what came in for others; what dnf knows no reason of was installed by rpm, and is wanted."""
    fields = (fields_of(section, line, 4) for line in section.lines)
    return frozenset(
        (PackageId(name, arch), version)
        for name, arch, version, reason in fields
        if reason.lower().replace(" ", "-") in {"dependency", "weak-dependency"}
    )


def _keys(section: Section) -> frozenset[PackageId]:
    return frozenset(PackageId(*fields_of(section, line, 2)) for line in section.lines)


# --- offers -------------------------------------------------------------------------------------------------


def _offers(sections: Sections, present: Iterable[RpmRow]) -> tuple[Offer, ...]:
    newest = {row.package: row for row in present}
    of_name: dict[str, list[RpmRow]] = {}
    for row in newest.values():
        of_name.setdefault(row.name, []).append(row)
    notices = _notices(sections)
    found: dict[PackageId, list[Available]] = {}
    section = sections.need("upgrades")
    for line in section.lines:
        name, arch, version, origin, size, installed_size = fields_of(section, line, 6)
        one = Available(version, (origin,), False, number(size), number(installed_size))
        same_name = of_name.get(name, [])
        for row in same_name:
            is_meant = row.arch == arch or len(same_name) == 1
            if is_meant and compare_rpm(version, row.version) > 0:
                found.setdefault(row.package, []).append(one)
    return tuple(
        _offer(newest[key], versions, _about(key, notices, is_single=len(of_name[key.name]) == 1))
        for key, versions in sorted(found.items())
    )


_Admitted = frozenset[tuple[str, str, str]]


def _admitted(sections: Sections) -> _Admitted | None:
    """Return name, version and source of what the operator admits; ``None`` where that is everything."""
    if "admitted" not in sections.by_name:
        return None
    section = sections.need("admitted")
    rows_ = (fields_of(section, line, 4) for line in section.lines)
    return frozenset((name, version, origin) for name, _, version, origin in rows_)


def _left(offer: Offer, admitted: _Admitted) -> tuple[Available, ...]:
    """Return the versions that are admitted, each with the sources that it is admitted from."""
    found = (
        replace(
            one,
            origins=tuple(each for each in one.origins if (offer.name, one.version, each) in admitted),
        )
        for one in offer.versions
    )
    return tuple(one for one in found if one.origins)


def _hidden(offers: Iterable[Offer], admitted: _Admitted | None) -> frozenset[PackageId]:
    """Return the packages of which no version is admitted."""
    if admitted is None:
        return frozenset()
    return frozenset(offer.package for offer in offers if not _left(offer, admitted))


def _as_admitted(offer: Offer, admitted: _Admitted | None) -> Offer:
    """Leave out what is not admitted, unless that is all."""
    if admitted is None:
        return offer
    versions = _left(offer, admitted)
    if not versions:
        return replace(offer, held=bool(offer.replaces))
    return replace(offer, candidate=versions[0].version, versions=versions)


def _about(package: PackageId, notices: Iterable[Advised], *, is_single: bool) -> list[Advised]:
    """Return what advisories say of a package: of its architecture, where its name has several here."""
    arches = {package.arch, "noarch"}
    return [one for one in notices if one.name == package.name and (is_single or one.arch in arches)]


def _notices(sections: Sections) -> tuple[Advised, ...]:
    return tuple(one for name in ("advisories", "cves") for one in advised(sections.get(name)))


def _offer(row: RpmRow, versions: Sequence[Available], notices: Sequence[Advised]) -> Offer:
    """Make one of all that is offered, with the advisories that it is about."""
    newest_first = joined(
        versions,
        {one.version for one in notices if one.security},
        lambda version: advice_for(notices, row.version, version),
    )
    candidate = newest_first[0].version
    return Offer(
        row.name,
        row.arch,
        row.version,
        candidate,
        newest_first,
        tuple(
            sorted(
                {
                    notice.advisory
                    for notice in notices
                    if notice.advisory
                    and compare_rpm(row.version, notice.version) < 0 <= compare_rpm(candidate, notice.version)
                }
            )
        ),
    )


# --- sources ------------------------------------------------------------------------------------------------

_CACHE_FOLDER = re.compile(r"(.+)-[0-9a-f]{16}")
_NO_CACHE = re.compile(r".*Cache-only enabled but no cache for (?:repository )?['\"]([^'\"]+)['\"].*")
_URL_KEYS = ("repo-baseurl", "base url", "repo-metalink", "metalink", "repo-mirrors", "mirrorlist", "mirrors")


@dataclass(frozen=True, slots=True)
class _Metadata:
    fetched: datetime
    published: datetime | None
    security: bool | None


def _sources(sections: Sections, at: datetime) -> Iterator[Source]:
    section = sections.need("repositories")
    known = _metadata(sections.need("metadata"))
    marked = frozenset(sections.get("may-be-missing").lines)
    for fields in _repositories(section):
        name = fields.get("repo-id") or fields["repo id"]
        urls = (fields[key] for key in _URL_KEYS if fields.get(key))
        url = redacted(next(urls, "").split(",")[0].partition(" (")[0].strip())
        yield replace(_source(name, url, known.get(name), at), may_be_missing=name in marked)
    for line in section.errors:
        if match := _NO_CACHE.fullmatch(line):
            yield replace(_source(match[1], "", None, at), may_be_missing=match[1] in marked)


def _repositories(section: Section) -> Iterator[dict[str, str]]:
    """Read ``dnf repolist -v``: ``Key : value`` lines, in blocks that begin with the repository's id."""
    block: dict[str, str] = {}
    for line in section.lines:
        key, colon, value = line.partition(":")
        key = key.strip().lower()
        if key in {"repo-id", "repo id"} and colon:
            if block:
                yield block
            block = {}
        elif not block:
            continue
        if key and colon:
            block.setdefault(key, value.strip())
    if block:
        yield block


def _metadata(section: Section) -> dict[str, _Metadata]:
    """Read ``[metadata]``; of a repository whose address changed, the folder that was read last counts."""
    found: dict[str, _Metadata] = {}
    for line in section.lines:
        folder, fetched, revision, youngest, advises = fields_of(section, line, 4, later=1)
        match = _CACHE_FOLDER.fullmatch(folder)
        name = match[1] if match else folder
        published = _published(section, line, (revision, youngest))
        read = _Metadata(instant(section, line, fetched), published, serves_security(advises))
        if name not in found or found[name].fetched < read.fetched:
            found[name] = read
    return found


_SECONDS = re.compile(r"1[0-9]{9}")  # between 2001 and 2033: a revision may be any number


def _published(section: Section, line: str, told: Iterable[str]) -> datetime | None:
    text = next((one for one in told if _SECONDS.fullmatch(one)), None)
    return None if text is None else instant(section, line, text)


def _source(name: str, url: str, known: _Metadata | None, at: datetime) -> Source:
    if known is None:
        return Source(name, url, None, None, None, "its metadata have never been read")
    problem = ""
    if known.published is not None and known.published > at:
        problem = f"its metadata are dated in the future: {known.published:%Y-%m-%d %H:%M} UTC"
    return Source(name, url, known.published, None, known.fetched, problem, security=known.security)


# --- health and reboot --------------------------------------------------------------------------------------

_PROGRAMS = re.compile(r"dnf|yum|rpm|microdnf|zypper|packagekitd|platform-pytho|python3?")


def _health(sections: Sections) -> Health:
    section = sections.get("duplicates")
    twice: dict[PackageId, list[str]] = {}
    for line in section.lines:
        name, arch, version = fields_of(section, line, 3)
        twice.setdefault(PackageId(name, arch), []).append(version)
    return Health(
        interrupted=tuple(
            f"{one} is installed in versions {' and '.join(sorted(versions, key=version_key))}"
            for one, versions in sorted(twice.items())
        ),
        broken=read_unsatisfied(sections.get("dependencies")),
        lock_holder=read_lock_holder(sections.need("locks"), _PROGRAMS),
        filesystems=tuple(read_filesystems(sections.need("filesystems"))),
        kernels=read_kernels(sections.need("filesystems")),
    )


_KERNEL = re.compile(r"kernel(?:-(?:uek|rt|64k|16k|debug|lt|ml|plus|zfcpdump))*(?:-core)?")


def _reboot(sections: Sections, machine: Mapping[str, str], present: Sequence[RpmRow]) -> Reboot:
    """Tell whether a reboot is pending: what the plugin says, then the kernel.

    A container has no kernel of its own, and an image that does not run has none at all.
    """
    if machine.get("container") == "yes" or machine.get("root") != "/":
        return Reboot(RebootNeed.NOT_REQUIRED)
    section = sections.get("restarting")
    if section.code == 1 and any("Reboot is required" in line for line in section.lines):
        return Reboot(
            RebootNeed.REQUIRED,
            tuple(line.strip(" *") for line in section.lines if line.startswith("  * ")),
        )
    kernel = _kernel_reboot(machine.get("kernel", ""), present)
    return kernel if section.code == 0 else unless_unanswered(section, kernel)


def _kernel_reboot(running: str, present: Sequence[RpmRow]) -> Reboot:
    kernels = [row for row in present if _KERNEL.fullmatch(row.name)]
    if not kernels:
        return Reboot(RebootNeed.NOT_REQUIRED)
    release = running.partition("+")[0]
    # A kernel's release is that of its package, with the architecture behind; `-core` holds the image.
    current = [row for row in kernels if f"{row.version.rpartition(':')[2]}.{row.arch}" == release]
    if not current:
        return Reboot(RebootNeed.UNKNOWN, (f"the running kernel {running} is no installed package's",))
    own = next((row for row in current if row.name.endswith("-core")), current[0])
    newest = max(
        (row for row in kernels if row.package == own.package),
        key=lambda row: version_key(row.version),
        default=own,
    )
    if compare_rpm(newest.version, own.version) > 0:
        reason = f"{newest.name}-{newest.version} is installed, {running} is running"
        return Reboot(RebootNeed.REQUIRED, (reason,))
    return Reboot(RebootNeed.NOT_REQUIRED)
