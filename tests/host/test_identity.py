"""Which machine this is: what its file says, and nothing else that may stand in the file's place."""

import os
from pathlib import Path

import pytest

from reconciler.host.machine.identity import boot_id, machine_id

OWN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc" / "machine-id"


@pytest.mark.parametrize(
    ("said", "is_read"),
    [
        (f"{OWN}\n", True),
        ("uninitialized\n", False),
        ("", False),
        (f"{OWN}{OWN}\n", False),
        (f"{OWN}\n{OWN}\n", False),
        ("é" * 32, False),
    ],
)
def test_the_machine_id_is_what_its_file_says_if_it_can_be_one(
    file: Path, said: str, *, is_read: bool
) -> None:
    file.write_text(said, encoding="utf-8")
    assert machine_id(file.parents[1]) == (OWN if is_read else "")


@pytest.mark.parametrize("kind", ["nothing", "folder", "pipe", "endless"])
def test_what_is_no_file_has_no_machine_id_and_holds_nobody_up(file: Path, kind: str) -> None:
    match kind:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "endless":
            file.symlink_to("/dev/zero")
        case _:
            pass
    assert machine_id(file.parents[1]) == ""


def test_the_boot_id_stays_while_the_machine_is_up() -> None:
    assert len(boot_id()) == 36
    assert boot_id() == boot_id()
