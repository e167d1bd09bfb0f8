"""The questions of setup on a real terminal: defaults, tests at once, secrets unseen, ways on."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.host.config import load_config
from reconciler.host.install.answers import host_id
from tests.e2e.site import git
from tests.labs.conversation import Conversation
from tests.labs.webhook import Receiver, receive

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-very-secret"
APART = """
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work"
mount -t overlay overlay -o "lowerdir=/var,upperdir=$1/upper,workdir=$1/work" /var
echo ready
exec sleep infinity
"""

Talk = Callable[..., AbstractContextManager[Conversation]]

pytestmark = pytest.mark.root  # each has a mount of its own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "patchledger").touch(mode=0o755)
    git(folder, "init", "-q", "-b", "main", "policy")
    git(folder / "policy", "commit", "-q", "--allow-empty", "-m", "first policy")
    git(folder, "init", "-q", "--bare", "-b", "main", "reports.git")
    return folder


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    yield from receive(Receiver())


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The beginning of a command whose changes of /var are in memory: state, logs, the machine's own key."""
    memory = tmp_path / "memory"
    memory.mkdir()
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", APART, "sh", str(memory)],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        yield ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt")
    finally:
        holder.kill()
        holder.communicate()


@pytest.fixture
def talk(folder: Path, inside: tuple[str, ...]) -> Talk:
    def start(verb: str, *arguments: str) -> AbstractContextManager[Conversation]:
        program = str(folder / "bin" / "patchledger")
        argv = [sys.executable, "-m", "reconciler", "--config", str(folder / "etc" / "config.yaml"), verb]
        options = ["--unit-dir", str(folder / "units"), "--program", program, "--no-plan"]
        return Conversation.start([*inside, *argv, *options, *arguments], {"PYTHONPATH": str(ROOT)})

    return start


def test_setup_asks_tests_shows_and_does(folder: Path, receiver: Receiver, talk: Talk) -> None:
    head = git(folder / "policy", "rev-parse", "HEAD")
    address = f"json://{SECRET}:x@127.0.0.1:{receiver.port}/"
    with talk("setup") as person:
        person.expect("This is ")
        person.answer("Id of this host", "Web_01")
        person.expect("is not a host id")
        person.answer("Id of this host", "web-01")
        person.answer("Address of the policy repository", str(folder / "polcy"))
        person.answer("Its branch [main]", "")
        person.expect("failed: cannot fetch the policy")
        person.answer("What now", "change")
        person.answer("Address of the policy repository", str(folder / "policy"))
        person.answer("Its branch [main]", "")
        person.expect("ok: the policy can be fetched")
        person.answer("Trusted commit", "head")
        person.expect("ok: ")
        person.answer("Address of the report repository", str(folder / "reports.git"))
        person.expect("ok: reports may be pushed to hosts/web-01")
        person.answer("Labels", "env")
        person.expect("Write each label as key=value")
        person.answer("Labels", "env=test role=web")
        person.answer("Name of a notifier", "ops")
        person.answer_unseen("Apprise URL of ops", "not an address")
        person.expect("is not one apprise URL")
        receiver.status = 401
        person.answer_unseen("Apprise URL of ops", address)
        person.expect("failed: notifier ops: the service refused user or password")
        receiver.status = 200
        person.answer("What now", "r")
        person.expect("ok: a test message was sent to ops")
        person.answer("Another notifier", "")
        person.answer("Time between two ticks [15m]", "30m")
        person.expect("This will be done:")
        assert not (folder / "units").exists()
        person.answer("Do it (yes or no) [yes]", "")
        assert person.end() == 0, person.text
    assert SECRET not in person.text
    config = load_config(folder / "etc" / "config.yaml")
    assert (config.host, config.labels) == ("web-01", {"env": "test", "role": "web"})
    assert (config.trust.floor, str(config.tick)) == (head, "0:30:00")
    assert len(receiver.bodies) == 2, "what opens an incident, and what closes it"
    assert config.notifiers["ops"].credential == "notifier-ops"
    assert SECRET.encode() not in (folder / "etc" / "credentials" / "notifier-ops.cred").read_bytes()
    _adjusted(folder, receiver, talk)


def _adjusted(folder: Path, receiver: Receiver, talk: Talk) -> None:
    """Enter everywhere keeps the answers, and the address is asked as it was decrypted."""
    before = (folder / "etc" / "config.yaml").read_text()
    with talk("adjust") as person:
        person.answer("Id of this host, also the name of its report branch [web-01]", "")
        person.answer(f"policy repository [{folder}/policy]", "")
        person.answer("Its branch [main]", "")
        person.answer("Trusted commit [", "")
        person.answer("Address of the report repository", "")
        person.answer(
            "Labels that policies match on, such as env=production role=web [env=test role=web]", ""
        )
        person.answer("Keep the notifier ops (yes or no) [yes]", "")
        person.expect("ok: notifier ops answers; nothing was sent")
        person.answer("Another notifier", "")
        person.answer("Time between two ticks [30m]", "")
        assert person.end() == 0, person.text
    assert "nothing to do" in person.text
    assert (folder / "etc" / "config.yaml").read_text() == before
    assert len(receiver.bodies) == 2, "an address that is kept is only asked"


def test_giving_up_changes_nothing(folder: Path, talk: Talk) -> None:
    with talk("setup", "--host", "web-01", "--policy-remote", "/nowhere") as person:
        person.answer("Its branch", "")
        person.expect("failed: ")
        person.answer("What now", "what")
        person.expect("Please answer one of retry, change, keep, give up.")
        person.answer("What now", "give up")
        assert person.end() == 2
    assert "given up: nothing was changed" in person.text
    assert not (folder / "etc").exists()


def test_no_at_the_end_changes_nothing(folder: Path, talk: Talk) -> None:
    answers = folder / "answers.yaml"
    answers.touch(mode=0o600)
    answers.write_text(f"host: web-01\npolicy: {{remote: {folder}/policy}}\nmanager: apt\n")
    with talk("setup", "--answers", str(answers)) as person:
        person.expect("This will be done:")
        person.answer("Do it", "maybe")
        person.expect("Please answer yes or no.")
        person.answer("Do it", "no")
        assert person.end() == 2
    assert "nothing was changed" in person.text
    assert not (folder / "etc").exists()


def test_what_is_kept_all_the_same_is_written(folder: Path, talk: Talk) -> None:
    with talk(
        "setup", "--host", "a", "--tick", "1h", "--policy-remote", "/nowhere", "--updaters", "leave"
    ) as person:
        person.answer("Its branch", "")
        person.expect("failed: ")
        person.answer("What now", "keep")
        person.answer("Trusted commit", "")
        person.answer("Address of the report repository", "/nowhere/1 /nowhere/2")
        person.expect("failed: ")
        person.answer("What now", "keep")
        person.answer("Labels", "")
        person.answer("Name of a notifier", "")
        person.answer("Do it", "")
        assert person.end() == 0, person.text
    config = load_config(folder / "etc" / "config.yaml")
    assert config.policy.remote == "/nowhere"
    assert sorted(config.report_remotes) == ["/nowhere/1", "/nowhere/2"]


def test_a_second_setup_is_told_at_once(folder: Path, talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    with talk("setup") as person:
        person.expect("Id of this host")
        config = str(folder / "etc" / "config.yaml")
        code = main(["--config", config, "setup", "--yes", "--unit-dir", str(folder / "units")])
        said = capsys.readouterr().err
        assert code == 5
        assert f"at work (pid {person.process.pid})" in said
        person.type("\x04")
    assert not (folder / "units").exists()


def test_when_nobody_answers_any_more_nothing_is_changed(folder: Path, talk: Talk) -> None:
    with talk("setup") as person:
        person.expect("Id of this host")
        person.type("\x04")
        person.expect("nobody answers")
        assert person.end() == 2
    assert not (folder / "etc").exists()


def test_the_host_name_is_the_default(folder: Path, talk: Talk) -> None:
    suggested = host_id(socket.gethostname()) or "-"
    with talk("setup") as person:
        person.expect(f"report branch [{suggested}]")
    assert not (folder / "units").exists()
