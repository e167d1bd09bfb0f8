"""Which guests need their hypervisor to stay up at this moment."""

from collections.abc import Iterator
from datetime import datetime

from reconciler.cli.wiring.guests import folders_of, guests_of
from reconciler.errors import Misuse
from reconciler.host.config import Config
from reconciler.host.state.guests import GuestFolders
from reconciler.planning.facts.guests import FrozenGuest, Guest, Inventory, Locked, Running
from reconciler.planning.gates.guests import in_a_freeze
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.reader import read_report
from reconciler.planning.text.wording import listed
from reconciler.policy.load import Revision
from reconciler.policy.match import HostFacts


def needed_by_guests(config: Config, revision: Revision | None, now: datetime, until: datetime) -> str:
    """Say which guests a reboot would interrupt: one with a run that did not end, or one in a freeze.

    Args:
        config: Of the hypervisor.
        revision: The policy of this moment; without one there are no freezes.
        now: Aware.
        until: Aware; by then it would be back.
    """
    if config.guests is None:
        return ""
    kept = folders_of(config)
    names = kept.at_work()
    at_work = f"a run in guest {listed(names, 5)} is not at its end" if names else ""
    if at_work or revision is None:
        return at_work
    return in_a_freeze(_running(config, kept, guests_of(config.guests, kept)), revision, now, until)


def _running(config: Config, kept: GuestFolders, found: Inventory) -> Iterator[HostFacts]:
    """Yield what documents match on of each guest that runs, or of which nobody can say how it is."""
    here = {guest.id: guest for guest in found.guests}
    for id_ in sorted(kept.known()):
        guest = here.get(id_)
        report = _last_report(kept, id_)
        if report is None:
            continue
        if guest is None and not found.problems:
            continue
        if guest is not None and not _would_go_down(guest):
            continue
        labels = report.host.own_labels or {} if guest is None else guest.labels
        called = report.host.called if guest is None else "" if guest.name == guest.id else guest.name
        facts = report.host.facts
        yield HostFacts(
            id_, dict(labels), facts.os_id, facts.os_version, report.host.manager, config.host, called
        )


def _would_go_down(guest: Guest) -> bool:
    match guest.state:
        case Running():
            return not guest.left_out
        case FrozenGuest() | Locked():
            return True
        case _:
            return False


def _last_report(kept: GuestFolders, guest: str) -> Report | None:
    try:
        return read_report((kept.of(guest).path / "report.json").read_bytes())
    except (OSError, Misuse):
        return None
