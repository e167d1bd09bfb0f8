"""``as_of``: many hosts patch to the state of one day, as far as each has seen it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from reconciler.planning.facts.observation import (
    Answer,
    Available,
    Change,
    Exchange,
    FirstSeen,
    Installed,
    Observation,
    Offer,
)
from reconciler.planning.resolving.conditions import next_change
from reconciler.planning.resolving.dialogue import next_question
from reconciler.planning.resolving.dispositions import ConditionType, Disposition, Plan
from reconciler.planning.resolving.plan import make_plan, security_only
from reconciler.policy.load import PolicyFile
from tests.fakes import SECURITY, STABLE, Build, PackageWorld, healthy, plan_for
from tests.policies import effective, resolved

NOW = datetime(2026, 12, 4, 9, tzinfo=UTC)
END = datetime(2026, 12, 2, tzinfo=UTC)
FIRST: dict[str, object] = {"as_of": "2026-12-01"}
MACHINE = PackageWorld((Build("a", "2"), Build("s", "2", security=True)), {"a": "1", "s": "1"})
SECOND = timedelta(seconds=1)


def seen(name: str, version: str, at: datetime, origin: str = STABLE) -> FirstSeen:
    return FirstSeen(origin, name, version, at)


def planned(
    *evidence: FirstSeen,
    settings: Mapping[str, object] = FIRST,
    now: datetime = NOW,
    world: PackageWorld = MACHINE,
) -> list[str]:
    return [
        f"{one.name} {one.to_version}"
        for one in plan_for(world, effective(settings), now, evidence).transaction
    ]


@pytest.mark.parametrize(
    ("at", "is_planned"),
    [
        (datetime(2026, 11, 20, 9, tzinfo=UTC), True),
        (datetime(2026, 12, 1, 12, tzinfo=UTC), True),
        (END - SECOND, True),  # the day counts to its end, in UTC
        (END, False),
        (NOW + timedelta(days=1), False),  # seen by a wrong clock, so now
    ],
)
def test_what_was_seen_by_the_end_of_the_day_is_taken(at: datetime, *, is_planned: bool) -> None:
    assert (planned(seen("a", "2", at)) == ["a 2"]) is is_planned


def test_security_updates_are_part_of_the_state_like_all_others() -> None:
    assert planned(seen("s", "2", END, SECURITY), seen("a", "2", END - SECOND)) == ["a 2"]


def test_the_reason_names_the_day_and_the_line_of_policy() -> None:
    plan = plan_for(MACHINE, effective(FIRST), NOW, (seen("a", "2", datetime(2026, 12, 3, 9, tzinfo=UTC)),))
    assert plan.updates[0].disposition is Disposition.TOO_YOUNG
    (reason,) = plan.updates[0].reasons
    assert (reason.code, reason.message) == (
        "as-of",
        "a 2 was first seen at 2026-12-03T09:00:00Z, and policy patches to the state of 2026-12-01",
    )
    assert reason.origin.startswith("policies/main.yaml:1@")


def test_an_older_version_of_the_state_is_taken_where_it_is_on_offer() -> None:
    world = PackageWorld((Build("a", "2"), Build("a", "3")), {"a": "1"})
    sights = (seen("a", "2", END - SECOND), seen("a", "3", END))
    assert planned(*sights, world=world) == ["a 2"]
    plan = plan_for(world, effective(FIRST), NOW, sights)
    assert [one.code for one in plan.updates[0].reasons] == ["selected", "superseded", "as-of"]


def test_a_new_package_belongs_to_the_state_as_well() -> None:
    world = PackageWorld((Build("a", "2", depends=(("n", ""),)), Build("n", "1")), {"a": "1"})
    assert planned(seen("a", "2", END - SECOND), seen("n", "1", END), world=world) == []
    assert planned(seen("a", "2", END - SECOND), seen("n", "1", END - SECOND), world=world) == ["a 2", "n 1"]


def test_a_day_that_is_not_over_keeps_nothing_out_and_its_end_is_waited_for_once() -> None:
    during = END - SECOND
    assert planned(now=during) == ["a 2", "s 2"]
    observation = MACHINE.observe(during)
    assert next_change(observation, effective(FIRST), during) == END
    assert planned(now=END) == []
    # Nothing becomes ready from then on: no time is named at which to ask, but of stale metadata.
    later = replace(observation, at=END)
    assert next_change(later, effective(FIRST), END) == next_change(later, effective({}), END)


def test_min_age_counts_beside_it() -> None:
    both = {**FIRST, "min_age": {"other": "7d"}}
    early, late = END - timedelta(days=9), END - timedelta(days=1)
    assert planned(seen("a", "2", early), settings=both) == ["a 2"]
    plan = plan_for(MACHINE, effective(both), NOW, (seen("a", "2", late),))
    assert plan.updates[0].reasons[0].code == "min-age"


def test_it_counts_in_the_security_plan_of_a_freeze() -> None:
    frozen = security_only(effective(FIRST))
    assert plan_for(MACHINE, frozen, NOW, (seen("s", "2", END, SECURITY),)).transaction == ()
    assert plan_for(MACHINE, frozen, NOW, (seen("s", "2", END - SECOND, SECURITY),)).transaction != ()


def test_a_host_that_is_newer_than_the_day_is_told_what_to_do() -> None:
    plan = plan_for(MACHINE, effective(FIRST), NOW)
    (told,) = (one for one in plan.conditions if one.type is ConditionType.STATE_UNSEEN)
    assert told.message == (
        "policy patches to the state of 2026-12-01, and of all that is on offer this host had seen nothing by"
        " then, so it takes nothing: where it has that state already, nothing is missing; for a host that is"
        " newer than that day, a policy of its own sets a later 'as_of'"
    )
    assert not told.stalled
    known = plan_for(MACHINE, effective(FIRST), NOW, (seen("a", "2", END - SECOND),))
    assert ConditionType.STATE_UNSEEN not in {one.type for one in known.conditions}


def test_a_stronger_policy_lifts_it_or_names_another_day() -> None:
    def under(text: str) -> object:
        weak = b"kind: Policy\nname: weak\nas_of: 2026-12-01\n"
        strong = f"kind: Policy\nname: strong\npriority: 9\n{text}".encode()
        files = [
            PolicyFile("policies/a.yaml", "100644", weak),
            PolicyFile("policies/b.yaml", "100644", strong),
        ]
        return resolved(files).settings.as_of

    assert under("as_of: none\n") == "none"
    assert under("as_of: 2026-12-24\n") == date(2026, 12, 24)
    assert under("action: plan\n") == date(2026, 12, 1)


def _with_pacman(*sights: FirstSeen) -> Plan:
    """Plan with a manager that upgrades to everything on offer or to nothing."""
    observation: Observation = replace(
        healthy(NOW),
        manager="pacman",
        installed=tuple(Installed(name, "any", "1") for name in "ab"),
        offers=tuple(
            Offer(name, "any", "1", "2", (Available("2", ("core",), security=False),)) for name in "ab"
        ),
        first_seen=sights,
    )
    answer = Answer(tuple(Change("upgrade", name, "any", "1", "2", "core") for name in "ab"))
    exchanges: list[Exchange] = []
    while (question := next_question(observation, effective(FIRST), exchanges, NOW)) is not None:
        exchanges.append(Exchange(question, answer))
    return make_plan(observation, effective(FIRST), exchanges, NOW)


def test_pacman_takes_the_whole_state_or_waits_for_another_day() -> None:
    inside = [seen(name, "2", END - SECOND, "core") for name in "ab"]
    assert [one.name for one in _with_pacman(*inside).transaction] == ["a", "b"]
    plan = _with_pacman(inside[0], seen("b", "2", END, "core"))
    assert plan.transaction == ()
    assert plan.updates[0].reasons[0].message == (
        "this package manager knows no partial upgrades, so all updates wait for b 2, which was first seen at"
        " 2026-12-02T00:00:00Z, and policy patches to the state of 2026-12-01"
    )
