"""With ``--log -`` what a manager says is heard as it comes, and nobody who stops listening stops it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.managers.shell import COMMON

BODY = r"""
SELF=try.sh VERB=--apply
take_value --log -
make_work_dir
act apply sh -c '
    echo "one, to whom it concerns"; echo two >&2
    [ -z "$1" ] || read -r word <"$1"
    echo three
' sh "$HEARD"
"""
SECTION = "[apply]\n|one, to whom it concerns\n|two\n|three\n= 0\n"


def begin(shell: tuple[str, ...], folder: Path, heard: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*shell, "-c", f"{COMMON}{BODY}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": f"{folder}:{os.defpath}", "HEARD": heard},
    )


def told(work: "subprocess.Popen[str]") -> tuple[str, str | None]:
    """Return what was said; whoever speaks ends with the script, so that is waited for first."""
    assert work.wait(60) == 0
    return work.communicate()


SHELLS = [("sh",), pytest.param(("busybox", "sh"), marks=pytest.mark.lab)]


@pytest.mark.parametrize("shell", SHELLS)
def test_it_is_heard_while_it_speaks_and_told_whole_at_the_end(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    os.mkfifo(tmp_path / "heard")
    work = begin(shell, tmp_path, str(tmp_path / "heard"))
    assert work.stderr is not None
    assert [work.stderr.readline(), work.stderr.readline()] == ["one, to whom it concerns\n", "two\n"]
    (tmp_path / "heard").write_text("go on\n")  # so it had not ended when it was heard
    assert told(work) == (SECTION, "three\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_it_goes_on_where_nobody_listens_any_more(tmp_path: Path, shell: tuple[str, ...]) -> None:
    os.mkfifo(tmp_path / "heard")
    work = begin(shell, tmp_path, str(tmp_path / "heard"))
    assert work.stderr is not None
    work.stderr.close()
    work.stderr = None
    (tmp_path / "heard").write_text("go on\n")
    assert told(work) == (SECTION, None)


@pytest.mark.lab
def test_where_the_tail_knows_no_end_all_is_told_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "tail").write_text('#!/bin/sh\nexec busybox tail "$@"\n')
    (tmp_path / "tail").chmod(0o755)
    assert told(begin(("busybox", "sh"), tmp_path, "")) == (SECTION, "")
