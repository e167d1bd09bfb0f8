"""What a tick may be told of a guest instead of an answer."""

from reconciler.errors import Transient
from reconciler.planning.facts.guests import State, why_not


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
