"""Whether a host wants to reboot, and whether it may.

The rules:

- Unknown is not "required": nobody's missing command may restart a machine.
- Never after a failed run: a half-configured system may not come up again.
- At most so many reboots in one window, counted by when they were asked for, so that neither a need that
  never goes away nor a clock that jumps back makes a loop.
- A reboot is proven by another boot id, not by its request.
- What a report says of a reboot is found by the look that it reports, so that an unchanged state gives an
  unchanged report; and it announces only what then happens.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.planning.facts.observation import Health, Reboot, RebootNeed
from reconciler.planning.gates.decision import evaluate
from reconciler.planning.gates.recording import Judged, Recording
from reconciler.planning.gates.types import Apply, Closed, GateInputs, GateName
from reconciler.planning.resolving.dispositions import Condition, ConditionType, Plan
from reconciler.planning.text.wording import listed
from reconciler.policy.documents import Settings, When
from reconciler.policy.zones import shifted
from reconciler.records import dataclass

BOOT_TIME = timedelta(minutes=10)
"""How long a machine may take to go down and come up again, beyond the notice."""


NOT_NOW = "NotNow"
"""Reason of the condition of a reboot that is put off, but for one that guests are against."""


@dataclass(frozen=True, slots=True)
class RebootVerdict:
    """A yes or no, and why, as a sentence for the report."""

    is_yes: bool
    reason: str


def wants_reboot(when: When, reboot: Reboot, *, has_applied: bool) -> RebootVerdict:
    """Say whether a run that ended well wants a reboot.

    Args:
        when: The policy's word.
        reboot: What was observed after the last step.
        has_applied: The run changed something.
    """
    because = f": {'; '.join(reboot.reasons)}" if reboot.reasons else ""
    is_required = reboot.need is RebootNeed.REQUIRED
    if when == "never":
        pending = f"a reboot is pending{because}; " if is_required else ""
        return RebootVerdict(False, f"{pending}the policy wants none")
    if is_required:
        return RebootVerdict(True, f"a reboot is pending{because}")
    if when == "always":
        return RebootVerdict(has_applied, "something was changed" if has_applied else "nothing was changed")
    if reboot.need is RebootNeed.UNKNOWN:
        return RebootVerdict(False, f"whether a reboot is pending cannot be told{because}")
    return RebootVerdict(False, "no reboot is pending")


def may_reboot(
    *,
    at: datetime,
    window: tuple[datetime, datetime] | None,
    notice: timedelta,
    past: Iterable[datetime],
    max_per_window: int,
    has_failed: bool,
) -> RebootVerdict:
    """Say whether a wanted reboot may be asked for now.

    Args:
        at: Now, aware.
        window: Start and end of the present maintenance window, aware; ``None`` outside of any.
        notice: Warning given before it; the window must still be open then.
        past: When reboots were asked for, aware. All within the window count, also later ones than ``at``:
            the clock may have been set back.
        max_per_window: The policy's bound.
        has_failed: The run, or the machine's health after it, is not well.
    """
    if has_failed:
        return RebootVerdict(False, "the run failed: the machine is left as it is")
    if window is None:
        return RebootVerdict(False, "no maintenance window is open")
    start, end = window
    if not start <= at or shifted(at, notice) >= end:
        return RebootVerdict(
            False, f"the maintenance window ends at {end:%Y-%m-%d %H:%M %Z}, too soon for a reboot"
        )
    count = sum(start <= one < end for one in past)
    if count >= max_per_window:
        times = "once" if count == 1 else f"{count} times"
        said = f"a reboot was asked for {times} in this window, at most {max_per_window} allowed"
        return RebootVerdict(False, said)
    return RebootVerdict(True, f"reboot {count + 1} of {max_per_window} in this window")


def has_rebooted(before: str, now: str) -> bool:
    """Tell by the kernel's boot ids whether the machine was started anew; unknown ones prove nothing."""
    return bool(before and now) and before != now


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered of reboots and runs.

    Attributes:
        past: When reboots were asked for, aware.
        has_failed: The last run, or the machine's health after it, was not well. One that found nothing to
            work with does not count.
        has_applied: A run of this tick changed something.
    """

    past: tuple[datetime, ...] = ()
    has_failed: bool = False
    has_applied: bool = False


@dataclass(frozen=True, slots=True)
class NoReboot:
    """No reboot is wanted, or a run comes before it."""

    reason: str


@dataclass(frozen=True, slots=True)
class RebootDue:
    """A reboot is wanted and may be asked for now.

    Attributes:
        history: By which it may.
    """

    because: str
    history: History


@dataclass(frozen=True, slots=True)
class RebootRefused:
    """A reboot is wanted and may not be asked for now.

    Attributes:
        asks_again: What is against it may pass unseen: the next tick must ask, though nothing changed.
    """

    why: str
    asks_again: bool = False


Choice = NoReboot | RebootDue | RebootRefused


def choose(recording: Recording, judged: Judged, settings: Settings, history: History) -> Choice:
    """Say what becomes of a reboot of a host, at the instant of ``recording``.

    Args:
        recording: What was seen of it, and what the gates are shown. The gate about a plan's approval has no
            say: a reboot changes no package.
        judged: A plan that may be applied is applied first; then the host is looked at again.
        settings: The policy's.
        history: Of this host.
    """
    observed, now = recording.observation.reboot, recording.now
    wish = wants_reboot(settings.reboot.when, observed, has_applied=history.has_applied)
    if not wish.is_yes:
        return NoReboot(wish.reason)
    if isinstance(judged.leading.decision, Apply):
        return NoReboot("the plan is applied first")
    refused = against(judged.plan, recording.inputs, settings, history, now)
    return refused or RebootDue(wish.reason, history)


def against(
    plan: Plan, inputs: GateInputs, settings: Settings, history: History, now: datetime
) -> RebootRefused | None:
    """Say what stands against a wanted reboot at ``now``: every gate must be open, and the window hold it."""
    spans = [span for span in inputs.windows.spans if span.is_open(now)]
    window = max(((span.start, span.end) for span in spans), key=lambda one: one[1], default=None)
    verdict = may_reboot(
        at=now,
        window=window,
        notice=settings.reboot.notice,
        past=history.past,
        max_per_window=settings.reboot.max_per_window,
        has_failed=history.has_failed,
    )
    if not verdict.is_yes:
        return RebootRefused(verdict.reason)
    if why := _frozen(inputs, now):
        return RebootRefused(why)
    needed = settings.reboot.notice + BOOT_TIME
    # One that lets security updates through ends the time for a reboot as any other.
    # A reboot fetches nothing, so that it does not wait for a cheaper connection.
    inhibit = tuple(kind for kind in inputs.settings.inhibit if kind != "metered")
    settled = replace(inputs.settings, budget=needed, approval="none", inhibit=inhibit)
    asked = replace(inputs, settings=settled, is_security_plan=False)
    closed = [gate for gate in evaluate(plan, asked, now) if isinstance(gate, Closed)]
    if closed:
        return RebootRefused(closed[0].reason, asks_again=closed[0].gate is GateName.HOST)
    return _restless(inputs.host.health)


def _frozen(inputs: GateInputs, now: datetime) -> str:
    """Name the freeze in force: whatever it lets through, nothing reboots in it; empty without one."""
    glass = inputs.break_glass
    active = [freeze for freeze in inputs.freezes if freeze.is_active(now)]
    if not active or (glass is not None and glass.overrides_freeze):
        return ""
    first = max(active, key=lambda freeze: freeze.end)
    return f"frozen by {first.name} ({first.reason}), and nothing reboots in a freeze"


def _restless(health: Health) -> RebootRefused | None:
    reason = health.lock_holder or listed(health.interrupted, 3)
    return (
        RebootRefused(f"the package database is not at rest: {reason}", asks_again=True) if reason else None
    )


def announcement(because: str, now: datetime, notice: timedelta) -> Condition:
    """Return the condition that a report has which is committed just before a reboot."""
    at = shifted(now, notice).strftime("%Y-%m-%d %H:%M UTC")
    return Condition(ConditionType.REBOOTING, True, "Asked", f"the machine reboots at {at}: {because}")


def once_pushed(because: str) -> Condition:
    """Return the condition of a host that reboots only when its remote has the report that says so."""
    said = f"a reboot is wanted, and asked for once this report is pushed: {because}"
    return Condition(ConditionType.REBOOT_DEFERRED, True, "NotPushed", said)


def refusal(why: str, by: str = NOT_NOW) -> Condition:
    """Return the condition of a host that wants a reboot and may not have it now.

    Args:
        why: A clause.
        by: What is against it, as one word.
    """
    said = f"a reboot is wanted and does not happen now: {why}"
    return Condition(ConditionType.REBOOT_DEFERRED, True, by, said)
