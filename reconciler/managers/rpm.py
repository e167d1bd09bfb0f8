"""What dnf and zypper share: both are about rpms.

A version is written ``[epoch:]version-release``, the epoch only where it is not 0.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cmp_to_key
from typing import get_args

from reconciler.managers.sections import Section, fields_of, number, unless_same, unparsed
from reconciler.planning.facts.observation import AdvisoryKind, Available, Severity
from reconciler.planning.facts.package import Identified
from reconciler.planning.facts.versions import compare_rpm
from reconciler.records import dataclass

version_key = cmp_to_key(compare_rpm)
"""Sorts versions, the oldest first."""


_SEVERITIES: tuple[Severity, ...] = get_args(Severity)


def worst(said: Iterable[str]) -> Severity:
    """Return the worst severity among what advisories say, empty where none of them says a known word."""
    words = {word.lower() for word in said}
    return next((one for one in reversed(_SEVERITIES) if one in words), "")


_KINDS: tuple[AdvisoryKind, ...] = get_args(AdvisoryKind)


@dataclass(frozen=True, slots=True)
class Advice:
    """What the advisories say that an update brings along, all those above what is installed."""

    severity: Severity = ""
    is_unrated: bool = False
    kinds: tuple[AdvisoryKind, ...] = ()

    @classmethod
    def of(cls, said: Iterable[tuple[str, str]]) -> "Advice":
        """Read the kind and the severity of each; both are what somebody wrote."""
        pairs = [(kind.lower(), severity) for kind, severity in said]
        rated = [worst([severity]) for kind, severity in pairs if kind == "security"]
        kinds = {kind for kind, _ in pairs}
        return cls(worst(rated), "" in rated and any(rated), tuple(one for one in _KINDS if one in kinds))

    def given(self, available: Available, *, is_security: bool) -> Available:
        """Return a version with what is said of it."""
        return replace(
            available,
            security=is_security,
            severity=self.severity if is_security else "",
            is_unrated=self.is_unrated and is_security,
            kinds=self.kinds,
        )


@dataclass(frozen=True, slots=True)
class RpmRow(Identified):
    """An installed package; of install-only ones there are several with one identity."""

    name: str
    arch: str
    version: str
    size: int | None
    source: str
    source_version: str


def rows(section: Section, columns: int) -> Iterator[RpmRow]:
    """Read ``[installed]``, the first four of whose columns are a row.

    Raises:
        Stalled: A line has other columns.
    """
    for line in section.lines:
        name, arch, version, size, *_, source_rpm = fields_of(section, line, columns, later=1)
        yield RpmRow(name, arch, version, number(size), *_source(source_rpm, name, version))


_SOURCE_RPM = re.compile(r"(.+)-([^-]+-[^-]+)\.(?:no)?src\.rpm")


def _source(source_rpm: str, name: str, version: str) -> tuple[str, str]:
    """Return of what ``source-version-release.src.rpm`` says what is not said by the package itself.

    The file's name has no epoch. Of a package that has its source's version it is the package's own; of
    another one it is not known.
    """
    match = _SOURCE_RPM.fullmatch(source_rpm)
    if match is None:
        return "", ""
    return unless_same(match[1], name), unless_same(match[2], version.rpartition(":")[2])


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


def serves_security(advises: str) -> bool | None:
    """Read of ``[metadata]`` whether a source has advisories: without, no update of it is a security one."""
    return False if advises == "0" else None


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
