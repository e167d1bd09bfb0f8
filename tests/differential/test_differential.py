"""Worlds of chance: what the package manager would do is what is planned, and what is done.

These are few, so that they fit into every run of the tests; ``scripts/test-differential`` tries more.
"""

from collections.abc import Callable, Iterator

import pytest

from reconciler.policy.managers import NAMES, ManagerName
from tests.conftest import in_memory
from tests.differential.machines import Maker
from tests.differential.trial import MAKERS, try_world
from tests.differential.worlds import SMALL, World, make_world


@pytest.fixture(scope="session")
def maker() -> Iterator[Callable[[ManagerName], Maker]]:
    """Return what makes the machines of a manager; what they have in common is made once."""
    made: dict[ManagerName, Maker] = {}
    with in_memory() as folder:
        folder.mkdir()

        def of(manager: ManagerName) -> Maker:
            if manager not in made:
                made[manager] = MAKERS[manager].prepare(folder / manager)
            return made[manager]

        yield of


@pytest.mark.parametrize("manager", NAMES)
@pytest.mark.parametrize("seed", range(SMALL))
def test_what_the_manager_would_do_is_planned_and_done(
    maker: Callable[[ManagerName], Maker], manager: ManagerName, seed: int
) -> None:
    with in_memory() as folder:
        folder.mkdir()
        faults = try_world(manager, seed, maker(manager), folder)
    assert not faults, f"{manager}, seed {seed}: {faults}"


@pytest.mark.parametrize("manager", NAMES)
def test_a_seed_is_a_world(manager: ManagerName) -> None:
    worlds = [make_world(manager, seed) for seed in range(200)]
    assert worlds == [make_world(manager, seed) for seed in range(200)]
    assert all(map(_is_whole, worlds))


def _is_whole(world: World) -> bool:
    rungs = {release.name: release.rung for release in world.installed}
    return all(
        need.name in rungs and need.is_met_by(rungs[need.name])
        for release in world.installed
        for need in release.needs
    )
