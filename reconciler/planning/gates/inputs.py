"""From what holds for a host to what the gates are shown."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter

from reconciler.planning.facts.observation import Observation
from reconciler.planning.gates.types import (
    BreakGlass,
    Evidence,
    FailedApply,
    GateInputs,
    GateSettings,
    HostState,
    Inhibitor,
    InhibitorKind,
    Pause,
    PolicyState,
    WindowState,
)
from reconciler.planning.resolving.approval import approvals_of
from reconciler.planning.resolving.dispositions import Condition
from reconciler.planning.resolving.plan import security_only
from reconciler.policy import windows
from reconciler.policy.documents import Inhibit
from reconciler.policy.managers import traits_of
from reconciler.policy.resolve import Effective
from reconciler.policy.zones import shifted
from reconciler.records import dataclass

_SHOWN_WINDOWS = 5
_SHOWN_WITHIN = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Local:
    """What neither policy nor package manager says, and only this host knows.

    Attributes:
        failed: The last failed apply, where it was not followed by a successful one.
        inhibitors: What happens on the machine and a run would disturb.
        pause: The operator's own.
        break_glass: A person takes the window on themselves.
        used: Digests of plans that were applied here.
    """

    failed: FailedApply | None = None
    inhibitors: tuple[Inhibitor, ...] = ()
    pause: Pause | None = None
    break_glass: BreakGlass | None = None
    used: tuple[str, ...] = ()


_NOTHING = Local()


def gate_inputs(
    effective: Effective | None,
    observation: Observation,
    policy: PolicyState,
    *,
    target: str,
    conditions: tuple[Condition, ...],
    now: datetime,
    local: Local = _NOTHING,
) -> GateInputs:
    """Gather what the gates are shown about ``target`` at ``now``.

    Args:
        effective: What holds for it; ``None`` while there is no policy, which leaves every schedule empty.
        observation: What was seen of it.
        policy: The revision in force.
        target: Host id; also what its splay is derived from.
        conditions: What others than the plan found out.
        now: The instant of the decision, aware.
        local: What this host knows by itself.
    """
    host = HostState(
        health=observation.health,
        inhibitors=local.inhibitors,
        database=observation.database,
        hooks=observation.hooks,
        failed=local.failed,
        # What could only not be fetched was never begun here.
        quarantined=tuple(
            sorted(
                {
                    str(one.package)
                    for one in observation.quarantined
                    if one.until is None and not one.is_removal
                }
            )
        ),
    )
    inputs = GateInputs(
        settings=GateSettings(),
        policy=policy,
        clock=observation.clock,
        evidence=_evidence(observation, policy),
        pause=local.pause,
        host=host,
        break_glass=local.break_glass,
        conditions=conditions,
    )
    if effective is None:
        return inputs
    coming = (one for one in effective.frozen if one.end > now)
    return replace(
        inputs,
        settings=_settings(effective),
        windows=window_state(effective, target, now),
        freezes=tuple(sorted(coming, key=attrgetter("start", "name"))),
        is_security_plan=is_security_plan(effective),
        untold_by="" if traits_of(observation.manager).tells_security else observation.manager,
        approvals=approvals_of(effective),
        used=local.used,
    )


def is_security_plan(effective: Effective) -> bool:
    """Tell whether a plan under this policy passes freezes that let security updates through.

    It does where it can hold nothing else: no exception lets others in, and nothing may go.
    """
    alone = security_only(effective)
    is_wanted = effective.settings.updates == "security"
    return is_wanted and (effective.settings, effective.exceptions) == (alone.settings, alone.exceptions)


def _evidence(observation: Observation, policy: PolicyState) -> tuple[Evidence, ...]:
    """Return what other clocks said: whoever dates a commit or a release file had a clock, too."""
    found = [
        Evidence(f"release file of {source.name}", source.published)
        for source in observation.sources
        if source.published is not None
    ]
    if policy.committed_at is not None:
        found.append(Evidence(f"policy commit {policy.commit[:12]}", policy.committed_at))
    return tuple(sorted(found, key=lambda one: (one.what, one.at)))


def _settings(effective: Effective) -> GateSettings:
    settings = effective.settings
    concurrency, rollout = settings.concurrency, settings.rollout
    return GateSettings(
        action=settings.action,
        approval=settings.approval,
        budget=settings.budget,
        max_policy_age=settings.max_policy_age,
        inhibit=_inhibitors(settings.inhibit),
        lock_wait=settings.lock_wait,
        concurrency=None if concurrency is None else (concurrency.group, concurrency.slots),
        rollout=None if rollout is None else (rollout.name, rollout.ring),
        origins=tuple(sorted((key, str(origin)) for key, origin in effective.origins.items())),
    )


def _inhibitors(inhibit: Inhibit) -> tuple[InhibitorKind, ...]:
    chosen: tuple[tuple[InhibitorKind, str], ...] = (
        ("sessions", inhibit.sessions),
        ("battery", inhibit.battery),
        ("inhibitors", inhibit.inhibitors),
        ("metered", inhibit.metered),
    )
    return tuple(kind for kind, choice in chosen if choice == "defer")


def window_state(effective: Effective, target: str, now: datetime) -> WindowState:
    """Return what the schedules of a policy say at ``now``.

    Args:
        effective: What holds for the target.
        target: Host id; also what its splay is derived from.
        now: Aware.
    """
    coming = windows.occurrences(effective.schedules, now, shifted(now, _SHOWN_WITHIN), splay_key=target)
    opening = windows.next_opening(
        effective.schedules,
        now,
        budget=effective.settings.budget,
        freezes=effective.frozen,
        splay_key=target,
        allow_security=is_security_plan(effective),
    )
    shown = _open_and_next(coming, now)
    if opening is not None and opening.occurrence not in shown:
        shown = (*shown, opening.occurrence)  # the first that is free may lie behind a long freeze
    written = {schedule.name: schedule.windows for schedule in effective.schedules}
    return WindowState(
        schedules=tuple(schedule.name for schedule in effective.schedules),
        spans=shown,
        opening=None if opening is None else opening.start,
        zones=tuple(written[one.schedule][one.index].timezone for one in shown),
    )


def _open_and_next(coming: Iterable[windows.Occurrence], now: datetime) -> tuple[windows.Occurrence, ...]:
    """Return every open window, since the decision needs their ends, and the next few."""
    found: list[windows.Occurrence] = []
    closed = 0
    for one in islice(coming, _SHOWN_WINDOWS * 100):
        closed += one.start > now
        if closed > _SHOWN_WINDOWS:
            break
        found.append(one)
    return tuple(found)
