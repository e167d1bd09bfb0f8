"""What is remembered of a look and of a run."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.planning.facts.observation import Change, Health, Observation
from reconciler.planning.gates.types import FailedApply, Step
from reconciler.planning.runs.execution import FailedPackage
from reconciler.planning.runs.journal import Journal
from reconciler.planning.runs.record import (
    Difference,
    RunOutcome,
    RunRecord,
    StepOutcome,
    StepRecord,
    move_of,
)
from reconciler.planning.text.layout import SCHEMA_VERSION
from reconciler.reconcile.apply import Performed
from reconciler.reconcile.memory import after_run, rebooting
from reconciler.reconcile.ports.state import State
from tests.fakes import healthy
from tests.report_samples import COMMIT, DIGEST, NOW

BEFORE = State(
    failed=FailedApply("sha256:11", COMMIT, "db", NOW - timedelta(days=1)),
    used=("sha256:00",),
    repaired="old",
)


def performed(
    outcome: RunOutcome, code: str = "", *, number: int = 0, seen: Observation | None = None
) -> Performed:
    started = NOW + timedelta(hours=number)
    record = RunRecord(
        schema=SCHEMA_VERSION,
        program="patchledger 1.0",
        run=f"run-{number}",
        target="web-01",
        policy_commit=COMMIT,
        digest=DIGEST,
        started=started,
        ended=started + timedelta(minutes=5),
        outcome=outcome,
        code=code,
        reason="why",
        exceptional=None,
        deadline=None,
        overran=False,
        steps=(),
        difference=Difference((), (), (), ()),
    )
    journal = Journal(f"run-{number}", DIGEST, COMMIT, started, "boot", "apt", before=(), steps=())
    return Performed(record, journal, seen or replace(healthy(NOW), database="db-2"))


@pytest.mark.parametrize(
    ("outcome", "code", "failed", "used"),
    [
        (RunOutcome.APPLIED, "", "", ("sha256:00", DIGEST)),
        (RunOutcome.FAILED, "package-failed", DIGEST, ("sha256:00",)),
        (RunOutcome.ROLLED_BACK, "package-failed", DIGEST, ("sha256:00",)),
        (RunOutcome.INTERRUPTED, "interrupted", "sha256:11", ("sha256:00",)),
        (RunOutcome.DEFERRED, "locked", "sha256:11", ("sha256:00",)),
        (RunOutcome.VETOED, "pre-hook", "sha256:11", ("sha256:00",)),
    ],
)
def test_a_plan_that_failed_is_remembered_until_one_is_applied(
    outcome: RunOutcome, code: str, failed: str, used: tuple[str, ...]
) -> None:
    state = after_run(BEFORE, performed(outcome, code), "")
    assert ("" if state.failed is None else state.failed.digest, state.used) == (failed, used)


def test_what_steps_took_is_remembered_for_the_next_ones() -> None:
    change = Change("upgrade", "curl", "amd64", "1.0", "1.1", size=2**20)
    run = performed(RunOutcome.APPLIED)
    step = StepRecord((move_of(change),), NOW, NOW + timedelta(seconds=90), StepOutcome.DONE, 0, 0, "")
    state = after_run(
        BEFORE,
        replace(
            run,
            record=replace(run.record, steps=(step,)),
            journal=replace(run.journal, steps=(Step((change,)),)),
        ),
        "",
    )
    assert [one.seconds for one in state.took] == [90]


def refused(*, number: int, hooks: str = "hooks", database: str = "db-2") -> Performed:
    seen = replace(healthy(NOW), database=database, hooks=hooks)
    run = performed(RunOutcome.FAILED, "not-begun", number=number, seen=seen)
    told = FailedPackage("hook DPkg::Pre-Invoke 'etckeeper'", "uncommitted changes")
    step = StepRecord((), NOW, NOW, StepOutcome.FAILED, 28, 100, "", (told,))
    return replace(run, record=replace(run.record, steps=(step,)))


def test_a_hook_is_asked_again_by_the_next_tick_and_then_ever_more_seldom() -> None:
    state, pauses = BEFORE, []
    for number in range(9):
        state = after_run(state, refused(number=number), "")
        assert state.failed is not None
        assert (state.failed.hooks, state.failed.reason) == ("hooks", "why")
        pauses.append((state.failed.again or NOW) - state.failed.at)
    assert pauses == [timedelta(hours=hours) for hours in (0, 1, 2, 4, 8, 16, 24, 24, 24)]
    state = after_run(state, refused(number=10, database="db-3"), "")
    assert state.failed is not None
    assert state.failed.attempts == 1


def test_a_hook_of_the_hosts_own_is_asked_again_too() -> None:
    state = after_run(BEFORE, performed(RunOutcome.FAILED, "pre-hook"), "")
    assert state.failed is not None
    assert state.failed.attempts == 1


def test_a_run_is_told_once_also_where_it_is_taken_over_by_a_later_tick() -> None:
    once = after_run(BEFORE, performed(RunOutcome.APPLIED), "")
    twice = after_run(once, performed(RunOutcome.APPLIED), "")
    assert (twice.recent, twice.used) == (once.recent, once.used)


def test_a_run_that_changed_nothing_leaves_the_last_one_to_be_told() -> None:
    told = after_run(BEFORE, performed(RunOutcome.FAILED, "package-failed"), "E: no")
    later = after_run(told, performed(RunOutcome.DEFERRED, "window", number=1), "")
    assert later.last_run == told.last_run
    assert later.last_run is not None
    assert later.last_run.log_excerpt == "E: no"


def test_what_a_run_leaves_half_done_is_not_repaired_again_on_the_same_state() -> None:
    half = replace(healthy(NOW), database="db-2", health=Health(interrupted=("a is half done",)))
    assert after_run(BEFORE, performed(RunOutcome.FAILED, seen=half), "").repaired == f"db-2@{COMMIT}"
    assert after_run(BEFORE, performed(RunOutcome.FAILED), "").repaired == "old"


def test_runs_are_remembered_for_the_digest_and_no_longer() -> None:
    state = State()
    for number in range(0, 24 * 30, 24):
        state = after_run(state, performed(RunOutcome.APPLIED, number=number), "")
    assert len(state.recent) == 15


def test_only_the_latest_reboots_are_remembered() -> None:
    state = State()
    for number in range(150):
        state = rebooting(state, NOW + timedelta(hours=number))
    assert (len(state.reboots), state.reboots[-1]) == (100, NOW + timedelta(hours=149))
