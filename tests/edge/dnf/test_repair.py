"""What a killed transaction leaves, and what ``--repair`` makes of it."""

import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.managers.scripted import ScriptedManager
from reconciler.planning.facts.observation import Change
from reconciler.planning.runs.execution import Execution, Instruction
from tests.labs.dnf import DnfLab
from tests.labs.rpm import Rpm

# It says who runs it, which is dnf itself, and waits; without the fifo it ends at once.
SLOW = """
if posix.access("/started") then
    local started = io.open("/started", "w"); started:write(posix.getprocessid("pid")); started:close()
    local gate = io.open("/gate", "r"); gate:read("a"); gate:close()
end
local done = io.open("/done", "w"); done:write("yes"); done:close()
"""
Folder = Callable[[], Path]
NOTHING = Instruction(())
CHANGES = Instruction(tuple(Change("upgrade", name, "noarch", "1.0-1", "1.1-1") for name in ("base", "slow")))


def kill_in_scriptlet(lab: DnfLab, dnf: ScriptedManager, folder: Folder) -> Execution:
    """Apply slow 1.1-1 and base 1.1-1, and kill dnf while the former's %post runs."""
    lab.install(Rpm("slow", "1.0-1"))
    lab.repository.publish(Rpm("slow", "1.1-1", scripts={"post": SLOW}))
    lab.refresh()
    for name in ("started", "gate"):
        os.mkfifo(lab.root / name)
    executions: list[Execution] = []
    thread = threading.Thread(target=lambda: executions.append(dnf.apply(CHANGES, folder())))
    thread.start()
    with (lab.root / "started").open() as started:
        os.kill(int(started.read()), signal.SIGKILL)
    thread.join()
    for name in ("started", "gate"):
        (lab.root / name).unlink()
    return executions[0]


def test_a_killed_transaction_is_told_repaired_and_then_finished(
    own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    execution = kill_in_scriptlet(own_lab, own_dnf, folder)
    assert execution.native_code == 137
    assert own_lab.versions()["slow"] == "1.0-1 1.1-1"
    before = own_dnf.observe(datetime.now(UTC)).health
    assert "slow:noarch is installed in versions 1.0-1 and 1.1-1" in before.interrupted
    assert before.lock_holder == ""
    repair = own_dnf.repair(NOTHING, folder())
    assert (repair.exit_code, repair.native_code) == (0, 0)
    # Installed anew, so that the scriptlet that was killed has run.
    assert (own_lab.root / "done").read_text() == "yes"
    # What had not been begun is not begun by a repair.
    versions = own_lab.versions()
    assert (versions["slow"], versions["base"]) == ("1.1-1", "1.0-1")
    assert own_dnf.observe(datetime.now(UTC)).health.interrupted == ()
    assert own_dnf.repair(NOTHING, folder()).exit_code == 10
    assert own_dnf.apply(CHANGES, folder()).exit_code == 0
    assert own_lab.versions()["base"] == "1.1-1"


def upgraded(*names: str) -> Instruction:
    return Instruction(tuple(Change("upgrade", name, "noarch", "1.0-1", "1.1-1") for name in names))


def test_a_repair_takes_along_what_was_done_in_the_same_run_and_nothing_else(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder
) -> None:
    """As left by a kill between the newer ``pair-data`` and ``pair``, which needs the same version of it."""
    lab.rpm("-i", "--nodeps", "--nosignature", str(lab.repository.file("pair-data", "1.1-1")))
    refused = dnf.repair(upgraded("pair-data", "plain"), folder())
    assert refused.exit_code == 24
    assert "more than what was being done: upgrade pair.noarch 1.1-1" in refused.message
    assert "dnf remove --duplicates" in refused.message
    assert lab.versions()["pair"] == "1.0-1"
    assert dnf.observe(datetime.now(UTC)).health.interrupted

    assert dnf.repair(upgraded("pair-data", "pair", "plain"), folder()).exit_code == 0
    versions = lab.versions()
    assert (versions["pair"], versions["pair-data"], versions["plain"]) == ("1.1-1", "1.1-1", "1.0-1")
    assert dnf.observe(datetime.now(UTC)).health.interrupted == ()


def test_what_does_not_fit_any_more_gets_the_rest_of_its_run(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder
) -> None:
    """As left by a kill after ``remover`` came in, and before what it conflicts with was gone."""
    lab.rpm("-U", "--nodeps", "--nosignature", str(lab.repository.file("remover", "2.0-1")))
    assert dnf.observe(datetime.now(UTC)).health.broken
    assert dnf.repair(NOTHING, folder()).exit_code == 10
    begun = (
        Change("upgrade", "remover", "noarch", "1.0-1", "2.0-1"),
        Change("remove", "victim", "noarch", "1.0-1", None),
    )
    assert dnf.repair(Instruction(begun), folder()).exit_code == 0
    assert "victim" not in lab.versions()
    health = dnf.observe(datetime.now(UTC)).health
    assert (health.interrupted, health.broken) == ((), ())
    assert dnf.repair(Instruction(begun), folder()).exit_code == 10


def test_a_duplicate_that_no_repository_has_is_whole_or_stays(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder
) -> None:
    lab.install(Rpm("local", "1.1-1"))
    path = lab.root / "usr/share/lab/local/1.1-1"
    content = path.read_text()
    path.unlink()
    repair = dnf.repair(NOTHING, folder())
    assert repair.exit_code == 24
    assert "local-1.1-1.noarch" in repair.message
    assert lab.versions()["local"] == "1.0-1 1.1-1"
    path.write_text(content)
    assert dnf.repair(NOTHING, folder()).exit_code == 0
    assert lab.versions()["local"] == "1.1-1"


def test_kernels_are_no_duplicates(lab: DnfLab, dnf: ScriptedManager, folder: Folder) -> None:
    assert dnf.repair(NOTHING, folder()).exit_code == 10
    assert lab.versions()["kernel-core"] == "5.1-1 5.2-1 5.3-1"


@pytest.mark.parametrize("configuration", ["excludepkgs=plain", ""])
def test_a_lock_keeps_nothing_from_being_repaired(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder, configuration: str
) -> None:
    lab.install(Rpm("plain", "1.1-1"))
    lab.configure(configuration)
    locks = lab.lock("plain", "1.0-1")
    before = locks.read_bytes()
    assert dnf.repair(NOTHING, folder()).exit_code == 0
    assert lab.versions()["plain"] == "1.1-1"
    assert locks.read_bytes() == before


def test_marks_are_set_although_there_is_nothing_to_repair(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder
) -> None:
    repair = dnf.repair(Instruction((), automatic=("plain:noarch", "gone:noarch")), folder())
    assert repair.exit_code == 10
    assert lab.reasons()["plain"] == "dependency"
