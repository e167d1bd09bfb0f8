"""Which guests are down because we told them to restart."""

from collections.abc import Iterable, Mapping

from reconciler.errors import Stalled
from reconciler.host.state.guests import GuestFolders
from reconciler.planning.facts.guest_rows import GuestOutcome, GuestTold
from reconciler.planning.facts.guests import Guest
from reconciler.planning.runs.journal import Phase
from reconciler.planning.text.wording import minute


def not_back(kept: GuestFolders, guests: Iterable[Guest]) -> Mapping[str, GuestTold]:
    """Return what is told of each guest that was told to restart, and is left out since it does not run.

    It is a failure in each report until the guest runs again, and no guest that somebody stopped.

    Args:
        kept: The folders of guests.
        guests: All of them, as they are now.
    """
    known = kept.known()
    told = {one.id: _told(kept, one) for one in guests if one.left_out and one.id in known}
    return {guest: one for guest, one in told.items() if one is not None}


def _told(kept: GuestFolders, guest: Guest) -> GuestTold | None:
    try:
        journal = kept.of(guest.id).journal()
    except Stalled:
        return None
    if journal is None or journal.phase is not Phase.REBOOTING:
        return None
    at = minute(journal.rebooting_since or journal.started)
    reason = f"{guest.left_out}: it was told to restart at {at}, and is not back"
    return GuestTold(GuestOutcome.FAILED, reason, is_ours=True)
