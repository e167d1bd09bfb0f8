"""The parts of one guest, put together like those of its hypervisor: all its own but for git and messages."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.cli.showing.terminal import outlived_by
from reconciler.cli.wiring.compose import PROGRAM, UNPARSED, Wiring, policy_scripts, settled
from reconciler.cli.wiring.entering import manager_of, target_of
from reconciler.cli.wiring.guest_checks import GuestChecks
from reconciler.errors import Stalled
from reconciler.gitops.report_branches import guest_branch
from reconciler.host.config import Config, Guests, digest_of_rules
from reconciler.host.machine.hooks import GuestHooks
from reconciler.host.machine.locking import ROOTS_FOLDER, GuestLock
from reconciler.host.state.folder import GuestFolder
from reconciler.host.state.guests import GuestFolders
from reconciler.managers.scripted import GuestManager
from reconciler.managers.scripts import TimedOut, guard_text
from reconciler.planning.facts.guests import Guest, Pin
from reconciler.planning.gates.types import Pause
from reconciler.planning.text.untrusted import one_line
from reconciler.policy.machine_ids import machine_id_of
from reconciler.reconcile.apply import Applier
from reconciler.reconcile.assess import Assessor
from reconciler.reconcile.policy_in_force import InForce
from reconciler.reconcile.ports.target import Clock
from reconciler.reconcile.ports.where import InGuest
from reconciler.reconcile.site import Site
from reconciler.reconcile.surroundings import Surroundings
from reconciler.reconcile.tick import Tick, Ticker
from reconciler.targets.guest import GuestTarget

FIRST = "nothing is applied in a guest before a report of it has told what would be"

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
    """

    done: Tick
    is_first: bool
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InGuests:
    """Makes whole ticks in the guests of a hypervisor, one for each of them.

    Attributes:
        wiring: Of the hypervisor; its copy of the policy, its reports and its messages are shared.
        said: By its configuration, of guests.
        kept: Their folders.
        in_force: The policy that was fetched for all.
    """

    wiring: Wiring
    said: Guests
    kept: GuestFolders
    in_force: InForce

    def tick(self, guest: Guest) -> GuestTick:
        """Look after one guest, beside whatever else is at work; it is locked meanwhile.

        Raises:
            GuestAway: It does not run, or does not any more.
            ReconcilerError: It cannot be looked at, or not be reported, or a tick in it is at work.
        """
        folder = self.kept.of(guest.id)
        folder.prepare()
        with folder.locked():
            return self._tick(guest, folder)

    def _tick(self, guest: Guest, folder: GuestFolder) -> GuestTick:
        machine = _machine_id(target_of(guest, self.said.environment))
        state, notices = folder.recall().state, tuple[str, ...]()
        why = "" if state.pin is None else state.pin.contradicted(guest.volume, machine)
        if why:
            aside = self.kept.set_aside(guest.id, self._clock.now())
            folder.prepare()
            state = folder.recall().state
            notices = (f"guest {guest.id} is another one than before: {why}; what was kept is in {aside}",)
        is_first = state.snapshot is None
        used = _Unseen(folder.path, folder.id, self._clock.now()) if is_first else folder
        done = self._ticker(guest, used, machine).tick()
        state = folder.recall().state
        pin = (state.pin or Pin(guest.id)).and_seen(guest.volume, machine)
        if pin != state.pin:
            folder.save(replace(state, pin=pin))
        return GuestTick(done, is_first, notices)

    @property
    def _clock(self) -> Clock:
        return self.wiring.ticker.applier.clock

    def _ticker(self, guest: Guest, folder: GuestFolder, machine: str) -> Ticker:
        host = self.wiring.ticker
        config = self.wiring.config
        # From here on nothing is done in any other guest that gets its number meanwhile.
        target = target_of(guest, self.said.environment, machine)
        site = self._site(guest, folder, target)
        assessor = Assessor(
            site,
            self._clock,
            host.assessor.follower,
            host.assessor.queue,
            PROGRAM,
            config.git.timeout,
            host.assessor.notifiers,
        )
        secrets = (*config.environment.values(), *self.said.environment.values())
        return Ticker(
            site,
            assessor,
            Applier(site, self._clock, PROGRAM, assessor.ask_anew),
            replace(host.reporter, site=site, waits=True),
            secrets,
            in_force=self.in_force,
        )

    def _site(self, guest: Guest, folder: GuestFolder, target: GuestTarget) -> Site[InGuest]:
        config, own = self.wiring.config, self.wiring.site
        manager = _manager(config, folder, target)
        kept = config.retention.logs
        return Site(
            guest.id,
            guest.labels,
            guest_branch(config.host, guest.id),
            folder,
            GuestLock(ROOTS_FOLDER if os.geteuid() == 0 else self.kept.state, guest.id, manager.database),
            manager,
            Surroundings(GuestHooks(self.said.hooks_dir, guest.id), GuestChecks(target), None, settled),
            None,
            self.kept.logs_of(guest.id, kept.count, kept.age),
            None,
            digest_of_rules(config),
            own.report_key,
            own.is_report_key_revoked,
            guest_of=config.host,
            called="" if guest.name == guest.id else guest.name,
        )


def _manager(config: Config, folder: GuestFolder, target: GuestTarget) -> GuestManager:
    def keep(printed: bytes) -> str:
        folder.write(UNPARSED, printed)
        return str(folder.path / UNPARSED)

    def at_work() -> AbstractContextManager[None]:
        return outlived_by(f"the package manager of guest {folder.id}")

    scripts = replace(policy_scripts(config), folder=folder.path / "scripts")
    return manager_of(target, keep=keep, at_work=at_work, policy_scripts=scripts)


def _machine_id(target: GuestTarget) -> str:
    """Return a guest's machine id, empty where it has none.

    Raises:
        ReconcilerError: It cannot be asked.
    """
    text = guard_text()[0] + b"\n[ ! -r /etc/machine-id ] || cat /etc/machine-id\n"
    done = target.run(text, "machine-id", (), timeout=_ASKED)
    if done.timed_out:
        raise TimedOut(f"guest {target.where.id} does not answer within {_ASKED:.0f} s")
    if done.returncode:
        said = one_line(done.error_text, 300) or f"the question ended with {done.returncode}"
        raise Stalled(f"guest {target.where.id}: {said}")
    return machine_id_of(done.text.strip())
