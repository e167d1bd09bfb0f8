"""What ``--download`` fetches, and that nothing more is needed afterwards."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.managers.apt import APT
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.runs.execution import Execution
from reconciler.targets.local import LocalTarget
from tests.edge.apt.instructions import to, untouched
from tests.labs.apt import AptLab


@pytest.fixture
def far_lab(own_lab: AptLab) -> AptLab:
    own_lab.download_copies()
    return own_lab


def test_what_is_downloaded_is_applied_without_the_repository(
    far_lab: AptLab, script: PatchScript, shell: tuple[str, ...], folder: Path, second_folder: Path
) -> None:
    apt = ScriptedManager(APT, LocalTarget(far_lab.environment, shell), script, far_lab.cache)
    far_lab.mark_auto("plain")
    instruction = replace(
        to("plain=1.1", "epoch=1:1.0-2", "newdep=1.1", "newdep-lib=1.0"), automatic=("plain:all",)
    )
    before = untouched(far_lab)
    assert apt.download(instruction, folder) == Execution(0)
    assert far_lab.archives == [
        "epoch_1%3a1.0-2_all.deb", "newdep-lib_1.0_all.deb", "newdep_1.1_all.deb", "plain_1.1_all.deb",
    ]  # fmt: skip
    assert untouched(far_lab) == before
    far_lab.repository.rename(far_lab.folder / "gone")
    assert apt.apply(instruction, second_folder) == Execution(0)
    assert (far_lab.versions()["epoch"], far_lab.versions()["newdep-lib"]) == ("1:1.0-2", "1.0")
    assert far_lab.automatic() == {"plain"}


def test_exactly_what_is_named_is_fetched_or_nothing(
    far_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    refused = own_apt.download(to("newdep=1.1", "plain=1.1"), folder)
    assert (refused.exit_code, refused.message) == (25, "apt would do something else: install newdep-lib 1.0")
    assert own_apt.download(to("plain=9"), second_folder).exit_code == 26
    assert far_lab.archives == []


def test_what_is_there_already_needs_no_repository(
    far_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path, tmp_path: Path
) -> None:
    own_apt.download(to("plain=1.1"), folder)
    far_lab.repository.rename(far_lab.folder / "gone")
    assert own_apt.download(to("plain=1.1"), second_folder) == Execution(0)
    third = tmp_path / "third"
    third.mkdir()
    assert own_apt.download(to("plain=1.0"), third) == Execution(10)


@pytest.mark.parametrize("verb", ["download", "apply"])
def test_an_archive_with_other_bytes_is_fetched_anew(
    far_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path, verb: str
) -> None:
    own_apt.download(to("plain=1.1", "lima=1.1"), folder)
    archive = far_lab.root / "var/cache/apt/archives/plain_1.1_all.deb"
    good = archive.read_bytes()
    archive.write_bytes(bytes(reversed(good)))
    run = own_apt.download if verb == "download" else own_apt.apply
    assert run(to("plain=1.1", "lima=1.1"), second_folder) == Execution(0)
    assert archive.read_bytes() == good
    assert "[spoiled]\n|plain_1.1_all.deb\n= 0\n" in (second_folder / "out").read_text()


def test_an_archive_with_other_bytes_is_never_installed(
    far_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    own_apt.download(to("plain=1.1", "lima=1.1"), folder)
    archive = far_lab.root / "var/cache/apt/archives/plain_1.1_all.deb"
    archive.write_bytes(bytes(reversed(archive.read_bytes())))
    far_lab.repository.rename(far_lab.folder / "gone")
    before = untouched(far_lab)
    done = own_apt.apply(to("plain=1.1", "lima=1.1"), second_folder)
    assert (done.exit_code, [one.name for one in done.failed]) == (29, ["plain:all"])
    assert untouched(far_lab) == before


def test_a_repository_that_is_gone(far_lab: AptLab, own_apt: ScriptedManager, folder: Path) -> None:
    far_lab.repository.rename(far_lab.folder / "gone")
    done = own_apt.download(replace(to("plain=1.1", "lima=1.1"), lock_wait=timedelta(seconds=5)), folder)
    assert (done.exit_code, done.native_code) == (21, 100)
    assert "Failed to fetch" in done.message
