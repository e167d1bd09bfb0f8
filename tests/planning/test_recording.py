"""``observation.json``: what is recorded comes back, and nothing else is read."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Misuse
from reconciler.planning.facts.observation import Answer, Exchange, Installed, Observation, Question
from reconciler.planning.gates.recording import Recording, read_recording, read_vouched, record, write
from reconciler.planning.gates.types import (
    BreakGlass,
    Evidence,
    FailedApply,
    GateInputs,
    HostState,
    Inhibitor,
    Pause,
    RolloutState,
    Slot,
)
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.text.layout import SCHEMA_VERSION, UnknownWord
from reconciler.policy.match import HostFacts
from tests.examples import examples
from tests.report_samples import (
    APPROVAL,
    FREEZE,
    INPUTS,
    NOW,
    OBSERVATION,
    SETTINGS,
    USUAL,
    WINDOWS,
    change,
    decide,
)

EXCHANGES = (
    Exchange(Question(), Answer((change(), change("libc6")), kept_back=("nginx",))),
    Exchange(
        Question(
            "full", security=True, exclude=("nginx",), block=("vim:amd64",), choose=(("bash", "1.0-2"),)
        ),
        Answer((), exit_code=25, native_code=100, message="E: held broken packages"),
    ),
)
FULL = replace(
    INPUTS,
    settings=replace(SETTINGS, concurrency=("web", 2), rollout=("weekly", "canary"), approval="required"),
    evidence=(Evidence("the policy commit", NOW),),
    pause=Pause("inventory", "alice", NOW, NOW + timedelta(hours=1)),
    host=HostState(
        inhibitors=(Inhibitor("battery", "on battery"),),
        database="db-1",
        failed=FailedApply("sha256:1", "abc", "db-0", NOW),
    ),
    freezes=(FREEZE,),
    rollout=RolloutState("weekly", "canary", False, "soaking", NOW),
    approvals=(APPROVAL, replace(APPROVAL, plan="", versions=(("bash", "1.0-2"),))),
    slot=Slot("web", True, "since 03:00", NOW),
    break_glass=BreakGlass("CVE", "alice", overrides_freeze=True),
    conditions=USUAL.conditions,
)


def recorded(observation: Observation = OBSERVATION, inputs: GateInputs = FULL) -> bytes:
    host = HostFacts("web-01", {"zone": "a", "env": "production"}, "debian", "12", "apt")
    return write(
        record(
            observation,
            EXCHANGES,
            inputs,
            host,
            program="patchledger 0.1.0",
            now=NOW,
            security_exchanges=EXCHANGES[1:],
        )
    )


def test_what_is_recorded_comes_back() -> None:
    recording = read_recording(recorded())
    assert recording.observation == OBSERVATION
    assert recording.exchanges == EXCHANGES
    assert recording.inputs == FULL
    assert recording.security_exchanges == EXCHANGES[1:]
    assert (recording.target, recording.now, recording.guest_of) == ("web-01", NOW, None)
    assert recording.labels == (("env", "production"), ("zone", "a"))
    assert recording.policy_commit == INPUTS.policy.commit


def test_what_a_package_was_built_from_is_written_only_where_it_is_not_called_like_it() -> None:
    part = Installed("libc6", "amd64", "2.36-9", source="glibc")
    data = recorded(replace(OBSERVATION, installed=(Installed("bash", "amd64", "5.2-1"), part)))
    plain, built = json.loads(data)["observation"]["installed"]
    assert "source" not in plain
    assert built["source"] == "glibc"
    assert "source_version" not in built
    assert read_recording(data).observation.installed[1] == part


def test_a_condition_of_a_later_release_is_read_as_one_that_is_not_known() -> None:
    known = Condition(ConditionType.POLICY_STALLED, True, "Refused", "refused", stalled=True)
    later = Condition(UnknownWord("HostCloned"), True, "MachineId", "this is a clone", stalled=True)
    data = recorded(inputs=replace(FULL, conditions=(known, later)))
    recording = read_recording(data)
    first, second = recording.inputs.conditions
    assert first.type is ConditionType.POLICY_STALLED
    assert isinstance(second.type, UnknownWord)
    assert recording.inputs.conditions == (known, later)
    assert write(recording) == data


def test_the_same_decision_comes_out_of_a_recording() -> None:
    recording = read_recording(recorded())
    assert decide(USUAL, recording.inputs, recording.now) == decide(USUAL, FULL, NOW)


def test_equal_recordings_are_equal_bytes_wherever_the_clock_stands() -> None:
    elsewhere = replace(OBSERVATION, at=NOW.astimezone(timezone(timedelta(hours=2))))
    assert recorded(elsewhere) == recorded()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive here
SPANS = st.timedeltas(timedelta(0), timedelta(days=5_000))
RECORDINGS = st.builds(
    Recording,
    schema=st.sampled_from(range(1, SCHEMA_VERSION + 1)),
    program=TEXT,
    target=TEXT,
    policy_commit=TEXT,
    now=INSTANTS,
    observation=st.builds(
        replace,
        st.just(OBSERVATION),
        at=INSTANTS,
        installed=st.lists(
            st.builds(Installed, TEXT, TEXT, TEXT, TEXT, st.booleans(), st.booleans()), max_size=3
        ).map(tuple),
    ),
    exchanges=st.lists(st.sampled_from(EXCHANGES), max_size=3).map(tuple),
    inputs=st.builds(
        replace,
        st.sampled_from([INPUTS, FULL]),
        windows=st.just(replace(WINDOWS, zones=())),  # which earlier versions did not have
        settings=st.builds(replace, st.just(SETTINGS), budget=SPANS, max_policy_age=SPANS),
        evidence=st.lists(st.builds(Evidence, TEXT, INSTANTS), max_size=2).map(tuple),
    ),
    labels=st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
    guest_of=st.none() | TEXT,
)


@examples(100)
@given(RECORDINGS)
def test_every_recording_makes_the_round_trip(recording: Recording) -> None:
    data = write(recording)
    assert read_recording(data) == recording
    assert write(read_recording(data)) == data


def _edited(**changes: object) -> bytes:
    document = json.loads(recorded()) | changes
    return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1).encode() + b"\n"


def test_what_is_vouched_for_is_read_without_comparing_its_bytes() -> None:
    assert read_vouched(recorded()) == read_recording(recorded())
    assert read_vouched(recorded().replace(b"\n ", b"\n  ")) == read_recording(recorded())


@pytest.mark.parametrize(
    "data", [b"", b"[]", _edited(target=5), _edited(now="yesterday"), _edited(schema=SCHEMA_VERSION + 1)]
)
def test_what_is_vouched_for_is_a_recording_all_the_same(data: bytes) -> None:
    with pytest.raises(Misuse):
        read_vouched(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Invalid JSON"),
        (b"[]", "observation.json: Input should be an object"),
        (_edited(target=5), r"observation\.json\.target: Input should be a valid string"),
        (_edited(now="yesterday"), r"\.now: "),
        (_edited(exchanges=[{"question": {}}]), r"exchanges\.0\.answer"),
        (_edited(schema=SCHEMA_VERSION + 1), "written by a newer patchledger"),
        (_edited(schema=0), "schema version 0"),
        (_edited(schema="1"), "schema version 1"),
        (_edited(surprise=True), "unknown keys"),
        (recorded().replace(b"\n ", b"\n  "), "formatted anew"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(data: bytes, message: str) -> None:
    with pytest.raises(Misuse, match=message):
        read_recording(data)
