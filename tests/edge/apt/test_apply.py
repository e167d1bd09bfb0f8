"""What ``--apply`` makes of a root, with the real apt and dpkg: exactly what is named, or nothing."""

import os
import random
import re
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Literal

import pytest

from reconciler.managers.apt import APT
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Question, RefreshOutcome
from reconciler.planning.runs.execution import Execution, FailedPackage, Instruction, automatic_after
from reconciler.targets.local import LocalTarget
from tests.edge.apt.conftest import reads_after_a_signal
from tests.edge.apt.instructions import OURS, REMOVING, against, difference, to, untouched
from tests.labs.apt import MAIN, PAUSE, AptLab, Deb
from tests.labs.naming import moved

WHOLE = to(
    "plain=1.1", "epoch=1:1.0-2", "secure=1.0+deb12u1", "pair=1.1", "pair-data=1.1", "newdep=1.1",
    "newdep-lib=1.0", "foreign:i386=1.1", "remover=2.0", remove="victim",
)  # fmt: skip


def manager(lab: AptLab, script: PatchScript, shell: tuple[str, ...] = ("sh",)) -> ScriptedManager:
    return ScriptedManager(APT, LocalTarget(lab.environment, shell), script, lab.cache)


def printed(folder: Path) -> str:
    return (folder / "out").read_text()


def test_what_is_named_is_made_and_nothing_else(
    lab: AptLab, script: PatchScript, shell: tuple[str, ...], folder: Path
) -> None:
    before = lab.versions()
    done = manager(lab, script, shell).apply(WHOLE, folder)
    assert done == Execution(0)
    assert difference(before, lab.versions()) == {
        "epoch": "1:1.0-2", "foreign:i386": "1.1", "newdep": "1.1", "newdep-lib": "1.0", "pair": "1.1",
        "pair-data": "1.1", "plain": "1.1", "remover": "2.0", "secure": "1.0+deb12u1", "victim": None,
    }  # fmt: skip
    assert "Setting up plain (1.1)" in (folder / "log").read_text()
    assert lab.states() == {}


def test_no_setting_of_the_operators_changes_what_is_made(
    lab: AptLab, apt: ScriptedManager, folder: Path
) -> None:
    before = lab.versions()
    lab.configure(against(*OURS))
    lab.mark_auto("plain")
    named = replace(to("plain=1.1", "pair=1.1", "pair-data=1.1"), automatic=("plain:all",))
    assert apt.apply(named, folder) == Execution(0)
    assert difference(before, lab.versions()) == {"pair": "1.1", "pair-data": "1.1", "plain": "1.1"}
    assert "plain" in lab.automatic()


ODD = {"an_exporter": "1.1_rc2", "an_agent": "1:1.1", "odd.name+": "2(beta)%x^1;{}", "plus+": "1.1+"}


@pytest.mark.parametrize("source", ["file", "copy"])
def test_whatever_dpkg_lets_be_a_name_or_version_is_upgraded_and_kept(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path, source: str
) -> None:
    own_lab.configure('DPkg::Options:: "--force-bad-version";')
    own_lab.offer(*((Deb(name, "0.1"), Deb(name, version)) for name, version in ODD.items()))
    if source == "copy":
        own_lab.download_copies()
    changes = tuple(change for change in own_apt.resolve(Question("safe")).changes if change.name in ODD)
    assert {change.name: change.to_version for change in changes} == ODD
    assert own_apt.download(Instruction(changes), second_folder).exit_code in {0, 10}
    assert own_apt.apply(Instruction(changes), folder) == Execution(0)
    assert {name: own_lab.versions()[name] for name in ODD} == ODD
    kept = {path.name for path in (own_lab.cache / "kept").glob("*.deb")}
    assert {"an%5fexporter_1.1%5frc2_all.deb", "an%5fagent_1%3a1.1_all.deb"} <= kept


def test_another_build_of_the_installed_version_is_installed_once_and_holds_up_nothing(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    own_lab.offer(
        (Deb("rebuilt", "1.0", fields={"Depends": "base"}), Deb("rebuilt", "1.0", fields={"Depends": "user"}))
    )
    own_lab.configure(REMOVING)
    instruction = Instruction(own_apt.resolve(Question("full")).changes)
    assert {"rebuilt", "remover", "victim"} <= {change.name for change in instruction.changes}
    assert own_apt.apply(instruction, folder) == Execution(0)
    assert "Unpacking rebuilt (1.0) over (1.0)" in (folder / "log").read_text()
    assert own_apt.resolve(Question("full")).changes == ()
    assert own_apt.apply(instruction, second_folder) == Execution(10)


@pytest.mark.parametrize("mode", ["safe", "full"])
def test_a_whole_plan_is_made_as_planned_and_then_nothing_is_left(
    lab: AptLab, apt: ScriptedManager, folder: Path, second_folder: Path, mode: str
) -> None:
    question = Question("full" if mode == "full" else "safe")
    instruction = Instruction(apt.resolve(question).changes)
    before = lab.versions()
    assert apt.apply(instruction, folder).exit_code == 0
    changed = difference(before, lab.versions())
    assert {name.removesuffix(":i386") if name.startswith("foreign") else name for name in changed} == set(
        moved(instruction.changes)
    )
    assert sorted(changed.values(), key=str) == sorted(moved(instruction.changes).values(), key=str)
    assert apt.resolve(question).changes == ()
    digest = lab.digest()
    assert apt.apply(instruction, second_folder) == Execution(10)
    assert lab.digest() == digest


def test_what_is_there_already_is_left_alone(
    lab: AptLab, apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    apt.apply(to("plain=1.1"), folder)
    assert apt.apply(to("plain=1.1", "secure=1.0+deb12u1"), second_folder) == Execution(0)
    assert "plain" not in printed(second_folder)
    assert lab.versions()["secure"] == "1.0+deb12u1"


@pytest.mark.parametrize(
    "case",
    [
        (to("pair=1.1"), 25, "apt would do something else: install pair-data 1.1"),
        (to("newdep=1.1"), 25, "apt would do something else: install newdep-lib 1.0"),
        (to("remover=2.0"), 25, "apt would do something else: remove victim"),
        (to("plain=1.1", remove="base"), 25, "apt would do something else: remove user"),
        (to("unsat=1.1"), 25, "Depends"),
        (to("plain=1.1", "lima=1.1"), 25, "held by the operator: lima"),
        (to(remove="lima"), 25, "held by the operator: lima"),
        (to("plain=7", "secure=1.0+deb12u1"), 26, "Version '7' for 'plain' was not found"),
        (to("no-such-package=1.1"), 26, "Unable to locate package no-such-package"),
        (to("sup.rseded=1.2"), 26, "install superseded 1.2; not install sup.rseded"),
        (replace(to("user=1.1", "base=1.1"), exclude=("base",)), 25, "named, and must not move: base"),
        (replace(to("newdep=1.1"), block=("newdep-lib",)), 25, "newdep : Depends: newdep-lib"),
    ],
)
def test_anything_else_is_refused_before_anything_is_changed(
    lab: AptLab, apt: ScriptedManager, folder: Path, case: tuple[Instruction, int, str]
) -> None:
    instruction, code, words = case
    lab.hold_package("lima")
    before = untouched(lab)
    done = apt.apply(instruction, folder)
    assert done.exit_code == code
    assert words in done.message + printed(folder)
    assert untouched(lab) == before


def test_refusals_are_the_same_under_busybox(lab: AptLab, script: PatchScript, folder: Path) -> None:
    before = untouched(lab)
    done = manager(lab, script, ("busybox", "sh")).apply(to("pair=1.1"), folder)
    assert (done.exit_code, done.message) == (25, "apt would do something else: install pair-data 1.1")
    assert untouched(lab) == before


def test_what_is_only_recommended_does_not_come_in(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    own_lab.publish(
        MAIN, Deb("polite", "1.0", fields={"Recommends": "newdep-lib", "Suggests": "replacer-doc"})
    )
    own_lab.refresh()
    before = own_lab.versions()
    assert own_apt.apply(to("polite=1.0"), folder) == Execution(0)
    assert difference(before, own_lab.versions()) == {"polite": "1.0"}


def test_what_comes_from_the_same_source_does_not_move_along(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    """By itself, apt upgrades with a named package all installed ones that were built from its source."""
    siblings = [Deb(name, "1.1", fields={"Source": "tools"}) for name in ("tools-one", "tools-two")]
    own_lab.install(*(replace(one, version="1.0") for one in siblings))
    own_lab.publish(MAIN, *siblings)
    own_lab.refresh()
    alone = own_apt.resolve(Question("safe", only=("tools-one", "1.1")))
    assert [(change.name, change.to_version) for change in alone.changes] == [("tools-one", "1.1")]
    assert own_apt.apply(to("tools-one=1.1"), folder) == Execution(0)
    assert (own_lab.versions()["tools-one"], own_lab.versions()["tools-two"]) == ("1.1", "1.0")


def test_a_downgrade_is_made_where_it_is_named(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    own_lab.publish(MAIN, Deb("plain", "1.0"))
    own_lab.refresh()
    own_apt.apply(to("plain=1.1", "secure=1.0+deb12u1"), folder)
    assert own_apt.apply(to("plain=1.0", "lima=1.1"), second_folder) == Execution(0)
    assert own_lab.versions()["plain"] == "1.0"
    assert own_lab.versions()["lima"] == "1.1"


def test_a_package_may_become_one_of_the_machines_architecture(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    own_lab.publish(MAIN, Deb("plain", "1.2", arch="amd64"))
    own_lab.refresh()
    assert own_apt.apply(to("plain=1.2"), folder) == Execution(0)
    assert own_lab.versions()["plain"] == "1.2"
    assert own_apt.apply(to("plain:amd64=1.2"), second_folder) == Execution(10)


def test_packages_are_removed_by_name_and_nothing_else(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    own_lab.install(Deb("odd++", "1.0"), Deb("odd+", "1.0"))
    before = own_lab.versions()
    assert own_apt.apply(to(remove="odd++ victim"), folder) == Execution(0)
    assert difference(before, own_lab.versions()) == {"odd++": None, "victim": None}


def test_what_is_essential_is_not_removed(own_lab: AptLab, own_apt: ScriptedManager, folder: Path) -> None:
    own_lab.install(Deb("core", "1.0", fields={"Essential": "yes"}))
    done = own_apt.apply(to("plain=1.1", remove="core"), folder)
    assert (done.exit_code, done.message) == (25, "apt would remove packages that are essential")
    assert own_lab.versions()["core"] == "1.0"


def test_maintainer_scripts_are_told_that_nobody_answers(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    tell = 'env >"$DPKG_ROOT/run/told"; readlink /proc/self/fd/0 >>"$DPKG_ROOT/run/told"'
    own_lab.offer((Deb("asker", "1.0"), Deb("asker", "1.1", scripts={"postinst": tell})))
    assert own_apt.apply(to("asker=1.1"), folder) == Execution(0)
    assert {
        "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1", "NEEDRESTART_MODE=l",
        "APT_LISTCHANGES_FRONTEND=none", "UCF_FORCE_CONFFOLD=1", "/dev/null",
    } <= set((own_lab.root / "run/told").read_text().splitlines())  # fmt: skip


def test_a_request_to_end_waits_for_the_managers_end(
    own_lab: AptLab, script: PatchScript, shell: tuple[str, ...], folder: Path
) -> None:
    own_lab.offer((Deb("slow", "1.0"), Deb("slow", "1.1", scripts={"postinst": PAUSE})))
    own_lab.mark_auto("slow")
    apt = manager(own_lab, script, shell if reads_after_a_signal(shell) else ("dash",))
    own_lab.arrange_pause()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(apt.apply, replace(to("slow=1.1"), automatic=("slow:all",)), folder)
        own_lab.wait_for_pause()
        os.kill(int((folder / "process").read_text().split()[0]), signal.SIGTERM)
        own_lab.end_pause()
        assert running.result() == Execution(0)
    assert own_lab.automatic() == {"slow"}


def test_a_phased_update_that_is_named_is_made(lab: AptLab, apt: ScriptedManager, folder: Path) -> None:
    assert apt.apply(to("phased=1.1"), folder) == Execution(0)
    assert lab.versions()["phased"] == "1.1"


def test_the_operators_pins_hooks_and_options_stay_in_force(
    lab: AptLab, apt: ScriptedManager, folder: Path
) -> None:
    lab.prefer("Package: superseded\nPin: version 1.1\nPin-Priority: 990\n")
    lab.configure(
        f'DPkg::Pre-Install-Pkgs:: "cat >{lab.folder}/before";\n'
        f'DPkg::Post-Invoke:: "echo done >{lab.folder}/after";\n'
        'APT::Get::Assume-No "true";\nAPT::Get::Purge "true";\nAPT::Get::AutomaticRemove "true";\n'
    )
    lab.mark_auto("local")
    assert apt.apply(to("superseded=1.1", "remover=2.0", remove="victim"), folder) == Execution(0)
    assert "superseded_1.1_all.deb" in (lab.folder / "before").read_text()
    assert (lab.folder / "after").read_text() == "done\n"
    assert lab.versions()["local"] == "1.0"


def test_what_a_metapackage_held_together_is_wanted_once_it_goes(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    own_lab.configure('APT::Never-MarkAuto-Sections { "metapackages"; };')
    held = {"Section": "metapackages", "Depends": "browser (>= 1), editor | other-editor"}
    own_lab.install(*(Deb(name, "1.0") for name in ("browser", "editor", "unrelated", "rival")))
    own_lab.install(Deb("desktop", "1.0", fields=held))
    own_lab.publish(MAIN, Deb("browser", "2.0"), Deb("rival", "2.0", fields={"Conflicts": "desktop"}))
    own_lab.refresh()
    for name in ("browser", "editor", "unrelated"):
        own_lab.mark_auto(name)
    named = to("browser=2.0", "rival=2.0", remove="desktop")
    done = own_apt.apply(replace(named, automatic=("browser:all",)), folder)
    assert done == Execution(0)
    assert own_lab.automatic() == {"unrelated"}


@pytest.mark.parametrize("is_wanted", [True, False])
def test_what_comes_in_for_an_empty_shell_is_wanted_as_its_former_self_was(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, *, is_wanted: bool
) -> None:
    own_lab.configure('APT::Move-Autobit-Sections { "oldlibs"; };')
    names = ("shell", "moved", "other")
    old = [Deb(name, "1.0", fields={"Section": "misc"}) for name in names]
    relations = {"Depends": "heir", "Recommends": "also"}
    shell = Deb("shell", "2.0", fields={"Section": "contrib/oldlibs", **relations})
    moved_on = Deb("moved", "2.0", fields={"Section": "oldlibs"})
    other = Deb("other", "2.0", fields={"Section": "misc", "Depends": "new"})
    own_lab.install(*old)
    own_lab.publish(MAIN, shell, moved_on, other, *(Deb(name, "1.0") for name in ("heir", "also", "new")))
    own_lab.refresh()
    for name in () if is_wanted else names:
        own_lab.mark_auto(name)
    before = own_apt.observe(datetime.now(UTC)).installed
    changes = tuple(
        change
        for change in own_apt.resolve(Question()).changes
        if change.name in {*names, "heir", "also", "new"}
    )
    assert len(changes) == 6
    named = Instruction(changes, automatic=automatic_after(changes, before, "apt"))
    assert own_apt.apply(named, folder) == Execution(0)
    automatic = own_lab.automatic()
    assert "new" in automatic
    assert ({"heir", "also"} <= automatic) is not is_wanted
    assert "other" in automatic or is_wanted


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        (
            'DPkg::Pre-Invoke:: "echo uncommitted; exit 1";',
            FailedPackage("hook DPkg::Pre-Invoke 'echo uncommitted; exit 1'", "uncommitted"),
        ),
        (
            'APT::Install::Pre-Invoke:: "echo not today; false";',
            FailedPackage("hook APT::Install::Pre-Invoke 'echo not today; false'", "not today"),
        ),
        (
            'DPkg::Pre-Install-Pkgs:: "echo a grave bug; exit 10";',
            FailedPackage("hook echo a grave bug; exit 10", "a grave bug"),
        ),
    ],
    ids=["before-dpkg", "before-apt", "told-the-packages"],
)
def test_a_hook_of_the_operators_that_is_against_it_is_named(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, hook: str, told: FailedPackage
) -> None:
    before = untouched(own_lab)
    own_lab.configure(hook)
    done = own_apt.apply(to("plain=1.1"), folder)
    assert (done.exit_code, done.failed) == (28, (told,))
    assert untouched(own_lab) == before


def test_a_hook_that_fails_when_all_is_done_was_against_nothing(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    own_lab.configure('DPkg::Post-Invoke:: "echo late; exit 1";')
    done = own_apt.apply(to("plain=1.1"), folder)
    assert (done.exit_code == 28, done.failed) == (False, ())
    assert own_lab.versions()["plain"] == "1.1"


def test_the_marks_stay_as_they_were_and_what_is_new_is_automatic(
    lab: AptLab, apt: ScriptedManager, folder: Path
) -> None:
    for name in ("plain", "pair-data", "lima", "both"):
        lab.mark_auto(name)
    before = apt.observe(datetime.now(UTC)).installed
    changes = apt.resolve(Question("full")).changes
    instruction = Instruction(changes, automatic=automatic_after(changes, before, "apt"))
    assert apt.apply(instruction, folder) == Execution(0)
    assert lab.automatic() == {"plain", "pair-data", "lima", "both", "newdep-lib"}


def test_a_failing_maintainer_script_is_named_and_the_others_are_finished(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    own_lab.offer(
        (Deb("golf", "1.0"), Deb("golf", "1.1", scripts={"postinst": "echo no luck; exit 3"})),
        (Deb("caddy", "1.0"), Deb("caddy", "1.1", fields={"Depends": "golf (>= 1.1)"})),
    )
    for name in ("golf", "plain"):
        own_lab.mark_auto(name)
    instruction = replace(
        to("golf=1.1", "caddy=1.1", "plain=1.1", "newdep=1.1", "newdep-lib=1.0"),
        automatic=("golf:all", "newdep-lib:all", "plain:all"),
    )
    done = own_apt.apply(instruction, folder)
    assert (done.exit_code, done.native_code) == (27, 100)
    told = {one.name: one.message for one in done.failed}
    # What dpkg calls the script is another word in newer ones.
    assert re.search(r" golf package .* script subprocess .* exit status 3$", told.pop("golf"))
    assert told == {"caddy": "dependency problems - leaving unconfigured"}
    assert own_lab.states() == {"golf": "install ok half-configured", "caddy": "install ok unpacked"}
    assert own_lab.versions()["newdep"] == "1.1"
    assert own_lab.automatic() == {"golf", "plain", "newdep-lib"}


def test_where_a_package_cannot_be_unpacked_the_others_are_finished(
    own_lab: AptLab, script: PatchScript, shell: tuple[str, ...], folder: Path
) -> None:
    own_lab.offer(
        (Deb("golf", "1.0", arch="i386"), Deb("golf", "1.1", arch="i386", scripts={"preinst": "exit 4"}))
    )
    done = manager(own_lab, script, shell).apply(
        to("golf:i386=1.1", "plain=1.1", "secure=1.0+deb12u1"), folder
    )
    assert done.exit_code == 27
    (failed,) = done.failed
    assert failed.name == "golf:i386"
    assert re.fullmatch(r"new golf:i386 package .* script subprocess .* exit status 4", failed.message)
    assert own_lab.states() == {}
    assert (own_lab.versions()["plain"], own_lab.versions()["golf:i386"]) == ("1.1", "1.0")


@pytest.mark.parametrize("conffiles", ["keep", "new"])
def test_a_changed_configuration_file(
    lab: AptLab, apt: ScriptedManager, folder: Path, conffiles: Literal["keep", "new"]
) -> None:
    content, left = {"keep": ("mine\n", "dist"), "new": ("new\n", "old")}[conffiles]
    etc = lab.root / "etc"
    (etc / "configured.conf").write_text("mine\n")
    (etc / "other.conf.dpkg-dist").write_text("of an earlier run\n")
    instruction = replace(to("configured=1.1"), conffiles=conffiles)
    assert apt.apply(instruction, folder) == Execution(0, conffiles=(f"/etc/configured.conf.dpkg-{left}",))
    assert (etc / "configured.conf").read_text() == content


def test_the_same_file_left_again_is_told_again(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    (own_lab.root / "etc/configured.conf").write_text("mine\n")
    own_apt.apply(to("configured=1.1"), folder)
    own_lab.publish(
        MAIN,
        Deb("configured", "1.2", files={"etc/configured.conf": "3\n"}, conffiles=("/etc/configured.conf",)),
    )
    own_lab.refresh()
    done = own_apt.apply(to("configured=1.2"), second_folder)
    assert done == Execution(0, conffiles=("/etc/configured.conf.dpkg-dist",))


def test_a_reboot_that_is_asked_for_is_told(own_lab: AptLab, own_apt: ScriptedManager, folder: Path) -> None:
    own_lab.offer(
        (Deb("kern", "1.0"), Deb("kern", "1.1", scripts={"postinst": ': >"$DPKG_ROOT/run/reboot-required"'}))
    )
    assert own_apt.apply(to("kern=1.1"), folder) == Execution(11)


HOOKS = (
    *("DPkg::Pre-Invoke", "DPkg::Post-Invoke", "AptCli::Hooks::Install"),
    *("APT::Install::Pre-Invoke", "APT::Install::Post-Invoke-Success"),
    *("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success"),
)


def test_another_root_is_patched_by_its_path(
    own_lab: AptLab, script: PatchScript, folder: Path, second_folder: Path
) -> None:
    settings = (own_lab.root / "etc/apt/lab.conf").read_text().splitlines(keepends=True)
    kept = [line for line in settings if not line.startswith(("Dir ", "Dir::State", "DPkg::Options"))]
    kept.append('DPkg::Options:: "--force-script-chrootless";\n')
    kept += [f'{hook}:: "touch {folder}/ran-{hook}";\n' for hook in HOOKS]
    (own_lab.root / "etc/apt/apt.conf.d/lab").write_text("".join(kept))
    below = ScriptedManager(APT, LocalTarget({}), script, own_lab.cache, root=own_lab.root)
    assert below.refresh().outcome is RefreshOutcome.REFRESHED
    before = own_lab.versions()
    assert below.apply(to("plain=1.1"), folder) == Execution(0)
    assert difference(before, own_lab.versions()) == {"plain": "1.1"}
    assert list(folder.glob("ran-*")) == []
    assert below.repair(Instruction(()), second_folder) == Execution(10)


# --- other programs ---

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> Popen[str]:
    """Lock a file as another package manager would, until standard input ends."""
    holder = Popen([sys.executable, "-c", HOLD, str(path)], stdin=PIPE, stdout=PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.mark.parametrize(
    "lock", ["lib/dpkg/lock-frontend", "lib/dpkg/lock", "lib/apt/lists/lock", "cache/apt/archives/lock"]
)
def test_whoever_holds_a_lock_is_named(lab: AptLab, apt: ScriptedManager, folder: Path, lock: str) -> None:
    before = untouched(lab)
    with hold(lab.root / "var" / lock) as holder:
        done = apt.apply(to("plain=1.1"), folder)
        assert done.exit_code == 20
        assert f"{lock} is held by python" in done.message
        assert f"(pid {holder.pid})" in done.message
        holder.communicate()
    assert untouched(lab) == before


class Rival(LocalTarget):
    """This machine, on which something else happens when a program is started for the first time."""

    def __init__(self, lab: AptLab, program: str, when: str, command: str) -> None:
        folder = lab.folder / "rival"
        folder.mkdir()
        path = folder / program
        path.write_text(
            f'#!/bin/sh\nif [ ! -e {folder}/done ] && case "$*" in {when}) ;; *) false ;; esac; then\n'
            f": >{folder}/done\n( {command} ) >{folder}/log 2>&1\nfi\n"
            f'exec {shutil.which(program)} "$@"\n'
        )
        path.chmod(0o755)
        super().__init__({**lab.environment, "PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"})


def by_hand(lab: AptLab, action: str) -> str:
    command = f"dpkg --root={lab.root} --force-script-chrootless {action}"
    return command.replace("POOL", f"{lab.repository}/pool")


def test_a_lock_is_waited_for(lab: AptLab, script: PatchScript, folder: Path) -> None:
    with hold(lab.admin / "lock-frontend") as holder:
        target = Rival(lab, "sleep", "*", f"kill {holder.pid}")
        apt = ScriptedManager(APT, target, script, lab.cache)
        instruction = replace(to("plain=1.1"), lock_wait=timedelta(minutes=5))
        assert apt.apply(instruction, folder) == Execution(0)
    assert lab.versions()["plain"] == "1.1"


def test_what_another_program_changed_meanwhile_is_not_changed_back(
    lab: AptLab, script: PatchScript, folder: Path
) -> None:
    with hold(lab.root / "var/lib/apt/lists/lock") as holder:
        newer = by_hand(lab, "-i POOL/superseded_1.2_all.deb")
        target = Rival(lab, "sleep", "*", f"kill {holder.pid}; {newer}")
        apt = ScriptedManager(APT, target, script, lab.cache)
        instruction = replace(to("superseded=1.1", "plain=1.1"), lock_wait=timedelta(minutes=5))
        done = apt.apply(instruction, folder)
    assert (done.exit_code, done.message) == (25, "changed by another program meanwhile: superseded")
    assert (lab.versions()["superseded"], lab.versions()["plain"]) == ("1.2", "1.0")


def test_a_repair_waits_for_what_a_killed_script_left_at_work_and_gives_marks_back(
    lab: AptLab, script: PatchScript, folder: Path
) -> None:
    """The apt of a script that was killed goes on; what it changes is what the run was to do."""
    lab.mark_auto("plain")
    with hold(lab.root / "var/lib/apt/lists/lock") as holder:
        finish = by_hand(lab, "-i POOL/plain_1.1_all.deb") + f"; apt-mark manual plain; kill {holder.pid}"
        apt = ScriptedManager(APT, Rival(lab, "sleep", "*", finish), script, lab.cache)
        instruction = replace(to("plain=1.1"), automatic=("plain:all",), lock_wait=timedelta(minutes=5))
        assert apt.repair(instruction, folder) == Execution(10)
    assert lab.versions()["plain"] == "1.1"
    assert "plain" in lab.automatic()


HOLD_ON = """
import fcntl, os, sys
here, there = os.pipe()
if os.fork():
    os.read(here, 1)
else:
    file = open(sys.argv[1], "w")
    fcntl.lockf(file, fcntl.LOCK_EX)
    os.write(there, b"1")
    open(sys.argv[2]).read()
"""


def test_a_lock_that_is_taken_after_asking_is_told_in_apts_words(
    lab: AptLab, script: PatchScript, folder: Path
) -> None:
    end, program = lab.folder / "end", lab.folder / "hold.py"
    os.mkfifo(end)
    program.write_text(HOLD_ON)
    command = f"{sys.executable} {program} {lab.admin}/lock-frontend {end}"
    target = Rival(lab, "apt-get", "*\\ -y\\ *", command)
    before = untouched(lab)
    done = ScriptedManager(APT, target, script, lab.cache).apply(to("plain=1.1"), folder)
    end.write_text("")
    assert (done.exit_code, done.native_code) == (20, 100)
    assert re.search(r"Could not get lock .*lock-frontend. It is held by process \d+ \(python", done.message)
    assert untouched(lab) == before


@pytest.mark.parametrize(
    "case",
    [
        ("-i POOL/superseded_1.1_all.deb POOL/hostile_1.1_all.deb", "change superseded 1.1"),
        ("-r newdep-lib", "install newdep-lib 1.0"),
    ],
)
def test_what_changes_between_asking_and_acting_is_seen_under_the_lock(
    lab: AptLab, script: PatchScript, folder: Path, second_folder: Path, case: tuple[str, str]
) -> None:
    rival, words = case
    ScriptedManager(APT, LocalTarget(lab.environment), script).apply(to("newdep-lib=1.0"), folder)
    target = Rival(lab, "apt-get", "*\\ -y\\ *", by_hand(lab, rival))
    before = lab.versions()
    apt = ScriptedManager(APT, target, script, lab.cache)
    done = apt.apply(to("superseded=1.2", "newdep=1.1", "plain=1.1"), second_folder)
    assert (done.exit_code, done.message) == (25, f"apt would do something else: {words}")
    assert "plain" not in difference(before, lab.versions())


def test_versions_are_compared_as_text(own_lab: AptLab, own_apt: ScriptedManager, folder: Path) -> None:
    own_lab.offer((Deb("ten", "1.1"), Deb("ten", "1.10")))
    assert own_apt.apply(to("ten=1.10"), folder) == Execution(0)
    assert own_lab.versions()["ten"] == "1.10"


# --- what goes wrong outside ---


class Confined(LocalTarget):
    """This machine, on which a folder is a small file system of its own."""

    def __init__(self, lab: AptLab, folder: Path, size: str) -> None:
        mount = f'mount -t tmpfs -o size={size} none {folder} && mkdir -p {folder}/partial && exec dash "$@"'
        super().__init__(lab.environment, ("unshare", "-m", "sh", "-c", mount, "sh"))


def noise(size: int) -> str:
    """Return text that cannot be made smaller than half of its size."""
    return random.Random(0).randbytes(size // 2).hex()


def test_without_space_for_the_archives_nothing_begins(
    own_lab: AptLab, script: PatchScript, folder: Path
) -> None:
    own_lab.offer((Deb("big", "1.0"), Deb("big", "1.1", files={"opt/big": noise(400_000)})))
    own_lab.download_copies()
    before = untouched(own_lab)
    target = Confined(own_lab, own_lab.root / "var/cache/apt/archives", "100k")
    done = ScriptedManager(APT, target, script, own_lab.cache).apply(to("big=1.1", "plain=1.1"), folder)
    assert (done.exit_code, done.failed) == (23, ())
    assert "You don't have enough free space" in done.message
    assert untouched(own_lab) == before


def test_without_space_to_unpack_the_package_is_named_and_the_others_are_finished(
    own_lab: AptLab, script: PatchScript, folder: Path
) -> None:
    own_lab.offer((Deb("big", "1.0"), Deb("big", "1.1", files={"opt/big/one": noise(400_000)})))
    (own_lab.root / "opt/big").mkdir(parents=True)
    target = Confined(own_lab, own_lab.root / "opt/big", "100k")
    done = ScriptedManager(APT, target, script, own_lab.cache).apply(to("big=1.1", "plain=1.1"), folder)
    assert done.exit_code == 23
    assert [one.name for one in done.failed] == ["big"]
    assert "No space left on device" in done.failed[0].message
    assert own_lab.states() == {}
    assert (own_lab.versions()["big"], own_lab.versions()["plain"]) == ("1.0", "1.1")


def test_a_package_with_other_bytes_than_promised_stops_everything(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    own_lab.download_copies()
    deb = own_lab.repository / "pool/plain_1.1_all.deb"
    deb.write_bytes(bytes(reversed(deb.read_bytes())))
    before = untouched(own_lab)
    done = own_apt.apply(to("plain=1.1", "lima=1.1"), folder)
    assert (done.exit_code, done.native_code) == (29, 100)
    assert [one.name for one in done.failed] == ["plain:all"]
    # apt 3 has no better word for it in what is copied.
    assert re.search("Hash Sum mismatch|Undetermined Error", done.message + printed(folder))
    assert untouched(own_lab) == before


def test_a_package_that_is_missing_stops_everything_and_is_named(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    (own_lab.repository / "pool/plain_1.1_all.deb").unlink()
    before = untouched(own_lab)
    done = own_apt.apply(to("plain=1.1", "lima=1.1"), folder)
    assert done.exit_code == 29
    assert [(one.name, one.lacks) for one in done.failed] == [("plain:all", "file")]
    assert "plain_1.1_all.deb" in done.message
    assert untouched(own_lab) == before


def test_where_no_package_can_be_had_it_is_not_for_the_sake_of_any(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    for name in ("plain", "lima"):
        (own_lab.repository / f"pool/{name}_1.1_all.deb").unlink()
    assert own_apt.apply(to("plain=1.1", "lima=1.1"), folder).exit_code == 21


def test_a_package_that_is_promised_so_and_is_none(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    own_lab.install(Deb("bad", "1.0"))
    (own_lab.repository / "pool/bad_1.1_all.deb").write_bytes(b"no package at all")
    own_lab.publish(MAIN, Deb("bad", "1.1"))
    own_lab.refresh()
    done = own_apt.apply(to("bad=1.1", "lima=1.1"), folder)
    assert (done.exit_code, [one.name for one in done.failed]) == (21, ["bad"])
    assert (own_lab.versions()["bad"], own_lab.versions()["lima"]) == ("1.0", "1.1")
    assert own_lab.states() == {}


def test_what_nobody_signed_is_not_installed(own_lab: AptLab, own_apt: ScriptedManager, folder: Path) -> None:
    for name in ("InRelease", "Release.gpg"):
        (own_lab.repository / "dists" / MAIN / name).unlink(missing_ok=True)
    sources = own_lab.root / "etc/apt/sources.list"
    sources.write_text(re.sub(r"\[signed-by[^]]*\]", "[allow-insecure=yes]", sources.read_text()))
    shutil.rmtree(own_lab.root / "var/lib/apt/lists")
    own_lab.refresh()
    before = untouched(own_lab)
    done = own_apt.apply(to("plain=1.1"), folder)
    assert done.exit_code == 22
    assert "unauthenticated" in done.message
    assert untouched(own_lab) == before


def test_an_ordinary_user_may_not(lab: AptLab, script: PatchScript, folder: Path) -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh")
    folder.chmod(0o777)
    before = lab.digest()
    done = ScriptedManager(APT, LocalTarget(lab.environment, nobody), script).apply(to("plain=1.1"), folder)
    assert done.exit_code == 1
    assert "are you root?" in done.message
    assert lab.digest() == before
