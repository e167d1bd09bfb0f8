"""What ``guests`` says where no hypervisor is needed; tests/edge/guests has those that really run."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("guests", "--target", "101"), "web-01 has no guest 101"),
        (("guests", "--target", "web-01"), "web-01 is this host, and no guest"),
        (("windows", "--target", "other/101"), "other/101 is a guest of another host: this is web-01"),
        (("windows", "--target", "101", "--policy", "."), "--target is about a guest of this host"),
        (("windows", "--target", "101", "--start", "02:00"), "have no meaning beside an expression"),
        (("plan", "--target", "101", "--root", "/srv"), "--root and --target do not go together"),
        (("run", "--target", "101"), "the configuration has no `guests`: none is looked for"),
        (("plan", "--target", "web"), "web-01 has no guest web"),
        (("explain", "--target", "101"), "web-01 has no guest 101"),
        (("status", "--target", "101"), "web-01 has no guest 101"),
        (("log", "--target=--help"), "web-01 has no guest --help"),
        (("pause", "--reason", "x", "--target", "101"), "web-01 has no guest 101"),
        (("resume", "--target", "other/101"), "other/101 is a guest of another host: this is web-01"),
        (("pause", "--reason", "x", "--target", ""), "the target is empty"),
    ],
)
def test_a_target_that_is_none_is_the_caller_s_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"host: web-01\npolicy: {{remote: /srv/p.git}}\nstate_dir: {tmp_path}/state\n")
    config.chmod(0o600)
    assert main(["--config", str(config), *arguments]) == 2
    assert said in capsys.readouterr().err


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
