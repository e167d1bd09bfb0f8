"""What holds for a host: matching, layering, origins, ambiguities, and what is selected beside settings."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.policy import windows
from reconciler.policy.documents import Concurrency, Match, Reboot, Settings
from reconciler.policy.load import Origin
from reconciler.policy.match import HostFacts, MatchIndex, selects
from reconciler.policy.overlaps import check_overlaps
from reconciler.policy.resolve import Effective, Resolver, labels_of, resolve
from tests.examples import examples
from tests.policy.trees import MIDNIGHT, loaded, refused

WEB = HostFacts("web-01", {"env": "prod", "role": "web"}, "debian", "12", "apt")
GUEST = HostFacts("wiki", {"role": "web"}, "debian", "12", "apt", guest_of="pve1")


def effective(tree: dict[str, str], host: HostFacts = WEB) -> Effective:
    return resolve(loaded(tree, "a" * 40), host)


def policies(*bodies: str) -> dict[str, str]:
    texts = [f"kind: Policy\nname: p{index}\n{body}\n" for index, body in enumerate(bodies)]
    return {"policies/p.yaml": "---\n".join(texts)}


@pytest.mark.parametrize(
    ("match", "host", "answer"),
    [
        ({}, WEB, True),
        ({"name": "web-01"}, WEB, True),
        ({"name": "web-*"}, WEB, True),
        ({"name": "web-?[0-2]"}, WEB, True),
        ({"name": "WEB-*"}, WEB, False),
        ({"name": "web"}, WEB, False),
        ({"name": ["db-*", "web-*"]}, WEB, True),
        ({"labels": {"env": "prod"}}, WEB, True),
        ({"labels": {"env": ["test", "prod"]}}, WEB, True),
        ({"labels": {"env": "pr*"}}, WEB, True),
        ({"labels": {"env": "prod", "role": "db"}}, WEB, False),
        ({"labels": {"absent": "*"}}, WEB, False),
        ({"os": "debian"}, WEB, True),
        ({"os": "debian-12"}, WEB, True),
        ({"os": "debian-1*"}, WEB, True),
        ({"os": "debian-13"}, WEB, False),
        ({"os": "12"}, WEB, False),
        ({"manager": ["dnf", "apt"]}, WEB, True),
        ({"manager": "dnf"}, WEB, False),
        ({"guest_of": "*"}, WEB, False),
        ({"guest_of": "pve*"}, GUEST, True),
        ({"guest_of": "other"}, GUEST, False),
        ({"name": "web-*", "manager": "dnf"}, WEB, False),
        ({"not": {"name": "db-*"}}, WEB, True),
        ({"name": "*", "not": {"labels": {"role": "web"}}}, WEB, False),
        ({"not": {"labels": {"role": "web"}, "manager": "dnf"}}, WEB, True),
        ({"not": {"name": "web-*", "not": {"labels": {"env": "prod"}}}}, WEB, True),
    ],
)
def test_a_match_needs_every_key_and_one_entry_of_each_list(
    match: dict[str, Any], host: HostFacts, answer: object
) -> None:
    assert selects(Match.model_validate(match), host, host.labels) == answer


def test_a_host_without_policies_has_the_defaults_and_only_plans() -> None:
    found = effective({})

    assert found.settings == Settings()
    assert found.settings.action == "plan"
    assert (found.origins, found.policies, found.schedules, found.host) == ({}, (), (), None)
    assert found.commit == "a" * 40


def test_a_setting_comes_from_the_strongest_policy_that_sets_it() -> None:
    found = effective(
        policies(
            "updates: none\naction: apply",
            "priority: 5\nupdates: security",
            "priority: 9\nmatch: {name: x}\nupdates: all",
        )
    )

    assert found.settings.updates == "security"
    assert found.settings.action == "apply"
    assert {key: origin.line for key, origin in found.origins.items()} == {"updates": 9, "action": 4}
    assert [name for name, _ in found.policies] == ["p1", "p0"]


def test_mappings_merge_key_by_key_and_lists_replace() -> None:
    found = effective(
        policies(
            "reboot: {when: always, notice: 1m}\nhealth: {units: [a, b], settle: 5s}\nallow_removals: [x]",
            "priority: 1\nreboot:\n  notice: 2m\nhealth: {units: []}\nallow_removals: [y]",
        )
    )

    assert found.settings.reboot == Reboot(when="always", notice=timedelta(minutes=2))
    assert found.settings.health.units == ()
    assert found.settings.health.settle == timedelta(seconds=5)
    assert found.settings.allow_removals == ("y",)
    assert found.origins["reboot.notice"] == Origin("policies/p.yaml", 11, "a" * 40)
    assert found.origins["reboot.when"] == Origin("policies/p.yaml", 3, "a" * 40)
    assert "reboot.max_per_window" not in found.origins


def test_script_pins_merge_by_script() -> None:
    one, other = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    found = effective(
        policies(
            f'scripts: {{apt-update.sh: "{one}", dnf-update.sh: "{one}"}}',
            f'priority: 1\nscripts: {{apt-update.sh: "{other}"}}',
        )
    )

    assert found.settings.scripts == {"apt-update.sh": other, "dnf-update.sh": one}
    assert set(found.origins) == {"scripts.apt-update.sh", "scripts.dnf-update.sh"}


def test_settings_without_a_default_are_there_once_a_policy_sets_them() -> None:
    found = effective(
        policies("concurrency: {group: a, slots: 3}\nrollout: {name: r, ring: b}")
        | {"rollouts/r.yaml": "kind: Rollout\nname: r\nrings: [{name: a}, {name: b}]\n"}
    )

    assert found.settings.concurrency == Concurrency(group="a", slots=3)
    assert found.settings.rollout is not None
    assert found.settings.rollout.ring == "b"


def test_policies_of_equal_priority_that_differ_are_ambiguous_and_the_default_stays() -> None:
    found = effective(
        policies("updates: none", "priority: 3\nupdates: security", "priority: 3\nupdates: none")
    )

    assert found.settings.updates == "all"
    assert "updates" not in found.origins
    assert [one.key for one in found.ambiguities] == ["updates"]
    assert found.ambiguities[0].message == (
        f"Policy p1 (policies/p.yaml:8@{'a' * 12}) and Policy p2 (policies/p.yaml:13@{'a' * 12}) both"
        " have priority 3 and set updates differently"
    )


def test_half_of_a_pair_of_keys_is_nothing_when_the_other_half_is_ambiguous() -> None:
    found = effective(policies("concurrency: {group: a, slots: 3}", "concurrency: {group: a, slots: 4}"))

    assert found.settings.concurrency is None
    assert [one.key for one in found.ambiguities] == ["concurrency.slots"]


@pytest.mark.parametrize(
    "bodies",
    [
        ("updates: none", "updates: none"),
        ("updates: none", "updates: all", "priority: 1\nupdates: security"),
        ("updates: none", "match: {name: other}\nupdates: all"),
        ("reboot: {when: always}", "reboot: {notice: 1m}"),
    ],
)
def test_what_agrees_is_decided_above_or_does_not_match_is_not_ambiguous(bodies: tuple[str, ...]) -> None:
    assert effective(policies(*bodies)).ambiguities == ()


def test_labels_of_a_host_document_beat_the_host_s_own() -> None:
    tree = policies("match: {labels: {env: test}}\nupdates: none") | {
        "hosts/h.yaml": "kind: Host\nname: web-01\nlabels: {env: test, site: b}\nmachine_id: "
        + "0" * 31
        + "a\n"
    }
    found = effective(tree)

    assert found.settings.updates == "none"
    assert found.host is not None
    assert found.host.value.machine_id == "0" * 31 + "a"
    assert labels_of(loaded(tree), WEB) == {"env": "test", "role": "web", "site": "b"}


def test_a_host_document_is_not_about_a_guest_of_the_same_name() -> None:
    tree = {"hosts/h.yaml": "kind: Host\nname: wiki\nlabels: {role: db}\n"}

    assert labels_of(loaded(tree), GUEST) == {"role": "web"}
    assert effective(tree, GUEST).host is None


def test_a_document_called_after_a_guest_gives_it_labels_and_no_other_host_or_guest() -> None:
    tree = policies("match: {labels: {role: db}}\nupdates: none") | {
        "hosts/g.yaml": "kind: Host\nname: pve1/wiki\nlabels: {role: db}\n"
    }
    elsewhere = replace(GUEST, guest_of="pve2")

    assert labels_of(loaded(tree), GUEST) == {"role": "db"}
    assert effective(tree, GUEST).settings.updates == "none"
    found = effective(tree, GUEST).host
    assert found is not None
    assert (found.value.name, found.value.guest_of) == ("pve1/wiki", "pve1")
    for other in (elsewhere, HostFacts("wiki", {"role": "web"}, "debian", "12", "apt")):
        assert labels_of(loaded(tree), other) == {"role": "web"}
        assert effective(tree, other).settings.updates == "all"


@pytest.mark.parametrize(
    ("match", "is_meant"),
    [
        ({"name": "101"}, True),
        ({"name": "web-*"}, True),
        ({"name": "Web-Ä"}, False),
        ({"not": {"name": "web-01"}}, False),
        ({"not": {"name": "101"}}, False),
        ({"name": "pve1/101"}, False),
    ],
)
def test_a_guest_is_matched_by_its_id_and_by_what_it_is_called(
    match: dict[str, object], *, is_meant: bool
) -> None:
    guest = HostFacts("101", {}, "", "", "", guest_of="pve1", called="web-01")
    found = Match.model_validate(match)

    assert selects(found, guest, {}) is is_meant
    assert bool(MatchIndex([found]).select(guest, {})) is is_meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: pve1/101\nreport_key: KEY", "is of a guest, whose reports its hypervisor signs"),
        ("name: pve1/101/2", "is not a host id"),
        ("name: pve1/", "is not a host id"),
        ("name: PVE1/101", "is not a host id"),
        ("name: pve1/a..b", "cannot name a git branch"),
        ("name: pve1.lock/101", "cannot name a git branch"),
    ],
)
def test_a_document_that_can_be_of_no_guest_is_refused(text: str, said: str) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0tVgMq3VtCN1jKQ7d0kk3cIVJkC1rEwXo5l2sBRoCk"
    found = refused({"hosts/h.yaml": f"kind: Host\n{text.replace('KEY', key)}\n"})

    assert any(said in problem for problem in found)


def test_exceptions_freezes_and_approvals_are_selected_by_match() -> None:
    freeze = "kind: Freeze\nname: {}\nmatch: {{name: {}}}\n"
    freeze += "from: 2026-12-20\nuntil: 2026-12-21\ntimezone: UTC\nreason: r\n"
    exception = "kind: Exception\nname: {}\nmatch: {{name: {}}}\n"
    exception += "packages: a\naction: hold\nreason: r\nexpires: 2000-01-01\n"
    approval = (
        "kind: Approval\nname: {}\nmatch: {{name: {}}}\nplan: sha256:" + "0" * 64 + "\nexpires: 2000-01-01\n"
    )
    tree = {
        f"{folder}/x.yaml": text.format("b", "web-*")
        + "---\n"
        + text.format("a", "web-01")
        + "---\n"
        + text.format("c", "db")
        for folder, text in (("freezes", freeze), ("exceptions", exception), ("approvals", approval))
    }
    found = effective(tree)

    assert [one.value.name for one in found.exceptions] == ["a", "b"]
    assert [one.value.name for one in found.freezes] == ["a", "b"]
    assert [one.value.name for one in found.approvals] == ["a", "b"]
    start, end = datetime(2026, 12, 20, tzinfo=UTC), datetime(2026, 12, 22, tzinfo=UTC)
    assert found.frozen == tuple(
        windows.Freeze(placed.value.name, start, end, "none", "r", str(placed.origin))
        for placed in found.freezes
    )


def test_schedules_are_ready_to_be_asked_in_the_order_the_policy_names_them() -> None:
    ics = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:a\r\nDTSTAMP:20260101T000000Z\r\n"
        "DTSTART:20260110T210000\r\nDURATION:PT4H\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    rule = '- {rrule: "FREQ=MONTHLY;BYDAY=2TU", at: "22:00", offset: 4d, duration: 4h}\n'
    rule += '- {cron: "0 2 * * 0", duration: 2h}\n'
    tree = policies("schedule: [rules, night, board]") | {
        "schedules/n.yaml": MIDNIGHT,
        "schedules/r.yaml": f"kind: Schedule\nname: rules\ntimezone: Europe/Berlin\nwindows:\n{rule}",
        "schedules/b.yaml": "kind: Schedule\nname: board\ntimezone: UTC\nwindows: [{ics: calendars/b.ics}]\n",
        "calendars/b.ics": ics,
    }
    found = effective(tree)

    assert [schedule.name for schedule in found.schedules] == ["rules", "night", "board"]
    starts = {
        (one.schedule, one.start)
        for one in windows.occurrences(
            found.schedules, datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 1, 18, tzinfo=UTC)
        )
    }
    assert ("rules", datetime(2026, 1, 17, 21, tzinfo=UTC)) in starts
    assert ("rules", datetime(2026, 1, 11, 1, tzinfo=UTC)) in starts
    assert ("night", datetime(2026, 1, 12, 2, tzinfo=UTC)) in starts
    assert ("board", datetime(2026, 1, 10, 21, tzinfo=UTC)) in starts


# --- properties: layering against an oracle that is written differently, and independence of order

LEAVES = {
    "updates": ["all", "security", "none"],
    "upgrade": ["safe", "full"],
    "reboot.when": ["never", "always"],
    "reboot.max_per_window": ["1", "2"],
    "health.units": ["[a]", "[b]", "[]"],
    "min_age.other": ["1d", "2d"],
}
bodies = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=3),
        st.booleans(),
        st.dictionaries(st.sampled_from(sorted(LEAVES)), st.integers(min_value=0, max_value=2), max_size=4),
    ),
    max_size=6,
)
Body = tuple[int, bool, dict[str, int]]


def written(index: int, body: Body) -> str:
    priority, is_matching, chosen = body
    lines = [
        f"kind: Policy\nname: p{index}\npriority: {priority}",
        f"match: {{name: {'web-01' if is_matching else 'no'}}}",
    ]
    parents: dict[str, list[str]] = {}
    for key, choice in chosen.items():
        value = LEAVES[key][choice % len(LEAVES[key])]
        parent, _, leaf = key.rpartition(".")
        parents.setdefault(parent, []).append(f"{leaf}: {value}")
    lines += parents.pop("", [])
    lines += [f"{parent}: {{{', '.join(leaves)}}}" for parent, leaves in parents.items()]
    return "\n".join(lines) + "\n"


def oracle(found: list[Body], key: str) -> tuple[str, str | None]:
    """Say where a leaf stands: ("set", value), ("ambiguous", None) or ("default", None)."""
    values: dict[int, set[str]] = {}
    for priority, is_matching, chosen in found:
        if is_matching and key in chosen:
            values.setdefault(priority, set()).add(LEAVES[key][chosen[key] % len(LEAVES[key])])
    if not values:
        return "default", None
    top = values[max(values)]
    return ("set", top.pop()) if len(top) == 1 else ("ambiguous", None)


@given(bodies)
@examples(150)
def test_layering_agrees_with_an_independent_oracle(found: list[Body]) -> None:
    tree = {f"policies/{index}.yaml": written(index, body) for index, body in enumerate(found)}
    result = effective(tree)
    dumped = result.settings.model_dump(mode="json")

    for key in LEAVES:
        parent, _, leaf = key.rpartition(".")
        value = dumped[parent][leaf] if parent else dumped[leaf]
        state, expected = oracle(found, key)
        assert (key in result.origins) == (state == "set")
        assert (key in {one.key for one in result.ambiguities}) == (state == "ambiguous")
        if state == "set":
            shown = f"[{', '.join(value)}]" if isinstance(value, list) else str(value)
            assert shown == expected
        else:
            default = Settings().model_dump(mode="json")
            assert value == (default[parent][leaf] if parent else default[leaf])


@given(bodies, st.randoms(use_true_random=False))
@examples(60)
def test_neither_files_nor_documents_have_an_order(found: list[Body], random: Random) -> None:
    texts = [written(index, body) for index, body in enumerate(found)]
    shuffled = list(texts)
    random.shuffle(shuffled)

    one = effective({"policies/a.yaml": "---\n".join(texts) or "---\nkind: Policy\nname: x\n"})
    other = effective({"policies/a.yaml": "---\n".join(shuffled) or "---\nkind: Policy\nname: x\n"})

    assert one.settings == other.settings
    assert [name for name, _ in one.policies] == [name for name, _ in other.policies]
    assert [ambiguity.key for ambiguity in one.ambiguities] == [
        ambiguity.key for ambiguity in other.ambiguities
    ]
    assert set(one.origins) == set(other.origins)


@given(bodies)
@examples(60)
def test_one_resolver_answers_many_hosts_as_fresh_ones_do(found: list[Body]) -> None:
    revision = loaded({f"policies/{index}.yaml": written(index, body) for index, body in enumerate(found)})
    resolver = Resolver(revision)

    for host in (WEB, GUEST, WEB):
        assert resolver.resolve(host) == resolve(revision, host)


# --- overlaps


def overlaps(*bodies: str, host: str = "") -> tuple[list[str], list[str]]:
    tree = policies(*bodies) | ({"hosts/h.yaml": host} if host else {})
    problems, warnings = check_overlaps(loaded(tree))
    return [str(one) for one in problems], [str(one) for one in warnings]


HOST = "kind: Host\nname: web-01\nlabels: {env: prod, role: web}\n"
PROD, ROLE = "match: {labels: {env: prod}}\nupdates: none", "match: {labels: {role: web}}\nupdates: all"


def test_an_overlap_that_a_known_host_meets_is_a_problem_with_both_places() -> None:
    assert overlaps(PROD, ROLE, host=HOST) == (
        [
            (
                "policies/p.yaml:9: updates: Policy p1 and Policy p0 (policies/p.yaml:4) set this differently"
                " with the same priority 0, and both match web-01 (give one of them a higher priority)"
            )
        ],
        [],
    )


def test_an_overlap_that_some_host_could_meet_is_a_warning() -> None:
    problems, warnings = overlaps(PROD, ROLE)

    assert problems == []
    assert len(warnings) == 1
    assert "one host could match both" in warnings[0]


def test_a_stronger_policy_that_decides_for_the_known_host_leaves_a_warning() -> None:
    problems, warnings = overlaps(
        PROD, ROLE, "priority: 1\nmatch: {name: web-*}\nupdates: security", host=HOST
    )

    assert problems == []
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("match: {labels: {env: prod}}\nupdates: none", "match: {labels: {env: test}}\nupdates: all"),
        ("match: {name: 'web-*'}\nupdates: none", "match: {name: 'db-*'}\nupdates: all"),
        ("match: {name: 'web-*'}\nupdates: none", "match: {name: db-01}\nupdates: all"),
        ("match: {manager: apt}\nupdates: none", "match: {manager: [dnf, zypper]}\nupdates: all"),
        ("match: {os: debian}\nupdates: none", "match: {os: ubuntu-22.04}\nupdates: all"),
        ("match: {not: {name: 'db-*'}}\nupdates: none", "match: {name: 'db-*'}\nupdates: all"),
        (
            "match: {not: {labels: {a: b}}}\nupdates: none",
            "match: {labels: {a: b}, manager: apt}\nupdates: all",
        ),
        ("match: {not: {guest_of: '*'}}\nupdates: none", "match: {guest_of: 'pve*'}\nupdates: all"),
        (
            "match: {guest_of: a, name: '101'}\nupdates: none",
            "match: {guest_of: a, name: '102'}\nupdates: all",
        ),
        ("match: {guest_of: a, name: web}\nupdates: none", "match: {guest_of: a, name: db}\nupdates: all"),
        ("priority: 1\nupdates: none", "updates: all"),
        ("updates: none", "upgrade: full"),
    ],
)
def test_policies_that_cannot_clash_are_left_in_peace(first: str, second: str) -> None:
    assert overlaps(first, second, host=HOST) == ([], [])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("match: {os: debian}\nupdates: none", "match: {os: debian-12}\nupdates: all"),
        ("match: {name: 'web-*'}\nupdates: none", "match: {name: '*-02'}\nupdates: all"),
        ("match: {not: {name: 'db-1*'}}\nupdates: none", "match: {name: 'db-*'}\nupdates: all"),
        ("match: {manager: apt}\nupdates: none", "match: {labels: {env: prod}}\nupdates: all"),
        ("match: {guest_of: a, name: '101'}\nupdates: none", "match: {guest_of: a, name: web}\nupdates: all"),
        ("match: {guest_of: a, name: '101'}\nupdates: none", "match: {name: web}\nupdates: all"),
    ],
)
def test_where_it_depends_there_is_a_warning(first: str, second: str) -> None:
    problems, warnings = overlaps(first, second, host=HOST)

    assert problems == []
    assert len(warnings) == 1


names = st.sampled_from(["web-01", "web-*", "db-*", "*"])
labels = st.dictionaries(st.sampled_from(["env", "role"]), st.sampled_from(["prod", "web", "w*"]), max_size=2)
facts = st.builds(
    lambda name, own: HostFacts(name, own, "debian", "12", "apt"),
    st.sampled_from(["web-01", "db-01"]),
    st.dictionaries(st.sampled_from(["env", "role"]), st.sampled_from(["prod", "web"])),
)


@given(
    st.lists(st.tuples(names, labels, st.booleans(), st.sampled_from(LEAVES["updates"])), max_size=5),
    st.lists(facts, max_size=4),
)
@examples(150)
def test_whatever_is_ambiguous_on_some_host_was_told_by_check(
    found: list[tuple[str, dict[str, str], bool, str]], hosts: list[HostFacts]
) -> None:
    texts = []
    for name, wanted, is_negated, updates in found:
        pairs = ", ".join(f"{key}: {value!r}" for key, value in wanted.items())
        inner = f"name: {name!r}" + (f", labels: {{{pairs}}}" if pairs else "")
        texts.append(f"match: {{{f'not: {{{inner}}}' if is_negated else inner}}}\nupdates: {updates}")
    revision = loaded(policies(*texts) if texts else {})
    problems, warnings = check_overlaps(revision)

    ambiguous = any(resolve(revision, host).ambiguities for host in hosts)

    assert problems == ()
    assert warnings or not ambiguous


asked = {
    "name": st.lists(names, min_size=1, max_size=2),
    "labels": st.dictionaries(
        st.sampled_from(["env", "role"]), st.sampled_from(["prod", "web", "w*"]), min_size=1, max_size=2
    ),
    "os": st.lists(st.sampled_from(["debian", "debian-12", "debian-*", "ubuntu-22.04", "*"]), min_size=1),
    "manager": st.lists(st.sampled_from(["apt", "dnf"]), min_size=1, max_size=2),
    "guest_of": st.lists(st.sampled_from(["pve-1", "pve-*"]), min_size=1, max_size=2),
}
match_keys = st.recursive(
    st.fixed_dictionaries({}, optional=asked),
    lambda inner: st.fixed_dictionaries({}, optional={**asked, "not": inner.filter(bool)}),
    max_leaves=3,
)
machines = st.builds(
    lambda known, os, manager, guest_of: HostFacts(known.name, known.labels, os[0], os[1], manager, guest_of),
    facts,
    st.sampled_from([("debian", "12"), ("debian", ""), ("ubuntu", "22.04"), ("", "")]),
    st.sampled_from(["apt", "dnf", ""]),
    st.sampled_from([None, "pve-1", "xen"]),
)


@given(st.lists(match_keys, max_size=6), st.lists(machines, min_size=1, max_size=4))
@examples(300)
def test_the_index_selects_exactly_what_asking_each_match_selects(
    wanted: list[dict[str, Any]], hosts: list[HostFacts]
) -> None:
    matches = [Match.model_validate(match) for match in wanted]
    index = MatchIndex(matches)

    for host in hosts:
        found = index.select(host, host.labels)

        assert found == [place for place, match in enumerate(matches) if selects(match, host, host.labels)]


def test_hosts_of_one_class_are_treated_alike_whatever_their_names_and_labels() -> None:
    tree = {
        **policies("match: {labels: {env: prod}}\nupdates: none", "match: {name: 'web-*'}\naction: apply"),
        "hosts/h.yaml": "kind: Host\nname: web-03\nlabels: {env: prod}\n",
    }
    resolver = Resolver(loaded(tree))
    alike = [
        HostFacts("web-01", {"env": "prod", "rack": "7"}, "debian", "12", "apt"),
        HostFacts("web-02", {"env": "prod", "rack": "8"}, "ubuntu", "22.04", "apt"),
        HostFacts("web-03", {}, "debian", "12", "apt"),
    ]

    assert len({resolver.class_of(host) for host in alike}) == 1
    assert len({id(resolver.resolve(host).settings) for host in alike}) == 1
    assert resolver.resolve(alike[2]).host is not None
    other = HostFacts("db-01", {"env": "prod"}, "debian", "12", "apt")
    assert resolver.class_of(other) != resolver.class_of(alike[0])
