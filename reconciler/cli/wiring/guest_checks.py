"""How a guest is, asked inside: its own systemd and its own network say it, never those of its hypervisor.

What it answers is its own word. A unit of the hypervisor that bears the same name is nobody's business.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError, Stalled
from reconciler.host.machine.checks import names_of
from reconciler.host.machine.systemd import is_active_state, unit_name
from reconciler.managers.scripts import question
from reconciler.planning.runs.hooks_and_health import CheckResult
from reconciler.planning.text.untrusted import one_line
from reconciler.reconcile.ports.guest import GuestAway
from reconciler.targets.guest import GuestTarget

if TYPE_CHECKING:
    from reconciler.policy.documents import Health
    from reconciler.reconcile.ports.where import InGuest

AskInNetwork = Callable[[Sequence[str]], tuple[CheckResult, ...]]
"""Asks ports and URLs in the network of a guest; raises a domain error where that cannot be done."""

_NO_SYSTEMD = "no systemd"
_HERE = f"[ -d /run/systemd/system ] || {{ echo {_NO_SYSTEMD}; exit 0; }}\n".encode()
_STATES = _HERE + b'systemctl is-active -- "$@"\nexit 0\n'
_FAILED = _HERE + b"systemctl list-units --failed --plain --no-legend --full --no-pager\n"
_PATIENCE = 60.0
_WORDS = 200


class GuestChecks:
    """The units, ports and URLs that a policy's ``health`` names, and units that have failed.

    Of one that is away nobody can say how it is: it has no checks then, and the tick tells where it is.

    Args:
        target: The guest.
        network: Asks in its network.
    """

    def __init__(self, target: GuestTarget, network: AskInNetwork) -> None:
        self._target = target
        self._network = network

    @property
    def where(self) -> "InGuest":
        """What it is a part of."""
        return self._target.where

    def check(self, wanted: "Health") -> tuple[CheckResult, ...]:
        """Ask every unit, port and URL of ``wanted`` once."""
        return (*self._units(wanted.units), *self._ports(names_of(wanted)))

    def failed_units(self) -> tuple[CheckResult, ...]:
        """Return a failing check for each unit that its systemd counts as failed; none where it has none."""
        try:
            lines = self._ask(_FAILED, ())
        except GuestAway:
            return ()
        except ReconcilerError as error:
            return (CheckResult("failed units", ok=False, detail=error.message),)
        names = (line.split()[0] for line in lines if line.strip() and line != _NO_SYSTEMD)
        return tuple(
            CheckResult(f"unit {one_line(name, _WORDS)}", ok=False, detail="failed") for name in sorted(names)
        )

    def _ports(self, names: Sequence[str]) -> tuple[CheckResult, ...]:
        try:
            return self._network(names)
        except GuestAway:
            return ()
        except ReconcilerError as error:
            return tuple(CheckResult(name, ok=False, detail=error.message) for name in names)

    def _units(self, units: Sequence[str]) -> tuple[CheckResult, ...]:
        names = tuple(map(unit_name, units))
        if not names:
            return ()
        try:
            states = self._ask(_STATES, names)
        except GuestAway:
            return ()
        except ReconcilerError as error:
            return tuple(CheckResult(f"unit {name}", ok=False, detail=error.message) for name in names)
        if len(states) != len(names):
            states = [one_line(" ".join(states), _WORDS) or "its systemd does not answer"] * len(names)
        return tuple(
            CheckResult(f"unit {name}", ok=is_active_state(state), detail=one_line(state, _WORDS))
            for name, state in zip(names, states, strict=True)
        )

    def _ask(self, text: bytes, args: Sequence[str]) -> list[str]:
        """Return the lines that a text prints in the guest.

        Raises:
            ReconcilerError: It cannot be asked, or does not answer.
        """
        done = self._target.run(question(text), "health", args, timeout=_PATIENCE)
        if done.timed_out or done.returncode:
            said = one_line(done.error_text, _WORDS) or f"it ended with {done.returncode}"
            raise Stalled("no answer in time" if done.timed_out else said)
        return done.lines
