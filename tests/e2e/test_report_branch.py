"""A host's own report branch that was damaged here, or changed by others there."""

import json
import os
import shutil
import subprocess
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
    assert git(site.reports, "rev-list", "--reverse", "hosts/web-01").split() == commits
    assert "nothing changed" in patchledger("run")[1]


def look_properly(site: Site) -> None:
    """Let the next tick be no quiet one, although nothing changed."""
    (site.state / "fingerprint.json").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["policy.git", "reports.git"])
def test_damage_that_no_tick_meets_is_mended_by_the_next_look(
    site: Site, patchledger: Command, name: str
) -> None:
    site.commit({"README.md": "of an old policy\n"})
    patchledger("run")
    site.commit({"README.md": None, "policies/base.yaml": POLICY + "max_policy_age: 20d\n"})
    patchledger("run")
    repository = site.state / name
    git(repository, "repack", "-adq")
    look_properly(site)
    patchledger("run")
    (pack,) = (repository / "objects/pack").glob("*.pack")
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:-1])
    look_properly(site)
    code, _, err = patchledger("run")
    assert (code, "was damaged" in err) == (0, True)
    git(repository, "fsck", "--no-dangling")
    assert "nothing changed" in patchledger("run")[1]


def conditions(site: Site) -> dict[str, str]:
    """Return the conditions of the last report, pushed or not."""
    document = json.loads((site.state / "report.json").read_text())
    return {one["type"]: one["reason"] for one in document["conditions"]}


def test_a_branch_that_was_deleted_there_is_sent_again_by_the_next_look(
    site: Site, patchledger: Command
) -> None:
    patchledger("run")
    head = git(site.reports, "rev-parse", "hosts/web-01")
    git(site.reports, "update-ref", "-d", "refs/heads/hosts/web-01")
    look_properly(site)
    assert patchledger("run")[0] == 0
    assert git(site.reports, "rev-parse", "hosts/web-01") == head
    assert conditions(site).keys().isdisjoint({"ReportBranchDiverged"})


def test_a_rewritten_branch_is_a_condition_until_a_person_repairs_it(
    site: Site, patchledger: Command
) -> None:
    patchledger("run")
    ours = git(site.reports, "rev-parse", "hosts/web-01")
    foreign = git(site.reports, "commit-tree", "-m", "foreign", f"{ours}^{{tree}}")
    git(site.reports, "update-ref", "refs/heads/hosts/web-01", foreign)
    for _ in range(2):
        look_properly(site)
        code, _, err = patchledger("run")
        assert code == 1
        assert "patchledger reports repair" in err
        assert conditions(site)["ReportBranchDiverged"] == "Parted"
    assert git(site.reports, "rev-parse", "hosts/web-01") == foreign, "nothing is overwritten"
    assert patchledger("reports", "repair")[0] == 0
    assert patchledger("run")[0] == 0
    assert "ReportBranchDiverged" not in conditions(site)
    for commit in (ours, foreign):
        git(site.reports, "merge-base", "--is-ancestor", commit, "hosts/web-01")
    assert "nothing changed" in patchledger("run")[1]


def test_a_file_name_in_the_branch_of_a_new_host_is_no_command(site: Site, patchledger: Command) -> None:
    patchledger("run")
    report = git(site.reports, "rev-parse", "hosts/web-01:report.json")
    name = (
        b"runs/0\nreset refs/heads/hosts/db-02\nfrom "
        + git(site.reports, "rev-parse", "hosts/web-01").encode()
    )
    rows = [(b"%s" % name, report), *((b"runs/%02d.json" % number, report) for number in range(10, 40))]
    index = {**os.environ, "GIT_INDEX_FILE": str(site.folder / "index")}
    listed = b"".join(b"100644 %s\t%s\0" % (oid.encode(), path) for path, oid in rows)
    command = ["git", "-C", str(site.reports), "update-index", "-z", "--index-info"]
    subprocess.run(command, input=listed, env=index, check=True)
    tree = subprocess.run(
        ["git", "-C", str(site.reports), "write-tree"], env=index, check=True, capture_output=True, text=True
    ).stdout.strip()
    poisoned = git(site.reports, "commit-tree", "-p", "hosts/web-01", "-m", "poison", tree)
    site.foreign.add(poisoned)
    git(site.reports, "update-ref", "refs/heads/hosts/web-01", poisoned)
    shutil.rmtree(site.state)
    assert patchledger("run")[0] == 0
    assert git(site.reports, "for-each-ref", "--format=%(refname)") == "refs/heads/hosts/web-01"
    assert site.report()["target"] == "web-01"
