"""A manager that knows no partial upgrades: all on offer, or nothing, and the largest set that resolves.

The answers are of the form that pacman's patch script records, in a small world: ``user`` 1.1 needs ``base``
1.1, and ``top`` 1.1 needs ``user`` 1.1; ``pair`` and ``data`` go together; ``new`` comes in for ``plain``;
``heir`` takes the place of ``old``. ``tests/edge/pacman/test_pacman_plan.py`` leads the same conversation
with the real one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import process_time

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
    Question,
    Unmet,
)
from reconciler.planning.resolving.dialogue import next_question
from reconciler.planning.resolving.dispositions import Plan
from reconciler.planning.resolving.plan import make_plan, security_only
from reconciler.policy.resolve import Effective
from tests.fakes import healthy
from tests.policies import effective

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
SEVEN: dict[str, object] = {"min_age": {"other": "7d"}}

NEEDS = {"user": "base", "top": "user", "plain": "new"}
NAMES = ("base", "data", "lima", "pair", "plain", "top", "user")


def observed(*, held: Iterable[str] = (), young: Iterable[str] = ()) -> Observation:
    installed = tuple(
        Installed(name, "any", "1.0-1", held=name in set(held)) for name in sorted((*NAMES, "old"))
    )
    offers = tuple(
        Offer(name, "any", "1.0-1", "1.1-1", (Available("1.1-1", ("core",), security=False),))
        for name in NAMES
    )
    seen = tuple(
        FirstSeen("core", name, version, NOW - timedelta(days=3 if name in set(young) else 30))
        for name, version in (*((name, "1.1-1") for name in NAMES), ("new", "1-1"), ("heir", "2-1"))
    )
    return replace(healthy(NOW), manager="pacman", installed=installed, offers=offers, first_seen=seen)


def moves(names: Iterable[str]) -> tuple[Change, ...]:
    going = set(names)
    found = [Change("upgrade", name, "any", "1.0-1", "1.1-1", "core") for name in NAMES if name in going]
    if "plain" in going:
        found.append(Change("install", "new", "any", None, "1-1", "core", by=("plain",)))
    if "heir" in going:
        found.append(Change("install", "heir", "any", None, "2-1", "core"))
        found.append(Change("replace", "old", "any", "1.0-1", None, by=("heir",)))
    return tuple(found)


def answer(question: Question) -> Answer:
    """Answer as pacman does: all of it, or the relations that it calls unmet."""
    stay = {*question.exclude, *question.block}
    if question.only is not None:
        wanted = _closure(question.only[0])
        blocked = sorted(name for name in wanted if NEEDS.get(name) in stay)
        if blocked:
            return _impossible([Unmet(name, "", "Depends", f"{NEEDS[name]} (>= 1.1)") for name in blocked])
        return Answer(moves(wanted))
    coming = {*NAMES, "heir"} - stay
    if "old" in stay:
        coming -= {"heir"}
    unmet = [
        Unmet(name, "", "Depends", f"{NEEDS[name]} (>= 1.1)")
        for name in sorted(coming)
        if NEEDS.get(name) in stay
    ]
    if unmet:
        return _impossible(unmet)
    if ("pair" in coming) != ("data" in coming):
        mover, stayer = ("data", "pair") if "data" in coming else ("pair", "data")
        return _impossible([Unmet(mover, "1.1-1", "Breaks", f"{stayer} (which needs {mover} (= 1.0-1))")])
    return Answer(moves(coming), exit_code=0 if coming else 10)


def _closure(name: str) -> set[str]:
    """Return what an update moves along: what it needs, and what it would break."""
    found = {name} if name not in {"pair", "data"} else {"pair", "data"}
    while (more := {NEEDS[each] for each in found if each in NEEDS}) - found:
        found |= more
    return found


def _impossible(unmet: Sequence[Unmet]) -> Answer:
    words = "error: failed to prepare transaction (could not satisfy dependencies)"
    return Answer((), exit_code=25, native_code=1, message=words, unmet=tuple(unmet))


def converse(observation: Observation, policy: Effective) -> list[Exchange]:
    exchanges: list[Exchange] = []
    while (question := next_question(observation, policy, exchanges, NOW)) is not None:
        assert all(exchange.question != question for exchange in exchanges)
        assert len(exchanges) < 40
        exchanges.append(Exchange(question, answer(question)))
    return exchanges


def planned(
    observation: Observation,
    settings: Mapping[str, object] | None = None,
    exceptions: Sequence[Mapping[str, object]] = (),
) -> Plan:
    policy = effective(settings, exceptions=exceptions)
    return make_plan(observation, policy, converse(observation, policy), NOW)


def moved(plan: Plan) -> set[str]:
    return {change.name for change in plan.transaction}


def told(plan: Plan) -> dict[str, tuple[str, list[str]]]:
    return {
        update.name: (str(update.disposition), [reason.code for reason in update.reasons])
        for update in plan.updates
    }


def condition(plan: Plan, kind: str) -> str:
    """Return the message of a condition, empty where it does not hold."""
    return next((each.message for each in plan.conditions if each.type == kind), "")


ALL = {*NAMES, "new", "heir", "old"}


def test_everything_comes_at_once_and_replaces_in_the_safe_mode_too() -> None:
    plan = planned(observed())
    assert moved(plan) == ALL
    assert condition(plan, "PartialUpgrade") == ""


def test_what_is_held_stays_behind_and_that_is_said() -> None:
    hold = {"packages": ["lima"], "action": "hold"}
    plan = planned(observed(), exceptions=[hold])
    assert moved(plan) == ALL - {"lima"}
    assert condition(plan, "PartialUpgrade") == (
        "lima: left behind although this package manager knows no partial upgrades,"
        " so what is upgraded may not fit"
    )


@pytest.mark.parametrize("action", ["hold", "block"])
def test_what_needs_the_held_stays_behind_with_it_and_says_so_all_along_the_chain(action: str) -> None:
    plan = planned(observed(), exceptions=[{"packages": ["base"], "action": action}])
    assert moved(plan) == ALL - {"base", "user", "top"}
    needs = "needs-held" if action == "hold" else "needs-blocked"
    disposition = "held" if action == "hold" else "blocked"
    for name in ("user", "top"):
        assert told(plan)[name] == (disposition, [needs, f"exception-{action}"])
    assert condition(plan, "PartialUpgrade").startswith("base, top, user: left behind")
    assert condition(plan, "CannotResolve") == ""


def test_the_operators_holds_widen_in_the_same_way() -> None:
    plan = planned(observed(held=["base"]))
    assert moved(plan) == ALL - {"base", "user", "top"}
    assert told(plan)["base"] == ("held", ["operator-hold"])
    assert told(plan)["user"] == ("held", ["needs-held", "operator-hold"])


def test_what_may_move_as_a_dependency_alone_moves_where_others_need_it() -> None:
    exception = {"packages": ["base", "lima"], "action": "allow-as-dependency"}
    plan = planned(observed(), exceptions=[exception])
    assert moved(plan) == ALL - {"lima"}


def test_what_would_break_the_held_stays_behind() -> None:
    plan = planned(observed(), exceptions=[{"packages": ["pair"], "action": "hold"}])
    assert moved(plan) == ALL - {"pair", "data"}
    assert told(plan)["data"] == ("held", ["needs-held", "exception-hold"])


def test_what_needs_a_blocked_newcomer_stays_behind() -> None:
    plan = planned(observed(), exceptions=[{"packages": ["new"], "action": "block"}])
    assert moved(plan) == ALL - {"plain", "new"}
    assert told(plan)["plain"] == ("blocked", ["needs-blocked", "exception-block"])


def test_what_is_held_is_not_replaced_and_the_rest_goes_on() -> None:
    plan = planned(observed(), exceptions=[{"packages": ["old"], "action": "hold"}])
    assert moved(plan) == ALL - {"old", "heir"}


def test_the_questions_grow_only_by_what_pacman_says() -> None:
    policy = effective(exceptions=[{"packages": ["base"], "action": "hold"}])
    asked = [exchange.question for exchange in converse(observed(), policy)]
    assert asked[:3] == [
        Question(exclude=("base",)),
        Question(exclude=("base", "user")),
        Question(exclude=("base", "top", "user")),
    ]
    # Whether ``user`` could come where ``top`` stays; the other way round was asked before.
    assert asked[3] == Question(exclude=("base", "top"))
    assert [question.only for question in asked[4:]] == [("top", "1.1-1"), ("user", "1.1-1")]


def test_where_pacman_says_nothing_of_use_there_is_no_plan_and_its_words_are_told() -> None:
    policy, observation = effective(), observed()
    mute = Answer((), exit_code=25, native_code=1, message="error: could not open file")
    exchanges = [Exchange(Question(), mute)]
    assert next_question(observation, policy, exchanges, NOW) is None
    plan = make_plan(observation, policy, exchanges, NOW)
    assert plan.transaction == ()
    assert "could not open file" in condition(plan, "CannotResolve")
    assert condition(plan, "PartialUpgrade") == ""


def test_a_manager_that_never_runs_out_of_complaints_is_asked_a_bounded_number_of_times() -> None:
    policy, observation = effective(), observed()
    exchanges: list[Exchange] = []
    while (question := next_question(observation, policy, exchanges, NOW)) is not None:
        exchanges.append(
            Exchange(question, _impossible([Unmet(f"n{len(exchanges):03}", "", "Depends", "x")]))
        )
        assert len(exchanges) < 50
    assert "CannotResolve" in {
        each.type for each in make_plan(observation, policy, exchanges, NOW).conditions
    }


def test_of_many_thousand_not_each_is_compared_with_all() -> None:
    names = [f"p{number}" for number in range(16_000)]
    on_offer = (Available("1.1-1", ("core",), security=False),)
    seen = replace(
        healthy(NOW),
        manager="pacman",
        installed=tuple(Installed(name, "any", "1.0-1", held=name == "p0") for name in names),
        offers=tuple(Offer(name, "any", "1.0-1", "1.1-1", on_offer) for name in names),
    )
    behind = names[1:8_000]
    unmet = [Unmet(name, "", "Depends", "p0 (>= 1.1)") for name in behind]
    first = Question(exclude=("p0",))
    began = process_time()
    asked = next_question(seen, effective({}), [Exchange(first, _impossible(unmet))], NOW)
    assert asked == replace(first, exclude=tuple(sorted(("p0", *behind))))
    assert process_time() - began < 4


def test_a_conflict_leaves_out_the_one_that_is_wanted() -> None:
    policy, observation = effective(), observed()
    unmet = [Unmet("old", "", "Conflicts", "plain")]
    exchanges = [Exchange(Question(), _impossible(unmet))]
    assert next_question(observation, policy, exchanges, NOW) == Question(exclude=("plain",))


def test_one_update_that_is_too_young_keeps_all_waiting_and_each_says_for_which() -> None:
    plan = planned(observed(young=["lima"]), SEVEN)
    assert plan.transaction == ()
    assert told(plan)["lima"] == ("too-young", ["min-age"])
    assert told(plan)["plain"] == ("too-young", ["waits-for"])
    (reason,) = next(update.reasons for update in plan.updates if update.name == "plain")
    assert reason.message == (
        "this package manager knows no partial upgrades, so all updates wait for lima 1.1-1, which is old"
        " enough at 2026-11-26T09:00:00Z"
    )
    assert condition(plan, "PartialUpgrade") == ""


def test_what_waits_anyway_is_not_waited_for() -> None:
    hold = {"packages": ["lima"], "action": "hold"}
    plan = planned(observed(young=["lima"]), SEVEN, [hold])
    assert moved(plan) == ALL - {"lima"}


@pytest.mark.parametrize("name", ["new", "heir"])
def test_a_newcomer_that_is_too_young_keeps_all_waiting(name: str) -> None:
    plan = planned(observed(young=[name]), SEVEN)
    assert plan.transaction == ()
    assert told(plan)["base"] == ("too-young", ["waits-for"])
    assert condition(plan, "CannotResolve") == ""


def test_security_updates_are_not_known_so_nothing_is_planned_and_nothing_is_asked() -> None:
    include = {"packages": ["lima"], "action": "include"}
    for policy in (
        effective({"updates": "security"}, exceptions=[include]),
        security_only(effective()),
    ):
        assert converse(observed(), policy) == []
        plan = make_plan(observed(), policy, [], NOW)
        assert plan.transaction == ()
        assert told(plan)["lima"] == ("not-selected", ["security-only"])
        assert "only 'updates: all' is of use here" in condition(plan, "SecurityUnknown")
        assert condition(plan, "PartialUpgrade") == ""


def test_where_no_updates_are_wanted_none_can_be_included() -> None:
    include = {"packages": ["lima"], "action": "include"}
    plan = planned(observed(), {"updates": "none"}, [include])
    assert plan.transaction == ()
    assert told(plan)["lima"] == ("not-selected", ["updates-none"])


def test_other_managers_upgrade_what_they_can() -> None:
    observation = replace(observed(young=["lima"]), manager="apt")
    policy = effective(SEVEN)
    question = next_question(observation, policy, [Exchange(Question(), Answer(moves(NAMES)))], NOW)
    assert question == Question(exclude=("lima",))
