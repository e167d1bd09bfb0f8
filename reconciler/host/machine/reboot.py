"""Ask for a reboot, and know whether one was done."""

from datetime import timedelta
from math import ceil
from pathlib import Path

from reconciler import process
from reconciler.errors import Stalled
from reconciler.host.machine.identity import boot_id
from reconciler.reconcile.ports.where import THIS_MACHINE

BOOTED = Path("/run/systemd/system")
"""A folder that is there exactly where systemd is the running init (sd_booted(3))."""

_LONGEST_ANSWER = 60.0  # seconds; systemd's shutdown(8) returns at once


def request_reboot(*, notice: timedelta, message: str, booted: Path = BOOTED) -> None:
    """Ask for a reboot and warn everybody who is logged in; returns before it happens.

    ``shutdown -r`` of systemd: it refuses new logins in the last five minutes, and a person may still call it
    off with ``shutdown -c``. A second request replaces the first.

    Args:
        notice: Until it happens; in whole minutes, rounded up. None happens at once.
        message: For the warning and the journal.
        booted: The folder that tells whether systemd runs.

    Raises:
        Stalled: There is no init to restart (a container without one), or it refuses.
    """
    if not booted.is_dir():
        raise Stalled("this machine cannot be rebooted from here: systemd is not its init")
    minutes = max(0, ceil(notice / timedelta(minutes=1)))
    when = f"+{minutes}" if minutes else "now"
    done = process.run(["shutdown", "-r", when, message], timeout=_LONGEST_ANSWER)
    if done.returncode != 0:
        said = " ".join(done.error_text.split()) or f"it ended with {done.returncode}"
        raise Stalled(f"shutdown does not reboot this machine: {said}")


class SystemPower:
    """The power of the running system."""

    root = "/"
    is_awaited = False
    where = THIS_MACHINE

    def boot_id(self) -> str:
        """Return the kernel's id of this boot."""
        return boot_id()

    def reboot(self, notice: timedelta, message: str) -> None:
        """Ask for a reboot; see :func:`request_reboot`."""
        request_reboot(notice=notice, message=message)
