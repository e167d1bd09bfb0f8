"""The tables of pacman's patch script that more than one question needs: pure readers of text."""

from collections.abc import Iterator, Mapping

from reconciler.managers.sections import Section, fields_of, number
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class LocalPackage:
    """An installed package, as pacman's local database says it."""

    name: str
    version: str
    arch: str
    automatic: bool
    size: int | None
    groups: tuple[str, ...]
    base: str


def rows(section: Section) -> Iterator[LocalPackage]:
    """Read ``[installed]``.

    Raises:
        Stalled: A line has other columns.
    """
    for line in section.lines:
        name, version, arch, reason, size, groups, base = fields_of(section, line, 6, later=1)
        yield LocalPackage(name, version, arch, reason == "1", number(size), tuple(groups.split()), base)


@dataclass(frozen=True, slots=True)
class SyncPackage:
    """A package on offer, as the first repository that has it says it.

    Attributes:
        depends: Relations such as ``glibc>=2.38``; the others likewise.
    """

    repository: str
    name: str
    version: str
    arch: str
    size: int | None
    installed_size: int | None
    sha256: str | None
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()


def records(section: Section) -> Mapping[str, SyncPackage]:
    """Read ``[available]``, by name.

    Raises:
        Stalled: A line has other columns.
    """
    found: dict[str, SyncPackage] = {}
    for line in section.lines:
        repository, name, version, arch, size, installed_size, sha256, *relations = fields_of(
            section, line, 11
        )
        depends, provides, conflicts, replaces = (tuple(text.split()) for text in relations)
        found[name] = SyncPackage(
            repository, name, version, arch, number(size), number(installed_size), sha256 or None,
            depends, provides, conflicts, replaces,
        )  # fmt: skip
    return found
