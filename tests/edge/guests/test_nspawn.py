"""Containers of systemd-nspawn that really run, beneath a systemd and a systemd-machined of their own."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.planning.facts.guests import Guest, GuestKind, Running
from reconciler.transports import nspawn
from tests.labs.guests import base_root
from tests.labs.machine import INSIDE, Machine

CONFIG = "host: nspawn1\npolicy: {remote: /srv/policy.git}\nguests: {from: nspawn}\n"
# Without a network, which the machine has none of, and without other users.
SETTINGS = "[Exec]\nPrivateUsers=no\n[Network]\nVirtualEthernet=no\n"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine with an image that does not run, a container of machinectl(1), and one started by hand."""
    files = {"etc/patchledger/config.yaml": CONFIG, "etc/systemd/nspawn/web-1.nspawn": SETTINGS}
    with Machine.booted(files, {"/opt/roots": base_root().parent}) as made:
        made.run("mkdir", "-p", "/var/lib/machines/db", "/var/lib/machines/web-1")
        made.run("tar", "-C", "/var/lib/machines/web-1", "-xf", f"/opt/roots/{base_root().name}")
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
