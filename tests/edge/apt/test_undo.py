"""The way back, where the archive has dropped what was installed before."""

import os
from pathlib import Path

import pytest

from reconciler.managers.apt import APT
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Change
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.targets.local import LocalTarget
from tests.edge.apt.instructions import to, untouched
from tests.labs.apt import MAIN, SECURITY, AptLab, Deb, build_deb
from tests.labs.folders import Folder, numbered

FIRST = to("plain=1.1", "epoch=1:1.0-2", "replacer=1.1", "replaced=1.1", "user=1.1", "base=1.1")
SECOND = to("plain=1.2", "epoch=1:1.0-3", "replacer=2.0", "newdep=1.1", "newdep-lib=1.0", remove="replaced")
BACK = to("plain=1.1", "epoch=1:1.0-2", "replacer=1.1", "replaced=1.1", "newdep=1.0", remove="newdep-lib")


def offer_first(lab: AptLab) -> None:
    """Offer the versions from before, ``newdep`` in the one that is installed among them."""
    lab.withdraw(MAIN, "replacer")
    lab.publish(MAIN, Deb("replacer", "1.1"), Deb("replaced", "1.1"), Deb("newdep", "1.0"))
    lab.refresh()


def drop_first(lab: AptLab) -> None:
    """Offer only what is newer."""
    lab.withdraw(MAIN, "plain", "epoch", "replacer", "replaced")
    takes_place = {"Provides": "replaced", "Conflicts": "replaced", "Replaces": "replaced"}
    lab.publish(
        MAIN, Deb("plain", "1.2"), Deb("epoch", "1:1.0-3"), Deb("replacer", "2.0", fields=takes_place)
    )
    lab.refresh()


@pytest.fixture
def kept(own_lab: AptLab) -> Path:
    """Where the script keeps packages."""
    return own_lab.cache / "kept"


@pytest.fixture
def new(tmp_path: Path) -> Folder:
    """Make a folder for each execution."""
    return numbered(tmp_path)


@pytest.mark.parametrize("version", ["1,0", "1 0", "1.0;x=$(x)"])
def test_a_version_that_no_command_line_can_name_does_not_come_back(
    lab: AptLab, apt: ScriptedManager, new: Folder, version: str
) -> None:
    before = lab.digest()
    execution = apt.apply(Instruction((Change("downgrade", "plain", "all", "1.0", version),)), new())
    assert (execution.exit_code, execution.message) == (
        26,
        f"no command line can name the version {version}",
    )
    assert lab.digest() == before


def test_what_we_installed_comes_back_exactly_and_what_came_in_goes(
    own_lab: AptLab, script: PatchScript, shell: tuple[str, ...], new: Folder, kept: Path
) -> None:
    apt = ScriptedManager(APT, LocalTarget(own_lab.environment, shell), script, own_lab.cache)
    offer_first(own_lab)
    own_lab.mark_auto("base")
    apt.apply(Instruction(FIRST.changes, automatic=("base:all",)), new())
    before, marks = own_lab.versions(), own_lab.automatic()
    assert (kept / "epoch_1%3a1.0-2_all.deb").exists()
    drop_first(own_lab)
    apt.apply(SECOND, new())
    assert "replaced" not in own_lab.versions()
    back = apt.apply(BACK, new())
    assert back == Execution(0)
    assert (own_lab.versions(), own_lab.automatic()) == (before, marks)
    assert apt.apply(BACK, new()).exit_code == 10


def test_apts_own_archives_will_do(own_lab: AptLab, own_apt: ScriptedManager, new: Folder) -> None:
    own_lab.download_copies()
    own_lab.apt("install", "-y", "plain=1.1")
    own_lab.withdraw(MAIN, "plain")
    own_lab.publish(MAIN, Deb("plain", "1.2"))
    own_lab.refresh()
    own_lab.apt("install", "-y", "plain=1.2")
    assert own_apt.apply(to("plain=1.1"), new()) == Execution(0)
    assert own_lab.versions()["plain"] == "1.1"


def test_a_link_is_made_before_apt_deletes_what_it_fetched(
    own_lab: AptLab, own_apt: ScriptedManager, new: Folder, kept: Path
) -> None:
    own_lab.download_copies()
    own_lab.configure('APT::Keep-Downloaded-Packages "false";')
    assert own_apt.apply(to("plain=1.1"), new()).exit_code == 0
    assert own_lab.archives == []
    assert sorted(path.name for path in kept.iterdir()) == ["plain_1.1_all.deb"]


def test_what_was_never_kept_is_named_and_nothing_is_changed(
    own_lab: AptLab, own_apt: ScriptedManager, new: Folder
) -> None:
    own_apt.apply(to("plain=1.1", "user=1.1", "base=1.1"), new())
    before = untouched(own_lab)
    execution = own_apt.apply(to("plain=1.0", "base=1.1"), new())
    assert execution.exit_code == 26
    assert "'1.0' for 'plain'" in execution.message
    assert untouched(own_lab) == before


@pytest.mark.parametrize("damage", ["cut", "hollow", "another"])
def test_a_damaged_file_is_refused(
    own_lab: AptLab, own_apt: ScriptedManager, new: Folder, kept: Path, damage: str
) -> None:
    own_apt.apply(to("plain=1.1"), new())
    file = kept / "plain_1.1_all.deb"
    content = file.read_bytes()
    match damage:
        case "cut":
            file.write_bytes(content[:-40])
        case "hollow":
            file.write_bytes(content[:-60] + bytes(60))
        case _:
            file.write_bytes(build_deb(Deb("base", "1.1"), new()).read_bytes())
    own_lab.withdraw(MAIN, "plain")
    own_lab.publish(MAIN, Deb("plain", "1.2"))
    own_lab.refresh()
    own_apt.apply(to("plain=1.2"), new())
    before = untouched(own_lab)
    execution = own_apt.apply(to("plain=1.1"), new())
    assert (execution.exit_code, execution.message) == (
        26,
        f"no longer available, and what was kept is damaged: plain=1.1 ({file})",
    )
    assert untouched(own_lab) == before


def test_the_way_back_takes_nothing_along(own_lab: AptLab, own_apt: ScriptedManager, new: Folder) -> None:
    own_lab.publish(MAIN, Deb("base", "1.0"))
    own_lab.refresh()
    own_apt.apply(to("user=1.1", "base=1.1"), new())
    own_lab.withdraw(SECURITY, "newdep-lib")
    before = untouched(own_lab)
    execution = own_apt.apply(to("base=1.0"), new())
    assert execution.exit_code == 25
    assert untouched(own_lab) == before


def test_held_packages_stay(own_lab: AptLab, own_apt: ScriptedManager, new: Folder) -> None:
    own_apt.apply(to("plain=1.1"), new())
    own_lab.withdraw(MAIN, "plain")
    own_lab.publish(MAIN, Deb("plain", "1.2"))
    own_lab.refresh()
    own_apt.apply(to("plain=1.2"), new())
    own_lab.hold_package("plain")
    assert own_apt.apply(to("plain=1.1"), new()).message == "held by the operator: plain"


# --- how long, and how much ---------------------------------------------------------------------------


def apply(lab: AptLab, script: PatchScript, shell: tuple[str, ...], version: str, *options: str) -> None:
    named = ["--install", f"plain:all={version}", "--cache", str(lab.cache)]
    done = script.run(LocalTarget(lab.environment, shell), ["--apply", *named, *options], timeout=60)
    assert done.exit_code == 0


def test_what_was_superseded_goes_after_its_days_and_what_is_installed_stays(
    own_lab: AptLab, script: PatchScript, shell: tuple[str, ...], kept: Path
) -> None:
    own_lab.publish(MAIN, Deb("plain", "1.2"), Deb("plain", "1.3"), Deb("plain", "1.4"))
    own_lab.refresh()
    for version in ("1.1", "1.2", "1.3"):
        apply(own_lab, script, shell, version, "--keep-days", "2")
    names = ["plain_1.1_all.deb", "plain_1.1_all.deb.gone", "plain_1.2_all.deb", "plain_1.3_all.deb"]
    assert sorted(path.name for path in kept.iterdir()) == names
    for name, age in (("plain_1.1_all.deb.gone", 3), ("plain_1.3_all.deb", 1000)):
        then = (kept / name).stat().st_mtime - age * 86400
        os.utime(kept / name, (then, then))
    apply(own_lab, script, shell, "1.4", "--keep-days", "2")
    names = ["plain_1.2_all.deb", "plain_1.2_all.deb.gone", "plain_1.3_all.deb", "plain_1.4_all.deb"]
    assert sorted(path.name for path in kept.iterdir()) == names


def test_what_is_too_much_goes_the_longest_superseded_first(
    own_lab: AptLab, script: PatchScript, shell: tuple[str, ...], kept: Path
) -> None:
    own_lab.publish(MAIN, Deb("plain", "1.2"), Deb("plain", "1.3"))
    own_lab.refresh()
    for version in ("1.1", "1.2"):
        apply(own_lab, script, shell, version)
    for name in ("plain_1.1_all.deb", "plain_1.2_all.deb"):
        with (kept / name).open("ab") as file:
            file.truncate(700_000)
    apply(own_lab, script, shell, "1.3", "--keep-size", "1")
    assert sorted(path.name for path in kept.iterdir()) == ["plain_1.2_all.deb", "plain_1.3_all.deb"]
    apply(own_lab, script, shell, "1.2", "--keep-size", "0")
    assert sorted(path.name for path in kept.iterdir()) == []


def test_a_change_without_a_cache_keeps_nothing(
    own_lab: AptLab, script: PatchScript, new: Folder, kept: Path
) -> None:
    apt = ScriptedManager(APT, LocalTarget(own_lab.environment), script)
    change = Change("upgrade", "plain", "all", "1.0", "1.1")
    assert apt.apply(Instruction((change,)), new()).exit_code == 0
    assert not kept.exists()
