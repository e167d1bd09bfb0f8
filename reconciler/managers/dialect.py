"""What differs between package managers on our side: how the sections of their patch scripts are read."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from traceback import walk_tb
from typing import TypeVar

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.managers.machine import read_clock, read_facts
from reconciler.managers.sections import Section, Sections, Unparsable, pairs, sentence_of
from reconciler.managers.unused import UNUSED, read_unused
from reconciler.planning.facts import exit_codes as codes
from reconciler.planning.facts.observation import (
    Answer,
    Change,
    Health,
    Installed,
    Observation,
    Offer,
    Reboot,
    Refresh,
    RefreshOutcome,
    Source,
)
from reconciler.planning.runs.steps import Needs
from reconciler.records import dataclass

_NO_SPACE = "No space left on device"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a package manager says of a machine, as the fields of an observation."""

    installed: tuple[Installed, ...]
    offers: tuple[Offer, ...]
    sources: tuple[Source, ...]
    health: Health
    reboot: Reboot
    database: str
    hooks: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One package manager's way of saying things: pure functions of what its patch script printed.

    Attributes:
        name: Of the package manager, such as ``apt``.
        observation: Reads ``--observe``, taken at an aware instant, of a run that ended with 0.
        answer: Reads ``--dry-run`` of a run that ended with 0, 10, 11, 25 or 26; the offers are those of the
            last observation, for what the script does not repeat (sizes, for instance).
        refresh: Reads ``--refresh`` where it failed.
        hint: The command that tells a person more.
        coded: Sections of ``--observe`` whose code is a part of the answer; any other whose code is not 0 was
            not answered, whatever it holds.
        explaining: Sections of ``--observe`` that only explain, and what each says, for people: that there is
            no answer costs no more than the explanation, and is told.
        relations: Reads ``--relations`` about a transaction; ``None`` where the manager makes every
            transaction as one.
        repairs_whole: Whether ``--repair`` takes the changes of the transaction that was interrupted.
    """

    name: str
    observation: Callable[[Sections, datetime], Seen]
    answer: Callable[[Sections, Sequence[Offer]], Answer]
    refresh: Callable[[Sections], Refresh]
    hint: str
    coded: frozenset[str] = frozenset()
    explaining: Mapping[str, str] = field(default_factory=dict)
    relations: Callable[[Sections, Sequence[Change]], Needs] | None = None
    repairs_whole: bool = False

    @property
    def script(self) -> str:
        """The file name of its patch script."""
        return f"{self.name}-update.sh"


Read = TypeVar("Read")


def _at_the_door(sections: Sections, read: Callable[[Sections], Read]) -> Read:
    """Read what was printed; whatever a reader trips over is output that does not parse.

    A package source, a person or another program may have written any of it, so that no list of exceptions
    would be complete.

    Raises:
        Unparsable: It does not parse; the section in which that was seen is named.
    """
    try:
        return read(sections)
    except ReconcilerError:
        raise
    except Exception as error:
        name = _section_of(error)
        where = f"section [{name}] of the patch script's output" if name else "the patch script's output"
        # What Python says of it would help nobody: the output is kept, and the section is named.
        raise Unparsable(f"{where} does not parse: something in it is of an unknown form") from error


def _section_of(error: Exception) -> str:
    """Return the name of the section that was being read, innermost, when an error came up."""
    found = ""
    for frame, _ in walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, Section):
                found = value.name
    return found


_ANSWERS = codes.WELL | codes.REFUSED


def read_observation(dialect: Dialect, sections: Sections, at: datetime) -> Observation:
    """Return what ``--observe`` saw.

    Raises:
        Stalled: The sections do not parse, or report a failure, be it of one of them alone.
        Transient: They report a passing failure.
    """
    for section in done(dialect, sections).by_name.values():
        if section.code and section.name not in dialect.coded | dialect.explaining.keys():
            raise failure(dialect, sections)
    return _at_the_door(sections, lambda told: _observation(dialect, told, at))


def _observation(dialect: Dialect, sections: Sections, at: datetime) -> Observation:
    """Put together what the manager says and what all scripts say of the machine in the same words.

    First-seen evidence, hashes of scripts and what became of a refresh are known elsewhere.
    """
    machine = pairs(sections.need("machine"))
    seen = dialect.observation(sections, at)
    return Observation(
        at=at,
        facts=read_facts(sections, machine),
        manager=dialect.name,
        manager_version=machine.get(dialect.name, ""),
        privileged=machine.get("uid") == "0",
        installed=seen.installed,
        offers=seen.offers,
        sources=seen.sources,
        refresh=Refresh(RefreshOutcome.NOT_DUE),
        health=seen.health,
        reboot=seen.reboot,
        clock=read_clock(sections.need("clock")),
        database=seen.database,
        hooks=seen.hooks,
        unexplained=tuple(_unexplained(dialect, sections)),
        root=machine.get("root", "/"),
    )


def _unexplained(dialect: Dialect, sections: Sections) -> Iterator[str]:
    for name, what in dialect.explaining.items():
        section = sections.get(name)
        # With lines there is an answer: by their code, scripts of an earlier release say what is broken.
        if section.code and not section.lines:
            words = sentence_of(section.errors) or f"it ended with {section.code}"
            yield f"{dialect.name} did not say {what}: {words}"


def read_answer(
    dialect: Dialect, sections: Sections, offers: Sequence[Offer], installed: Sequence[Installed] = ()
) -> Answer:
    """Return what ``--dry-run`` answered.

    Where metadata are missing, that is the answer: the report tells what is known all the same, and why
    nothing is planned.

    Args:
        dialect: Of the manager.
        sections: What it printed.
        offers: Of the last observation.
        installed: Of the last observation, which the answer must fit; empty where nothing was observed.

    Raises:
        Stalled: The sections do not parse, the script could not even ask, or the answer contradicts itself or
            what was observed.
        Transient: They report a passing failure.
    """
    if sections.exit_code == codes.STALE:
        return Answer((), exit_code=codes.STALE, message=failure(dialect, sections).message)
    if sections.exit_code not in _ANSWERS:
        raise failure(dialect, sections)
    is_of_unused = UNUSED in sections.by_name
    answer = _at_the_door(
        sections, lambda told: read_unused(told) if is_of_unused else dialect.answer(told, offers)
    )
    if said := contradiction(answer.changes, installed):
        raise Unparsable(f"{dialect.name}'s plan contradicts what is installed: {said}", dialect.hint)
    return answer


def contradiction(changes: Iterable[Change], installed: Sequence[Installed]) -> str:
    """Say what of a plan cannot be, in words: a question that failed was then read as an answer.

    Args:
        changes: The plan.
        installed: What was observed; empty where nothing was.

    Returns:
        A sentence about the first such change; empty where the plan fits.
    """
    versions: dict[str, set[str]] = {}
    for package in installed:
        versions.setdefault(package.name, set()).add(package.version)
    return next(filter(None, (_impossible(change, versions) for change in changes)), "")


def _impossible(change: Change, versions: Mapping[str, Collection[str]]) -> str:
    before, name = change.from_version, change.name
    if before is None:
        return (
            "" if change.action == "install" else f"{change.action} of {name}, which has no installed version"
        )
    there = versions.get(name, ())
    if not versions or before in there:
        return ""
    return f"{change.action} of {name} from {before}, and installed is {', '.join(sorted(there)) or 'none'}"


# What a try says of itself alone, and the next one otherwise although the same is wrong: how long it took
# (curl's words), which address of a name it met, and the number of a file among those asked for (apt's).
_OF_ONE_TRY = re.compile(
    r" after [0-9]+ (?:ms|milliseconds)\b"
    r"| \[IP: [^]]*\]"
    r"| \((?:[0-9]+(?:\.[0-9]+){3}|[0-9a-f]*(?::[0-9a-f]*){2,})\)"
    r"|(?<=\bErr):[0-9]+(?= )"
)


def read_refresh(dialect: Dialect, sections: Sections) -> Refresh:
    """Return what became of ``--refresh``, in words that stay while the same is wrong.

    A report is a commit where its words changed: a source that is down for a week is one, and not one a tick.

    Raises:
        Stalled: The sections do not parse, or the script could not begin, as without space or a program.
        Transient: They report a passing failure before it began.
    """
    if "refresh" not in sections.by_name:
        done(dialect, sections)
    sections.need("refresh")
    if sections.exit_code == codes.DONE:
        return Refresh(RefreshOutcome.REFRESHED)
    refresh = _at_the_door(sections, dialect.refresh)
    return replace(refresh, detail=_OF_ONE_TRY.sub("", refresh.detail))


def read_relations(dialect: Dialect, sections: Sections, changes: Sequence[Change]) -> Needs | None:
    """Return what ``--relations`` says of a transaction; ``None`` where the manager is not asked.

    Raises:
        Stalled: The sections do not parse, or report a failure.
        Transient: They report a passing failure.
    """
    relations = dialect.relations
    if relations is None:
        return None
    return _at_the_door(done(dialect, sections), lambda told: relations(told, changes))


def done(dialect: Dialect, sections: Sections) -> Sections:
    """Return ``sections`` of a run that ended well; raise what went wrong with another."""
    if sections.exit_code != codes.DONE:
        raise failure(dialect, sections)
    return sections


def failure(dialect: Dialect, sections: Sections) -> ReconcilerError:
    """Turn a run that failed into the error that says what happens next."""
    name = dialect.name
    if missing := sections.get("missing").lines:
        tool = missing[0]
        return Stalled(
            f"missing {tool}: there is no {tool} on this machine",
            f"install it, or is {name} not the manager of this target?",
        )
    said = [*sections.get("refused").errors]
    said += [line for section in sections.by_name.values() if section.code for line in section.errors]
    words = sentence_of(said) or "no reason given"
    if sections.exit_code == codes.NO_SPACE or _NO_SPACE in words:
        return Stalled(
            f"no space for {name}'s work: {words}", "free some space in the state folder and in /tmp"
        )
    if sections.exit_code == codes.LOCKED:
        return Transient(f"{name} is locked: {words}", "wait for the other program to end")
    return Stalled(f"{name} failed with exit {sections.exit_code}: {words}", dialect.hint)
