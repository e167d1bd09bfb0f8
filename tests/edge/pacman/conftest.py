"""A copy of the small Arch for each test, and the patch script that looks at it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.targets.local import LocalTarget
from tests.labs.pacman import PacmanLab

SHELLS = {"dash": ("dash",), "busybox": ("busybox", "sh")}


@pytest.fixture
def fresh_lab(pacman_world: PacmanLab) -> Iterator[PacmanLab]:
    """With a repository of its own, to be changed; nothing was read from it since the old world."""
    folder = Path(tempfile.mkdtemp(dir=pacman_world.folder.parent))
    folder.chmod(0o755)
    yield pacman_world.copy(folder / "c", repository=True)
    shutil.rmtree(folder)


@pytest.fixture
def lab(fresh_lab: PacmanLab, script: PatchScript) -> PacmanLab:
    """With the new world read into the folder of ours."""
    run(fresh_lab, script, "--refresh")
    return fresh_lab


def run(lab: PacmanLab, script: PatchScript, *args: str, shell: tuple[str, ...] = ("sh",)) -> int:
    """Run the script and return its exit code."""
    target = LocalTarget(lab.environment, shell)
    return script.run(target, [*args, "--cache", str(lab.cache)], timeout=60).exit_code


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return SHELLS[request.param]


Folder = Callable[[], Path]
"""Makes a folder for one more execution."""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make() -> Path:
        path = tmp_path / f"execution-{len(list(tmp_path.iterdir()))}"
        path.mkdir()
        return path

    return make


@pytest.fixture(scope="session")
def script() -> PatchScript:
    return PatchScript.load(PACMAN.script)


@pytest.fixture
def pacman(lab: PacmanLab, script: PatchScript) -> ScriptedManager:
    return ScriptedManager(PACMAN, LocalTarget(lab.environment), script, lab.cache)


@pytest.fixture
def fresh_pacman(fresh_lab: PacmanLab, script: PatchScript) -> ScriptedManager:
    return ScriptedManager(PACMAN, LocalTarget(fresh_lab.environment), script, fresh_lab.cache)
