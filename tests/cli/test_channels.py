"""A terminal or pipe that is narrow, full or closed is told, and never a defect of the program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.labs.conversation import Conversation
from tests.policy.trees import MIDNIGHT

REMARKABLE = "kind: Policy\nname: p\nschedule: night\nmatch: {labels: {site: Köln→€}}\n"
SHOW = ("policy", "show", "a", "--label", "site=Köln→€")
PREVIEW = ("windows", "--start", "Sun 02:00")


def folder(at: Path) -> Path:
    for name, text in {"policies/p.yaml": REMARKABLE, "schedules/s.yaml": MIDNIGHT}.items():
        (at / name).parent.mkdir()
        (at / name).write_text(text, encoding="utf-8")
    return at


def ended(
    shell: str, at: Path, *arguments: str, encoding: str = "utf-8"
) -> subprocess.CompletedProcess[bytes]:
    """Run a command with the redirections that ``shell`` gives it."""
    words = " ".join(f"'{word}'" for word in (sys.executable, "-m", "reconciler", *arguments))
    return subprocess.run(
        ["/bin/sh", "-c", f"{words} {shell}"],
        cwd=at,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": encoding, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", "labels: site=Köln→€".encode()),
        ("latin-1", b"labels: site=K\xf6ln->\\u20ac"),
        ("ascii", b"labels: site=K\\xf6ln->\\u20ac"),
    ],
)
def test_what_an_encoding_lacks_is_written_in_plain_letters(
    tmp_path: Path, encoding: str, said: bytes
) -> None:
    done = ended("", folder(tmp_path), *SHOW, encoding=encoding)

    assert (done.returncode, done.stderr) == (0, b"")
    assert said in done.stdout.splitlines()


@pytest.mark.parametrize("command", [SHOW, PREVIEW])
def test_a_full_disk_is_a_failure_with_one_sentence(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = ended(">/dev/full", folder(tmp_path), *command)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        b"patchledger: what there was to say cannot be written: No space left on device"
    )
    assert b"Traceback" not in done.stderr


def test_a_mistake_keeps_its_own_exit_code_on_a_full_disk(tmp_path: Path) -> None:
    (folder(tmp_path) / "policies" / "q.yaml").write_text("kind: Polcy\n")

    assert ended(">/dev/full", tmp_path, "policy", "check").returncode == 3
    assert ended("2>/dev/full", tmp_path, "policy", "check").returncode == 3
    assert ended("2>/dev/full", tmp_path, "windows", "--start", "x").returncode == 2


@pytest.mark.parametrize("shell", [">&-", ">&- 2>&-", "<&- >&- 2>&-", "2>&-"])
def test_a_closed_channel_is_one_that_nobody_reads(tmp_path: Path, shell: str) -> None:
    done = ended(shell, folder(tmp_path), *SHOW)

    assert (done.returncode, done.stderr) == (0, b"")


def test_what_does_something_keeps_its_exit_code(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"host: a\npolicy: {{remote: {tmp_path}/p}}\nstate_dir: {tmp_path}/state\n")
    config.chmod(0o600)

    done = ended(">/dev/full", tmp_path, "--config", str(config), "pause", "--reason", "upgrade")

    assert done.returncode == 0, done.stderr
    assert b"what there was to say cannot be written" in done.stderr
    assert ended("", tmp_path, "--config", str(config), "resume").returncode == 0


@pytest.mark.parametrize("more", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"TERM": "xterm"}])
def test_a_terminal_that_can_show_no_colours_gets_none(more: dict[str, str]) -> None:
    argv = [sys.executable, "-c", "from reconciler.cli.showing.terminal import colour; print(colour())"]
    with Conversation.start(argv, {"NO_COLOR": "", **more}) as person:
        person.expect("True" if more.get("TERM") == "xterm" else "False")
