"""Whether a hypervisor's reboot would break a freeze of one of its guests.

A Freeze is a time in which nothing is applied to whom it is about, and which never reboots: a guest goes down
with its hypervisor, whose own freezes are another matter.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import listed
from reconciler.policy.load import Revision
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import Resolver

_MOST = 5
_WORDS = 200


def in_a_freeze(guests: Iterable[HostFacts], revision: Revision, now: datetime, until: datetime) -> str:
    """Say which guests are in a freeze between two instants, and in which; empty where none is.

    That one lets security updates through makes no difference: nothing reboots in it.

    Args:
        guests: Those that run, without what their Host documents say.
        revision: The policy of this moment.
        now: Aware.
        until: Aware; by then the hypervisor is back.
    """
    resolver = Resolver(revision)
    found = (_frozen(resolver, guest, now, until) for guest in guests)
    return listed([one for one in found if one], _MOST)


def _frozen(resolver: Resolver, guest: HostFacts, now: datetime, until: datetime) -> str:
    effective = resolver.resolve(replace(guest, labels=resolver.labels_of(guest)))
    for freeze in effective.frozen:
        if freeze.start < until and freeze.end > now:
            said = f"guest {guest.name} is in the freeze {freeze.name}"
            return f"{said} ({one_line(freeze.reason, _WORDS)})" if freeze.reason else said
    return ""
