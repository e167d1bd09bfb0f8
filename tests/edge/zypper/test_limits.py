"""``--limit-rate`` reaches zypper's own configuration."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.managers.zypper import ZYPPER
from reconciler.planning.facts.observation import Change, RefreshOutcome
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.reconcile.ports.unless import Unless
from reconciler.targets.local import LocalTarget
from tests.labs.fileserver import stalling
from tests.labs.recorder import recording
from tests.labs.zypper import ZypperLab

_SAYS_ITS_LIMITS = """case "$*" in
    *refresh* | *--download-only*) grep -E '_speed|_connections' "$ZYPP_CONF"; echo ;; esac"""
RATE = 2 * 2**20
SOON = timedelta(seconds=0.1)


@pytest.mark.parametrize(
    ("written", "speed"),
    [
        ("", 2097152),
        ("download.max_download_speed = 0", 2097152),
        ("download.max_download_speed=300000", 300000),
    ],
)
def test_zypper_fetches_no_faster_than_policy_and_operator_say(
    own_lab: ZypperLab, script: PatchScript, tmp_path: Path, written: str, speed: int
) -> None:
    conf = own_lab.root / "etc/zypp/zypp.conf"
    conf.write_text((conf.read_text() if conf.exists() else "[main]\n") + written + "\n")
    path, said = recording(tmp_path / "recorder", "zypper", _SAYS_ITS_LIMITS)
    target = LocalTarget({**own_lab.environment, "PATH": path})
    zypper = ScriptedManager(ZYPPER, target, script, own_lab.cache, root=own_lab.root)
    assert zypper.refresh(RATE).outcome is RefreshOutcome.REFRESHED
    changes = (Change("upgrade", "plain", "noarch", None, "1.1-1"),)
    folder = tmp_path / "download"
    folder.mkdir()
    assert zypper.download(Instruction(changes, rate=RATE), folder) == Execution(0)
    calls = [call.splitlines() for call in said.read_text().split("\n\n") if call]
    assert calls
    for call in calls:
        speeds = [line for line in call if "max_download_speed" in line]
        assert speeds[-1] == f"download.max_download_speed = {speed}"
        assert call[-1] == "download.max_concurrent_connections = 1"


def test_a_download_is_ended_in_the_middle_of_a_file_and_goes_on_later(
    own_lab: ZypperLab, own_zypper: ScriptedManager, tmp_path: Path
) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()
    instruction = Instruction((Change("upgrade", "plain", "noarch", None, "1.1-1"),))
    with stalling(own_lab.repository.folder, ".rpm") as (url, stall):
        own_lab.configure_repository(url=url)
        own_lab.refresh()
        done = own_zypper.download(instruction, first, Unless(SOON, stall.begun.is_set))
        assert done.exit_code not in {0, 10}
        assert stall.gone.wait(60)
        stall.is_wanted = False
        assert own_zypper.download(instruction, second, Unless(SOON, lambda: False)).exit_code == 0
    assert own_lab.versions()["plain"] == "1.0-1"
