"""What may end the fetching of packages; it imports next to nothing: whoever starts programs needs it."""

from collections.abc import Callable
from datetime import timedelta

from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Unless:
    """What ends the fetching of packages, which changes none.

    Attributes:
        every: How often it is asked.
        is_over: Says whether no more is to be fetched.
    """

    every: timedelta
    is_over: Callable[[], bool]
