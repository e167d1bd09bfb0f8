"""``--limit-rate`` has curl fetch for pacman, which has no limit of its own."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Question, RefreshOutcome
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.reconcile.ports.unless import Unless
from reconciler.targets.local import LocalTarget
from tests.edge.pacman.conftest import Folder
from tests.labs.fileserver import stalling
from tests.labs.pacman import PacmanLab
from tests.labs.recorder import recording

_SAYS_ITS_LIMITS = 'printf "%s\\n" "$*"'
RATE = 2 * 2**20
SOON = timedelta(seconds=0.1)


def test_pacman_fetches_packages_no_faster_than_policy_says(
    lab: PacmanLab, script: PatchScript, tmp_path: Path, folder: Folder
) -> None:
    path, said = recording(tmp_path / "recorder", "curl", _SAYS_ITS_LIMITS)
    pacman = ScriptedManager(PACMAN, LocalTarget({**lab.environment, "PATH": path}), script, lab.cache)
    assert pacman.refresh(RATE).outcome is RefreshOutcome.REFRESHED
    assert said.read_text() == ""
    changes = pacman.resolve(Question()).changes
    assert pacman.download(Instruction(changes, rate=RATE), folder()) == Execution(0)
    assert (lab.archives / "plain-1.1-1-any.pkg.tar.zst").exists()
    calls = said.read_text().splitlines()
    assert calls
    assert all("--limit-rate 2048K" in call for call in calls)
    # A server that stalls would hold up a run for ever, where pacman itself turns to the next one.
    assert all("--speed-limit 1 --speed-time 10 " in call for call in calls)


def test_who_wants_to_wait_for_a_slow_server_does_so(
    lab: PacmanLab, script: PatchScript, tmp_path: Path, folder: Folder
) -> None:
    path, said = recording(tmp_path / "recorder", "curl", _SAYS_ITS_LIMITS)
    lab.configure("DisableDownloadTimeout")
    pacman = ScriptedManager(PACMAN, LocalTarget({**lab.environment, "PATH": path}), script, lab.cache)
    changes = pacman.resolve(Question()).changes
    assert pacman.download(Instruction(changes, rate=RATE), folder()) == Execution(0)
    assert "--limit-rate 2048K" in said.read_text()
    assert "--speed-time" not in said.read_text()


def test_the_operators_own_program_fetches_as_it_is(
    lab: PacmanLab, script: PatchScript, tmp_path: Path, folder: Folder
) -> None:
    path, said = recording(tmp_path / "recorder", "curl", _SAYS_ITS_LIMITS)
    lab.configure("XferCommand = /usr/bin/env curl -q -fsSL --limit-rate 64K -o %o %u")
    pacman = ScriptedManager(PACMAN, LocalTarget({**lab.environment, "PATH": path}), script, lab.cache)
    changes = pacman.resolve(Question()).changes
    assert pacman.download(Instruction(changes, rate=RATE), folder()) == Execution(0)
    assert {call.split(" --limit-rate ")[1].split()[0] for call in said.read_text().splitlines()} == {"64K"}


def test_what_curl_cannot_fetch_is_named(lab: PacmanLab, pacman: ScriptedManager, folder: Folder) -> None:
    changes = pacman.resolve(Question()).changes
    for file in lab.repository.glob("plain-1.1-1-*"):
        file.unlink()
    done = pacman.download(Instruction(changes, rate=RATE), folder())
    assert (done.exit_code, done.failed[0].lacks) == (29, "file")
    assert [one.name for one in done.failed] == ["plain"]


@pytest.mark.parametrize("rate", [None, RATE])
def test_a_download_is_ended_in_the_middle_of_a_file_and_goes_on_later(
    lab: PacmanLab, pacman: ScriptedManager, folder: Folder, rate: int | None
) -> None:
    instruction = Instruction(pacman.resolve(Question()).changes, rate=rate)
    versions = lab.versions()
    with stalling(lab.repository, ".zst") as (url, stall):
        text = lab.configuration.read_text()
        lab.configuration.write_text(text.replace(f"file://{lab.repository}", url.rstrip("/")))
        done = pacman.download(instruction, folder(), Unless(SOON, stall.begun.is_set))
        assert done.exit_code not in {0, 10}
        assert stall.gone.wait(60)
        stall.is_wanted = False
        assert pacman.download(instruction, folder(), Unless(SOON, lambda: False)) == Execution(0)
    assert lab.versions() == versions
