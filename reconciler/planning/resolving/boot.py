"""Whether a new kernel fits on ``/boot``: a full one leaves a machine with half an initramfs.

A package manager knows how large a kernel's package is, and not what its scripts make in ``/boot``. So what
is needed is told by the kernels that are there: the files of the largest one, once for each that comes. What
the plan removes goes first, so that its files count as free.
"""

from collections.abc import Iterable, Sequence

from reconciler.planning.facts.observation import BootKernel, Change, Filesystem, Health
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.resolving.kernels import is_image, is_of
from reconciler.planning.text.wording import mebibytes

BOOT_MARGIN = 150 * 2**20
"""What a new kernel with its initramfs needs where no kernel tells how large one is here."""
BOOT_SLACK = 8 * 2**20
"""What stays free beside it, for what the boot loader writes."""

_GROWS = "the file system be larger"


def for_a_kernel(changes: Iterable[Change], kernels: Sequence[BootKernel]) -> str:
    """Say in words what the room in ``/boot`` is for that there is not, and what makes some."""
    changes = tuple(changes)
    if free := freed(changes, kernels):
        made = f"the old ones that go make {mebibytes(free)} of room, which counts already"
        return f"for a new kernel: {made}; one more must be removed by hand, or {_GROWS}"
    if any(change.unused == "kernel" for change in changes):
        return f"for a new kernel: the old ones that go make no room; remove another by hand, or {_GROWS}"
    return "for a new kernel; 'autoremove: kernels' lets old ones go first"


def boot_need(changes: Iterable[Change], kernels: Sequence[BootKernel]) -> int:
    """Return the bytes that must be free on ``/boot`` before a transaction goes on; 0 where no kernel comes.

    Args:
        changes: The transaction; a kernel that is in ``/boot`` already has come.
        kernels: Those in ``/boot``.
    """
    changes = tuple(changes)
    coming = {
        change.to_version
        for change in changes
        if _is_new_kernel(change)
        and not any(_is_of(one.release, change.name, change.to_version) for one in kernels)
    }
    if not coming:
        return 0
    if not kernels:
        return BOOT_MARGIN
    return max(0, len(coming) * _largest(kernels) + BOOT_SLACK - freed(changes, kernels))


def freed(changes: Iterable[Change], kernels: Iterable[BootKernel]) -> int:
    """Return the bytes that a transaction frees in ``/boot``, as far as its kernels are found there."""
    going = tuple(change for change in changes if change.to_version is None)
    return sum(
        one.size
        for one in kernels
        if any(_is_of(one.release, change.name, change.from_version) for change in going)
    )


def filling(changes: Sequence[Change], health: Health) -> Condition | None:
    """Tell that the next kernel will not fit on ``/boot``, before there is one.

    Args:
        changes: Of the plan, whose removals make room; one with a new kernel is judged by the gate.
        health: What there is.

    Returns:
        ``None`` where it fits, where ``/boot`` is no file system of its own, or nobody knows how large a
        kernel is.
    """
    place = own_boot(health.filesystems)
    kernels = health.kernels
    if place is None or not kernels or boot_need(changes, kernels):
        return None
    free = place.free + freed(changes, kernels)
    need = _largest(kernels) + BOOT_SLACK
    if free >= need:
        return None
    there = ", ".join(one.release for one in kernels)
    message = (
        f"the next kernel will not fit: {place.path} has {mebibytes(free)} free of {mebibytes(place.size)},"
        f" and about {mebibytes(need)} are needed; there are {there}, of which 'autoremove: kernels' removes"
        " old ones"
    )
    return Condition(ConditionType.BOOT_FILLING, True, "NextKernel", message)


def own_boot(filesystems: Sequence[Filesystem]) -> Filesystem | None:
    """Return the file system of ``/boot``, ``None`` where it shares that of others."""
    for place in filesystems:
        if is_boot(place.path):
            shared = any(
                (one.free, one.size) == (place.free, place.size) for one in filesystems if one is not place
            )
            return None if shared else place
    return None


def is_boot(path: str) -> bool:
    """Say whether a path is that of ``/boot``, perhaps below a root."""
    return path.rstrip("/").endswith("/boot")


def _largest(kernels: Iterable[BootKernel]) -> int:
    return max(one.size for one in kernels)


def _is_new_kernel(change: Change) -> bool:
    return change.action == "install" and is_image(change.name)


def _is_of(release: str, name: str, version: str | None) -> bool:
    """Say whether a package brings, or brought, the files of a kernel."""
    return is_image(name) and is_of(release, name, version or "")
