"""``approve --propose`` where others push, hosts lie and the forge fails, at the moment that hurts most."""

import re

import pytest

from tests.e2e.test_approve import PLAN
from tests.e2e.test_propose import _STEPS, NEWER, Job, job, only_github, whole
from tests.edge.gitops.bench import git
from tests.labs.forge import Fault

__all__ = ["job"]


def approved_by(job: Job, branch: str) -> str:
    """Return the digest that a merge of a branch would approve."""
    found = re.search(r"^plan: [\"']?(sha256:[0-9a-f]{64})", "".join(job.documents(branch).values()), re.M)
    assert found is not None
    return found[1]


def told_by(job: Job, branch: str) -> str:
    """Return the digest that the text of its pull request names."""
    found = re.search(r"^- Plan: `(sha256:[0-9a-f]{64})`", job.forge.standing()[branch]["body"], re.M)
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
