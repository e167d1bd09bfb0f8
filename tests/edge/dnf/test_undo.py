"""The way back, where the repository has dropped what was installed before."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.managers.dnf import DNF
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Change
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.targets.local import LocalTarget
from tests.edge.dnf.test_apply import come, go, named
from tests.labs.dnf import IS_5, DnfLab
from tests.labs.fileserver import serving
from tests.labs.rpm import Rpm

Folder = Callable[[], Path]

EPOCH = Rpm("epoch", "1:1.0-3")
FIRST = (
    come("plain", "1.1-1"),
    come("epoch", "1:1.0-2"),
    come("pair", "1.1-1"),
    come("pair-data", "1.1-1"),
    come("obsoleter", "1.1-1"),
    come("obsoleted", "1.1-1"),
    come("newdep", "1.0.1-1"),
)
SECOND = (
    come("plain", "1.2-1"),
    come("epoch", "1:1.0-3"),
    come("pair", "1.2-1"),
    come("pair-data", "1.2-1"),
    come("obsoleter", "2.0-1"),
    go("obsoleted"),
    come("newdep", "1.1-1"),
    come("newdep-lib", "1.0-1"),
)
BACK = (*FIRST, go("newdep-lib"))

BEFORE = (Rpm("obsoleter", "1.1-1"), Rpm("obsoleted", "1.1-1"), Rpm("newdep", "1.0.1-1"))
AFTER = (
    Rpm("plain", "1.2-1"),
    EPOCH,
    Rpm("pair", "1.2-1", fields={"Requires": "pair-data = 1.2-1"}),
    Rpm("pair-data", "1.2-1"),
)
DROPPED = (
    *BEFORE,
    Rpm("plain", "1.1-1"),
    Rpm("epoch", "1:1.0-2"),
    Rpm("pair", "1.1-1"),
    Rpm("pair-data", "1.1-1"),
)


def offer(lab: DnfLab, *packages: Rpm, without: tuple[Rpm, ...] = ()) -> None:
    """Offer packages, and drop others."""
    lab.repository.publish(*packages)
    if without:
        lab.repository.withdraw(*without)
    lab.refresh()


def automatic(lab: DnfLab) -> set[str]:
    """Return what is installed only for others; dnf knows no reason for what rpm installed."""
    return {name for name, reason in lab.reasons().items() if reason == "dependency"}


@pytest.fixture
def kept(own_lab: DnfLab) -> Path:
    """Where the script keeps packages."""
    return own_lab.cache / "kept"


@pytest.fixture
def twice(own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder) -> DnfLab:
    """A machine on which ``plain`` went to 1.1 and then to 1.2, which is all that is offered now."""
    assert own_dnf.apply(named(come("plain", "1.1-1")), folder()).exit_code == 0
    offer(own_lab, Rpm("plain", "1.2-1"), without=(Rpm("plain", "1.1-1"),))
    assert own_dnf.apply(named(come("plain", "1.2-1")), folder()).exit_code == 0
    return own_lab


def test_what_we_installed_comes_back_exactly_and_what_came_in_goes(
    own_lab: DnfLab, script: PatchScript, shell: tuple[str, ...], folder: Folder, kept: Path
) -> None:
    dnf = ScriptedManager(
        DNF, LocalTarget(own_lab.environment, shell), script, own_lab.cache, root=own_lab.root
    )
    offer(own_lab, *BEFORE)
    assert dnf.apply(named(*FIRST, automatic=("pair-data:noarch",)), folder()).exit_code == 0
    before, marks = own_lab.versions(), automatic(own_lab)
    assert (kept / "epoch-1.0-2.noarch.rpm").exists()
    offer(own_lab, *AFTER, without=DROPPED)
    marked = ("pair-data:noarch", "newdep-lib:noarch")
    assert dnf.apply(named(*SECOND, automatic=marked), folder()).exit_code == 0
    assert "obsoleted" not in own_lab.versions()
    mine = folder()
    assert dnf.apply(named(*BACK, automatic=("pair-data:noarch",)), mine) == Execution(0)
    assert (own_lab.versions(), automatic(own_lab)) == (before, marks)
    assert ("Removing" if IS_5 else "Removed:") in (mine / "log").read_text()
    assert dnf.apply(named(*BACK), folder()).exit_code == 10


def test_the_removal_of_something_else_is_made_with_an_upgrade(
    own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    assert own_dnf.apply(named(come("plain", "1.1-1"), go("victim")), folder()) == Execution(0)
    versions = own_lab.versions()
    assert (versions["plain"], versions.get("victim")) == ("1.1-1", None)


def test_a_removal_that_would_take_others_along_is_refused_before_anything_is_done(
    own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    before = own_lab.digest()
    execution = own_dnf.apply(named(come("plain", "1.1-1"), go("base")), folder())
    assert (execution.exit_code, execution.message) == (25, "dnf would also remove user.noarch 1.0-1")
    assert own_lab.digest() == before


@pytest.fixture
def served(own_lab: DnfLab) -> Iterator[DnfLab]:
    """The repository over HTTP, so that packages are downloaded."""
    with serving(own_lab.repository.folder) as url:
        own_lab.configure_repository(url=url)
        own_lab.refresh()
        yield own_lab


def test_dnfs_own_packages_will_do(served: DnfLab, script: PatchScript, folder: Folder) -> None:
    dnf = ScriptedManager(DNF, LocalTarget(served.environment), script, root=served.root)
    served.dnf("-y", "--setopt=keepcache=1", "install", "plain-1.1-1")
    offer(served, Rpm("plain", "1.2-1"), without=(Rpm("plain", "1.1-1"),))
    served.dnf("-y", "--setopt=keepcache=1", "upgrade", "plain")
    assert dnf.apply(named(come("plain", "1.1-1")), folder()) == Execution(0)
    assert served.versions()["plain"] == "1.1-1"


def test_what_is_fetched_is_kept_as_a_link(
    served: DnfLab, script: PatchScript, folder: Folder, kept: Path
) -> None:
    dnf = ScriptedManager(DNF, LocalTarget(served.environment), script, served.cache, root=served.root)
    assert dnf.apply(named(come("plain", "1.1-1")), folder()).exit_code == 0
    (file,) = kept.iterdir()
    assert (file.name, file.stat().st_nlink) == ("plain-1.1-1.noarch.rpm", 2)


def test_what_was_never_kept_is_named_and_nothing_is_changed(
    twice: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    before = twice.digest()
    execution = own_dnf.apply(named(come("plain", "1.0-1")), folder())
    assert (execution.exit_code, execution.message) == (
        26,
        "no longer available: plain:noarch=1.0-1; nor is its package kept",
    )
    assert twice.digest() == before


@pytest.mark.parametrize("damage", ["cut", "changed", "another"])
def test_a_damaged_file_is_refused(
    twice: DnfLab, own_dnf: ScriptedManager, folder: Folder, kept: Path, damage: str
) -> None:
    file = kept / "plain-1.1-1.noarch.rpm"
    content = file.read_bytes()
    match damage:
        case "cut":
            file.write_bytes(content[:-40])
        case "changed":
            file.write_bytes(content[:-40] + bytes(40))
        case _:
            file.write_bytes(twice.repository.file("base", "1.1-1").read_bytes())
    before = twice.digest()
    execution = own_dnf.apply(named(come("plain", "1.1-1")), folder())
    assert (execution.exit_code, execution.message) == (
        26,
        f"no longer available, and what was kept is damaged: plain=1.1-1 ({file})",
    )
    assert twice.digest() == before


def test_the_way_back_takes_nothing_along(own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder) -> None:
    offer(own_lab, Rpm("base", "1.0-1"))
    own_dnf.apply(named(come("user", "1.1-1"), come("base", "1.1-1")), folder())
    before = own_lab.digest()
    assert own_dnf.apply(named(come("base", "1.0-1")), folder()).exit_code == 25
    assert own_lab.digest() == before


def test_a_lock_of_the_operators_holds_for_files_as_well(
    twice: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    twice.lock("plain", "1.2-1")
    before = twice.digest()
    assert own_dnf.apply(named(come("plain", "1.1-1")), folder()).exit_code == 25
    assert twice.digest() == before


def test_what_was_superseded_goes_after_its_days_and_what_is_installed_stays(
    twice: DnfLab, script: PatchScript, shell: tuple[str, ...], kept: Path
) -> None:
    offer(twice, Rpm("plain", "1.3-1"), Rpm("plain", "1.4-1"))
    for version, rest in (("1.3-1", ("1.1-1", "1.2-1", "1.3-1")), ("1.4-1", ("1.2-1", "1.3-1", "1.4-1"))):
        marks = kept.glob("*.gone")
        for path in (*marks, kept / "plain-1.2-1.noarch.rpm"):
            then = path.stat().st_mtime - 91 * 86400
            os.utime(path, (then, then))
        options = ["--cache", str(twice.cache), "--root", str(twice.root)]
        named_ = ["--apply", "--install", f"plain:noarch={version}"]
        done = script.run(LocalTarget(twice.environment, shell), [*named_, *options], timeout=60)
        assert done.exit_code == 0
        assert sorted(path.name for path in kept.glob("*.rpm")) == [f"plain-{one}.noarch.rpm" for one in rest]


def test_a_change_without_a_cache_keeps_nothing(
    own_lab: DnfLab, script: PatchScript, folder: Folder, kept: Path
) -> None:
    dnf = ScriptedManager(DNF, LocalTarget(own_lab.environment), script, root=own_lab.root)
    change = Change("upgrade", "plain", "noarch", "1.0-1", "1.1-1")
    assert dnf.apply(Instruction((change,)), folder()).exit_code == 0
    assert not kept.exists()
