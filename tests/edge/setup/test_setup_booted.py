"""A host's life with setup, on a booted machine: set up, tick, adjust, disable, clean up, all as before."""

import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.units import conftest as units
from tests.edge.units.conftest import Host
from tests.labs.apt import Deb
from tests.labs.machine import INSIDE, LAB, Machine

TIMER, BOOT, TICK = "patchledger.timer", "patchledger-boot.service", "patchledger.service"
KEYS = "/etc/keys"
ANSWERS = {
    "host": "web-01",
    "labels": {"env": "test"},
    "policy": {"remote": "ssh://root@127.0.0.1:2222/srv/policy"},
    "reports": {"remote": "ssh://root@127.0.0.1:2222/srv/reports.git"},
    "git": {"known_hosts": f"{KEYS}/known_hosts", "identity": f"{KEYS}/identity"},
    "notifiers": {"ops": {"address": f"json://ops:{units.PASSWORD}@127.0.0.1:8098/"}},
}
SET_UP = f"""
systemctl mask packagekit.service
systemctl enable --now apt-daily.timer
rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*
mkdir -p {KEYS} /srv/policy/policies /usr/local/bin
chmod 700 {KEYS}
install -m 755 {LAB}/patchledger {units.PROGRAM}
install -m 600 {LAB}/answers.yaml {KEYS}/answers.yaml
cp {LAB}/sshd-lab.service {LAB}/archive.service {LAB}/catcher.service /etc/systemd/system/
ssh-keygen -q -t ed25519 -N '' -f {LAB}/hostkey
ssh-keygen -q -t ed25519 -N '' -f {LAB}/identity
install -m 600 {LAB}/identity {KEYS}/identity
echo "[127.0.0.1]:2222 $(cut -d' ' -f1,2 {LAB}/hostkey.pub)" >{KEYS}/known_hosts
chmod 644 {LAB}/identity.pub
git init -q --bare -b main /srv/reports.git
git init -q -b main /srv/policy
printf 'kind: Policy\\nname: base\\naction: plan\\nrefresh: {{every: 1h}}\\n' >/srv/policy/policies/base.yaml
git -C /srv/policy add -A
git -C /srv/policy -c user.name=Ada -c user.email=ada@example.org commit -q -m policy
systemctl daemon-reload
systemctl enable --now sshd-lab.service archive.service catcher.service
systemctl start systemd-logind.service
rm -rf /var/lib/patchledger /var/log/patchledger # of whoever tries patchledger on this machine
dpkg -i {LAB}/repository/shop_1.0_all.deb
apt-get -q update
systemd-creds setup
"""
APPLIES = """\
kind: Policy
name: base
action: apply
schedule: [always]
refresh: {every: 1h, before_apply: 1h}
reboot: {when: always, notice: 0m}
notify: [{to: ops, on: [applied, reboot, failed]}]
"""
ALWAYS = """\
kind: Schedule
name: always
timezone: UTC
windows:
  - {start: "*-*-* *:00", duration: 6h}
"""
PLACES = "/etc /var/lib /var/log /usr/local /srv"
# What others write to by themselves, or what a look at packages leaves by any program.
FOREIGN = ("/var/log/journal", "/var/lib/apt", "/var/lib/dpkg", "/srv/reports.git")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    libraries = Path(sysconfig.get_path("purelib"))
    files = {"etc/apt/sources.list": "deb [trusted=yes] http://127.0.0.1:8099/ ./\n"}
    with Machine.booted(files, shown={units.LIBRARIES: libraries}) as machine:
        host = Host(machine)
        host.publish(Deb("shop", "1.0"))
        host.publish(Deb("shop", "1.1"))
        units.fill(machine)
        (machine.lab / "answers.yaml").write_text(json.dumps(ANSWERS))
        machine.run("sh", "-ec", SET_UP)
        machine.run(machine.python, "-m", "venv", "--without-pip", "/usr/local/lib/patchledger")
        place = machine.run(
            units.PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
        ).strip()
        machine.run("tee", f"{place}/patchledger.pth", stdin=f"{INSIDE}\n{units.LIBRARIES}\n")
        yield host


def snapshot(host: Host) -> dict[str, str]:
    """Return everything on the machine but what others write: type, mode and owner, in /etc content, too."""
    prune = " -o ".join(f"-path {path}" for path in FOREIGN)
    shown = host.run(
        "env", "--chdir=/", "sh", "-c", rf"find {PLACES} \( {prune} \) -prune -o -printf '%p\t%y %m %U\0'"
    )
    found = dict(entry.split("\t") for entry in shown.split("\0")[:-1])
    sums = host.run("env", "--chdir=/", "sh", "-c", "find /etc -type f -exec sha256sum {} +")
    return found | {line[66:]: f"{found.get(line[66:])} {line[:64]}" for line in sums.splitlines()}


def notices(host: Host) -> list[str]:
    file = host.machine.lab / "notices"
    return [json.loads(line)["title"] for line in file.read_text().splitlines()] if file.exists() else []


def hurry(host: Host) -> str:
    """Let the timer elapse once, in a second; return the folder that says so until the next boot."""
    folder = f"/run/systemd/system/{TIMER}.d"
    quick = "[Timer]\nOnCalendar=\nOnActiveSec=1\nRandomizedDelaySec=0\nAccuracySec=10ms\n"
    host.run("mkdir", "-p", folder)
    host.run("tee", f"{folder}/quick.conf", stdin=quick)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", TIMER)
    return folder


def fires(host: Host) -> str:
    """Let the timer elapse now, and wait until the tick that it starts has ended."""
    # From here on, and not from when somebody looks: on a busy machine the tick has ended by then.
    told = host.run("journalctl", "--lines=0", "--show-cursor", "--quiet")
    cursor = told.strip().removeprefix("-- cursor: ")
    folder = hurry(host)
    follow = f"journalctl --follow --no-tail --after-cursor='{cursor}' --output=cat --unit={TICK}"
    said = host.run("timeout", "60", "sh", "-c", f"{follow} | grep --max-count=1 '^Finished'")
    host.run("rm", "-r", folder)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", TIMER)
    return said


def test_a_life_with_setup(host: Host) -> None:
    before = snapshot(host)
    shown = host.patchledger("setup", "--answers", f"{KEYS}/answers.yaml", "--dry-run")
    assert "park apt-daily, packagekit-offline (given back by cleanup)" in shown
    assert "encrypt the credential notifier-ops" in shown
    assert snapshot(host) == before

    said = host.patchledger("setup", "--answers", f"{KEYS}/answers.yaml", "--yes")
    assert "web-01 ticks every 15 minutes" in said
    assert "shop" in said, "the first plan"
    tested = "[patchledger] web-01: test of the notifier ops"
    assert notices(host) == [f"{tested}: failed", f"{tested}: recovered"]
    for unit in (TIMER, BOOT):
        assert host.run("systemctl", "is-enabled", unit) == "enabled\n"
    assert host.show(TIMER, "ActiveState") == "active"
    assert host.show(TICK, "ExecMainStartTimestamp") == "", "nothing starts by itself when it is enabled"
    assert host.run("systemctl", "is-enabled", "apt-daily.timer", check=False) == "masked\n"
    written = [f"/etc/systemd/system/{unit}" for unit in (TIMER, BOOT, TICK)]
    assert host.run("systemd-analyze", "verify", "--man=no", *written) == ""
    places = (*PLACES.split(), "/run", "/tmp")  # noqa: S108 - the machine's
    found = host.run("env", "--chdir=/", "grep", "-rlsF", units.PASSWORD, *places, check=False)
    assert found == f"{KEYS}/answers.yaml\n"
    assert units.PASSWORD not in said + host.run("journalctl", "--no-pager", "--output=export")

    again = host.patchledger("setup", "--answers", f"{KEYS}/answers.yaml", "--yes", "--no-plan")
    assert "nothing to do: this host is set up as answered" in again

    assert "Finished" in fires(host)
    assert host.show(TICK, "Result") == "success", host.journal(TICK)
    assert "web-01: " in host.reports()

    host.patchledger("adjust", "--yes", "--tick", "30m", "--label", "env=prod", "--no-plan")
    assert "OnCalendar=*:0/30" in host.run("systemctl", "cat", TIMER)
    assert "env: prod" in host.run("cat", "/etc/patchledger/config.yaml")
    assert len(notices(host)) == 2, "the address, which was decrypted, is the one that was tested"

    off = host.patchledger("disable")
    assert "other updaters stay parked" in off
    assert host.run("systemctl", "is-enabled", TIMER, check=False) == "disabled\n"
    assert host.show(TIMER, "ActiveState") == "inactive"
    assert "patchledger enable" in host.patchledger("adjust", "--yes", "--tick", "15m", "--no-plan")
    assert host.show(TIMER, "ActiveState") == "inactive", "what is disabled stays so"
    host.patchledger("enable")
    assert host.show(TIMER, "ActiveState") == "active"

    host.run("install", "-D", "-m", "755", "/bin/true", "/etc/patchledger/hooks/pre.d/10-shop")
    gone = host.patchledger("cleanup", "--yes")
    assert "left: /etc/patchledger/hooks" in gone
    assert host.run("systemctl", "is-enabled", "apt-daily.timer") == "enabled\n"
    assert host.show("apt-daily.timer", "ActiveState") == "active"
    after = snapshot(host)
    left = {path for path in after if before.get(path) != after[path]}
    assert left == {
        "/etc/patchledger",
        "/etc/patchledger/hooks",
        "/etc/patchledger/hooks/pre.d",
        "/etc/patchledger/hooks/pre.d/10-shop",
    }
    assert set(before) - set(after) == set()
    assert host.run("systemctl", "list-units", "--all", "--no-legend", "patchledger*") == ""
    host.run("rm", "-r", "/etc/patchledger")
    assert snapshot(host) == before


def test_from_setup_to_the_proof_of_a_reboot(host: Host) -> None:
    before = snapshot(host)
    host.patchledger("setup", "--answers", f"{KEYS}/answers.yaml", "--yes", "--no-plan")
    fires(host)
    assert host.version("shop") == "1.0", "the policy wants a plan only"
    host.run("tee", "/srv/policy/policies/base.yaml", stdin=APPLIES)
    host.run("mkdir", "/srv/policy/schedules")
    host.run("tee", "/srv/policy/schedules/always.yaml", stdin=ALWAYS)
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    host.run("git", "-C", "/srv/policy", "add", "-A")
    host.run("git", "-C", "/srv/policy", *author, "commit", "-q", "-m", "open a window")
    boot = host.run("cat", "/proc/sys/kernel/random/boot_id")
    hurry(host)
    host.machine.wait_until_booted()
    assert host.run("cat", "/proc/sys/kernel/random/boot_id") != boot
    host.run("systemctl", "start", BOOT)  # waits for the one at work
    assert host.version("shop") == "1.1"
    reports = host.reports()
    assert "rebooted" in reports.splitlines()[0], host.journal(BOOT)
    assert host.show(TIMER, "ActiveState") == "active"
    titles = notices(host)
    assert any("rebooted" in title for title in titles), titles
    host.patchledger("cleanup", "--yes")
    after = snapshot(host)
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert {path for path in changed if "patchledger" in path} == set()


def test_a_file_system_that_cannot_be_written_is_one_line(host: Host) -> None:
    setup = f"{units.PROGRAM} setup --answers {KEYS}/answers.yaml --yes"
    read_only = f"mount --bind /etc /etc && mount -o remount,bind,ro /etc && {setup}"
    said = host.run("env", "--chdir=/", "unshare", "--mount", "sh", "-c", read_only, check=False)
    assert said.splitlines() == [
        "patchledger: /etc/patchledger: Read-only file system",
        (
            "  hint: run it as root on a writable file system, "
            "or give --config and --unit-dir in a folder of your own"
        ),
    ]


@pytest.mark.parametrize("verb", ["setup --yes", "adjust --yes", "enable", "disable", "cleanup --yes"])
def test_only_root_may(host: Host, verb: str) -> None:
    # The interpreter may lie where nobody but root looks.
    looks = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    nobody = ("env", "--chdir=/", "setpriv", "--reuid=nobody", *looks)
    said = host.run(*nobody, str(units.PROGRAM), *verb.split(), check=False)
    assert "only root may" in said
    assert said.splitlines()[1:] == ["  hint: run it as root"]
