"""Incus 6.0 as Debian 13 has it, in a booted machine: whole ticks look after its containers.

One of them is privileged, as one that was made for a program that wants to be root; one is not, which is what
Incus makes unless it is told otherwise.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.edge.guests.conftest import SET_UP, make_repository
from tests.labs.hypervisor import Hypervisor
from tests.labs.machine import INSIDE, LAB, Machine
from tests.labs.roots import guest_root, incus_root

PRESEED = (
    "{storage_pools: [{name: default, driver: dir}],"
    " profiles: [{name: default, devices: {root: {path: /, pool: default, type: disk}}}]}"
)
IMAGE = f"""
cd /tmp
printf 'architecture: %s\\ncreation_date: 1700000000\\n' "$(uname -m)" >metadata.yaml
tar -cf metadata.tar metadata.yaml
incus image import metadata.tar /opt/roots/{guest_root().name} --alias debian
"""
MAKE = f"""
name=$1; shift
incus init debian "$name" "$@"
incus file push -rpq {LAB}/repository "$name/srv/"
"""


def inside(machine: Machine, guest: str, text: str) -> str:
    return machine.run("incus", "exec", guest, "--mode=non-interactive", "--", "sh", "-c", text)


def root(guest: str) -> str:
    return f"/var/lib/incus/storage-pools/default/containers/{guest}/rootfs"


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[Hypervisor]:
    """One of whose containers are two that run, a stopped one, and one without a package manager."""
    with Machine.booted({}, {"/opt/roots": guest_root().parent}, incus_root()) as machine:
        machine.run("ln", "-sf", machine.python, "/usr/bin/python3")  # what a virtual environment leads to
        machine.run("systemctl", "start", "incus.socket", "incus.service")
        machine.run("incus", "admin", "init", "--preseed", stdin=PRESEED)
        machine.run("sh", "-euc", IMAGE)
        make_repository(machine.lab / "repository")
        for name, *options in (("web", "-c", "security.privileged=true"), ("db",), ("old",)):
            machine.run("sh", "-euc", MAKE, "sh", name, *options)
        for name in ("web", "db"):
            machine.run("incus", "start", name)
            inside(machine, name, SET_UP)
        made = Hypervisor(
            machine,
            "incus1",
            f"{INSIDE}/.venv/bin/python",
            lambda guest, text: inside(machine, guest, text),
        )
        made.prepare("incus")
        code, said = made.run()
        assert code == 0, said
        yield made


def as_before(hypervisor: Hypervisor) -> None:
    for name in ("web", "db"):
        hypervisor.inside(name, "rm -f /srv/reached /srv/go; dpkg -i /srv/repository/labapp_1.0_all.deb")


def test_each_is_looked_at_and_the_one_that_is_stopped_is_a_row(hypervisor: Hypervisor) -> None:
    code, said = hypervisor.run("guests")
    assert code == 0, said
    hypervisor.policy(timedelta(hours=5))
    code, said = hypervisor.run()
    assert code == 0, said
    rows = hypervisor.rows()
    assert rows.pop("old") == ("skipped", "it is stopped")
    assert {name: outcome for name, (outcome, _) in rows.items()} == {"db": "pending", "web": "pending"}
    for name in rows:
        report = hypervisor.report(f"guests/incus1/{name}")
        assert [one["name"] for one in report["plan"]["transaction"]] == ["labapp"]
        machine_id = hypervisor.inside(name, "cat /etc/machine-id").strip()
        assert report["host"]["facts"]["machine_id"] == machine_id
    assert hypervisor.services() == []


def test_its_own_metadata_are_read_anew_beneath_the_systemd_of_debian_13(hypervisor: Hypervisor) -> None:
    report = hypervisor.report("hosts/incus1")
    assert "MetadataStale" not in [one["type"] for one in report["conditions"]], report


def test_they_are_patched_in_the_window(hypervisor: Hypervisor) -> None:
    hypervisor.policy()
    code, said = hypervisor.run()
    assert code == 0, said
    assert (hypervisor.version("web"), hypervisor.version("db")) == ("ii 1.1", "ii 1.1")
    assert {name: row[0] for name, row in hypervisor.rows().items()} == {
        "db": "fine",
        "old": "skipped",
        "web": "fine",
    }
    assert hypervisor.runs("db")[-1]["outcome"] == "applied"


def test_a_tick_is_quiet_until_something_shows_from_outside(hypervisor: Hypervisor) -> None:
    for _ in range(2):
        code, said = hypervisor.run()
    assert (code, "and no guest is to be looked at" in said) == (0, True), said
    hypervisor.machine.run("incus", "pause", "db")
    try:
        assert hypervisor.run()[0] == 0
        assert hypervisor.rows()["db"] == ("skipped", "it is frozen")
    finally:
        hypervisor.machine.run("incus", "start", "db")
    code, said = hypervisor.run()
    assert (code, hypervisor.rows()["db"]) == (0, ("fine", "up to date")), said


@pytest.mark.parametrize("killed", ["client", "run"])
def test_work_goes_on_when_what_began_it_is_killed(hypervisor: Hypervisor, killed: str) -> None:
    as_before(hypervisor)
    hypervisor.is_to_wait("web")
    hypervisor.begin()
    hypervisor.reaches(root("web"))
    if killed == "client":
        hypervisor.machine.run("pkill", "-KILL", "--full", "^incus exec web ")
        hypervisor.go_on(root("web"))
        code, said = hypervisor.ended()
    else:
        hypervisor.kill()
        code, said = hypervisor.run()
        assert "guest web: the package manager of run " in said
        assert "is still at work" in said
        assert hypervisor.version("db") == "ii 1.1", "it costs the others nothing"
        hypervisor.go_on(root("web"))
        code, said = hypervisor.until_done()
    assert (code, hypervisor.version("web")) == (0, "ii 1.1"), said
    assert "web: applied 1 change\n" in said
    assert hypervisor.runs("web")[-1]["outcome"] == "applied"
    assert hypervisor.rows()["web"] == ("fine", "up to date")
    assert hypervisor.services() == []


def test_one_that_is_stopped_in_the_middle_is_made_whole_when_it_runs(hypervisor: Hypervisor) -> None:
    as_before(hypervisor)
    hypervisor.is_to_wait("db")
    hypervisor.begin()
    hypervisor.reaches(root("db"))
    hypervisor.machine.run("incus", "stop", "--force", "db")
    try:
        code, said = hypervisor.ended()
        assert code not in (0, 70), said
        assert hypervisor.version("web") == "ii 1.1"
        code, said = hypervisor.run()
        unfinished = "it is stopped; a run in it is to be brought to its end"
        assert (code, hypervisor.rows()["db"]) == (0, ("skipped", unfinished)), said
    finally:
        hypervisor.machine.run("incus", "start", "db")
    hypervisor.inside("db", "rm -f /srv/reached /srv/go")
    code, said = hypervisor.run()
    assert "interrupted" in said
    assert hypervisor.version("db") == "ii 1.1"
    assert hypervisor.run()[0] == 0
    assert hypervisor.rows()["db"] == ("fine", "up to date")
