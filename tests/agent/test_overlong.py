"""A tick that is at work too long: what is done about it, by elapsed time alone."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from reconciler import launch
from reconciler.agent.overlong import PATIENCE, Overlong, Step

LIMIT = timedelta(minutes=10)


def test_a_package_manager_that_begins_while_a_tick_is_ended_costs_no_processor(tmp_path: Path) -> None:
    """The tick was asked to end between two of them, and its guests were not yet through."""
    minded = Overlong(timedelta(0), LIMIT, tmp_path)
    assert minded.look(LIMIT)[0] is Step.INTERRUPT
    assert minded.wait(LIMIT) == PATIENCE

    at_work = _begun(tmp_path / "guests" / "42" / "runs" / "one" / "1")
    try:
        late = LIMIT + 2 * PATIENCE
        assert minded.look(late) == (Step.WAIT, "")
        # What is waited for is another look: without a pause `watch` would only ask, as fast as it can.
        assert minded.wait(late) == PATIENCE
    finally:
        at_work.kill()
        at_work.wait()
    assert minded.look(late + PATIENCE) == (Step.KILL, "")


def test_a_damaged_claim_is_nobodys_and_ends_no_watching(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one" / "1"
    folder.mkdir(parents=True)
    minded = Overlong(timedelta(0), LIMIT, tmp_path)
    for damage in (b"\xff\xfe", b"", b"no process", b"-1 x", b"\0" * 40):
        (folder / launch.CLAIM).write_bytes(damage)
        assert not launch.is_at_work(folder)
    (folder / launch.CLAIM).write_bytes(b"\xff\xfe")
    assert minded.look(LIMIT)[0] is Step.INTERRUPT


def _begun(folder: Path) -> "subprocess.Popen[bytes]":
    """Return a process that is at work in the folder of an execution."""
    folder.mkdir(parents=True)
    order = launch.order(["sleep", "600"], {"PATH": os.environ["PATH"]}, folder)
    process = subprocess.Popen([*launch.COMMAND], stdin=subprocess.PIPE, executable=sys.executable)
    assert process.stdin is not None
    process.stdin.write(order)
    process.stdin.close()
    while not launch.is_at_work(folder):
        assert process.poll() is None
    return process
