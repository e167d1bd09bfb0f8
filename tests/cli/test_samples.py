"""A sample names every key, and is accepted: as it stands, and with each key in force."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.cli import main
from reconciler.cli.verbs.samples import policy_sample, setup_sample
from reconciler.host.install.answers import Answers, answers_schema, read_answers
from reconciler.policy.documents import Policy
from reconciler.policy.schema import of_model
from reconciler.policy.yamltext import parse_documents, validate

Model = type[Policy] | type[Answers]
SAMPLES = [
    pytest.param(policy_sample(), Policy, of_model(Policy), id="policy"),
    pytest.param(setup_sample(), Answers, answers_schema(), id="setup"),
]
EITHER = ((("proposals", "file"), ("proposals", "credential")), (("guests", "except"), ("guests", "only")))
"""Keys of which only one can be said."""
ANY_MAPPING = {"labels", "notifiers", "environment", "scripts", "notify"}


def in_force(text: str) -> Any:
    """Return the data of a sample whose keys are no comments any more."""
    return yaml.safe_load(re.sub(r"(?m)^# ", "", text))


def keys(schema: Mapping[str, Any], definitions: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in schema.get("properties", {}).items():
        yield f"{above}{key}"
        forms = [value, *value.get("anyOf", ())]
        forms = [definitions[one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in forms]
        for form in forms if key not in {"not", *ANY_MAPPING} else ():
            yield from keys(form, definitions, f"{above}{key}.")


def named(data: Any, above: str = "") -> Iterator[str]:
    for key, value in data.items():
        yield f"{above}{key}"
        if isinstance(value, dict) and key not in {"not", *ANY_MAPPING}:
            yield from named(value, f"{above}{key}.")


def without(data: Any, place: tuple[str, ...]) -> Any:
    key, *rest = place
    if key not in data:
        return data
    below = without(data[key], tuple(rest)) if rest else None
    return {name: below if name == key else one for name, one in data.items() if rest or name != key}


@pytest.mark.parametrize(("text", "model", "schema"), SAMPLES)
def test_a_sample_is_accepted_as_it_stands_and_says_next_to_nothing(
    text: str, model: Model, schema: Mapping[str, Any]
) -> None:
    (document,), problems = parse_documents(text.encode(), "sample.yaml")
    assert problems == []
    assert isinstance(validate(model, document, "sample.yaml"), model)
    assert isinstance(document.data, dict)
    assert document.data.keys() <= {"kind", "name", "description", "host", "policy", "reports"}
    assert schema["properties"].keys() >= document.data.keys()


@pytest.mark.parametrize(("text", "model", "schema"), SAMPLES)
def test_a_sample_names_every_key(text: str, model: Model, schema: Mapping[str, Any]) -> None:
    del model
    assert set(named(in_force(text))) == set(keys(schema, schema["$defs"]))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(("text", "model", "schema"), SAMPLES)
def test_every_key_of_a_sample_can_be_put_in_force(
    text: str, model: Model, schema: Mapping[str, Any], which: int
) -> None:
    del schema
    data = in_force(text)
    for both in EITHER:
        data = without(data, both[which])
    (document,), problems = parse_documents(yaml.safe_dump(data).encode(), "sample.yaml")
    found = validate(model, document, "sample.yaml")
    assert (problems, isinstance(found, model)) == ([], True), found


@pytest.mark.parametrize(("text", "model", "schema"), SAMPLES)
def test_each_key_has_words_and_its_choices(text: str, model: Model, schema: Mapping[str, Any]) -> None:
    del model, schema
    lines = text.split("\n")
    keys_at = [number for number, line in enumerate(lines) if re.match(r"(# )? *[a-z_]+:", line)]
    assert all(lines[number - 1].startswith("##") for number in keys_at)
    assert max(len(line) for line in lines if line.startswith("##")) < 120
    if "updates:" in text:
        assert "One of: plan, download, apply." in " ".join(text.replace("##", "").split())


def test_setup_prints_its_sample_and_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "config.yaml"), "setup", "--sample"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err, list(tmp_path.iterdir())) == (setup_sample(), "", [])
    answers = tmp_path / "answers.yaml"
    answers.write_text(said.out)
    assert isinstance(read_answers(answers).check(), Answers)


def test_a_repository_with_every_setting_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "ops"
    assert main(["policy", "init", str(folder), "--full"]) == 0
    assert (folder / "policies" / "every-option.yaml").read_text() == policy_sample()
    capsys.readouterr()
    assert main(["policy", "check", str(folder)]) == 0
    assert "warning" not in capsys.readouterr().out
