"""The templates for pull requests: the commands that they name are run, as a runner would run them."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from reconciler.planning.fleet.summary import Head, Line, write_summary
from reconciler.planning.impact.markdown import MARK, MOST
from tests.cli.test_policy_impact import CHANGE, POLICIES, SCHEDULE, row, write
from tests.e2e.site import git
from tests.labs.forge import BOT, TOKEN, Forge, Kind, serving
from tests.labs.pages import to_follow

ROOT = Path(__file__).parents[2]
CI = ROOT / "examples" / "ci"
FORGES: tuple[Kind, ...] = get_args(Kind)
STEP = re.compile(r"^sh ci/steps/([a-z]+\.sh)\b")
MANY = 130
POLICY = {
    "policies/base.yaml": POLICIES,
    "schedules/night.yaml": SCHEDULE,
    "hosts/web-01.yaml": "kind: Host\nname: web-01\n",
}
DATABASES = "kind: Policy\nname: db\npriority: 20\nmatch: {labels: {role: db}}\nschedule: []\n"

pytestmark = pytest.mark.lab


def template(kind: Kind) -> Any:
    return yaml.safe_load((CI / f"{kind}.yml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Command:
    """A line that a runner gives to a shell, and what the template adds to its environment."""

    line: str
    adds: dict[str, str]


def commands(kind: Kind, job: str) -> list[Command]:
    """Return what a job of a template runs."""
    whole = template(kind)
    if kind == "gitlab":
        adds = whole["variables"] | whole[job].get("variables", {})
        return [Command(line, adds) for line in whole["default"]["before_script"] + whole[job]["script"]]
    return [
        Command(step["run"], whole["env"] | step.get("env", {}))
        for step in whole["jobs"][job]["steps"]
        if "run" in step
    ]


def substituted(text: str, known: dict[str, str]) -> str:
    """Put in what a runner puts in; a name that is not known here is an error."""
    return re.sub(r"\$\{\{ (\S+) \}\}|\$(\w+)", lambda found: known[found[1] or found[2]], text)


class Site:
    """A policy repository on a server, with a checkout of a branch that is to be merged, and reports."""

    def __init__(self, tmp: Path, forge: Forge) -> None:
        self.tmp, self.forge = tmp, forge
        self.checkout = tmp / "checkout"
        self.branch = "change"
        people = tmp / "people"
        people.mkdir()
        git(people, "init", "-q", "-b", "main")
        write(people, POLICY)
        shutil.copytree(CI / "steps", people / "ci" / "steps")
        self.commit(people, "begin")
        git(tmp, "clone", "-q", "--bare", "people", "policy.git")
        git(people, "remote", "add", "origin", str(tmp / "policy.git"))
        git(people, "checkout", "-q", "-b", "change")
        self.people = people
        git(tmp, "init", "-q", "--bare", "reports.git")
        self.publish([row("web-01", env="test"), row("db-01", env="production", role="db")])
        (tmp / "home").mkdir()
        (tmp / "home" / ".patchledger-ci").symlink_to(Path(sys.executable).parents[1])

    def publish(self, rows: list[Any]) -> None:
        """Have a fleet reported, as ``fleet publish`` does."""
        fleet = self.tmp / "fleet"
        shutil.rmtree(fleet, ignore_errors=True)
        fleet.mkdir()
        git(fleet, "init", "-q", "-b", "fleet")
        head = Head("e" * 40, policy_is_verified=True)
        (fleet / "summary.json").write_bytes(write_summary(head, [Line.of(one) for one in rows]))
        self.commit(fleet, "publish")
        git(fleet, "push", "-q", "--force", str(self.tmp / "reports.git"), "fleet")

    def commit(self, folder: Path, message: str) -> None:
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", message)

    def push(self, files: dict[str, str]) -> None:
        """Push a change to the branch and check it out, as a runner does."""
        write(self.people, files)
        git(self.people, "add", "-A")
        git(self.people, "commit", "-q", "--allow-empty", "-m", "change")
        git(self.people, "push", "-q", "origin", "change")
        shutil.rmtree(self.checkout, ignore_errors=True)
        git(self.tmp, "clone", "-q", "-b", "change", str(self.tmp / "policy.git"), "checkout")

    def known(self) -> dict[str, str]:
        """Return what the runner of the forge knows, and what the people of the repository have set."""
        reports = str(self.tmp / "reports.git")
        if self.forge.kind == "gitlab":
            return {
                "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": self.branch,
                "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
                "CI_MERGE_REQUEST_IID": "5",
                "CI_PROJECT_ID": "7",
                "CI_API_V4_URL": self.forge.api,
                "COMMENT_TOKEN": TOKEN,
                "REPORTS": reports,
            }
        return {
            "github.base_ref": "main",
            "github.head_ref": self.branch,
            "github.token": TOKEN,
            "github.event.pull_request.number": "5",
            "vars.REPORTS": reports,
            "secrets.REPORTS_TOKEN": "",
            "GITHUB_API_URL": self.forge.api,
            "GITHUB_REPOSITORY": "ops/policy",
            "GITHUB_STEP_SUMMARY": str(self.tmp / "step-summary.md"),
        }

    def run(self, line: str, adds: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a line in the checkout."""
        known = self.known()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.tmp / "home"),
            **{name: value for name, value in known.items() if "." not in name},
            **{name: substituted(str(value), known) for name, value in adds.items()},
        }
        return subprocess.run(
            ["sh", "-ec", line],
            cwd=self.checkout,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def comment(self) -> tuple[int, str]:
        """Run the step that comments, of an impact that was made before."""
        (command,) = [one for one in commands(self.forge.kind, "impact") if "comment.sh" in one.line]
        done = self.run(command.line, command.adds)
        return done.returncode, done.stdout + done.stderr

    def job(self, name: str) -> tuple[int, str]:
        """Run a job until a command fails; what is to be installed is there already."""
        said = ""
        for command in commands(self.forge.kind, name):
            if command.line == "sh ci/steps/install.sh":
                continue
            done = self.run(command.line, command.adds)
            said += done.stdout + done.stderr
            if done.returncode:
                return done.returncode, said
        return 0, said


@pytest.fixture
def judged(site: Site) -> Site:
    """Return a site whose branch has an impact already."""
    site.push({})
    write(site.checkout, {"impact/impact.md": f"{MARK}\n2 of 2 hosts change\n"})
    return site


@pytest.fixture(params=FORGES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with serving(Forge(request.param)) as forge:
        yield Site(tmp_path, forge)


EXPECTED = "kind: Expectation\nname: e\nexpect: {approval: none}\n"


def longer(start: str) -> dict[str, str]:
    return {"schedules/night.yaml": SCHEDULE.replace("Sun 02:00", start)}


def test_the_impact_is_one_comment_that_later_runs_update(site: Site) -> None:
    site.push(longer("Sun 04:00"))
    assert site.job("check")[0] == 0
    code, said = site.job("impact")
    assert (code, "2 of 2 hosts change" in said) == (0, True), said
    (comment,) = site.forge.comments
    assert comment["body"].startswith(MARK)
    assert "04:00" in comment["body"]
    assert site.forge.asked[-1] == f"POST {site.forge.thread}"

    first = comment["body"]
    site.push(longer("Sun 05:00"))
    assert site.job("impact")[0] == 0
    assert len(site.forge.comments) == 1
    assert site.forge.asked[-1].split()[0] == ("PUT" if site.forge.kind == "gitlab" else "PATCH")
    assert "05:00" in comment["body"] != first


def test_the_comment_of_anybody_else_is_left_alone(judged: Site) -> None:
    forge = judged.forge
    for number in range(MANY):
        forge.write("mallory", f"{MARK}\nall is well {number}")
    forge.write(BOT[forge.kind], f"thanks; {MARK} is in the middle")
    assert judged.comment() == (0, "")
    assert forge.comments[0]["body"] == f"{MARK}\nall is well 0"
    assert len(forge.comments) == MANY + 2

    assert judged.comment() == (0, "")  # finds its own behind many
    assert len(forge.comments) == MANY + 2


def test_what_is_forbidden_fails_after_it_was_shown(site: Site) -> None:
    site.push(CHANGE)
    code, said = site.job("impact")
    assert code == 1
    assert "forbidden: lost-windows: they lose every window" in said
    assert "gate: something is forbidden" in said
    assert "lost-windows" in site.forge.comments[0]["body"]


def test_an_invalid_policy_is_shown_beside_its_lines_and_its_impact_is_still_told(site: Site) -> None:
    site.push({"policies/bad.yaml": "kind: Policy\nname: bad\nbudget: 5\n"})
    code, said = site.job("check")
    assert code == 3
    if site.forge.kind == "gitlab":
        (issue,) = json.loads((site.checkout / "gl-code-quality-report.json").read_bytes())
        assert issue["location"]["path"] == "policies/bad.yaml"
        assert "policies/bad.yaml:3: budget: has no unit" in said
    else:
        assert "::error file=policies/bad.yaml,line=3::budget: has no unit" in said
    assert site.job("impact")[0] == 3
    assert "every host refuses" in site.forge.comments[0]["body"]


def test_an_expectation_that_does_not_hold_fails(site: Site) -> None:
    site.push({"expectations/e.yaml": EXPECTED.replace("none", "required")})
    code, said = site.job("check")
    assert code == 1
    assert "FAILED  e (expectations/e.yaml:1)" in said
    assert "approval: is none" in said
    if site.forge.kind == "gitlab":
        assert 'failures="1"' in (site.checkout / "expectations.xml").read_text(encoding="utf-8")


def test_a_branch_that_says_it_approves_may_do_nothing_else(site: Site) -> None:
    site.push({"README.md": "words\n"})
    assert site.job("check")[0] == 0
    for branch in ("approve/web-01", "proposals/web-01"):
        site.branch = branch
        code, said = site.job("check")
        assert code == 3
        assert "README.md:1: is changed since refs/remotes/origin/main, and only approvals/ may be" in said


def test_what_was_merged_meanwhile_is_no_impact_of_the_branch(site: Site) -> None:
    site.push({"README.md": "words\n"})
    other = site.tmp / "other"
    git(site.tmp, "clone", "-q", "policy.git", str(other))
    write(other, longer("Sun 04:00"))
    site.commit(other, "somebody else's")
    git(other, "push", "-q", "origin", "main")
    code, said = site.job("impact")
    assert (code, "0 of 2 hosts change" in said) == (0, True), said


@pytest.mark.parametrize("site", ["github"], indirect=True)
def test_a_comment_of_a_large_change_fits_every_forge(site: Site) -> None:
    site.publish([row(f"web-{number:04}", env="test", site=f"s{number}") for number in range(400)])
    match = "kind: Policy\nname: p{0}\npriority: {1}\nmatch: {{labels: {{site: s{0}}}}}\nbudget: {2}m\n"
    many = [match.format(number, number + 20, number + 1) for number in range(400)]
    site.push({**CHANGE, "policies/many.yaml": "---\n".join(many)})
    assert site.job("impact")[0] == 1
    body = site.forge.comments[0]["body"]
    assert MOST / 2 < len(body) <= MOST
    assert body.count("<details>") == body.count("</details>") > 10


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422, 429, 500])
def test_a_forge_that_refuses_is_said_and_fails_without_the_token(judged: Site, status: int) -> None:
    judged.forge.refuses = status
    code, said = judged.comment()
    assert code == 1
    assert f"the forge answers {status}: " in said
    assert TOKEN not in said
    assert "\x1b" not in said


def test_a_forge_that_is_away_is_said(judged: Site) -> None:
    judged.forge.port = 1
    code, said = judged.comment()
    assert code == 1
    assert "the forge does not answer" in said


def test_reports_that_are_not_there_leave_no_comment(site: Site) -> None:
    site.push(longer("Sun 04:00"))
    shutil.rmtree(site.tmp / "reports.git")
    code, said = site.job("impact")
    assert code != 0
    assert "reports.git" in said
    assert site.forge.asked == []


def test_the_token_for_reports_is_sent_and_stands_in_no_argument_list(site: Site) -> None:
    site.push(longer("Sun 04:00"))
    spy = site.tmp / "bin"
    spy.mkdir()
    real = shutil.which("git")
    (spy / "git").write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>{spy}/asked\nexec {real} "$@"\n')
    (spy / "git").chmod(0o755)
    reports = f"http://127.0.0.1:{site.forge.port}/ops/reports.git"
    line = f"PATH={spy}:$PATH; export PATH; sh ci/steps/impact.sh"
    adds = {"TARGET_BRANCH": "main", "REPORTS": reports, "REPORTS_TOKEN": "r3ports"}
    assert site.run(line, adds).returncode != 0  # it is no git server
    assert "Basic eC1hY2Nlc3MtdG9rZW46cjNwb3J0cw==" in site.forge.authorization
    asked = (spy / "asked").read_text(encoding="utf-8")
    assert reports in asked
    assert "r3ports" not in asked


def test_install_puts_a_program_where_the_steps_look_for_it(tmp_path: Path) -> None:
    wheel = tmp_path / "patchledger-9.0-py3-none-any.whl"
    info = "patchledger-9.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("made_up.py", "def main():\n    print('made up 9.0')\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: patchledger\nVersion: 9.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/entry_points.txt", "[console_scripts]\npatchledger = made_up:main\n")
        file.writestr(f"{info}/RECORD", "")
    done = subprocess.run(
        ["sh", CI / "steps" / "install.sh"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PATCHLEDGER": str(wheel), "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "made up 9.0\n"), done.stderr
    assert (tmp_path / ".patchledger-ci" / "bin" / "patchledger").exists()


@pytest.mark.parametrize("kind", FORGES)
def test_a_template_runs_the_steps_that_are_there_and_nothing_else(kind: Kind) -> None:
    lines = [command.line for job in ("check", "impact") for command in commands(kind, job)]
    found = [STEP.match(line) for line in lines]
    assert all(found), lines
    there = {path.name for path in (CI / "steps").iterdir()} - {"propose.sh"}  # that is a job of its own
    assert {match[1] for match in found if match} == there


@pytest.mark.parametrize("kind", FORGES)
def test_a_template_uses_only_what_a_runner_brings(kind: Kind) -> None:
    text = (CI / f"{kind}.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"uses: *(\S+)", text)) <= {"actions/checkout@v4"}
    assert "://" not in text
    # What a branch or a title is called reaches a shell through its environment, never as text of a script.
    assert not [
        command for job in ("check", "impact") for command in commands(kind, job) if "$" in command.line
    ]


def test_the_hook_for_pre_commit_runs_a_program_of_ours(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert (hook["id"], hook["language"], hook["pass_filenames"]) == (
        "patchledger-policy-check",
        "python",
        False,
    )
    program, *words = shlex.split(hook["entry"])
    command = [str(Path(sys.executable).parent / program), *words]
    write(tmp_path, POLICY)
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    write(tmp_path, {"policies/base.yaml": POLICIES.replace("apply", "aply")})
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 3
    assert "policies/base.yaml:3: action" in done.stdout


HOW_TO = ROOT / "docs" / "how-to" / "review-policy-in-pull-requests.md"


def test_the_page_is_followed_as_it_is_printed(tmp_path: Path) -> None:
    with serving(Forge("github")) as forge:
        site = Site(tmp_path, forge)
    site.push({"policies/db.yaml": DATABASES})
    git(site.checkout, "branch", "main", "origin/main")
    git(site.checkout, "rm", "-rq", "ci")
    shutil.copy(tmp_path / "fleet" / "summary.json", tmp_path)
    page = HOW_TO.read_text(encoding="utf-8")
    steps = to_follow("review-policy-in-pull-requests.md")
    copied, tried = (
        "\n".join(one.text for one in steps if one.section.startswith(number)) for number in ("1.", "3.")
    )
    assert len(steps) == len(copied.splitlines()) + len(tried.splitlines())
    (printed,) = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    done = site.run(copied, {"PATCHLEDGER": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert (site.checkout / ".github/workflows/policy.yml").read_bytes() == (CI / "github.yml").read_bytes()
    assert (site.checkout / "ci/steps/impact.sh").exists()

    write(site.checkout, {"expectations/e.yaml": EXPECTED})
    program = f"PATH={Path(sys.executable).parent}:$PATH\n"
    done = site.run(program + tried, {})
    assert done.returncode == 1
    assert printed in done.stderr
    assert "1 of 2 hosts changes" in done.stdout
