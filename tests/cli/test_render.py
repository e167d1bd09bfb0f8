"""Reports on a terminal: aligned, wrapped, harmless, and the same on every day."""

import json
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.showing.render import (
    render_explain,
    render_plan,
    render_run,
    render_status,
    render_summary,
)
from reconciler.cli.showing.terminal import json_text
from reconciler.cli.verbs.status import BAD_ENDS
from reconciler.planning.facts.observation import Facts, Installed, Move, Quarantined, Reboot, RebootNeed
from reconciler.planning.notices.snapshot import snapshot_of
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.markdown import to_markdown
from reconciler.planning.resolving.dispositions import Condition, ConditionType, Disposition, Plan, Reason
from reconciler.planning.runs.record import Difference, RunOutcome
from reconciler.planning.text.layout import UnknownWord
from tests.examples import examples
from tests.planning.test_run_record import RECORD
from tests.planning_texts import HOSTILE_TEXT
from tests.report_samples import (
    APPROVAL,
    COMMIT,
    EMPTY,
    FREEZE,
    INPUTS,
    NOW,
    OBSERVATION,
    SETTINGS,
    USUAL,
    change,
    plan_of,
    report_of,
    update,
)

NEW = update("libnew1", installed=None, candidate="2.0-1")
GONE = update("libold1", installed="1.0-1", candidate=None)
BUSY = report_of(
    replace(
        plan_of(*USUAL.updates, NEW),
        transaction=(*USUAL.transaction, change("libold1", action="remove", to_version=None, origin="")),
        conditions=(
            Condition(
                ConditionType.METADATA_STALE, True, "TooOld", "not refreshed since 2026-11-01T00:00:00Z"
            ),
            Condition(
                ConditionType.POLICY_AMBIGUOUS, None, "EqualPriority", "web and base set action", stalled=True
            ),
        ),
    ),
    replace(INPUTS, freezes=(FREEZE,)),
    observation=replace(OBSERVATION, reboot=Reboot(RebootNeed.REQUIRED, ("linux-image-6.1.0-28-amd64",))),
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plan", render_plan(report_of())),
        ("plan-busy", render_plan(BUSY, width=72)),
        ("plan-empty", render_plan(report_of(EMPTY))),
        ("plan-colour", render_plan(BUSY, colour=True)),
        ("status", render_status(report_of())),
        ("status-busy", render_status(BUSY, width=72)),
        ("explain", render_explain(report_of())),
        ("explain-nginx", render_explain(report_of(), "nginx")),
    ],
)
def test_a_text_is_written_as_before(name: str, text: str, golden: Callable[[str, bytes], None]) -> None:
    golden(f"render/{name}.txt", text.encode())


def test_a_held_package_is_explained_with_the_line_that_holds_it() -> None:
    text = render_explain(report_of(), "nginx", width=200)
    assert text == (
        "nginx 1.22.1-8 → 1.22.1-9: held\n"
        "  because held by the exception nginx-http2-regression: HTTP/2 regression"
        " [exceptions/nginx.yaml:3@abc123def456]\n"
    )


def test_a_planned_package_is_explained_with_what_it_waits_for() -> None:
    text = render_explain(report_of(inputs=replace(INPUTS, freezes=(FREEZE,))), "bash:amd64", width=200)
    assert text.startswith("bash 1.0-1 → 1.0-2: planned\n")
    assert "Not now (freeze): frozen by year-end" in text


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("curl", "curl 7.88.1-10: installed and up to date; no source offers anything newer\n"),
        ("curl:amd64", "curl 7.88.1-10: installed and up to date; no source offers anything newer\n"),
        (
            "vim",
            "vim 9.0-1: installed and up to date, on hold by the operator; no source offers anything newer\n",
        ),
        ("ngimx", "ngimx: not installed, and no update of that name\ndid you mean nginx?\n"),
        ("zzz", "zzz: not installed, and no update of that name\n"),
        ("curl:i386", "curl:i386: not installed, and no update of that name\ndid you mean curl?\n"),
    ],
)
def test_a_package_without_an_update_is_explained_too(package: str, expected: str) -> None:
    installed = (*OBSERVATION.installed, Installed("vim", "amd64", "9.0-1", held=True))
    assert render_explain(report_of(), package, installed=installed) == expected


def test_a_package_that_is_half_done_or_in_quarantine_is_not_called_up_to_date() -> None:
    half = Installed("vim", "amd64", "9.0-2", status="half-configured")
    failed = Quarantined("vim", "amd64", "9.0-2", NOW, "run", "postinst failed\nwith 1", COMMIT)
    text = render_explain(report_of(), "vim", installed=(half,), quarantined=(failed,), width=200)
    assert text == (
        "vim 9.0-2: half done (half-configured)\n"
        "vim 9.0-2: in quarantine, since installing it failed at Sun 2026-11-22 04:00 Europe/Berlin:"
        " postinst failed; with 1\n"
    )
    missing = replace(failed, message="404", until=NOW + timedelta(hours=1), attempts=1)
    text = render_explain(report_of(), "vim", installed=(half,), quarantined=(missing,), width=200)
    assert text.endswith(
        "vim 9.0-2: in quarantine, since its file could not be fetched at Sun 2026-11-22 04:00"
        " Europe/Berlin: 404; it is tried again after Sun 2026-11-22 05:00 Europe/Berlin\n"
    )


def test_nothing_is_called_up_to_date_where_what_is_on_offer_cannot_be_told() -> None:
    unresolved = Condition(ConditionType.CANNOT_RESOLVE, True, "Unresolvable", "apt cannot")
    report = report_of(replace(EMPTY, conditions=(unresolved,)))
    text = render_explain(report, "curl", installed=OBSERVATION.installed)
    assert text.startswith("curl 7.88.1-10: installed; no newer version is known")


def test_installs_and_removals_say_so() -> None:
    text = render_explain(report_of(plan_of(NEW, GONE)))
    assert "libnew1 2.0-1 (new): planned" in text
    assert "libold1 1.0-1 (to be removed): planned" in text


def test_columns_are_aligned_whatever_the_width_of_a_character() -> None:
    plan = plan_of(update("漢字"), update("nginx"), update("e\u0301"))
    lines = [line for line in render_plan(report_of(plan)).splitlines() if line.startswith("  upgrade")]
    columns = {
        sum(
            2 if unicodedata.east_asian_width(one) == "W" else 1
            for one in line.split("1.0-1")[0]
            if not unicodedata.combining(one)
        )
        for line in lines
    }
    assert len(lines) == 3
    assert len(columns) == 1


@pytest.mark.parametrize("width", [40, 72, 100, 200])
def test_sentences_are_wrapped_and_nothing_is_lost(width: int) -> None:
    words = " ".join(["word"] * 80)
    held = update(disposition=Disposition.HELD, reasons=(Reason("hold", words, "exceptions/a.yaml:1"),))
    lines = render_explain(report_of(plan_of(held)), "nginx", width=width).splitlines()
    assert all(len(line) <= width for line in lines)
    assert " ".join(" ".join(lines).split()).count("word") == 80


def test_colour_only_where_asked() -> None:
    for text in (render_plan(BUSY), render_status(BUSY), render_explain(BUSY)):
        assert "\x1b" not in text
    for text in (
        render_plan(BUSY, colour=True),
        render_status(BUSY, colour=True),
        render_explain(BUSY, colour=True),
    ):
        assert "\x1b[" in text
        assert text.count("\x1b[0m") * 2 == text.count("\x1b[")


def test_a_plan_to_be_approved_shows_its_whole_digest() -> None:
    report = report_of(inputs=replace(INPUTS, settings=replace(SETTINGS, approval="required")))
    assert f"To approve exactly this plan: plan: {USUAL.digest}\n" in render_plan(report)


def test_who_used_an_approval_up_is_told_another_way() -> None:
    settings = replace(SETTINGS, approval="required")
    approval = replace(APPROVAL, plan=USUAL.digest)
    inputs = replace(INPUTS, settings=settings, approvals=(approval,), used=(USUAL.digest,))
    report = report_of(inputs=inputs)
    assert "used up" in render_plan(report)
    assert "To let the same happen once more, approve its versions\n" in render_plan(report)
    assert "merge an Approval with its `versions:`." in to_markdown(report)
    assert "To approve exactly this plan" not in render_plan(report) + to_markdown(report)


def test_before_the_window_a_person_is_told_to_approve_as_well() -> None:
    closed = replace(INPUTS.windows, spans=INPUTS.windows.spans[1:])
    inputs = replace(INPUTS, settings=replace(SETTINGS, approval="required"), windows=closed)
    report = report_of(inputs=inputs)
    for text in (render_plan(report, width=200), render_status(report, width=200)):
        assert "Not now (window)" in text
        assert "\nA person must act as well: no approval in force covers plan " in text
        assert f"To approve exactly this plan: plan: {USUAL.digest}\n" in text
    page = to_markdown(report)
    assert "\n\nA person must act as well: no approval in force covers plan " in page
    assert f". To approve exactly this plan, merge an Approval with `plan:` `{USUAL.digest}`.\n" in page


def test_no_text_depends_on_the_moment_of_reading() -> None:
    later = report_of(now=NOW + timedelta(minutes=1))
    assert render_plan(later) == render_plan(report_of())


def _hostile(text: str) -> Report:
    reasons = (Reason(text, text, text),)
    updates = (
        update(text, arch=text, installed=text, candidate=text, origin=text, reasons=reasons),
        update(text + "b", reasons=reasons, disposition=Disposition.HELD),
    )
    move = change(text, arch=text, from_version=text, to_version=text, origin=text)
    plan = Plan((move,), updates, USUAL.digest, (Condition(UnknownWord(text), True, text, text),))
    inputs = replace(
        INPUTS,
        policy=replace(INPUTS.policy, ref=text, remote=text, commit=text),
        freezes=(replace(FREEZE, name=text, reason=text, origin=text),),
    )
    observation = replace(
        OBSERVATION,
        facts=Facts(text, text, text, text, text, text),
        reboot=Reboot(RebootNeed.REQUIRED, (text,)),
    )
    return report_of(plan, inputs, observation=observation, target=text)


@examples(100)
@given(HOSTILE_TEXT)
def test_no_text_can_steer_the_terminal(text: str) -> None:
    report = _hostile(text)
    installed = (Installed(text, "amd64", text),)
    for shown in (
        render_plan(report),
        render_status(report),
        render_explain(report),
        render_explain(report, text),
        render_explain(report_of(EMPTY), text, installed=installed),
        render_explain(report_of(EMPTY), text + "x", installed=installed),
    ):
        assert all(one in " \n" or unicodedata.category(one)[0] not in "CZ" for one in shown)


@given(st.text())
def test_json_shows_nothing_that_moves_a_cursor_and_loses_nothing(text: str) -> None:
    shown = json_text({text: [text]})
    assert all(line.isprintable() for line in shown.split("\n"))
    assert json.loads(shown) == {text: [text]}


def test_two_architectures_of_one_name_are_told_apart() -> None:
    held = [
        update("zlib", arch=arch, disposition=Disposition.HELD, installed="1.0", candidate="1.1")
        for arch in ("amd64", "i386")
    ]
    report = report_of(plan_of(*held, update("wine", arch="i386", disposition=Disposition.HELD), NEW))
    for text in (render_plan(report), render_explain(report)):
        assert "zlib:amd64 1.0 → 1.1: held" in text
        assert "zlib:i386 1.0 → 1.1: held" in text
        assert "wine:i386 " in text
        assert "libnew1:" not in text.replace("libnew1:amd64  -", "")
    assert "`zlib:i386`" in to_markdown(report)
    assert any("zlib:amd64, zlib:i386" in why for why in snapshot_of(report, action="apply").waits)
    moved = tuple(Move("upgrade", "zlib", arch, "1.0-1", "1.1-1", "lab") for arch in ("x86_64", "i686"))
    alone = Move("remove", "old", "x86_64", "1.0-1", None, "")
    difference = Difference((*moved, alone), (), (), ())
    told = [line.split() for line in render_run(replace(RECORD, difference=difference)).splitlines()]
    assert ["zlib:x86_64", "1.0-1", "1.1-1"] in told
    assert ["zlib:i686", "1.0-1", "1.1-1"] in told
    assert ["old", "1.0-1", "(gone)"] in told


def test_a_run_that_changed_nothing_is_told_all_the_same() -> None:
    nothing = replace(RECORD, difference=Difference((), (), (), ()), reason="it was locked")
    assert "it was locked" in render_run(nothing)


@pytest.mark.parametrize("outcome", sorted(RunOutcome))
def test_only_what_failed_is_told_in_red(outcome: RunOutcome) -> None:
    title = render_run(replace(RECORD, outcome=outcome), colour=True).partition("\n")[0]
    is_bad = outcome in {RunOutcome.FAILED, RunOutcome.INTERRUPTED, RunOutcome.ROLLED_BACK}
    assert ("\033[31m" in title) is is_bad
    assert (outcome in BAD_ENDS) is is_bad


@pytest.mark.parametrize("columns", [60, 80, 100, 160])
def test_no_line_is_longer_than_the_terminal_is_wide(columns: int) -> None:
    report = report_of()
    for text in (
        render_plan(report, width=columns),
        render_status(report, width=columns),
        render_summary(report, width=columns),
        render_explain(report, width=columns),
    ):
        # A word may be longer than a line, such as a place in policy: it can be copied whole.
        too_long = [
            line
            for line in text.split("\n")
            if len(line) > columns and max(map(len, line.split())) < columns // 2
        ]
        assert too_long == []


def test_what_fixes_security_is_read_first_then_by_source_then_by_name() -> None:
    text = render_plan(report_of(), width=200)
    shown = [line.split()[1] for line in text.split("\n") if "→" in line and line.startswith("  upgrade")]
    assert shown[0] == "openssl:amd64"
    assert shown[1:] == sorted(shown[1:])
