"""A copy of the small relative of RHEL for each test, and the patch script that looks at it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.managers.dnf import DNF
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.targets.local import LocalTarget
from tests.labs.dnf import DnfLab
from tests.labs.folders import Folder, numbered

SHELLS = {"dash": ("dash",), "busybox": ("busybox", "sh")}


@pytest.fixture
def lab(dnf_world: DnfLab) -> Iterator[DnfLab]:
    folder = Path(tempfile.mkdtemp(dir=dnf_world.folder.parent))
    yield dnf_world.copy(folder / "c")
    shutil.rmtree(folder)


@pytest.fixture
def own_lab(dnf_world: DnfLab) -> Iterator[DnfLab]:
    """With a repository of its own, to be changed."""
    folder = Path(tempfile.mkdtemp(dir=dnf_world.folder.parent))
    yield dnf_world.copy(folder / "c", repository=True)
    shutil.rmtree(folder)


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return SHELLS[request.param]


@pytest.fixture(scope="session")
def script() -> PatchScript:
    return PatchScript.load(DNF.script)


@pytest.fixture
def dnf(lab: DnfLab, script: PatchScript) -> ScriptedManager:
    return ScriptedManager(DNF, LocalTarget(lab.environment), script, lab.cache, root=lab.root)


@pytest.fixture
def own_dnf(own_lab: DnfLab, script: PatchScript) -> ScriptedManager:
    return ScriptedManager(DNF, LocalTarget(own_lab.environment), script, own_lab.cache, root=own_lab.root)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Make a folder for each execution."""
    return numbered(tmp_path)
