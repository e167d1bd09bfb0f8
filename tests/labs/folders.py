"""Folders for what a test does more than once, and what they hold."""

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path

Folder = Callable[[], Path]


def numbered(parent: Path) -> Folder:
    """Return what makes a new folder below ``parent`` at each call."""
    numbers = itertools.count()

    def make() -> Path:
        path = parent / f"execution-{next(numbers)}"
        path.mkdir()
        return path

    return make


def everything(_path: Path) -> bool:
    """Leave nothing out."""
    return True


def digest_of(root: Path, counts: Callable[[Path], bool] = everything) -> str:
    """Return a digest of all below a folder: names, types, modes, owners, times and content.

    Args:
        root: The folder.
        counts: Says of a path whether it is looked at.
    """
    total = hashlib.sha256()
    for path in filter(counts, sorted(root.rglob("*"))):
        state = path.lstat()
        about = (state.st_mode, state.st_uid, state.st_gid, state.st_mtime_ns, state.st_ino)
        total.update(f"{path.relative_to(root)}\0{about}\0".encode())
        if path.is_symlink():
            total.update(str(path.readlink()).encode())
        elif path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()
