"""``approve --propose`` where others push, hosts lie and the forge fails, at the moment that hurts most."""

import pytest

from tests.e2e.test_propose import _STEPS, NEWER, Job, job, only_github
from tests.edge.gitops.bench import git

__all__ = ["job"]


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
