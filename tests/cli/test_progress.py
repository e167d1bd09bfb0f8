"""Who waits at a terminal sees that something goes on, and nobody else is told."""

import os
import pty
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from reconciler.cli.showing.terminal import note, working
with working("apt is asked", every=0.001):
    if sys.argv[1:]:
        open(sys.argv[1]).read()
        note("a notice")
        open(sys.argv[1]).read()
print("done", file=sys.stderr)
"""
ARGV = (sys.executable, "-c", PROGRAM)


def read_until(terminal: int, end: bytes) -> bytes:
    seen = b""
    while not seen.endswith(end):
        seen += os.read(terminal, 1)
    return seen


def test_seconds_are_counted_on_a_line_that_is_taken_away(tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    ours, theirs = pty.openpty()
    with subprocess.Popen([*ARGV, str(held)], stderr=theirs, env={**os.environ, "TERM": "xterm"}) as child:
        os.close(theirs)
        begun = read_until(ours, b"  0 s")
        assert begun.startswith(b"patchledger: apt is asked\r\n\r\x1b[K")
        held.write_text("on")
        noticed = read_until(ours, b"a notice\r\n")
        assert noticed.endswith(b"\r\x1b[Kpatchledger: a notice\r\n"), "not behind the seconds"
        read_until(ours, b" s")
        held.write_text("on")
        assert read_until(ours, b"done\r\n").endswith(b"\r\x1b[Kdone\r\n")
        assert child.wait(60) == 0
    os.close(ours)


def test_a_terminal_that_takes_no_line_back_is_told_once() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(ARGV, stderr=theirs, env={**os.environ, "TERM": "dumb"}, check=False)
    os.close(theirs)
    assert (done.returncode, read_until(ours, b"done\r\n")) == (0, b"patchledger: apt is asked\r\ndone\r\n")
    os.close(ours)


def test_a_pipe_is_told_nothing() -> None:
    done = subprocess.run(ARGV, capture_output=True, env={**os.environ, "TERM": "xterm"}, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"done\n")
