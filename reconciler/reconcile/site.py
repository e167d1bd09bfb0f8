"""What belongs to one target, as one object: a machine with guests has many of them in one process.

All parts of a site are parts of one place (:class:`~reconciler.reconcile.ports.target.ThisMachine` or
:class:`~reconciler.reconcile.ports.target.InGuest`). A part of the hypervisor in the site of a guest would
reboot, restart or ask the hypervisor in the guest's name: mypy refuses it, and so does the site itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Generic

from reconciler.planning.facts.guest_rows import GuestRow
from reconciler.planning.facts.matching import facts_of
from reconciler.planning.facts.observation import Observation
from reconciler.planning.gates.recording import Own
from reconciler.policy.load import Revision
from reconciler.policy.match import HostFacts
from reconciler.reconcile.ports.target import Disturbed, Lock, LogKeeper, PackageManager, Power, StateStore
from reconciler.reconcile.ports.where import InGuest, ThisMachine, Where_co
from reconciler.reconcile.surroundings import Surroundings
from reconciler.records import dataclass


def _nobody(_revision: Revision | None, _now: datetime, _until: datetime) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Site(Generic[Where_co]):
    """One target with all that is its own; what belongs to the machine or the process is not in it.

    Attributes:
        target: Its id; of a guest, at its hypervisor.
        labels: What it says of itself; of a guest, what its hypervisor says.
        branch: Of the report repository.
        folder: Where its runs, and what a tick leaves for the next, are written down.
        lock: Held while its packages are changed.
        manager: Its package manager.
        around: Its hooks, health and services.
        power: Restarts it; ``None`` where it cannot be rebooted from here.
        logs: Where the log of a run is kept besides the report.
        inhibitors: Says what a run would disturb; asked only where one could begin. ``None``: nothing.
        configuration: Digest of what the host's own configuration rules.
        report_key: Fingerprint of the key that signs its reports, empty without one.
        is_report_key_revoked: Says whether that counts no more, by the host's own configuration.
        guest_of: Id of the hypervisor, ``None`` for a host that is no guest.
        called: What its hypervisor calls a guest, empty where that is its id.
        previously: Branch of a guest's reports by the hypervisor that had it before.
        away: Why nothing can be begun there at this moment, empty where it can: a guest may be stopped or
            locked while a run is at work. Asked before each step.
        needed: Who needs a hypervisor to stay up from one instant to another, by the policy of this moment,
            empty where nobody does: a run in a guest, or a guest in a freeze.
        guests: What a hypervisor's report says of each of its guests; asked when it is made.

    Raises:
        ValueError: A part is one of another place than the package manager.
    """

    target: str
    labels: Mapping[str, str]
    branch: str
    folder: StateStore[Where_co]
    lock: Lock[Where_co]
    manager: PackageManager[Where_co]
    around: Surroundings[Where_co]
    power: Power[Where_co] | None = None
    logs: LogKeeper[Where_co] | None = None
    inhibitors: Disturbed[Where_co] | None = None
    configuration: str = ""
    report_key: str = ""
    is_report_key_revoked: Callable[[], bool] = bool
    guest_of: str | None = None
    called: str = ""
    previously: str = ""
    guests: Callable[[], tuple[GuestRow, ...]] = tuple
    away: Callable[[], str] = str
    needed: Callable[[Revision | None, datetime, datetime], str] = _nobody

    def __post_init__(self) -> None:
        around = self.around
        own = (self.folder, self.lock, self.logs, self.power, self.inhibitors)
        for part in (*own, around.hooks, around.checks, around.restarts):
            if part is not None and part.where != self.manager.where:
                raise ValueError(f"{part.where} of {type(part).__name__} is not {self.manager.where}")

    @property
    def id(self) -> str:
        """Its id among all targets, ``HOST/GUEST`` of a guest."""
        return self.target if self.guest_of is None else f"{self.guest_of}/{self.target}"

    def own(self) -> Own:
        """Return what it says of itself, whatever policy makes of it."""
        return Own(self.labels, self.configuration, guests=self.guests(), previously=self.previously)

    def matched(self, seen: Observation) -> HostFacts:
        """Return what documents match on, without what a Host document says."""
        return facts_of(self.target, self.labels, seen, self.guest_of, self.called)

    def observe(
        self, at: datetime, without: Sequence[str] = (), security_sources: Sequence[str] = ()
    ) -> Observation:
        """Look at the machine; the hooks that are asked before a run are the package manager's and its own.

        Raises:
            ReconcilerError: It cannot be looked at.
        """
        seen = self.manager.observe(at, without, security_sources)
        own = self.around.hooks.digest("pre")
        return replace(seen, hooks=f"{seen.hooks}+{own}") if own else seen


AnySite = Site[ThisMachine] | Site[InGuest]
"""The site of a target, whichever that is."""
