"""A run leaves its log on the host, whatever becomes of its report; and `log` shows it."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from tests.e2e.site import SetClock, Site
from tests.e2e.test_apply import INSIDE, approval, host, machine, offer, tick, want
from tests.edge.gitops.bench import git
from tests.labs.apt import MAIN, AptLab, Deb

__all__ = ["host", "machine"]  # fixtures

Said = tuple[int, str, str]


@pytest.fixture
def log(host: Site, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = main(["--config", str(host.config), "log", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_run_is_listed_and_shown_with_its_log_and_no_secret(
    host: Site, machine: AptLab, log: Callable[..., Said]
) -> None:
    host.configure(environment={**machine.environment, "TOKEN": "hunter2secret"})
    assert "No run yet" in log()[1]
    telling = "echo '\x1b[2Jtoken hunter2secret https://bob:pw@example.org/'"
    machine.install(Deb("tool", "1.0"))
    machine.publish(MAIN, Deb("tool", "1.1", scripts={"postinst": telling}))
    machine.refresh()
    want(host, "tool")
    (record,) = tick(host).runs
    assert record.outcome == "applied"
    code, out, _ = log()
    assert code == 0
    header, line = out.splitlines()
    assert header.split() == ["Began", "Outcome", "Changes", "Took", "Run", "Why"]
    assert "applied" in line
    assert record.run in line
    for named in (record.run, "last", record.run[:11]):
        code, out, _ = log(named)
        assert code == 0
        assert "tool:all 1.0 → 1.1" in out or "tool:amd64 1.0 → 1.1" in out
        assert "Setting up tool (1.1)" in out
        assert "\\u{1b}[2Jtoken [redacted] https://example.org/" in out
        assert "\x1b" not in out
    whole = json.loads(log("last", "--format", "json")[1])
    assert whole["record"]["outcome"] == "applied"
    assert (host.logs / f"{record.run}.json").read_bytes() == (
        json.dumps(whole["record"], ensure_ascii=False, sort_keys=True, indent=1) + "\n"
    ).encode()
    assert "hunter2" not in log("last", "--format", "json")[1]


def test_a_run_names_its_report_and_the_approval_that_let_it_happen(
    host: Site, machine: AptLab, log: Callable[..., Said]
) -> None:
    offer(machine, Deb("tool", "1.1"))
    want(host, "tool", policy="approval: required\n")
    assert tick(host).runs == ()
    commit = host.commit({"approvals/one.yaml": approval('versions: {tool: "1.1"}')})
    (record,) = tick(host).runs
    announced = record.announced
    assert announced is not None
    assert announced.commit == git(host.reports, "rev-parse", "hosts/web-01^")
    out = log("last")[1]
    assert f"announced by report {announced.commit[:12]}, pushed before anything was done" in out
    assert f"approved by one: looked at [approvals/one.yaml:1@{commit[:12]}]" in out
    who = "by Ada <ada@example.org> on 2026-11-20 08:00 UTC"
    words = f'approvals/one.yaml:1: {who} in {commit[:12]} "change"; until 2099-01-02 00:00 UTC'
    assert f"{words}\n" in out
    whole = json.loads(log("last", "--format", "json")[1])
    assert whole["written"] == [words]
    assert whole["approvals"] == [f"one: looked at [approvals/one.yaml:1@{commit[:12]}]"]


def test_a_log_that_cannot_be_written_is_told_and_ends_nothing(
    host: Site, machine: AptLab, log: Callable[..., Said]
) -> None:
    host.logs.write_text("in the way")
    offer(machine, Deb("tool", "1.1"))
    want(host, "tool")
    wiring = wire(load_config(host.config), SetClock(INSIDE))
    done = run_once(host.config, wiring)
    assert done.failures == ()
    assert [one.outcome for one in done.runs] == ["applied"]
    (complaint,) = done.notices
    assert f"{host.logs}: " in complaint
    assert "has no log there" in complaint
    assert "applied" in host.commits()[0]
    assert log()[0] == 2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("20260101T000000Z-0",), "there is no run yet"),
        (("last", "--format", "json"), "holds none"),
        (("--last", "-1"), "a number of runs"),
        (("last", "--last", "3"), "belongs to the list"),
    ],
)
def test_a_wrong_question_is_told_in_a_line(
    arguments: tuple[str, ...], word: str, log: Callable[..., Said]
) -> None:
    code, out, err = log(*arguments)
    assert (code, out) == (2, "")
    assert word in err


def test_the_last_of_no_runs_is_told_like_the_list_of_them(log: Callable[..., Said]) -> None:
    assert log("last") == log()
    assert log("last")[0] == 0


def test_the_list_is_the_newest_and_survives_a_damaged_record(host: Site, log: Callable[..., Said]) -> None:
    host.logs.mkdir()
    for number in range(25):
        record = {
            "started": f"2026-11-{number + 1:02}T02:00:00Z",
            "ended": f"2026-11-{number + 1:02}T03:01:02Z",
            "outcome": "failed",
            "reason": "[bold]no[/bold] \x1b[31mluck",
            "difference": {"changed": []},
        }
        (host.logs / f"202611{number + 1:02}T020000Z-0123456789ab.json").write_text(json.dumps(record))
    (host.logs / "20261125T020000Z-0123456789ab.json").write_text("{")
    lines = log()[1].splitlines()
    assert len(lines) == 1 + 20 + 1
    assert "damaged" in lines[-2]
    assert "1:01:02" in lines[-3]
    assert "[bold]no[/bold] \\u{1b}[31mluck" in lines[-3]
    assert lines[-1] == "20 of 25 runs; all with --last 0."
    assert len(log("--last", "0")[1].splitlines()) == 26
    found = json.loads(log("--last", "2", "--format", "json")[1])
    assert found["kept"] == 25
    assert [one["outcome"] for one in found["runs"]] == ["failed", "damaged"]
    assert log("2026112")[0] == 2


def test_on_a_terminal_the_list_is_a_table_and_nobodys_text_is_markup(host: Site) -> None:
    host.logs.mkdir()
    record = {
        "started": "2026-11-01T02:00:00Z",
        "ended": "2026-11-01T02:00:09Z",
        "outcome": "failed",
        "reason": "[link=http://x]y[/link]",
        "difference": {"changed": []},
    }
    (host.logs / "20261101T020000Z-0123456789ab.json").write_text(json.dumps(record))
    seen = on_terminal("--config", str(host.config), "log")
    assert "[link=http://x]y[/link]" in seen
    assert "\x1b[31m2026-11-01 02:00  failed  " in seen


def on_terminal(*arguments: str, columns: int = 160, term: str = "xterm-256color") -> str:
    """Run the command on a real terminal and return what it shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), "TERM": term}
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *arguments], stdout=theirs, stderr=theirs, env=env, check=False
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # a terminal that nobody has open any more
            break
        if not part:
            break
        seen += part
    os.close(ours)
    assert done.returncode == 0, seen
    return seen.decode()
