"""Reading what a policy repository expects of itself, and everything that is wrong with it."""

from datetime import UTC, datetime

from reconciler.policy.expectation import Expectation, read_expectations
from reconciler.policy.load import PolicyFile
from reconciler.policy.placement import LINK
from tests.policy.trees import MIDNIGHT, files, loaded, refused

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
_NO_DEADLINE = (
    "names no deadline, so that nothing could fail (write how long it may be, such as `security: 14d`)"
)


def one(text: str) -> Expectation:
    found = read_expectations(files({"expectations/e.yaml": f"kind: Expectation\nname: e\n{text}"}))
    assert found.problems == ()
    return found.placed[0].value


def told(*texts: str, name: str = "expectations/e.yaml") -> list[str]:
    text = "---\n".join(f"kind: Expectation\nname: e{number}\n{text}" for number, text in enumerate(texts))
    return [str(problem) for problem in read_expectations(files({name: text})).problems]


def test_a_moment_a_day_and_a_time_are_spans_of_its_zone() -> None:
    expect = "timezone: Europe/Berlin\nexpect: {action: apply}\n"
    moment, day = one(f'at: ["2026-12-06 03:00", 2026-12-07]\n{expect}').spans(NOW)
    assert moment.is_moment
    assert moment.start == datetime(2026, 12, 6, 2, tzinfo=UTC)
    assert (day.start, day.end) == (
        datetime(2026, 12, 6, 23, tzinfo=UTC),
        datetime(2026, 12, 7, 23, tzinfo=UTC),
    )
    (month,) = one(f"from: 2026-12-01\nuntil: 2026-12-31\n{expect}").spans(NOW)
    assert (month.start, month.end) == (
        datetime(2026, 11, 30, 23, tzinfo=UTC),
        datetime(2026, 12, 31, 23, tzinfo=UTC),
    )
    (year,) = one("expect: {action: apply}\n").spans(NOW)
    assert (year.start, (year.end - year.start).days) == (NOW, 366)


def test_what_could_not_fail_or_is_about_no_host_is_told() -> None:
    assert told(
        "expect: {deadline: {}}\n",
        "expect: {deadline: {security: none}}\n",
        "assume: {os: 'debian-*'}\nexpect: {action: apply}\n",
        "hosts: [{name: a, labels: {env: '*'}}]\nexpect: {action: apply}\n",
    ) == [
        f"expectations/e.yaml:3: expect.deadline: {_NO_DEADLINE}",
        f"expectations/e.yaml:7: expect.deadline: {_NO_DEADLINE}",
        (
            "expectations/e.yaml:11: assume.os: is a pattern, and a host has one system"
            " (write ID-VERSION, such as debian-12)"
        ),
        (
            "expectations/e.yaml:16: hosts[0].labels.env: is a pattern, and a host has one value"
            " (write that, and another host)"
        ),
    ]


def test_all_that_is_wrong_is_told_with_its_place() -> None:
    assert told(
        "expect: {}\n",
        "from: 2026-12-01\nexpect: {action: apply}\n",
        "from: 2026-12-02\nuntil: 2026-12-01\nexpect: {action: apply}\n",
        "at: 2026-12-01\nfrom: 2026-12-01\nuntil: 2026-12-02\nexpect: {action: apply}\n",
        "expect: {acton: apply, held: ['ngi nx']}\n",
        "expect: {may_apply: everything}\n",
        "",
    ) == [
        "expectations/e.yaml:3: expect: is empty, so that nothing could fail (write what must hold)",
        "expectations/e.yaml:7: from: goes with `until` (write both, or `at`)",
        "expectations/e.yaml:13: until: is not after `from` (a bare date lasts through its whole day)",
        "expectations/e.yaml:18: at: does not go with `from` and `until` (write a second Expectation)",
        "expectations/e.yaml:25: expect.acton: is not a key here (did you mean action?)",
        (
            'expectations/e.yaml:25: expect.held[0]: "ngi nx" is not a package name'
            ' (write "name", "name:arch" or "name=version", without patterns)'
        ),
        'expectations/e.yaml:29: expect.may_apply: "everything" is not one of all, security, none',
        "expectations/e.yaml:31: expect: is required",
    ]


def test_what_would_not_be_read_is_told_and_never_passed_over() -> None:
    fine = b"kind: Expectation\nname: e\nexpect: {action: apply}\n"
    tree = [
        PolicyFile("expectations/a.yml", "100644", fine),
        PolicyFile("expectations/deep/b.yaml", "100644", fine),
        PolicyFile("expectations/c.yaml", LINK, b"d.yaml"),
        PolicyFile("expectations/d.yaml", "100644", b"", unread=9_000_000),
        PolicyFile("expectations/e.yaml", "100644", b"kind: Policy\nname: p\n"),
        PolicyFile("expectations/f.yaml", "100644", fine),
        PolicyFile("expectations/g.yaml", "100644", fine),
        PolicyFile("policies/p.yaml", "100644", b"kind: Policy\nname: p\n"),
    ]
    assert [str(problem) for problem in read_expectations(tree).problems] == [
        "expectations/a.yml:1: is not read (name it expectations/NAME.yaml)",
        "expectations/c.yaml:1: is no file (put the file itself here)",
        "expectations/d.yaml:1: has 9,000,000 bytes and is not read (split it)",
        "expectations/deep/b.yaml:1: is not read (name it expectations/NAME.yaml)",
        'expectations/e.yaml:1: kind: "Policy" is no kind of document here (write `kind: Expectation`)',
        'expectations/g.yaml:2: name: Expectation "e" exists already at expectations/f.yaml:1',
    ]


def test_hosts_ignore_expectations_however_wrong_and_still_see_policy_in_their_folder() -> None:
    policy = {"policies/p.yaml": "kind: Policy\nname: p\nschedule: night\n", "schedules/s.yaml": MIDNIGHT}
    revision = loaded({**policy, "expectations/e.yaml": "kind: Expectation\nname: e\nexpect: {acton: 1}\n"})
    assert (revision.misplaced, revision.warnings) == ((), ())
    freeze = (
        "kind: Freeze\nname: f\nfrom: 2026-12-20\nuntil: 2026-12-24\ntimezone: UTC\nreason: r\n"  # never read
    )
    (problem,) = refused({**policy, "expectations/f.yaml": freeze})
    assert "expectations/f.yaml:1: kind: is a document of kind Freeze in a place that is not read" in problem
