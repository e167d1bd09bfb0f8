"""Times are written as the clock of those who read them shows them, and no two instants read alike."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.text.wording import by_both_clocks, day_and_hours, on_the_clock
from tests.examples import examples

SUNDAY = datetime(2026, 11, 29, 1, tzinfo=UTC)
TWICE = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # clocks are set back: half past two comes twice
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("at", "timezone", "said"),
    [
        (SUNDAY, "Europe/Berlin", "Sun 2026-11-29 02:00 Europe/Berlin"),
        (SUNDAY, "America/New_York", "Sat 2026-11-28 20:00 America/New_York"),
        (SUNDAY, "UTC", "Sun 2026-11-29 01:00 UTC"),
        (SUNDAY + timedelta(seconds=5), "UTC", "Sun 2026-11-29 01:00:05 UTC"),
        (SUNDAY, "Nowhere/Land", "Sun 2026-11-29 01:00 UTC"),
        (SUNDAY, "../../etc/passwd", "Sun 2026-11-29 01:00 UTC"),
        (SUNDAY, "", "Sun 2026-11-29 01:00 UTC"),
        (TWICE, "Europe/Berlin", "Sun 2026-10-25 02:30 Europe/Berlin (+02:00)"),
        (TWICE + HOUR, "Europe/Berlin", "Sun 2026-10-25 02:30 Europe/Berlin (+01:00)"),
    ],
)
def test_an_instant_is_told_with_weekday_and_zone(at: datetime, timezone: str, said: str) -> None:
    assert on_the_clock(at, timezone) == said


def test_a_file_has_utc_beside_it() -> None:
    both = by_both_clocks(SUNDAY, "Europe/Berlin")
    assert both == "Sun 2026-11-29 02:00 Europe/Berlin, 2026-11-29T01:00:00Z"
    assert by_both_clocks(SUNDAY, "UTC") == "Sun 2026-11-29 01:00 UTC"


def test_a_day_that_both_ends_share_is_told_once() -> None:
    assert day_and_hours(SUNDAY, SUNDAY + 3 * HOUR, "UTC") == "Sun 2026-11-29 01:00 to 04:00 UTC"
    evening = day_and_hours(SUNDAY, SUNDAY + 3 * HOUR, "America/New_York")
    assert evening == "Sat 2026-11-28 20:00 to 23:00 America/New_York"
    late = day_and_hours(SUNDAY, SUNDAY + 6 * HOUR, "America/New_York")
    assert late == "Sat 2026-11-28 20:00 America/New_York to Sun 2026-11-29 02:00 America/New_York"


@examples(200)
@given(st.integers(0, 60 * 365 * 86400), st.integers(1, 40 * 86400), st.timezone_keys())
def test_two_instants_never_read_alike(since: int, later: int, timezone: str) -> None:
    first = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=since)
    second = first + timedelta(seconds=later)
    assert on_the_clock(first, timezone) != on_the_clock(second, timezone)
