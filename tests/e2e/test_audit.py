"""An audit proves what was allowed, from the two repositories alone, and names what was not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.host.state.folder import StateFolder
from reconciler.planning.audit.audit import CHECKS, Check
from reconciler.planning.audit.verdicts import Verdict
from reconciler.planning.gates.types import BreakGlass
from tests.e2e.site import BEFORE, POLICY
from tests.e2e.test_apply import INSIDE, approval, machine, offer, tick
from tests.labs.apt import MAIN, AptLab, Deb
from tests.labs.audited import WANTED, Audited, Reported, reasons
from tests.labs.signing import Keys

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
__all__ = ["machine"]


def freeze(begin: datetime, end: datetime) -> str:
    """Return a freeze of whole days."""
    days = f"from: {begin:%Y-%m-%d}\nuntil: {end:%Y-%m-%d}\n"
    return f"kind: Freeze\nname: year-end\n{days}timezone: UTC\nreason: the year ends\n"


@pytest.fixture
def world(machine: AptLab, keys: Keys, tmp_path: Path) -> Audited:
    return Audited.create(tmp_path / "site", machine, keys.ssh("web-01"), keys.ssh("pub"))


def test_a_story_of_approval_hand_freeze_and_break_glass(world: Audited, machine: AptLab) -> None:
    offer(machine, Deb("one", "1.1"), Deb("two", "1.1"))
    world.want("one", policy="approval: required\n")
    digest = tick(world.site, BEFORE).report.plan.digest
    world.publish(BEFORE + HOUR)
    world.site.commit({"approvals/one.yaml": approval(f"plan: {digest}")})
    assert [one.outcome for one in tick(world.site).runs] == ["applied"]
    world.publish(INSIDE + HOUR)

    machine.install(Deb("byhand", "1.0"))
    tick(world.site, INSIDE + 2 * HOUR)
    world.publish(INSIDE + 3 * HOUR)
    world.commit_policy(INSIDE + 4 * HOUR, "exceptions/wanted.yaml", WANTED.format(names='["one", "two"]'))
    world.commit_policy(INSIDE + 5 * HOUR, "policies/base.yaml", f"{POLICY}updates: none\n")
    world.commit_policy(INSIDE + 6 * HOUR, "freezes/year-end.yaml", freeze(INSIDE + DAY, INSIDE + 3 * DAY))
    assert tick(world.site, INSIDE + DAY).runs == ()
    world.publish(INSIDE + DAY + HOUR)
    glass = BreakGlass("the shop is down", "ada", overrides_freeze=True)
    assert [one.outcome for one in tick(world.site, INSIDE + DAY + 2 * HOUR, glass).runs] == ["applied"]
    world.publish(INSIDE + DAY + 3 * HOUR)
    tick(world.site, INSIDE + 3 * DAY)  # a heartbeat

    found = world.audit(INSIDE + 4 * DAY)
    approved, byhand, broken = found.changes
    assert (approved.verdict, approved.against, approved.exceptional) == (Verdict.PROVED, (), None)
    assert [(one.name, one.from_, one.to) for one in approved.changes] == [("one", "1.0", "1.1")]
    assert approved.approved_by.startswith("one approvals/one.yaml:1@")
    assert approved.bracket is not None
    assert approved.bracket.before == INSIDE + HOUR
    assert (byhand.kind, byhand.verdict) == ("outside", Verdict.UNPROVED)
    assert [(one.action, one.name, one.to) for one in byhand.changes] == [("install", "byhand", "1.0")]
    assert (broken.verdict, broken.against) == (Verdict.PROVED, ())
    assert broken.exceptional == glass
    assert found.against == ()
    assert found.verdict is Verdict.UNPROVED  # what was done by hand

    again = world.audit(INSIDE + 4 * DAY)
    assert again == found


def test_a_version_that_nobody_published_yet_is_unproved(world: Audited, machine: AptLab) -> None:
    offer(machine, Deb("one", "1.1"))
    world.want("one")
    tick(world.site, BEFORE)
    tick(world.site)
    found = world.audit(INSIDE + HOUR)
    assert [one.verdict for one in found.changes] == [Verdict.UNPROVED]
    assert set(reasons(found)) == {"bracket"}
    world.publish(INSIDE + HOUR)
    assert world.audit(INSIDE + HOUR).verdict is Verdict.PROVED
    machine.publish(MAIN, Deb("one", "1.2"))


def test_a_period_without_runs_proves_nothing_and_refutes_nothing(world: Audited) -> None:
    tick(world.site, BEFORE)
    found = world.audit(INSIDE)
    assert (found.changes, found.against, found.verdict) == ((), (), Verdict.PROVED)


def test_a_host_that_is_silent_up_to_the_end_is_not_proved(world: Audited) -> None:
    tick(world.site, BEFORE)
    world.publish(BEFORE + HOUR)
    found = world.audit(BEFORE + 30 * DAY)
    assert set(reasons(found)) == {"covered"}
    assert reasons(found)["covered"].startswith("unproved: nothing tells of it since ")
    assert world.audit(BEFORE + 30 * DAY, all_but("covered")).verdict is Verdict.PROVED
    tick(world.site, BEFORE + 30 * DAY)
    assert world.audit(BEFORE + 30 * DAY).verdict is Verdict.PROVED


def test_a_change_that_is_made_and_undone_between_heartbeats_is_told_by_the_looks_that_see_it(
    world: Audited, machine: AptLab, tmp_path: Path
) -> None:
    machine.install(Deb("byhand", "1.0"))
    tick(world.site, BEFORE)
    machine.install(Deb("byhand", "1.1"))
    tick(world.site, BEFORE + HOUR)
    machine.go_back(Deb("byhand", "1.0"))
    tick(world.site, BEFORE + 2 * HOUR)
    world.publish(BEFORE + 3 * HOUR)
    found = world.audit(BEFORE + 4 * HOUR)
    assert [(one.kind, one.verdict) for one in found.changes] == [("outside", Verdict.UNPROVED)] * 2
    assert [(each.name, each.from_, each.to) for one in found.changes for each in one.changes] == [
        ("byhand", "1.0", "1.1"),
        ("byhand", "1.1", "1.0"),
    ]

    # A host that keeps it to itself leaves a report out, or is told by what is installed.
    def untold(one: Reported) -> None:
        one.recording["changed_outside"] = []

    def left_out(one: Reported) -> None:
        one.is_left_out = True

    copy = world.copy(tmp_path / "untold")
    copy.rewrite({1: untold, 2: untold})
    assert reasons(copy.audit(BEFORE + 4 * HOUR))["inventory"].startswith("refuted: what is installed is not")
    copy = world.copy(tmp_path / "left-out")
    copy.rewrite({1: left_out, 2: untold})
    assert reasons(copy.audit(BEFORE + 4 * HOUR))["order"].startswith("refuted: the report follows ")


def test_a_host_whose_clock_is_dead_is_not_refuted(world: Audited, machine: AptLab) -> None:
    tick(world.site, BEFORE)
    machine.install(Deb("byhand", "1.0"))
    tick(world.site, datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    tick(world.site, BEFORE + 2 * HOUR)
    for seen in (False, True):
        if seen:
            world.publish(BEFORE + 3 * HOUR)
        found = world.audit(BEFORE + 4 * HOUR)
        assert [each.name for one in found.changes for each in one.changes] == ["byhand"]
        assert found.verdict is Verdict.UNPROVED
        assert reasons(found)["order"].startswith("unproved: the clock went back from ")


def tampered(world: Audited, **values: Any) -> None:
    """Have the host remember something else."""
    folder = StateFolder(world.site.state)
    folder.save(replace(folder.recall().state, **values))


def test_an_approval_that_is_used_twice_is_refuted(world: Audited, machine: AptLab) -> None:
    offer(machine, Deb("one", "1.1"))
    world.want("one", policy="approval: required\n")
    digest = tick(world.site, BEFORE).report.plan.digest
    world.site.commit({"approvals/one.yaml": approval(f"plan: {digest}")})
    assert [one.outcome for one in tick(world.site).runs] == ["applied"]
    machine.install(Deb("one", "1.0"))
    tampered(world, used=())
    assert [one.outcome for one in tick(world.site, INSIDE + HOUR).runs] == ["applied"]
    world.publish(INSIDE + 2 * HOUR)

    found = world.audit(INSIDE + 2 * HOUR)
    assert [one.verdict for one in found.changes if one.kind == "run"] == ["proved", "refuted"]
    assert reasons(found)["approval"] == (
        f"refuted: the approval of plan {digest[7:19]} is used up: it was applied on this host"
    )
    without = world.audit(INSIDE + 2 * HOUR, all_but("approval"))
    assert [one.verdict for one in without.changes if one.kind == "run"] == ["proved", "proved"]


def test_an_approval_is_unproved_where_earlier_reports_are_elsewhere(
    world: Audited, machine: AptLab, tmp_path: Path
) -> None:
    offer(machine, Deb("one", "1.1"))
    world.want("one", policy="approval: required\n")
    digest = tick(world.site, BEFORE).report.plan.digest
    world.site.commit({"approvals/one.yaml": approval(f"plan: {digest}")})
    assert [one.outcome for one in tick(world.site).runs] == ["applied"]
    copy = world.copy(tmp_path / "moved")
    previous = {"commit": "f" * 40, "inventory": "", "remote": "ssh://git.example/reports"}
    copy.rewrite({0: lambda one: one.recording.update(previous=previous)})
    copy.publish(INSIDE + HOUR)
    found = reasons(copy.audit(INSIDE + HOUR))
    assert found["approval"] == "unproved: its approval may be used up: the reports before are not all there"
    assert found["order"].startswith("unproved: the report follows ffffffffffff, which its branch")


def test_a_version_that_is_said_to_be_older_than_it_is_is_refuted(world: Audited, machine: AptLab) -> None:
    offer(machine, Deb("one", "1.1"))
    world.want("one", policy="min_age: {other: 2d}\n")
    tick(world.site, BEFORE - DAY)
    machine.publish(MAIN, Deb("one", "1.2"))
    machine.refresh()
    (known,) = (one for one in StateFolder(world.site.state).recall().state.first_seen if one.name == "one")
    old = datetime(2026, 11, 1, tzinfo=UTC)
    tampered(world, first_seen=tuple(replace(known, version=version, at=old) for version in ("1.1", "1.2")))
    (record,) = tick(world.site).runs
    assert [move.to for move in record.difference.changed] == ["1.2"]
    world.publish(INSIDE + HOUR)

    found = world.audit(INSIDE + HOUR)
    assert reasons(found) == {
        "first-sight": "refuted: one 1.2 is to have been seen before a report that does not know it"
    }
    assert world.audit(INSIDE + HOUR, all_but("first-sight")).verdict is Verdict.PROVED


def all_but(name: str) -> tuple[Check, ...]:
    """Return all checks but one."""
    return tuple(one for one in CHECKS if one.name != name)


def test_a_key_that_two_hosts_have_proves_neither(world: Audited) -> None:
    tick(world.site, BEFORE)
    document = world.document().replace("web-01", "web-02")
    world.site.commit({"hosts/web-02.yaml": document, "hosts/web-01.yaml": None})
    found = {one.target: one for one in world.fleet(INSIDE).targets}
    assert reasons(found["web-01"])["own-key"].startswith("unproved: its key is that of web-02")
    assert reasons(found["web-02"])["whole"] == "unproved: it has no report"
