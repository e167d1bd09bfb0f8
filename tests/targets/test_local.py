"""What this machine's shell is given to run: nobody can read it on a command line, change it, or eat it."""

import fcntl
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread

import pytest

from reconciler import launch, process
from reconciler.managers.apt import APT
from reconciler.managers.scripts import PatchScript
from reconciler.targets.local import LocalTarget
from tests.labs.programs import Programs

SHELLS = pytest.mark.parametrize("shell", [("sh",), ("bash",), ("busybox", "sh")], ids="-".join)
SECRET = "nobody reads this in a list of processes"
LONGEST = 300
"""Bytes of a command line in the process list, less than the shortest of our scripts by far."""


def command_lines() -> dict[int, bytes]:
    """Return what every user can read of every process."""
    lines = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines[int(path.parent.name)] = path.read_bytes()
        except OSError:  # it has ended
            continue
    return lines


class Held:
    """A place where what a script starts waits until the test has looked; no clock is waited for."""

    def __init__(self, folder: Path) -> None:
        self.ready, self.go = folder / "ready", folder / "go"
        os.mkfifo(self.ready)
        os.mkfifo(self.go)

    @property
    def text(self) -> str:
        return f"echo $$ >{self.ready}; read -r word <{self.go}"

    def look(self) -> tuple[int, dict[int, bytes], list[bytes]]:
        """Return the process that waits, all command lines meanwhile, and its own; then it goes on."""
        pid = int(self.ready.read_text())
        lines = command_lines()
        own = [lines[one] for one in begun_here(pid)]
        self.go.write_text("on\n")
        return pid, lines, own


def begun_here(pid: int) -> Iterator[int]:
    """Yield a process, and those that began it, up to this one: others run scripts on this machine, too."""
    while pid not in {0, 1, os.getpid()}:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def run_and_look(
    held: Held, target: LocalTarget, script: bytes, args: Sequence[str]
) -> tuple[dict[int, bytes], list[bytes]]:
    seen: list[tuple[dict[int, bytes], list[bytes]]] = []

    def look() -> None:
        pid, lines, own = held.look()
        assert pid in lines
        seen.append((lines, own))

    looking = Thread(target=look)
    looking.start()
    target.run(script, "apt-update.sh", args, timeout=60)
    looking.join(60)
    return seen[0]


@pytest.mark.lab
@SHELLS
def test_a_script_that_runs_is_on_no_command_line(tmp_path: Path, shell: tuple[str, ...]) -> None:
    held = Held(tmp_path)
    script = f"# {SECRET}\n{held.text}\n".encode()
    lines, own = run_and_look(held, LocalTarget({}, shell), script, ["--observe"])
    assert not [line for line in lines.values() if SECRET.encode() in line]
    named = [line for line in own if b"apt-update.sh\0--observe" in line]
    assert named, "the verb is still there to be seen"
    assert all(len(line) < LONGEST for line in named)


def test_a_whole_patch_script_is_on_no_command_line(tmp_path: Path) -> None:
    held = Held(tmp_path)
    programs = Programs(tmp_path / "bin")
    programs.put("apt-config", f"[ -e {held.go} ] || exit 1\n{held.text}\nrm {held.go}\nexit 1")
    script = PatchScript.load(APT.script)
    _, own = run_and_look(held, LocalTarget(programs.environment), script.content, ["--observe"])
    shells = [line for line in own if b"apt-update.sh" in line]
    assert shells
    assert all(len(line) < LONGEST for line in shells)
    assert not [line for line in own if script.content[:200] in line]


EXECUTING = """
import sys; from pathlib import Path; from reconciler.targets.local import LocalTarget
LocalTarget({}).execute(Path(sys.argv[2]).read_bytes(), "name", [], folder=Path(sys.argv[1]))
"""


def test_what_may_not_be_stopped_is_on_no_command_line_either(tmp_path: Path) -> None:
    held = Held(tmp_path)
    (tmp_path / "script").write_text(f"# {SECRET}\n{held.text}; echo $word; wc -c; exit 7\n")
    folder = tmp_path / "run"
    folder.mkdir()
    argv = [sys.executable, "-c", EXECUTING, str(folder), str(tmp_path / "script")]
    with subprocess.Popen(argv) as caller:
        pid, lines, _ = held.look()
        assert caller.wait(60) == 0
    assert pid == int((folder / launch.CLAIM).read_text().split()[0])
    assert not [line for line in lines.values() if SECRET.encode() in line]
    assert (folder / "out").read_text().split() == ["on", "0"]


@pytest.mark.lab
@SHELLS
def test_nothing_that_a_script_starts_has_the_script(tmp_path: Path, shell: tuple[str, ...]) -> None:
    """Neither as standard input, where a package's question would eat it, nor as another descriptor."""
    script = b"""ls -l /proc/self/fd; readlink /proc/self/fd/0; cat; (cat); echo "$LINENO $0 $*"
    missing-program
    exit 9"""
    target = LocalTarget({}, shell)
    done = target.run(script, "x.sh", ["a b", "c"], timeout=60)
    target.execute(script, "x.sh", ["a b", "c"], folder=tmp_path)
    for said, errors in (
        (done.text, done.error_text),
        ((tmp_path / "out").read_text(), (tmp_path / "err").read_text()),
    ):
        assert "memfd" not in said
        assert said.splitlines()[-2] == "/dev/null"
        assert said.endswith(" x.sh a b c\n")
        assert "missing-program" in errors
        assert "2" in errors.partition("missing-program")[0], "the line is the script's own"
    assert done.returncode == 9


def test_what_was_sealed_cannot_be_changed_by_anybody() -> None:
    with launch.sealed(b"true\n") as file:
        for change in (
            lambda: os.pwrite(file.fileno(), b"x", 0),
            lambda: os.ftruncate(file.fileno(), 0),
            lambda: os.ftruncate(file.fileno(), 100),
            lambda: mmap.mmap(file.fileno(), 5),
            lambda: Path(f"/proc/self/fd/{file.fileno()}").write_bytes(b"x"),
            lambda: fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
        ):
            with pytest.raises(PermissionError):
                change()
        assert process.run(["cat"], stdin=file).stdout == b"true\n"


@pytest.mark.lab
@SHELLS
def test_a_script_cannot_change_itself_while_it_is_read(tmp_path: Path, shell: tuple[str, ...]) -> None:
    """As long as shells read only so much at a time, whoever may write to it would say what comes next."""
    writes = "for fd in /proc/$$/fd/*; do case $(readlink $fd) in */memfd:*) echo bad >$fd ;; esac; done"
    script = f"{{ {writes}; }} 2>/dev/null\n".encode() + b"# to be read later\n" * 3000 + b"echo good\n"
    assert LocalTarget({}, shell).run(script, "x.sh", [], timeout=60).stdout == b"good\n"
    LocalTarget({}, shell).execute(script, "x.sh", [], folder=tmp_path)
    assert (tmp_path / "out").read_bytes() == b"good\n"
