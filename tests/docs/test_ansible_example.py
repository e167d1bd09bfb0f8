"""The example that makes an inventory for Ansible of a fleet, and what no host can make it say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler.policy.conversion import Converted
from reconciler.policy.from_inventory import convert
from tests.policy.test_from_inventory import MACHINE

PROGRAM = Path(__file__).parents[2] / "examples" / "ansible" / "inventory.py"


def row(target: str, **more: object) -> dict[str, object]:
    """Return what is used of a row of ``fleet status --format json``."""
    return {
        "target": target,
        "state": "fine",
        "heard": "2026-11-29T02:00:00Z",
        "policy_commit": "a" * 40,
        "os": "debian 12",
        "manager": "apt",
        "reboot": False,
        "counts": {"pending": 3, "pending_security": 1},
        "labels": {},
        "headline": "{{ lookup('pipe', 'id') }}",
        **more,
    }


def made(*rows: dict[str, object]) -> Any:
    done = subprocess.run(
        [sys.executable, "-I", PROGRAM],
        input=json.dumps({"rows": rows}),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)["all"]
    assert set(found) == {"hosts", "children"}
    return (
        found["hosts"],
        {name: sorted(one["hosts"]) for name, one in found["children"].items()},
        done.stderr,
    )


def test_all_that_is_used_of_a_row_is_in_the_schema() -> None:
    schema = json.loads((PROGRAM.parents[2] / "schemas" / "fleet-status.schema.json").read_bytes())
    assert set(row("web-01")) <= set(schema["$defs"]["Row"]["required"])


def test_hosts_are_in_groups_by_state_system_and_labels() -> None:
    labels = {"env": "production", "group/web": "member", "site": "eu-west.1"}
    silent = row("db-01", state="silent", os="", manager="", counts=None, heard=None, reboot=True)
    hosts, groups, said = made(row("web-01", labels=labels), silent)
    assert hosts["web-01"] == {
        "patchledger_state": "fine",
        "patchledger_heard": "2026-11-29T02:00:00Z",
        "patchledger_policy_commit": "a" * 40,
        "patchledger_os": "debian 12",
        "patchledger_manager": "apt",
        "patchledger_reboot": False,
        "patchledger_pending": 3,
        "patchledger_pending_security": 1,
    }
    assert "patchledger_pending" not in hosts["db-01"]
    assert groups == {
        "state_fine": ["web-01"],
        "state_silent": ["db-01"],
        "manager_apt": ["web-01"],
        "manager_unknown": ["db-01"],
        "os_debian_12": ["web-01"],
        "os_unknown": ["db-01"],
        "reboot_pending": ["db-01"],
        "label_env_production": ["web-01"],
        "label_site_eu_west_1": ["web-01"],
        "web": ["web-01"],
    }
    assert said == ""


@pytest.mark.parametrize(
    "evil", ["{{ lookup('pipe', 'id') }}", "{% raw %}", "{# x #}", "a\nb", "\x1b[2J", "\ud800", "x" * 300]
)
def test_no_text_of_a_host_is_taken_for_a_template(evil: str) -> None:
    told = row("web-01", os=evil, labels={evil: evil, "env": evil}, heard=evil, policy_commit=evil)
    hosts, groups, _ = made(told)
    assert {"patchledger_os", "patchledger_heard", "patchledger_policy_commit"}.isdisjoint(hosts["web-01"])
    assert all(name.replace("_", "").isalnum() and name.isascii() for name in groups)


@pytest.mark.parametrize(
    ("label", "looks_like"),
    [
        ({"group/state_failed": "member"}, "state_failed"),
        ({"group/all": "member"}, "all"),
        ({"env": "pro duction"}, "label_env_pro_duction"),
    ],
)
def test_no_host_comes_into_a_group_by_a_label_that_looks_like_it(label: object, looks_like: str) -> None:
    other = row("web-02", state="failed", labels={"env": "pro-duction"})
    _, groups, _ = made(row("evil-01", labels=label), other)
    assert "evil-01" not in groups.get(looks_like, [])


def test_what_is_no_host_is_left_out_and_told() -> None:
    hosts, _, said = made(row("hyper-01/101"), row("web-01"), row("x\n[evil]"))
    assert list(hosts) == ["web-01"]
    assert said.splitlines() == ["left out: 'hyper-01/101'", "left out: 'x\\n[evil]'"]


def test_what_it_makes_is_an_inventory_that_is_read_back() -> None:
    labels = {"group/web": "member"}
    done = subprocess.run(
        [sys.executable, "-I", PROGRAM],
        input=json.dumps({"rows": [row("web-01", labels=labels), row("web-02")]}),
        capture_output=True,
        text=True,
        check=True,
    )
    found = convert([("fleet.json", done.stdout)], MACHINE)
    assert isinstance(found, Converted)
    labelled = found.documents["hosts/web-01.yaml"]["labels"]
    assert isinstance(labelled, dict)
    assert labelled["group/web"] == "member"
    assert sorted(path for path in found.documents if path.startswith("hosts/")) == [
        "hosts/web-01.yaml",
        "hosts/web-02.yaml",
    ]
