"""``approve --propose`` where others push, hosts lie and the forge fails, at the moment that hurts most."""

import pytest

from tests.e2e.test_propose import NEWER, Job, job, only_github
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
