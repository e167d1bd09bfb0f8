"""An update has a deadline from the first version that is lacked; what is late says what is in the way."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.observation import Available, FirstSeen, Offer, Severity, Urgency
from reconciler.planning.facts.package import PackageId
from reconciler.planning.facts.versions import compare_debian
from reconciler.planning.gates.types import WindowState
from reconciler.planning.reporting.ailments import failures
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.markdown import to_markdown
from reconciler.planning.reporting.overdue import next_overdue
from reconciler.planning.reporting.summary import headline
from reconciler.planning.resolving.age import observe_first_seen
from reconciler.planning.resolving.deadlines import Timekeeper
from reconciler.planning.resolving.dispositions import Condition, ConditionType, Deadline, Update
from reconciler.planning.resolving.plan import make_plan
from reconciler.planning.resolving.selection import Rules
from reconciler.policy.resolve import Effective
from reconciler.policy.windows import Occurrence
from tests.examples import examples
from tests.fakes import SECURITY, STABLE, Build, PackageWorld, plan_for
from tests.policies import COMMIT, effective
from tests.report_samples import INPUTS, report_of

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
DAY = timedelta(days=1)
LINE = f"policies/main.yaml:1@{COMMIT[:12]}"
ALL: dict[str, object] = {"critical": "2d", "security": "14d", "other": "30d"}


def available(version: str, urgency: Urgency) -> Available:
    severity: Severity = "critical" if urgency == "critical" else ""
    return Available(version, (STABLE,), security=urgency != "other", severity=severity)


def offer(*versions: tuple[str, Urgency], installed: str = "1", arch: str = "amd64") -> Offer:
    offered = tuple(available(version, urgency) for version, urgency in versions)
    return Offer("a", arch, installed, versions[0][0], offered)


def seen(version: str, days: int, urgency: Urgency = "other") -> FirstSeen:
    return FirstSeen(STABLE, "a", version, NOW - days * DAY, urgency)


def due(
    policy: Mapping[str, object] | Effective, what: Offer, *evidence: FirstSeen, now: datetime = NOW
) -> Deadline | None:
    world = PackageWorld((), {what.name: what.installed})
    observation = replace(world.observe(now, evidence), offers=(what,))
    rules = policy if isinstance(policy, Effective) else effective({"deadline": policy})
    return Timekeeper.of(observation, Rules.of(observation, rules, now)).deadline_of(what)


def test_of_two_dates_of_one_version_the_earlier_counts_whichever_comes_first() -> None:
    dates = seen("2", 0), seen("2", 3)
    found = {due(ALL, offer(("2", "other")), *some) for some in (dates, dates[::-1])}
    assert [one and one.since for one in found] == [NOW - 3 * DAY]


@pytest.mark.parametrize(
    ("policy", "urgency", "expected"),
    [
        (ALL, "critical", ("critical", 2)),
        (ALL, "security", ("security", 14)),
        (ALL, "other", ("other", 30)),
        ({"security": "14d"}, "critical", ("security", 14)),
        ({"other": "30d"}, "critical", ("other", 30)),
        ({"critical": "none", "security": "14d"}, "critical", ("security", 14)),
        ({"critical": "2d"}, "security", None),
        ({"security": "14d"}, "other", None),
        ({}, "critical", None),
        ({"other": "9999w"}, "other", ("other", 69993)),
    ],
)
def test_each_sort_of_update_has_its_own_deadline_or_that_of_the_next(
    policy: Mapping[str, object], urgency: Urgency, expected: tuple[str, int] | None
) -> None:
    found = due(policy, offer(("2", urgency)), seen("2", 3, urgency))
    if expected is None:
        assert found is None
    else:
        key, days = expected
        since = NOW - 3 * DAY
        assert found == Deadline(since + days * DAY, since, "2", f"deadline.{key}", LINE)


def test_what_nobody_has_seen_before_is_seen_now() -> None:
    found = due(ALL, offer(("2", "security")))
    assert found is not None
    assert (found.since, found.at) == (NOW, NOW + 14 * DAY)


@pytest.mark.parametrize(
    ("what", "evidence", "expected"),
    [
        # The one that passes first decides, and not the newest, the oldest or the worst.
        (offer(("3", "security"), ("2", "other")), [seen("3", 1), seen("2", 29)], ("2", 1)),
        (offer(("3", "security"), ("2", "other")), [seen("3", 1), seen("2", 3)], ("3", 13)),
        (offer(("3", "other"), ("2", "critical")), [seen("3", 1), seen("2", 1)], ("2", 1)),
        # What is on offer no more counts as long as it is lacked, as what it was.
        (offer(("3", "other")), [seen("3", 1), seen("2", 5, "security")], ("2", 9)),
        (offer(("3", "other"), installed="2"), [seen("3", 1), seen("2", 5, "security")], ("3", 29)),
        (offer(("3", "other")), [seen("3", 1), seen("4", 5, "security")], ("3", 29)),
        # What the operator's own pins keep out is nothing that anybody waits for.
        (
            replace(offer(("3", "security"), ("2", "other")), candidate="2"),
            [seen("3", 9, "security"), seen("2", 1)],
            ("2", 29),
        ),
    ],
)
def test_the_deadline_that_passes_first_decides(
    what: Offer, evidence: Sequence[FirstSeen], expected: tuple[str, int]
) -> None:
    found = due(ALL, what, *evidence)
    assert found is not None
    assert (found.version, (found.at - NOW).days) == expected


def test_each_architecture_has_what_it_lacks() -> None:
    evidence = seen("2", 9), seen("3", 1)
    behind = due(ALL, offer(("3", "other"), installed="1", arch="i386"), *evidence)
    ahead = due(ALL, offer(("3", "other"), installed="2"), *evidence)
    assert behind is not None
    assert ahead is not None
    assert (behind.version, ahead.version) == ("2", "3")


INCLUDED = {"packages": ["a"], "action": "include"}


@pytest.mark.parametrize(
    ("settings", "excepted", "urgency", "is_due"),
    [
        ({"updates": "security"}, [], "other", False),
        ({"updates": "security"}, [INCLUDED], "other", True),
        ({"updates": "none"}, [], "other", False),
        ({"updates": "none"}, [], "security", True),
        ({"sources": {"except": STABLE}}, [], "other", False),
        ({"sources": {"except": STABLE}}, [], "security", True),
    ],
)
def test_what_nobody_wants_is_not_late_and_what_fixes_security_is_whatever_keeps_it_out(
    settings: dict[str, object],
    excepted: Sequence[Mapping[str, object]],
    urgency: Urgency,
    *,
    is_due: bool,
) -> None:
    rules = effective({"deadline": ALL, **settings}, exceptions=excepted)
    fixed = offer(("2", urgency))
    assert (due(rules, fixed, seen("2", 99, urgency)) is not None) is is_due
    gone = offer(("3", "other"))
    found = due(rules, gone, seen("2", 99, urgency))
    assert (found is not None and found.version == "2") is is_due


# --- a stream of versions -----------------------------------------------------------------------------------


@examples(60)
@given(
    st.lists(st.sampled_from(["other", "security", "critical"]), min_size=1, max_size=30),
    st.integers(1, 9),
)
def test_no_stream_of_new_versions_postpones_a_deadline(stream: list[Urgency], pause: int) -> None:
    record: tuple[FirstSeen, ...] = ()
    for number, urgency in enumerate(stream):
        now = NOW + number * pause * DAY
        what = offer((f"2.{number}", urgency))
        record = observe_first_seen(record, [what], now, (), order=compare_debian)
        found = due(ALL, what, *record, now=now)
        lengths = {"critical": 2, "security": 14, "other": 30}
        expected = min(
            NOW + (index * pause + lengths[one]) * DAY for index, one in enumerate(stream[: number + 1])
        )
        assert found is not None
        assert found.at == expected
    assert len(record) <= 1 + 3  # what is on offer, and one of each sort


# --- the report ---------------------------------------------------------------------------------------------

MACHINE = PackageWorld((Build("a", "2", security=True), Build("b", "2")), {"a": "1", "b": "1"})
SIGHTS = (
    FirstSeen(SECURITY, "a", "2", NOW - 15 * DAY, "security"),
    FirstSeen(STABLE, "b", "2", NOW - 31 * DAY),
)


def reported(
    world: PackageWorld = MACHINE,
    evidence: tuple[FirstSeen, ...] = SIGHTS,
    *,
    settings: Mapping[str, object] | None = None,
    excepted: Sequence[Mapping[str, object]] = (),
    now: datetime = NOW,
    windows: WindowState = INPUTS.windows,
) -> Report:
    rules = effective({"deadline": ALL, **(settings or {})}, exceptions=excepted)
    plan = plan_for(world, rules, now, evidence)
    observation = world.observe(now, evidence)
    return report_of(plan, replace(INPUTS, windows=windows), observation=observation, now=now)


def overdue_of(report: Report) -> Condition | None:
    return next((one for one in report.conditions if one.type is ConditionType.OVERDUE), None)


@pytest.mark.parametrize(
    ("ago", "is_overdue"), [(14 * DAY, True), (14 * DAY - timedelta(microseconds=1), False), (DAY, False)]
)
def test_it_is_late_from_the_very_instant(ago: timedelta, *, is_overdue: bool) -> None:
    evidence = (FirstSeen(SECURITY, "a", "2", NOW - ago, "security"),)
    report = reported(evidence=evidence)
    assert (overdue_of(report) is not None) is is_overdue
    assert report.counts.overdue == is_overdue
    passes = NOW - ago + 14 * DAY
    assert next_overdue(report) == (NOW + 30 * DAY if is_overdue else passes)


def test_the_line_of_policy_and_what_is_in_the_way_are_named() -> None:
    held = {"packages": ["a"], "action": "hold"}
    condition = overdue_of(reported(excepted=[held], windows=WindowState(("nightly",))))
    assert condition is not None
    assert (condition.status, condition.reason, condition.stalled) == (True, "Security", False)
    middle = condition.message.index("; b 2 was")
    first, _, a = condition.message[:middle].partition("; ")
    b = condition.message[middle + 2 :]
    assert first == "overdue: a, b"  # the most urgent first
    assert b.startswith(
        "b 2 was to be installed by 2026-11-21T09:00:00Z (first seen at 2026-10-22T09:00:00Z, deadline.other"
        f" is 30d, {LINE}); in the way: window: "
    )
    assert a.startswith(
        "a 2 was to be installed by 2026-11-21T09:00:00Z (first seen at 2026-11-07T09:00:00Z,"
        f" deadline.security is 14d, {LINE}); in the way: exception 'e0' holds back a 2 until"
    )
    assert a.endswith(f" (exceptions/e0.yaml:1@{COMMIT[:12]})")


def test_the_operators_own_hold_is_named_as_well() -> None:
    world = replace(MACHINE, held=frozenset({"a"}))
    condition = overdue_of(reported(world))
    assert condition is not None
    assert "in the way: a is on hold on this machine, by its operator" in condition.message


def test_where_every_gate_is_open_nothing_is_in_the_way() -> None:
    span = Occurrence(NOW - timedelta(hours=1), NOW + timedelta(hours=2), "nightly", 0)
    condition = overdue_of(reported(windows=WindowState(("nightly",), (span,))))
    assert condition is not None
    assert condition.message.endswith("; in the way: nothing, every gate is open for 2 changes")


def test_of_many_some_are_named_and_all_are_in_the_report() -> None:
    names = [f"p{number}" for number in range(9)]
    world = PackageWorld(tuple(Build(name, "2") for name in names), dict.fromkeys(names, "1"))
    evidence = tuple(FirstSeen(STABLE, name, "2", NOW - 40 * DAY) for name in names)
    report = reported(world, evidence)
    condition = overdue_of(report)
    assert condition is not None
    assert condition.message.startswith("overdue: p0, p1, p2, p3, p4 and 4 more; p0 2 was")
    assert condition.message.endswith("; and 6 more")
    assert report.counts.overdue == 9
    assert all(f"`{name}`" in to_markdown(report) for name in names)


def test_what_is_late_never_ends_well_and_is_told_first() -> None:
    report = reported()
    (failure,) = failures(report.conditions)
    assert failure.message == "overdue: a, b"
    assert failure.hint.startswith("a 2 was to be installed by")
    assert headline(report) == "overdue: a, b, 2 updates pending (1 security)"
    assert failures(reported(now=NOW - 20 * DAY).conditions) == ()


def test_without_a_deadline_nothing_is_said() -> None:
    report = report_of(plan_for(MACHINE, effective(), NOW, SIGHTS), now=NOW)
    assert (overdue_of(report), next_overdue(report), report.counts.overdue) == (None, None, 0)


def test_where_no_transaction_is_found_what_is_late_is_late() -> None:
    observation = MACHINE.observe(NOW, SIGHTS)
    plan = make_plan(observation, effective({"deadline": ALL}), (), NOW)
    condition = overdue_of(report_of(plan, observation=observation, now=NOW))
    assert condition is not None
    assert "the package manager was not asked everything yet" in condition.message


def test_a_package_is_found_by_name_and_architecture() -> None:
    updates: dict[PackageId, Update] = {one.package: one for one in reported().plan.updates}
    late = updates[PackageId("a", "amd64")].deadline
    assert late is not None
    assert late.setting == "deadline.security"
