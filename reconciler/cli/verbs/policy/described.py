"""A host as the command line describes it, of which a policy folder may know more."""

from collections.abc import Iterator, Sequence

from reconciler.errors import Misuse
from reconciler.policy.documents import Match
from reconciler.policy.idle_matches import matching
from reconciler.policy.load import Revision
from reconciler.policy.match import HostFacts, system_of
from reconciler.policy.problems import quoted
from reconciler.policy.values import nearest


def facts(
    name: str,
    labels: Sequence[str],
    os: str,
    manager: str,
    *,
    guest_of: str | None = None,
    guest_name: str | None = None,
) -> HostFacts:
    """Return the host, or with ``HOST/GUEST`` the guest, that the arguments describe.

    Raises:
        Misuse: A label is not ``KEY=VALUE``, ``os`` is none of os-release(5), or it is said in two
            ways whose guest it is, or of none what it is called.
    """
    home, slash, own = name.rpartition("/")
    if slash and (not home or not own or "/" in home):
        raise Misuse(f"{quoted(name)} is neither a host nor a guest", "write HOST, or HOST/GUEST")
    if slash and guest_of not in {None, home}:
        raise Misuse(f"{quoted(name)} is a guest of {home}, not of {guest_of}", "leave --guest-of out")
    guest_of = home if slash else guest_of
    if guest_of is None and guest_name is not None:
        raise Misuse("--guest-name is about a guest", "write HOST/GUEST, or add --guest-of")
    pairs = [label.partition("=") for label in labels]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise Misuse(f"--label {key} is not KEY=VALUE", "write --label env=production")
    written = "-".join(os.lower().split())
    if os != written:
        raise Misuse(f"--os {quoted(os)} is no system", f"write {written}, as in /etc/os-release")
    os_id, os_version = system_of(os)
    own_labels = {key: value for key, _, value in pairs}
    return HostFacts(own, own_labels, os_id, os_version, manager, guest_of, guest_name or "")


def _asked(match: Match) -> frozenset[str]:
    return frozenset(match.model_fields_set) | (_asked(match.not_) if match.not_ else frozenset())


def left_open(revision: Revision, host: HostFacts) -> Iterator[str]:
    """Yield what is not known of a host and may decide about it."""
    names = [one.value.name for one in revision.hosts]
    if names and host.target not in names and host.guest_of is None and not host.labels:
        meant = nearest(host.name, names)
        hint = f"; {meant}" if meant else ": give labels that it has by itself with --label"
        yield f"there is no Host document {quoted(host.name)}{hint}"
    asked = {key for one in matching(revision) for key in _asked(one.value.match)}
    unknown = [key for key, value in (("os", host.os_id), ("manager", host.manager)) if not value]
    if missing := [key for key in unknown if key in asked]:
        options = " and ".join(f"--{key}" for key in missing)
        yield f"documents that match on {' or '.join(missing)} are left out unless {options} says it"
    if host.guest_of is not None and not host.called and "name" in asked:
        yield "documents that match on a guest's name are left out unless --guest-name says it"
