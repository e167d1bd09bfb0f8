"""Whose reports count, when a host is enrolled, gets another key, is retired, and comes back."""

from dataclasses import replace

import pytest

from reconciler.policy.enrolment import Enrolment, Standing, Told
from reconciler.policy.problems import Problem
from reconciler.policy.signers import Revocation

OLD, NEW, EVE = "SHA256:old", "SHA256:new", "SHA256:eve"
# The host is enrolled, gets a new key, is retired, and enrolled again.
CHANGES = ((1, OLD), (3, NEW), (4, ""), (5, NEW))


def after(commits: int) -> Enrolment:
    """Return the keys as they stood after so many commits."""
    return Enrolment({f"p{at}": at for at in range(commits)}, [one for one in CHANGES if one[0] < commits])


HISTORY = after(6)


@pytest.mark.parametrize(
    ("policy", "key", "standing"),
    [
        ("p0", OLD, Standing.UNENROLLED),
        ("p1", OLD, Standing.FORMER_KEY),
        ("p2", OLD, Standing.FORMER_KEY),
        ("p1", NEW, Standing.OTHER_KEY),
        ("p3", OLD, Standing.OTHER_KEY),
        ("p3", NEW, Standing.ENROLLED),
        ("p3", EVE, Standing.OTHER_KEY),
        ("p4", NEW, Standing.RETIRED),
        ("p5", NEW, Standing.ENROLLED),
        ("p5", OLD, Standing.OTHER_KEY),
        ("elsewhere", NEW, Standing.UNKNOWN_POLICY),
        ("", NEW, Standing.UNKNOWN_POLICY),
    ],
)
def test_a_report_is_judged_by_the_document_of_its_time(policy: str, key: str, standing: Standing) -> None:
    assert HISTORY.standing(Told(key, policy)) is standing


def test_only_two_standings_count() -> None:
    assert {one for one in Standing if one.counts} == {Standing.ENROLLED, Standing.FORMER_KEY}


def test_until_the_head_changes_it_a_key_is_the_hosts() -> None:
    assert after(3).standing(Told(OLD, "p1")) is Standing.ENROLLED
    assert after(5).standing(Told(NEW, "p3")) is Standing.FORMER_KEY


def test_an_old_key_cannot_go_back_to_the_time_when_it_counted() -> None:
    branch = [Told(OLD, "p2"), Told(NEW, "p3"), Told(OLD, "p2"), Told(NEW, "p3")]
    assert list(HISTORY.standings(branch)) == [
        Standing.FORMER_KEY,
        Standing.ENROLLED,
        Standing.OTHER_KEY,
        Standing.ENROLLED,
    ]


def test_what_does_not_count_moves_nothing() -> None:
    branch = [Told(OLD, "p1"), Told(EVE, "p5"), Told(OLD, "p2")]
    assert list(HISTORY.standings(branch)) == [
        Standing.FORMER_KEY,
        Standing.OTHER_KEY,
        Standing.FORMER_KEY,
    ]


def test_a_report_without_a_policy_is_judged_by_that_of_the_one_before() -> None:
    branch = [Told(OLD, ""), Told(OLD, "p1"), Told(OLD, ""), Told(OLD, "elsewhere")]
    assert list(HISTORY.standings(branch)) == [
        Standing.UNKNOWN_POLICY,
        Standing.FORMER_KEY,
        Standing.FORMER_KEY,
        Standing.UNKNOWN_POLICY,
    ]


def test_a_revoked_key_counts_at_no_time_and_its_successor_as_before() -> None:
    """Whoever stole it writes any date, and names any policy."""
    stolen = replace(HISTORY, revoked=Revocation(frozenset({OLD})))
    told = [Told(OLD, "p1"), Told(OLD, "p3"), Told(NEW, "p3"), Told(NEW, "p5")]
    found = [Standing.REVOKED, Standing.OTHER_KEY, Standing.ENROLLED, Standing.ENROLLED]
    assert [stolen.standing(one) for one in told] == found
    assert list(stolen.standings(told)) == found


def test_with_a_list_of_revoked_keys_that_has_mistakes_no_report_counts() -> None:
    unread = replace(HISTORY, revoked=Revocation(problems=(Problem("revoked", 1, "", "is no key"),)))
    assert unread.standing(Told(NEW, "p5")) is Standing.REVOKED
