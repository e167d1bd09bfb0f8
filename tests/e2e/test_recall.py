"""A host that lost its memory goes on from its own reports, and is not talked into another history."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from reconciler.host.state.folder import StateFolder
from tests.e2e.site import BEFORE, POLICY, SetClock, Site, git
from tests.labs.apt import AptLab

Command = Callable[..., tuple[int, str, str]]


def rewrite(site: Site) -> str:
    """Replace the newest policy commit by another one, and return it."""
    git(site.policy, "commit", "-q", "--amend", "-m", "another history")
    return git(site.policy, "rev-parse", "HEAD")


def test_a_policy_that_was_rewritten_while_the_memory_was_lost(
    site: Site, lab: AptLab, patchledger: Command
) -> None:
    first = git(site.policy, "rev-parse", "HEAD")
    followed = site.commit({"policies/base.yaml": POLICY + "max_policy_age: 20d\n"})
    # What was configured all the time is no consent.
    site.configure(environment=lab.environment, trust={"floor": first})
    assert patchledger("run")[0] == 0
    shutil.rmtree(site.state)
    head = rewrite(site)
    for _ in range(2):
        code, _, err = patchledger("run")
        assert code == 3
        assert f"name commit {followed}" in err
        assert "set trust.floor" in err
    report = site.report()
    assert report["decision"]["outcome"] == "policy-stalled"
    assert report["policy"]["refused"] == head
    assert StateFolder(site.state).recall().state.accepted == ""
    site.configure(environment=lab.environment, trust={"floor": head})
    assert patchledger("run")[0] == 0
    policy = site.report()["policy"]
    assert policy["commit"] == head
    assert policy["floor"] == head
    assert "begun at the configured trust.floor, then forward only" in policy["verification"]


def test_a_policy_that_went_on_while_the_memory_was_lost(site: Site, patchledger: Command) -> None:
    followed = git(site.policy, "rev-parse", "HEAD")
    patchledger("run")
    shutil.rmtree(site.state)
    head = site.commit({"policies/base.yaml": POLICY + "max_policy_age: 20d\n"})
    assert patchledger("run")[0] == 0
    policy = site.report()["policy"]
    assert policy["commit"] == head
    assert f"continued from {followed[:12]}, the newest commit that this host's own" in policy["verification"]


def test_evidence_and_approvals_outlive_the_memory(site: Site) -> None:
    def tick(at: timedelta) -> None:
        run_once(site.config, wire(load_config(site.config), SetClock(BEFORE + at)))

    tick(timedelta(0))
    folder = StateFolder(site.state)
    state = replace(folder.recall().state, used=("sha256:used",))
    folder.save(state)
    tick(timedelta(hours=1))  # the report is a new one by what is used up
    site.commit({"policies/base.yaml": POLICY + "max_policy_age: 20d\n"})
    tick(timedelta(hours=2))
    shutil.rmtree(site.state)
    tick(timedelta(days=2))
    again = StateFolder(site.state).recall().state
    assert again.first_seen == state.first_seen
    assert again.used == state.used


def test_a_wrong_commit_in_the_state_does_not_win_over_the_mirror(site: Site, patchledger: Command) -> None:
    patchledger("run")
    folder = StateFolder(site.state)
    state = folder.recall().state
    wrong = ("0" if state.accepted[0] != "0" else "1") + state.accepted[1:]
    folder.save(replace(state, accepted=wrong))
    (site.state / "fingerprint.json").unlink(missing_ok=True)
    code, _, err = patchledger("run")
    assert (code, err) == (0, "")
    assert folder.recall().state.accepted == state.accepted
    # A single flipped digit is noticed by the checksum, whatever the mirror says.
    path = site.state / "trust.json"
    path.write_text(path.read_text().replace(state.accepted, wrong))
    (site.state / "fingerprint.json").unlink(missing_ok=True)
    code, _, err = patchledger("run")
    assert code == 0
    assert "trust.json is damaged" in err
    assert folder.recall().state.accepted == state.accepted
    assert folder.recall().state.first_seen == state.first_seen
