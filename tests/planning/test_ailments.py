"""What is wrong with a target: told first, worst first, and never ended with 0 for ever."""

from dataclasses import replace

import pytest

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.planning.facts.observation import Health
from reconciler.planning.gates.types import HostState
from reconciler.planning.reporting.ailments import Ailment, ailments, failures
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.summary import headline, subject
from reconciler.planning.resolving.dispositions import Condition, ConditionType, Disposition, Plan, Reason
from tests.report_samples import EMPTY, INPUTS, USUAL, report_of, update

HALF = Condition(
    ConditionType.PACKAGE_SYSTEM_INTERRUPTED, True, "Interrupted", "half done: bad (half-configured); mend it"
)
UNMET = Condition(
    ConditionType.DEPENDENCIES_BROKEN,
    True,
    "UnmetDependencies",
    "dependencies not met: v; mend it",
    stalled=True,
)
UNRESOLVED = Condition(
    ConditionType.CANNOT_RESOLVE, True, "Unresolvable", "apt cannot resolve: E: one; E: two"
)
FAILED = Condition(ConditionType.APPLY_FAILED, True, "NotRetried", "this very plan failed", stalled=True)
STALE = Condition(ConditionType.METADATA_STALE, True, "TooOld", "not refreshed since 2026-11-01T00:00:00Z")
QUARANTINE = Condition(
    ConditionType.PACKAGES_QUARANTINED, True, "FailedBefore", "in quarantine: frail 1.1; it failed"
)
PINNED = Condition(ConditionType.SCRIPT_MISMATCH, True, "PinnedOtherwise", "another script", stalled=True)
NO_SPACE = Condition(ConditionType.HOST_UNHEALTHY, True, "NoSpace", "/ has 1 MiB free and 2 MiB are needed")
REJECTED = Condition(ConditionType.POLICY_REJECTED, True, "Invalid", "policy is invalid", stalled=True)
SILENCE = Condition(
    ConditionType.EXPLANATION_MISSING, True, "Unanswered", "pacman did not say what replaces what"
)
OVERDUE = Condition(
    ConditionType.OVERDUE, True, "Security", "overdue: a; a 2 was to be installed by 2026-11-21T09:00:00Z"
)
ORDINARY = Condition(ConditionType.EXCEPTION_UNUSED, True, "NothingMatches", "no package is named by it")


def with_conditions(*conditions: Condition, plan: Plan = EMPTY) -> Report:
    return replace(report_of(plan), conditions=conditions)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((), "up to date"),
        ((ORDINARY,), "up to date"),
        ((HALF,), "half done: bad (half-configured)"),
        ((QUARANTINE, HALF), "half done: bad (half-configured), in quarantine: frail 1.1"),
        ((UNMET,), "dependencies not met: v"),
        ((STALE, UNRESOLVED), "cannot-resolve, metadata-stale"),
        ((QUARANTINE,), "in quarantine: frail 1.1"),
        ((QUARANTINE, OVERDUE, STALE), "metadata-stale, overdue: a, in quarantine: frail 1.1"),
        ((PINNED,), "unhealthy (ScriptMismatch)"),
        ((NO_SPACE,), "no-space"),
        ((REJECTED, STALE), "policy-stalled, metadata-stale"),
        ((replace(STALE, status=None),), "no update known"),
        ((replace(UNRESOLVED, status=None),), "no update known"),
        ((SILENCE,), "no update known"),
        ((replace(HALF, status=False),), "up to date"),
    ],
)
def test_what_is_wrong_is_told_first_and_nothing_else_is_up_to_date(
    conditions: tuple[Condition, ...], expected: str
) -> None:
    assert headline(with_conditions(*conditions)) == expected


@pytest.mark.parametrize(
    "condition", [HALF, UNMET, UNRESOLVED, FAILED, STALE, QUARANTINE, PINNED, NO_SPACE, OVERDUE]
)
def test_whatever_is_wrong_no_target_is_up_to_date(condition: Condition) -> None:
    report = with_conditions(condition)
    assert "up to date" not in headline(report)
    assert "up to date" not in subject(report)


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        (HALF, Stalled),
        (UNMET, Stalled),
        (UNRESOLVED, Stalled),
        (FAILED, Stalled),
        (replace(STALE, reason="NeedsAcceptance"), Stalled),
        (PINNED, Stalled),
        (OVERDUE, Stalled),  # Nothing that a tick does by itself keeps a promise that was broken.
        (STALE, Transient),
        (QUARANTINE, None),
        (REJECTED, None),  # Whoever follows the policy tells of it.
        (ORDINARY, None),
    ],
)
def test_a_target_that_cannot_be_patched_does_not_end_well(
    condition: Condition, kind: type[ReconcilerError] | None
) -> None:
    assert [type(one) for one in failures((condition,))] == ([] if kind is None else [kind])


def test_old_metadata_are_no_failure_of_whoever_may_not_refresh_them() -> None:
    user = Condition(ConditionType.METADATA_NOT_REFRESHED, True, "NotPermitted", "only root may refresh them")
    assert failures((user, STALE)) == ()
    assert [type(one) for one in failures((user, STALE, HALF))] == [Stalled]


def test_want_of_space_defers_until_a_window_was_lost_to_it() -> None:
    missed = Condition(ConditionType.WINDOW_MISSED, True, "Missed", "the window passed without the run")
    assert failures((NO_SPACE,)) == ()
    assert [type(one) for one in failures((NO_SPACE, missed))] == [Transient]


def test_a_failure_says_what_a_person_does() -> None:
    (failure,) = failures((HALF,))
    assert (failure.message, failure.hint) == ("half done: bad (half-configured)", "mend it")


def test_the_worst_comes_first_whatever_the_order_of_conditions() -> None:
    every = (QUARANTINE, STALE, NO_SPACE, REJECTED, PINNED, FAILED, UNRESOLVED, UNMET, HALF)
    assert [ill.ailment for ill in ailments(every)] == [
        Ailment.HALF_DONE,
        Ailment.DEPENDENCIES_BROKEN,
        Ailment.CANNOT_RESOLVE,
        Ailment.ALREADY_FAILED,
        Ailment.UNHEALTHY,
        Ailment.POLICY_STALLED,
        Ailment.NO_SPACE,
        Ailment.METADATA_STALE,
        Ailment.QUARANTINED,
    ]


def test_what_is_in_quarantine_is_counted_once() -> None:
    reasons = (Reason("failed-before", "installing it failed"),)
    frail = update("frail", disposition=Disposition.HELD, reasons=reasons)
    report = with_conditions(QUARANTINE, plan=Plan((), (frail,), EMPTY.digest))
    assert headline(report) == "in quarantine: frail 1.1"


def test_a_subject_keeps_its_first_part_whole() -> None:
    names = "half done: " + ", ".join(f"package-number-{number} (unpacked)" for number in range(3))
    report = with_conditions(replace(HALF, message=names), plan=USUAL)
    assert subject(report) == f"web-01: {names}"


def test_a_policy_that_stalls_is_told_beside_a_remote_that_is_silent() -> None:
    silent = Condition(ConditionType.POLICY_UNREACHABLE, True, "Unreachable", "the remote did not answer")
    inputs = replace(INPUTS, policy=replace(INPUTS.policy, fetched_at=None, commit=""), conditions=(silent,))
    assert headline(report_of(EMPTY, inputs)) == "policy-stalled"


def test_a_machine_that_is_half_done_is_unhealthy_whatever_is_in_quarantine() -> None:
    host = HostState(Health(interrupted=("bad (half-configured)",)), quarantined=("bad",))
    report = report_of(EMPTY, replace(INPUTS, host=host))
    assert (report.decision.outcome, "bad (half-configured)" in report.decision.reason) == ("unhealthy", True)
