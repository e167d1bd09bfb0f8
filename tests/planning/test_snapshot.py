"""What a report means for notifications."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest

from reconciler.planning.facts.observation import Facts, Reboot, RebootNeed, RefreshOutcome
from reconciler.planning.gates.types import GateName, Outcome, PolicyStanding
from reconciler.planning.notices.events import Event, Expiring, Snapshot, Whereabouts, troubles
from reconciler.planning.notices.message import PackageLine
from reconciler.planning.notices.snapshot import announcement_due, snapshot_of
from reconciler.planning.reporting.document import (
    Counts,
    Decided,
    ExceptionState,
    GateState,
    Host,
    LastRefresh,
    Metadata,
    Planned,
    PlannedMove,
    PolicyInForce,
    Report,
    Upcoming,
)
from reconciler.planning.resolving.dispositions import Condition, ConditionType, Disposition, Reason, Update
from reconciler.planning.text.layout import SCHEMA_VERSION, UnknownWord

NOW = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
WAITS = (Reason("held", "held by an exception"),)
NGINX = Update("nginx", "amd64", "1", "2", "Debian", True, Disposition.PLANNED, WAITS)
REPORT = Report(
    schema=SCHEMA_VERSION,
    program="patchledger 0.1.0",
    generated_at=NOW,
    target="web-01",
    host=Host(
        Facts("debian", "12", "Debian 12", "amd64", "6.1.0", "boot-1"),
        "apt",
        "2.6.1",
        MappingProxyType({}),
        None,
    ),
    policy_commit="abc123",
    policy=PolicyInForce("r", "main", "abc123", NOW, NOW, "", PolicyStanding.READY, "", "", ()),
    plan=Planned(
        "sha256:aaaa",
        (
            PlannedMove("upgrade", "nginx", "amd64", "1", "2", "Debian"),
            PlannedMove("install", "libnew", "amd64", None, "1", "Debian"),
        ),
        (NGINX, replace(NGINX, name="php", disposition=Disposition.HELD)),
        0,
        0,
    ),
    security_plan=None,
    decision=Decided(Outcome.WINDOW, "no window is open", NOW + HOUR),
    conditions=(),
    gates=(),
    windows=(),
    metadata=Metadata(LastRefresh(RefreshOutcome.NOT_DUE, ""), ()),
    reboot=Reboot(RebootNeed.REQUIRED, ("kernel",)),
    counts=Counts(2, 2, 1, 1, 1, 0, 1, 0, 0, 0),
    scripts=(),
    exceptions=(),
    approvals=(),
)


def _snapshot(report: Report, action: str = "apply", announce: timedelta = timedelta(0)) -> Snapshot:
    return snapshot_of(report, action=action, announce=announce)


def test_a_report_becomes_a_snapshot() -> None:
    assert _snapshot(REPORT) == Snapshot(
        at=NOW,
        target="web-01",
        mode="apply",
        outcome="window",
        reason="no window is open",
        policy_commit="abc123",
        digest="sha256:aaaa",
        planned=(
            PackageLine("nginx", "amd64", "1", "2", security=True),
            PackageLine("libnew", "amd64", None, "1"),
        ),
        pending=1,
        waits=("php [security]: held by an exception",),
        reboot=RebootNeed.REQUIRED,
        reboot_reasons=("kernel",),
        boot_id="boot-1",
        place=Whereabouts(policy_ref="main"),
    )


def test_only_a_closed_approval_gate_waits_for_approval() -> None:
    closed = GateState(GateName.APPROVAL, "closed", Outcome.APPROVAL, "not approved", None, "")
    assert _snapshot(replace(REPORT, gates=(closed,))).needs_approval
    assert not _snapshot(replace(REPORT, gates=(replace(closed, state="open"),))).needs_approval
    assert not _snapshot(
        replace(REPORT, gates=(closed,), plan=replace(REPORT.plan, transaction=()))
    ).needs_approval


def test_an_exception_is_expiring_in_its_last_two_weeks() -> None:
    ends = datetime(2026, 12, 1, tzinfo=UTC)  # the first instant at which it holds no more
    one = ExceptionState("hold", "hold", ("nginx",), (), "r", None, None, ends, False, "f:1")
    others = (
        replace(one, name="late", expires=NOW + timedelta(days=15)),
        replace(one, name="over", expired=True),
    )
    assert _snapshot(replace(REPORT, exceptions=(one, *others))).expiring == (
        Expiring("hold", "2026-11-30", "hold", ("nginx",), "r", "f:1"),
    )


def test_the_next_free_window_is_announced_in_time_where_something_would_be_applied() -> None:
    frozen = Upcoming(NOW + HOUR, NOW + 2 * HOUR, "nightly", "year-end")
    free = Upcoming(NOW + 20 * HOUR, NOW + 23 * HOUR, "nightly", None)
    report = replace(REPORT, windows=(frozen, free))
    assert _snapshot(report).next_windows == (free.start,)
    assert _snapshot(report, announce=20 * HOUR).announced == free.start
    assert _snapshot(report, announce=19 * HOUR).announced is None
    assert _snapshot(report, "plan", 24 * HOUR).announced is None
    assert _snapshot(replace(report, generated_at=free.start), announce=24 * HOUR).announced is None


def test_the_instant_of_an_announcement_is_known_beforehand_and_only_then() -> None:
    frozen = Upcoming(NOW + HOUR, NOW + 2 * HOUR, "nightly", "year-end")
    free = Upcoming(NOW + 20 * HOUR, NOW + 23 * HOUR, "nightly", None)
    report = replace(REPORT, windows=(frozen, free))
    due = announcement_due(report, 18 * HOUR)
    assert due == free.start - 18 * HOUR
    assert _snapshot(report, announce=18 * HOUR).announced is None
    then = replace(report, generated_at=due)
    assert _snapshot(then, announce=18 * HOUR).announced == free.start
    assert announcement_due(then, 18 * HOUR) is None
    assert announcement_due(report, timedelta(0)) is None


def test_what_waits_is_told_by_reason_the_commonest_first() -> None:
    names = [f"lib{number:02}" for number in range(10)]
    young = (Reason("too-young", "seen for less than 7d"),)
    updates = (
        *(
            replace(
                NGINX, name=name, disposition=Disposition.TOO_YOUNG, reasons=young, security=name == names[-1]
            )
            for name in names
        ),
        replace(NGINX, name="php", disposition=Disposition.HELD),
        replace(NGINX, name="bare", disposition=Disposition.UNAVAILABLE, reasons=()),
    )
    assert _snapshot(replace(REPORT, plan=replace(REPORT.plan, updates=updates))).waits == (
        f"lib09 [security], {', '.join(names[:7])} and 2 more: seen for less than 7d",
        "php [security]: held by an exception",
        "bare [security]: unavailable",
    )


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        (
            Condition(ConditionType.METADATA_STALE, True, "TooOld", "m"),
            (Event.METADATA_STALE, "MetadataStale"),
        ),
        (
            Condition(ConditionType.POLICY_REJECTED, True, "Invalid", "m", stalled=True),
            (Event.POLICY_REJECTED, "PolicyRejected"),
        ),
        (
            Condition(ConditionType.PACKAGE_SYSTEM_INTERRUPTED, True, "X", "m"),
            (Event.INTERRUPTED, "PackageSystemInterrupted"),
        ),
        (Condition(ConditionType.CANNOT_RESOLVE, True, "X", "m"), (Event.FAILED, "CannotResolve")),
        (
            Condition(UnknownWord("SomethingNew"), True, "X", "m", stalled=True),
            (Event.FAILED, "SomethingNew"),
        ),
        (Condition(ConditionType.REBOOT_REQUIRED, True, "Required", "m"), None),
        (Condition(ConditionType.POLICY_UNREACHABLE, True, "Unreachable", "m"), None),
        (Condition(ConditionType.METADATA_STALE, None, "AgeUnknown", "m"), None),
        (Condition(ConditionType.HOST_UNHEALTHY, False, "X", "m", stalled=True), None),
    ],
    ids=lambda each: each.type if isinstance(each, Condition) else "",
)
def test_conditions_become_troubles_by_what_they_mean(
    condition: Condition, told: tuple[Event, str] | None
) -> None:
    assert [(each.event, each.code) for each in troubles([condition])] == ([told] if told else [])


def test_a_refusal_and_the_gate_it_closes_are_one_trouble() -> None:
    refused = Condition(
        ConditionType.POLICY_REJECTED, True, "Invalid", "policy 2c3d is invalid", stalled=True
    )
    gate = Condition(
        ConditionType.POLICY_STALLED,
        True,
        "Refused",
        "the newest policy is refused: policy 2c3d is invalid",
        True,
    )
    assert [each.code for each in troubles([gate, refused])] == ["PolicyRejected"]
    assert [each.code for each in troubles([gate])] == ["PolicyStalled"]


def test_an_unhealthy_host_is_told_by_its_cause() -> None:
    cause = Condition(
        ConditionType.PACKAGE_SYSTEM_INTERRUPTED, True, "Interrupted", "grub-pc is half configured"
    )
    gate = Condition(
        ConditionType.HOST_UNHEALTHY, True, "PackagesBroken", "packages are half configured", stalled=True
    )
    stale = Condition(ConditionType.METADATA_STALE, True, "TooOld", "m")
    assert [each.code for each in troubles([gate, cause])] == ["PackageSystemInterrupted"]
    assert [each.code for each in troubles([gate, stale])] == ["HostUnhealthy", "MetadataStale"]
