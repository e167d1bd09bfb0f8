"""The how-to about change management is followed as it is printed, while one host ticks between its steps."""

import os
import subprocess
import sys
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import pytest

from tests.e2e.machines import Plant
from tests.e2e.site import BEFORE, OPENING, POLICY, SCHEDULE
from tests.labs.change import change
from tests.labs.pages import to_follow
from tests.labs.signing import Key, Keys

ROOT = Path(__file__).parents[2]
HOST = "web-01"
WANTED = (
    "kind: Exception\nname: wanted\npackages: [kept, tool]\naction: include\nreason: r\nexpires: 2099-01-01\n"
)
FILES = {
    "policies/base.yaml": f"{POLICY}updates: none\napproval: required\n",
    "schedules/nightly.yaml": SCHEDULE,
    "exceptions/wanted.yaml": WANTED,
}
SOON = timedelta(minutes=15)


def blocks(reports: str) -> list[str]:
    """Return the commands of each step, with the place of the reports."""
    shown = "ssh://git@git.example/reports.git"
    sections = [
        list(found) for _, found in groupby(to_follow("change-management.md"), lambda one: one.section)
    ]
    typed = ["\n".join(one.text for one in section) for section in sections]
    assert any(shown in one for one in typed)
    return [one.replace(shown, reports) for one in typed]


@pytest.mark.lab
def test_the_page_is_followed_as_it_is_printed(
    request: pytest.FixtureRequest, tmp_path: Path, keys: Keys, ada: Key
) -> None:
    with change(tmp_path, (HOST,), keys) as fleet:
        fleet.begin(ada, FILES)
        plant = Plant.build("apt", request.getfixturevalue("apt_world"), tmp_path / HOST)
        fleet.follow(HOST, plant)
        plant.offer("kept")
        plant.offer("tool")
        fleet.tick(BEFORE)
        here = fleet.folder
        (here / ada.who.partition("@")[0]).rename(here / "policy")
        (here / "console.yaml").symlink_to(fleet.console("publisher"))
        (here / "publisher").symlink_to(fleet.publisher.settings["user.signingkey"])
        # The reader is on the host for step 6; here, its configuration lies elsewhere.
        own = f'case $1 in log | explain) set -- --config {plant.site.config} "$@";; esac'
        (here / "bin").mkdir()
        (here / "bin/patchledger").write_text(f'#!/bin/sh\n{own}\nexec {sys.executable} -m reconciler "$@"\n')
        (here / "bin/patchledger").chmod(0o755)
        env = {
            "HOME": str(here),
            "PATH": f"{here}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GIT_CONFIG_NOSYSTEM": "1",
        }

        def follow(block: str) -> str:
            folder = here if block.startswith("cd policy") else here / "policy"
            done = subprocess.run(
                ["sh", "-eu"], input=block, cwd=folder, env=env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            return " ".join((done.stdout + done.stderr).split())

        propose, review, merge, waits, approve, done, back = blocks(str(fleet.reports))
        follow(propose)
        assert "1 of 1 host changes" in follow(review)
        follow(merge)
        fleet.tick(BEFORE + SOON)
        said = follow(waits)
        assert "1 target: 1 waiting-for-a-person" in said
        assert "1 change " in said
        assert "1: web-01" in said
        assert "no problem" in follow(approve)
        fleet.tick(OPENING + SOON)
        assert (plant.version("tool"), plant.version("kept")) == ("1.1", "1.0")
        said = follow(done)
        (record,) = fleet.runs(HOST)
        for told in (
            f"Run {record['run']}: applied",
            "CHG-1310 [approvals/plan-",
            f"signed by {ada.who} ({ada.fingerprint})",
            f"tool 1.1: by run {record['run']}",
            "kept 1.0 → 1.1: held",
            f"{record['policy_commit'][:7]} Ada: Approve CHG-1310",
            f"Run: {record['run']}",
        ):
            assert told in said
        follow(back)
        report = fleet.tick(OPENING + 2 * SOON)[HOST]
        assert report["decision"]["outcome"] == "approval"
        assert [move["name"] for move in report["plan"]["transaction"]] == ["kept"]
