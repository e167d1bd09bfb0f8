"""Which reports an audit of a period looks at, and whether they tell of all of it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.audit.audit import CHECKS, BranchCheck, ReportCheck, audit
from reconciler.planning.audit.periods import Period
from reconciler.planning.audit.story import Link, PolicyLine, Sighting, Story, Unread
from reconciler.planning.audit.verdicts import Against, Verdict
from reconciler.planning.facts.inventory import Previous
from reconciler.planning.reporting.document import Report
from reconciler.policy.enrolment import Standing
from tests.report_samples import report_of

DAY = timedelta(days=1)
BEGIN, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
NOW = datetime(2027, 1, 15, tzinfo=UTC)
LINE = PolicyLine({}, {}, lambda _: Unread("there is none"))
INVENTORY = report_of().inventory


def reports(oid: str) -> Report | Unread:
    """Return reports that follow one another; ``other`` is one that has other packages."""
    if oid == "unread":
        return Unread("it cannot be read")
    inventory = "sha256:" + "0" * 64 if oid == "other" else INVENTORY
    return replace(report_of(), inventory=inventory, previous=Previous("", INVENTORY))


def line(*dates: datetime, report: str = "same", standing: Standing | None = Standing.ENROLLED) -> list[Link]:
    """Return a branch whose reports are made at these times."""
    return [
        Link(
            f"{number:040}",
            (f"{number - 1:040}",) if number else (),
            at,
            f"{report}",
            "",
            standing,
        )
        for number, at in enumerate(dates)
    ]


def story(links: list[Link], *seen: tuple[datetime, int], **values: Any) -> Story:
    """Return a story, of which publishers saw up to this number at these times."""
    witnesses = tuple(
        Sighting(f"{number:040}", at, links[tip].commit) for number, (at, tip) in enumerate(seen)
    )
    return Story(
        "web-01",
        "hosts/web-01",
        tuple(links),
        LINE,
        reports,
        lambda _: Unread("it has no recording"),
        witnesses,
        **{"read_at": NOW, **values},
    )


def numbers(told: Story, since: datetime = BEGIN, until: datetime = END) -> list[int]:
    return [int(link.commit) for link in Period(since, until).of(told)]


@pytest.mark.parametrize("year", [1970, 2020, 2030])
def test_a_report_that_its_host_dates_out_of_the_period_is_in_it(year: int) -> None:
    dates = [BEGIN - 30 * DAY, datetime(year, 1, 1, tzinfo=UTC), BEGIN + 40 * DAY]
    assert 1 in numbers(story(line(*dates)))
    assert 1 in numbers(story(line(*dates), (BEGIN + 31 * DAY, 1)))
    assert 1 in numbers(story(line(*dates[:2])))
    assert numbers(story(line(*dates), (BEGIN + 31 * DAY, 1)), END, END + 30 * DAY) == []


def test_a_report_that_a_publisher_saw_later_belongs_to_both_times() -> None:
    told = story(line(BEGIN - 3 * DAY, BEGIN - DAY), (BEGIN + DAY, 1))
    assert numbers(told) == [0, 1]
    assert numbers(told, BEGIN - 2 * DAY, BEGIN) == [1]


def test_a_date_that_fits_is_believed_until_somebody_saw_it() -> None:
    assert numbers(story(line(BEGIN - DAY, BEGIN + DAY, END + DAY))) == [1]


INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(
    dates=st.lists(INSTANTS, min_size=1, max_size=6),
    looks=st.lists(st.floats(0, 1), max_size=3),
    ends=st.lists(INSTANTS, max_size=4),
    now=INSTANTS,
)
def test_no_report_is_out_of_every_period(
    dates: list[datetime], looks: list[float], ends: list[datetime], now: datetime
) -> None:
    links = line(*dates)
    # Publishers look one after the other, at a branch that grows.
    begin = datetime(2000, 1, 1, tzinfo=UTC)
    seen = [(begin + (now - begin) * look, int(look * (len(links) - 1))) for look in sorted(looks)]
    told = story(links, *seen, read_at=now)
    borders = [datetime.min.replace(tzinfo=UTC), *sorted(one for one in ends if one < now), now + DAY]
    found = {number for since, until in pairwise(borders) for number in numbers(told, since, until)}
    assert found == set(range(len(links)))


def broken(*_: object) -> Iterator[Against]:
    """Yield something, and break."""
    yield Against("broken", Verdict.UNPROVED, "this was found before")
    raise OverflowError


def test_a_check_that_breaks_is_said_and_hides_nothing_of_the_others() -> None:
    """A host that could break one by an odd recording would else keep the whole fleet from being audited."""
    said = Against("bad", Verdict.REFUTED, "the branch was rewritten")
    kinds = (
        BranchCheck("broken", "", "", broken),
        ReportCheck("broken", "", "", broken),
        BranchCheck("bad", "", "", lambda *_: iter([said])),
    )
    found = audit(story(line(BEGIN)), BEGIN, END, kinds)
    assert (found.verdict, found.against.count(said)) == (Verdict.REFUTED, 1)
    assert [one.reason for one in found.against if one != said] == [
        "this was found before",
        "this could not be asked: OverflowError",
    ] * 2


def covered(told: Story, since: datetime = BEGIN, until: datetime = END) -> list[str]:
    found = audit(told, since, until, [one for one in CHECKS if one.name == "covered"])
    assert found.verdict is (Verdict.UNPROVED if found.against else Verdict.PROVED)
    return [one.reason for one in found.against]


DAILY = [BEGIN + number * DAY for number in range((END - BEGIN).days)]


def test_a_target_that_reports_up_to_the_end_is_covered() -> None:
    assert covered(story(line(*DAILY))) == []


@pytest.mark.parametrize("last", [BEGIN - 40 * DAY, BEGIN, END - 30 * DAY, END - 3 * DAY])
def test_a_target_that_is_silent_is_not_proved_to_have_changed_nothing(last: datetime) -> None:
    links = line(BEGIN - 50 * DAY, last)
    (reason,) = covered(story(links))
    assert reason == (
        f"nothing tells of it since {last:%Y-%m-%d %H:%M} UTC: find out why it is silent, and audit once more"
        " when it reports"
    )


def test_a_machine_that_was_off_at_the_end_and_came_back_as_it_was_is_covered() -> None:
    links = line(*DAILY[:60], END + 10 * DAY)
    assert covered(story(links)) == []
    links[-1] = replace(links[-1], report="other")
    (reason,) = covered(story(links))
    assert reason == (
        "nothing tells of it since 2026-11-29 00:00 UTC, and what had changed by 2027-01-11 00:00 UTC may be"
        " of before the end: audit until then"
    )
    assert covered(story(links), until=END + 10 * DAY + timedelta(minutes=1)) == []
    links[-1] = replace(links[-1], report="same", is_heartbeat=True)
    assert covered(story(links)) == []


def test_a_machine_that_was_off_in_between_is_covered_by_the_report_after() -> None:
    assert covered(story(line(BEGIN, BEGIN + DAY, END - DAY))) == []


def test_reports_that_are_dated_ahead_and_are_seen_before_do_not_cover() -> None:
    links = line(BEGIN, BEGIN + DAY, END - DAY)
    (reason,) = covered(story(links, (BEGIN + 2 * DAY, 2)))
    assert reason.startswith("nothing tells of it since 2026-10-03 00:00 UTC: find out")


def test_a_report_of_nobody_does_not_cover() -> None:
    links = line(*DAILY)
    links[-1] = replace(links[-1], standing=None)
    (reason,) = covered(story(links))
    assert reason.startswith("nothing tells of it since before 2026-12-31 00:00 UTC: find out")


def test_who_is_enrolled_or_retired_meanwhile_reports_for_so_long() -> None:
    assert covered(story(line(*DAILY[30:]), enrolled=DAILY[29])) == []
    assert covered(story(line(*DAILY[:30]), retired=DAILY[30])) == []
    assert covered(story(line(END + DAY), enrolled=END)) == []
    (reason,) = covered(story(line(*DAILY[30:]), enrolled=BEGIN))
    assert reason == (
        "nothing tells of it before 2026-10-31 00:00 UTC, when it reported first: audit from then on"
    )
