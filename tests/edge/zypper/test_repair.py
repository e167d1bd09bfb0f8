"""What a kill in the middle leaves behind, and what ``--repair`` makes of it."""

import os
import select
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Change, Question
from reconciler.planning.runs.execution import Execution, Instruction
from tests.edge.zypper.conftest import managed
from tests.labs.rpm import Rpm
from tests.labs.zypper import ZypperLab

# A scriptlet that says that it has begun, and waits until it may go on.
HALTING = """
local ready = io.open("/ready", "w")
ready:write("x")
ready:close()
local gate = io.open("/gate", "r")
gate:read(1)
gate:close()
"""
PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Halted:
    """An apply that stands still inside a scriptlet of ``halting``."""

    lab: ZypperLab
    manager: ScriptedManager
    running: Future[Execution]
    gate: int

    @property
    def zypper(self) -> int:
        """The process that holds zypper's lock."""
        return int((self.lab.root / "run/zypp.pid").read_text())

    @property
    def rpm(self) -> int:
        """The process that works on the package."""
        threads = Path(f"/proc/{self.zypper}/task").glob("*/children")
        children = [pid for thread in threads for pid in thread.read_text().split()]
        (child,) = (pid for pid in children if name_of(int(pid)) in {"rpm", "Zypp-main"})
        return int(child)

    def let_go(self) -> None:
        """Let the scriptlet end."""
        os.write(self.gate, b"x")


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def kill(pid: int) -> None:
    """Kill a process and wait until it is gone."""
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_for(handle)


def wait_for(handle: int) -> None:
    assert select.select([handle], [], [], PATIENCE)[0]
    os.close(handle)


@contextmanager
def halted(lab: ZypperLab, script: PatchScript, folder: Path, scriptlet: str) -> Iterator[Halted]:
    """Apply everything, and stop where ``halting`` is in the works."""
    lab.install(Rpm("halting", "1.0-1"))
    lab.repository.publish(Rpm("halting", "1.1-1", scripts={scriptlet: HALTING}))
    lab.refresh()
    for name in ("ready", "gate"):
        os.mkfifo(lab.root / name)
    ready = os.open(lab.root / "ready", os.O_RDONLY | os.O_NONBLOCK)
    gate = os.open(lab.root / "gate", os.O_RDWR)
    manager = managed(lab, script)
    changes = manager.resolve(Question()).changes
    with ThreadPoolExecutor(1) as pool:
        folder.mkdir()
        running = pool.submit(manager.apply, Instruction(changes), folder)
        try:
            assert select.select([ready], [], [], PATIENCE)[0]
            yield Halted(lab, manager, running, gate)
        finally:
            os.write(gate, b"x")  # where a failed test leaves somebody behind
    os.close(ready)
    os.close(gate)


def repair(manager: ScriptedManager, folder: Path, wait: int = 0) -> Execution:
    folder.mkdir()
    return manager.repair(Instruction((), lock_wait=timedelta(seconds=wait)), folder)


def apply_rest(manager: ScriptedManager, folder: Path) -> tuple[Change, ...]:
    """Apply what is left: little or nothing where rpm has it all in hand, as newer zyppers let it."""
    folder.mkdir()
    changes = manager.resolve(Question()).changes
    assert not changes or manager.apply(Instruction(changes), folder).exit_code in {0, 11}
    assert manager.resolve(Question()).changes == ()
    return changes


def only_newest(versions: dict[str, str]) -> dict[str, str]:
    """Return what is left when older versions of all but kernels are gone."""
    return {name: all_ if name.startswith("kernel") else all_.split()[-1] for name, all_ in versions.items()}


def test_a_killed_zypper_leaves_an_rpm_that_finishes_its_package(
    own_lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    with halted(own_lab, script, tmp_path / "apply", "post") as state:
        orphan, name = state.rpm, name_of(state.rpm)
        handle = os.pidfd_open(orphan)
        kill(state.zypper)
        execution = state.running.result(PATIENCE)
        assert (execution.exit_code, execution.native_code) == (24, 137)
        # It is still at work: whoever comes now is told whom to wait for.
        assert state.manager.observe(datetime.now(UTC)).health.lock_holder == f"{name} (pid {orphan})"
        busy = repair(state.manager, tmp_path / "busy")
        assert (busy.exit_code, busy.message) == (20, f"locked by {name} (pid {orphan})")
        state.let_go()
        wait_for(handle)
    assert own_lab.versions()["halting"] == "1.1-1"
    assert repair(state.manager, tmp_path / "repair", wait=10) == Execution(10)
    assert "halting" not in {change.name for change in apply_rest(state.manager, tmp_path / "again")}


def test_a_killed_rpm_leaves_two_versions_and_repair_removes_the_older(
    own_lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    with halted(own_lab, script, tmp_path / "apply", "post") as state:
        rpm = state.rpm
        kill(state.zypper)
        kill(rpm)
        state.running.result(PATIENCE)
    before = own_lab.versions()
    assert before["halting"] == "1.0-1 1.1-1"
    health = state.manager.observe(datetime.now(UTC)).health
    assert "halting (1.0-1 and 1.1-1 at once)" in health.interrupted
    assert health.lock_holder == ""
    assert repair(state.manager, tmp_path / "repair") == Execution(0)
    # Nothing else moved, and the files of the newer one are there.
    assert own_lab.versions() == only_newest(before)
    assert [path.name for path in (own_lab.root / "usr/share/lab/halting").iterdir()] == ["1.1-1"]
    assert state.manager.observe(datetime.now(UTC)).health.interrupted == ()
    assert repair(state.manager, tmp_path / "second") == Execution(10)
    apply_rest(state.manager, tmp_path / "again")


@pytest.mark.parametrize("how", ["-i", "-U"], ids=["older one there", "older one gone"])
def test_a_repair_makes_the_rest_of_a_run_whose_packages_do_not_fit(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path, how: str
) -> None:
    """As left by a kill between the newer ``pair-data`` and ``pair``, which needs the same version of it."""
    lab.rpm(how, "--nodeps", "--nosignature", str(lab.repository.file("pair-data", "1.1-1")))
    health = zypper.observe(datetime.now(UTC)).health
    assert health.interrupted or health.broken
    begun = tuple(Change("upgrade", name, "noarch", "1.0-1", "1.1-1") for name in ("pair-data", "pair"))
    (tmp_path / "repair").mkdir()
    before = lab.versions()
    assert zypper.repair(Instruction(begun), tmp_path / "repair").exit_code == 0
    assert lab.versions() == before | {"pair": "1.1-1", "pair-data": "1.1-1"}
    health = zypper.observe(datetime.now(UTC)).health
    assert (health.interrupted, health.broken) == ((), ())


def test_a_repair_makes_nothing_that_nobody_named(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    lab.rpm("-U", "--nodeps", "--nosignature", str(lab.repository.file("pair-data", "1.1-1")))
    before = lab.versions()
    assert repair(zypper, tmp_path / "unnamed").exit_code == 10
    (tmp_path / "other").mkdir()
    plain = (Change("upgrade", "plain", "noarch", "1.0-1", "1.1-1"),)
    assert zypper.repair(Instruction(plain), tmp_path / "other").exit_code == 10
    assert lab.versions() == before
    assert zypper.observe(datetime.now(UTC)).health.broken


def test_a_kill_before_the_package_leaves_the_old_one(
    own_lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    with halted(own_lab, script, tmp_path / "apply", "pre") as state:
        rpm = state.rpm
        kill(state.zypper)
        kill(rpm)
        state.running.result(PATIENCE)
    before = own_lab.versions()
    assert before["halting"] == "1.0-1"
    # Where rpm had all of it in hand, others are there twice.
    assert repair(state.manager, tmp_path / "repair").exit_code == (
        0 if before != only_newest(before) else 10
    )
    assert own_lab.versions() == only_newest(before)


def test_a_newer_version_whose_files_are_missing_is_installed_again(
    own_lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    manager = managed(own_lab, script)
    changes = (Change("upgrade", "plain", "noarch", "1.0-1", "1.1-1"),)
    folder = tmp_path / "download"
    folder.mkdir()
    manager.download(Instruction(changes), folder)
    own_lab.install(Rpm("plain", "1.1-1"))
    (own_lab.root / "usr/share/lab/plain/1.1-1").unlink()
    assert repair(manager, tmp_path / "repair") == Execution(0)
    assert own_lab.versions()["plain"] == "1.1-1"
    assert (own_lab.root / "usr/share/lab/plain/1.1-1").exists()


def test_what_cannot_be_repaired_stays_interrupted(
    own_lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    own_lab.install(Rpm("plain", "1.1-1"))
    (own_lab.root / "usr/share/lab/plain/1.1-1").unlink()
    before = own_lab.versions()
    execution = repair(managed(own_lab, script), tmp_path / "repair")
    assert execution.exit_code == 24
    assert "files of plain 1.1-1 are missing" in execution.message
    assert own_lab.versions() == before


@pytest.mark.parametrize("scriptlet", ["preun", "postun"])
def test_a_failing_scriptlet_of_the_older_one_is_told(
    own_lab: ZypperLab, script: PatchScript, tmp_path: Path, scriptlet: str
) -> None:
    own_lab.install(Rpm("odd", "1.0-1", scripts={scriptlet: "error('never')"}))
    own_lab.install(Rpm("odd", "1.1-1"))
    execution = repair(managed(own_lab, script), tmp_path / "repair")
    assert execution.exit_code == (24 if scriptlet == "preun" else 27)
    assert [failed.name for failed in execution.failed] == ["odd"]


def test_the_marks_of_an_interrupted_run_are_set(
    own_lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    manager = managed(own_lab, script)
    instruction = Instruction((), automatic=("plain:noarch", "gone:noarch"))
    assert manager.repair(instruction, tmp_path) == Execution(10)
    assert own_lab.automatic == {"plain"}
