"""The reference pages name exactly what exists."""

import re
from pathlib import Path

from reconciler.planning.gate import GateName, Outcome
from reconciler.planning.record import Recording
from reconciler.planning.report import VOLATILE, to_document
from tests.report_samples import report_of

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def _first_column(page: str, heading: str) -> list[str]:
    """Return the code spans in the first column of the table under ``heading``."""
    text = (REFERENCE / page).read_text().split(f"\n{heading}\n", 1)[1]
    rows = re.search(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert rows is not None
    return [name for row in rows[0].splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_outcome_is_documented() -> None:
    assert _first_column("decisions.md", "## Outcomes") == list(Outcome)


def test_every_gate_is_documented_in_its_order() -> None:
    assert _first_column("decisions.md", "## Gates") == list(GateName)


def test_every_key_of_a_report_is_documented() -> None:
    assert sorted(_first_column("report.md", "## `report.json`")) == sorted(to_document(report_of()))


def test_every_volatile_key_is_documented() -> None:
    documented = _first_column("report.md", "## When a report is committed")
    assert sorted(documented) == sorted(".".join(path) for path in VOLATILE)


def test_every_key_of_a_recording_is_documented() -> None:
    documented = _first_column("report.md", "## `observation.json`")
    assert sorted(documented) == sorted(Recording.__dataclass_fields__)
