"""A change of policy from its branch to the packages, and back: over ssh, signed, and all of it in git.

A branch moves a window and holds a package; it is looked at and merged; hosts report what they would do, and
wait; that is approved by a merge; hosts do exactly that. Then parts of it are taken back.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import main
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.wording import minute
from tests.e2e.machines import MANAGERS, Plant
from tests.e2e.site import BEFORE, OPENING, POLICY, SCHEDULE
from tests.labs.change import Change, Person, change
from tests.labs.forge import Forge, serving
from tests.labs.signing import Key, Keys
from tests.replay import replay

Command = Callable[..., tuple[int, str, str]]
TWO = ("apt-01", "zypper-01")
"""Those for which it is taken back."""
HOSTS = tuple(f"{manager}-01" for manager in MANAGERS)
BRANCH = "later-and-kept"
SOON = timedelta(minutes=5)
NEW_OPENING = OPENING + timedelta(hours=4)
ALL = "kind: Policy\nname: all\npriority: 20\nmatch: {labels: {manager: pacman}}\nupdates: all\n"
WANTED = """\
kind: Exception
name: wanted
packages: [kept, tool]
action: include
reason: of this test
expires: 2099-01-01
"""
KEPT = """\
kind: Exception
name: uploads
packages: kept
action: hold
reason: uploads stall since 1.1
expires: 2099-01-01
"""
FILES = {
    "policies/base.yaml": f"{POLICY}updates: none\nsteps: single\napproval: required\n",
    "policies/pacman.yaml": ALL,
    "schedules/nightly.yaml": SCHEDULE,
    "exceptions/wanted.yaml": WANTED,
}
OLD_HOUR, NEW_HOUR = f'"*-*-* {OPENING:%H}:00"', f'"*-*-* {NEW_OPENING:%H}:00"'


@pytest.fixture
def fleet(request: pytest.FixtureRequest, tmp_path: Path, keys: Keys, ada: Key) -> Iterator[Change]:
    """A host of each package manager that has 1.0 of two packages, of which 1.1 is on offer."""
    with change(tmp_path, HOSTS, keys) as fleet:
        fleet.begin(ada, FILES)
        for host in HOSTS:
            manager = host.partition("-")[0]
            world = request.getfixturevalue("dnf_calm_world" if manager == "dnf" else f"{manager}_world")
            plant = Plant.build(manager, world, tmp_path / host)
            fleet.follow(host, plant)
            plant.offer("kept")
            plant.offer("tool")
        yield fleet
        # Every report can be made again from the two repositories.
        assert [one for one in replay(fleet.reports, fleet.policy) if one.problem] == []


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command: exit code, and what it prints with every blank as one."""

    def run(config: Path, *arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--config", str(config), *arguments])
        said = capsys.readouterr()
        return code, " ".join(said.out.split()), " ".join(said.err.split())

    return run


def outcomes(reports: Mapping[str, Any]) -> set[str]:
    return {report["decision"]["outcome"] for report in reports.values()}


def digests(reports: Mapping[str, Any]) -> dict[str, str]:
    return {host: report["plan"]["digest"] for host, report in reports.items()}


def planned(report: Any) -> dict[str, str | None]:
    return {move["name"]: move["to"] for move in report["plan"]["transaction"]}


@dataclass(frozen=True)
class Story:
    """A fleet, who changes its policy, and what they type."""

    fleet: Change
    author: Person
    merger: Person
    call: Command
    fingerprint: str
    forge: Forge
    bot: Path

    def check(self, *arguments: str) -> str:
        """Return what ``policy check`` says of the author's clone, in which there is no problem."""
        code, out, err = self.call(self.console, "policy", "check", str(self.author.clone), *arguments)
        assert (code, out) == (0, "")
        return err

    @property
    def console(self) -> Path:
        return self.fleet.console("publisher")

    def impact(self, person: Person, base: str, head: str) -> str:
        """Return what somebody who reviews is shown of a change, by the newest reports."""
        where = ("--reports", str(self.fleet.fetched("ada")), "--at", instant(BEFORE))
        sides = ("--base", base, "--head", head)
        code, out, err = self.call(self.console, "policy", "impact", str(person.clone), *sides, *where)
        assert (code, err) == (0, "")
        return out

    def ask(self, host: str, *arguments: str) -> str:
        """Return what a command prints on a host."""
        code, out, err = self.call(self.fleet.hosts[host].site.config, *arguments)
        assert (code, err) == (0, "")
        return out

    def installed(self, name: str, *hosts: str) -> set[str]:
        """Return the versions that hosts have, without the release that not every manager knows."""
        plants = [self.fleet.hosts[host] for host in hosts or HOSTS]
        return {str(plant.version(name)).partition("-")[0] for plant in plants}

    def propose(self) -> dict[str, str]:
        """Have the job propose what waits; return what became of each of its branches."""
        told = ("approve", "--propose", "--reason", "CHG-1310")
        code, out, err = self.call(self.bot, *told, "--format", "json")
        assert (code, err) == (0, "")
        return {one["branch"]: one["step"] for one in json.loads(out)["proposals"]}

    def merge(self, branch: str) -> str:
        """Merge a pull request of the job, and return the merge."""
        merge = self.merger.merge(branch)
        self.forge.finish(branch, is_merged=True)
        return merge

    def approve(self, count: int, *arguments: str) -> tuple[str, str]:
        """Have the author propose to approve what so many hosts wait for; return the branch and its text."""
        signing = ("--signing-key", self.fleet.publisher.settings["user.signingkey"])
        code, out, err = self.call(self.console, "fleet", "publish", *signing)
        assert (code, err) == (0, ""), err
        assert f"{len(HOSTS)} targets: {count} waiting-for-a-person" in out
        self.author.git("checkout", "-q", "main")
        where = ("--folder", str(self.author.clone), "--fetch")
        terms = ("--expires", "7d", "--reason", "CHG-1310")
        code, out, err = self.call(self.console, "approve", *arguments, *terms, *where)
        assert code == 0, err
        found = re.search(r"pushed (approve/\S+) to origin; merging it approves", err)
        assert found, err
        self.author.git("fetch", "-q", "origin")
        only = ("--only", "approvals", "--base", "origin/main")
        assert "no problem" in self.check("--rev", f"origin/{found[1]}", *only)
        return found[1], out


@pytest.fixture
def story(fleet: Change, ada: Key, call: Command) -> Iterator[Story]:
    author, merger = fleet.person("ben@example.org"), fleet.person(ada.who, ada)
    with serving(Forge("forgejo", repository=fleet.policy)) as forge:
        yield Story(fleet, author, merger, call, ada.fingerprint, forge, fleet.bot(forge))


def propose(story: Story) -> str:
    """Have a branch pushed that patches four hours later and keeps a package; return the commit of that."""
    author = story.author
    author.git("checkout", "-q", "-b", BRANCH)
    moved = SCHEDULE.replace(OLD_HOUR, NEW_HOUR)
    author.commit("Patch four hours later", {"schedules/nightly.yaml": moved})
    hold = author.commit("Keep the old uploads", {"exceptions/uploads.yaml": KEPT})
    author.git("push", "-q", "origin", BRANCH)
    return hold


def look(story: Story) -> None:
    """Look at that branch as its reviewer does."""
    assert story.check() == "no problem in 9 documents"
    seen = story.impact(story.author, "origin/main", BRANCH)
    assert seen.startswith("4 of 4 hosts change; ")
    assert seen.count("Exception uploads begins: hold kept, until 2099-01-02 00:00 UTC") == len(HOSTS)
    assert f"windows 30 → 30; the next is {minute(NEW_OPENING)}" in seen
    assert f"moves {OPENING:%a %Y-%m-%d %H:%M} to " in seen
    assert "differs kept 1.1: exception 'uploads' holds back kept 1.1 until " in seen
    assert "(uploads stall since 1.1)" in seen
    assert "Not to be missed" not in seen


def done_by(story: Story, host: str, digest: str, head: str, approval: str) -> None:
    """Find that a host made exactly the approved plan, and who approved that, in the two repositories.

    Args:
        story: Of the change.
        host: Which.
        digest: Of the plan that waited.
        head: The policy by which it was made.
        approval: The merge that approved it.
    """
    fleet, merger = story.fleet, story.merger
    (record,) = fleet.runs(host)
    assert (record["outcome"], record["digest"], record["policy_commit"]) == ("applied", digest, head)
    announced, run = record["announced"], record["run"]
    assert announced["pushed"] is True
    told = json.loads(fleet.on_server("show", f"{announced['commit']}:report.json"))
    moved = {move["name"]: move["to"] for move in record["difference"]["changed"]}
    assert moved == planned(told)
    assert "tool" in moved
    assert "kept" not in moved
    message = fleet.on_server("log", "-1", f"--grep=^Run: {run}", "--format=%s%n%b", f"hosts/{host}")
    assert message.startswith(f"{host}: applied {len(moved)} change")
    assert f"Policy-Commit: {head}" in message

    name = f"plan-{digest[7:19]}"
    given = f"approved by {name}: CHG-1310 [approvals/{name}.yaml:1@{head[:12]}]"
    shown = story.ask(host, "log", run)
    assert given in shown
    assert f"approvals/{name}.yaml:1: by patchledger proposals <" in shown
    assert f"accepted with {approval[:12]}, signed by {merger.name} ({story.fingerprint}); until " in shown
    words = story.ask(host, "explain", "tool")
    assert f": by run {run} of {minute(NEW_OPENING + SOON)}, policy {head[:12]}" in words
    assert given in words
    assert f": run {run} brought 1.1" in story.ask(host, "explain", "tool", "--since", "2026-01-01")


def takes_back(story: Story, hold: str) -> None:
    """Take the exception back, so that the package comes, and the approval before it does."""
    fleet, merger, at = story.fleet, story.merger, NEW_OPENING + timedelta(minutes=30)
    back = merger.revert(hold)
    seen = story.impact(merger, "HEAD~1", "HEAD")
    assert "Exception uploads ends: hold kept" in seen
    assert "differs kept 1.1: policy requires an approval and none covers it" in seen
    waiting = fleet.tick(at, *TWO)
    assert outcomes(waiting) == {"approval"}
    assert {report["policy"]["commit"] for report in waiting.values()} == {back}
    branch, text = story.approve(len(TWO), *TWO)
    assert text.count("| `kept:") == len(TWO)

    approval = merger.merge(branch)
    undone = merger.revert(approval, "-m", "1")
    seen = story.impact(merger, "HEAD~1", "HEAD")
    assert "waits kept 1.1: policy requires an approval and none covers it" in seen
    assert "installed what is applied already stays: nothing is downgraded" in seen
    at += timedelta(minutes=15)
    assert outcomes(fleet.tick(at, *TWO)) == {"approval"}
    assert story.installed("kept") == {"1.0"}
    # What waits again is proposed again, until somebody declines that, or it is done.
    assert story.propose() == {f"proposals/{host}": "opened" for host in TWO}

    again = merger.revert(undone)
    at += timedelta(minutes=15)
    assert outcomes(fleet.tick(at, *TWO)) == {"nothing"}
    assert story.propose() == {f"proposals/{host}": "closed" for host in TWO}
    assert story.installed("kept", *TWO) == {"1.1"}
    assert [fleet.runs(host)[-1]["policy_commit"] for host in TWO] == [again] * len(TWO)
    merger.revert(again)
    at += timedelta(minutes=15)
    assert outcomes(fleet.tick(at, *TWO)) == {"nothing"}
    assert story.installed("kept", *TWO) == {"1.1"}
    for host in TWO:
        words = story.ask(host, "explain", "kept")
        assert ", in force no more what is applied already stays: nothing is downgraded" in words
        told = story.ask(host, "explain", "kept", "--since", "2026-01-01")
        for commit in (back, again):
            assert f" to {commit[:12]} " in told


def test_a_change_goes_from_a_branch_to_the_packages_and_back(story: Story) -> None:
    fleet, merger = story.fleet, story.merger
    assert outcomes(fleet.tick(BEFORE)) == {"window"}
    hold = propose(story)
    look(story)

    # Who merges signs; hosts tell what waits, and that is approved in the same way.
    merge = merger.merge(BRANCH)
    waiting = fleet.tick(BEFORE + timedelta(minutes=15))
    assert {report["policy"]["commit"] for report in waiting.values()} == {merge}
    assert {"kept" in planned(report) for report in waiting.values()} == {False}
    assert story.propose() == {f"proposals/{host}": "opened" for host in HOSTS}
    approvals = {}
    for host, digest in digests(waiting).items():
        text = story.forge.standing()[f"proposals/{host}"]["body"]
        assert f"- Plan: `{digest}`" in text
        assert "`tool:" in text
        assert "`kept:" not in text
        assert minute(NEW_OPENING) in text
        approvals[host] = story.merge(f"proposals/{host}")
    head = merger.git("rev-parse", "main")

    # The window was moved, so that nothing happens in the old one; then exactly that plan does.
    assert outcomes(fleet.tick(OPENING + SOON)) == {"window"}
    assert story.installed("tool") == {"1.0"}
    assert outcomes(fleet.tick(NEW_OPENING + SOON)) == {"nothing"}
    assert (story.installed("tool"), story.installed("kept")) == ({"1.1"}, {"1.0"})
    for host, digest in digests(waiting).items():
        done_by(story, host, digest, head, approvals[host])
        words = story.ask(host, "explain", "kept")
        assert "held because exception 'uploads' holds back kept 1.1" in words
        assert f'in {hold[:12]} "Keep the old uploads", accepted with {merge[:12]}, signed by ' in words
    merged = [f"Merge proposals/{host}" for host in reversed(approvals)]
    assert merger.line() == [*merged, f"Merge {BRANCH}", "Begin"]
    assert set(story.propose().values()) <= {"closed"}
    takes_back(story, hold)
