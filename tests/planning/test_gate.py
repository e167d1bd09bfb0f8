"""Every gate by itself, their order, and the decision they make together."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.observation import ClockState, Filesystem, Health
from reconciler.planning.gates.decision import conclude, evaluate, may_pass_unseen, next_instant
from reconciler.planning.gates.gates import CLOCK_TOLERANCE, SPACE_MARGIN
from reconciler.planning.gates.types import (
    Apply,
    BreakGlass,
    Closed,
    Deferred,
    Evidence,
    FailedApply,
    GateInputs,
    GateName,
    GateResult,
    GateSettings,
    HostState,
    Inhibitor,
    Nothing,
    Outcome,
    Pass,
    Pause,
    PolicyStanding,
    PolicyState,
    RolloutState,
    Slot,
    Step,
    WindowState,
)
from reconciler.planning.resolving.approval import ApprovalText
from reconciler.planning.resolving.boot import BOOT_MARGIN
from reconciler.planning.resolving.dispositions import Condition, ConditionType, Plan
from reconciler.planning.text.layout import UnknownWord
from reconciler.policy.windows import Freeze, Occurrence
from tests.examples import examples
from tests.report_samples import (
    APPROVAL,
    DIGEST,
    EMPTY,
    FREEZE,
    HOUR,
    INPUTS,
    NOW,
    POLICY,
    SETTINGS,
    USUAL,
    WINDOWS,
    change,
    decide,
)

SECOND = timedelta(seconds=1)
GIB = 2**30


def state_of(name: GateName, inputs: GateInputs, plan: Plan = USUAL, now: datetime = NOW) -> GateResult:
    return next(result for result in evaluate(plan, inputs, now) if result.gate is name)


def outcome_of(name: GateName, inputs: GateInputs, plan: Plan = USUAL, now: datetime = NOW) -> Outcome | None:
    result = state_of(name, inputs, plan, now)
    return result.outcome if isinstance(result, Closed) else None


def test_open_gates_apply_the_whole_transaction_until_the_window_ends() -> None:
    decision = decide(USUAL, INPUTS, NOW)
    assert isinstance(decision, Apply)
    assert [move for step in decision.steps for move in step.changes] == list(USUAL.transaction)
    assert decision.deadline == NOW + 2 * HOUR


def test_every_gate_answers_in_the_order_of_asking() -> None:
    assert [result.gate for result in evaluate(USUAL, INPUTS, NOW)] == list(GateName)


ALL_CLOSED = GateInputs(
    settings=replace(
        SETTINGS, action="plan", approval="required", concurrency=("web", 1), rollout=("weekly", "canary")
    ),
    policy=replace(POLICY, standing=PolicyStanding.STALLED, message="policies/web.yaml:3: unknown key"),
    clock=ClockState.UNSYNCHRONISED,
    evidence=(Evidence("the policy commit", NOW + HOUR),),
    pause=Pause("disk is being replaced", "alice", NOW - HOUR),
    host=HostState(Health(interrupted=("nginx",))),
    windows=WindowState(schedules=("sunday-night",)),
    freezes=(FREEZE,),
)
REMEDIES: dict[GateName, dict[str, object]] = {
    GateName.PAUSED: {"pause": None},
    GateName.POLICY: {"policy": POLICY},
    GateName.CLOCK: {"clock": ClockState.SYNCHRONISED},
    GateName.ACTION: {"settings": replace(ALL_CLOSED.settings, action="apply")},
    GateName.HOST: {"host": HostState()},
    GateName.WINDOW: {"windows": WINDOWS},
    GateName.FREEZE: {"freezes": ()},
    GateName.ROLLOUT: {"rollout": RolloutState("weekly", "canary", True, "it is the first ring")},
    GateName.APPROVAL: {"approvals": (APPROVAL,)},
    GateName.CONCURRENCY: {"slot": Slot("web", True, "")},
}


def test_the_first_closed_gate_decides_and_opening_it_uncovers_the_next() -> None:
    inputs, deciding = ALL_CLOSED, []
    for name in GateName:
        gates = evaluate(USUAL, inputs, NOW)
        first = next(result for result in gates if isinstance(result, Closed))
        assert first.gate is name
        assert decide(USUAL, inputs, NOW) == Deferred(first.outcome, first.reason, first.until)
        deciding.append(first.outcome)
        inputs = replace(inputs, **REMEDIES[name])  # type: ignore[arg-type]  # one field each
    assert isinstance(decide(USUAL, inputs, NOW), Apply)
    assert len(set(deciding)) == len(GateName)


BROKEN: dict[GateName, GateInputs] = {
    GateName.PAUSED: replace(INPUTS, pause=ALL_CLOSED.pause),
    GateName.POLICY: replace(INPUTS, policy=ALL_CLOSED.policy),
    GateName.CLOCK: replace(INPUTS, clock=ALL_CLOSED.clock, evidence=ALL_CLOSED.evidence),
    GateName.ACTION: replace(INPUTS, settings=replace(SETTINGS, action="plan")),
    GateName.HOST: replace(INPUTS, host=ALL_CLOSED.host),
    GateName.WINDOW: replace(INPUTS, windows=ALL_CLOSED.windows),
    GateName.FREEZE: replace(INPUTS, freezes=ALL_CLOSED.freezes),
    GateName.ROLLOUT: replace(INPUTS, settings=replace(SETTINGS, rollout=("weekly", "canary"))),
    GateName.APPROVAL: replace(INPUTS, settings=replace(SETTINGS, approval="required")),
    GateName.CONCURRENCY: replace(INPUTS, settings=replace(SETTINGS, concurrency=("web", 1))),
}


CLOSED_BY = {
    Outcome.APPROVAL: GateName.APPROVAL,
    Outcome.CLOCK: GateName.CLOCK,
    Outcome.CONCURRENCY: GateName.CONCURRENCY,
    Outcome.DOWNLOAD_ONLY: GateName.ACTION,
    Outcome.NO_SPACE: GateName.HOST,
    Outcome.PAUSED: GateName.PAUSED,
    Outcome.ROLLOUT: GateName.ROLLOUT,
    Outcome.WINDOW: GateName.WINDOW,
}


@pytest.mark.parametrize(
    ("closed", "asks"),
    [
        ((Outcome.NO_SPACE,), True),
        ((Outcome.NO_SPACE, Outcome.WINDOW), True),  # the report says how much space there is
        ((Outcome.CLOCK,), True),
        ((Outcome.ROLLOUT,), True),
        ((Outcome.CONCURRENCY,), True),
        ((Outcome.WINDOW,), False),
        ((Outcome.WINDOW, Outcome.ROLLOUT), False),  # the window opens first
        ((Outcome.PAUSED, Outcome.NO_SPACE), False),
        ((Outcome.APPROVAL, Outcome.CONCURRENCY), False),
        ((Outcome.DOWNLOAD_ONLY,), False),
        ((Outcome.DOWNLOAD_ONLY, Outcome.NO_SPACE), True),  # nothing is fetched without space
        ((Outcome.DOWNLOAD_ONLY, Outcome.WINDOW), False),
    ],
)
def test_what_no_quiet_tick_may_repeat(closed: tuple[Outcome, ...], *, asks: bool) -> None:
    gates: list[GateResult] = [Pass(GateName.POLICY, "in force")]
    gates += (Closed(CLOSED_BY[one], one, "why") for one in closed)
    assert may_pass_unseen(Deferred(closed[0], "why"), gates) == asks
    assert not may_pass_unseen(Nothing("nothing"), gates)


def test_what_could_be_applied_and_was_not_is_asked_again() -> None:
    assert may_pass_unseen(Apply((), None), [])


@pytest.mark.parametrize("name", list(GateName))
def test_a_single_closed_gate_is_enough(name: GateName) -> None:
    gates = evaluate(USUAL, BROKEN[name], NOW)
    assert [result.gate for result in gates if isinstance(result, Closed)] == [name]
    assert isinstance(decide(USUAL, BROKEN[name], NOW), Deferred)


# --- paused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "is_closed"), [(None, True), (NOW + SECOND, True), (NOW, False), (NOW - SECOND, False)]
)
def test_a_pause_lasts_until_its_end(until: datetime | None, *, is_closed: bool) -> None:
    result = state_of(GateName.PAUSED, replace(INPUTS, pause=Pause("inventory", "alice", NOW - HOUR, until)))
    assert isinstance(result, Closed) is is_closed
    if isinstance(result, Closed):
        assert (result.until, result.reason) == (until, "paused by alice: inventory")


# --- policy -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "outcome"),
    [
        (POLICY, None),
        (replace(POLICY, standing=PolicyStanding.STALLED), Outcome.POLICY_STALLED),
        (replace(POLICY, standing=PolicyStanding.NEEDS_UPGRADE), Outcome.NEEDS_UPGRADE),
        (replace(POLICY, fetched_at=None), Outcome.POLICY_STALLED),
        (replace(POLICY, commit=""), Outcome.POLICY_STALLED),
        (replace(POLICY, fetched_at=NOW - timedelta(days=14)), None),
        (replace(POLICY, fetched_at=NOW - timedelta(days=14) - SECOND), Outcome.POLICY_STALE),
        (replace(POLICY, committed_at=NOW - HOUR, max_head_age=HOUR), None),
        (replace(POLICY, committed_at=NOW - HOUR - SECOND, max_head_age=HOUR), Outcome.POLICY_STALE),
        (replace(POLICY, committed_at=NOW + HOUR, max_head_age=HOUR), None),
        (replace(POLICY, committed_at=NOW + HOUR + SECOND, max_head_age=HOUR), Outcome.POLICY_STALE),
        (replace(POLICY, committed_at=NOW - timedelta(days=900)), None),
    ],
)
def test_the_policy_must_be_in_force_and_confirmed(policy: PolicyState, outcome: Outcome | None) -> None:
    assert outcome_of(GateName.POLICY, replace(INPUTS, policy=policy)) is outcome


@pytest.mark.parametrize("source", ["plan", "caller"])
@pytest.mark.parametrize(
    ("kind", "status", "name", "outcome"),
    [
        (ConditionType.POLICY_AMBIGUOUS, True, GateName.POLICY, Outcome.POLICY_STALLED),
        (ConditionType.POLICY_AMBIGUOUS, None, GateName.POLICY, Outcome.POLICY_STALLED),
        (ConditionType.POLICY_AMBIGUOUS, False, GateName.POLICY, None),
        (ConditionType.NEEDS_UPGRADE, True, GateName.POLICY, Outcome.POLICY_STALLED),
        (ConditionType.NEEDS_UPGRADE, True, GateName.HOST, None),
        (UnknownWord("HostCloned"), True, GateName.HOST, Outcome.UNHEALTHY),
    ],
)
def test_a_stalled_condition_closes_its_gate(
    source: str,
    kind: ConditionType | UnknownWord,
    name: GateName,
    outcome: Outcome | None,
    *,
    status: bool | None,
) -> None:
    condition = Condition(kind, status, "Found", "two policies disagree", stalled=True)
    if source == "plan":
        assert outcome_of(name, INPUTS, replace(USUAL, conditions=(condition,))) is outcome
    else:
        assert outcome_of(name, replace(INPUTS, conditions=(condition,))) is outcome


def test_nothing_to_do_is_not_said_by_a_policy_that_is_not_in_force() -> None:
    stalled = replace(INPUTS, policy=replace(POLICY, standing=PolicyStanding.STALLED))
    decision = decide(EMPTY, stalled, NOW)
    assert isinstance(decision, Deferred)
    assert decision.outcome is Outcome.POLICY_STALLED


def test_an_empty_plan_is_nothing_whatever_the_other_gates_say() -> None:
    inputs = replace(ALL_CLOSED, policy=POLICY, host=HostState())
    assert decide(EMPTY, inputs, NOW) == Nothing("no source offers anything newer")


def test_on_an_unhealthy_host_nobody_can_say_that_there_is_nothing_to_do() -> None:
    decision = decide(EMPTY, replace(ALL_CLOSED, policy=POLICY), NOW)
    assert isinstance(decision, Deferred)
    assert decision.outcome is Outcome.UNHEALTHY


def outcome_on(host: HostState, settings: GateSettings = SETTINGS) -> Outcome | None:
    return outcome_of(GateName.HOST, replace(INPUTS, host=host, settings=settings))


def test_what_is_known_to_have_failed_keeps_nothing_else_back() -> None:
    broken = Health(interrupted=("nginx (half-configured)",))
    assert outcome_on(HostState(broken)) is Outcome.UNHEALTHY
    assert outcome_on(HostState(broken, quarantined=("nginx",))) is None
    worse = Health(interrupted=("nginx (half-configured)", "vim (unpacked)"))
    assert outcome_on(HostState(worse, quarantined=("nginx",))) is Outcome.UNHEALTHY


def test_what_is_half_done_lets_others_be_applied_and_makes_no_machine_whole() -> None:
    known = HostState(Health(interrupted=("nginx (half-configured)",)), quarantined=("nginx",))
    assert isinstance(decide(USUAL, replace(INPUTS, host=known), NOW), Apply)
    decision = decide(EMPTY, replace(INPUTS, host=known), NOW)
    assert isinstance(decision, Deferred)
    assert (decision.outcome, "nginx (half-configured)" in decision.reason) == (Outcome.UNHEALTHY, True)


def test_a_package_that_must_be_installed_anew_keeps_all_others_back() -> None:
    broken = Health(interrupted=("nginx (reinst-required)",))
    assert outcome_on(HostState(broken, quarantined=("nginx",))) is Outcome.UNHEALTHY


def test_where_no_transaction_can_be_found_nobody_says_that_there_is_nothing_to_do() -> None:
    unresolved = Condition(ConditionType.CANNOT_RESOLVE, True, "Unresolvable", "the package manager cannot")
    decision = decide(replace(EMPTY, conditions=(unresolved,)), INPUTS, NOW)
    assert decision == Deferred(Outcome.CANNOT_RESOLVE, "the package manager cannot")
    doubted = replace(unresolved, status=None)
    assert isinstance(decide(replace(EMPTY, conditions=(doubted,)), INPUTS, NOW), Nothing)


def test_a_lock_is_waited_for_where_policy_has_the_patience() -> None:
    locked = HostState(Health(lock_holder="apt-get (pid 812)"))
    assert outcome_on(locked) is Outcome.LOCKED
    patient = replace(SETTINGS, lock_wait=timedelta(minutes=10))
    host = state_of(GateName.HOST, replace(INPUTS, host=locked, settings=patient))
    assert isinstance(host, Pass)
    assert (host.warning, "apt-get (pid 812)" in host.message) == (True, True)


def test_an_approval_by_digest_is_used_up_and_one_by_versions_is_not() -> None:
    settings = replace(SETTINGS, approval="required")
    by_digest = replace(APPROVAL, plan=DIGEST, versions=(), expires=NOW + HOUR)
    versions = tuple((one.name, one.to_version or "") for one in USUAL.transaction)
    by_versions = replace(by_digest, name="b", plan="", versions=versions)
    for approval, after in ((by_digest, Outcome.APPROVAL), (by_versions, None)):
        inputs = replace(INPUTS, settings=settings, approvals=(approval,))
        assert outcome_of(GateName.APPROVAL, inputs) is None
        assert outcome_of(GateName.APPROVAL, replace(inputs, used=(DIGEST,))) is after


# --- clock ------------------------------------------------------------------------------------------------

FUTURE = (Evidence("the policy commit", NOW + HOUR),)
NEARLY = (Evidence("the policy commit", NOW + CLOCK_TOLERANCE),)


@pytest.mark.parametrize(
    ("clock", "evidence", "is_closed", "is_warning"),
    [
        (ClockState.SYNCHRONISED, (), False, False),
        (ClockState.SYNCHRONISED, FUTURE, False, True),
        (ClockState.UNKNOWN, (), False, True),
        (ClockState.UNKNOWN, FUTURE, False, True),
        (ClockState.UNSYNCHRONISED, (), False, True),
        (ClockState.UNSYNCHRONISED, NEARLY, False, True),
        (ClockState.UNSYNCHRONISED, FUTURE, True, False),
    ],
)
def test_a_clock_is_wrong_only_when_unsynchronised_and_contradicted(
    clock: ClockState, evidence: tuple[Evidence, ...], *, is_closed: bool, is_warning: bool
) -> None:
    result = state_of(GateName.CLOCK, replace(INPUTS, clock=clock, evidence=evidence))
    assert isinstance(result, Closed) is is_closed
    assert (isinstance(result, Pass) and result.warning) is is_warning


def test_a_wrong_clock_is_asked_again_when_it_may_have_caught_up() -> None:
    inputs = replace(INPUTS, clock=ClockState.UNSYNCHRONISED, evidence=FUTURE)
    result = state_of(GateName.CLOCK, inputs)
    assert result.until is not None
    assert outcome_of(GateName.CLOCK, inputs, now=result.until - SECOND) is Outcome.CLOCK
    assert outcome_of(GateName.CLOCK, inputs, now=result.until) is None


# --- action -----------------------------------------------------------------------------------------------


def test_the_action_of_the_policy_closes_with_its_origin() -> None:
    for action, outcome in (("plan", Outcome.PLAN_ONLY), ("download", Outcome.DOWNLOAD_ONLY)):
        inputs = replace(INPUTS, settings=replace(SETTINGS, action=action))  # type: ignore[arg-type]
        result = state_of(GateName.ACTION, inputs)
        assert isinstance(result, Closed)
        assert (result.outcome, result.origin) == (outcome, "policies/web.yaml:5@abc123def456")
    assert outcome_of(GateName.ACTION, INPUTS) is None


# --- host -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("health", "outcome", "words"),
    [
        (Health(), None, "healthy"),
        (Health(interrupted=("nginx", "bash")), Outcome.UNHEALTHY, "interrupted: nginx, bash"),
        (Health(broken=("a", "b", "c", "d", "e")), Outcome.UNHEALTHY, "a, b, c and 2 more"),
        (Health(lock_holder="apt-get (pid 812)"), Outcome.LOCKED, "locked by apt-get (pid 812)"),
    ],
)
def test_a_host_must_be_healthy(health: Health, outcome: Outcome | None, words: str) -> None:
    inputs = replace(INPUTS, host=HostState(health))
    result = state_of(GateName.HOST, inputs)
    assert outcome_of(GateName.HOST, inputs) is outcome
    assert words in (result.reason if isinstance(result, Closed) else result.message)


def test_stale_metadata_close_the_host_gate() -> None:
    stale = Condition(
        ConditionType.METADATA_STALE, True, "TooOld", "not refreshed since 2026-11-01T00:00:00Z"
    )
    assert outcome_of(GateName.HOST, replace(INPUTS, conditions=(stale,))) is Outcome.METADATA_STALE
    fresh = replace(stale, status=False)
    assert outcome_of(GateName.HOST, replace(INPUTS, conditions=(fresh,))) is None


MARGIN = SPACE_MARGIN
ROOT = Filesystem("/", 3 * GIB + MARGIN, 20 * GIB)
HEAVY = replace(
    USUAL,
    transaction=(
        change("a", size=GIB, installed_delta=2 * GIB),
        change("b", size=None, installed_delta=-GIB),
    ),
)
KERNEL = replace(USUAL, transaction=(change("linux-image-6.1.0-28-amd64", action="install"),))


@pytest.mark.parametrize(
    ("plan", "filesystems", "short"),
    [
        (HEAVY, (ROOT,), ""),
        (HEAVY, (replace(ROOT, free=ROOT.free - 1),), "/"),
        (HEAVY, (ROOT, replace(ROOT, path="/var/cache/apt/archives")), ""),
        (HEAVY, (replace(ROOT, free=ROOT.free - 1), Filesystem("/var/cache/apt", 9 * GIB, 10 * GIB)), ""),
        (HEAVY, (ROOT, Filesystem("/var/cache/apt", GIB + MARGIN - 1, 10 * GIB)), "/var/cache/apt"),
        (HEAVY, (ROOT, Filesystem("/boot", 1, GIB)), ""),
        (KERNEL, (ROOT, Filesystem("/boot", BOOT_MARGIN, GIB)), ""),
        (KERNEL, (ROOT, Filesystem("/boot", BOOT_MARGIN - 1, GIB)), "/boot"),
        (USUAL, (), ""),
    ],
)
def test_a_plan_must_fit_with_a_margin(plan: Plan, filesystems: tuple[Filesystem, ...], short: str) -> None:
    result = state_of(GateName.HOST, replace(INPUTS, host=HostState(Health(filesystems=filesystems))), plan)
    if short:
        assert isinstance(result, Closed)
        assert result.outcome is Outcome.NO_SPACE
        assert result.reason.startswith(f"{short} has ")
    else:
        assert isinstance(result, Pass)


def test_inhibitors_defer_only_where_the_policy_says_so() -> None:
    inputs = replace(INPUTS, host=HostState(inhibitors=(Inhibitor("sessions", "alice is logged in"),)))
    assert outcome_of(GateName.HOST, inputs) is None
    strict = replace(inputs, settings=replace(SETTINGS, inhibit=("sessions",)))
    assert outcome_of(GateName.HOST, strict) is Outcome.INHIBITED


@pytest.mark.parametrize("changed", ["digest", "policy_commit", "database", None])
def test_a_failed_plan_is_retried_only_when_something_changed(changed: str | None) -> None:
    failed = FailedApply(DIGEST, POLICY.commit, "db-1", NOW - HOUR)
    if changed is not None:
        failed = replace(failed, **{changed: "another"})  # type: ignore[arg-type]  # none of these is the instant
    inputs = replace(INPUTS, host=HostState(database="db-1", failed=failed))
    assert outcome_of(GateName.HOST, inputs) is (None if changed else Outcome.ALREADY_FAILED)
    glass = BreakGlass("the mirror is repaired", "alice")
    assert outcome_of(GateName.HOST, replace(inputs, break_glass=glass)) is None


@pytest.mark.parametrize("changed", ["digest", "policy_commit", "database", "hooks", None])
def test_what_a_hook_was_against_is_tried_again_when_time_passes_or_anything_changed(
    changed: str | None,
) -> None:
    failed = FailedApply(
        DIGEST, POLICY.commit, "db-1", NOW - HOUR, "hooks-1", 2, "hook etckeeper: uncommitted changes"
    )
    if changed is not None:
        failed = replace(failed, **{changed: "another"})  # type: ignore[arg-type]  # all of these are texts
    host = HostState(database="db-1", hooks="hooks-1")
    early = replace(INPUTS, host=replace(host, failed=replace(failed, at=NOW - HOUR / 2)))
    result = state_of(GateName.HOST, early)
    if changed:
        assert isinstance(result, Pass)
    else:
        assert isinstance(result, Closed)
        assert (result.outcome, result.until) == (Outcome.ALREADY_FAILED, NOW + HOUR / 2)
        assert result.reason.startswith("hook etckeeper: uncommitted changes; tried again at ")
        assert result.reason.endswith(
            " UTC, with run --now, or when the plan, policy, package database or hooks are others"
        )
    late = replace(INPUTS, host=replace(host, failed=failed))
    assert isinstance(state_of(GateName.HOST, late), Pass)


# --- window and budget ------------------------------------------------------------------------------------


def test_no_schedule_means_never() -> None:
    result = state_of(GateName.WINDOW, replace(INPUTS, windows=WindowState()))
    assert isinstance(result, Closed)
    assert (result.outcome, result.until) == (Outcome.WINDOW, None)


def test_windows_that_cannot_be_told_are_closed() -> None:
    windows = replace(WINDOWS, problem="Europe/Berln is not a time zone")
    assert outcome_of(GateName.WINDOW, replace(INPUTS, windows=windows)) is Outcome.WINDOW


BUDGET = SETTINGS.budget
START, END = WINDOWS.spans[0].start, WINDOWS.spans[0].end


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (START - SECOND, Outcome.WINDOW),
        (START, None),
        (END - BUDGET, None),
        (END - BUDGET + SECOND, Outcome.BUDGET),
        (END - SECOND, Outcome.BUDGET),
        (END, Outcome.WINDOW),
    ],
)
def test_a_run_starts_only_inside_a_window_and_where_its_budget_fits(
    now: datetime, outcome: Outcome | None
) -> None:
    result = state_of(GateName.WINDOW, INPUTS, now=now)
    assert outcome_of(GateName.WINDOW, INPUTS, now=now) is outcome
    assert result.until == (WINDOWS.opening if outcome else END - BUDGET + SECOND)


def test_of_overlapping_windows_the_one_that_ends_last_counts() -> None:
    longer = Occurrence(NOW - 2 * HOUR, END + HOUR, "long", 0)
    decision = decide(USUAL, replace(INPUTS, windows=replace(WINDOWS, spans=(longer, *WINDOWS.spans))), NOW)
    assert isinstance(decision, Apply)
    assert decision.deadline == longer.end


def test_the_begin_of_a_freeze_is_an_end() -> None:
    coming = replace(FREEZE, start=NOW + HOUR, end=NOW + 9 * HOUR)
    inputs = replace(INPUTS, freezes=(coming,))
    decision = decide(USUAL, inputs, NOW)
    assert isinstance(decision, Apply)
    assert decision.deadline == coming.start
    late = state_of(GateName.WINDOW, inputs, now=coming.start - BUDGET + SECOND)
    assert isinstance(late, Closed)
    assert late.outcome is Outcome.BUDGET
    assert late.reason == "a run needs 30m, more than is left before the freeze year-end"
    lenient = replace(inputs, freezes=(replace(coming, allow="security"),), is_security_plan=True)
    decision = decide(USUAL, lenient, NOW)
    assert isinstance(decision, Apply)
    assert decision.deadline == END


BERLIN_NIGHTS = [
    # "02:00 +1h" in Berlin: on 2026-03-29 it does not exist and opens at 03:00; on 2026-10-25 the first
    # counts.
    Occurrence(datetime(2026, 3, 29, 1, 0, tzinfo=UTC), datetime(2026, 3, 29, 2, 0, tzinfo=UTC), "night", 0),
    Occurrence(
        datetime(2026, 10, 25, 0, 0, tzinfo=UTC), datetime(2026, 10, 25, 1, 0, tzinfo=UTC), "night", 0
    ),
]


@pytest.mark.parametrize("night", BERLIN_NIGHTS)
def test_on_both_nights_of_a_clock_change_sixty_minutes_are_open(night: Occurrence) -> None:
    inputs = replace(
        INPUTS, windows=WindowState(("night",), (night,)), policy=replace(POLICY, fetched_at=night.start)
    )
    minutes = [night.start + timedelta(minutes=at) for at in range(-120, 180)]
    is_open = [at for at in minutes if isinstance(decide(USUAL, inputs, at), Apply)]
    assert is_open == [night.start + timedelta(minutes=at) for at in range(31)]


def test_break_glass_passes_the_window_and_nothing_else() -> None:
    inputs = replace(INPUTS, windows=WindowState(), break_glass=BreakGlass("CVE in the wild", "alice"))
    assert decide(USUAL, inputs, NOW) == Apply((Step(USUAL.transaction),), None)
    assert isinstance(decide(USUAL, replace(inputs, freezes=(FREEZE,)), NOW), Deferred)
    overriding = replace(
        inputs, freezes=(FREEZE,), break_glass=BreakGlass("CVE", "alice", overrides_freeze=True)
    )
    assert isinstance(decide(USUAL, overriding, NOW), Apply)
    assert isinstance(decide(USUAL, replace(overriding, pause=ALL_CLOSED.pause), NOW), Deferred)


# --- freeze -----------------------------------------------------------------------------------------------

SECURITY_FREEZE = replace(FREEZE, allow="security")
REMOVING = replace(USUAL, transaction=(*USUAL.transaction, change("old", action="remove", to_version=None)))


@pytest.mark.parametrize(
    ("freezes", "is_security_plan", "plan", "outcome"),
    [
        ((), False, USUAL, None),
        ((FREEZE,), False, USUAL, Outcome.FREEZE),
        ((FREEZE,), True, USUAL, Outcome.FREEZE),
        ((SECURITY_FREEZE,), False, USUAL, Outcome.FREEZE),
        ((SECURITY_FREEZE,), True, USUAL, None),
        ((SECURITY_FREEZE,), True, REMOVING, Outcome.FREEZE),
        ((SECURITY_FREEZE, FREEZE), True, USUAL, Outcome.FREEZE),
    ],
)
def test_freezes_beat_windows(
    freezes: tuple[Freeze, ...], plan: Plan, outcome: Outcome | None, *, is_security_plan: bool
) -> None:
    inputs = replace(INPUTS, freezes=freezes, is_security_plan=is_security_plan)
    assert outcome_of(GateName.FREEZE, inputs, plan) is outcome


def test_a_freeze_opens_again_at_its_end_without_a_commit() -> None:
    later = replace(FREEZE, name="stocktaking", start=FREEZE.end, end=FREEZE.end + HOUR)
    apart = replace(FREEZE, name="later", start=later.end + HOUR, end=later.end + 2 * HOUR)
    inputs = replace(INPUTS, freezes=(FREEZE, later, apart))
    until = state_of(GateName.FREEZE, inputs).until
    assert until == later.end
    assert outcome_of(GateName.FREEZE, inputs, now=until - SECOND) is Outcome.FREEZE
    reopened = state_of(GateName.FREEZE, inputs, now=until)
    assert isinstance(reopened, Pass)
    assert reopened.until == apart.start


def test_a_security_plan_passes_until_the_next_stricter_freeze() -> None:
    strict = replace(FREEZE, start=NOW + HOUR)
    inputs = replace(INPUTS, freezes=(SECURITY_FREEZE, strict), is_security_plan=True)
    assert state_of(GateName.FREEZE, inputs).until == strict.start


# --- rollout, approval, concurrency -----------------------------------------------------------------------

IN_ROLLOUT = replace(INPUTS, settings=replace(SETTINGS, rollout=("weekly", "canary")))


@pytest.mark.parametrize(
    ("rollout", "outcome"),
    [
        (None, Outcome.ROLLOUT),
        (RolloutState("weekly", "canary", True, "first ring"), None),
        (RolloutState("weekly", "canary", False, "soaking", NOW + HOUR), Outcome.ROLLOUT),
        (RolloutState("weekly", "broad", True, "another ring's answer"), Outcome.ROLLOUT),
    ],
)
def test_a_ring_is_closed_until_a_summary_says_it_is_open(
    rollout: RolloutState | None, outcome: Outcome | None
) -> None:
    inputs = replace(IN_ROLLOUT, rollout=rollout)
    assert outcome_of(GateName.ROLLOUT, inputs) is outcome
    assert outcome_of(GateName.ROLLOUT, replace(INPUTS, rollout=rollout)) is None


NEEDS_APPROVAL = replace(INPUTS, settings=replace(SETTINGS, approval="required"))
VERSIONS = (("bash", "1.0-2"), ("openssl:amd64", "3.0.15-1"))


@pytest.mark.parametrize(
    ("approval", "plan", "outcome"),
    [
        (APPROVAL, USUAL, None),
        (replace(APPROVAL, plan="sha256:" + "00" * 32), USUAL, Outcome.APPROVAL),
        (replace(APPROVAL, expires=NOW), USUAL, Outcome.APPROVAL),
        (replace(APPROVAL, expires=NOW + SECOND), USUAL, None),
        (replace(APPROVAL, plan="", versions=VERSIONS), USUAL, None),
        (replace(APPROVAL, plan="", versions=VERSIONS[:1]), USUAL, Outcome.APPROVAL),
        (replace(APPROVAL, plan="", versions=(("bash", "1.0-3"), VERSIONS[1])), USUAL, Outcome.APPROVAL),
        (replace(APPROVAL, plan="", versions=VERSIONS), REMOVING, Outcome.APPROVAL),
        (replace(APPROVAL, plan=DIGEST), REMOVING, None),
    ],
)
def test_an_approval_names_the_plan_or_every_version(
    approval: ApprovalText, plan: Plan, outcome: Outcome | None
) -> None:
    assert outcome_of(GateName.APPROVAL, replace(NEEDS_APPROVAL, approvals=(approval,)), plan) is outcome
    assert outcome_of(GateName.APPROVAL, replace(INPUTS, approvals=(approval,)), plan) is None


def test_an_expired_approval_is_named() -> None:
    result = state_of(GateName.APPROVAL, replace(NEEDS_APPROVAL, approvals=(replace(APPROVAL, expires=NOW),)))
    assert isinstance(result, Closed)
    assert result.reason == "no approval in force covers plan 5c5c5c5c5c5c (1 expired)"


@pytest.mark.parametrize(
    ("slot", "outcome"),
    [
        (None, Outcome.CONCURRENCY),
        (Slot("web", True, ""), None),
        (Slot("web", False, "held by web-02", NOW + HOUR), Outcome.CONCURRENCY),
        (Slot("db", True, ""), Outcome.CONCURRENCY),
    ],
)
def test_a_slot_must_be_held_where_the_policy_limits_them(slot: Slot | None, outcome: Outcome | None) -> None:
    limited = replace(INPUTS, settings=replace(SETTINGS, concurrency=("web", 2)), slot=slot)
    assert outcome_of(GateName.CONCURRENCY, limited) is outcome
    assert outcome_of(GateName.CONCURRENCY, replace(INPUTS, slot=slot)) is None


# --- together ---------------------------------------------------------------------------------------------


def test_the_next_instant_is_the_earliest_of_all() -> None:
    gates = evaluate(USUAL, INPUTS, NOW)
    decision = conclude(USUAL, INPUTS, gates, NOW)
    assert next_instant(decision, gates) == END - BUDGET + SECOND
    assert next_instant(decision, gates, [None, NOW + SECOND]) == NOW + SECOND
    assert next_instant(Nothing("up to date"), ()) is None


MOMENTS = st.integers(-300, 300).map(lambda minutes: NOW + timedelta(minutes=minutes))
SPANS = st.builds(
    lambda start, length: Occurrence(start, start + timedelta(minutes=length), "night", 0),
    MOMENTS,
    st.integers(1, 300),
)
FREEZES = st.builds(
    lambda start, length, allow: replace(
        FREEZE, start=start, end=start + timedelta(minutes=length), allow=allow
    ),
    MOMENTS,
    st.integers(1, 300),
    st.sampled_from(["none", "security"]),
)
ANY_INPUTS = st.builds(
    GateInputs,
    settings=st.builds(
        replace,
        st.just(SETTINGS),
        action=st.sampled_from(["plan", "apply", "apply", "apply"]),
        budget=st.integers(1, 120).map(lambda minutes: timedelta(minutes=minutes)),
        approval=st.sampled_from(["none", "none", "required"]),
        concurrency=st.sampled_from([None, None, ("web", 2)]),
        rollout=st.sampled_from([None, None, ("weekly", "canary")]),
    ),
    policy=st.sampled_from([POLICY, POLICY, replace(POLICY, fetched_at=NOW - timedelta(days=20))]),
    clock=st.sampled_from(ClockState),
    evidence=st.lists(st.builds(Evidence, st.just("a commit"), MOMENTS), max_size=1).map(tuple),
    pause=st.none() | st.builds(Pause, st.just("why"), st.just("who"), st.just(NOW), MOMENTS),
    host=st.sampled_from([HostState(), HostState(Health(broken=("nginx",)))]),
    windows=st.lists(SPANS, max_size=3).map(
        lambda spans: WindowState(("night",), tuple(sorted(spans, key=lambda one: one.start)))
    ),
    freezes=st.lists(FREEZES, max_size=2).map(tuple),
    is_security_plan=st.booleans(),
    rollout=st.sampled_from([None, RolloutState("weekly", "canary", True, "first ring")]),
    approvals=st.sampled_from([(), (APPROVAL,)]),
    slot=st.sampled_from([None, Slot("web", True, "")]),
)


@examples(300)
@given(inputs=ANY_INPUTS, now=MOMENTS)
def test_nothing_is_applied_unless_every_gate_is_open_and_a_window_has_room(
    inputs: GateInputs, now: datetime
) -> None:
    gates = evaluate(USUAL, inputs, now)
    decision = decide(USUAL, inputs, now)
    assert isinstance(decision, Apply) == all(isinstance(result, Pass) for result in gates)
    if isinstance(decision, Apply):
        assert decision.deadline is not None
        assert now + inputs.settings.budget <= decision.deadline
        assert any(span.start <= now and decision.deadline <= span.end for span in inputs.windows.spans)
        assert inputs.settings.action == "apply"
        for freeze in inputs.freezes:
            touches = freeze.start < decision.deadline and now < freeze.end
            assert not touches or (freeze.allow == "security" and inputs.is_security_plan)


def _states(gates: Sequence[GateResult]) -> list[tuple[GateName, object, str]]:
    return [
        (result.gate, result.outcome, result.reason)
        if isinstance(result, Closed)
        else (result.gate, result.warning, result.message)
        for result in gates
    ]


@examples(200)
@given(inputs=ANY_INPUTS, now=MOMENTS)
def test_no_gate_changes_its_answer_before_the_next_instant(inputs: GateInputs, now: datetime) -> None:
    gates = evaluate(USUAL, inputs, now)
    until = next_instant(decide(USUAL, inputs, now), gates)
    just_before = now + timedelta(days=1) if until is None else until - SECOND
    if just_before > now:
        assert _states(evaluate(USUAL, inputs, just_before)) == _states(gates)


@examples(200)
@given(inputs=ANY_INPUTS, now=MOMENTS)
def test_no_gate_is_asked_again_in_the_past(inputs: GateInputs, now: datetime) -> None:
    assert all(result.until is None or result.until > now for result in evaluate(USUAL, inputs, now))
