"""Tell what policy says of guests that comes to nothing, and refuse what must not be relied on.

A snapshot that is promised and not taken would be missed when it is needed: that is refused where a Policy is
about guests, or about one that has a Host document.
"""

from collections.abc import Iterator

from reconciler.policy.documents import Host, Policy
from reconciler.policy.load import Placed, Revision
from reconciler.policy.match import means_guests
from reconciler.policy.overlaps import certainly
from reconciler.policy.problems import Problem, quoted
from reconciler.policy.values import nearest


def check_guests(revision: Revision) -> Iterator[Problem]:
    """Yield a warning for each setting that guests do not have, and for a hypervisor that is misspelt."""
    for host in revision.hosts:
        if host.value.guest_of is not None:
            yield from _of_nobody(host, revision)
    for policy in revision.policies:
        if means_guests(policy.value.match):
            yield from _about_hosts(policy)


def _about_hosts(policy: Placed[Policy]) -> Iterator[Problem]:
    """Tell of what means something on hosts alone, in a Policy about guests."""
    reboot = policy.value.reboot
    if reboot is None:
        return
    if "guests" in reboot.model_fields_set:
        message = "has no effect on guests: it says what their hypervisor's reboot waits for"
        hint = "write it in a Policy of the hypervisor"
        yield policy.problem(("reboot", "guests"), "no-effect", message, hint)
    if "notice" in reboot.model_fields_set:
        message = "has no effect on guests: they are restarted at once, and nobody in them is warned"
        yield policy.problem(("reboot", "notice"), "no-effect", message, "leave it out")


def _of_nobody(host: Placed[Host], revision: Revision) -> Iterator[Problem]:
    """Tell of a hypervisor that is misspelt: it needs no document, but one of nearly its name is meant."""
    home = host.value.guest_of or ""
    known = [one.value.name for one in revision.hosts if one.value.guest_of is None]
    meant = "" if home in known else nearest(home, known[:_MOST_COMPARED])
    if meant:
        yield host.problem(("name",), "matches-nobody", f"there is no Host document {quoted(home)}", meant)


_MOST_COMPARED = 500


def refused_of_guests(revision: Revision) -> tuple[Problem, ...]:
    """Return a problem for each Policy that promises guests a snapshot; sorted."""
    guests = [one.value for one in revision.hosts if one.value.guest_of is not None]
    return tuple(sorted(_promised(revision, guests)))


def _promised(revision: Revision, guests: list[Host]) -> Iterator[Problem]:
    for policy in revision.policies:
        if policy.value.snapshot in {None, "none"}:
            continue
        about = _about(policy.value, guests)
        if about:
            message = f"is not in this version for guests, and this is about {about}"
            hint = "leave it out there; `on_failure: rollback` goes back to earlier packages"
            yield policy.problem(("snapshot",), "", message, hint)


def _about(policy: Policy, guests: list[Host]) -> str:
    if means_guests(policy.match):
        return "guests"
    if not policy.match.model_fields_set:
        return ""  # It is about every host: what comes to nothing there is a warning.
    return next((host.name for host in guests if certainly(policy.match, host)), "")
