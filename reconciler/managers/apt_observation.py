"""What ``apt-update.sh --observe`` printed, as an observation.

- A package is known by name and by the architecture it is installed with, ``all`` where it has none.
- An offer counts what apt would choose under the operator's own pins. Where that is the installed version,
  nothing is offered; a version that the operator prefers less than apt's candidate is not offered either.
- What ``APT::Default-Release`` alone hides of the security service is offered, and told to be hidden.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from reconciler.errors import Stalled
from reconciler.managers.apt_formats import (
    PackageFile,
    Records,
    Table,
    Version,
    key_of,
    native_key,
    package_files,
    record_of,
    records_of,
    rows,
    stanzas,
    tables,
)
from reconciler.managers.apt_relations import unmet
from reconciler.managers.dialect import Seen
from reconciler.managers.machine import (
    digest_of,
    read_filesystems,
    read_kernels,
    read_lock_holder,
)
from reconciler.managers.sections import (
    Section,
    Sections,
    fields_of,
    instant,
    kib,
    number,
    pairs,
    sentence_of,
    unless_same,
    unparsed,
)
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
from reconciler.planning.text.untrusted import redacted
from reconciler.policy.sources import written
from reconciler.records import dataclass


def read_observation(sections: Sections, at: datetime) -> Seen:
    """Read ``--observe`` of a run that ended with 0, taken at an aware instant.

    Raises:
        Stalled: A section is missing or does not parse, or dpkg knows no package at all.
    """
    machine = pairs(sections.need("machine"))
    native = machine.get("architecture", "")
    installed = _installed(sections, native)
    if not installed:
        raise Stalled("dpkg knows no installed package", "look at its database, usually /var/lib/dpkg/status")
    origins = package_files(sections)
    offers = _offers(sections, installed, origins, native)
    return Seen(
        installed=installed,
        offers=offers,
        sources=_sources(sections, origins, at),
        health=_health(sections, installed),
        reboot=_reboot(sections, machine, installed),
        database=digest_of((*sections.need("installed").lines, "", *sections.need("automatic").lines)),
        hooks=digest_of(hooks) if (hooks := sections.get("hooks").lines) else "",
    )


def _installed(sections: Sections, native: str) -> tuple[Installed, ...]:
    automatic = _automatic(sections.need("automatic"))
    return tuple(
        sorted(
            (
                Installed(
                    name=row.name,
                    arch=row.arch,
                    version=row.version,
                    status="reinst-required" if row.error == "reinstreq" else row.status,
                    held=row.want == "hold",
                    automatic=native_key(row.package, native) in automatic,
                    source=unless_same(row.source, row.name),
                    source_version=unless_same(row.source_version, row.version),
                )
                for row in rows(sections.need("installed"))
            ),
            key=lambda one: one.package,
        )
    )


def _automatic(section: Section) -> frozenset[PackageId]:
    return frozenset(
        PackageId(stanza.get("Package", ""), stanza.get("Architecture", ""))
        for stanza in stanzas(section.lines)
        if stanza.get("Auto-Installed") == "1"
    )


@dataclass(slots=True)
class _Release:
    """A release file of the lists folder."""

    fields: dict[str, str] = field(default_factory=dict)
    fetched: datetime | None = None


def _sources(sections: Sections, files: Mapping[str, PackageFile], at: datetime) -> tuple[Source, ...]:
    releases = _releases(sections)
    lists = sections.need("lists")
    found: dict[tuple[str, str], Source] = {}
    for line in lists.lines:
        prefix, site, description = fields_of(lists, line, 3)
        file = files.get(description)
        if file is None:
            continue  # of a source that is left out
        url = redacted(site)
        known = releases.get(prefix + "InRelease") or releases.get(prefix + "Release")
        fresh = replace(
            _source(file, url, known, at), id=prefix, release=written({**file.release, "site": file.site})
        )
        source = found.setdefault((url, prefix), fresh)
        serves = file.security and file.priority > 0
        found[url, prefix] = replace(source, security=bool(source.security) or serves)
    return tuple(found.values())


def _releases(sections: Sections) -> dict[str, _Release]:
    found: dict[str, _Release] = {}
    for line in sections.need("releases").lines:
        name, _, rest = line.partition("\t")
        key, _, value = rest.partition(":")
        found.setdefault(name, _Release()).fields.setdefault(key, value.strip())
    stamp: datetime | None = None
    times = sections.need("times")
    for line in times.lines:
        match line.split(" ", 2):
            case [changed, status_changed, path]:
                name = path.rpartition("/")[2]
            case _:
                raise unparsed(times, line)
        if name.endswith("-stamp"):
            stamp = max(filter(None, (stamp, instant(times, line, changed))), default=None)
        else:
            found.setdefault(name, _Release()).fetched = instant(times, line, status_changed)
    for release in found.values():
        release.fetched = max(filter(None, (release.fetched, stamp)), default=None)
    return found


def _source(file: PackageFile, url: str, known: _Release | None, at: datetime) -> Source:
    """Tell a source's age, which is unknown where apt takes what says nothing of it, or nothing that counts.

    Whether dates count is the operator's to say, in many places of apt's configuration. apt's own answer has
    all of them in it: what it took when a date spoke against it, it takes.
    """
    if known is None:
        why = "no release file: nothing vouches for its age"
        return Source(file.label, url, None, None, None, age_unknown=why)
    published, fetched = _date(known.fields.get("Date")), known.fetched
    valid_until = _date(known.fields.get("Valid-Until"))
    problem, is_taken = "", False
    if valid_until is not None and valid_until < at:
        problem = f"its release file was valid until {valid_until:%Y-%m-%d %H:%M} UTC"
        is_taken = fetched is not None and valid_until < fetched <= at
    elif published is not None and published > at:
        problem = f"its release file is dated in the future: {published:%Y-%m-%d %H:%M} UTC"
        is_taken = fetched is not None and fetched <= at
    if is_taken:
        why = f"{problem}, and apt takes it all the same"
        return Source(file.label, url, published, valid_until, fetched, age_unknown=why)
    return Source(file.label, url, published, valid_until, fetched, problem)


def _date(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        parsed = parsedate_to_datetime(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _offers(
    sections: Sections, installed: Sequence[Installed], files: Mapping[str, PackageFile], native: str
) -> tuple[Offer, ...]:
    records = records_of(sections.get("available"))
    by_key = {native_key(one.package, native): one for one in installed}

    def offered(section: str) -> Iterator[Offer]:
        for table in tables(sections.get(section)):
            key = key_of(table.name, native)
            package = by_key.get(key)
            if package is not None and (offer := _offer(package, table, files, records, key.arch)):
                yield offer

    offers = {offer.package: offer for offer in offered("policy")}
    for offer in offered("unpreferred"):
        if any(version.security for version in offer.versions):
            offers.setdefault(offer.package, replace(offer, hidden_by="APT::Default-Release"))
    return tuple(offers[package] for package in sorted(offers))


def _offer(
    package: Installed, table: Table, files: Mapping[str, PackageFile], records: Records, arch: str
) -> Offer | None:
    newer = _newer(table)
    least = next((version.priority for version in newer if version.version == table.candidate), None)
    eligible = [
        version
        for version in newer
        if version.phased is not None or (least is not None and version.priority >= least > 0)
    ]
    if not eligible:
        return None
    candidate = next((one.version for one in eligible if one.version == table.candidate), eligible[0].version)
    versions = tuple(
        _available(one, files, record_of(records, package.name, one.version, arch)) for one in eligible
    )
    return Offer(package.name, package.arch, package.version, candidate, versions)


def _newer(table: Table) -> list[Version]:
    """Return the versions above the installed one; apt lists the newest first."""
    newer: list[Version] = []
    for version in table.versions:
        if version.installed:
            return newer
        newer.append(version)
    return []


def _available(version: Version, files: Mapping[str, PackageFile], record: Mapping[str, str]) -> Available:
    sources = [files[line] for line in version.files if line in files]
    phased = number(record.get("Phased-Update-Percentage", ""))
    return Available(
        version=version.version,
        origins=tuple(dict.fromkeys(source.label for source in sources)),
        security=any(source.security for source in sources),
        size=number(record.get("Size", "")),
        installed_size=kib(record.get("Installed-Size", "")),
        sha256=record.get("SHA256"),
        phased=version.phased if phased is None else phased,
    )


def _unmet(section: Section) -> tuple[str, ...]:
    """Return the dependencies of installed packages that are not met, as apt tells them."""
    if not section.code:
        return ()
    found = tuple(f"{one.package}: {one.kind}: {one.needs}" for one in unmet(section.lines, {}))
    return found or (sentence_of(section.errors) or f"apt-get check ended with {section.code}",)


_APT_PROGRAMS = re.compile(
    r"apt|dpkg|aptitude|synaptic|unattended-upgr|packagekitd|python3?|gdebi|muon|discover"
)


def _health(sections: Sections, installed: Sequence[Installed]) -> Health:
    name = Names.among(one.package for one in installed)
    broken = [f"{name(one.package)} ({one.status})" for one in installed if not one.is_whole]
    journal = len(sections.need("journal").lines)
    if journal:
        noun = "update" if journal == 1 else "updates"
        broken.append(f"dpkg's journal holds {journal} unfinished {noun}")
    return Health(
        interrupted=tuple(broken),
        # What is half done has not got all that it needs, and that is not what is wrong with it.
        broken=() if broken else _unmet(sections.get("dependencies")),
        lock_holder=read_lock_holder(sections.need("locks"), _APT_PROGRAMS),
        filesystems=tuple(read_filesystems(sections.need("filesystems"))),
        kernels=read_kernels(sections.need("filesystems")),
    )


# Ubuntu's mark names linux-base for any kernel.
_KERNELS = ("linux-image", "linux-base", "proxmox-kernel", "pve-kernel")


def _reboot(sections: Sections, machine: Mapping[str, str], installed: Iterable[Installed]) -> Reboot:
    """Tell whether a reboot is pending: the distribution's own mark, then the kernel.

    A container has no kernel of its own, and an image that does not run has none at all.
    """
    own_kernel = machine.get("container") != "yes" and machine.get("root") == "/"
    marked = sections.need("reboot").lines
    packages = tuple(line for line in marked[1:] if own_kernel or not line.startswith(_KERNELS))
    if marked and (packages or len(marked) == 1):
        return Reboot(RebootNeed.REQUIRED, packages)
    if not own_kernel:
        return Reboot(RebootNeed.NOT_REQUIRED)
    return _kernel_reboot(machine.get("kernel", ""), machine.get("build", ""), installed)


# The image of a kernel is named by what uname(1) calls it when it runs: numbers, then its flavour. Proxmox
# has names of its own, and some images are also offered with or without a signature.
_IMAGE = re.compile(
    r"(?:linux-image|proxmox-kernel|pve-kernel)-(?:unsigned-)?"
    r"(?P<release>(?P<version>\d[^-]*(?:-\d[^-]*)*)-(?P<flavour>.+?))(?:-unsigned|-signed)?"
)
_BUILT_FROM = re.compile(r"\bDebian (\S+) \(")


@dataclass(frozen=True, slots=True)
class _Image:
    """An installed kernel that can be booted."""

    package: Installed
    release: str
    flavour: str
    numbers: tuple[int, ...]


def _images(installed: Iterable[Installed]) -> Iterator[_Image]:
    for package in installed:
        match = _IMAGE.fullmatch(package.name)
        if match and package.is_whole:
            numbers = tuple(int(part) for part in re.findall(r"[0-9]{1,18}", match["version"]))
            yield _Image(package, match["release"], match["flavour"], numbers)


def _kernel_reboot(running: str, build: str, installed: Iterable[Installed]) -> Reboot:
    """Compare the running kernel with the newest installed one of its flavour, number by number.

    A kernel of another flavour was installed beside it, not in its place; and a package of kernels that names
    no version (``linux-image-amd64``, ``-virtual``) is no kernel.
    """
    images = tuple(_images(installed))
    if not images:
        return Reboot(RebootNeed.NOT_REQUIRED)
    current = next((image for image in images if image.release == running), None)
    if current is None:
        return Reboot(RebootNeed.UNKNOWN, (f"the running kernel {running} is no installed package's",))
    package = current.package
    built = _BUILT_FROM.search(build)
    if built and built[1] != package.version:
        return Reboot(RebootNeed.REQUIRED, (f"{package.name} {package.version}, running {built[1]}",))
    rivals = (image for image in images if image.flavour == current.flavour)
    newest = max(rivals, key=lambda image: image.numbers)
    if newest.numbers > current.numbers:
        return Reboot(RebootNeed.REQUIRED, (f"{newest.package.name} is installed, {running} is running",))
    return Reboot(RebootNeed.NOT_REQUIRED)
