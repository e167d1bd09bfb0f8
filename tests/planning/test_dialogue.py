"""What the resolver is asked, and in which order: nothing that must not move ever moves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.planning.facts.observation import (
    Answer,
    Available,
    Change,
    Exchange,
    FirstSeen,
    Installed,
    Offer,
    Question,
)
from reconciler.planning.resolving.dialogue import next_question, unrestricted
from reconciler.planning.resolving.dispositions import ConditionType, Disposition
from reconciler.planning.resolving.plan import make_plan, security_only
from tests.fakes import ARCH, SECURITY, STABLE, Build, PackageWorld, converse, healthy, plan_for
from tests.policies import effective

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
SEVEN = {"min_age": {"other": "7d"}}


def old(name: str, version: str, days: int = 8, origin: str = STABLE) -> FirstSeen:
    return FirstSeen(origin, name, version, NOW - timedelta(days=days))


def world(*builds: Build, held: frozenset[str] = frozenset(), **installed: str) -> PackageWorld:
    return PackageWorld(builds, installed or {build.name: "1" for build in builds}, held)


def questions(
    machine: PackageWorld,
    settings: Mapping[str, object] | None = None,
    *,
    exceptions: Sequence[Mapping[str, object]] = (),
    first_seen: tuple[FirstSeen, ...] = (),
) -> list[Question]:
    policy = effective(settings, exceptions=exceptions)
    exchanges = converse(machine, machine.observe(NOW, first_seen), policy, NOW)
    return [exchange.question for exchange in exchanges]


def planned(
    machine: PackageWorld,
    settings: Mapping[str, object] | None = None,
    *,
    exceptions: Sequence[Mapping[str, object]] = (),
    first_seen: tuple[FirstSeen, ...] = (),
) -> dict[str, str | None]:
    plan = plan_for(machine, effective(settings, exceptions=exceptions), NOW, first_seen)
    return {change.name: change.to_version for change in plan.transaction}


def test_the_example_of_five_questions() -> None:
    archive = (
        Build("curl", "2"),
        Build("libssl", "2"),
        Build("nginx", "2", depends=(("libssl", "2"),)),
        Build("php", "2", depends=(("phone-home", ""),)),
        Build("phone-home", "1"),
        Build("tzdata", "2"),
    )
    asked = questions(
        PackageWorld(archive, dict.fromkeys(("curl", "libssl", "nginx", "php", "tzdata"), "1")),
        SEVEN,
        exceptions=[
            {"packages": ["libssl"], "action": "hold"},
            {"packages": ["phone-*"], "action": "block"},
        ],
        first_seen=(*(old(name, "2") for name in ("curl", "libssl", "nginx", "php")), old("phone-home", "1")),
    )
    assert asked == [
        Question("safe", exclude=("libssl",)),
        Question("safe", exclude=("libssl", "tzdata")),
        Question("safe", exclude=("libssl", "tzdata"), block=("phone-home",)),
        Question("full", only=("nginx", "2")),
        Question("full", only=("php", "2")),
    ]


def test_where_everything_is_wanted_one_plain_question_is_enough() -> None:
    assert questions(world(Build("a", "2"), Build("b", "2"))) == [Question()]


@pytest.mark.parametrize(
    ("settings", "question"),
    [
        ({}, Question()),
        ({"upgrade": "full"}, Question(mode="full")),
        ({"updates": "security"}, Question(security=True)),
        # Security updates alone remove nothing, so "full" has nothing to add.
        ({"updates": "security", "upgrade": "full"}, Question(security=True)),
    ],
)
def test_settings_become_mode_and_security_flag(settings: dict[str, object], question: Question) -> None:
    assert questions(world(Build("a", "2", security=True)), settings) == [question]


@pytest.mark.parametrize("settings", [{"updates": "none"}, {"updates": "security"}])
def test_where_nothing_is_wanted_nothing_is_asked(settings: dict[str, object]) -> None:
    assert questions(world(Build("a", "2")), settings) == []


@pytest.mark.parametrize(
    ("exception", "question"),
    [
        ({"packages": ["a"], "action": "hold"}, Question(exclude=("a",))),
        ({"packages": ["a*"], "action": "hold"}, Question(exclude=("a", "ab"))),
        ({"packages": ["a:amd64"], "action": "hold"}, Question(exclude=("a",))),
        ({"packages": ["a:i386"], "action": "hold"}, Question()),
        ({"packages": ["a"], "versions": "< 2", "action": "hold"}, Question()),
        ({"packages": ["a"], "versions": ">= 2", "action": "hold"}, Question(exclude=("a",))),
        ({"packages": ["a", "absent"], "action": "block"}, Question(block=("a", "absent"))),
        ({"packages": ["a"], "versions": ">= 2", "action": "block"}, Question(block=("a",))),
        ({"packages": ["a"], "action": "allow-as-dependency"}, Question(exclude=("a",))),
        ({"packages": ["a"], "action": "hold", "expires": "2026-11-21"}, Question()),
        ({"packages": ["a"], "action": "hold", "expires": "2026-11-22"}, Question(exclude=("a",))),
    ],
)
def test_exceptions_in_force_are_part_of_the_first_question(
    exception: dict[str, object], question: Question
) -> None:
    machine = world(Build("a", "2"), Build("ab", "2"), Build("c", "2"))
    assert questions(machine, exceptions=(exception,)) == [question]


def test_one_architecture_of_two_is_named_with_it() -> None:
    installed = tuple(Installed("libc6", arch, "1") for arch in ("amd64", "i386"))
    offers = tuple(
        Offer("libc6", arch, "1", "2", (Available("2", (STABLE,), security=False),))
        for arch in ("amd64", "i386")
    )
    observation = replace(healthy(NOW), installed=installed, offers=offers)
    one = effective(exceptions=[{"packages": ["libc6:i386"], "action": "hold"}])
    assert next_question(observation, one, [], NOW) == Question(exclude=("libc6:i386",))
    both = effective(exceptions=[{"packages": ["other", "libc6"], "action": "hold"}])
    assert next_question(observation, both, [], NOW) is None


def unasked(
    machine: PackageWorld,
    settings: Mapping[str, object] | None = None,
    *,
    exceptions: Sequence[Mapping[str, object]] = (),
) -> list[Question]:
    """Return what a plan did not ask, and whoever would lift a hold wants to know."""
    policy, seen = effective(settings, exceptions=exceptions), machine.observe(NOW, ())
    return list(unrestricted(seen, policy, converse(machine, seen, policy, NOW), NOW))


A_HELD = ({"packages": ["a"], "action": "hold"},)


def test_without_a_hold_all_and_security_updates_alone_are_what_nobody_asked() -> None:
    machine = world(Build("a", "2"), Build("b", "2"))
    assert unasked(machine, exceptions=A_HELD) == [Question(), Question(security=True)]
    assert unasked(world(Build("a", "2")), exceptions=A_HELD) == [Question(), Question(security=True)]
    full = {"upgrade": "full"}
    assert unasked(machine, full, exceptions=A_HELD) == [Question("full"), Question(security=True)]


def test_where_policy_keeps_nothing_back_nothing_more_is_asked() -> None:
    assert unasked(world(Build("a", "2"), Build("b", "2"))) == []
    assert unasked(world(Build("a", "2"), Build("b", "2"), held=frozenset({"a"}))) == []


def test_where_security_updates_alone_are_wanted_all_of_them_are_what_nobody_asked() -> None:
    machine = world(Build("a", "2"), Build("b", "2", security=True))
    security = {"updates": "security"}
    assert unasked(machine, security) == [Question()]
    assert unasked(machine, {**security, "upgrade": "full"}) == [Question("full")]
    assert unasked(machine, security, exceptions=A_HELD) == [Question(), Question(security=True)]


def test_what_the_operator_holds_stays_held_without_the_holds_of_policy() -> None:
    machine = world(Build("a", "2"), Build("b", "2"), Build("c", "2"), held=frozenset({"b"}))
    free = Question(exclude=("b",))
    assert unasked(machine, exceptions=A_HELD) == [free, replace(free, security=True)]


def test_what_planning_has_asked_is_not_asked_again() -> None:
    machine = world(Build("a", "2"), Build("b", "2"))
    young = [Question()]  # what would come in new is to be seen first
    assert questions(machine, SEVEN)[: len(young)] == young
    assert unasked(machine, SEVEN) == [Question(security=True)]


def test_the_operators_own_holds_are_excluded_too() -> None:
    machine = world(Build("a", "2"), Build("b", "2"), held=frozenset({"a"}))
    assert questions(machine) == [Question(exclude=("a",))]
    assert planned(machine) == {"b": "2"}


def test_where_everything_is_too_young_one_question_shows_what_would_come_in_new() -> None:
    machine = world(Build("a", "2", depends=(("lib", ""),)), Build("lib", "1"), a="1")
    assert questions(machine, SEVEN) == [Question()]
    assert planned(machine, SEVEN) == {}


def test_an_older_version_is_chosen_where_the_newest_is_held() -> None:
    machine = world(Build("a", "3"), Build("a", "2"))
    hold = {"packages": ["a"], "versions": ">= 3", "action": "hold"}
    assert questions(machine, exceptions=(hold,)) == [Question(choose=(("a", "2"),))]
    assert planned(machine, exceptions=(hold,)) == {"a": "2"}


def test_an_older_version_is_chosen_where_the_newest_is_too_young() -> None:
    machine = world(Build("a", "3"), Build("a", "2"), Build("b", "2"))
    seen = (old("a", "2"), old("b", "2", days=6))
    assert questions(machine, SEVEN, first_seen=seen) == [
        Question(),
        Question(exclude=("b",), choose=(("a", "2"),)),
    ]
    assert planned(machine, SEVEN, first_seen=seen) == {"a": "2"}


def test_security_takes_what_the_security_service_offers_although_it_is_superseded() -> None:
    machine = world(Build("a", "3"), Build("a", "2", security=True), Build("b", "2"))
    assert questions(machine, {"updates": "security"}) == [Question(security=True)]
    assert planned(machine, {"updates": "security"}) == {"a": "2"}


def test_a_security_update_may_bring_others_along_but_only_if_it_needs_them() -> None:
    machine = world(Build("a", "2", depends=(("b", "2"),), security=True), Build("b", "2"), Build("c", "2"))
    assert planned(machine, {"updates": "security"}) == {"a": "2", "b": "2"}


def test_what_an_exception_includes_stays_selectable_in_security_mode() -> None:
    machine = world(Build("a", "2", security=True), Build("b", "2"), Build("c", "2"))
    include = {"packages": ["b"], "action": "include"}
    assert questions(machine, {"updates": "security"}, exceptions=(include,)) == [
        Question(security=True, include=("b",))
    ]
    assert planned(machine, {"updates": "security"}, exceptions=(include,)) == {"a": "2", "b": "2"}


def test_a_freeze_that_lets_security_updates_pass_has_a_plan_without_any_other() -> None:
    machine = world(Build("a", "2", security=True), Build("b", "2"), Build("c", "2"))
    policy = effective({"upgrade": "full"}, exceptions=[{"packages": ["b"], "action": "include"}])
    plan = plan_for(machine, security_only(policy), NOW)
    assert [change.name for change in plan.transaction] == ["a"]


def test_what_an_exception_includes_is_wanted_where_no_updates_are() -> None:
    machine = world(Build("a", "2", security=True), Build("b", "2"), Build("c", "2"))
    include = {"packages": ["b"], "action": "include"}
    assert planned(machine, {"updates": "none"}, exceptions=(include,)) == {"b": "2"}


def test_an_included_update_may_need_others_where_no_updates_are_wanted() -> None:
    needs = Build("b", "2", depends=(("a", "2"),))
    machine = world(Build("a", "2", security=True), needs, Build("c", "2", security=True))
    include = {"packages": ["b"], "action": "include"}
    assert planned(machine, {"updates": "none"}, exceptions=(include,)) == {"a": "2", "b": "2"}


def test_a_blocked_package_that_would_come_in_new_is_named_in_the_next_question() -> None:
    needs = Build("a", "2", depends=(("new-lib", ""),))
    machine = world(needs, Build("new-lib", "1"), Build("b", "2"), a="1", b="1")
    block = {"packages": ["new-*"], "action": "block"}
    assert questions(machine, exceptions=(block,))[:2] == [Question(), Question(block=("new-lib",))]
    assert planned(machine, exceptions=(block,)) == {"b": "2"}


def test_a_new_package_must_be_old_enough_too() -> None:
    needs = Build("a", "2", depends=(("lib", ""),))
    machine = world(needs, Build("lib", "1"), a="1")
    assert planned(machine, SEVEN, first_seen=(old("a", "2"),)) == {}
    assert planned(machine, SEVEN, first_seen=(old("a", "2"), old("lib", "1"))) == {"a": "2", "lib": "1"}


def test_a_new_package_of_the_security_service_has_the_age_of_security_updates() -> None:
    machine = world(
        Build("a", "2", depends=(("lib", ""),), security=True), Build("lib", "1", security=True), a="1"
    )
    assert planned(machine, SEVEN) == {"a": "2", "lib": "1"}
    assert (
        planned(machine, {"min_age": {"security": "1d"}}, first_seen=(old("a", "2", origin=SECURITY),)) == {}
    )


def test_a_permitted_dependency_moves_only_where_it_is_needed() -> None:
    needs = Build("a", "2", depends=(("b", "2"),))
    machine = world(needs, Build("b", "2"), Build("c", "2"), Build("d", "2"))
    allow = {"packages": ["b", "c"], "action": "allow-as-dependency"}
    assert planned(machine, exceptions=(allow,)) == {"a": "2", "b": "2", "d": "2"}
    alone = world(Build("b", "2"), Build("d", "2"))
    assert questions(alone, exceptions=(allow,)) == [Question(exclude=("b",))]


def test_a_permitted_dependency_stays_where_it_does_not_help() -> None:
    machine = world(Build("a", "2", depends=(("gone", "9"),)), Build("b", "2"), Build("c", "2"))
    allow = {"packages": ["b"], "action": "allow-as-dependency"}
    assert planned(machine, exceptions=(allow,)) == {"c": "2"}


def test_of_many_permitted_dependencies_only_the_needed_ones_move() -> None:
    names = [f"d{number}" for number in range(12)]
    needs = Build("a", "2", depends=(("d3", "2"), ("d7", "2")))
    machine = world(needs, *(Build(name, "2") for name in names))
    allow = {"packages": ["d*"], "action": "allow-as-dependency"}
    assert planned(machine, exceptions=(allow,)) == {"a": "2", "d3": "2", "d7": "2"}


def test_a_removal_that_policy_refuses_is_asked_for_again_without_its_doer() -> None:
    machine = world(Build("a", "2", conflicts=("victim",)), Build("b", "2"), a="1", b="1", victim="1")
    assert questions(machine, {"upgrade": "full"}) == [
        Question(mode="full"),
        Question(mode="full", exclude=("a",)),
        Question(mode="full", only=("a", "2")),
    ]
    assert planned(machine, {"upgrade": "full"}) == {"b": "2"}


STRAY = Change("remove", "victim", ARCH, "1", None)
"""A removal of which nobody knows whose doing it is."""


@pytest.mark.parametrize("keeps", [True, False], ids=["stays where it is excluded", "goes all the same"])
def test_a_refused_removal_of_which_nobody_knows_the_doer_holds_up_nothing_else(*, keeps: bool) -> None:
    machine = world(Build("a", "2"), a="1", victim="1")
    policy, seen = effective({"upgrade": "full"}), machine.observe(NOW)
    upgrade = Change("upgrade", "a", ARCH, "1", "2")
    exchanges = [answer(Question(mode="full"), STRAY, upgrade)]
    without = Question(mode="full", exclude=("victim",))
    assert next_question(seen, policy, exchanges, NOW) == without
    if keeps:
        exchanges.append(answer(without, upgrade))
    else:
        exchanges.append(Exchange(without, Answer((), exit_code=25, native_code=4, message="it cannot stay")))
        assert next_question(seen, policy, exchanges, NOW) == Question()
        exchanges.append(answer(Question(), upgrade))
    assert next_question(seen, policy, exchanges, NOW) is None
    plan = make_plan(seen, policy, exchanges, NOW)
    assert plan.transaction == (upgrade,)
    (refused,) = (one for one in plan.conditions if one.type is ConditionType.REMOVALS_REFUSED)
    assert refused.message.startswith("victim: a full upgrade would remove it")


def test_what_is_held_and_would_be_removed_is_not_said_to_go_if_removals_were_allowed() -> None:
    machine = world(Build("a", "2"), a="1", victim="1")
    hold = {"packages": ["victim"], "action": "hold"}
    policy, seen = (
        effective({"upgrade": "full", "removals": "allow"}, exceptions=(hold,)),
        machine.observe(NOW),
    )
    upgrade = Change("upgrade", "a", ARCH, "1", "2")
    exchanges = [answer(Question(mode="full"), STRAY, upgrade)]
    exchanges.append(answer(Question(mode="full", exclude=("victim",)), upgrade))
    plan = make_plan(seen, policy, exchanges, NOW)
    assert plan.transaction == (upgrade,)
    (refused,) = (one for one in plan.conditions if one.type is ConditionType.REMOVALS_REFUSED)
    assert refused.message.endswith(", and it is held or blocked, so it stays")


def test_what_has_an_update_of_its_own_is_not_excluded_for_a_refused_removal() -> None:
    machine = world(Build("a", "2"), Build("victim", "2"), a="1", victim="1")
    exchange = answer(Question(mode="full"), STRAY, Change("upgrade", "a", ARCH, "1", "2"))
    assert next_question(machine.observe(NOW), effective({"upgrade": "full"}), [exchange], NOW) == Question()


def test_a_new_package_that_would_remove_others_is_blocked() -> None:
    machine = world(
        Build("a", "2", depends=(("lib", ""),)),
        Build("lib", "1", conflicts=("victim",)),
        Build("b", "2"),
        a="1",
        b="1",
        victim="1",
    )
    assert Question(mode="full", block=("lib",)) in questions(machine, {"upgrade": "full"})
    assert planned(machine, {"upgrade": "full"}) == {"b": "2"}


def test_a_replacement_is_no_removal_and_one_refused_removal_does_not_keep_it_back() -> None:
    machine = world(
        Build("a", "2", conflicts=("old",), replaces=("old",)),
        Build("b", "2", conflicts=("victim",)),
        a="1",
        b="1",
        old="1",
        victim="1",
    )
    assert planned(machine, {"upgrade": "full"}) == {"a": "2", "old": None}
    assert planned(machine) == {}


def test_what_is_held_is_not_replaced_either() -> None:
    machine = world(Build("a", "2", conflicts=("old",), replaces=("old",)), a="1", old="1")
    hold = {"packages": ["old"], "action": "hold"}
    assert planned(machine, {"upgrade": "full", "removals": "allow"}, exceptions=(hold,)) == {}


def test_what_is_too_young_is_not_removed_instead() -> None:
    machine = world(Build("a", "2", conflicts=("b",)), Build("b", "2"))
    settings = {"upgrade": "full", "removals": "allow", **SEVEN}
    assert planned(machine, settings, first_seen=(old("a", "2"),)) == {}


def test_no_more_than_twelve_questions_explain_what_is_missing_security_updates_first() -> None:
    names = [f"n{number:02}" for number in range(20)]
    builds = [Build(name, "2", depends=(("gone", ""),), security=name == "n19") for name in names]
    machine = world(*builds)
    asked = questions(machine)
    assert asked[0] == Question()
    assert [question.only for question in asked[1:]] == [("n19", "2"), *((name, "2") for name in names[:11])]
    reasons = {each.name: each.reasons[0].message for each in plan_for(machine, effective(), NOW).updates}
    assert reasons["n10"] == "2 cannot be installed: n10 2 needs gone"
    assert reasons["n11"] == "the package manager keeps it back and does not say why"


def test_no_more_is_asked_to_explain_where_two_such_questions_had_no_answer() -> None:
    machine = world(*(Build(f"n{number}", "2", depends=(("gone", ""),)) for number in range(5)))
    observation, policy = machine.observe(NOW, ()), effective()
    exchanges: list[Exchange] = []
    while (question := next_question(observation, policy, exchanges, NOW)) is not None:
        answer = machine.answer(question)
        if question.only is not None:
            answer = Answer((), exit_code=1, message="apt-update.sh --dry-run did not end within 120 s")
        exchanges.append(Exchange(question, answer))
    assert [one.question.only for one in exchanges] == [None, ("n0", "2"), ("n1", "2")]
    plan = make_plan(observation, policy, exchanges, NOW)
    told = {one.name: one.reasons[0].message for one in plan.updates}
    assert "did not end within 120 s" in told["n0"]
    assert told["n2"] == "the package manager keeps it back and does not say why"


@pytest.mark.parametrize("settings", [{"removals": "allow"}, {"allow_removals": ["vic*"]}])
def test_a_removal_that_policy_allows_is_planned(settings: dict[str, object]) -> None:
    machine = world(Build("a", "2", conflicts=("victim",)), a="1", victim="1")
    assert planned(machine, {"upgrade": "full", **settings}) == {"a": "2", "victim": None}


def test_one_refused_removal_does_not_keep_back_what_needs_a_permitted_one() -> None:
    machine = world(
        Build("a", "2", conflicts=("expendable",)),
        Build("b", "2", conflicts=("victim",)),
        Build("c", "2"),
        a="1",
        b="1",
        c="1",
        expendable="1",
        victim="1",
    )
    settings = {"upgrade": "full", "allow_removals": ["expendable"]}
    assert planned(machine, settings) == {"a": "2", "c": "2", "expendable": None}
    (refused,) = (each for each in plan_for(machine, effective(settings), NOW).updates if each.name == "b")
    assert refused.disposition is Disposition.REMOVAL_REFUSED
    assert refused.reasons[0].message == "2 comes only with the removal of victim"


@pytest.mark.parametrize("action", ["hold", "block"])
def test_what_is_held_or_blocked_is_not_removed_either(action: str) -> None:
    machine = world(Build("a", "2", conflicts=("victim",)), a="1", victim="1")
    exception = {"packages": ["victim"], "action": action}
    assert planned(machine, {"upgrade": "full", "removals": "allow"}, exceptions=(exception,)) == {}


def answer(question: Question, *changes: Change, message: str = "", exit_code: int = 0) -> Exchange:
    return Exchange(question, Answer(changes, message=message, exit_code=exit_code))


def test_a_manager_that_moves_what_was_excluded_gets_no_transaction() -> None:
    machine = world(Build("a", "2"), Build("b", "2"))
    policy = effective(exceptions=[{"packages": ["a"], "action": "hold"}])
    exchange = answer(Question(exclude=("a",)), Change("upgrade", "a", ARCH, "1", "2"))
    observation = machine.observe(NOW)
    assert next_question(observation, policy, [exchange], NOW) is None
    plan = make_plan(observation, policy, [exchange], NOW)
    assert plan.transaction == ()
    assert [(each.type, each.reason) for each in plan.conditions if each.status] == [
        ("CannotResolve", "ExclusionIgnored")
    ]


def test_a_manager_that_removes_even_in_safe_mode_gets_no_transaction() -> None:
    machine = world(Build("a", "2"), a="1", victim="1")
    exchange = answer(
        Question(), Change("remove", "victim", ARCH, "1", None), Change("upgrade", "a", ARCH, "1", "2")
    )
    plan = make_plan(machine.observe(NOW), effective(), [exchange], NOW)
    assert plan.transaction == ()
    assert [update.disposition for update in plan.updates] == [Disposition.REMOVAL_REFUSED]


def test_replaced_packages_and_rotated_kernels_are_no_removals() -> None:
    machine = world(Build("a", "2"), a="1", victim="1", kernel="1")
    changes = (
        Change("replace", "victim", ARCH, "1", None),
        Change("rotate", "kernel", ARCH, "1", None),
        Change("upgrade", "a", ARCH, "1", "2"),
    )
    plan = make_plan(machine.observe(NOW), effective(), [answer(Question(), *changes)], NOW)
    assert plan.transaction == changes
    assert {update.name: update.reasons[0].code for update in plan.updates} == {
        "a": "selected",
        "kernel": "rotated",
        "victim": "replaced",
    }


def test_what_comes_beside_its_older_versions_is_wanted_itself_and_takes_no_place() -> None:
    machine = world(Build("kernel", "2"), kernel="1")
    change = Change("install", "kernel", ARCH, None, "2")
    plan = make_plan(machine.observe(NOW), effective(), [answer(Question(), change)], NOW)
    (update,) = plan.updates
    assert [reason.code for reason in update.reasons] == ["selected", "beside"]


def test_a_transaction_that_cannot_be_resolved_is_told_in_the_managers_words() -> None:
    machine = world(Build("a", "2"))
    exchange = answer(Question(), message="E: Unmet dependencies", exit_code=25)
    plan = make_plan(machine.observe(NOW), effective(), [exchange], NOW)
    assert [update.reasons[0].code for update in plan.updates] == ["cannot-resolve"]
    assert "E: Unmet dependencies" in next(
        condition.message for condition in plan.conditions if condition.type == "CannotResolve"
    )


def test_what_a_manager_says_in_several_lines_is_told_on_one() -> None:
    words = "Some packages are broken\n one : Depends: two\n\nSome packages are broken\nE: Unmet dependencies"
    exchange = answer(Question(), message=words, exit_code=25)
    plan = make_plan(world(Build("a", "2")).observe(NOW), effective(), [exchange], NOW)
    assert "Some packages are broken; one : Depends: two; E: Unmet dependencies" in next(
        condition.message for condition in plan.conditions if condition.type == "CannotResolve"
    )


def test_a_conversation_that_was_not_led_to_its_end_gives_no_transaction() -> None:
    plan = make_plan(world(Build("a", "2")).observe(NOW), effective(), [], NOW)
    assert plan.transaction == ()
    assert [(each.type, each.status) for each in plan.conditions] == [
        ("CannotResolve", None),
        ("RebootRequired", False),
    ]


def test_the_planner_gives_up_on_a_manager_that_always_finds_another_culprit() -> None:
    machine = world(Build("a", "2"))
    policy = effective(exceptions=[{"packages": ["new-*"], "action": "block"}])
    observation = machine.observe(NOW)
    exchanges: list[Exchange] = []
    while (question := next_question(observation, policy, exchanges, NOW)) is not None:
        culprit = Change("install", f"new-{len(exchanges)}", ARCH, None, "1", STABLE)
        exchanges.append(answer(question, culprit))
        assert len(exchanges) < 20
    reasons = [each.reason for each in make_plan(observation, policy, exchanges, NOW).conditions]
    assert "TooManyQuestions" in reasons
