"""What an audit needs beside the decision: who the machine is, and what its own configuration says."""

import json
from typing import Any

from reconciler.planning.gates.recording import read_recording
from tests.e2e.site import BEFORE, Site, git
from tests.e2e.test_apply import tick
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
    assert recording.own_host.labels == {"env": "test"}
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
