"""What dnf and zypper share: both are about rpms.

A version is written ``[epoch:]version-release``, the epoch only where it is not 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cmp_to_key

from reconciler.managers.sections import Section, fields_of, number, unparsed
from reconciler.planning.facts.package import Identified
from reconciler.planning.facts.versions import compare_rpm

version_key = cmp_to_key(compare_rpm)
"""Sorts versions, the oldest first."""


@dataclass(frozen=True, slots=True)
class Row(Identified):
    """An installed package; of install-only ones there are several with one identity."""

    name: str
    arch: str
    version: str
    size: int | None


def rows(section: Section, columns: int) -> Iterator[Row]:
    """Read ``[installed]``, the first four of whose columns are a row.

    Raises:
        Stalled: A line has other columns.
    """
    for line in section.lines:
        name, arch, version, size, *_ = fields_of(section, line, columns)
        yield Row(name, arch, version, number(size))


@dataclass(frozen=True, slots=True)
class Relation:
    """A name with the versions that are meant: all where ``operator`` is empty."""

    name: str
    operator: str = ""
    version: str = ""

    def admits(self, version: str) -> bool:
        """Tell whether a version is among those that are meant; one that is not told is."""
        if not self.operator or not version:
            return True
        sign = compare_rpm(version, self.version)
        match self.operator:
            case "<":
                return sign < 0
            case "<=":
                return sign <= 0
            case "=":
                return sign == 0
            case ">=":
                return sign >= 0
            case _:
                return sign > 0


def read_unsatisfied(section: Section) -> tuple[str, ...]:
    """Read ``[dependencies]``: what ``rpm -Va`` calls unsatisfied, each line once.

    Below a line for each package it tells, behind a tab, ``base is needed by (installed) user-1.0-1.noarch``.

    Raises:
        Unparsable: It tells of an error instead, which is no answer.
    """
    found = {line.strip().replace("(installed) ", "") for line in section.lines if line.startswith("\t")}
    error = next((line for line in section.errors if line.startswith("error:")), "")
    if section.code and not found and error:
        raise unparsed(section, error)
    return tuple(sorted(found))
