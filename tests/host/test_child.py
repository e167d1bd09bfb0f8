"""A process that is started and not waited for."""

import os
import signal
import sys
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.process import Child, start


def ended(child: Child) -> int:
    """Wait for the end as the kernel tells it, and return what the child then says."""
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    code = child.poll()
    assert code is not None
    return code


def test_output_is_kept_apart_and_the_environment_is_the_given_one() -> None:
    child = start(
        ["/bin/sh", "-c", "echo $WORD; echo no >&2; exit 7"], env={"WORD": "yes"}, keeps_output=True
    )
    assert ended(child) == 7
    assert child.output() == (b"yes\n", b"no\n")
    assert child.output() == (b"", b"")


def test_output_goes_where_ours_does(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended(start(["/bin/echo", "here"], env={})) == 0
    assert capfd.readouterr().out == "here\n"


def test_it_is_interrupted_as_a_terminal_would(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    code = f"open({str(tmp_path / 'ready')!r}, 'w').close(); import signal; signal.pause()"
    child = start([sys.executable, "-c", code], env={}, keeps_output=True)
    assert child.poll() is None
    (tmp_path / "ready").read_text()
    child.interrupt()
    assert ended(child) in {-signal.SIGINT, 130}
    assert b"KeyboardInterrupt" in child.output()[1]


def test_its_whole_group_is_killed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")
    child = start(["/bin/sh", "-c", f"sleep 300 >{tmp_path / 'alive'} & wait"], env={"PATH": os.defpath})
    with (tmp_path / "alive").open("rb") as alive:
        child.kill()
        assert child.poll() == -signal.SIGKILL
        assert alive.read() == b"", "nobody holds it open any more"


def test_a_missing_program_is_told() -> None:
    with pytest.raises(Stalled, match="cannot start /nowhere/program"):
        start(["/nowhere/program"], env={}, keeps_output=True)
