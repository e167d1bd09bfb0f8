"""The JSON Schemas: committed as made and in agreement with the models; documents survive being written."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.policy.documents import Policy, Schedule, Settings
from reconciler.policy.schema import WRITTEN_KINDS, schema_text, schemas
from reconciler.policy.yamltext import parse_documents, validate
from tests.examples import examples

ROOT = Path(__file__).parents[2]
SCHEMAS = schemas()


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_committed_schemas_are_those_that_are_made(name: str) -> None:
    assert (ROOT / "schemas" / name).read_text(encoding="utf-8") == schema_text(SCHEMAS[name])


def test_there_is_a_schema_for_every_kind_and_one_for_any() -> None:
    kinds = {f"kinds/{kind.lower()}.schema.json" for kind in WRITTEN_KINDS}

    assert set(SCHEMAS) == {*kinds, "policy.schema.json", "patchledger.schema.json"}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])

    assert SCHEMAS[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def _parts(schema: object) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from _parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _parts(value)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_no_schema_takes_null_or_shows_a_duration_of_another_language(name: str) -> None:
    text = json.dumps(SCHEMAS[name])

    assert '"null"' not in text
    assert '"PT' not in text
    assert [part for part in _parts(SCHEMAS[name]) if part.get("default", 0) is None] == []


def test_editors_see_the_default_of_every_setting() -> None:
    properties = SCHEMAS["kinds/policy.schema.json"]["properties"]
    defaults = Settings().model_dump(mode="json")

    assert {name: properties[name].get("default") for name in defaults} == defaults
    assert all(properties[name]["description"] for name in defaults)


GOOD = [
    "{kind: Policy, name: a}",
    "{kind: Policy, name: a, schedule: night, budget: 1h30m}",
    "{kind: Policy, name: a, match: {name: a, labels: {x: [a, b]}, not: {os: debian}}}",
    '{kind: Schedule, name: a, timezone: UTC, windows: [{start: "02:00", duration: 3h}]}',
    '{kind: Freeze, name: a, timezone: UTC, from: "2026-12-20", until: "2026-12-21 10:00", reason: r}',
    '{kind: Exception, name: a, packages: "nginx*", action: hold, reason: r, expires: "2026-12-20"}',
    f'{{kind: Approval, name: a, plan: "sha256:{"0" * 64}", expires: "2026-12-20"}}',
    "{kind: Host, name: a, labels: {x: y}}",
    "{kind: Rollout, name: a, rings: [{name: a}, {name: b, healthy: 98%}]}",
]
BAD = [
    "{name: a}",
    "{kind: Polcy, name: a}",
    "{kind: Policy, name: a, updates: some}",
    "{kind: Policy, name: a, budget: 30}",
    "{kind: Policy, name: a, budget: 30x}",
    "{kind: Policy, name: a, updates: null}",
    "{kind: Policy, name: a, reboot: {wen: never}}",
    "{kind: Policy, name: a, match: {labels: {x: 1}}}",
    "{kind: Schedule, name: a, timezone: UTC, windows: []}",
    '{kind: Schedule, name: a, timezone: UTC, windows: [{start: "02:00"}]}',
    '{kind: Schedule, name: a, timezone: UTC, windows: [{start: "02:00", cron: "0 2 * * *", duration: 3h}]}',
    "{kind: Exception, name: a, packages: [], action: hold, reason: r, expires: '2026-12-20'}",
    "{kind: Exception, name: a, packages: x, action: hold, reason: r}",
    "{kind: Approval, name: a, expires: '2026-12-20'}",
    "{kind: Host, name: A}",
    "{kind: Rollout, name: a, rings: [{name: a}]}",
    "{kind: Expectation, name: a}",
    "{kind: Expectation, name: a, expect: {}}",
    "{kind: Expectation, name: a, from: 2026-12-01, expect: {action: plan}}",
    "{kind: Expectation, name: a, from: 2026-12-01, until: 2026-12-02, at: 2026-12-01, expect: {held: a}}",
    "{kind: Expectation, name: a, expect: {held: 'a b'}}",
]


@pytest.mark.parametrize("text", [*GOOD, *BAD])
def test_schema_and_models_agree(text: str) -> None:
    document = parse_documents(text.encode(), "f")[0][0]
    data = document.data
    assert isinstance(data, dict)
    model = WRITTEN_KINDS.get(str(data.get("kind")))
    is_good = text in GOOD

    assert Draft202012Validator(SCHEMAS["policy.schema.json"]).is_valid(data) == is_good
    assert (model is not None and not isinstance(validate(model, document, "f"), list)) == is_good
    if model is not None:
        own = SCHEMAS[f"kinds/{str(data['kind']).lower()}.schema.json"]
        assert Draft202012Validator(own).is_valid(data) == is_good


# --- a document that is written as YAML and read again is the same document

durations = st.builds(
    "{}{}".format, st.integers(min_value=1, max_value=99), st.sampled_from(["s", "m", "h", "d", "w"])
)
words = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
matches = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "name": st.one_of(words, st.lists(words, min_size=1, max_size=3)),
            "labels": st.dictionaries(words, st.lists(words, min_size=1, max_size=2), min_size=1, max_size=2),
            "manager": st.sampled_from(["apt", "dnf"]),
            "not": st.fixed_dictionaries({"os": words}),
        },
    )
)
policies = st.fixed_dictionaries(
    {"kind": st.just("Policy"), "name": words},
    optional={
        "priority": st.integers(min_value=0, max_value=1000),
        "description": st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20),
        "match": matches,
        "updates": st.sampled_from(["all", "security", "none"]),
        "budget": durations,
        "reboot": st.fixed_dictionaries({}, optional={"when": st.just("always"), "notice": durations}),
        "schedule": st.lists(words, max_size=2),
        "concurrency": st.fixed_dictionaries(
            {"group": words, "slots": st.integers(min_value=1, max_value=9)}
        ),
        "notify": st.lists(st.fixed_dictionaries({"to": words, "on": st.just(["applied"])}), max_size=2),
        "scripts": st.just({"apt-update.sh": "sha256:" + "a" * 64}),
    },
)


@given(policies)
@example({"kind": "Policy", "name": "a0", "description": "0E0"})
@examples(100)
def test_a_policy_that_is_written_and_read_again_is_the_same(data: dict[str, Any]) -> None:
    policy = Policy.model_validate(data)
    # As JSON, which is YAML 1.2 with texts in quotes: PyYAML leaves "0E0" bare, a number to everybody else.
    text = json.dumps(policy.model_dump(mode="json", by_alias=True, exclude_unset=True), ensure_ascii=False)
    documents, problems = parse_documents(text.encode(), "f")

    again = validate(Policy, documents[0], "f")

    assert problems == []
    assert again == policy
    assert isinstance(again, Policy)
    assert again.model_fields_set == policy.model_fields_set


def test_a_schedule_that_is_written_and_read_again_is_the_same() -> None:
    text = (
        'kind: Schedule\nname: s\ntimezone: UTC\nwindows:\n- {start: "Sun 02:00", duration: 3h}\n'
        '- {rrule: "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", at: "22:00", from: 2026-01-05, duration: 90m}\n'
        "- {ics: calendars/a.ics, splay: 5m}\n"
    )
    schedule = validate(Schedule, parse_documents(text.encode(), "f")[0][0], "f")
    assert isinstance(schedule, Schedule)
    dumped = yaml.safe_dump(schedule.model_dump(mode="json", by_alias=True, exclude_unset=True))

    assert validate(Schedule, parse_documents(dumped.encode(), "f")[0][0], "f") == schedule
