"""One booted machine for all tests, with packages to upgrade and a unit that upgrades them."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.targets.service import unit_name
from tests.labs.apt import Deb, build_deb
from tests.labs.machine import INSIDE, LAB, PATIENCE, Machine

SECRET = "hunter2 $HOME %n"
TICK = """[Service]
Type=oneshot
ExecStart={python} -I -S {inside}/tests/labs/tick.py %i
"""
# Nothing of this may reach a package's scripts.
SANDBOX = """
ProtectSystem=strict
ReadWritePaths=/var/lib/lab /lab
NoNewPrivileges=yes
PrivateTmp=yes
"""

# What the new version's postinst does: restarts who installs it, or waits to be told to go on.
RESTARTS = 'systemctl restart "tick@{}.service"'
WAITS = "echo ready >/lab/{0}.ready && read -r word </lab/{0}.go"
PACKAGES = {
    "alone": RESTARTS.format("service-alone"),
    "caught": RESTARTS.format("child-caught"),
    "killed": WAITS.format("killed"),
    "private": WAITS.format("private"),
    "stopped": WAITS.format("stopped"),
    "unheard": WAITS.format("unheard"),
    "rebooting": WAITS.format("rebooting"),
}


SET_UP = """
systemctl mask packagekit.service # apt's hooks would start it
cp /lab/*.service /etc/systemd/system/
systemctl daemon-reload
mkdir -p /var/lib/lab
rm -rf /etc/apt/sources.list.d/*
apt-get -q update
dpkg -i /lab/repository/*_1.0_all.deb
"""


class Site:
    """The machine and what the tests do with it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def start(self, instance: str) -> None:
        """Start a tick, and wait until the postinst of what it installs is at work."""
        self.machine.run("systemctl", "start", "--no-block", f"tick@{instance}.service")
        self._fifo("cat", instance, "ready")

    def unit(self, instance: str) -> str:
        """Return the name of the transaction's service."""
        return unit_name(Path("/var/lib/lab") / instance)

    def active(self, unit: str) -> str:
        """Return the state of a unit."""
        return self.machine.run("systemctl", "is-active", unit, check=False).strip()

    def wait(self, instance: str) -> None:
        """Wait until nothing is at work for it."""
        folder = f"pathlib.Path('/var/lib/lab/{instance}')"
        self.machine.evaluate(f"import pathlib; from reconciler import launch; launch.wait({folder})")

    def states(self, unit: str) -> Iterator[str]:
        """Return the state of a unit again and again, for something that is about to happen."""
        return (self.active(unit) for _ in range(1000))

    def is_at_work(self, instance: str) -> bool:
        """Ask as the next tick would: another process."""
        folder = f"pathlib.Path('/var/lib/lab/{instance}')"
        target = "from reconciler.targets.service import local_target as t"
        return (
            self.machine.evaluate(f"import pathlib; {target}; print(t({{}}).is_at_work({folder}))") == "True"
        )

    def result(self, instance: str) -> dict[str, object]:
        """Read back what came of it."""
        reads = (
            "import json, pathlib, dataclasses; from reconciler.managers.executed import read_execution as r"
        )
        text = f"json.dumps(dataclasses.asdict(r(pathlib.Path('/var/lib/lab/{instance}'))), default=str)"
        found = json.loads(self.machine.evaluate(f"{reads}; print({text})"))
        assert isinstance(found, dict)
        return found

    def state(self, package: str) -> str:
        """Return state and version by dpkg, as ``ii 1.1``."""
        return self.machine.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", package)

    def go_on(self, instance: str) -> None:
        """Let the postinst go on."""
        self._fifo("tee", instance, "go")

    def _fifo(self, program: str, instance: str, name: str) -> None:
        path = self.machine.lab / f"{instance.partition('-')[2]}.{name}"
        subprocess.run(
            [program, path], input=b"go\n", check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL
        )


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    files = {
        "etc/lab/secret": SECRET,
        "etc/apt/sources.list": f"deb [trusted=yes] file:{LAB}/repository ./\n",
    }
    with Machine.booted(files) as machine:
        unit = TICK.format(python=machine.python, inside=INSIDE)
        (machine.lab / "tick@.service").write_text(unit + SANDBOX)
        (machine.lab / "tick@child-caught.service").write_text(unit)
        install_world(machine)
        yield Site(machine)


def install_world(machine: Machine) -> None:
    repository = machine.lab / "repository"
    repository.mkdir()
    for name, postinst in PACKAGES.items():
        build_deb(Deb(name, "1.0"), repository)
        build_deb(Deb(name, "1.1", scripts={"postinst": f"set -e\n{postinst}"}), repository)
        for fifo in ("ready", "go"):
            os.mkfifo(machine.lab / f"{name}.{fifo}")
    packages = subprocess.check_output(["apt-ftparchive", "packages", "."], cwd=repository)
    (repository / "Packages").write_bytes(packages)
    machine.run("sh", "-ec", SET_UP)
