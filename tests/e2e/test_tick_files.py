"""What a tick leaves besides its report: a line for whoever logs in, metrics, entries in the journal."""

import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.agent.tick_files import MESSAGE_IDS, TickFiles
from reconciler.cli.showing.render import render_status
from reconciler.cli.wiring import quiet
from reconciler.host.config import load_config
from reconciler.host.machine.clock import SystemClock
from reconciler.host.state.folder import StateFolder
from tests.e2e.site import Site
from tests.e2e.test_apply import host, machine, offer, tick, want
from tests.labs.apt import AptLab, Deb

__all__ = ["host", "machine"]  # fixtures

Command = Callable[..., tuple[int, str, str]]
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


def metrics(path: Path) -> dict[str, dict[tuple[str, ...], float]]:
    """Read a file as Prometheus does: value by name and labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
        assert family.documentation
        assert family.type == "gauge"
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.fixture
def watched(site: Site, lab: AptLab) -> Site:
    """A site that leaves both files."""
    (site.folder / "out").mkdir()
    site.configure(environment=lab.environment, **files_of(site))
    return site


def files_of(site: Site) -> dict[str, str]:
    return {"motd": str(site.folder / "out/motd"), "metrics": str(site.folder / "out/patchledger.prom")}


def test_metrics_say_what_the_report_says_and_every_name_is_documented(
    watched: Site, patchledger: Command
) -> None:
    assert patchledger("run")[0] == 0
    file = watched.folder / "out" / "patchledger.prom"
    found, report = metrics(file), watched.report()
    assert file.stat().st_mode & 0o777 == 0o644
    assert found["patchledger_updates_pending"][()] == report["counts"]["pending"] > 0
    assert found["patchledger_updates_security"][()] == report["counts"]["security"] > 0
    assert found["patchledger_updates_overdue"][()] == 0
    assert found["patchledger_decision"] == {("window",): 1.0}
    assert found["patchledger_last_tick_exit_code"][()] == 0
    assert found["patchledger_paused"][()] == 0
    assert "patchledger_last_run_success" not in found
    documented = set(
        re.findall(r"^\| `(patchledger_[a-z_]+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(found) <= documented
    assert patchledger("pause", "--reason", "x")[0] == 0
    patchledger("run")
    found = metrics(file)
    assert found["patchledger_paused"][()] == 1


def test_a_run_is_in_them_and_documented(host: Site, machine: AptLab) -> None:
    (host.folder / "out").mkdir()
    host.configure(environment=machine.environment, **files_of(host))
    offer(machine, Deb("tool", "1.1"))
    want(host, "tool")
    tick(host)
    found = metrics(host.folder / "out" / "patchledger.prom")
    assert found["patchledger_last_run_success"][()] == 1
    assert found["patchledger_last_run_changed_packages"][()] == 1
    documented = set(
        re.findall(r"^\| `(patchledger_[a-z_]+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(found) <= documented


def test_a_quiet_tick_renews_the_files_time_and_nothing_else(watched: Site, patchledger: Command) -> None:
    patchledger("run")
    patchledger("run")
    file = watched.folder / "out" / "patchledger.prom"
    before = file.read_bytes()
    os.utime(file, (1, 1))
    assert quiet.tick(("--config", str(watched.config), "run")) == 0
    assert file.stat().st_mtime > 1
    assert file.read_bytes() == before
    # Somebody removed it: that is looked at properly, and it is there again.
    file.unlink()
    patchledger("run")
    assert metrics(file)


def test_a_line_for_whoever_logs_in(watched: Site, patchledger: Command) -> None:
    patchledger("run")
    file = watched.folder / "out" / "motd"
    assert file.stat().st_mode & 0o777 == 0o644
    (line,) = file.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(
        r"patchledger: \d+ updates pending.*; next window \w{3} \d{4}-\d\d-\d\d \d\d:00 UTC", line
    )


def test_files_for_others_are_for_others_also_by_hand_in_a_narrow_shell(
    watched: Site, patchledger: Command
) -> None:
    before = os.umask(0o077)
    try:
        assert patchledger("pause", "--reason", "x")[0] == 0
        assert patchledger("run")[0] == 0
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in (watched.folder / "out").iterdir()} == {
        "motd": "0o644",
        "patchledger.prom": "0o644",
    }
    # A report repository on this host is read by who may read it, whoever made the report.
    heads = watched.reports / "refs" / "heads" / "hosts"
    new = [heads, *heads.iterdir(), *(one for one in (watched.reports / "objects").rglob("??/*"))]
    assert new
    assert [str(path) for path in new if not path.stat().st_mode & 0o044] == []
    assert [str(path.parent) for path in new if not path.parent.stat().st_mode & 0o055] == []
    # What is ours alone stays so.
    assert [path for path in watched.state.iterdir() if path.is_file() and path.stat().st_mode & 0o077] == []


def test_a_failed_tick_is_seen_in_both(watched: Site, lab: AptLab, patchledger: Command) -> None:
    patchledger("run")
    pending = metrics(watched.folder / "out/patchledger.prom")["patchledger_updates_pending"]
    (lab.admin / "status").unlink()
    (lab.admin / "status").symlink_to("/nowhere")
    assert patchledger("run")[0] == 1
    first, second = (watched.folder / "out/motd").read_text(encoding="utf-8").splitlines()
    assert "updates pending" in first
    assert second.startswith("patchledger: trouble at ")
    assert second.endswith("; see `patchledger status`")
    found = metrics(watched.folder / "out/patchledger.prom")
    assert found["patchledger_last_tick_exit_code"][()] == 1
    assert found["patchledger_updates_pending"] == pending


def test_a_file_that_cannot_be_written_is_told_until_it_can_be(watched: Site, patchledger: Command) -> None:
    (watched.folder / "out").rename(watched.folder / "gone")
    code, _, err = patchledger("run")
    assert code == 0
    assert "metrics: " in err
    assert "motd: " in err
    assert "No such file or directory; nothing was written there" in err
    assert len(json.loads(patchledger("status", "--format", "json")[1])["tick"]["notices"]) == 2
    # It is tried again by the very next tick.
    patchledger("run")
    (watched.folder / "gone").rename(watched.folder / "out")
    assert patchledger("run")[2] == ""
    assert (watched.folder / "out" / "motd").exists()


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(
    watched: Site, patchledger: Command
) -> None:
    victim = watched.folder / "victim"
    victim.write_text("mine")
    (watched.folder / "out/motd").symlink_to(victim)
    assert patchledger("run")[0] == 0
    assert victim.read_text() == "mine"
    assert not (watched.folder / "out/motd").is_symlink()


# --- the journal --------------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "journal"))
        listening.settimeout(5)
        yield listening


def entry(journal: socket.socket) -> dict[str, str]:
    """Receive one entry and read it as journald does."""
    data, found = journal.recv(65536), {}
    while data:
        line, _, data = data.partition(b"\n")
        name, has_value, value = line.partition(b"=")
        if not has_value:
            size = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + size], data[9 + size :]
        found[name.decode()] = value.decode()
    return found


def aftermath(site: Site, path: Path) -> TickFiles:
    config = load_config(site.config)
    ours = {"INVOCATION_ID": "0123"}
    return TickFiles(config, StateFolder(site.state), SystemClock(), render_status, tuple, ours, str(path))


def test_a_run_and_its_tick_are_entries_with_fields(
    host: Site, machine: AptLab, journal: socket.socket, tmp_path: Path
) -> None:
    host.configure(environment={**machine.environment, "TOKEN": "hunter2secret"})
    offer(machine, Deb("tool", "1.1"))
    policy = want(host, "tool")
    done = tick(host)
    left = aftermath(host, tmp_path / "journal")
    assert not left.done(left.begin(), host.config.read_bytes(), done, (), host.state / "stamp")
    run, whole = entry(journal), entry(journal)
    (record,) = done.runs
    assert run == {
        "MESSAGE": f"web-01: run {record.run}: applied, 1 changed",
        "MESSAGE_ID": MESSAGE_IDS["run"],
        "PRIORITY": "5",
        "SYSLOG_IDENTIFIER": "patchledger",
        "PATCHLEDGER_HOST": "web-01",
        "PATCHLEDGER_OUTCOME": "applied",
        "PATCHLEDGER_RUN": record.run,
        "PATCHLEDGER_POLICY_COMMIT": policy,
        "PATCHLEDGER_PLAN": record.digest,
    }
    assert whole["MESSAGE_ID"] == MESSAGE_IDS["tick"]
    assert whole["PRIORITY"] == "6"
    assert whole["PATCHLEDGER_OUTCOME"] == "nothing"


def test_a_failed_tick_is_an_error_without_secrets(
    site: Site, lab: AptLab, journal: socket.socket, tmp_path: Path
) -> None:
    site.configure(environment={**lab.environment, "TOKEN": "hunter2secret"})
    StateFolder(site.state).prepare()
    left = aftermath(site, tmp_path / "journal")
    left.failed(left.begin(), ValueError("no hunter2secret at https://bob:pw@x/\nPRIORITY=7"))
    found = entry(journal)
    assert found["MESSAGE_ID"] == MESSAGE_IDS["tick-failed"]
    assert found["PRIORITY"] == "3"
    assert "a defect of patchledger: ValueError: no [redacted] at https://x/; PRIORITY=7" in found["MESSAGE"]


def test_a_journal_that_takes_nothing_is_told_and_ends_nothing(host: Site, tmp_path: Path) -> None:
    left = aftermath(host, tmp_path / "no-journal")
    assert left.done(left.begin(), b"", tick(host), (), host.state / "stamp")
    assert json.loads((host.state / "tick.json").read_bytes())["notices"][0].endswith(
        "No such file or directory"
    )
