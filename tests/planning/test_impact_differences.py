"""What two policies say differently about a host at one instant: settings, documents, windows."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.planning.impact.differences import Differences, differences
from reconciler.planning.impact.effect import WindowsEffect, WindowSpan
from reconciler.planning.impact.sides import side_of
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import resolve
from tests.policy.trees import files, loaded

HOST = HostFacts("web-01", {"env": "production"}, "debian", "12", "apt")
NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
POLICY = "kind: Policy\nname: base\naction: apply\nschedule: night\n"
NIGHT = 'kind: Schedule\nname: night\ntimezone: UTC\nwindows:\n- {start: "Sun 02:00", duration: 3h}\n'
TREE = {"policies/a.yaml": POLICY, "schedules/n.yaml": NIGHT}
FREEZE = """\
kind: Freeze
name: year-end
from: 2026-12-18
until: 2027-01-04
timezone: UTC
reason: quiet
"""
HOLD = """\
kind: Exception
name: no-nginx
packages: ["nginx*"]
action: hold
reason: a regression
expires: 2026-12-31
"""
APPROVAL = "kind: Approval\nname: go\nversions: {nginx: '1.2'}\nexpires: 2026-12-01\n"


def between(old: Mapping[str, str], new: Mapping[str, str]) -> Differences:
    before, after = (resolve(loaded({**TREE, **tree}), HOST) for tree in (old, new))
    return differences(before, after, NOW, LATER)


def windows(old: Mapping[str, str], new: Mapping[str, str]) -> WindowsEffect:
    found = between(old, new).windows
    assert found is not None
    return found


def changes(effect: WindowsEffect) -> list[tuple[str, str, str]]:
    return [(one.change, begin(one.before), begin(one.after)) for one in effect.changes]


def begin(span: WindowSpan | None) -> str:
    return f"{span.start:%m-%d %H:%M}" if span else ""


@pytest.mark.parametrize(
    ("settings", "key", "sort", "before", "after"),
    [
        ("updates: security", "updates", "mode", "all", "security"),
        ("approval: required", "approval", "approval", "none", "required"),
        ("reboot: {when: always}", "reboot.when", "reboot", "never", "always"),
        ("deadline: {security: 14d}", "deadline.security", "deadline", "none", "14d"),
        ("budget: 1h", "budget", "window", "30m", "1h"),
        (
            "notify: [{to: ops, on: [failed]}]",
            "notify",
            "route",
            "-",
            '{"to": "ops", "on": ["failed"]}',
        ),
        ("health: {units: [nginx.service]}", "health.units", "other", "-", "nginx.service"),
    ],
)
def test_a_setting_is_told_with_both_values_and_its_place(
    settings: str, key: str, sort: str, before: str, after: str
) -> None:
    (found,) = between({}, {"policies/a.yaml": f"{POLICY}{settings}\n"}).settings
    assert (found.key, found.sort, found.before, found.after) == (key, sort, before, after)
    assert found.origin == "policies/a.yaml:5"


def test_a_setting_that_goes_back_to_its_default_has_no_place() -> None:
    (found,) = between({"policies/a.yaml": f"{POLICY}updates: none\n"}, {}).settings
    assert (found.before, found.after, found.origin) == ("none", "all", "")


def test_a_setting_of_parts_is_told_by_its_parts_alone() -> None:
    ringed = {
        "policies/a.yaml": f"{POLICY}rollout: {{name: monthly, ring: first}}\n",
        "rollouts/m.yaml": "kind: Rollout\nname: monthly\nrings: [{name: first}, {name: rest}]\n",
    }
    told = [(one.key, one.before, one.after) for one in between({}, ringed).settings]
    assert told == [("rollout.name", "-", "monthly"), ("rollout.ring", "-", "first")]
    back = [(one.key, one.before, one.after) for one in between(ringed, {}).settings]
    assert back == [("rollout.name", "monthly", "-"), ("rollout.ring", "first", "-")]


@pytest.mark.parametrize(
    "same",
    [
        {"policies/a.yaml": f"# moved\n{POLICY}description: for people\n"},
        {"policies/b.yaml": "kind: Policy\nname: other\nmatch: {name: db-*}\nupdates: none\n"},
        {"policies/b.yaml": "kind: Policy\nname: weaker\nupdates: all\n", "policies/a.yaml": POLICY},
        {"exceptions/e.yaml": HOLD.replace("2026-12-31", "2026-11-21")},
        {"freezes/f.yaml": FREEZE.replace("12-18", "10-18").replace("2027-01-04", "2026-11-01")},
        {"schedules/n.yaml": NIGHT, "schedules/o.yaml": NIGHT.replace("night", "other")},
        {
            "policies/a.yaml": POLICY,
            "schedules/n.yaml": NIGHT.replace("Sun 02:00", "Sun *-*-* 02:00:00"),
        },
    ],
)
def test_what_has_no_effect_is_not_told(same: Mapping[str, str]) -> None:
    assert between({}, same) == Differences((), (), (), None)


def test_a_schedule_under_another_name_moves_no_window() -> None:
    found = between(
        {},
        {
            "policies/a.yaml": POLICY.replace("night", "dark"),
            "schedules/n.yaml": NIGHT.replace("night", "dark"),
        },
    )
    assert found.windows is None
    assert [(one.key, one.after) for one in found.settings] == [("schedule", "dark")]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({}, {"exceptions/e.yaml": HOLD}, ("Exception", "begins", "hold nginx*")),
        ({"exceptions/e.yaml": HOLD}, {}, ("Exception", "ends", "hold nginx*")),
        (
            {"exceptions/e.yaml": HOLD},
            {"exceptions/e.yaml": HOLD.replace("hold", "block")},
            ("Exception", "changes", "hold nginx* → block nginx*"),
        ),
        (
            {"exceptions/e.yaml": HOLD},
            {"exceptions/e.yaml": HOLD.replace("2026-12-31", "2027-01-31")},
            ("Exception", "changes", "hold nginx*, until 2027-01-01 00:00 UTC → 2027-02-01 00:00 UTC"),
        ),
        (
            {"exceptions/e.yaml": HOLD},
            {"exceptions/e.yaml": f"{HOLD}versions: '>= 2'\nsources: {{except: [backports]}}\n"},
            ("Exception", "changes", "hold nginx* → hold nginx* >= 2 from all sources but backports"),
        ),
        ({}, {"approvals/a.yaml": APPROVAL}, ("Approval", "begins", "versions nginx=1.2")),
        ({"approvals/a.yaml": APPROVAL}, {}, ("Approval", "ends", "versions nginx=1.2")),
        (
            {},
            {"freezes/f.yaml": FREEZE.replace("2026-12-18", "2027-01-03")},
            ("Freeze", "begins", "from 2027-01-03 00:00 UTC to 2027-01-05 00:00 UTC"),
        ),
    ],
)
def test_documents_begin_end_and_change(
    old: Mapping[str, str], new: Mapping[str, str], told: tuple[str, str, str]
) -> None:
    (found,) = between(old, new).documents
    assert (found.kind, found.change, found.what) == told


def test_another_reason_or_owner_is_no_change() -> None:
    other = HOLD.replace("a regression", "another") + "owner: web-team\n"
    assert between({"exceptions/e.yaml": HOLD}, {"exceptions/e.yaml": other}).documents == ()


def test_windows_move_by_less_than_a_day() -> None:
    found = windows({}, {"schedules/n.yaml": NIGHT.replace("02:00", "23:00")})
    assert changes(found)[:2] == [("appears", "", "11-22 23:00"), ("moves", "11-29 02:00", "11-29 23:00")]
    assert (found.before, found.after, found.are_lost) == (4, 5, False)


def test_windows_that_move_further_vanish_and_appear() -> None:
    found = windows({}, {"schedules/n.yaml": NIGHT.replace("Sun", "Wed")})
    assert changes(found)[:2] == [("appears", "", "11-25 02:00"), ("vanishes", "11-29 02:00", "")]


def test_a_freeze_is_named_that_takes_windows_away() -> None:
    found = windows({}, {"freezes/f.yaml": FREEZE})
    assert changes(found) == [("vanishes", "12-20 02:00", "")]
    assert found.changes[0].because == "year-end"
    assert f"{found.next_after:%m-%d %H:%M}" == "11-29 02:00"


def test_without_a_schedule_all_windows_are_lost_for_ever() -> None:
    found = windows({}, {"policies/a.yaml": POLICY.replace("schedule: night", "schedule: []")})
    assert (found.before, found.after, found.are_lost, found.next_after) == (4, 0, True, None)


def test_a_freeze_of_all_the_time_says_when_the_next_window_is() -> None:
    found = windows({}, {"freezes/f.yaml": FREEZE.replace("2026-12-18", "2026-11-01")})
    assert (found.before, found.after, found.are_lost) == (4, 0, True)
    assert f"{found.next_after:%Y-%m-%d %H:%M}" == "2027-01-10 02:00"


def test_security_only_passes_a_freeze_that_lets_it() -> None:
    frozen = {"freezes/f.yaml": f"{FREEZE}allow: security\n"}
    only = {**frozen, "policies/a.yaml": f"{POLICY}updates: security\n"}
    assert changes(windows(frozen, only)) == [("appears", "", "12-20 02:00")]


def test_another_splay_is_told_like_a_setting_since_each_host_has_its_own_share() -> None:
    found = between({}, {"schedules/n.yaml": NIGHT.replace("3h}", "3h, splay: 20m}")})
    assert [(one.key, one.before, one.after) for one in found.settings] == [("splay", "-", "20m")]
    assert found.windows is None


def test_of_very_many_windows_the_same_time_is_looked_at_on_both_sides() -> None:
    often = 'kind: Schedule\nname: night\ntimezone: UTC\nwindows:\n- {start: "*:0/10", duration: 55m}\n'
    found = windows({"schedules/n.yaml": often}, {})
    assert (found.before, found.after) == (1000, 1)
    assert found.until < LATER
    assert len(found.changes) == 100
    assert found.more == 900


def test_a_contradiction_that_is_new_is_told() -> None:
    other = "kind: Policy\nname: other\nupdates: none\n"
    found = between({}, {"policies/a.yaml": f"{POLICY}updates: all\n", "policies/b.yaml": other})
    assert len(found.ambiguities) == 1
    assert "set updates differently" in found.ambiguities[0]


def test_a_policy_with_problems_is_judged_without_the_files_that_have_them() -> None:
    tree = {**TREE, "exceptions/e.yaml": HOLD.replace("hold", "hodl"), "policies/z.yaml": "kind: Policy\n"}
    side = side_of(files(tree), "change")
    assert {one.file for one in side.said.problems} == {"exceptions/e.yaml", "policies/z.yaml"}
    assert side.revision is not None
    assert [one.value.name for one in side.revision.policies] == ["base"]


def test_what_depends_on_a_file_with_problems_goes_with_it_and_only_the_cause_is_told() -> None:
    side = side_of(files({**TREE, "schedules/n.yaml": NIGHT.replace("02:00", "26:00")}), "change")
    assert {one.file for one in side.said.problems} == {"schedules/n.yaml"}
    assert side.revision is None or side.revision.policies == ()


def test_a_policy_far_over_a_limit_is_not_read_anew_for_each_file_that_is_too_much() -> None:
    names = ", ".join(f"package-{number}" for number in range(900))
    many = {f"exceptions/{one:03}.yaml": HOLD.replace("no-nginx", f"hold-{one}") for one in range(90)}
    tree = {path: text.replace('"nginx*"', names) for path, text in many.items()}
    side = side_of(files({**TREE, **tree}), "change")
    assert side.revision is None
    assert ["is too much" in one.message for one in side.said.problems[:1]] == [True]


def test_a_policy_for_a_newer_program_is_judged_as_far_as_it_is_understood() -> None:
    side = side_of(files({**TREE, "patchledger.yaml": 'requires: ">=99"\n'}), "change")
    assert side.requires == ">=99"
    assert [one.path for one in side.said.problems] == ["requires"]
    assert side.revision is not None
