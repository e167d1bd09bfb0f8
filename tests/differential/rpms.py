"""Worlds of rpms: what the machines of dnf and zypper have in common."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.differential.machines import Moved
from tests.differential.worlds import Arch, Relation, Release, World
from tests.labs.programs import tool
from tests.labs.rpm import Advisory, Repository, Rpm, build_rpms

_ARCHES: Mapping[Arch, tuple[str, ...]] = {
    "any": ("noarch",),
    "native": ("x86_64",),
    "both": ("x86_64", "i686"),
}


def make_repositories(world: World, folder: Path) -> dict[str, Repository]:
    """Build what is on offer, and return the repositories by source."""
    every = {rpm.nevra: rpm for each in world.offered.values() for rpm in rpms(each, world)}
    build_rpms(every.values(), folder / "pool")
    return {source: _repository(world, folder, source) for source in world.offered}


def _repository(world: World, folder: Path, source: str) -> Repository:
    repository = Repository(folder / source)
    repository.folder.mkdir()
    for rpm in rpms(world.offered[source], world):
        (repository.folder / rpm.file_name).hardlink_to(folder / "pool" / rpm.file_name)
    repository.advise(*(Advisory(id_, (rpm.nevra,)) for id_, rpm in advised(world, source)))
    return repository


def advised(world: World, source: str) -> Iterator[tuple[str, Rpm]]:
    """Yield the security advisories of a source, each with its package."""
    fixes = rpms((one for one in world.offered[source] if one.is_security), world)
    for number, rpm in enumerate(fixes):
        yield f"LAB-SA-{source}-{number}", rpm


def rpms(releases: Iterable[Release], world: World) -> Iterator[Rpm]:
    """Yield the packages of releases, one for each architecture."""
    for release in releases:
        for arch in _ARCHES[release.arch]:
            yield _rpm(release, arch, world)


def _rpm(release: Release, arch: str, world: World) -> Rpm:
    version = world.version(release.rung)
    fields = {
        "Vendor": release.vendor,
        "Requires": [_relation(one, world) for one in release.needs],
        "Conflicts": [_relation(one, world) for one in release.conflicts],
        "Obsoletes": release.replaces,
        "Provides": [f"{name} = {version}" for name in release.replaces],
    }
    return Rpm(release.name, version, arch, fields=fields)


def _relation(relation: Relation, world: World) -> str:
    return (
        f"{relation.name} {relation.sign} {world.version(relation.rung)}" if relation.sign else relation.name
    )


def installed_in(root: Path, environment: Mapping[str, str]) -> frozenset[Moved]:
    """Return every package that is installed in a root."""
    form = "%{NAME} %{ARCH} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\n"
    said = tool("rpm", "--root", str(root), "-qa", "--qf", form, env=environment)
    return frozenset(Moved(*line.split()) for line in said.splitlines())
