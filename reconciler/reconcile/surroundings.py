"""What is done around the steps of a run: the host's own hooks, its health, and its services."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Generic

from reconciler.errors import ReconcilerError
from reconciler.planning.runs.hooks_and_health import (
    CheckResult,
    HookOutcome,
    HookResult,
    HookStage,
    Leftovers,
    Restart,
    as_check,
    never_reason,
    newly_failing,
    to_restart,
)
from reconciler.policy.documents import Settings
from reconciler.reconcile.ports.target import HealthChecker, HookRunner, ServiceRestarter
from reconciler.reconcile.ports.where import Where_co
from reconciler.records import dataclass

Settle = Callable[
    [Callable[[], Sequence[CheckResult]], Sequence[CheckResult], timedelta], tuple[CheckResult, ...]
]
"""Asks until nothing fails that did not fail before, or the time is over."""


@dataclass(frozen=True, slots=True)
class Surroundings(Generic[Where_co]):
    """Everything around a transaction on one target.

    Attributes:
        hooks: The host's own programs.
        checks: What policy calls healthy.
        restarts: Services with replaced files; ``None`` where the packages are not the running system's.
        settle: How to give services their time.
    """

    hooks: HookRunner[Where_co]
    checks: HealthChecker[Where_co]
    restarts: ServiceRestarter[Where_co] | None
    settle: Settle

    def hook(
        self, stage: HookStage, settings: Settings, facts: Mapping[str, str], stdin: bytes
    ) -> tuple[HookResult, ...]:
        """Run the hooks of a stage; see docs/reference/hooks.md for what they are given."""
        return self.hooks.run(stage, stdin=stdin, facts=facts, timeout=settings.hooks.timeout)

    def health(self, settings: Settings, facts: Mapping[str, str]) -> tuple[CheckResult, ...]:
        """Ask once how the host is: the policy's checks, systemd's failed units, the host's own scripts."""
        scripts = self.hooks.run("health", stdin=b"", facts=facts, timeout=settings.hooks.timeout)
        return (
            *self.checks.check(settings.health),
            *self.checks.failed_units(),
            *map(as_check, scripts),
        )

    def settled(
        self, settings: Settings, facts: Mapping[str, str], before: Sequence[CheckResult]
    ) -> tuple[CheckResult, ...]:
        """Return what fails now and did not fail before, once the services had their time."""
        after = self.settle(lambda: self.health(settings, facts), before, settings.health.settle)
        return newly_failing(before, after)

    def restarted(self, settings: Settings) -> tuple[Leftovers | None, tuple[Restart, ...], tuple[str, ...]]:
        """Restart what still runs replaced files, as far as policy lets it.

        Returns:
            What was found, what became of each service, and what went wrong, in sentences.
        """
        if self.restarts is None:
            return None, (), ()
        try:
            found = self.restarts.leftovers()
        except ReconcilerError as error:
            return None, (), (f"which services run replaced files is not known: {error.message}",)
        if found is None:
            return None, (), ()
        wanted, kept = to_restart(found, settings.restart_services.never)
        keeping = settings.restart_services.never
        never = tuple(Restart(service, "never", never_reason(service, keeping)) for service in kept)
        if settings.restart_services.mode == "report":
            return found, (*(Restart(service, "reported") for service in wanted), *never), ()
        return found, (*self.restarts.restart(wanted), *never), ()


def failing(results: Iterable[HookResult]) -> HookResult | None:
    """Return the first hook that is not well, ``None`` where all are."""
    return next((one for one in results if one.outcome is not HookOutcome.OK), None)
