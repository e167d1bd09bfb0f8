"""The parts of one guest, put together like those of its hypervisor: all its own but for git and messages."""

import os
from contextlib import AbstractContextManager
from dataclasses import field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from reconciler.cli.showing.terminal import Outliving
from reconciler.cli.wiring.compose import PROGRAM, UNPARSED, Wiring, policy_scripts, settled
from reconciler.cli.wiring.entering import manager_of, power_of, target_of
from reconciler.cli.wiring.guest_checks import GuestChecks
from reconciler.cli.wiring.guest_network import ask_in_network
from reconciler.cli.wiring.guest_restarts import GuestRestarts
from reconciler.cli.wiring.in_turn import FollowerInTurn, MessengerInTurn, QueueInTurn, Turn
from reconciler.errors import Misuse, ReconcilerError, Stalled, Transient
from reconciler.gitops.report_branches import guest_branch
from reconciler.host.config import Guests, digest_of_rules
from reconciler.host.install.units import TIMER, WATCH
from reconciler.host.machine.hooks import GuestHooks
from reconciler.host.machine.locking import ROOTS_FOLDER, GuestLock
from reconciler.host.state.fingerprint import look
from reconciler.host.state.folder import PAUSE, GuestFolder
from reconciler.host.state.guests import GuestFolders
from reconciler.managers.scripted import GuestManager
from reconciler.managers.scripts import TimedOut, question
from reconciler.planning.facts.guest_rows import farewell
from reconciler.planning.facts.guests import Gone, Guest, GuestKind, Pin, State, Unsupported, why_not
from reconciler.planning.facts.inventory import Previous, inventory_of
from reconciler.planning.gates.recording import Recording, read_vouched, write
from reconciler.planning.gates.types import BreakGlass, Pause
from reconciler.planning.reporting.markdown import to_markdown
from reconciler.planning.reporting.report import to_json
from reconciler.planning.reporting.summary import subject, trailers
from reconciler.planning.text.untrusted import commit_message, one_line
from reconciler.policy.machine_ids import machine_id_of
from reconciler.policy.managers import NAMES, ManagerName
from reconciler.reconcile.apply import Applier
from reconciler.reconcile.assess import Assessor, decide_again
from reconciler.reconcile.policy_in_force import InForce
from reconciler.reconcile.ports.guest import GuestAway
from reconciler.reconcile.ports.reports import Stored
from reconciler.reconcile.ports.state import Recalled
from reconciler.reconcile.ports.state import State as Remembered
from reconciler.reconcile.ports.target import Clock
from reconciler.reconcile.ports.where import InGuest
from reconciler.reconcile.reporter import Ran
from reconciler.reconcile.site import Site
from reconciler.reconcile.surroundings import Surroundings
from reconciler.reconcile.tick import Alarm, Tick, Ticker
from reconciler.records import dataclass
from reconciler.targets.guest import GuestTarget
from reconciler.transports.ways import WAYS, state_of

FIRST = "nothing is applied in a guest before a report of it has told what would be"

KEPT_DEPTH = 1
"""How deep what is kept of a guest is looked into: what a tick leaves in there is on top."""

_AT_LEAST = timedelta(seconds=15)
"""How long a transaction is waited for, however short ``guests.wait`` is: so long may it take to begin."""

_ITSELF = "its own: "
_WHICH = f"""
[ ! -r /etc/machine-id ] || cat /etc/machine-id
for unit; do
    for link in /etc/systemd/system/*.wants/"$unit"; do
        [ ! -L "$link" ] || {{ echo "{_ITSELF}$unit" && exit 0; }}
    done
done
""".encode()
_OWN_UNITS = (TIMER, WATCH)

_ASKED = 60.0
"""Seconds for a guest to say its machine id."""


@dataclass(frozen=True, slots=True)
class _Unseen(GuestFolder):
    """The folder of a guest that was never reported: the look that comes first applies nothing.

    Attributes:
        since: When that is.
    """

    since: datetime

    def pause(self) -> Pause | None:
        """Return a pause, the operator's before ours."""
        return GuestFolder.pause(self) or Pause(FIRST, "patchledger", self.since)


@dataclass(frozen=True, slots=True)
class GuestTick:
    """What a tick in a guest came to.

    Attributes:
        is_first: It was the first, which applies nothing.
        notices: What a person should know besides.
        kept: What is kept of the guest now, as :meth:`InGuests.kept_of` says; empty where somebody else has
            changed it meanwhile.
    """

    done: Tick
    is_first: bool
    notices: tuple[str, ...] = ()
    kept: str = ""


@dataclass(frozen=True, slots=True)
class InGuests:
    """Makes whole ticks in the guests of a hypervisor, one for each of them, each in whichever thread.

    What they share is reached in turn (:mod:`reconciler.cli.wiring.in_turn`).

    Attributes:
        wiring: Of the hypervisor; its copy of the policy, its reports and its messages are shared.
        said: By its configuration, of guests.
        kept: Their folders.
        in_force: The policy that was fetched for all.
        outliving: What is told of where a signal ends the tick.
        git: To the copy of the policy and the queue of reports.
        messages: To the outbox.
        waits: Reports are pushed by whoever looks after all guests, where nothing rests on them.
    """

    wiring: Wiring
    said: Guests
    kept: GuestFolders
    in_force: InForce
    outliving: Outliving = field(default_factory=Outliving)
    git: Turn = field(default_factory=Turn)
    messages: Turn = field(default_factory=Turn)
    waits: bool = True

    def shut(self) -> None:
        """Let nothing be begun in any guest any more, since the tick is told to end."""
        self.messages.shut()
        self.git.shut()

    def tick(self, guest: Guest, break_glass: BreakGlass | None = None) -> GuestTick:
        """Look after one guest, beside whatever else is at work; it is locked meanwhile.

        Raises:
            GuestAway: It does not run, or does not any more.
            ReconcilerError: It cannot be looked at, or not be reported, or a tick in it is at work.
        """
        folder = self.kept.of(guest.id)
        folder.prepare()
        with folder.locked():
            paused = look(str(folder.path / PAUSE), 0)
            try:
                came = self._tick(guest, folder, break_glass)
            except GuestAway:
                raise
            except Exception as error:
                # Also where it did not come to a tick, as of a guest that cannot be asked which it is.
                Alarm(folder, self._messenger).of_no_report(error, self._clock.now())
                raise
            # The pause is the one thing in there that is changed by others while the lock is held.
            is_as_seen = paused == look(str(folder.path / PAUSE), 0)
            return replace(came, kept=self.kept_of(guest.id) if is_as_seen else "")

    def kept_of(self, guest: str) -> str:
        """Return a digest of what is kept of a guest: another one after each look at it, or pause."""
        return look(str(self.kept.of(guest).path.absolute()), KEPT_DEPTH)

    def _tick(self, guest: Guest, folder: GuestFolder, break_glass: BreakGlass | None) -> GuestTick:
        machine = _machine_id(target_of(guest, self.said.environment))
        state, notices = folder.recall().state, tuple[str, ...]()
        why = self._contradicted(guest, state, machine)
        if why:
            # It is ours to say which guest a number is, so that no person has to have the branch continued.
            branch = guest_branch(self.wiring.config.host, guest.id)
            with self.git.taken():
                self.wiring.queue.continue_on(branch, machine, keep_runs=self.wiring.config.retention.runs)
            aside = self.kept.set_aside(guest.id, self._clock.now())
            folder.prepare()
            state = folder.recall().state
            notices = (f"guest {guest.id} is another one than before: {why}; what was kept is in {aside}",)
        is_first = state.snapshot is None
        used = _Unseen(folder.path, folder.id, self._clock.now()) if is_first else folder
        # From here on nothing is done in any other guest that gets its number meanwhile.
        target = target_of(guest, self.said.environment, machine, max(self.said.wait, _AT_LEAST))
        done = self._ticker(guest, used, target).tick(break_glass)
        state = folder.recall().state
        pin = replace(state.pin or Pin(guest.id), kind=guest.kind).and_seen(guest.volume, machine)
        if pin != state.pin and not done.assessment.is_anothers:
            folder.save(replace(state, pin=pin))
        return GuestTick(done, is_first, notices)

    def looking(self, guest: Guest, folder: GuestFolder) -> tuple[Ticker, Recalled]:
        """Return what looks at a guest by hand, and what is remembered of it: nothing of another guest.

        Args:
            guest: That is looked at.
            folder: Its own; the caller holds its lock.

        Raises:
            GuestAway: It does not run.
            ReconcilerError: It cannot be looked at.
        """
        machine = _machine_id(target_of(guest, self.said.environment))
        recalled = folder.recall()
        why = self._contradicted(guest, recalled.state, machine)
        if why:
            said = f"guest {guest.id} is another one than before: {why}; nothing of that one counts"
            recalled = replace(recalled, state=Remembered(), complaints=(said,))
        used = folder
        if recalled.state.snapshot is None:
            used = _Unseen(folder.path, folder.id, self._clock.now())
        return self._ticker(guest, used, target_of(guest, self.said.environment, machine)), recalled

    def _contradicted(self, guest: Guest, state: Remembered, machine: str) -> str:
        """Return why a guest is another one than what is kept is of, empty where nothing says so.

        Where its Host document names another machine, what is kept stays that one's: this is not the guest
        that the policy means, which each look tells, and so nothing is done in it.
        """
        revision = self.in_force.revision
        named = "" if revision is None else revision.machine_of(f"{self.wiring.config.host}/{guest.id}")
        if state.pin is None or (named and named != machine):
            return ""
        return state.pin.contradicted(guest.volume, machine)

    def farewell(self, guest: Guest) -> str:
        """Report where a guest went, end what was unfinished in it, and set aside what was kept.

        The report is the last one once more, with the same policy, so that git alone makes it again; without
        one where that policy is lost.

        Args:
            guest: Of which something is kept, and which another node has, or nobody.

        Returns:
            What a person should know, empty where nothing was ever reported of it.

        Raises:
            ReconcilerError: It cannot be reported; then the next tick tries again.
        """
        where, folder = farewell(guest.state), self.kept.of(guest.id)
        with folder.locked():
            branch = guest_branch(self.wiring.config.host, guest.id)
            last, seen = self.wiring.queue.last(branch), self.wiring.queue.last(branch, "observation.json")
            said = "" if seen is None else f"guest {guest.id}: {where}"
            try:
                told = None if seen is None else read_vouched(seen.data)
            except Misuse as error:
                # Whatever somebody put there, no later tick can go on from it.
                told, said = None, f"{said}; no report says so, since the last one is none: {error.message}"
            if last is not None and told is not None and not told.gone:
                self._say_farewell(guest, folder, replace(told, gone=where), last)
            self.kept.set_aside(guest.id, self._clock.now())
        return said

    def _say_farewell(self, guest: Guest, folder: GuestFolder, told: Recording, last: Stored) -> None:
        previous = Previous(last.oid, inventory_of(told.observation.installed), last.elsewhere)
        now = self._clock.now()
        recording = replace(told, now=now, previous=previous, changed_outside=())
        try:
            report = decide_again(recording, self.wiring.read).report
        except Transient:
            raise
        except ReconcilerError:
            # Its history was rewritten, or it is none for this version: no later tick has it either.
            recording = _without_policy(recording)
            report = decide_again(recording, self.wiring.read).report
        files = {
            "report.json": to_json(report),
            "observation.json": write(recording),
            "report.md": to_markdown(report).encode(),
        }
        run, journal, branch = "", folder.journal(), guest_branch(self.wiring.config.host, guest.id)
        if journal is not None and self.wiring.queue.record_of(branch, journal.run) is None:
            # What would enter it is never asked, so that it does not matter which way that is.
            target = target_of(replace(guest, kind=guest.kind or GuestKind.PROXMOX))
            applier = self._ticker(guest, folder, target, _known(told.observation.manager)).applier
            record = applier.lost(journal, recording.gone)
            files |= Ran(record, folder.run_log(record.run, self.wiring.config.secrets)).files
            run = record.run
        message = commit_message(subject(report), trailers(report, run))
        self.wiring.queue.commit(branch, files, message, now, keep_runs=self.wiring.config.retention.runs)

    @property
    def _messenger(self) -> MessengerInTurn:
        return MessengerInTurn(self.wiring.ticker.reporter.messenger, self.messages)

    @property
    def _clock(self) -> Clock:
        return self.wiring.ticker.applier.clock

    def _ticker(
        self, guest: Guest, folder: GuestFolder, target: GuestTarget, manager: ManagerName | None = None
    ) -> Ticker:
        host, config = self.wiring.ticker, self.wiring.config
        site = self._site(guest, folder, target, manager)
        queue = QueueInTurn(self.wiring.queue, self.git)
        assessor = Assessor(
            site,
            self._clock,
            FollowerInTurn.of(host.assessor.follower, self.git),
            queue,
            PROGRAM,
            config.git.timeout,
            host.assessor.notifiers,
            link=host.assessor.link,
        )
        return Ticker(
            site,
            assessor,
            Applier(site, self._clock, PROGRAM, assessor.ask_anew, assessor.link),
            replace(host.reporter, site=site, queue=queue, messenger=self._messenger, waits=self.waits),
            config.secrets,
            in_force=self.in_force,
        )

    def _site(
        self, guest: Guest, folder: GuestFolder, target: GuestTarget, name: ManagerName | None
    ) -> Site[InGuest]:
        config, own = self.wiring.config, self.wiring.site
        manager = self._manager(folder, target, name)
        kept = config.retention.logs
        return Site(
            guest.id,
            guest.labels,
            guest_branch(config.host, guest.id),
            folder,
            GuestLock(ROOTS_FOLDER if os.geteuid() == 0 else self.kept.state, guest.id, manager.database),
            manager,
            self._around(guest, target),
            power_of(guest, target, partial(_of_restart, folder)),
            self.kept.logs_of(guest.id, kept.count, kept.age),
            None,
            digest_of_rules(config),
            own.report_key,
            own.is_report_key_revoked,
            guest_of=config.host,
            called="" if guest.name == guest.id else guest.name,
            away=partial(_away, guest),
        )

    def _around(self, guest: Guest, target: GuestTarget) -> Surroundings[InGuest]:
        checks = GuestChecks(target, partial(ask_in_network, guest))
        return Surroundings(GuestHooks(self.said.hooks_dir, guest.id), checks, GuestRestarts(target), settled)

    def _manager(self, folder: GuestFolder, target: GuestTarget, name: ManagerName | None) -> GuestManager:
        def keep(printed: bytes) -> str:
            folder.write(UNPARSED, printed)
            return str(folder.path / UNPARSED)

        def at_work() -> AbstractContextManager[None]:
            return self.outliving.doing(f"the package manager of guest {folder.id}")

        scripts = replace(policy_scripts(self.wiring.config), folder=folder.path / "scripts")
        return manager_of(target, name, keep=keep, at_work=at_work, policy_scripts=scripts)


def _of_restart(folder: GuestFolder) -> Path:
    """Return where what a restart says is kept: with the run that it is."""
    journal = folder.journal()
    if journal is None:
        raise Stalled(f"no run of guest {folder.id} is written down that restarts it")
    return folder.execution(journal.run, "restart")


def _machine_id(target: GuestTarget) -> str:
    """Return a guest's machine id, empty where it has none.

    Raises:
        GuestAway: It is not ours: it has a patchledger of its own, which runs.
        ReconcilerError: It cannot be asked.
    """
    done = target.run(question(_WHICH), "machine-id", _OWN_UNITS, timeout=_ASKED)
    if done.timed_out:
        raise TimedOut(f"it does not answer within {_ASKED:.0f} s")
    if done.truncated:
        raise Stalled("what it says has no end")
    if done.returncode:
        raise Stalled(one_line(done.error_text, 300) or f"the question ended with {done.returncode}")
    machine, _, own = done.text.partition(_ITSELF)
    if own:
        unit = one_line(own, 60)
        raise GuestAway(target.where.id, Unsupported(f"it patches itself: {unit} is enabled in it"))
    return machine_id_of(machine.strip())


def state_now(guest: Guest) -> State:
    """Look for a guest again, by files and what the kernel shows.

    Raises:
        Transient: That cannot be found out.
    """
    return Gone() if guest.kind is None else state_of(guest, WAYS[guest.kind])


def _away(guest: Guest) -> str:
    try:
        return why_not(state_now(guest))
    except Transient as error:
        return error.message


def _without_policy(recording: Recording) -> Recording:
    """Return what was recorded as of a guest that has no policy."""
    inputs = recording.inputs
    inputs = replace(inputs, policy=replace(inputs.policy, commit="", committed_at=None, signed=()))
    return replace(recording, policy_commit="", inputs=inputs)


def _known(manager: str) -> ManagerName:
    return next(name for name in NAMES if name == manager)
