"""What ``guests`` says where no hypervisor is needed; tests/edge/guests has those that really run."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema


def test_without_guests_in_the_configuration_none_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("host: web-01\npolicy: {remote: /srv/policy.git}\n")
    config.chmod(0o600)
    assert main(["--config", str(config), "guests"]) == 0
    assert capsys.readouterr().out == "No guests are looked for: the configuration has no `guests`.\n"
    assert main(["--config", str(config), "guests", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema("guests")).validate(told)
    assert told == {
        "host": "web-01",
        "looked_in": [],
        "guests": [],
        "problems": [],
        "notes": [],
        "unmeant": None,
    }
