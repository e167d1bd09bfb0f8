"""What belongs to one target, as one object: a machine with guests has many of them in one process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.planning.facts.observation import Observation
from reconciler.planning.gates.types import Inhibitor
from reconciler.reconcile.ports.target import Lock, LogKeeper, PackageManager, Power, StateStore
from reconciler.reconcile.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Site:
    """One target with all that is its own; what belongs to the machine or the process is not in it.

    Attributes:
        target: Its id.
        labels: What it says of itself.
        branch: Of the report repository.
        folder: Where its runs, and what a tick leaves for the next, are written down.
        lock: Held while its packages are changed.
        manager: Its package manager.
        around: Its hooks, health and services.
        power: Restarts it; ``None`` where it cannot be rebooted from here.
        logs: Where the log of a run is kept besides the report.
        inhibitors: Says what a run would disturb; asked only where one could begin.
        configuration: Digest of what the host's own configuration rules.
        report_key: Fingerprint of the key that signs its reports, empty without one.
        is_report_key_revoked: Says whether that counts no more, by the host's own configuration.
    """

    target: str
    labels: Mapping[str, str]
    branch: str
    folder: StateStore
    lock: Lock
    manager: PackageManager
    around: Surroundings
    power: Power | None = None
    logs: LogKeeper | None = None
    inhibitors: Callable[[], tuple[Inhibitor, ...]] = tuple
    configuration: str = ""
    report_key: str = ""
    is_report_key_revoked: Callable[[], bool] = bool

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
