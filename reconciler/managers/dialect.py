"""What differs between package managers on our side: how the sections of their patch scripts are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.managers.sections import Sections, parse_sections, sentence_of
from reconciler.planning import exit_codes as codes
from reconciler.planning.observation import Answer, Change, Observation, Offer, Refresh, RefreshOutcome
from reconciler.planning.steps import Needs

_NO_SPACE = "No space left on device"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One package manager's way of saying things: pure functions of what its patch script printed.

    Attributes:
        name: ``apt``, ``dnf``, ``zypper`` or ``pacman``.
        script: File name of its patch script.
        observation: Reads ``--observe``, taken at an aware instant, of a run that ended with 0.
        answer: Reads ``--dry-run`` of a run that ended with 0, 10, 11, 25 or 26; the offers are those of the
            last observation, for what the script does not repeat (sizes, for instance).
        refresh: Reads ``--refresh`` where it failed.
        hint: The command that tells a person more.
        relations: Reads ``--relations`` about a transaction; ``None`` where the manager makes every
            transaction as one.
    """

    name: str
    script: str
    observation: Callable[[Sections, datetime], Observation]
    answer: Callable[[Sections, Sequence[Offer]], Answer]
    refresh: Callable[[Sections], Refresh]
    hint: str
    relations: Callable[[Sections, Sequence[Change]], Needs] | None = None


_ANSWERS = codes.WELL | codes.REFUSED


def read_observation(dialect: Dialect, sections: Sections, at: datetime) -> Observation:
    """Return what ``--observe`` saw.

    Raises:
        Stalled: The sections do not parse, or report a failure.
        Transient: They report a passing failure.
    """
    return dialect.observation(done(dialect, sections), at)


def read_answer(dialect: Dialect, sections: Sections, offers: Sequence[Offer]) -> Answer:
    """Return what ``--dry-run`` answered.

    Where metadata are missing, that is the answer: the report tells what is known all the same, and why
    nothing is planned.

    Raises:
        Stalled: The sections do not parse, or the script could not even ask.
        Transient: They report a passing failure.
    """
    if sections.exit_code == codes.STALE:
        return Answer((), exit_code=codes.STALE, message=failure(dialect, sections).message)
    if sections.exit_code not in _ANSWERS:
        raise failure(dialect, sections)
    return dialect.answer(sections, offers)


def read_refresh(dialect: Dialect, sections: Sections) -> Refresh:
    """Return what became of ``--refresh``.

    Raises:
        Stalled: The sections do not parse, or the script had no space to begin.
    """
    if sections.exit_code == codes.NO_SPACE and "refresh" not in sections.by_name:
        raise failure(dialect, sections)
    sections.need("refresh")
    if sections.exit_code == codes.DONE:
        return Refresh(RefreshOutcome.REFRESHED)
    return dialect.refresh(sections)


def parse_observe(dialect: Dialect, text: str, at: datetime) -> Observation:
    """Turn the output of ``--observe`` into an observation.

    Args:
        dialect: Of the manager.
        text: All of the script's standard output.
        at: When it was taken, aware.

    Returns:
        The observation, without first-seen evidence and hashes of scripts, and with a refresh that was not
        due: those are known elsewhere.

    Raises:
        Stalled: The text does not parse, or reports a failure.
        Transient: It reports a passing failure.
    """
    return read_observation(dialect, parse_sections(text), at)


def parse_answer(dialect: Dialect, text: str, offers: Sequence[Offer] = ()) -> Answer:
    """Turn the output of ``--dry-run`` into an answer.

    Raises:
        Stalled: The text does not parse, or the script could not even ask.
        Transient: It reports a passing failure.
    """
    return read_answer(dialect, parse_sections(text), offers)


def parse_refresh(dialect: Dialect, text: str) -> Refresh:
    """Turn the output of ``--refresh`` into what became of it.

    Raises:
        Stalled: The text does not parse.
    """
    return read_refresh(dialect, parse_sections(text))


def done(dialect: Dialect, sections: Sections) -> Sections:
    """Return ``sections`` of a run that ended well; raise what went wrong with another."""
    if sections.exit_code != codes.DONE:
        raise failure(dialect, sections)
    return sections


def failure(dialect: Dialect, sections: Sections) -> ReconcilerError:
    """Turn a run that failed into the error that says what happens next."""
    name = dialect.name
    if missing := sections.get("missing").lines:
        return Stalled(f"there is no {missing[0]} on this machine", f"is {name} the manager of this target?")
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
