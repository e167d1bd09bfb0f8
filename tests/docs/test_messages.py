"""The texts of one incident and of one approval, all of them, as the documentation shows them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.planning.facts.observation import RebootNeed
from reconciler.planning.notices.events import (
    Event,
    LastRun,
    Notice,
    Route,
    Snapshot,
    Trouble,
    Whereabouts,
    continued,
    events,
)
from reconciler.planning.notices.message import PackageLine
from reconciler.planning.notices.together import Gathered, Heard, settled, told_together
from reconciler.planning.resolving.dispositions import ConditionType
from reconciler.planning.runs.record import OF_PACKAGES, RunResult
from reconciler.policy.documents import Approval
from reconciler.policy.yamltext import parse_documents, validate

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "messages.md"
NIGHT = datetime(2026, 11, 29, 1, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DIGEST = "sha256:" + "cd6f35493b46" * 5 + "0123"
RUN = "20261129T010412Z-cd6f35493b46"
NEXT = "20261206T010207Z-77ab01c2d3e4"
FRAIL = PackageLine("frail", "amd64", "1.0", "1.1")
CURL = PackageLine("curl", "amd64", "7.88.1-10", "7.88.1-10+deb12u8", security=True)

BEFORE = Snapshot(
    at=NIGHT - HOUR,
    target="web-01",
    mode="apply",
    outcome="window",
    reason="outside the windows of sunday-night",
    policy_commit="6f7bcbfe4817c0ffee",
    digest=DIGEST,
    planned=(CURL, FRAIL),
    reboot=RebootNeed.NOT_REQUIRED,
    boot_id="b",
    next_windows=(NIGHT, NIGHT + 168 * HOUR),
    place=Whereabouts("Europe/Berlin", "hosts/web-01", "632922679ae9", "main"),
)
FAILED = replace(
    BEFORE,
    at=NIGHT + HOUR / 10,
    outcome="nothing",
    reason="no source offers anything newer",
    planned=(),
    digest="sha256:" + "0" * 64,
    open_until=NIGHT + 3 * HOUR,
    next_windows=(NIGHT + 168 * HOUR,),
    place=replace(BEFORE.place, report="9ab31f00c0de"),
    troubles=(
        Trouble(
            Event.FAILED,
            ConditionType.PACKAGES_QUARANTINED,
            "left alone after it failed: frail 1.1; it is tried again with another version",
        ),
        Trouble(
            Event.INTERRUPTED,
            ConditionType.PACKAGE_SYSTEM_INTERRUPTED,
            "an earlier transaction was interrupted: frail (half-configured)",
        ),
    ),
    last_run=LastRun(
        RUN,
        RunResult.FAILED,
        DIGEST,
        min(OF_PACKAGES),
        "installing frail 1.1 failed, and is not tried again",
        (CURL, FRAIL),
        log_excerpt="Setting up frail (1.1) ...\nno disk is mounted at /srv/frail\n"
        "dpkg: error processing package frail (--configure):\n"
        " installed frail package post-installation script subprocess returned error exit status 1\n",
    ),
)
REPAIRED = replace(FAILED, at=FAILED.at + HOUR / 4, troubles=FAILED.troubles[:1])
MENDED = replace(
    REPAIRED,
    at=NIGHT + 168 * HOUR + HOUR / 10,
    troubles=(),
    open_until=NIGHT + 171 * HOUR,
    next_windows=(NIGHT + 336 * HOUR,),
    place=replace(BEFORE.place, report="41c8d2e77b10"),
    last_run=LastRun(
        NEXT,
        RunResult.APPLIED,
        "sha256:" + "77ab01c2d3e4" * 5 + "9999",
        packages=(replace(FRAIL, new="1.2"),),
    ),
)
WAITING = replace(BEFORE, needs_approval=True, outcome="approval", reason="no approval covers this plan")
APPLIED = replace(
    WAITING,
    at=NIGHT + HOUR / 10,
    needs_approval=False,
    outcome="nothing",
    reason="no source offers anything newer",
    planned=(),
    digest="sha256:" + "0" * 64,
    open_until=NIGHT + 3 * HOUR,
    next_windows=(NIGHT + 168 * HOUR,),
    place=replace(BEFORE.place, report="9ab31f00c0de"),
    last_run=LastRun(RUN, RunResult.APPLIED, DIGEST, packages=(CURL, FRAIL)),
)
ASKED_FOR = frozenset(Event) - {Event.EVERY_RUN, Event.WEEKLY_DIGEST}


def told(steps: Sequence[Snapshot]) -> list[Notice]:
    """Return the messages of one step after the other, for a route that asks for all of them."""
    found: list[Notice] = []
    before: Snapshot | None = None
    for step in steps:
        now = continued(before, step)
        found += [] if before is None else events(before, now, now.at)
        before = now
    return [one for one in found if one.event in ASKED_FOR]


INCIDENT = (BEFORE, FAILED, REPAIRED, replace(REPAIRED, at=REPAIRED.at + 24 * HOUR), MENDED)
ONE_APPROVAL = (
    replace(BEFORE, planned=(), digest=""),
    WAITING,
    replace(WAITING, at=WAITING.at + HOUR / 4),
    APPLIED,
)


def blocks(notices: Iterable[Notice]) -> str:
    return "\n".join(f"```text\n{one.message.title}\n\n{one.message.text}```\n" for one in notices)


def told_of_guests() -> list[Notice]:
    """Return the messages of two ticks: three guests with one trouble, one whose run fails."""
    gathered, found = Gathered(), list[Notice]()
    stale = Trouble(
        Event.METADATA_STALE,
        ConditionType.METADATA_STALE,
        "the last refresh failed: mirror.example does not answer",
    )
    guests = {"101": "web", "102": "db", "103": "mail", "104": "wiki"}
    before = {
        own: replace(
            BEFORE,
            target=f"pve1/{own}",
            place=replace(BEFORE.place, branch=f"guests/pve1/{own}", called=name),
        )
        for own, name in guests.items()
    }
    wrong = {own: replace(one, at=FAILED.at, troubles=(stale,)) for own, one in before.items()}
    wrong["104"] = replace(FAILED, target="pve1/104", place=before["104"].place)
    well = {own: replace(one, at=MENDED.at, troubles=()) for own, one in wrong.items()}
    well["104"] = replace(MENDED, target="pve1/104", place=before["104"].place)
    for step in (wrong, well):
        for own, current in step.items():
            now = continued(before[own], current)
            routes = (Route("ops", ASKED_FOR - {Event.PLAN_CHANGED}),)
            heard = (Heard(one, routes) for one in events(before[own], now, now.at))
            gathered = replace(gathered, fresh=(*gathered.fresh, *heard))
            before[own] = now
        sent, gathered = settled(gathered, now.at)
        found += [one for _, notices in told_together("pve1", sent) for one in notices]
    return found


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("incident", blocks(told(INCIDENT))),
        ("approval", blocks(told(ONE_APPROVAL))),
        ("guests", blocks(told_of_guests())),
    ],
)
def test_the_page_shows_every_text_as_it_is_sent(
    name: str, made: str, request: pytest.FixtureRequest
) -> None:
    page = PAGE.read_text()
    between = re.compile(f"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
    if request.config.getoption("--update-golden"):
        page = between.sub(lambda _: made, page)
        PAGE.write_text(page)
    shown = between.search(page)
    assert shown is not None
    assert shown[0] == made


def test_one_incident_is_one_message_and_one_recovery() -> None:
    assert [one.event for one in told(INCIDENT)] == [Event.FAILED, Event.APPLIED, Event.RECOVERED]
    failed, _, recovered = told(INCIDENT)
    assert failed.told == {Event.FAILED, Event.INTERRUPTED}
    assert recovered.message.text.count("over: ") == 3


@pytest.mark.parametrize("steps", [INCIDENT, ONE_APPROVAL])
def test_the_first_line_says_what_happened_and_the_second_what_is_asked(steps: tuple[Snapshot, ...]) -> None:
    for one in told(steps):
        first, second, third, *_ = one.message.text.split("\n")
        assert first.startswith("web-01: ")
        assert second.startswith("Asked of you: ")
        assert third == ""
        assert "nothing newer" not in one.message.text, "how things stand is not what happened"


def test_an_end_that_comes_by_parts_is_told_once_whatever_is_run_later() -> None:
    unwanted = replace(REPAIRED, troubles=(), at=REPAIRED.at + HOUR)
    found = told((BEFORE, FAILED, REPAIRED, unwanted, MENDED))
    assert [one.event for one in found] == [Event.FAILED, Event.RECOVERED, Event.APPLIED]


def test_the_document_of_a_message_is_an_approval_of_that_plan_in_time_for_its_window() -> None:
    (asks,) = (one for one in told(ONE_APPROVAL) if one.event is Event.NEEDS_APPROVAL)
    text = asks.message.text[asks.message.text.index("kind: Approval") :]
    documents, problems = parse_documents(text.encode(), "approvals/a.yaml")
    assert problems == []
    approval = validate(Approval, documents[0], "approvals/a.yaml")
    assert isinstance(approval, Approval)
    assert approval.plan == DIGEST
    assert approval.ends() > NIGHT + 3 * HOUR
    assert "before Sun 2026-11-29 02:00 Europe/Berlin" in asks.message.text
    for form in (asks.message.markdown, asks.message.html):
        assert DIGEST in form


def test_a_window_that_is_open_is_no_missing_one() -> None:
    now = replace(WAITING, at=NIGHT + HOUR, open_until=NIGHT + 3 * HOUR, next_windows=())
    (asks,) = (one for one in told((BEFORE, now)) if one.event is Event.NEEDS_APPROVAL)
    assert "now: the window is open until Sun 2026-11-29 05:00 Europe/Berlin" in asks.message.text
    assert re.search(r"Window: +open until Sun 2026-11-29 05:00 Europe/Berlin\n", asks.message.text)
    assert "none" not in asks.message.text
