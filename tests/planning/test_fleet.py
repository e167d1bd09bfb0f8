"""A target as a row of the fleet: its state, the worst first, and what is made of hostile text."""

import csv
import io
import json
import re
import unicodedata
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from reconciler.errors import Misuse
from reconciler.planning.facts.observation import Reboot, RebootNeed
from reconciler.planning.fleet import pages
from reconciler.planning.fleet.changes import changes, notice
from reconciler.planning.fleet.rows import (
    Heard,
    NewestRun,
    Row,
    TargetState,
    again,
    as_of,
    never_heard,
    retired,
    row_of,
    state_of,
    unverified,
    worst_first,
)
from reconciler.planning.fleet.summary import (
    SILENT_AFTER,
    FleetSummary,
    Head,
    Line,
    read_own,
    read_summary,
    summary_schema,
    write_summary,
)
from reconciler.planning.gates.types import Outcome
from reconciler.planning.notices.events import Event
from reconciler.planning.reporting.document import Decided, OutsideMove, Report
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.runs.record import RunOutcome, RunRecord
from reconciler.planning.text.layout import UnknownWord
from tests.planning_texts import HOSTILE_TEXT
from tests.report_samples import COMMIT, EMPTY, INPUTS, NOW, USUAL, plan_of, report_of, update

FORMULA = frozenset("=+-@")
HEAD = Head(COMMIT, policy_is_verified=True)
HEARD = Heard("a" * 40, "b" * 40, "SHA256:key", COMMIT, NOW)
REPORT = report_of()
HAND = OutsideMove("install", "nano", "amd64", None, "1", "installed")


def row(report: Report = REPORT, run: RunRecord | None = None, **values: Any) -> Row:
    return replace(row_of("hosts/web-01", report, run, HEARD), **values)


def condition(kind: str, *, is_stalled: bool = True) -> Report:
    known: Any = ConditionType(kind) if kind in list(ConditionType) else UnknownWord(kind)
    return replace(REPORT, conditions=(Condition(known, True, "Why", "because; do this", is_stalled),))


def decided(outcome: Outcome) -> Report:
    return replace(REPORT, decision=Decided(outcome, "a reason", None))


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (condition("ApplyFailed"), TargetState.FAILED),
        (condition("CannotResolve"), TargetState.FAILED),
        (condition("PackageSystemInterrupted"), TargetState.INTERRUPTED),
        (condition("Overdue", is_stalled=False), TargetState.OVERDUE),
        (condition("PolicyStalled"), TargetState.WAITING),
        (decided(Outcome.APPROVAL), TargetState.WAITING),
        (decided(Outcome.PAUSED), TargetState.WAITING),
        (replace(REPORT, reboot=Reboot(RebootNeed.REQUIRED, ("a kernel",))), TargetState.REBOOT_PENDING),
        (replace(REPORT, changed_outside=(HAND,)), TargetState.CHANGED_OUTSIDE),
        (decided(Outcome.WINDOW), TargetState.FINE),
        (report_of(EMPTY), TargetState.FINE),
    ],
)
def test_a_report_is_in_the_worst_state_that_it_tells_of(report: Report, state: TargetState) -> None:
    found, reason = state_of(report, None)
    assert found is state
    assert reason
    both = replace(report, changed_outside=(HAND,))
    assert state_of(both, None)[0].rank <= TargetState.CHANGED_OUTSIDE.rank


def test_who_must_approve_is_told_before_the_window_and_not_in_it() -> None:
    settings = replace(INPUTS.settings, approval="required")
    closed = replace(INPUTS.windows, spans=INPUTS.windows.spans[1:])
    early = report_of(USUAL, replace(INPUTS, settings=settings, windows=closed))
    assert early.decision.outcome is Outcome.WINDOW
    found, reason = state_of(early, None)
    assert found is TargetState.WAITING
    assert reason.startswith("approval: no approval in force covers plan ")
    planned = replace(INPUTS, settings=replace(settings, action="plan"))
    for idle in (report_of(EMPTY, replace(INPUTS, settings=settings)), report_of(USUAL, planned)):
        assert state_of(idle, None)[0] is TargetState.FINE


def test_the_order_is_the_one_in_which_people_should_look() -> None:
    assert [str(state) for state in TargetState] == [
        "unverified",
        "failed",
        "interrupted",
        "silent",
        "overdue",
        "waiting-for-a-person",
        "reboot-pending",
        "changed-outside",
        "fine",
        "retired",
    ]
    rows = [row(target=f"web-{state}", state=state) for state in reversed(TargetState)]
    assert [one.state for one in worst_first(rows)] == list(TargetState)
    alarming = {state for state in TargetState if state.alarms}
    assert alarming == {
        TargetState.UNVERIFIED,
        TargetState.FAILED,
        TargetState.SILENT,
        TargetState.OVERDUE,
    }


def test_a_target_is_silent_only_when_it_was_not_heard_for_longer_than_that() -> None:
    one = row()
    assert as_of(one, NOW + SILENT_AFTER, SILENT_AFTER) is one
    silent = as_of(one, NOW + SILENT_AFTER + timedelta(seconds=1), SILENT_AFTER)
    assert silent.state is TargetState.SILENT
    assert "2026-11-22 03:00 UTC" in silent.reason
    assert one.reason in silent.reason


@pytest.mark.parametrize(
    "one", [row(state=TargetState.FAILED), unverified("hosts/a", "no key", row()), retired("hosts/a", row())]
)
def test_silence_hides_nothing_that_is_worse_and_wakes_nobody_for_what_is_retired(one: Row) -> None:
    assert as_of(one, NOW + timedelta(days=90), SILENT_AFTER) is one


def test_what_was_ended_half_way_and_is_silent_or_late_wakes_somebody() -> None:
    one = row(state=TargetState.INTERRUPTED, reason="half done")
    assert not one.alarms
    silent = as_of(one, NOW + timedelta(days=90), SILENT_AFTER)
    assert (silent.state, silent.alarms) == (TargetState.SILENT, True)
    assert "half done" in silent.reason
    assert one.counts is not None
    late = replace(one, counts=replace(one.counts, overdue=1))
    assert late.alarms
    assert changes([one], [late]).began == (late,)


def test_what_is_not_verified_keeps_what_the_last_verified_report_told() -> None:
    found = unverified("hosts/web-01", "it is not signed", row())
    assert (found.state, found.reason) == (TargetState.UNVERIFIED, "it is not signed")
    assert (found.head, found.tree, found.counts) == (HEARD.commit, HEARD.tree, REPORT.counts)
    assert not unverified("hosts/new-01", "it is not signed").is_known
    assert never_heard("db-01").state is TargetState.SILENT


def test_a_heartbeat_changes_nothing_but_when_it_was_heard() -> None:
    later = Heard("c" * 40, HEARD.tree, HEARD.key, "d" * 40, NOW + timedelta(days=1))
    found = again(row(), later)
    assert (found.head, found.heard, found.policy_commit) == ("c" * 40, later.at, "d" * 40)
    assert found.headline == row().headline


def test_a_security_update_is_as_old_as_the_first_report_that_told_of_it() -> None:
    first = row()
    later = replace(HEARD, at=NOW + timedelta(days=3))
    more = plan_of(*USUAL.updates, update("zlib", security=True))
    found = row_of("hosts/web-01", report_of(more), None, later, first)
    assert found.oldest_security is not None
    assert (found.oldest_security.package, found.oldest_security.since) == ("openssl:amd64", NOW)
    assert found.security["zlib:amd64=1.0-2"] == later.at
    assert row_of("hosts/web-01", report_of(EMPTY), None, later, found).oldest_security is None


def test_a_summary_is_read_as_it_was_written_and_is_as_its_schema_says() -> None:
    run = NewestRun("20261122T020000Z-0123456789ab", NOW, RunOutcome.FAILED, "failed")
    newer: Any = UnknownWord("another-word")
    rows = [
        row(last_run=run),
        row(decision=Decided(newer, "of a newer release", NOW)),
        row(labels={"a": "\u2028\n\x00é漢"}, guest_of="pve-01"),
        unverified("hosts/new-01", "it is not signed"),
        never_heard("db-01"),
    ]
    lines = [Line.of(one) for one in worst_first(rows)]
    data = write_summary(HEAD, lines)
    assert read_summary(data) == (HEAD, lines)
    head, own = read_own(data)
    assert (head, own) == (HEAD, lines)
    assert [line.row for line in own] == [line.row for line in lines]
    for name in ("target", "branch", "state", "head", "tip", "tree", "key", "heard"):
        assert [getattr(line, name) for line in own] == [getattr(line.row, name) for line in lines]
    assert write_summary(*read_summary(data)) == data
    assert data.count(b"\n") == 7 + len(rows)
    Draft202012Validator(summary_schema()).validate(json.loads(data))
    assert set(json.loads(data)) == set(FleetSummary.__annotations__)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"schema": 1, "rows": [1]}', b"[" * 100_000, b"\xff"])
def test_what_is_no_summary_is_refused(data: bytes) -> None:
    with pytest.raises(Misuse, match=r"summary\.json"):
        read_summary(data)
    with pytest.raises(Misuse, match=r"summary\.json"):
        read_own(data)


def test_a_row_that_lacks_something_is_refused() -> None:
    document = json.loads(write_summary(HEAD, [Line.of(row())]))
    del document["rows"][0]["tip"]
    with pytest.raises(Misuse, match="tip"):
        read_summary(json.dumps(document).encode())


def test_a_summary_of_a_newer_release_is_refused_with_what_helps() -> None:
    data = write_summary(HEAD, []).replace(b'"schema":1', b'"schema":2')
    with pytest.raises(Misuse, match="newer patchledger") as caught:
        read_summary(data)
    assert "at least as new" in caught.value.hint


def test_an_empty_fleet_has_all_files() -> None:
    assert read_summary(write_summary(HEAD, [])) == (HEAD, [])
    assert read_own(write_summary(HEAD, [])) == (HEAD, [])
    assert "0 targets" in pages.status_page(HEAD, []).decode()
    assert pages.heads([]) == b""
    assert len(list(csv.reader(io.StringIO(pages.as_csv([]))))) == 1
    series = series_of(pages.open_metrics(HEAD, [], NOW, NOW))
    assert series[0].name == "patchledger_fleet_targets"


def test_the_heads_name_all_that_was_seen() -> None:
    rows = [row(branch="hosts/b", tip="2" * 40), row(branch="hosts/a", tip="1" * 40), never_heard("c")]
    assert pages.heads(rows).decode() == f"{'1' * 40} hosts/a\n{'2' * 40} hosts/b\n"


def series_of(told: bytes) -> list[Any]:
    families: Any = text_string_to_metric_families(told.decode())  # type: ignore[no-untyped-call]  # not typed
    return [sample for family in families for sample in family.samples]


def hostile(text: str) -> Row:
    outcome: Any = UnknownWord(text)
    return row(
        target=text,
        reason=text,
        os=text,
        manager=text,
        headline=text,
        labels={text: text},
        policies=(text,),
        decision=Decided(outcome, text, None),
        state=TargetState.FAILED,
        timezone=text,
    )


@given(st.lists(HOSTILE_TEXT, max_size=4))
@example(["\uff1d1+1", "\t=1", "\r@a"])
def test_whatever_hosts_say_a_table_has_a_row_for_each_and_no_formula(texts: list[str]) -> None:
    rows = [hostile(text) for text in texts]
    read = list(csv.reader(io.StringIO(pages.as_csv(rows)), strict=True))
    assert len(read) == len(rows) + 1
    for line in read:
        assert len(line) == len(pages.COLUMNS)
        assert not any(unicodedata.normalize("NFKC", cell.lstrip()[:1]) in FORMULA for cell in line)
        assert all(cell.isprintable() for cell in line)


@given(st.lists(HOSTILE_TEXT, max_size=4))
@example(['","tree":"', '},\n"rows":[\n', "\u2028", '"}\n]}\n'])
@example(["\ud800"])
def test_whatever_hosts_say_its_line_is_read_as_it_was_written(texts: list[str]) -> None:
    rows = [replace(hostile(text), target=f"web-{number}") for number, text in enumerate(texts)]
    lines = [Line.of(one) for one in rows]
    data = write_summary(HEAD, lines)
    for read in (read_own, read_summary):
        head, found = read(data)
        assert (head, found) == (HEAD, lines)
        assert [Line.of(line.row) for line in found] == lines


@given(st.lists(HOSTILE_TEXT, max_size=4))
def test_whatever_hosts_say_the_page_is_one_table(texts: list[str]) -> None:
    page = pages.status_page(HEAD, [hostile(text) for text in texts]).decode()
    lines = page.split("\n")
    assert sum(line.startswith("| ") and "| failed |" in line for line in lines) >= len(texts)
    prose = re.sub(r"`[^`\n]*`", "", page)
    assert not any(mark in prose for mark in ("<", "](", "![", "@"))
    assert all(line.isprintable() for line in lines)


@given(st.lists(HOSTILE_TEXT, max_size=4))
def test_whatever_hosts_say_there_are_as_many_series(texts: list[str]) -> None:
    series = series_of(pages.open_metrics(HEAD, [hostile(text) for text in texts], NOW, NOW))
    assert len(series) <= 30 + len(Outcome)
    assert {one.labels["outcome"] for one in series if "outcome" in one.labels} <= {"other"}


def test_the_number_of_series_does_not_grow_with_the_fleet() -> None:
    rows = [row(target=f"web-{number}", labels={"n": str(number)}) for number in range(500)]
    few = pages.open_metrics(HEAD, rows[:1], NOW, NOW).count(b"\n")
    assert pages.open_metrics(HEAD, rows, NOW, NOW).count(b"\n") == few


def test_a_page_has_the_clock_of_each_targets_windows_and_utc_beside_it() -> None:
    late = row(
        target="a", state=TargetState.SILENT, reason="since 2026-11-01T00:00:00Z", timezone="Europe/Berlin"
    )
    assert row().timezone == "Europe/Berlin", "that of the windows in its report"
    assert (
        "| `a` | silent | since Sun 2026-11-01 01:00 Europe/Berlin (2026-11-01T00:00:00Z) "
        "| Sun 2026-11-22 04:00 Europe/Berlin, 2026-11-22T03:00:00Z |"
    ) in pages.status_page(HEAD, [late]).decode()


def test_a_page_of_a_large_fleet_says_how_much_it_leaves_out() -> None:
    rows = [row(target=f"web-{number:03}", state=TargetState.FAILED) for number in range(205)]
    page = pages.status_page(HEAD, rows).decode()
    assert "| failed | 205 |" in page
    assert "5 more are in `summary.json`" in page
    assert len(page) < 60_000


def test_one_message_tells_what_began_to_need_somebody_and_what_is_well_again() -> None:
    before = [row(target="a"), row(target="b", state=TargetState.FAILED), row(target="c")]
    after = [
        row(target="a", state=TargetState.SILENT, reason="<b>silent</b>"),
        row(target="b"),
        row(target="c", state=TargetState.WAITING),
        row(target="d", state=TargetState.UNVERIFIED),
    ]
    found = changes(before, after)
    assert [one.target for one in found.began] == ["d", "a"]
    assert [one.target for one in found.ended] == ["b"]
    told = notice(found, "fleet", NOW)
    assert told is not None
    assert told.event is Event.FAILED
    assert (
        told.message.title
        == "[patchledger] fleet: 2 targets began to need somebody: d, a; 1 target well again"
    )
    assert "a: silent: <b>silent</b>" in told.message.text
    assert "<b>silent" not in told.message.html
    assert notice(changes(before, after), "fleet", NOW) == told


def test_what_happens_once_more_is_told_once_more() -> None:
    found = changes([row()], [row(state=TargetState.UNVERIFIED)])
    told = [notice(found, "fleet", NOW, since) for since in ("monday", "monday", "friday")]
    first, again, later = (one.occasion for one in told if one is not None)
    assert first == again != later


def test_nothing_is_told_of_what_still_needs_somebody() -> None:
    before = [row(state=TargetState.SILENT)]
    assert notice(changes(before, [row(state=TargetState.UNVERIFIED)]), "fleet", NOW) is None
    recovered = notice(changes(before, [row()]), "fleet", NOW)
    assert recovered is not None
    assert recovered.event is Event.RECOVERED


def test_labels_that_a_host_never_told_are_not_taken_for_none() -> None:
    untold = replace(REPORT, host=replace(REPORT.host, own_labels=None))
    told = replace(REPORT, host=replace(REPORT.host, own_labels={}))
    assert (row(untold).own_labels, row(told).own_labels) == (None, {})
    lines = [Line.of(row(one)) for one in (untold, told)]
    assert [line.row for line in read_summary(write_summary(HEAD, lines))[1]] == [line.row for line in lines]
