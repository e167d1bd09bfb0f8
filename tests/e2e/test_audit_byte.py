"""One value of what a host told is another, signed by its own key: it is named, or nobody's but its word."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from reconciler.errors import ReconcilerError
from reconciler.planning.audit.audit import audit
from reconciler.planning.audit.story import Story
from reconciler.planning.gates.recording import read_vouched
from reconciler.planning.reporting.reader import read_report, read_run
from reconciler.planning.text import canonical
from reconciler.planning.text.canonical import instant
from tests.e2e.site import BEFORE, git
from tests.e2e.test_audit_forged import ANNOUNCES, CLOSING, told
from tests.e2e.test_audit_odd import Path, places_in, story_of, with_other, with_recording, with_run
from tests.labs.audited import Audited

__all__ = ["told"]

WORD_OF_A_RECORD = {
    *("asked.at", "asked.clock", "asked.database", "asked.health", "asked.budget"),
    *(f"steps.0.asked.{one}" for one in ("clock", "database", "health", "budget")),
    *(f"steps.0.{one}" for one in ("exit_code", "native_code", "message", "outcome")),
    *("steps.0.policy.fetched_at", "steps.0.policy.reason"),
    *("code", "reason", "ended", "deadline", "overran", "program"),
}
"""Machine, package manager and network by the host's word, and times within what others dated.

A budget is that of the policy, whatever the record says.
"""
WORD_OF_A_RECORDING = {
    *("inputs.evidence.0.at", "inputs.evidence.0.what"),
    *("observation.at", "observation.first_seen.0.at", "observation.privileged"),
    *("observation.refresh.accept", "observation.root"),
}
"""Beside ``unrestricted``, which says what other policies would have done, and on which no run rests."""


def another(value: Any) -> Any:
    """Return a value of the same kind that is another."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case "":
            return "x"
        case str():
            try:
                return instant(datetime.fromisoformat(value) + timedelta(minutes=1))
            except ValueError:
                return value[:-1] + ("0" if value[-1] != "0" else "1")
        case _:
            raise TypeError(value)


def value_at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


def findings(story: Story) -> set[tuple[str, str]]:
    found = audit(story, BEFORE, CLOSING)
    every = [*found.against, *(one for change in found.changes for one in change.against)]
    return {(one.check, one.reason) for one in every}


def unnoticed(
    story: Story, document: Any, read: Callable[[bytes], Any], put: Callable[[Story, Any], Story]
) -> Iterator[str]:
    """Yield where another value is neither refused by its reader nor named by the audit."""
    before = findings(story)
    for path in places_in(document):
        value = value_at(document, path)
        if value is None or isinstance(value, (dict, list)):
            continue
        try:
            other = read(canonical.to_bytes(with_other(document, path, another(value))))
        except ReconcilerError:
            continue
        if findings(put(story, other)) == before:
            yield ".".join(str(one) for one in path)


def with_report(story: Story, report: Any) -> Story:
    return replace(story, reports=lambda blob: report if blob == str(ANNOUNCES) else story.reports(blob))


def test_each_value_of_the_announcing_report_is_named(told: Audited) -> None:
    story, _, _ = story_of(told)
    report = json.loads(git(told.site.reports, "show", f"{told.commits()[ANNOUNCES]}:report.json"))
    assert list(unnoticed(story, report, read_report, with_report)) == []


def test_each_value_of_a_record_is_named_but_the_hosts_word(told: Audited) -> None:
    story, _, run = story_of(told)
    assert set(unnoticed(story, run, read_run, with_run)) == WORD_OF_A_RECORD


def test_each_value_of_a_recording_is_named_but_the_hosts_word(told: Audited) -> None:
    story, recording, _ = story_of(told)
    found = unnoticed(story, recording, read_vouched, with_recording)
    assert {one for one in found if not one.startswith("unrestricted.")} == WORD_OF_A_RECORDING
