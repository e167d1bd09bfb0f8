"""What ``guests`` says where no hypervisor is needed; tests/edge/guests has those that really run."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema
from reconciler.cli.wiring.aimed import refuse
from reconciler.errors import Misuse, ReconcilerError, exit_code
from reconciler.planning.facts.guests import (
    NEEDS_ITS_OWN,
    FrozenGuest,
    Gone,
    Guest,
    GuestKind,
    Locked,
    Moved,
    Running,
    State,
    Stopped,
    Template,
    Unsupported,
    why_not,
)


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


@pytest.mark.parametrize(
    ("state", "code", "hint"),
    [
        (Stopped(), 5, "start it"),
        (FrozenGuest(), 5, "let its processes go on"),
        (Locked("backup"), 5, "wait for it to end; after a crash `pct unlock 101`"),
        (Template(), 2, "a guest that is made of it"),
        (Moved("pve2\n\x1b[31m"), 2, "ask on pve2"),
        (Gone(), 2, "nobody has it"),
        (Unsupported(f"it is a virtual machine: {NEEDS_ITS_OWN}"), 2, "set patchledger up inside"),
        (Unsupported("its id 101 is that of lxc web as well"), 2, "`patchledger guests`"),
    ],
)
def test_why_a_guest_cannot_be_looked_into_is_one_line_and_what_to_do(
    state: State, code: int, hint: str
) -> None:
    guest = Guest("101", GuestKind.PROXMOX, "web", state, left_out=why_not(state))
    with pytest.raises(ReconcilerError) as refused:
        refuse(guest)
    assert exit_code(refused.value) == code
    assert refused.value.message.startswith(f"guest 101: {why_not(state)}"[:20])
    assert hint in refused.value.hint
    assert refused.value.hint.isprintable()


def test_one_that_is_left_out_by_wish_is_not_waited_for_however_it_is() -> None:
    for state in (Running(), Stopped()):
        guest = Guest("101", GuestKind.PROXMOX, "web", state, left_out="guests.except names id 101")
        with pytest.raises(Misuse, match=r"guests\.except names id 101"):
            refuse(guest)
