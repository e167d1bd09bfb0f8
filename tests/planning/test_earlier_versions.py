"""Files that an earlier version wrote are read, and decisions that it made can be made again.

``tests/golden/v1`` holds what the last version of schema 1 left of real runs on the small machines of each
package manager: a plan that waits, a plan that was applied, and a run that was killed in the middle. They are
never written anew.
"""

import json
from datetime import datetime
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.gitops.revision import read_folder
from reconciler.host.state.folder import StateFolder
from reconciler.planning.gates.recording import read_recording
from reconciler.planning.reporting.reader import read_report, read_run
from reconciler.planning.reporting.report import to_json
from reconciler.planning.runs.journal import Phase
from reconciler.planning.runs.record import RunOutcome, run_json
from reconciler.planning.text.layout import SCHEMA_VERSION
from reconciler.policy.load import PolicyFile
from reconciler.reconcile.assess import Finding, decide_again

GOLDEN = Path(__file__).parents[1] / "golden/v1"
MANAGERS = ("apt", "dnf", "pacman", "zypper")
REPORTED = sorted(path.parent.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("*/*/report.json"))


def again(folder: str) -> Finding:
    """Make the decision of ``MANAGER/WHEN`` again."""
    policy = GOLDEN / folder.partition("/")[0] / "policy"

    def read(commit: str, now: datetime) -> list[PolicyFile]:
        del commit, now
        return read_folder(policy)

    return decide_again(read_recording((GOLDEN / folder / "observation.json").read_bytes()), read)


def test_every_manager_is_there() -> None:
    assert {name.partition("/")[0] for name in REPORTED} == set(MANAGERS)


@pytest.mark.parametrize("folder", REPORTED)
def test_a_recorded_decision_is_made_again(folder: str) -> None:
    data = (GOLDEN / folder / "report.json").read_bytes()
    assert read_report(data).schema == 1
    assert to_json(read_report(data)) == data
    assert to_json(again(folder).report).decode() == data.decode()


@pytest.mark.parametrize("manager", MANAGERS)
def test_the_record_of_a_run_is_read(manager: str) -> None:
    (path,) = (GOLDEN / manager / "applied/runs").iterdir()
    record = read_run(path.read_bytes())
    assert record.outcome is RunOutcome.APPLIED
    assert run_json(record) == path.read_bytes()


@pytest.mark.parametrize("manager", MANAGERS)
def test_the_journal_of_a_killed_run_is_read(manager: str, tmp_path: Path) -> None:
    data = (GOLDEN / manager / "killed/journal.json").read_bytes()
    folder = StateFolder(tmp_path)
    (tmp_path / "journal.json").write_bytes(data)
    journal = folder.journal()
    assert journal is not None
    assert journal.phase is Phase.STEPS
    assert {(one.name, one.arch) for one in journal.transaction} >= {("bad", journal.transaction[0].arch)}
    assert len(journal.before) == len(json.loads(data)["before"])


def test_the_journal_of_a_newer_program_is_refused_and_left(tmp_path: Path) -> None:
    data = json.loads((GOLDEN / "apt/killed/journal.json").read_bytes())
    written = json.dumps({**data, "schema": SCHEMA_VERSION + 1, "phase": "a-phase-of-the-next-release"})
    (tmp_path / "journal.json").write_text(written, encoding="utf-8")
    with pytest.raises(Stalled, match="written by a newer patchledger") as caught:
        StateFolder(tmp_path).journal()
    assert "at least as new" in caught.value.hint
    assert (tmp_path / "journal.json").read_text(encoding="utf-8") == written


def test_the_state_is_read(tmp_path: Path) -> None:
    data = (GOLDEN / "apt/killed/state.json").read_bytes()
    folder = StateFolder(tmp_path)
    (tmp_path / "state.json").write_bytes(data)
    recalled, said = folder.recall(), json.loads(data)
    state = recalled.state
    assert not recalled.complaints
    assert state.accepted == said["accepted"]
    assert state.used == tuple(said["used"])
    assert len(state.first_seen) == len(said["first_seen"])
    assert state.last_run is not None
    assert state.last_run.run == said["last_run"]["run"]
    assert state.snapshot is not None
    assert state.snapshot.digest == said["snapshot"]["digest"]
    assert [route.to for route in state.routes] == ["ops"]
