"""Settings that are read and checked, and that this version cannot follow yet.

``policy check`` and ``policy show`` say so where they are written, a host where they are in force.
"""

from collections.abc import Iterator

from reconciler.policy.documents import Policy, Settings
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """One of them.

    Attributes:
        key: Where it is written, such as ``("rollout", "name")``.
        message: What is so, a clause.
        hint: What to do instead.
        holds: It keeps everything from being applied.
    """

    key: tuple[str, ...]
    message: str
    hint: str
    holds: bool


def unfollowed(settings: Settings | Policy) -> Iterator[Unfollowed]:
    """Yield what of these settings, or of those that a Policy sets, this version cannot follow."""
    if settings.rollout is not None:
        message = "keeps everything from being applied in this version, which opens no rings"
        hint = "leave it out; an earlier schedule for a few hosts is how to begin with them"
        yield Unfollowed(("rollout", "name"), message, hint, holds=True)
    if settings.concurrency is not None:
        message = "keeps everything from being applied in this version, which gives out no slots"
        hint = "leave it out; `splay`, or schedules of their own, keep hosts apart"
        yield Unfollowed(("concurrency", "group"), message, hint, holds=True)
    if settings.snapshot == "required":
        message = "keeps everything from being applied in this version, which takes no snapshots"
        hint = "leave it out; `on_failure: rollback` goes back to earlier packages"
        yield Unfollowed(("snapshot",), message, hint, holds=True)
    if settings.snapshot == "auto":
        message = "has no effect in this version: no snapshot is taken"
        hint = "leave it out; `on_failure: rollback` goes back to earlier packages"
        yield Unfollowed(("snapshot",), message, hint, holds=False)
