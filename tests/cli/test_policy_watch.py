"""``policy check --watch`` tells of every change while somebody edits."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli import main

ROOT = Path(__file__).parents[2]
GOOD = "kind: Policy\nname: all\nupdates: all\n"


def test_every_change_is_checked_until_interrupted(tmp_path: Path) -> None:
    policy = tmp_path / "policies" / "all.yaml"
    policy.parent.mkdir()
    policy.write_text(GOOD, encoding="utf-8")
    command = [sys.executable, "-m", "reconciler", "policy", "check", "--watch", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        try:
            assert running.stderr.readline() == "no problem in 1 document\n"
            policy.write_text(GOOD + "updatez: all\n", encoding="utf-8")
            assert running.stderr.readline() == "1 problem in 1 file\n"
            assert "updatez" in running.stdout.readline()
            policy.write_text(GOOD, encoding="utf-8")
            assert running.stderr.readline() == "no problem in 1 document\n"
        finally:
            running.send_signal(signal.SIGINT)
        assert running.wait() == 130


def test_a_revision_cannot_be_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "check", "--watch", "--rev", "main", str(tmp_path)]) == 2
    assert "a revision never changes" in capsys.readouterr().err


def test_a_missing_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "check", "--watch", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
