"""From a policy repository to the gates: real schedules and freezes, asked through the decision."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.observation import ClockState, Quarantined
from reconciler.planning.gates.decision import evaluate, next_instant
from reconciler.planning.gates.inputs import gate_inputs
from reconciler.planning.gates.types import Apply, Closed, Decision, Deferred, GateInputs, Outcome
from reconciler.policy.load import PolicyFile
from reconciler.policy.resolve import Effective
from tests.examples import examples
from tests.policies import resolved
from tests.report_samples import OBSERVATION, POLICY, USUAL, decide

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def policy(window: dict[str, object], *freezes: dict[str, object], **settings_: object) -> Effective:
    documents: list[tuple[str, dict[str, object]]] = [
        (
            "policies/web.yaml",
            {"kind": "Policy", "name": "web", "action": "apply", "schedule": ["night"], "budget": "30m"}
            | settings_,
        ),
        (
            "schedules/night.yaml",
            {"kind": "Schedule", "name": "night", "timezone": "Europe/Berlin", "windows": [window]},
        ),
    ]
    documents += [
        (
            f"freezes/f{index}.yaml",
            {"kind": "Freeze", "name": f"f{index}", "timezone": "Europe/Berlin", "reason": "because"}
            | freeze,
        )
        for index, freeze in enumerate(freezes)
    ]
    return resolved([PolicyFile(path, "100644", json.dumps(one).encode()) for path, one in documents])


def shown(effective: Effective | None, now: datetime) -> GateInputs:
    state = replace(
        POLICY, fetched_at=now, committed_at=now, commit="" if effective is None else POLICY.commit
    )
    sources = tuple(replace(one, published=now, fetched=now) for one in OBSERVATION.sources)
    observation = replace(OBSERVATION, at=now, sources=sources)
    return gate_inputs(effective, observation, state, target="web-01", conditions=(), now=now)


def decision_at(effective: Effective | None, now: datetime) -> Decision:
    return decide(USUAL, shown(effective, now), now)


def outcomes(effective: Effective, first: datetime, minutes: int) -> list[tuple[int, str]]:
    """Return the outcomes minute by minute, as the minutes at which another one begins."""
    found: list[tuple[int, str]] = []
    for minute in range(minutes):
        decision = decision_at(effective, first + minute * MINUTE)
        outcome = decision.outcome if isinstance(decision, Deferred) else Outcome.APPLY
        if not found or found[-1][1] != outcome:
            found.append((minute, str(outcome)))
    return found


NIGHTLY: dict[str, object] = {"start": "02:00", "duration": "1h"}


@pytest.mark.parametrize(
    ("first", "opens"),
    [
        (datetime(2026, 3, 28, 0, 30, tzinfo=UTC), 30),  # an ordinary night: 02:00 CET
        (datetime(2026, 3, 29, 0, 30, tzinfo=UTC), 30),  # 02:00 does not exist: 03:00 CEST, the same instant
        (datetime(2026, 10, 24, 23, 30, tzinfo=UTC), 30),  # 02:00 exists twice: the first, 02:00 CEST
        (datetime(2026, 10, 26, 0, 30, tzinfo=UTC), 30),  # winter again
    ],
)
def test_sixty_minutes_are_open_on_every_night_of_the_year(first: datetime, opens: int) -> None:
    effective = policy(NIGHTLY)
    assert outcomes(effective, first, 180) == [
        (0, "window"),
        (opens, "apply"),
        (opens + 31, "budget"),
        (opens + 60, "window"),
    ]


def test_a_window_of_friday_night_is_open_on_saturday_morning() -> None:
    effective = policy({"start": "Fri 23:00", "duration": "4h"})
    decision = decision_at(effective, datetime(2026, 11, 21, 0, 30, tzinfo=UTC))  # Saturday 01:30 in Berlin
    assert isinstance(decision, Apply)
    assert decision.deadline == datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


def test_a_freeze_closes_the_window_early_and_its_end_opens_it_again() -> None:
    long: dict[str, object] = {"start": "00:00", "duration": "6h"}
    effective = policy(long, {"from": "2026-11-22 02:00", "until": "2026-11-22 04:00"})
    midnight = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
    assert outcomes(effective, midnight, 400) == [
        (0, "apply"),
        (91, "budget"),
        (120, "freeze"),
        (240, "apply"),
        (331, "budget"),
        (360, "window"),
    ]
    frozen = decision_at(effective, midnight + timedelta(hours=3))
    assert isinstance(frozen, Deferred)
    assert frozen.until == midnight + timedelta(hours=4)
    assert frozen.reason == "frozen by f0 (because)"


def test_a_security_policy_passes_a_freeze_that_allows_it() -> None:
    freeze: dict[str, object] = {"from": "2026-11-20", "until": "2026-11-30", "allow": "security"}
    now = datetime(2026, 11, 22, 1, 15, tzinfo=UTC)
    assert isinstance(decision_at(policy(NIGHTLY, freeze, updates="security"), now), Apply)
    deferred = decision_at(policy(NIGHTLY, freeze), now)
    assert isinstance(deferred, Deferred)
    assert deferred.outcome is Outcome.FREEZE


def test_the_next_opening_lies_behind_freezes() -> None:
    effective = policy(NIGHTLY, {"from": "2026-11-20", "until": "2026-11-24"})
    decision = decision_at(effective, datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    assert isinstance(decision, Deferred)
    assert (decision.outcome, decision.until) == (Outcome.WINDOW, datetime(2026, 11, 25, 1, 0, tzinfo=UTC))


def test_without_a_policy_nothing_is_applied() -> None:
    decision = decision_at(None, datetime(2026, 11, 22, 1, 15, tzinfo=UTC))
    assert isinstance(decision, Deferred)
    assert decision.outcome is Outcome.POLICY_STALLED


def test_metadata_from_the_future_contradict_an_unsynchronised_clock() -> None:
    now = datetime(2026, 11, 22, 1, 15, tzinfo=UTC)
    late = replace(OBSERVATION.sources[0], published=now + timedelta(days=1))
    observation = replace(OBSERVATION, sources=(late,), clock=ClockState.UNSYNCHRONISED)
    state = replace(POLICY, fetched_at=now, committed_at=now)
    inputs = gate_inputs(policy(NIGHTLY), observation, state, target="web-01", conditions=(), now=now)
    decision = decide(USUAL, inputs, now)
    assert isinstance(decision, Deferred)
    assert decision.outcome is Outcome.CLOCK


EFFECTIVE = policy(
    {"start": "*-*-* 00/5:00", "duration": "100m"},
    {"from": "2026-11-22 06:00", "until": "2026-11-22 11:30"},
    {"from": "2026-11-23 00:30", "until": "2026-11-23 00:45", "allow": "security"},
)


@examples(60)
@given(st.integers(0, 3 * 86_400), st.integers(1, 86_400))
def test_between_now_and_the_next_instant_the_decision_stays(start: int, later: int) -> None:
    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC) + start * SECOND
    inputs = shown(EFFECTIVE, now)
    decision, gates = decide(USUAL, inputs, now), evaluate(USUAL, inputs, now)
    until = next_instant(decision, gates)
    assert until is not None
    assert until > now
    then = now + later * SECOND
    if then < until:
        again = decision_at(EFFECTIVE, then)
        assert type(again) is type(decision)
        if isinstance(decision, Deferred) and isinstance(again, Deferred):
            assert again.outcome is decision.outcome


@pytest.mark.parametrize(
    "now", [datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)]
)
def test_a_clock_at_the_end_of_the_calendar_gets_a_decision(now: datetime) -> None:
    effective = policy(NIGHTLY, {"from": "1970-01-01", "until": "9000-12-31"}, max_policy_age="9999w")
    assert isinstance(decision_at(effective, now), Deferred)
    changes = [
        gate.changes for gate in evaluate(USUAL, shown(effective, now), now) if isinstance(gate, Closed)
    ]
    assert all(at is None or at >= now for at in changes)


def test_what_could_only_not_be_fetched_is_not_known_to_be_half_done() -> None:
    failed = Quarantined("vim", "amd64", "2", OBSERVATION.at, "run-1", "exit 3", "c" * 40)
    lacking = replace(failed, name="zlib", until=OBSERVATION.at + timedelta(hours=1), attempts=1)
    observation = replace(OBSERVATION, quarantined=(failed, lacking))
    inputs = gate_inputs(None, observation, POLICY, target="web-01", conditions=(), now=OBSERVATION.at)
    assert inputs.host.quarantined == ("vim:amd64",)
