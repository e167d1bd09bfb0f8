"""The package manager of a machine is its distribution's own."""

import subprocess
from pathlib import Path

import pytest

from reconciler.errors import Misuse, Stalled
from reconciler.managers.detect import check_there, detect, dialect_of
from reconciler.policy.managers import MANAGERS, NAMES
from reconciler.targets.local import LocalTarget

ROOT = Path(__file__).parents[2]


def test_this_machine_has_apt_whatever_else_is_installed() -> None:
    assert subprocess.run(["apt-get", "--version"], capture_output=True, check=False).returncode == 0
    assert detect(LocalTarget({})) == "apt"


@pytest.mark.parametrize(
    ("program", "manager"), [("yum", "dnf"), ("dnf", "dnf"), ("zypper", "zypper"), ("pacman", "pacman")]
)
def test_a_machine_with_one_program_has_that_manager(tmp_path: Path, program: str, manager: str) -> None:
    (tmp_path / program).write_text("#!/bin/sh\n")
    (tmp_path / program).chmod(0o755)
    assert detect(LocalTarget({"PATH": str(tmp_path)}, ("/bin/sh",))) == manager


def test_a_machine_without_any_is_said(tmp_path: Path) -> None:
    with pytest.raises(Stalled, match="no package manager found"):
        detect(LocalTarget({"PATH": str(tmp_path)}, ("/bin/sh",)))


def test_two_managers_without_a_distribution_are_not_guessed_between(tmp_path: Path) -> None:
    for program in ("zypper", "pacman"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    target = LocalTarget({"PATH": str(tmp_path)}, ("/bin/sh",))
    with pytest.raises(Stalled, match="has zypper and pacman"):
        detect(target, root=tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=garuda\nID_LIKE=arch\n")
    assert detect(target, root=tmp_path) == "pacman"


def test_a_manager_that_is_named_must_be_there(tmp_path: Path) -> None:
    target = LocalTarget({"PATH": str(tmp_path)}, ("/bin/sh",))
    with pytest.raises(Misuse, match="there is no pacman on this machine; it has none of apt, dnf, zypper"):
        check_there("pacman", target)
    for program in ("zypper", "pacman"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    check_there("pacman", target)
    with pytest.raises(Misuse, match="there is no apt on this machine; it has zypper, pacman"):
        check_there("apt", target)
    (tmp_path / "sh").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "sh").chmod(0o755)
    with pytest.raises(Stalled, match="was not said: the question ended with 1"):
        check_there("apt", LocalTarget({"PATH": str(tmp_path)}))


def test_every_manager_has_an_entry_a_dialect_and_a_script() -> None:
    assert tuple(one.name for one in MANAGERS) == NAMES
    for name in NAMES:
        assert dialect_of(name).name == name
        assert (ROOT / f"scripts/patch/{name}-update.sh").is_file()
