"""What a tick leaves for whoever waits for the next: ``next.json`` of the state folder."""

import json
from datetime import UTC, datetime

from reconciler.ownership import read_own
from reconciler.planning.wakeup import Outlook

FILE = "next.json"


def content(outlook: Outlook) -> bytes:
    """Return the content of the file."""
    return json.dumps(
        {
            "changes": None if outlook.changes is None else outlook.changes.timestamp(),
            "resend": None if outlook.resend is None else outlook.resend.timestamp(),
            "says": outlook.says,
        }
    ).encode()


def read(path: str) -> Outlook:
    """Return what the file at ``path`` says; an empty outlook where it is missing, damaged or not our own."""
    try:
        data = read_own(path)
        found = {} if data is None else json.loads(data)
        return Outlook(_instant(found["changes"]), _instant(found["resend"]), str(found["says"]))
    except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError):
        return Outlook()


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
