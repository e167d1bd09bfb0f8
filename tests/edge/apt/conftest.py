"""A copy of the small Debian for each test, and the patch script that looks at it."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.managers.apt import APT
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.targets.local import LocalTarget
from tests.labs.apt import AptLab

SHELLS = {"dash": ("dash",), "busybox": ("busybox", "sh")}


@pytest.fixture
def lab(apt_world: AptLab) -> Iterator[AptLab]:
    # Beside the world, since pytest's own folders cannot be entered by other users.
    folder = Path(tempfile.mkdtemp(dir=apt_world.folder.parent))
    folder.chmod(0o755)
    yield apt_world.copy(folder / "c")
    shutil.rmtree(folder)


@pytest.fixture
def own_lab(apt_world: AptLab) -> Iterator[AptLab]:
    """With a repository of its own, to be changed."""
    folder = Path(tempfile.mkdtemp(dir=apt_world.folder.parent))
    folder.chmod(0o755)
    yield apt_world.copy(folder / "c", repository=True)
    shutil.rmtree(folder)


def reads_after_a_signal(shell: tuple[str, ...]) -> bool:
    """Tell whether a shell reads anything once it has obeyed a trap; BusyBox 1.38.0 tries for ever."""
    try:
        subprocess.run(
            [*shell, "-c", "trap : TERM; kill -TERM $$; read line </proc/self/stat"], timeout=5, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return True


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return SHELLS[request.param]


@pytest.fixture(scope="session")
def script() -> PatchScript:
    return PatchScript.load(APT.script)


@pytest.fixture
def apt(lab: AptLab, script: PatchScript) -> ScriptedManager:
    return ScriptedManager(APT, LocalTarget(lab.environment), script, lab.cache)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of one execution."""
    return _fresh(tmp_path)


@pytest.fixture
def second_folder(tmp_path: Path) -> Path:
    """Of the execution after that."""
    return _fresh(tmp_path)


def _fresh(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


@pytest.fixture
def own_apt(own_lab: AptLab, script: PatchScript) -> ScriptedManager:
    # What a killed script leaves behind goes with the lab.
    target = LocalTarget({**own_lab.environment, "TMPDIR": str(own_lab.folder)})
    return ScriptedManager(APT, target, script, own_lab.cache)
