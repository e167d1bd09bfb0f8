"""``--limit-rate`` reaches dnf's throttle, for each repository."""

from datetime import timedelta
from pathlib import Path

from reconciler.managers.dnf import DNF
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Change, RefreshOutcome
from reconciler.planning.runs.execution import Instruction
from reconciler.reconcile.ports.unless import Unless
from reconciler.targets.local import LocalTarget
from tests.labs.dnf import DNF as PROGRAM
from tests.labs.dnf import DnfLab
from tests.labs.fileserver import stalling
from tests.labs.folders import Folder
from tests.labs.recorder import recording

_SAYS_ITS_LIMITS = """case " $* " in
    *' --dump-main-config '*) ;; # dnf 5 is asked what it is configured to, and fetches nothing
    *) for one; do case $one in
    *throttle=* | *max_parallel*) printf '%s ' "${one#--setopt=}" ;; esac; done; echo ;;
esac"""
RATE = 2 * 2**20
SOON = timedelta(seconds=0.1)


def test_dnf_fetches_no_faster_than_policy_and_operator_say(
    own_lab: DnfLab, script: PatchScript, tmp_path: Path, folder: Folder
) -> None:
    for name, more in (
        ("free", "throttle = 0"), ("slow", "throttle=300k"), ("fast", "throttle = 20M"),
        ("share", "bandwidth = 1M\nthrottle=25%"),
    ):  # fmt: skip
        own_lab.configure_repository(name, more=more)
    path, said = recording(tmp_path / "recorder", PROGRAM, _SAYS_ITS_LIMITS)
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


def test_a_download_is_ended_in_the_middle_of_a_file_and_goes_on_later(
    own_lab: DnfLab, own_dnf: ScriptedManager, tmp_path: Path
) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()
    instruction = Instruction((Change("upgrade", "plain", "noarch", None, "1.1-1"),))
    with stalling(own_lab.repository.folder, ".rpm") as (url, stall):
        own_lab.configure_repository(url=url)
        own_lab.refresh()
        done = own_dnf.download(instruction, first, Unless(SOON, stall.begun.is_set))
        assert done.exit_code not in {0, 10}
        assert stall.gone.wait(60)
        stall.is_wanted = False
        assert own_dnf.download(instruction, second, Unless(SOON, lambda: False)).exit_code == 0
    assert own_lab.versions()["plain"] == "1.0-1"
