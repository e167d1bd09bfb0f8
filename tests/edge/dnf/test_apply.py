"""What ``--download`` and ``--apply`` do to a real root: exactly what was named, or nothing."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.managers.dnf import DNF
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Change, Question
from reconciler.planning.runs.execution import FailedPackage, Instruction
from reconciler.targets.local import LocalTarget
from tests.labs.dnf import IS_5, DnfLab
from tests.labs.fileserver import serving
from tests.labs.naming import moved
from tests.labs.rpm import Rpm

Folder = Callable[[], Path]


def come(name: str, version: str, arch: str = "noarch") -> Change:
    return Change("upgrade", name, arch, None, version)


def go(name: str, arch: str = "noarch") -> Change:
    return Change("remove", name, arch, "1.0-1", None)


def named(*changes: Change, **more: object) -> Instruction:
    return Instruction(changes, **more)  # type: ignore[arg-type] # the caller's names are right


def test_what_was_planned_is_applied_and_a_second_time_is_nothing_to_do(
    lab: DnfLab, script: PatchScript, shell: tuple[str, ...], folder: Folder
) -> None:
    dnf = ScriptedManager(DNF, LocalTarget(lab.environment, shell), script, lab.cache, root=lab.root)
    changes = dnf.resolve(Question("full")).changes
    coming = moved(one for one in changes if one.to_version is not None)
    expected: dict[str, str | None] = {**lab.versions(), **coming}
    expected["kernel-core"] = "5.2-1 5.3-1 5.4-1"
    mine = folder()
    execution = dnf.apply(Instruction(changes, automatic=("newdep-lib:noarch",)), mine)
    assert (execution.exit_code, execution.failed, execution.conffiles) == (0, (), ())
    assert lab.versions() == {
        name: version for name, version in expected.items() if name not in {"victim", "obsoleted"}
    }
    assert lab.reasons()["newdep-lib"] == "dependency"
    assert "Complete!" in (mine / "log").read_text()
    second = dnf.apply(Instruction(changes), folder())
    assert second.exit_code == 10
    assert dnf.resolve(Question("full")).exit_code == 10


def test_every_kind_of_version_comes_in_one_transaction(
    own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    own_lab.dnf("-y", "upgrade", "plain")
    own_lab.repository.publish(Rpm("plain", "1.0-1"))
    own_lab.refresh()
    execution = own_dnf.apply(
        named(come("plain", "1.0-1"), come("superseded", "1.1-1"), come("newdep-lib", "1.0-1")), folder()
    )
    assert (execution.exit_code, execution.native_code) == (0, 0)
    versions = own_lab.versions()
    assert (versions["plain"], versions["superseded"], versions["newdep-lib"]) == ("1.0-1", "1.1-1", "1.0-1")
    assert versions["base"] == "1.0-1"


@pytest.mark.parametrize(
    ("instruction", "code", "words"),
    [
        (named(come("pair", "1.1-1")), 25, "dnf would also upgrade pair-data.noarch 1.1-1"),
        (named(come("newdep", "1.1-1")), 25, "dnf would also install newdep-lib.noarch 1.0-1"),
        (named(come("obsoleter", "2.0-1")), 25, "dnf would also replace obsoleted.noarch 1.0-1"),
        (named(come("remover", "2.0-1")), 25, "conflicts with victim"),
        (named(come("unsat", "1.1-1")), 25, "nothing provides nobody-has-this"),
        (named(come("kernel-core", "5.4-1")), 25, "dnf would also remove kernel-core.noarch 5.1-1"),
        (named(go("kernel-core")), 25, "dnf would also remove kernel-core.noarch"),
        (named(go("base")), 25, "dnf would also remove user.noarch 1.0-1"),
        (named(come("user", "1.1-1"), come("base", "1.1-1"), exclude=("base",)), 25, "base"),
        (
            named(come("newdep", "1.1-1"), come("newdep-lib", "1.0-1"), block=("newdep-lib",)),
            25,
            "newdep-lib",
        ),
        (named(come("plain", "9-1")), 26, "no longer available: plain:noarch=9-1"),
        (named(come("plain", "1.1-1"), come("base", "9-1")), 26, "no longer available: base:noarch=9-1"),
    ],
)
def test_what_would_be_anything_else_is_refused_and_changes_nothing(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder, *, instruction: Instruction, code: int, words: str
) -> None:
    before = lab.digest()
    execution = dnf.apply(instruction, folder())
    assert execution.exit_code == code
    assert words in execution.message
    assert lab.digest() == before


def test_a_lock_of_the_operators_is_not_passed_over(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder
) -> None:
    lab.lock("plain", "1.0-1")
    before = lab.digest()
    assert dnf.apply(named(come("plain", "1.1-1")), folder()).exit_code == 25
    assert lab.digest() == before


def test_a_removal_alone(lab: DnfLab, dnf: ScriptedManager, folder: Folder) -> None:
    assert dnf.apply(named(go("victim")), folder()).exit_code == 0
    assert "victim" not in lab.versions()
    assert dnf.apply(named(go("victim")), folder()).exit_code == 10


def test_a_package_that_changes_its_architecture_is_named_by_the_old_one(
    own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    own_lab.repository.publish(Rpm("plain", "2.0-1", arch="x86_64"))
    own_lab.refresh()
    (change,) = (one for one in own_dnf.resolve(Question()).changes if one.name == "plain")
    assert (change.arch, change.from_version, change.to_version) == ("noarch", "1.0-1", "2.0-1")
    assert own_dnf.apply(named(change), folder()).exit_code == 0
    assert own_lab.versions()["plain"] == "2.0-1"
    assert own_dnf.apply(named(change), folder()).exit_code == 10


def test_who_was_wanted_stays_wanted_and_who_was_not_stays_automatic(
    own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    own_lab.dnf("-y", "upgrade", "newdep")
    own_lab.want("plain")
    own_lab.repository.publish(Rpm("newdep-lib", "1.1-1"))
    own_lab.refresh()
    execution = own_dnf.apply(
        named(come("plain", "1.1-1"), come("newdep-lib", "1.1-1"), automatic=("newdep-lib:noarch",)), folder()
    )
    assert execution.exit_code == 0
    reasons = own_lab.reasons()
    assert (reasons["plain"], reasons["newdep-lib"]) == ("user", "dependency")


# --- what goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scripts", "native", "version"),
    [({"pre": "error('no way')"}, 1, "1.0-1"), ({"post": "error('no way')"}, int(IS_5), "1.1-1")],
)
def test_a_scriptlet_that_fails_is_named_and_all_others_are_done(
    own_lab: DnfLab,
    own_dnf: ScriptedManager,
    folder: Folder,
    *,
    scripts: dict[str, str],
    native: int,
    version: str,
) -> None:
    own_lab.install(Rpm("failing", "1.0-1"))
    own_lab.repository.publish(Rpm("failing", "1.1-1", scripts=scripts))
    own_lab.refresh()
    execution = own_dnf.apply(
        named(
            come("failing", "1.1-1"),
            come("base", "1.1-1"),
            come("plain", "1.1-1"),
            automatic=("base:noarch",),
        ),
        folder(),
    )
    assert (execution.exit_code, execution.native_code) == (27, native)
    (failed,) = execution.failed
    assert failed == FailedPackage("failing", failed.message)
    assert "no way" in failed.message
    versions = own_lab.versions()
    assert (versions["failing"], versions["plain"], versions["base"]) == (version, "1.1-1", "1.1-1")
    assert own_lab.reasons()["base"] == "dependency"


@pytest.mark.parametrize(
    ("conffiles", "content", "waiting"),
    [("keep", "mine\n", "/etc/configured.conf.rpmnew"), ("new", "new\n", "/etc/configured.conf.rpmsave")],
)
def test_a_changed_configuration_file(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder, *, conffiles: str, content: str, waiting: str
) -> None:
    path = lab.root / "etc/configured.conf"
    path.write_text("mine\n")
    execution = dnf.apply(named(come("configured", "1.1-1"), conffiles=conffiles), folder())
    assert (execution.exit_code, execution.conffiles) == (0, (waiting,))
    assert path.read_text() == content
    assert (lab.root / waiting[1:]).exists()


def test_who_else_holds_the_database_is_named(lab: DnfLab, dnf: ScriptedManager, folder: Folder) -> None:
    before = lab.digest()
    with (lab.database / ".rpm.lock").open("r+b") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        execution = dnf.apply(named(come("plain", "1.1-1")), folder())
    assert execution.exit_code == 20
    assert f"(pid {os.getpid()})" in execution.message
    assert lab.digest() == before


def test_packages_that_are_there_twice_are_repaired_first(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder
) -> None:
    lab.install(Rpm("base", "1.1-1"))
    execution = dnf.apply(named(come("plain", "1.1-1")), folder())
    assert execution.exit_code == 24
    assert "base-1.1-1" in execution.message


def test_a_package_that_is_not_signed(lab: DnfLab, dnf: ScriptedManager, folder: Folder) -> None:
    path = lab.root / "etc/yum.repos.d/lab.repo"
    path.write_text(path.read_text().replace("gpgcheck=0", "gpgcheck=1"))
    execution = dnf.apply(named(come("plain", "1.1-1")), folder())
    assert execution.exit_code == 28
    (failed,) = execution.failed
    assert failed == FailedPackage("plain:noarch", failed.message)
    assert failed.message.endswith(" is not signed." if IS_5 else "plain-1.1-1.noarch.rpm is not signed")
    assert lab.versions()["plain"] == "1.0-1"


@pytest.fixture
def full_disk(lab: DnfLab) -> Iterator[Path]:
    """A file system of its own, and full, where packages put their files."""
    place = lab.root / "usr/share/lab"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "none", str(place)], check=True)
    with contextlib.suppress(OSError):
        (place / "fill").write_bytes(bytes(40 * 1024))
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk(lab: DnfLab, dnf: ScriptedManager, folder: Folder) -> None:
    execution = dnf.apply(named(come("plain", "1.1-1")), folder())
    assert execution.exit_code == 23
    assert "space" in execution.message or "Transaction test error" in execution.message
    assert lab.versions()["plain"] == "1.0-1"


# --- download -----------------------------------------------------------------------------------------------


@pytest.fixture
def server(own_lab: DnfLab) -> Iterator[None]:
    """The lab's repository, by a protocol from which packages are really fetched."""
    with serving(own_lab.repository.folder) as url:
        own_lab.configure_repository(url=url)
        own_lab.refresh()
        yield


@pytest.mark.usefixtures("server")
def test_what_was_downloaded_is_applied_without_the_repository(
    own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    instruction = named(come("plain", "1.1-1"), come("newdep", "1.1-1"), come("newdep-lib", "1.0-1"))
    download = own_dnf.download(instruction, folder())
    assert (download.exit_code, download.native_code) == (0, 0)
    assert own_lab.versions()["plain"] == "1.0-1"
    shutil.rmtree(own_lab.repository.folder)
    assert own_dnf.apply(instruction, folder()).exit_code == 0
    assert own_lab.versions()["newdep"] == "1.1-1"


@pytest.mark.usefixtures("server")
def test_packages_that_cannot_be_fetched_are_named(
    own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    own_lab.repository.file("plain", "1.1-1").unlink()
    spoilt = own_lab.repository.file("lima", "1.1-1")
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"x")
    wanted = named(come("plain", "1.1-1"), come("lima", "1.1-1"), come("base", "1.1-1"))
    for execute in (own_dnf.download, own_dnf.apply):
        done = execute(wanted, folder())
        assert done.exit_code == 29
        assert [(one.name, one.lacks) for one in done.failed] == [
            ("lima:noarch", "file"), ("plain:noarch", "file"),
        ]  # fmt: skip
        assert "404" in done.failed[1].message
        assert "checksum" in done.failed[0].message
    assert own_lab.versions()["base"] == "1.0-1"


@pytest.mark.usefixtures("server")
def test_many_that_are_missing_and_come_first_keep_none_back_that_can_be_had(
    own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    names = [f"aa{letter}" for letter in "bcdefghi"]
    own_lab.repository.publish(*(Rpm(name, "1.0-1") for name in names))
    own_lab.refresh()
    for name in names:
        own_lab.repository.file(name, "1.0-1").unlink()
    coming = [Change("install", name, "noarch", None, "1.0-1") for name in names]
    done = own_dnf.download(named(*coming, come("plain", "1.1-1")), folder())
    assert done.exit_code == 29
    assert [(one.name, one.lacks) for one in done.failed] == [(f"{name}:noarch", "file") for name in names]


@pytest.mark.usefixtures("server")
def test_where_no_package_can_be_had_it_is_not_for_the_sake_of_any(
    own_lab: DnfLab, own_dnf: ScriptedManager, folder: Folder
) -> None:
    for name in ("plain", "base"):
        own_lab.repository.file(name, "1.1-1").unlink()
    wanted = named(come("plain", "1.1-1"), come("base", "1.1-1"))
    assert own_dnf.apply(wanted, folder()).exit_code == 21


def test_a_download_of_anything_else_is_refused(dnf: ScriptedManager, folder: Folder) -> None:
    assert dnf.download(named(come("newdep", "1.1-1")), folder()).exit_code == 25
