"""``--target``: the verbs of a host about one guest and nothing else; and what a tick tells of several.

Each test leaves the node as it was.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.showing.interfaces import schema
from reconciler.cli.wiring.in_guests import FIRST
from tests.e2e.site import git
from tests.edge.guests.conftest import Acting, as_before, version
from tests.edge.guests.test_guests import put
from tests.edge.guests.test_ticks import GUESTS, HOSTS, OPEN, SHUT, Hypervisor
from tests.labs.apt import AptLab


def made(acting: Acting, apt_world: AptLab, folder: Path) -> Hypervisor:
    """Return a hypervisor on the node, with nothing done yet."""
    lab = apt_world.copy(folder / "machine")
    pve = Hypervisor(acting, folder / "pve1", str(folder / "pve1"))
    pve.folder.mkdir()
    git(pve.folder, "init", "-q", "-b", "main", "policy")
    git(pve.folder, "init", "-q", "--bare", "-b", "main", "reports.git")
    pve.configure(lab.environment)
    acting.node.run("sh", "-c", ": >/run/lab/pct.log")
    return pve


@pytest.fixture
def pve(acting: Acting, apt_world: AptLab, tmp_path: Path) -> Iterator[Hypervisor]:
    yield made(acting, apt_world, tmp_path)
    as_before(acting, "201")


def entered(acting: Acting) -> set[str]:
    return {line.split()[1] for line in acting.node.calls() if line.split()[:1] == ["exec"]}


def test_one_guest_from_plan_to_run(pve: Hypervisor, acting: Acting) -> None:
    pve.policy(OPEN)
    code, said = pve.run("plan", "--target", "web", "--check")
    assert (code, pve.branches()) == (4, []), said
    assert "pve1/201: " in said
    assert "labapp" in said

    code, said = pve.run("run", "--target", "pve1/201")
    assert (code, pve.branches()) == (0, ["guests/pve1/201"]), said
    assert FIRST in " ".join(said.split())

    code, said = pve.run("pause", "--target", "web", "--reason", "audit", "--until", "2h")
    assert (code, said.partition(" until ")[0]) == (0, "pve1/201 (web) is paused"), said
    code, said = pve.run("run", "--target", "201")
    assert (code, pve.applied()) == (0, []), said
    assert "audit" in said
    code, said = pve.run("status", "--target", "201")
    assert code == 0, said
    assert said.startswith("pve1/201: ")
    assert "Paused" in said

    code, said = pve.run("resume", "--target", "web")
    assert (code, said.partition(";")[0]) == (0, "pve1/201 (web) goes on"), said
    code, said = pve.run("run", "--target", "201", "--format", "json")
    assert (code, pve.applied(), version(acting, "201")) == (0, ["201"], "ii 1.1"), said
    assert pve.branches() == ["guests/pve1/201"]
    assert git(pve.folder / "reports.git", "ls-tree", "--name-only", "guests/pve1/201", "runs/")
    assert entered(acting) == {"201"}

    code, said = pve.run("log", "last", "--target", "web")
    assert (code, "labapp:all 1.0 → 1.1" in said) == (0, True), said
    assert pve.run("log") == (0, f"No run yet: {pve.seen}/log holds none.\n")
    code, said = pve.run("explain", "labapp", "--target", "web")
    assert (code, "by run " in said) == (0, True), said
    code, said = pve.run("explain", "labapp", "--since", "2026-01-01", "--target", "web")
    assert (code, "labapp:all 1.0 → 1.1: planned" in said) == (0, True), said
    code, said = pve.run("plan", "--target", "web", "--policy-ref", "main")
    assert (code, "by main, and not by" in said, "pve1/201: up to date" in said) == (0, True, True), said
    code, said = pve.run("status", "--target", "201")
    assert (code, said.partition("\n")[0]) == (0, "pve1/201: up to date"), said
    assert "--target 201` shows it" in said
    told = json.loads(pve.run("status", "--target", "201", "--format", "json")[1])
    Draft202012Validator(schema("status")).validate(told)
    assert (told["host"], told["tick"]["state"], told["last_run"]["outcome"]) == (
        "pve1/201",
        "done",
        "applied",
    )


def test_at_once_in_one_guest(pve: Hypervisor, acting: Acting) -> None:
    pve.policy(SHUT)
    assert pve.run()[0] == 0
    code, said = pve.run("run", "--now", "--reason", "CVE", "--target", "201")
    assert (code, pve.applied(), version(acting, "201")) == (0, ["201"], "ii 1.1"), said
    assert version(acting, "204") == "ii 1.0"
    assert "passed over the window by" in pve.run("log", "last", "--target", "201")[1]


def test_guests_that_cannot_be_looked_into(pve: Hypervisor, acting: Acting) -> None:
    pve.policy(OPEN)
    with ExitStack() as more:
        for path, text in {
            "lxc/205.conf": "hostname: app\nentrypoint: /usr/bin/nginx\n",
            "qemu-server/200.conf": "name: win\n",
        }.items():
            more.enter_context(put(acting.node, f"/etc/pve/{path}", text))
        pve.configure({}, {"except": {"ids": ["204"]}, "labels": {"299": {}}})
        asked = ("200", "202", "203", "204", "205", "299", "300")
        told = {number: pve.run("run", "--target", number) for number in asked}
        for number in ("200", "205", "299"):
            assert pve.run("pause", "--target", number, "--reason", "x")[0] == 2
    assert {number: code for number, (code, _) in told.items()} == {
        "202": 5,
        **dict.fromkeys(("200", "203", "204", "205", "299", "300"), 2),
    }
    assert told["202"][1].splitlines() == [
        "patchledger: guest 202: it is stopped",
        "  hint: start it; it is never started for our sake",
    ]
    own = "set patchledger up inside, as on any host"
    assert own in told["200"][1]
    assert own in told["205"][1]
    assert "guest 203: it is a template" in told["203"][1]
    assert "guest 204: guests.except names id 204" in told["204"][1]
    assert "guest 299: it is not there" in told["299"][1]
    assert "pve1 has no guest 300" in told["300"][1]
    assert entered(acting) == set()


def told(pve: Hypervisor) -> list[str]:
    """Return the titles of what waits for a service that does not answer."""
    return [
        json.loads(path.read_bytes())["title"] for path in sorted((pve.folder / "state/outbox").glob("0*"))
    ]


def test_one_incident_of_all_is_one_message_and_ends_once(pve: Hypervisor) -> None:
    address = pve.folder / "ops.url"
    address.write_text("json://127.0.0.1:9/hook\n")
    address.chmod(0o600)
    config = pve.folder / "config.yaml"
    config.write_text(config.read_text() + f'notifiers: {{ops: {{file: "{pve.seen}/ops.url"}}}}\n')
    hears = "notify: [{to: ops, on: [failed, policy-rejected, recovered]}]\n"
    pve.policy(SHUT, hosts=HOSTS + hears, guests=GUESTS + hears)
    assert pve.run()[0] == 0
    assert told(pve) == []
    pve.policy(SHUT, hosts=HOSTS + hears, guests=GUESTS + hears + "updatez: all\n")
    for _ in range(2):
        code, said = pve.run()
        assert code == 3, said
    (rejected,) = told(pve)
    assert rejected == "[patchledger] pve1: policy rejected in 2 guests and pve1"
    pve.policy(SHUT, hosts=HOSTS + hears, guests=GUESTS + hears)
    assert pve.run("run", "--target", "201")[0] == 0
    assert told(pve) == [rejected]
    pve.run()
    assert told(pve) == [rejected, "[patchledger] pve1: recovered in 2 guests and pve1"]


NAMES = {
    "206": "--help",
    "207": "Müllers Server",
    "208": "twin",
    "209": "twin",
    "210": "201",
    "211": "pve1/201",
    "212": "a\x1b]0;x\x07b",
}


def test_hostile_names(pve: Hypervisor, acting: Acting) -> None:
    with ExitStack() as more:
        for number, name in NAMES.items():
            more.enter_context(put(acting.node, f"/etc/pve/lxc/{number}.conf", f"hostname: {name}\n"))

        def paused(target: str) -> str:
            code, said = pve.run("pause", f"--target={target}", "--reason", "x", "--format", "json")
            if code:
                return f"{code} {said.splitlines()[0]}"
            return str(json.loads(said[said.index("{") :])["host"])

        assert paused("--help") == "pve1/206"
        assert paused("Müllers Server") == "pve1/207"
        assert paused("twin") == "2 patchledger: several guests are called twin: 208, 209"
        assert paused("201") == "pve1/201"
        assert paused("pve1/201") == "pve1/201"
        assert paused("pve1") == "pve1"
        code, said = pve.run("status", f"--target={NAMES['212']}")
        assert (code, "pve1/212" in said, "\x1b" in said) == (1, True, False), said
        code, said = pve.run("log", "--target=--help")
        assert (code, said) == (0, f"No run yet: {pve.seen}/log/guests/206 holds none.\n")
        held = sorted(path.parent.name for path in (pve.folder / "state/guests").glob("*/pause.json"))
        assert held == ["201", "206", "207"]
        assert (pve.folder / "state/pause.json").exists()
        assert pve.run("resume", "--target=--help")[1].startswith("pve1/206 (--help) goes on")
