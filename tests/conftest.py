"""What all tests share: golden files, refreshed by ``pytest --update-golden``, and small systems to patch."""

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.labs.apt import AptLab
from tests.labs.dnf import DnfLab
from tests.labs.pacman import PacmanLab
from tests.labs.zypper import ZypperLab

GOLDEN = Path(__file__).parent / "golden"

# How long an example takes is the machine's affair: on a busy one a slow example is no failure.
settings.register_profile("patchledger", deadline=None)
settings.load_profile("patchledger")

# Started in the background or by nohup, they may have to ignore these, and so would the tested programs.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew instead of comparing"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, bytes], None]:
    """Return a function that compares bytes with ``tests/golden/NAME``."""
    is_update = bool(request.config.getoption("--update-golden"))

    def compare(name: str, actual: bytes) -> None:
        path = GOLDEN / name
        if is_update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(actual)
        assert path.exists(), f"{name} is missing; write it with --update-golden and read it"
        assert actual.decode() == path.read_bytes().decode()

    return compare


@contextlib.contextmanager
def in_memory() -> Iterator[Path]:
    """Give a folder in memory for speed, into which other users may look, too."""
    memory = Path("/dev/shm")  # noqa: S108 - made by tempfile
    folder = Path(tempfile.mkdtemp(prefix="lab", dir=memory if memory.is_dir() else None))
    folder.chmod(0o755)
    try:
        yield folder / "w"
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def apt_world() -> Iterator[AptLab]:
    """Build a small Debian, once for each worker; tests get copies of its root."""
    with in_memory() as folder:
        yield AptLab.build(folder)


@pytest.fixture(scope="session")
def dnf_world() -> Iterator[DnfLab]:
    """Build a small relative of RHEL, once for each worker; tests get copies of its root."""
    with in_memory() as folder:
        yield DnfLab.build(folder)


@pytest.fixture(scope="session")
def zypper_world() -> Iterator[ZypperLab]:
    """Build a small relative of SLES, once for each worker; tests get copies of its root."""
    with in_memory() as folder:
        yield ZypperLab.build(folder)


@pytest.fixture(scope="session")
def pacman_world() -> Iterator[PacmanLab]:
    """Build a small Arch, once for each worker; tests get copies of its root."""
    with in_memory() as folder:
        yield PacmanLab.build(folder)
