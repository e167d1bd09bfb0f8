"""What is tried again remembers that it was."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.planning.runs.execution import Unfetched

AT = datetime(2026, 11, 22, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attempts", "hours"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 24), (1000, 24)]
)
def test_it_is_tried_less_and_less_often(attempts: int, hours: int) -> None:
    assert Unfetched("plan", AT, attempts, "404").again == AT + timedelta(hours=hours)
