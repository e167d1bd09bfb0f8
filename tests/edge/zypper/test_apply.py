"""What ``--download`` and ``--apply`` do to a real root, and what they refuse."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Change, Question, RebootNeed, Rival
from reconciler.planning.runs.execution import Execution, FailedPackage, Instruction, automatic_after
from tests.edge.zypper.conftest import in_old_words, managed
from tests.labs.naming import moved
from tests.labs.rpm import Rpm
from tests.labs.zypper import ZypperLab

CONF = "etc/configured.conf"


def upgrade(name: str, to: str, arch: str = "noarch") -> Change:
    return Change("upgrade", name, arch, "1.0-1", to)


def removal(name: str) -> Change:
    return Change("remove", name, "noarch", "1.0-1", None)


def run(manager: ScriptedManager, folder: Path, *changes: Change, **more: object) -> Execution:
    instruction = Instruction(changes, **more)  # type: ignore[arg-type] # its own fields
    return manager.apply(instruction, fresh(folder))


def fresh(tmp_path: Path) -> Path:
    """Return a folder for one execution: they never share one."""
    return Path(tempfile.mkdtemp(dir=tmp_path))


def native_output(folder: Path) -> str:
    return (folder / "log").read_text()


# --- exactly what was named ---------------------------------------------------------------------------------


def test_the_whole_plan_is_applied_and_then_there_is_nothing_to_do(
    lab: ZypperLab, script: PatchScript, shell: Sequence[str], tmp_path: Path
) -> None:
    manager = managed(lab, script, tuple(shell))
    before = lab.versions()
    changes = manager.resolve(Question()).changes
    execution = manager.apply(Instruction(changes), fresh(tmp_path))
    assert execution == Execution(11)  # a patch that wants a reboot is among them
    wanted = moved(change for change in changes if change.to_version)
    gone = {change.name for change in changes if change.to_version is None}
    after = lab.versions()
    assert {name: after[name].split()[-1] for name in wanted} == wanted
    assert after["kernel-default"] == "5.14.21-1.1 5.14.21-2.1"
    assert set(after) == (set(before) | set(wanted)) - gone
    assert manager.resolve(Question()).changes == ()
    again = manager.apply(Instruction(changes), fresh(tmp_path))
    assert (again.exit_code, again.message) == (10, "")


def test_a_single_step_moves_nothing_else(lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path) -> None:
    before = lab.versions()
    assert run(zypper, tmp_path, upgrade("native", "1.1-1", "x86_64")) == Execution(0)
    assert lab.versions() == before | {"native": "1.1-1"}


def test_an_older_version_of_several_on_offer(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    assert run(zypper, tmp_path, upgrade("superseded", "1.1-1")).exit_code == 0
    assert lab.versions()["superseded"] == "1.1-1"


def test_a_downgrade_and_a_removal(lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path) -> None:
    run(zypper, tmp_path, upgrade("plain", "1.1-1"))
    back = Change("downgrade", "plain", "noarch", "1.1-1", "1.0-1")
    assert run(zypper, tmp_path, back, removal("victim")) == Execution(0)
    assert lab.versions()["plain"] == "1.0-1"
    assert "victim" not in lab.versions()


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ((upgrade("user", "1.1-1"),), "it would also install base 1.1-1"),
        ((upgrade("newdep", "1.1-1"),), "it would also install newdep-lib 1.0-1"),
        ((upgrade("obsoleter", "2.0-1"),), "it would also remove obsoleted"),
        ((upgrade("remover", "2.0-1"),), "remover-2.0-1.noarch conflicts with victim"),
        ((upgrade("plain", "1.1-1"), removal("pair-data")), "pair-1.0-1.noarch requires pair-data"),
        ((upgrade("unsat", "1.1-1"),), "nothing provides nobody-has-this"),
    ],
    ids=lambda value: value[0].name if isinstance(value, tuple) else "",
)
def test_another_transaction_than_the_named_one_is_refused(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path, changes: tuple[Change, ...], differs: str
) -> None:
    before = lab.digest()
    execution = run(zypper, tmp_path, *changes)
    assert execution.exit_code == 25
    assert differs in in_old_words(execution.message)
    assert lab.digest() == before


def test_what_is_excluded_or_blocked_stays_out_of_the_resolvers_run(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    before = lab.digest()
    changes = (upgrade("user", "1.1-1"), upgrade("base", "1.1-1"))
    excluded = run(zypper, tmp_path, *changes, exclude=("base",))
    assert excluded.exit_code == 25
    assert "base" in excluded.message
    changes = (upgrade("newdep", "1.1-1"), Change("install", "newdep-lib", "noarch", None, "1.0-1"))
    assert run(zypper, tmp_path, *changes, block=("newdep-lib",)).exit_code == 25
    assert lab.digest() == before


def test_a_version_that_left_the_repository_is_gone(
    own_lab: ZypperLab, own_zypper: ScriptedManager, tmp_path: Path
) -> None:
    own_lab.repository.withdraw(Rpm("plain", "1.1-1"))
    own_lab.repository.publish(Rpm("plain", "1.2-1"))
    own_lab.refresh()
    before = own_lab.digest()
    execution = run(own_zypper, tmp_path, upgrade("plain", "1.1-1"), upgrade("lima", "1.1-1"))
    assert execution == Execution(
        26, message="no longer available: plain:noarch=1.1-1; nor is its package kept"
    )
    assert own_lab.digest() == before


def test_a_lock_of_the_operator_refuses_and_is_the_same_afterwards(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    lab.lock("lima", "pla*")
    locks = lab.locks.read_bytes()
    execution = run(zypper, tmp_path, upgrade("lima", "1.1-1"))
    assert execution.exit_code == 25
    assert "lima" in execution.message
    assert run(zypper, tmp_path, upgrade("secure", "1.0-2"), exclude=("base",)).exit_code == 0
    assert lab.locks.read_bytes() == locks


def test_a_package_may_take_the_place_of_its_other_architecture(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    changes = tuple(one for one in zypper.resolve(Question("full")).changes if one.name == "twin")
    assert zypper.apply(Instruction(changes), fresh(tmp_path)).exit_code == 0
    assert lab.versions()["twin"] == "1.1-1"


@pytest.mark.parametrize("is_there", [False, True], ids=["both come", "one is there"])
def test_packages_with_one_file_are_named_with_it_and_nothing_is_begun(
    tmp_path: Path, script: PatchScript, *, is_there: bool
) -> None:
    lab = ZypperLab.empty(tmp_path / "lab")
    shared = {"usr/share/shared": "lima"}
    lab.install(Rpm("plain", "1.0-1"), Rpm("lima", "1.0-1", files=shared if is_there else {}))
    lab.repository.publish(Rpm("plain", "1.1-1", files={"usr/share/shared": "plain"}))
    if not is_there:  # in a call of its own: packages of one call share their files
        lab.repository.publish(Rpm("lima", "1.1-1", files=shared))
    lab.refresh()
    zypper = managed(lab, script)
    before = lab.versions()
    execution = run(zypper, tmp_path, *zypper.resolve(Question()).changes)
    assert execution.exit_code == 28
    version = before["lima"] if is_there else "1.1-1"
    failed = {one.name: one for one in execution.failed}
    assert failed["plain:noarch"].rivals == (Rival("lima", "noarch", version),)
    assert "/usr/share/shared" in failed["plain:noarch"].message
    assert ("lima:noarch" in failed) is not is_there
    assert lab.versions() == before


# --- marks, configuration files, reboot ---------------------------------------------------------------------


def test_what_was_installed_for_others_stays_so(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    lab.mark_automatic("plain", "local")
    changes = (*zypper.resolve(Question(security=True)).changes, upgrade("plain", "1.1-1"))
    automatic = automatic_after(changes, zypper.observe(datetime.now(UTC)).installed, "zypper")
    assert automatic == ("newdep-lib:noarch", "plain:noarch")
    assert zypper.apply(Instruction(changes, automatic=automatic), fresh(tmp_path)).exit_code == 11
    seen = {one.name for one in zypper.observe(datetime.now(UTC)).installed if one.automatic}
    assert seen == {"plain", "local", "newdep-lib"}


def test_a_changed_configuration_file_is_kept_and_the_new_one_reported(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    (lab.root / CONF).write_text("mine\n")
    execution = run(zypper, tmp_path, upgrade("configured", "1.1-1"))
    assert execution == Execution(0, conffiles=(f"/{CONF}.rpmnew",))
    assert (lab.root / CONF).read_text() == "mine\n"
    assert (lab.root / f"{CONF}.rpmnew").read_text() == "new\n"


def test_a_changed_configuration_file_makes_room_where_that_is_wanted(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    (lab.root / CONF).write_text("mine\n")
    execution = run(zypper, tmp_path, upgrade("configured", "1.1-1"), conffiles="new")
    assert execution == Execution(0, conffiles=(f"/{CONF}.rpmsave",))
    assert (lab.root / CONF).read_text() == "new\n"
    assert (lab.root / f"{CONF}.rpmsave").read_text() == "mine\n"
    assert not (lab.root / f"{CONF}.rpmnew").exists()


def test_an_untouched_configuration_file_is_replaced(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    assert run(zypper, tmp_path, upgrade("configured", "1.1-1")) == Execution(0)
    assert (lab.root / CONF).read_text() == "new\n"


def test_a_patch_that_wants_a_reboot_is_remembered_until_then(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    assert run(zypper, tmp_path, upgrade("plain", "1.1-1")).exit_code == 0
    assert zypper.observe(datetime.now(UTC)).reboot.need is RebootNeed.NOT_REQUIRED
    assert run(zypper, tmp_path, upgrade("rebooting", "1.1-1")) == Execution(11)
    assert zypper.observe(datetime.now(UTC)).reboot.need is RebootNeed.REQUIRED
    (lab.root / "run/reboot-needed").unlink()  # as a reboot does
    assert zypper.observe(datetime.now(UTC)).reboot.need is RebootNeed.NOT_REQUIRED


# --- download -----------------------------------------------------------------------------------------------


def test_what_was_downloaded_is_applied_without_the_repository_and_kept(
    own_lab: ZypperLab, own_zypper: ScriptedManager, tmp_path: Path
) -> None:
    changes = own_zypper.resolve(Question()).changes
    before = own_lab.versions()
    assert own_zypper.download(Instruction(changes), fresh(tmp_path)) == Execution(0)
    assert own_lab.versions() == before
    own_lab.repository.folder.rename(own_lab.folder / "elsewhere")
    assert own_zypper.apply(Instruction(changes), fresh(tmp_path)).exit_code == 11
    assert own_lab.versions()["plain"] == "1.1-1"
    kept = {path.name for path in (own_lab.root / "var/cache/zypp/packages").rglob("*.rpm")}
    assert {"plain-1.1-1.noarch.rpm", "native-1.1-1.x86_64.rpm"} <= kept


def test_an_archive_that_cannot_be_fetched_changes_nothing(
    own_lab: ZypperLab, own_zypper: ScriptedManager, tmp_path: Path
) -> None:
    own_lab.repository.file("plain", "1.1-1").unlink()
    before = own_lab.versions()
    instruction = Instruction((upgrade("lima", "1.1-1"), upgrade("plain", "1.1-1")))
    for execute in (own_zypper.download, own_zypper.apply):
        done = execute(instruction, fresh(tmp_path))
        assert done.exit_code == 29
        assert [(one.name, one.lacks) for one in done.failed] == [("plain:noarch", "file")]
    assert own_lab.versions() == before
    own_lab.repository.file("lima", "1.1-1").unlink()
    shutil.rmtree(own_lab.root / "var/cache/zypp/packages")
    assert own_zypper.apply(instruction, fresh(tmp_path)).exit_code == 21


def test_a_package_without_the_signature_it_must_have(
    own_lab: ZypperLab, own_zypper: ScriptedManager, tmp_path: Path
) -> None:
    own_lab.configure_repository(gpgcheck=True)
    execution = run(own_zypper, tmp_path, upgrade("plain", "1.1-1"), upgrade("lima", "1.1-1"))
    assert execution.exit_code == 22
    assert "Signature verification failed" in execution.message
    assert own_lab.versions()["lima"] == "1.0-1"


def test_metadata_that_zypper_cannot_use_make_no_transaction(
    own_lab: ZypperLab, own_zypper: ScriptedManager, tmp_path: Path
) -> None:
    own_lab.configure_repository("dead", "file:///nowhere")
    execution = run(own_zypper, tmp_path, upgrade("plain", "1.1-1"))
    assert execution == Execution(21, message="no metadata of dead: refresh first")


# --- when it fails ------------------------------------------------------------------------------------------


def test_a_failing_pre_scriptlet_stops_zypper_and_is_told(
    own_lab: ZypperLab, own_zypper: ScriptedManager, tmp_path: Path
) -> None:
    own_lab.repository.publish(Rpm("plain", "1.2-1", scripts={"pre": "error('not today')"}))
    own_lab.refresh()
    changes = (upgrade("base", "1.1-1"), upgrade("plain", "1.2-1"), upgrade("user", "1.1-1"))
    own_lab.mark_automatic("user")
    execution = own_zypper.apply(Instruction(changes, automatic=("user:noarch",)), tmp_path)
    assert (execution.exit_code, execution.native_code) == (27, 8)
    (failed,) = execution.failed
    assert failed.name == "plain"
    assert "not today" in failed.message
    assert own_lab.versions()["plain"] == "1.0-1"
    assert "user" in own_lab.automatic
    assert "not today" in native_output(tmp_path)
    # What zypper may not have come to is done without the one that fails.
    rest = own_zypper.resolve(Question(exclude=("plain",))).changes
    assert own_zypper.apply(Instruction(rest, exclude=("plain",)), fresh(tmp_path)).exit_code == 11
    assert own_lab.versions()["user"] == "1.1-1"


def test_a_failing_post_scriptlet_in_lua_is_told_although_zypper_may_be_content(
    own_lab: ZypperLab, own_zypper: ScriptedManager, tmp_path: Path
) -> None:
    own_lab.repository.publish(Rpm("plain", "1.2-1", scripts={"post": "error('too late')"}))
    own_lab.refresh()
    execution = run(own_zypper, tmp_path, upgrade("plain", "1.2-1"), upgrade("lima", "1.1-1"))
    assert execution.exit_code == 27
    assert execution.native_code in {0, 107}
    assert [failed.name for failed in execution.failed] == ["plain"]
    assert "too late" in execution.failed[0].message
    assert own_lab.versions()["plain"] == "1.2-1"
    assert own_lab.versions()["lima"] == "1.1-1"


def test_a_failing_post_scriptlet_in_sh(
    own_lab: ZypperLab, own_zypper: ScriptedManager, tmp_path: Path
) -> None:
    own_lab.give_shell()
    own_lab.repository.publish(Rpm("plain", "1.2-1", shell_scripts={"post": "exit 3"}))
    own_lab.refresh()
    execution = run(own_zypper, tmp_path, upgrade("plain", "1.2-1"))
    assert (execution.exit_code, execution.native_code) == (27, 107)
    assert execution.failed == (
        FailedPackage("plain", "warning: %post(plain-1.2-1.noarch) scriptlet failed, exit status 3"),
    )


def test_an_interrupted_run_is_repaired_first(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    lab.install(Rpm("plain", "1.1-1"))
    before = lab.versions()
    execution = run(zypper, tmp_path, upgrade("lima", "1.1-1"))
    assert execution == Execution(24, message="interrupted earlier: plain (1.0-1 and 1.1-1 at once)")
    assert lab.versions() == before


def test_a_lock_names_its_holder(lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path) -> None:
    before = lab.versions()
    (lab.root / "run/zypp.pid").write_text(f"{os.getpid()}\n")
    execution = run(zypper, tmp_path, upgrade("plain", "1.1-1"))
    assert execution.exit_code == 20
    assert str(os.getpid()) in execution.message
    assert lab.versions() == before


def test_it_waits_for_a_lock(lab: ZypperLab, tmp_path: Path) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as holder:
        (lab.root / "run/zypp.pid").write_text(f"{holder.pid}\n")
        folder = tmp_path / "run"
        folder.mkdir()
        argv = ["--apply", "--install", "plain:noarch=1.1-1", "--lock-wait", "60", "--root", str(lab.root)]
        with subprocess.Popen(
            ["sh", "scripts/patch/zypper-update.sh", *argv, "--log", str(folder / "log")],
            env={**os.environ, **lab.environment}, stdout=subprocess.PIPE, text=True,
        ) as waiting:  # fmt: skip
            assert waiting.stdout is not None
            said = ""
            while "[resolve]" not in said:  # what changes the machine comes next
                said += waiting.stdout.readline()
            holder.communicate()
            said += waiting.stdout.read()
    assert said.endswith("exit 0\n")
    assert lab.versions()["plain"] == "1.1-1"


def test_no_space_is_told(own_lab: ZypperLab, own_zypper: ScriptedManager, tmp_path: Path) -> None:
    full = own_lab.root / "usr/share/lab/plain"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(full)], check=True)
    try:
        (full / "filler").write_bytes(b"x" * 4096)
        execution = run(own_zypper, tmp_path, upgrade("plain", "1.1-1"))
    finally:
        subprocess.run(["umount", str(full)], check=True)
    assert execution.exit_code == 23
    assert own_lab.versions()["plain"] == "1.0-1"


def test_waiting_is_bounded(lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path) -> None:
    (lab.root / "run/zypp.pid").write_text(f"{os.getpid()}\n")
    execution = run(zypper, tmp_path, upgrade("plain", "1.1-1"), lock_wait=timedelta(seconds=1))
    assert execution.exit_code == 20
