"""A tool whose 1 may be an answer says so in words; an error with the same code is none."""

from pathlib import Path

from reconciler.managers.scripts import PatchScript
from reconciler.process import BASE_PATH
from reconciler.targets.local import LocalTarget
from tests.labs.dnf import DnfLab
from tests.labs.zypper import ZypperLab

NO_ANSWER = "echo 'error: cannot open the database' >&2; exit 1"


def say(folder: Path, lab: DnfLab | ZypperLab, stubs: dict[str, str], *question: str) -> str:
    """Ask the lab's patch script, with tools in front of the others; return what it prints."""
    folder.mkdir()
    for name, body in stubs.items():
        file = folder / name
        file.write_text(f'#!/bin/sh\n{body}\nexec /usr/bin/{name} "$@"\n')
        file.chmod(0o755)
    target = LocalTarget({**lab.environment, "PATH": f"{folder}:{BASE_PATH}"})
    name = "dnf-update.sh" if isinstance(lab, DnfLab) else "zypper-update.sh"
    script = PatchScript.load(name)
    options = ("--root", str(lab.root), "--cache", str(lab.cache))
    return target.run(script.content, name, [*question, *options], timeout=120).text


def test_kernels_are_not_doubled_where_rpm_cannot_say_what_may_be(
    tmp_path: Path, zypper_world: ZypperLab
) -> None:
    """A repair would erase the older one."""
    lab = zypper_world.copy(tmp_path / "lab")
    fails = {"rpm": f"case $* in *whatprovides*) {NO_ANSWER} ;; esac"}
    assert say(tmp_path / "stubs", lab, fails, "--observe").endswith("!rpm ended with 1\n= 1\nexit 1\n")


def test_one_update_alone_is_not_impossible_where_dnf_cannot_say_what_is_offered(
    tmp_path: Path, dnf_world: DnfLab
) -> None:
    lab, asked = dnf_world.copy(tmp_path / "lab"), tmp_path / "asked"
    second = f"case $* in *--available*) [ ! -e {asked} ] || {{ {NO_ANSWER}; }}; : >{asked} ;; esac"
    told = say(tmp_path / "stubs", lab, {"dnf": second}, "--dry-run", "--only", "plain=1.1-1")
    assert "!dnf cannot say what is offered: error: cannot open the database" in told
    assert told.endswith("\nexit 1\n")
