"""Faults at instants of chance: what is on record is what happened, and nothing readable is lost.

These are few, so that they fit into every run of the tests; ``tests/chaos/run`` tries as many as one likes.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.faults import tell
from tests.chaos.world import build_lab
from tests.conftest import in_memory
from tests.labs.apt import AptLab

SEEDS = range(10)


@pytest.fixture(scope="session")
def template() -> Iterator[AptLab]:
    with in_memory() as folder:
        yield build_lab(folder)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_host_survives(template: AptLab, tmp_path: Path, seed: int) -> None:
    name, found = tell(template, tmp_path, seed)
    assert not found, f"{name}: {found}"
