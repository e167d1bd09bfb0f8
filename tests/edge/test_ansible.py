"""Inventories that are made and read here, and what Ansible itself says of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_ansible_example import PROGRAM, row
from tests.policy.test_from_inventory import GROUPS, INI, YAML

ANSIBLE = Path(sys.executable).with_name("ansible-inventory")


def read(inventory: Path) -> tuple[dict[str, set[str]], dict[str, object]]:
    """Return the groups of each host but those of all, and the variables, by Ansible's own reading."""
    done = subprocess.run(
        [ANSIBLE, "-i", inventory, "--list"],
        env={"HOME": str(inventory.parent), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Failed to parse" not in done.stderr
    told = json.loads(done.stdout)
    groups: dict[str, set[str]] = {}
    todo = [("all", frozenset[str]())]
    while todo:
        name, above = todo.pop()
        here = (above | {name}) - {"all", "ungrouped"}
        for host in told.get(name, {}).get("hosts", ()):
            groups.setdefault(host, set()).update(here)
        todo += [(below, here) for below in told.get(name, {}).get("children", ())]
    return groups, told["_meta"]["hostvars"]


@pytest.mark.parametrize(("name", "text"), [("hosts", INI), ("hosts.yml", YAML)])
def test_hosts_and_groups_are_those_that_ansible_reads(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read(tmp_path / name)[0] == {host: set(groups) for host, groups in GROUPS.items()}


def test_ansible_reads_what_the_example_makes_and_runs_nothing_of_it(tmp_path: Path) -> None:
    evil = f"{{{{ lookup('pipe', 'touch {tmp_path}/here') }}}}"
    rows = [
        row("web-01", labels={"env": "production", "group/web": "member"}),
        row("db-01", state="silent", os=evil, labels={"x": evil}, heard=evil),
    ]
    done = subprocess.run(
        [sys.executable, "-I", PROGRAM],
        input=json.dumps({"rows": rows}),
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / "fleet.json").write_text(done.stdout, encoding="utf-8")
    groups, variables = read(tmp_path / "fleet.json")
    assert groups["web-01"] == {"state_fine", "manager_apt", "os_debian_12", "label_env_production", "web"}
    assert {"state_silent", "manager_apt"} < groups["db-01"]
    told = variables["web-01"]
    assert isinstance(told, dict)
    assert (told["patchledger_state"], told["patchledger_pending"]) == ("fine", 3)
    assert "lookup" not in str(variables)
    assert not (tmp_path / "here").exists()
