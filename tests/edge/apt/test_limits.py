"""``--limit-rate`` reaches apt's own configuration, for each thing that is fetched."""

from pathlib import Path

import pytest

from reconciler.managers.apt import APT
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import RefreshOutcome
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.targets.local import LocalTarget
from tests.edge.apt.instructions import to
from tests.labs.apt import AptLab
from tests.labs.recorder import recording

_SAYS_ITS_LIMITS = """for one; do case $one in -c=*) break ;; esac; done
    apt-config "$one" dump | grep -i '::dl-limit'; echo"""
RATE = 2 * 2**20


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
