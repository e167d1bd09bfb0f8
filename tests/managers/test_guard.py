"""What is meant for a guest ends with a code of its own anywhere else, before anything else happens."""

import os
import subprocess
from pathlib import Path

import pytest

from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.guests import GuestPlace
from reconciler.resources import locate

GUARD = locate("scripts/patch/guest.sh").read_text()
HERE = (
    "--place",
    str(Path("/proc/self/ns/pid").readlink()),
    f"{Path('/').stat().st_dev}:{Path('/').stat().st_ino}",
    "-",
)


def guarded(shell: tuple[str, ...], *args: str, path: str = os.defpath) -> tuple[int, str, str]:
    done = subprocess.run(
        [*shell, "-c", f'{GUARD}\necho "went on: $*"; type elsewhere', "apt-update.sh", *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": path},
    )
    return done.returncode, done.stdout, done.stderr


SHELLS = [("sh",), pytest.param(("busybox", "sh"), marks=pytest.mark.lab)]


@pytest.mark.parametrize("shell", SHELLS)
def test_in_its_place_it_goes_on_with_what_is_left(shell: tuple[str, ...]) -> None:
    _, printed, _ = guarded(shell, *HERE, "--exclude", "a b")
    assert printed.splitlines()[0] == "went on: --exclude a b"
    assert "function" not in printed


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("args", "why"),
    [
        ((), "it was not said which one is"),
        (("--observe",), "it was not said which one is"),
        (HERE[:3], "it was not said which one is"),
        (("--palce", *HERE[1:], "--observe"), "it was not said which one is"),
        (("--place", "", *HERE[2:], "--observe"), "it was not said where its processes are"),
        ((*HERE[:2], "", "-", "--observe"), "it was not said where its root is"),
        ((*HERE[:3], "", "--observe"), "it was not said which machine it is"),
        (("--place", "pid:[1]", *HERE[2:], "--observe"), "other processes are here"),
        ((*HERE[:2], "1:1", "-", "--observe"), "another root is here"),
        ((*HERE[:3], "0" * 32, "--observe"), "another machine is here"),
    ],
)
def test_anywhere_else_it_ends_at_once(shell: tuple[str, ...], args: tuple[str, ...], why: str) -> None:
    code, printed, said = guarded(shell, *args)
    assert (code, printed) == (exit_codes.ELSEWHERE, "")
    assert said == f"apt-update.sh: this is not the guest that is meant: {why}\n"


def test_where_it_cannot_look_it_ends_as_well(tmp_path: Path) -> None:
    code, printed, said = guarded(("/bin/sh",), *HERE, path=str(tmp_path))
    assert (code, printed) == (exit_codes.ELSEWHERE, "")
    assert said.endswith("other processes are here\n")


def test_each_script_has_room_for_it() -> None:
    for path in locate("scripts/patch").glob("*-update.sh"):
        assert PatchScript.load(path.name).guarded().is_guarded


@pytest.mark.parametrize(
    "place",
    [
        ("", "1:2", ""),
        ("pid:[]", "1:2", ""),
        ("pid:[1]", "", ""),
        ("pid:[1]", "1:", ""),
        ("pid:[1]", "1:2", "-"),
        ("pid:[1]", "1:2", "0" * 31),
        ("pid:[1]\n", "1:2", ""),
    ],
)
def test_no_place_can_be_made_that_says_nothing(place: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match="no place of a guest"):
        GuestPlace(*place)
