"""A guest is restarted where its policy wants that, its hypervisor never; what came of it is in its run."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler.planning.facts.guests import Guest, GuestKind, Running
from reconciler.transports.ways import WAYS
from tests.e2e.site import git
from tests.edge.guests import test_ticks
from tests.edge.guests.conftest import Acting, version
from tests.edge.guests.test_ticks import GUESTS, OPEN, UNENTERED, Hypervisor
from tests.labs.guests import LAB
from tests.labs.machine import PATIENCE

hypervisor = test_ticks.hypervisor
ALWAYS = f"{GUESTS}reboot: {{when: always}}\nhealth: {{settle: 30s}}\n"
NEEDED = (
    "kind: Policy\nname: guests\nmatch: {guest_of: pve1}\naction: apply\nschedule: [now]\nupdates: none\n"
)


def started(acting: Acting, number: str) -> str:
    """Return what tells one start of a guest from another."""
    return acting.inside(number, "cut -d ' ' -f 22 /proc/1/stat")


def restarted(acting: Acting) -> list[str]:
    """Return the guests that pct was told to restart, in that order."""
    return [line.split()[1] for line in acting.node.calls() if line.startswith("reboot ")]


def runs(hypervisor: Hypervisor, number: str) -> list[Any]:
    """Return the records of all runs in a guest, oldest first."""
    reports, branch = hypervisor.folder / "reports.git", f"guests/pve1/{number}"
    names = git(reports, "ls-tree", "--name-only", branch, "runs/").split()
    told = [json.loads(git(reports, "show", f"{branch}:{one}")) for one in names if one.endswith(".json")]
    return sorted(told, key=lambda one: (one["ended"], one["run"]))


def outcomes(hypervisor: Hypervisor, number: str) -> list[str]:
    return [one["outcome"] for one in runs(hypervisor, number)]


def conditions(hypervisor: Hypervisor, number: str) -> dict[str, str]:
    report = hypervisor.report(f"guests/pve1/{number}")
    return {one["type"]: one["message"] for one in report["conditions"]}


def before_a_restart(hypervisor: Hypervisor, number: str, line: str) -> None:
    """Have a hook on the hypervisor do something just before a guest is restarted."""
    path = hypervisor.folder / "guest-hooks/pre-reboot.d/10-lab"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh -e\n[ "$PATCHLEDGER_GUEST" != {number} ] || {line}\n')
    path.chmod(0o755)


@contextmanager
def configured(acting: Acting, number: str, line: str) -> Iterator[str]:
    """Yield a command that adds a line to a guest's configuration of LXC, which is put back afterwards."""
    path = f"/var/lib/lxc/{number}/config"
    acting.node.run("cp", path, f"{LAB}/config.before")
    try:
        yield f"echo '{line}' >>{path}"
    finally:
        acting.node.run("cp", f"{LAB}/config.before", path)


def test_a_guest_is_restarted_after_its_run_and_its_hypervisor_never(
    hypervisor: Hypervisor, acting: Acting
) -> None:
    hypervisor.policy(OPEN, guests=ALWAYS, hosts=f"{test_ticks.HOSTS}reboot: {{when: always}}\n")
    assert hypervisor.run()[0] == 0
    assert restarted(acting) == []
    before = {number: started(acting, number) for number in ("201", "204")}

    code, said = hypervisor.run()
    assert code == 0, said
    assert sorted(restarted(acting)) == ["201", "204"], said
    fine = ("fine", "up to date")
    assert hypervisor.rows() == {"201": fine, "204": fine, **UNENTERED}
    for number in ("201", "204"):
        assert started(acting, number) != before[number]
        assert version(acting, number) == "ii 1.1"
        assert outcomes(hypervisor, number) == ["applied", "rebooted"], said
        assert "Rebooting" not in conditions(hypervisor, number)
    assert "Rebooting" not in {one["type"] for one in hypervisor.report("hosts/pve1")["conditions"]}

    code, said = hypervisor.run()
    assert (code, len(restarted(acting))) == (0, 2), said


def test_it_is_asked_inside_whether_one_is_needed_and_a_kernel_is_not_its_own(
    hypervisor: Hypervisor, acting: Acting
) -> None:
    hypervisor.policy(OPEN, guests=f"{NEEDED}reboot: {{when: if-required}}\n")
    for number, package in (("201", "linux-image-6.1.0-30-amd64"), ("204", "libc6")):
        acting.inside(number, f"touch /run/reboot-required; echo {package} >/run/reboot-required.pkgs")
    try:
        assert hypervisor.run()[0] == 0
        assert restarted(acting) == []  # the first look changes nothing
        code, said = hypervisor.run()
        assert (code, restarted(acting)) == (0, ["204"]), said
        assert hypervisor.report("guests/pve1/204")["reboot"]["need"] == "not-required"
        assert hypervisor.report("guests/pve1/201")["reboot"]["need"] == "not-required"
    finally:
        acting.inside("201", "rm -f /run/reboot-required*")


def test_one_that_is_locked_just_before_is_not_restarted(hypervisor: Hypervisor, acting: Acting) -> None:
    hypervisor.policy(OPEN, guests=ALWAYS.replace("guest_of: pve1", "guest_of: pve1, name: '201'"))
    assert hypervisor.run()[0] == 0
    before = started(acting, "201")
    before_a_restart(hypervisor, "201", "/usr/local/sbin/pct set 201 --lock backup")
    try:
        _, said = hypervisor.run()
        assert "it is locked (backup)" in conditions(hypervisor, "201")["RebootDeferred"], said
        assert (restarted(acting), started(acting, "201")) == ([], before)
    finally:
        acting.node.run("pct", "unlock", "201")


def test_one_that_does_not_come_back_is_told_until_it_does(hypervisor: Hypervisor, acting: Acting) -> None:
    hypervisor.policy(OPEN, guests=ALWAYS.replace("guest_of: pve1", "guest_of: pve1, name: '201'"))
    assert hypervisor.run()[0] == 0
    with configured(acting, "201", "lxc.hook.pre-start = /bin/false") as broken:
        before_a_restart(hypervisor, "201", broken)
        code, said = hypervisor.run()
        assert (code, restarted(acting)) == (1, ["201"]), said
        outcome, reason = hypervisor.rows()["201"]
        assert outcome == "failed"
        assert reason.startswith("it is stopped: it was told to restart at ")
        last = runs(hypervisor, "201")[-1]
        assert (last["outcome"], last["code"]) == ("failed", "not-seen")
        assert "guest 201: it is stopped" in last["reason"]
        code, said = hypervisor.run()
        assert hypervisor.rows()["201"] == (outcome, reason), said
    acting.node.run("pct", "start", "201")
    code, said = hypervisor.run()
    assert code == 0, said
    assert outcomes(hypervisor, "201")[-1] == "rebooted"
    assert hypervisor.rows()["201"] == ("fine", "up to date")
    assert restarted(acting) == ["201"]


def test_one_whose_restart_outlives_the_tick_is_looked_after_by_the_next(
    hypervisor: Hypervisor, acting: Acting
) -> None:
    hypervisor.policy(OPEN, guests=ALWAYS.replace("guest_of: pve1", "guest_of: pve1, name: '201'"))
    assert hypervisor.run()[0] == 0
    before = started(acting, "201")
    folder = acting.node.folder
    for name in ("starting", "start"):
        os.mkfifo(folder / name)
    (folder / "waits").write_text(f"#!/bin/sh\n: >{LAB}/starting\nread -r word <{LAB}/start\n")
    (folder / "waits").chmod(0o755)
    try:
        with configured(acting, "201", f"lxc.hook.pre-start = {LAB}/waits") as slow:
            before_a_restart(hypervisor, "201", slow)
            begun = subprocess.Popen(
                [*acting.node.entering, *hypervisor.argv("run")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            acting.node.run("timeout", str(PATIENCE / 2), "cat", f"{LAB}/starting")
            acting.ends(r"^[^ ]*python[^ ]* -m reconciler .*pve1/config.yaml run$")
            begun.communicate(timeout=PATIENCE)
            assert begun.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}
            _, said = hypervisor.run()
            acting.node.run("timeout", str(PATIENCE / 2), "sh", "-c", f"echo go >{LAB}/start")
            acting.node.run("sh", "-c", "until pct exec 201 -- true; do sleep 0.2; done")
    finally:
        for name in ("starting", "start", "waits"):
            Path(folder / name).unlink()
    assert hypervisor.rows()["201"][0] == "failed", said  # neither here nor there
    code, said = hypervisor.run()
    assert code == 0, said
    assert started(acting, "201") != before
    assert outcomes(hypervisor, "201") == ["applied", "rebooted"]
    assert restarted(acting) == ["201"]
    acting.node.run("pct", "reboot", "201")  # what runs it has its configuration of before again


def test_a_container_of_plain_lxc_is_restarted_too(acting: Acting) -> None:
    before = started(acting, "201")
    acting.node.run(*WAYS[GuestKind.LXC].restarting(Guest("201", GuestKind.LXC, "201", Running()), 300))
    assert started(acting, "201") != before
