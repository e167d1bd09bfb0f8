"""Times are written as the clock of those who read them shows them, and no two instants read alike."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.cli.verbs import status
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.wording import (
    by_both_clocks,
    day_and_hours,
    instants_on_the_clock,
    on_the_clock,
)
from tests.examples import examples

SUNDAY = datetime(2026, 11, 29, 1, tzinfo=UTC)
TWICE = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # clocks are set back: half past two comes twice
HOUR = timedelta(hours=1)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "no/such")
BERLIN = "Europe/Berlin"
NEW_YEAR = "Thu 2026-01-01 01"


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a since 2026-11-29T01:00:00Z and", "a since Sun 2026-11-29 02:00 Europe/Berlin and"),
        ("passed 2026-06-01 22:30 UTC: b", "passed Tue 2026-06-02 00:30 Europe/Berlin: b"),
        ("2026-10-25T01:30:00Z", "Sun 2026-10-25 02:30 Europe/Berlin (+01:00)"),
        (
            "2026-01-01T00:00:00Z to 2026-01-01T00:00:30Z",
            f"{NEW_YEAR}:00 {BERLIN} to {NEW_YEAR}:00:30 {BERLIN}",
        ),
        # No instants of ours: a date of a package, a run, an impossible one, one of another form.
        ("run 20261122T120000Z-0123abcd", None),
        ("linux 6.1-2026-11-29T01:00:00Z", None),
        ("2026-13-45T01:00:00Z", None),
        ("2026-11-29T01:00:00Z2", None),
        ("on 2026-11-29, UTC", None),
    ],
)
def test_instants_in_a_sentence_are_put_on_a_clock(text: str, said: str | None) -> None:
    assert instants_on_the_clock(text, "Europe/Berlin") == (said or text)


def test_beside_a_clock_of_a_file_is_utc() -> None:
    text = "not refreshed since 2026-11-29T01:00:00Z"
    said = "not refreshed since Sun 2026-11-29 02:00 Europe/Berlin (2026-11-29T01:00:00Z)"
    assert instants_on_the_clock(text, "Europe/Berlin", beside=True) == said
    utc = "not refreshed since Sun 2026-11-29 01:00 UTC"
    for timezone in ("UTC", "no/such"):
        assert instants_on_the_clock(text, timezone, beside=True) == utc


@given(st.integers(0, 37 * 365 * 24 * 60), st.sampled_from(ZONES))
@example(14103390, "Europe/Berlin")
@example(13810515, "Australia/Lord_Howe")
def test_status_has_the_same_words_as_reports(minutes: int, timezone: str) -> None:
    """It asks the C library, which is there already."""
    at = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    before = os.environ.get("TZ")
    assert status.shown(instant(at), timezone) == on_the_clock(at, timezone)
    assert os.environ.get("TZ") == before
