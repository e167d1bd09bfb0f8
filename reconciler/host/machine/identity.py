"""Which machine this is, and since which boot."""

from contextlib import suppress
from pathlib import Path

from reconciler.policy.machine_ids import machine_id_of

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MOST = 64  # characters that are read of what should be 32 digits


def boot_id() -> str:
    """Return the kernel's id of this boot, another after each; empty where the kernel does not tell.

    A container shares its host's kernel, but systemd gives a booted one an id of its own.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def machine_id(root: Path) -> str:
    """Return the machine id of a system (machine-id(5)), empty where it has none.

    Args:
        root: Top of the system.
    """
    file = root / "etc" / "machine-id"
    with suppress(OSError):
        # Of something else than a file nobody knows whether reading ever ends; the patch scripts do the same.
        if file.is_file():
            with file.open(encoding="ascii", errors="replace") as held:
                return machine_id_of(held.read(_MOST).strip())
    return ""
