"""A small real Debian with a whole installation, its processes, and what is true of it.

The policy may apply at any time. Packages need one another in each of the ways that matter to dpkg, their
scripts take a moment at every stage, one is held by the operator and some are marked as automatic.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.site import Site, git
from tests.labs.apt import MAIN, SECURITY, AptLab, Deb

BRANCH = "hosts/web-01"
HELD, AUTOMATIC = "p7", ("p0", "p2")
PATIENCE = 120.0
"""Seconds for anything to end; all of it takes below ten."""

POLICY = """\
kind: Policy
name: base
action: apply
schedule: [always]
budget: 1m
"""
SCHEDULE = """\
kind: Schedule
name: always
timezone: UTC
windows: [{start: "*-*-* *:00", duration: 3h}]
"""
UNDOING = POLICY + "health: {settle: 0s}\non_failure: rollback\n"
"""With :func:`Host.dislike_the_new`, what is applied is rolled back."""

_STAGES = ("preinst", "postinst", "prerm", "postrm")
_FIELDS = {
    "p1": ("Depends", "p0 (= {})"),
    "p3": ("Depends", "p2 (>= {})"),
    "p5": ("Pre-Depends", "p4 (>= {})"),
}


def build_lab(folder: Path) -> AptLab:
    """Build the machine, with version 1.0 of everything installed and 1.1 on offer."""
    lab = AptLab.empty(folder)
    new = _packages("1.1")
    lab.publish(MAIN, *(one for one in new if one.name != "p6"))
    lab.publish(SECURITY, *(one for one in new if one.name == "p6"))
    lab.install(*_packages("1.0"))
    lab.download_copies()
    lab.hold_package(HELD)
    for name in AUTOMATIC:
        lab.mark_auto(name)
    return lab


def _packages(version: str) -> list[Deb]:
    found = []
    for number in range(8):
        name = f"p{number}"
        kind, needed = _FIELDS.get(name, ("", ""))
        found.append(
            Deb(
                name,
                version,
                fields={kind: needed.format(version)} if kind else {},
                scripts=dict.fromkeys(_STAGES, "sleep 0.03"),
                files={f"usr/share/{name}/{part}": f"{version} {part}\n" * 200 for part in range(4)},
            )
        )
    return found


@dataclass(frozen=True)
class Truth:
    """What is so on the machine, whatever anybody says of it."""

    versions: Mapping[str, str]
    held: frozenset[str]
    automatic: frozenset[str]
    half_done: Mapping[str, str]

    @classmethod
    def of(cls, lab: AptLab) -> "Truth":
        """Look at the machine by its own tools."""
        asked = subprocess.run(
            ["apt-mark", "showhold"],
            env={"PATH": os.environ["PATH"], **lab.environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return cls(lab.versions(), frozenset(asked.stdout.split()), frozenset(lab.automatic()), lab.states())


@dataclass(frozen=True)
class Ended:
    """How one call of the command ended."""

    code: int
    out: str
    err: str

    @property
    def is_quiet(self) -> bool:
        """Whether it found nothing to do."""
        return self.code == 0 and "nothing changed" in self.out


@dataclass
class Host:
    """One machine with its installation; ``ended`` is every call of the command so far."""

    lab: AptLab
    site: Site
    ended: list[Ended] = field(default_factory=list)

    @classmethod
    def create(cls, template: AptLab, folder: Path, policy: str = POLICY) -> "Host":
        """Copy the machine, and install patchledger beside it."""
        lab = template.copy(folder / "machine")
        site = Site.create(
            folder / "site",
            environment=lab.environment,
            git={"timeout": "5s"},
        )
        site.commit(
            {"policies/base.yaml": policy, "schedules/nightly.yaml": None, "schedules/always.yaml": SCHEDULE}
        )
        return cls(lab, site)

    def dislike_the_new(self) -> None:
        """Make the host's own health check fail as soon as a new version is there."""
        new = self.lab.root / "usr/share/p0/0"
        self.site.hook("health", "10-old", f'case $(head -n 1 "{new}") in "1.1 "*) exit 1;; esac')

    # --- Doing ------------------------------------------------------------------------------------------

    def start(self, *verb: str) -> "subprocess.Popen[str]":
        """Begin a call of the command, in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "reconciler", "--config", str(self.site.config), *(verb or ("run",))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self, child: "subprocess.Popen[str]") -> Ended:
        """Wait for a call to end."""
        out, err = child.communicate(timeout=PATIENCE)
        self.ended.append(Ended(child.returncode, out, err))
        return self.ended[-1]

    def run(self, *verb: str) -> Ended:
        """Call the command."""
        return self.end(self.start(*verb))

    def settle(self, most: int) -> str:
        """Let ticks come until one has nothing to do; say what is wrong where ``most`` of them do not do.

        A tick that waits for what is still at work is not counted, since the timer would come again.
        """
        counted = 0
        deadline = time.monotonic() + PATIENCE
        while counted < most and time.monotonic() < deadline:
            done = self.run()
            if done.is_quiet:
                return ""
            self.wait_until_idle()
            counted += "still at work" not in done.err
        last = self.ended[-1]
        return f"never quiet: {[one.code for one in self.ended]}; {last.out[-200:]!r} {last.err[-300:]!r}"

    def kill(self, who: str) -> frozenset[str]:
        """Kill every process of a kind (``all``: of every kind), and return the kinds that were killed.

        All are stopped before the first is killed, so that none does anything between two deaths.
        """
        killed: set[str] = set()
        while found := [(pid, kind) for pid, kind in self.processes() if who in {"all", kind}]:
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid, kind in found:
                    killed |= {kind} if _send(pid, number) else set()
            if who != "all":
                break
        return frozenset(killed)

    def wait_until_idle(self) -> None:
        """Wait until no process of this host is left."""
        deadline = time.monotonic() + PATIENCE
        while list(self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)

    def processes(self) -> Iterator[tuple[int, str]]:
        """Yield every living process of this host with its kind."""
        marks = (os.fsencode(self.lab.root), os.fsencode(self.site.folder))
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                kind = _kind_of(folder, marks)
                if kind:
                    yield int(folder.name), kind

    # --- Asking -----------------------------------------------------------------------------------------

    def runs(self) -> list[Any]:
        """Return the records of all runs of the newest report, in the order of their ids."""
        names = git(self.site.reports, "ls-tree", "--name-only", BRANCH, "runs/").splitlines()
        texts = [
            git(self.site.reports, "show", f"{BRANCH}:{name}") for name in names if name.endswith(".json")
        ]
        return [json.loads(text) for text in texts]

    def reported_runs(self) -> list[str]:
        """Return the run that each report commit names, newest first."""
        said = git(self.site.reports, "log", "--format=%(trailers:key=Run,valueonly,separator=%x2c)", BRANCH)
        return said.split()

    def head(self, repository: Path) -> str:
        """Return the newest report of a repository; empty where there is none."""
        asked = subprocess.run(
            ["git", "-C", str(repository), "rev-parse", "--quiet", "--verify", f"refs/heads/{BRANCH}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return asked.stdout.strip()

    @property
    def queue(self) -> Path:
        """The report queue."""
        return self.site.state / "reports.git"


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _kind_of(folder: Path, marks: tuple[bytes, ...]) -> str:
    """Say what a process is: main, script, apt, dpkg, maintainer, git or other; empty for one of others."""
    try:
        command, around = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        name = (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    if not command or not any(mark in command or mark in around for mark in marks):
        return ""
    words = command.split(b"\0")
    if b"reconciler" in words and b"--config" in words:
        return "main"
    if any(stage.encode() in command for stage in _STAGES):
        return "maintainer"
    for kind, starts in (("git", ("git", "prlimit")), ("apt", ("apt",)), ("dpkg", ("dpkg",))):
        if name.startswith(starts):
            return kind
    return "script" if name in {"sh", "dash"} else "other"
