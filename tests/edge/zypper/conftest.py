"""A copy of the small relative of SLES for each test, and the patch script that looks at it."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.managers.zypper import ZYPPER
from reconciler.targets.local import LocalTarget
from tests.labs.programs import tool
from tests.labs.zypper import ZypperLab

SHELLS = {"dash": ("dash",), "busybox": ("busybox", "sh")}


@pytest.fixture
def lab(zypper_world: ZypperLab) -> Iterator[ZypperLab]:
    folder = Path(tempfile.mkdtemp(dir=zypper_world.folder.parent))
    yield zypper_world.copy(folder / "c")
    _clear(folder)


@pytest.fixture
def own_lab(zypper_world: ZypperLab) -> Iterator[ZypperLab]:
    """With a repository of its own, to be changed."""
    folder = Path(tempfile.mkdtemp(dir=zypper_world.folder.parent))
    yield zypper_world.copy(folder / "c", repository=True)
    _clear(folder)


def _clear(folder: Path) -> None:
    # Newer ones mount /proc while they change packages; those that were killed have left it so.
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if (place := line.split()[1]).startswith(f"{folder}/"):
            tool("umount", "--lazy", place)
    shutil.rmtree(folder)


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return SHELLS[request.param]


@pytest.fixture(scope="session")
def script() -> PatchScript:
    return PatchScript.load(ZYPPER.script)


def managed(lab: ZypperLab, script: PatchScript, shell: tuple[str, ...] = ("sh",)) -> ScriptedManager:
    return ScriptedManager(
        ZYPPER, LocalTarget(lab.environment, shell=shell), script, lab.cache, root=lab.root
    )


@pytest.fixture
def zypper(lab: ZypperLab, script: PatchScript) -> ScriptedManager:
    return managed(lab, script)


@pytest.fixture
def own_zypper(own_lab: ZypperLab, script: PatchScript) -> ScriptedManager:
    return managed(own_lab, script)


def in_old_words(message: str) -> str:
    """Return what zypper says cannot be done as Debian 12's says it, which says less of each package."""
    return re.sub(r"\bthe (to be )?installed |'", "", message)
