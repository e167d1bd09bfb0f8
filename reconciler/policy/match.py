"""Tell whether a document is about a host."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from functools import lru_cache

from reconciler.policy.documents import Match
from reconciler.policy.values import GUEST_LABEL
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What documents can match on.

    Attributes:
        name: Id of the host, or of the guest at its hypervisor.
        labels: As the host itself says; a Host document's labels beat them.
        os_id: ``ID`` of os-release.
        os_version: ``VERSION_ID`` of os-release, empty where it has none.
        manager: Name of the package manager, such as ``apt``.
        guest_of: Id of the hypervisor, ``None`` for a host that is no guest.
        called: What its hypervisor calls a guest, where that is not its id; empty where it is not known.
    """

    name: str
    labels: Mapping[str, str]
    os_id: str
    os_version: str
    manager: str
    guest_of: str | None = None
    called: str = ""

    @property
    def target(self) -> str:
        """Its id among all, ``HOST/GUEST`` of a guest: its Host document is called so."""
        return self.name if self.guest_of is None else f"{self.guest_of}/{self.name}"


def selects(match: Match, host: HostFacts, labels: Mapping[str, str]) -> bool:
    """Tell whether ``match`` selects a host whose labels in force are ``labels``."""
    if match.name is not None and not (
        fits(match.name, host.name) or (host.called and fits(match.name, host.called))
    ):
        return False
    if match.labels is not None and not all(
        key in labels and fits(wanted, labels[key]) for key, wanted in match.labels.items()
    ):
        return False
    if match.os is not None and not (
        fits(match.os, host.os_id) or (host.os_version and fits(match.os, f"{host.os_id}-{host.os_version}"))
    ):
        return False
    if match.manager is not None and host.manager not in match.manager:
        return False
    if match.guest_of is not None and (host.guest_of is None or not fits(match.guest_of, host.guest_of)):
        return False
    return match.not_ is None or not selects(match.not_, host, labels)


def means_guests(match: Match) -> bool:
    """Tell whether a match asks for guests, by their hypervisor or by what runs them."""
    return match.guest_of is not None or GUEST_LABEL in (match.labels or {})


def system_of(text: str) -> tuple[str, str]:
    """Take ``ID-VERSION_ID`` apart, as people and patterns name a system; a version may be left out.

    An id may hold dashes, such as ``opensuse-leap``; a version begins with a digit (os-release(5)).
    """
    system, _, version = text.rpartition("-")
    is_version = version[:1].isdigit() or is_pattern(version[:1])
    return (system, version) if system and is_version else (text, "")


class MatchIndex:
    """Finds which of many matches select a host, without asking each of them.

    Of each thing that matches ask about (the name, a label, the system, ...) and each value that a host has
    there, it knows which matches that value rules out; what no value of a host rules out selects it. Sets of
    matches are numbers, a bit for each position, so that those of a host are a few operations on numbers.
    """

    def __init__(self, matches: Iterable[Match]) -> None:
        self._all = 0
        self._name, self._os, self._manager, self._guest_of = (_Facet() for _ in range(4))
        self._labels: defaultdict[str, _Facet] = defaultdict(_Facet)
        nots: list[Match] = []
        self._negating: list[int] = []
        for position, match in enumerate(matches):
            self._all |= 1 << position
            self._name.file(position, match.name)
            self._os.file(position, match.os)
            self._manager.file(position, match.manager)
            self._guest_of.file(position, match.guest_of)
            for key, wanted in (match.labels or {}).items():
                self._labels[key].file(position, wanted)
            if match.not_ is not None:
                nots.append(match.not_)
                self._negating.append(position)
        self._nots = MatchIndex(nots) if nots else None

    def bits(self, host: HostFacts, labels: Mapping[str, str]) -> int:
        """Return a bit for each match that selects a host whose labels in force are ``labels``."""
        out = self._os.without(host.os_id, f"{host.os_id}-{host.os_version}" if host.os_version else None)
        out |= self._name.without(host.name, host.called or None) | self._manager.without(host.manager)
        out |= self._guest_of.without(host.guest_of)
        for key, facet in self._labels.items():
            out |= facet.without(labels.get(key))
        if self._nots is not None:
            for position in self._nots.select(host, labels):
                out |= 1 << self._negating[position]
        return self._all & ~out

    def select(self, host: HostFacts, labels: Mapping[str, str]) -> list[int]:
        """Return the positions of the matches that select a host whose labels in force are ``labels``."""
        return positions_of(self.bits(host, labels))


def positions_of(bits: int) -> list[int]:
    """Return the positions of the bits that are set, in order."""
    found = []
    while bits:
        lowest = bits & -bits
        found.append(lowest.bit_length() - 1)
        bits ^= lowest
    return found


class _Facet:
    """One thing that matches ask about."""

    def __init__(self) -> None:
        self._asking = 0
        self._plain: defaultdict[str, list[int]] = defaultdict(list)
        self._patterns: list[tuple[str, int]] = []
        self._known: dict[tuple[str | None, ...], int] = {}

    def file(self, position: int, texts: Sequence[str] | None) -> None:
        """Note what the match at a position asks for, ``None`` where it asks nothing here."""
        if texts is None:
            return
        self._asking |= 1 << position
        for text in texts:
            if is_pattern(text):
                self._patterns.append((text, position))
            # A value may be called like a pattern.
            self._plain[text].append(position)

    def without(self, *values: str | None) -> int:
        """Return which matches a host is ruled out by that has these values here, none of which fits."""
        if not self._asking:
            return 0
        known = self._known.get(values)
        if known is None:
            fitting = 0
            for value in values:
                if value is not None:
                    fitting |= self._fitting(value)
            known = self._asking & ~fitting
            if len(self._known) < _MOST_KEPT:
                self._known[values] = known
        return known

    def _fitting(self, value: str) -> int:
        found = 0
        for position in self._plain.get(value, ()):
            found |= 1 << position
        for pattern, position in self._patterns:
            if _matcher(pattern).match(value):
                found |= 1 << position
        return found


_MOST_KEPT = 4096
"""Values of one thing of which is remembered what they rule out: hosts share most, but not their names."""


def fits(patterns: Sequence[str], text: str) -> bool:
    """Tell whether one of the shell patterns matches the whole of ``text``, with regard to case."""
    return any(
        pattern == text or (is_pattern(pattern) and _matcher(pattern).match(text)) for pattern in patterns
    )


def count_patterns(match: Match) -> int:
    """Return how many texts of a match are patterns, each of which a host has to compare."""
    texts = [*(match.name or ()), *(match.os or ()), *(match.guest_of or ())]
    for wanted in (match.labels or {}).values():
        texts += wanted
    return sum(map(is_pattern, texts)) + (0 if match.not_ is None else count_patterns(match.not_))


def is_pattern(text: str) -> bool:
    """Tell a shell pattern from a plain text."""
    return "*" in text or "?" in text or "[" in text


def is_begin(text: str) -> bool:
    """Tell whether a pattern is the begin of a name with one star behind it, which can be looked up."""
    return text.endswith("*") and not is_pattern(text[:-1])


@lru_cache(maxsize=8192)
def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))
