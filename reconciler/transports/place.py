"""Where a guest is, as its hypervisor sees it: what proves, inside, that it is the one that is meant.

A guest's first process is the one of its control group that has the number 1 in a namespace right below ours
(``NSpid`` of ``/proc/PID/status``, proc_pid_status(5)); whatever runs containers inside has more numbers. Of
its root only the folder itself is looked at: below it, an absolute link of the guest's would lead to files of
the hypervisor.

When that process began, by the kernel of the hypervisor, is when the guest did: no guest can say otherwise.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from reconciler.planning.facts.guests import GuestPlace
from reconciler.records import dataclass

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
_HERE_AND_THERE = 2


@dataclass(frozen=True, slots=True)
class First:
    """The first process of a guest.

    Attributes:
        pid: Its number on the hypervisor.
        started: When it began: ticks since the hypervisor's boot, ``@`` and the id of that; another one is
            another start of the guest.
        place: Where the guest is.
    """

    pid: int
    started: str
    place: GuestPlace


def place_of(groups: Sequence[str], proc: Path = PROC, cgroups: Path = CGROUPS) -> GuestPlace | None:
    """Return the place of the guest whose processes are in one of these control groups; ``None`` of none.

    Args:
        groups: Below the top, as :func:`reconciler.transports.kernel.lxc_groups` names them.
        proc: The kernel's view of processes.
        cgroups: Where control groups are mounted.
    """
    found = first_of(groups, proc, cgroups)
    return None if found is None else found.place


def first_of(groups: Sequence[str], proc: Path = PROC, cgroups: Path = CGROUPS) -> First | None:
    """Return the first process of the guest whose processes are in one of these control groups.

    Args:
        groups: As for :func:`place_of`.
        proc: The kernel's view of processes.
        cgroups: Where control groups are mounted.
    """
    for pid in _processes(groups, cgroups):
        process = proc / pid
        try:
            if not _is_first(process):
                continue
            root = (process / "root").stat()
            namespace = str((process / "ns" / "pid").readlink())
            started = _started(process)
        except OSError:  # it has ended meanwhile
            continue
        place = GuestPlace(namespace, f"{root.st_dev}:{root.st_ino}")
        return First(int(pid), f"{started}@{_boot(proc)}", place)
    return None


def _started(process: Path) -> str:
    # proc_pid_stat(5): after the name, which may hold anything, the start time is the 20th word.
    fields = (process / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""  # noqa: PLR2004 - (the same)


def _boot(proc: Path) -> str:
    try:
        return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _processes(groups: Sequence[str], cgroups: Path) -> Iterator[str]:
    for group in groups:
        for top in (cgroups, cgroups / "unified"):
            for folder, _, files in os.walk(top / group):
                if "cgroup.procs" in files:
                    try:
                        yield from (Path(folder) / "cgroup.procs").read_text(encoding="ascii").split()
                    except OSError:  # the group has gone meanwhile
                        continue


def _is_first(process: Path) -> bool:
    for line in (process / "status").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("NSpid:"):
            numbers = line.split()[1:]
            return len(numbers) == _HERE_AND_THERE and numbers[-1] == "1"
    return False
