"""Recorded output of every manager gives the recorded values."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from reconciler.errors import Stalled
from reconciler.policy.managers import NAMES
from tests.vectors.vector import ANSWER, FOLDER, OBSERVATION, REFRESH, Vector, expected_of

PATHS = sorted(FOLDER.glob("*.json"))
ADAPTERS: dict[str, TypeAdapter[Any]] = {"observe": OBSERVATION, "answer": ANSWER, "refresh": REFRESH}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_recorded_output_is_read_as_recorded(path: Path) -> None:
    recorded = Vector.model_validate_json(path.read_bytes())
    assert expected_of(recorded) == recorded.expected


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_recorded_value_is_complete_and_of_its_type(path: Path) -> None:
    recorded = Vector.model_validate_json(path.read_bytes())
    adapter = ADAPTERS[recorded.kind]
    value = adapter.validate_python(recorded.expected)
    assert adapter.dump_python(value, mode="json") == recorded.expected


@pytest.mark.parametrize("manager", sorted(NAMES))
def test_there_are_vectors_of_every_kind(manager: str) -> None:
    kinds = {Vector.model_validate_json(path.read_bytes()).kind for path in FOLDER.glob(f"{manager}-*.json")}
    assert kinds == {"observe", "answer", "refresh"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_output_cut_anywhere_is_refused(path: Path) -> None:
    vector = Vector.model_validate_json(path.read_bytes())
    lines = vector.output
    for count in range(0, len(lines), max(1, len(lines) // 60)):
        with pytest.raises(Stalled):
            expected_of(vector.model_copy(update={"output": lines[:count]}))
