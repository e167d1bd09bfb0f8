"""What holds for every plan, over generated worlds and policies."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.observation import FirstSeen, Severity
from reconciler.planning.facts.versions import compare_debian
from reconciler.planning.resolving.age import observe_first_seen
from reconciler.planning.resolving.conditions import next_change
from reconciler.planning.resolving.dialogue import Conversation, Resolution
from reconciler.planning.resolving.dispositions import Disposition
from reconciler.planning.resolving.plan import Account, make_plan
from tests.examples import examples
from tests.fakes import Build, PackageWorld, converse, plan_for
from tests.policies import effective

observed = partial(observe_first_seen, order=compare_debian)
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
NAMES = "abcdef"
INSTALLED = "abcd"

_name = st.sampled_from(NAMES)
_build = st.builds(
    Build,
    _name,
    st.sampled_from(["2", "3"]),
    # Mostly unencumbered, so that conversations go on for longer than one unmet dependency.
    depends=st.one_of(
        st.just(()),
        st.just(()),
        st.lists(st.tuples(_name, st.sampled_from(["", "2"])), max_size=2).map(tuple),
    ),
    conflicts=st.sampled_from([(), (), (), (), ("a",), ("b",), ("d",)]),
    security=st.booleans(),
    phased=st.sampled_from([None, None, None, None, None, 10]),
)


def _sane(builds: list[Build]) -> tuple[Build, ...]:
    """Drop what no archive holds: one version twice, and packages at odds with themselves."""
    kept = {(build.name, build.version): build for build in builds}
    return tuple(
        replace(
            build,
            depends=tuple(need for need in build.depends if need[0] != build.name),
            conflicts=tuple(other for other in build.conflicts if other != build.name),
        )
        for build in kept.values()
    )


worlds = st.builds(
    PackageWorld,
    st.lists(_build, min_size=3, max_size=11).map(_sane),
    st.fixed_dictionaries(dict.fromkeys(INSTALLED, st.just("1"))),
    st.frozensets(st.sampled_from(INSTALLED), max_size=1),
)
policies = st.fixed_dictionaries(
    {},
    optional={
        "updates": st.sampled_from(["all", "all", "security", "none"]),
        "upgrade": st.sampled_from(["safe", "full"]),
        "removals": st.sampled_from(["forbid", "allow"]),
        "allow_removals": st.sampled_from([["a"], ["b", "c"]]),
        "min_age": st.sampled_from([{}, {}, {"other": "7d"}, {"security": "1d", "other": "7d"}]),
        "as_of": st.sampled_from(["none", "none", "none", "2026-11-15", "2026-11-22"]),
        "approval": st.sampled_from(["none", "required"]),
        "deadline": st.sampled_from([{}, {"security": "3d"}, {"security": "1d", "other": "9d"}]),
    },
)
exceptions = st.lists(
    st.fixed_dictionaries(
        {
            "packages": st.lists(
                st.sampled_from([*NAMES, "[ab]", "*", "c:amd64", "d:i386", "zz"]),
                min_size=1,
                max_size=2,
                unique=True,
            ),
            "action": st.sampled_from(["hold", "block", "allow-as-dependency", "include"]),
            "expires": st.sampled_from(["2026-11-01", "2026-11-30", "2027-11-30"]),
        },
        optional={"versions": st.sampled_from([">= 3", "< 3", "= 2"])},
    ),
    max_size=4,
)
evidence = st.lists(
    st.builds(
        FirstSeen,
        st.sampled_from(["Debian:12/stable", "Debian-Security:12/stable-security"]),
        _name,
        st.sampled_from(["2", "3"]),
        st.integers(-2, 12).map(lambda days: NOW - timedelta(days=days)),
    ),
    max_size=8,
).map(tuple)

EXAMPLES = examples(80)


@EXAMPLES
@given(worlds, policies, exceptions, evidence)
def test_every_update_has_one_fate_with_reasons_and_every_change_is_accounted_for(
    world: PackageWorld,
    policy: dict[str, object],
    excepted: list[dict[str, object]],
    seen: tuple[FirstSeen, ...],
) -> None:
    plan = plan_for(world, effective(policy, exceptions=excepted), NOW, seen)
    counted = Counter((update.name, update.arch) for update in plan.updates)
    assert set(counted.values()) <= {1}
    assert all(update.reasons and all(reason.message for reason in update.reasons) for update in plan.updates)
    assert counted.keys() >= {(offer.name, offer.arch) for offer in world.offers()}
    moving = {
        update.name
        for update in plan.updates
        if update.disposition in {Disposition.PLANNED, Disposition.NOT_APPROVED}
    }
    assert moving == {change.name for change in plan.transaction}
    assert list(counted) == sorted(counted)


@EXAMPLES
@given(worlds, policies, exceptions, evidence)
def test_a_fate_without_its_reasons_is_the_same(
    world: PackageWorld,
    policy: dict[str, object],
    excepted: list[dict[str, object]],
    seen: tuple[FirstSeen, ...],
) -> None:
    observation, wanted = world.observe(NOW, seen), effective(policy, exceptions=excepted)
    conversation = Conversation.of(observation, wanted, NOW)
    found = conversation.replay(converse(world, observation, wanted, NOW))
    assert isinstance(found, Resolution)
    account = Account.of(conversation, found, observation)
    told = {one.package: (one.disposition, one.candidate) for one in account.updates()}
    assert {package: account.fate_of(package) for package in account.packages()} == told
    deadlines = {one.package: one.deadline for one in account.updates()}
    assert {package: account.deadline_of(package) for package in account.packages()} == deadlines


@EXAMPLES
@given(worlds, policies, exceptions, evidence)
def test_what_must_not_move_never_moves(
    world: PackageWorld,
    policy: dict[str, object],
    excepted: list[dict[str, object]],
    seen: tuple[FirstSeen, ...],
) -> None:
    active = [one for one in excepted if one["expires"] != "2026-11-01" and "versions" not in one]
    plan = plan_for(world, effective(policy, exceptions=excepted), NOW, seen)
    still = {pattern for one in active if one["action"] in {"hold", "block"} for pattern in one["packages"]}  # type: ignore[attr-defined]  # a list of texts
    kept = world.held | (set(NAMES) if "*" in still else still & set(NAMES))
    if "*" not in still:
        kept |= {"a", "b"} if "[ab]" in still else set()
        kept |= {"c"} if "c:amd64" in still else set()
    moved = {change.name for change in plan.transaction if change.from_version is not None}
    assert not moved & kept
    removed = {change.name for change in plan.transaction if change.action == "remove"}
    if policy.get("removals", "forbid") == "forbid":
        assert removed <= set(policy.get("allow_removals", []))  # type: ignore[call-overload]  # a list of texts
    if policy.get("updates", "all") != "all":
        assert not removed


@EXAMPLES
@given(worlds, policies, exceptions, evidence)
def test_after_the_plan_was_applied_nothing_is_left_to_do(
    world: PackageWorld,
    policy: dict[str, object],
    excepted: list[dict[str, object]],
    seen: tuple[FirstSeen, ...],
) -> None:
    rules = effective(policy, exceptions=excepted)
    plan = plan_for(world, rules, NOW, seen)
    again = plan_for(world.apply(plan.transaction), rules, NOW, seen)
    assert again.transaction == ()


@EXAMPLES
@given(worlds, policies, exceptions, evidence, st.randoms(use_true_random=False))
def test_the_order_of_documents_offers_and_exchanges_does_not_matter(
    world: PackageWorld,
    policy: dict[str, object],
    excepted: list[dict[str, object]],
    seen: tuple[FirstSeen, ...],
    random: object,
) -> None:
    rules = effective(policy, exceptions=excepted)
    observation = world.observe(NOW, seen)
    exchanges = list(converse(world, observation, rules, NOW))
    plan = make_plan(observation, rules, exchanges, NOW)
    offers, placed = list(observation.offers), list(rules.exceptions)
    for pile in (offers, placed, exchanges):
        random.shuffle(pile)  # type: ignore[attr-defined]  # the strategy gives a random.Random, which hypothesis does not say
    shuffled = replace(observation, offers=tuple(offers), first_seen=tuple(reversed(seen)))
    assert make_plan(shuffled, replace(rules, exceptions=tuple(placed)), exchanges, NOW) == plan


@EXAMPLES
@given(worlds, policies, exceptions, evidence)
def test_until_the_next_change_the_plan_stays_the_same(
    world: PackageWorld,
    policy: dict[str, object],
    excepted: list[dict[str, object]],
    seen: tuple[FirstSeen, ...],
) -> None:
    rules = effective(policy, exceptions=excepted)
    first = world.observe(NOW, seen)
    exchanges = converse(world, first, rules, NOW)
    observation = world.observe(NOW, observed(seen, first.offers, NOW, exchanges))
    plan = make_plan(observation, rules, converse(world, observation, rules, NOW), NOW)
    change = next_change(observation, rules, NOW)
    assert change is not None
    assert change > NOW
    before = change - timedelta(microseconds=1)
    assert make_plan(observation, rules, converse(world, observation, rules, before), before) == plan


@EXAMPLES
@given(worlds, policies, exceptions, evidence, st.integers(1, 25))
def test_what_was_seen_after_the_day_is_never_planned_whatever_the_policy(
    world: PackageWorld,
    policy: dict[str, object],
    excepted: list[dict[str, object]],
    sights: tuple[FirstSeen, ...],
    day: int,
) -> None:
    state = {**policy, "as_of": f"2026-11-{day:02}"}
    end = datetime(2026, 11, day, tzinfo=UTC) + timedelta(days=1)
    plan = plan_for(world, effective(state, exceptions=excepted), NOW, sights)
    for change in plan.transaction:
        if change.to_version is None:
            continue
        dates = [
            one.at
            for one in sights
            if (one.name, one.version, one.origin) == (change.name, change.to_version, change.origin)
        ]
        assert min([*dates, NOW]) < end


@EXAMPLES
@given(
    worlds,
    policies,
    exceptions,
    st.sampled_from(["moderate", "important", "critical"]),
    st.fixed_dictionaries(dict.fromkeys(NAMES, st.sampled_from(get_args(Severity)))),
)
def test_nothing_milder_comes_unless_another_planned_update_needs_it(
    world: PackageWorld,
    policy: dict[str, object],
    excepted: list[dict[str, object]],
    least: str,
    said: dict[str, Severity],
) -> None:
    only = [one for one in excepted if one["action"] != "include"]
    rules = effective({**policy, "updates": "security", "severity": least}, exceptions=only)
    seen = world.observe(NOW)
    offers = tuple(
        replace(offer, versions=tuple(replace(one, severity=said[offer.name]) for one in offer.versions))
        for offer in seen.offers
    )
    observation = replace(seen, manager="dnf", offers=offers)
    plan = make_plan(observation, rules, converse(world, observation, rules, NOW), NOW)
    ranks = list(get_args(Severity))
    coming = {(one.name, one.to_version) for one in plan.transaction}
    needed = {
        name for build in world.archive if (build.name, build.version) in coming for name, _ in build.depends
    }
    for change in plan.transaction:
        is_milder = change.security and 0 < ranks.index(said[change.name]) < ranks.index(least)
        assert not is_milder or change.from_version is None or change.name in needed
