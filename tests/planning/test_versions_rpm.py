"""The version order of dnf and zypper agrees with rpm's own."""

import subprocess

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from reconciler.planning.facts.versions import VersionRange, compare_rpm, order_of

# Few characters make near misses likely; the order of two texts hangs on their first difference.
_part = st.text("0019azAZ.+~^_", min_size=1, max_size=7).filter(lambda text: text.strip("."))
_version = st.builds(
    "{}{}-{}".format,
    st.sampled_from(["", "0:", "1:", "10:"]),
    _part,
    st.text("019az.~^", min_size=1, max_size=4),
)
_near = st.builds(
    lambda version, tail: (version, version + tail), _version, st.text("0~a.^", min_size=1, max_size=2)
)

pytestmark = pytest.mark.lab
_pair = st.one_of(st.tuples(_version, _version), _near, _near.map(lambda pair: (pair[1], pair[0])))


def signs_of_rpm(pairs: list[tuple[str, str]]) -> list[int]:
    """Ask the real rpm about all pairs at once."""
    calls = " ".join(f"print(rpm.vercmp('{a}', '{b}')..' ')" for a, b in pairs)
    done = subprocess.run(["rpm", "--eval", f"%{{lua:{calls}}}"], check=True, capture_output=True, text=True)
    return [int(sign) for sign in done.stdout.split()]


@settings(max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(pairs=st.lists(_pair, min_size=80, max_size=80))
def test_generated_versions_compare_as_rpm_compares_them(pairs: list[tuple[str, str]]) -> None:
    ours = [compare_rpm(a, b) for a, b in pairs]
    expected = signs_of_rpm(pairs)
    assert [pair for pair, own, sign in zip(pairs, ours, expected, strict=True) if own != sign] == []


NASTY = [
    ("1.0-1", "1.0-1"),
    ("0:1.0-1", "1.0-1"),
    ("1:1.0-1", "2.0-1"),
    ("1.0~rc1-1", "1.0-1"),
    ("1.0^git1-1", "1.0-1"),
    ("1.0^git1-1", "1.0.1-1"),
    ("1.0^-1", "1.0~-1"),
    ("1.0~~-1", "1.0~-1"),
    ("1.0a-1", "1.0.1-1"),
    ("1.a-1", "1.1-1"),
    ("1.010-1", "1.10-1"),
    ("1_0-1", "1.0-1"),
    ("5.14.0-362.8.1.el9_3", "5.14.0-362.18.1.el9_3"),
    ("1.0-1.el9_4.2", "1.0-1.el9"),
    ("99999999999999999999999999-1", "100000000000000000000000000-1"),
]


@pytest.mark.parametrize(("a", "b"), NASTY)
def test_hard_pairs_compare_as_rpm_compares_them(a: str, b: str) -> None:
    (expected,) = signs_of_rpm([(a, b)])
    assert (compare_rpm(a, b), compare_rpm(b, a)) == (expected, -expected)


@pytest.mark.parametrize(
    ("wanted", "version", "is_inside"),
    [
        ("= 1.0", "1.0-7", True),  # every release of it
        ("<= 1.0", "1.0-7", True),
        ("< 1.0", "1.0-7", False),
        ("> 1.0", "1.0-7", False),
        (">= 1.0-3", "1.0-2", False),
        (">= 1.0-3", "1.0", True),
        ("< 1:0", "9.9-1", True),
    ],
)
def test_a_range_without_release_means_every_release(wanted: str, version: str, *, is_inside: bool) -> None:
    assert VersionRange.parse(wanted).contains(version, compare_rpm) is is_inside


@pytest.mark.parametrize("manager", ["dnf", "zypper"])
def test_managers_of_rpms_order_by_it(manager: str) -> None:
    assert order_of(manager) is compare_rpm
