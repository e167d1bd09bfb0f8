"""What becomes of updates under another policy: exact lines are the truth, estimated ones name their rule.

The truth is a machine that is asked anew under the head.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.observation import Exchange, FirstSeen, Quarantined, Source
from reconciler.planning.gates.recording import Recording, record
from reconciler.planning.impact.effect import LetThrough, Rule, UpdateChange, UpdatesEffect
from reconciler.planning.impact.updates import asks_of_plans, by_recording
from reconciler.planning.resolving.dialogue import unrestricted
from reconciler.planning.resolving.dispositions import Disposition, Plan
from reconciler.planning.resolving.plan import make_plan
from reconciler.planning.resolving.sources import SourcesAsked
from reconciler.policy.documents import Freeze
from reconciler.policy.resolve import Effective
from tests.examples import examples
from tests.fakes import Build, PackageWorld, converse
from tests.planning.test_properties import evidence, exceptions, policies, worlds
from tests.policies import effective
from tests.report_samples import FACTS, INPUTS

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
BEFORE, AFTER = "a" * 40, "b" * 40

ARCHIVE = (
    Build("bash", "2"),
    Build("curl", "2", security=True),
    Build("editor", "2", depends=(("editor-data", "2"),)),
    Build("editor-data", "2"),
    Build("libssl", "2", security=True),
    Build("nginx", "2", depends=(("libssl", "2"),)),
    Build("nginx", "1.5"),
    Build("old", "2", conflicts=("older",)),
    Build("php", "2", depends=(("phone-home", ""),)),
    Build("phone-home", "1"),
)
INSTALLED = dict.fromkeys(
    ("bash", "curl", "editor", "editor-data", "libssl", "nginx", "old", "older", "php"), "1"
)
WORLD = PackageWorld(ARCHIVE, INSTALLED)
SEEN = tuple(
    FirstSeen(
        build.origin, build.name, build.version, NOW - timedelta(days=3 if build.name == "bash" else 20)
    )
    for build in ARCHIVE
)


@dataclass(frozen=True)
class Side:
    """A policy of the tests: settings, exceptions, approvals."""

    settings: Mapping[str, object]
    exceptions: Sequence[Mapping[str, object]] = ()
    approvals: Sequence[Mapping[str, object]] = ()

    def effective(self, commit: str) -> Effective:
        made = effective(self.settings, exceptions=self.exceptions, approvals=self.approvals)
        return replace(made, commit=commit)


def recorded(side: Side, world: PackageWorld = WORLD, first_seen: tuple[FirstSeen, ...] = SEEN) -> Recording:
    """Return what a host of this policy would have recorded."""
    seen, policy = world.observe(NOW, first_seen), side.effective(BEFORE)
    exchanges = converse(world, seen, policy, NOW)
    asked = unrestricted(seen, policy, exchanges, NOW)
    recording = record(seen, exchanges, INPUTS, FACTS, program="patchledger 1", now=NOW)
    free = tuple(Exchange(question, world.answer(question)) for question in asked)
    return replace(recording, unrestricted=free)


def truth(
    side: Side, commit: str, world: PackageWorld = WORLD, first_seen: tuple[FirstSeen, ...] = SEEN
) -> Plan:
    """Return the plan of a host that is asked anew."""
    seen, policy = world.observe(NOW, first_seen), side.effective(commit)
    return make_plan(seen, policy, converse(world, seen, policy, NOW), NOW)


def fates(plan: Plan) -> dict[str, tuple[Disposition, str | None]]:
    return {one.name: (one.disposition, one.candidate) for one in plan.updates}


def fate(plan: dict[str, tuple[Disposition, str | None]], name: str) -> Disposition | None:
    return plan[name][0] if name in plan else None


def told(before: Side, after: Side, world: PackageWorld = WORLD) -> UpdatesEffect:
    return by_recording(recorded(before, world), before.effective(BEFORE), after.effective(AFTER), NOW)


def line(effect: UpdatesEffect, name: str) -> UpdateChange:
    return next(one for one in effect.changes if one.name == name)


def hold(*names: str, **more: object) -> Mapping[str, object]:
    return {"packages": list(names), "action": "hold", **more}


INCLUDED = {"packages": ["bash", "editor*"], "action": "include"}
ALL = Side({})
SECURITY = Side({"updates": "security"})
WEEK = Side({"min_age": {"other": "7d"}})
STATE = Side({"as_of": "2026-11-18"})
EDITS = {
    "nothing": (ALL, ALL),
    "no updates": (ALL, Side({"updates": "none"})),
    "updates again": (Side({"updates": "none"}), ALL),
    "security only": (ALL, SECURITY),
    "no longer security only": (SECURITY, ALL),
    "a hold of what stands alone": (ALL, Side({}, [hold("bash")])),
    "a hold of what is needed": (ALL, Side({}, [hold("libssl")])),
    "a hold of what needs others": (ALL, Side({}, [hold("editor")])),
    "a hold by a pattern": (ALL, Side({}, [hold("editor*")])),
    "a hold of a version": (ALL, Side({}, [hold("nginx", versions=">= 2")])),
    "a hold of nothing offered": (ALL, Side({}, [hold("zsh")])),
    "a hold lifted": (Side({}, [hold("bash")]), ALL),
    "a hold of what is needed lifted": (Side({}, [hold("libssl")]), ALL),
    "one of two holds lifted": (Side({}, [hold("bash"), hold("libssl")]), Side({}, [hold("bash")])),
    "a block of what comes in new": (ALL, Side({}, [{"packages": ["phone-home"], "action": "block"}])),
    "a block lifted": (Side({}, [{"packages": ["phone-home"], "action": "block"}]), ALL),
    "only as a dependency": (ALL, Side({}, [{"packages": ["libssl"], "action": "allow-as-dependency"}])),
    "included beside security": (
        SECURITY,
        Side({"updates": "security"}, [{"packages": ["bash"], "action": "include"}]),
    ),
    "an age that keeps one out": (ALL, WEEK),
    "the state of a day": (ALL, STATE),
    "the state of a later day": (STATE, Side({"as_of": "2026-11-30"})),
    "no state any more": (STATE, ALL),
    "security by kinds": (ALL, Side({"kinds": "security"})),
    "no kinds any more": (Side({"kinds": "security"}), ALL),
    "a shorter age": (WEEK, ALL),
    "a shorter age beside another hold": (
        Side({"min_age": {"other": "7d"}}, [hold("curl")]),
        Side({"min_age": {"other": "1d"}}, [hold("editor")]),
    ),
    "a longer age that keeps all out": (ALL, Side({"min_age": {"other": "30d", "security": "30d"}})),
    "removals": (ALL, Side({"removals": "allow", "upgrade": "full"})),
    "an approval": (ALL, Side({"approval": "required"})),
    "security and a hold": (ALL, Side({"updates": "security"}, [hold("curl")])),
    "a hold beside what is included": (
        Side({"updates": "none"}, [INCLUDED]),
        Side({"updates": "none"}, [INCLUDED, hold("bash")]),
    ),
    "a hold beside what is included lifted": (
        Side({"updates": "none"}, [INCLUDED, hold("bash")]),
        Side({"updates": "none"}, [INCLUDED]),
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_exact_lines_are_what_a_host_would_plan_and_estimates_name_their_rule(name: str) -> None:
    before, after = EDITS[name]
    was, will = fates(truth(before, BEFORE)), fates(truth(after, AFTER))
    effect = told(before, after)
    lines = {one.name: one for one in effect.changes}
    for one in effect.changes:
        if one.estimated is None:
            assert (one.before, one.after) == (fate(was, one.name), fate(will, one.name))
    if effect.basis == "exact":
        assert {
            one for one in {**was, **will} if was.get(one, ())[:1] != will.get(one, ())[:1]
        } <= lines.keys()
        assert not effect.rules
    else:
        assert effect.rules


def test_estimates_hold_in_nine_of_ten_lines_of_these_edits() -> None:
    right: list[str] = []
    wrong: list[str] = []
    for name, (before, after) in EDITS.items():
        was, will = truth(before, BEFORE), truth(after, AFTER)
        effect = told(before, after)
        lines = {one.name: one.after for one in effect.changes}
        if effect.basis == "exact":
            continue
        for package in {*fates(was), *fates(will)}:
            then, now = fates(was).get(package), fates(will).get(package)
            truly = None if now is None else now[0]
            guessed = lines.get(package, None if then is None else then[0])
            moves = {truly is Disposition.PLANNED, guessed is Disposition.PLANNED}
            (right if len(moves) == 1 else wrong).append(f"{name}: {package} {guessed}, truly {truly}")
    assert len(right) >= 9 * len(wrong), wrong


@pytest.mark.parametrize(
    ("name", "package", "change", "rule"),
    [
        ("a hold of what stands alone", "bash", "waits", None),
        ("a hold of what is needed", "libssl", "waits", None),
        ("a hold of what is needed", "nginx", "goes", Rule.HOLD_ADDED),
        ("a hold of what needs others", "editor", "waits", None),
        # What would move without any hold was asked beside the plan, so that this is known.
        ("a hold lifted", "bash", "comes", None),
        ("a hold of what is needed lifted", "nginx", "comes", None),
        ("one of two holds lifted", "libssl", "comes", Rule.HOLD_LIFTED),
        ("one of two holds lifted", "nginx", "comes", Rule.HOLD_LIFTED),
        ("a block of what comes in new", "php", "goes", Rule.HOLD_ADDED),
        ("security only", "bash", "goes", Rule.SECURITY),
        ("no updates", "curl", "goes", None),
        ("an age that keeps one out", "bash", "waits", None),
        ("a shorter age", "bash", "comes", None),
        ("a shorter age beside another hold", "bash", "comes", Rule.MIN_AGE),
        ("an approval", "curl", "waits", None),
        ("included beside security", "bash", "comes", Rule.HOLD_LIFTED),
    ],
)
def test_a_line_says_what_happens_and_how_that_is_known(
    name: str, package: str, change: str, rule: Rule | None
) -> None:
    found = line(told(*EDITS[name]), package)
    assert (found.change, found.estimated) == (change, rule)
    assert found.reason


@pytest.mark.parametrize("lifted", ["", " lifted"])
def test_where_no_updates_are_wanted_nothing_comes_but_what_is_included(lifted: str) -> None:
    """The recorded answer is about security updates, and holds those that nobody wants."""
    effect = told(*EDITS[f"a hold beside what is included{lifted}"])
    assert [(one.name, one.change) for one in effect.changes] == [("bash", "comes" if lifted else "waits")]


FREEZE = {
    "kind": "Freeze",
    "name": "quiet",
    "from": "2026-11-20",
    "until": "2026-12-01",
    "timezone": "UTC",
    "reason": "quiet",
    "allow": "security",
}


def frozen(side: Side, commit: str) -> Effective:
    """Return the policy beside a freeze that holds, and lets security updates pass."""
    placed = Freeze.model_validate(FREEZE)
    return replace(side.effective(commit), frozen=(placed.compiled(),))


@pytest.mark.parametrize(
    ("before", "passing"),
    [
        # What security updates alone would be, nobody asked: what would move is told, and marked.
        (ALL, LetThrough(("curl:amd64", "libssl:amd64"), Rule.SECURITY)),
        (SECURITY, LetThrough(("curl:amd64", "libssl:amd64"), None)),
    ],
)
def test_what_a_freeze_lets_through_is_told_and_never_silently_nothing(
    before: Side, passing: LetThrough
) -> None:
    old, new = before.effective(BEFORE), frozen(before, AFTER)
    assert asks_of_plans(old, new, NOW)
    effect = by_recording(recorded(before), old, new, NOW)
    assert effect.passing == passing
    assert effect.changes == ()
    assert by_recording(recorded(before), frozen(before, BEFORE), new, NOW).passing is None


def test_what_a_source_has_comes_where_that_counts_again() -> None:
    world = PackageWorld(
        (Build("bash", "2"), Build("curl", "2", source="Other:1")), {"bash": "1", "curl": "1"}
    )
    source = Source("Other:1", "http://x.example", NOW, None, NOW)
    without = Side({"sources": {"except": ["Other:*"]}})
    policy = without.effective(BEFORE)
    first = world.observe(NOW, ())
    first = replace(first, sources=(*first.sources, source))
    again = replace(world.counting(["Other:1"]).observe(NOW, ()), sources=first.sources)
    seen = SourcesAsked.of(first, policy.settings).joined(first, again)
    exchanges = converse(world, seen, policy, NOW)
    recording = record(seen, exchanges, INPUTS, FACTS, program="patchledger 1", now=NOW)
    found = by_recording(recording, policy, ALL.effective(AFTER), NOW)
    comes = line(found, "curl")
    assert (comes.change, comes.before, comes.after) == ("comes", "not-selected", "planned")
    assert [one.name for one in found.changes] == ["curl"]


KERNELS = ("linux-image-5.10.0-1-amd64", "linux-image-5.10.0-2-amd64")
WITH_KERNELS = replace(
    WORLD, installed={**INSTALLED, **dict(zip(KERNELS, "12", strict=True))}, unused=frozenset(KERNELS[:1])
)


def test_what_is_not_removed_any_more_is_told_and_what_nobody_asked_is_not_guessed() -> None:
    kernels = Side({"autoremove": "kernels"})
    found = told(kernels, ALL, WITH_KERNELS)
    assert [(one.name, one.before) for one in found.changes] == [(KERNELS[0], "planned")]
    begins = told(ALL, kernels, WITH_KERNELS)
    assert begins.changes == ()
    assert (found.basis, begins.basis) == ("exact", "exact")


EXTRA = Source("Extra:1", "http://x.example", NOW, None, NOW, release="o=Extra")
SERVING = Side({"updates": "security", "security_sources": ["o=Extra"]})


@pytest.mark.parametrize(
    ("before", "after", "is_security", "change"),
    [(SECURITY, SERVING, False, "comes"), (SERVING, SECURITY, True, "goes")],
)
def test_which_updates_are_security_ones_the_head_says(
    before: Side, after: Side, change: str, *, is_security: bool
) -> None:
    """As the look had it, by the base, a source served security updates or did not."""
    archive = (
        Build("bash", "2", security=is_security, source="Extra:1"),
        Build("curl", "2", security=True),
        Build("nginx", "2"),
    )
    world = PackageWorld(archive, dict.fromkeys(("bash", "curl", "nginx"), "1"))
    seen, policy = world.observe(NOW, ()), before.effective(BEFORE)
    seen = replace(seen, sources=(*seen.sources, replace(EXTRA, security=is_security)))
    exchanges = converse(world, seen, policy, NOW)
    recording = record(seen, exchanges, INPUTS, FACTS, program="patchledger 1", now=NOW)
    asked = unrestricted(seen, policy, exchanges, NOW)
    recording = replace(recording, unrestricted=tuple(Exchange(one, world.answer(one)) for one in asked))
    found = by_recording(recording, policy, after.effective(AFTER), NOW)
    assert [(one.name, one.change, one.estimated) for one in found.changes] == [
        ("bash", change, Rule.SECURITY)
    ]


def test_where_the_same_is_wanted_nothing_is_asked() -> None:
    same = Side({"budget": "1h"}, [hold("zsh", expires="2026-11-01")])
    assert not asks_of_plans(ALL.effective(BEFORE), same.effective(AFTER), NOW)
    assert asks_of_plans(ALL.effective(BEFORE), SECURITY.effective(AFTER), NOW)


def test_an_estimate_without_a_line_still_names_its_rule() -> None:
    """Nothing is offered of what is held, so that only a question with other words would be asked."""
    effect = told(ALL, Side({"upgrade": "full"}), PackageWorld(ARCHIVE[:2], {"bash": "1", "curl": "1"}))
    assert (effect.basis, effect.changes) == ("estimated", ())
    assert effect.rules


def test_what_failed_under_the_base_is_tried_again_under_the_head() -> None:
    recording = recorded(ALL)
    failed = Quarantined("bash", "amd64", "2", NOW, "run-1", "exit 3", BEFORE)
    recording = replace(recording, observation=replace(recording.observation, quarantined=(failed,)))
    effect = by_recording(recording, ALL.effective(BEFORE), ALL.effective(AFTER), NOW)
    found = line(effect, "bash")
    assert (found.before, found.after) == (Disposition.HELD, Disposition.PLANNED)


def test_what_is_late_by_a_new_deadline_is_named() -> None:
    effect = told(ALL, Side({"deadline": {"security": "14d"}}))
    assert effect.basis == "exact"
    assert effect.overdue == ("curl:amd64", "libssl:amd64")


sides = st.builds(Side, policies, exceptions)


@given(worlds, sides, sides, evidence)
@examples(200)
def test_whatever_the_world_and_the_edit_what_is_called_exact_is_true(
    world: PackageWorld, before: Side, after: Side, seen: tuple[FirstSeen, ...]
) -> None:
    was, will = (fates(truth(*side, world, seen)) for side in ((before, BEFORE), (after, AFTER)))
    old, new = before.effective(BEFORE), after.effective(AFTER)
    effect = by_recording(recorded(before, world, seen), old, new, NOW)
    for one in effect.changes:
        if one.estimated is None:
            assert (one.before, one.after) == (fate(was, one.name), fate(will, one.name)), one
    moved = {name for name in {**was, **will} if fate(was, name) is not fate(will, name)}
    if effect.basis == "exact":
        assert moved <= {one.name for one in effect.changes}
    if not asks_of_plans(old, new, NOW):
        assert not moved
