"""The report as a document: its layout, what counts as a change, its subject and its schema."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from reconciler.planning.facts.observation import (
    ClockState,
    Health,
    Reboot,
    RebootNeed,
    Refresh,
    RefreshOutcome,
)
from reconciler.planning.gates.types import (
    Evidence,
    GateInputs,
    HostState,
    Outcome,
    Pause,
    PolicyStanding,
    WindowState,
)
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.reader import read_report
from reconciler.planning.reporting.report import (
    digest_of_planned,
    is_news,
    plan_json,
    to_document,
    to_json,
)
from reconciler.planning.reporting.schema import (
    plan_schema,
    plan_schema_json,
    report_schema,
    report_schema_json,
    run_schema,
    run_schema_json,
)
from reconciler.planning.reporting.summary import SUBJECT_LENGTH, count, subject, trailers
from reconciler.planning.resolving.approval import digest_of
from reconciler.planning.resolving.dispositions import Condition, ConditionType, Disposition, Plan, Reason
from reconciler.planning.text.layout import SCHEMA_VERSION, UnknownWord
from tests.examples import examples
from tests.report_samples import (
    APPROVAL,
    COMMIT,
    EMPTY,
    FREEZE,
    HELD,
    HOUR,
    INPUTS,
    NOW,
    OBSERVATION,
    POLICY,
    SETTINGS,
    USUAL,
    change,
    many,
    plan_of,
    report_of,
    update,
)

VALIDATOR = Draft202012Validator(report_schema(), format_checker=FormatChecker())

FROZEN = replace(INPUTS, freezes=(FREEZE,), approvals=(APPROVAL,))
LENIENT = replace(FROZEN, freezes=(replace(FREEZE, allow="security"),))
STALLED = GateInputs(
    settings=SETTINGS,
    policy=replace(POLICY, standing=PolicyStanding.STALLED, message="policies/web.yaml:3: unknown key"),
    clock=ClockState.UNKNOWN,
    host=HostState(Health(broken=("nginx : Depends: libc6 (>= 2.40)",))),
    windows=WindowState(("sunday-night",), INPUTS.windows.spans),
)
REPORTS = {
    "applying": report_of(),
    "frozen": report_of(inputs=LENIENT, security_plan=plan_of(update("openssl", security=True))),
    "stalled": report_of(inputs=STALLED),
    "up-to-date": report_of(EMPTY),
}


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_a_report_is_written_as_before(name: str, golden: Callable[[str, bytes], None]) -> None:
    golden(f"report/{name}.json", to_json(REPORTS[name]))


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_a_report_satisfies_its_schema(name: str) -> None:
    assert list(VALIDATOR.iter_errors(to_document(REPORTS[name]))) == []


@given(number=st.integers(0, 40), inputs=st.sampled_from([INPUTS, FROZEN, STALLED]))
@examples(30)
def test_every_report_satisfies_its_schema(number: int, inputs: GateInputs) -> None:
    assert list(VALIDATOR.iter_errors(json.loads(to_json(report_of(many(number), inputs))))) == []


def test_the_schema_refuses_what_is_no_report() -> None:
    document = to_document(REPORTS["applying"])
    assert not VALIDATOR.is_valid({**document, "extra": 1})
    assert not VALIDATOR.is_valid({**document, "generated_at": "3 hours ago"})
    assert not VALIDATOR.is_valid({**document, "schema": SCHEMA_VERSION - 1})
    assert not VALIDATOR.is_valid({key: value for key, value in document.items() if key != "plan"})


def test_the_committed_schemas_are_the_generated_ones(golden: Callable[[str, bytes], None]) -> None:
    golden("../../schemas/report.schema.json", report_schema_json())
    golden("../../schemas/plan.schema.json", plan_schema_json())
    golden("../../schemas/run.schema.json", run_schema_json())
    Draft202012Validator.check_schema(report_schema())
    Draft202012Validator.check_schema(plan_schema())
    Draft202012Validator.check_schema(run_schema())


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_the_plan_interface_satisfies_its_schema_and_nothing_more(name: str) -> None:
    validator = Draft202012Validator(plan_schema(), format_checker=FormatChecker())
    interface = json.loads(json.dumps(plan_json(REPORTS[name])))
    assert list(validator.iter_errors(interface)) == []
    assert not validator.is_valid({**interface, "host": {}})
    assert not validator.is_valid(to_document(REPORTS[name]))


def test_equal_input_gives_equal_bytes() -> None:
    first, second = to_json(report_of(many(50))), to_json(report_of(many(50)))
    assert first == second
    assert first.endswith(b"}\n")
    assert (
        first == json.dumps(json.loads(first), sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"
    )


def test_the_plan_interface_is_part_of_the_report_and_holds_exactly_the_documented_keys() -> None:
    report = REPORTS["frozen"]
    document, interface = to_document(report), plan_json(report)
    assert set(interface) == {
        "target", "policy_commit", "plan", "decision", "security_plan", "security_decision", "conditions",
    }  # fmt: skip
    assert set(interface["plan"]) == {"digest", "transaction", "updates"}
    assert set(interface["plan"]["transaction"][0]) == {"action", "name", "arch", "from", "to", "origin"}
    assert set(interface["plan"]["updates"][0]) == {
        "name", "arch", "installed", "candidate", "origin", "security", "disposition", "reasons",
    }  # fmt: skip
    assert interface["decision"] == {
        "outcome": "freeze",
        "reason": "frozen by year-end (year-end change freeze) for all but security updates, and this plan"
        " holds others",
        "until": "2026-11-24T03:00:00Z",
    }
    for key in ("target", "policy_commit", "decision"):
        assert document[key] == interface[key]
    (move, *_), (shown, *_) = document["plan"]["transaction"], interface["plan"]["transaction"]
    assert {**move, **shown} == move


def test_the_digest_of_a_plan_comes_out_of_the_report_alone() -> None:
    made = plan_of(update("bash"), update("libc6"))
    changes = (replace(made.transaction[0], sha256="ab" * 32), *made.transaction[1:])
    report = read_report(to_json(report_of(replace(made, transaction=changes, digest=digest_of(changes)))))
    assert [move.sha256 for move in report.plan.transaction] == ["ab" * 32, None]
    assert digest_of_planned(report.plan) == report.plan.digest != digest_of(made.transaction)


def test_instants_are_written_in_utc_and_whole_seconds() -> None:
    document = to_document(report_of(now=NOW + timedelta(microseconds=999_999)))
    assert document["generated_at"] == "2026-11-22T03:00:00Z"


LATER = replace(
    OBSERVATION,
    refresh=Refresh(RefreshOutcome.REFRESHED),
    sources=tuple(replace(one, fetched=NOW, published=NOW, valid_until=NOW) for one in OBSERVATION.sources),
)


def test_time_that_passes_is_no_change() -> None:
    later = report_of(
        inputs=replace(
            INPUTS,
            policy=replace(POLICY, fetched_at=NOW),
            windows=replace(INPUTS.windows, spans=INPUTS.windows.spans[:1]),
        ),
        observation=LATER,
        now=NOW + timedelta(minutes=15),
    )
    before, after = to_json(REPORTS["applying"]), to_json(later)
    assert before != after
    assert not is_news(after, before)


@pytest.mark.parametrize(
    "changed",
    [
        report_of(plan_of(update("bash"))),
        report_of(plan_of(update("bash"), HELD, update("openssl", candidate="3.0.16-1"))),
        report_of(inputs=FROZEN),
        report_of(inputs=replace(INPUTS, policy=replace(POLICY, commit="f" * 40))),
        report_of(observation=replace(OBSERVATION, reboot=Reboot(RebootNeed.REQUIRED, ("linux-image",)))),
        report_of(inputs=replace(INPUTS, clock=ClockState.UNKNOWN)),
    ],
)
def test_what_a_reader_must_know_is_a_change(changed: Report) -> None:
    assert is_news(to_json(changed), to_json(REPORTS["applying"]))


def test_reports_of_other_versions_are_compared_too() -> None:
    old = b'{"target": "web-01", "metadata": 3, "windows": []}'
    assert not is_news(b'{"target": "web-01", "metadata": 3}', old)
    assert is_news(b'{"target": "web-01", "metadata": 4}', old)
    with pytest.raises(ValueError, match="a report is a JSON object"):
        is_news(old, b"[]")


def test_updates_are_counted_by_what_becomes_of_them() -> None:
    counts = count(
        (
            update("a", security=True),
            update("b"),
            update("c", installed=None),
            update("d", candidate=None),
            HELD,
            update("e", disposition=Disposition.BLOCKED, security=True),
            update("f", disposition=Disposition.TOO_YOUNG),
            update("g", disposition=Disposition.NOT_SELECTED),
            update("h", disposition=Disposition.UNAVAILABLE),
        ),
        NOW,
    )
    assert (counts.updates, counts.security, counts.pending, counts.pending_security) == (7, 2, 2, 1)
    assert (counts.installs, counts.removals) == (1, 1)
    assert (counts.held, counts.waiting, counts.not_selected, counts.refused) == (2, 1, 1, 1)


REBOOTING = replace(OBSERVATION, reboot=Reboot(RebootNeed.REQUIRED))


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (report_of(), "web-01: 2 updates pending (1 security), 1 held"),
        (report_of(EMPTY), "web-01: up to date"),
        (report_of(EMPTY, observation=REBOOTING), "web-01: up to date, reboot pending"),
        (report_of(plan_of(update())), "web-01: 1 update pending"),
        (report_of(plan_of(HELD)), "web-01: 1 held"),
        (
            report_of(plan_of(HELD, update("curl", disposition=Disposition.HELD, security=True))),
            "web-01: 2 held (1 security)",
        ),
        (
            report_of(
                plan_of(
                    update("a", disposition=Disposition.TOO_YOUNG, security=True),
                    update("b", disposition=Disposition.UNAVAILABLE, security=True),
                    update("c", disposition=Disposition.NOT_SELECTED),
                )
            ),
            "web-01: 1 waiting (1 security), 1 refused (1 security), 1 not selected",
        ),
        (
            report_of(inputs=STALLED),
            "web-01: unhealthy, policy-stalled, 2 updates pending (1 security)",
        ),
    ],
)
def test_the_subject_sums_up(report: Report, expected: str) -> None:
    assert subject(report) == expected


def test_a_long_subject_loses_detail_from_its_end() -> None:
    report = report_of(inputs=STALLED, target="a" * 40, observation=REBOOTING)
    assert subject(report) == "a" * 40 + ": unhealthy, policy-stalled"
    assert len(subject(report)) <= SUBJECT_LENGTH


def test_trailers_name_host_policy_plan_and_outcome() -> None:
    assert trailers(report_of()) == {
        "Host": "web-01",
        "Policy-Commit": COMMIT,
        "Plan": "5c5c5c5c5c5c",
        "Outcome": "apply",
    }
    assert list(trailers(report_of(), run="20261122T030000Z-5c5c5c5c5c5c")) == [
        "Host", "Policy-Commit", "Plan", "Run", "Outcome",
    ]  # fmt: skip


def test_conditions_are_the_abnormal_states_sorted_and_told_once() -> None:
    told = Condition(ConditionType.METADATA_STALE, True, "TooOld", "not refreshed since 2026-11-01T00:00:00Z")
    fine = Condition(ConditionType.PARTIAL_UPGRADE, False, "None", "no hold splits an upgrade")
    report = report_of(replace(USUAL, conditions=(told, fine)), replace(STALLED, conditions=(told,)))
    assert [(one.type, one.status) for one in report.conditions] == [
        ("ClockUncertain", True),
        ("HostUnhealthy", True),
        ("MetadataStale", True),
        ("PartialUpgrade", False),
        ("PolicyStalled", True),
    ]
    assert REPORTS["applying"].conditions == ()


def test_a_condition_that_closes_a_gate_is_not_told_twice() -> None:
    cloned = Condition(
        UnknownWord("HostCloned"), True, "MachineId", "this is a clone of web-01", stalled=True
    )
    report = report_of(inputs=replace(INPUTS, conditions=(cloned,)))
    assert report.decision.outcome is Outcome.UNHEALTHY
    assert report.conditions == (cloned,)


@pytest.mark.parametrize("kind", ["PolicyRejected", "NeedsUpgrade", "DependenciesBroken"])
def test_a_condition_of_plan_or_caller_is_not_repeated_in_other_words(kind: str) -> None:
    told = Condition(ConditionType(kind), True, "Told", "in the finder's own words", stalled=True)
    kinds = [one.type for one in report_of(inputs=replace(STALLED, conditions=(told,))).conditions]
    doubled = {"DependenciesBroken": "HostUnhealthy"}.get(kind, "PolicyStalled")
    assert kind in kinds
    assert doubled not in kinds


def test_of_two_conditions_of_a_type_the_one_that_holds_is_told() -> None:
    absent = Condition(ConditionType.REBOOT_REQUIRED, False, "NotRequired", "no reboot is pending")
    present = replace(absent, status=True, message="a reboot is pending")
    report = report_of(replace(USUAL, conditions=(absent,)), replace(INPUTS, conditions=(present,)))
    assert report.conditions == (present,)


def test_a_wrong_clock_and_a_pause_are_told_apart() -> None:
    wrong = replace(INPUTS, clock=ClockState.UNSYNCHRONISED, evidence=(Evidence("a commit", NOW + HOUR),))
    assert [one.type for one in report_of(inputs=wrong).conditions] == ["ClockWrong"]
    paused = replace(INPUTS, pause=Pause("inventory", "alice", NOW))
    assert report_of(inputs=paused).conditions == ()


def test_an_exception_names_the_updates_that_it_decided() -> None:
    other = update("vim", reasons=(Reason("exception-hold", "held", f"exceptions/vim.yaml:1@{COMMIT[:12]}"),))
    (state,) = report_of(plan_of(HELD, other)).exceptions
    assert state.packages == ("nginx:amd64",)
    assert not state.expired
    (late,) = report_of(now=NOW + timedelta(days=60)).exceptions
    assert late.expired


def test_an_approval_says_whether_it_covers_the_plan() -> None:
    expired = replace(APPROVAL, name="october", expires=NOW)
    foreign = replace(APPROVAL, name="other", plan="sha256:" + "00" * 32)
    states = report_of(inputs=replace(INPUTS, approvals=(APPROVAL, expired, foreign))).approvals
    assert [(one.name, one.covers, one.expired) for one in states] == [
        ("november", True, False),
        ("october", True, True),
        ("other", False, False),
    ]


@pytest.mark.parametrize(
    ("start", "end", "allow", "expected"),
    [
        (-2, 3, "none", "year-end"),
        (-2, 1.5, "none", None),
        (-2, 1.6, "none", "year-end"),
        (-0.4, 1.6, "none", None),
        (-0.6, 1.6, "none", "year-end"),
        (-2, 3, "security", None),
        (2, 9, "none", None),
    ],
)
def test_a_window_is_blocked_where_a_freeze_leaves_no_room(
    start: float, end: float, allow: Literal["none", "security"], expected: str | None
) -> None:
    freeze = replace(FREEZE, start=NOW + start * HOUR, end=NOW + end * HOUR, allow=allow)
    first, second = report_of(inputs=replace(INPUTS, freezes=(freeze,), is_security_plan=True)).windows
    assert (first.blocked_by, second.blocked_by) == (expected, None)


def test_a_window_shorter_than_the_budget_is_blocked_by_it() -> None:
    inputs = replace(INPUTS, settings=replace(SETTINGS, budget=4 * HOUR))
    assert {window.blocked_by for window in report_of(inputs=inputs).windows} == {"budget"}


def test_sizes_are_summed_as_far_as_known() -> None:
    plan = Plan((change("a", size=5, installed_delta=-3), change("b", size=None)), (), "sha256:" + "11" * 32)
    planned = report_of(plan).plan
    assert (planned.download, planned.growth) == (5, 2**18 - 3)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"{\xff}"])
def test_what_is_no_report_is_a_value_error_whatever_it_is(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of json's own
        is_news(to_json(REPORTS["applying"]), text)
