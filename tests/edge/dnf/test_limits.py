"""``--limit-rate`` reaches dnf's throttle, for each repository."""

from pathlib import Path

from reconciler.managers.dnf import DNF
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Change, RefreshOutcome
from reconciler.planning.runs.execution import Instruction
from reconciler.targets.local import LocalTarget
from tests.labs.dnf import DnfLab
from tests.labs.folders import Folder
from tests.labs.recorder import recording

_SAYS_ITS_LIMITS = """for one; do case $one in
    *throttle=* | *max_parallel*) printf '%s ' "${one#--setopt=}" ;; esac; done; echo"""
RATE = 2 * 2**20


def test_dnf_fetches_no_faster_than_policy_and_operator_say(
    own_lab: DnfLab, script: PatchScript, tmp_path: Path, folder: Folder
) -> None:
    for name, more in (
        ("free", "throttle = 0"), ("slow", "throttle=300k"), ("fast", "throttle = 20M"),
        ("share", "bandwidth = 1M\nthrottle=25%"),
    ):  # fmt: skip
        own_lab.configure_repository(name, more=more)
    path, said = recording(tmp_path / "recorder", "dnf", _SAYS_ITS_LIMITS)
    target = LocalTarget({**own_lab.environment, "PATH": path})
    dnf = ScriptedManager(DNF, target, script, own_lab.cache, root=own_lab.root)
    assert dnf.refresh(RATE).outcome is RefreshOutcome.REFRESHED
    changes = (Change("upgrade", "plain", "noarch", None, "1.1-1"),)
    assert dnf.download(Instruction(changes, rate=RATE), folder()).exit_code in {0, 10}
    assert {frozenset(call.split()) for call in said.read_text().splitlines()} == {
        frozenset(
            {
                "max_parallel_downloads=1",
                "throttle=2097152",
                "free.throttle=2097152",
                "slow.throttle=307200",
                "fast.throttle=2097152",
                "share.throttle=262144",
            }
        )
    }
    said.write_text("")
    own_lab.configure("throttle=100k")
    assert dnf.refresh(RATE).outcome is RefreshOutcome.REFRESHED
    assert " throttle=102400 " in said.read_text()
    said.write_text("")
    dnf.refresh()
    assert "throttle" not in said.read_text()
