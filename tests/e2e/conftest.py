"""A small machine and a whole installation for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.cli import main
from tests.audits import audited_all, refuted
from tests.e2e.machines import MANAGERS, Plant
from tests.e2e.site import Site
from tests.labs.apt import AptLab
from tests.replay import replay


@pytest.fixture
def lab(apt_world: AptLab, tmp_path: Path) -> AptLab:
    return apt_world.copy(tmp_path / "machine")


@pytest.fixture
def site(lab: AptLab, tmp_path: Path) -> Site:
    return Site.create(tmp_path / "site", environment=lab.environment)


@pytest.fixture
def patchledger(site: Site, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command on the site: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--config", str(site.config), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(autouse=True)
def replayed(tmp_path: Path) -> Iterator[None]:
    """Make every report of each installation again, from git alone and byte by byte, when a test is over.

    It takes a fortieth of a second for each. Both repositories must be in their places by then.
    """
    del tmp_path  # which is there until then
    Site.made.clear()
    Site.foreign.clear()
    yield
    for site in Site.made:
        assert [one for one in replay(site.reports, site.policy, Site.foreign) if one.problem] == []


@pytest.fixture
def lawful(replayed: None) -> Iterator[None]:
    """Audit each installation when a test is over: of what a host did by the rules, nothing is refuted."""
    del replayed
    yield
    for site in Site.made:
        if not Site.foreign:
            found = audited_all(site.reports, site.policy)
            assert [one for target in found.targets for one in refuted(target)] == []


@pytest.fixture(params=MANAGERS)
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Plant:
    """A machine of each package manager, to be broken, with an installation of its own."""
    world = request.getfixturevalue("dnf_calm_world" if request.param == "dnf" else f"{request.param}_world")
    return Plant.build(request.param, world, tmp_path)
