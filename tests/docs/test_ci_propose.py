"""The templates of the job that proposes: what they name is run, as a runner would run it."""

import os
import re
import subprocess
import sys
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest
import yaml

from tests.docs.test_ci_example import CI, STEP, substituted
from tests.e2e.test_propose import Job, job
from tests.labs.forge import TOKEN, Kind

__all__ = ["job"]  # a fixture
FORGES: tuple[Kind, ...] = get_args(Kind)
pytestmark = pytest.mark.lab


def template(kind: Kind) -> Any:
    return yaml.safe_load((CI / f"propose-{kind}.yml").read_text(encoding="utf-8"))


def commands(kind: Kind) -> list[tuple[str, dict[str, str]]]:
    """Return what the job runs, and what the template adds to its environment."""
    whole = template(kind)
    if kind == "gitlab":
        one = whole["propose"]
        return [(line, one["variables"]) for line in one["before_script"] + one["script"]]
    steps = whole["jobs"]["propose"]["steps"]
    return [(step["run"], whole["env"] | step.get("env", {})) for step in steps if "run" in step]


def known(job: Job, **more: str) -> dict[str, str]:
    """Return what the runner of the forge knows, and what people have set."""
    folder = job.world.folder
    told = {
        "POLICY": f"file://{job.policy}/.git",
        "REPORTS": f"file://{job.world.reports}",
        "ALLOWED_SIGNERS": (folder / "signers").read_text(encoding="utf-8"),
        "REPOSITORY_NAME": "example",
        "PROPOSE": "--max-open 1",
        **more,
    }
    if job.forge.kind == "gitlab":
        return {
            **told,
            "CI_API_V4_URL": job.forge.api,
            "CI_SERVER_URL": "https://gitlab.example",
            "CI_PROJECT_PATH": "ops/policy",
            "CI_DEFAULT_BRANCH": "main",
            "PROPOSALS_TOKEN": TOKEN,
        }
    return {
        **told,
        "GITHUB_API_URL": job.forge.api,
        "GITHUB_SERVER_URL": "https://git.example",
        "GITHUB_REPOSITORY": "ops/policy",
        "GITHUB_REF_NAME": "main",
        "secrets.PROPOSALS_TOKEN": TOKEN,
        "secrets.REPORTS_TOKEN": more.get("REPORTS_TOKEN", ""),
        **{f"vars.{name}": told[name] for name in ("REPORTS", "ALLOWED_SIGNERS", "REPOSITORY_NAME")},
    }


def run(job: Job, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the step that proposes."""
    ((line, adds),) = [(line, adds) for line, adds in commands(job.forge.kind) if "propose.sh" in line]
    folder = job.world.folder
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    (folder / ".patchledger-ci").unlink(missing_ok=True)
    (folder / ".patchledger-ci").symlink_to(Path(sys.executable).parents[1])
    runner = known(job, **more)
    return subprocess.run(
        ["sh", "-ec", line.replace("ci/steps", str(CI / "steps"))],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(temporary),
            **{name: value for name, value in runner.items() if "." not in name},
            **{name: substituted(str(value), runner) for name, value in adds.items()},
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_job_proposes_and_leaves_nothing_behind(job: Job) -> None:
    job.waits("web-01", "web-02")
    done = run(job)
    assert done.returncode == 0, done.stderr
    assert list(job.forge.standing()) == ["proposals/web-01"]
    assert "proposals/web-01" in done.stdout
    assert list((job.world.folder / "tmp").iterdir()) == []
    assert TOKEN not in done.stdout + done.stderr
    # It remembers nothing, and needs to.
    again = run(job)
    assert (again.returncode, again.stdout.splitlines()[1].split()[0]) == (0, "unchanged"), again.stderr


def test_what_fails_is_said_and_leaves_nothing_behind(job: Job) -> None:
    job.world.reports.rename(job.world.folder / "away")
    done = run(job)
    assert done.returncode == 1
    assert "away" not in done.stderr
    assert "reports.git" in done.stderr
    assert list((job.world.folder / "tmp").iterdir()) == []


class Asking(BaseHTTPRequestHandler):
    """A server that wants to know who asks, and keeps what it was told."""

    told: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.told.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="reports"')
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("own", ["", "for-reports-alone"])
def test_the_token_that_may_push_goes_to_no_other_server(job: Job, own: str) -> None:
    Asking.told.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Asking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/reports.git"
        done = run(job, REPORTS=address, REPORTS_TOKEN=own)
        server.shutdown()
    assert done.returncode == 1
    given = [b64decode(one.removeprefix("Basic ")).decode() for one in Asking.told if one]
    assert bool(given) is bool(own)
    assert all(one.endswith(f":{own}") for one in given)
    assert ("another server" in done.stderr) is not bool(own)


@pytest.mark.parametrize("kind", FORGES)
def test_a_template_runs_steps_that_are_there_and_uses_only_what_a_runner_brings(kind: Kind) -> None:
    text = (CI / f"propose-{kind}.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"uses: *(\S+)", text)) <= {"actions/checkout@v4"}
    assert "://" not in text
    lines = [line for line, _ in commands(kind)]
    found = [STEP.match(line) for line in lines]
    assert [match[1] for match in found if match] == ["install.sh", "propose.sh"]
    assert not [line for line in lines if "$" in line]


def test_the_three_run_at_times_and_never_two_at_once() -> None:
    for kind in ("github", "forgejo"):
        whole = template(kind)
        assert whole[True]["schedule"]  # YAML 1.1 takes the key "on" for a truth
        assert whole["concurrency"]["group"]
    assert 'CI_PIPELINE_SOURCE == "schedule"' in template("gitlab")["propose"]["rules"][0]["if"]
    assert template("gitlab")["propose"]["resource_group"]
