"""The one subprocess call: nothing inherited, nothing unbounded, nothing left behind."""

import os
import pwd
import signal
import sys
from pathlib import Path
from time import monotonic

import pytest

from reconciler.errors import Stalled
from reconciler.process import BASE_PATH, Dialogue, run


def test_output_and_exit_code_come_back() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)


def test_standard_input_is_closed_without_text() -> None:
    assert run(["cat"], timeout=10).stdout == b""


def test_large_standard_input_is_fed_whole() -> None:
    text = b"0123456789abcdef" * 65536
    assert run(["sha256sum"], stdin=text).stdout == run(["sh", "-c", "sha256sum"], stdin=text).stdout
    assert run(["wc", "-c"], stdin=text).stdout.split() == [str(len(text)).encode()]


def test_the_callers_environment_is_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    seen = dict(line.split("=", 1) for line in run(["env"], env={"EXTRA": "yes"}).text.splitlines())
    assert seen.keys() - {"_", "PWD", "SHLVL"} == {"PATH", "LC_ALL", "HOME", "EXTRA"}
    assert (seen["PATH"], seen["LC_ALL"], seen["EXTRA"]) == (BASE_PATH, "C.UTF-8", "yes")


@pytest.mark.root
def test_home_is_the_users_own_whatever_the_caller_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rpm runs what it finds in a ``.rpmmacros`` there, and git and ssh trust what they find."""
    (tmp_path / ".rpmmacros").write_text(f"%_dbpath %(touch {tmp_path}/ran; echo /var/lib/rpm)\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run(["sh", "-c", 'echo "$HOME"']).text == f"{pwd.getpwuid(os.geteuid()).pw_dir}\n"
    run(["rpm", "--eval", "%_dbpath"])
    assert not (tmp_path / "ran").exists()


def test_output_beyond_the_limit_is_dropped_and_said() -> None:
    done = run(["sh", "-c", "head -c 1000000 /dev/zero; echo end >&2"], limit=1000)
    assert (len(done.stdout), done.stderr, done.truncated, done.returncode) == (1000, b"end\n", True, 0)


def test_a_child_that_writes_without_end_can_be_ended_at_the_limit() -> None:
    done = run(["yes"], limit=1000, ends_at_limit=True, timeout=60)
    assert (len(done.stdout), done.truncated, done.timed_out) == (1000, True, False)
    # Ended by us, or by its own next write into the closed pipe.
    assert done.returncode in {-signal.SIGKILL, -signal.SIGPIPE}


def test_output_of_exactly_the_limit_is_whole() -> None:
    assert not run(["printf", "12345"], limit=5).truncated


def test_a_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    done = run(["sh", "-c", f"sleep 300 & echo $! > {pid_file}; wait"], timeout=1)
    assert done.timed_out
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        _wait_until_gone(int(pid_file.read_text()))


def _wait_until_gone(pid: int) -> None:
    """Raise ProcessLookupError once the process is dead (a killed orphan may be a zombie for an instant)."""
    for _ in range(1000):
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
        if state == "Z":
            raise ProcessLookupError


def test_a_missing_program_is_told_with_a_hint() -> None:
    with pytest.raises(Stalled, match="cannot start no-such-program") as caught:
        run(["no-such-program"])
    assert caught.value.hint == "install no-such-program"


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_service_that_keeps_the_pipe_open_is_not_waited_for(timeout: float | None) -> None:
    """Apt's hooks may start one; it is no part of what was asked for, so it also lives on."""
    start = monotonic()
    done = run(["sh", "-c", "sleep 30 & echo $!"], timeout=timeout)
    service = int(done.stdout)
    os.kill(service, signal.SIGKILL)  # it is still there
    assert (done.returncode, done.timed_out) == (0, False)
    assert monotonic() - start < 15


def test_a_service_that_never_stops_talking_is_not_listened_to_for_ever() -> None:
    done = run(["sh", "-c", "while :; do echo x; sleep 0.1; done & echo $! >&2"], limit=100)
    os.kill(int(done.stderr), signal.SIGKILL)
    assert (done.returncode, done.timed_out) == (0, False)


def test_a_child_that_closes_its_output_and_lives_on_meets_the_time_limit() -> None:
    done = run(["sh", "-c", "exec >&- 2>&-; sleep 60"], timeout=1)
    assert (done.timed_out, done.returncode) == (True, -signal.SIGKILL)


@pytest.mark.parametrize(
    ("argv", "env"),
    [
        (["true", "a\0b"], {}),
        (["true"], {"A=B": "c"}),
        (["true"], {"A": "b\0c"}),
        (["true"], {"A": "\ud800"}),
        (["true", "x" * 200_000], {}),
    ],
)
def test_what_no_process_can_be_given_is_told(argv: list[str], env: dict[str, str]) -> None:
    with pytest.raises(Stalled, match="cannot start true"):
        run(argv, env=env)


# --- A dialogue ---------------------------------------------------------------------------------------------

ECHO = "import sys\nfor line in sys.stdin: print(line.strip().upper(), flush=True)"


def _dialogue(program: str, limit: int = 1 << 20) -> Dialogue:
    return Dialogue([sys.executable, "-I", "-c", program], limit=limit)


def test_each_line_is_answered_before_the_next() -> None:
    with _dialogue(ECHO) as child:
        assert [child.ask(word, 20) for word in (b"one", b"two")] == [b"ONE", b"TWO"]


def test_a_question_may_be_larger_than_a_pipe() -> None:
    with _dialogue(ECHO, limit=1 << 23) as child:
        assert child.ask(b"x" * (1 << 22), 20) == b"X" * (1 << 22)


@pytest.mark.parametrize(
    ("program", "code"),
    [("raise SystemExit(7)", 7), ("import os; os.close(1); raise SystemExit(3)", 3)],
)
def test_one_that_ends_without_an_answer_is_known_by_its_code(program: str, code: int) -> None:
    with _dialogue(program) as child:
        assert child.ask(b"one", 20) is None
        assert child.ended == code


def test_one_that_says_too_much_or_nothing_is_given_up() -> None:
    endless = "import sys\nwhile True: sys.stdout.write('x' * 4096)"
    with _dialogue(endless, limit=10_000) as child:
        assert child.ask(b"one", 20) is None
    with _dialogue("import time; time.sleep(60)") as child:
        assert child.ask(b"one", 0.2) is None
    assert child.ended is not None


def test_one_that_cannot_be_started_is_told() -> None:
    with pytest.raises(Stalled, match="cannot start"):
        Dialogue(["/nonexistent/program"])
