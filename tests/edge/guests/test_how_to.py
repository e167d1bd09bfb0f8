"""The commands of the how-to about containers are run as printed, up to the first applied window."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.docs.test_commands import ROOT, followed, plant
from tests.e2e.site import git
from tests.edge.guests.conftest import Acting, as_before, version
from tests.edge.guests.test_ticks import OPEN, window
from tests.labs.apt import AptLab
from tests.labs.guests import REPOSITORY
from tests.labs.pages import HOW_TO, to_follow

PAGE = "patch-containers.md"
TEXT = (HOW_TO / PAGE).read_text(encoding="utf-8")
DOCUMENTS = dict(re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


def typed(step: int) -> list[str]:
    """Return the commands of a step as they are printed."""
    return [one.text for one in to_follow(PAGE) if one.section.startswith(f"{step}. ")]


@dataclass(frozen=True, slots=True)
class Reader:
    """Who follows the page: on the node, and where policy is edited."""

    acting: Acting
    folder: Path

    def on_the_node(self, step: int) -> str:
        """Run the commands of a step; return all that they print. The first that fails ends them."""
        text = "\n".join(typed(step)).replace("openssl", "labapp") + "\n"
        variables = f"PATH={self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            [*self.acting.node.entering, "env", "-C", str(self.folder), variables, "sh", "-exu"],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def branches(self) -> list[str]:
        return git(self.folder / "reports.git", "for-each-ref", "--format=%(refname:lstrip=2)").splitlines()


@pytest.fixture
def reader(acting: Acting, apt_world: AptLab, tmp_path: Path) -> Iterator[Reader]:
    lab = apt_world.copy(tmp_path / "machine")
    for name in ("policy.git", "reports.git"):
        git(tmp_path, "init", "-q", "--bare", "-b", "main", name)
    # What is the reader's own: addresses, folders, and the packages of a lab for those of the node.
    answers = yaml.safe_load(DOCUMENTS["setup.yaml"])
    answers["policy"]["remote"] = f"{tmp_path}/policy.git"
    answers["reports"]["remote"] = f"{tmp_path}/reports.git"
    own = {f"{name}_dir": f"{tmp_path}/{name}" for name in ("state", "log", "hooks")}
    answers |= {**own, "environment": lab.environment, "manager": "apt"}
    wrapper = (
        f'#!/bin/sh\ncase $1 in setup) set -- "$@" --unit-dir {tmp_path}/units '
        f"--program {tmp_path}/bin/patchledger;; esac\n"
        f"export PYTHONPATH={REPOSITORY}\n"
        f'exec {sys.executable} -m reconciler --config {tmp_path}/etc/config.yaml "$@"\n'
    )
    plant(tmp_path, {"setup.yaml": yaml.safe_dump(answers), "bin/patchledger": wrapper})
    (tmp_path / "bin/patchledger").chmod(0o755)
    yield Reader(acting, tmp_path)
    for number in ("201", "204"):
        as_before(acting, number)


def write_policy(reader: Reader) -> str:
    """Do the first step, in a clone, with a window that is open now; return what is printed."""
    git(reader.folder, "clone", "-q", "policy.git", "policy")
    files = {name: text for name, text in DOCUMENTS.items() if name != "setup.yaml"}
    files["schedules/night.yaml"] = window(OPEN).replace("name: now", "name: night")
    plant(reader.folder / "policy", files)
    roles = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
    who = dict.fromkeys(roles, "ada@example.org")
    done = followed(typed(1), reader.folder / "policy", {**who, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_from_a_bare_node_to_the_first_applied_window(reader: Reader, acting: Acting) -> None:
    assert "no problem in 4 documents" in write_policy(reader)
    listed = reader.on_the_node(2)
    assert "pve1: 4 guests, 2 looked after." in listed
    assert "says nothing of guests" not in listed

    looked = reader.on_the_node(3)
    assert "labapp" in looked
    assert reader.branches() == ["guests/pve1/201", "guests/pve1/204", "hosts/pve1"]
    assert [version(acting, number) for number in ("201", "204")] == ["ii 1.0", "ii 1.0"]

    tried = reader.on_the_node(4)
    assert "labapp:all 1.0 → 1.1" in tried
    assert [version(acting, number) for number in ("201", "204")] == ["ii 1.1", "ii 1.0"]

    reader.on_the_node(5)
    assert [version(acting, number) for number in ("201", "204")] == ["ii 1.1", "ii 1.1"]
