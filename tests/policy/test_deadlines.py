"""What deadline each sort of update has."""

import pytest

from reconciler.policy.deadlines import limits_of
from reconciler.policy.documents import Deadlines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({}, {}),
        ({"other": "3d"}, {"other": "other", "security": "other", "critical": "other"}),
        ({"security": "2d"}, {"security": "security", "critical": "security"}),
        ({"critical": "1d", "other": "3d"}, {"other": "other", "security": "other", "critical": "critical"}),
    ],
)
def test_a_sort_without_a_deadline_counts_as_the_next(text: dict[str, str], expected: dict[str, str]) -> None:
    limits = limits_of(Deadlines.model_validate(text))
    assert {sort: limit.key for sort, limit in limits.items()} == expected
