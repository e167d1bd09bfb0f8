"""A report as people of one zone read it: the instants in its sentences by the clock of its windows.

What was decided is recorded, signed and made again byte by byte, so its sentences name instants in UTC for
ever. They are put on the reader's clock where they are shown, in one place for all of them.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from reconciler.planning.reporting.document import Planned, Report
from reconciler.planning.text.wording import instants_on_the_clock


def by_its_clock(report: Report, *, beside: bool = False) -> Report:
    """Return ``report`` with the instants in its sentences on the clock of :attr:`Report.timezone`.

    Args:
        report: Any.
        beside: Keep UTC beside each, for a file, which people of any zone read.
    """
    said, alone = (
        partial(instants_on_the_clock, timezone=report.timezone, beside=beside),
        report.security_decision,
    )
    return replace(
        report,
        decision=replace(report.decision, reason=said(report.decision.reason)),
        conditions=tuple(replace(one, message=said(one.message)) for one in report.conditions),
        gates=tuple(replace(one, message=said(one.message)) for one in report.gates),
        guests=tuple(replace(one, reason=said(one.reason)) for one in report.guests),
        policy=replace(report.policy, message=said(report.policy.message)),
        plan=_planned(report.plan, said),
        security_plan=None if report.security_plan is None else _planned(report.security_plan, said),
        security_decision=None if alone is None else replace(alone, reason=said(alone.reason)),
        security_gates=tuple(replace(one, message=said(one.message)) for one in report.security_gates),
    )


def _planned(plan: Planned, said: Callable[[str], str]) -> Planned:
    updates = tuple(
        replace(update, reasons=tuple(replace(one, message=said(one.message)) for one in update.reasons))
        for update in plan.updates
    )
    return replace(plan, updates=updates)
