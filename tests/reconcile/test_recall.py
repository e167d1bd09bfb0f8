"""Which commit a host goes on from: by two memories, or by its own reports."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.errors import PolicyRejected
from reconciler.planning.gates.types import SignedBy, SignMethod
from reconciler.reconcile.ports.policies import Acceptance, Followed
from reconciler.reconcile.recall import CONFIGURED, FIRST_USE, Begin, begin, remembered


class History:
    """A policy's history: a commit is a letter, and a branch the word of its first-parent line."""

    shown = "policy.git"
    branch = "main"

    def __init__(self, *branches: str, floor: str = "", accepted: str = "") -> None:
        self.floor = floor
        self._branches = branches
        self._accepted = accepted

    def accepted(self) -> Acceptance | None:
        return Acceptance(self._accepted) if self._accepted else None

    def line(self, commit: str) -> tuple[str, ...]:
        known = (one for one in self._branches if commit in one)
        return next((tuple(reversed(one[: one.index(commit) + 1])) for one in known), ())


@pytest.mark.parametrize(
    ("state", "mirror", "expected"),
    [
        ("b", "b", "b"),
        ("b", "", "b"),
        ("", "b", "b"),
        ("", "", ""),
        ("a", "b", "b"),  # killed between mirror and state
        ("c", "b", "c"),  # the mirror was brought back from a copy
        ("?", "b", "b"),  # a wrong digit in one of the two
        ("b", "?", "b"),
        ("y", "b", "b"),  # neither continues the other: the mirror is written first
    ],
)
def test_the_sound_and_newer_memory_counts(state: str, mirror: str, expected: str) -> None:
    history = History("abcd", "axy", accepted=mirror)
    found = remembered(history, Acceptance(state) if state else None)
    assert ("" if found is None else found.commit) == expected


def at(commit: str, floor: str = "") -> Acceptance:
    return Acceptance(commit, floor)


@pytest.mark.parametrize(
    ("floor", "reported", "known_floor", "expected"),
    [
        ("", "", None, FIRST_USE),
        ("b", "", None, CONFIGURED),
        ("", "c", "", at("c")),
        ("", "cba", "", at("c")),
        ("", "acb", "", at("c")),  # the newest report was forged, or is of a copy of this host
        ("", "e", "", at("e")),
        ("b", "c", "b", at("c", "b")),  # the floor is raised by what was reported
        ("d", "c", "", CONFIGURED),  # and raises it
    ],
)
def test_it_goes_on_from_the_newest_commit_that_anything_names(
    floor: str, reported: str, known_floor: str | None, expected: Acceptance | str
) -> None:
    found = begin(History("abcde", floor=floor), "e", Followed(tuple(reported), known_floor))
    assert isinstance(found, Begin)
    assert (found.acceptance or found.how) == expected
    if found.acceptance is not None:
        assert f"continued from {found.acceptance.commit}" in found.how


@pytest.mark.parametrize(
    ("floor", "reported", "known_floor"),
    [
        ("", "c", ""),
        ("", "bc", ""),  # the newest report names an older one that is still there
        ("", "cb", None),
        ("a", "c", "a"),  # the floor was configured all the time
        ("a", "cb", None),  # nobody knows, and it would lower what was reported
        ("a", "cb", ""),
        ("b", "cb", None),
    ],
)
def test_a_rewritten_history_is_refused(floor: str, reported: str, known_floor: str | None) -> None:
    found = begin(History("abxy", floor=floor), "y", Followed(tuple(reported), known_floor))
    assert isinstance(found, PolicyRejected)
    assert "reports name commit c" in found.message
    assert "set trust.floor" in found.hint


@pytest.mark.parametrize(
    ("floor", "reported", "known_floor"),
    [
        ("x", "cb", "a"),
        ("y", "c", ""),
        ("x", "cb", None),
        ("y", "c", None),
        ("y", "yc", "x"),
        ("b", "cb", "a"),
    ],
)
def test_a_floor_that_was_set_since_allows_it(floor: str, reported: str, known_floor: str | None) -> None:
    found = begin(History("abxy", floor=floor), "y", Followed(tuple(reported), known_floor))
    assert isinstance(found, Begin)
    assert found.acceptance in {None, at(floor, floor)}


def test_a_report_that_anybody_may_have_pushed_stops_no_host_that_signs() -> None:
    followed = Followed(("x", "c"), "", vouched=lambda: frozenset("c"))
    found = begin(History("abcde"), "e", followed)
    assert isinstance(found, Begin)
    assert found.acceptance == at("c")
    own = replace(followed, vouched=lambda: frozenset("xc"))
    assert isinstance(begin(History("abcde"), "e", own), PolicyRejected)


def test_what_its_own_signed_report_says_was_signed_is_verified_where_it_is_the_newest() -> None:
    signed = tuple(SignedBy(commit, "ada", "SHA256:x", SignMethod.SSH) for commit in "bc")
    followed = Followed(("c", "b"), "", signed, datetime(2026, 11, 29, tzinfo=UTC))
    found = begin(History("abcde"), "e", followed)
    assert isinstance(found, Begin)
    assert found.acceptance == Acceptance("c", is_verified=True, signed=signed)
    own = "in force in this host's own report of 2026-11-29 00:00 UTC under its own signature"
    assert found.how == f"continued from c, {own}"
    newer = begin(History("abcde"), "e", replace(followed, commits=("d", "c", "b")))
    assert isinstance(newer, Begin)
    assert newer.acceptance == Acceptance("d")
    assert isinstance(begin(History("abxy"), "y", followed), PolicyRejected)
