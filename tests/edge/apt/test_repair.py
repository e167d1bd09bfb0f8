"""What ``--repair`` brings to an end after a run that somebody or something killed."""

import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.managers.apt import APT
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.targets.local import LocalTarget
from tests.edge.apt.instructions import difference, to
from tests.labs.apt import MAIN, PAUSE, AptLab, Deb

NOTHING = Instruction(())
# The old package's postrm runs when the new files are there and dpkg has not yet taken them over.
SLOW_TO_UNPACK = {"postrm": f'[ "$1" != upgrade ] || {{ {PAUSE}\n}}'}
SLOW_TO_CONFIGURE = {"postinst": PAUSE}
SLOW_TO_GO = {"prerm": f'[ "$1" != remove ] || {{ {PAUSE}\n}}'}


def killed(lab: AptLab, run: Callable[[], Execution], folder: Path) -> Execution:
    """Kill a run and all its children, when one of its maintainer scripts stands still."""
    lab.arrange_pause()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        lab.wait_for_pause()
        os.killpg(int((folder / "process").read_text().split()[0]), signal.SIGKILL)
        execution = running.result()
    lab.forget_pause()
    return execution


@pytest.fixture
def third_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "third"
    folder.mkdir()
    return folder


def test_where_nothing_is_broken_nothing_is_done(lab: AptLab, apt: ScriptedManager, folder: Path) -> None:
    before = lab.digest()
    assert apt.repair(NOTHING, folder) == Execution(10)
    assert lab.digest() == before


def test_a_run_killed_in_a_maintainer_script_is_finished(
    own_lab: AptLab, script: PatchScript, shell: tuple[str, ...], folder: Path, second_folder: Path
) -> None:
    apt = ScriptedManager(
        APT, LocalTarget({**own_lab.environment, "TMPDIR": str(own_lab.folder)}, shell), script, own_lab.cache
    )
    own_lab.offer((Deb("slow", "1.0"), Deb("slow", "1.1", scripts=SLOW_TO_CONFIGURE)))
    own_lab.mark_auto("slow")
    instruction = replace(to("slow=1.1", "plain=1.1"), automatic=("slow:all",))
    execution = killed(own_lab, lambda: apt.apply(instruction, folder), folder)
    assert not execution.is_finished
    assert "slow" in own_lab.states()
    own_lab.repository.rename(own_lab.folder / "gone")
    assert apt.repair(instruction, second_folder) == Execution(0)
    assert own_lab.states() == {}
    assert (own_lab.versions()["slow"], own_lab.versions()["plain"]) == ("1.1", "1.1")
    assert own_lab.automatic() == {"slow"}


def test_what_was_interrupted_must_be_repaired_first(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    own_lab.offer((Deb("slow", "1.0"), Deb("slow", "1.1", scripts=SLOW_TO_CONFIGURE)))
    killed(own_lab, lambda: own_apt.apply(to("slow=1.1"), folder), folder)
    assert own_apt.apply(to("plain=1.1"), second_folder).exit_code == 24
    assert own_lab.versions()["plain"] == "1.0"


def test_a_run_killed_while_unpacking_is_finished_with_what_belongs_to_it(
    own_lab: AptLab, script: PatchScript, shell: tuple[str, ...], folder: Path, second_folder: Path
) -> None:
    apt = ScriptedManager(
        APT, LocalTarget({**own_lab.environment, "TMPDIR": str(own_lab.folder)}, shell), script, own_lab.cache
    )
    own_lab.offer(
        (
            Deb("slow", "1.0", scripts=SLOW_TO_UNPACK),
            Deb("slow", "1.1", scripts=SLOW_TO_UNPACK, fields={"Depends": "tail (= 1.1)"}),
        ),
        (Deb("tail", "1.0"), Deb("tail", "1.1", fields={"Depends": "slow (= 1.1)"})),
    )
    before = own_lab.versions()
    instruction = to("slow=1.1", "tail=1.1", "superseded=1.2")
    killed(own_lab, lambda: apt.apply(instruction, folder), folder)
    assert own_lab.states()["slow"] == "install reinstreq half-installed"
    own_lab.publish(MAIN, Deb("slow", "1.2"), Deb("plain", "1.2"))
    own_lab.refresh()
    done = apt.repair(instruction, second_folder)
    assert (done.exit_code, done.failed) == (0, ())
    assert own_lab.states() == {}
    assert difference(before, own_lab.versions()) == {"slow": "1.1", "tail": "1.1"}


def test_what_no_repository_offers_any_more_comes_from_the_archives(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    own_lab.offer((Deb("slow", "1.0", scripts=SLOW_TO_UNPACK), Deb("slow", "1.1", scripts=SLOW_TO_UNPACK)))
    own_lab.download_copies()
    killed(own_lab, lambda: own_apt.apply(to("slow=1.1"), folder), folder)
    own_lab.withdraw(MAIN, "slow")
    own_lab.refresh()
    assert own_apt.repair(NOTHING, second_folder) == Execution(0)
    assert own_lab.versions()["slow"] == "1.1"
    assert own_lab.states() == {}


def test_what_nobody_has_any_more_stays_broken_and_is_named(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    own_lab.offer((Deb("slow", "1.0", scripts=SLOW_TO_UNPACK), Deb("slow", "1.1", scripts=SLOW_TO_UNPACK)))
    killed(own_lab, lambda: own_apt.apply(to("slow=1.1"), folder), folder)
    own_lab.withdraw(MAIN, "slow")
    own_lab.refresh()
    done = own_apt.repair(NOTHING, second_folder)
    assert done.exit_code == 24
    assert [(one.name, one.message) for one in done.failed] == [
        ("slow", "is half-installed, and must be reinstalled")
    ]


def test_a_script_that_always_fails_stays_a_failure(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path, third_folder: Path
) -> None:
    own_lab.offer((Deb("golf", "1.0"), Deb("golf", "1.1", scripts={"postinst": "exit 5"})))
    assert own_apt.apply(to("golf=1.1", "plain=1.1"), folder).exit_code == 27
    done = own_apt.repair(NOTHING, second_folder)
    assert (done.exit_code, [one.name for one in done.failed]) == (27, ["golf"])
    assert done.failed[0].message.endswith(" exit status 5")
    # And it keeps nobody else from being patched.
    done = own_apt.apply(to("secure=1.0+deb12u1"), third_folder)
    assert (done.exit_code, [one.name for one in done.failed]) == (27, ["golf"])
    assert own_lab.versions()["secure"] == "1.0+deb12u1"


def test_a_removal_that_had_begun_is_finished(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    own_lab.install(Deb("leaving", "1.0", scripts=SLOW_TO_GO))
    killed(own_lab, lambda: own_apt.apply(to(remove="leaving"), folder), folder)
    assert "leaving" in own_lab.states()
    assert own_apt.repair(NOTHING, second_folder) == Execution(0)
    assert "leaving" not in own_lab.versions()
    assert own_lab.states().get("leaving", "deinstall ok config-files").endswith("config-files")


def test_a_changed_configuration_file_is_kept_in_a_repair(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    own_lab.offer((Deb("slow", "1.0"), Deb("slow", "1.1", scripts={"preinst": PAUSE})))
    (own_lab.root / "etc/configured.conf").write_text("mine\n")
    instruction = to("configured=1.1", "slow=1.1")
    killed(own_lab, lambda: own_apt.apply(instruction, folder), folder)
    assert own_lab.states()["configured"] == "install ok unpacked"
    done = own_apt.repair(instruction, second_folder)
    assert done == Execution(0, conffiles=("/etc/configured.conf.dpkg-dist",))
    assert (own_lab.root / "etc/configured.conf").read_text() == "mine\n"


def test_marks_that_a_killed_run_left_are_set_right(
    lab: AptLab, apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    lab.mark_auto("plain")
    apt.apply(to("plain=1.1"), folder)
    assert lab.automatic() == set()
    assert apt.repair(replace(NOTHING, automatic=("plain:all",)), second_folder) == Execution(10)
    assert lab.automatic() == {"plain"}


def test_a_manager_that_is_killed_itself_leaves_something_to_repair(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    own_lab.offer((Deb("slow", "1.0"), Deb("slow", "1.1", scripts={"postinst": f"{PAUSE}\nkill -9 $PPID"})))
    done = own_apt.apply(to("slow=1.1", "plain=1.1"), folder)
    assert done.is_finished
    assert done.exit_code == 24
    own_lab.publish(MAIN, Deb("slow", "1.2"))
    assert own_apt.repair(NOTHING, second_folder).exit_code == 24


DIES_ONCE = {"postrm": 'if [ ! -e "$DPKG_ROOT/once" ]; then touch "$DPKG_ROOT/once"; kill -9 $PPID; fi'}
"""dpkg dies while the new files are there and the old package is not yet gone."""


def offer_partners(lab: AptLab, **scripts: dict[str, str]) -> Instruction:
    """Offer ``one`` 1.1, which needs the same version of ``two``, and something that is no part of it."""
    lab.offer(
        (Deb("two", "1.0"), Deb("two", "1.1")),
        (
            Deb("one", "1.0", fields={"Depends": "two (= 1.0)"}, scripts=scripts.get("old", {})),
            Deb("one", "1.1", fields={"Depends": "two (= 1.1)"}, scripts=scripts.get("new", {})),
        ),
    )
    return to("one=1.1", "two=1.1", "superseded=1.2")


def test_what_died_while_unpacking_is_repaired_with_its_partner(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    instruction = offer_partners(own_lab, old=DIES_ONCE)
    before = own_lab.versions()
    assert own_apt.apply(instruction, folder).exit_code == 24
    assert own_lab.states()["one"] == "install reinstreq half-installed"
    own_lab.publish(MAIN, Deb("two", "1.2"), Deb("one", "1.2", fields={"Depends": "two (= 1.2)"}))
    own_lab.refresh()
    done = own_apt.repair(instruction, second_folder)
    assert (done.exit_code, done.failed, own_lab.states()) == (0, (), {})
    moved = difference(before, own_lab.versions())
    assert moved.pop("superseded", "1.2") == "1.2"
    assert moved == {"one": "1.1", "two": "1.1"}


REFUSES_ONCE = {"preinst": 'if [ ! -e "$DPKG_ROOT/once" ]; then touch "$DPKG_ROOT/once"; kill -9 $$; fi'}
"""The new package's first script is ended from outside: the old version stays, beside its new partner."""


def test_what_its_partner_left_behind_comes_after_it(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    instruction = offer_partners(own_lab, new=REFUSES_ONCE)
    assert own_apt.apply(instruction, folder).exit_code == 24
    assert own_lab.versions()["one"] == "1.0"
    done = own_apt.repair(instruction, second_folder)
    assert (done.exit_code, done.failed) == (0, ())
    assert own_lab.versions()["one"] == "1.1"


def test_what_must_come_again_comes_after_the_partner_it_lacks(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    instruction = offer_partners(own_lab)
    unpack(own_lab, "one")
    status = own_lab.root / "var/lib/dpkg/status"
    status.write_text(status.read_text().replace("install ok unpacked", "install reinstreq unpacked"))
    assert own_lab.states() == {"one": "install reinstreq unpacked"}
    done = own_apt.repair(instruction, folder)
    assert (done.exit_code, done.failed, own_lab.states()) == (0, (), {})
    assert (own_lab.versions()["one"], own_lab.versions()["two"]) == ("1.1", "1.1")


def test_unmet_dependencies_that_are_not_mended_are_told(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    instruction = offer_partners(own_lab, new={"preinst": "exit 1"})
    own_apt.apply(instruction, folder)
    done = own_apt.repair(instruction, second_folder)
    assert done.exit_code == 27
    assert own_lab.versions()["one"] == "1.0"


def unpack(lab: AptLab, name: str) -> None:
    """Leave the offered version of a package unpacked, as a dpkg that was killed before the next one does."""
    (file,) = lab.repository.glob(f"pool/{name}_1.1_*.deb")
    subprocess.run(
        ["dpkg", f"--root={lab.root}", "--force-depends", "--force-script-chrootless", "--unpack", file],
        check=True,
        capture_output=True,
    )


def test_what_was_unpacked_without_its_partner_is_finished_with_it(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    instruction = offer_partners(own_lab)
    before = own_lab.versions() | {"one": "1.0"}
    unpack(own_lab, "one")
    done = own_apt.repair(instruction, folder)
    assert (done.exit_code, done.failed, own_lab.states()) == (0, (), {})
    assert difference(before, own_lab.versions()) == {"one": "1.1", "two": "1.1"}


def test_a_repair_moves_nothing_that_was_no_part_of_it(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    offer_partners(own_lab)
    unpack(own_lab, "one")
    done = own_apt.repair(to("one=1.1"), folder)
    assert done.exit_code == 24
    assert "install two 1.1" in done.message
    assert "apt-get -f install" in done.message
    assert own_lab.versions()["two"] == "1.0"


def test_a_repair_runs_what_apt_runs_around_dpkg(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    told = own_lab.root / "told"
    for when in ("Pre", "Post"):
        own_lab.configure(f'DPkg::{when}-Invoke {{ "echo {when} >>{told}"; }};')
    own_lab.offer((Deb("half", "1.0"), Deb("half", "1.1", scripts={"postinst": f"echo work >>{told}"})))
    unpack(own_lab, "half")
    assert own_apt.repair(NOTHING, folder) == Execution(0)
    assert told.read_text().split() == ["Pre", "work", "Post"]
    own_lab.configure('DPkg::Pre-Invoke { "exit 3"; };')
    unpack(own_lab, "half")
    done = own_apt.repair(NOTHING, second_folder)
    assert (done.exit_code, done.native_code) == (1, 3)
    assert "Problem executing scripts DPkg::Pre-Invoke 'exit 3'" in done.message
    assert told.read_text().split() == ["Pre", "work", "Post", "Pre"]


def test_what_is_offered_no_more_comes_from_what_was_fetched_with_its_partner(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    instruction = offer_partners(own_lab, old=DIES_ONCE)
    own_lab.download_copies()
    assert own_apt.apply(instruction, folder).exit_code == 24
    for name in ("one", "two"):
        own_lab.withdraw(MAIN, name)
    own_lab.refresh()
    assert own_apt.repair(instruction, second_folder).exit_code == 0
    assert (own_lab.states(), own_lab.versions()["one"], own_lab.versions()["two"]) == ({}, "1.1", "1.1")
