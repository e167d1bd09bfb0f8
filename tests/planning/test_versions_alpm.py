"""The order of pacman's versions agrees with ``vercmp``."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from reconciler.planning.facts.versions import VersionRange, compare_alpm, order_of

# Few parts make near misses likely: equal prefixes, leading zeros, doubled separators, letters at the end.
_part = st.sampled_from(
    ["0", "1", "01", "9", "10", "a", "b", "rc", "alpha", ".", "..", "_", "+", "r", "~", "-1", "-2", "2:", ":"]
)

pytestmark = pytest.mark.lab
_version = st.lists(_part, min_size=1, max_size=6).map(lambda parts: "".join(parts).lstrip("-") or "1")

_LOOP = 'while read -r a b; do vercmp "$a" "$b"; done <"$1"'


def signs_of_vercmp(pairs: list[tuple[str, str]], folder: Path) -> list[int]:
    """Ask the real vercmp about all pairs in one shell."""
    listed = folder / "pairs"
    listed.write_text("".join(f"{a} {b}\n" for a, b in pairs), encoding="ascii")
    done = subprocess.run(
        ["sh", "-c", _LOOP, "sh", str(listed)], check=True, capture_output=True, text=True, timeout=120
    )
    return [int(line) for line in done.stdout.split()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vercmp")


# Shrinking would start vercmp thousands of times; the list of differences is small enough to read.
@settings(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(pairs=st.lists(st.tuples(_version, _version), min_size=80, max_size=80))
def test_generated_versions_compare_as_vercmp_compares_them(
    pairs: list[tuple[str, str]], folder: Path
) -> None:
    expected = signs_of_vercmp(pairs, folder)
    ours = [compare_alpm(a, b) for a, b in pairs]
    assert [pair for pair, own, sign in zip(pairs, ours, expected, strict=True) if own != sign] == []


NASTY = [
    ("1.0", "1.0-1"),
    ("1.0-1", "1.0-2"),
    ("1.0-1", "1.0-1.1"),
    ("1:1.0-1", "2.0-1"),
    ("0:1.0-1", "1.0-1"),
    (":1.0-1", "1.0-1"),
    ("1.0a", "1.0"),
    ("1.0rc1", "1.0"),
    ("1.0.a", "1.0"),
    ("1.0.", "1.0"),
    ("1.0..1", "1.0.1"),
    ("1_0", "1.0"),
    ("1.09", "1.9"),
    ("1.10", "1.9"),
    ("r100.abc", "r99.def"),
    ("20240101", "2024.01.01"),
    ("1.0-", "1.0-1"),
    ("6.6.1.arch1-1", "6.6.arch1-1"),
    ("1.0+r1+g0a", "1.0+r1+g9"),
]


def test_nasty_versions_compare_as_vercmp_compares_them_in_both_directions(folder: Path) -> None:
    both = [*NASTY, *((b, a) for a, b in NASTY)]
    assert [compare_alpm(a, b) for a, b in both] == signs_of_vercmp(both, folder)


def test_a_range_without_a_release_names_every_release() -> None:
    wanted = VersionRange.parse(">= 1.1, < 2")
    assert wanted.contains("1.1-3", compare_alpm)
    assert not wanted.contains("2-1", compare_alpm)
    assert not wanted.contains("1.1rc1-1", compare_alpm)


def test_it_is_the_order_of_pacman() -> None:
    assert order_of("pacman") is compare_alpm
