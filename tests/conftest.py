"""What all tests share: golden files, refreshed by ``pytest --update-golden``, and small systems to patch."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.examples import load_profile
from tests.labs.apt import AptLab
from tests.labs.dnf import DnfLab
from tests.labs.pacman import PacmanLab
from tests.labs.signing import Key, Keys
from tests.labs.zypper import ZypperLab

TESTS = Path(__file__).parent
GOLDEN = TESTS / "golden"

load_profile()

# Started in the background or by nohup, they may have to ignore these, and so would the tested programs.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)


_OF_ROOT = ("benchmarks", "chaos", "differential", "e2e", "edge")
"""Folders whose tests need root and real package managers throughout."""
_WORLDS = frozenset({"apt_world", "dnf_world", "dnf_calm_world", "zypper_world", "pacman_world"})
_WITHOUT = "not root and not lab"


def pytest_configure(config: pytest.Config) -> None:
    """Leave out what an ordinary user cannot run, unless the command line says what to run."""
    if os.geteuid() and not config.option.markexpr:
        config.option.markexpr = _WITHOUT


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what is left out."""
    if config.option.markexpr == _WITHOUT:
        return "without tests that need root, or Debian packages beyond git: scripts/test runs them all"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what drives the real things."""
    for item in items:
        worlds = _WORLDS.intersection(getattr(item, "fixturenames", ()))
        if worlds or item.path.relative_to(TESTS).parts[0] in _OF_ROOT:
            item.add_marker("root")
            item.add_marker("lab")


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
def dnf_calm_world() -> Iterator[DnfLab]:
    """Build a smaller one, for whoever brings packages of their own."""
    with in_memory() as folder:
        yield DnfLab.build_calm(folder)


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


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Makes keys for people; those below are there for whoever needs no other."""
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def ada(keys: Keys) -> Key:
    return keys.ssh("ada@example.org")


@pytest.fixture(scope="session")
def ben(keys: Keys) -> Key:
    return keys.ssh("ben@example.org")


@pytest.fixture(scope="session")
def eve(keys: Keys) -> Key:
    return keys.ssh("eve@example.org")
