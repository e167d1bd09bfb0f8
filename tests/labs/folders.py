"""Folders for what a test does more than once."""

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
