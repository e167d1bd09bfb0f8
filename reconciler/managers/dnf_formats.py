"""The formats of dnf's patch script that more than one question needs: pure readers, text in, values out.

- A package is *security* when an advisory of that type names exactly this version.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from reconciler.managers import rpm
from reconciler.managers.rpm import Advice, RpmRow, version_key, worst
from reconciler.managers.sections import Section, fields_of, number, unparsed
from reconciler.planning.facts.observation import Available, Severity
from reconciler.planning.facts.package import Identified
from reconciler.planning.facts.versions import compare_rpm
from reconciler.records import dataclass


def rows(section: Section) -> tuple[RpmRow, ...]:
    """Read ``[installed]``, sorted by name, architecture and version, the newest last.

    Raises:
        Stalled: A line has other columns.
    """
    return tuple(sorted(rpm.rows(section, 5), key=lambda row: (row.package, version_key(row.version))))


_NEVRA = re.compile(r"(?P<name>\S+)-(?P<version>[^-\s]+-[^-\s]+)\.(?P<arch>[^.\s-]+)")


def split_nevra(text: str) -> tuple[str, str, str] | None:
    """Split ``name-[epoch:]version-release.arch`` into name, architecture and version, if it is one."""
    match = _NEVRA.fullmatch(text)
    if match is None:
        return None
    return match["name"], match["arch"], match["version"].removeprefix("0:")


@dataclass(frozen=True, slots=True)
class Advised(Identified):
    """One version of a package that an advisory names.

    Attributes:
        advisory: The identifier of the advisory, or of a CVE.
        kind: The type of the advisory, as somebody wrote it, such as ``security``.
        severity: Of a security advisory.
    """

    name: str
    arch: str
    version: str
    advisory: str
    kind: str
    severity: Severity

    @property
    def security(self) -> bool:
        """Whether the advisory is about security."""
        return self.kind == "security"


def advice_for(notices: Sequence[Advised], installed: str, version: str) -> Advice:
    """Return what advisories say that are about versions after ``installed`` and up to ``version``."""
    return Advice.of(
        (one.kind, one.severity)
        for one in notices
        if compare_rpm(installed, one.version) < 0 <= compare_rpm(version, one.version)
    )


def joined(
    versions: Iterable[Available], security: Collection[str], said: Callable[[str], Advice]
) -> tuple[Available, ...]:
    """Join what several repositories offer, newest first.

    Args:
        versions: Of one package.
        security: Those that fix something.
        said: What advisories say of a version.
    """
    found: dict[str, Available] = {}
    for one in versions:
        known = found.get(one.version)
        origins = tuple(dict.fromkeys((*(known.origins if known else ()), *one.origins)))
        found[one.version] = replace(one, origins=origins)
    newest_first = sorted(found.values(), key=lambda one: version_key(one.version), reverse=True)
    return tuple(said(one.version).given(one, is_security=one.version in security) for one in newest_first)


_ADVISORY = re.compile(r"(?P<id>|.*\S) +(?P<type>\S+) +(?P<package>\S+)")
_HEADING_OF_5 = re.compile(r"(?:Name|CVE) +(?P<type>Type +)Severity +Package +Issued *")
_ENDS_OF_5 = re.compile(r"(?:(?P<severity>.*) )?(?P<package>\S+) +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def advised(section: Section) -> Iterator[Advised]:
    """Read ``dnf updateinfo list``: of dnf 4 identifier, type and package; dnf 5 has columns with a heading.

    An identifier and a severity are what somebody wrote: of several words, or of none.

    Raises:
        Stalled: A line has another form.
    """
    heading = None
    for line in section.lines:
        if found := _HEADING_OF_5.fullmatch(line):
            heading = found
        elif line.strip():
            yield _advised_in_columns(section, line, heading) if heading else _advised_in_words(section, line)


def _advised_in_words(section: Section, line: str) -> Advised:
    match = _ADVISORY.fullmatch(line.rstrip())
    if match is None:
        raise unparsed(section, line)
    severity = match["type"].removesuffix("/Sec.")
    is_security = severity != match["type"]
    name = _whole_name(section, line, match["package"])
    kind = "security" if is_security else severity
    return Advised(*name, match["id"], kind, worst([severity] if is_security else []))


def _advised_in_columns(section: Section, line: str, heading: re.Match[str]) -> Advised:
    begin, end = heading.span("type")
    match = _ENDS_OF_5.fullmatch(line[end:].rstrip())
    if match is None:
        raise unparsed(section, line)
    kind = line[begin:end].strip()
    name = _whole_name(section, line, match["package"])
    said = [(match["severity"] or "").strip()] if kind == "security" else []
    return Advised(*name, line[:begin].strip(), kind, worst(said))


def _whole_name(section: Section, line: str, text: str) -> tuple[str, str, str]:
    parts = split_nevra(text)
    if parts is None:
        raise unparsed(section, line)
    return parts


MOVES = frozenset({"install", "upgrade", "downgrade"})
SKIPPED = frozenset({"skip", "broken"})
_REMOVALS = frozenset({"remove", "replace"})


@dataclass(frozen=True, slots=True)
class TableRow(Identified):
    """A row of dnf's table of a transaction.

    Attributes:
        action: ``install``, ``upgrade``, ``downgrade``, ``remove``, ``replace``, ``skip`` or ``broken``.
        other: The repository; of ``replace`` the name of the package that takes its place.
    """

    action: str
    name: str
    arch: str
    version: str
    other: str


def moves(section: Section) -> tuple[TableRow, ...]:
    """Read ``[moves]``, in which the script wrote dnf's table.

    Raises:
        Stalled: A row or a heading of that table had a form that the script does not know.
    """
    found = []
    for line in section.lines:
        if line.startswith("unknown\t"):
            raise unparsed(section, line.partition("\t")[2])
        move = TableRow(*fields_of(section, line, 5))
        if move.action not in MOVES | SKIPPED | _REMOVALS:
            raise unparsed(section, line)
        found.append(move)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class RpmPackage(Identified):
    """One version of a package with what it declares, as far as that is known.

    Attributes:
        size: Of the download, ``None`` where it is installed already.
        installed_size: On disk.
        relations: Lists by kind: ``requires``, ``provides``, ``conflicts``, ``obsoletes``.
    """

    name: str
    arch: str
    version: str
    origin: str
    size: int | None
    installed_size: int | None
    relations: Mapping[str, tuple[str, ...]]


_KINDS = frozenset({"requires", "provides", "conflicts", "obsoletes"})


def packages(section: Section) -> Iterator[RpmPackage]:
    """Read ``[packages]`` or ``[relations]``: records that begin with ``@``, each with lists of relations.

    Raises:
        Stalled: It is in another form.
    """
    head: list[str] = []
    relations: dict[str, list[str]] = {}
    kind = ""
    for line in section.lines:
        if line.startswith("@\t"):
            if head:
                yield _package(head, relations)
            head, relations, kind = fields_of(section, line, 7), {}, ""
        elif line.startswith("\t"):
            kind = line[1:]
        elif line.strip() and kind in _KINDS and head:
            relations.setdefault(kind, []).append(line.strip())
        elif line.strip():
            raise unparsed(section, line)
    if head:
        yield _package(head, relations)


def _package(head: list[str], relations: Mapping[str, list[str]]) -> RpmPackage:
    _, name, arch, version, origin, size, installed_size = head
    return RpmPackage(
        name,
        arch,
        version.removeprefix("0:"),
        origin,
        number(size),
        number(installed_size),
        {kind: tuple(all_) for kind, all_ in relations.items()},
    )
