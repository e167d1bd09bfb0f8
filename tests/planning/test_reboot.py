"""When a run reboots: only for a reason, only where it may, never in a loop."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.observation import Reboot, RebootNeed
from reconciler.planning.gates.reboot import RebootVerdict, has_rebooted, may_reboot, wants_reboot
from reconciler.policy.documents import When

REQUIRED = Reboot(RebootNeed.REQUIRED, ("linux-image-6.1.0-38-amd64 is installed",))
NOT_REQUIRED = Reboot(RebootNeed.NOT_REQUIRED)
UNKNOWN = Reboot(RebootNeed.UNKNOWN, ("needs-restarting is missing",))

START = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
END = START + timedelta(hours=3)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("when", "reboot", "has_applied", "wants", "reason"),
    [
        ("never", REQUIRED, True, False, "is pending: linux-image-6.1.0-38-amd64 is installed; the policy"),
        ("never", NOT_REQUIRED, True, False, "the policy wants none"),
        ("never", UNKNOWN, True, False, "the policy wants none"),
        ("if-required", REQUIRED, True, True, "is pending: linux-image-6.1.0-38-amd64 is installed"),
        ("if-required", REQUIRED, False, True, "is pending"),
        ("if-required", NOT_REQUIRED, True, False, "no reboot is pending"),
        ("if-required", UNKNOWN, True, False, "cannot be told: needs-restarting is missing"),
        ("always", REQUIRED, False, True, "is pending"),
        ("always", NOT_REQUIRED, True, True, "something was changed"),
        ("always", UNKNOWN, True, True, "something was changed"),
        ("always", NOT_REQUIRED, False, False, "nothing was changed"),
        ("always", UNKNOWN, False, False, "nothing was changed"),
    ],
)
def test_what_a_run_wants(when: When, reboot: Reboot, has_applied: bool, wants: bool, reason: str) -> None:  # noqa: FBT001 - rows of a table
    verdict = wants_reboot(when, reboot, has_applied=has_applied)
    assert verdict.is_yes is wants
    assert reason in verdict.reason


def may(
    at: datetime,
    *past: datetime,
    bound: int = 1,
    notice: timedelta = timedelta(minutes=5),
    has_failed: bool = False,
) -> RebootVerdict:
    return may_reboot(
        at=at, window=(START, END), notice=notice, past=past, max_per_window=bound, has_failed=has_failed
    )


@pytest.mark.parametrize(
    ("verdict", "is_yes", "reason"),
    [
        (may(START), True, "reboot 1 of 1"),
        (may(START + HOUR, START, bound=2), True, "reboot 2 of 2"),
        (may(START + HOUR, START - HOUR, END, END + HOUR), True, "reboot 1 of 1"),
        (may(START + HOUR, START), False, "asked for once in this window, at most 1"),
        (
            may(START + HOUR, START, START + HOUR, bound=2),
            False,
            "asked for 2 times in this window, at most 2",
        ),
        (may(START, bound=0), False, "at most 0"),
        (may(START + HOUR, START + 2 * HOUR), False, "asked for once"),  # the clock was set back
        (may(START + HOUR, has_failed=True), False, "the run failed"),
        (may(END - timedelta(minutes=5)), False, "ends at 2026-11-22 04:00 UTC, too soon"),
        (may(END - timedelta(minutes=5, seconds=1)), True, "reboot 1"),
        (may(END, notice=timedelta(0)), False, "too soon"),
        (may(START - HOUR), False, "too soon"),
    ],
)
def test_what_a_run_may(verdict: RebootVerdict, *, is_yes: bool, reason: str) -> None:
    assert verdict.is_yes is is_yes
    assert reason in verdict.reason


def test_outside_of_any_window_no_reboot_is_allowed() -> None:
    verdict = may_reboot(
        at=START, window=None, notice=timedelta(0), past=(), max_per_window=9, has_failed=False
    )
    assert verdict == RebootVerdict(False, "no maintenance window is open")


@given(st.lists(st.timedeltas(-HOUR, 4 * HOUR), max_size=40), st.integers(0, 3))
def test_no_clock_makes_more_reboots_in_a_window_than_allowed(asked: list[timedelta], bound: int) -> None:
    done: list[datetime] = []
    for offset in asked:
        if may(START + offset, *done, bound=bound, notice=timedelta(0)).is_yes:
            done.append(START + offset)
    assert len(done) <= bound


@pytest.mark.parametrize(
    ("before", "now", "proven"),
    [("a", "b", True), ("a", "a", False), ("", "b", False), ("a", "", False), ("", "", False)],
)
def test_another_boot_id_is_the_proof(before: str, now: str, *, proven: bool) -> None:
    assert has_rebooted(before, now) is proven
