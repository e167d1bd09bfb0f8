"""``notify test`` says of each notifier whether its service took a message, and never what its address is."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema
from tests.labs.webhook import Receiver, receive

SECRET = "hunter2-token"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    yield from receive(Receiver())


class Host:
    """A configuration whose notifiers are files below it; nothing else of it is used."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.config = folder / "config.yaml"
        self.names: list[str] = []

    def notifier(self, name: str, url: str) -> None:
        path = self.folder / name
        path.touch(0o600)
        path.write_text(url + "\n", encoding="utf-8")
        self.names.append(name)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        notifiers = {name: {"file": str(self.folder / name)} for name in self.names}
        whole = {
            "host": "web-01",
            "policy": {"remote": "/nowhere"},
            "state_dir": str(self.folder / "state"),
            "notifiers": notifiers,
        }
        self.config.write_text(json.dumps(whole), encoding="utf-8")
        self.config.chmod(0o600)
        code = main(["--config", str(self.config), "notify", "test", *arguments])
        said = self.capsys.readouterr()
        assert SECRET not in said.out + said.err
        return code, said.out, said.err


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, capsys)


def hook(port: int) -> str:
    return f"json://ops:{SECRET}@127.0.0.1:{port}/hook"


def test_every_notifier_gets_a_message_and_is_told_apart(host: Host, receiver: Receiver) -> None:
    host.notifier("ops", hook(receiver.port))
    host.notifier("board", hook(receiver.port))
    assert host.run() == (0, "board: answered\nops: answered\n", "")
    assert [body["title"] for body in receiver.bodies] == [
        f"[patchledger] web-01: test of the notifier {name}: {event}"
        for name in ("board", "ops")
        for event in ("failed", "recovered")
    ]
    assert "nothing was changed" in receiver.bodies[0]["message"]


def test_one_can_be_chosen(host: Host, receiver: Receiver) -> None:
    host.notifier("ops", hook(receiver.port))
    host.notifier("dead", hook(1))
    assert host.run("ops")[:2] == (0, "ops: answered\n")
    assert [body["type"] for body in receiver.bodies] == ["failure", "success"]


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (500, 5, "the service answered with an error of its own"),
        (401, 1, "the service refused user or password"),
        (400, 1, "the service refused this message"),
    ],
)
def test_what_a_service_says_is_told_in_the_words_of_delivery(
    host: Host, receiver: Receiver, status: int, code: int, sentence: str
) -> None:
    receiver.status = status
    host.notifier("ops", hook(receiver.port))
    found, out, err = host.run()
    assert (found, out) == (code, "ops: did not take the message\n")
    assert f"notifier ops: {sentence}\n" in err


def test_an_unreachable_service_is_transient_and_a_bad_address_a_mistake(host: Host) -> None:
    host.notifier("ops", hook(1))
    assert host.run()[0] == 5
    host.notifier("board", f"nosuch://{SECRET}")
    code, _, err = host.run("board")
    assert code == 2
    assert "apprise does not understand the address" in err
    (host.folder / "board").chmod(0o644)
    code, out, err = host.run()
    assert (code, out.splitlines()) == (
        2,
        ["board: did not take the message", "ops: did not take the message"],
    )
    assert "can be read by others" in err


def test_a_host_without_the_notifier_says_which_it_has(host: Host, receiver: Receiver) -> None:
    assert host.run()[0] == 2
    host.notifier("ops", hook(receiver.port))
    code, _, err = host.run("oops")
    assert (code, receiver.bodies) == (2, [])
    assert "it has ops" in err


def test_json_is_as_its_schema_says(host: Host, receiver: Receiver) -> None:
    host.notifier("ops", hook(receiver.port))
    host.notifier("dead", hook(1))
    code, out, err = host.run("--format", "json")
    document = json.loads(out)
    Draft202012Validator(schema("notify-test")).validate(document)
    assert (code, err) == (5, "")
    assert [(one["name"], one["answered"]) for one in document["notifiers"]] == [
        ("dead", False),
        ("ops", True),
    ]
