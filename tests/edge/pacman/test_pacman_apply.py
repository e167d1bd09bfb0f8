"""What ``--download`` and ``--apply`` do to a real root: exactly what is named, or nothing."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Change, Question, Rival
from reconciler.planning.runs.execution import Execution, FailedPackage, Instruction
from reconciler.targets.local import LocalTarget
from tests.edge.pacman.conftest import Folder, run
from tests.labs.pacman import CLASHING, FAILING, OLD, PacmanLab, Pkg

AFTER = {
    "base": "1.1-1",
    "configured": "1.1-1",
    "epoch": "1:1.0-2",
    "hostile": "1.1-1",
    "lima": "1.1-1",
    "local": "1.0-1",
    "newdep": "1.1-1",
    "newdep-lib": "1.0-1",
    "pair": "1.1-1",
    "pair-data": "1.1-1",
    "plain": "1.1-1",
    "replacer": "2.0-1",
    "user": "1.1-1",
    "victim": "1.0-1",
}

Act = Callable[[Instruction], Execution]


@pytest.fixture
def apply(pacman: ScriptedManager, folder: Folder) -> Act:
    return lambda instruction: pacman.apply(instruction, folder())


def planned(pacman: ScriptedManager, *exclude: str) -> Instruction:
    """Return the instruction of a plan as it would be made now."""
    answer = pacman.resolve(Question(exclude=exclude))
    assert answer.exit_code == 0
    return Instruction(answer.changes, exclude=exclude)


def test_what_is_named_is_done_and_a_second_time_there_is_nothing_to_do(
    lab: PacmanLab, script: PatchScript, shell: tuple[str, ...], folder: Folder
) -> None:
    pacman = ScriptedManager(PACMAN, LocalTarget(lab.environment, shell), script, lab.cache)
    instruction = planned(pacman)
    assert pacman.apply(instruction, folder()) == Execution(0)
    assert lab.versions() == AFTER
    assert lab.automatic() == {"base", "pair-data", "newdep-lib"}
    assert pacman.resolve(Question()).exit_code == 10
    before = lab.digest()
    assert pacman.apply(instruction, folder()) == Execution(10)
    assert lab.digest() == before


def test_what_another_needs_may_come_from_a_later_repository(
    fresh_lab: PacmanLab, fresh_pacman: ScriptedManager, script: PatchScript, folder: Folder
) -> None:
    fresh_lab.publish(Pkg("plain", "1.2-1", (("depend", "helper>=1.2"),)), Pkg("helper", "1.1-1"))
    fresh_lab.publish_in("other", Pkg("helper", "1.2-1"))
    run(fresh_lab, script, "--refresh")
    instruction = planned(fresh_pacman)
    (helper,) = (change for change in instruction.changes if change.name == "helper")
    assert (helper.to_version, helper.origin) == ("1.2-1", "other")
    assert fresh_pacman.apply(instruction, folder()) == Execution(0)
    assert fresh_lab.versions()["helper"] == "1.2-1"
    assert fresh_pacman.resolve(Question()).exit_code == 10


def test_the_databases_of_the_plan_are_the_machines_afterwards(
    lab: PacmanLab, pacman: ScriptedManager, apply: Act
) -> None:
    instruction = planned(pacman)
    assert apply(instruction).exit_code == 0
    assert (lab.database / "sync/lab.db").read_bytes() == (lab.cache / "pacman/sync/lab.db").read_bytes()
    assert sorted(path.name for path in (lab.database / "sync").iterdir()) == ["lab.db"]
    assert not lab.lock.exists()


def test_what_pacman_says_is_logged_as_it_speaks(pacman: ScriptedManager, folder: Folder) -> None:
    path = folder()
    pacman.apply(planned(pacman), path)
    assert "upgrading plain..." in (path / "log").read_text().splitlines()


def test_what_is_excluded_stays(lab: PacmanLab, pacman: ScriptedManager, apply: Act) -> None:
    lab.hold_package("lima")
    configuration = lab.configuration.read_bytes()
    assert apply(planned(pacman, "plain", "replaced")).exit_code == 0
    versions = lab.versions()
    assert (versions["plain"], versions["lima"], versions["user"]) == ("1.0-1", "1.0-1", "1.1-1")
    assert "replaced" in versions
    assert lab.configuration.read_bytes() == configuration


def test_marks_are_set_when_the_work_is_done(lab: PacmanLab, pacman: ScriptedManager, apply: Act) -> None:
    instruction = replace(planned(pacman), automatic=("user:any", "newdep-lib:any", "absent:any"))
    assert apply(instruction).exit_code == 0
    assert lab.automatic() == {"base", "pair-data", "newdep-lib", "user"}


# --- nothing, where it would be something else --------------------------------------------------------


def named(pacman: ScriptedManager, *without: str) -> Instruction:
    changes = planned(pacman).changes
    return Instruction(tuple(change for change in changes if change.name not in without))


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("newdep-lib", "it would also install newdep-lib 1.0-1"),
        ("replaced", "it would also remove replaced 1.0-1"),
        ("plain", "it would also install plain 1.1-1"),
    ],
)
def test_a_change_that_is_not_named_is_refused(
    lab: PacmanLab, pacman: ScriptedManager, apply: Act, missing: str, words: str
) -> None:
    instruction = named(pacman, missing)
    before = lab.digest(but=lab.database)
    execution = apply(instruction)
    assert execution.exit_code == 25
    assert execution.message == f"pacman would do something else: {words}"
    # Taking the lock and giving it back changes the time of its folder, and nothing else.
    assert lab.digest(but=lab.database) == before
    assert not lab.lock.exists()


def test_a_change_that_would_not_come_is_refused(pacman: ScriptedManager, apply: Act) -> None:
    instruction = replace(planned(pacman), exclude=("plain",))
    execution = apply(instruction)
    assert execution.message == "pacman would do something else: it would not install plain 1.1-1"
    assert execution.exit_code == 25


def test_newer_databases_than_those_of_the_plan_are_no_reason_to_install_something_newer(
    lab: PacmanLab, script: PatchScript, pacman: ScriptedManager, apply: Act
) -> None:
    instruction = planned(pacman)
    lab.publish(Pkg("plain", "1.2-1"))
    run(lab, script, "--refresh")
    execution = apply(instruction)
    assert (execution.exit_code, execution.message) == (26, "no longer offered, nor kept: plain=1.1-1")
    assert lab.versions()["plain"] == "1.0-1"


def test_an_archive_that_left_its_mirror_is_named(
    lab: PacmanLab, pacman: ScriptedManager, apply: Act
) -> None:
    instruction = planned(pacman)
    (lab.repository / "plain-1.1-1-any.pkg.tar.zst").unlink()
    execution = apply(instruction)
    assert (execution.exit_code, execution.native_code) == (29, 1)
    assert [(one.name, one.lacks) for one in execution.failed] == [("plain", "file")]
    assert lab.versions()["base"] == "1.0-1"


def test_a_mirror_that_does_not_answer(lab: PacmanLab, pacman: ScriptedManager, apply: Act) -> None:
    instruction = planned(pacman)
    text = lab.configuration.read_text()
    lab.configuration.write_text(text.replace("Server = file://", "Server = http://127.0.0.1:9"))
    assert apply(instruction).exit_code == 21
    assert lab.versions()["base"] == "1.0-1"


def test_a_corrupt_archive_is_not_installed(lab: PacmanLab, pacman: ScriptedManager, apply: Act) -> None:
    instruction = planned(pacman)
    file = lab.repository / "plain-1.1-1-any.pkg.tar.zst"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    execution = apply(instruction)
    assert execution.exit_code == 29
    assert [(one.name, one.lacks) for one in execution.failed] == [("plain", "file")]
    assert "corrupt" in execution.message
    assert lab.versions()["base"] == "1.0-1"


def test_an_archive_that_must_be_signed_and_is_not(
    lab: PacmanLab, pacman: ScriptedManager, apply: Act
) -> None:
    instruction = planned(pacman)
    text = lab.configuration.read_text()
    level = "\nSigLevel = Required DatabaseOptional\n"
    lab.configuration.write_text(text.replace("\nSigLevel = Never\n", level))
    execution = apply(instruction)
    assert execution.exit_code == 28
    assert {one.name for one in execution.failed} <= {one.name for one in instruction.changes}
    assert lab.versions()["base"] == "1.0-1"


def test_files_of_others_are_not_overwritten(
    lab: PacmanLab, script: PatchScript, pacman: ScriptedManager, apply: Act
) -> None:
    lab.publish(CLASHING)
    run(lab, script, "--refresh")
    execution = apply(planned(pacman))
    assert execution.exit_code == 28
    (failed,) = execution.failed
    assert "usr/share/lab/victim exists in filesystem (owned by victim)" in failed.message
    assert (failed.name, failed.rivals) == (CLASHING.name, (Rival("victim", "", "1.0-1"),))
    assert lab.versions()["base"] == "1.0-1"
    assert not lab.lock.exists()


def test_two_updates_with_one_file_are_both_named(
    lab: PacmanLab, script: PatchScript, pacman: ScriptedManager, apply: Act
) -> None:
    lab.publish(*(Pkg(name, "1.3-1", files={"usr/share/lab/shared": name}) for name in ("plain", "lima")))
    run(lab, script, "--refresh")
    execution = apply(planned(pacman))
    assert execution.exit_code == 28
    assert {(one.name, one.rivals) for one in execution.failed} == {
        ("plain", (Rival("lima", "", "1.3-1"),)),
        ("lima", (Rival("plain", "", "1.3-1"),)),
    }
    assert lab.versions()["base"] == "1.0-1"


def add_failing_hook(lab: PacmanLab, file: str, target: str, description: str, *action: str) -> None:
    """Let a hook of the operator fail at each upgrade of ``target``; ``action`` says when, and what of it."""
    said = "\n".join((f"Description = {description}...", *action, "Exec = /bin/sh -c 'exit 3'"))
    (lab.root / f"etc/pacman.d/hooks/{file}").write_text(
        f"[Trigger]\nOperation = Upgrade\nType = Package\nTarget = {target}\n[Action]\n{said}\n"
    )


def test_a_hook_of_the_operator_that_is_against_it_is_told_as_such(
    lab: PacmanLab, pacman: ScriptedManager, apply: Act
) -> None:
    when = ("When = PreTransaction", "AbortOnFail")
    add_failing_hook(lab, "05-snap.hook", "*", "Making a snapshot", *when)
    execution = apply(planned(pacman))
    assert execution.exit_code == 28
    assert [failed.name for failed in execution.failed] == ["hook Making a snapshot"]
    assert "something else" not in execution.message
    assert lab.versions()["base"] == "1.0-1"


@pytest.fixture
def small(lab: PacmanLab) -> Iterator[Path]:
    """A file system with hardly any space, where the lab's files go."""
    path = lab.root / "usr"
    kept = lab.folder / "usr"
    path.rename(kept)
    path.mkdir()
    # Where the shell's libraries are below /usr, they have their place, too.
    held = sum(file.stat().st_size + 4096 for file in kept.rglob("*")) // 1024
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={held + 64}k", "lab", str(path)], check=True)
    subprocess.run(["cp", "-a", f"{kept}/.", str(path)], check=True)
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_is_seen_before_anything_is_changed(
    lab: PacmanLab, script: PatchScript, pacman: ScriptedManager, apply: Act, small: Path
) -> None:
    lab.publish(Pkg("plain", "1.2-1", files={"usr/share/lab/large": "x" * 200_000}, size=200_000))
    run(lab, script, "--refresh")
    lab.configure("CheckSpace")
    execution = apply(planned(pacman))
    assert execution.exit_code == 23
    assert lab.versions()["base"] == "1.0-1"
    assert not (small / "share/lab/large").exists()


# --- what people and scripts leave --------------------------------------------------------------------


def test_a_scriptlet_that_fails_is_told_although_pacman_is_content(
    lab: PacmanLab, script: PatchScript, shell: tuple[str, ...], folder: Folder
) -> None:
    pacman = ScriptedManager(PACMAN, LocalTarget(lab.environment, shell), script, lab.cache)
    lab.publish(FAILING)
    run(lab, script, "--refresh")
    execution = pacman.apply(planned(pacman), folder())
    assert (execution.exit_code, execution.native_code) == (27, 0)
    assert execution.failed == (FailedPackage("plain", "error: command failed to execute correctly"),)
    assert lab.versions() == {**AFTER, "plain": "1.2-1"}


def test_a_hook_that_fails_is_told_by_its_own_words(
    lab: PacmanLab, pacman: ScriptedManager, apply: Act
) -> None:
    add_failing_hook(lab, "x.hook", "plain", "Rebuilding something", "When = PostTransaction")
    execution = apply(planned(pacman))
    assert execution.exit_code == 27
    assert [failed.name for failed in execution.failed] == ["hook Rebuilding something"]


def test_a_changed_configuration_file_stays_and_the_new_one_waits(
    lab: PacmanLab, pacman: ScriptedManager, apply: Act
) -> None:
    file = lab.root / "etc/configured.conf"
    file.write_text("mine\n")
    execution = apply(planned(pacman))
    assert execution.conffiles == ("/etc/configured.conf.pacnew",)
    assert (file.read_text(), file.with_name("configured.conf.pacnew").read_text()) == ("mine\n", "new\n")


def test_where_the_new_one_is_wanted_the_changed_one_is_kept_beside_it(
    lab: PacmanLab, pacman: ScriptedManager, apply: Act
) -> None:
    file = lab.root / "etc/configured.conf"
    file.write_text("mine\n")
    execution = apply(replace(planned(pacman), conffiles="new"))
    assert execution.conffiles == ("/etc/configured.conf.pacsave",)
    assert (file.read_text(), file.with_name("configured.conf.pacsave").read_text()) == ("new\n", "mine\n")


# --- download -----------------------------------------------------------------------------------------


def test_what_was_downloaded_can_be_applied_without_a_mirror(
    lab: PacmanLab, pacman: ScriptedManager, folder: Folder, apply: Act
) -> None:
    instruction = planned(pacman)
    versions = lab.versions()
    assert pacman.download(instruction, folder()) == Execution(0)
    assert lab.versions() == versions
    assert (lab.archives / "plain-1.1-1-any.pkg.tar.zst").exists()
    lab.repository.rename(lab.folder / "elsewhere")
    assert apply(instruction).exit_code == 0
    assert lab.versions() == AFTER


def test_a_download_refuses_what_an_apply_would(pacman: ScriptedManager, folder: Folder) -> None:
    assert pacman.download(named(pacman, "plain"), folder()).exit_code == 25


# --- back ---------------------------------------------------------------------------------------------


def reverse(instruction: Instruction) -> Instruction:
    """Return the way back, as a rollback names it."""
    back = [
        Change("downgrade", change.name, change.arch, change.to_version, change.from_version)
        if change.from_version and change.to_version
        else Change("remove", change.name, change.arch, change.to_version, None)
        if change.to_version
        else Change("install", change.name, change.arch, None, change.from_version)
        for change in instruction.changes
    ]
    return Instruction(tuple(back), automatic=("base:any", "pair-data:any"))


def test_kept_packages_are_the_way_back(
    lab: PacmanLab, script: PatchScript, shell: tuple[str, ...], folder: Folder
) -> None:
    pacman = ScriptedManager(PACMAN, LocalTarget(lab.environment, shell), script, lab.cache)
    before, marks = lab.versions(), lab.automatic()
    lab.keep_archives(*OLD)
    there = planned(pacman)
    assert pacman.apply(there, folder()).exit_code == 0
    assert pacman.apply(reverse(there), folder()) == Execution(0)
    assert (lab.versions(), lab.automatic()) == (before, marks)
    assert pacman.apply(reverse(there), folder()).exit_code == 10


def test_the_way_back_refuses_to_remove_what_is_not_named(
    lab: PacmanLab, pacman: ScriptedManager, apply: Act
) -> None:
    lab.keep_archives(*OLD)
    there = planned(pacman)
    apply(there)
    back = reverse(there)
    short = replace(back, changes=tuple(each for each in back.changes if each.name != "replacer"))
    execution = apply(short)
    assert execution.exit_code == 25
    assert execution.message.endswith("it would also remove replacer 2.0-1")
    assert lab.versions() == AFTER


def test_what_was_not_kept_cannot_come_back(lab: PacmanLab, pacman: ScriptedManager, apply: Act) -> None:
    there = planned(pacman)
    apply(there)
    execution = apply(Instruction((Change("downgrade", "plain", "any", "1.1-1", "1.0-1"),)))
    assert (execution.exit_code, execution.message) == (26, "no longer offered, nor kept: plain=1.0-1")
    assert lab.versions() == AFTER


# --- the lock -----------------------------------------------------------------------------------------

HOLDER = """
import os, sys
lock = open(sys.argv[1], "x")
print("held", flush=True)
sys.stdin.read()
os.unlink(sys.argv[1])
"""


@pytest.fixture
def holder(lab: PacmanLab) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that holds pacman's lock as pacman does."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lab.lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process


def test_a_lock_of_another_is_named_and_left_alone(
    lab: PacmanLab,
    script: PatchScript,
    shell: tuple[str, ...],
    folder: Folder,
    holder: "subprocess.Popen[bytes]",
) -> None:
    pacman = ScriptedManager(PACMAN, LocalTarget(lab.environment, shell), script, lab.cache)
    instruction = planned(pacman)
    for execution in (pacman.apply(instruction, folder()), pacman.repair(Instruction(()), folder())):
        assert execution.exit_code == 20
        assert f"(pid {holder.pid})" in execution.message
    assert lab.lock.exists()
    assert lab.versions()["plain"] == "1.0-1"


def test_a_lock_is_waited_for(
    lab: PacmanLab, pacman: ScriptedManager, apply: Act, holder: "subprocess.Popen[bytes]"
) -> None:
    instruction = replace(planned(pacman), lock_wait=timedelta(minutes=1))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(apply, instruction)
        assert holder.stdin is not None
        holder.stdin.close()
        assert waiting.result(timeout=60).exit_code == 0
    assert lab.versions() == AFTER


def test_only_root_may(lab: PacmanLab, script: PatchScript, pacman: ScriptedManager) -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh")
    target = LocalTarget(lab.environment, nobody)
    for verb in ("--apply", "--download"):
        sections = script.run(target, [verb, "--install", "plain:any=1.1-1"], timeout=60)
        assert sections.exit_code == 1
        assert "unless you are root" in sections.need("refused").errors[0]
    assert os.geteuid() == 0
    assert pacman.resolve(Question()).exit_code == 0
