"""What must work after a run: units, ports, URLs; and waiting for it, bounded.

How ports and URLs are asked, :mod:`reconciler.host.machine.endpoints` says. What cannot be asked is not well,
and says why.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import Stalled, Transient
from reconciler.host.machine.systemd import RUNTIME, Systemd, is_active_state, unit_name
from reconciler.planning.runs.hooks_and_health import CheckResult, newly_failing
from reconciler.reconcile.ports.where import THIS_MACHINE

if TYPE_CHECKING:
    from reconciler.host.machine.endpoints import Reply
    from reconciler.policy.documents import Health

EVERY = timedelta(seconds=2)
"""How long :func:`settle` waits before it asks again."""


class Checks:
    """The checks that a policy's ``health`` names, and systemd's failed units.

    Args:
        environment: Added to what :func:`reconciler.process.run` gives ``systemctl``.
        systemd: Exists where systemd runs.
        patience: How long one port or URL may take.
    """

    where = THIS_MACHINE

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        systemd: Path = RUNTIME,
        patience: timedelta | None = None,
    ) -> None:
        self._systemd = Systemd(environment, systemd)
        self._patience = patience

    def check(self, wanted: "Health") -> tuple[CheckResult, ...]:
        """Ask every unit, port and URL of ``wanted`` once, in this order; never raises a domain error."""
        return (*self._units(wanted.units), *self._endpoints(names_of(wanted)))

    def _endpoints(self, names: Sequence[str]) -> Iterator[CheckResult]:
        if names:
            # TLS, HTTP and what they need: most of what a look would import, and it asks nothing.
            from reconciler.host.machine.endpoints import PATIENCE, ask

            patience = PATIENCE if self._patience is None else self._patience.total_seconds()
            yield from (_as_check(ask(name, patience)) for name in names)

    def failed_units(self) -> tuple[CheckResult, ...]:
        """Return a failing check for each unit that systemd counts as failed; none where it does not run."""
        if not self._systemd.is_running:
            return ()
        try:
            return tuple(_unit_check(name, "failed") for name in self._systemd.failed_units())
        except (Stalled, Transient) as error:
            return (CheckResult("failed units", ok=False, detail=error.message),)

    def _units(self, units: Sequence[str]) -> tuple[CheckResult, ...]:
        names = tuple(unit_name(unit) for unit in units)
        if names and not self._systemd.is_running:
            return tuple(_unit_check(name, "systemd does not run here") for name in names)
        try:
            states = self._systemd.states(names)
        except (Stalled, Transient) as error:
            return tuple(_unit_check(name, error.message) for name in names)
        return tuple(map(_unit_check, names, states))


def settle(
    ask: Callable[[], Sequence[CheckResult]],
    before: Sequence[CheckResult],
    within: timedelta,
    *,
    wait: Callable[[float], None],
    elapsed: Callable[[], float],
) -> tuple[CheckResult, ...]:
    """Ask until nothing fails that did not fail ``before``, or the time is over; return the last answer.

    It is asked at least once, and again when the time is just over, unless an answer took longer than that.

    Args:
        ask: All that is to be asked, such as checks, failed units and health scripts.
        before: What was answered before the run.
        within: The policy's ``health.settle``.
        wait: Lets so many seconds pass.
        elapsed: Seconds on a clock that nobody sets.
    """
    start = elapsed()
    while True:
        results = tuple(ask())
        left = within.total_seconds() - (elapsed() - start)
        if left <= 0 or not newly_failing(before, results):
            return results
        wait(min(left, EVERY.total_seconds()))


def names_of(wanted: "Health") -> tuple[str, ...]:
    """Return what :func:`reconciler.host.machine.endpoints.ask` is asked: each port, then each URL."""
    return (*(f"tcp {one}" for one in wanted.tcp), *(f"http {one}" for one in wanted.http))


def _as_check(reply: "Reply") -> CheckResult:
    return CheckResult(reply.name, ok=reply.is_well, detail=reply.detail)


def _unit_check(name: str, state: str) -> CheckResult:
    return CheckResult(f"unit {name}", ok=is_active_state(state), detail=state)
