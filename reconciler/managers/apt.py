"""apt: its patch script asked, and what it answered.

The parsers are pure: recorded text in, values out. A change is told under the architecture that the package
is installed with, also where the new version changes it; whose doing a removal is, and whether it is a
replacement, is told by `apt_relations`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.managers import scripts
from reconciler.managers.apt_formats import (
    Key,
    PackageFile,
    Records,
    Row,
    key_of,
    kib,
    native_key,
    package_files,
    pairs,
    record_of,
    records_of,
    redacted,
    rows,
    tables,
    unparsed,
)
from reconciler.managers.apt_observation import read_observation
from reconciler.managers.apt_relations import Doings, Package, unmet
from reconciler.managers.scripts import PatchScript, Section, Sections, Target, parse_sections
from reconciler.planning.observation import (
    Action,
    Answer,
    Change,
    Observation,
    Offer,
    Question,
    Refresh,
    RefreshOutcome,
)

SCRIPT = "apt-update.sh"
_NO_SPACE = "No space left on device"
OBSERVE_TIMEOUT = 300.0
REFRESH_TIMEOUT = 1800.0


class Apt:
    """apt on one target, through its patch script.

    Args:
        target: Where the script runs.
        script: The verified script.
        root: The system below this folder of the target instead of the running one; ``None`` for the latter.
        cache: An existing folder on the target for apt's parsed package lists, so that nothing of the
            machine's own cache is written; ``None`` uses the machine's.
    """

    def __init__(
        self, target: Target, script: PatchScript, cache: Path | None = None, *, root: Path | None = None
    ) -> None:
        self._target = target
        self._script = script
        self._options: tuple[str, ...] = () if cache is None else ("--cache", str(cache))
        if root is not None:
            self._options += ("--root", str(root))
        self._sizes: Mapping[tuple[str, str, str], int] = {}

    def observe(self, at: datetime) -> Observation:
        """Look at the machine without changing anything.

        Args:
            at: Now, aware; decides which release files have passed their date.

        Raises:
            Stalled: There is no apt, or the output does not parse.
            Transient: The time limit, or a lock.
        """
        sections = _done(self._run("--observe", timeout=OBSERVE_TIMEOUT))
        observation = read_observation(sections, at)
        self._sizes = _installed_sizes(observation.offers)
        return replace(observation, scripts=((self._script.name, self._script.sha256),))

    def inputs(self) -> tuple[str, ...]:
        """Return the files and folders whose change can change any answer, as paths on the target.

        Raises:
            Stalled: There is no apt, or the output does not parse.
        """
        return _done(self._run("--inputs", timeout=OBSERVE_TIMEOUT)).need("inputs").lines

    def refresh(self) -> Refresh:
        """Read the package lists anew; the only call that changes anything on the machine.

        Raises:
            Stalled: The output does not parse.
        """
        try:
            return _refresh(self._run("--refresh", timeout=REFRESH_TIMEOUT))
        except Transient as error:
            return Refresh(RefreshOutcome.FAILED, error.message)

    def resolve(self, question: Question) -> Answer:
        """Ask the resolver, without changing anything.

        Sizes on disk of upgrades come from the last :meth:`observe` of this object, ``None`` without one.

        Raises:
            Stalled: The output does not parse.
            Transient: The time limit, or a lock.
        """
        sections = self._run("--dry-run", *arguments(question), timeout=OBSERVE_TIMEOUT)
        return _answer(sections, self._sizes)

    def _run(self, *args: str, timeout: float) -> Sections:
        return self._script.run(self._target, [*args, *self._options], timeout=timeout)


def arguments(question: Question) -> tuple[str, ...]:
    """Write a question as options of the patch script's ``--dry-run``."""
    options = ["--full"] if question.mode == "full" else []
    if question.security:
        options.append("--security")
    for option, names in (
        ("--exclude", question.exclude),
        ("--block", question.block),
        ("--include", question.include),
    ):
        for group in _groups(names):
            options += [option, ",".join(group)]
    for name, version in question.choose:
        options += ["--choose", f"{name}={version}"]
    if question.only is not None:
        options += ["--only", "=".join(question.only)]
    return tuple(options)


def _groups(names: Sequence[str]) -> Iterator[Sequence[str]]:
    # One argument of a process ends at 128 KiB.
    for start in range(0, len(names), 500):
        yield names[start : start + 500]


def parse_observe(text: str, at: datetime) -> Observation:
    """Turn the output of ``--observe`` into an observation.

    Args:
        text: All of the script's standard output.
        at: When it was taken, aware.

    Returns:
        The observation, without first-seen evidence and hashes of scripts, and with a refresh that was not
        due: those are known elsewhere.

    Raises:
        Stalled: The text does not parse, or reports a failure.
        Transient: It reports a passing failure.
    """
    return read_observation(_done(parse_sections(text)), at)


def parse_answer(text: str, sizes: Mapping[tuple[str, str, str], int] | None = None) -> Answer:
    """Turn the output of ``--dry-run`` into an answer.

    Args:
        text: All of the script's standard output.
        sizes: Size on disk by (name, arch, version), for versions whose records the script does not repeat.

    Raises:
        Stalled: The text does not parse, or the script could not even ask.
        Transient: It reports a passing failure.
    """
    return _answer(parse_sections(text), sizes or {})


def parse_refresh(text: str) -> Refresh:
    """Turn the output of ``--refresh`` into what became of it.

    Raises:
        Stalled: The text does not parse.
    """
    return _refresh(parse_sections(text))


def _done(sections: Sections) -> Sections:
    """Return ``sections`` of a run that ended well; raise what went wrong with another."""
    if sections.exit_code != scripts.DONE:
        raise _failure(sections)
    return sections


def _installed_sizes(offers: Iterable[Offer]) -> dict[tuple[str, str, str], int]:
    return {
        (offer.name, offer.arch, version.version): version.installed_size
        for offer in offers
        for version in offer.versions
        if version.installed_size is not None
    }


_HEADINGS = {
    "The following NEW packages will be installed:": "install",
    "The following packages will be upgraded:": "upgrade",
    "The following packages will be DOWNGRADED:": "downgrade",
    "The following packages will be REMOVED:": "remove",
    "The following packages have been kept back:": "kept",
    "The following upgrades have been deferred due to phasing:": "kept",
}
_URI_LINE = re.compile(r"'(?P<uri>[^']*)' (?P<file>\S+) (?P<size>\d+) ?(?P<hash>\S*)")
_UNRESOLVED = frozenset({scripts.UNRESOLVED, scripts.GONE})


def _answer(sections: Sections, sizes: Mapping[tuple[str, str, str], int]) -> Answer:
    code = sections.exit_code
    if code not in _UNRESOLVED | {scripts.DONE, scripts.NOTHING_TO_DO}:
        raise _failure(sections)
    resolve = sections.get("resolve")
    lists = _lists(resolve.lines)
    # Where the script refuses what apt would do, that is still known.
    is_resolved = resolve.code == 0 and code != scripts.GONE
    changes = _changes(sections, lists, sizes) if is_resolved else ()
    words = sections.get("refused").errors or (*resolve.errors, *resolve.lines)
    return Answer(
        changes=changes,
        kept_back=tuple(sorted(lists["kept"])) if is_resolved else (),
        exit_code=code,
        native_code=resolve.code,
        message=(_words(words) or "apt could not resolve") if code in _UNRESOLVED else "",
        # Without a transaction, it is not known which version of a package apt speaks of.
        unmet=unmet(sections.get("why").lines, _versions(sections, changes))
        if is_resolved
        else unmet(resolve.lines, {}),
    )


def _versions(sections: Sections, changes: Iterable[Change]) -> dict[str, str]:
    """Return the version of every package that apt may name: as it would be, else as it is."""
    native = pairs(sections.need("machine")).get("architecture", "")
    present = {_written(row.name, row.arch, native): row.version for row in rows(sections.need("installed"))}
    coming = {
        _written(change.name, change.arch, native): change.to_version
        for change in changes
        if change.to_version is not None
    }
    return present | coming


def _written(name: str, arch: str, native: str) -> str:
    return name if arch in {native, "all"} else f"{name}:{arch}"


def _words(lines: Iterable[str]) -> str:
    """Return what apt said of the trouble, without its progress."""
    return redacted("\n".join(line for line in lines if line.strip() and not line.endswith("..."))).strip()[
        :4000
    ]


def _lists(lines: Iterable[str]) -> dict[str, list[str]]:
    """Read the names below apt's headings; apt wraps them over several indented lines."""
    found: dict[str, list[str]] = {kind: [] for kind in _HEADINGS.values()}
    kind: str | None = None
    for line in lines:
        if not line.startswith("  "):
            kind = _HEADINGS.get(line)
        elif kind is not None:
            found[kind] += [name.removesuffix("*") for name in line.split()]
    return found


@dataclass(frozen=True, slots=True)
class _Archive:
    """A package file that apt would fetch, as ``--print-uris`` names it."""

    name: str
    arch: str
    version: str
    size: int
    sha256: str | None


def _archives(section: Section) -> Iterator[_Archive]:
    for line in section.lines:
        if not line.startswith("'"):
            continue
        match = _URI_LINE.fullmatch(line)
        parts = match["file"].rpartition(".")[0].split("_") if match else ()
        if match is None or len(parts) != 3:  # noqa: PLR2004 - name_version_arch.deb
            raise unparsed(section, line)
        name, version, arch = (unquote(part) for part in parts)
        digest = match["hash"].removeprefix("SHA256:") if match["hash"].startswith("SHA256:") else None
        yield _Archive(name, arch, version, int(match["size"]), digest)


def _changes(
    sections: Sections, lists: Mapping[str, list[str]], sizes: Mapping[tuple[str, str, str], int]
) -> tuple[Change, ...]:
    native = pairs(sections.need("machine")).get("architecture", "")
    present = {native_key(row.name, row.arch, native): row for row in rows(sections.need("installed"))}
    resolve = sections.need("resolve")
    records = records_of(sections.get("available"))
    removed: list[Row] = []
    for name in lists["remove"]:
        row = present.get(key_of(name, native))
        if row is None:
            raise unparsed(resolve, f"{name} is to be removed and is not installed")
        removed.append(row)
    coming = [
        (archive, action, present.get(native_key(archive.name, archive.arch, native)))
        for archive, action in _coming(resolve, lists, native)
    ]
    packages = [_package(archive, row, records) for archive, _, row in coming]
    moving = {id(row) for _, _, row in coming} | {id(row) for row in removed}
    doings = Doings(packages, _grouped(row for row in present.values() if id(row) not in moving))
    sources = _sources_of(sections, native)
    moves: list[Change] = []
    for (archive, action, row), package in zip(coming, packages, strict=True):
        key = native_key(archive.name, archive.arch, native)
        size = _disk_size(records, archive, row, sizes)
        change = _move(action, archive, row, sources.get((*key, archive.version), ()), size)
        moves.append(replace(change, by=doings.needing(package)))
    return (*_removals(removed, doings, sections.get("relations")), *moves)


def _grouped(present: Iterable[Row]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for row in present:
        found[row.name] = found.get(row.name, frozenset()) | {row.version}
    return found


def _coming(
    resolve: Section, lists: Mapping[str, list[str]], native: str
) -> Iterator[tuple[_Archive, Action]]:
    wanted = _wanted(lists, native)
    for archive in _archives(resolve):
        action = wanted.pop(native_key(archive.name, archive.arch, native), None)
        if action is None:
            raise unparsed(resolve, f"{archive.name} {archive.version}")
        yield archive, action
    if wanted:
        raise unparsed(resolve, f"nothing to fetch for {' '.join(name for name, _ in wanted)}")


def _package(archive: _Archive, row: Row | None, records: Records) -> Package:
    record = record_of(records, archive.name, archive.version, archive.arch)
    return Package(archive.name, archive.version, record, row.version if row else "")


def _removals(removed: Sequence[Row], doings: Doings, relations: Section) -> Iterator[Change]:
    """Tell of each removal whether it is a replacement, and whose doing."""
    declared: dict[Key, dict[str, str]] = {}
    for line in relations.lines:
        name, arch, depends, provides = line.split("\t", 3)
        declared[name, arch] = {"Depends": depends, "Provides": provides}
    packages = [Package(row.name, row.version, declared.get((row.name, row.arch), {})) for row in removed]
    by = doings.of_removals(packages)
    for row, package in zip(removed, packages, strict=True):
        yield replace(_removal(row, replaced=bool(doings.replacing(package))), by=by[package.name])


def _wanted(lists: Mapping[str, list[str]], native: str) -> dict[Key, Action]:
    actions: tuple[Action, ...] = ("install", "upgrade", "downgrade")
    return {key_of(name, native): action for action in actions for name in lists[action]}


def _sources_of(sections: Sections, native: str) -> dict[tuple[str, str, str], tuple[PackageFile, ...]]:
    files = package_files(sections.get("sources"))
    return {
        (*key_of(table.name, native), version.version): tuple(
            files[line] for line in version.files if line in files
        )
        for table in tables(sections.get("policy"))
        for version in table.versions
    }


def _disk_size(
    records: Records, archive: _Archive, row: Row | None, sizes: Mapping[tuple[str, str, str], int]
) -> int | None:
    record = record_of(records, archive.name, archive.version, archive.arch)
    if record:
        return kib(record.get("Installed-Size", ""))
    return sizes.get((archive.name, row.arch if row else archive.arch, archive.version))


def _move(
    action: Action, archive: _Archive, row: Row | None, files: Sequence[PackageFile], size: int | None
) -> Change:
    before = 0 if row is None else row.size
    return Change(
        action=action,
        name=archive.name,
        arch=row.arch if row else archive.arch,
        from_version=row.version if row else None,
        to_version=archive.version,
        origin=files[0].label if files else "",
        size=archive.size,
        installed_delta=None if size is None or before is None else size - before,
        sha256=archive.sha256,
        security=any(file.security for file in files),
    )


def _removal(row: Row, *, replaced: bool) -> Change:
    return Change(
        action="replace" if replaced else "remove",
        name=row.name,
        arch=row.arch,
        from_version=row.version,
        to_version=None,
        installed_delta=None if row.size is None else -row.size,
    )


# --- refresh, failures --------------------------------------------------------------------------------------


def _refresh(sections: Sections) -> Refresh:
    if sections.exit_code == scripts.NO_SPACE and "refresh" not in sections.by_name:
        raise _failure(sections)
    section = sections.need("refresh")
    if sections.exit_code == scripts.DONE:
        return Refresh(RefreshOutcome.REFRESHED)
    complaints = [line for line in (*section.errors, *section.lines) if re.match(r"[EW]:|Err:", line)]
    words = "; ".join(dict.fromkeys(_words(complaints or section.errors).splitlines()))
    detail = words or f"apt-get update ended with {section.code}"
    if "Permission denied" in detail or "are you root" in detail:
        return Refresh(RefreshOutcome.NOT_PERMITTED, detail)
    return Refresh(RefreshOutcome.FAILED, detail)


def _failure(sections: Sections) -> ReconcilerError:
    """Turn a run that failed into the error that says what happens next."""
    if missing := sections.get("missing").lines:
        return Stalled(f"there is no {missing[0]} on this machine", "is apt the manager of this target?")
    said = [line for section in sections.by_name.values() if section.code for line in section.errors]
    words = "; ".join(dict.fromkeys(_words(said).splitlines())) or "no reason given"
    if sections.exit_code == scripts.NO_SPACE or _NO_SPACE in words:
        return Stalled(f"no space for apt's work: {words}", "free some space in the state folder and in /tmp")
    if sections.exit_code == scripts.LOCKED:
        return Transient(f"apt is locked: {words}", "wait for the other program to end")
    return Stalled(f"apt failed with exit {sections.exit_code}: {words}", "run `apt-get check` to see more")
