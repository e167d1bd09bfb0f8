"""What a run that was killed leaves behind, how it is told, and how ``--repair`` ends it."""

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager, options
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Question
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.targets.local import LocalTarget
from tests.edge.pacman.conftest import Folder, run
from tests.labs.pacman import NEW, SLOW, PacmanLab, Pkg

NOW = datetime.now(UTC)


@pytest.fixture
def slow(lab: PacmanLab, script: PatchScript) -> PacmanLab:
    """With an update whose scriptlet waits at a gate."""
    os.mkfifo(lab.root / "run/gate")
    lab.publish(SLOW)
    run(lab, script, "--refresh")
    return lab


def planned(pacman: ScriptedManager) -> Instruction:
    answer = pacman.resolve(Question())
    assert answer.exit_code == 0
    return Instruction(answer.changes, automatic=("newdep-lib:any",))


@contextmanager
def at_the_gate(
    lab: PacmanLab, script: PatchScript, instruction: Instruction, shell: tuple[str, ...] = ("sh",)
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run an apply to the point where the scriptlet of ``plain`` waits; it is in a group of its own."""
    argv = [*shell, "-c", script.content.decode(), script.name, "--apply", *options(instruction)]
    environment = {**os.environ, **lab.environment, "TMPDIR": str(lab.folder)}
    with subprocess.Popen(
        [*argv, "--cache", str(lab.cache)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    ) as process:
        # Opening the gate waits until the scriptlet has opened its side.
        with (lab.root / "run/gate").open("wb"):
            yield process
        process.communicate()


def killed(lab: PacmanLab, script: PatchScript, instruction: Instruction, shell: tuple[str, ...]) -> None:
    with at_the_gate(lab, script, instruction, shell) as process:
        working = at_work(lab)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(working)


def wait_for(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        select.select([descriptor], [], [])
        os.close(descriptor)


def test_a_run_that_was_killed_is_told_repaired_and_done_again(
    slow: PacmanLab, script: PatchScript, shell: tuple[str, ...], folder: Folder
) -> None:
    pacman = ScriptedManager(PACMAN, LocalTarget(slow.environment, shell), script, slow.cache)
    former = (slow.database / "sync/lab.db").read_bytes()
    instruction = planned(pacman)
    killed(slow, script, instruction, shell)
    health = pacman.observe(NOW).health
    assert health.lock_holder == ""
    assert [words.partition(" is left ")[0] for words in health.interrupted] == [
        str(slow.lock),
        f"{slow.database}/patchledger",
        "replacer (was being installed, and is in no database now)",
    ]
    half = slow.versions()
    assert (half["base"], half["plain"], half["user"]) == ("1.1-1", "1.2-1", "1.0-1")
    assert pacman.apply(instruction, folder()).exit_code == 24

    assert pacman.repair(Instruction((), automatic=("newdep-lib:any",)), folder()).exit_code == 0
    assert pacman.observe(NOW).health.interrupted == ()
    assert list(slow.folder.glob("patchledger.*")) == []
    # What is replaced goes first of all: it must not be left without what takes its place.
    assert slow.versions() == {**half, "replacer": "2.0-1"}
    # What was not upgraded to is not what pacman knows.
    assert (slow.database / "sync/lab.db").read_bytes() == former
    assert pacman.repair(Instruction(()), folder()) == Execution(10)

    rest = planned(pacman)
    assert {change.name for change in rest.changes} == {"user"}
    assert pacman.apply(rest, folder()).exit_code == 0
    assert slow.versions()["user"] == "1.1-1"
    assert pacman.resolve(Question()).exit_code == 10


def test_a_run_at_work_is_left_alone(
    slow: PacmanLab, script: PatchScript, pacman: ScriptedManager, folder: Folder
) -> None:
    instruction = planned(pacman)
    with at_the_gate(slow, script, instruction) as process:
        health = pacman.observe(NOW).health
        assert health.interrupted == ()
        assert health.lock_holder.startswith("pacman (pid ")
        for execution in (pacman.apply(instruction, folder()), pacman.repair(Instruction(()), folder())):
            assert execution.exit_code == 20
    assert process.returncode == 0
    assert slow.versions()["user"] == "1.1-1"
    assert not (slow.database / "patchledger").exists()


def test_when_only_the_script_was_killed_pacman_ends_its_work_undisturbed(
    slow: PacmanLab, script: PatchScript, pacman: ScriptedManager, folder: Folder
) -> None:
    instruction = planned(pacman)
    with at_the_gate(slow, script, instruction) as process:
        process.kill()
        process.wait()
        assert pacman.repair(Instruction(()), folder()).exit_code == 20
        pacmans = at_work(slow)
    wait_for(pacmans)
    assert slow.versions()["user"] == "1.1-1"
    assert pacman.repair(Instruction(()), folder()).exit_code == 0
    # All that was begun is there, so what was upgraded to is what pacman knows now.
    ours = (slow.cache / "pacman/sync/lab.db").read_bytes()
    assert (slow.database / "sync/lab.db").read_bytes() == ours


def at_work(lab: PacmanLab) -> list[int]:
    """Return a descriptor, readable when it has ended, of every process that holds the journal of a run."""
    journal = lab.database / "patchledger/journal"
    found = []
    for path in Path("/proc").glob("[0-9]*/fd/8"):
        try:
            if path.samefile(journal):
                found.append(os.pidfd_open(int(path.parts[2])))
        except OSError:
            continue  # it has ended, or is nothing to be looked at
    return found


def lose(lab: PacmanLab, name: str) -> None:
    """Leave a package in no database, as pacman does between forgetting the old and writing the new."""
    shutil.rmtree(next((lab.database / "local").glob(f"{name}-1*")))


def test_a_package_that_was_in_hand_is_brought_to_its_end(
    slow: PacmanLab, script: PatchScript, shell: tuple[str, ...], folder: Folder
) -> None:
    pacman = ScriptedManager(PACMAN, LocalTarget(slow.environment, shell), script, slow.cache)
    killed(slow, script, planned(pacman), shell)
    lose(slow, "base")
    assert "base (was being installed, and is in no database now)" in pacman.observe(NOW).health.interrupted
    assert pacman.repair(Instruction(()), folder()).exit_code == 0
    assert slow.versions()["base"] == "1.1-1"
    assert "base" in slow.automatic()
    assert slow.pacman("-Qk", "base").endswith(" 0 missing files\n")
    assert pacman.observe(NOW).health.interrupted == ()


def test_where_what_is_upgraded_does_not_fit_what_is_not_all_that_was_begun_is_ended(
    slow: PacmanLab, script: PatchScript, pacman: ScriptedManager, folder: Folder
) -> None:
    slow.publish(Pkg("user", "1.2-1", (("depend", "zeta=1.1-1"),)), Pkg("zeta", "1.1-1"))
    slow.install(Pkg("zeta", "1.0-1"), Pkg("user", "1.0-2", (("depend", "base=1.0-1"),)))
    run(slow, script, "--refresh")
    killed(slow, script, planned(pacman), ("sh",))
    assert pacman.observe(NOW).health.broken == ("missing 'base=1.0-1' dependency for 'user'",)
    assert pacman.repair(Instruction(()), folder()).exit_code == 0
    assert pacman.observe(NOW).health.broken == ()
    assert slow.versions()["user"] == "1.2-1"
    assert pacman.resolve(Question()).exit_code == 10


def test_an_entry_that_was_half_written_is_written_again(
    slow: PacmanLab, script: PatchScript, pacman: ScriptedManager, folder: Folder
) -> None:
    killed(slow, script, planned(pacman), ("sh",))
    (slow.database / "local/base-1.1-1/desc").unlink()
    assert pacman.repair(Instruction(()), folder()).exit_code == 0
    assert slow.versions()["base"] == "1.1-1"


def test_a_half_written_entry_of_another_is_not_touched(
    lab: PacmanLab, pacman: ScriptedManager, folder: Folder
) -> None:
    (lab.database / "local/local-1.0-1/desc").unlink()
    execution = pacman.repair(Instruction(()), folder())
    assert execution.exit_code == 24
    assert "local-1.0-1" in execution.message
    assert (lab.database / "local/local-1.0-1/files").exists()


def test_what_was_in_hand_and_was_not_kept_is_said(
    slow: PacmanLab, script: PatchScript, pacman: ScriptedManager, folder: Folder
) -> None:
    killed(slow, script, planned(pacman), ("sh",))
    lose(slow, "base")
    for file in slow.archives.iterdir():
        file.unlink()
    for _ in range(2):
        execution = pacman.repair(Instruction(()), folder())
        assert execution.exit_code == 26
        assert execution.message == (
            "was being installed, and its file is not kept: base=1.1-1 replacer=2.0-1"
        )
    slow.keep_archives(*NEW)
    assert pacman.repair(Instruction(()), folder()).exit_code == 0


def test_a_lock_of_nobody_stops_an_apply_until_it_is_repaired(
    lab: PacmanLab, pacman: ScriptedManager, folder: Folder
) -> None:
    lab.lock.touch()
    instruction = planned(pacman)
    execution = pacman.apply(instruction, folder())
    assert execution.exit_code == 24
    assert "is left over" in execution.message
    assert pacman.repair(Instruction(()), folder()).exit_code == 0
    assert not lab.lock.exists()
    assert pacman.apply(instruction, folder()).exit_code == 0


def test_where_nothing_is_left_there_is_nothing_to_repair(
    lab: PacmanLab, pacman: ScriptedManager, folder: Folder
) -> None:
    before = lab.digest(but=lab.database)
    assert pacman.repair(Instruction(()), folder()) == Execution(10)
    assert lab.digest(but=lab.database) == before


MEANWHILE = """\
#!/bin/sh
case " $* " in *" -Su "*" --dbpath {database} "* | *" --dbpath {database} "*" -Su "*)
    /usr/bin/pacman --config {configuration} --noconfirm -U {package} >/dev/null ;;
esac
exec /usr/bin/pacman "$@"
"""


def test_what_somebody_changes_in_the_last_moment_stops_the_run_before_anything_is_changed(
    lab: PacmanLab, script: PatchScript, pacman: ScriptedManager, folder: Folder, tmp_path: Path
) -> None:
    lab.install(Pkg("plain", "1.0-2"))
    instruction = planned(pacman)
    lab.keep_archives(Pkg("plain", "1.2-1"))
    # Somebody else's pacman, between our look and our run: it upgrades what we were going to.
    program = tmp_path / "bin/pacman"
    program.parent.mkdir()
    package = lab.archives / "plain-1.2-1-any.pkg.tar.zst"
    program.write_text(
        MEANWHILE.format(database=lab.database, configuration=lab.configuration, package=package)
    )
    program.chmod(0o755)
    target = LocalTarget({**lab.environment, "PATH": f"{program.parent}:{os.environ['PATH']}"})
    former = (lab.database / "sync/lab.db").read_bytes()
    execution = ScriptedManager(PACMAN, target, script, lab.cache).apply(instruction, folder())
    assert execution.exit_code == 25
    assert execution.message.startswith("pacman would do something else: it would not change plain")
    versions = lab.versions()
    assert (versions["plain"], versions["base"]) == ("1.2-1", "1.0-1")
    assert (lab.database / "sync/lab.db").read_bytes() == former
    assert pacman.observe(NOW).health.interrupted == ()
