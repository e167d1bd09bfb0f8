"""Version order agrees with dpkg's own, and ranges mean what they say."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from reconciler.planning.facts.versions import VersionRange, compare_debian, order_of

# Few characters make near misses likely: equal prefixes, missing parts, leading zeros, tildes at the end.
_upstream = st.builds(
    lambda first, rest: first + rest,
    st.sampled_from("0129"),
    st.text("0019abzAZ.+~-:", max_size=7).filter(lambda text: not text.endswith("-")),
)
_revision = st.text("0019azA.+~", min_size=1, max_size=4)
_version = st.one_of(
    _upstream.map(lambda text: text.replace(":", ".").replace("-", "+")),
    st.builds("{}-{}".format, _upstream.map(lambda text: text.replace(":", "")), _revision),
    st.builds("{}:{}-{}".format, st.sampled_from(["0", "00", "1", "10"]), _upstream, _revision),
)

_near = st.builds(
    lambda version, tail: (version, version + tail), _version, st.text("0~a.+", min_size=1, max_size=2)
)
_pair = st.one_of(st.tuples(_version, _version), _near, _near.map(lambda pair: (pair[1], pair[0])))

_LOOP = """
while read -r a b; do
  if dpkg --compare-versions "$a" lt "$b"; then echo -1
  elif dpkg --compare-versions "$a" eq "$b"; then echo 0
  else echo 1; fi
done < "$1"
"""


def signs_of_dpkg(pairs: list[tuple[str, str]], folder: Path) -> list[int]:
    """Ask the real dpkg about all pairs in one shell."""
    listed = folder / "pairs"
    listed.write_text("".join(f"{a} {b}\n" for a, b in pairs), encoding="ascii")
    done = subprocess.run(
        ["sh", "-c", _LOOP, "sh", str(listed)], check=True, capture_output=True, text=True, timeout=120
    )
    return [int(line) for line in done.stdout.split()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dpkg")


# Shrinking would start dpkg thousands of times; the list of differences is small enough to read.
@settings(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(pairs=st.lists(_pair, min_size=80, max_size=80))
def test_generated_versions_compare_as_dpkg_compares_them(pairs: list[tuple[str, str]], folder: Path) -> None:
    expected = signs_of_dpkg(pairs, folder)
    ours = [compare_debian(a, b) for a, b in pairs]
    assert [pair for pair, own, sign in zip(pairs, ours, expected, strict=True) if own != sign] == []


NASTY = [
    ("1.0", "1.0-0"),
    ("0", "0~"),
    ("1-0", "1-0~"),
    ("1.0-0~", "1.0"),
    ("0:1.0", "1.0"),
    ("1.0", "1.0-1"),
    ("1.0~", "1.0"),
    ("1.0~~", "1.0~"),
    ("1.0~rc1-1", "1.0-1"),
    ("1.0-1~bpo12+1", "1.0-1"),
    ("1.0-1+deb12u1", "1.0-1"),
    ("1.0-1+deb12u2", "1.0-1+deb12u10"),
    ("1.09", "1.9"),
    ("1.a", "1.+"),
    ("1a", "1."),
    ("1.0a", "1.0"),
    ("1.0.", "1.0"),
    ("1.0-0", "1.0-00"),
    ("1.0-~", "1.0"),
    ("1.0-a", "1.0"),
    ("2:1.0", "1:9.9"),
    ("1-2-3", "1-2-4"),
    ("1:1:1-1", "1:1:2-1"),
    ("20240203", "20240203~"),
    ("9.2.0-0ubuntu0.22.04.1", "9.2.0-0ubuntu0.22.04"),
    ("1.0~~a", "1.0~"),
    ("99999999999999999999.1", "100000000000000000000"),
]


def test_known_hard_pairs_compare_as_dpkg_compares_them_in_both_directions(folder: Path) -> None:
    both = [*NASTY, *((b, a) for a, b in NASTY)]
    assert [compare_debian(a, b) for a, b in both] == signs_of_dpkg(both, folder)


@given(_version, _version, _version)
def test_the_order_is_total(a: str, b: str, c: str) -> None:
    assert compare_debian(a, b) == -compare_debian(b, a)
    if compare_debian(a, b) <= 0 and compare_debian(b, c) <= 0:
        assert compare_debian(a, c) <= 0


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">= 1.22.1-9, < 2", ["1.22.1-9", "1.22.1-9+deb12u1", "1.99"], ["1.22.1-8", "2", "2.0", "1:1.5"]),
        ("= 1.0-1", ["1.0-1", "0:1.0-1"], ["1.0-1+b1", "1.0"]),
        ("!=1.0", ["1.1", "0.9"], ["1.0", "1.0-0"]),
        ("<=1.0~rc1", ["1.0~rc1", "0.9"], ["1.0"]),
        (">1:0", ["1:0.1", "2:0"], ["9", "1:0"]),
        ("< 2,>1", ["1.5"], ["1", "2"]),
    ],
)
def test_a_range_contains_what_every_comparison_admits(
    text: str, inside: list[str], outside: list[str]
) -> None:
    parsed = VersionRange.parse(text)
    assert [version for version in inside if not parsed.contains(version, compare_debian)] == []
    assert [version for version in outside if parsed.contains(version, compare_debian)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty part"),
        (">= 1,", "empty part"),
        ("1.2", "'1.2' is not a comparison"),
        (">= ", "'>=' compares with no version"),
        ("~= 1.2", "'~= 1.2' is not a comparison"),
        (">= 1 2", "'>= 1 2' is not a comparison"),
        ("== 1", "'== 1' is not a comparison"),
    ],
)
def test_what_is_not_a_range_is_refused_with_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        VersionRange.parse(text)


def test_a_range_reads_back_as_it_is_written() -> None:
    assert VersionRange.parse(str(VersionRange.parse(">=1,<2"))) == VersionRange.parse(">= 1, < 2")


def test_a_manager_whose_order_is_not_known_has_none() -> None:
    assert order_of("apt") is compare_debian
    assert order_of("portage") is None
