"""A target and the machine it is reached from; :mod:`reconciler.managers` and ``host`` are the real ones."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeAlias

from reconciler.planning.facts.links import FREE, Cost
from reconciler.planning.facts.observation import Answer, Change, ClockState, Observation, Question, Refresh
from reconciler.planning.gates.types import Inhibitor, Pause
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.planning.runs.hooks_and_health import (
    CheckResult,
    HookResult,
    HookStage,
    Leftovers,
    Restart,
)
from reconciler.planning.runs.journal import Journal
from reconciler.planning.runs.steps import Needs
from reconciler.policy.documents import Health
from reconciler.reconcile.ports.state import Recalled, Spare, State
from reconciler.reconcile.ports.unless import Unless
from reconciler.reconcile.ports.where import InGuest, ThisMachine, Where_co

FETCH = "download"
"""Name of the execution that fetches packages ahead and changes nothing."""


AnyManager: TypeAlias = "PackageManager[ThisMachine] | PackageManager[InGuest]"
AnyPower: TypeAlias = "Power[ThisMachine] | Power[InGuest]"
AnyStore: TypeAlias = "StateStore[ThisMachine] | StateStore[InGuest]"


class Link(Protocol):
    """The machine's way to the network, and its guests'."""

    def cost(self) -> Cost:
        """Say what it costs now."""


class FreeLink:
    """A way that costs nothing."""

    def cost(self) -> Cost:
        """Return that it costs nothing."""
        return FREE


FREE_LINK = FreeLink()


class Clock(Protocol):
    """The wall clock and what is known of it."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""

    def state(self) -> ClockState:
        """Say whether the clock is kept synchronised."""


class PackageManager(Protocol[Where_co]):
    """The package manager of the target, through its patch script."""

    @property
    def where(self) -> Where_co:
        """What it is a part of."""

    @property
    def is_by_policy(self) -> bool:
        """Whether the script in use is one of the policy repository, and not the program's own."""

    def use_script(self, content: bytes | None, /) -> None:
        """Run this script of the policy repository from now on, ``None`` the program's own.

        Raises:
            Stalled: This host does not accept it.
        """

    def observe(
        self, at: datetime, without: Sequence[str] = (), security_sources: Sequence[str] = (), /
    ) -> Observation:
        """Look at the machine, as it is or as its sources are to be seen; changes nothing."""

    def refresh(self, rate: int | None = None, /) -> Refresh:
        """Fetch the metadata anew, with so many bytes a second at most."""

    def resolve(self, question: Question) -> Answer:
        """Ask the resolver; changes nothing."""

    def needs(self, changes: Sequence[Change]) -> Needs | None:
        """Say which changes must be made before, or with, which others."""

    def download(self, instruction: Instruction, folder: Path, unless: Unless | None = None, /) -> Execution:
        """Fetch the packages of a transaction, as long as nothing is against it; installs nothing."""

    def apply(self, instruction: Instruction, folder: Path) -> Execution:
        """Make exactly these changes, or none; nothing ever stops it."""

    def repair(self, instruction: Instruction, folder: Path) -> Execution:
        """Bring what was left half done to an end."""

    def is_at_work(self, folder: Path) -> bool:
        """Tell whether an execution, started by whomever, is still running."""

    def result(self, folder: Path) -> Execution:
        """Return what an execution came to that somebody else started."""


class StateStore(Protocol[Where_co]):
    """Where runs are written down, and what a tick leaves; the real one is a folder of ``host.state``."""

    @property
    def where(self) -> Where_co:
        """What it is a part of."""

    def recall(self) -> Recalled:
        """Read the state as far as it can be believed."""

    def save(self, state: State) -> None:
        """Keep the state, durably."""

    def write(self, name: str, data: bytes) -> None:
        """Replace a file."""

    def journal(self) -> Journal | None:
        """Return the journal of a run that did not end by itself, ``None`` where there is none."""

    def clear_journal(self) -> None:
        """Forget the run that the journal tells of."""

    def run_log(self, run: str, secrets: Iterable[str]) -> bytes:
        """Return what the package manager said in a run, bounded and without secrets."""

    def begin(self, journal: Journal) -> None:
        """Write down a run that begins, durably, and take its id for it alone."""

    def write_journal(self, journal: Journal) -> None:
        """Write down how far a run has come, durably."""

    def unused(self, run: str) -> str:
        """Return the id of a run, or one like it where that is taken: two may begin within a second."""

    def execution(self, run: str, name: str) -> Path:
        """Return the folder of one execution, made on first use."""

    def executions(self, run: str) -> tuple[str, ...]:
        """Return the names of all executions of a run that have a folder."""

    def explain(self, run: str, why: str) -> None:
        """Leave word of why we end before a run does; needs no space on a full disk, and never raises."""

    def explained(self, run: str) -> str:
        """Return what :meth:`explain` left, empty where nothing did."""

    def pause(self) -> Pause | None:
        """Return the operator's pause as it is at this moment, ``None`` where there is none."""


class Lock(Protocol[Where_co]):
    """Keeps others from changing the same packages meanwhile."""

    @property
    def where(self) -> Where_co:
        """What it is a part of."""

    def held(self) -> AbstractContextManager[None]:
        """Hold it.

        Raises:
            Transient: Somebody else does.
        """


class LogKeeper(Protocol[Where_co]):
    """Where a run's log is kept on the host."""

    @property
    def where(self) -> Where_co:
        """What it is a part of."""

    def keep(self, run: str, files: Mapping[str, bytes], now: datetime) -> None:
        """Keep a run's files, by their suffixes, and forget the oldest."""

    def spare(self) -> Spare | None:
        """Return what :meth:`keep_spare` kept last, ``None`` where there is nothing that can be read."""

    def keep_spare(self, spare: Spare) -> None:
        """Keep a little of the state beside the logs.

        Raises:
            Stalled: It cannot be written, or others may write there.
        """


class Power(Protocol[Where_co]):
    """Restarts the machine whose packages are at ``root``.

    Attributes:
        is_awaited: It returns when the machine is back, or should be: we go on meanwhile, and nobody in there
            is warned.
    """

    root: str
    is_awaited: bool

    @property
    def where(self) -> Where_co:
        """What it is a part of."""

    def boot_id(self) -> str:
        """Return the id of this boot, another after each; empty where nobody tells."""

    def reboot(self, notice: timedelta, message: str) -> None:
        """Ask for a reboot and return before it happens, unless it is awaited.

        Raises:
            Stalled: The machine refuses.
        """


class Disturbed(Protocol[Where_co]):
    """Whom a run would disturb; :class:`reconciler.host.machine.inhibitors.Inhibitors` is the real one."""

    @property
    def where(self) -> Where_co:
        """What it is a part of."""

    def observe(self) -> tuple[Inhibitor, ...]:
        """Say what a run would disturb now."""


class HookRunner(Protocol[Where_co]):
    """The host's own programs; :class:`reconciler.host.machine.hooks.HookFolder` is the real one."""

    @property
    def where(self) -> Where_co:
        """What it is a part of."""

    def run(
        self, stage: HookStage, *, stdin: bytes, facts: Mapping[str, str], timeout: timedelta
    ) -> tuple[HookResult, ...]:
        """Run the hooks of a stage."""

    def digest(self, stage: HookStage) -> str:
        """Tell a stage's hooks from others, and from such as may not run; empty where there are none."""


class HealthChecker(Protocol[Where_co]):
    """What a policy's ``health`` names; :class:`reconciler.host.machine.checks.Checks` is the real one."""

    @property
    def where(self) -> Where_co:
        """What it is a part of."""

    def check(self, wanted: Health) -> tuple[CheckResult, ...]:
        """Ask everything once."""

    def failed_units(self) -> tuple[CheckResult, ...]:
        """Return the units that have failed."""


class ServiceRestarter(Protocol[Where_co]):
    """Services with replaced files; :class:`reconciler.host.machine.restarts.Restarts` is the real one."""

    @property
    def where(self) -> Where_co:
        """What it is a part of."""

    def leftovers(self) -> Leftovers | None:
        """Say what still runs replaced files; ``None`` where nobody can tell."""

    def restart(self, services: Iterable[str]) -> tuple[Restart, ...]:
        """Restart services, one after another."""
