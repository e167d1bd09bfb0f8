"""Tell whether a document is about a host."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

from reconciler.policy.documents import Match


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What documents can match on.

    Attributes:
        name: Id of the host, or name of the guest.
        labels: As the host itself says; a Host document's labels beat them.
        os_id: ``ID`` of os-release.
        os_version: ``VERSION_ID`` of os-release, empty where it has none.
        manager: Name of the package manager, such as ``apt``.
        guest_of: Id of the hypervisor, ``None`` for a host that is no guest.
    """

    name: str
    labels: Mapping[str, str]
    os_id: str
    os_version: str
    manager: str
    guest_of: str | None = None


def selects(match: Match, host: HostFacts, labels: Mapping[str, str]) -> bool:
    """Tell whether ``match`` selects a host whose labels in force are ``labels``."""
    if match.name is not None and not fits(match.name, host.name):
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


class MatchIndex:
    """Finds which of many matches select a host, without asking each of them.

    A match that asks for a plain name, or for a plain value of a label, is filed under it and only asked for
    hosts that have it. Of several such labels the one with the most different values is used.
    """

    def __init__(self, matches: Sequence[Match]) -> None:
        self._matches = matches
        self._filed: dict[tuple[str, str], list[int]] = {}
        self._unfiled: list[int] = []
        handles = [_handles(match) for match in matches]
        values: dict[str, set[str]] = {}
        for handle in handles:
            for key, texts in handle.items():
                values.setdefault(key, set()).update(texts)
        for position, handle in enumerate(handles):
            if not handle:
                self._unfiled.append(position)
                continue
            best = max(handle, key=lambda key: (len(values[key]), key))
            for text in set(handle[best]):
                self._filed.setdefault((best, text), []).append(position)

    def select(self, host: HostFacts, labels: Mapping[str, str]) -> list[int]:
        """Return the positions of the matches that select a host whose labels in force are ``labels``."""
        positions = [*self._unfiled, *self._filed.get((_NAME, host.name), ())]
        for item in labels.items():
            positions += self._filed.get(item, ())
        return [position for position in sorted(positions) if selects(self._matches[position], host, labels)]


_NAME = ""  # No label is called that.


def _handles(match: Match) -> dict[str, Sequence[str]]:
    """Return what the match asks for without patterns."""
    asked = {_NAME: match.name, **(match.labels or {})}
    return {key: texts for key, texts in asked.items() if texts and not any(map(is_pattern, texts))}


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
