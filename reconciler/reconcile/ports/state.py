"""What one tick leaves for the next, kept in the state folder by :mod:`reconciler.host.state`."""

from dataclasses import field
from datetime import datetime
from typing import Any

from reconciler.planning.facts.guests import Pin
from reconciler.planning.facts.observation import FirstSeen, Quarantined
from reconciler.planning.facts.unneeded import UnneededSeen
from reconciler.planning.gates.types import FailedApply, SignedBy
from reconciler.planning.notices.events import LastRun, PastRun, Route, Snapshot
from reconciler.planning.notices.missed_windows import WindowWatch
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.runs.costs import Took
from reconciler.planning.runs.execution import Unfetched
from reconciler.planning.text.wording import minute
from reconciler.records import dataclass

TRUST = "trust.json"
RUNS = "runs.json"
NOTICES = "notices.json"


def _of(owner: str) -> Any:  # noqa: ANN401 - as dataclasses.field
    return {"file": owner}


@dataclass(frozen=True, slots=True)
class State:
    """What one tick leaves for the next.

    Attributes:
        accepted: The last policy commit that was verified and valid, empty before the first; history only
            moves forward from it.
        floor: The ``trust.floor`` that was configured when it was accepted, empty without one.
        beginning: Where the history of the policy that is followed begins, for people.
        is_verified: Whether the accepted commit was verified by its signatures.
        signed: Who signed it and those just before it.
        enrolled: What the policy said last of the key that signs its reports, ``None`` before the first.
        refreshed_at: When the package metadata were last refreshed by us.
        missing: Ids of the sources that could not be read at the last attempt to refresh.
        first_seen: Evidence for minimum ages.
        snapshot: What notifications compare with.
        routes: Who hears of what by the last policy in force, for a tick that cannot even ask it.
        last_run: The latest attempt to apply a plan.
        failed: The last failed apply, where no successful one followed.
        quarantine: Versions that failed to install or to go, and are left alone until something changes.
        downloaded: Digests of the plans of the last look whose packages were fetched; spaces between.
        unfetched: What could not be fetched ahead, ``None`` where the last attempt went well.
        repaired: Digest of the package database that a repair could not mend; it is not tried on it again.
        used: Digests of plans that were applied, the latest last.
        reboots: When this host was rebooted by us, the latest last.
        recent: The runs of the last days, the latest last.
        took: How long the last steps took, the latest last.
        outside: What no run changed, from before it is reported until it is told.
        watch: What is known of the windows that are open or passed.
        unneeded: What nothing needed any more at the last look, where policy asks for what runs made so.
        pin: Which guest this is the state of, ``None`` of a host, and before the first look.
    """

    accepted: str = field(default="", metadata=_of(TRUST))
    floor: str = field(default="", metadata=_of(TRUST))
    beginning: str = field(default="", metadata=_of(TRUST))
    is_verified: bool = field(default=False, metadata=_of(TRUST))
    signed: tuple[SignedBy, ...] = field(default=(), metadata=_of(TRUST))
    enrolled: str | None = field(default=None, metadata=_of(TRUST))
    refreshed_at: datetime | None = field(default=None, metadata=_of(TRUST))
    missing: tuple[str, ...] = field(default=(), metadata=_of(TRUST))
    first_seen: tuple[FirstSeen, ...] = field(default=(), metadata=_of(TRUST))
    pin: Pin | None = field(default=None, metadata=_of(TRUST))
    snapshot: Snapshot | None = field(default=None, metadata=_of(NOTICES))
    routes: tuple[Route, ...] = field(default=(), metadata=_of(NOTICES))
    last_run: LastRun | None = field(default=None, metadata=_of(RUNS))
    failed: FailedApply | None = field(default=None, metadata=_of(RUNS))
    quarantine: tuple[Quarantined, ...] = field(default=(), metadata=_of(RUNS))
    downloaded: str = field(default="", metadata=_of(RUNS))
    unfetched: Unfetched | None = field(default=None, metadata=_of(RUNS))
    repaired: str = field(default="", metadata=_of(RUNS))
    used: tuple[str, ...] = field(default=(), metadata=_of(RUNS))
    reboots: tuple[datetime, ...] = field(default=(), metadata=_of(RUNS))
    recent: tuple[PastRun, ...] = field(default=(), metadata=_of(RUNS))
    took: tuple[Took, ...] = field(default=(), metadata=_of(RUNS))
    watch: WindowWatch = field(default_factory=WindowWatch, metadata=_of(RUNS))
    outside: tuple[str, ...] = field(default=(), metadata=_of(NOTICES))
    unneeded: UnneededSeen | None = field(default=None, metadata=_of(RUNS))


@dataclass(frozen=True, slots=True)
class Spare:
    """What is kept outside of the state folder as well, for a host whose folder was deleted.

    Attributes:
        policy: The accepted policy commit, where it had to be signed; empty otherwise.
        enrolled: As of :class:`State`, empty where the policy names no key.
    """

    policy: str = ""
    enrolled: str = ""

    @classmethod
    def of(cls, state: State) -> "Spare":
        """Return what of ``state`` is kept there."""
        return cls(state.accepted if state.is_verified else "", state.enrolled or "")


@dataclass(frozen=True, slots=True)
class Recalled:
    """The state as far as it could be read.

    Attributes:
        missing: The files that were not there, or not what was written: their content may be known elsewhere.
        complaints: What a person should know of damaged files.
    """

    state: State
    missing: frozenset[str] = frozenset()
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standstill:
    """Ticks in a row that ended with exit code 5.

    Attributes:
        ticks: How many; none in the value that stands for a tick that ended otherwise.
        since: When the first of them ended, as an instant in ISO 8601.
        why: What the first of them said.
    """

    ticks: int = 0
    since: str = ""
    why: str = ""

    @property
    def message(self) -> str:
        """Return a sentence that stays the same while it lasts."""
        return f"since {minute(datetime.fromisoformat(self.since))} no tick has ended well: {self.why}"

    @property
    def condition(self) -> Condition:
        """Return it as a condition of a report."""
        return Condition(ConditionType.STOOD_STILL, True, "TransientForLong", self.message)

    def and_another(self, why: str, now: datetime) -> "Standstill":
        """Return it with one more tick, which ended at ``now``."""
        return Standstill(self.ticks + 1, self.since or now.isoformat(), self.why or why)
