"""What an execution left in its folder, read without a package manager."""

from pathlib import Path

import pytest

from reconciler.managers.executed import ERR, OUT, read_execution
from reconciler.managers.sections import CONTRACT

_URL = "http://somebody:hidden@mirror.example/lost-1.1.rpm"


@pytest.mark.parametrize("section", ["failed", "unfetched"])
def test_what_is_told_of_a_package_names_no_password_of_its_server(tmp_path: Path, section: str) -> None:
    kind = "\tfile" if section == "unfetched" else ""
    (tmp_path / OUT).write_text(
        f"patchledger-patch {CONTRACT} dnf\n[download]\n= 1\n"
        f"[{section}]\n|lost:noarch{kind}\tStatus code: 404 for {_URL}\n= 0\nexit 29\n"
    )
    (one,) = read_execution(tmp_path).failed
    assert one.message == "Status code: 404 for http://mirror.example/lost-1.1.rpm"


def test_nor_does_what_a_script_said_that_was_ended(tmp_path: Path) -> None:
    (tmp_path / ERR).write_text(f"curl: 404 for {_URL}\n")
    assert read_execution(tmp_path).message.endswith("curl: 404 for http://mirror.example/lost-1.1.rpm")
