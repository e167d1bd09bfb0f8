"""``patchledger guests`` on a node whose guests really run, and the commands that enter them.

Each test leaves the node as it was.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.showing.interfaces import schema
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.planning.facts.guests import Guest, GuestKind, Running
from reconciler.reconcile.ports.policies import Fetched
from reconciler.transports import lxc, proxmox
from tests.e2e.site import git
from tests.labs.guests import LAB, REPOSITORY, GuestLab, Made
from tests.policy.trees import MIDNIGHT

CONFIG = "host: pve1\npolicy: {remote: /srv/policy.git}\nguests: {from: [proxmox]}\n"

# Says on standard error what a program starts.
AUDITED = """\
import sys
def told(event, args):
    if event in {"subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system"}:
        sys.stderr.write(f"started: {args}\\n")
sys.addaudithook(told)
from reconciler.cli import main
sys.exit(main(sys.argv[1:]))
"""


def ask(node: GuestLab, *options: str, config: str = CONFIG, may_start: str = "") -> str:
    """Return what ``patchledger guests`` prints on the node; it must start nothing but this."""
    node.write(f"{LAB}/config.yaml", config)
    node.run("chmod", "600", f"{LAB}/config.yaml")
    argv = ("--config", f"{LAB}/config.yaml", "guests", *options)
    done = node.run("env", "-C", str(REPOSITORY), sys.executable, "-c", AUDITED, *argv)
    lines = done.splitlines(keepends=True)
    started = [line for line in lines if line.startswith("started:")]
    assert [line for line in started if not may_start or may_start not in line] == []
    return "".join(line for line in lines if line not in started)


def listed(node: GuestLab, config: str = CONFIG) -> dict[str, Any]:
    told = json.loads(ask(node, "--format", "json", config=config))
    Draft202012Validator(schema("guests")).validate(told)
    return {guest["id"]: guest for guest in told["guests"]}


def fates(node: GuestLab, config: str = CONFIG) -> dict[str, str]:
    return {number: guest["left_out"] for number, guest in listed(node, config).items()}


@contextmanager
def put(node: GuestLab, path: str, text: str) -> Iterator[None]:
    node.write(path, text)
    yield
    node.run("rm", path)


USUAL = {"201": "", "202": "it is stopped", "203": "it is a template", "204": ""}


def test_four_guests(node: GuestLab) -> None:
    before = node.calls()
    assert ask(node) == (
        "pve1: 4 guests, 2 looked after.\n"
        "Id   Kind     Name    State     Labels                                  Why not\n"
        "201  proxmox  web     running   env-prod=true, guest=proxmox, web=true\n"
        "202  proxmox  db      stopped   db=true, guest=proxmox                  it is stopped\n"
        "203  proxmox  tmpl    template  guest=proxmox                           it is a template\n"
        "204  proxmox  unpriv  running   guest=proxmox\n"
    )
    assert fates(node) == USUAL
    assert node.calls() == before


def test_one_that_is_frozen(node: GuestLab) -> None:
    node.run("lxc-freeze", "-n", "204")
    try:
        assert fates(node) == {**USUAL, "204": "it is frozen"}
    finally:
        node.run("lxc-unfreeze", "-n", "204")
    assert fates(node) == USUAL


def test_a_lock_counts_and_what_a_snapshot_says_of_its_own_time_does_not(node: GuestLab) -> None:
    node.run("pct", "set", "201", "--lock", "backup")
    assert fates(node) == {**USUAL, "201": "it is locked (backup)"}
    node.run("pct", "unlock", "201")
    node.run("pct", "set", "204", "--tags", "No-Patch")
    node.run("pct", "snapshot", "204", "before", "--description", "template: 1")
    node.run("pct", "set", "204", "--delete", "tags")
    config = CONFIG.replace("]}", "], except: {tags: no-patch}}")
    try:
        assert "tags: no-patch" in node.run("cat", "/etc/pve/lxc/204.conf")
        assert fates(node, config) == USUAL
    finally:
        node.run("pct", "delsnapshot", "204", "before")


def test_guests_of_other_kinds_and_odd_configurations(node: GuestLab) -> None:
    odd = "hostname: M\u00fcllers Server\nnonsense\ntags: _x;ok\n\n[s1]\nlock: backup\n"
    with (
        put(node, "/etc/pve/lxc/205.conf", odd),
        put(node, "/etc/pve/lxc/206.conf", "hostname: web\nentrypoint: /usr/bin/nginx\n"),
        put(node, "/etc/pve/qemu-server/200.conf", "name: win\n"),
        put(node, "/etc/pve/nodes/pve2/lxc/210.conf", "hostname: far\n"),
    ):
        config = CONFIG.replace("]}", ', lxc], labels: {"210": {}, "299": {}, "205": {ok: "no"}}}')
        found = listed(node, config)
        shown = ask(node, config=config)
    assert {number: guest["left_out"] for number, guest in found.items()} == {
        **USUAL,
        "200": "it is a virtual machine: it needs its own patchledger",
        "205": "it is stopped",
        "206": "it is an application container: it needs its own patchledger",
        "210": "it is on pve2",
        "299": "it is not there",
    }
    assert (found["205"]["name"], found["205"]["labels"]) == (
        "M\u00fcllers Server",
        {"ok": "no", "guest": "proxmox"},
    )
    assert "205: line 2 is no setting: nonsense\n" in shown
    assert "205: tag _x is no label's name\n" in shown


def test_policies_that_would_apply_to_guests_by_accident_are_named(node: GuestLab, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    (policy / "policies").mkdir(parents=True)
    (policy / "policies" / "p.yaml").write_text(
        "kind: Policy\nname: all\nmatch: {name: 'w*'}\naction: apply\n---\n"
        "kind: Policy\nname: meant\nmatch: {guest_of: pve1}\nschedule: night\n---\n"
        "kind: Policy\nname: prod\nmatch: {labels: {env-prod: 'true'}, os: debian}\n"
    )
    (policy / "schedules").mkdir()
    (policy / "schedules" / "s.yaml").write_text(MIDNIGHT)
    git(tmp_path, "init", "-q", "-b", "main", "policy")
    git(policy, "add", "-A")
    git(policy, "commit", "-q", "-m", "policy")
    mirror = PolicyMirror(tmp_path / "state" / "policy.git", str(policy), "main")
    fetched = mirror.fetch(timeout=30, now=datetime(2026, 11, 30, tzinfo=UTC))
    assert isinstance(fetched, Fetched)
    mirror.accept(fetched.head)
    config = f"{CONFIG}state_dir: {tmp_path}/state\n"
    shown = ask(node, config=config, may_start="git")
    at = f"policies/p.yaml:1@{fetched.head[:12]}"
    assert f"Policy all ({at}) says nothing of guests, and would apply to 201\n" in shown
    assert "Policy prod " in shown
    assert "Policy meant" not in shown
    one = json.loads(ask(node, "--target", "web", "--format", "json", config=config, may_start="git"))
    assert [guest["id"] for guest in one["guests"]] == ["201"]
    argv = (
        "--config",
        f"{LAB}/config.yaml",
        "windows",
        "--target",
        "web",
        "--count",
        "1",
        "--format",
        "json",
    )
    opens = node.run("env", "-C", str(REPOSITORY), sys.executable, "-m", "reconciler", *argv)
    assert '"schedule": "night"' in opens
    assert "nothing in guests" not in opens, "its windows are used: they are those of its runs"
    assert "documents that match on os are left out unless --os says it" in opens
    drawn = node.run(
        *("env", "-C", str(REPOSITORY), sys.executable, "-m", "reconciler", "--config"),
        *(f"{LAB}/config.yaml", "windows", "--target", "201", "--month", "2026-12"),
    )
    assert "\npve1/201  " in drawn
    told = json.loads(ask(node, "--format", "json", config=config, may_start="git"))
    Draft202012Validator(schema("guests")).validate(told)
    assert [(one["name"], one["guests"]) for one in told["unmeant"]] == [("all", ["201"]), ("prod", ["201"])]


def test_a_node_without_its_cluster_says_so(node: GuestLab) -> None:
    node.run("mv", "/etc/pve", "/etc/pve.away")
    try:
        with pytest.raises(AssertionError) as caught:
            ask(node)
    finally:
        node.run("mv", "/etc/pve.away", "/etc/pve")
    code, said = str(caught.value).rpartition("guests: ")[2].split("\n", 1)
    assert code == "1"
    assert "/etc/pve has no folder lxc: pve-cluster.service does not run" in said


def test_twenty_guests_cost_no_process(node: GuestLab) -> None:
    more = [
        Made(str(number), f"g{number}", is_started=True, init="/bin/sleep infinity")
        for number in range(301, 317)
    ]
    try:
        for guest in more:
            node.make(guest)
        found = fates(node)  # which sees to it that nothing is started
        assert len(found) == 20
        assert sum(not why for why in found.values()) == 18
    finally:
        for guest in more:
            node.run("pct", "stop", guest.id, check=False)
            node.run("rm", "-f", f"/etc/pve/lxc/{guest.id}.conf")


@pytest.mark.parametrize("number", ["201", "204"])
@pytest.mark.parametrize(
    ("kind", "enter"), [(GuestKind.PROXMOX, proxmox.entering), (GuestKind.LXC, lxc.entering)]
)
def test_the_way_in_leads_into_the_guest_that_is_meant(
    node: GuestLab, kind: GuestKind, enter: Any, number: str
) -> None:
    guest = Guest(number, kind, number, Running())
    name = {"201": "web", "204": "unpriv"}[number]
    said = node.run(
        *enter(guest, ("sh", "-c", 'cat /etc/hostname; readlink /proc/self/ns/pid; exit "$1"', "x", "0"))
    )
    assert said.splitlines()[0] == name
    assert said.splitlines()[1] != node.run("readlink", "/proc/self/ns/pid").strip()
    ended = node.run("sh", "-c", '"$@"; echo $?', "sh", *enter(guest, ("sh", "-c", "exit 42")))
    assert ended.strip() == "42"


def test_the_way_into_one_that_is_stopped_leads_nowhere(node: GuestLab) -> None:
    inner = ("touch", f"{LAB}/touched")
    said = node.run(*proxmox.entering(Guest("202", GuestKind.PROXMOX, "db", Running()), inner), check=False)
    assert said == "container '202' not running!\n"
    assert not (node.folder / "touched").exists()
