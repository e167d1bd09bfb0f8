"""Only what comes from sources that policy admits is planned, and what does not says so."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.planning.facts.observation import Available, Observation, Offer, Source
from reconciler.planning.facts.package import PackageId
from reconciler.planning.resolving.dispositions import ConditionType, Plan
from reconciler.planning.resolving.plan import make_plan
from reconciler.planning.resolving.sources import SourcesAsked, offers_under
from reconciler.policy.sources import is_named
from tests.fakes import STABLE, Build, PackageWorld, converse, healthy
from tests.policies import COMMIT, effective

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
PLACE = f"policies/main.yaml:1@{COMMIT[:12]}"
DOCKER = "Docker CE:bookworm"


def source(name: str, release: str) -> Source:
    return Source(name, "http://x.example", NOW, None, NOW, id=name, release=release)


SOURCES = (
    source(STABLE, "o=Debian,l=Debian,n=bookworm,a=stable"),
    source(DOCKER, 'o=Docker,l="Docker CE, stable",a=bookworm,site=download.docker.com'),
)


def seen(world: PackageWorld) -> Observation:
    return replace(world.observe(NOW), sources=SOURCES)


def planned(
    world: PackageWorld, settings: Mapping[str, object], *exceptions: Mapping[str, object]
) -> tuple[Plan, Observation]:
    """Look, and look again as policy says, as a tick does; then plan."""
    policy = effective(settings, exceptions=exceptions)
    observation = seen(world)
    asked = SourcesAsked.of(observation, policy.settings)
    if asked:
        observation = asked.joined(observation, seen(world.counting(asked.without)))
    return make_plan(observation, policy, converse(world, observation, policy, NOW), NOW), observation


def fates(plan: Plan) -> dict[str, tuple[str, str | None, list[str]]]:
    return {
        one.name: (one.disposition, one.candidate, [reason.code for reason in one.reasons])
        for one in plan.updates
    }


WORLD = PackageWorld(
    (
        Build("a", "2"),
        Build("b", "2"),
        Build("b", "3", source=DOCKER),
        Build("c", "2", source=DOCKER),
        Build("d", "2", (("e", "1"),)),
        Build("e", "1", source=DOCKER),
    ),
    {"a": "1", "b": "1", "c": "1", "d": "1"},
)


@pytest.mark.parametrize(
    ("sources", "setting"),
    [({"only": ["o=Debian"]}, "only"), ({"except": ["o=Docker,site=*.docker.com"]}, "except")],
    ids=["only", "except"],
)
def test_what_is_not_admitted_is_left_out_inside_the_resolver_and_says_why(
    sources: dict[str, object], setting: str
) -> None:
    plan, _ = planned(WORLD, {"sources": sources})
    assert fates(plan) == {
        "a": ("planned", "2", ["selected"]),
        "b": ("planned", "2", ["selected", "superseded", "source-not-admitted"]),
        "c": ("not-selected", "2", ["source-not-admitted"]),
        "d": ("not-selected", "2", ["needs-not-selected", "source-not-admitted"]),
    }
    (reason,) = next(one.reasons for one in plan.updates if one.name == "c")
    assert reason.message == "c 2 comes from Docker CE:bookworm, not from a source that policy admits"
    assert reason.origin == PLACE
    assert setting


@pytest.mark.parametrize("unexplained", [(), ("zypper did not say what replaces what",)])
def test_a_rename_that_nobody_told_the_second_time_is_no_matter_of_policy(
    unexplained: tuple[str, ...],
) -> None:
    made = (Available("2", ("lab",), security=False),)
    rename = Offer("new", "any", "1", "2", made, replaces=(PackageId("old", "any"),))
    update = Offer("plain", "any", "1", "2", made)
    first = replace(healthy(NOW), offers=(rename, update))
    second = replace(first, offers=(), unexplained=unexplained)
    joined = SourcesAsked(without=("more",)).joined(first, second)
    left_out = {one.name for one in joined.offers if one.versions[0].left_out}
    assert left_out == ({"plain"} if unexplained else {"new", "plain"})
    assert {one.name for one in joined.offers} == left_out


def test_without_sources_everything_counts() -> None:
    plan, _ = planned(WORLD, {})
    assert {name: candidate for name, (_, candidate, _) in fates(plan).items()} == {
        "a": "2", "b": "3", "c": "2", "d": "2", "e": "1",
    }  # fmt: skip


def test_where_none_of_the_sources_is_admitted_nothing_is_planned() -> None:
    plan, _ = planned(WORLD, {"sources": {"only": ["baseos"]}})
    assert plan.transaction == ()
    assert {fate for fate, _, _ in fates(plan).values()} == {"not-selected"}
    (told,) = (one for one in plan.conditions if one.type is ConditionType.NO_SOURCE_ADMITTED)
    assert told.message == (
        f"'sources' ({PLACE}) admits none of the sources of this machine, which are"
        " 'o=Debian,l=Debian,n=bookworm,a=stable',"
        """ 'o=Docker,l="Docker CE, stable",a=bookworm,site=download.docker.com'"""
    )


def test_nothing_is_planned_where_the_manager_takes_what_policy_leaves_out_all_the_same() -> None:
    unknown = replace(SOURCES[1], id="no id that the script knows")
    observation = replace(seen(WORLD), sources=(SOURCES[0], unknown))
    policy = effective({"sources": {"only": ["o=Debian"]}})
    plan = make_plan(observation, policy, converse(WORLD, observation, policy, NOW), NOW)
    assert plan.transaction == ()
    (told,) = (one for one in plan.conditions if one.type is ConditionType.CANNOT_RESOLVE)
    assert told.message == "the package manager takes c, e from a source that it was to do without"


def test_an_operators_minimum_age_counts_beside() -> None:
    plan, _ = planned(WORLD, {"sources": {"only": ["o=Debian"]}, "min_age": {"other": "7d"}})
    assert fates(plan)["b"][::2] == ("too-young", ["min-age"])


@pytest.mark.parametrize(
    ("exception", "expected"),
    [
        ({"action": "hold", "packages": ["*"], "sources": {"only": ["o=Docker"]}}, ("2", "held")),
        ({"action": "hold", "packages": ["*"], "sources": {"except": ["o=Debian"]}}, ("2", "held")),
        ({"action": "block", "packages": ["*"], "sources": {"only": ["o=Docker"]}}, ("2", "blocked")),
        ({"action": "hold", "packages": ["b"], "sources": {"only": ["o=Debian"]}}, ("3", "planned")),
    ],
)
def test_an_exception_may_be_about_the_versions_of_some_sources(
    exception: dict[str, object], expected: tuple[str, str]
) -> None:
    plan, _ = planned(WORLD, {}, exception)
    found = fates(plan)
    assert (found["b"][1], found["c"][0]) == expected


def test_an_exception_includes_what_one_source_has_to_offer() -> None:
    include = {"action": "include", "packages": ["*"], "sources": {"only": ["o=Docker"]}}
    plan, _ = planned(WORLD, {"updates": "none"}, include)
    assert {name: fate for name, (fate, _, _) in fates(plan).items() if fate == "planned"} == {
        "b": "planned", "c": "planned",
    }  # fmt: skip


def test_what_is_included_from_a_source_that_does_not_count_comes_from_no_other() -> None:
    include = {"action": "include", "packages": ["*"], "sources": {"only": ["o=Docker"]}}
    plan, _ = planned(WORLD, {"updates": "none", "sources": {"only": ["o=Debian"]}}, include)
    assert plan.transaction == ()
    found = fates(plan)
    assert found["b"] == ("not-selected", "3", ["source-not-admitted", "updates-none"])
    assert found["c"] == ("not-selected", "2", ["source-not-admitted"])


@pytest.mark.parametrize(
    ("pattern", "name", "release", "expected"),
    [
        ("o=Debian", "x", "o=Debian,n=bookworm", True),
        ("o=Debian,n=book*", "x", "o=Debian,n=bookworm", True),
        ("o=Debian, n=trixie", "x", "o=Debian,n=bookworm", False),
        ('o= Debian , n="bookworm" ', "x", "o=Debian,n=bookworm", True),
        ("o=debian", "x", "o=Debian", False),
        ("n=*", "x", "o=Debian", True),
        ("n=?*", "x", "o=Debian", False),
        ('l="Foo, Inc."', "x", 'l="Foo, Inc.",o=Foo', True),
        ("l=Foo", "x", 'l="Foo,o=Foo"', False),
        ("o=Foo", "x", 'l="Foo,o=Foo"', False),
        ("site=*.example.org", "x", "site=deb.example.org", True),
        ("epel*", "epel-next", "", True),
        ("epel", "epel-next", "", False),
        ("repo oss", "repo oss", "", True),
        ("*", "x", "o=Debian", False),
        ("o=*", "epel", "", False),
    ],
)
def test_a_pattern_names_what_it_says(pattern: str, name: str, release: str, expected: object) -> None:
    assert is_named(pattern, name, release) is expected


def test_sources_of_one_name_are_told_apart_by_their_release() -> None:
    twins = (source("deb.example", "o=A"), replace(source("deb.example", "o=B"), id="other"))
    observation = replace(healthy(NOW), sources=twins)
    policy = effective({"sources": {"except": ["o=B"]}})
    assert SourcesAsked.of(observation, policy.settings).without == ("other",)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"only": ["o=Debian"]}),
        ({}, {"except": ["o=Debian"]}),
        ({"only": ["o=Debian"]}, {}),
        ({"only": ["o=Debian"]}, {"except": ["o=Debian"]}),
        ({"except": ["o=Debian"]}, {}),
    ],
)
def test_offers_seen_under_one_policy_are_those_of_another_as_it_sees_the_sources(
    old: dict[str, object], new: dict[str, object]
) -> None:
    _, before = planned(WORLD, {"sources": old})
    _, after = planned(WORLD, {"sources": new})

    def counting(offers: Iterable[Offer]) -> list[tuple[str, str, str]]:
        newest = ((one, next((each for each in one.versions if not each.left_out), None)) for one in offers)
        return [(one.name, one.candidate, version.version if version else "") for one, version in newest]

    assert counting(offers_under(before, effective({"sources": new}).settings)) == counting(after.offers)


def test_a_version_that_the_operators_pins_forbid_is_no_candidate_of_another_policy() -> None:
    _, before = planned(WORLD, {"sources": {"only": ["o=Debian"]}})
    versions = tuple(Available(version, (STABLE,), security=False) for version in ("4", "2"))
    pinned = replace(
        before, offers=(Offer("b", "amd64", "1", "2", (*versions, replace(versions[1], version="1.5"))),)
    )
    assert [one.candidate for one in offers_under(pinned, effective({}).settings)] == ["2"]
