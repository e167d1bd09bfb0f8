"""Between a run and the removal of what it made unused: killed, frozen, closed, by hand, and only planned.

Whatever comes between, what a run made unused goes once the gates let it, what was unused before never does,
and each record can be made again.
"""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.planning.gates.types import BreakGlass
from tests.e2e.site import BEFORE, OPENING, POLICY, Site
from tests.e2e.test_apply import INSIDE, OTHERS, approval, runs, tick, want
from tests.e2e.test_asked_anew import FREEZE
from tests.e2e.test_between_steps import killed
from tests.labs.apt import MAIN, AptLab, Deb
from tests.labs.unused import arrange_unused

pytestmark = pytest.mark.usefixtures("lawful")

NEW_UNUSED = "autoremove: new-unused\n"
BEFORE_US, BY_US = {"unused-00", "unused-01"}, {"unused-02", "unused-03"}
AFTER_IT = OPENING + timedelta(hours=4)
NEXT = INSIDE + timedelta(days=1)


@pytest.fixture
def machine(apt_world: AptLab, tmp_path: Path) -> AptLab:
    lab = apt_world.copy(tmp_path / "machine", repository=True)
    arrange_unused(lab, before=2, by_update=2)
    return lab


@pytest.fixture
def host(machine: AptLab, tmp_path: Path) -> Site:
    site = Site.create(tmp_path / "site", environment=machine.environment)
    site.commit({"policies/base.yaml": POLICY + OTHERS})
    want(site, "needing", policy=NEW_UNUSED)
    return site


def there(machine: AptLab) -> set[str]:
    return {name for name in machine.versions() if name.startswith("unused-")}


def removed(site: Site) -> list[str]:
    """Return what all records together say was removed."""
    moves = [move for record in runs(site) for move in record["difference"]["changed"]]
    return sorted(move["name"] for move in moves if move["to"] is None)


@pytest.mark.parametrize(
    ("where", "write"),
    [("after", 4), ("before", 5), ("after", 5), ("before", 6), ("before", 7), ("after", 7)],
)
def test_killed_before_during_and_after_the_removal(
    host: Site, machine: AptLab, where: str, write: int
) -> None:
    tick(host, BEFORE)
    killed(host, where, write)
    # A tick that takes it up where the window is over brings nothing new about.
    tick(host, AFTER_IT)
    assert there(machine) in (BEFORE_US | BY_US, BEFORE_US)
    tick(host, NEXT)
    assert there(machine) == BEFORE_US
    assert removed(host) == sorted(BY_US)
    assert tick(host, NEXT + timedelta(minutes=30)).runs == ()


def test_a_freeze_that_is_pushed_meanwhile_keeps_it_until_it_is_over(host: Site, machine: AptLab) -> None:
    (host.folder / "freeze.yaml").write_text(FREEZE)
    freezes = host.policy / "freezes"
    git = f"git -C {host.policy} -c user.name=Ada -c user.email=ada@example.org"
    freeze = f"mkdir -p {freezes} && cp {host.folder / 'freeze.yaml'} {freezes}/emergency.yaml"
    host.hook("post", "10-freeze", f"{freeze} && {git} add -A && {git} commit -qm freeze || :")
    record, stopped = tick(host).runs
    assert (record.outcome, stopped.outcome, stopped.code) == ("applied", "deferred", "freeze")
    assert there(machine) == BEFORE_US | BY_US
    tick(host, INSIDE + timedelta(minutes=20))
    report = host.report()
    assert report["decision"]["outcome"] == "freeze"
    assert {one["name"] for one in report["plan"]["transaction"]} == BY_US
    host.commit({"freezes/emergency.yaml": None})
    (host.folder / "hooks/post.d/10-freeze").unlink()
    (last,) = tick(host, INSIDE + timedelta(minutes=40)).runs
    assert (last.outcome, there(machine)) == ("applied", BEFORE_US)


def test_by_break_glass_both_go_in_one_tick(host: Site, machine: AptLab) -> None:
    glass = BreakGlass("the shop is down", "ada", overrides_freeze=False)
    updates, last = tick(host, AFTER_IT, glass).runs
    assert (updates.outcome, last.outcome) == ("applied", "applied")
    assert last.exceptional is not None
    assert there(machine) == BEFORE_US


@pytest.mark.parametrize("action", ["plan", "download"])
def test_what_is_only_planned_or_fetched_removes_nothing(host: Site, machine: AptLab, action: str) -> None:
    tick(host)
    later = Deb("later", "1.0")
    machine.install(later, Deb("plain-needs", "1.0", fields={"Depends": "later"}))
    machine.mark_auto("later")
    machine.publish(MAIN, Deb("plain-needs", "1.1"), later)
    machine.refresh()
    host.hook("post", "10-no-more", ":")
    quiet = POLICY.replace("action: apply", f"action: {action}") + OTHERS + NEW_UNUSED
    host.commit({"policies/base.yaml": quiet})
    assert tick(host, INSIDE + timedelta(minutes=20)).runs == ()
    machine.apt("install", "-y", "plain-needs")  # as whoever patches such a host does
    assert "later" in machine.versions()
    assert tick(host, INSIDE + timedelta(minutes=40)).runs == ()
    assert "later" in machine.versions()
    assert host.report()["plan"]["transaction"] == []


def test_names_that_are_odd_go_and_no_others(apt_world: AptLab, tmp_path: Path) -> None:
    lab = apt_world.copy(tmp_path / "machine", repository=True)
    odd = (Deb("g++", "4:12.2.0-3"), Deb("gtk2.0", "1:2.0~rc1+b1"), Deb("libx++6-x.y-z", "1.0-0+deb12u1"))
    both = {"Multi-Arch": "same"}
    foreign = Deb("both", "1.0", "i386", fields=both)
    alike = (
        Deb("both", "1.0", "amd64", fields=both),
        Deb("g", "1.0"),
        Deb("gtk2", "1.0"),
        Deb("gtk2x0", "1.0"),
        Deb("gplus", "1.0"),
    )
    names = [*(one.name for one in odd), "both:i386"]
    needs = {"Depends": ", ".join(names)}
    needing = Deb("needing", "1.0", "amd64", fields=needs)
    lab.publish(MAIN, *odd, foreign, *alike, Deb("needing", "1.1", "amd64"))
    lab.refresh()
    lab.install(*odd, foreign, *alike, needing)
    lab.mark_auto(*names, *(f"{one.name}:amd64" if one.arch == "amd64" else one.name for one in alike))
    site = Site.create(tmp_path / "site", environment=lab.environment)
    want(site, "needing", policy=NEW_UNUSED)
    tick(site, BEFORE)
    updates, last = tick(site).runs
    assert (updates.outcome, last.outcome) == ("applied", "applied")
    named = {one.name if one.arch == "all" else f"{one.name}:{one.arch}" for one in last.difference.changed}
    assert named == set(names)
    assert {one.name for one in alike[1:]} | {"both:amd64"} <= lab.versions().keys()


def test_an_approval_of_the_updates_approves_no_removal(host: Site, machine: AptLab) -> None:
    want(host, "needing", policy=f"{NEW_UNUSED}approval: required\n")
    digest = tick(host, BEFORE).report.plan.digest
    host.commit({"approvals/one.yaml": approval(f"plan: {digest}")})
    (record,) = tick(host).runs
    assert (record.outcome, there(machine)) == ("applied", BEFORE_US | BY_US)
    waiting = host.report()["plan"]["digest"]
    assert waiting != digest
    # Where a person takes one of them away, what was approved is another plan.
    second = approval(f"plan: {waiting}").replace("name: one", "name: two")
    host.commit({"approvals/two.yaml": second})
    machine.apt("install", "-y", "unused-03")
    assert tick(host, INSIDE + timedelta(minutes=20)).runs == ()
    assert host.report()["decision"]["outcome"] == "approval"
    assert there(machine) == BEFORE_US | BY_US
