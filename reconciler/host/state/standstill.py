"""Ticks in a row that came to nothing, counted where nothing else is needed to count them.

The count is a file of its own: it must be there when the state cannot be read, and after a tick that came to
no report. It is written by whoever holds the lock of the host's runs.
"""

import json
from dataclasses import asdict

from reconciler.host.state.folder import StateFolder
from reconciler.reconcile.ports.state import Standstill

FILE = "standstill.json"


MOVING = Standstill()
"""The last tick ended well, or with what a person was told of at once."""


def read(folder: StateFolder) -> Standstill:
    """Return what was counted; from nothing where the file is not there, or is not what was written.

    Raises:
        ReconcilerError: The disk fails.
    """
    data = folder.read(FILE)
    try:
        found = Standstill(**json.loads(data or b"{}"))
        return found if found.ticks > 0 and bool(found.message) else MOVING
    except (ValueError, TypeError, RecursionError, OverflowError):
        return MOVING


def write(folder: StateFolder, counted: Standstill) -> None:
    """Keep what was counted; the ordinary case, nothing before and nothing now, writes nothing.

    Raises:
        ReconcilerError: The disk is full or fails.
    """
    if counted != read(folder):
        folder.write(FILE, json.dumps(asdict(counted)).encode())
