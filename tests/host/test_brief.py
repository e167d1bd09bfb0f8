"""A short question to one child: its answer, or nothing, and nobody left behind."""

import time
from pathlib import Path

import pytest

from reconciler import brief

ENV = {"LANG": "none"}


def ask(*argv: str, timeout: float = 30.0, limit: int = 65536) -> bytes | None:
    return brief.ask(argv, env=ENV, timeout=timeout, limit=limit)


def test_it_says_what_the_child_printed() -> None:
    assert ask("sh", "-c", "echo one; echo two; echo nobody >&2") == b"one\ntwo\n"
    assert ask("true") == b""


@pytest.mark.parametrize("script", ["echo said; exit 1", "echo said; kill -9 $$"])
def test_a_failure_has_no_answer(script: str) -> None:
    assert ask("sh", "-c", script) is None


def test_the_child_gets_the_fixed_environment_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("HOME", "/elsewhere")
    said = ask("env")
    assert said is not None
    given = dict(line.split("=", 1) for line in said.decode().splitlines())
    assert given == {**brief.environment(), **ENV}
    assert given["HOME"] != "/elsewhere"


def test_its_input_is_closed_and_it_leads_a_session_of_its_own() -> None:
    said = ask("sh", "-c", "cat; cut -d ' ' -f 1,6 /proc/self/stat; echo $$")
    assert said is not None
    (_, session), (shell,) = map(str.split, said.decode().splitlines())
    assert session == shell


def test_signals_that_python_ignores_end_it() -> None:
    said = ask("sh", "-c", "grep SigIgn /proc/self/status")
    assert said is not None
    assert not int(said.split()[1], 16) & (1 << 12 | 1 << 24)


@pytest.mark.parametrize(
    "script",
    [
        "echo said; echo $$ >{file}; exec sleep 600",
        "sleep 600 & echo $! >{file}; exec sleep 600",
        "exec >&-; echo $$ >{file}; exec sleep 600",  # it has said all, and goes on
        "sleep 600 & echo $! >{file}",  # who is left holds the output open
    ],
)
def test_one_that_is_late_is_killed_with_all_that_it_started(tmp_path: Path, script: str) -> None:
    file = tmp_path / "pid"
    assert ask("sh", "-c", script.format(file=file), timeout=1.0) is None
    assert is_gone(int(file.read_text(encoding="ascii")))


def test_one_that_says_too_much_is_killed() -> None:
    assert ask("yes", limit=100000) is None
    assert ask("sh", "-c", "printf 12345", limit=5) == b"12345"
    assert ask("sh", "-c", "printf 123456", limit=5) is None


def test_the_program_is_found_on_the_path_that_the_child_gets(tmp_path: Path) -> None:
    program = tmp_path / "greet"
    program.write_text("#!/bin/sh\necho hello\n", encoding="ascii")
    program.chmod(0o755)
    assert brief.ask(["greet"], env={"PATH": f"{tmp_path}:/bin"}, timeout=30) == b"hello\n"
    assert brief.ask([str(program)], env={}, timeout=30) == b"hello\n"
    for wrong in (["greet"], [str(tmp_path / "nobody")]):
        with pytest.raises(OSError, match="No such file"):
            brief.ask(wrong, env={}, timeout=30)


def test_no_descriptor_is_left_open() -> None:
    def opened() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = opened()
    ask("true")
    ask("false")
    ask("sleep", "600", timeout=0.1)
    with pytest.raises(OSError, match="No such file"):
        ask("/nowhere/at/all")
    assert opened() == before


def is_gone(pid: int) -> bool:
    """Wait for a killed process to be gone, or nobody's, for whoever reaps it takes a moment."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
