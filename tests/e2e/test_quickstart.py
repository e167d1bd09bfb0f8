"""What the README promises to somebody who has just cloned the repository."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.site import git

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the repository's own files, as a clone would have them."""
    folder = tmp_path / "patchledger"
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def test_quickstart_reports_on_this_machine_and_says_how_to_look(clone: Path) -> None:
    first = _quickstart(clone)
    assert "updates pending" in first or "up to date" in first
    assert "Committed report" in first
    assert "report.md" in first
    reports = clone / "quickstart" / "reports.git"
    (branch,) = git(reports, "for-each-ref", "--format=%(refname:short)").splitlines()
    assert branch.startswith("hosts/")
    page = git(reports, "show", f"{branch}:report.md")
    assert page.startswith(f"# {branch.removeprefix('hosts/')}: ")
    second = _quickstart(clone)
    assert "nothing changed" in second
    assert git(reports, "rev-list", "--count", branch) == "1"


def _quickstart(clone: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [clone / "scripts" / "quickstart"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
