"""A report that says nothing new is committed now and then, so that silence is news."""

from datetime import datetime, timedelta

import pytest

from reconciler.reconcile.reporter import heartbeat_due
from tests.report_samples import NOW


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (NOW - timedelta(hours=24), True),
        (NOW - timedelta(hours=23, minutes=59), False),
        (NOW, False),
        (NOW + timedelta(days=400), True),
    ],
)
def test_a_heartbeat_is_due_after_a_silence_or_a_clock_that_jumped(last: datetime, due: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert heartbeat_due(last, NOW, timedelta(hours=24)) is due
