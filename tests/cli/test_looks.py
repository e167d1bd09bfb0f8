"""How long the last look at a guest stands."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.cli.wiring.looks import LONGEST, Look, Looks
from reconciler.planning.facts.guest_rows import GuestOutcome, GuestTold

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TOLD = GuestTold(GuestOutcome.PENDING, "2 updates pending", "debian 12", NOW + timedelta(days=2))
LOOK = Look(NOW, NOW + LONGEST, "kept", TOLD)


def test_it_stands_while_nothing_changes_until_its_time_is_over() -> None:
    assert LOOK.stands("kept", NOW)
    assert LOOK.stands("kept", NOW + LONGEST - MINUTE)
    assert not LOOK.stands("kept", NOW + LONGEST)
    assert not LOOK.stands("kept", NOW - MINUTE)  # the clock was set back
    assert not LOOK.stands("something else", NOW)
    assert not replace(LOOK, kept="").stands("", NOW)


def test_it_is_made_again_early_only_where_another_is() -> None:
    assert not LOOK.is_taken_along(NOW + LONGEST / 2 - MINUTE)
    assert LOOK.is_taken_along(NOW + LONGEST / 2)


def test_looks_are_read_as_they_were_written() -> None:
    looks = Looks("key", {"101": LOOK, "web": replace(LOOK, told=GuestTold(GuestOutcome.FINE, "up to date"))})
    assert Looks.read(looks.to_json(), "key") == looks


@pytest.mark.parametrize("key", ["another", ""])
def test_looks_by_another_view_count_for_nothing(key: str) -> None:
    assert Looks.read(Looks("key", {"101": LOOK}).to_json(), key) == Looks(key, {})
    assert Looks.read(Looks("", {"101": LOOK}).to_json(), key) == Looks(key, {})


UNZONED = Looks("key", {"101": replace(LOOK, until=LOOK.until.replace(tzinfo=None))}).to_json()


@pytest.mark.parametrize("data", [None, b"", b"{}", b'{"key": "key", "of": {"101": {}}}', b"\xff", UNZONED])
def test_a_file_that_is_damaged_counts_for_nothing(data: bytes | None) -> None:
    assert Looks.read(data, "key") == Looks("key", {})
