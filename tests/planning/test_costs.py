"""Steps are joined by what steps took on this host, and by a rough guess where none did."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.observation import Change
from reconciler.planning.gates.types import Step
from reconciler.planning.runs.costs import CALL, REMEMBERED, Pace, Took, measured
from reconciler.planning.runs.record import StepOutcome, StepRecord, move_of

MIB = 2**20
START = datetime(2026, 11, 30, 3, tzinfo=UTC)


def upgrade(name: str, mib: float = 1.4) -> Change:
    return Change("upgrade", name, "amd64", "1.0", "1.1", size=int(mib * MIB))


USUAL = tuple(upgrade(f"p{number}") for number in range(120))
"""What waits on a machine that was not updated for some months: 168 MiB."""


def sizes(steps: tuple[Step, ...]) -> list[int]:
    return [len(step.changes) for step in steps]


def alone(*changes: Change) -> list[Step]:
    return [Step((change,)) for change in changes]


def test_a_usual_night_is_one_step_and_no_hundred() -> None:
    assert sizes(Pace().joined(alone(*USUAL), timedelta(minutes=5))) == [120]


def test_what_takes_hours_is_cut_so_that_gates_are_asked_in_between() -> None:
    many = [upgrade(f"p{number}", 4) for number in range(3000)]
    steps = Pace().joined(alone(*many), timedelta(minutes=5))
    assert sum(sizes(steps)) == 3000
    assert len(steps) > 8
    assert all(Pace().seconds(step.changes) <= 300 for step in steps)


def test_a_kernel_counts_for_more_than_its_size() -> None:
    assert Pace().seconds([upgrade("linux-image-6.1.0-31-amd64")]) > Pace().seconds([upgrade("doc")]) + 30


def test_what_alone_takes_too_long_stays_whole_and_joins_nothing() -> None:
    huge = Step(tuple(upgrade(f"h{number}") for number in range(50)))
    steps = Pace().joined([*alone(upgrade("a")), huge, *alone(upgrade("b"))], timedelta(seconds=10))
    assert sizes(steps) == [1, 50, 1]


def test_a_slow_host_gets_smaller_steps_and_a_fast_one_larger() -> None:
    slow = Pace.of([Took(60, 300)] * 5)
    fast = Pace.of([Took(60, 30)] * 5)
    assert (slow.factor, fast.factor) == (5, 0.5)
    limit = timedelta(minutes=1)
    assert len(slow.joined(alone(*USUAL), limit)) > len(Pace().joined(alone(*USUAL), limit))
    assert len(fast.joined(alone(*USUAL), limit)) == 1


@pytest.mark.parametrize("odd", [0.001, 86_400.0])
def test_one_spoiled_measurement_among_others_changes_little(odd: float) -> None:
    assert Pace.of([Took(60, odd)]).factor == pytest.approx(1)
    assert Pace.of([*[Took(60, 90)] * 6, Took(60, odd)]).factor == pytest.approx(1.5)


@given(st.lists(st.builds(Took, st.floats(), st.floats()), max_size=40))
def test_whatever_a_damaged_file_says_an_estimate_is_a_sane_number(took: list[Took]) -> None:
    assert 0.2 <= Pace.of(took).factor <= 20


def step(*changes: Change, outcome: StepOutcome = StepOutcome.DONE, seconds: int = 60) -> StepRecord:
    moves = tuple(map(move_of, changes))
    return StepRecord(moves, START, START + timedelta(seconds=seconds), outcome, 0, 0, "")


def test_only_steps_that_ended_well_are_remembered() -> None:
    took = measured([step(*USUAL), step(*USUAL, outcome=StepOutcome.FAILED)], USUAL, ())
    assert [one.seconds for one in took] == [60]
    assert took[0].estimate == Pace().seconds(USUAL)
    assert measured([step()], (), took) == took


def test_the_last_ones_are_remembered_and_no_more() -> None:
    took: tuple[Took, ...] = ()
    for seconds in range(100):
        took = measured([step(USUAL[0], seconds=seconds)], USUAL, took)
    assert [one.seconds for one in took] == list(range(100 - REMEMBERED, 100))


def test_a_package_without_a_known_size_is_one_all_the_same() -> None:
    assert Pace().seconds([replace(USUAL[0], size=None)]) > CALL
