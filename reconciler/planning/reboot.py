"""Whether a run wants to reboot, and whether it may.

The rules:

- Unknown is not "required": nobody's missing command may restart a machine.
- Never after a failed run: a half-configured system may not come up again.
- At most so many reboots in one window, counted by when they were asked for, so that neither a need that
  never goes away nor a clock that jumps back makes a loop.
- A reboot is proven by another boot id, not by its request.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from reconciler.planning.observation import Reboot, RebootNeed

When = Literal["never", "if-required", "always"]
"""``reboot.when`` of the policy language."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A yes or no, and why, as a sentence for the report."""

    is_yes: bool
    reason: str


def wants_reboot(when: When, reboot: Reboot, *, has_applied: bool) -> Verdict:
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
        return Verdict(False, f"{pending}the policy wants none")
    if is_required:
        return Verdict(True, f"a reboot is pending{because}")
    if when == "always":
        return Verdict(has_applied, "something was changed" if has_applied else "nothing was changed")
    if reboot.need is RebootNeed.UNKNOWN:
        return Verdict(False, f"whether a reboot is pending cannot be told{because}")
    return Verdict(False, "no reboot is pending")


def may_reboot(
    *,
    at: datetime,
    window: tuple[datetime, datetime] | None,
    notice: timedelta,
    past: Iterable[datetime],
    max_per_window: int,
    has_failed: bool,
) -> Verdict:
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
        return Verdict(False, "the run failed: the machine is left as it is")
    if window is None:
        return Verdict(False, "no maintenance window is open")
    start, end = window
    if not start <= at or at + notice >= end:
        return Verdict(
            False, f"the maintenance window ends at {end:%Y-%m-%d %H:%M %Z}, too soon for a reboot"
        )
    count = sum(start <= one < end for one in past)
    if count >= max_per_window:
        times = "once" if count == 1 else f"{count} times"
        return Verdict(False, f"rebooted {times} in this window, at most {max_per_window} allowed")
    return Verdict(True, f"reboot {count + 1} of {max_per_window} in this window")


def has_rebooted(before: str, now: str) -> bool:
    """Tell by the kernel's boot ids whether the machine was started anew; unknown ones prove nothing."""
    return bool(before and now) and before != now
