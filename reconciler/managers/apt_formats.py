"""The native formats of apt and dpkg that more than one question needs: pure readers, text in, values out.

- An origin is written as apt writes it: ``Label:Version/Suite``; without a release file, the site.
- A version is *security* when one of its sources is, which the patch script says.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace

from reconciler.managers.sections import Section, Sections, fields_of, kib, unparsed
from reconciler.planning.facts.package import Identified, Mention, PackageId
from reconciler.records import dataclass

_ABSENT = frozenset({"not-installed", "config-files"})


@dataclass(frozen=True, slots=True)
class DpkgRow(Identified):
    """A line of ``dpkg-query``."""

    name: str
    arch: str
    version: str
    want: str
    error: str
    status: str
    size: int | None
    source: str
    source_version: str


def rows(section: Section) -> Iterator[DpkgRow]:
    """Read the packages that are on the machine, whole or broken; what is only configured is not.

    Raises:
        Stalled: A line has other columns.
    """
    for line in section.lines:
        name, arch, version, want, error, status, size, *source = fields_of(section, line, 7, later=2)
        if status not in _ABSENT:
            yield DpkgRow(name, arch, version, want, error, status, kib(size), *source)


def stanzas(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Split control data into stanzas of first lines; continuation lines are of no interest here."""
    stanza: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            if stanza:
                yield stanza
                stanza = {}
        elif line[0] not in " \t":
            key, _, value = line.partition(":")
            stanza.setdefault(key, value.strip())
    if stanza:
        yield stanza


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A source as ``apt-cache policy`` lists it."""

    description: str
    release: Mapping[str, str]
    site: str
    security: bool = False
    """Whether security updates come from here."""
    priority: int = 0
    """Of all its packages that the operator pins no other way; what is not above 0 is switched off."""

    @property
    def label(self) -> str:
        """As apt prints it behind a version: ``Label:Version/Suite``."""
        label, version, suite = (self.release.get(key, "") for key in "lva")
        if not suite:
            return f"{label}:{self.site or 'localhost'}" if label else self.site or "localhost"
        return (f"{label}:" if label else "") + (f"{version}/" if version else "") + suite


_FILE_LINE = re.compile(r" *(-?[0-9]{1,9}) (\S.*)")
_RELEASE_FIELD = re.compile(r"(?:\A|,)([voanlcb])=")


def package_files(sections: Sections) -> dict[str, PackageFile]:
    """Read the sources of ``apt-cache policy``, by the description that version tables repeat.

    Raises:
        Stalled: The script does not say which of them serve security updates.
    """
    found: dict[str, PackageFile] = {}
    description = ""
    secure = frozenset(sections.need("security").lines)
    for line in sections.need("sources").lines:
        if line.startswith("Pinned packages:"):
            break
        if line.startswith("     release "):
            found[description] = replace(found[description], release=_release_fields(line[13:]))
        elif line.startswith("     origin"):
            found[description] = replace(found[description], site=line[12:].strip())
        elif match := _FILE_LINE.fullmatch(line):
            description = match[2]
            found[description] = PackageFile(description, {}, "", description in secure, int(match[1]))
    return {key: file for key, file in found.items() if file.release.get("a") != "now"}


def _release_fields(text: str) -> dict[str, str]:
    """Split ``v=12,o=Debian,…``; a value may itself hold a comma."""
    marks = list(_RELEASE_FIELD.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return {mark[1]: text[mark.end() : end] for mark, end in zip(marks, ends, strict=True)}


@dataclass(slots=True)
class Version:
    """A row of a version table."""

    version: str
    priority: int
    phased: int | None
    installed: bool
    files: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Table:
    """What ``apt-cache policy NAME`` says of one package."""

    name: str
    candidate: str = ""
    versions: list[Version] = field(default_factory=list)


_VERSION_LINE = re.compile(r"(?: \*\*\*|    ) (\S+) (-?[0-9]{1,9})(?: \(phased ([0-9]{1,9})%\))?")


def tables(section: Section) -> Iterator[Table]:
    """Read ``apt-cache policy NAME…``.

    Raises:
        Stalled: It begins with something else than a package.
    """
    table: Table | None = None
    for line in section.lines:
        if line[:1] not in {" ", ""}:
            if table is not None:
                yield table
            table = Table(line.removesuffix(":"))
        elif table is None:
            raise unparsed(section, line)
        elif line.startswith("  Candidate: "):
            table.candidate = line[13:]
        elif match := _VERSION_LINE.fullmatch(line):
            phased = int(match[3]) if match[3] else None
            version = Version(match[1], int(match[2]), phased, line.startswith(" ***"))
            table.versions.append(version)
        elif (match := _FILE_LINE.fullmatch(line)) and table.versions:
            table.versions[-1].files.append(match[2])
    if table is not None:
        yield table


Records = Mapping[tuple[str, str], Sequence[Mapping[str, str]]]
"""Control data by (name, version); several where architectures or sources differ."""


def records_of(section: Section) -> Records:
    """Read ``apt-cache show``."""
    found: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for stanza in stanzas(section.lines):
        found.setdefault((stanza.get("Package", ""), stanza.get("Version", "")), []).append(stanza)
    return found


def record_of(records: Records, name: str, version: str, arch: str) -> Mapping[str, str]:
    """Return the control data of one version, empty where it was not printed."""
    fitting = [
        record for record in records.get((name, version), ()) if record.get("Architecture") in {arch, "all"}
    ]
    return fitting[0] if fitting else {}


def native_key(package: PackageId, native: str) -> PackageId:
    """Return where apt has a package: what is of ``all`` stands where the native ones do."""
    return PackageId(package.name, native) if package.arch == "all" else package


def key_of(name: str, native: str) -> PackageId:
    """Read a name as apt writes it: ``name:arch`` only where the architecture is foreign."""
    said = Mention.parse(name)
    return PackageId(said.name, said.arch or native)
