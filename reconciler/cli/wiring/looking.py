"""Look at one target by hand, this host or a guest of it: nothing is remembered, and nothing reported."""

from typing import TYPE_CHECKING

from reconciler.cli.wiring.aimed import Aim
from reconciler.cli.wiring.compose import Wiring
from reconciler.cli.wiring.guests import folders_of
from reconciler.errors import Misuse
from reconciler.reconcile.assess import Assessment
from reconciler.reconcile.policy_in_force import InForce
from reconciler.reconcile.recall import restored

if TYPE_CHECKING:
    from reconciler.cli.wiring.in_guests import InGuests


def look(wiring: Wiring, aimed: Aim) -> tuple[Assessment, tuple[str, ...]]:
    """Fetch the policy, look at a target and decide; return that, and what is wrong with what was kept.

    A guest is judged by the policy that its host has in force.

    Args:
        wiring: Of this host.
        aimed: The target.

    Raises:
        ReconcilerError: It cannot be looked at.
    """
    with wiring.folder.locked():
        if aimed.guest is None:
            recalled = wiring.folder.recall()
            assessed = wiring.ticker.assessor.assess(recalled.state, accept=False, is_reported=False)
            return assessed, recalled.complaints
        inside = in_guests(wiring, followed(wiring, accept=False))
        folder = inside.kept.of(aimed.guest.id)
        folder.prepare()
        with folder.locked():
            ticker, own = inside.looking(aimed.guest, folder)
            assessed = ticker.assessor.assess(
                own.state, accept=False, in_force=inside.in_force, is_reported=False
            )
            return assessed, own.complaints


def followed(wiring: Wiring, *, accept: bool = True) -> InForce:
    """Fetch the policy once, for all guests of a host.

    Args:
        wiring: Of the host.
        accept: Remember a new valid revision as accepted.

    Raises:
        ReconcilerError: There is none to go by.
    """
    state = restored(wiring.folder.recall(), wiring.queue, wiring.site.branch)
    return wiring.ticker.assessor.follow(state, accept=accept)


def in_guests(wiring: Wiring, in_force: InForce, *, waits: bool = True) -> "InGuests":
    """Return what acts in the guests of this host.

    Raises:
        Misuse: The configuration has none.
    """
    said = wiring.config.guests
    if said is None:
        raise Misuse("the configuration has no `guests`", "see `patchledger guests`")
    from reconciler.cli.wiring.in_guests import InGuests

    return InGuests(wiring, said, folders_of(wiring.config), in_force, waits=waits)
