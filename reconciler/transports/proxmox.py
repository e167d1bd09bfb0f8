"""Guests of Proxmox VE: its configuration files, and ``pct exec``.

``/etc/pve`` is a file system of the cluster (pmxcfs(8)): ``lxc`` and ``qemu-server`` are this node's folders
with a file ``ID.conf`` for each guest, ``nodes/NODE/`` has those of every node, and only the folder says
whose a guest is. Without a quorum it can be read and not written.
"""

import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from reconciler.planning.facts.guests import (
    NEEDS_ITS_OWN,
    FrozenGuest,
    Guest,
    GuestKind,
    Inspected,
    Running,
    State,
    Stopped,
    Template,
    Unsupported,
)
from reconciler.planning.text.untrusted import one_line
from reconciler.transports.kernel import Kernel, lxc_groups
from reconciler.transports.proxmox_config import GuestConfig, parse

CLUSTER = Path("/etc/pve")
LXC = "/var/lib/lxc"

_FILE = re.compile(r"([1-9][0-9]{2,8})\.conf", re.ASCII)
_MOST = 1024 * 1024
_CONTAINERS, _MACHINES = "lxc", "qemu-server"


def entering(guest: Guest, inner: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs ``inner`` in a guest (pct(1)); it ends with its exit code."""
    return ("pct", "exec", guest.id, "--", *inner)


def restarting(guest: Guest, seconds: int) -> tuple[str, ...]:
    """Return the command that restarts a guest, which has so many seconds to shut down."""
    return ("pct", "reboot", guest.id, "--timeout", str(seconds))


def inspect(cluster: Path = CLUSTER, kernel: Kernel | None = None) -> Inspected:
    """Return this node's guests, by their configuration files and what the kernel shows.

    Args:
        cluster: Where the cluster's file system is.
        kernel: What is asked whether they run.
    """
    kernel = kernel or Kernel()
    try:
        containers, machines = _files(cluster / _CONTAINERS), _files(cluster / _MACHINES)
        if containers is None:
            return Inspected(problem=f"{cluster} has no folder lxc: pve-cluster.service does not run")
        open_sockets = kernel.command_sockets()
        elsewhere = dict(_of_other_nodes(cluster))
        is_writable = stat.S_IWUSR & (cluster / _CONTAINERS).stat().st_mode
    except OSError as error:
        return Inspected(problem=f"{error.filename or cluster} cannot be read: {error.strerror}")
    found = [_container(path, number, kernel, open_sockets) for number, path in containers.items()]
    found += [_machine(path, number) for number, path in (machines or {}).items()]
    note = () if is_writable else (f"{cluster} cannot be written: this node seems to have no quorum",)
    return Inspected(tuple(guest for guest in found if guest is not None), elsewhere, notes=note)


def is_number(name: str) -> bool:
    """Tell whether a name is one that a guest of Proxmox has as its number."""
    return _FILE.fullmatch(f"{name}.conf") is not None


def _files(folder: Path) -> dict[str, Path] | None:
    """Return the configuration files of a folder by their guest's number; ``None`` without it."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return None
    matches = filter(None, map(_FILE.fullmatch, names))
    return {match[1]: folder / match[0] for match in matches}


def _of_other_nodes(cluster: Path) -> Iterator[tuple[str, str]]:
    try:
        nodes = sorted((cluster / "nodes").iterdir())
    except FileNotFoundError:
        return
    own = {(cluster / kind).resolve() for kind in (_CONTAINERS, _MACHINES)}
    for node in nodes:
        for folder in (node / _CONTAINERS, node / _MACHINES):
            if folder.resolve() not in own:
                yield from ((number, one_line(node.name, 63)) for number in _files(folder) or {})


def _container(path: Path, number: str, kernel: Kernel, open_sockets: frozenset[str]) -> Guest | None:
    read = _read(path)
    if read is None:
        return None
    if isinstance(read, Unsupported):
        return Guest(number, GuestKind.PROXMOX, f"CT{number}", read)
    name = read.settings.get("hostname", f"CT{number}")
    state: State = Running() if f"{LXC}/{number}" in open_sockets else Stopped()
    if isinstance(state, Running) and kernel.is_frozen(*lxc_groups(number)):
        state = FrozenGuest()
    if read.is_application:
        state = Unsupported(f"it is an application container: {NEEDS_ITS_OWN}")
    volume = read.settings.get("rootfs", "").partition(",")[0]
    return Guest(
        number, GuestKind.PROXMOX, name, read.held or state, read.tags, notes=read.notes, volume=volume
    )


def _machine(path: Path, number: str) -> Guest | None:
    read = _read(path)
    if read is None:
        return None
    if isinstance(read, Unsupported):
        return Guest(number, GuestKind.PROXMOX, f"VM{number}", read)
    state = read.held if isinstance(read.held, Template) else None
    own = Unsupported(f"it is a virtual machine: {NEEDS_ITS_OWN}")
    name = read.settings.get("name", f"VM{number}")
    return Guest(number, GuestKind.PROXMOX, name, state or own, read.tags, notes=read.notes)


def _read(path: Path) -> GuestConfig | Unsupported | None:
    """Read a configuration, or say why not; ``None`` where it has gone since it was listed."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unsupported(f"its configuration cannot be read: {error.strerror}")
    if len(data) > _MOST:
        return Unsupported("its configuration is larger than 1 MiB")
    return parse(data.decode("utf-8", "replace"))
