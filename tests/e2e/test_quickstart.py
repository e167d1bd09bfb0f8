"""What the README promises to somebody who has just cloned the repository."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.site import git
from tests.labs.pages import commands

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
    _follow_the_tutorial(clone)


def _follow_the_tutorial(clone: Path) -> None:
    """Type every command of the tutorial behind the quick start, of which all is there already."""
    fetched, started, *typed = commands(ROOT / "docs/tutorial/first-report.md")
    assert fetched.text.startswith("git clone ")
    assert started.text == "./scripts/quickstart"
    said = "".join(_typed(clone, "\n".join(one.text for one in typed)))
    assert "policies, strongest first: everything (" in said
    assert "no problem in 3 documents" in said
    assert said.count("Committed report") == 1
    assert said.count("Date: ") == len(["step 1", "step 4"]), "the commits of two reports"
    assert not (clone / "quickstart").exists()


def _typed(clone: Path, script: str) -> tuple[str, str]:
    who = {
        f"GIT_{role}_{part}": "ada@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["sh", "-e"],
        input=script,
        cwd=clone,
        env={**_environment(), **who},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _quickstart(clone: Path) -> str:
    done = subprocess.run(
        [clone / "scripts" / "quickstart"],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
