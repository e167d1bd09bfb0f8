"""What a tick leaves for whoever waits for the next: ``next.json`` of the state folder."""

import json
from datetime import UTC, datetime

from reconciler.ownership import read_own
from reconciler.records import dataclass

FILE = "next.json"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a tick leaves for whoever waits for the next.

    Attributes:
        changes: First instant at which time alone may change the outcome; ``None`` where it never does.
        resend: When a message that waits is to be tried again; ``None`` where none waits.
        says: What the tick came to, in a line for people.
    """

    changes: datetime | None = None
    resend: datetime | None = None
    says: str = ""


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
