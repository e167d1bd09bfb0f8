"""Hooks, health and rollback around a real change of a real small machine."""

import contextlib
import json
import os
import signal
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.errors import Stalled, Transient
from reconciler.host.config import load_config
from reconciler.host.state.folder import StateFolder
from reconciler.reconcile.ports.state import State
from reconciler.reconcile.ports.where import THIS_MACHINE, ThisMachine
from reconciler.reconcile.tick import Tick
from tests.e2e.site import BEFORE, POLICY, SetClock, Site, git
from tests.e2e.test_apply import (
    INSIDE,
    OTHERS,
    SLOW,
    host,
    machine,
    moved,
    offer,
    processes_in,
    runs,
    start,
    tick,
    wait_for,
    want,
)
from tests.labs.apt import MAIN, AptLab, Deb

__all__ = ["host", "machine"]
pytestmark = pytest.mark.usefixtures("lawful")


def test_hooks_run_around_the_change_and_know_what_it_is_about(host: Site, machine: AptLab) -> None:
    seen = host.folder / "seen"
    for stage in ("pre", "post"):
        version = f"dpkg-query --admindir={machine.admin} -Wf '${{Version}}' plain"
        host.hook(stage, "10-tell", f'{{ echo "$PATCHLEDGER_STAGE $({version})"; cat; }} >>{seen}.{stage}')
    want(host, "plain")
    (record,) = tick(host).runs
    assert (record.outcome, [one.outcome for one in record.hooks]) == ("applied", ["ok", "ok"])
    before, after = (Path(f"{seen}.{stage}").read_text().split("\n", 1) for stage in ("pre", "post"))
    assert (before[0], after[0]) == ("pre 1.0", "post 1.1")
    assert [move["name"] for move in json.loads(before[1])["transaction"]] == ["plain"]
    assert json.loads(after[1])["outcome"] == "applied"
    assert moved(json.loads(after[1])) == {"plain": "1.1"}


@pytest.mark.parametrize(
    ("choice", "outcome", "version"),
    [("abort", "failed", "1.0"), ("skip", "vetoed", "1.0"), ("ignore", "applied", "1.1")],
)
def test_a_pre_hook_may_veto(host: Site, machine: AptLab, choice: str, outcome: str, version: str) -> None:
    host.hook("pre", "10-import", "echo the import is running; exit 1")
    post = host.folder / "post-ran"
    host.hook("post", "10-start", f"touch {post}")
    want(host, "plain", policy=f"hooks: {{on_pre_failure: {choice}}}\n")
    done = tick(host)
    (record,) = done.runs
    assert (record.outcome, machine.versions()["plain"]) == (outcome, version)
    assert bool(done.failures) == (choice == "abort")
    assert post.exists()
    page = git(host.reports, "show", f"hosts/web-01:runs/{record.run}.md")
    assert "the import is running" in page


def test_a_hook_of_the_package_managers_is_asked_again_and_ever_more_seldom(
    host: Site, machine: AptLab
) -> None:
    flag = host.folder / "committed"
    look = f"cd {flag.parent} && test -e {flag.name}"
    machine.configure(f'DPkg::Pre-Invoke {{ "{look} || {{ echo uncommitted; exit 1; }}"; }};')
    want(host, "plain")
    for at in (INSIDE, INSIDE + timedelta(minutes=1)):
        done = tick(host, at)
        assert [(one.outcome, one.code) for one in done.runs] == [("failed", "not-begun")]
        assert "uncommitted" in done.runs[0].reason
        assert {type(one) for one in done.failures} == {Stalled}
    # What the hook looks at is mended, which nobody but the hook can see.
    flag.touch()
    waiting = tick(host, INSIDE + timedelta(minutes=30))
    assert waiting.runs == ()
    (failure,) = waiting.failures
    assert isinstance(failure, Stalled)
    assert "uncommitted; tried again at " in failure.message
    done = tick(host, INSIDE + timedelta(minutes=62))
    assert ([one.outcome for one in done.runs], machine.versions()["plain"]) == (["applied"], "1.1")


def test_a_hook_that_is_another_is_asked_at_once(host: Site, machine: AptLab) -> None:
    machine.configure('DPkg::Pre-Invoke { "exit 1"; };')
    want(host, "plain")
    assert [len(tick(host).runs) for _ in range(3)] == [1, 1, 0]
    machine.configure("#clear DPkg::Pre-Invoke;")
    assert [one.outcome for one in tick(host).runs] == ["applied"]


@pytest.mark.parametrize("mended", ["true", "rm", "chmod"])
def test_a_hook_in_pre_d_that_is_mended_is_asked_at_once(host: Site, machine: AptLab, mended: str) -> None:
    host.hook("pre", "10-import", "exit 1")
    want(host, "plain")
    assert [len(tick(host).runs) for _ in range(3)] == [1, 1, 0]
    path = host.folder / "hooks/pre.d/10-import"
    match mended:
        case "true":
            host.hook("pre", "10-import", "true # longer")
        case "rm":
            path.unlink()
        case _:
            path.chmod(0o644)
    assert [one.outcome for one in tick(host).runs] == ["applied"]
    assert machine.versions()["plain"] == "1.1"


def test_a_hook_that_hangs_forks_and_floods_is_ended_and_told(host: Site, machine: AptLab) -> None:
    host.hook("pre", "10-hang", "yes & yes & sleep 600")
    want(host, "plain", policy="hooks: {timeout: 2s}\n")
    (record,) = tick(host).runs
    assert (record.outcome, record.code, machine.versions()["plain"]) == ("failed", "pre-hook", "1.0")
    assert [one.outcome for one in record.hooks] == ["timed-out"]
    assert len(record.hooks[0].output) <= 65536


def test_what_broke_by_the_update_is_told_and_what_was_broken_before_is_not(
    host: Site, machine: AptLab
) -> None:
    host.hook("health", "10-site", f"grep -q old {machine.root}/etc/site.conf")
    host.hook("health", "20-ever-broken", "exit 1")
    old = Deb("site", "1.0", files={"etc/site.conf": "old\n"})
    machine.install(old)
    machine.publish(MAIN, Deb("site", "1.1", files={"etc/site.conf": "new\n"}))
    machine.refresh()
    want(host, "site", policy="health: {settle: 0s}\n")
    done = tick(host)
    (record,) = done.runs
    assert (record.outcome, record.code) == ("failed", "unhealthy")
    assert [one.name for one in record.unhealthy] == ["script 10-site"]
    assert machine.versions()["site"] == "1.1"
    assert done.failures
    # The very same plan is not tried again, and nothing else changed.
    assert tick(host, INSIDE.replace(minute=40)).runs == ()


def test_an_unhealthy_host_is_rolled_back_to_the_versions_from_before(host: Site, machine: AptLab) -> None:
    host.hook("health", "10-site", f"grep -q old {machine.root}/etc/site.conf")
    old = Deb("site", "1.0", files={"etc/site.conf": "old\n"})
    machine.install(old)
    machine.publish(MAIN, old, Deb("site", "1.1", files={"etc/site.conf": "new\n"}))
    machine.refresh()
    want(host, "site", "plain", policy="on_failure: rollback\nhealth: {settle: 0s}\n")
    machine.publish(MAIN, Deb("plain", "1.0"))
    machine.refresh()
    done = tick(host)
    (record,) = done.runs
    assert (record.outcome, record.code) == ("rolled-back", "unhealthy")
    assert record.rollback is not None
    assert (record.rollback.left, record.rollback.healthy) == ((), True)
    assert (machine.versions()["site"], machine.versions()["plain"]) == ("1.0", "1.0")
    fates = {update.name: update.disposition for update in done.report.plan.updates}
    assert (fates["site"], fates["plain"]) == ("held", "held")
    assert tick(host, INSIDE.replace(minute=40)).runs == ()
    assert runs(host)[-1]["outcome"] == "rolled-back"


def test_what_cannot_be_undone_is_said(host: Site, machine: AptLab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stop = host.folder / "stop"
        host.hook("health", "10-port", f"test ! -e {stop}")
        scripts = {"postinst": f"touch {stop}"}
        offer(machine, Deb("site", "1.1", scripts=scripts))
        want(
            host,
            "site",
            policy=f'on_failure: rollback\nhealth: {{settle: 0s, tcp: ["127.0.0.1:{port}"]}}\n',
        )
        (record,) = tick(host).runs
    assert (record.outcome, record.code) == ("failed", "unhealthy")
    assert record.rollback is not None
    assert [move.name for move in record.rollback.left] == ["site"]
    assert "not undone: site" in record.reason
    assert machine.versions()["site"] == "1.1"


@dataclass
class Switch:
    """The power of a small machine: a test presses it, and nothing else goes down."""

    root: str
    boot: str = "boot-1"
    asked: list[tuple[timedelta, str]] = field(default_factory=list)
    where: ThisMachine = THIS_MACHINE
    is_awaited: bool = False

    def boot_id(self) -> str:
        return self.boot

    def reboot(self, notice: timedelta, message: str) -> None:
        self.asked.append((notice, message))


@pytest.fixture
def switch(machine: AptLab) -> Switch:
    mark = machine.root / "run/reboot-required"
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    return Switch(str(machine.root))


REBOOT = "reboot: {when: if-required, notice: 2m}\nhealth: {settle: 0s}\n"


def powered(site: Site, switch: Switch, minutes: int = 0) -> Tick:
    clock = SetClock(INSIDE + timedelta(minutes=minutes))
    return run_once(site.config, wire(load_config(site.config), clock, switch))


def conditions(site: Site) -> dict[str, str]:
    return {one["type"]: one["message"] for one in site.report()["conditions"] if one["status"]}


def test_a_needed_reboot_is_reported_then_done_then_proven(
    host: Site, machine: AptLab, switch: Switch
) -> None:
    want(host, "plain", policy=REBOOT)
    done = powered(host, switch)
    assert [one.outcome for one in done.runs] == ["applied"]
    assert [notice for notice, _ in switch.asked] == [timedelta(minutes=2)]
    assert "reboots at" in conditions(host)["Rebooting"]
    with pytest.raises(Transient, match="has not gone down yet"):
        powered(host, switch, 1)
    switch.boot = "boot-2"
    (machine.root / "run/reboot-required").unlink()
    done = powered(host, switch, 5)
    (record,) = done.runs
    assert (record.outcome, done.failures) == ("rebooted", ())
    assert any("boot-2" in note for note in record.notes)
    assert "Rebooting" not in conditions(host)
    assert powered(host, switch, 10).runs == ()
    assert len(switch.asked) == 1


def test_a_need_that_never_goes_away_makes_no_loop(host: Site, switch: Switch) -> None:
    want(host, "plain", policy=REBOOT)
    powered(host, switch)
    switch.boot = "boot-2"
    assert [one.outcome for one in powered(host, switch, 5).runs] == ["rebooted"]
    powered(host, switch, 20)
    assert len(switch.asked) == 1
    assert "at most 1 allowed" in conditions(host)["RebootDeferred"]


def test_a_machine_that_does_not_come_back_as_another_boot_has_not_rebooted(
    host: Site, switch: Switch
) -> None:
    want(host, "plain", policy=REBOOT)
    powered(host, switch)
    done = powered(host, switch, 20)
    (record,) = done.runs
    assert (record.outcome, record.code) == ("failed", "not-rebooted")
    assert done.failures


def test_health_after_a_reboot_is_asked_and_told(host: Site, machine: AptLab, switch: Switch) -> None:
    stop = host.folder / "stop"
    host.hook("health", "10-site", f"test ! -e {stop}")
    want(host, "plain", policy=REBOOT)
    powered(host, switch)
    switch.boot = "boot-2"
    stop.touch()
    (machine.root / "run/reboot-required").unlink()
    (record,) = powered(host, switch, 5).runs
    assert (record.outcome, record.code) == ("failed", "unhealthy")


def test_a_hook_may_refuse_a_reboot(host: Site, switch: Switch) -> None:
    host.hook("pre-reboot", "10-busy", "echo somebody is being born; exit 1")
    want(host, "plain", policy=REBOOT)
    powered(host, switch)
    assert switch.asked == []
    assert "somebody is being born" in conditions(host)["RebootDeferred"]


def test_a_reboot_waits_for_a_run_in_a_guest(host: Site, machine: AptLab, switch: Switch) -> None:
    host.configure(environment=machine.environment, guests={"from": ["incus"]})
    unfinished = host.state / "guests/201/journal.json"
    unfinished.parent.mkdir(parents=True, mode=0o700)
    unfinished.write_text("{}")
    want(host, "plain", policy=REBOOT)
    powered(host, switch)
    assert switch.asked == []
    assert "a run in guest 201 is not at its end" in conditions(host)["RebootDeferred"]
    unfinished.unlink()
    powered(host, switch, 1)
    assert len(switch.asked) == 1


FROZEN_GUEST = (
    "kind: Freeze\nname: holidays\nfrom: 2026-11-01\nuntil: 2026-12-31\nreason: no changes\n"
    "match: {guest_of: web-01}\ntimezone: UTC\n"
)


def with_a_guest(host: Site, machine: AptLab, switch: Switch, policy: str = REBOOT) -> None:
    """Have a guest, of which nobody can say how it is, that was reported once, and a reboot that is due."""
    host.configure(environment=machine.environment, guests={"from": ["incus"]})
    only(host, "reboot: {when: never}\n")
    powered(host, switch)
    kept = host.state / "guests/201/report.json"
    kept.parent.mkdir(parents=True, mode=0o700)
    kept.write_bytes((host.state / "report.json").read_bytes())
    only(host, policy)


def test_a_reboot_waits_for_the_freeze_of_a_guest(host: Site, machine: AptLab, switch: Switch) -> None:
    with_a_guest(host, machine, switch)
    host.commit({"freezes/holidays.yaml": FROZEN_GUEST})
    powered(host, switch, 1)
    assert switch.asked == []
    (put_off,) = (one for one in host.report()["conditions"] if one["type"] == "RebootDeferred")
    assert put_off["reason"] == "Guests"
    assert put_off["message"].endswith(": guest 201 is in the freeze holidays (no changes)")
    host.commit({"freezes/holidays.yaml": None})
    powered(host, switch, 2)
    assert len(switch.asked) == 1


def test_a_policy_may_take_the_freezes_of_guests_on_itself(
    host: Site, machine: AptLab, switch: Switch
) -> None:
    with_a_guest(host, machine, switch, REBOOT.replace("notice: 2m", "notice: 2m, guests: ignore"))
    host.commit({"freezes/holidays.yaml": FROZEN_GUEST})
    powered(host, switch, 1)
    assert len(switch.asked) == 1


def test_a_freeze_of_a_guest_that_comes_at_the_last_moment_counts(
    host: Site, machine: AptLab, switch: Switch
) -> None:
    with_a_guest(host, machine, switch)
    (host.folder / "holidays.yaml").write_text(FROZEN_GUEST)
    commit = "git -c user.name=Ada -c user.email=ada@example.org commit -qm freeze"
    host.hook(
        "pre-reboot",
        "10-late",
        f"cd {host.policy} && mkdir freezes && mv ../holidays.yaml freezes && git add -A && {commit}",
    )
    powered(host, switch, 1)
    assert switch.asked == []
    assert "guest 201 is in the freeze holidays" in conditions(host)["RebootDeferred"]


def test_nothing_reboots_after_a_failed_run(host: Site, machine: AptLab, switch: Switch) -> None:
    offer(machine, Deb("golf", "1.1", scripts={"postinst": "exit 1"}))
    want(host, "golf", policy=REBOOT)
    done = powered(host, switch)
    assert [one.outcome for one in done.runs] == ["failed"]
    assert switch.asked == []
    assert "the run failed" in conditions(host)["RebootDeferred"]


@pytest.mark.parametrize("when", ["never", "if-required"])
def test_outside_of_a_window_or_against_the_policy_nothing_reboots(
    host: Site, switch: Switch, when: str
) -> None:
    want(host, "plain", policy=f"reboot: {{when: {when}}}\n")
    clock = SetClock(BEFORE if when == "if-required" else INSIDE)
    run_once(host.config, wire(load_config(host.config), clock, switch))
    assert switch.asked == []


def only(site: Site, policy: str) -> None:
    """Let the policy want no update at all."""
    site.commit({"policies/base.yaml": POLICY + OTHERS + policy})


def commits(site: Site) -> int:
    """Count the reports of the host, pushed ones and those that wait."""
    return int(git(site.state / "reports.git", "rev-list", "--count", "refs/heads/hosts/web-01"))


def test_a_reboot_that_is_refused_is_reported_once_and_not_in_each_tick(host: Site, switch: Switch) -> None:
    only(host, REBOOT)
    powered(host, switch)
    switch.boot = "boot-2"
    powered(host, switch, 5)
    for minute in (20, 25):
        powered(host, switch, minute)
    before, said = commits(host), conditions(host)["RebootDeferred"]
    for minute in (30, 35, 40):
        powered(host, switch, minute)
    assert (commits(host), conditions(host)["RebootDeferred"]) == (before, said)
    for hour in (5, 6, 7):
        powered(host, switch, hour * 60)
    assert commits(host) == before + 1
    assert "no maintenance window is open" in conditions(host)["RebootDeferred"]


def test_a_hook_that_refuses_is_asked_in_each_tick_and_told_once(host: Site, switch: Switch) -> None:
    asked = host.folder / "asked"
    host.hook("pre-reboot", "10-busy", f"echo asked >>{asked}; echo somebody is being born; exit 1")
    only(host, REBOOT)
    powered(host, switch)
    before = commits(host)
    powered(host, switch, 15)
    powered(host, switch, 30)
    assert len(asked.read_text().splitlines()) == 3
    assert commits(host) == before
    assert not (host.state / "fingerprint.json").exists()


def test_a_reboot_that_waits_for_the_remote_is_neither_announced_nor_counted(
    host: Site, switch: Switch
) -> None:
    only(host, REBOOT + "approval: required\n")
    host.reports.rename(host.folder / "away.git")
    powered(host, switch)
    waiting = json.loads((host.state / "report.json").read_text())["conditions"]
    told = {one["type"]: one["message"] for one in waiting if one["status"]}
    assert "Rebooting" not in told
    assert "once this report is pushed" in told["RebootDeferred"]
    before = commits(host)
    powered(host, switch, 15)
    assert commits(host) == before
    assert switch.asked == []
    assert StateFolder(host.state).recall().state.reboots == ()
    (host.folder / "away.git").rename(host.reports)
    powered(host, switch, 30)
    assert len(switch.asked) == 1
    assert StateFolder(host.state).recall().state.reboots == (INSIDE + timedelta(minutes=30),)
    assert "reboots at" in conditions(host)["Rebooting"]
    assert "RebootDeferred" not in conditions(host)


class SwitchedOff(Switch):
    """The power of a machine that is none of its own."""

    def reboot(self, notice: timedelta, message: str) -> None:
        del notice, message
        raise Stalled("shutdown does not reboot this machine: it is a container")


def test_a_machine_that_refuses_to_reboot_says_so_and_is_asked_once(host: Site, switch: Switch) -> None:
    only(host, REBOOT)
    off = SwitchedOff(switch.root)
    done = powered(host, off)
    assert ["it is a container" in one.message for one in done.failures] == [True]
    assert "it is a container" in conditions(host)["RebootDeferred"]
    assert "Rebooting" not in conditions(host)
    assert powered(host, off, 15).runs == ()
    assert "asked for once in this window" in conditions(host)["RebootDeferred"]


def test_a_reboot_that_was_counted_and_never_asked_for_makes_no_loop(host: Site, switch: Switch) -> None:
    class Killed(Switch):
        def reboot(self, notice: timedelta, message: str) -> None:
            del notice, message
            raise KeyboardInterrupt

    only(host, REBOOT)
    with pytest.raises(KeyboardInterrupt):
        powered(host, Killed(switch.root))
    (record,) = powered(host, switch, 20).runs
    assert (record.outcome, record.code) == ("failed", "not-rebooted")
    assert StateFolder(host.state).recall().state.failed is None, "it says nothing of a plan"
    powered(host, switch, 35)
    assert switch.asked == []


def test_why_a_reboot_waits_is_found_by_any_look(host: Site, switch: Switch) -> None:
    only(host, REBOOT)
    assessment = wire(load_config(host.config), SetClock(BEFORE), switch).ticker.assessor.assess(
        State(), accept=False
    )
    (told,) = [one for one in assessment.report.conditions if one.type == "RebootDeferred"]
    assert "no maintenance window is open" in told.message


def test_another_machine_is_never_rebooted(host: Site, switch: Switch) -> None:
    switch.root = "/"
    want(host, "plain", policy=REBOOT)
    powered(host, switch)
    assert switch.asked == []


def test_a_rollback_that_is_killed_is_brought_to_its_end(host: Site, machine: AptLab) -> None:
    host.hook("health", "10-site", f"grep -q old {machine.root}/etc/site.conf")
    old = Deb("site", "1.0", files={"etc/site.conf": "old\n"}, scripts={"postinst": SLOW})
    machine.install(Deb("site", "1.0", files={"etc/site.conf": "old\n"}))
    machine.publish(MAIN, old, Deb("site", "1.1", files={"etc/site.conf": "new\n"}))
    machine.refresh()
    want(host, "site", policy="on_failure: rollback\nhealth: {settle: 0s}\n")
    child = start(host)
    wait_for(machine.root / "begun")
    child.kill()
    for pid in list(processes_in(host)):
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(pid, signal.SIGKILL)
    child.communicate()
    (machine.root / "go").touch()
    done = tick(host, INSIDE + timedelta(minutes=15))
    assert done.runs[0].outcome == "interrupted"
    assert "while it was being rolled back" in done.runs[0].reason
    rollback = done.runs[0].rollback
    assert rollback is not None
    assert ([move.name for move in rollback.moves], rollback.left) == (["site"], ())
    assert machine.versions()["site"] == "1.0"
    # What was undone is left alone.
    assert any(one.type == "PackagesQuarantined" for one in done.report.conditions)
    assert not any(one.type == "PackageSystemInterrupted" for one in done.report.conditions)
