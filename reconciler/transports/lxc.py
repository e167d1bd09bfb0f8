"""Containers of LXC that nothing else manages: their folders, and ``lxc-attach``."""

from collections.abc import Sequence
from pathlib import Path

from reconciler.planning.facts.guests import FrozenGuest, Guest, GuestKind, Inspected, Running, State, Stopped
from reconciler.policy.values import suggested_id
from reconciler.transports.kernel import Kernel, lxc_groups
from reconciler.transports.proxmox import CLUSTER, LXC, is_number


def entering(guest: Guest, inner: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs ``inner`` in a guest (lxc-attach(1)); it ends with its exit code."""
    return ("lxc-attach", f"--name={guest.name}", "--", *inner)


def restarting(guest: Guest, seconds: int) -> tuple[str, ...]:
    """Return the command that restarts a guest (lxc-stop(1)), which has so many seconds for it."""
    return ("lxc-stop", f"--name={guest.name}", "--reboot", f"--timeout={seconds}")


def inspect(folder: Path = Path(LXC), cluster: Path = CLUSTER, kernel: Kernel | None = None) -> Inspected:
    """Return the containers that have a configuration of their own below a folder.

    Args:
        folder: Where containers are (``lxc.lxcpath`` of lxc.system.conf(5)).
        cluster: Where it is there, numbers are guests of Proxmox VE, which keeps a folder for each of them
            here, too.
        kernel: What is asked whether they run.
    """
    kernel = kernel or Kernel()
    try:
        if not folder.is_dir():
            return Inspected(problem=f"{folder} is not there: LXC is not installed")
        names = sorted(path.name for path in folder.iterdir() if (path / "config").exists())
        is_node, open_sockets = cluster.is_dir(), kernel.command_sockets()
    except OSError as error:
        return Inspected(problem=f"{error.filename or folder} cannot be read: {error.strerror}")
    own = [name for name in names if not (is_node and is_number(name))]
    return Inspected(
        tuple(
            Guest(suggested_id(name), GuestKind.LXC, name, _state(name, folder, kernel, open_sockets))
            for name in own
        )
    )


def _state(name: str, folder: Path, kernel: Kernel, open_sockets: frozenset[str]) -> State:
    if f"{folder}/{name}" not in open_sockets:
        return Stopped()
    return FrozenGuest() if kernel.is_frozen(*lxc_groups(name)) else Running()
