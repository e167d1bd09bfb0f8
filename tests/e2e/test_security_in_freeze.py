"""A freeze that lets security updates through: on each manager these alone, and what must hold for them."""

import json
from datetime import timedelta

import pytest

from tests.e2e.site import BEFORE, POLICY, Site, git
from tests.e2e.test_apply import approval, moved, runs
from tests.e2e.test_managers import INSIDE, Machine, machine, site, tick
from tests.labs.naming import in_json

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
