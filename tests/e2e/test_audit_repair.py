"""A run that tells of no step, or calls itself a repair, is held to what there was to repair, and to when."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from reconciler.planning.audit.audit import CHECKS, audit
from reconciler.planning.gates.recording import Recording
from tests.e2e.site import BEFORE
from tests.e2e.test_apply import INSIDE
from tests.e2e.test_audit_forged import ANNOUNCES, CLOSING, TELLS, told
from tests.e2e.test_audit_odd import story_of, with_recording, with_run
from tests.labs.audited import Audited

__all__ = ["told"]
HALF_DONE = "half-configured"


def found(
    world: Audited, check: str, *, to: str = "1.1", started: datetime = INSIDE, name: str = "one"
) -> list[str]:
    """Return what a check has against a repair that brought a package that was half done to a version."""
    story, _, _ = story_of(world)
    ((_, record),) = story.runs_until(story.links[TELLS])
    recording = story.recordings(story.links[ANNOUNCES].recording)
    assert isinstance(recording, Recording)
    installed = tuple(
        replace(one, status=HALF_DONE) if one.name == name else one for one in recording.observation.installed
    )
    (move,) = record.difference.changed
    repair = replace(
        record,
        run=f"{record.run}-repair",
        steps=(),
        started=started,
        difference=replace(record.difference, changed=(replace(move, to=to),)),
    )
    half_done = replace(recording, observation=replace(recording.observation, installed=installed))
    told_so = with_recording(with_run(story, repair), half_done)
    asked = [one for one in CHECKS if one.name == check]
    changes = audit(told_so, BEFORE, CLOSING, asked).changes
    return [one.reason for change in changes if change.kind == "run" for one in change.against]


def test_what_was_half_done_may_be_brought_to_what_was_planned(told: Audited) -> None:
    assert found(told, "carried-out") == []


@pytest.mark.parametrize("to", ["9.9", "0.9"])
def test_what_was_half_done_may_not_become_any_version(told: Audited, to: str) -> None:
    assert found(told, "carried-out", to=to) == ["no step was told to change one:all, which moved meanwhile"]


def test_what_was_whole_is_not_repaired(told: Audited) -> None:
    assert found(told, "carried-out", name="byhand") == [
        "no step was told to change one:all, which moved meanwhile"
    ]


def test_a_run_without_steps_is_in_a_window_as_well(told: Audited) -> None:
    assert found(told, "window") == []
    (reason,) = found(told, "window", started=CLOSING + timedelta(hours=1))
    assert reason.endswith(", outside of every window")
    assert reason.startswith("it began at ")
