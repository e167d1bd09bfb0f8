"""What became of a package from report to report."""

from dataclasses import replace
from datetime import timedelta

from reconciler.planning.facts.package import Mention
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.turns import turns
from tests.report_samples import HELD, NOW, plan_of, report_of, update


def told(hours: int, policy: str, *updates: object) -> Report:
    report = report_of(plan_of(*updates), now=NOW + timedelta(hours=hours))  # type: ignore[arg-type]  # updates
    return replace(report, policy_commit=policy)


def test_each_change_is_told_once_with_the_policy_of_before_and_of_now() -> None:
    free = update("nginx", installed="1.22.1-8", candidate="1.22.1-9")
    reports = [
        told(0, "a" * 40, free, update("bash")),
        told(1, "a" * 40, free),
        told(2, "b" * 40, HELD),
        told(3, "c" * 40, HELD),
        told(4, "c" * 40),
        told(5, "c" * 40),
    ]
    found = turns(Mention.parse("nginx"), reports)
    assert [
        (one.at - NOW, one.update and str(one.update.disposition), one.policy[:1], one.policy_before[:1])
        for one in found
    ] == [
        (timedelta(0), "planned", "a", ""),
        (timedelta(hours=2), "held", "b", "a"),
        (timedelta(hours=4), None, "c", "c"),
    ]
    assert [one.is_first for one in found] == [True, False, False]


def test_a_line_of_policy_that_only_has_another_commit_is_no_change() -> None:
    moved = replace(HELD, reasons=(replace(HELD.reasons[0], origin="exceptions/nginx.yaml:3@ffffffffffff"),))
    assert len(turns(Mention.parse("nginx"), [told(0, "a" * 40, HELD), told(1, "b" * 40, moved)])) == 1


def test_nothing_is_told_of_what_no_report_lists() -> None:
    assert turns(Mention.parse("zlib"), [told(0, "a" * 40, update("bash"))]) == ()
