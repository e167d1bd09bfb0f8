"""``watch`` as a service of type notify on a booted machine, with a real upgrade under way."""

import json
import os
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.labs.apt import Deb, build_deb
from tests.labs.machine import INSIDE, LAB, PATIENCE, Machine

LIBRARIES = "/opt/libraries"
UNIT = "patchledger-watch.service"
CONFIG = {
    "host": "web-01",
    "policy": {"remote": "/srv/policy"},
    "reports": {"remote": "/srv/reports.git"},
    "hooks_dir": "/etc/patchledger/hooks",
}
POLICY = """\
kind: Policy
name: base
action: apply
schedule: [always]
refresh: {every: 1h, before_apply: 0s}
"""
SCHEDULE = """\
kind: Schedule
name: always
timezone: UTC
windows:
  - {start: "*-*-* *:00", duration: 6h}
"""
SERVICE = """\
[Service]
Type=notify
NotifyAccess=main
Environment=PYTHONPATH={inside}:{libraries} PYTHONDONTWRITEBYTECODE=1
ExecStart={python} -m reconciler watch
ExecReload=kill -HUP $MAINPID
KillMode=mixed
WatchdogSec=5s
Restart=on-failure
RestartSec=100ms
RestartPreventExitStatus=2
TimeoutStartSec=60s
TimeoutStopSec=30s
"""
SET_UP = f"""
systemctl mask packagekit.service apt-daily.timer apt-daily-upgrade.timer
rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*
install -d -m 700 /etc/patchledger
install -m 600 {LAB}/config.yaml /etc/patchledger/config.yaml
git init -q --bare -b main /srv/reports.git
git init -q -b main /srv/policy
mkdir /srv/policy/policies /srv/policy/schedules
cp {LAB}/base.yaml /srv/policy/policies/
cp {LAB}/always.yaml /srv/policy/schedules/
apt-get -q update
dpkg -i {LAB}/repository/shop_1.0_all.deb
"""
COMMIT = "cd /srv/policy && git add -A && git -c user.name=Ada -c user.email=a@example.org commit -qm change"
WAITS = f"set -e\necho ready >{LAB}/shop.ready\nread -r word <{LAB}/shop.go"


class Host:
    """The machine, with the questions that its tests have."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.run = machine.run

    def publish(self, package: Deb) -> None:
        """Offer a package in the machine's archive."""
        repository = self.machine.lab / "repository"
        repository.mkdir(exist_ok=True)
        build_deb(package, repository)
        (repository / "Release").unlink(missing_ok=True)
        for kind, name in (("packages", "Packages"), ("release", "Release")):
            made = subprocess.check_output(["apt-ftparchive", kind, "."], cwd=repository)
            (repository / name).write_bytes(made)

    def show(self, name: str) -> str:
        return self.run("systemctl", "show", f"--property={name}", "--value", UNIT).strip()

    def until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Ask again and again, but not for ever."""
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end, f"{what}\n{self.show('StatusText')}\n{self.journal()}"

    def until_status(self, text: str) -> None:
        self.until(f"no status with {text!r}", lambda: text in self.show("StatusText"))

    def journal(self) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={UNIT}")

    def commit(self, text: str) -> None:
        self.run("tee", "/srv/policy/policies/base.yaml", stdin=text)
        self.run("sh", "-ec", COMMIT)

    def transactions(self) -> list[str]:
        """Return the services that change packages now."""
        units = self.run(
            "systemctl", "list-units", "--plain", "--no-legend", "--state=activating", "patchledger-*"
        )
        return [line.split()[0] for line in units.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    files = {"etc/apt/sources.list": f"deb [trusted=yes] file:{LAB}/repository ./\n"}
    with Machine.booted(files, shown={LIBRARIES: Path(sysconfig.get_path("purelib"))}) as machine:
        host = Host(machine)
        host.publish(Deb("shop", "1.0"))
        (machine.lab / "config.yaml").write_text(json.dumps(CONFIG))
        (machine.lab / "base.yaml").write_text(POLICY.replace("action: apply", "action: plan"))
        (machine.lab / "always.yaml").write_text(SCHEDULE)
        for fifo in ("ready", "go"):
            os.mkfifo(machine.lab / f"shop.{fifo}")
        machine.run("sh", "-ec", SET_UP)
        machine.run("sh", "-ec", COMMIT)
        unit = SERVICE.format(python=machine.python, inside=INSIDE, libraries=LIBRARIES)
        machine.put_unit(UNIT, unit)
        machine.run("systemctl", "start", UNIT)
        host.until_status("next tick ")
        yield host


def test_systemd_knows_when_it_is_ready_and_what_it_waits_for(host: Host) -> None:
    assert host.show("ActiveState") == "active"
    host.until_status("next tick ")
    host.run("systemctl", "reload", UNIT)
    host.until("no tick after a reload", lambda: "woken by SIGHUP" in host.journal())
    host.until_status("next tick ")


def test_a_bad_configuration_stands_in_the_status(host: Host) -> None:
    pid = host.show("MainPID")
    host.run("tee", "/etc/patchledger/config.yaml", stdin=json.dumps({**CONFIG, "colour": "red"}))
    host.until_status("configuration refused, the last good one is in force")
    assert "colour: is not a key here" in host.show("StatusText")
    host.run("tee", "/etc/patchledger/config.yaml", stdin=json.dumps(CONFIG))
    host.until("still refused", lambda: host.show("StatusText").startswith("next tick "))
    assert (host.show("ActiveState"), host.show("MainPID")) == ("active", pid)


def test_killed_it_is_started_again_and_its_lock_is_free(host: Host) -> None:
    pid = host.show("MainPID")
    host.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", UNIT)
    host.until("not restarted", lambda: host.show("MainPID") not in {pid, "0"})
    host.until_status("next tick ")
    assert host.show("NRestarts") == "1"


def test_stopped_while_packages_change_it_finds_them_when_it_is_back(host: Host) -> None:
    host.publish(Deb("shop", "1.1", scripts={"postinst": WAITS}))
    host.commit(POLICY)
    subprocess.run(["cat", host.machine.lab / "shop.ready"], check=True, timeout=PATIENCE)
    (transaction,) = host.transactions()
    host.run("systemctl", "stop", UNIT)
    assert host.show("Result") == "success"
    assert host.transactions() == [transaction], "the package manager knows nothing of it"
    host.run("systemctl", "start", UNIT)
    host.until_status("again after a transient failure")
    assert host.transactions() == [transaction]
    (host.machine.lab / "shop.go").write_text("go\n")
    host.until("no end of the transaction", lambda: not host.transactions())
    host.run("touch", "/var/lib/patchledger/wake")
    log = ("git", "-C", "/srv/reports.git", "log", "--format=%s", "hosts/web-01")
    host.until("no run reported", lambda: "applied 1 change" in host.run(*log))
    assert host.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", "shop") == "ii 1.1"
    host.until_status("next tick ")


def test_told_to_end_with_the_machine_it_ends_well(host: Host) -> None:
    host.run("systemctl", "stop", UNIT)
    assert (host.show("ActiveState"), host.show("Result")) == ("inactive", "success")
    assert "ends, told to by SIGTERM" in host.journal()
    assert "Traceback" not in host.journal()
