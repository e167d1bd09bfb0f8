"""Tell which documents are about nobody: by what they match, and by the Host documents that there are.

Hosts need no document, so that only what no host at all can be is certain. Whom no Host document meets may
still be there; it is told, since most of the time a name or a label is misspelt.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from reconciler.policy.documents import Approval, Freeze, Match, PackageException, Policy
from reconciler.policy.load import Placed, Revision
from reconciler.policy.match import fits, is_pattern, means_guests
from reconciler.policy.overlaps import certainly, leaves_out_all
from reconciler.policy.problems import Problem, quoted
from reconciler.policy.values import HOST_NAME, nearest

Matching = Placed[Policy] | Placed[Freeze] | Placed[PackageException] | Placed[Approval]

NOBODY = "matches-nobody"
_MOST_PAIRS = 300_000
_NUMBERED = ("debian", "ubuntu", "raspbian", "fedora", "rhel", "rocky", "almalinux", "centos")


def check_matches(revision: Revision) -> Iterator[Problem]:
    """Yield a warning for each document that can be about nobody, or that no Host document meets."""
    placed = matching(revision)
    for one in placed:
        impossible = _impossible(one)
        if impossible is not None:
            yield impossible
        elif revision.hosts and len(placed) * len(revision.hosts) <= _MOST_PAIRS:
            yield from _unmet(one, revision)


def matching(revision: Revision) -> Sequence[Matching]:
    """Return all documents that have a match."""
    return (*revision.policies, *revision.freezes, *revision.exceptions, *revision.approvals)


def _impossible(one: Matching) -> Problem | None:
    match = one.value.match
    if match.guest_of is not None and not any(map(_may_be_a_host, match.guest_of)):
        message = f"{_texts(match.guest_of)} can be no hypervisor's id, so this is about nobody"
        return _warning(one, ("guest_of",), message, _lowered(match.guest_of[0]))
    # What a guest is called may have any letters.
    if match.name is not None and not means_guests(match) and not any(map(_may_be_a_host, match.name)):
        message = f"{_texts(match.name)} can be no host's id, so this is about no host"
        return _warning(one, ("name",), message, _lowered(match.name[0]))
    if match.os is not None and all(map(_never_an_os, match.os)):
        message = f"{_texts(match.os)} is what no system calls itself, so this is about nobody"
        return _warning(one, ("os",), message, _advice(match.os[0]))
    if leaves_out_all(match):
        message = "leaves out all that the rest of `match` selects, so this is about nobody"
        return _warning(one, ("not",), message, "take one of the two out")
    return None


def _texts(texts: Iterable[str]) -> str:
    return ", ".join(map(quoted, texts))


def _is_hypervisor(match: Match, revision: Revision) -> bool:
    """Tell whether a Host document is of a hypervisor whose guests are meant: these need no documents."""
    wanted = match.guest_of
    return wanted is not None and any(
        fits(wanted, host.value.name) for host in revision.hosts if host.value.guest_of is None
    )


def _may_be_a_host(text: str) -> bool:
    if "[" in text:
        return True  # What stands in brackets is not looked at.
    return re.fullmatch(HOST_NAME, text.replace("*", "a").replace("?", "a")) is not None


def _lowered(text: str) -> str:
    lowered = text.lower()
    return (
        f"write {lowered}" if _may_be_a_host(lowered) else "ids have small letters, digits, '.' and '-' only"
    )


def _never_an_os(text: str) -> bool:
    """Tell whether os-release(5) lets no system be called so: small letters, and a number as VERSION_ID."""
    return "[" not in text and (text != text.lower() or _has_codename(text))


def _has_codename(text: str) -> bool:
    name, dash, version = text.partition("-")
    return bool(dash) and name in _NUMBERED and version.isalpha()


def _advice(text: str) -> str:
    name = text.lower().partition("-")[0]
    if _has_codename(text.lower()):
        return f"VERSION_ID of /etc/os-release is a number: write {name}-12 and the like, or {name}"
    return f"write {text.lower()}, as in /etc/os-release"


def _unmet(one: Matching, revision: Revision) -> Iterator[Problem]:
    match = one.value.match
    answers = {certainly(match, host.value) for host in revision.hosts}
    if True in answers or _is_hypervisor(match, revision):
        return
    key, meant = _meant(match, revision)
    if meant:
        yield _warning(one, key, "is met by no Host document", meant)
    elif answers == {False}:
        hint = "right only for hosts that have none; see `policy show HOST` for what one gets"
        yield _warning(one, (), "is met by no Host document", hint)


def _meant(match: Match, revision: Revision) -> tuple[tuple[str, ...], str]:
    """Return the key whose text is met by no Host document but nearly by one, and what was probably meant."""
    hosts = [one.value for one in revision.hosts]
    names = [host.name for host in hosts]
    if match.guest_of is not None:
        homes = [host.name for host in hosts if host.guest_of is None]
        homes += [host.guest_of for host in hosts if host.guest_of is not None]
        hint = "" if any(fits(match.guest_of, home) for home in homes) else _nearest(match.guest_of, homes)
        return (("guest_of",), hint) if hint else ((), "")
    if match.name is not None and not any(fits(match.name, name) for name in names):
        hint = _nearest(match.name, names)
        if hint:
            return ("name",), hint
    for label, wanted in (match.labels or {}).items():
        values = sorted({host.labels[label] for host in hosts if label in host.labels})
        if not values:
            hint = nearest(label, sorted({key for host in hosts for key in host.labels}))
        else:
            hint = "" if any(fits(wanted, value) for value in values) else _nearest(wanted, values)
        if hint:
            return ("labels", label), hint
    return (), ""


def _nearest(texts: Iterable[str], known: Sequence[str]) -> str:
    plain = (text for text in texts if not is_pattern(text))
    return next(filter(None, (nearest(text, known[:_MOST_COMPARED]) for text in plain)), "")


_MOST_COMPARED = 500


def _warning(one: Matching, key: tuple[str, ...], message: str, hint: str) -> Problem:
    return one.problem(("match", *key), NOBODY, message, hint)
