"""What zypper, rpm and the repositories' metadata say, read: pure functions, text in, values out.

- XML is zypper's own (``--xmlout``), and records that the script cut out of a repository's metadata. None of
  it has a reason to declare anything, so that whatever holds a declaration is refused: no entity is ever
  expanded.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field

from reconciler.managers.rpm import Advice, Relation
from reconciler.managers.sections import Section, Sections, number, unparsed
from reconciler.planning.facts.observation import Available
from reconciler.planning.facts.package import Identified, PackageId
from reconciler.planning.facts.versions import compare_rpm
from reconciler.records import dataclass

# --- zypper's XML -------------------------------------------------------------------------------------------


def document(section: Section) -> ET.Element:
    """Return the ``stream`` that zypper printed, an empty one where it printed nothing.

    Raises:
        Stalled: It is no XML, or declares anything.
    """
    text = "\n".join(section.lines).strip()
    return _parsed(section, text) if text else ET.Element("stream")


def _parsed(section: Section, text: str) -> ET.Element:
    if "<!" in text:
        raise unparsed(section, text[text.index("<!") :])
    try:
        return ET.fromstring(text)  # noqa: S314 - without declarations there is nothing to expand
    except ET.ParseError as error:
        raise unparsed(section, str(error)) from error


def messages(stream: ET.Element, *kinds: str) -> tuple[str, ...]:
    """Return the lines of zypper's messages of some kinds, such as ``error``; of all without any."""
    return tuple(
        line.strip()
        for element in stream.iter("message")
        if not kinds or element.get("type") in kinds
        for line in "".join(element.itertext()).splitlines()
        if line.strip()
    )


_SKIPPING = re.compile(r"Skipping repository '(.+)' because of the above error\.")


def passed_over(stream: ET.Element) -> frozenset[str]:
    """Return the names of the repositories that zypper says it leaves out."""
    words = messages(stream, "error", "warning")
    return frozenset(match[1] for line in words if (match := _SKIPPING.fullmatch(line)))


# Newer ones number them, and the newest list in the lines below what one is made of.
_PROBLEM = re.compile(r"\s*Problem: (?:\d+: )?(.+)")
_LISTED = "Detailed information:"
_LOCK = re.compile(r".*remove lock to allow \w+ of (\S+?)(?:\[.*\])?")


def problems(stream: ET.Element) -> tuple[str, ...]:
    """Return what the solver cannot solve, each in its words and once."""
    return problems_in(_talk(stream))


def problems_in(lines: Iterable[str]) -> tuple[str, ...]:
    """Return what lines say that cannot be solved, each in zypper's words and once."""
    found: list[str] = []
    is_listed = False
    for line in lines:
        if match := _PROBLEM.fullmatch(line):
            is_listed = match[1].strip() == _LISTED
            found += [] if is_listed else [match[1].strip()]
        elif is_listed and line.startswith("- "):
            found.append(line[2:].strip())
        else:
            is_listed = False
    return tuple(dict.fromkeys(words for words in found if words != "conflicting requests"))


def locked(stream: ET.Element) -> tuple[str, ...]:
    """Return the packages whose lock the solver would have to ignore, as ``name-version-release.arch``."""
    found = (match[1] for line in _talk(stream) if (match := _LOCK.fullmatch(line.rstrip())))
    return tuple(dict.fromkeys(found))


def _talk(stream: ET.Element) -> Iterator[str]:
    for element in (*stream.iter("message"), *stream.iter("prompt")):
        yield from "".join(element.itertext()).splitlines()


# --- metadata of repositories -------------------------------------------------------------------------------

_FLAGS = {"EQ": "=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}


@dataclass(frozen=True, slots=True)
class Record(Identified):
    """What a repository says of one version of a package.

    Attributes:
        repository: Alias.
        size: Of the archive.
        installed_size: Of its files.
        sha256: Of the archive, ``None`` where another checksum is used.
        relations: By the names of the metadata, such as ``requires``.
        vendor: Who made it, empty where nobody says so.
    """

    repository: str
    name: str
    arch: str
    version: str
    size: int | None
    installed_size: int | None
    sha256: str | None
    relations: dict[str, tuple[Relation, ...]] = field(default_factory=dict)
    vendor: str = ""


def folder_of(alias: str) -> str:
    """Return how the folder of a source's metadata is called, which records are named by."""
    return alias.replace("/", "_")


def records(sections: Sections) -> tuple[Record, ...]:
    """Read ``[available]``: on each line a repository's folder and its ``package`` element.

    Raises:
        Stalled: A line is no such element.
    """
    repos = document(sections.get("repos")).iter("repo")
    aliases = {folder_of(alias): alias for repo in repos if (alias := repo.get("alias"))}
    found = _fragments(sections.get("available"))
    return tuple(_record(aliases.get(folder, folder), element) for folder, element in found)


def _fragments(section: Section) -> Iterator[tuple[str, ET.Element]]:
    for line in section.lines:
        folder, tab, text = line.partition("\t")
        if not tab:
            raise unparsed(section, line)
        # Cut out of its document, it lacks the declaration of its one prefix.
        match tuple(_parsed(section, f'<fragment xmlns:rpm="rpm">{text}</fragment>')):
            case (element,):
                yield folder, element
            case _:
                raise unparsed(section, line)


def _record(alias: str, element: ET.Element) -> Record:
    version, size, checksum = (element.find(tag) for tag in ("version", "size", "checksum"))
    is_sha256 = checksum is not None and checksum.get("type") == "sha256"
    return Record(
        repository=alias,
        name=element.findtext("name", ""),
        arch=element.findtext("arch", ""),
        version="" if version is None else _edition(version),
        size=_number(size, "package"),
        installed_size=_number(size, "installed"),
        sha256=(checksum.text or None) if checksum is not None and is_sha256 else None,
        relations={
            group.tag.removeprefix("{rpm}"): tuple(_relation(entry) for entry in group)
            for group in element.iterfind("format/*")
            if len(group)
        },
        vendor=element.findtext("format/{rpm}vendor") or "",
    )


def _number(element: ET.Element | None, key: str) -> int | None:
    return None if element is None else number(element.get(key, ""))


def _edition(element: ET.Element, *, version: str = "ver", release: str = "rel") -> str:
    parts = [element.get(key, "") for key in ("epoch", version, release)]
    prefix = f"{parts[0]}:" if parts[0] not in {"", "0"} else ""
    return prefix + "-".join(part for part in parts[1:] if part)


def _relation(entry: ET.Element) -> Relation:
    operator = _FLAGS.get(entry.get("flags", ""), "")
    return Relation(entry.get("name", ""), operator, _edition(entry) if operator else "")


@dataclass(frozen=True, slots=True)
class Advisory:
    """A patch as a repository describes it.

    Attributes:
        id: As zypper names the patch.
        kind: Its type, such as ``security``.
        severity: As somebody wrote it.
        cves: Ids of its references of that kind.
        packages: What it brings, each with its version.
    """

    id: str
    kind: str
    severity: str
    cves: tuple[str, ...]
    packages: tuple[tuple[PackageId, str], ...]

    def lies_in(self, package: PackageId, installed: str, version: str) -> bool:
        """Tell whether it is about a package in (installed, version]."""
        return any(
            brought.name == package.name
            and brought.arch in {package.arch, "noarch", ""}
            and compare_rpm(installed, fixed) < 0 <= compare_rpm(version, fixed)
            for brought, fixed in self.packages
        )


def advisories(section: Section) -> tuple[Advisory, ...]:
    """Read ``[advisories]``: on each line a repository's folder and its ``update`` element.

    Raises:
        Stalled: A line is no such element.
    """
    found = {}
    for _, element in _fragments(section):
        advisory = _advisory(element)
        found[advisory.id] = advisory
    return tuple(found.values())


def _advisory(element: ET.Element) -> Advisory:
    return Advisory(
        id=element.findtext("id", ""),
        kind=element.get("type", ""),
        severity=element.findtext("severity", "").strip(),
        cves=tuple(
            reference.get("id", "")
            for reference in element.iterfind("references/reference")
            if reference.get("type") == "cve" and reference.get("id")
        ),
        packages=tuple(
            (
                PackageId(package.get("name", ""), package.get("arch", "")),
                _edition(package, version="version", release="release"),
            )
            for package in element.iter("package")
        ),
    )


def advised(available: Available, patches: Iterable[Advisory]) -> Available:
    """Return a version with what patches say that it brings along."""
    said = Advice.of((patch.kind, patch.severity) for patch in patches)
    return said.given(available, is_security="security" in said.kinds)


def names_of(patches: Iterable[Advisory]) -> tuple[str, ...]:
    """Return how people call patches: their ids and CVEs, sorted."""
    return tuple(sorted({name for patch in patches for name in (patch.id, *patch.cves)}))


# --- who needs whom -----------------------------------------------------------------------------------------


def provides(record: Record, relation: Relation) -> bool:
    """Tell whether a package is what a relation asks for."""
    return any(
        offered.name == relation.name and relation.admits(offered.version)
        for offered in (*record.relations.get("provides", ()), Relation(record.name, "=", record.version))
    )


def needing(record: Record, others: Iterable[Record]) -> tuple[str, ...]:
    """Return the names of packages that need one, or else recommend it; sorted."""
    others = tuple(other for other in others if other.name != record.name)
    return _naming(record, others, "requires") or _naming(record, others, "recommends")


def _naming(record: Record, others: Sequence[Record], kind: str) -> tuple[str, ...]:
    found = {
        other.name
        for other in others
        for relation in other.relations.get(kind, ())
        if provides(record, relation)
    }
    return tuple(sorted(found))


def against(name: str, version: str, others: Iterable[Record], kind: str) -> tuple[str, ...]:
    """Return the names of packages that obsolete an installed one, or conflict with it; sorted.

    Args:
        name: Of the installed package.
        version: Of it.
        others: What comes in.
        kind: ``obsoletes`` or ``conflicts``. rpm takes the former by name alone, never by what is provided.
    """
    return tuple(
        sorted(
            {
                other.name
                for other in others
                for relation in other.relations.get(kind, ())
                if relation.name == name and relation.admits(version)
            }
        )
    )
