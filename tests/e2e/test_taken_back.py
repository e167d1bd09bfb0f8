"""``git revert`` of what let a change happen: before it was applied, afterwards, and while a run is at work.

Nothing is ever downgraded by it, and that is said where a person looks.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.planning.text.canonical import instant
from tests.cli.test_policy_impact import NOBODY
from tests.e2e.site import BEFORE, POLICY, SCHEDULE, Site, git
from tests.e2e.test_apply import INSIDE, OTHERS, approval, host, machine, offer, runs, tick, want
from tests.e2e.test_asked_anew import FREEZE, HOLD, NAMES, commit_in_the_first_step
from tests.labs.apt import AptLab, Deb

__all__ = ["host", "machine"]  # fixtures

Command = Callable[..., tuple[int, str, str]]
SOON = INSIDE + timedelta(minutes=15)
LATER = INSIDE + timedelta(minutes=30)
PAGE = Path(__file__).parents[2] / "docs/how-to/take-a-change-back.md"
STAYS = "what is applied already stays: nothing is downgraded"
MANUAL = "approval: required\n"


@pytest.fixture
def site(host: Site) -> Site:
    """Let commands be about the host that plans one package and nothing else."""
    return host


def revert(site: Site, commit: str = "HEAD") -> str:
    """Take a commit back as people do, and return the commit that does so."""
    git(site.policy, "revert", "--no-edit", commit)
    return git(site.policy, "rev-parse", "HEAD")


def said(patchledger: Command, *arguments: str) -> str:
    """Return what a command prints, each blank and each end of a line as one blank."""
    code, out, err = patchledger(*arguments)
    assert (code, err) == (0, "")
    return " ".join(out.split())


def impact(site: Site, patchledger: Command) -> str:
    """Return what a reviewer reads of the newest commit."""
    sides = ("--base", "HEAD~1", "--head", "HEAD", "--reports", str(site.reports))
    code, out, err = patchledger("policy", "impact", str(site.policy), *sides, "--at", instant(BEFORE))
    assert (code, err) == (0, f"patchledger: {NOBODY}\n")
    return " ".join(out.split())


def offered(site: Site, machine: AptLab, policy: str = "") -> str:
    """Offer one package, let the host report its plan, and return the plan's digest."""
    offer(machine, Deb("one", "1.1"))
    want(site, "one", policy=policy)
    return tick(site, BEFORE).report.plan.digest


def test_an_approval_that_is_taken_back_before_the_window_lets_nothing_happen(
    site: Site, machine: AptLab, patchledger: Command
) -> None:
    digest = offered(site, machine, MANUAL)
    given = site.commit({"approvals/one.yaml": approval(f"plan: {digest}")}, "Approve one")
    tick(site, BEFORE)
    assert "an approval covers this plan" in said(patchledger, "explain", "one")

    back = revert(site)
    words = impact(site, patchledger)
    assert f"Approval one ends: plan {digest[7:19]}" in words
    assert "waits one 1.1: policy requires an approval and none covers it" in words
    assert f"installed {STAYS}" in words
    found = tick(site)

    assert (found.report.decision.outcome, found.runs) == ("approval", ())
    assert machine.versions()["one"] == "1.0"
    assert site.report()["plan"]["digest"] == digest
    assert "one 1.0 → 1.1: not-approved because policy requires an approval and none covers it" in said(
        patchledger, "explain", "one"
    )
    history = said(patchledger, "explain", "one", "--since", "2026-01-01")
    assert f'policy went from {given[:12]} to {back[:12]} "Revert "Approve one""' in history

    again = revert(site)
    assert f"Approval one begins: plan {digest[7:19]}" in impact(site, patchledger)
    (record,) = tick(site, SOON).runs
    assert (record.outcome, record.policy_commit) == ("applied", again)
    assert machine.versions()["one"] == "1.1"


def test_an_approval_that_is_taken_back_afterwards_downgrades_nothing_and_that_is_said(
    site: Site, machine: AptLab, patchledger: Command
) -> None:
    digest = offered(site, machine, MANUAL)
    given = site.commit({"approvals/one.yaml": approval(f"plan: {digest}")}, "Approve one")
    (record,) = tick(site).runs
    by_run = f"one 1.1: by run {record.run} of {record.started:%Y-%m-%d %H:%M} UTC, policy {given[:12]}"
    words = said(patchledger, "explain", "one")
    assert (
        f"one 1.1: installed and up to date; no source offers anything newer How it came: {by_run}" in words
    )
    assert f"approved by one: looked at [approvals/one.yaml:1@{given[:12]}]" in words
    assert "downgraded" not in words

    revert(site)
    words = impact(site, patchledger)
    assert "Approval one ends" in words
    assert f"updates none has another fate (exact) installed {STAYS}" in words
    done = tick(site, SOON)
    assert (done.report.decision.outcome, done.runs, done.report.plan.transaction) == ("nothing", (), ())
    assert machine.versions()["one"] == "1.1"
    words = said(patchledger, "explain", "one")
    assert by_run in words
    assert f"    {STAYS}\n" in PAGE.read_text(encoding="utf-8")
    assert f"approved by one: looked at [approvals/one.yaml:1@{given[:12]}], in force no more" in words
    assert STAYS in words
    found = json.loads(patchledger("explain", "one", "--format", "json")[1])
    (came,) = found["came"]
    assert (came["run"], came["version"]) == (record.run, "1.1")
    assert [(one["name"], one["in_force"]) for one in came["let_by"]] == [("wanted", True), ("one", False)]
    history = said(patchledger, "explain", "one", "--since", "2026-01-01")
    assert f"one:all: no update is listed any more: run {record.run} brought 1.1" in history

    revert(site)
    assert tick(site, LATER).runs == ()
    assert "downgraded" not in said(patchledger, "explain", "one")


def test_a_plan_whose_approval_was_used_is_not_made_again_by_taking_back_that_it_was_taken_back(
    site: Site, machine: AptLab
) -> None:
    digest = offered(site, machine, MANUAL)
    site.commit({"approvals/one.yaml": approval(f"plan: {digest}")})
    assert [one.outcome for one in tick(site).runs] == ["applied"]
    revert(site)
    tick(site, SOON)
    machine.go_back(Deb("one", "1.0"))
    assert tick(site, SOON + timedelta(minutes=1)).report.plan.digest == digest
    revert(site)
    found = tick(site, LATER)
    assert (found.report.decision.outcome, found.runs) == ("approval", ())
    assert "used up" in found.report.decision.reason


def test_a_hold_that_is_taken_back_lets_the_package_come_and_does_not_fetch_it_back(
    site: Site, machine: AptLab, patchledger: Command
) -> None:
    offered(site, machine)
    site.commit({"exceptions/no.yaml": HOLD.replace("part11", "one")}, "Hold one")
    assert tick(site).runs == ()
    back = revert(site)
    words = impact(site, patchledger)
    assert "Exception no ends: hold one" in words
    assert "comes one 1.1: exception 'wanted' includes it" in words
    (record,) = tick(site, SOON).runs
    assert (record.outcome, record.policy_commit) == ("applied", back)

    again = revert(site)
    assert tick(site, LATER).runs == ()
    assert machine.versions()["one"] == "1.1"
    words = said(patchledger, "explain", "one")
    assert "one 1.1: installed and up to date" in words
    assert f"by run {record.run} of" in words
    kept = f"exception 'no' holds back newer versions (it breaks) [exceptions/no.yaml:1@{again[:12]}]"
    assert f"{kept}; the one that is installed stays" in words


def test_an_exception_that_let_a_package_come_downgrades_nothing_when_it_is_taken_back(
    site: Site, machine: AptLab, patchledger: Command
) -> None:
    offer(machine, Deb("one", "1.1"), Deb("two", "1.1"))
    wanted = want(site, "one")
    tick(site)
    revert(site, wanted)
    words = impact(site, patchledger)
    assert "Exception wanted ends: include one" in words
    assert f"installed {STAYS}" in words
    done = tick(site, SOON)
    assert (done.runs, machine.versions()["one"]) == ((), "1.1")
    words = said(patchledger, "explain", "one")
    assert "exception 'wanted' includes it" in words
    assert "in force no more" in words
    assert STAYS in words


def test_a_freeze_that_is_taken_back_lets_the_plan_happen_and_taken_back_again_stops_it(
    site: Site, machine: AptLab, patchledger: Command
) -> None:
    offered(site, machine)
    site.commit({"freezes/emergency.yaml": FREEZE}, "Freeze")
    assert tick(site).report.decision.outcome == "freeze"
    back = revert(site)
    words = impact(site, patchledger)
    assert "freeze-ends 1 host" in words
    assert "Freeze emergency ends" in words
    revert(site)
    assert tick(site, SOON).report.decision.outcome == "freeze"
    assert machine.versions()["one"] == "1.0"
    last = revert(site)
    (record,) = tick(site, LATER).runs
    assert (record.outcome, record.policy_commit) == ("applied", last)
    assert back != last


def test_a_schedule_that_is_taken_back_moves_the_window_back(
    site: Site, machine: AptLab, patchledger: Command
) -> None:
    offered(site, machine)
    hour = INSIDE.hour
    other = SCHEDULE.replace(f"{hour:02}:00", f"{(hour + 6) % 24:02}:00")
    site.commit({"schedules/nightly.yaml": other}, "Patch in the morning")
    assert "windows" in impact(site, patchledger)
    assert tick(site).report.decision.outcome == "window"
    revert(site)
    words = impact(site, patchledger)
    assert "moves" in words
    assert "downgraded" not in words
    assert [one.outcome for one in tick(site, SOON).runs] == ["applied"]
    revert(site)
    done = tick(site, LATER)
    assert (done.runs, machine.versions()["one"]) == ((), "1.1")


def test_a_policy_that_is_taken_back_applies_no_more_and_leaves_what_it_applied(
    site: Site, machine: AptLab, patchledger: Command
) -> None:
    offered(site, machine)
    planning = POLICY.replace("action: apply", "action: plan") + OTHERS
    site.commit({"policies/base.yaml": planning}, "Plan only")
    assert tick(site).report.decision.outcome == "plan-only"
    revert(site)
    assert "begins-to-apply" in impact(site, patchledger)
    assert [one.outcome for one in tick(site, SOON).runs] == ["applied"]
    revert(site)
    assert "stops-applying" in impact(site, patchledger)
    done = tick(site, LATER)
    assert (done.runs, machine.versions()["one"]) == ((), "1.1")


def test_an_approval_that_is_taken_back_while_a_step_is_made_stops_the_run_behind_it(
    site: Site, machine: AptLab, patchledger: Command
) -> None:
    commit_in_the_first_step(site, machine, {"approvals/all.yaml": None})
    before = git(site.policy, "rev-parse", "HEAD")
    done = tick(site)
    (record,) = runs(site)
    assert (record["outcome"], record["code"]) == ("partial", "approval")
    assert "no approval in force covers plan" in record["reason"]
    assert [len(step["changes"]) for step in record["steps"]] == [3]
    (step,) = record["steps"]
    assert (step["policy"]["commit"], step["outcome"]) == (before, "done")
    assert "approval" in record["asked"]["closed"]
    left = [move.name for move in done.report.plan.transaction]
    assert left == list(NAMES[3:])
    assert {machine.versions()[name] for name in NAMES[:3]} == {"1.1"}
    assert {machine.versions()[name] for name in left} == {"1.0"}
    words = said(patchledger, "log", "last")
    assert "partial" in words
    assert "no approval in force covers plan" in words
    assert "not-approved" in said(patchledger, "explain", left[0])

    # Whoever takes that back lets the rest come, since the approval names versions.
    revert(site)
    assert [one.outcome for one in tick(site, SOON).runs] == ["applied"]
    assert {machine.versions()[name] for name in NAMES} == {"1.1"}


def test_an_approval_that_is_taken_back_between_the_look_and_the_first_step_lets_nothing_happen(
    site: Site, machine: AptLab
) -> None:
    digest = offered(site, machine, MANUAL)
    site.commit({"approvals/one.yaml": approval(f"plan: {digest}")})
    author = "-c user.name=Ada -c user.email=ada@example.org"
    site.hook("pre", "10-revert", f"cd {site.policy} && git {author} revert --no-edit HEAD")
    tick(site)
    (record,) = runs(site)
    assert (record["outcome"], record["code"], record["steps"]) == ("deferred", "approval", [])
    assert machine.versions()["one"] == "1.0"
    Path(site.folder / "hooks/pre.d/10-revert").unlink()
    # What was approved and not done is not used up.
    revert(site)
    assert [one.outcome for one in tick(site, SOON).runs] == ["applied"]
