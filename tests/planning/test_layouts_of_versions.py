"""What each released version writes is fixed: who adds a field must raise the version, and say since when.

A class that is renamed or split is so in ``tests/golden/vN/layout.json`` as well; its keys stay the same.
"""

import json
import typing
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.planning.gates.recording import Recording
from reconciler.planning.reporting.document import Report
from reconciler.planning.runs.journal import Journal
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.text.canonical import key_of
from reconciler.planning.text.layout import SCHEMA_VERSION, fields_of

GOLDEN = Path(__file__).parents[1] / "golden"


def layout(version: int) -> dict[str, list[str]]:
    """Return the keys of every object that files of ``version`` may hold, by the name of its class."""
    found: dict[str, list[str]] = {}
    waiting: list[Any] = [Recording, Report, RunRecord, Journal]
    while waiting:
        kind = waiting.pop()
        waiting += typing.get_args(kind)
        name = getattr(kind, "__qualname__", "")
        if (
            isinstance(kind, type)
            and is_dataclass(kind)
            and kind.__module__.startswith("reconciler.")
            and name not in found
        ):
            held = fields_of(kind, version)
            found[name] = sorted(key_of(one.name) for one in held)
            annotations = typing.get_type_hints(kind)
            waiting += [annotations[one.name] for one in held]
    return found


def test_the_layouts_of_all_earlier_versions_are_kept() -> None:
    assert sorted(path.parent.name for path in GOLDEN.glob("v*/layout.json")) == [
        f"v{number}" for number in range(1, SCHEMA_VERSION)
    ]


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_earlier_version_has_the_keys_that_it_had(version: int) -> None:
    assert layout(version) == json.loads((GOLDEN / f"v{version}/layout.json").read_bytes())
