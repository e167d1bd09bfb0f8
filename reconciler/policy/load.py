"""Turn the files of a policy repository into a revision, or into every reason why it is none.

Rules:
* Inside the folders that policy is made of everything fails closed: whatever cannot be used makes the whole
  revision invalid.
* Everything else may lie beside them, but for policy in a place that is not read: a Freeze or an Exception
  there makes the revision invalid, and anything else is told.
* All problems are told at once, sorted by file and line.
"""

import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from datetime import timedelta
from hashlib import sha256
from typing import Generic, TypeVar, cast

from reconciler import __version__
from reconciler.policy.budgets import (
    CALENDAR_BYTES,
    CALENDAR_LINES,
    COUNTED_YEARS,
    DOCUMENTS,
    MATCH_PATTERNS,
    OCCURRENCES,
    PACKAGE_PATTERNS,
    RULES,
    SIGNER_LINES,
    VALUES,
    WINDOWS,
    YAML_BYTES,
    Budget,
    Ceiling,
    FullError,
    too_much,
)
from reconciler.policy.documents import (
    DEFAULTS,
    KINDS,
    AnyDocument,
    Approval,
    CronEntry,
    Document,
    Freeze,
    Host,
    IcsEntry,
    PackageException,
    Policy,
    Repository,
    Rollout,
    RRuleEntry,
    Schedule,
    StartEntry,
    WindowEntry,
)
from reconciler.policy.icalendarfile import IcsCalendar, parse_ics
from reconciler.policy.match import count_patterns, is_begin, is_pattern
from reconciler.policy.placement import (
    REPOSITORY_FILE,
    SUFFIXES,
    Listed,
    Misplaced,
    choose,
    is_read,
    misplaced,
)
from reconciler.policy.problems import MAX_PROBLEMS, Problem, dotted, quoted
from reconciler.policy.signers import PUBLISHERS_FILE, SIGNERS_FILE, Signer, fingerprint_of_line, read_signers
from reconciler.policy.values import (
    REQUIREMENT,
    SCRIPT_NAME,
    SENTENCES,
    format_duration,
    nearest,
)
from reconciler.policy.windows import TICK_MARGIN, IcsWindow, shortfall, starts
from reconciler.policy.yamltext import Path, YamlDocument, parse_documents, validate
from reconciler.records import dataclass

D_co = TypeVar("D_co", bound=Document, covariant=True)
L = TypeVar("L", bound=AnyDocument)


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """One entry of the tree of a policy repository.

    Attributes:
        path: From the top of the repository, with ``/``.
        mode: As git writes it: ``100644``, ``100755``, ``120000`` (symbolic link), ``160000`` (submodule).
        data: The content; of a symbolic link its target; of a submodule nothing.
        unread: The size in bytes of a file that was not read since it is too large; its content is left out.
    """

    path: str
    mode: str
    data: bytes
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a policy text stands.

    Attributes:
        line: Counted from 1.
        commit: Full id, or empty where the files are no commit.
    """

    file: str
    line: int
    commit: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}"
        return f"{place}@{self.commit[:12]}" if self.commit else place


@dataclass(frozen=True, slots=True)
class Placed(Generic[D_co]):
    """A document and where it stands."""

    value: D_co
    origin: Origin
    text: YamlDocument = field(repr=False, compare=False)

    def origin_of(self, path: tuple[str | int, ...]) -> Origin:
        """Return where a key stands, such as ``("reboot", "when")``; an absent key: its nearest parent."""
        return Origin(self.origin.file, self.text.line(path), self.origin.commit)

    def problem(self, path: tuple[str | int, ...], rule: str, message: str, hint: str) -> Problem:
        """Return what is to be said of a key; ``rule`` is the name of a warning, empty of a mistake."""
        where = self.origin_of(path)
        return Problem(where.file, where.line, dotted(path), message, hint, rule)


@dataclass(frozen=True, slots=True)
class Revision:
    """A valid policy repository at one commit. Every tuple is sorted by name.

    Attributes:
        commit: Full id, or empty where the files are no commit.
        calendars: Content of ``calendars/*.ics`` by path.
        events: What is in them, by path.
        scripts: Content of ``scripts/*.sh`` by file name.
        requires: As in ``patchledger.yaml``, empty where it says nothing.
        warnings: What is valid and yet worth a look.
        misplaced: Policy in places that are not read, which is therefore not in force.
        repository: Its name, as in ``patchledger.yaml``, empty where it says nothing.
        publishers: Fingerprints of the keys in ``trust/publishers``.
    """

    commit: str
    policies: tuple[Placed[Policy], ...] = ()
    schedules: tuple[Placed[Schedule], ...] = ()
    freezes: tuple[Placed[Freeze], ...] = ()
    exceptions: tuple[Placed[PackageException], ...] = ()
    approvals: tuple[Placed[Approval], ...] = ()
    hosts: tuple[Placed[Host], ...] = ()
    rollouts: tuple[Placed[Rollout], ...] = ()
    calendars: Mapping[str, bytes] = field(default_factory=dict)
    events: Mapping[str, IcsCalendar] = field(default_factory=dict)
    scripts: Mapping[str, bytes] = field(default_factory=dict)
    requires: str = ""
    warnings: tuple[Problem, ...] = ()
    misplaced: tuple[Problem, ...] = ()
    repository: str = ""
    publishers: frozenset[str] = frozenset()

    @property
    def documents(self) -> Iterator[Placed[AnyDocument]]:
        """All of its documents, kind by kind."""
        yield from self.policies
        yield from self.schedules
        yield from self.freezes
        yield from self.exceptions
        yield from self.approvals
        yield from self.hosts
        yield from self.rollouts

    def machine_of(self, target: str) -> str:
        """Return the machine id that the Host document of a target names, empty where none does."""
        named = (one.value.machine_id for one in self.hosts if one.value.name == target)
        return next(named, None) or ""

    def other_roles(self) -> dict[str, str]:
        """Return the keys that sign something else than policy, by fingerprint, and what each is."""
        named = ((one.value.report_key, one.value.name) for one in self.hosts)
        hosts = {fingerprint_of_line(key): f"the report_key of {name}" for key, name in named if key}
        return {**hosts, **dict.fromkeys(self.publishers, f"a key of {PUBLISHERS_FILE}")}


@dataclass(frozen=True, slots=True)
class Rejected:
    """Files that are no policy: every problem, sorted by file and line; never empty."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class NeedsUpgrade:
    """Files that ask for another version of patchledger and were therefore not judged.

    Attributes:
        requires: What they ask for, such as ``>=1.4``.
        running: The version that was asked.
    """

    requires: str
    running: str
    commit: str = ""


_MOST_COMPARED = 20_000  # Words that hints are looked for among: half a second.
_MAX_SCRIPT = 126 * 1024  # One argument of a process ends at 128 KiB.


class Taken:
    """What one file holds.

    Args:
        file: The file.

    Attributes:
        documents: That are not empty, as far as they could be read.
        problems: Why not.
    """

    def __init__(self, file: PolicyFile) -> None:
        self.documents, self.problems = parse_documents(file.data, file.path)
        self._path = file.path
        self._fitted: dict[int, AnyDocument | list[Problem]] = {}

    def fitted(self, number: int, model: type[AnyDocument]) -> AnyDocument | list[Problem]:
        """Return a document as its model has it, or all that is wrong with it."""
        if number not in self._fitted:
            self._fitted[number] = validate(model, self.documents[number], self._path)
        return self._fitted[number]


class Readings:
    """Takes files apart, each once in however many revisions it is: for who reads many of one policy.

    Args:
        most: Bytes of the files that are remembered.
    """

    def __init__(self, most: int = 64 * 2**20) -> None:
        self._most = most
        self._held = 0
        self._known: dict[tuple[str, bytes], Taken] = {}

    def of(self, file: PolicyFile) -> Taken:
        """Return what a file holds."""
        key = (file.path, file.data)
        found = self._known.get(key)
        if found is None:
            self._held += len(file.data)
            if self._held > self._most:
                self._held = len(file.data)
                self._known.clear()
            found = self._known[key] = Taken(file)
        return found


def load(
    files: Iterable[PolicyFile], commit: str = "", readings: Readings | None = None
) -> Revision | Rejected | NeedsUpgrade:
    """Read a policy repository.

    Args:
        files: Its whole tree, in any order.
        commit: Full id of the commit, or empty.
        readings: What was read before; of one revision alone there is nothing.

    Returns:
        The revision, or all that is wrong with it, or the version of patchledger that it asks for.
    """
    tree = sorted(files, key=lambda file: file.path)
    loader = _Loader(commit, Taken if readings is None else readings.of)
    for file in tree:
        if file.path == REPOSITORY_FILE:
            with suppress(FullError), loader.door(file.path):
                loader.repository(file)
    # Before all else: what only a newer program understands would be told as mistakes.
    if loader.requires and not is_met(loader.requires, __version__):
        return NeedsUpgrade(loader.requires, __version__, commit)
    try:
        loader.judge(tree)
    except FullError as full:
        loader.problems.append(full.problem)
    if loader.problems:
        return Rejected(tuple(sorted(set(loader.problems))))
    return loader.revision()


def is_met(requires: str, version: str) -> bool:
    """Tell whether a version fulfils a requirement such as ``>=1.4, <2``."""
    running = release(version)
    return all(
        _COMPARE[operator](running, release(wanted))
        for operator, wanted in re.findall(r"(>=|<=|==|!=|>|<)\s*([0-9.]+)", requires)
    )


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, padded so that 1.4 equals 1.4.0, to compare it by."""
    numbers = [int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:4]]
    return (*numbers, *(0,) * (4 - len(numbers)))


_COMPARE: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def _pattern_costs(document: AnyDocument) -> Iterator[tuple[Ceiling, int]]:
    match document:
        case Policy() | Freeze() | Approval() | PackageException():
            yield MATCH_PATTERNS, count_patterns(document.match)
        case Schedule() | Host() | Rollout():
            pass
    if isinstance(document, PackageException):
        names = (package.partition(":")[0] for package in document.packages)
        yield PACKAGE_PATTERNS, sum(is_pattern(name) and not is_begin(name) for name in names)


def _place(placed: "Placed[AnyDocument]") -> tuple[str, int]:
    return placed.origin.file, placed.origin.line


class _Loader:
    """Gathers documents and problems file by file; one is used for one revision."""

    def __init__(self, commit: str, take: Callable[[PolicyFile], Taken]) -> None:
        self.commit = commit
        self.take = take
        self.requires = ""
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.misplaced: list[Problem] = []
        self.placed: dict[str, dict[str, Placed[AnyDocument]]] = {kind: {} for kind in KINDS}
        self.broken: dict[str, set[str]] = {kind: set() for kind in KINDS}
        self.calendars: dict[str, bytes] = {}
        self.parsed: dict[str, IcsCalendar] = {}
        self.scripts: dict[str, bytes] = {}
        self.name = ""
        self.signers: dict[str, tuple[Signer, ...]] = {}
        self.budget = Budget()
        self.compared = 0

    def judge(self, tree: Sequence[PolicyFile]) -> None:
        """Look at every file, and then at what takes several to see.

        Raises:
            FullError: There is more than a revision may hold, or more is wrong than is told.
        """
        for file in tree:
            with self.door(file.path):
                self.file(file)
        self.beside(tree)
        self.references()

    def revision(self) -> Revision:
        return Revision(
            commit=self.commit,
            policies=self._all(Policy),
            schedules=self._all(Schedule),
            freezes=self._all(Freeze),
            exceptions=self._all(PackageException),
            approvals=self._all(Approval),
            hosts=self._all(Host),
            rollouts=self._all(Rollout),
            calendars=self.calendars,
            events=self.parsed,
            scripts=self.scripts,
            requires=self.requires,
            warnings=tuple(sorted(self.warnings)),
            misplaced=tuple(sorted(self.misplaced)),
            repository=self.name,
            publishers=frozenset(one.fingerprint for one in self.signers.get(PUBLISHERS_FILE, ())),
        )

    def _all(self, model: type[L]) -> tuple[Placed[L], ...]:
        """Return every document of one kind, sorted by name."""
        kind = next(kind for kind, known in KINDS.items() if known is model)
        placed = sorted(self.placed[kind].values(), key=lambda one: one.value.name)
        return cast("tuple[Placed[L], ...]", tuple(placed))  # Filled by kind, so of this model.

    def _refuse(self, file: str, message: str, hint: str = "", line: int = 1, path: str = "") -> None:
        self._tell([Problem(file, line, path, message, hint)])

    def _tell(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            if len(self.problems) == MAX_PROBLEMS:
                message = f"this and what follows is not told, since there are {MAX_PROBLEMS} mistakes before"
                raise FullError(Problem(problem.file, problem.line, "", message, "mend those first"))
            self.problems.append(problem)

    def _spend(self, file: str, *costs: tuple[Ceiling, int], line: int = 1) -> None:
        over = self.budget.spend(*costs)
        if over is not None:
            raise too_much(over, file, line)

    def _nearest(self, word: str, known: Sequence[str]) -> str:
        """Return a hint for the first mistakes: thousands of words among thousands would take minutes."""
        self.compared += len(known)
        return nearest(word, known) if self.compared <= _MOST_COMPARED else ""

    @contextmanager
    def door(self, file: str) -> Iterator[None]:
        """Turn whatever a parser raises of a file into a mistake of that file, told like any other."""
        try:
            yield
        except (MemoryError, FullError):
            raise  # The one is the machine's and tells nothing about the file, the other is ours.
        except RecursionError:
            self._refuse(file, "cannot be understood: it is nested too deep", "write it in a simpler way")
        except Exception:  # noqa: BLE001 - parsers of others raise what they like
            what = "cannot be understood: something in it is of an unknown form"
            self._refuse(file, what, "write it in a simpler way")

    # --- files

    def is_readable(self, file: PolicyFile) -> bool:
        """Note what is not a regular file."""
        if file.mode == "120000":
            self._refuse(file.path, "is a symbolic link", "put the file itself here")
        elif file.mode == "160000":
            self._refuse(file.path, "is a submodule", "put the files themselves here")
        elif not file.mode.startswith("100"):
            self._refuse(file.path, f"has the unknown mode {file.mode}")
        elif file.unread:
            message = f"has {file.unread:,} bytes and is not read: it, or all files together, are too large"
            self._refuse(file.path, message, "keep only policy documents in that repository")
        else:
            return True
        return False

    def repository(self, file: PolicyFile) -> None:
        if not self.is_readable(file):
            return
        documents, problems = parse_documents(file.data, file.path)
        self._tell(problems)
        if len(documents) > 1:
            line = documents[1].line()
            self._refuse(file.path, "holds more than one document", "join them", line)
        if problems or len(documents) != 1:
            return
        data = documents[0].data
        wanted = data.get("requires") if isinstance(data, dict) else None
        if isinstance(wanted, str) and re.fullmatch(REQUIREMENT, wanted):
            self.requires = wanted  # Even where other keys are unknown: a newer version may know them.
        found = validate(Repository, documents[0], file.path)
        if isinstance(found, Repository):
            self.name = found.repository or ""
        else:
            self._tell(found)

    def file(self, file: PolicyFile) -> None:
        """Read one file, if it is in a place that is read."""
        folder, _, name = file.path.partition("/")
        if folder not in SUFFIXES:
            return
        if not self.is_readable(file):
            return
        if not name:
            self._refuse(file.path, "must be a folder")
        elif "/" in name:
            self._refuse(file.path, f"is in a folder below {folder}/", f"move it to {folder}/")
        elif name.startswith("."):
            self._refuse(
                file.path, "is hidden", "give it a name that does not begin with a dot, or remove it"
            )
        elif folder == "trust":
            self._trust(file)
        elif not name.endswith(SUFFIXES[folder]) or name == SUFFIXES[folder]:
            suffix = SUFFIXES[folder]
            stem = name.removesuffix(".yml")
            hint = (
                f"name it {stem}.yaml"
                if stem != name and suffix == ".yaml"
                else f"only *{suffix} is read here: remove it, or keep it beside {folder}/"
            )
            self._refuse(file.path, "has the wrong suffix", hint)
        elif folder == "calendars":
            self._calendar(file)
        elif folder == "scripts":
            self._script(file, name)
        else:
            self._documents(file, folder)

    def beside(self, tree: Sequence[PolicyFile]) -> None:
        """Look for policy outside of the places that are read."""
        paths, more = choose(
            Listed(file.path, file.mode, len(file.data)) for file in tree if not is_read(file.path)
        )
        chosen = frozenset(paths)
        for file in tree:
            if file.path in chosen:
                with self.door(file.path):
                    self._misplaced(misplaced(file.path, file.mode, file.data))
        if more:
            message = "is not looked into, since there are too many files outside of the known folders"
            self.misplaced.append(Problem(more, 1, "", message, "keep policy in a repository of its own"))

    def _misplaced(self, found: Misplaced | None) -> None:
        match found:
            case Misplaced(problem, holds_back=True):
                self._tell([problem])
            case Misplaced(problem):
                self.misplaced.append(problem)
            case None:
                pass

    def _trust(self, file: PolicyFile) -> None:
        if file.path not in (SIGNERS_FILE, PUBLISHERS_FILE):
            self._refuse(file.path, "is not read", f"trust/ holds only {SIGNERS_FILE} and {PUBLISHERS_FILE}")
            return
        self._spend(file.path, (SIGNER_LINES, file.data.count(b"\n")))
        found = read_signers(file.data, file.path)
        self._tell(found.problems)
        self.signers[file.path] = found.signers

    def _calendar(self, file: PolicyFile) -> None:
        self._spend(file.path, (CALENDAR_BYTES, len(file.data)), (CALENDAR_LINES, file.data.count(b"\n")))
        self.calendars[file.path] = file.data
        try:
            self.parsed[file.path] = parse_ics(file.data)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            self._refuse(file.path, message, hint)

    def _script(self, file: PolicyFile, name: str) -> None:
        self.scripts[name] = file.data
        if not re.fullmatch(SCRIPT_NAME, name):
            self._refuse(file.path, f"{quoted(name)} {SENTENCES[SCRIPT_NAME][0]}", SENTENCES[SCRIPT_NAME][1])
        elif len(file.data) > _MAX_SCRIPT:
            self._refuse(file.path, f"is larger than {_MAX_SCRIPT // 1024} KiB", "shorten it")

    def _documents(self, file: PolicyFile, folder: str) -> None:
        self._spend(file.path, (YAML_BYTES, len(file.data)))
        taken = self.take(file)
        self._tell(taken.problems)
        for number, document in enumerate(taken.documents):
            self._spend(file.path, (DOCUMENTS, 1), (VALUES, document.values), line=document.line())
            self._document(taken, number, file.path, folder)

    def _document(self, taken: Taken, number: int, file: str, folder: str) -> None:
        document = taken.documents[number]
        data = document.data
        if not isinstance(data, dict):
            is_list = isinstance(data, list)
            message = "is a list" if is_list else "is not a mapping of keys"
            hint = (
                "write `---` between documents instead of `- `"
                if is_list
                else "begin with `kind:` and `name:`"
            )
            self._refuse(file, message, hint, document.line())
            return
        kind = data.get("kind")
        model = KINDS.get(kind) if isinstance(kind, str) else None
        if model is None or kind is None:
            hint = (
                nearest(kind, tuple(KINDS)) if isinstance(kind, str) else ""
            ) or f"one of {', '.join(KINDS)}"
            message = f"{quoted(str(kind))} is not a kind" if "kind" in data else "is required"
            self._refuse(file, message, hint, document.line(("kind",)), "kind")
            return
        if model.folder != folder:
            hint = f"move it to {model.folder}/"
            self._refuse(file, f"{kind} does not belong in {folder}/", hint, document.line(("kind",)), "kind")
        found = taken.fitted(number, model)
        if isinstance(found, list):
            self._tell(found)
            self.broken[kind].add(str(data.get("name")))  # It exists, so references to it are not to blame.
            return
        self._spend(file, *_pattern_costs(found), line=document.line())
        origin = Origin(file, document.line(), self.commit)
        self._place(kind, Placed(found, origin, document))

    def _place(self, kind: str, placed: "Placed[AnyDocument]") -> None:
        name = placed.value.name
        first = self.placed[kind].setdefault(name, placed)
        if first is not placed:
            place = f"{first.origin.file}:{first.origin.line}"
            self._blame(
                placed, ("name",), f"{kind} {quoted(name)} exists already at {place}", "rename one of them"
            )

    # --- references

    def _blame(self, placed: "Placed[AnyDocument]", path: Path, message: str, hint: str = "") -> None:
        where = placed.origin_of(path)
        self._refuse(where.file, message, hint, where.line, dotted(path))

    def _roles(self) -> None:
        """Refuse a key that stands in two places: a signature would count for both."""
        seen: dict[str, str] = {}
        hint = "one key has one role: make another one"
        for path, signers in sorted(self.signers.items()):
            for signer in signers:
                first = seen.setdefault(signer.fingerprint, path)
                if first != path:
                    message = f"the key {signer.fingerprint} is in {first} as well"
                    self._refuse(path, message, hint, signer.line)
        for host in self._all(Host):
            if host.value.report_key is None:
                continue
            first = seen.setdefault(fingerprint_of_line(host.value.report_key), f"Host {host.value.name}")
            if first != f"Host {host.value.name}":
                self._blame(host, ("report_key",), f"is the key of {first} as well", hint)

    def references(self) -> None:
        """Check everything that takes two documents to see."""
        schedules = {one.value.name: one for one in self._all(Schedule)}
        rollouts = {one.value.name: one.value for one in self._all(Rollout)}
        policies = self._all(Policy)
        self._roles()
        for each in sorted(schedules.values(), key=_place):
            with self.door(each.origin.file):
                self._windows(each)
        named: defaultdict[str, list[Placed[Policy]]] = defaultdict(list)
        for one in policies:
            for name in set(one.value.schedule or ()):
                named[name].append(one)
        # In the order of the files, since each that is asked for a line is composed again.
        for placed in sorted(policies, key=_place):
            with self.door(placed.origin.file):
                self._schedule_names(placed, schedules)
                self._ring(placed, rollouts)
        for schedule in sorted(schedules.values(), key=_place):
            with self.door(schedule.origin.file):
                self._ics_files(schedule)
                self._room(schedule, named[schedule.value.name])
        self._pins(policies)
        if not policies and not self.problems:
            message = "holds no Policy, so every host has the defaults and only plans"
            self.warnings.append(Problem(Policy.folder, 1, "", message, "see `policy init`", "no-policy"))

    def _windows(self, placed: Placed[Schedule]) -> None:
        for index, entry in enumerate(placed.value.windows):
            over = self.budget.spend(*self._costs(entry, placed.value.timezone))
            if over is not None:
                where = placed.origin_of(("windows", index))
                raise too_much(over, where.file, where.line, f"windows[{index}]")

    def _costs(self, entry: WindowEntry, timezone: str) -> tuple[tuple[Ceiling, int], ...]:
        match entry:
            case IcsEntry(ics=ics):
                calendar = self.parsed.get(ics, IcsCalendar(()))
                years = (COUNTED_YEARS, calendar.counted_years())
                counts = (WINDOWS, calendar.dates()), (RULES, calendar.rules()), years
                return (*counts, (OCCURRENCES, starts(IcsWindow(calendar, timezone))))
            case RRuleEntry():
                window = entry.window(timezone)
                years = (COUNTED_YEARS, window.expression.counted_years())
                return (WINDOWS, 1), (RULES, 1), years, (OCCURRENCES, starts(window))
            case StartEntry() | CronEntry():
                return (WINDOWS, 1), (OCCURRENCES, starts(entry.window(timezone)))

    def _schedule_names(self, placed: Placed[Policy], schedules: Mapping[str, Placed[Schedule]]) -> None:
        for index, name in enumerate(placed.value.schedule or ()):
            if name not in schedules and name not in self.broken["Schedule"]:
                hint = self._nearest(name, tuple(schedules)) or "write it in schedules/"
                where = ("schedule", index) if len(placed.value.schedule or ()) > 1 else ("schedule",)
                self._blame(placed, where, f"there is no Schedule {quoted(name)}", hint)

    def _ring(self, placed: Placed[Policy], rollouts: Mapping[str, Rollout]) -> None:
        wanted = placed.value.rollout
        if wanted is None or wanted.name in self.broken["Rollout"]:
            return
        rollout = rollouts.get(wanted.name)
        if rollout is None:
            hint = self._nearest(wanted.name, tuple(rollouts)) or "write it in rollouts/"
            self._blame(placed, ("rollout", "name"), f"there is no Rollout {quoted(wanted.name)}", hint)
        elif rollout.position(wanted.ring) is None:
            rings = [ring.name for ring in rollout.rings]
            hint = self._nearest(wanted.ring, rings) or f"its rings are {', '.join(rings)}"
            message = f"Rollout {rollout.name} has no ring {quoted(wanted.ring)}"
            self._blame(placed, ("rollout", "ring"), message, hint)

    def _ics_files(self, placed: Placed[Schedule]) -> None:
        for index, entry in enumerate(placed.value.windows):
            if isinstance(entry, IcsEntry) and entry.ics not in self.calendars:
                hint = self._nearest(entry.ics, tuple(self.calendars)) or "add the file"
                self._blame(placed, ("windows", index, "ics"), f"there is no file {quoted(entry.ics)}", hint)

    def _room(self, placed: Placed[Schedule], users: Sequence[Placed[Policy]]) -> None:
        """Refuse windows in which no run could ever start, or only by luck of the tick."""
        default = DEFAULTS.budget
        budgets = [(one.value.budget or default, f"budget of Policy {one.value.name}") for one in users]
        budget, whose = max(budgets, default=(default, "default budget"))
        for index, entry in enumerate(placed.value.windows):
            if isinstance(entry, IcsEntry):
                self._calendar_room(placed, index, entry, budget)
                continue
            needed = entry.splay + budget + TICK_MARGIN
            if entry.duration < needed:
                parts = f"splay {format_duration(entry.splay)} + {format_duration(budget)} ({whose})"
                needs = f"{parts} + {format_duration(TICK_MARGIN)}"
                message = (
                    f"{format_duration(entry.duration)} is too short for {needs} = {format_duration(needed)}"
                )
                self._blame(
                    placed, ("windows", index, "duration"), message, "lengthen it or lower the budget"
                )

    def _calendar_room(
        self, placed: Placed[Schedule], index: int, entry: IcsEntry, budget: timedelta
    ) -> None:
        calendar = self.parsed.get(entry.ics)
        if calendar is None:
            return
        path = ("windows", index, "ics")
        try:
            window = entry.window(placed.value.timezone, calendar)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            self._blame(placed, path, message, hint)
            return
        missing = shortfall(window, budget)
        if missing > timedelta(0):
            message = f"the shortest event of {entry.ics} is too short by {format_duration(missing)}"
            self._blame(placed, path, message, "lengthen it or lower the budget")

    def _pins(self, policies: Sequence[Placed[Policy]]) -> None:
        """Refuse replacement scripts that no signed policy vouches for."""
        for name, data in self.scripts.items():
            pin = f"sha256:{sha256(data).hexdigest()}"
            if not any((one.value.scripts or {}).get(name) == pin for one in policies):
                self._refuse(
                    f"scripts/{name}",
                    "no Policy pins these bytes",
                    f'add `scripts: {{{name}: "{pin}"}}` to one',
                )
