"""What a change of policy does to a fleet: by class and group, and what a reviewer must not miss."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.showing.interfaces import schema
from reconciler.planning.fleet.rows import Heard, Row, TargetState, never_heard, row_of, unverified
from reconciler.planning.impact.comparison import Comparison
from reconciler.planning.impact.effect import Group, Impact, Peril, Rule
from reconciler.planning.impact.sides import side_of
from reconciler.planning.impact.words import facts, lines, verdict
from reconciler.planning.text.canonical import plain
from tests.policy.trees import files
from tests.report_samples import report_of

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
BASE = "b" * 40
TREE = {
    "policies/a.yaml": "kind: Policy\nname: all\naction: apply\nschedule: night\n",
    "policies/b.yaml": "kind: Policy\nname: db\npriority: 5\nmatch: {labels: {role: db}}\nbudget: 1h\n",
    "schedules/n.yaml": (
        'kind: Schedule\nname: night\ntimezone: UTC\nwindows:\n- {start: "Sun 02:00", duration: 3h}\n'
    ),
}
HOLD = """\
kind: Exception
name: no-openssl
packages: [openssl]
action: hold
reason: a regression
expires: 2026-12-31
"""
REPORT = report_of()


def row(target: str, **values: Any) -> Row:
    """Return the row of a host that reported an hour ago by the base."""
    heard = Heard("c" * 40, "d" * 40, "SHA256:key", BASE, NOW - timedelta(hours=1))
    usual = row_of(f"hosts/{target}", REPORT, None, heard)
    labels = values.pop("labels", {})
    own = {"labels": labels, "own_labels": labels, "resolution": "sha256:1", **values}
    return replace(usual, **own)


WEB = [row(f"web-{number:02}", labels={"role": "web", "rack": str(number)}) for number in range(5)]
DB = [row("db-01", labels={"role": "db"})]


def impact(
    new: Mapping[str, str | None], rows: Sequence[Row] = (*WEB, *DB), old: Mapping[str, str] | None = None
) -> Impact:
    """Return what a change of some files does; ``None`` removes one."""
    before = {**TREE, **(old or {})}
    after = {path: text for path, text in {**before, **new}.items() if text is not None}
    base, head = side_of(files(before), "main", BASE), side_of(files(after), "change", "e" * 40)
    return Comparison(base, head, rows, NOW, NOW + timedelta(days=30)).impact("summary")


def perils(found: Impact) -> list[Peril]:
    return [one.peril for one in found.concerns]


def the_group(found: Impact) -> Group:
    (group,) = found.groups
    return group


def test_no_change_changes_no_host() -> None:
    found = impact({"README.md": "hello"})
    assert (found.hosts, found.changed, found.groups, found.concerns) == (6, 0, (), ())
    assert verdict(found) == "0 of 6 hosts change"


def test_hosts_for_which_the_same_changes_are_one_group_with_a_sample() -> None:
    found = impact({"policies/b.yaml": TREE["policies/b.yaml"].replace("budget: 1h", "budget: 2h")})
    group = the_group(found)
    assert group.hosts == ("db-01",)
    assert [(one.key, one.before, one.after) for one in group.effect.settings] == [("budget", "1h", "2h")]
    assert verdict(found) == "1 of 6 hosts changes"


def test_groups_are_the_largest_first_whatever_the_order_of_rows() -> None:
    new = {"policies/a.yaml": f"{TREE['policies/a.yaml']}budget: 2h\n", "policies/b.yaml": None}
    found = impact(new)
    assert [len(group.hosts) for group in found.groups] == [5, 1]
    assert impact(new, [*DB, *reversed(WEB)]) == found


def test_hosts_of_equal_effect_are_one_group_though_their_plans_and_classes_differ() -> None:
    rows = [row("a", resolution="sha256:1"), row("b", resolution="sha256:2", labels={"role": "db"})]
    found = impact({"schedules/n.yaml": TREE["schedules/n.yaml"].replace("02:00", "03:00")}, rows)
    assert the_group(found).hosts == ("a", "b")


def test_a_label_that_a_host_document_gave_goes_with_the_document() -> None:
    """A host's labels are its own and its document's: without the document only its own are left."""
    document = "kind: Host\nname: db-02\nlabels: {role: db}\n"
    host = row("db-02", labels={"role": "db"})
    owns: tuple[dict[str, str] | None, ...] = ({}, None)
    for own in owns:
        found = impact({"hosts/h.yaml": None}, [replace(host, own_labels=own)], {"hosts/h.yaml": document})
        assert [(one.key, one.after) for one in the_group(found).effect.settings] == [("budget", "30m")]
    kept = impact(
        {"hosts/h.yaml": None}, [replace(host, own_labels={"role": "db"})], {"hosts/h.yaml": document}
    )
    assert kept.groups == ()


def test_guests_are_matched_by_their_own_name_and_their_hypervisor() -> None:
    rows = [row("pve-1/wiki", guest_of="pve-1"), row("wiki")]
    text = "kind: Policy\nname: guests\nmatch: {guest_of: pve-*, name: wiki}\nupdates: none\n"
    assert the_group(impact({"policies/g.yaml": text}, rows)).hosts == ("pve-1/wiki",)


def test_a_freeze_of_all_windows_is_a_loss_that_must_not_be_missed() -> None:
    freeze = (
        "kind: Freeze\nname: quiet\nmatch: {labels: {role: db}}\nfrom: 2026-11-20\nuntil: 2027-01-09\n"
        "timezone: UTC\nreason: r\n"
    )
    found = impact({"freezes/f.yaml": freeze})
    assert found.lost_windows == 1
    (concern,) = found.concerns
    assert (concern.peril, concern.hosts) == (Peril.LOST_WINDOWS, ("db-01",))
    assert "2027-01-10 02:00 UTC" in concern.message


def test_a_freeze_that_lets_security_updates_pass_says_which() -> None:
    freeze = (
        "kind: Freeze\nname: quiet\nfrom: 2026-11-20\nuntil: 2026-12-09\ntimezone: UTC\nreason: r\n"
        "allow: security\n"
    )
    told = [line.words for line in lines(the_group(impact({"freezes/f.yaml": freeze})).effect)]
    assert "openssl:amd64 may be applied [estimated: security]" in told


def test_a_hold_of_a_security_update_is_told_by_name_and_marked() -> None:
    found = impact({"exceptions/e.yaml": HOLD})
    (change,) = the_group(found).effect.updates.changes
    assert (change.name, change.change, change.security) == ("openssl", "waits", True)
    assert change.estimated is Rule.HOLD_ADDED
    assert perils(found) == [Peril.SECURITY_WITHHELD]
    assert found.estimated == 6


ADA, EVE = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{letter * 42}A" for letter in ("C", "E"))


@pytest.mark.parametrize("path", ["trust/allowed_signers", "trust/publishers"])
def test_who_else_is_believed_must_not_be_missed_though_no_host_changes(path: str) -> None:
    found = impact({path: f"eve@x {EVE}\n"}, old={path: f"ada@x {ADA}\n"})
    assert (found.changed, perils(found)) == (0, [Peril.SIGNERS])
    message = found.concerns[0].message
    assert message.index("eve@x (SHA256:") < message.index("may") < message.index("ada@x (SHA256:")
    assert message.endswith("no more")
    bounded = impact({path: f'ada@x valid-before="20270101Z" {ADA}\n'}, old={path: f"ada@x {ADA}\n"})
    assert "until 2027-01-01" in bounded.concerns[0].message
    assert perils(impact({"README.md": "x"}, old={path: f"ada@x {ADA}\n"})) == []


def test_a_host_that_is_somebody_else_must_not_be_missed() -> None:
    document = "kind: Host\nname: web-00\nreport_key: {0}\nmachine_id: {1}\n"
    machine, other = "0123456789abcdef" * 2, "fedcba9876543210" * 2
    old = {"hosts/h.yaml": document.format(ADA, machine)}
    for text in (document.format(EVE, machine), document.format(ADA, other), None):
        found = impact({"hosts/h.yaml": text}, old=old)
        assert perils(found) == [Peril.IDENTITIES]
        assert found.concerns[0].hosts == ("web-00",)
    assert perils(impact(old)) == []  # who is enrolled was nobody before


def test_a_policy_that_calls_itself_otherwise_is_another_one() -> None:
    name = {"patchledger.yaml": "repository: ops/policy\n"}
    found = impact({"patchledger.yaml": "repository: eve/policy\n"}, old=name)
    assert perils(found) == [Peril.SIGNERS]
    assert perils(impact(name)) == []


def policies(*settings: str) -> dict[str, str]:
    """Return policies of one priority, which may contradict one another."""
    text = "kind: Policy\nname: top-{0}\npriority: 9\n{1}\n"
    return {f"policies/top-{number}.yaml": text.format(number, one) for number, one in enumerate(settings)}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("lock_wait: 5m", "lock_wait: 7m", []),
        ("approval: none", "approval: required", [Peril.UNAPPROVED]),
        ("approval: required", "approval: none", [Peril.SECURITY_WITHHELD]),
        ("reboot: {when: never}", "reboot: {when: always}", []),
        (
            "reboot: {when: always}\nremovals: allow",
            "reboot: {when: never}",
            [Peril.REBOOTS, Peril.UNAPPROVED_REBOOTS, Peril.REMOVALS],
        ),
    ],
)
def test_the_end_of_a_contradiction_is_the_begin_of_all_that_it_kept_back(
    one: str, other: str, expected: list[Peril]
) -> None:
    found = impact({"policies/top-1.yaml": None}, old=policies(one, other))
    assert found.changed == len((*WEB, *DB))
    assert sorted(perils(found)) == sorted([Peril.BEGINS_TO_APPLY, *expected])
    told = [line for line in lines(the_group(found).effect) if line.subject == "contradiction ends"]
    assert len(told) == 1
    assert "nothing was applied while Policy top-0" in told[0].words


def test_one_contradiction_instead_of_another_lets_nothing_begin() -> None:
    clash = policies("lock_wait: 5m\nbudget: 40m", "lock_wait: 7m\nbudget: 40m")
    found = impact(policies("lock_wait: 5m\nbudget: 40m", "lock_wait: 5m\nbudget: 50m"), old=clash)
    assert perils(found) == [Peril.AMBIGUOUS]


@pytest.mark.parametrize("approval", ["none", "required"])
def test_who_begins_to_apply_begins_to_do_all_that_its_settings_say(approval: str) -> None:
    settings = f"approval: {approval}\nreboot: {{when: always}}\nremovals: allow\n"
    before, after = (policies(f"action: {action}\n{settings}") for action in ("plan", "apply"))
    expected = {Peril.BEGINS_TO_APPLY, Peril.REBOOTS, Peril.REMOVALS}
    assert set(perils(impact(after, old=before))) - {Peril.UNAPPROVED_REBOOTS} == expected


@pytest.mark.parametrize(
    ("before", "after", "way", "most"),
    [
        ("updates: all", "updates: security", "goes", 1),
        ("updates: all", "updates: none", "goes", 1),  # the other one is told by name
        ("min_age: {other: 0d}", "min_age: {other: 7d}", "waits", 1),
        ("as_of: none", "as_of: 2026-01-01", "waits", 1),
        ("kinds: []", "kinds: [security, bugfix]", "goes", 1),
        ("approval: none", "approval: required", "waits", 2),
    ],
)
def test_what_a_summary_does_not_name_is_told_by_number(before: str, after: str, way: str, most: int) -> None:
    policy = TREE["policies/a.yaml"]
    found = impact({"policies/a.yaml": f"{policy}{after}\n"}, old={"policies/a.yaml": f"{policy}{before}\n"})
    (count,) = the_group(found).effect.updates.counted
    assert (count.change, count.at_most) == (way, most)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("approval: none", "approval: required"),
        ("sources: {except: [nowhere]}", "sources: {except: ['*']}"),
        ("upgrade: full\nremovals: allow", "upgrade: safe"),
        ("updates: security", "updates: security\nseverity: critical"),
        ("kinds: []", "kinds: bugfix"),
        # Nor where another mode begins with it.
        ("updates: all", "updates: security\nseverity: critical"),
        ("updates: security", "updates: all\nkinds: bugfix"),
        ("updates: all\nkinds: security", "updates: security\nseverity: critical"),
    ],
)
def test_security_updates_that_a_summary_does_not_name_are_missed_by_no_gate(before: str, after: str) -> None:
    policy = TREE["policies/a.yaml"]
    found = impact({"policies/a.yaml": f"{policy}{after}\n"}, old={"policies/a.yaml": f"{policy}{before}\n"})
    assert perils(found) == [Peril.SECURITY_WITHHELD]
    assert "at most 1 (" in found.concerns[0].message


@pytest.mark.parametrize("action", ["hold", "block", "allow-as-dependency"])
def test_an_exception_may_be_about_security_updates_beyond_those_that_a_summary_names(action: str) -> None:
    counts = WEB[0].counts
    assert counts is not None
    many = replace(counts, security=60, pending=60, pending_security=60)
    exception = HOLD.replace("action: hold", f"action: {action}").replace("openssl", "unnamed")
    rows = [replace(one, counts=many) for one in WEB]
    assert perils(impact({"exceptions/e.yaml": exception}, rows)) == [Peril.SECURITY_WITHHELD]
    none = replace(many, pending=0, pending_security=0)
    rows = [replace(one, counts=none) for one in WEB]
    assert perils(impact({"exceptions/e.yaml": exception}, rows)) == []


@pytest.mark.parametrize(
    ("setting", "change", "rule"),
    [
        ("updates: none", "goes", Rule.SECURITY),
        ("min_age: {security: 7d}", "waits", Rule.MIN_AGE),
        ("as_of: 2026-01-01", "waits", Rule.MIN_AGE),
    ],
)
def test_security_updates_that_a_setting_keeps_back_are_told_by_name(
    setting: str, change: str, rule: Rule
) -> None:
    found = impact({"policies/a.yaml": f"{TREE['policies/a.yaml']}{setting}\n"})
    (told,) = the_group(found).effect.updates.changes
    assert (told.name, told.change, told.estimated) == ("openssl", change, rule)
    assert perils(found) == [Peril.SECURITY_WITHHELD]


def test_a_security_update_that_is_old_enough_does_not_wait() -> None:
    known = {key: NOW - timedelta(days=9) for key in WEB[0].security}
    found = impact(
        {"policies/a.yaml": f"{TREE['policies/a.yaml']}min_age: {{security: 7d}}\n"},
        [replace(one, security=known) for one in WEB],
    )
    assert the_group(found).effect.updates.changes == ()


def test_where_no_security_update_was_to_be_applied_none_is_withheld() -> None:
    counts = WEB[0].counts
    assert counts is not None
    rows = [replace(one, counts=replace(counts, pending_security=0)) for one in WEB]
    found = impact({"exceptions/e.yaml": HOLD}, rows)
    assert Peril.SECURITY_WITHHELD not in perils(found)
    assert found.estimated == 5


def test_packages_of_one_name_are_told_with_their_architecture() -> None:
    known = {"openssl:amd64=2": NOW, "openssl:i386=2": NOW, "curl:amd64=3": NOW}
    found = impact({"exceptions/e.yaml": HOLD.replace("[openssl]", "['*']")}, [row("a", security=known)])
    words = [line.words.split(",")[0] for line in lines(the_group(found).effect) if line.subject == "waits"]
    assert words[:3] == ["curl 3", "openssl:amd64 2", "openssl:i386 2"]


def test_hosts_that_run_too_old_a_program_refuse_the_head_and_nothing_else_is_told_of_them() -> None:
    rows = [
        row("new", program="patchledger 1.6.0"),
        row("old", program="patchledger 1.4.0"),
        row("odd", program="x"),
    ]
    new = {
        "patchledger.yaml": 'requires: ">=0"\n',
        "policies/c.yaml": "kind: Policy\nname: c\nupdates: none\n",
    }
    before = {**TREE}
    base = side_of(files(before), "main", BASE)
    head = replace(side_of(files({**before, **new}), "change", "e" * 40), requires=">=1.5")
    found = Comparison(base, head, rows, NOW, NOW + timedelta(days=30)).impact("summary")
    assert found.refusing == 1
    assert [group.hosts for group in found.groups] == [("new", "odd"), ("old",)]
    refusing = found.groups[1].effect
    assert "1.4.0" in refusing.refusal
    assert refusing.settings == ()
    assert (found.concerns[0].peril, found.concerns[0].hosts) == (Peril.REFUSED, ("old",))


def test_a_head_with_problems_is_refused_by_all_and_judged_as_far_as_it_can_be() -> None:
    found = impact({"exceptions/e.yaml": HOLD, "exceptions/bad.yaml": "kind: Exception\n"})
    assert {one.file for one in found.head.problems} == {"exceptions/bad.yaml"}
    assert perils(found)[0] is Peril.INVALID
    assert found.changed == 6


def test_where_nothing_can_be_judged_every_host_is_named() -> None:
    found = impact(dict.fromkeys(TREE, "kind: Policy\n\t"))
    assert found.hosts + len(found.unjudged) >= 6
    assert perils(found)[0] is Peril.INVALID


def test_documents_that_reach_nobody_are_named_if_they_are_new_or_reached_somebody() -> None:
    nowhere = "kind: Policy\nname: {0}\nmatch: {{labels: {{role: {1}}}}}\nsteps: single\n"
    old = {
        "policies/i.yaml": nowhere.format("idle", "mail"),
        "policies/r.yaml": nowhere.format("reached", "web"),
    }
    new = {
        "policies/r.yaml": nowhere.format("reached", "wbe"),
        "policies/n.yaml": nowhere.format("new", "db*x"),
    }
    found = impact(new, old=old)
    assert {(one.name, one.was) for one in found.unreached} == {
        ("idle", "idle"),
        ("reached", "reached"),
        ("new", "new"),
    }
    (concern,) = [one for one in found.concerns if one.peril is Peril.REACHES_NOBODY]
    assert "Policy new" in concern.message
    assert "idle" not in concern.message


def test_a_host_of_which_nothing_is_known_is_named_with_the_reason() -> None:
    retired = replace(row("gone"), state=TargetState.RETIRED)
    rows = [
        *WEB,
        never_heard("silent"),
        unverified("hosts/newer", "report.json is of a newer patchledger"),
        retired,
    ]
    found = impact({"hosts/x.yaml": "kind: Host\nname: planned\n"}, rows)
    assert {one.target: one.reason for one in found.unjudged} == {
        "silent": "it is enrolled, and has not reported yet",
        "newer": "report.json is of a newer patchledger",
        "planned": "it has a Host document, and no report",
    }
    assert perils(found) == [Peril.UNJUDGED]
    assert "3 cannot be judged" in verdict(found)


def test_a_reboot_that_is_pending_is_told() -> None:
    rows = [row("a", reboot=True), row("b", reboot=False)]
    found = impact({"policies/a.yaml": f"{TREE['policies/a.yaml']}reboot: {{when: if-required}}\n"}, rows)
    told = {group.hosts: group.effect.reboot for group in found.groups}
    assert "would be made" in told["a",]
    assert told["b",] == ""
    assert perils(found) == [Peril.REBOOTS, Peril.UNAPPROVED_REBOOTS]


@pytest.mark.parametrize(
    ("before", "after", "peril"),
    [
        ("action: plan", "action: apply", Peril.BEGINS_TO_APPLY),
        ("action: apply", "action: download", Peril.STOPS_APPLYING),
        ("approval: required", "approval: none", Peril.UNAPPROVED),
        ("removals: forbid", "removals: allow", Peril.REMOVALS),
        ("upgrade: safe", "upgrade: full", Peril.REMOVALS),
        ("action: download", "action: download\nreboot: {when: always}", Peril.REBOOTS),
    ],
)
def test_settings_that_let_more_happen_must_not_be_missed(before: str, after: str, peril: Peril) -> None:
    policy = "kind: Policy\nname: top\npriority: 9\n"
    found = impact({"policies/t.yaml": f"{policy}{after}\n"}, old={"policies/t.yaml": f"{policy}{before}\n"})
    assert perils(found) == [peril]
    assert len(found.concerns[0].hosts) == 6


def test_a_hypervisor_that_reboots_through_its_guests_freezes_must_not_be_missed() -> None:
    def policy(guests: str) -> dict[str, str]:
        said = f"reboot: {{when: if-required, guests: {guests}}}\n"
        return {"policies/t.yaml": f"kind: Policy\nname: top\npriority: 9\n{said}"}

    found = impact(policy("ignore"), old=policy("respect"))
    assert perils(found) == [Peril.REBOOTS]
    assert found.concerns[0].message == (
        "they may reboot in their windows, also while a guest is at work or in a freeze"
    )
    assert perils(impact(policy("respect"), old=policy("ignore"))) == []


_REBOOTING = "reboot: {when: if-required}"
_APPROVED = "approval: required"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", _REBOOTING, [Peril.REBOOTS, Peril.UNAPPROVED_REBOOTS]),
        (_REBOOTING, "reboot: {when: always}", [Peril.REBOOTS, Peril.UNAPPROVED_REBOOTS]),
        (_APPROVED, f"{_APPROVED}\n{_REBOOTING}", [Peril.REBOOTS]),
        (f"{_APPROVED}\n{_REBOOTING}", _REBOOTING, [Peril.UNAPPROVED, Peril.UNAPPROVED_REBOOTS]),
        (
            f"action: plan\n{_REBOOTING}",
            f"action: apply\n{_REBOOTING}",
            [Peril.BEGINS_TO_APPLY, Peril.REBOOTS, Peril.UNAPPROVED_REBOOTS],
        ),
        (_REBOOTING, f"{_REBOOTING}\nbudget: 1h", []),
        (_REBOOTING, f"{_REBOOTING}\n{_APPROVED}", [Peril.SECURITY_WITHHELD]),
        ("reboot: {when: always}", _REBOOTING, []),
    ],
)
def test_reboots_that_nobody_has_to_approve_must_not_be_missed(
    before: str, after: str, expected: list[Peril]
) -> None:
    policy = "kind: Policy\nname: top\npriority: 9\n"
    found = impact({"policies/t.yaml": f"{policy}{after}\n"}, old={"policies/t.yaml": f"{policy}{before}\n"})
    assert perils(found) == expected


def test_a_freeze_that_ends_sooner_must_not_be_missed() -> None:
    freeze = "kind: Freeze\nname: quiet\nfrom: 2027-02-01\nuntil: 2027-02-20\ntimezone: UTC\nreason: r\n"
    found = impact({"freezes/f.yaml": freeze.replace("02-20", "02-10")}, old={"freezes/f.yaml": freeze})
    assert perils(found) == [Peril.FREEZE_ENDS]
    longer = impact({"freezes/f.yaml": freeze.replace("02-20", "02-27")}, old={"freezes/f.yaml": freeze})
    assert perils(longer) == []
    assert longer.changed == 6


def test_a_contradiction_must_not_be_missed() -> None:
    text = "kind: Policy\nname: other\nmatch: {labels: {role: db}}\npriority: 5\nbudget: 2h\n"
    found = impact({"policies/c.yaml": text})
    assert perils(found) == [Peril.AMBIGUOUS]
    assert found.concerns[0].hosts == ("db-01",)


def test_the_age_of_what_is_known_and_by_which_policy_it_was_made_are_told() -> None:
    rows = [row("a", heard=NOW - timedelta(days=3), policy_commit="f" * 40), row("b")]
    found = impact({}, rows)
    assert found.facts.other_policy == 1
    assert facts(found.facts, found.hosts, NOW) == (
        "2 hosts by the published summary: the oldest report is 3 days old, the newest 1 hour;"
        " 1 of them was made by another policy than the base"
    )


def test_it_is_printed_as_its_schema_says() -> None:
    new = {
        "exceptions/e.yaml": HOLD,
        "policies/a.yaml": f"{TREE['policies/a.yaml']}updates: security\n",
        "schedules/n.yaml": TREE["schedules/n.yaml"].replace("Sun", "Wed"),
        "exceptions/bad.yaml": "kind: Exception\n",
    }
    found = json.loads(json.dumps(plain(impact(new, [*WEB, never_heard("silent")]))))
    Draft202012Validator(schema("policy-impact")).validate(found)
