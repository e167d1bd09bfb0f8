"""A host as the command line describes it, of which a policy folder may know more."""

from collections.abc import Iterator, Sequence

from reconciler.errors import Misuse
from reconciler.policy.documents import Match
from reconciler.policy.idle_matches import matching
from reconciler.policy.load import Revision
from reconciler.policy.match import HostFacts
from reconciler.policy.problems import quoted
from reconciler.policy.values import nearest


def facts(name: str, labels: Sequence[str], os: str, manager: str, guest_of: str | None) -> HostFacts:
    """Return the host that the arguments describe.

    Raises:
        Misuse: A label is not ``KEY=VALUE``.
    """
    pairs = [label.partition("=") for label in labels]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise Misuse(f"--label {key} is not KEY=VALUE", "write --label env=production")
    os_id, _, os_version = os.partition("-")
    return HostFacts(name, {key: value for key, _, value in pairs}, os_id, os_version, manager, guest_of)


def _asked(match: Match) -> frozenset[str]:
    return frozenset(match.model_fields_set) | (_asked(match.not_) if match.not_ else frozenset())


def left_open(revision: Revision, host: HostFacts) -> Iterator[str]:
    """Yield what is not known of a host and may decide about it."""
    names = [one.value.name for one in revision.hosts]
    if names and host.name not in names and host.guest_of is None and not host.labels:
        meant = nearest(host.name, names)
        hint = f"; {meant}" if meant else ": give labels that it has by itself with --label"
        yield f"there is no Host document {quoted(host.name)}{hint}"
    asked = {key for one in matching(revision) for key in _asked(one.value.match)}
    unknown = [key for key, value in (("os", host.os_id), ("manager", host.manager)) if not value]
    if missing := [key for key in unknown if key in asked]:
        options = " and ".join(f"--{key}" for key in missing)
        yield f"documents that match on {' or '.join(missing)} are left out unless {options} says it"
