"""Reading ``report.json`` back."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Misuse
from reconciler.planning.facts.observation import Reboot, RebootNeed
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.reader import read_report
from reconciler.planning.reporting.report import to_json
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.text.layout import SCHEMA_VERSION, UnknownWord
from tests.examples import examples
from tests.report_samples import (
    APPROVAL,
    EMPTY,
    FREEZE,
    INPUTS,
    NOW,
    OBSERVATION,
    USUAL,
    many,
    report_of,
)

UNUSED = Condition(ConditionType.EXCEPTION_UNUSED, True, "NothingMatches", "no package is named by it")
REPORTS = [
    report_of(replace(USUAL, conditions=(UNUSED,))),
    report_of(EMPTY, observation=replace(OBSERVATION, reboot=Reboot(RebootNeed.UNKNOWN, ("why",)))),
    report_of(
        inputs=replace(
            INPUTS,
            freezes=(FREEZE,),
            approvals=(replace(APPROVAL, plan="", versions=(("bash", "1.0-2"),)),),
            policy=replace(INPUTS.policy, fetched_at=None),
        ),
        security_plan=USUAL,
    ),
]


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_reads_back(report: Report) -> None:
    assert read_report(to_json(report)) == report


def test_what_is_not_written_since_it_is_the_default_reads_back() -> None:
    scripts = (("common.sh", "0" * 64), ("apt-update.sh", "1" * 64))
    for of_policy in ((), ("apt-update.sh",)):
        report = report_of(observation=replace(OBSERVATION, scripts=scripts, policy_scripts=of_policy))
        assert read_report(to_json(report)) == report
        assert [one.is_of_policy for one in report.scripts] == [False, bool(of_policy)]


@examples(30)
@given(st.integers(0, 40), st.integers(0, 10**6))
def test_reading_and_writing_again_gives_the_same_bytes(number: int, microseconds: int) -> None:
    data = to_json(report_of(many(number), now=NOW + timedelta(microseconds=microseconds)))
    assert to_json(read_report(data)) == data


def test_a_key_of_a_later_release_is_passed_over() -> None:
    document = json.loads(to_json(REPORTS[0]))
    document["later"] = document["host"]["later"] = {"x": 1}
    assert read_report(json.dumps(document).encode()) == REPORTS[0]


@pytest.mark.parametrize(
    "path", [("decision", "outcome"), ("gates", 0, "state"), ("reboot", "need"), ("conditions", 0, "type")]
)
def test_a_word_of_a_later_release_leaves_the_rest_readable(path: tuple[str | int, ...]) -> None:
    data = _edited(path, "a-word-of-the-next-release")
    report = read_report(data)
    assert report.plan == REPORTS[0].plan
    assert b"a-word-of-the-next-release" in to_json(report)
    assert json.loads(to_json(report)) == json.loads(data)
    place: Any = report
    for step in path:
        place = place[step] if isinstance(step, int) else getattr(place, step)
    assert isinstance(place, UnknownWord)


def _edited(path: tuple[str | int, ...], value: object) -> bytes:
    document: Any = json.loads(to_json(REPORTS[0]))
    place = document
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "schema version None"),
        (_edited(("schema",), SCHEMA_VERSION + 1), "written by a newer patchledger"),
        (_edited(("schema",), 0), "schema version 0"),
        (_edited(("schema",), True), "schema version True"),
        (_edited(("target",), 5), r"report\.json\.target: expected str"),
        (_edited(("target",), None), r"report\.json: expected the key target"),
        (_edited(("counts", "held"), True), r"counts\.held: expected int"),
        (_edited(("counts", "held"), 10**4000), r"counts\.held: expected int"),
        (_edited(("generated_at",), "2026-11-22T08:00:00"), "generated_at: expected an instant"),
        (_edited(("generated_at",), "soon"), "generated_at: expected an instant"),
        (_edited(("generated_at",), 5), "generated_at: expected an instant"),
        (_edited(("decision", "outcome"), 5), r"decision\.outcome: expected a word"),
        (_edited(("gates", 0, "state"), []), r"gates\[0\]\.state: expected a word"),
        (_edited(("plan", "updates"), {}), r"plan\.updates: expected a list"),
        (_edited(("host", "labels"), []), r"host\.labels: expected an object"),
        (_edited(("host",), "web"), r"host: expected an object"),
    ],
)
def test_what_is_no_report_is_refused_with_the_place(data: bytes, message: str) -> None:
    with pytest.raises(Misuse, match=message):
        read_report(data)
