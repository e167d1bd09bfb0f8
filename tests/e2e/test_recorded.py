"""What an audit needs beside the decision: who the machine is, and what its own configuration says."""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from reconciler.planning.gates.recording import read_recording
from reconciler.planning.gates.types import GateName
from reconciler.planning.reporting.reader import read_run
from reconciler.planning.runs.record import run_json
from tests.e2e.site import BEFORE, Site, git
from tests.e2e.test_apply import runs, tick
from tests.labs.apt import AptLab

ID = "0123456789abcdef0123456789abcdef"
HOST = "kind: Host\nname: web-01\nlabels: {env: production, tier: gold}\n"


def host_of(site: Site) -> Any:
    return site.report()["host"]


def test_a_report_names_the_machine_and_tells_its_own_labels_from_those_of_policy(
    site: Site, lab: AptLab
) -> None:
    (lab.root / "etc/machine-id").write_text(f"{ID}\n", encoding="ascii")
    site.commit({"hosts/web-01.yaml": HOST})
    tick(site, BEFORE)
    host = host_of(site)
    assert host["facts"]["machine_id"] == ID
    assert host["labels"] == {"env": "production", "tier": "gold"}
    assert host["own_labels"] == {"env": "test"}
    recording = read_recording(git(site.reports, "show", "hosts/web-01:observation.json").encode() + b"\n")
    assert dict(recording.own_labels) == {"env": "test"}
    assert recording.host.labels == host["labels"]


def test_what_is_no_machine_id_is_not_told(site: Site, lab: AptLab) -> None:
    (lab.root / "etc/machine-id").write_text("uninitialized\n", encoding="ascii")
    tick(site, BEFORE)
    assert host_of(site)["facts"]["machine_id"] == ""


def test_a_rule_of_the_configuration_makes_a_report_and_a_secret_is_not_in_its_digest(
    site: Site, lab: AptLab
) -> None:
    tick(site, BEFORE)
    first = host_of(site)["configuration"]
    site.configure(environment={**lab.environment, "http_proxy": "http://ada:secret@proxy.example.org"})
    tick(site, BEFORE)
    second = host_of(site)["configuration"]
    site.configure(environment={**lab.environment, "http_proxy": "http://ada:other@proxy.example.org"})
    tick(site, BEFORE)
    assert host_of(site)["configuration"] == second != first
    site.configure(environment=lab.environment, override_freeze=True)
    tick(site, BEFORE)
    assert host_of(site)["configuration"] not in (first, second)
    assert len(site.commits()) == len(["first", "a variable more", "a freeze may be passed over"])
    assert "secret" not in json.dumps(site.report())


def test_a_run_names_its_announcement_and_each_step_what_the_gates_saw(site: Site) -> None:
    tick(site, BEFORE)
    announced = git(site.reports, "rev-parse", "hosts/web-01")
    (record,) = tick(site).runs
    (written,) = runs(site)
    # Inside the window another decision is told before anything is done.
    assert written["announced"]["commit"] == git(site.reports, "rev-parse", "hosts/web-01~1") != announced
    assert written["announced"]["pushed"] is True
    assert len(written["steps"]) > 1
    for step in written["steps"]:
        asked = step["asked"]
        assert (asked["clock"], asked["pause"], asked["closed"]) == ("synchronised", None, [])
        assert asked["at"] <= step["started"]
        assert asked["health"].startswith("sha256:")
    # What is left needs its share of the time, and each step changes the package database.
    budgets = [step["asked"]["budget"] for step in written["steps"]]
    assert budgets == sorted(budgets, reverse=True)
    assert budgets[0] == timedelta(minutes=30).total_seconds()
    assert len({step["asked"]["database"] for step in written["steps"]}) == len(budgets)
    assert record.asked is not None
    assert read_run(run_json(record)) == record


def test_a_run_that_a_gate_stops_says_what_it_was_shown(site: Site, lab: AptLab) -> None:
    site.configure(reports={}, environment=lab.environment)
    tick(site, BEFORE)
    program = f"{sys.executable} -m reconciler --config {site.config}"
    site.hook("pre", "10-pause", f"cd {Path.cwd()} && {program} pause --reason 'found smoke'")
    (record,) = tick(site).runs
    assert (record.outcome, record.steps, record.code) == ("deferred", (), "paused")
    assert record.asked is not None
    assert record.asked.closed == (GateName.PAUSED,)
    assert record.asked.pause is not None
    assert record.asked.pause.reason == "found smoke"
    assert record.announced is not None
    assert record.announced.pushed is False  # there is no remote
