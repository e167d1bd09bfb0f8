"""A node whose guests run, once for each worker."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.labs.apt import Deb, build_deb
from tests.labs.guests import LAB, REPOSITORY, GuestLab
from tests.labs.machine import PATIENCE

# It stands still where a test has asked for that.
WAITS = """\
if [ -p /srv/reached ]; then
    echo "postinst waits"
    : >/srv/reached
    read -r word </srv/go
fi
"""
PACKAGES = (Deb("labapp", "1.0"), Deb("labapp", "1.1", scripts={"postinst": f"set -e\n{WAITS}"}))
SET_UP = """
rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*
echo "deb [trusted=yes] file:/srv/repository ./" >/etc/apt/sources.list
apt-get -q update
dpkg -i /srv/repository/labapp_1.0_all.deb
"""
UPDATE = "labapp:all=1.0=1.1"


@pytest.fixture(scope="session")
def node() -> Iterator[GuestLab]:
    with GuestLab.running() as made:
        yield made


@dataclass(frozen=True, slots=True)
class Acting:
    """What patchledger does in the guests of a node, each time as another process."""

    node: GuestLab

    def argv(self, number: str, verb: str, *args: str, env: Mapping[str, str] | None = None) -> list[str]:
        """Return the command that does something in a guest."""
        variables = [f"{name}={value}" for name, value in (env or {}).items()]
        program = (sys.executable, "-m", "tests.labs.acting", "proxmox", number, verb, *args)
        return ["env", "-C", str(REPOSITORY), *variables, *program]

    def __call__(self, number: str, verb: str, *args: str, env: Mapping[str, str] | None = None) -> Any:
        """Do something in a guest, and return what came of it."""
        return json.loads(self.node.run(*self.argv(number, verb, *args, env=env)))

    def begin(
        self, number: str, verb: str, *args: str, env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """Begin something in a guest, and return at once."""
        return subprocess.Popen(
            [*self.node.entering, *self.argv(number, verb, *args, env=env)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def folder(self, name: str) -> str:
        """Return a new folder for an execution, as the node sees it."""
        path = self.node.folder / "runs" / name
        path.mkdir(parents=True, mode=0o700)
        return f"{LAB}/runs/{name}"

    def kept(self, name: str, file: str) -> str:
        """Return what is in a file of an execution's folder."""
        return (self.node.folder / "runs" / name / file).read_text(encoding="utf-8", errors="replace")

    def inside(self, number: str, text: str, *, check: bool = True) -> str:
        """Run a line of shell in a guest, behind patchledger's back."""
        return self.node.run("pct", "exec", number, "--", "sh", "-c", text, check=check)

    def root(self, number: str) -> str:
        """Return where the node has a guest's root."""
        return f"{LAB}/store/subvol-{number}-disk-0"

    def ends(self, pattern: str) -> None:
        """End, as a lost process would, what the node has by a command line of this pattern."""
        pids = self.node.run("pgrep", "--full", pattern).split()
        self.node.run("kill", "-KILL", *pids)

    def finds(self, pattern: str) -> list[str]:
        """Return the command lines of this pattern, on the node and in its guests."""
        listed = self.node.run("pgrep", "--full", "--list-full", pattern, check=False)
        return [line for line in listed.splitlines() if "pgrep" not in line]


def reaches(acting: Acting, number: str) -> None:
    """Wait until the postinst is at work in a guest."""
    acting.node.run("timeout", str(PATIENCE / 2), "cat", f"{acting.root(number)}/srv/reached")


def go_on(acting: Acting, number: str) -> None:
    """Let the postinst go on, and no other stand still."""
    acting.node.run("timeout", str(PATIENCE / 2), "sh", "-c", f"echo go >{acting.root(number)}/srv/go")
    acting.inside(number, "rm -f /srv/reached /srv/go")


def is_to_wait(acting: Acting, number: str) -> None:
    acting.inside(number, "rm -f /srv/reached /srv/go; mkfifo /srv/reached /srv/go")


def version(acting: Acting, number: str) -> str:
    """Return state and version of the package in a guest, as ``ii 1.1``."""
    return acting.inside(number, "dpkg-query -W -f '${db:Status-Abbrev}${Version}' labapp")


def as_before(acting: Acting, number: str) -> None:
    """Bring the guest back to the old version."""
    acting.inside(number, "rm -f /srv/reached /srv/go; dpkg -i /srv/repository/labapp_1.0_all.deb")


def make_repository(folder: Path, packages: Sequence[Deb] = PACKAGES) -> None:
    folder.mkdir()
    for package in packages:
        build_deb(package, folder)
    listed = subprocess.check_output(["apt-ftparchive", "packages", "."], cwd=folder)
    (folder / "Packages").write_bytes(listed)


@pytest.fixture(scope="session")
def acting(node: GuestLab) -> Acting:
    """The node with a package to update in both guests that run."""
    acting = Acting(node)
    make_repository(node.folder / "repository")
    for number in ("201", "204"):
        node.run("cp", "-R", f"{LAB}/repository", f"{acting.root(number)}/srv/repository")
        acting.inside(number, SET_UP)
    return acting


def status_of_node() -> tuple[bytes, int]:
    """Return what the node's package manager remembers, which is this machine's."""
    path = Path("/var/lib/dpkg/status")
    return path.read_bytes(), path.stat().st_mtime_ns


@pytest.fixture(autouse=True)
def _node_is_untouched() -> Iterator[None]:
    before = status_of_node() if os.path.exists("/var/lib/dpkg/status") else None  # noqa: PTH110
    yield
    assert before is None or status_of_node() == before, "the hypervisor's own packages were touched"
