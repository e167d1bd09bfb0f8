"""`status` says how the host is, also where the last tick failed, was killed, or is still at work."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema
from reconciler.cli.verbs import status
from reconciler.cli.wiring import quiet
from reconciler.host.state.folder import StateFolder
from tests.e2e.site import OPENING, POLICY, SCHEDULE, Site
from tests.e2e.test_apply import SLOW, host, machine, offer, runs, start, tick, wait_for, want
from tests.e2e.test_log import on_terminal
from tests.labs.apt import AptLab, Deb
from tests.labs.witness import witnessed

__all__ = ["host", "machine"]  # fixtures

Command = Callable[..., tuple[int, str, str]]


def document(patchledger: Command) -> Any:
    code, out, err = patchledger("status", "--format", "json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    Draft202012Validator(schema("status"), format_checker=Draft202012Validator.FORMAT_CHECKER).validate(found)
    return found


def says(patchledger: Command) -> str:
    code, out, err = patchledger("status")
    assert (code, err) == (0, "")
    return out


def test_before_the_first_run_there_is_nothing_to_show(patchledger: Command) -> None:
    code, out, err = patchledger("status")
    assert (code, out) == (1, "")
    assert "no report yet" in err


def test_it_says_what_happened_what_is_next_and_why_not_now(site: Site, patchledger: Command) -> None:
    patchledger("run")
    text = says(patchledger)
    assert text.startswith("web-01: ")
    assert "Last tick  " in text
    assert ", well" in text
    assert "Last run   none yet" in text
    assert "nightly" in text
    assert "Not now (window)" in text
    found = document(patchledger)
    report = site.report()
    assert found["decision"] == report["decision"]
    assert found["counts"] == report["counts"]
    assert found["looked_at"] == report["generated_at"]
    assert found["next_window"]["schedule"] == "nightly"
    assert found["tick"]["state"] == "done"
    assert (found["outbox"], found["unpushed"], found["paused"], found["last_run"]) == (0, [], None, None)
    # No timer of this configuration.
    assert found["next_tick"] is None


def test_a_quiet_tick_is_seen(site: Site, patchledger: Command) -> None:
    patchledger("run")
    patchledger("run")
    left = json.loads((site.state / "status.json").read_bytes())
    assert quiet.tick(("--config", str(site.config), "run")) == 0
    later = datetime.now(UTC) + timedelta(minutes=20)
    os.utime(left["stamp"], (later.timestamp(), later.timestamp()))
    assert document(patchledger)["confirmed_at"] == f"{later:%Y-%m-%dT%H:%M:%SZ}"
    assert "; nothing new by " in says(patchledger)


def test_the_last_run_is_shown_and_stays_until_there_is_another(
    host: Site, machine: AptLab, patchledger_on: Callable[[Site], Command]
) -> None:
    offer(machine, Deb("tool", "1.1"))
    want(host, "tool")
    (record,) = tick(host).runs
    tick(host, OPENING + timedelta(minutes=20))
    patchledger = patchledger_on(host)
    text = says(patchledger)
    assert "applied 1 change" in text
    assert f"patchledger log {record.run}" in text
    last = document(patchledger)["last_run"]
    assert (last["run"], last["outcome"]) == (record.run, "applied")
    assert [(move["name"], move["to"]) for move in last["changed"]] == [("tool", "1.1")]
    for arguments, name in ((("log",), "log"), (("log", "last"), "log"), (("resume",), "pause")):
        code, out, _ = patchledger(*arguments, "--format", "json")
        assert code == 0
        Draft202012Validator(schema(name)).validate(json.loads(out))


@pytest.fixture
def patchledger_on(capsys: pytest.CaptureFixture[str]) -> Callable[[Site], Command]:
    def of(site: Site) -> Command:
        def run(*arguments: str) -> tuple[int, str, str]:
            capsys.readouterr()
            code = main(["--config", str(site.config), *arguments])
            said = capsys.readouterr()
            return code, said.out, said.err

        return run

    return of


def test_times_are_told_by_the_clock_of_the_schedule(site: Site, patchledger: Command) -> None:
    """In its head, which is read at the moment of asking, and in the sentences of the report below it."""
    site.commit({"schedules/nightly.yaml": SCHEDULE.replace("UTC", "Pacific/Auckland")})
    patchledger("run")
    assert patchledger("pause", "--reason", "inventory", "--until", "2h")[0] == 0
    text = says(patchledger)
    head, _, rest = text.partition("Gates (")
    assert re.search(r"Last tick  \w{3} \S+ \S+ Pacific/Auckland, well\n", head)
    assert re.search(r"Paused     by \S+ until \w{3} \S+ \S+ Pacific/Auckland: inventory", head)
    assert "UTC" not in text
    assert rest.startswith("by the clock of Pacific/Auckland)")
    assert document(patchledger)["timezone"] == "Pacific/Auckland"


def test_a_pause_is_seen_at_once_and_its_end_as_well(site: Site, patchledger: Command) -> None:
    patchledger("run")
    assert patchledger("pause", "--reason", "inventory [x]", "--until", "2h")[0] == 0
    text = says(patchledger)
    assert "Paused     by " in text
    assert "inventory [x]" in text
    found = document(patchledger)["paused"]
    kept = StateFolder(site.state).pause()
    assert kept is not None
    assert found["until"] == f"{kept.until:%Y-%m-%dT%H:%M:%SZ}"
    Draft202012Validator(schema("pause")).validate({"host": "web-01", "paused": found})
    file = site.state / "pause.json"
    whole = json.loads(file.read_bytes())
    file.write_text(json.dumps({**whole, "until": "2020-01-01T00:00:00Z"}))
    assert document(patchledger)["paused"] is None
    file.write_text("{")
    assert "damaged" in document(patchledger)["paused"]["reason"]


# --- failure is visible -------------------------------------------------------------------------------------


def test_a_tick_that_failed_is_told_with_the_reason_over_the_old_report(
    site: Site, lab: AptLab, patchledger: Command
) -> None:
    secret = {"TOKEN": "hunter2secret"}
    site.configure(environment={**lab.environment, **secret})
    patchledger("run")
    looked_at = document(patchledger)["looked_at"]
    admin = lab.admin / "status"
    admin.rename(lab.admin / "hunter2secret")
    admin.symlink_to("/nowhere")
    code, _, err = patchledger("run")
    assert code == 1, err
    text = says(patchledger)
    assert "FAILED at " in text
    assert "(exit code 1)" in text
    found = document(patchledger)
    assert found["tick"]["state"] == "failed"
    assert found["tick"]["exit_code"] == 1
    assert found["tick"]["problems"][0]["message"].split(":")[0] in err
    assert found["looked_at"] == looked_at
    assert "hunter2secret" not in text + json.dumps(found)
    admin.unlink()
    (lab.admin / "hunter2secret").rename(admin)
    assert patchledger("run")[0] == 0
    assert document(patchledger)["tick"]["state"] == "done"


def test_a_first_tick_that_failed_is_told_too(lab: AptLab, patchledger: Command) -> None:
    (lab.admin / "status").unlink()
    (lab.admin / "status").symlink_to("/nowhere")
    assert patchledger("run")[0] == 1
    code, out, err = patchledger("status")
    assert (code, out) == (1, "")
    assert "no report yet; the last tick failed at " in err


def test_a_tick_with_trouble_says_which(site: Site, lab: AptLab, patchledger: Command) -> None:
    site.configure(environment=lab.environment, reports={"remote": "https://bob@127.0.0.1:1/reports.git"})
    assert patchledger("run")[0] == 5
    text = says(patchledger)
    assert "with trouble (exit code 5)" in text
    assert "Waiting    reports on hosts/web-01 not pushed" in text
    found = document(patchledger)
    assert found["tick"]["state"] == "troubled"
    assert found["tick"]["problems"]
    assert found["unpushed"] == ["hosts/web-01"]
    assert "bob@" not in text


def test_what_cannot_even_begin_is_told(site: Site, lab: AptLab, patchledger: Command) -> None:
    patchledger("run")
    site.configure(
        environment=lab.environment,
        root=str(lab.root),
        manager="zypper",
        policy={"remote": "/x", "ref": "a..b"},
    )
    assert patchledger("run")[0] == 2
    found = document(patchledger)
    assert (found["tick"]["state"], found["tick"]["exit_code"]) == ("failed", 2)


def test_a_defect_of_ours_is_told(site: Site, patchledger: Command) -> None:
    patchledger("run")
    (site.state / "runs.json").unlink()
    (site.state / "runs.json").mkdir()
    assert patchledger("run")[0] in {1, 70}
    assert document(patchledger)["tick"]["state"] == "failed"


def test_a_killed_tick_is_told_and_one_at_work_is_not_taken_for_one(site: Site, patchledger: Command) -> None:
    patchledger("run")
    folder = StateFolder(site.state)
    began = {"began": "2026-11-22T02:00:00Z", "ended": None}
    (site.state / "tick.json").write_text(json.dumps(began))
    with folder.locked():
        assert document(patchledger)["tick"]["state"] == "running"
        assert "a tick is at work since Sun 2026-11-22 02:00 UTC" in says(patchledger)
    assert document(patchledger)["tick"]["state"] == "killed"
    assert "it was killed" in says(patchledger)


def test_the_first_run_is_shown_while_it_is_at_work(
    host: Site, machine: AptLab, patchledger_on: Callable[[Site], Command]
) -> None:
    offer(machine, Deb("tool", "1.1", scripts={"postinst": SLOW}))
    want(host, "tool")
    child = start(host)
    try:
        wait_for(machine.root / "begun")
        patchledger = patchledger_on(host)
        found, text = document(patchledger), says(patchledger)
        planned = patchledger("plan")
    finally:
        (machine.root / "go").touch()
        child.communicate()
    (record,) = runs(host)
    assert (found["decision"]["outcome"], found["tick"]["state"]) == ("apply", "running")
    assert found["tick"]["run"] == record["run"]
    assert text.startswith("web-01: 1 update pending, ")
    assert f"it makes run {record['run']}" in text
    assert (planned[0], "is at work" in planned[2]) == (5, True)
    assert document(patchledger)["tick"]["run"] is None
    assert "applied 1 change" in says(patchledger)


def test_a_first_tick_without_a_report_yet_is_told_as_it_is(site: Site, patchledger: Command) -> None:
    folder = StateFolder(site.state)
    folder.prepare()
    (site.state / "tick.json").write_text(json.dumps({"began": "2026-11-22T02:00:00Z", "ended": None}))
    with folder.locked():
        code, out, err = patchledger("status")
    assert (code, out) == (5, "")
    assert "the first tick is at work since Sun 2026-11-22 02:00 UTC" in err
    code, _, err = patchledger("status")
    assert (code, "was killed" in err) == (1, True)


def test_a_real_kill_leaves_the_mark_of_one(site: Site, lab: AptLab, patchledger: Command) -> None:
    patchledger("run")
    site.commit({"policies/base.yaml": POLICY + "updates: security\n"})
    # Whoever asks git for the policy kills the tick that waits for the answer.
    program = [sys.executable, "-m", "reconciler", "--config", str(site.config), "run"]
    killer = site.folder / "bin" / "git"
    killer.parent.mkdir()
    killer.write_text("#!/bin/sh\nkill -9 $PPID\n")
    killer.chmod(0o755)
    site.configure(environment={**lab.environment, "PATH": f"{killer.parent}:/usr/bin:/bin"})
    path = {"PATH": f"{killer.parent}:{os.environ['PATH']}", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(program, env=path, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert document(patchledger)["tick"]["state"] == "killed"


@pytest.mark.parametrize("name", ["status.json", "tick.json"])
@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"document": {}}'])
def test_a_damaged_file_makes_no_traceback(site: Site, patchledger: Command, name: str, data: bytes) -> None:
    patchledger("run")
    (site.state / name).write_bytes(data)
    code, _, err = patchledger("status")
    assert code in {0, 1}
    assert "Traceback" not in err


# --- what it costs, and how it looks ------------------------------------------------------------------------


def test_it_imports_next_to_nothing_whatever_there_is_to_say(site: Site, patchledger: Command) -> None:
    patchledger("run")
    patchledger("pause", "--reason", "inventory", "--until", "2h")
    for form in ("text", "json"):
        seen = witnessed("--config", str(site.config), "status", "--format", form)
        assert (seen["code"], seen["started"]) == (0, [])
        dear = {"pydantic", "rich", "yaml", "dataclasses", "pathlib", "prometheus_client", "socket"}
        assert not dear & set(seen["modules"])


def test_on_a_terminal_it_fits_and_has_colours(site: Site, patchledger: Command) -> None:
    patchledger("run")
    seen = on_terminal("--config", str(site.config), "status")
    assert seen.startswith("\x1b[1mweb-01: ")
    assert "\x1b[0m" in seen


def test_a_narrow_terminal_without_colours_is_taken_for_what_it_is(site: Site, patchledger: Command) -> None:
    patchledger("run")
    seen = on_terminal("--config", str(site.config), "status", columns=60, term="dumb")
    assert "\x1b" not in seen
    assert "no timer of ours" in seen
    assert [line for line in seen.split("\r\n") if len(line) > 60] == []


def test_the_next_tick_is_known_where_a_timer_is_enabled(tmp_path: Path) -> None:
    assert not status._is_scheduled(str(tmp_path))  # noqa: SLF001
    wants = tmp_path / "timers.target.wants"
    wants.mkdir()
    (wants / "patchledger.timer").symlink_to("/usr/lib/systemd/system/patchledger.timer")
    assert status._is_scheduled(str(tmp_path))  # noqa: SLF001
    assert status._later("2026-12-31T23:50:00Z", 900.0) == "2027-01-01T00:05:00Z"  # noqa: SLF001
