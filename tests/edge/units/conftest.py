"""One booted machine with patchledger's own units: git by ssh, packages by http, a notifier, hooks.

Everything that a tick talks to is in the machine itself, on its loopback.
"""

import json
import subprocess
import sysconfig
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.host.install.units import UnitInputs, unit_files
from tests.labs.apt import Deb, build_deb
from tests.labs.machine import INSIDE, LAB, Machine

LIBRARIES = "/opt/libraries"
PYTHON = "/usr/local/lib/patchledger/bin/python"
PROGRAM = Path("/usr/local/bin/patchledger")
CONFIG = Path("/etc/patchledger/config.yaml")
CREDENTIAL = Path("/etc/patchledger/credentials/ops.cred")
PASSWORD = "correct-horse-battery"
CATCHER = """\
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open("/lab/notices", "ab") as kept:
            kept.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\\n")
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8098), Handler).serve_forever()
"""
SSHD = f"""\
Port 2222
ListenAddress 127.0.0.1
HostKey {LAB}/hostkey
AuthorizedKeysFile {LAB}/identity.pub
StrictModes no
UsePAM no
PidFile none
"""
POLICY = """\
kind: Policy
name: base
action: apply
schedule: [always]
refresh: {every: 1h, before_apply: 1h}
notify: [{to: ops, on: [applied, failed]}]
---
kind: Schedule
name: always
timezone: UTC
windows:
  - {start: "*-*-* *:00", duration: 6h}
"""
# What no sandbox may keep an operator's hook from.
HOOK = """\
#!/bin/sh
set -e
echo "$PATCHLEDGER_STAGE $(id -u)" >/srv/hook
grep NoNewPrivs /proc/self/status >>/srv/hook
touch /usr/local/bin/by-hook && chmod u+s /usr/local/bin/by-hook
"""
SET_UP = f"""
systemctl mask packagekit.service apt-daily.timer apt-daily-upgrade.timer
rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*
mkdir -p /etc/patchledger/hooks/pre.d /srv /usr/local/bin
install -m 755 {LAB}/patchledger {PROGRAM}
install -m 755 {LAB}/hook /etc/patchledger/hooks/pre.d/10-shop
install -m 600 {LAB}/config.yaml {CONFIG}
cp {LAB}/*.service {LAB}/*.timer /etc/systemd/system/
ssh-keygen -q -t ed25519 -N '' -f {LAB}/hostkey
ssh-keygen -q -t ed25519 -N '' -f {LAB}/identity
install -m 600 {LAB}/identity /etc/patchledger/identity
echo "[127.0.0.1]:2222 $(cut -d' ' -f1,2 {LAB}/hostkey.pub)" >/etc/patchledger/known_hosts
chmod 644 {LAB}/identity.pub
git init -q --bare -b main /srv/reports.git
git init -q -b main /srv/policy
mkdir /srv/policy/policies
csplit -sz -f {LAB}/part {LAB}/policy '/^---$/'
mkdir /srv/policy/schedules
cp {LAB}/part00 /srv/policy/policies/base.yaml
cp {LAB}/part01 /srv/policy/schedules/always.yaml
git -C /srv/policy add -A
git -C /srv/policy -c user.name=Ada -c user.email=ada@example.org commit -q -m policy
systemctl daemon-reload
systemctl start sshd-lab.service archive.service catcher.service
dpkg -i {LAB}/repository/shop_1.0_all.deb
"""


class Host:
    """The machine, with the questions that its tests have."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def run(self, *argv: str, check: bool = True, stdin: str = "") -> str:
        return self.machine.run(*argv, check=check, stdin=stdin)

    def patchledger(self, *argv: str, check: bool = True) -> str:
        return self.run("env", "--chdir=/", str(PROGRAM), *argv, check=check)

    def show(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", f"--property={name}", "--value", unit).strip()

    def version(self, package: str) -> str:
        return self.run("dpkg-query", "-W", "-f", "${Version}", package)

    def python(self, text: str) -> str:
        """Run Python in there as the installed program would."""
        return self.run("env", "--chdir=/", PYTHON, "-B", "-c", text).strip()

    def publish(self, package: Deb) -> None:
        """Offer a package in the machine's archive."""
        repository = self.machine.lab / "repository"
        repository.mkdir(exist_ok=True)
        build_deb(package, repository)
        packages = subprocess.check_output(["apt-ftparchive", "packages", "."], cwd=repository)
        (repository / "Packages").write_bytes(packages)
        (repository / "Release").unlink(missing_ok=True)
        release = subprocess.check_output(["apt-ftparchive", "release", "."], cwd=repository)
        (repository / "Release").write_bytes(release)

    def reports(self) -> str:
        """Return the subjects of all reports."""
        return self.run("git", "-C", "/srv/reports.git", "log", "--format=%s", "hosts/web-01")

    def policy(self, line: str) -> None:
        """Add a setting to the policy."""
        self.run("tee", "--append", "/srv/policy/policies/base.yaml", stdin=f"{line}\n")
        author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        self.run("git", "-C", "/srv/policy", *author, "commit", "-q", "-a", "-m", line)

    def reboot(self) -> None:
        """Reboot, and wait until it is up again."""
        self.run("systemctl", "reboot", check=False)
        self.machine.wait_until_booted()

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")


def installed() -> UnitInputs:
    return UnitInputs(PROGRAM, CONFIG, timedelta(minutes=15), (("ops", CREDENTIAL),))


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    libraries = Path(sysconfig.get_path("purelib"))
    files = {"etc/apt/sources.list": "deb [trusted=yes] http://127.0.0.1:8099/ ./\n"}
    with Machine.booted(files, shown={LIBRARIES: libraries}) as machine:
        host = Host(machine)
        host.publish(Deb("shop", "1.0"))
        host.publish(Deb("shop", "1.1"))
        fill(machine)
        machine.run("sh", "-ec", SET_UP)
        machine.run(machine.python, "-m", "venv", "--without-pip", "/usr/local/lib/patchledger")
        place = machine.run(PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        machine.run("tee", f"{place}/patchledger.pth", stdin=f"{INSIDE}\n{LIBRARIES}\n")
        encrypt(host, f"json://ops:{PASSWORD}@127.0.0.1:8098/")
        yield host


def encrypt(host: Host, address: str) -> None:
    """Keep the notifier's address as setup does."""
    code = (
        "import sys, pathlib; from reconciler.host.install.credentials import encrypt;"
        f"encrypt('ops', sys.stdin.buffer.read(), pathlib.Path('{CREDENTIAL}'))"
    )
    host.run("env", "--chdir=/", PYTHON, "-B", "-c", code, stdin=address)


def fill(machine: Machine) -> None:
    config = {
        "host": "web-01",
        "policy": {"remote": "ssh://root@127.0.0.1:2222/srv/policy"},
        "reports": {"remote": "ssh://root@127.0.0.1:2222/srv/reports.git"},
        "git": {"known_hosts": "/etc/patchledger/known_hosts", "identity": "/etc/patchledger/identity"},
        "notifiers": {"ops": {"credential": "ops"}},
    }
    wrapper = f'#!/bin/sh\nexec {PYTHON} -B -m reconciler "$@"\n'
    (machine.lab / "patchledger").write_text(wrapper)
    (machine.lab / "hook").write_text(HOOK)
    (machine.lab / "config.yaml").write_text(json.dumps(config))
    (machine.lab / "policy").write_text(POLICY)
    (machine.lab / "sshd_config").write_text(SSHD)
    (machine.lab / "catcher.py").write_text(CATCHER)
    servers = {
        "sshd-lab": f"/usr/sbin/sshd -D -e -f {LAB}/sshd_config",
        "archive": f"{machine.python} -m http.server 8099 --bind 127.0.0.1 --directory {LAB}/repository",
        "catcher": f"{machine.python} {LAB}/catcher.py",
    }
    for name, command in servers.items():
        unit = (
            f"[Service]\nRuntimeDirectory=sshd\nRuntimeDirectoryPreserve=yes\nExecStart={command}\n"
            "[Install]\nWantedBy=multi-user.target\n"
        )
        (machine.lab / f"{name}.service").write_text(unit)
    for name, text in unit_files(installed()).items():
        (machine.lab / name).write_text(text)
