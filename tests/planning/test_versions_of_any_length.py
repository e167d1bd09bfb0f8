"""A number in a version may be of any length: it is ordered as the number that it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.versions import VersionRange, order_of

LONG = "7" * 5000
PLACES = ("{}:1.0-1", "{}-1", "1.{}-1", "1.0-{}", "1.0-1a{}")
MANAGERS = ("apt", "dnf", "zypper", "pacman")

_number = st.integers(0, 999)


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("place", PLACES)
@given(a=_number, b=_number)
def test_a_long_number_is_ordered_by_its_last_digits_as_by_its_first(
    manager: str, place: str, a: int, b: int
) -> None:
    order = order_of(manager)
    assert order is not None
    sign = (a > b) - (a < b)
    assert order(place.format(f"{LONG}{a:03}"), place.format(f"{LONG}{b:03}")) == sign
    assert order(place.format(f"1{a:03}{LONG}"), place.format(f"1{b:03}{LONG}")) == sign
    assert order(place.format("0" * 5000 + str(a)), place.format(str(b))) == sign
    assert order(place.format(f"1{a:03}{LONG}"), place.format(f"9{b:03}")) == 1


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_range_may_name_a_long_number(manager: str) -> None:
    order = order_of(manager)
    assert order is not None
    wanted = VersionRange.parse(f">= 1.{LONG}")
    assert wanted.contains(f"1.{LONG}1", order)
    assert not wanted.contains("1.9", order)
