"""A host's own report branch that was damaged here, or changed by others there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.site import POLICY, Site, git

Command = Callable[..., tuple[int, str, str]]


def spoil(queue: Path, oid: str) -> None:
    file = queue / "objects" / oid[:2] / oid[2:]
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:20])


@pytest.mark.parametrize("position", [0, 1])
def test_the_present_report_is_on_the_server_after_a_damaged_queue_was_built_anew(
    site: Site, patchledger: Command, position: int
) -> None:
    """Whether something is new is decided by the queue that there is, not by the one there was."""
    site.reports.rename(site.folder / "away")
    patchledger("run")
    heads = []
    for days in (20, 21):
        heads.append(site.commit({"policies/base.yaml": POLICY + f"max_policy_age: {days}d\n"}))
        patchledger("run")
    queue = site.state / "reports.git"
    commits = git(queue, "rev-list", "--reverse", "hosts/web-01").split()
    spoil(queue, commits[position])
    (site.folder / "away").rename(site.reports)
    code, _, err = patchledger("run")
    assert code == 0
    assert "was built anew" in err
    assert site.report()["policy_commit"] == heads[-1]
    assert len(site.commits()) == len(commits)
    assert "nothing changed" in patchledger("run")[1]
