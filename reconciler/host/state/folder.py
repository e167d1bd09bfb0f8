"""What cannot be observed again, kept in the state folder: written whole or not at all.

Layout of the folder: ``policy.git`` (mirror), ``reports.git`` (queue), ``reports.unpushed`` (a copy of its
unpushed part), ``seals.json`` (what the files of all three were like), ``cache/`` (the package manager's
caches), ``outbox/`` (undelivered notifications), ``trust.json``, ``runs.json`` and ``notices.json`` (see
:mod:`reconciler.host.state.memory`), ``report.json`` (the newest report),
``fingerprint.json`` (what a quiet tick compares), ``status.json`` and ``tick.json`` (what ``status`` shows),
``pause.json`` (the operator's ``pause``), ``journal.json`` and a copy (the run at work), ``runs/`` (what its
package manager prints), ``lock``, and ``guests/ID`` with what is kept of a guest in the same way (see
:mod:`reconciler.host.state.guests`), whose lock is ``guests/ID.lock``. Everything but these three,
``pause.json``, ``journal.json`` and the unpushed part of the queue can be lost without loss.
"""

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter

from reconciler.durable import replace_file, sync_folder
from reconciler.errors import ReconcilerError, Stalled
from reconciler.host.state.fingerprint import digest
from reconciler.host.state.memory import (
    ABSENT,
    BEFORE,
    FILES,
    Page,
    fields_of,
    is_zoned,
    read_before,
    read_page,
    state_of,
    write_page,
)
from reconciler.host.state.own_folder import AT_WORK, alone, prepare, translate
from reconciler.planning.gates.types import Pause
from reconciler.planning.runs.journal import Journal
from reconciler.planning.runs.log import write_log
from reconciler.planning.text.layout import SCHEMA_VERSION, is_newer, refusal
from reconciler.reconcile.ports.state import Recalled, State
from reconciler.reconcile.ports.target import FETCH
from reconciler.reconcile.ports.where import THIS_MACHINE, InGuest
from reconciler.records import dataclass

_JOURNAL = "journal.json"
_COPY = "journal.copy.json"
"""The same once more, written first: a disk that damages one file does not take what nobody else knows."""
_KEPT_RUNS = 20
_KEPT_FETCHES = 3

_WHY = "why"
"""File of a run's folder in which a failure of our own leaves its reason."""
_WHY_SIZE = 1024  # bytes that are kept free for it

_GROWING = frozenset({"used", "reboots"})

MOVED = "state.json.moved"
"""What the one file of version 1 is called once it was taken over."""

PAUSE = "pause.json"
"""The operator's ``pause``; a file of its own, since it is written while a run is at work."""


TELLING = "telling.json"
"""What a hypervisor's tick has to tell of its guests and itself, and which incidents of both are not over."""


@dataclass(frozen=True, slots=True)
class TargetFolder:
    """What is kept of one target.

    Attributes:
        path: Its folder.
    """

    path: Path

    def prepare(self) -> None:
        """Make the folder, for its owner alone.

        Raises:
            Misuse: It cannot be made or written, or others may write to it.
        """
        prepare(self.path)

    def recall(self) -> Recalled:
        """Read the state as far as it can be believed, file by file, and say what is wrong.

        A damaged file is copied aside, never deleted, and costs the others nothing. A ``state.json`` is what
        the three files are made of at first, and what an older program left that ran after them.
        """
        recalled = self._recalled()
        return replace(recalled, complaints=(*recalled.complaints, *self._wrong_with_journal()))

    def _recalled(self) -> Recalled:
        before = self.read(BEFORE)
        earlier = Page({}) if before is None else read_before(before)
        complaints = [] if before is None else [*self._wrong_with(BEFORE, before, earlier)]
        kept: dict[str, object] = {}
        missing: set[str] = set()
        there = {name: self.read(name) for name in FILES}
        for name, data in there.items():
            page = ABSENT if data is None else read_page(name, data)
            complaints += () if data is None else self._wrong_with(name, data, page)
            is_older = before is not None and page.moved != digest(before)
            kept |= _joined(page.kept, earlier.kept if is_older else {}, fields_of(name))
            if not page.is_sound and not earlier.kept:
                missing.add(name)
        state, lost = state_of(kept)
        for name, data in {BEFORE: before, **there}.items():
            if data is not None and set(lost).intersection(fields_of(name)):
                aside = self.set_aside(name, data)
                complaints.append(
                    f"{self.path / name}: not all of {', '.join(lost)} was understood, and that begins anew; "
                    f"it is kept as {aside}"
                )
        return Recalled(state, frozenset(missing), tuple(complaints))

    def _wrong_with(self, name: str, data: bytes, page: Page) -> Iterator[str]:
        """Say what is wrong with a file, after keeping it aside where it is not sound."""
        if page.complaint:
            kept = "" if page.is_sound else f"; it is kept as {self.set_aside(name, data)}"
            yield f"{self.path / name} {page.complaint}{kept}"

    def set_aside(self, name: str, data: bytes) -> str:
        """Keep a copy of a damaged file beside it, once for each damage; return its name."""
        number = 1
        while True:
            aside = f"{name}.damaged" + (f"-{number}" if number > 1 else "")
            there = self.read(aside)
            if there is None:
                self.write(aside, data)
            if there in {None, data}:
                return aside
            number += 1

    def save(self, state: State) -> None:
        """Replace the state on disk, durably, each file whole or not at all; ``state.json`` is then over."""
        before = self.read(BEFORE)
        for name in FILES:
            data = write_page(name, state, "" if before is None else digest(before))
            if data != self.read(name):
                self.write(name, data)
        if before is not None:
            try:
                (self.path / BEFORE).replace(self.path / MOVED)
                sync_folder(self.path)
            except OSError as error:
                raise translate(error, self.path / BEFORE) from error

    def write(self, name: str, data: bytes) -> None:
        """Replace the file ``name`` with ``data``: a crash leaves the old or the new one, never a part.

        Raises:
            Stalled: The disk is full or fails; the old content is still there.
        """
        file = self.path / name
        try:
            replace_file(file, data)
        except OSError as error:
            raise translate(error, file) from error

    def read(self, name: str) -> bytes | None:
        """Return the content of the file ``name``, ``None`` where it does not exist."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translate(error, self.path / name) from error

    def journal(self) -> Journal | None:
        """Return the journal of a run that did not end by itself, ``None`` where there is none.

        Raises:
            Stalled: It is damaged, so that nobody knows what was done, or of a newer patchledger, which alone
                knows how to go on; it is never deleted.
        """
        known = self._known_journals()
        for name, data in known.items():
            if data is not None and is_newer(version := _schema_of(data)):
                said, hint = refusal(str(self.path / name), version)
                raise Stalled(f"{said}; the run that it tells of is not finished by this one", hint)
        journals = {name: None if data is None else _parsed(data) for name, data in known.items()}
        if (journal := journals.get(_JOURNAL)) is not None:
            return journal
        copied = journals.get(_COPY)
        if copied is not None and not self._is_over(copied):
            return copied
        # No journal is there, and the run of the copy is over, or there is none of these either.
        if _JOURNAL not in known and (copied is not None or not known):
            return None
        raise Stalled(
            f"{self.path / _JOURNAL}: the journal of an unfinished run does not parse",
            "look at the package manager's own log, mend what is half done, and move away "
            + ", ".join(known),
        )

    def _known_journals(self) -> dict[str, bytes | None]:
        """Return what the journal and its copy hold, as far as they are there; ``None`` if a disk fails."""
        known: dict[str, bytes | None] = {}
        for name in (_JOURNAL, _COPY):
            try:
                data = self.read(name)
            except Stalled:
                known[name] = None
            else:
                known |= {} if data is None else {name: data}
        return known

    def _is_over(self, journal: Journal) -> bool:
        """Say whether the run of a copy that stands alone has ended, or another one began after it.

        A program from before there was a copy ends a run and leaves the copy behind, as does whoever removes
        the journal by hand. A run must not be taken up that way, perhaps months later.
        """
        last = self._recalled().state.last_run
        later = {path.name for path in self._runs() if path.name > journal.run}
        return bool(later) or (last is not None and last.run >= journal.run)

    def _wrong_with_journal(self) -> Iterator[str]:
        """Yield that the run at work is known by the copy of its journal only, if so."""
        known = self._known_journals()
        data, copy = known.get(_JOURNAL), known.get(_COPY)
        copied = None if copy is None else _parsed(copy)
        if copied is None or (data is not None and _parsed(data) is not None) or self._is_over(copied):
            return
        kept = "" if data is None else f"; it is kept as {self.set_aside(_JOURNAL, data)}"
        yield f"{self.path / _JOURNAL} is damaged or gone, and {_COPY} tells of the run{kept}"

    @property
    def tells_of_a_run(self) -> bool:
        """Whether a run did not end by itself, as far as anybody knows."""
        try:
            return self.journal() is not None
        except Stalled:
            return True

    def begin(self, journal: Journal) -> None:
        """Write down a run that begins, and make its folder: no other run is given its id from now on.

        Raises:
            Stalled: The disk is full or fails; then no run has begun.
        """
        # What is still to be told of a run before it is not forgotten because this one cannot begin.
        is_first = not (self.path / _JOURNAL).exists()
        try:
            self.write_journal(journal)
        except ReconcilerError:
            if is_first:
                self.clear_journal()  # its copy may be there
            raise
        folder = self.path / "runs" / journal.run
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / _WHY).write_bytes(b" " * _WHY_SIZE)
        except OSError as error:
            if is_first:
                self.clear_journal()
            raise translate(error, folder) from error

    def explain(self, run: str, why: str) -> None:
        """Leave word of why we end before a run does: written over blanks, since the disk may be full."""
        with contextlib.suppress(OSError), (self.path / "runs" / run / _WHY).open("r+b") as file:
            file.write(why.encode("utf-8", "replace")[:_WHY_SIZE])

    def explained(self, run: str) -> str:
        """Return what :meth:`explain` left, on one line; empty where nothing did."""
        try:
            data = (self.path / "runs" / run / _WHY).read_bytes()
        except OSError:
            return ""
        return " ".join(data.decode("utf-8", "replace").split())

    def write_journal(self, journal: Journal) -> None:
        """Write down how far a run has come, durably.

        Raises:
            Stalled: The disk is full or fails; what was written before is still there.
        """
        data = _journals().dump_json(journal)
        # First, so that it never tells less than the other one, which is believed where both can be read.
        self.write(_COPY, data)
        self.write(_JOURNAL, data)

    def clear_journal(self) -> None:
        """Forget the run that the journal tells of: it is over and reported."""
        for name in (_COPY, _JOURNAL):
            (self.path / name).unlink(missing_ok=True)
        sync_folder(self.path)

    def pause(self) -> Pause | None:
        """Return the operator's pause, also one that is over by now; ``None`` where there is none.

        A damaged file stands for a pause: what nobody can read does not let a run begin.
        """
        data = self.read(PAUSE)
        if data is None:
            return None
        try:
            return _zoned(_pauses().validate_json(data))
        except ValueError:
            since = datetime.fromtimestamp((self.path / PAUSE).stat().st_mtime, UTC)
            said = f"{PAUSE} of the state folder is damaged; `patchledger resume` ends it"
            return Pause(said, "nobody knows whom", since)

    def write_pause(self, pause: Pause) -> None:
        """Keep a pause, durably, in the place of an earlier one.

        Raises:
            Misuse: The folder cannot be written.
            Stalled: The disk is full or fails; what was there before still is.
            Transient: Somebody else is pausing at this very moment.
        """
        with self._alone(f"{PAUSE}.lock", "somebody else is pausing this host"):
            self.write(PAUSE, _pauses().dump_json(pause))

    def clear_pause(self) -> None:
        """Forget the pause.

        Raises:
            Misuse: The folder cannot be written.
            Transient: Somebody else is pausing at this very moment.
        """
        with self._alone(f"{PAUSE}.lock", "somebody else is pausing this host"):
            try:
                (self.path / PAUSE).unlink(missing_ok=True)
            except OSError as error:
                raise translate(error, self.path / PAUSE) from error
            sync_folder(self.path)

    def unused(self, run: str) -> str:
        """Return the id of a run, or one like it where that is taken: two may begin within a second."""
        taken, number = run, 1
        while (self.path / "runs" / taken).exists():
            number += 1
            taken = f"{run}-{number}"
        return taken

    def execution(self, run: str, name: str) -> Path:
        """Return the folder of one execution of a run, made on first use; older runs' are removed.

        Raises:
            Stalled: It cannot be made.
        """
        folder = self.path / "runs" / run / name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise translate(error, folder) from error
        for old in self._surplus():
            if old.name != run:  # which is not the newest by name where the clock was set back
                shutil.rmtree(old, ignore_errors=True)
        return folder

    def _surplus(self) -> list[Path]:
        """Return the folders of ``runs/`` that are too many; what only fetched takes no run's place."""
        runs = self._runs()
        fetches = [one for one in sorted((self.path / "runs").iterdir()) if one not in runs]
        return [*fetches[:-_KEPT_FETCHES], *runs[:-_KEPT_RUNS]]

    def _runs(self) -> list[Path]:
        """Return the folders of runs, the newest last, without those that only fetched."""
        every = sorted((self.path / "runs").glob("*/"))
        return [one for one in every if {path.name for path in one.glob("*")} != {FETCH}]

    def executions(self, run: str) -> tuple[str, ...]:
        """Return the names of all executions of a run that have a folder, sorted."""
        folder = self.path / "runs" / run
        return tuple(sorted(path.name for path in folder.glob("*/")))

    def run_log(self, run: str, secrets: Iterable[str]) -> bytes:
        """Return what the package manager said in a run, for the report; empty where nothing was kept."""
        folder = self.path / "runs" / run
        # What runs in a guest is given no file of ours, and says it on standard error.
        said = [*folder.glob("*/log"), *(path.with_name("err") for path in folder.glob("*/inside"))]
        logs = sorted(filter(Path.exists, said), key=lambda path: path.stat().st_mtime)
        return write_log(((path.parent.name, path.read_bytes()) for path in logs), secrets)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this host's runs.

        Raises:
            Transient: Another run holds it; its process id is named.
        """
        with self._alone("lock", AT_WORK.format(self.path)):
            yield

    @contextlib.contextmanager
    def _alone(self, name: str, said: str) -> Iterator[None]:
        with alone(self.path / name, said):
            yield


@dataclass(frozen=True, slots=True)
class StateFolder(TargetFolder):
    """The state folder of one host."""

    where = THIS_MACHINE


@dataclass(frozen=True, slots=True)
class GuestFolder(TargetFolder):
    """The folder of one guest, below the state folder of its hypervisor.

    Attributes:
        id: Which guest.
    """

    id: str

    @property
    def where(self) -> InGuest:
        """What it is a part of."""
        return InGuest(self.id)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this guest's runs, which is beside its folder: that may be set aside meanwhile.

        Raises:
            Transient: Another run holds it; its process id is named.
        """
        # No guest's id ends like this one, since no branch of reports may.
        with alone(self.path.with_name(f"{self.id}.lock"), AT_WORK.format(self.path)):
            yield


def _schema_of(data: bytes) -> object:
    """Return what version a file says that it is of, ``None`` where it says nothing."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document.get("schema") if isinstance(document, dict) else None


@lru_cache(maxsize=1)
def _journals() -> TypeAdapter[Journal]:
    return TypeAdapter(Journal)


@lru_cache(maxsize=1)
def _pauses() -> TypeAdapter[Pause]:
    return TypeAdapter(Pause)


def _parsed(data: bytes) -> Journal | None:
    """Return the journal that a file holds; ``None`` where it is damaged."""
    try:
        return replace(_whole(_journals().validate_json(data)), schema=SCHEMA_VERSION)
    except ValueError:
        return None


def _whole(journal: Journal) -> Journal:
    """Return ``journal``.

    Raises:
        ValueError: It parses, and is none that was ever written.
    """
    names = (journal.run, *(word for one in journal.attempts for word in (one.name, one.run)))
    is_ours = is_zoned(journal) and not any("/" in name for name in names)
    if not is_ours or not 0 <= journal.current <= len(journal.steps):
        raise ValueError("no run of ours")
    return journal


def _zoned(pause: Pause) -> Pause:
    """Return ``pause``.

    Raises:
        ValueError: One of its instants has no zone.
    """
    if any(at is not None and at.tzinfo is None for at in (pause.since, pause.until)):
        raise ValueError("an instant has no zone")
    return pause


def _joined(
    kept: Mapping[str, object], earlier: Mapping[str, object], names: Iterable[str]
) -> dict[str, object]:
    """Return fields of a file, and in their place those of an older program that ran after it was written.

    What was used up and when the machine was rebooted only grows: there both are true.
    """
    joined = {name: earlier.get(name, kept.get(name)) for name in names if name in kept or name in earlier}
    for name in _GROWING.intersection(joined, kept, earlier):
        match kept[name], earlier[name]:
            case [*some], [*others]:
                joined[name] = list(dict.fromkeys(one for one in (*some, *others) if isinstance(one, str)))
            case _:
                pass  # one of them is no list, which is found where it is read
    return joined
