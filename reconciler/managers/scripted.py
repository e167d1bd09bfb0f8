"""A package manager on one target, through its patch script: asked, and told exactly what to do."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Generic, TypedDict, TypeVar, Unpack

from reconciler.errors import Stalled, Transient
from reconciler.managers import dialect as reading
from reconciler.managers.dialect import Dialect
from reconciler.managers.executed import read_execution
from reconciler.managers.scripts import PatchScript, PolicyScripts, Target, TimedOut
from reconciler.managers.sections import Sections, Unparsable
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import (
    Answer,
    Change,
    Installed,
    Observation,
    Offer,
    Question,
    Refresh,
    RefreshOutcome,
)
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.planning.runs.steps import Needs
from reconciler.reconcile.ports.unless import Unless
from reconciler.reconcile.ports.where import InGuest, ThisMachine, Where_co

Read = TypeVar("Read")

OBSERVE_TIMEOUT = 300.0
RESOLVE_TIMEOUT = 1800.0
"""For all questions of a plan together: apt compares each package that it would fetch with all before it, so
that 30,000 take two minutes on a machine that does nothing else. What is asked only to explain has less."""
EXPLAIN_TIMEOUT = 120.0
"""For a question about one package, which no plan waits for."""
REFRESH_TIMEOUT = 1800.0
_METADATA = 256 * 2**20
"""Bytes of a refresh that have their time beside that where policy limits how fast they come: several times
all that a distribution has. What is ended before its end is fetched anew, and would never be there."""
LOG = "log"
"""File of an execution's folder with the manager's own output, written as it speaks."""


def _nothing() -> None:
    """Do nothing, where nobody wants to know."""


_NONE = PolicyScripts()


class Ways(TypedDict, total=False):
    """What a package manager is given besides, wherever it is.

    Attributes:
        keep: Keeps output that does not parse, for a person, and says where; without it none is kept.
        before_observe: Called just before the machine is looked at.
        at_work: Entered while packages are being changed.
        policy_scripts: Which scripts of the policy repository may run.
        stopwatch: Seconds since whenever.
    """

    keep: Callable[[bytes], str] | None
    before_observe: Callable[[], None]
    at_work: Callable[[], AbstractContextManager[None]]
    policy_scripts: PolicyScripts
    stopwatch: Callable[[], float]


class Scripted(Generic[Where_co]):
    """One package manager on one target, wherever that is; see the two that are meant to be used.

    Args:
        dialect: How its script's output is read.
        target: Where the script runs.
        script: The verified script.
        options: Added to every verb.
        log: Returns where the manager is to speak, for the folder of an execution.
        more: As :class:`Ways` says.

    Attributes:
        name: Of the package manager, such as ``apt``.
    """

    def __init__(
        self,
        dialect: Dialect,
        target: Target[Where_co],
        script: PatchScript,
        options: Sequence[str],
        log: Callable[[Path], str],
        **more: Unpack[Ways],
    ) -> None:
        self._keep = more.get("keep")
        self._before_observe = more.get("before_observe", _nothing)
        self._at_work = more.get("at_work", nullcontext)
        self._dialect = dialect
        self._target = target
        self._own, self._policy_scripts = script, more.get("policy_scripts", _NONE)
        self._script = self._policy_scripts.last(script)
        self._options, self._log = tuple(options), log
        self._offers: Sequence[Offer] = ()
        self._installed: Sequence[Installed] = ()
        self._inputs: tuple[str, ...] = ()
        self._stopwatch, self._left = more.get("stopwatch", monotonic), RESOLVE_TIMEOUT
        self.name = dialect.name

    @property
    def where(self) -> Where_co:
        """What its packages are on: whatever its target is."""
        return self._target.where

    @property
    def is_by_policy(self) -> bool:
        """Whether the script in use is one of the policy repository."""
        return bool(self._script.replacement)

    def use_script(self, content: bytes | None) -> None:
        """Run this script of the policy repository from now on; ``None``: the program's own.

        Raises:
            Stalled: This host does not accept it, or it is too long; the one in use stays that.
        """
        accepted = self._policy_scripts.accepted
        self._script = self._own if content is None else self._own.replaced(content, accepted)

    def observe(
        self, at: datetime, without: Sequence[str] = (), security_sources: Sequence[str] = ()
    ) -> Observation:
        """Look at the machine without changing anything.

        Args:
            at: Now, aware; decides which metadata have passed their date.
            without: Ids of sources: what is seen is what there would be without them.
            security_sources: Ids of sources that serve security updates too.

        Raises:
            Stalled: The manager is missing, or the output does not parse.
            Transient: The time limit, or a lock.
        """
        self._before_observe()
        self._left = RESOLVE_TIMEOUT
        observation = self._ask(
            lambda sections: reading.read_observation(self._dialect, sections, at),
            "--observe",
            *_sources("--without-source", without),
            *_sources("--security-source", security_sources),
        )
        self._offers, self._installed = observation.offers, observation.installed
        replaced = (self._script.name,) if self.is_by_policy else ()
        return replace(observation, scripts=self._script.hashes, policy_scripts=replaced)

    def inputs(self) -> tuple[str, ...]:
        """Return the files and folders whose change can change any answer, as paths on the target.

        The first is the package database.

        Raises:
            Stalled: The manager is missing, or the output does not parse.
        """
        try:
            self._inputs = self._told_inputs(self._script)
        except (Stalled, TimedOut):
            if not self.is_by_policy:
                raise
            # A tick asks before it knows whether the policy pins a successor.
            self._inputs = self._told_inputs(self._own)
        return self._inputs

    def _told_inputs(self, script: PatchScript) -> tuple[str, ...]:
        def read(sections: Sections) -> tuple[str, ...]:
            return reading.done(self._dialect, sections).need("inputs").lines

        return self._ask(read, "--inputs", script=script)

    def database(self) -> str:
        """Return the path of the package database, as the last :meth:`inputs` told; ask where none did.

        Raises:
            Stalled: As of :meth:`inputs`.
        """
        return next(iter(self._inputs or self.inputs()), "")

    def refresh(self, rate: int | None = None) -> Refresh:
        """Read the metadata anew.

        Args:
            rate: Bytes a second that it may take at most.

        Raises:
            Stalled: The output does not parse.
        """
        try:
            return self._ask(
                lambda sections: reading.read_refresh(self._dialect, sections),
                "--refresh",
                *_limit(rate),
                timeout=REFRESH_TIMEOUT + (0 if rate is None else _METADATA // rate),
            )
        except Transient as error:
            return Refresh(RefreshOutcome.FAILED, error.message)

    def resolve(self, question: Question) -> Answer:
        """Ask the resolver, without changing anything.

        Sizes on disk of upgrades come from the last :meth:`observe` of this object, ``None`` without one; the
        answer must fit what that saw as installed. Where a question that is only to explain fails, or one
        about what is unused, that is its answer: no update depends on it. So is that any other one was not
        answered in time: what was observed can still be told, and that nobody knows what would be done.

        Raises:
            Stalled: The output does not parse, or contradicts what was observed.
            Transient: A lock.
        """
        try:
            return self._resolved(question)
        except (Stalled, Transient) as error:
            costs_no_plan = question.only is not None or question.is_of_unused
            if not costs_no_plan and not isinstance(error, TimedOut):
                raise
            return Answer((), exit_code=exit_codes.OTHER, message=error.message)

    def _resolved(self, question: Question) -> Answer:
        if question.only is not None or question.is_of_unused:
            return self._answered(question, EXPLAIN_TIMEOUT)
        # All that is asked of one observation has this time together: what comes late may only better a plan.
        begun, limit = self._stopwatch(), max(1.0, self._left)
        try:
            return self._answered(question, limit)
        except TimedOut as error:
            if limit == RESOLVE_TIMEOUT:
                raise
            # How much was left is another number each time, and no reason.
            said = f"did not end within {RESOLVE_TIMEOUT:.0f} s together with the questions before it"
            raise TimedOut(f"{self._script.name} --dry-run {said}") from error
        finally:
            self._left -= self._stopwatch() - begun

    def _answered(self, question: Question, limit: float) -> Answer:
        return self._ask(
            lambda sections: reading.read_answer(self._dialect, sections, self._offers, self._installed),
            "--dry-run",
            *arguments(question),
            timeout=limit,
        )

    def needs(self, changes: Sequence[Change]) -> Needs | None:
        """Say which changes must be made before, or with, which others; ``None`` where nobody knows.

        Raises:
            Stalled: The output does not parse.
            Transient: The time limit.
        """
        if self._dialect.relations is None:
            return None
        named = [change for change in changes if change.to_version is not None]
        wanted = options(Instruction(tuple(named)))[: 2 * len(named)]
        return self._ask(
            lambda sections: reading.read_relations(self._dialect, sections, changes), "--relations", *wanted
        )

    def download(self, instruction: Instruction, folder: Path, unless: Unless | None = None) -> Execution:
        """Fetch the packages of a transaction, and install none; as for :meth:`apply`.

        Args:
            instruction: As for :meth:`apply`.
            folder: As for :meth:`apply`.
            unless: What ends it; what was fetched by then is not fetched again.
        """
        return self._execute("--download", options(instruction), folder, unless)

    def apply(self, instruction: Instruction, folder: Path) -> Execution:
        """Make exactly these changes, or none where the resolver would do anything else.

        It ends when the manager ends: nothing here ever stops it.

        Args:
            instruction: What to do.
            folder: An existing folder of this execution alone, for what is printed; it outlives us.

        Raises:
            Stalled: The script could not be started.
        """
        with self._at_work():
            return self._execute("--apply", options(instruction), folder)

    def repair(self, instruction: Instruction, folder: Path) -> Execution:
        """Bring what an interrupted run left half done to an end; as for :meth:`apply`.

        Args:
            instruction: What was being done when it was interrupted; as much of it is done as is needed.
            folder: As for :meth:`apply`.
        """
        whole = replace(instruction, exclude=(), block=(), without=())
        args = options(whole) if self._dialect.repairs_whole else tuple(_options_of_repair(whole))
        with self._at_work():
            return self._execute("--repair", args, folder)

    def is_at_work(self, folder: Path) -> bool:
        """Tell whether an execution in ``folder``, started by whomever, is still running."""
        return self._target.is_at_work(folder)

    def result(self, folder: Path) -> Execution:
        """Return what an execution came to that somebody else started; see :func:`read_execution`."""
        return read_execution(folder)

    def _execute(
        self, verb: str, args: Sequence[str], folder: Path, unless: Unless | None = None
    ) -> Execution:
        self._policy_scripts.begin(self._script)
        argv = [verb, *args, "--log", self._log(folder), *self._options]
        self._target.execute(self._script.content, self._script.name, argv, folder=folder, unless=unless)
        return read_execution(folder)

    def _ask(
        self,
        read: Callable[[Sections], Read],
        *args: str,
        timeout: float = OBSERVE_TIMEOUT,
        script: PatchScript | None = None,
    ) -> Read:
        """Run a verb and read what it prints; where that does not parse, it is kept."""
        printed = ""
        try:
            used = script or self._script
            sections = used.run(self._target, [*args, *self._options], timeout=timeout)
            printed = sections.printed
            return read(sections)
        except Unparsable as error:
            if self._keep is None:
                raise
            place = self._keep((error.printed or printed).encode("utf-8", "surrogateescape"))
            raise Stalled(error.message, f"all that was printed is in {place}") from error


class ScriptedManager(Scripted[ThisMachine]):
    """One package manager of this machine.

    Args:
        dialect: As for :class:`Scripted`, with ``target``, ``script`` and ``more``.
        target: This machine.
        script: The verified script.
        cache: An existing folder for the manager's parsed metadata, so that nothing of the machine's own
            cache is written; ``None`` uses the machine's.
        root: The system below this folder instead of the running one; ``None`` for the latter.
        more: As :class:`Ways` says.
    """

    def __init__(
        self,
        dialect: Dialect,
        target: Target[ThisMachine],
        script: PatchScript,
        cache: Path | None = None,
        *,
        root: Path | None = None,
        **more: Unpack[Ways],
    ) -> None:
        options: tuple[str, ...] = () if cache is None else ("--cache", str(cache))
        if root is not None:
            options += ("--root", str(root))
        super().__init__(dialect, target, script, options, lambda folder: str(folder / LOG), **more)


class GuestManager(Scripted[InGuest]):
    """One package manager of a guest: no folder of this machine can be named for it.

    Its script is guarded, whatever it was before, and the manager speaks on standard error.
    """

    def __init__(
        self, dialect: Dialect, target: Target[InGuest], script: PatchScript, **more: Unpack[Ways]
    ) -> None:
        super().__init__(dialect, target, script.guarded(), (), lambda _: "-", **more)


def arguments(question: Question) -> tuple[str, ...]:
    """Write a question as options of the patch script's ``--dry-run``."""
    if question.unused:
        return ("--unused",)
    if question.remove:
        return tuple(chain.from_iterable(("--going", "=".join(one)) for one in question.remove))
    found = ["--full"] if question.mode == "full" else []
    if question.security:
        found.append("--security")
    found += _sources("--security-source", question.security_sources)
    found += _lists(
        (("--exclude", question.exclude), ("--block", question.block), ("--include", question.include))
    )
    for name, version in question.choose:
        found += ["--choose", f"{name}={version}"]
    if question.only is not None:
        found += ["--only", "=".join(question.only)]
    return (*found, *_sources("--without-source", question.without))


def _sources(option: str, ids: Iterable[str]) -> Iterator[str]:
    for source in ids:
        yield from (option, source)


_MOST = 9_999_999
"""What a patch script takes at most for a number, 115 days: policy may ask for more."""


def options(instruction: Instruction) -> tuple[str, ...]:
    """Write an instruction as options of the patch script's ``--apply`` and ``--download``."""
    found: list[str] = []
    for change in instruction.changes:
        named = str(change.package)
        if change.to_version is None:
            # Of an old kernel, which one: others of its name may stay.
            version = f"={change.from_version}" if change.unused == "kernel" else ""
            found += ["--remove", f"{named}{version}"]
        else:
            found += ["--install", f"{named}={change.to_version}"]
    found += _lists((("--exclude", instruction.exclude), ("--block", instruction.block)))
    return (*found, *_sources("--without-source", instruction.without), *_options_of_repair(instruction))


def _options_of_repair(instruction: Instruction) -> Iterator[str]:
    yield from ("--conffiles", instruction.conffiles, "--lock-wait", _seconds(instruction.lock_wait))
    yield from _lists((("--automatic", instruction.automatic),))
    yield from _limit(instruction.rate)


def _limit(rate: int | None) -> Iterator[str]:
    if rate is not None:
        yield from ("--limit-rate", str(min(max(1, rate // 1024), _MOST)))


def _seconds(span: timedelta) -> str:
    return str(min(max(0, round(span.total_seconds())), _MOST))


def _lists(named: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    for option, names in named:
        # One argument of a process ends at 128 KiB.
        for start in range(0, len(names), 500):
            yield option
            yield ",".join(names[start : start + 500])
