"""Other updaters, as real units of a real systemd: found, parked, given back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.host.install.competing import find
from tests.labs.machine import Machine

RECORD = "/var/lib/patchledger/parked.json"
DAILY, UPGRADE = "apt-daily.timer", "apt-daily-upgrade.timer"
SHUTDOWN = "unattended-upgrades.service"
OFFLINE = "packagekit-offline-update.service"
AUTOMATIC = "dnf-automatic.timer"
PARK = f"c.park(c.find(), pathlib.Path('{RECORD}'))"
RESTORE = f"print('\\n'.join(c.restore(pathlib.Path('{RECORD}'))))"

# As Debian's package has it; what it does when it is asked to stop is the point.
SHUTDOWN_UNIT = """\
[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'trap "echo upgraded >/run/upgraded; exit" TERM; systemd-notify --ready; \
while :; do sleep 1; done'
KillMode=process
[Install]
WantedBy=multi-user.target
"""
TIMER = "[Timer]\nOnCalendar=*-*-* 06:00\n[Install]\nWantedBy=timers.target\n"
SET_UP = f"""
mkdir -p /usr/lib/systemd/system
cat >/usr/lib/systemd/system/{SHUTDOWN}
printf '%s' '{TIMER}' >/etc/systemd/system/{AUTOMATIC}
printf '[Service]\\nExecStart=true\\n' >/etc/systemd/system/dnf-automatic.service
systemctl daemon-reload
systemctl enable --now {DAILY} {SHUTDOWN} {AUTOMATIC}
systemctl disable --now {UPGRADE}
"""


class Host:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def competing(self, line: str) -> str:
        return self.machine.evaluate(
            f"import pathlib; from reconciler.host.install import competing as c; {line}"
        )

    def found(self) -> dict[str, bool]:
        line = "import json; print(json.dumps({one.name: one.parked for one in c.find()}))"
        found: dict[str, bool] = json.loads(self.competing(line))
        return found

    def state(self, unit: str) -> tuple[str, str]:
        asked = ("is-enabled", "is-active")
        enabled, active = (self.machine.run("systemctl", ask, unit, check=False).strip() for ask in asked)
        return enabled, active

    def states(self) -> dict[str, tuple[str, str]]:
        return {unit: self.state(unit) for unit in (DAILY, UPGRADE, SHUTDOWN, OFFLINE, AUTOMATIC)}


@pytest.fixture
def host() -> Iterator[Host]:
    with Machine.booted({}) as machine:
        machine.run("sh", "-ec", SET_UP, stdin=SHUTDOWN_UNIT)
        yield Host(machine)


def test_parking_is_undone_exactly(host: Host) -> None:
    before = host.states()
    assert before == {
        DAILY: ("enabled", "active"),
        UPGRADE: ("disabled", "inactive"),
        SHUTDOWN: ("enabled", "active"),
        OFFLINE: ("static", "inactive"),
        AUTOMATIC: ("enabled", "active"),
    }
    assert host.found() == {
        "apt-daily": False,
        "unattended-upgrades": False,
        "dnf-automatic": False,
        "packagekit-offline": False,
    }

    host.competing(PARK)
    assert host.states() == {
        DAILY: ("masked", "inactive"),
        UPGRADE: ("disabled", "inactive"),
        SHUTDOWN: ("masked", "inactive"),
        OFFLINE: ("masked", "inactive"),
        AUTOMATIC: ("disabled", "inactive"),
    }
    assert set(host.found().values()) == {True}
    assert "upgraded" not in host.machine.run("ls", "/run"), (
        "it was not asked to stop, which installs updates"
    )
    assert host.machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""
    assert host.machine.run("stat", "-c", "%a", RECORD) == "600\n"

    host.competing(PARK)  # nothing to do, and nothing is forgotten
    host.machine.run("systemctl", "reboot", check=False)
    host.machine.wait_until_booted()
    assert set(host.found().values()) == {True}, "a boot starts none of them"

    said = host.competing(RESTORE)
    assert f"{DAILY} is enabled and started again" in said
    assert host.states() == before
    assert "No such file" in host.machine.run("ls", RECORD, check=False)
    assert host.competing(RESTORE) == "", "there is nothing more to give back"


def test_what_somebody_changed_since_is_left_alone(host: Host) -> None:
    host.competing(PARK)
    host.machine.run("systemctl", "unmask", DAILY)  # by a person, who leaves it stopped
    host.machine.run("systemctl", "enable", "--now", AUTOMATIC)
    said = host.competing(RESTORE).splitlines()
    assert f"{DAILY} is left as it is: it is not masked any more" in said
    assert f"{AUTOMATIC} is left as it is: it is not disabled any more" in said
    assert host.state(DAILY) == ("enabled", "inactive")
    assert host.state(SHUTDOWN) == ("enabled", "active")


def test_an_interrupted_parking_is_undone_too(host: Host) -> None:
    before = host.states()
    host.machine.run("mount", "--bind", "-o", "ro", "/etc/systemd", "/etc/systemd")
    with pytest.raises(AssertionError, match="Read-only file system"):
        host.competing(PARK)
    host.machine.run("umount", "/etc/systemd")
    host.competing(RESTORE)
    assert host.states() == before


def test_nothing_is_found_where_systemd_does_not_run() -> None:
    assert find(runtime=Path("/nowhere")) == ()
