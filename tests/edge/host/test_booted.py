"""Health, restarts and inhibitors against a real systemd with its login service."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.host.machine.checks import Checks
from reconciler.host.machine.inhibitors import Places, observe_inhibitors
from reconciler.host.machine.restarts import Restarts
from reconciler.planning.gates.types import Inhibitor
from reconciler.planning.runs.hooks_and_health import CheckResult, newly_failing
from reconciler.policy.documents import Health
from tests.labs.machine import Machine
from tests.labs.programs import Programs


@dataclass(frozen=True)
class Booted:
    """A booted machine, and programs that enter it, for what the product starts here."""

    machine: Machine
    programs: Programs

    @property
    def environment(self) -> dict[str, str]:
        return self.programs.environment

    def run(self, *argv: str, stdin: str = "") -> str:
        return self.machine.run(*argv, stdin=stdin)

    def put_unit(self, name: str, text: str) -> None:
        self.machine.put_unit(name, text)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """One system for all: its tests use units of different names."""
    programs = Programs(tmp_path_factory.mktemp("booted") / "programs")
    with Machine.booted({}) as machine:
        for name in ("systemctl", "loginctl", "busctl"):
            programs.put(name, f'exec {shlex.join((*machine.entering, name))} "$@"')
        machine.run("systemctl", "start", "systemd-logind.service")
        yield Booted(machine, programs)


@pytest.fixture
def checks(system: Booted, tmp_path: Path) -> Checks:
    return Checks(system.environment, systemd=tmp_path)


def seen(system: Booted, folder: Path) -> tuple[Inhibitor, ...]:
    return observe_inhibitors(
        system.environment, Places(power=folder / "none", proc=Path("/proc"), systemd=folder)
    )


def test_a_service_that_breaks_is_newly_failing(system: Booted, checks: Checks, tmp_path: Path) -> None:
    system.put_unit("old.service", "[Service]\nType=oneshot\nExecStart=false\n")
    system.put_unit("shop.service", "[Service]\nExecStart=sleep infinity\n")
    system.run("systemctl", "start", "shop.service")
    system.run("sh", "-c", "systemctl start old.service || :")
    wanted = Health(units=("shop", "old.service", "no-such-unit"))

    before = (*checks.check(wanted), *checks.failed_units())
    assert before == (
        CheckResult("unit shop.service", ok=True, detail="active"),
        CheckResult("unit old.service", ok=False, detail="failed"),
        CheckResult("unit no-such-unit.service", ok=False, detail="inactive"),
        CheckResult("unit old.service", ok=False, detail="failed"),
    )

    system.put_unit("shop.service", "[Service]\nExecStart=false\nType=oneshot\n")
    (restart,) = Restarts(system.environment, systemd=tmp_path).restart(["shop.service"])
    assert (restart.state, restart.detail) == (
        "failed",
        "Job for shop.service failed because the control process exited with error code.",
    )
    after = (*checks.check(wanted), *checks.failed_units())
    assert newly_failing(before, after) == (CheckResult("unit shop.service", ok=False, detail="failed"),)


def test_services_are_restarted(system: Booted, tmp_path: Path) -> None:
    system.put_unit("restartable.service", "[Service]\nExecStart=sleep infinity\n")
    system.run("systemctl", "start", "restartable.service")
    ask = ("systemctl", "show", "--property=MainPID", "restartable.service")
    before = system.run(*ask)
    done, missing = Restarts(system.environment, systemd=tmp_path).restart(
        ["restartable.service", "no-such-unit.service"]
    )
    assert (done.state, missing.state) == ("restarted", "failed")
    assert missing.detail == ("Failed to restart no-such-unit.service: Unit no-such-unit.service not found.")
    assert system.run(*ask) != before


def test_a_lock_inhibits_while_it_is_held(system: Booted, tmp_path: Path) -> None:
    for name, lock in (
        ("blocks", "--what=shutdown:idle --mode=block"),
        ("delays", "--what=sleep --mode=delay"),
    ):
        # The command below the lock says when the service counts as started: the lock is taken then.
        system.put_unit(
            f"{name}.service",
            "[Service]\nType=notify\nNotifyAccess=all\n"
            f"ExecStart=systemd-inhibit {lock} --who='some installer' --why='writes the disk'"
            " sh -c 'systemd-notify --ready; exec sleep infinity'\n",
        )
        system.run("systemctl", "start", f"{name}.service")
    held = seen(system, tmp_path)
    system.run("systemctl", "stop", "blocks.service", "delays.service")
    assert held == (Inhibitor("inhibitors", "some installer, which blocks shutdown: writes the disk"),)
    assert seen(system, tmp_path) == ()


def test_a_person_inhibits_while_logged_in_and_a_job_does_not(system: Booted, tmp_path: Path) -> None:
    for name, session in (("person", "class=user type=tty"), ("job", "class=background")):
        pam = f"account required pam_permit.so\nsession required pam_systemd.so {session}\n"
        system.run("tee", f"/etc/pam.d/{name}", stdin=pam)
        # The program is executed when the session is open, and says so by a pipe. Started does not mean that:
        # the process is in its session then, no more in its unit, which is why no type of unit can tell.
        system.run("mkfifo", "--mode=666", f"/run/{name}")
        system.put_unit(
            f"{name}.service",
            f"[Service]\nUser=nobody\nPAMName={name}\n"
            f"ExecStart=sh -c 'echo open >/run/{name}; exec sleep infinity'\n",
        )
        system.run("systemctl", "start", f"{name}.service")
        assert system.run("cat", f"/run/{name}") == "open\n"
    sessions = system.run("loginctl", "list-sessions", "--no-legend").splitlines()
    found = seen(system, tmp_path)
    system.run("systemctl", "stop", "person.service", "job.service")
    assert len(sessions) == 2
    assert found == (Inhibitor("sessions", "the session of nobody on person"),)


def test_without_its_login_service_nobody_is_asked(system: Booted, tmp_path: Path) -> None:
    system.run("systemctl", "stop", "systemd-logind.service")
    assert seen(system, tmp_path) == ()
    system.run("systemctl", "start", "systemd-logind.service")
