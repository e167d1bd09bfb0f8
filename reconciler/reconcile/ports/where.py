"""What a part of a target is a part of; it imports nothing, so that the parts that are small stay so."""

from typing import TypeVar

from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class ThisMachine:
    """The machine that we run on."""


@dataclass(frozen=True, slots=True)
class InGuest:
    """A guest of this machine.

    Attributes:
        id: Which one.
    """

    id: str


THIS_MACHINE = ThisMachine()
Where_co = TypeVar("Where_co", bound=ThisMachine | InGuest, covariant=True)
"""What a part is a part of, so that mypy refuses a part of the hypervisor for a guest."""
