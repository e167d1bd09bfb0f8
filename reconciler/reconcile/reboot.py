"""Reboot a machine: asked for through every gate, told before, proven after.

The rules are those of :mod:`reconciler.planning.reboot`; here is what must happen around them:

- A reboot is wanted, the gates are asked again, the host's own hooks may refuse it, and the report that says
  so is committed and told before anything goes down.
- What comes up is another boot of the machine, or it was no reboot. Then health is asked once more.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.planning.account import Condition
from reconciler.planning.gate import Closed, GateName, Pause, evaluate
from reconciler.planning.journal import Journal, Phase
from reconciler.planning.reboot import Verdict, may_reboot, wants_reboot
from reconciler.planning.wording import listed
from reconciler.policy.documents import Settings
from reconciler.reconcile.apply import BOOT_TIME
from reconciler.reconcile.look import Look
from reconciler.reconcile.surroundings import Surroundings, failing


class Power(Protocol):
    """Restarts the machine whose packages are at ``root``."""

    root: str

    def boot_id(self) -> str:
        """Return the id of this boot, another after each; empty where nobody tells."""
        ...

    def reboot(self, notice: timedelta, message: str) -> None:
        """Ask for a reboot and return before it happens.

        Raises:
            Stalled: The machine refuses.
        """
        ...


def wanted(look: Look, *, has_applied: bool) -> Verdict:
    """Say whether the host of ``look`` wants a reboot by its policy."""
    effective = look.finding.effective
    if effective is None:
        return Verdict(False, "there is no policy")
    reboot = look.finding.recording.observation.reboot
    return wants_reboot(effective.settings.reboot.when, reboot, has_applied=has_applied)


def allowed(
    look: Look, *, past: tuple[datetime, ...], has_failed: bool, pause: Pause | None, now: datetime
) -> Verdict:
    """Say whether a wanted reboot may happen ``now``: every gate must be open, and the window hold it.

    The gate about a plan's approval has no say: a reboot changes no package. The pause is the one of this
    moment: the host may have been paused since it was looked at.
    """
    inputs, settings = replace(look.finding.recording.inputs, pause=pause), _settings(look)
    spans = [span for span in inputs.windows.spans if span.is_open(now)]
    window = max(((span.start, span.end) for span in spans), key=lambda one: one[1], default=None)
    verdict = may_reboot(
        at=now,
        window=window,
        notice=settings.reboot.notice,
        past=past,
        max_per_window=settings.reboot.max_per_window,
        has_failed=has_failed,
    )
    if not verdict.is_yes:
        return verdict
    needed = settings.reboot.notice + BOOT_TIME
    asked = replace(inputs, settings=replace(inputs.settings, budget=needed, approval="none"))
    closed = [
        gate
        for gate in evaluate(look.finding.judged.plan, asked, now)
        if isinstance(gate, Closed) and gate.gate is not GateName.APPROVAL
    ]
    if closed:
        return Verdict(False, closed[0].reason)
    health = look.finding.recording.observation.health
    if health.lock_holder or health.interrupted:
        reason = health.lock_holder or listed(health.interrupted, 3)
        return Verdict(False, f"the package database is not at rest: {reason}")
    return verdict


def vetoed(around: Surroundings, look: Look, journal: Journal) -> tuple[Journal, str]:
    """Ask the host's own hooks; return the journal with what they said, and why not to reboot."""
    results = around.hook("pre-reboot", _settings(look), dict(journal.facts), b"")
    bad = failing(results)
    why = "" if bad is None else f"the hook pre-reboot.d/{bad.name} is against it: {bad.reason}"
    return replace(journal, hooks=results), why


def announcement(because: str, now: datetime, notice: timedelta) -> Condition:
    """Return the condition that a report has which is committed just before a reboot."""
    at = (now + notice).strftime("%Y-%m-%d %H:%M UTC")
    return Condition("Rebooting", True, "Asked", f"the machine reboots at {at}: {because}")


def refusal(why: str) -> Condition:
    """Return the condition of a host that wants a reboot and may not have it now."""
    return Condition("RebootDeferred", True, "NotNow", f"a reboot is wanted and does not happen now: {why}")


def going_down(journal: Journal, boot_id: str, now: datetime) -> Journal:
    """Return the journal of a machine that is told to reboot."""
    return replace(journal, phase=Phase.REBOOTING, boot_id=boot_id, rebooting_since=now)


def _settings(look: Look) -> Settings:
    effective = look.finding.effective
    return Settings() if effective is None else effective.settings
