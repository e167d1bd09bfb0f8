"""How long updates may wait by policy."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from reconciler.policy.documents import Deadlines

Sort = Literal["other", "security", "critical"]
_SORTS: tuple[Sort, ...] = ("other", "security", "critical")


@dataclass(frozen=True, slots=True)
class Limit:
    """How long the host may be without a sort of update, and the key of ``deadline`` that says so."""

    length: timedelta
    key: Sort


def limits_of(deadlines: Deadlines) -> dict[Sort, Limit]:
    """Return the deadline of each sort of update that has one: its own, or else that of the next one."""
    limits: dict[Sort, Limit] = {}
    inherited: Limit | None = None
    for sort in _SORTS:
        own: timedelta | str = getattr(deadlines, sort)
        if isinstance(own, timedelta):
            inherited = Limit(own, sort)
        if inherited is not None:
            limits[sort] = inherited
    return limits
