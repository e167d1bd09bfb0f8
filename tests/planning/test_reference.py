"""The reference pages name exactly what exists."""

import re
from pathlib import Path

from reconciler.planning.gates.recording import Recording
from reconciler.planning.gates.types import GateName, Outcome
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.report import VOLATILE
from reconciler.planning.runs.record import (
    PASSING,
    RunOutcome,
    RunRecord,
    StepOutcome,
    StepRecord,
)

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def _table(page: str, words: str) -> list[str]:
    """Return the rows of the first table behind ``words``."""
    text = (REFERENCE / page).read_text().split(words, 1)[1]
    rows = re.search(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert rows is not None
    return rows[0].splitlines()


def _first_column(page: str, heading: str) -> list[str]:
    """Return the code spans in the first column of the table under ``heading``."""
    rows = _table(page, f"\n{heading}\n")
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_outcome_is_documented() -> None:
    assert _first_column("decisions.md", "## Outcomes") == list(Outcome)


def test_every_gate_is_documented_in_its_order() -> None:
    assert _first_column("decisions.md", "## Gates") == list(GateName)


def test_every_key_of_a_report_is_documented() -> None:
    assert sorted(_first_column("report.md", "## `report.json`")) == sorted(Report.__dataclass_fields__)


def test_every_volatile_key_is_documented() -> None:
    documented = _first_column("report.md", "## When a report is committed")
    assert sorted(documented) == sorted(".".join(path) for path in VOLATILE)


def test_every_key_of_a_recording_is_documented() -> None:
    documented = _first_column("report.md", "## `observation.json`")
    assert sorted(documented) == sorted(Recording.__dataclass_fields__)


def test_every_outcome_of_a_run_is_documented() -> None:
    assert _first_column("runs.md", "## Outcomes") == list(RunOutcome)


def test_every_key_of_a_run_is_documented() -> None:
    assert sorted(_first_column("runs.md", "## The record")) == sorted(RunRecord.__dataclass_fields__)


def test_every_key_and_outcome_of_a_step_is_documented() -> None:
    rows = _table("runs.md", "as in a report. The record given to hooks")
    keys = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(keys) == sorted(StepRecord.__dataclass_fields__)
    (outcomes,) = (row.split("|")[2] for row in rows if "`outcome`" in row)
    assert re.findall(r"`([^`]+)`", outcomes) == list(StepOutcome)


def test_the_failures_that_pass_are_documented() -> None:
    rows = [row for row in _table("runs.md", "[notifications](notifications.md).") if "| 5 |" in row]
    assert {code for row in rows for code in re.findall(r"`([^`]+)`", row.split("|")[1])} == PASSING
