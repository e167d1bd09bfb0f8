"""Our units under a real systemd: a whole tick inside of the sandbox, the timer, and what a boot does."""

import json

from tests.edge.units.conftest import PASSWORD, Host
from tests.labs.apt import Deb

TICK = "patchledger.service"
TIMER = "patchledger.timer"
BOOT = "patchledger-boot.service"


def started(host: Host, unit: str) -> str:
    """Return when a service was started last in this boot; empty where it was not."""
    return host.show(unit, "ExecMainStartTimestamp")


def enable_all(host: Host) -> None:
    """Let a boot start what it is to start, whichever tests have been here before on this machine."""
    units = (TIMER, BOOT, "sshd-lab.service", "archive.service", "catcher.service")
    host.run("systemctl", "enable", *units)


def test_a_whole_tick_runs_in_the_sandbox(host: Host) -> None:
    # Nobody's files for a shell are there, which each command over ssh would begin with.
    assert (host.run("find", "/root", "-type", "f"), started(host, TICK)) == ("", "")
    host.run("systemctl", "start", TICK, check=False)
    said = host.journal(TICK)
    assert host.show(TICK, "Result") == "success", said
    # The lists were read anew inside: apt's own user, its own folders, http. Packages were changed outside.
    assert host.version("shop") == "1.1", said
    assert "applied 1 change" in host.reports()
    # The operator's hook wrote where no tick may, and was in no sandbox.
    assert host.run("cat", "/srv/hook") == "pre 0\nNoNewPrivs:\t0\n"
    assert host.run("stat", "-c", "%a", "/usr/local/bin/by-hook") == "4644\n"
    # The credential was decrypted by systemd, and used.
    (notice,) = (host.machine.lab / "notices").read_text().splitlines()
    assert "applied" in json.loads(notice)["title"]
    assert PASSWORD not in said


def test_enabling_the_timer_starts_no_tick(host: Host) -> None:
    host.run("systemctl", "stop", TICK)
    before = started(host, TICK)
    host.run("systemctl", "enable", "--now", TIMER)
    assert host.show(TIMER, "ActiveState") == "active"
    assert host.show(TICK, "ActiveState") == "inactive"
    assert started(host, TICK) == before
    # Within a tick and its delay; systemd shows wall clock times in seconds.
    until = host.run("date", "-d", host.show(TIMER, "NextElapseUSecRealtime"), "+%s")
    now = host.run("date", "+%s")
    assert 0 < int(until) - int(now) <= 20 * 60


def test_a_timer_that_elapses_starts_a_tick(host: Host) -> None:
    before = started(host, TICK)
    folder = f"/etc/systemd/system/{TIMER}.d"
    quick = "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\nAccuracySec=10ms\n"
    host.run("mkdir", "-p", folder)
    host.run("tee", f"{folder}/quick.conf", stdin=quick)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", TIMER)
    # The journal is followed from here on, and the first line that tells of the end ends it.
    follow = f"journalctl --follow --lines=0 --output=cat --unit={TICK} | grep --max-count=1 '^Finished'"
    assert "one tick" in host.run("timeout", "60", "sh", "-c", follow)
    assert started(host, TICK) != before
    host.run("rm", "-r", folder)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", TIMER)


def test_a_boot_starts_no_tick_by_accident(host: Host) -> None:
    enable_all(host)
    host.reboot()
    assert host.show(TIMER, "ActiveState") == "active"
    assert (started(host, TICK), started(host, BOOT)) == ("", "")
    assert host.show(BOOT, "ConditionResult") == "no"


def test_a_run_that_reboots_is_proven_after_the_boot(host: Host) -> None:
    enable_all(host)
    host.publish(Deb("shop", "1.2"))
    host.run("systemctl", "start", "systemd-logind.service")
    host.run("apt-get", "-q", "update")
    host.policy("reboot: {when: always, notice: 0m}")
    before = host.run("cat", "/proc/sys/kernel/random/boot_id")
    host.run("systemctl", "start", "--no-block", TICK)
    host.machine.wait_until_booted()
    assert host.run("cat", "/proc/sys/kernel/random/boot_id") != before
    assert host.version("shop") == "1.2"
    host.run("systemctl", "start", BOOT)  # waits for the one at work
    said = host.journal(BOOT)
    assert host.show(BOOT, "Result") == "success", said
    assert "rebooted" in host.reports(), said
    assert host.show(BOOT, "ConditionResult") == "no", "what is proven is not proven again"
    assert started(host, TICK) == ""
