"""``approve --propose`` where others push, hosts lie and the forge fails, at the moment that hurts most."""

import re

import pytest

from reconciler.planning.text import canonical
from tests.e2e.test_approve import NEEDS, PLAN
from tests.e2e.test_propose import _STEPS, NEWER, Job, job, only_github, whole
from tests.edge.gitops.bench import git
from tests.labs.forge import Fault
from tests.report_samples import plan_of, report_of, update

__all__ = ["job"]


def approved_by(job: Job, branch: str) -> str:
    """Return the digest that a merge of a branch would approve."""
    text = "".join(job.documents(branch).values())
    found = re.search(r"^plan: [\"']?(sha256:[0-9a-f]{64})", text, re.MULTILINE)
    assert found is not None
    return found[1]


def told_by(job: Job, branch: str) -> str:
    """Return the digest that the text of its pull request names."""
    found = re.search(r"^- Plan: `(sha256:[0-9a-f]{64})`", job.forge.standing()[branch]["body"], re.MULTILINE)
    assert found is not None
    return found[1]


@only_github
@pytest.mark.parametrize("name", ["proposals/x\u2028y", "proposals/web-01\u2028y", "proposals/x\u0085y"])
def test_no_name_of_a_branch_keeps_others_from_being_proposed(job: Job, name: str) -> None:
    job.waits("web-01")
    job.waits("db-01", plan=NEWER)
    git(job.policy, "update-ref", f"refs/heads/{name}", "HEAD~0")
    assert job.steps() == {name: "left-alone", "proposals/web-01": "opened", "proposals/db-01": "opened"}
    assert set(job.forge.standing()) == {"proposals/web-01", "proposals/db-01"}


def test_what_another_job_proposed_just_now_is_not_closed(job: Job) -> None:
    job.waits("web-01")
    job.steps()
    pull, tip = job.forge.pulls[0], job.branches()["proposals/web-01"]
    body = job.forge.standing()["proposals/web-01"]["body"]
    # The other job sees a host that this one does not see yet.
    git(job.policy, "update-ref", "-d", "refs/heads/proposals/web-01")
    job.forge.pulls.clear()
    job.fine("web-01")
    assert job.steps() == {}

    def other() -> None:
        git(job.policy, "update-ref", "refs/heads/proposals/web-01", tip)
        job.forge.open("proposals/web-01", pull["title"], body)

    job.forge.meanwhile[_STEPS[job.forge.kind][0].replace("POST", "GET")] = other
    job.steps()
    assert list(job.forge.standing()) == ["proposals/web-01"]
    job.waits("web-01")
    assert job.steps() == {"proposals/web-01": "unchanged"}


@pytest.mark.parametrize("fault", [Fault(422), Fault(429), Fault(500)], ids=["refused", "limited", "broken"])
def test_no_branch_approves_a_plan_that_its_text_does_not_tell_of(job: Job, fault: Fault) -> None:
    job.waits("web-01")
    job.steps()
    job.waits("web-01", plan=NEWER)
    job.forge.faults[_STEPS[job.forge.kind][1]] = fault
    job.run()
    assert approved_by(job, "proposals/web-01") == told_by(job, "proposals/web-01") == PLAN.digest
    job.forge.faults.clear()
    assert job.steps() == {"proposals/web-01": "updated"}
    assert approved_by(job, "proposals/web-01") == told_by(job, "proposals/web-01") == whole(NEWER).digest
    assert len(job.forge.comments) == 1


def test_the_text_of_a_branch_that_somebody_pushed_to_just_now_stays(job: Job) -> None:
    job.waits("web-01")
    job.steps()
    job.waits("web-01", plan=NEWER)
    before = job.forge.standing()["proposals/web-01"]
    tree = git(job.policy, "rev-parse", "proposals/web-01^{tree}")
    mine = git(job.policy, "commit-tree", "-p", "proposals/web-01", "-m", "mine", tree)
    listing = _STEPS[job.forge.kind][0].replace("POST", "GET")

    def push() -> None:
        git(job.policy, "update-ref", "refs/heads/proposals/web-01", mine)

    job.forge.meanwhile[listing] = push
    assert job.steps() == {"proposals/web-01": "left-alone"}
    assert job.branches()["proposals/web-01"] == mine
    assert job.forge.standing()["proposals/web-01"] == before


@only_github
def test_a_branch_that_the_server_refuses_keeps_none_of_the_others(job: Job) -> None:
    job.waits("web-01")
    job.waits("db-01", plan=NEWER)
    hook = job.policy / ".git" / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    job.steps("--dry-run")
    first, second = [one["branch"] for one in job.last["proposals"]]
    hook.write_text(f"#!/bin/sh\n[ $1 != refs/heads/{first} ] || {{ echo no such name >&2; exit 1; }}\n")
    hook.chmod(0o755)
    assert job.steps(code=1) == {second: "opened"}
    (problem,) = job.last["problems"]
    assert "no such name" in problem["message"]


@only_github
def test_a_target_whose_name_is_a_folder_of_branches_has_another_branch(job: Job) -> None:
    job.waits("web-01")
    git(job.policy, "update-ref", "refs/heads/proposals/web-01/x/y", "HEAD~0")
    steps = job.steps()
    assert steps == {"proposals/web-01/x/y": "left-alone", "proposals/web-01+2": "opened"}


@only_github
@pytest.mark.parametrize(
    "name", ["x\n/merge\n", "@all", "<!-- -->", "](http://e.example)", "`x`|", "a" * 3000]
)
def test_what_a_host_names_forms_no_command_in_a_pull_request(job: Job, name: str) -> None:
    job.waits("db-01", plan=NEWER)
    job.waits("web-01", plan=plan_of(update(name, candidate=f"1{name}", security=True)))
    job.run()
    job.capsys.readouterr()
    assert "proposals/db-01" in job.forge.standing()
    for one in job.forge.standing().values():
        body = re.sub("`[^`\n]*`", "", one["body"])  # nothing is looked for in code
        body = re.sub(r"\A<!-- patchledger proposal [0-9a-f]{64} -->\n", "", body)
        assert not re.search(r"^\s*/[a-z]|@all|\]\(http|<!--", body, re.MULTILINE)


@only_github
@pytest.mark.parametrize(
    "odd",
    [
        {"number": "7/../../x"},
        {"number": [1]},
        {"head": None},
        {"head": {"ref": 5, "sha": "x", "repo": None}},
        {"html_url": "https://forge.example/\x1b[31m\n"},
        {"body": 5},
        {"merged_at": 5},
        {"head": {"ref": "proposals/\ud800", "sha": "x", "repo": {"full_name": "ops/policy"}}},
    ],
)
def test_one_odd_pull_request_of_a_forge_ends_in_words(job: Job, odd: dict[str, object]) -> None:
    job.waits("web-01")
    job.steps()
    job.forge.pulls[0] |= odd
    job.forge.frozen = True
    assert job.run() in {0, 5}
    printed = job.capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "Traceback" not in printed.err


@only_github
def test_a_report_with_half_a_character_keeps_no_other_plan_from_being_proposed(job: Job) -> None:
    job.waits("db-01", plan=NEWER)
    hostile = report_of(whole(plan_of(update("hostile"))), NEEDS, target="web-01", now=job.world.now)
    told = canonical.to_bytes(canonical.plain(hostile)).replace(b'"hostile', b'"\\ud800')
    job.world.report("web-01", files={"report.json": told})
    assert job.steps() == {"proposals/db-01": "opened"}
