"""``run --target``: one tick in a guest alone, by the policy that its hypervisor follows."""

from dataclasses import replace

from reconciler.cli.wiring import quiet
from reconciler.cli.wiring.compose import Wiring
from reconciler.cli.wiring.in_guests import GuestTick
from reconciler.cli.wiring.looking import followed, in_guests
from reconciler.cli.wiring.telling import together
from reconciler.errors import Misuse, Stalled
from reconciler.planning.facts.guests import Guest
from reconciler.planning.gates.types import BreakGlass


def tick_in(wiring: Wiring, guest: Guest, break_glass: BreakGlass | None) -> GuestTick:
    """Make one whole tick in a guest; neither its hypervisor nor another guest is looked at.

    The hypervisor's tick does not begin meanwhile, since both have one copy of policy, reports and messages.
    It is not a quiet one next, so that its report tells of the guest as it is then.

    Args:
        wiring: Of the hypervisor.
        guest: That runs.
        break_glass: A person takes the window on themselves, in this guest alone.

    Raises:
        GuestAway: It does not run any more.
        Transient: Another run is at work.
        ReconcilerError: As of a host's tick.
    """
    with wiring.folder.locked():
        (wiring.folder.path / quiet.FILE).unlink(missing_ok=True)
        wiring, telling = together(wiring)
        now = wiring.ticker.applier.clock.now()
        wiring.upkeep.begin(timeout=wiring.config.git.timeout.total_seconds(), now=now)
        try:
            inside = in_guests(wiring, followed(wiring), waits=False)
            with inside.outliving.told():
                came = inside.tick(guest, break_glass)
        except Misuse as error:
            # Nothing in a guest is a mistake of whoever called us.
            raise Stalled(f"guest {guest.id}: {error.message}", error.hint, error.reason) from error
        finally:
            untold = tuple(telling.end(wiring.ticker.applier.clock.now()))
            wiring.upkeep.end()
        return replace(came, done=replace(came.done, earlier=(*came.done.earlier, *untold)))
