"""Every update has one fate, and the reasons lead to the policy text behind it."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.planning.facts.observation import (
    VENDOR,
    Answer,
    Available,
    Change,
    Exchange,
    FirstSeen,
    Installed,
    Offer,
    Question,
    Unmet,
)
from reconciler.planning.resolving.dialogue import next_question
from reconciler.planning.resolving.dispositions import ConditionType, Disposition, Plan, Update
from reconciler.planning.resolving.plan import make_plan
from reconciler.policy.load import PolicyFile
from tests.fakes import ARCH, SECURITY, STABLE, Build, PackageWorld, healthy, plan_for
from tests.policies import COMMIT, effective, resolved

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
POLICY = f"policies/main.yaml:1@{COMMIT[:12]}"
EXCEPTION = f"exceptions/e0.yaml:1@{COMMIT[:12]}"

A = (Build("a", "2"),)
NEEDS_B = (Build("a", "2", depends=(("b", "2"),)), Build("b", "2"))
ON_A = {"packages": ["a"]}
ON_B = {"packages": ["b"]}


def update_of(
    builds: tuple[Build, ...],
    settings: Mapping[str, object] | None = None,
    exception: Mapping[str, object] | None = None,
    *,
    name: str = "a",
    held: bool = False,
    installed: dict[str, str] | None = None,
    seen: dict[str, int] | None = None,
) -> Update:
    """Return the update of ``name`` in the plan of a small world; ``seen`` are ages in days by version."""
    machine = PackageWorld(
        builds, installed or {build.name: "1" for build in builds}, frozenset({name} if held else ())
    )
    first_seen = tuple(
        FirstSeen(STABLE, build.name, build.version, NOW - timedelta(days=(seen or {})[build.version]))
        for build in builds
        if build.version in (seen or {})
    )
    policy = effective(settings, exceptions=[exception] if exception else [])
    return found_in(plan_for(machine, policy, NOW, first_seen), name)


def found_in(plan: Plan, name: str) -> Update:
    (update,) = (update for update in plan.updates if update.name == name)
    return update


def short(update: Update) -> tuple[str, str | None, list[str]]:
    return update.disposition, update.candidate, [reason.code for reason in update.reasons]


SEVEN: dict[str, object] = {"min_age": {"other": "7d"}}

TABLE = [
    ("selected", A, {}, None, ("planned", "2", ["selected"])),
    ("hold", A, {}, {**ON_A, "action": "hold"}, ("held", "2", ["exception-hold"])),
    ("block", A, {}, {**ON_A, "action": "block"}, ("blocked", "2", ["exception-block"])),
    (
        "not needed",
        A,
        {},
        {**ON_A, "action": "allow-as-dependency"},
        ("held", "2", ["exception-allow-as-dependency"]),
    ),
    ("security only", A, {"updates": "security"}, None, ("not-selected", "2", ["security-only"])),
    ("no updates", A, {"updates": "none"}, None, ("not-selected", "2", ["updates-none"])),
    (
        "included",
        A,
        {"updates": "security"},
        {**ON_A, "action": "include"},
        ("planned", "2", ["exception-include"]),
    ),
    ("too young", A, SEVEN, None, ("too-young", "2", ["min-age"])),
    ("hold before age", A, SEVEN, {**ON_A, "action": "hold"}, ("held", "2", ["exception-hold", "min-age"])),
    (
        "hold before mode",
        A,
        {"updates": "security"},
        {**ON_A, "action": "hold"},
        ("held", "2", ["exception-hold", "security-only"]),
    ),
    (
        "block before mode",
        A,
        {"updates": "none"},
        {**ON_A, "action": "block"},
        ("blocked", "2", ["exception-block", "updates-none"]),
    ),
    (
        "mode before age",
        A,
        {**SEVEN, "updates": "security"},
        None,
        ("not-selected", "2", ["security-only", "min-age"]),
    ),
    ("phased", (Build("a", "2", phased=10),), {}, None, ("phased", "2", ["phased"])),
    (
        "superseded security fix",
        (Build("a", "3"), Build("a", "2", security=True)),
        {"updates": "security"},
        None,
        ("planned", "2", ["selected", "superseded", "security-only"]),
    ),
    (
        "older version instead of a held one",
        (Build("a", "3"), Build("a", "2")),
        {},
        {**ON_A, "action": "hold", "versions": "= 3"},
        ("planned", "2", ["selected", "superseded", "exception-hold"]),
    ),
    (
        "held security fix",
        (Build("a", "3"), Build("a", "2", security=True)),
        {"updates": "security"},
        {**ON_A, "action": "hold"},
        ("held", "2", ["exception-hold"]),
    ),
    (
        "missing dependency",
        (Build("a", "2", depends=(("b", ""),)),),
        {},
        None,
        ("unavailable", "2", ["kept-back"]),
    ),
    (
        "needs a blocked one",
        NEEDS_B,
        {},
        {**ON_B, "action": "block"},
        ("blocked", "2", ["needs-blocked", "exception-block"]),
    ),
    (
        "needs a held one",
        NEEDS_B,
        {},
        {**ON_B, "action": "hold"},
        ("held", "2", ["needs-held", "exception-hold"]),
    ),
    (
        "expired exceptions are ignored",
        A,
        {},
        {**ON_A, "action": "hold", "expires": "2026-11-21"},
        ("planned", "2", ["selected"]),
    ),
]


@pytest.mark.parametrize(
    ("builds", "settings", "exception", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_fate_of_an_update(
    builds: tuple[Build, ...],
    settings: dict[str, object],
    exception: dict[str, object] | None,
    expected: tuple[str, str, list[str]],
) -> None:
    assert short(update_of(builds, settings, exception)) == expected


def test_the_operators_hold_comes_first_and_is_the_machines_own_doing() -> None:
    update = update_of(A, exception={**ON_A, "action": "hold"}, held=True)
    assert short(update) == ("held", "2", ["operator-hold", "exception-hold"])
    assert [reason.origin for reason in update.reasons] == ["", EXCEPTION]


def test_an_update_that_needs_a_young_one_says_which_and_until_when() -> None:
    builds = (Build("a", "2", depends=(("b", "3"),)), Build("b", "3"))
    update = update_of(builds, SEVEN, seen={"2": 8})
    assert short(update) == ("too-young", "2", ["needs-too-young", "min-age"])
    assert "needs b" in update.reasons[0].message
    assert "2026-11-29T09:00:00Z" in update.reasons[1].message
    assert {reason.origin for reason in update.reasons} == {POLICY}


def test_a_version_that_cannot_be_installed_is_not_blamed_on_the_age_of_another() -> None:
    builds = (Build("a", "3"), Build("a", "2", depends=(("gone", ""),)))
    update = update_of(builds, SEVEN, seen={"2": 8})
    assert short(update) == ("unavailable", "2", ["kept-back", "min-age"])
    assert update.reasons[0].message == "2 cannot be installed: a 2 needs gone"


def test_an_installed_package_that_cannot_live_with_an_update_is_named() -> None:
    """The security service's version of one half of a pair, while the pair itself is too young."""
    builds = (
        Build("pair", "1", depends=(("data", ""),)),
        Build("pair", "2", depends=(("data", "2"),)),
        Build("other", "2"),
    )
    machine = PackageWorld(
        (*builds, Build("data", "1.1", security=True)), dict.fromkeys(("pair", "data"), "1")
    )
    policy = effective(SEVEN, exceptions=[{"packages": ["other"], "action": "hold"}])
    observation = machine.observe(NOW)
    exchanges: list[Exchange] = []
    while (question := next_question(observation, policy, exchanges, NOW)) is not None:
        only = question.only == ("data", "1.1")
        gone = Change("remove", "pair", ARCH, "1", None, by=("data",))
        move = Change("upgrade", "data", ARCH, "1", "1.1", SECURITY, security=True)
        unmet = Unmet("pair", "1", "Depends", "data (= 1)")
        exchanges.append(Exchange(question, Answer((gone, move), unmet=(unmet,)) if only else Answer(())))
    update = found_in(make_plan(observation, policy, exchanges, NOW), "data")
    assert short(update) == ("unavailable", "1.1", ["kept-back"])
    assert update.reasons[0].message == "1.1 cannot be installed: pair 1 needs data (= 1)"


def test_a_package_that_takes_the_place_of_another_says_which_mode_keeps_it_back() -> None:
    builds = (Build("a", "2", conflicts=("old",), replaces=("old",), security=True),)
    installed = {"a": "1", "old": "1"}
    for settings, why in [
        ({}, "'upgrade: safe' never removes"),
        ({"updates": "security"}, "'updates: security' never removes"),
    ]:
        update = update_of(builds, settings, installed=installed)
        assert short(update) == ("unavailable", "2", ["kept-back"])
        assert update.reasons[0].message == f"2 replaces old, which {why}"
    taken = update_of(builds, {"upgrade": "full"}, name="old", installed=installed)
    assert short(taken) == ("planned", None, ["replaced"])
    assert taken.reasons[0].message == "its place is taken by a"


def test_two_victims_of_two_updates_are_not_mixed_up() -> None:
    builds = (Build("a", "2", conflicts=("x",)), Build("b", "2", conflicts=("y",)))
    installed = {"a": "1", "b": "1", "x": "1", "y": "1"}
    for settings in ({}, {"upgrade": "full"}):
        for name, victim in (("a", "x"), ("b", "y")):
            update = update_of(builds, settings, name=name, installed=installed)
            assert update.reasons[0].message == f"2 comes only with the removal of {victim}"


def test_a_victim_that_is_held_says_by_what() -> None:
    builds = (Build("a", "2", conflicts=("b",)), Build("b", "2"))
    settings = {"upgrade": "full", "removals": "allow"}
    update = update_of(builds, settings, {**ON_B, "action": "hold"})
    assert short(update) == ("removal-refused", "2", ["would-remove", "exception-hold"])
    assert {reason.origin for reason in update.reasons} == {EXCEPTION}


def test_an_update_that_needs_what_the_operator_holds_says_so() -> None:
    machine = PackageWorld(NEEDS_B, {"a": "1", "b": "1"}, frozenset({"b"}))
    update = found_in(plan_for(machine, effective(), NOW), "a")
    assert short(update) == ("held", "2", ["needs-held", "operator-hold"])
    # What is on offer would not do, so the hold is not the reason.
    needs_three = (Build("a", "2", depends=(("b", "3"),)), Build("b", "2"))
    machine = PackageWorld(needs_three, {"a": "1", "b": "1"}, frozenset({"b"}))
    assert short(found_in(plan_for(machine, effective(), NOW), "a"))[2] == ["kept-back"]


def test_an_update_that_needs_a_phased_one_says_so() -> None:
    builds = (Build("a", "2", depends=(("b", "2"),)), Build("b", "2", phased=10))
    machine = PackageWorld(builds, {"a": "1", "b": "1"})
    observation, policy = machine.observe(NOW), effective()
    both = machine.answer(Question(only=("a", "2")))
    exchanges = [
        Exchange(Question(), Answer((), ("a", "b"), exit_code=10)),
        Exchange(Question(mode="full", only=("a", "2")), both),
    ]
    update = found_in(make_plan(observation, policy, exchanges, NOW), "a")
    assert short(update) == ("phased", "2", ["needs-phased", "phased"])


def test_an_update_that_the_manager_leaves_out_without_need_is_said_to_be_so() -> None:
    machine = PackageWorld(A, {"a": "1"})
    exchanges = [
        Exchange(Question(), Answer((), ("a",), exit_code=10)),
        Exchange(Question(mode="full", only=("a", "2")), machine.answer(Question(only=("a", "2")))),
    ]
    update = found_in(make_plan(machine.observe(NOW), effective(), exchanges, NOW), "a")
    assert update.reasons[0].message == (
        "the package manager keeps it back and does not say why; by itself, 2 can be installed"
    )


@pytest.mark.parametrize(
    ("alone", "words"),
    [
        (
            Answer(
                (Change("upgrade", "a", ARCH, "1", "2"),),
                unmet=(Unmet("a", "2", VENDOR, "packman instead of lab"),),
            ),
            (
                "2 comes only from vendor packman instead of lab, and an upgrade changes no vendor;"
                " it does where somebody installs a 2 by hand"
            ),
        ),
        (
            Answer((), exit_code=1, message="section [resolve] of --dry-run does not parse"),
            (
                "the package manager leaves it out and does not say why;"
                " asking about 2 alone failed: section [resolve] of --dry-run does not parse"
            ),
        ),
    ],
)
def test_why_an_update_is_left_out_is_told_as_far_as_it_can_be_asked(alone: Answer, words: str) -> None:
    machine = PackageWorld(A, {"a": "1"})
    exchanges = [
        Exchange(Question(), Answer((), exit_code=10)),
        Exchange(Question(mode="full", only=("a", "2")), alone),
    ]
    update = found_in(make_plan(machine.observe(NOW), effective(), exchanges, NOW), "a")
    assert update.reasons[0].message == words


def test_of_several_blocked_packages_the_needed_one_is_named() -> None:
    builds = (*NEEDS_B, Build("c", "2"), Build("d", "2"))
    update = update_of(builds, exception={"packages": ["b", "c", "d"], "action": "block"})
    assert update.reasons[0].message == "2 needs b, which must not be installed or updated"


def test_of_many_held_packages_only_the_needed_ones_are_named() -> None:
    others = tuple(Build(f"x{number}", "2") for number in range(9))
    update = update_of((*NEEDS_B, *others), exception={"packages": ["x*", "b"], "action": "hold"})
    assert [reason.message.split(" until")[0] for reason in update.reasons] == [
        "2 needs b, which must not be installed or updated",
        "exception 'e0' holds back b 2",
    ]
    builds = (Build("a", "2", depends=(("x3", "2"), ("x7", "2"))), *others)
    update = update_of(builds, exception={"packages": ["x*"], "action": "hold"})
    assert update.reasons[0].message == "2 needs x3, x7, which must not be installed or updated"


def test_an_update_that_would_remove_others_names_them() -> None:
    builds = (Build("a", "2", conflicts=("victim",)),)
    installed = {"a": "1", "victim": "1"}
    for settings, origin in [
        ({}, ""),
        ({"upgrade": "full"}, ""),
        ({"upgrade": "full", "removals": "forbid"}, POLICY),
        ({"upgrade": "safe", "removals": "allow"}, POLICY),
    ]:
        update = update_of(builds, settings, installed=installed)
        assert short(update) == ("removal-refused", "2", ["would-remove"])
        assert update.reasons[0].message == "2 comes only with the removal of victim"
        assert update.reasons[0].origin == origin


class Reluctant(PackageWorld):
    """A manager whose full upgrade takes nothing that costs another package."""

    def answer(self, question: Question) -> Answer:
        return super().answer(question if question.only else replace(question, mode="safe"))


def test_where_policy_allows_a_removal_and_the_manager_makes_none_it_is_the_managers_doing() -> None:
    machine = Reluctant((Build("a", "2", conflicts=("victim",)),), {"a": "1", "victim": "1"})
    for removals in ("allow", "forbid"):
        plan = plan_for(machine, effective({"upgrade": "full", "removals": removals}), NOW)
        update = found_in(plan, "a")
        if removals == "allow":
            assert short(update) == ("unavailable", "2", ["kept-back"])
            assert update.reasons[0].origin == ""
            assert update.reasons[0].message == (
                "2 comes only with the removal of victim, which policy allows and the package manager's full"
                " upgrade does not do"
            )
        else:
            assert short(update) == ("removal-refused", "2", ["would-remove"])


def test_a_removal_that_policy_allows_is_an_update_without_candidate() -> None:
    builds = (Build("a", "2", conflicts=("victim",)),)
    settings: dict[str, object] = {"upgrade": "full", "removals": "allow"}
    update = update_of(builds, settings, name="victim", installed={"a": "1", "victim": "1"})
    assert short(update) == ("planned", None, ["removal-allowed"])
    assert (update.installed, update.reasons[0].origin) == ("1", POLICY)
    assert update.reasons[0].message == "it makes way for a, and policy allows that"


def test_a_new_package_says_who_needs_it() -> None:
    builds = (Build("a", "2", depends=(("lib", ""),)), Build("lib", "5"))
    update = update_of(builds, name="lib", installed={"a": "1"})
    assert short(update) == ("planned", "5", ["new-dependency"])
    assert update.installed is None
    assert update.reasons[0].message == "it comes in new, needed by a"


def test_an_update_that_a_security_update_needs_says_so() -> None:
    builds = (Build("a", "2", depends=(("b", "2"),), security=True), Build("b", "2"))
    update = update_of(builds, {"updates": "security"}, name="b")
    assert short(update) == ("planned", "2", ["dependency", "security-only"])
    assert update.reasons[0].message == "it is updated since a needs it"


def test_a_permitted_dependency_that_is_needed_says_so() -> None:
    update = update_of(NEEDS_B, exception={**ON_B, "action": "allow-as-dependency"}, name="b")
    assert short(update) == ("planned", "2", ["exception-allow-as-dependency"])
    assert update.reasons[0].origin == EXCEPTION


def test_security_tells_whether_a_fix_is_pending_even_if_a_later_version_supersedes_it() -> None:
    builds = (Build("a", "3"), Build("a", "2", security=True))
    assert update_of(builds).security
    assert not update_of(
        (Build("a", "3", security=True), Build("a", "2")),
        {},
        {**ON_A, "action": "hold", "versions": ">= 3"},
    ).security
    assert not update_of((Build("a", "2"),)).security


def test_an_exceptions_words_reach_the_reader() -> None:
    exception = {**ON_A, "action": "hold", "reason": "HTTP/2 regression", "ticket": "CHG-1234"}
    assert update_of(A, exception=exception).reasons[0].message == (
        "exception 'e0' holds back a 2 until 2027-07-01T00:00:00Z (HTTP/2 regression, CHG-1234)"
    )


def test_origins_are_the_lines_of_the_policy_repository() -> None:
    text = b"kind: Policy\nname: main\nmin_age:\n  security: 0d\n  other: 7d\nremovals: forbid\n"
    policy = resolved([PolicyFile("policies/main.yaml", "100644", text)])
    machine = PackageWorld(A, {"a": "1"})
    (reason,) = found_in(plan_for(machine, policy, NOW), "a").reasons
    assert reason.origin == f"policies/main.yaml:5@{COMMIT[:12]}"


def test_several_exceptions_on_one_package_are_all_told_in_the_order_of_their_names() -> None:
    policy = effective(exceptions=[{**ON_A, "action": "hold"}, {"packages": ["*"], "action": "hold"}])
    update = found_in(plan_for(PackageWorld(A, {"a": "1"}), policy, NOW), "a")
    assert [reason.origin[:18] for reason in update.reasons] == ["exceptions/e0.yaml", "exceptions/e1.yaml"]


ROOT = Path(__file__).parents[2]


def first_column(title: str) -> set[str]:
    """Return the first column of a table of the reference."""
    text = (ROOT / "docs/reference/dispositions.md").read_text(encoding="utf-8")
    section = text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))


def written_in(pattern: str, *modules: str) -> set[str]:
    texts = [
        (ROOT / "reconciler/planning/resolving" / module).read_text(encoding="utf-8") for module in modules
    ]
    return {word for text in texts for word in re.findall(pattern, text)}


def test_the_reference_lists_every_disposition_code_and_condition() -> None:
    codes = written_in(r'Reason\(\s*"([a-z-]+)"', "reasons.py", "plan.py", "unneeded_words.py")
    needs = {f"needs-{fate}" for fate in ("blocked", "held", "not-selected", "too-young")}
    assert first_column("Reason codes") == codes | needs
    assert first_column("Dispositions") == set(Disposition)
    told = ("conditions.py", "unneeded_words.py", "boot.py")
    found = written_in(r"Condition\(\s*ConditionType\.([A-Z_]+)", *told)
    assert first_column("Conditions") == {ConditionType[name] for name in found}


def test_an_update_that_its_other_architecture_keeps_back_says_so() -> None:
    arches = ("amd64", "i386")
    version = Available("2", (STABLE,), security=False)
    observation = replace(
        healthy(NOW),
        installed=tuple(Installed("twin", arch, "1") for arch in arches),
        offers=tuple(Offer("twin", arch, "1", "2", (version,)) for arch in arches),
    )
    policy = effective({}, exceptions=[{"packages": ["twin:i386"], "action": "hold"}])
    both = tuple(Change("upgrade", "twin", arch, "1", "2", STABLE) for arch in arches)
    exchanges: list[Exchange] = []
    while (question := next_question(observation, policy, exchanges, NOW)) is not None:
        exchanges.append(Exchange(question, Answer(() if question.only is None else both)))
    assert exchanges[0].question.exclude == ("twin:i386",)
    updates = make_plan(observation, policy, exchanges, NOW).updates
    assert {update.arch: [reason.code for reason in update.reasons] for update in updates} == {
        "amd64": ["needs-held", "exception-hold"],
        "i386": ["exception-hold"],
    }
    assert updates[0].reasons[0].message == ("2 needs twin:i386, which must not be installed or updated")
