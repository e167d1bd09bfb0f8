"""What systemd and its login service are asked, wherever they run.

Elsewhere (a container without them, another init) there are no units, sessions or locks to speak of, and that
is an answer too.
"""

from collections.abc import Mapping
from pathlib import Path

from reconciler import process
from reconciler.errors import Transient

RUNTIME = Path("/run/systemd/system")
"""This folder exists exactly where systemd is the init system: sd_booted(3)."""

_PATIENCE = 60.0  # seconds for an answer of systemd's; a machine that has just been upgraded is busy
_LIMIT = 4 * 1024 * 1024  # bytes of an answer: thousands of failed units would fit
_ACTIVE = frozenset({"active", "reloading", "refreshing"})
# The types that systemd.unit(5) lists.
_UNIT_TYPES = frozenset(
    {"automount", "device", "mount", "path", "scope", "service", "slice", "socket", "swap", "target", "timer"}
)


class Systemd:
    """The running systemd.

    Args:
        environment: Added to what :func:`reconciler.process.run` gives a child.
        runtime: Exists where systemd runs.
    """

    def __init__(self, environment: Mapping[str, str], runtime: Path = RUNTIME) -> None:
        self._environment = dict(environment)
        self._runtime = runtime

    @property
    def is_running(self) -> bool:
        """Whether systemd is this machine's init system."""
        return self._runtime.is_dir()

    def ask(self, *argv: str, timeout: float = _PATIENCE) -> process.Completed:
        """Run one of systemd's commands to its end.

        Raises:
            Stalled: There is no such command.
        """
        return process.run(argv, env=self._environment, timeout=timeout, limit=_LIMIT)

    def states(self, units: tuple[str, ...]) -> tuple[str, ...]:
        """Return the active state of each unit in systemd's words, such as ``active`` or ``failed``.

        A unit that does not exist is ``inactive``.

        Raises:
            Stalled: There is no ``systemctl``.
            Transient: It does not answer.
        """
        if not units:
            return ()
        # Its exit code says whether all are active; the states are what it prints.
        done = self.ask("systemctl", "is-active", "--", *units)
        states = tuple(done.text.split())
        if len(states) != len(units):
            raise unanswered("systemctl is-active", done)
        return states

    def is_active(self, unit: str) -> bool:
        """Tell whether a unit is active.

        Raises:
            Stalled: There is no ``systemctl``.
            Transient: It does not answer.
        """
        return is_active_state(self.states((unit,))[0])

    def failed_units(self) -> tuple[str, ...]:
        """Return the names of all failed units, sorted.

        Raises:
            Stalled: There is no ``systemctl``.
            Transient: It does not answer.
        """
        done = self.ask(
            "systemctl", "list-units", "--failed", "--plain", "--no-legend", "--full", "--no-pager"
        )
        if done.returncode:
            raise unanswered("systemctl list-units", done)
        return tuple(sorted(line.split()[0] for line in done.lines if line.strip()))


def is_active_state(state: str) -> bool:
    """Tell whether systemd counts a state as active: systemctl(1), is-active."""
    return state in _ACTIVE


def unit_name(name: str) -> str:
    """Return the full name of a unit: ``.service`` follows where no type does, as for systemctl(1)."""
    return name if name.rpartition(".")[2] in _UNIT_TYPES and "." in name else f"{name}.service"


def unanswered(what: str, done: process.Completed) -> Transient:
    """Return the error for a command of systemd's that gave no answer, in its own words."""
    if done.timed_out:
        return Transient(f"{what} does not answer")
    words = [line.strip() for line in done.error_text.splitlines() if line.strip()]
    return Transient(f"{what} failed: {words[-1] if words else f'exit code {done.returncode}'}")
