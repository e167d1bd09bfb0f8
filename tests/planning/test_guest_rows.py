"""A hypervisor's report has a row for each guest, the worst first, and it can be made again from git."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.cli.showing.render import render_status
from reconciler.planning.facts.guest_rows import (
    GuestOutcome,
    GuestRow,
    GuestTold,
    branch_before,
    counted,
    farewell,
    guest_rows,
    is_trouble,
    worst_first,
)
from reconciler.planning.facts.guests import (
    Choice,
    Gone,
    Guest,
    GuestKind,
    Inspected,
    Inventory,
    Locked,
    Moved,
    Running,
    Stopped,
    Template,
    Unsupported,
    Wishes,
    inventory,
)
from reconciler.planning.fleet.rows import Heard, TargetState, row_of
from reconciler.planning.gates.recording import Own, judge, read_recording, record, write
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.host_status import status_document
from reconciler.planning.reporting.markdown import to_markdown
from reconciler.planning.reporting.reader import read_report
from reconciler.planning.reporting.report import build_report, is_news, to_json
from reconciler.planning.reporting.schema import report_schema
from reconciler.planning.reporting.summary import headline
from reconciler.planning.text import canonical
from reconciler.planning.text.layout import UnknownWord
from tests.examples import examples
from tests.report_samples import FACTS, INPUTS, NOW, OBSERVATION, effective

SUNDAY = datetime(2026, 11, 29, 2, tzinfo=UTC)


def found() -> Inventory:
    guests = (
        Guest("101", GuestKind.PROXMOX, "web", Running(), ("web",)),
        Guest("102", GuestKind.PROXMOX, "db", Stopped()),
        Guest("103", GuestKind.PROXMOX, "tmpl", Template()),
        Guest("104", GuestKind.PROXMOX, "cache", Running()),
        Guest("105", GuestKind.PROXMOX, "new", Running()),
        Guest("106", GuestKind.PROXMOX, "off", Running(), ("no-patch",)),
        Guest("107", GuestKind.PROXMOX, "busy", Locked("backup")),
        Guest("200", GuestKind.PROXMOX, "win", Unsupported("it is a virtual machine")),
    )
    wishes = Wishes(but=Choice(tags=frozenset({"no-patch"})))
    place = Inspected(guests, elsewhere={"110": "pve2"})
    return inventory([place], wishes, frozenset({"101", "110", "111"}))


TOLD = {
    "101": GuestTold(GuestOutcome.PENDING, "3 updates pending (1 security)", "debian 12", SUNDAY),
    "104": GuestTold(GuestOutcome.FAILED, "postinst of bad", "debian 12"),
    "102": GuestTold(GuestOutcome.FINE, "from before it was stopped"),
}


def rows() -> tuple[GuestRow, ...]:
    return guest_rows(found(), "pve1", TOLD, frozenset({"101", "102"}))


def test_each_guest_has_a_row_and_the_worst_is_first() -> None:
    assert [(one.id, str(one.outcome), one.reason) for one in rows()] == [
        ("104", "failed", "postinst of bad"),
        ("101", "pending", "3 updates pending (1 security)"),
        ("105", "not-looked-at", "nobody looked into it yet"),
        ("102", "skipped", "it is stopped"),
        ("103", "skipped", "it is a template"),
        ("106", "skipped", "guests.except names tag no-patch"),
        ("107", "skipped", "it is locked (backup)"),
        ("200", "unsupported", "it is a virtual machine"),
        ("110", "gone", "gone: now on pve2"),
        ("111", "gone", "gone: destroyed"),
    ]
    assert [one.id for one in rows() if one.report] == ["101", "102"]
    assert counted(rows()) == ("10 (1 failed, 1 pending, 1 not-looked-at, 4 skipped, 1 unsupported, 2 gone)")


def report_with(guests: tuple[GuestRow, ...]) -> tuple[Report, bytes]:
    host = replace(FACTS, name="pve1")
    own = Own(guests=guests)
    recording = record(OBSERVATION, (), INPUTS, host, program="patchledger 0.1.0", now=NOW, own=own)
    return build_report(recording, effective(), judge(recording, effective())), write(recording)


def test_it_is_in_the_report_and_can_be_made_again_from_the_recording() -> None:
    report, recorded = report_with(rows())
    assert report.guests == rows()
    assert read_recording(recorded).guests == rows()
    written = canonical.to_bytes(canonical.plain(report))
    Draft202012Validator(report_schema()).validate(json.loads(written))
    assert read_report(written) == report


def test_a_host_without_guests_writes_nothing_of_them() -> None:
    report, recorded = report_with(())
    told, kept = canonical.plain(report), json.loads(recorded)
    for key in ("guests", "previously", "gone", "called"):
        assert key not in told
        assert key not in told["host"]
        assert key not in kept


def test_people_see_it_in_markdown_and_in_status() -> None:
    report, _ = report_with(rows())
    page = to_markdown(report)
    assert "## Guests: 10 (1 failed, 1 pending" in page
    assert "| `104` | cache | running | debian 12 | **failed** | postinst of bad |" in page
    text = render_status(report)
    assert "Guests: 10 (1 failed, 1 pending" in text
    lines = [line.split() for line in text.partition("Guests: ")[2].splitlines()[1:3]]
    assert lines[0] == ["104", "cache", "debian", "12", "failed", "postinst", "of", "bad"]
    assert lines[1][:10] == [
        "101",
        "web",
        "debian",
        "12",
        "pending",
        "Sun",
        "2026-11-29",
        "03:00",
        "Europe/Berlin",
        "3",
    ]
    assert [one["id"] for one in status_document(report, None)["guests"]][:2] == ["104", "101"]
    assert "Guests" not in render_status(report_with(())[0])


def test_a_later_window_of_a_guest_is_no_news_and_its_outcome_is() -> None:
    before = to_json(report_with(rows())[0])
    later = tuple(replace(one, next=NOW) if one.next else one for one in rows())
    other = tuple(replace(one, outcome=GuestOutcome.FINE) for one in rows())
    assert not is_news(to_json(report_with(later)[0]), before)
    assert is_news(to_json(report_with(other)[0]), before)


def test_a_word_of_a_newer_release_is_kept_and_shown_first() -> None:
    report, _ = report_with(rows())
    told = canonical.plain(report)
    told["guests"][1]["outcome"] = "bewitched"
    again = read_report(canonical.to_bytes(told))
    assert isinstance(again.guests[1].outcome, UnknownWord)
    assert canonical.plain(again) == told
    assert is_trouble(again.guests[1])
    assert str(worst_first(again.guests)[0].outcome) == "bewitched"
    assert "bewitched" in render_status(again)


@pytest.mark.parametrize(
    ("guest", "said"), [(Moved("pve2"), "gone: now on pve2"), (Gone(), "gone: destroyed"), (Running(), "")]
)
def test_a_guest_that_went_says_where(guest: Moved | Gone | Running, said: str) -> None:
    assert farewell(guest) == said


def test_who_came_from_another_node_was_reported_there() -> None:
    assert branch_before("101", {"101": "pve1"}) == "guests/pve1/101"
    assert branch_before("102", {"101": "pve1"}) == ""


def guest_report(gone: str, previously: str) -> Report:
    host = replace(FACTS, name="101", guest_of="pve1", called="web")
    own = Own(gone=gone, previously=previously)
    recording = record(OBSERVATION, (), INPUTS, host, program="patchledger 0.1.0", now=NOW, own=own)
    assert read_recording(write(recording)) == recording
    return build_report(recording, effective(), judge(recording, effective()))


def test_the_last_report_of_a_guest_takes_it_out_of_sight() -> None:
    report = guest_report("gone: now on pve2", "guests/pve3/101")
    assert (report.host.called, report.host.previously) == ("web", "guests/pve3/101")
    assert headline(report) == "gone: now on pve2"
    heard = Heard("c" * 40, "d" * 40, "SHA256:key", "e" * 40, NOW)
    row = row_of("guests/pve1/101", report, None, heard)
    assert (row.target, row.called, row.state) == ("pve1/101", "web", TargetState.RETIRED)
    assert row.reason == "gone: now on pve2"
    host = replace(report, host=replace(report.host, guest_of=None))
    assert row_of("hosts/101", host, None, heard).state is not TargetState.RETIRED


ANY = st.text(max_size=400)


@given(ANY, ANY, st.lists(ANY, max_size=40), ANY)
@examples(100)
def test_whatever_a_guest_is_called_is_one_short_line(
    name: str, why: str, tags: list[str], said: str
) -> None:
    guest = Guest("101", GuestKind.LXC, name, Running(), tuple(tags))
    odd = Guest("102", GuestKind.LXC, name, Unsupported(why), tuple(tags))
    told = {"101": GuestTold(GuestOutcome.FAILED, said, said)}
    for row in guest_rows(inventory([Inspected((guest, odd))], Wishes()), "pve1", told):
        texts = (row.name, row.detail, row.reason, row.os, *row.tags)
        assert all(len(text) <= 300 and text.isprintable() for text in texts)
        assert len(row.tags) <= 30
