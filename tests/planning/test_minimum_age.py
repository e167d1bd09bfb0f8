"""An update waits until it was on offer for long enough, and the evidence never moves."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.observation import Answer, Available, Exchange, FirstSeen, Offer, Question
from reconciler.planning.resolving.age import observe_first_seen
from reconciler.planning.resolving.conditions import next_change
from reconciler.planning.resolving.dispositions import Disposition
from reconciler.planning.resolving.plan import make_plan
from tests.examples import examples
from tests.fakes import SECURITY, STABLE, Build, PackageWorld, converse, plan_for
from tests.policies import effective

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
    first = observe_first_seen((), [offer("a", "2", "1")], NOW)
    later = observe_first_seen(first, [offer("a", "3", "2")], NOW + DAY)
    assert observe_first_seen(later, [], NOW, exchanges=()) == ()
    assert later == (FirstSeen(STABLE, "a", "2", NOW), FirstSeen(STABLE, "a", "3", NOW + DAY))


def test_what_a_source_that_cannot_be_read_offered_keeps_its_date() -> None:
    first = observe_first_seen((), [offer("a", "2"), offer("b", "2")], NOW)
    later = observe_first_seen(first, [offer("a", "2")], NOW + DAY, exchanges=(), is_whole=False)
    assert later == first
    assert observe_first_seen(later, [offer("a", "2")], NOW + DAY, exchanges=()) == first[:1]


def test_what_would_come_in_new_keeps_its_date_where_there_is_no_transaction() -> None:
    known = (seen("new", "1", 3 * DAY),)
    unresolved = Exchange(Question(), Answer((), exit_code=25))
    explained = Exchange(Question(only=("a", "2")), Answer(()))
    assert observe_first_seen(known, [], NOW, exchanges=(unresolved, explained)) == known
    assert observe_first_seen(known, [], NOW, exchanges=(Exchange(Question(), Answer(())),)) == ()


def test_a_date_in_the_future_becomes_the_present() -> None:
    future = (FirstSeen(STABLE, "a", "2", NOW + DAY),)
    assert observe_first_seen(future, [offer("a", "2")], NOW) == (FirstSeen(STABLE, "a", "2", NOW),)


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
    once = observe_first_seen(previous, offers, NOW)
    assert observe_first_seen(once, offers, NOW) == once
    assert observe_first_seen(reversed(previous), reversed(offers), NOW) == once
    assert {(entry.name, entry.version) for entry in once} == {("a", "2"), ("a", "1"), ("b", "3")}
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
        record = observe_first_seen(record, observation.offers, now, exchanges)
        # Before the next conversation, nobody can know whether the new package is still on offer.
        assert observe_first_seen(record, observation.offers, now + DAY) == record
        # The plan is the same whether the record was brought up to date before or after.
        assert make_plan(machine.observe(now, record), policy, exchanges, now) == plan
        if plan.transaction:
            applied.append(day)
    assert applied == [7, 8, 9]


def test_the_next_change_is_the_next_ripening() -> None:
    evidence = (seen("a", "2", 2 * DAY), seen("s", "2", timedelta(hours=3), SECURITY))
    observation = MACHINE.observe(NOW, evidence)
    assert next_change(observation, effective(SEVEN), NOW) == NOW + timedelta(hours=21)
