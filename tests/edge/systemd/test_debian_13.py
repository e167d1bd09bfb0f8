"""What the unit of a tick allows beneath the systemd of Debian 13, and what its apt says."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.host.install.units import SERVICE, UnitInputs, unit_files
from tests.edge.guests.conftest import make_repository
from tests.labs.machine import INSIDE, LAB, Machine
from tests.labs.roots import incus_root

UNIT = unit_files(UnitInputs(Path("/bin/true"), Path("/etc/config.yaml"), timedelta(hours=1)))[SERVICE]
SOURCE = f"deb [trusted=yes] file:{LAB}/repository ./\n"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine.booted({"etc/apt/sources.list": SOURCE}, archive=incus_root()) as made:
        make_repository(made.lab / "repository")
        yield made


def within_the_unit(machine: Machine, command: str) -> str:
    """Return what a command says that the unit runs in place of a tick."""
    text = re.sub("(?m)^ExecStart=.*$", f"ExecStart={command}", UNIT)
    told = f"[Service]\nReadWritePaths={LAB}\nStandardOutput=truncate:{LAB}/said\nStandardError=inherit\n"
    machine.put_unit("lab.service", f"{text}\n{told}")
    machine.run("systemctl", "start", "lab.service", check=False)
    return (machine.lab / "said").read_text()


def test_metadata_can_be_read_anew(machine: Machine) -> None:
    said = within_the_unit(machine, "apt-get -o APT::Update::Error-Mode=any update")
    assert "E: " not in said
    assert "labapp" in machine.run("apt-cache", "pkgnames")


def test_a_repository_without_what_it_need_not_have_is_read_well(machine: Machine) -> None:
    """Of each form of the translations that a folder of packages does not have, apt 3 says "Err:"."""
    said = machine.run("sh", f"{INSIDE}/scripts/patch/apt-update.sh", "--refresh")
    assert "|Err:" in said
    assert said.endswith("\nexit 0\n"), said


def test_one_that_is_read_in_the_end_is_read_well(machine: Machine) -> None:
    """Where lists are kept compressed, apt says "Err:" of forms that it cannot use."""
    with_lists = ("env", "APT_CONFIG=/etc/compressed")
    machine.run("tee", "/etc/compressed", stdin='Acquire::GzipIndexes "true";\n')
    said = machine.run(*with_lists, "sh", f"{INSIDE}/scripts/patch/apt-update.sh", "--refresh")
    assert said.endswith("\nexit 0\n"), said


def test_one_that_is_not_there_is_still_told(machine: Machine) -> None:
    machine.run("mv", f"{LAB}/repository", f"{LAB}/away")
    try:
        said = machine.run("sh", f"{INSIDE}/scripts/patch/apt-update.sh", "--refresh", check=False)
    finally:
        machine.run("mv", f"{LAB}/away", f"{LAB}/repository")
    assert said.endswith("\nexit 21\n"), said
