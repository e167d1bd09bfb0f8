"""What the kernel shows of containers: open command sockets, and control groups that stand still.

``/proc/net/unix`` (unix(7)) names the abstract socket on which each running container of LXC takes commands,
``@PATH/NAME/command``. Anybody may open one of that name, so it says that a container seems to run: whoever
enters it has to find out where he is. ``cgroup.events`` (kernel documentation, cgroup-v2) says whether the
processes of a group stand still; groups of version 1 have ``freezer.state``.
"""

import re
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from reconciler.records import dataclass

_FIELDS_BEFORE_PATH = 7


@dataclass(frozen=True, slots=True)
class Kernel:
    """Where it shows that.

    Attributes:
        sockets: Its list of Unix sockets.
        cgroups: Where control groups are mounted.
    """

    sockets: Path = Path("/proc/net/unix")
    cgroups: Path = field(default=Path("/sys/fs/cgroup"))

    def command_sockets(self) -> frozenset[str]:
        """Return ``PATH/NAME`` of each container of LXC that takes commands.

        Raises:
            OSError: The list cannot be read.
        """
        return command_sockets(self.sockets.read_text(encoding="utf-8", errors="surrogateescape"))

    def is_frozen(self, *groups: str) -> bool:
        """Tell whether one of these control groups stands still.

        Args:
            groups: Below the top; those that are not there say nothing.
        """
        return any(_stands_still(folder) for folder in self._folders(groups))

    def _folders(self, groups: tuple[str, ...]) -> Iterator[Path]:
        # Beside the only tree of version 2: that of a hybrid machine, and the freezer of version 1.
        for top in (self.cgroups, self.cgroups / "unified", self.cgroups / "freezer"):
            yield from (top / group for group in groups)


def command_sockets(text: str) -> frozenset[str]:
    """Return ``PATH/NAME`` of each container of LXC in the kernel's list of Unix sockets."""
    found = set()
    for line in text.splitlines():
        columns = line.split(None, _FIELDS_BEFORE_PATH)
        path = columns[_FIELDS_BEFORE_PATH] if len(columns) > _FIELDS_BEFORE_PATH else ""
        if path.startswith("@/") and path.endswith("/command"):
            found.add(path[1:].removesuffix("/command"))
    return frozenset(found)


def lxc_groups(name: str) -> tuple[str, ...]:
    """Return the control groups in which a container of LXC may be: by Proxmox's naming and by LXC's own."""
    return (f"lxc/{name}", f"lxc.payload.{name}", f"lxc.payload/{name}")


def machine_groups(name: str) -> tuple[str, ...]:
    """Return the control groups in which a container of systemd-nspawn may be.

    Of machinectl(1), which takes a name as it is, and of whoever starts systemd-nspawn by himself.
    """
    units = (f"systemd-nspawn@{name}.service", f"machine-{scope_of(name)}.scope")
    return tuple(f"machine.slice/{unit}" for unit in units)


def scope_of(machine: str) -> str:
    """Return a machine's name as it stands in the name of its unit (systemd-escape(1))."""
    return re.sub(
        r"[^A-Za-z0-9:_.]", lambda char: "".join(rf"\x{byte:02x}" for byte in char[0].encode()), machine
    )


def _stands_still(group: Path) -> bool:
    return (
        "frozen 1" in _lines(group / "cgroup.events")
        or _lines(group / "cgroup.freeze") == ["1"]
        or any(state != "THAWED" for state in _lines(group / "freezer.state"))
    )


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
