"""What a connection that costs money keeps from beginning, and what it ends.

- While it costs money nothing is fetched: no metadata, no packages ahead, and no run begins. Policy is
  fetched and reports are pushed all the same, which is little.
- It may begin to cost money at any time. So it is asked before each step, and where somebody is there who
  would know, packages are fetched by a process that may be ended before those that may not are begun.
"""

from dataclasses import field, replace
from datetime import timedelta

from reconciler.planning.facts.links import Cost
from reconciler.planning.gates.types import GateInputs, Inhibitor
from reconciler.reconcile.ports.target import Link
from reconciler.reconcile.ports.unless import Unless
from reconciler.records import dataclass

EVERY = timedelta(seconds=30)
"""How often the connection is asked about while packages are fetched."""


@dataclass(slots=True)
class Meter:
    """What watches a connection while packages are fetched.

    Attributes:
        link: The connection.
        every: How often it is asked.
        found: Who called it metered, in words; empty while nobody did.
    """

    link: Link
    every: timedelta = EVERY
    found: str = field(default="", init=False)

    @property
    def unless(self) -> Unless:
        """What ends the fetching."""
        return Unless(self.every, self._is_over)

    def _is_over(self) -> bool:
        # What was ended outside of a guest is still to be ended inside, whatever the connection is by then.
        self.found = self.found or self.link.cost().metered
        return bool(self.found)


def metered(cost: Cost) -> tuple[Inhibitor, ...]:
    """Return what a connection that costs money keeps from beginning, as gates are shown it."""
    return (Inhibitor("metered", cost.metered),) if cost.metered else ()


def is_kept_from_fetching(inputs: GateInputs) -> bool:
    """Say whether nothing is to be fetched, by what the gates are shown."""
    kept = "metered" in inputs.settings.inhibit
    return kept and any(one.kind == "metered" for one in inputs.host.inhibitors)


def asked_anew(inputs: GateInputs, link: Link) -> GateInputs:
    """Return what the gates are shown, with the connection as it is now."""
    if "metered" not in inputs.settings.inhibit:
        return inputs
    others = tuple(one for one in inputs.host.inhibitors if one.kind != "metered")
    return replace(inputs, host=replace(inputs.host, inhibitors=(*others, *metered(link.cost()))))
