"""A paused host is looked at and reported on, and left as it is: from the next step on, until its end."""

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from reconciler.cli.wiring import quiet
from reconciler.host.state.folder import StateFolder
from reconciler.planning.gates.types import Pause
from tests.e2e.site import OPENING, Site
from tests.e2e.test_apply import host, machine, offer, runs, tick, want
from tests.e2e.test_around import REBOOT, Switch, conditions, powered, switch
from tests.labs.apt import AptLab, Deb

__all__ = ["host", "machine", "switch"]  # fixtures

Command = Callable[..., tuple[int, str, str]]
INSIDE = OPENING + timedelta(minutes=5)


def pause(site: Site, until: datetime | None = None) -> None:
    folder = StateFolder(site.state)
    folder.prepare()
    folder.write_pause(Pause("disk is being replaced", "alice", OPENING, until))


def test_inside_of_a_window_nothing_is_applied_and_all_is_reported(host: Site, machine: AptLab) -> None:
    offer(machine, Deb("tool", "1.1"))
    want(host, "tool", policy="refresh: {every: 520w, stale_after: 520w}\n")
    pause(host, until=INSIDE + timedelta(minutes=30))
    done = tick(host)
    assert done.failures == ()
    decision = host.report()["decision"]
    assert decision["outcome"] == "paused"
    assert decision["reason"] == "paused by alice: disk is being replaced"
    assert machine.versions()["tool"] == "1.0"
    assert done.assessment.next_instant == INSIDE + timedelta(minutes=30)
    # It ends by itself, and nobody has to resume it.
    tick(host, INSIDE + timedelta(minutes=30))
    assert machine.versions()["tool"] == "1.1"


def test_a_pause_in_the_middle_of_a_run_stops_the_next_step(host: Site, machine: AptLab) -> None:
    offer(machine, Deb("tool", "1.1"))
    want(host, "tool")
    program = f"PYTHONPATH={Path.cwd()} {sys.executable} -m reconciler --config {host.config}"
    host.hook("pre", "10-pause", f"{program} pause --reason 'found smoke'")
    tick(host)
    assert machine.versions()["tool"] == "1.0"
    (record,) = runs(host)
    assert (record["outcome"], record["code"]) == ("deferred", "paused")
    assert record["reason"].endswith(": found smoke")


def test_a_paused_host_does_not_reboot(host: Site, switch: Switch) -> None:
    want(host, "no-such-package", policy=REBOOT)
    pause(host)
    powered(host, switch)
    assert switch.asked == []
    assert "paused by alice" in conditions(host)["RebootDeferred"]
    StateFolder(host.state).clear_pause()
    powered(host, switch, 1)
    assert len(switch.asked) == 1


def test_a_quiet_run_sees_pause_and_resume_at_once(site: Site, patchledger: Command) -> None:
    patchledger("run")
    patchledger("run")

    def is_quiet() -> bool:
        return quiet.tick(("--config", str(site.config), "run")) == 0

    assert is_quiet()
    assert patchledger("pause", "--reason", "inventory")[0] == 0
    assert not is_quiet()
    code, out, _ = patchledger("run")
    assert code == 0
    assert "Not now (paused): paused by" in out
    assert "inventory" in out
    assert is_quiet()
    assert patchledger("resume")[0] == 0
    assert not is_quiet()


def test_a_plan_says_that_the_host_is_paused(patchledger: Command) -> None:
    patchledger("pause", "--reason", "inventory", "--until", "2h")
    code, out, _ = patchledger("plan")
    assert code == 0
    assert "inventory" in out
