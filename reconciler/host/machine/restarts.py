"""Services that still run replaced files: found by needrestart, restarted one by one by systemd."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler import process
from reconciler.errors import Stalled
from reconciler.host.machine.systemd import RUNTIME, Systemd, unanswered
from reconciler.planning.runs.hooks_and_health import Leftovers, Restart, parse_needrestart
from reconciler.reconcile.ports.where import THIS_MACHINE

_SCAN_PATIENCE = 300.0  # seconds; the first scan of a machine is the longest
_SCAN_LIMIT = 4 * 1024 * 1024
_RESTART_PATIENCE = 300.0  # seconds; systemd itself gives a service 90 to stop and 90 to start


class Restarts:
    """What runs replaced files on this machine, and its restarting.

    Args:
        environment: Added to what :func:`reconciler.process.run` gives a child.
        systemd: Exists where systemd runs.
        patience: Seconds that one restart may take.
    """

    where = THIS_MACHINE

    def __init__(
        self, environment: Mapping[str, str], *, systemd: Path = RUNTIME, patience: float = _RESTART_PATIENCE
    ) -> None:
        self._environment = dict(environment)
        self._systemd = Systemd(environment, systemd)
        self._patience = patience

    def leftovers(self) -> Leftovers | None:
        """Ask needrestart, which restarts nothing in this mode; ``None`` where it is not installed.

        Raises:
            Stalled: What it says is not understood.
            Transient: It failed, or did not end in time.
        """
        path = {"PATH": process.BASE_PATH, **self._environment}["PATH"]
        if shutil.which("needrestart", path=path) is None:
            return None
        # -b is for programs and never asks or restarts; -r l says so once more.
        done = process.run(
            ["needrestart", "-b", "-r", "l"], env=self._environment, timeout=_SCAN_PATIENCE, limit=_SCAN_LIMIT
        )
        if done.returncode or done.truncated:
            raise unanswered("needrestart", done)
        return parse_needrestart(done.text)

    def restart(self, services: Iterable[str]) -> tuple[Restart, ...]:
        """Restart each of ``services``, one after another, and tell what became of it; never raises."""
        return tuple(self._restart_one(service) for service in services)

    def _restart_one(self, service: str) -> Restart:
        if not self._systemd.is_running:
            return Restart(service, "failed", "systemd does not run here")
        try:
            done = self._systemd.ask(
                "systemctl", "--no-ask-password", "restart", "--", service, timeout=self._patience
            )
        except Stalled as error:
            return Restart(service, "failed", error.message)
        if done.timed_out:
            # Only our question is over. systemd has taken the job and goes on with it.
            return Restart(service, "failed", "systemd had not restarted it in time")
        if done.returncode:
            return Restart(service, "failed", _told(done))
        return Restart(service, "restarted")


def _told(done: process.Completed) -> str:
    """Return systemctl's own words; the first line says what happened, the others advise."""
    return next((line.strip() for line in done.error_text.splitlines() if line.strip()), "") or (
        f"systemctl ended with {done.returncode}"
    )
