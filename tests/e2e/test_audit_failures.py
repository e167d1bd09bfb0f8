"""What failed before, and what was left alone for it, is held against the records of the runs before."""

from dataclasses import replace
from datetime import timedelta

from reconciler.planning.audit.audit import CHECKS, audit
from reconciler.planning.audit.story import RunFile, Story
from reconciler.planning.facts.observation import Quarantined
from reconciler.planning.gates.recording import Recording
from reconciler.planning.runs.record import RunOutcome, RunRecord
from tests.e2e.site import BEFORE
from tests.e2e.test_audit_forged import ANNOUNCES, CLOSING, QUIET, TELLS, told
from tests.e2e.test_audit_odd import story_of, with_recording
from tests.labs.audited import Audited

__all__ = ["told"]


def failed(world: Audited, **values: object) -> tuple[Story, Recording, RunRecord]:
    """Return a story in which the very plan was tried before, and what came of that."""
    story, _, _ = story_of(world)
    ((_, record),) = story.runs_until(story.links[TELLS])
    recording = story.recordings(story.links[ANNOUNCES].recording)
    assert isinstance(recording, Recording)
    usual = {"run": "20261101T000000Z-0123456789ab", "outcome": RunOutcome.FAILED, "code": "packages-failed"}
    before = replace(record, **{**usual, **values})  # type: ignore[arg-type]  # checked by the dataclass
    links = list(story.links)
    links[QUIET] = replace(links[QUIET], runs=(RunFile(before.run, before),))
    return replace(story, links=tuple(links)), recording, before


def found(story: Story) -> list[str]:
    """Return what is against the run, and not against the one before it."""
    asked = [one for one in CHECKS if one.name == "failures"]
    changes = audit(story, BEFORE, CLOSING + timedelta(hours=1), asked).changes
    name = story.links[TELLS].runs[0].run
    return [f"{each.verdict}: {each.reason}" for one in changes if one.run == name for each in one.against]


def test_a_plan_that_had_failed_is_not_tried_again_while_nothing_changed(told: Audited) -> None:
    story, _, _ = failed(told)
    assert found(story) == [
        "unproved: this very plan had failed before, and neither policy nor packages had changed since"
    ]


def test_a_plan_that_had_failed_by_another_policy_may_be_tried_again(told: Audited) -> None:
    story, _, _ = failed(told, policy_commit="0" * 40)
    assert found(story) == []
    story, _, _ = failed(told, outcome=RunOutcome.DEFERRED)
    assert found(story) == []


def test_what_is_left_alone_for_a_run_failed_in_it(told: Audited) -> None:
    story, recording, before = failed(told, policy_commit="0" * 40)
    one = Quarantined("byhand", "all", "9", recording.now, before.run, "it failed", before.policy_commit)
    observation = replace(recording.observation, quarantined=(one,))
    hidden = with_recording(story, replace(recording, observation=observation))
    assert found(hidden) == [
        f"refuted: it left byhand:all alone, which did not fail in the run that it names ({before.run})"
    ]
    missing = replace(before.difference, missing=(replace(before.difference.changed[0], name="byhand"),))
    story, _, _ = failed(told, policy_commit="0" * 40, difference=missing)
    assert found(with_recording(story, replace(recording, observation=observation))) == []
