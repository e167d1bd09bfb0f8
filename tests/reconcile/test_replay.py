"""Every report of a report repository comes out of it and the policy repository again, byte by byte."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.replay import main, replay

GOLDEN = Path(__file__).parents[1] / "golden"
KEPT = sorted(path.parent.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("v*/*/reports.bundle"))


def git(folder: Path, *arguments: str, given: bytes = b"") -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, input=given, capture_output=True, check=True)
    return done.stdout.decode().strip()


def unpacked(kept: str, folder: Path) -> tuple[Path, Path]:
    """Return the report and the policy repository that a released version left."""
    for name in ("reports", "policy"):
        git(folder, "clone", "-q", "--mirror", str(GOLDEN / kept / f"{name}.bundle"), name)
    return folder / "reports", folder / "policy"


def test_there_are_repositories_of_every_version_before_this_one() -> None:
    assert {name.partition("/")[0] for name in KEPT} == {"v1", "v2"}
    assert {name for name in KEPT if name.startswith("v2/")} == {
        f"v2/{manager}" for manager in ("apt", "dnf", "pacman", "zypper")
    }


@pytest.mark.parametrize("kept", KEPT)
def test_every_commit_of_an_earlier_version_is_decided_again(kept: str, tmp_path: Path) -> None:
    reports, policy = unpacked(kept, tmp_path)
    done = replay(reports, policy)
    assert len(done) == len({one.commit for one in done}) == 6
    assert [one for one in done if one.problem] == []
    schema = json.loads(git(reports, "show", "hosts/web-01:report.json"))["schema"]
    assert kept.startswith(f"v{schema}/")


def test_a_report_that_says_something_else_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports, policy = unpacked("v2/apt", tmp_path)
    report = git(reports, "show", "hosts/web-01:report.json").replace('"pending": 0,', '"pending": 7,')
    blob = git(reports, "hash-object", "-w", "--stdin", given=report.encode() + b"\n")
    rest = [
        line
        for line in git(reports, "ls-tree", "hosts/web-01").splitlines()
        if not line.endswith("\treport.json")
    ]
    tree = git(reports, "mktree", given="\n".join([*rest, f"100644 blob {blob}\treport.json\n"]).encode())
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    forged = git(reports, *identity, "commit-tree", "-p", "hosts/web-01", "-m", "forged", tree)
    git(reports, "update-ref", "refs/heads/hosts/web-01", forged)
    assert main([str(reports), str(policy)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len([forged, "sum"])
    assert said[0].startswith(f"{forged}: report.json:")
    assert said[1] == "7 report commits, 1 not the same"


def test_a_repository_without_reports_proves_nothing(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "empty")
    assert main([str(tmp_path / "empty"), str(tmp_path / "empty")]) == 1
