"""A hypervisor's tick looks after its guests: each by its own plan, window and report, and itself last.

The hypervisor's own packages are those of a lab, and never move. Each test leaves the node as it was.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.wiring.in_guests import FIRST
from tests.e2e.site import git
from tests.edge.guests.conftest import Acting, as_before, go_on, is_to_wait, reaches, version
from tests.edge.guests.test_execution import another
from tests.labs.apt import AptLab
from tests.labs.guests import LAB, REPOSITORY
from tests.labs.machine import PATIENCE

HOSTS = "kind: Policy\nname: hosts\nmatch: {not: {guest_of: '*'}}\naction: plan\n"
GUESTS = "kind: Policy\nname: guests\nmatch: {guest_of: pve1}\naction: apply\nschedule: [now]\n"


def window(begins_in: timedelta) -> str:
    """Return a window of three hours that begins so long from now."""
    at = datetime.now(UTC) + begins_in
    return (
        "kind: Schedule\nname: now\ntimezone: UTC\n"
        f'windows:\n  - {{start: "*-*-* {at:%H:%M}", duration: 3h}}\n'
    )


OPEN, SHUT = timedelta(hours=-1), timedelta(hours=5)


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """patchledger on the node, with a policy and reports of its own.

    Attributes:
        folder: Of all that, as the test sees it.
        seen: The same, as the node does.
    """

    acting: Acting
    folder: Path
    seen: str

    def policy(self, begins_in: timedelta, **files: str) -> None:
        """Commit what is to be followed."""
        for name, text in {"hosts": HOSTS, "guests": GUESTS, "now": window(begins_in), **files}.items():
            path = self.folder / "policy" / ("schedules" if name == "now" else "policies") / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        git(self.folder / "policy", "add", "-A")
        git(self.folder / "policy", "commit", "-q", "--allow-empty", "-m", "change")

    def configure(self, environment: dict[str, str], guests: dict[str, object] | None = None) -> None:
        said: dict[str, object] = {
            "host": "pve1",
            "policy": {"remote": f"{self.seen}/policy"},
            "reports": {"remote": f"{self.seen}/reports.git"},
            "state_dir": f"{self.seen}/state",
            "log_dir": f"{self.seen}/log",
            "hooks_dir": f"{self.seen}/hooks",
            "environment": environment,
            "guests": {"from": ["proxmox"], "hooks_dir": f"{self.seen}/guest-hooks", **(guests or {})},
        }
        path = self.folder / "config.yaml"
        path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in said.items()))
        path.chmod(0o600)

    def argv(self, *args: str) -> list[str]:
        program = (sys.executable, "-m", "reconciler", "--config", f"{self.seen}/config.yaml", *args)
        return ["env", "-C", str(REPOSITORY), *program]

    def run(self, *args: str) -> tuple[int, str]:
        """Run the command on the node; return its exit code and all that it printed."""
        done = subprocess.run(
            [*self.acting.node.entering, *self.argv(*(args or ("run",)))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def branches(self) -> list[str]:
        told = git(self.folder / "reports.git", "for-each-ref", "--format=%(refname:lstrip=2)")
        return told.splitlines()

    def report(self, branch: str) -> Any:
        return json.loads(git(self.folder / "reports.git", "show", f"{branch}:report.json"))

    def rows(self) -> dict[str, tuple[str, str]]:
        """Return what the hypervisor's report says of each guest: outcome and reason."""
        rows = self.report("hosts/pve1")["guests"]
        return {row["id"]: (row["outcome"], row["reason"]) for row in rows}

    def applied(self) -> list[str]:
        """Return the guests in which a transaction was ever begun."""
        found = (self.folder / "state/guests").glob("*/runs/*/step-*")
        return sorted({path.parts[-4] for path in found})


@pytest.fixture
def hypervisor(acting: Acting, apt_world: AptLab, tmp_path: Path) -> Iterator[Hypervisor]:
    lab = apt_world.copy(tmp_path / "machine")
    folder = tmp_path / "pve1"
    folder.mkdir()
    made = Hypervisor(acting, folder, str(folder))
    git(folder, "init", "-q", "-b", "main", "policy")
    git(folder, "init", "-q", "--bare", "-b", "main", "reports.git")
    made.configure(lab.environment)
    acting.node.run("sh", "-c", ": >/run/lab/pct.log")
    yield made
    for number in ("201", "204"):
        as_before(acting, number)


def versions(acting: Acting) -> dict[str, str]:
    return {number: version(acting, number) for number in ("201", "204")}


OLD, NEW = {"201": "ii 1.0", "204": "ii 1.0"}, {"201": "ii 1.1", "204": "ii 1.1"}
UNENTERED = {"202": ("skipped", "it is stopped"), "203": ("skipped", "it is a template")}


def test_a_night_in_the_window(hypervisor: Hypervisor, acting: Acting) -> None:
    hypervisor.policy(OPEN)
    code, said = hypervisor.run()
    assert (code, hypervisor.applied(), versions(acting)) == (0, [], OLD), said
    assert hypervisor.branches() == ["guests/pve1/201", "guests/pve1/204", "hosts/pve1"]
    waits = f"paused: paused by patchledger: {FIRST}"
    assert hypervisor.rows() == {"201": ("pending", waits), "204": ("pending", waits), **UNENTERED}

    code, said = hypervisor.run()
    assert (code, hypervisor.applied(), versions(acting)) == (0, ["201", "204"], NEW), said
    fine = ("fine", "up to date")
    assert hypervisor.rows() == {"201": fine, "204": fine, **UNENTERED}
    assert not [
        line for line in acting.node.calls() if line.split()[:2] in (["exec", "202"], ["exec", "203"])
    ]
    records = git(hypervisor.folder / "reports.git", "ls-tree", "--name-only", "guests/pve1/201", "runs/")
    assert len(records.splitlines()) == 3


def test_out_of_the_window_nothing_is_begun(hypervisor: Hypervisor, acting: Acting) -> None:
    hypervisor.policy(SHUT)
    for _ in range(2):
        code, said = hypervisor.run()
        assert code == 0, said
    assert (hypervisor.applied(), versions(acting)) == ([], OLD)
    plans = {
        number: hypervisor.report(f"guests/pve1/{number}")["plan"]["digest"] for number in ("201", "204")
    }
    assert plans["201"] == plans["204"]
    assert {row[0] for row in hypervisor.rows().values()} == {"pending", "skipped"}


def beforehand(hypervisor: Hypervisor, number: str, line: str) -> None:
    """Have a hook on the hypervisor do something just before a run in a guest."""
    path = hypervisor.folder / "guest-hooks/pre.d/10-lab"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh -e\n[ "$PATCHLEDGER_GUEST" != {number} ] || {line}\n')
    path.chmod(0o755)


def test_a_guest_that_goes_just_before_its_run(hypervisor: Hypervisor, acting: Acting) -> None:
    hypervisor.policy(OPEN)
    assert hypervisor.run()[0] == 0
    beforehand(hypervisor, "201", f"mv /etc/pve/lxc/201.conf {LAB}/201.conf")
    try:
        code, said = hypervisor.run()
        assert "guest 201: it is not there" in said
        assert code != 0
        assert hypervisor.rows()["201"] == ("gone", "gone: destroyed")
        assert version(acting, "204") == "ii 1.1"
        assert "gone" not in hypervisor.report("guests/pve1/201")["host"]

        code, said = hypervisor.run()
        assert code == 0, said
        assert hypervisor.report("guests/pve1/201")["host"]["gone"] == "gone: destroyed"
        assert not (hypervisor.folder / "state/guests/201").exists()
        hypervisor.run()
        assert "201" not in hypervisor.rows()
    finally:
        acting.node.run("mv", f"{LAB}/201.conf", "/etc/pve/lxc/201.conf")
    assert version(acting, "201") == "ii 1.0"


def test_one_that_is_stopped_in_the_middle_is_made_whole_when_it_runs(
    hypervisor: Hypervisor, acting: Acting
) -> None:
    hypervisor.policy(OPEN)
    assert hypervisor.run()[0] == 0
    is_to_wait(acting, "201")
    begun = subprocess.Popen(
        [*acting.node.entering, *hypervisor.argv("run")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    reaches(acting, "201")
    acting.node.run("pct", "stop", "201")
    try:
        said, _ = begun.communicate(timeout=PATIENCE)
        assert begun.returncode not in (0, 70), said
        assert hypervisor.rows()["201"][0] == "skipped", said
        assert version(acting, "204") == "ii 1.1"
        code, said = hypervisor.run()
        unfinished = "it is stopped; a run in it is to be brought to its end"
        assert (code, hypervisor.rows()["201"]) == (0, ("skipped", unfinished)), said
    finally:
        acting.node.run("pct", "start", "201")
    acting.inside("201", "rm -f /srv/reached /srv/go")
    code, said = hypervisor.run()
    assert "interrupted" in said
    assert version(acting, "201") == "ii 1.1"
    assert hypervisor.run()[0] == 0
    assert hypervisor.rows()["201"] == ("fine", "up to date")


def test_one_that_stands_still_and_one_that_is_locked_are_rows(
    hypervisor: Hypervisor, acting: Acting
) -> None:
    hypervisor.policy(OPEN)
    acting.node.run("lxc-freeze", "-n", "204")
    acting.node.run("pct", "set", "201", "--lock", "backup")
    try:
        code, said = hypervisor.run()
        assert code == 0, said
        assert hypervisor.rows()["204"] == ("skipped", "it is frozen")
        assert hypervisor.rows()["201"] == ("skipped", "it is locked (backup)")
    finally:
        acting.node.run("lxc-unfreeze", "-n", "204")
        acting.node.run("pct", "unlock", "201")
    assert hypervisor.branches() == ["hosts/pve1"]


def test_one_that_is_locked_just_before_its_run_is_left_alone(hypervisor: Hypervisor, acting: Acting) -> None:
    hypervisor.policy(OPEN)
    assert hypervisor.run()[0] == 0
    beforehand(hypervisor, "204", "/usr/local/sbin/pct set 204 --lock backup")
    try:
        code, said = hypervisor.run()
        assert (code, versions(acting)) == (5, {"201": "ii 1.1", "204": "ii 1.0"}), said
        assert hypervisor.rows()["204"] == ("skipped", "it is locked (backup)")
    finally:
        acting.node.run("pct", "unlock", "204")
        (hypervisor.folder / "guest-hooks/pre.d/10-lab").unlink()
    code, said = hypervisor.run()
    hypervisor.run()
    assert version(acting, "204") == "ii 1.1", said


def test_what_is_wrong_with_one_costs_the_others_nothing(hypervisor: Hypervisor, acting: Acting) -> None:
    hypervisor.policy(OPEN)
    with another(acting, "452", "rm usr/bin/apt-get usr/bin/dpkg"):
        code, said = hypervisor.run()
        assert code == 1, said
        assert "guest 452: no package manager found on this guest" in said
        code, said = hypervisor.run()
        assert (code, versions(acting)) == (1, NEW), said
        assert hypervisor.rows()["452"] == ("failed", "no package manager found on this guest")
    assert hypervisor.branches() == ["guests/pve1/201", "guests/pve1/204", "hosts/pve1"]


def test_a_number_that_is_given_again_is_another_guest(hypervisor: Hypervisor, acting: Acting) -> None:
    hypervisor.policy(OPEN)
    assert hypervisor.run()[0] == 0
    before = acting.inside("201", "cat /etc/machine-id").strip()
    acting.inside("201", f"echo {'5' * 32} >/etc/machine-id")
    try:
        code, said = hypervisor.run()
        assert (code, versions(acting)) == (0, {"201": "ii 1.0", "204": "ii 1.1"}), said
        told = f"guest 201 is another one than before: its machine id is {'5' * 32}, and was {before}"
        assert told in said
        assert len(list((hypervisor.folder / "state/former-guests").glob("201@*"))) == 1
        assert hypervisor.run()[0] == 0
        assert versions(acting) == NEW
        assert hypervisor.report("guests/pve1/201")["host"]["facts"]["machine_id"] == "5" * 32
    finally:
        acting.inside("201", f"echo {before} >/etc/machine-id")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_two_that_are_at_work_beside_each_other_go_on_when_the_tick_ends(
    hypervisor: Hypervisor, acting: Acting, number: signal.Signals
) -> None:
    hypervisor.policy(OPEN)
    assert hypervisor.run()[0] == 0
    for guest in ("201", "204"):
        is_to_wait(acting, guest)
    begun = subprocess.Popen(
        [*acting.node.entering, *hypervisor.argv("run")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for guest in ("201", "204"):  # neither goes on before both are there
        reaches(acting, guest)
    (tick,) = acting.node.run("pgrep", "--full", f"reconciler --config {hypervisor.seen}").split()
    acting.node.run("kill", f"-{number.value}", tick)
    said, _ = begun.communicate(timeout=PATIENCE)
    on = "the package manager of guest {} goes on by itself; the next tick reports what came of it"
    told = [on.format(guest) in said for guest in ("201", "204")]
    assert told == [number is signal.SIGINT] * 2, said
    assert "Traceback" not in said
    for guest in ("201", "204"):
        go_on(acting, guest)
    end = time.monotonic() + PATIENCE
    while acting.finds(r"drain\.py") and time.monotonic() < end:
        time.sleep(0.5)
    code, said = hypervisor.run()
    assert (code, versions(acting)) == (0, NEW), said
    fine = ("fine", "up to date")
    assert hypervisor.rows() == {"201": fine, "204": fine, **UNENTERED}
    for guest in ("201", "204"):
        branch = f"guests/pve1/{guest}"
        records = git(hypervisor.folder / "reports.git", "ls-tree", "--name-only", branch, "runs/")
        (record,) = (path for path in records.splitlines() if path.endswith(".json"))
        told = json.loads(git(hypervisor.folder / "reports.git", "show", f"{branch}:{record}"))
        assert told["outcome"] == "applied"
        assert "the tick that began it was ended from outside" in told["notes"][0]
