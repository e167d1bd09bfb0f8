"""``severity`` and ``kinds``: which updates count by what their advisories say."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.planning.facts.observation import AdvisoryKind, Available, Offer, Severity
from reconciler.planning.resolving.dispositions import Disposition, Plan
from reconciler.planning.resolving.mode import left_out_by, without_effect
from reconciler.planning.resolving.plan import make_plan, security_only
from reconciler.policy.load import PolicyFile
from reconciler.policy.managers import MANAGERS, traits_of
from reconciler.policy.resolve import Effective
from tests.fakes import Build, PackageWorld, converse
from tests.policies import effective, resolved

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
SEVERE: dict[str, object] = {"updates": "security", "severity": "important"}
FIXES: dict[str, object] = {"kinds": ["security", "bugfix"]}
WANTED = "and policy wants security or bugfix"


def available(
    severity: Severity = "", *kinds: AdvisoryKind, security: bool = True, unrated: bool = False
) -> Available:
    return Available("2", ("lab",), security, severity=severity, is_unrated=unrated, kinds=kinds)


def advised(
    world: PackageWorld, wanted: Effective, said: Mapping[str, Available], manager: str = "dnf"
) -> Plan:
    """Plan for a machine whose manager tells of some packages what advisories say."""

    def of(offer: Offer) -> Offer:
        one = said.get(offer.name)
        if one is None:
            return offer
        versions = (
            replace(each, severity=one.severity, is_unrated=one.is_unrated, kinds=one.kinds)
            for each in offer.versions
        )
        return replace(offer, versions=tuple(versions))

    observation = world.observe(NOW)
    observation = replace(observation, manager=manager, offers=tuple(map(of, observation.offers)))
    return make_plan(observation, wanted, converse(world, observation, wanted, NOW), NOW)


def moved(plan: Plan) -> list[str]:
    return [one.name for one in plan.transaction]


NAMES = ("critical", "important", "moderate", "low", "silent", "mixed")
SEVERITIES: dict[str, Available] = {
    "critical": available("critical"),
    "important": available("important"),
    "moderate": available("moderate"),
    "low": available("low"),
    "silent": available(),
    "mixed": available("low", unrated=True),
}
SERVICE = PackageWorld(
    (*(Build(name, "2", security=True) for name in NAMES), Build("plain", "2")),
    dict.fromkeys((*NAMES, "plain"), "1"),
)


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        ("critical", {"critical", "silent", "mixed"}),
        ("important", {"critical", "important", "silent", "mixed"}),
        ("moderate", {"critical", "important", "moderate", "silent", "mixed"}),
        ("low", set(NAMES)),
    ],
)
def test_what_is_as_severe_comes_and_what_tells_no_severity(severity: str, expected: set[str]) -> None:
    wanted = effective({"updates": "security", "severity": severity})
    assert set(moved(advised(SERVICE, wanted, SEVERITIES))) == expected


def test_what_is_milder_says_so_with_the_line_of_policy() -> None:
    plan = advised(SERVICE, effective(SEVERE), SEVERITIES)
    told = {one.name: one for one in plan.updates}
    assert told["moderate"].disposition is Disposition.NOT_SELECTED
    (reason,) = told["moderate"].reasons
    assert (reason.code, reason.message) == (
        "severity",
        "moderate 2 is left out: its advisories are moderate at most, and policy wants important",
    )
    assert reason.origin.startswith("policies/main.yaml:1@")
    assert [one.message for name in ("critical", "silent") for one in told[name].reasons] == [
        "the security service offers it, and its advisories are critical",
        "the security service offers it, and an advisory of it does not say how severe it is",
    ]
    assert told["plain"].reasons[0].code == "security-only"


def test_what_is_milder_comes_where_an_update_that_counts_needs_it() -> None:
    builds = (
        Build("app", "2", depends=(("lib", "2"),), security=True),
        Build("lib", "2", security=True),
        Build("other", "2", security=True),
    )
    world = PackageWorld(builds, dict.fromkeys(("app", "lib", "other"), "1"))
    said = {"app": available("critical"), "lib": available("low"), "other": available("low")}
    plan = advised(world, effective(SEVERE), said)
    assert set(moved(plan)) == {"app", "lib"}
    (lib,) = (one for one in plan.updates if one.name == "lib")
    assert [one.code for one in lib.reasons] == ["dependency", "severity"]


def test_an_exception_includes_what_is_milder_or_of_another_kind() -> None:
    include = [{"packages": ["moderate", "plain"], "action": "include"}]
    plan = advised(SERVICE, effective(SEVERE, exceptions=include), SEVERITIES)
    assert {"moderate", "plain"} <= set(moved(plan))
    assert "low" not in moved(plan)
    plan = advised(SERVICE, effective({"kinds": "bugfix"}, exceptions=include), {})
    assert moved(plan) == ["moderate", "plain"]


def test_the_security_plan_of_a_freeze_keeps_the_severity_and_not_the_kinds() -> None:
    frozen = security_only(effective({"updates": "security", "severity": "critical"}))
    assert set(moved(advised(SERVICE, frozen, SEVERITIES))) == {"critical", "silent", "mixed"}
    frozen = security_only(effective({"kinds": ["bugfix", "security"]}))
    assert set(moved(advised(SERVICE, frozen, SEVERITIES))) == set(NAMES)
    # A freeze widens nothing: what is not wanted without it is not let through.
    frozen = security_only(effective({"kinds": "bugfix"}))
    assert moved(advised(SERVICE, frozen, SEVERITIES)) == []


SHELF = PackageWorld(
    tuple(Build(name, "2", security=name == "secure") for name in ("secure", "mended", "better", "bare")),
    dict.fromkeys(("secure", "mended", "better", "bare"), "1"),
)
SHELVED = {
    "secure": available("low", "security"),
    "mended": available("", "bugfix", security=False),
    "better": available("", "newpackage", security=False),
}


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["security", "bugfix"], {"secure", "mended"}),
        ("security", {"secure"}),
        (["recommended"], {"mended"}),  # zypper's word for it
        (["enhancement"], {"better"}),
        (["optional", "bugfix"], {"better", "mended"}),
        ([], {"secure", "mended", "better", "bare"}),
    ],
)
def test_what_is_of_a_wanted_kind_comes(kinds: object, expected: set[str]) -> None:
    assert set(moved(advised(SHELF, effective({"kinds": kinds}), SHELVED))) == expected


def test_what_is_of_another_kind_says_so() -> None:
    plan = advised(SHELF, effective(FIXES), SHELVED)
    told = {one.name: one.reasons[0] for one in plan.updates}
    assert {name: (one.code, one.message) for name, one in told.items()} == {
        "secure": ("selected", "its advisories are of kind security"),
        "mended": ("selected", "its advisories are of kind bugfix"),
        "better": ("kinds", f"better 2 is left out: its advisories are of kind newpackage, {WANTED}"),
        "bare": ("kinds", f"bare 2 is left out: it has no advisory, {WANTED}"),
    }


def test_apt_tells_security_updates_alone_and_the_host_says_what_that_means() -> None:
    assert moved(advised(SHELF, effective(FIXES), {}, "apt")) == ["secure"]
    assert moved(advised(SHELF, effective({"kinds": "bugfix"}), {}, "apt")) == []
    assert moved(advised(SERVICE, effective(SEVERE), {}, "apt")) == sorted(NAMES)
    apt = traits_of("apt")
    assert without_effect(effective(SEVERE), apt) == (
        "apt does not say how severe a security update is, so severity: important has no effect, and every"
        " security update is wanted"
    )
    assert without_effect(effective(FIXES), apt) == (
        "apt does not say of what kind an update is, so with kinds: security, bugfix only security updates"
        " are wanted here"
    )
    assert without_effect(effective({"kinds": "bugfix"}), apt).endswith("nothing is wanted here")
    for manager in MANAGERS:
        assert without_effect(effective({}), manager) == ""
        assert (without_effect(effective(FIXES), manager) == "") is manager.tells_kinds


def test_pacman_knows_no_part_of_an_upgrade_and_takes_nothing() -> None:
    plan = advised(SHELF, effective(FIXES), {}, "pacman")
    assert moved(plan) == []
    assert [one.reasons[0].message for one in plan.updates if one.name == "bare"] == [
        f"bare 2 is left out: the package manager does not say of what kind it is, {WANTED}"
    ]
    assert without_effect(effective(FIXES), traits_of("pacman")).endswith("nothing is wanted here")


def test_a_stronger_policy_lifts_what_a_weaker_one_says() -> None:
    weak = b"kind: Policy\nname: weak\nseverity: critical\nkinds: [security]\n"
    strong = b"kind: Policy\nname: strong\npriority: 9\nseverity: low\nkinds: []\n"
    files = [PolicyFile("policies/a.yaml", "100644", weak), PolicyFile("policies/b.yaml", "100644", strong)]
    assert (resolved(files).settings.severity, resolved(files).settings.kinds) == ("low", ())
    assert (resolved(files[:1]).settings.severity, resolved(files[:1]).settings.kinds) == (
        "critical",
        ("security",),
    )


def test_a_setting_without_effect_beside_another_one_says_so() -> None:
    wanted = effective(FIXES)
    other = replace(wanted, settings=wanted.settings.model_copy(update={"updates": "security"}))
    assert left_out_by(available("low"), other.settings) is None
    assert without_effect(other, traits_of("dnf")) == (
        "kinds: security, bugfix chooses among all updates, and has no effect with updates: security"
    )
    wanted = effective({"severity": "critical"})
    assert left_out_by(available("low"), wanted.settings) is None
    assert without_effect(wanted, traits_of("dnf")) == (
        "severity: critical chooses among security updates, and has no effect with updates: all"
    )
