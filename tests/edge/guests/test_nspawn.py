"""Containers of systemd-nspawn that really run, beneath a systemd and a systemd-machined of their own."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from reconciler.planning.facts.exit_codes import WELL
from reconciler.planning.facts.guests import Guest, GuestKind, Running
from reconciler.transports import nspawn
from tests.edge.guests.conftest import PACKAGES, SET_UP, UPDATE, make_repository
from tests.labs.hypervisor import SECRETS, UNIT, Hypervisor
from tests.labs.machine import INSIDE, LAB, PATIENCE, Machine
from tests.labs.roots import guest_root

CONFIG = "host: nspawn1\npolicy: {remote: /srv/policy.git}\nguests: {from: nspawn}\n"
# Without a network, which the machine has none of, and without other users.
ROOT = "/var/lib/machines/web-1"
SETTINGS = "[Exec]\nPrivateUsers=no\n[Network]\nVirtualEthernet=no\n"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine with an image that does not run, a container of machinectl(1), and one started by hand."""
    files = {"etc/patchledger/config.yaml": CONFIG, "etc/systemd/nspawn/web-1.nspawn": SETTINGS}
    with Machine.booted(files, {"/opt/roots": guest_root().parent}) as made:
        made.run("mkdir", "-p", "/var/lib/machines/db", "/var/lib/machines/web-1")
        made.run("tar", "-C", "/var/lib/machines/web-1", "-xf", f"/opt/roots/{guest_root().name}")
        make_repository(made.lab / "repository")
        made.run("cp", "-R", f"{LAB}/repository", f"{ROOT}/srv/repository")
        made.run("machinectl", "start", "web-1")
        by_hand = (
            "--quiet",
            "--boot",
            "--machine=web-2",
            "--ephemeral",
            "--link-journal=no",
            "--notify-ready=yes",
        )
        made.run(
            *("systemd-run", "--quiet", "--collect", "--service-type=notify", "--property=NotifyAccess=all"),
            *("systemd-nspawn", *by_hand, "--directory=/var/lib/machines/web-1"),
        )
        yield made


def listed(machine: Machine) -> dict[str, Any]:
    told = machine.run(
        *("env", "-C", INSIDE, f"{INSIDE}/.venv/bin/python", "-m", "reconciler", "guests", "--format", "json")
    )
    return {guest["id"]: guest for guest in json.loads(told)["guests"]}


def test_machines_and_images(machine: Machine) -> None:
    found = listed(machine)
    assert {name: (one["kind"], one["left_out"]) for name, one in found.items()} == {
        "db": ("nspawn", "it is stopped"),
        "web-1": ("nspawn", ""),
        "web-2": ("nspawn", ""),
    }


@pytest.mark.parametrize(
    ("name", "unit"), [("web-1", "systemd-nspawn@web-1.service"), ("web-2", r"machine-web\x2d2.scope")]
)
def test_one_that_is_frozen(machine: Machine, name: str, unit: str) -> None:
    machine.run("systemctl", "freeze", unit)
    try:
        assert listed(machine)[name]["left_out"] == "it is frozen"
    finally:
        machine.run("systemctl", "thaw", unit)
    assert listed(machine)[name]["left_out"] == ""


def test_the_way_in_leads_into_the_guest_that_is_meant(machine: Machine) -> None:
    for name in ("web-1", "web-2"):
        guest = Guest(name, GuestKind.NSPAWN, name, Running())
        inner = ("sh", "-c", 'readlink /proc/self/ns/pid; x=$1; echo "$x"; exit "${2}"', "sh", "$HOME a", "0")
        own, said = machine.run(*nspawn.entering(guest, inner)).splitlines()
        assert own != machine.run("readlink", "/proc/self/ns/pid").strip()
        leader = machine.run("machinectl", "show", "--property=Leader", "--value", name).strip()
        assert own == machine.run("readlink", f"/proc/{leader}/ns/pid").strip()
        assert said == "$HOME a"
        ending = nspawn.entering(guest, ("sh", "-c", "exit 42"))
        assert machine.run("sh", "-c", '"$@"; echo $?', "sh", *ending).strip() == "42"


# --- what is done in one, from the sandbox of the unit of a tick --------------------------------------------

RUNS = "/var/lib/lab/runs"


class Sandboxed:
    """What patchledger does in the guest, as its own unit would."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def begin(self, name: str, verb: str, *args: str, waits: bool = True) -> None:
        """Begin something as a unit of a name, or do it."""
        program = f"{INSIDE}/.venv/bin/python -m tests.labs.acting nspawn web-1 {verb} {' '.join(args)}"
        text = re.sub("(?m)^ExecStart=.*$", f"ExecStart={program}", UNIT)
        told = f"[Service]\nWorkingDirectory={INSIDE}\nStandardOutput=truncate:/var/lib/lab/{name}.json\n"
        self.machine.run("mkdir", "-p", f"{RUNS}/{name}")
        self.machine.put_unit(f"{name}.service", f"{text}\n{told}")
        self.machine.run("systemctl", "start", *(() if waits else ("--no-block",)), f"{name}.service")

    def __call__(self, name: str, verb: str, *args: str) -> Any:
        """Do something, and return what came of it."""
        self.begin(name, verb, *args)
        return json.loads(self.machine.run("cat", f"/var/lib/lab/{name}.json"))

    def inside(self, text: str) -> str:
        """Run a line of shell in the guest, behind patchledger's back."""
        guest = Guest("web-1", GuestKind.NSPAWN, "web-1", Running())
        return self.machine.run(*nspawn.entering(guest, ("sh", "-c", text)))

    def services(self) -> list[str]:
        """Return the services of ours that are there."""
        listed = self.machine.run(
            "systemctl", "list-units", "--all", "--plain", "--no-legend", "patchledger-*"
        )
        return [line.split()[0] for line in listed.splitlines()]


@pytest.fixture(scope="module")
def sandboxed(machine: Machine) -> Sandboxed:
    made = Sandboxed(machine)
    made.inside(SET_UP)
    return made


def version(sandboxed: Sandboxed) -> str:
    return sandboxed.inside("dpkg-query -W -f '${db:Status-Abbrev}${Version}' labapp")


def test_it_is_observed_from_the_sandbox_and_no_service_stays(sandboxed: Sandboxed) -> None:
    seen = sandboxed("observing", "observe")
    assert {offer["name"]: offer["candidate"] for offer in seen["offers"]} == {"labapp": "1.1"}
    assert seen["facts"]["machine_id"] == sandboxed.inside("cat /etc/machine-id").strip()
    assert sandboxed("refreshing", "refresh")["outcome"] == "refreshed"
    assert sandboxed.services() == []


def test_one_that_never_answers_is_ended_and_no_service_stays(sandboxed: Sandboxed) -> None:
    text = "'sleep 4714 & setsid sleep 4714 & sleep 4714'"
    assert sandboxed("silent", "shell", "2", text)["timed_out"]
    assert sandboxed.services() == []
    assert "4714" not in sandboxed.machine.run("ps", "ax")


def test_one_that_freezes_meanwhile_holds_nobody_up(sandboxed: Sandboxed) -> None:
    sandboxed.begin("freezing", "shell", "6", "'sleep 4715'", waits=False)
    waits = "until pgrep -f '^sleep 4715'; do sleep 0.1; done"
    sandboxed.machine.run("timeout", "60", "sh", "-c", waits)
    sandboxed.machine.run("systemctl", "freeze", "systemd-nspawn@web-1.service")
    try:
        sandboxed.machine.run("systemctl", "start", "freezing.service")  # waits for the one at work
        told = json.loads(sandboxed.machine.run("cat", "/var/lib/lab/freezing.json"))
        assert told["reason"] == "GuestFrozen"
        assert sandboxed.services() == []
        assert "sleep 4715" not in sandboxed.machine.run("ps", "ax")
    finally:
        sandboxed.machine.run("systemctl", "thaw", "systemd-nspawn@web-1.service")


def is_to_wait(sandboxed: Sandboxed) -> None:
    sandboxed.inside("rm -f /srv/reached /srv/go; mkfifo /srv/reached /srv/go")


def test_work_is_seen_from_the_sandbox_when_all_that_began_it_is_gone(sandboxed: Sandboxed) -> None:
    is_to_wait(sandboxed)
    sandboxed.begin("alone", "apply", f"{RUNS}/alone", UPDATE, waits=False)
    sandboxed.machine.run("timeout", "120", "cat", f"{ROOT}/srv/reached")
    sandboxed.machine.run("systemctl", "kill", "--signal=KILL", "alone.service", *sandboxed.services())
    gone = f"while kill -0 $(cut -d ' ' -f 1 {RUNS}/alone/process); do sleep 0.1; done"
    sandboxed.machine.run("timeout", "60", "sh", "-c", gone)
    assert sandboxed("asking-3", "at-work", f"{RUNS}/alone") is True
    sandboxed.machine.run("timeout", "120", "sh", "-c", f"echo go >{ROOT}/srv/go")
    again = [True]
    while again[-1]:
        again.append(sandboxed("asking-4", "at-work", f"{RUNS}/alone"))
        assert len(again) < 200
    assert version(sandboxed) == "ii 1.1"
    sandboxed.inside("rm -f /srv/reached /srv/go; dpkg -i /srv/repository/labapp_1.0_all.deb")


def test_a_transaction_outlives_the_unit_that_began_it(sandboxed: Sandboxed) -> None:
    is_to_wait(sandboxed)
    sandboxed.begin("killed", "apply", f"{RUNS}/killed", UPDATE, waits=False)
    sandboxed.machine.run("timeout", "120", "cat", f"{ROOT}/srv/reached")
    sandboxed.machine.run("systemctl", "kill", "--signal=KILL", "killed.service")
    assert sandboxed("asking-1", "at-work", f"{RUNS}/killed") is True
    assert len(sandboxed.services()) == 1
    sandboxed.machine.run("timeout", "120", "sh", "-c", f"echo go >{ROOT}/srv/go")
    ends = f"while systemctl is-active {sandboxed.services()[0]} | grep -q activating; do sleep 0.1; done"
    sandboxed.machine.run("timeout", "120", "sh", "-c", ends)
    assert sandboxed("asking-2", "at-work", f"{RUNS}/killed") is False
    came = sandboxed("reading", "result", f"{RUNS}/killed")
    assert (came["is_finished"], came["exit_code"] in WELL, version(sandboxed)) == (True, True, "ii 1.1")
    assert "Setting up labapp (1.1)" in sandboxed.machine.run("cat", f"{RUNS}/killed/err")
    sandboxed.inside("rm -f /srv/reached /srv/go; dpkg -i /srv/repository/labapp_1.0_all.deb")


def test_one_that_stops_in_the_middle_is_told_and_made_whole_afterwards(sandboxed: Sandboxed) -> None:
    machine = sandboxed.machine
    is_to_wait(sandboxed)
    sandboxed.begin("stopped", "apply", f"{RUNS}/stopped", UPDATE, waits=False)
    machine.run("timeout", "120", "cat", f"{ROOT}/srv/reached")
    machine.run("systemctl", "kill", "--signal=KILL", "systemd-nspawn@web-1.service")
    machine.run("systemctl", "start", "stopped.service")  # waits for the one at work
    came = json.loads(machine.run("cat", "/var/lib/lab/stopped.json"))
    assert not came.get("is_finished")
    assert "postinst waits" in machine.run("cat", f"{RUNS}/stopped/err")
    assert sandboxed("asking-5", "at-work", f"{RUNS}/stopped") is False
    assert sandboxed("looking", "observe")["reason"] == "GuestStopped"
    machine.run("rm", f"{ROOT}/srv/reached", f"{ROOT}/srv/go")
    machine.run("machinectl", "start", "web-1")
    assert sandboxed("looking-again", "observe")["health"]["interrupted"]
    assert sandboxed("repairing", "repair", f"{RUNS}/repairing", UPDATE)["exit_code"] in WELL
    assert version(sandboxed) == "ii 1.1"
    sandboxed.inside("dpkg -i /srv/repository/labapp_1.0_all.deb")


def test_its_ports_are_asked_from_the_sandbox(sandboxed: Sandboxed) -> None:
    told = sandboxed("asking-ports", "health", "nspawn", "'tcp 127.0.0.1:4716'")
    assert told == {"tcp 127.0.0.1:4716": [False, "Connection refused"]}
    assert sandboxed.services() == []


def test_it_is_restarted_from_the_sandbox_and_waited_for(sandboxed: Sandboxed) -> None:
    sandboxed.inside("touch /run/before")
    came = sandboxed("restarting", "restart", "nspawn", f"{RUNS}/restarting")
    assert came["before"] != came["after"]
    assert sandboxed.inside("ls /run/before || echo gone").strip().endswith("gone")
    assert sandboxed.services() == []


# --- a whole tick, as its unit makes it ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def hypervisor(sandboxed: Sandboxed) -> Hypervisor:
    machine = sandboxed.machine
    python = f"{INSIDE}/.venv/bin/python"
    made = Hypervisor(machine, "nspawn1", python, lambda _, text: sandboxed.inside(text))
    made.prepare("nspawn", {"only": {"ids": ["web-1"]}})
    code, said = made.run()
    assert code == 0, said
    assert made.rows()["web-1"][0] == "pending"
    return made


def test_a_tick_applies_in_it_and_gives_it_no_secret(hypervisor: Hypervisor, sandboxed: Sandboxed) -> None:
    hypervisor.is_to_wait("web-1")
    hypervisor.begin()
    hypervisor.reaches(ROOT)
    environments = sandboxed.inside("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>&1 | tr '\\0' '\\n'")
    hypervisor.go_on(ROOT)
    assert "PATCHLEDGER_EXECUTION" in environments
    assert not [one for one in (*SECRETS, "TOKEN", "CREDENTIALS_DIRECTORY") if one in environments]
    code, said = hypervisor.ended()
    assert (code, version(sandboxed)) == (0, "ii 1.1"), said
    assert hypervisor.rows()["web-1"] == ("fine", "up to date")
    assert sandboxed.services() == []
    sandboxed.inside("rm -f /srv/reached /srv/go; dpkg -i /srv/repository/labapp_1.0_all.deb")


def test_a_tick_is_quiet_until_something_shows_from_outside(hypervisor: Hypervisor) -> None:
    machine, unit = hypervisor.machine, "systemd-nspawn@web-1.service"
    for _ in range(2):
        code, said = hypervisor.run()
    assert (code, "and no guest is to be looked at" in said) == (0, True), said
    machine.run("systemctl", "freeze", unit)
    try:
        assert hypervisor.run()[0] == 0
        assert hypervisor.rows()["web-1"] == ("skipped", "it is frozen")
    finally:
        machine.run("systemctl", "thaw", unit)
    code, said = hypervisor.run()
    assert (code, "nothing changed" in said) == (0, False), said
    assert hypervisor.rows()["web-1"][0] != "skipped"
    # As it applied what was put back by the test before.
    hypervisor.inside("web-1", "dpkg -i /srv/repository/labapp_1.0_all.deb")


def test_a_tick_that_is_killed_leaves_its_work_to_the_next(
    hypervisor: Hypervisor, sandboxed: Sandboxed
) -> None:
    hypervisor.is_to_wait("web-1")
    hypervisor.begin()
    hypervisor.reaches(ROOT)
    hypervisor.machine.run("systemctl", "kill", "--signal=KILL", *sandboxed.services())
    hypervisor.kill()
    code, said = hypervisor.run()
    assert "guest web-1: the package manager of run " in said
    assert "is still at work" in said
    hypervisor.go_on(ROOT)
    code, said = hypervisor.until_done()
    # What heard the package manager was killed as well, so nobody knows what it said.
    assert "web-1: interrupted, 1 of 1 change made\n" in said
    assert (code, version(sandboxed)) == (1, "ii 1.1"), said
    assert hypervisor.runs("web-1")[-1]["outcome"] == "interrupted"
    assert hypervisor.run()[0] == 0
    sandboxed.inside("rm -f /srv/reached /srv/go; dpkg -i /srv/repository/labapp_1.0_all.deb")


def test_a_guest_that_is_killed_beneath_a_tick(hypervisor: Hypervisor, sandboxed: Sandboxed) -> None:
    machine = hypervisor.machine
    hypervisor.is_to_wait("web-1")
    hypervisor.begin()
    hypervisor.reaches(ROOT)
    machine.run("systemctl", "kill", "--signal=KILL", "systemd-nspawn@web-1.service")
    code, said = hypervisor.ended()
    assert code not in (0, 70), said
    code, said = hypervisor.run()
    unfinished = "it is stopped; a run in it is to be brought to its end"
    assert (code, hypervisor.rows()["web-1"]) == (0, ("skipped", unfinished)), said
    machine.run("rm", f"{ROOT}/srv/reached", f"{ROOT}/srv/go")
    machine.run("machinectl", "start", "web-1")
    code, said = hypervisor.run()
    assert "interrupted" in said
    assert version(sandboxed) == "ii 1.1"
    sandboxed.inside("dpkg -i /srv/repository/labapp_1.0_all.deb")


def test_a_shutdown_waits_for_what_works_in_a_guest(hypervisor: Hypervisor, sandboxed: Sandboxed) -> None:
    """The last, since the guest does not start again by itself."""
    machine = sandboxed.machine
    # Another update, since what came to a bad end before is left alone.
    make_repository(machine.lab / "newer", (replace(PACKAGES[1], version="1.2"),))
    machine.run("sh", "-c", f"cp {LAB}/newer/* {ROOT}/srv/repository/")
    sandboxed.inside("apt-get -q update")
    hypervisor.is_to_wait("web-1")
    hypervisor.begin()
    hypervisor.reaches(ROOT)
    (unit,) = sandboxed.services()
    machine.run("systemctl", "--no-block", "reboot")
    states = (machine.run("systemctl", "is-active", unit, check=False).strip() for _ in range(1000))
    assert "deactivating" in states, "the shutdown has come to it"
    assert (
        machine.run("systemctl", "is-active", "systemd-nspawn@web-1.service", check=False).strip() == "active"
    )
    machine.run("timeout", str(PATIENCE / 2), "sh", "-c", f"echo go >{ROOT}/srv/go")
    machine.wait_until_booted()
    status = machine.run("cat", f"{ROOT}/var/lib/dpkg/status")
    (labapp,) = re.findall(r"Package: labapp\nStatus: (.*)(?:\n.+)*\nVersion: (.*)", status)
    assert labapp == ("install ok installed", "1.2")
    machine.run("machinectl", "start", "web-1")
    code, said = hypervisor.run()
    assert code == 0, said
    assert hypervisor.runs("web-1")[-1]["outcome"] == "applied"
