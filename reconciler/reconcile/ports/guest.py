"""What a tick may be told of a guest instead of an answer."""

from datetime import timedelta

from reconciler.errors import Transient
from reconciler.planning.facts.guests import State, why_not
from reconciler.policy.values import format_duration


class GuestAway(Transient):
    """A guest cannot be entered, or could not when its answer was expected.

    What it had said before is no answer: a package manager has said nothing.

    Args:
        guest: Its id.
        state: How it was seen to be.

    Attributes:
        state: That.
    """

    def __init__(self, guest: str, state: State) -> None:
        super().__init__(
            f"guest {guest}: {why_not(state)}",
            "nothing is done in it meanwhile; it is looked at again",
            f"Guest{type(state).__name__.removesuffix('Guest')}",
        )
        self.state = state


class StillAtWork(Transient):
    """What was begun in a guest goes on, and nobody waits for it any more: others are to be looked after.

    The next tick finds it by its journal, and tells what it came to.

    Args:
        waited: How long that was.
    """

    def __init__(self, waited: timedelta) -> None:
        super().__init__(
            f"its package manager is still at work after {format_duration(waited)}",
            "nothing stops it; the next run looks again",
        )
