"""An update waits until it was on offer for long enough, and the evidence never moves."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.observation import (
    Answer,
    Available,
    Exchange,
    FirstSeen,
    Offer,
    Question,
    Severity,
    Urgency,
)
from reconciler.planning.facts.package import PackageId
from reconciler.planning.facts.versions import compare_debian
from reconciler.planning.resolving.age import observe_first_seen
from reconciler.planning.resolving.conditions import next_change
from reconciler.planning.resolving.dispositions import Disposition
from reconciler.planning.resolving.plan import make_plan
from tests.examples import examples
from tests.fakes import SECURITY, STABLE, Build, PackageWorld, converse, plan_for
from tests.policies import effective

observed = partial(observe_first_seen, order=compare_debian)
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
DAY = timedelta(days=1)
SEVEN: dict[str, object] = {"min_age": {"other": "7d", "security": "1d"}}
MACHINE = PackageWorld((Build("a", "2"), Build("s", "2", security=True)), {"a": "1", "s": "1"})


def seen(name: str, version: str, ago: timedelta, origin: str = STABLE) -> FirstSeen:
    return FirstSeen(origin, name, version, NOW - ago)


def planned(machine: PackageWorld, *evidence: FirstSeen, settings: Mapping[str, object] = SEVEN) -> list[str]:
    return [change.name for change in plan_for(machine, effective(settings), NOW, evidence).transaction]


@pytest.mark.parametrize(
    ("ago", "is_planned"),
    [(7 * DAY, True), (7 * DAY - timedelta(seconds=1), False), (8 * DAY, True), (-DAY, False)],
)
def test_an_update_is_planned_from_the_very_instant_it_is_old_enough(
    ago: timedelta, *, is_planned: bool
) -> None:
    assert ("a" in planned(MACHINE, seen("a", "2", ago))) is is_planned


def test_security_updates_have_an_age_of_their_own() -> None:
    assert planned(MACHINE, seen("a", "2", DAY), seen("s", "2", DAY, SECURITY)) == ["s"]


def test_what_nobody_has_seen_is_seen_now() -> None:
    assert planned(MACHINE) == []
    assert planned(MACHINE, settings={}) == ["a", "s"]
    assert planned(MACHINE, settings={"min_age": {"other": "7d"}}) == ["s"]


@pytest.mark.parametrize(
    "evidence",
    [seen("a", "1.9", 9 * DAY), seen("b", "2", 9 * DAY), seen("a", "2", 9 * DAY, "Other:1/stable")],
)
def test_evidence_counts_for_its_own_origin_name_and_version_only(evidence: FirstSeen) -> None:
    assert planned(MACHINE, evidence) == []


def test_the_reason_names_the_instant_from_which_it_is_old_enough() -> None:
    plan = plan_for(MACHINE, effective(SEVEN), NOW, (seen("a", "2", 2 * DAY),))
    assert plan.updates[0].disposition is Disposition.TOO_YOUNG
    assert plan.updates[0].reasons[0].message == (
        "a 2 was first seen at 2026-11-20T09:00:00Z and is old enough at 2026-11-27T09:00:00Z"
        " (min_age.other is 7d)"
    )


def test_a_package_released_every_day_does_not_starve() -> None:
    builds = tuple(Build("a", f"1.{number}") for number in range(1, 11))
    evidence = tuple(seen("a", f"1.{number}", (10 - number) * DAY) for number in range(1, 11))
    plan = plan_for(PackageWorld(builds, {"a": "1.0"}), effective(SEVEN), NOW, evidence)
    assert [change.to_version for change in plan.transaction] == ["1.3"]
    assert [reason.code for reason in plan.updates[0].reasons][:3] == ["selected", "superseded", "min-age"]


def offer(name: str, *versions: str) -> Offer:
    offered = tuple(Available(version, (STABLE,), security=False) for version in versions)
    return Offer(name, "amd64", "0", versions[0], offered)


def test_dates_never_move_and_what_is_gone_is_dropped() -> None:
    first = observed((), [offer("a", "2", "1")], NOW)
    later = observed(first, [offer("a", "3", "2")], NOW + DAY)
    assert observed(later, [], NOW, exchanges=()) == ()
    assert later == (FirstSeen(STABLE, "a", "2", NOW), FirstSeen(STABLE, "a", "3", NOW + DAY))


def track(*days: list[Offer]) -> tuple[FirstSeen, ...]:
    """Return what is recorded after some days, on each of which this was on offer."""
    record: tuple[FirstSeen, ...] = ()
    for number, offers in enumerate(days):
        record = observed(record, offers, NOW + number * DAY, exchanges=())
    return record


def of(version: str, *, installed: str = "0", urgency: Urgency = "other", arch: str = "amd64") -> Offer:
    severity: Severity = "critical" if urgency == "critical" else ""
    available = Available(version, (STABLE,), security=urgency != "other", severity=severity)
    return Offer("a", arch, installed, version, (available,))


def dates(record: tuple[FirstSeen, ...]) -> dict[str, int]:
    return {entry.version: (entry.at - NOW).days for entry in record}


def test_a_stream_of_new_versions_leaves_the_date_of_the_first_one_that_is_lacked() -> None:
    assert dates(track(*([of(f"1.{week}")] for week in range(9)))) == {"1.0": 0, "1.8": 8}


def test_the_first_one_is_kept_for_each_urgency() -> None:
    stream = ("other", "security", "other", "critical", "security", "other", "other")
    record = track(*([of(f"1.{day}", urgency=urgency)] for day, urgency in enumerate(stream)))  # type: ignore[arg-type]  # its words are checked by the call
    assert dates(record) == {"1.0": 0, "1.1": 1, "1.3": 3, "1.6": 6}
    assert [entry.urgency for entry in record] == ["other", "security", "critical", "other"]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ([of("1.4", installed="1.1")], {"1.2": 1, "1.4": 2}),  # the first is not lacked any more
        ([of("1.4", installed="1.0")], {"1.1": 0, "1.4": 2}),
        ([of("1.0.5")], {"1.0.5": 2}),  # it was taken back
        ([], {}),  # so it was, and the machine lacks nothing
        (
            [of("1.4", installed="1.1"), of("1.4", installed="1.0", arch="i386")],
            {"1.1": 0, "1.2": 1, "1.4": 2},
        ),
    ],
)
def test_it_is_kept_as_long_as_it_is_lacked(last: list[Offer], expected: dict[str, int]) -> None:
    assert dates(track([of("1.1")], [of("1.2")], last)) == expected


def test_what_takes_the_place_of_another_has_no_version_to_compare() -> None:
    heirs = [
        [replace(of(f"0.{day}", installed="7"), replaces=(PackageId("b", "amd64"),))] for day in range(3)
    ]
    assert dates(track(*heirs)) == {"0.0": 0, "0.2": 2}


def test_without_an_order_nothing_is_known_to_be_lacked() -> None:
    first = observe_first_seen((), [of("1")], NOW, order=None)
    assert dates(observe_first_seen(first, [of("2")], NOW + DAY, exchanges=(), order=None)) == {"2": 1}


def test_what_is_called_critical_later_keeps_its_date() -> None:
    record = track([of("1")], [of("1", urgency="critical")])
    assert [(entry.at, entry.urgency) for entry in record] == [(NOW, "critical")]


def test_what_a_source_that_cannot_be_read_offered_keeps_its_date() -> None:
    first = observed((), [offer("a", "2"), offer("b", "2")], NOW)
    later = observed(first, [offer("a", "2")], NOW + DAY, exchanges=(), is_whole=False)
    assert later == first
    assert observed(later, [offer("a", "2")], NOW + DAY, exchanges=()) == first[:1]


def test_what_would_come_in_new_keeps_its_date_where_there_is_no_transaction() -> None:
    known = (seen("new", "1", 3 * DAY),)
    unresolved = Exchange(Question(), Answer((), exit_code=25))
    explained = Exchange(Question(only=("a", "2")), Answer(()))
    assert observed(known, [], NOW, exchanges=(unresolved, explained)) == known
    assert observed(known, [], NOW, exchanges=(Exchange(Question(), Answer(())),)) == ()


def test_a_date_in_the_future_becomes_the_present() -> None:
    future = (FirstSeen(STABLE, "a", "2", NOW + DAY),)
    assert observed(future, [offer("a", "2")], NOW) == (FirstSeen(STABLE, "a", "2", NOW),)


@examples(40)
@given(
    st.lists(
        st.builds(
            FirstSeen,
            st.just(STABLE),
            st.sampled_from("ab"),
            st.sampled_from("123"),
            st.integers(-9, 9).map(lambda days: NOW + days * DAY),
        ),
        max_size=6,
    )
)
def test_recording_is_idempotent_and_keeps_the_earliest_date(previous: list[FirstSeen]) -> None:
    offers = [offer("a", "2", "1"), offer("b", "3")]
    once = observed(previous, offers, NOW)
    assert observed(once, offers, NOW) == once
    assert observed(reversed(previous), reversed(offers), NOW) == once
    on_offer = {("a", "2"), ("a", "1"), ("b", "3")}
    assert {(entry.name, entry.version) for entry in once} >= on_offer
    assert len(once) <= len(on_offer) + 1  # "b" has one more where an older version was seen before
    for entry in once:
        known = [old.at for old in previous if (old.name, old.version) == (entry.name, entry.version)]
        assert entry.at == min([*known, NOW])


def test_a_package_that_would_come_in_new_ripens_from_run_to_run() -> None:
    machine = PackageWorld((Build("a", "2", depends=(("lib", ""),)), Build("lib", "1")), {"a": "1"})
    policy = effective(SEVEN)
    record: tuple[FirstSeen, ...] = ()
    applied: list[int] = []
    for day in range(10):
        now = NOW + day * DAY
        observation = machine.observe(now, record)
        exchanges = converse(machine, observation, policy, now)
        plan = make_plan(observation, policy, exchanges, now)
        record = observed(record, observation.offers, now, exchanges)
        # Before the next conversation, nobody can know whether the new package is still on offer.
        assert observed(record, observation.offers, now + DAY) == record
        # The plan is the same whether the record was brought up to date before or after.
        assert make_plan(machine.observe(now, record), policy, exchanges, now) == plan
        if plan.transaction:
            applied.append(day)
    assert applied == [7, 8, 9]


def test_the_next_change_is_the_next_ripening() -> None:
    evidence = (seen("a", "2", 2 * DAY), seen("s", "2", timedelta(hours=3), SECURITY))
    observation = MACHINE.observe(NOW, evidence)
    assert next_change(observation, effective(SEVEN), NOW) == NOW + timedelta(hours=21)
