"""What nothing needs any more: what goes, what stays and why, and how it comes back, on a real small Debian.

After each test, every decision is made again from git alone, and audited.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import BEFORE, POLICY, Site, git
from tests.e2e.test_apply import INSIDE, OTHERS, runs, tick, want
from tests.labs.apt import MAIN, AptLab, Deb
from tests.labs.unused import (
    KERNELS,
    MEASURED,
    OLD_KERNELS,
    RUNNING,
    arrange_kernels,
    arrange_unused,
    kernel,
)

pytestmark = pytest.mark.usefixtures("lawful")

NEW_UNUSED = "autoremove: new-unused\n"
BEFORE_US = {f"unused-{number:02}" for number in range(15)}
BY_US = {f"unused-{number:02}" for number in range(15, 20)}


@pytest.fixture
def machine(apt_world: AptLab, tmp_path: Path) -> AptLab:
    """Three old kernels, and 20 packages that nothing needs once ``needing`` is updated: 5 of them new."""
    lab = apt_world.copy(tmp_path / "machine", repository=True)
    arrange_kernels(lab)
    arrange_unused(lab, before=15, by_update=5)
    return lab


@pytest.fixture
def host(machine: AptLab, tmp_path: Path) -> Site:
    site = Site.create(tmp_path / "site", environment=machine.environment)
    site.commit({"policies/base.yaml": POLICY + OTHERS})
    return site


def gone(machine: AptLab, before: dict[str, str]) -> set[str]:
    return before.keys() - machine.versions().keys()


def conditions(site: Site) -> dict[str, str]:
    return {one["type"]: one["message"] for one in site.report()["conditions"]}


def hold(action: str, *names: str) -> dict[str, str]:
    return {
        "exceptions/kept.yaml": f"kind: Exception\nname: kept\npackages: {json.dumps(names)}\n"
        f"action: {action}\nreason: wanted by a person\nexpires: 2099-01-01\n"
    }


def test_old_kernels_and_what_a_run_made_unused_go_and_all_else_stays(host: Site, machine: AptLab) -> None:
    want(host, "needing", policy=NEW_UNUSED)
    before = machine.versions()
    tick(host, BEFORE)
    planned = host.report()["plan"]
    assert {one["name"] for one in planned["transaction"]} == {*OLD_KERNELS, "needing"}
    fates = {one["name"]: one for one in planned["updates"]}
    reasons = fates[OLD_KERNELS[0]]["reasons"]
    assert [one["code"] for one in reasons] == ["unused-kernel"]
    assert "policies/base.yaml" in reasons[0]["origin"]

    done = tick(host)
    assert done.failures == ()
    assert gone(machine, before) == {*OLD_KERNELS, *BY_US}
    updates, unused = sorted(runs(host), key=lambda one: one["steps"][0]["changes"][0]["name"])
    assert (updates["outcome"], unused["outcome"]) == ("applied", "applied")
    assert updates["digest"] != unused["digest"]
    assert [{one["name"] for one in step["changes"]} for step in updates["steps"]] == [
        set(OLD_KERNELS),
        {"needing"},
    ]
    assert {one["name"] for one in unused["difference"]["changed"]} == BY_US
    assert {RUNNING in name for name in machine.versions() if "linux-image-6" in name} == {True, False}
    assert tick(host, INSIDE.replace(minute=40)).runs == ()
    assert host.report()["decision"]["outcome"] == "nothing"


def test_what_a_run_made_unused_is_planned_with_that_run_as_its_reason(host: Site, machine: AptLab) -> None:
    want(host, "needing", policy="autoremove: kernels\n")
    tick(host)
    want(host, "needing", policy=NEW_UNUSED)
    tick(host, BEFORE)
    assert host.report()["plan"]["transaction"] == []  # The first time, all that is unused counts as before.
    machine.publish(MAIN, Deb("later-needs", "1.1"))
    machine.refresh()
    machine.install(Deb("later", "1.0"), Deb("later-needs", "1.0", fields={"Depends": "later"}))
    machine.mark_auto("later")
    want(host, "later-needs", policy=NEW_UNUSED + "steps: single\n")
    tick(host)
    (first,) = (one for one in runs(host) if "later-needs" in json.dumps(one["difference"]))
    assert "later" not in machine.versions()
    assert machine.versions().keys() >= BY_US
    text = git(host.reports, "log", "-p", "--format=", "hosts/web-01", "--", "report.json")
    assert f"nothing needs it any more since run {first['run']}" in text


def test_what_a_person_made_unused_is_a_persons(host: Site, machine: AptLab) -> None:
    want(host, "plain", policy=NEW_UNUSED)
    tick(host, BEFORE)
    machine.apt("remove", "-y", "needing")
    before = machine.versions()
    tick(host)
    assert gone(machine, before) == set(OLD_KERNELS)


def test_what_an_exception_or_the_operator_holds_stays_and_that_is_told(host: Site, machine: AptLab) -> None:
    want(host, "needing", policy=NEW_UNUSED)
    host.commit(hold("hold", OLD_KERNELS[0], "unused-15"))
    machine.hold_package(OLD_KERNELS[1], "unused-16")
    before = machine.versions()
    tick(host)
    assert gone(machine, before) == {OLD_KERNELS[2], "unused-17", "unused-18", "unused-19"}
    told = conditions(host)["UnusedKept"]
    assert "unused-15: exception 'kept' holds back unused-15 1.0" in told


def test_what_would_take_more_along_stays_with_what_it_would_take(host: Site, machine: AptLab) -> None:
    machine.install(
        Deb("keeper", "1.0", fields={"Depends": "kept-lib"}),
        Deb("kept-lib", "1.0"),
        Deb("needs-keeper", "1.0", fields={"Depends": "keeper"}),
    )
    machine.publish(MAIN, Deb("needs-keeper", "1.1"))
    machine.refresh()
    machine.mark_auto("keeper", "kept-lib")
    want(host, "needs-keeper", policy=NEW_UNUSED)
    host.commit(hold("block", "keeper"))
    before = machine.versions()
    tick(host)
    assert gone(machine, before) == set(OLD_KERNELS)
    told = conditions(host)["UnusedKept"]
    assert "kept-lib: its removal would take keeper along" in told
    assert "keeper: exception 'kept' blocks keeper 1.0" in told


def test_what_cannot_be_removed_stays_unused_and_the_rest_goes_later(host: Site, machine: AptLab) -> None:
    """A script that fails is a person's matter; until it is mended all of it stays what it was."""
    refuses = Deb("refuses", "1.0", scripts={"prerm": "exit 1"})
    both = {"Depends": "refuses, yields"}
    machine.install(refuses, Deb("yields", "1.0"), Deb("needs-both", "1.0", fields=both))
    machine.publish(MAIN, Deb("needs-both", "1.1"))
    machine.refresh()
    machine.mark_auto("refuses", "yields")
    want(host, "needs-both", policy=NEW_UNUSED)
    updates, failed = tick(host).runs
    assert (updates.outcome, failed.outcome) == ("applied", "failed")
    assert "refuses: installed refuses package pre-removal script" in failed.reason
    assert {"refuses", "yields"} <= machine.automatic()
    told = conditions(host)
    assert "refuses: removing refuses 1.0 failed at" in told["UnusedKept"]
    assert "in quarantine: refuses 1.0; removing failed, and is not tried" in told["PackagesQuarantined"]
    (rest,) = tick(host, INSIDE.replace(minute=20)).runs
    assert (rest.outcome, [one.name for one in rest.difference.changed]) == ("applied", ["yields"])

    # The machine has changed since, and so do other updates at each window: it is not tried again for that.
    machine.install(Deb("other", "1.0"))
    assert tick(host, INSIDE.replace(minute=30)).runs == ()
    assert host.report()["decision"]["outcome"] == "nothing"
    (machine.admin / "info/refuses.prerm").write_text("#!/bin/sh\nexit 0\n")
    want(host, "needs-both", policy=NEW_UNUSED + "steps: single\n")
    (mended,) = tick(host, INSIDE.replace(minute=40)).runs
    assert mended.outcome == "applied"
    assert not {"refuses", "yields"} & machine.versions().keys()


def test_an_old_kernel_that_cannot_be_removed_keeps_no_update_back(host: Site, machine: AptLab) -> None:
    (machine.admin / f"info/{OLD_KERNELS[0]}.prerm").write_text("#!/bin/sh\nexit 1\n")
    (machine.admin / f"info/{OLD_KERNELS[0]}.prerm").chmod(0o755)
    want(host, "needing", policy="autoremove: kernels\n")
    (record,) = tick(host).runs
    assert (record.outcome, record.code) == ("failed", "packages-failed")
    assert machine.versions()["needing"] == "1.1"
    assert OLD_KERNELS[0] in machine.automatic()
    (rest,) = tick(host, INSIDE.replace(minute=20)).runs
    assert (rest.outcome, [one.name for one in rest.difference.changed]) == ("applied", [*OLD_KERNELS[1:]])
    assert tick(host, INSIDE.replace(minute=40)).runs == ()
    assert f"{OLD_KERNELS[0]}: removing" in conditions(host)["UnusedKept"]
    assert set(OLD_KERNELS[1:]).isdisjoint(machine.versions())


def test_a_run_that_is_undone_brings_back_what_it_removed_with_its_marks(host: Site, machine: AptLab) -> None:
    is_there = f"grep -A1 'Package: {OLD_KERNELS[0]}' {machine.admin}/status | grep -q 'ok installed'"
    host.hook("health", "10-there", is_there)
    machine.publish(MAIN, Deb("plain", "1.0"))
    machine.refresh()
    marks = machine.automatic()
    before = machine.versions()
    health = "on_failure: rollback\nhealth: {settle: 0s}\n"
    want(host, "plain", policy=f"autoremove: kernels\n{health}")
    done = tick(host)
    (record,) = done.runs
    assert (record.outcome, record.code) == ("rolled-back", "unhealthy")
    assert machine.versions() == before
    assert machine.automatic() == marks


def test_what_cannot_come_back_keeps_nothing_else_from_it(host: Site, machine: AptLab) -> None:
    is_there = f"grep -A1 'Package: {OLD_KERNELS[0]}' {machine.admin}/status | grep -q 'ok installed'"
    host.hook("health", "10-there", is_there)
    machine.publish(MAIN, Deb("plain", "1.0"))
    machine.withdraw(MAIN, *OLD_KERNELS)
    machine.refresh()
    want(host, "plain", policy="autoremove: kernels\non_failure: rollback\nhealth: {settle: 0s}\n")
    (record,) = tick(host).runs
    assert record.outcome == "failed"
    assert record.rollback is not None
    assert {one.name for one in record.rollback.left} == set(OLD_KERNELS)
    assert machine.versions()["plain"] == "1.0"


def test_only_what_comes_is_fetched_ahead(host: Site, machine: AptLab) -> None:
    machine.download_copies()
    want(host, "needing", policy="autoremove: kernels\n")
    before = machine.versions()
    assert tick(host, BEFORE).failures == ()
    assert machine.archives == ["needing_1.1_all.deb"]
    assert machine.versions() == before
    host.commit({"exceptions/wanted.yaml": None})
    assert tick(host, BEFORE).failures == ()
    assert {one["name"] for one in host.report()["plan"]["transaction"]} == set(OLD_KERNELS)


def test_kernels_alone_leave_all_other_packages(host: Site, machine: AptLab) -> None:
    want(host, "needing", policy="autoremove: kernels\n")
    before = machine.versions()
    tick(host)
    assert gone(machine, before) == set(OLD_KERNELS)
    assert {KERNELS[-1].name, f"linux-image-{RUNNING}"} <= machine.versions().keys()


@pytest.fixture
def boot(apt_world: AptLab, tmp_path: Path) -> Iterator[AptLab]:
    """A machine whose ``/boot`` of 100 MB four kernels have nearly filled."""
    lab = apt_world.copy(tmp_path / "machine", repository=True)
    folder = lab.root / "boot"
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)], check=True)
    try:
        (lab.root / MEASURED).touch()
        arrange_kernels(lab, has_running=False)
        yield lab
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def offer_kernel(lab: AptLab) -> str:
    new = kernel("6.1.0-14-amd64", "6.1.14-1")
    lab.publish(MAIN, new, Deb("linux-image-amd64", "6.1.14-1", fields={"Depends": new.name}))
    lab.refresh()
    return new.name


def test_a_boot_that_fills_is_told_before_there_is_a_kernel(boot: AptLab, tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site", environment=boot.environment)
    want(site, "plain")
    tick(site, BEFORE)
    told = conditions(site)["BootFilling"]
    assert "the next kernel will not fit" in told
    assert "about 31 MiB are needed; there are 6.1.0-10-amd64, 6.1.0-11-amd64" in told
    assert tick(site).runs[0].outcome == "applied"  # What is no kernel goes on.
    want(site, "plain", policy="autoremove: kernels\n")
    tick(site, INSIDE.replace(minute=40))
    assert "BootFilling" not in conditions(site)


def test_a_kernel_that_cannot_fit_is_not_begun_and_one_that_old_ones_make_room_for_is(
    boot: AptLab, tmp_path: Path
) -> None:
    site = Site.create(tmp_path / "site", environment=boot.environment)
    new = offer_kernel(boot)
    want(site, "linux-image-amd64")
    tick(site, BEFORE)
    decision = site.report()["decision"]
    assert decision["outcome"] == "no-space"
    assert "boot has 8 MiB free and 31 MiB are needed" in decision["reason"]
    assert tick(site).runs == ()
    want(site, "linux-image-amd64", policy="autoremove: kernels\n")
    record, last = tick(site, INSIDE.replace(minute=40)).runs
    assert (record.outcome, last.outcome) == ("applied", "applied")
    first, second = record.steps
    assert [one.name for one in first.changes] == list(OLD_KERNELS[:2])
    assert new in {one.name for one in second.changes}
    # apt keeps two where none of them runs: what a run made unused goes after it.
    assert [one.name for one in last.difference.changed] == [OLD_KERNELS[2]]
    assert sorted(one.name for one in (boot.root / "boot").glob("vmlinuz-*")) == [
        "vmlinuz-6.1.0-13-amd64",
        "vmlinuz-6.1.0-14-amd64",
    ]
