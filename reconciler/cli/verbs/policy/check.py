"""``policy check``: every problem of a policy repository, in the formats that people and forges read."""

import gc
import hashlib
import json
import posixpath
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from reconciler import __version__
from reconciler.cli.showing.interfaces import PolicyCheck
from reconciler.cli.showing.junit import JunitCase, junit
from reconciler.errors import REJECTED, Misuse
from reconciler.gitops.revision import changed_paths, read_folder, read_revision, resolve_revision
from reconciler.gitops.surrounding import locate
from reconciler.host.machine.clock import SystemClock
from reconciler.managers.scripts import own_pins
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.wording import plural
from reconciler.policy.deadlines import check_deadlines
from reconciler.policy.idle import check_idle
from reconciler.policy.idle_guests import refused_of_guests
from reconciler.policy.load import NeedsUpgrade, PolicyFile, Rejected, Revision, load
from reconciler.policy.no_kernels import refused_kernels
from reconciler.policy.overlaps import check_overlaps
from reconciler.policy.problems import Problem, visible
from reconciler.policy.since import check_hosts, check_requires
from reconciler.records import dataclass

NO_VERSIONS: Mapping[str, str] = {}
_BEAT = 250
"""Milliseconds between two looks for Ctrl-C while nothing changes."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found.

    Attributes:
        folder: The folder that was asked about, for formats whose readers start elsewhere.
        revision: ``None`` where there are problems that keep it from being one.
        problems: Sorted.
        warnings: Sorted; they do not reject.
    """

    folder: str
    revision: Revision | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What ``policy check`` is told; its help says what each is."""

    folder: str
    rev: str | None
    only: str | None
    base: str | None
    watch: bool
    format: str


def begin(options: CheckOptions, versions: Mapping[str, str] = NO_VERSIONS) -> int:
    """Check once, or now and after every change; see :func:`check` and :func:`watch`.

    Raises:
        Misuse: Arguments do not go together.
    """
    if (options.only is None) != (options.base is None) or (options.only and options.rev is None):
        raise Misuse(
            "--only, --base and --rev go together: what a branch changes is in its commits",
            "such as --rev HEAD --only approvals --base origin/main",
        )
    if options.watch:
        return watch(options.folder, options.rev, options.format)
    return check(options.folder, options.rev, options.format, options.only, options.base, versions=versions)


def check(
    folder: str,
    rev: str | None,
    form: str,
    only: str | None = None,
    base: str | None = None,
    *,
    versions: Mapping[str, str] = NO_VERSIONS,
) -> int:
    """Print what is wrong in the chosen format, and a count on standard error.

    Args:
        folder: Of a policy.
        rev: A revision of the repository it is in; ``None`` for the files as they are.
        form: One of the formats.
        only: The one folder in which ``rev`` may differ from ``base``.
        base: The revision that it left.
        versions: Of the program on hosts, as far as known.

    Returns:
        0, or 3 where there are problems.

    Raises:
        Misuse: There is no such folder or revision.
        Stalled: It cannot be read.
    """
    gc.disable()  # Thousands of documents are kept; looking through them for cycles again and again is slow.
    try:
        checked = examine_files(folder, *read(folder, rev), versions=versions)
        if only is not None and base is not None and rev is not None:
            strayed = tuple(_strayed(folder, rev, only, base))
            checked = replace(checked, problems=tuple(sorted((*checked.problems, *strayed))))
    finally:
        gc.enable()
    sys.stdout.write(_FORMATS[form](checked))
    if form == "text":
        sys.stderr.writelines(f"warning: {_named(warning)}\n" for warning in checked.warnings)
    sys.stderr.write(f"{_count(checked)}\n")
    return REJECTED if checked.problems else 0


def watch(folder: str, rev: str | None, form: str) -> int:
    """Check the files now and after every change, until interrupted.

    Raises:
        KeyboardInterrupt: Ctrl-C, which is the way out.
        Misuse: A revision is asked for, which never changes, or there is no such folder.
    """
    if rev is not None:
        raise Misuse("--watch and --rev do not go together: a revision never changes")
    from watchfiles import watch as changes_of

    code = None
    read_folder(Path(folder))  # says so where there is none, before anything is watched
    # The first turn comes without a change, when the watch has begun: nothing is missed in between.
    for changes in changes_of(folder, yield_on_timeout=True, rust_timeout=_BEAT):
        if changes or code is None:
            code = check(folder, None, form)
            sys.stdout.flush()
    return code or 0


def examine(folder: str, rev: str | None) -> Checked:
    """Read and judge a folder, or a revision of the repository it is in."""
    return examine_files(folder, *read(folder, rev))


def examine_files(
    folder: str, files: Sequence[PolicyFile], commit: str, versions: Mapping[str, str] = NO_VERSIONS
) -> Checked:
    """Judge the files of a folder, or of a commit of the repository it is in; ``versions`` are of hosts."""
    match load(files, commit):
        case Rejected(problems):
            return Checked(folder, None, problems, ())
        case NeedsUpgrade(requires, running):
            message = f"asks for patchledger {requires}, this is {running}"
            problem = Problem("patchledger.yaml", 1, "requires", message, "upgrade patchledger")
            return Checked(folder, None, (problem,), ())
        case Revision() as revision:
            overlaps, warnings = check_overlaps(revision)
            refused = (*refused_of_guests(revision), *refused_kernels(revision))
            found = (*overlaps, *refused, *check_requires(revision, versions))
            problems = tuple(sorted((*revision.misplaced, *found)))
            now = SystemClock().now()
            late, idle = check_deadlines(revision, now), check_idle(revision, now, own_pins())
            refusing = check_hosts(revision, versions)
            doubts = tuple(sorted((*revision.warnings, *warnings, *late, *idle, *refusing)))
            return Checked(folder, revision, problems, doubts)


def _strayed(folder: str, rev: str, only: str, base: str) -> Iterator[Problem]:
    """Yield a problem for each file outside of ``only`` that a branch changes."""
    place = locate(Path(folder))
    base_commit, commit = (resolve_revision(place.git_dir, one) for one in (base, rev))
    allowed = f"{place.folder}/{only}/" if place.folder else f"{only}/"
    for path in changed_paths(place.git_dir, base_commit, commit):
        if not path.startswith(allowed):
            message = f"is changed since {base}, and only {only}/ may be"
            file = posixpath.relpath(path, place.folder or ".")
            yield Problem(file, 1, "", message, "change it by a pull request of its own")


def read(folder: str, rev: str | None, *, also: str = "") -> tuple[Sequence[PolicyFile], str]:
    """Return the policy files of a folder, or of a revision with its commit; ``also`` is one more folder."""
    if rev is None:
        return read_folder(Path(folder), also=also), ""
    place = locate(Path(folder))
    commit = resolve_revision(place.git_dir, rev)
    return read_revision(place.git_dir, commit, folder=place.folder, also=also), commit


def _count(checked: Checked) -> str:
    if checked.problems:
        files = len({problem.file for problem in checked.problems})
        return f"{plural(len(checked.problems), 'problem')} in {plural(files, 'file')}"
    revision = checked.revision
    documents = 0 if revision is None else count_documents(revision)
    warnings = f", {plural(len(checked.warnings), 'warning')}" if checked.warnings else ""
    return f"no problem in {plural(documents, 'document')}{warnings}"


def count_documents(revision: Revision) -> int:
    """Return how many documents a revision holds."""
    return sum(1 for _ in revision.documents)


def _named(warning: Problem) -> str:
    return f"{warning} [{warning.rule}]" if warning.rule else str(warning)


def _text(checked: Checked) -> str:
    return "".join(f"{problem}\n" for problem in checked.problems)


def _json(checked: Checked) -> str:
    return json.dumps(plain(PolicyCheck(checked.problems, checked.warnings)), indent=2) + "\n"


def _sentence(problem: Problem) -> str:
    """Return a problem without its place, for formats that have their own field for it."""
    subject = f"{problem.path}: " if problem.path else ""
    return visible(f"{subject}{problem.message}{f' ({problem.hint})' if problem.hint else ''}")


def _from_here(checked: Checked, problem: Problem) -> str:
    # What a branch changes may lie beside the folder.
    return posixpath.normpath(PurePosixPath(checked.folder) / problem.file)


def _levels(checked: Checked) -> list[tuple[str, Problem]]:
    errors = [("error", problem) for problem in checked.problems]
    return errors + [("warning", problem) for problem in checked.warnings]


def _sarif(checked: Checked) -> str:
    """SARIF 2.1.0, as code scanning of forges reads it."""
    results = [
        {
            "ruleId": problem.rule or "policy",
            "level": level,
            "message": {"text": _sentence(problem)},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": quote(_from_here(checked, problem))},
                        "region": {"startLine": problem.line},
                    }
                }
            ],
        }
        for level, problem in _levels(checked)
    ]
    rules = [{"id": rule} for rule in sorted({str(result["ruleId"]) for result in results} | {"policy"})]
    driver = {"name": "patchledger", "version": __version__, "rules": rules}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(log, indent=2) + "\n"


def _junit(checked: Checked) -> str:
    """One test case for each file with problems, or one that passes."""
    cases = [
        JunitCase(file, tuple((_sentence(problem), str(problem)) for problem in problems))
        for file, problems in groupby(checked.problems, key=lambda problem: problem.file)
    ]
    return junit("patchledger policy check", "policy", cases or [JunitCase("policy", ())])


def _github(checked: Checked) -> str:
    """Workflow commands that GitHub, Gitea and Forgejo show beside the lines of a pull request."""
    return "".join(
        f"::{level} file={_property(_from_here(checked, problem))},line={problem.line}"
        f"::{_data(_sentence(problem))}\n"
        for level, problem in _levels(checked)
    )


def _data(text: str) -> str:
    # The runner also takes ##[ for the start of a command, wherever it stands in a line.
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace("##[", "## [")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _gitlab(checked: Checked) -> str:
    """A code quality report of GitLab: what is new on a branch is told by the fingerprints of its problems.

    A fingerprint is made without the line, so that a problem which moves is not told as one more, and
    numbers problems that are alike, of which GitLab would show one only.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    found = []
    for level, problem in _levels(checked):
        key = (level, _from_here(checked, problem), _sentence(problem))
        seen[key] += 1
        found.append(
            {
                "description": key[2],
                "check_name": problem.rule or "policy",
                "fingerprint": hashlib.sha256(json.dumps([*key, seen[key]]).encode()).hexdigest(),
                "severity": _SEVERITIES[level],
                "location": {"path": key[1], "lines": {"begin": problem.line}},
            }
        )
    return json.dumps(found, indent=2) + "\n"


_SEVERITIES = {"error": "blocker", "warning": "minor"}

_FORMATS: dict[str, Callable[[Checked], str]] = {
    "text": _text,
    "json": _json,
    "sarif": _sarif,
    "junit": _junit,
    "github": _github,
    "gitlab": _gitlab,
}
