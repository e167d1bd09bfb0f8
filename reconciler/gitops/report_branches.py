"""What a branch of the report repository may be called: the one place that knows."""

import re

from reconciler.errors import Misuse
from reconciler.gitops.refs import is_ref_safe
from reconciler.policy.remotes import one_line
from reconciler.policy.values import HOST_NAME

_ID = re.compile(HOST_NAME)


def host_branch(host: str) -> str:
    """Return the report branch of a host.

    Raises:
        Misuse: The id is not ``[a-z0-9][a-z0-9.-]{0,62}`` or not ref-safe.
    """
    return f"hosts/{checked_id(host)}"


def guest_branch(host: str, guest: str) -> str:
    """Return the report branch of a guest.

    Raises:
        Misuse: One of the ids is none.
    """
    return f"guests/{checked_id(host)}/{checked_id(guest)}"


def checked_id(name: str) -> str:
    """Return the id of a host or guest as it is.

    Raises:
        Misuse: It is none.
    """
    if not _ID.fullmatch(name) or not is_ref_safe(name):
        raise Misuse(
            f"'{one_line(name, 80)}' is no host or guest id",
            "use up to 63 lower-case letters, digits, dots and hyphens, beginning with a letter or digit",
        )
    return name


def is_report_branch(name: str) -> bool:
    """Say whether a branch is one that a target can have."""
    group, *ids = name.split("/")
    length = {"hosts": 1, "guests": 2}.get(group)
    return len(ids) == length and all(_ID.fullmatch(part) and is_ref_safe(part) for part in ids)


def checked_branch(branch: str) -> str:
    """Return the branch of a target as it is.

    Raises:
        Misuse: No target can have it.
    """
    if not is_report_branch(branch):
        raise Misuse(f"'{one_line(branch, 80)}' is no report branch", "use hosts/ID or guests/ID/ID")
    return branch
