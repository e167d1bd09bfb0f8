"""A freeze that lets security updates through: on each manager these alone, and what must hold for them."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.host.state.folder import StateFolder
from tests.e2e.site import BEFORE, POLICY, Site, git
from tests.e2e.test_apply import approval, moved, runs
from tests.e2e.test_managers import INSIDE, Machine, machine, site, tick
from tests.labs.apt import MAIN, SECURITY, AptLab, Deb
from tests.labs.dnf import DnfLab
from tests.labs.naming import in_json
from tests.labs.rpm import Advisory, Rpm
from tests.labs.zypper import ZypperLab

__all__ = ["machine", "site"]

pytestmark = pytest.mark.usefixtures("lawful")

FREEZE = """\
kind: Freeze
name: year-end
from: 2026-01-01
until: 2096-01-01
timezone: UTC
reason: change freeze
"""
LENIENT = FREEZE + "allow: security\n"
LATER = INSIDE + timedelta(minutes=20)


def frozen(world: AptLab, folder: Path) -> Site:
    """Return the site of a machine of its own, in a freeze that lets security updates through."""
    site = Site.create(folder / "site", environment=world.copy(folder / "machine").environment)
    site.commit({"freezes/year-end.yaml": LENIENT})
    return site


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_in_a_freeze_security_updates_alone_are_applied(machine: Machine, site: Site) -> None:
    site.commit({"freezes/year-end.yaml": LENIENT})
    before = machine.lab.versions()
    waiting = tick(site, BEFORE)
    assert machine.lab.versions() == before
    assert waiting.failures == ()
    done = tick(site, INSIDE)
    assert done.failures == ()
    report = site.report()
    assert (report["decision"]["outcome"], "plain" in in_json(report["plan"]["transaction"])) == (
        "freeze",
        True,
    )
    after = machine.lab.versions()
    if not machine.security:
        assert (changed(before, after), done.runs, report["security_plan"]) == (set(), (), None)
        assert "pacman does not tell which these are" in report["decision"]["reason"]
        return
    planned = waiting.report.security_plan
    assert planned is not None
    assert waiting.report.security_decision is not None
    assert waiting.report.security_decision.outcome == "window"
    assert "secure" in changed(before, after)
    assert changed(before, after) == {move.name for move in planned.transaction}
    (record,) = runs(site)
    assert (record["outcome"], record["freeze"], record["digest"]) == ("applied", "year-end", planned.digest)
    assert planned.digest != waiting.report.plan.digest
    assert moved(record) == {move.name: move.to for move in planned.transaction}
    again = tick(site, LATER)
    assert (again.failures, again.runs, machine.lab.versions()) == ((), (), after)
    assert again.report.security_decision is not None
    assert again.report.security_decision.outcome == "nothing"

    site.commit({"freezes/year-end.yaml": None})
    (rest,) = tick(site, LATER + timedelta(minutes=20)).runs
    assert (rest.outcome, rest.freeze) == ("applied", "")
    assert "plain" in changed(after, machine.lab.versions())


def test_the_security_plan_is_approved_by_its_own_digest(machine: Machine, site: Site) -> None:
    site.commit({"policies/base.yaml": POLICY + "approval: required\n", "freezes/year-end.yaml": LENIENT})
    before = machine.lab.versions()
    report = tick(site, BEFORE).report
    site.commit({"approvals/one.yaml": approval(f"plan: {report.plan.digest}")})
    found = tick(site, INSIDE)
    assert (found.runs, machine.lab.versions()) == ((), before)
    if report.security_plan is None:
        assert machine.manager == "pacman"
        return
    assert found.report.security_decision is not None
    assert found.report.security_decision.outcome == "approval"
    site.commit({"approvals/one.yaml": approval(f"plan: {report.security_plan.digest}")})
    (record,) = tick(site, LATER).runs
    assert (record.outcome, record.freeze) == ("applied", "year-end")
    assert changed(before, machine.lab.versions()) == {one.name for one in report.security_plan.transaction}
    assert (
        json.loads(git(site.reports, "show", "hosts/web-01:report.json"))["decision"]["outcome"] == "freeze"
    )


PARTS = tuple(f"part{number:02}" for number in range(12))  # three of them are a step


@pytest.mark.parametrize(
    ("text", "outcome", "code"),
    [(FREEZE, "partial", "freeze"), (None, "applied", "")],
    ids=["strict", "over"],
)
def test_a_freeze_that_changes_between_two_steps(
    apt_world: AptLab, tmp_path: Path, text: str | None, outcome: str, code: str
) -> None:
    """One that lets nothing through stops the run; where it ends, the security plan goes on, and it alone."""
    lab = apt_world.copy(tmp_path / "machine", repository=True)
    site = Site.create(tmp_path / "site", environment=lab.environment)
    policy = f"{POLICY}step_time: 10s\n"
    site.commit({"freezes/year-end.yaml": LENIENT, "policies/base.yaml": policy})
    (site.folder / "next").write_text(text or "")
    place = f"{site.policy}/freezes/year-end.yaml"
    change = f"cp {site.folder}/next {place}" if text else f"rm {place}"
    author = "-c user.name=Ada -c user.email=ada@example.org"
    script = f"{change}; cd {site.policy} && git add -A && git {author} commit -qm brake"
    lab.install(*(Deb(one, "1.0") for one in PARTS))
    first = {PARTS[0]: {"postinst": script}}
    lab.publish(SECURITY, *(Deb(one, "1.1", scripts=first.get(one, {})) for one in PARTS))
    lab.refresh()
    before = lab.versions()
    report = tick(site, BEFORE).report
    assert report.security_plan is not None
    planned = {move.name for move in report.security_plan.transaction}
    assert planned > set(PARTS)

    done = tick(site, INSIDE)
    (record,) = done.runs
    assert (record.outcome, record.code, record.freeze) == (outcome, code, "year-end"), record.reason
    moved = changed(before, lab.versions())
    assert moved <= planned
    assert (moved == planned) == (outcome == "applied")
    assert "plain" in {move.name for move in done.report.plan.transaction}
    if outcome == "applied":
        (rest,) = tick(site, LATER).runs
        assert (rest.outcome, rest.freeze) == ("applied", "")
        assert "plain" in changed(before, lab.versions())


def test_the_packages_of_both_plans_are_fetched_ahead_the_security_plan_first(
    apt_world: AptLab, tmp_path: Path
) -> None:
    site = frozen(apt_world, tmp_path)
    report = tick(site, BEFORE).report
    assert report.security_plan is not None
    folder = StateFolder(site.state)
    assert folder.recall().state.downloaded == report.security_plan.digest
    tick(site, BEFORE + timedelta(minutes=20))
    both = f"{report.security_plan.digest} {report.plan.digest}"
    assert folder.recall().state.downloaded == both
    tick(site, BEFORE + timedelta(minutes=40))
    assert folder.recall().state.downloaded == both


def test_what_waits_for_the_end_is_not_fetched_before_security_updates_that_may_be_applied_now(
    apt_world: AptLab, tmp_path: Path
) -> None:
    """Their window may be over by the time that all the rest has come."""
    site = frozen(apt_world, tmp_path)
    site.hook("pre", "10-look", f"grep -rl downloaded.:.*sha256: {site.state} > {site.folder}/then; :")
    done = tick(site, INSIDE)
    (record,) = done.runs
    assert (record.outcome, record.freeze) == ("applied", "year-end"), record.reason
    assert (site.folder / "then").read_text() == ""
    whole = done.report.plan.digest
    tick(site, LATER)
    assert StateFolder(site.state).recall().state.downloaded == whole


def test_what_is_said_of_a_package_and_of_a_run_is_of_the_plan_that_the_freeze_lets_through(
    apt_world: AptLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who follows what it says approves the plan that can be applied now, and sees by what it was."""
    lab = apt_world.copy(tmp_path / "machine")
    site = Site.create(tmp_path / "site", environment=lab.environment)
    site.commit({"policies/base.yaml": POLICY + "approval: required\n", "freezes/year-end.yaml": LENIENT})
    report = tick(site, BEFORE).report
    assert report.security_plan is not None

    def said(*arguments: str) -> str:
        capsys.readouterr()
        assert main(["--config", str(site.config), *arguments]) == 0
        return " ".join(capsys.readouterr().out.split())

    how = f"To approve exactly this plan: plan: {report.security_plan.digest}"
    assert how in said("explain", "secure")
    assert how in said("explain")
    assert how not in said("explain", "plain")
    whole = approval(f"plan: {report.plan.digest}").replace("name: one", "name: whole")
    alone = approval(f"plan: {report.security_plan.digest}")
    site.commit({"approvals/whole.yaml": whole, "approvals/one.yaml": alone})
    (record,) = tick(site, INSIDE).runs
    for words in (said("log", record.run), said("explain", "secure")):
        assert "approved by one: looked at [approvals/one.yaml:1@" in words
        assert "approved by whole" not in words


@pytest.mark.parametrize("held", [False, True])
def test_what_a_security_update_needs_comes_along_unless_policy_keeps_it_back(
    machine: Machine, site: Site, *, held: bool
) -> None:
    """Where the package manager brings it along: apt moves nothing else for a security update."""
    lab = machine.lab
    if isinstance(lab, AptLab):
        lab.install(Deb("libdep", "1.0"), Deb("fixed", "1.0"))
        lab.publish(MAIN, Deb("libdep", "1.1"))
        lab.publish(SECURITY, Deb("fixed", "1.1", fields={"Depends": "libdep (>= 1.1)"}))
        lab.refresh()
    elif isinstance(lab, DnfLab | ZypperLab):
        lab.install(Rpm("libdep", "1.0-1"), Rpm("fixed", "1.0-1"))
        fixed = Rpm("fixed", "1.1-1", fields={"Requires": "libdep >= 1.1"})
        lab.repository.publish(Rpm("libdep", "1.1-1"), fixed)
        lab.repository.advise(Advisory("LAB-77", ["fixed-1.1-1"]))
        lab.refresh()
    else:
        return  # pacman lets nothing pass: the test above
    hold = (
        "kind: Exception\nname: h\npackages: libdep\naction: hold\nreason: x\nexpires: 2099-01-01\n"
        if held
        else None
    )
    site.commit({"freezes/year-end.yaml": LENIENT, **({"exceptions/h.yaml": hold} if hold else {})})
    before = lab.versions()
    done = tick(site, INSIDE)
    moved_ = changed(before, lab.versions())
    comes = not held and machine.manager != "apt"
    assert moved_ & {"fixed", "libdep", "plain"} == ({"fixed", "libdep"} if comes else set())
    assert all(one.freeze == "year-end" for one in done.runs)


def test_a_freeze_that_begins_between_look_and_run_stops_the_whole_plan(
    apt_world: AptLab, tmp_path: Path
) -> None:
    lab = apt_world.copy(tmp_path / "machine")
    site = Site.create(tmp_path / "site", environment=lab.environment)
    (site.folder / "next").write_text(LENIENT)
    author = "-c user.name=Ada -c user.email=ada@example.org"
    push = f"mkdir freezes && cp {site.folder}/next freezes/year-end.yaml && git add -A"
    once = f"cd {site.policy} && test ! -e freezes || exit 0"
    site.hook("pre", "10-push", f"{once}; {push} && git {author} commit -qm brake")
    before = lab.versions()
    (stopped,) = tick(site, INSIDE).runs
    assert (stopped.outcome, stopped.code, stopped.freeze) == ("deferred", "freeze", "")
    assert lab.versions() == before
    done = tick(site, LATER)
    (record,) = done.runs
    assert (record.outcome, record.freeze) == ("applied", "year-end")
    assert changed(before, lab.versions()) == {move.name for step in record.steps for move in step.changes}
    assert "plain" in {move.name for move in done.report.plan.transaction}
