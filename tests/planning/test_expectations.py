"""What a policy does at some time, against what its authors expect of it."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.planning.resolving.expectations import JudgedExpectation, Unmet, judge
from reconciler.policy.expectation import read_expectations
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import Resolver
from reconciler.policy.windows import next_opening
from tests.policy.trees import MIDNIGHT, Tree, files, loaded

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)

POLICY: Tree = {
    "policies/all.yaml": "kind: Policy\nname: all\naction: apply\nschedule: night\n",
    "policies/db.yaml": (
        "kind: Policy\nname: db\npriority: 50\nmatch: {labels: {role: db}}\naction: download\n"
        "approval: required\ndeadline: {security: 14d}\n"
    ),
    "schedules/night.yaml": MIDNIGHT,
    "hosts/hosts.yaml": (
        "kind: Host\nname: db-1\nlabels: {role: db}\n---\nkind: Host\nname: web-1\nlabels: {role: web}\n"
    ),
    "freezes/year-end.yaml": (
        "kind: Freeze\nname: year-end\nfrom: 2026-12-01\nuntil: 2026-12-31\ntimezone: UTC\nreason: r\n"
    ),
    "freezes/june.yaml": (
        "kind: Freeze\nname: june\nfrom: 2026-06-01\nuntil: 2026-06-30\ntimezone: UTC\nreason: r\n"
        "allow: security\n"
    ),
    "exceptions/nginx.yaml": (
        "kind: Exception\nname: nginx\npackages: [nginx*]\naction: hold\nreason: r\nexpires: 2026-07-31\n"
    ),
    "exceptions/curl.yaml": (
        "kind: Exception\nname: curl\npackages: curl\nversions: '>= 8.0'\naction: block\nreason: r\n"
        "expires: 2026-07-31\n"
    ),
}
WEB = "match: {name: web-1}\n"
WEEK = "window_within: 7d"
DB = "match: {name: db-1}\n"


def judged(text: str, policy: Tree = POLICY) -> JudgedExpectation:
    found = read_expectations(files({"expectations/e.yaml": f"kind: Expectation\nname: e\n{text}"}))
    assert found.problems == ()
    (only,) = judge(loaded(policy), found.placed, NOW)
    return only


def messages(text: str, policy: Tree = POLICY) -> list[str]:
    return [f"{one.host}: {one.key}: {one.message}" for one in judged(text, policy).failures]


@pytest.mark.parametrize(
    ("kinds", "at", "most"),
    [
        ("bugfix", "2026-05-02", "all"),
        ("bugfix", "2026-06-02", "none"),  # a freeze lets nothing through that policy does not want
        ("[security, bugfix]", "2026-05-02", "all"),
        ("[security, bugfix]", "2026-06-02", "security"),
        ("security", "2026-05-02", "security"),
        ("security", "2026-06-02", "security"),
    ],
)
def test_kinds_of_updates_count_for_what_may_be_applied(kinds: str, at: str, most: str) -> None:
    narrowed = {**POLICY, "policies/kinds.yaml": f"kind: Policy\nname: kinds\npriority: 9\nkinds: {kinds}\n"}
    assert messages(f"{WEB}at: {at}\nexpect: {{may_apply: {most}}}\n", narrowed) == []


@pytest.mark.parametrize(
    "text",
    [
        f"{WEB}expect: {{action: apply, updates: [all, security], approval: none, severity: low}}\n",
        f"{DB}expect: {{action: [plan, download], approval: required, deadline: {{security: 14d}}}}\n",
        f"{DB}expect: {{deadline: {{security: 3w, other: none}}}}\n",
        f"{WEB}at: '2026-05-02 03:00'\nexpect: {{may_apply: all}}\n",
        f"{WEB}at: '2026-05-02 04:31'\nexpect: {{may_apply: none}}\n",
        f"{WEB}at: 2026-05-02\nexpect: {{may_apply: all}}\n",
        f"{WEB}at: 2026-06-02\nexpect: {{may_apply: security}}\n",
        f"{WEB}assume: {{manager: pacman}}\nat: 2026-06-02\nexpect: {{may_apply: none}}\n",
        f"{WEB}from: 2026-12-01\nuntil: 2026-12-31\nexpect: {{may_apply: none}}\n",
        f"{WEB}from: 2026-12-01\nuntil: 2027-01-01\nexpect: {{may_apply: all}}\n",
        f"{DB}expect: {{may_apply: none}}\n",
        f"{WEB}from: 2026-05-01\nuntil: 2026-05-30\nexpect: {{window_within: 1d}}\n",
        f"{WEB}at: ['2026-06-30 23:00']\nexpect: {{held: [nginx, 'nginx-core:amd64']}}\n",
        f"{WEB}at: 2026-07-31\nexpect: {{held: nginx, not_held: openssl}}\n",
        f"{WEB}at: 2026-08-01\nexpect: {{not_held: [nginx, curl]}}\n",
        f"{WEB}assume: {{manager: apt}}\nat: 2026-07-31\nexpect: {{held: curl=8.1, not_held: curl=7.9-1}}\n",
    ],
)
def test_what_holds_passes(text: str) -> None:
    assert judged(text).failures == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f"{WEB}expect: {{action: [plan, download], updates: security}}\n",
            [
                "web-1: updates: is all (default), expected security",
                "web-1: action: is apply (policies/all.yaml:3), expected plan or download",
            ],
        ),
        (
            f"{WEB}expect: {{severity: [moderate, important]}}\n",
            ["web-1: severity: is low (default), expected moderate or important"],
        ),
        (
            f"{DB}expect: {{deadline: {{security: 7d, other: 30d}}}}\n",
            [
                "db-1: deadline.other: is none (default), expected at most 30d",
                "db-1: deadline.security: is 14d (policies/db.yaml:7), expected at most 7d",
            ],
        ),
        (
            f"{WEB}at: 2026-05-02\nexpect: {{may_apply: none}}\n",
            [
                (
                    "web-1: may_apply: is all, expected none:"
                    " a run may begin 2026-05-02 02:00 UTC, in a window of Schedule night"
                )
            ],
        ),
        (
            f"{WEB}at: 2026-12-24\nexpect: {{may_apply: security}}\n",
            [
                (
                    "web-1: may_apply: is none, expected security:"
                    " after 2026-12-24 00:00 UTC a run may begin 2027-01-01 02:00 UTC at first,"
                    " kept back by year-end"
                )
            ],
        ),
        (
            f"{DB}expect: {{may_apply: all}}\n",
            ["db-1: may_apply: is none, expected all: action is download (policies/db.yaml:5)"],
        ),
        (
            f"{WEB}timezone: Europe/Berlin\nfrom: 2026-11-01\nuntil: 2027-01-31\nexpect: {{{WEEK}}}\n",
            [
                (
                    "web-1: window_within: after 2026-11-30 05:30 CET the next window in which a run may"
                    " begin: 2027-01-01 03:00 CET; expected within 7d"
                )
            ],
        ),
        (
            f"{WEB}from: 2026-07-01\nuntil: 2026-08-02\nexpect: {{held: [nginx, curl, bash]}}\n",
            [
                "web-1: held: nginx: Exception nginx (exceptions/nginx.yaml:1) ends 2026-08-01 00:00 UTC",
                (
                    "web-1: held: curl: Exception curl (exceptions/curl.yaml:1) is about some versions alone;"
                    " write NAME=VERSION"
                ),
                "web-1: held: bash: no exception holds or blocks it",
            ],
        ),
        (
            f"{WEB}from: 2026-07-31\nuntil: 2026-08-02\nexpect: {{not_held: [curl, nginx]}}\n",
            [
                (
                    "web-1: not_held: curl: Exception curl (exceptions/curl.yaml:1) holds it"
                    " until 2026-08-01 00:00 UTC"
                ),
                (
                    "web-1: not_held: nginx: Exception nginx (exceptions/nginx.yaml:1) holds it"
                    " until 2026-08-01 00:00 UTC"
                ),
            ],
        ),
    ],
)
def test_what_does_not_hold_is_told_with_the_line_behind_it(text: str, told: list[str]) -> None:
    assert messages(text) == told


def test_an_expectation_about_no_host_fails() -> None:
    found = judged("match: {labels: {role: mail}}\nexpect: {action: apply}\n")
    assert found.hosts == ()
    assert found.failures == (
        Unmet("", "match", "is about no host: `match` selects no Host document, and `hosts` makes up none"),
    )


def test_made_up_hosts_are_judged_alone_or_beside_those_of_the_policy() -> None:
    made = "hosts:\n- {name: db-9, labels: {role: db}}\n"
    assert judged(f"{made}expect: {{action: download}}\n").hosts == ("db-9",)
    both = judged(f"match: {{name: 'db-*'}}\n{made}expect: {{action: download}}\n")
    assert (both.hosts, both.failures) == (("db-1", "db-9"), ())
    assert judged("expect: {approval: [none]}\n".replace("[none]", "required")).hosts == ("db-1", "web-1")


@pytest.mark.parametrize(
    ("wanted", "assumed", "reached"),
    [
        ("debian-12", "debian-12", True),
        ("debian-12", "debian-13", False),
        ("debian", "debian-12", True),
        ("opensuse-leap", "opensuse-leap-15.6", True),
        ("opensuse-leap-15.*", "opensuse-leap-15.6", True),
        ("opensuse", "opensuse-leap-15.6", False),
        ("opensuse-tumbleweed", "opensuse-tumbleweed", True),
        ("arch", "arch", True),
    ],
)
def test_a_system_is_taken_apart_as_hosts_tell_theirs(wanted: str, assumed: str, *, reached: bool) -> None:
    more = f"kind: Policy\nname: o\npriority: 60\nmatch: {{os: {wanted}}}\nupdates: none\n"
    text = f"{WEB}assume: {{os: {assumed}}}\nexpect: {{updates: {'none' if reached else 'all'}}}\n"
    assert messages(text, {**POLICY, "policies/o.yaml": more}) == []


@pytest.mark.parametrize("wanted", ["debian-12", "debian-*", "[x, debian-1?]"])
def test_a_version_that_nobody_says_decides_nothing_in_silence(wanted: str) -> None:
    more = f"kind: Policy\nname: o\npriority: 60\nmatch: {{os: {wanted}}}\nupdates: none\n"
    text = f"{WEB}assume: {{os: debian}}\nexpect: {{updates: all}}\n"
    said = "nothing says which version of debian the host has; write it in `assume`"
    assert messages(text, {**POLICY, "policies/o.yaml": more}) == [
        f"web-1: os: Policy o (policies/o.yaml:1) matches on a version, and {said}"
    ]


def test_what_nobody_says_of_a_host_decides_nothing_in_silence() -> None:
    rhel = (
        "kind: Policy\nname: rhel\npriority: 60\nmatch: {not: {os: 'debian-*', manager: apt}}\naction: plan\n"
    )
    policy = {**POLICY, "policies/rhel.yaml": rhel}
    assert messages(f"{WEB}expect: {{action: apply}}\n", policy) == [
        (
            "web-1: os: Policy rhel (policies/rhel.yaml:1) matches on os,"
            " and nothing says which the host has; write it in `assume`"
        ),
        (
            "web-1: manager: Policy rhel (policies/rhel.yaml:1) matches on manager,"
            " and nothing says which the host has; write it in `assume`"
        ),
    ]
    said = "assume: {os: debian-12, manager: apt}\n"
    assert messages(f"{WEB}{said}expect: {{action: apply}}\n", policy) == []


def test_policies_that_contradict_each_other_are_no_value() -> None:
    policy = {**POLICY, "policies/too.yaml": "kind: Policy\nname: too\naction: plan\n"}
    found = messages(f"{WEB}expect: {{action: plan, may_apply: all}}\n", policy)
    assert [message.partition(": Policy")[0] for message in found] == [
        "web-1: action: is ambiguous",
        "web-1: may_apply: is none, expected all: action is ambiguous",
    ]


def test_windows_without_end_are_an_answer() -> None:
    policy = {**POLICY, "policies/all.yaml": "kind: Policy\nname: all\naction: apply\n"}
    assert messages(f"{WEB}expect: {{window_within: 1d, may_apply: all}}\n", policy) == [
        "web-1: may_apply: is none, expected all: there is no schedule (default)",
        (
            "web-1: window_within: after 2026-05-01 12:00 UTC the next window in which a run may begin:"
            " none opens within five years; expected within 1d"
        ),
    ]


@pytest.mark.parametrize("packages", ["libc6:i386", "lib*:amd64", "[zlib1g, 'libc?:i386']"])
def test_a_package_that_is_held_in_one_architecture_is_held_at_times_and_not_always(packages: str) -> None:
    exception = (
        f"kind: Exception\nname: x\npackages: {packages}\naction: hold\nreason: r\nexpires: 2026-07-31\n"
    )
    policy = {**POLICY, "exceptions/x.yaml": exception}
    said = messages(f"{WEB}at: 2026-07-01\nexpect: {{not_held: libc6}}\n", policy)
    assert said == [
        "web-1: not_held: libc6: Exception x (exceptions/x.yaml:1) holds it until 2026-08-01 00:00 UTC"
    ]
    assert messages(f"{WEB}at: 2026-07-01\nexpect: {{held: libc6}}\n", policy) != []
    assert messages(f"{WEB}at: 2026-07-01\nexpect: {{not_held: 'libc6:s390x'}}\n", policy) == []


DELAYED: Tree = {
    "policies/all.yaml": "kind: Policy\nname: all\naction: apply\nschedule: night\n",
    "schedules/night.yaml": (
        "kind: Schedule\nname: night\ntimezone: UTC\nwindows:\n- {start: '02:00', duration: 3h, splay: 1h}\n"
    ),
    "hosts/hosts.yaml": "---\n".join(f"kind: Host\nname: web-{number:02}\n" for number in range(40)),
}


def delay(host: str) -> timedelta:
    schedules = Resolver(loaded(DELAYED)).resolve(HostFacts(host, {}, "", "", "")).schedules
    opening = next_opening(schedules, NOW, splay_key=host)
    assert opening is not None
    return opening.start - datetime(2026, 5, 2, 2, tzinfo=UTC)


def test_each_host_is_judged_by_its_own_delay() -> None:
    """A run may begin until 4:30, half an hour before the end; the next day from 2:00 and the delay on."""
    told = judged("expect: {window_within: 22h}\n", DELAYED)

    late = {host for host in told.hosts if delay(host) > timedelta(minutes=30)}
    assert 0 < len(late) < len(told.hosts) == 40
    assert {one.host for one in told.failures} == late
    for one in told.failures:
        begins = datetime(2026, 5, 3, 2, tzinfo=UTC) + delay(one.host)
        assert f"the next window in which a run may begin: {begins:%Y-%m-%d %H:%M} UTC" in one.message


@pytest.mark.parametrize(("within", "minutes"), [("21h30m", 0), ("22h15m", 45), ("22h30m", 60), ("23h", 90)])
def test_a_host_fails_whose_delay_is_too_long(within: str, minutes: int) -> None:
    told = judged(f"expect: {{window_within: {within}}}\n", DELAYED)

    late = {host for host in told.hosts if delay(host) > timedelta(minutes=minutes)}
    assert {one.host for one in told.failures} == late


def test_hosts_that_are_told_the_same_fail_for_the_same() -> None:
    policy = {**DELAYED, "schedules/night.yaml": MIDNIGHT}
    told = judged("expect: {window_within: 12h, action: plan}\n", policy)

    assert [one.host for one in told.failures] == [host for host in told.hosts for _ in range(2)]
    assert len({(one.key, one.message) for one in told.failures}) == 2


def test_labels_that_hosts_say_of_themselves_are_assumed() -> None:
    own = "match: {labels: {ring: early}}\nassume: {labels: {ring: early, role: web}}\n"

    told = judged(f"{own}expect: {{action: apply}}\n")

    # The document of db-1 says which role it has, whatever it would say itself.
    assert told.hosts == ("db-1", "web-1")
    assert {(one.host, one.key) for one in told.failures} == {("db-1", "action")}
