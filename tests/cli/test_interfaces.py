"""What commands print is as their schemas say."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema
from reconciler.cli.verbs.policy.start import all_schemas

PREVIEW = ("windows", "--start", "Sun 02:00", "--timezone", "Europe/Berlin", "--format", "json")


def test_windows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(PREVIEW) == 0
    rows = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema("windows"), format_checker=Draft202012Validator.FORMAT_CHECKER).validate(rows)
    assert len(rows) == 10


@pytest.mark.parametrize(
    ("text", "problems"), [("kind: Policy\nname: a\n", 0), ("kind: Polizy\nname: a\n", 1)]
)
def test_policy_check(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, problems: int) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(text, encoding="utf-8")
    main(["policy", "check", str(tmp_path), "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema("policy-check")).validate(found)
    assert len(found["problems"]) == problems


@pytest.mark.parametrize(("name", "text"), all_schemas().items())
def test_committed_schemas_are_those_that_are_made(name: str, text: str) -> None:
    schemas = Path(__file__).parents[2] / "schemas"
    assert (schemas / name).read_text(encoding="utf-8") == text
