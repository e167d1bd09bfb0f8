"""Ticks in a row that came to nothing, counted where nothing else is needed to count them.

The count is a file of its own: it must be there when the state cannot be read, and after a tick that came to
no report. It is written by whoever holds the lock of the host's runs.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from reconciler.host.state.folder import StateFolder
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.text.wording import minute

FILE = "standstill.json"


@dataclass(frozen=True, slots=True)
class Standstill:
    """Ticks in a row that ended with exit code 5.

    Attributes:
        ticks: How many; none in the value that stands for a tick that ended otherwise.
        since: When the first of them ended, as an instant in ISO 8601.
        why: What the first of them said.
    """

    ticks: int = 0
    since: str = ""
    why: str = ""

    @property
    def message(self) -> str:
        """Return a sentence that stays the same while it lasts."""
        return f"since {minute(datetime.fromisoformat(self.since))} no tick has ended well: {self.why}"

    @property
    def condition(self) -> Condition:
        """Return it as a condition of a report."""
        return Condition(ConditionType.STOOD_STILL, True, "TransientForLong", self.message)

    def and_another(self, why: str, now: datetime) -> "Standstill":
        """Return it with one more tick, which ended at ``now``."""
        return Standstill(self.ticks + 1, self.since or now.isoformat(), self.why or why)


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
