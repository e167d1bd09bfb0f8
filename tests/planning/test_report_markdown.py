"""``report.md``: what it shows first, what it escapes and how long it gets."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reconciler.planning.facts.observation import Facts, Reboot, RebootNeed, Source
from reconciler.planning.gates.types import Inhibitor, Pause
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.markdown import LIMIT, to_markdown
from reconciler.planning.resolving.dispositions import Condition, ConditionType, Disposition, Plan, Reason
from reconciler.planning.text.layout import UnknownWord
from tests.examples import examples
from tests.planning_texts import HOSTILE_TEXT
from tests.report_samples import (
    APPROVAL,
    EMPTY,
    FREEZE,
    INPUTS,
    NOW,
    OBSERVATION,
    SETTINGS,
    USUAL,
    change,
    many,
    plan_of,
    report_of,
    update,
)

TELLING = replace(
    USUAL,
    conditions=(
        Condition(ConditionType.METADATA_STALE, True, "TooOld", "not refreshed since 2026-11-01T00:00:00Z"),
        Condition(
            ConditionType.POLICY_AMBIGUOUS, None, "TwoPolicies", "web and base set action", stalled=True
        ),
    ),
)
PAGES = {
    "usual": report_of(),
    "one": report_of(plan_of(update())),
    "frozen": report_of(
        inputs=replace(INPUTS, freezes=(FREEZE,), approvals=(APPROVAL,)),
        security_plan=plan_of(update("openssl", security=True)),
    ),
    "bad": report_of(
        TELLING, observation=replace(OBSERVATION, reboot=Reboot(RebootNeed.REQUIRED, ("linux-image",)))
    ),
    "approval": report_of(inputs=replace(INPUTS, settings=replace(SETTINGS, approval="required"))),
    "up-to-date": report_of(EMPTY),
    "130": report_of(many(130)),
}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_written_as_before(name: str, golden: Callable[[str, bytes], None]) -> None:
    golden(f"report/{name}.md", to_markdown(PAGES[name]).encode())


def _cells(line: str) -> int:
    return len(re.split(r"(?<!\\)\|", line)) - 2


def _check_structure(page: str) -> None:
    """Assert that every table is rectangular, and that the only HTML is the page's own."""
    width = 0
    for line in page.splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        width = width or _cells(line)
        assert _cells(line) == width
    tags = set(re.findall(r"<[^>]*>?", page))
    assert tags <= {"<details>", "<summary>", "</summary>", "</details>"}
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(page)
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert kinds <= {"text", "code_inline", "softbreak", "strong_open", "strong_close"}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_sound(name: str) -> None:
    _check_structure(to_markdown(PAGES[name]))


@pytest.mark.parametrize("number", [0, 1, 130, 5_000])
def test_a_page_stays_short_and_says_what_it_leaves_out(number: int) -> None:
    report = report_of(many(number))
    page = to_markdown(report)
    assert len(page) < LIMIT
    _check_structure(page)
    total = len(report.plan.updates)
    shown = len(set(re.findall(r"`(package-\d+)`", page)))
    left = sum(int(found) for found in re.findall(r"and (\d+) more in `report.json`", page))
    assert shown + left == total
    assert ("<summary>Show the list" in page) == (number > 25)


def test_bad_conditions_come_before_everything_but_the_verdict() -> None:
    page = to_markdown(PAGES["bad"])
    headings = re.findall(r"^## (\w+)", page, flags=re.MULTILINE)
    assert headings[0] == "Conditions"
    assert "| PolicyAmbiguous | unknown |" in page


def test_a_held_update_names_the_line_that_holds_it() -> None:
    row = next(line for line in to_markdown(PAGES["usual"]).splitlines() if "held by the exception" in line)
    assert "`nginx`" in row
    assert "`exceptions/nginx.yaml:3@abc123def456`" in row


def test_a_plan_to_be_approved_shows_its_whole_digest_at_once() -> None:
    lines = to_markdown(PAGES["approval"]).splitlines()
    assert any("merge an Approval" in line and f"`{USUAL.digest}`" in line for line in lines[:8])


def _hostile(text: str) -> Report:
    """Return a report in which every text that others choose is ``text``."""
    reason = Reason("exception-hold", text, text)
    plan = Plan(
        (change(text, arch=text, from_version=text, to_version=text, origin=text),),
        (
            update(text, arch=text, installed=text, candidate=text, origin=text, reasons=(reason,)),
            update(text + "b", reasons=(reason,) * 5, disposition=Disposition.HELD, security=True),
        ),
        "sha256:" + "5c" * 32,
        (Condition(UnknownWord(text), True, text, text),),
    )
    inputs = replace(
        INPUTS,
        pause=Pause(text, text, NOW),
        approvals=(replace(APPROVAL, name=text, reason=text, origin=text),),
        freezes=(replace(FREEZE, name=text, reason=text, end=NOW + timedelta(days=30)),),
        policy=replace(INPUTS.policy, remote=text, ref=text, commit=text),
        host=replace(INPUTS.host, inhibitors=(Inhibitor("battery", text),)),
    )
    observation = replace(
        OBSERVATION,
        facts=Facts(text, text, text, text, text, text),
        manager_version=text,
        reboot=Reboot(RebootNeed.REQUIRED, (text,)),
        sources=(Source(text, text, None, None, None, text),),
        scripts=((text, text),),
    )
    return report_of(plan, inputs, observation=observation, target=text)


@examples(40)
@given(HOSTILE_TEXT)
def test_no_text_breaks_out_of_its_cell(text: str) -> None:
    page = to_markdown(_hostile(text))
    _check_structure(page)
    assert page.encode()
    assert not re.search(r"(?<![`\w./:-])@\w", re.sub(r"`[^`]*`", "", page))


@examples(5)
@given(st.sampled_from(["@", "|", "\x00", "<", "漢", "a"]))
def test_even_long_hostile_texts_stay_within_the_limit(character: str) -> None:
    text = character * 5_000
    reasons = (Reason("hold", text, text),) * 9
    plan = plan_of(*(update(f"{text}{index}", reasons=reasons, origin=text) for index in range(30)))
    conditions = tuple(Condition(UnknownWord(f"{text}{index}"), True, text, text) for index in range(30))
    page = to_markdown(report_of(replace(plan, conditions=conditions), target=text))
    assert len(page) < LIMIT
    _check_structure(page)
