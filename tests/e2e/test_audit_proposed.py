"""From a pull request to its proof; then one byte of anything that the proof rests on is another one."""

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import main
from reconciler.planning.audit.verdicts import Verdict
from tests.e2e.site import BEFORE, Site, git
from tests.e2e.test_apply import INSIDE, host, machine, offer, runs, tick, want
from tests.e2e.test_propose_applied import BRANCH, console, enrolled
from tests.labs.apt import AptLab, Deb
from tests.labs.audited import Audited, Edit, reasons
from tests.labs.forge import Forge, serving
from tests.labs.signing import Key, Keys

__all__ = ["host", "machine"]  # fixtures
LATER = INSIDE + timedelta(hours=1)
ANNOUNCES, TELLS = 1, 2
"""The reports after the one on which the approval was proposed."""


@pytest.fixture
def merged(host: Site, machine: AptLab, ada: Key, keys: Keys) -> Audited:
    """A host that applied what was proposed and merged, and a publisher that saw it."""
    world = Audited(host, ada, keys.ssh("pub"))
    enrolled(host, machine, ada)
    host.commit({"trust/publishers": world.publisher.line()})
    offer(machine, Deb("one", "1.1"))
    want(host, "one", policy="approval: required\n")
    tick(host, BEFORE)
    with serving(Forge("github", repository=host.policy)) as forge:
        config = str(console(host, forge))
        assert main(["--config", config, "approve", "--propose"]) == 0
        git(host.policy, "merge", "-q", "--no-ff", "-m", "approve", BRANCH)
        forge.finish(BRANCH, is_merged=True)
    assert [one.outcome for one in tick(host).runs] == ["applied"]
    return world


def test_what_was_proposed_merged_and_applied_is_proved(merged: Audited) -> None:
    merged.publish(LATER)
    found = merged.audit(LATER)
    assert (reasons(found), found.verdict) == ({}, Verdict.PROVED)
    (change,) = found.changes
    digest = runs(merged.site)[-1]["digest"]
    assert change.approved_by.startswith(f"plan-{digest[7:19]} approvals/plan-{digest[7:19]}.yaml:1@")
    assert change.bracket is not None
    assert change.bracket.before == LATER


def flipped(text: str) -> str:
    """Return a text whose last character is another."""
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def of_report(one: Any) -> None:
    one.report["decision"]["reason"] = flipped(one.report["decision"]["reason"])


def of_record(one: Any) -> None:
    one.run["digest"] = flipped(one.run["digest"])


def of_approval(one: Any) -> None:
    (approval,) = one.recording["inputs"]["approvals"]
    approval["name"] = flipped(approval["name"])


@pytest.mark.parametrize(
    ("edits", "check", "said"),
    [
        ({ANNOUNCES: of_report}, "report", "is not what its recording comes out as"),
        ({TELLS: of_record}, "announced", "has another plan"),
        ({ANNOUNCES: of_approval}, "rebuilt", "otherwise than the policy says: approvals"),
    ],
)
def test_one_byte_that_the_host_signs_anew_is_named(
    merged: Audited, tmp_path: Path, edits: dict[int, Edit], check: str, said: str
) -> None:
    world = merged.copy(tmp_path / "copy")
    world.rewrite(edits)
    world.publish(LATER)
    found = world.audit(LATER)
    assert found.verdict is Verdict.REFUTED
    assert reasons(found)[check].startswith("refuted: ")
    assert said in reasons(found)[check]


def rewritten(policy: Path, change: Callable[[bytes], bytes]) -> None:
    """Write the whole history of a policy anew."""
    told = subprocess.run(["git", "fast-export", "--all"], cwd=policy, capture_output=True, check=True).stdout
    changed = change(told)
    assert changed != told
    subprocess.run(["git", "fast-import", "--quiet", "--force"], cwd=policy, input=changed, check=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\nname: plan-", b"\nname: plam-"),  # the approval
        (b"\napprove", b"\napprovE"),  # the message of the commit by which it was merged
        (b"duration: 3h", b"duration: 4h"),  # the window, from the first commit on
    ],
)
def test_one_byte_of_the_policy_is_named_by_the_commit_that_is_not_there(
    merged: Audited, tmp_path: Path, before: bytes, after: bytes
) -> None:
    world = merged.copy(tmp_path / "copy")
    policy = runs(merged.site)[-1]["policy_commit"]
    rewritten(world.site.policy, lambda told: told.replace(before, after))
    found = world.audit(LATER)
    assert found.verdict is Verdict.UNPROVED
    assert reasons(found)["policy-line"] == (
        f"unproved: it rests on policy {policy[:12]}, which is not on the line of the policy"
    )
    assert reasons(found)["signed"].endswith("does not count: unknown-policy")
