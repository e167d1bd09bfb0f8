"""What went wrong in a tick is told once."""

from reconciler.errors import Stalled, Transient
from reconciler.reconcile.tick import each_once


def test_a_failure_that_both_reports_of_a_tick_met_is_told_once_and_in_its_place() -> None:
    first, second, third = Transient("cannot push", "wait"), Stalled("other"), Stalled("cannot push")
    assert each_once([first, second, Transient("cannot push"), third]) == (first, second, third)
