"""``--limit-rate`` reaches apt's own configuration, for each thing that is fetched."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.managers.apt import APT
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import RefreshOutcome
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.reconcile.ports.unless import Unless
from reconciler.targets.local import LocalTarget
from tests.edge.apt.instructions import to
from tests.labs.apt import AptLab
from tests.labs.fileserver import stalling
from tests.labs.recorder import recording

_SAYS_ITS_LIMITS = """for one; do case $one in -c=*) break ;; esac; done
    apt-config "$one" dump | grep -i '::dl-limit'; echo"""
RATE = 2 * 2**20
SOON = timedelta(seconds=0.1)


@pytest.mark.parametrize(
    ("written", "limits"),
    [
        ("", ["ftp 2048", "http 2048", "https 2048"]),
        ('Acquire::http::Dl-Limit "70000";', ["ftp 2048", "http 2048", "https 2048"]),
        ('Acquire::http::Dl-Limit "70";', ["ftp 2048", "http 70"]),
        (
            'Acquire::http::Dl-Limit "70"; Acquire::https::Dl-Limit "0";',
            ["ftp 2048", "http 70", "https 2048"],
        ),
        ('Acquire::http::Dl-Limit "64k";', ["ftp 2048", "http 64k"]),
        # Of these apt makes no limit, or one that is higher.
        ('Acquire::http::Dl-Limit "70000k";', ["ftp 2048", "http 2048", "https 2048"]),
        ('Acquire::http::Dl-Limit "none";', ["ftp 2048", "http 2048", "https 2048"]),
        ('Acquire::http::Dl-Limit "99999999999999999999";', ["ftp 2048", "http 2048", "https 2048"]),
    ],
)
def test_apt_fetches_no_faster_than_policy_and_operator_say(
    own_lab: AptLab, tmp_path: Path, folder: Path, written: str, limits: list[str]
) -> None:
    own_lab.configure(written)
    path, said = recording(tmp_path / "recorder", "apt-get", _SAYS_ITS_LIMITS)
    target = LocalTarget({**own_lab.environment, "PATH": path})
    apt = ScriptedManager(APT, target, PatchScript.load(APT.script), own_lab.cache)
    assert apt.refresh(RATE).outcome is RefreshOutcome.REFRESHED
    assert apt.download(Instruction(to("plain=1.1").changes, rate=RATE), folder) == Execution(0)
    calls = {call for call in said.read_text().split("\n\n") if call}
    assert [sorted(_shown(call)) for call in calls] == [limits]
    said.write_text("")
    apt.refresh()
    assert "2048" not in said.read_text()


def _shown(call: str) -> list[str]:
    """Return the limits as apt would take them: ``https 2048``."""
    last = dict(line.strip().rstrip(";").split(" ", 1) for line in call.splitlines())
    return [f"{key.split('::')[1]} {value.strip(chr(34))}" for key, value in last.items()]


def test_a_download_is_ended_in_the_middle_of_a_file_and_goes_on_later(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path, second_folder: Path
) -> None:
    sources = own_lab.root / "etc/apt/sources.list"
    with stalling(own_lab.repository, ".deb") as (url, stall):
        sources.write_text(f"deb [trusted=yes] {url} stable main\n")
        own_lab.refresh()
        done = own_apt.download(to("plain=1.1"), folder, Unless(SOON, stall.begun.is_set))
        assert done.exit_code not in {0, 10}
        assert stall.gone.wait(60)
        stall.is_wanted = False
        again = own_apt.download(to("plain=1.1"), second_folder, Unless(SOON, lambda: False))
        assert again == Execution(0)
    assert own_lab.archives == ["plain_1.1_all.deb"]
    assert own_lab.versions()["plain"] == "1.0"
