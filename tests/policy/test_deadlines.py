"""A deadline that nobody could keep is warned of, where it stands."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.policy.deadlines import check_deadlines, limits_of, longest_wait
from reconciler.policy.documents import Deadlines
from tests.policy.trees import loaded

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
NIGHTLY = 'kind: Schedule\nname: nightly\ntimezone: UTC\nwindows: [{start: "02:00", duration: 3h}]\n'
WEEKLY = 'kind: Schedule\nname: weekly\ntimezone: UTC\nwindows: [{start: "Sun 02:00", duration: 3h}]\n'
MONTHLY = (
    "kind: Schedule\nname: monthly\ntimezone: UTC\n"
    'windows: [{rrule: "FREQ=MONTHLY;BYDAY=2TU", at: "02:00", duration: 3h}]\n'
)
SCHEDULES = {f"schedules/{index}.yaml": text for index, text in enumerate((NIGHTLY, WEEKLY, MONTHLY))}


def warnings(*policies: str, hosts: tuple[str, ...] = ()) -> list[str]:
    tree = {
        f"policies/p{index}.yaml": f"kind: Policy\nname: p{index}\n{text}"
        for index, text in enumerate(policies)
    }
    tree |= {f"hosts/{name}.yaml": f"kind: Host\nname: {name}\n" for name in hosts}
    return [str(one) for one in check_deadlines(loaded({**SCHEDULES, **tree}), NOW)]


OF_AGE = "it must have been on offer for"
AWAY = "the next window may be"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deadline: {security: 1d}\n", None),
        ("deadline: {security: 1d}\nmin_age: {other: 7d}\n", None),
        ("min_age: {other: 7d}\ndeadline: {other: 7d}\n", None),
        ("schedule: nightly\ndeadline: {critical: 1d}\n", None),
        ("schedule: weekly\ndeadline: {critical: 7d}\n", None),
        ("schedule: [weekly, nightly]\ndeadline: {critical: 2d}\n", None),
        ("schedule: monthly\ndeadline: {security: 36d}\n", None),
        ("deadline: {security: 2d}\nmin_age: {security: 7d}\n", ("security: 2d", f"{OF_AGE} 7d")),
        ("deadline: {critical: 2d, other: 30d}\nschedule: weekly\n", ("critical: 2d", f"{AWAY} 6d21h away")),
        (
            "deadline: {security: 36d}\nschedule: monthly\nmin_age: {security: 3d}\n",
            ("security: 36d", f"{OF_AGE} 3d and {AWAY} 34d21h away"),
        ),
    ],
)
def test_a_deadline_is_longer_than_what_comes_before_it(text: str, expected: tuple[str, str] | None) -> None:
    told = warnings(text)
    if expected is None:
        assert told == []
        return
    key, why = expected
    hint = "let windows open more often" if AWAY in why else "lower min_age"
    advice = f"(lengthen it, or {hint})"
    said = f"deadline.{key} may pass before an update can be installed: {why} {advice}"
    assert told == [f"policies/p0.yaml:3: {said}"]


def test_what_stands_in_several_policies_is_judged_where_a_known_host_meets_them() -> None:
    apart = ("deadline: {security: 1d}\n", "schedule: weekly\n")
    assert warnings(*apart) == []
    (told,) = warnings(*apart, hosts=("web-01", "web-02"))
    assert told.startswith("policies/p0.yaml:3: deadline.security: 1d may pass")


def test_a_policy_is_judged_whatever_it_matches() -> None:
    assert len(warnings("match: {manager: dnf}\nschedule: weekly\ndeadline: {security: 1d}\n")) == 1


def test_windows_that_end_for_good_have_no_wait_behind_them() -> None:
    assert longest_wait((), NOW) == timedelta(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({}, {}),
        ({"other": "3d"}, {"other": "other", "security": "other", "critical": "other"}),
        ({"security": "2d"}, {"security": "security", "critical": "security"}),
        ({"critical": "1d", "other": "3d"}, {"other": "other", "security": "other", "critical": "critical"}),
    ],
)
def test_a_sort_without_a_deadline_counts_as_the_next(text: dict[str, str], expected: dict[str, str]) -> None:
    limits = limits_of(Deadlines.model_validate(text))
    assert {sort: limit.key for sort, limit in limits.items()} == expected
