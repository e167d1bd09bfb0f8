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
  change of target (``systemctl isolate``) leaves it alone. What works in a guest ends before whatever stops
  guests is stopped as well: a unit that is named and not there does no harm, one that stops guests and is not
  named ends the work at once.
- ``SuccessExitStatus=10 11``: nothing to do, and reboot needed, are no failures.
- ``IgnoreSIGPIPE=no``: what runs has the signals that it would have in a shell.
- ``--collect``: neither success nor failure leaves a unit behind. What came of it is in the folder.

What only asks, in a guest, is a service too: the sandbox of our unit lets nobody enter a guest, and where
the guest stands still, whoever waits for an answer in there is ended by nothing else (``RuntimeMaxSec=``).

Script, arguments and environment do not pass through the unit, where systemd would expand ``$`` and ``%`` and
everybody could read them: they are an order (:mod:`reconciler.launch`) on standard input, which ``--pipe``
hands to the service as it is, and so are the files for its output. When ``systemd-run`` ends before the
service does, because the message bus was restarted for instance, the service goes on, and we wait for its
process.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from reconciler.targets.local import LocalTarget, Starter, as_child

BOOTED = Path("/run/systemd/system")
"""A folder that is there exactly where systemd is the running init (sd_booted(3))."""

Asking = Callable[[Sequence[str], float], Sequence[str]]
"""Turns a command that only asks, and the seconds that it has, into the command that starts it."""

_ORDERED = ("network.target", "remote-fs.target", "dbus.service")
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
    return as_service_before(argv, folder, ())


def as_service_before(argv: Sequence[str], folder: Path, after: Iterable[str]) -> Sequence[str]:
    """Start it as :func:`as_service` does, so that a shutdown has it end before it stops certain units.

    Args:
        argv: What is started.
        folder: Of its execution.
        after: These units.
    """
    ordered = " ".join(dict.fromkeys((*_ORDERED, *after)))
    properties = (*_PROPERTIES, f"After={ordered}")
    return _transient(argv, unit_name(folder), "a package transaction", properties)


def guest_starter(after: Sequence[str], booted: Path = BOOTED) -> Starter:
    """Return how a transaction in a guest is started here, as :func:`starter` does for this machine.

    Args:
        after: The units that stop the guest.
        booted: As for :func:`starter`.
    """
    return partial(as_service_before, after=tuple(after)) if starter(booted) is as_service else as_child


def asking(booted: Path = BOOTED) -> Asking:
    """Return how a question that needs more than our sandbox allows is started here."""
    return as_asking if starter(booted) is as_service else _as_it_is


def as_asking(argv: Sequence[str], seconds: float) -> Sequence[str]:
    """Start a question as a transient service, which systemd ends when its time is over."""
    properties = (f"RuntimeMaxSec={seconds:.0f}", "IgnoreSIGPIPE=no")
    unit = f"patchledger-asking-{os.urandom(8).hex()}.service"
    return _transient(argv, unit, "a question", properties)


def _as_it_is(argv: Sequence[str], _seconds: float) -> Sequence[str]:
    return argv


def _transient(argv: Sequence[str], unit: str, what: str, properties: Sequence[str]) -> Sequence[str]:
    return (
        "systemd-run",
        "--quiet",
        "--pipe",
        "--wait",
        "--collect",
        f"--unit={unit}",
        f"--description=patchledger: {what}",
        *(option for one in properties for option in ("--property", one)),
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
