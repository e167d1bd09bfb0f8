"""Roots of other releases of Debian, from which labs make guests and machines; made once a week, and kept.

``scripts/test --prepare`` makes them beforehand, which takes a minute or two. They are in the user's cache.
"""

import fcntl
import os
import time
from pathlib import Path

from tests.labs.programs import tool

_WEEK = 7 * 24 * 3600
_GUEST = "systemd,systemd-sysv,dbus"
_INCUS = f"{_GUEST},incus-base,git,iproute2,nftables,procps,python3"


def guest_root() -> Path:
    """Return an archive with the root that all guests begin with: Debian 12 with systemd.

    Raises:
        AssertionError: It cannot be made.
    """
    return _kept("guest-bookworm", "bookworm", _GUEST)


def incus_root() -> Path:
    """Return an archive with the root of a machine that has Incus: Debian 13, the first that has it.

    Raises:
        AssertionError: It cannot be made.
    """
    return _kept("incus-trixie", "trixie", _INCUS)


def _kept(name: str, suite: str, packages: str) -> Path:
    kept = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "patchledger" / "roots"
    kept.mkdir(parents=True, exist_ok=True)
    archive = kept / f"{name}.tar"
    with (kept / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several workers, one makes it
        if not archive.exists() or time.time() - archive.stat().st_mtime > _WEEK:
            without = (f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "locale", "man"))
            draft = kept / f"{name}.{os.getpid()}"
            options = ("--quiet", "--variant=minbase", f"--include={packages}", "--format=tar", *without)
            fresh = '--aptopt=Acquire::Check-Valid-Until "false"'  # a snapshot of the archive will do
            tool("mmdebstrap", *options, fresh, suite, str(draft))
            draft.rename(archive)
    return archive


if __name__ == "__main__":
    guest_root()
    incus_root()
