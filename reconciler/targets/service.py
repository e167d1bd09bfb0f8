"""A package transaction as a systemd service of its own.

As our child it would be in the control group of the unit that we run in, and under its sandbox: a package
that restarts this unit would have systemd kill the very package manager that installs it. A scope would leave
the control group, but keep our sandbox. So systemd itself starts it:

- ``Type=oneshot``: it is "activating" until it has ended. No time limit, at the start or when stopped.
- **Nothing stops it.** ``systemctl stop`` and a shutdown send ``KillSignal``, which here is SIGCONT and does
  nothing to a process that is not stopped, and then wait: no SIGKILL follows (``SendSIGKILL=no``,
  ``TimeoutStopSec=infinity``). So a shutdown waits for the package manager; only systemd's own limit of a
  shutdown (30 minutes as delivered) or a forced one end it. ``KillMode=none`` would look simpler, but is
  deprecated, and no shutdown waits for it: the package manager would be killed when all else is down.
- ``KillMode=process``: what a maintainer script started besides lives on when the script has ended, and
  nobody waits for it.
- At a shutdown it ends before the network, remote file systems and the message bus go (``After=``), and a
  change of target (``systemctl isolate``) leaves it alone.
- ``SuccessExitStatus=10 11``: nothing to do, and reboot needed, are no failures.
- ``IgnoreSIGPIPE=no``: what runs has the signals that it would have in a shell.
- ``--collect``: neither success nor failure leaves a unit behind. What came of it is in the folder.

Script, arguments and environment do not pass through the unit, where systemd would expand ``$`` and ``%`` and
everybody could read them: they are an order (:mod:`reconciler.launch`) on standard input, which ``--pipe``
hands to the service as it is, and so are the files for its output. When ``systemd-run`` ends before the
service does, because the message bus was restarted for instance, the service goes on, and we wait for its
process.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.targets.local import LocalTarget, Starter, as_child

BOOTED = Path("/run/systemd/system")
"""A folder that is there exactly where systemd is the running init (sd_booted(3))."""

_PROPERTIES = (
    "Type=oneshot",
    "TimeoutStartSec=infinity",
    "TimeoutStopSec=infinity",
    "KillMode=process",
    "KillSignal=SIGCONT",
    "SendSIGKILL=no",
    "IgnoreOnIsolate=yes",
    "IgnoreSIGPIPE=no",
    "SuccessExitStatus=10 11",
    "After=network.target remote-fs.target dbus.service",
)
_LONGEST = 160  # of a unit's name, which ends at 255 bytes


def local_target(environment: Mapping[str, str]) -> LocalTarget:
    """Return this machine as a target whose transactions survive whatever they do to us.

    Args:
        environment: As for :class:`reconciler.targets.local.LocalTarget`.
    """
    return LocalTarget(environment, starter=starter())


def starter(booted: Path = BOOTED) -> Starter:
    """Return how a transaction is started here: as a service where systemd obeys us, else as a child.

    Only root may tell the system's manager to start something; another user's transactions are of roots of
    their own, which restart nothing here.
    """
    return as_service if booted.is_dir() and os.geteuid() == 0 else as_child


def as_service(argv: Sequence[str], folder: Path) -> Sequence[str]:
    """Start it as a transient service named by :func:`unit_name`."""
    options = [option for one in _PROPERTIES for option in ("--property", one)]
    return (
        "systemd-run",
        "--quiet",
        "--pipe",
        "--wait",
        "--collect",
        f"--unit={unit_name(folder)}",
        "--description=patchledger: a package transaction",
        *options,
        "--",
        *(argument.replace("$", "$$") for argument in argv),
    )


def unit_name(folder: Path) -> str:
    """Return the name of the service that runs in the folder of an execution.

    Equal for the same folder and different for others; readable by the names of its last two parts, which
    are a run and a step of it.
    """
    path = folder.absolute()
    shown = re.sub(r"[^A-Za-z0-9_.-]", "-", f"{path.parent.name}-{path.name}")[:_LONGEST]
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    return f"patchledger-{shown}-{digest}.service"
