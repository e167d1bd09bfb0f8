"""What a public forge runs is what people run, on each forge alike."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = (".github/workflows/ci.yml", ".forgejo/workflows/ci.yml")


def test_both_forges_run_the_same() -> None:
    here, there = ((ROOT / path).read_bytes() for path in WORKFLOWS)
    assert here == there


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (".github/ISSUE_TEMPLATE/fault.md", ".forgejo/issue_template/fault.md"),
        (".github/ISSUE_TEMPLATE/wish.md", ".forgejo/issue_template/wish.md"),
        (".github/PULL_REQUEST_TEMPLATE.md", ".forgejo/pull_request_template.md"),
    ],
)
def test_both_forges_ask_the_same(here: str, there: str) -> None:
    assert (ROOT / here).read_bytes() == (ROOT / there).read_bytes()


def test_what_is_run_is_there_and_can_be_started() -> None:
    jobs = yaml.safe_load((ROOT / WORKFLOWS[0]).read_text(encoding="utf-8"))["jobs"]
    runs = [step["run"] for job in jobs.values() for step in job["steps"]]
    scripts = [found for run in runs for found in re.findall(r"\./[\w./-]+", run)]
    assert {"./scripts/check", "./.ci/run"} <= set(scripts)
    assert all((ROOT / script).stat().st_mode & 0o100 for script in scripts)


def test_nothing_of_a_stranger_enters_a_shell_line() -> None:
    jobs = yaml.safe_load((ROOT / WORKFLOWS[0]).read_text(encoding="utf-8"))["jobs"]
    assert not [step for job in jobs.values() for step in job["steps"] if "${{" in step["run"]]
