"""What ``zypper-update.sh --observe`` printed, as an observation.

- A package is known by name and by the architecture it is installed with. Where several versions of a kernel
  are installed at once, each is a package; updates are offered to the newest.
- A version is *security* when a patch of category security that this machine needs names a version of the
  package that is newer than the installed one and not newer than this one: zypper itself chooses which
  version a patch brings, usually the newest.
- What an update would put in the place of an installed package, by a name of which nothing is there, is an
  offer, too; and so is what obsoletes it and does not come, which zypper does not mention.
- The operator's locks are those that zypper itself finds: for an installed package, or for every newer
  version of it. Where a lock is about some of these only, the others are on offer.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.errors import Stalled
from reconciler.managers.dialect import Seen
from reconciler.managers.machine import (
    digest_of,
    read_filesystems,
    read_kernels,
    read_lock_holder,
    unless_unanswered,
)
from reconciler.managers.rpm import RpmRow, read_unsatisfied, rows, serves_security, version_key
from reconciler.managers.sections import Section, Sections, fields_of, instant, pairs, whole
from reconciler.managers.zypper_formats import (
    Advisory,
    Record,
    advised,
    advisories,
    document,
    folder_of,
    names_of,
    passed_over,
    records,
)
from reconciler.managers.zypper_successors import successors_of
from reconciler.planning.facts.observation import (
    Available,
    Health,
    Installed,
    Offer,
    Reboot,
    RebootNeed,
    Source,
)
from reconciler.planning.facts.package import Names, PackageId
from reconciler.planning.facts.versions import compare_rpm
from reconciler.planning.text.untrusted import redacted
from reconciler.records import dataclass


def read_observation(sections: Sections, at: datetime) -> Seen:
    """Read ``--observe`` of a run that ended with 0, taken at an aware instant.

    Raises:
        Stalled: A section is missing or does not parse, or rpm knows no package at all.
    """
    machine = pairs(sections.need("machine"))
    present = tuple(rows(sections.need("installed"), 6))
    if not present:
        raise Stalled("rpm knows no installed package", "look at its database with `rpm -qa`")
    installed = _installed(sections, present)
    locked = frozenset(_locked(sections))
    offers = tuple(_unlocked(offer, locked) for offer in _offers(sections, installed))
    held = {offer.package for offer in offers if _is_locked(offer, locked)}
    return Seen(
        installed=tuple(replace(one, held=one.held or one.package in held) for one in installed),
        offers=tuple(replace(one, held=bool(one.replaces) and one.package in held) for one in offers),
        sources=_sources(sections, at),
        health=_health(sections, present),
        reboot=_reboot(sections, machine, present),
        database=_digest(sections, present),
    )


def _installed(sections: Sections, present: Iterable[RpmRow]) -> tuple[Installed, ...]:
    automatic = frozenset(_marks(sections))
    held = frozenset(
        PackageId(match.get("name", ""), match.get("arch", ""))
        for match in document(sections.need("held")).iter("match")
        if match.get("installed") == "true" and match.get("kind") == "package"
    )
    found = (
        Installed(
            name=row.name,
            arch=row.arch,
            version=row.version,
            held=row.package in held,
            automatic=row.name in automatic,
            source=row.source,
            source_version=row.source_version,
        )
        for row in present
    )
    return tuple(sorted(found, key=lambda one: (one.package, version_key(one.version))))


_Locked = frozenset[tuple[PackageId, str]]
"""Versions on offer that a lock of the operator's is about."""


def _locked(sections: Sections) -> Iterator[tuple[PackageId, str]]:
    for match in document(sections.need("held")).iter("match"):
        if match.get("installed") != "true" and match.get("kind") == "package":
            yield PackageId(match.get("name", ""), match.get("arch", "")), match.get("edition", "")


def _is_locked(offer: Offer, locked: _Locked) -> bool:
    return all((offer.package, one.version) in locked for one in offer.versions)


def _unlocked(offer: Offer, locked: _Locked) -> Offer:
    """Leave out the versions that are locked, unless all of them are."""
    free = tuple(one for one in offer.versions if (offer.package, one.version) not in locked)
    if not free or free == offer.versions:
        return offer
    return replace(offer, candidate=free[0].version, versions=free)


def _marks(sections: Sections) -> tuple[str, ...]:
    lines = (line.strip() for line in sections.need("automatic").lines)
    return tuple(line for line in lines if line and not line.startswith("#"))


# --- offers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Market:
    """What the sources offer.

    Attributes:
        versions: Aliases of the sources by version, by package.
        records: By package and version.
        patches: Those that this machine needs.
    """

    versions: Mapping[PackageId, Mapping[str, tuple[str, ...]]]
    records: Mapping[tuple[PackageId, str], Record]
    patches: Sequence[Advisory]


def _offers(sections: Sections, installed: Sequence[Installed]) -> tuple[Offer, ...]:
    known = records(sections)
    market = _Market(
        versions=_versions(sections, known),
        records={(one.package, one.version): one for one in known},
        patches=advisories(sections.get("advisories")),
    )
    found = []
    for update in document(sections.need("updates")).iter("update"):
        package = _updated(installed, update.attrib) if update.get("kind") == "package" else None
        if package is not None:
            candidate = update.get("edition", "")
            available = _available(package, update.get("arch", ""), candidate, market)
            names = _advisories_of(package, candidate, market.patches)
            found.append(Offer(package.name, package.arch, package.version, candidate, available, names))
    found += successors_of(sections, installed, known, market.patches)
    return tuple(sorted(found, key=lambda offer: offer.package))


def _updated(installed: Iterable[Installed], update: Mapping[str, str]) -> Installed | None:
    """Return the package that an update is for: of its architecture, where that does not change."""
    fitting = [
        one for one in installed if (one.name, one.version) == (update.get("name"), update.get("edition-old"))
    ]
    exact = [one for one in fitting if one.arch == update.get("arch")]
    return next(iter(exact or fitting), None)


def _versions(sections: Sections, known: Iterable[Record]) -> dict[PackageId, dict[str, tuple[str, ...]]]:
    """Return what is on offer: the sources' aliases by version, by package.

    zypper calls a source by its name. Of several of one name, it is those whose metadata have the version.
    """
    aliases: defaultdict[str, list[str]] = defaultdict(list)
    for repo in document(sections.need("repos")).iter("repo"):
        aliases[repo.get("name", "")].append(repo.get("alias", ""))
    having = {(one.package, one.version, one.repository) for one in known}
    found: dict[PackageId, dict[str, tuple[str, ...]]] = {}
    for one in document(sections.get("versions")).iter("solvable"):
        repository = one.get("repository", "")
        if one.get("kind") == "package" and repository != "(System Packages)":
            package, version = PackageId(one.get("name", ""), one.get("arch", "")), one.get("edition", "")
            named = aliases.get(repository, [repository])
            exact = [alias for alias in named if (package, version, alias) in having]
            offered = found.setdefault(package, {})
            offered[version] = (*offered.get(version, ()), *(exact if len(named) > 1 and exact else named))
    return found


def _available(package: Installed, arch: str, candidate: str, market: _Market) -> tuple[Available, ...]:
    """Return every version above the installed one, newest first."""
    coming = PackageId(package.name, arch)
    offered = {candidate: (), **market.versions.get(coming, {})}
    newer = [version for version in offered if compare_rpm(version, package.version) > 0]
    found = []
    for version in sorted(newer, key=version_key, reverse=True):
        record = market.records.get((coming, version))
        fixing = (one for one in market.patches if one.lies_in(coming, package.version, version))
        one = Available(
            version=version,
            origins=tuple(dict.fromkeys(offered[version])),
            security=False,
            size=record.size if record else None,
            installed_size=record.installed_size if record else None,
            sha256=record.sha256 if record else None,
        )
        found.append(advised(one, fixing))
    return tuple(found)


def _advisories_of(package: Installed, candidate: str, patches: Iterable[Advisory]) -> tuple[str, ...]:
    return names_of(patch for patch in patches if patch.lies_in(package.package, package.version, candidate))


# --- sources ------------------------------------------------------------------------------------------------


def _sources(sections: Sections, at: datetime) -> tuple[Source, ...]:
    known = _metadata(sections.need("metadata"))
    left_out = passed_over(document(sections.need("updates")))
    return tuple(
        _source(
            repo.get("alias", ""),
            redacted((repo.findtext("url") or "").strip()),
            known.get(folder_of(repo.get("alias", ""))),
            at,
            is_left_out=repo.get("name", "") in left_out or repo.get("alias", "") in left_out,
        )
        for repo in document(sections.need("repos")).iter("repo")
        if repo.get("enabled") == "1"
    )


@dataclass(frozen=True, slots=True)
class _Metadata:
    """When a repository was read last, when it was made, and until when it holds."""

    fetched: datetime
    made: datetime | None
    valid_until: datetime | None
    security: bool | None


def _metadata(section: Section) -> dict[str, _Metadata]:
    found = {}
    for line in section.lines:
        alias, fetched, made, expires, advises = fields_of(section, line, 4, later=1)
        written = instant(section, line, made) if made != "0" else None
        until = _valid_until(written, whole(section, line, expires))
        read = instant(section, line, fetched)
        found[alias] = _Metadata(read, written, until, serves_security(advises))
    return found


def _valid_until(made: datetime | None, seconds: int) -> datetime | None:
    try:
        return made + timedelta(seconds=seconds) if made and seconds else None
    except OverflowError:  # after the end of the calendar, which is as good as never
        return None


def _source(
    name: str,
    url: str,
    known: _Metadata | None,
    at: datetime,
    *,
    is_left_out: bool,
) -> Source:
    if known is None:
        return Source(name, url, None, None, None, "its metadata were never read on this machine")
    made, valid_until = known.made, known.valid_until
    problem = "zypper cannot use its metadata and leaves it out" if is_left_out else ""
    if valid_until is not None and valid_until < at:
        problem = f"its metadata were valid until {valid_until:%Y-%m-%d %H:%M} UTC"
    elif made is not None and made > at:
        problem = f"its metadata are dated in the future: {made:%Y-%m-%d %H:%M} UTC"
    return Source(name, url, made, valid_until, known.fetched, problem, security=known.security)


# --- health and reboot --------------------------------------------------------------------------------------

_PROGRAMS = re.compile(r"zypper|zypp|rpm|packagekitd|y2base|ruby|transactional|dnf")


def _health(sections: Sections, present: Iterable[RpmRow]) -> Health:
    return Health(
        interrupted=tuple(_doubled(present, frozenset(sections.need("multiversion").lines))),
        broken=read_unsatisfied(sections.get("dependencies")),
        lock_holder=read_lock_holder(sections.need("locks"), _PROGRAMS),
        filesystems=tuple(read_filesystems(sections.need("filesystems"))),
        kernels=read_kernels(sections.need("filesystems")),
    )


def _doubled(present: Iterable[RpmRow], many: frozenset[str]) -> Iterable[str]:
    """Name packages of which an interrupted rpm left an older version beside the newer one."""
    versions: dict[PackageId, list[str]] = {}
    for row in present:
        if row.name not in many:
            versions.setdefault(row.package, []).append(row.version)
    name = Names.among(versions)
    for package, found in sorted(versions.items()):
        if len(found) > 1:
            yield f"{name(package)} ({' and '.join(sorted(found, key=version_key))} at once)"


def _reboot(sections: Sections, machine: Mapping[str, str], present: Iterable[RpmRow]) -> Reboot:
    """Tell whether a reboot is pending: the distribution's own marks, then the kernel.

    A container has no kernel of its own, and an image that does not run has none at all; what zypper says of
    core libraries is about this boot, which is not theirs either.
    """
    if marks := sections.need("reboot").lines:
        return Reboot(RebootNeed.REQUIRED, tuple(f"{mark} is there" for mark in marks))
    if machine.get("container") == "yes" or machine.get("root") != "/":
        return Reboot(RebootNeed.NOT_REQUIRED)
    kernel = _kernel_reboot(machine.get("kernel", ""), present)
    asked = sections.get("needs-rebooting")
    if asked.code == _NEEDS_REBOOT:
        said = "core libraries or services were updated since the last boot"
        return Reboot(RebootNeed.REQUIRED, tuple(dict.fromkeys((*_if_required(kernel), said))))
    return kernel if asked.code == 0 else unless_unanswered(asked, kernel)


_NEEDS_REBOOT = 102


def _if_required(reboot: Reboot) -> tuple[str, ...]:
    return reboot.reasons if reboot.need is RebootNeed.REQUIRED else ()


def _kernel_reboot(running: str, present: Iterable[RpmRow]) -> Reboot:
    """Compare the newest installed kernel of the running flavour with the one that runs.

    ``uname -r`` is the package's version and release without its last, a rebuild's, number, and the flavour.
    """
    release, _, flavour = running.rpartition("-")
    kernels = [row for row in present if row.name == f"kernel-{flavour}"]
    if not any(row.name.startswith("kernel-") for row in present):
        return Reboot(RebootNeed.NOT_REQUIRED)
    current = [
        row.version for row in kernels if row.version == release or row.version.startswith(f"{release}.")
    ]
    if not release or not current:
        return Reboot(RebootNeed.UNKNOWN, (f"the running kernel {running} is no installed package's",))
    newest = max((row.version for row in kernels), key=version_key)
    if compare_rpm(newest, max(current, key=version_key)) > 0:
        return Reboot(RebootNeed.REQUIRED, (f"kernel-{flavour} {newest} is installed, {running} is running",))
    return Reboot(RebootNeed.NOT_REQUIRED)


def _digest(sections: Sections, present: Iterable[RpmRow]) -> str:
    packages = (f"{row.name}\t{row.arch}\t{row.version}" for row in present)
    return digest_of((*packages, "", *sorted(_marks(sections))))
