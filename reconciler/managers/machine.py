"""What every patch script says of the machine in the same words, whatever its package manager."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

from reconciler.managers.sections import Section, Sections, number, pairs, unparsed, whole
from reconciler.planning.facts.observation import (
    BootKernel,
    ClockState,
    Facts,
    Filesystem,
    Reboot,
    RebootNeed,
)
from reconciler.policy.machine_ids import machine_id_of


def read_facts(sections: Sections, machine: Mapping[str, str]) -> Facts:
    """Read what a policy may match on; ``machine`` are the pairs of ``[machine]``."""
    release = {key: _unquoted(value) for key, value in pairs(sections.need("os")).items()}
    return Facts(
        os_id=release.get("ID", ""),
        os_version=release.get("VERSION_ID", ""),
        os_name=release.get("PRETTY_NAME", ""),
        architecture=machine.get("architecture", ""),
        kernel=machine.get("kernel", ""),
        boot_id=machine.get("boot_id", ""),
        machine_id=machine_id_of(machine.get("machine_id", "")),
    )


def _unquoted(value: str) -> str:
    """Undo the shell quoting of os-release(5)."""
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def read_lock_holder(section: Section, programs: re.Pattern[str]) -> str:
    """Return who holds the package database, empty where nobody does.

    Args:
        section: ``[locks]``.
        programs: Of the manager's family: where the file system shows another device in the kernel's
            list, the inode alone could be chance, and the name decides.
    """
    for line in section.lines:
        # A program may call itself what it likes, with tabs in it.
        match line.split("\t", 3):
            case [sure, pid, program, _]:
                if sure == "same" or programs.match(program):
                    is_seen = bool(number(pid))
                    name = program or "a process"
                    return f"{name} (pid {pid})" if is_seen else "a process outside of this container"
            case _:
                raise unparsed(section, line)
    return ""


def unless_unanswered(section: Section, kernel: Reboot) -> Reboot:
    """Return what the kernel says of a reboot, where ``section`` asked for more than it and has no answer.

    That a reboot is needed, the kernel alone can say; that none is, only both together.
    """
    if kernel.need is RebootNeed.REQUIRED:
        return kernel
    return Reboot(RebootNeed.UNKNOWN, (f"[{section.name}] ended with {section.code} and no answer",))


def read_filesystems(section: Section) -> Iterator[Filesystem]:
    """Read ``[filesystems]``: blocks free for an ordinary user, blocks in all, size of a block, path."""
    for line in section.lines:
        match line.split(" ", 3):
            case [_, _, "file", _]:
                pass  # One in /boot, as read_kernels reads it.
            case [free, blocks, size, path]:
                block = whole(section, line, size)
                yield Filesystem(
                    path, whole(section, line, free) * block, whole(section, line, blocks) * block
                )
            case _:
                raise unparsed(section, line)


_BOOT_FILE = re.compile(r"/(?:vmlinuz|initrd\.img|initrd|initramfs|System\.map|config)-([0-9].*?)(?:\.img)?")


def read_kernels(section: Section) -> tuple[BootKernel, ...]:
    """Read the files of ``/boot`` in ``[filesystems]``, a line each: size, a dash, "file", and its path."""
    sizes: dict[str, int] = {}
    for line in section.lines:
        match line.split(" ", 3):
            case [size, _, "file", path]:
                named = _BOOT_FILE.fullmatch(path[path.rfind("/") :])
                # A rescue image is of no release, and stays.
                if named is not None and not named[1].startswith("0-rescue"):
                    sizes[named[1]] = sizes.get(named[1], 0) + whole(section, line, size)
            case _:
                pass
    return tuple(BootKernel(release, sizes[release]) for release in sorted(sizes))


def read_clock(section: Section) -> ClockState:
    """Read ``[clock]``; whoever says neither yes nor no does not know."""
    match section.lines:
        case ("yes",):
            return ClockState.SYNCHRONISED
        case ("no",):
            return ClockState.UNSYNCHRONISED
        case _:
            return ClockState.UNKNOWN


def digest_of(lines: Iterable[str]) -> str:
    """Return the digest of a package database: of its packages and marks, a line each."""
    text = "\n".join(lines)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
