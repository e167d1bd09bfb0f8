"""A journal read back is the journal that was written, whatever was in it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from reconciler.planning.facts.observation import Change, Installed
from reconciler.planning.gates.types import BreakGlass, Step
from reconciler.planning.runs.hooks_and_health import CheckResult, HookOutcome, HookResult
from reconciler.planning.runs.journal import Journal, Phase
from reconciler.policy.documents import Settings

AT = datetime(2026, 11, 22, 2, 5, tzinfo=UTC)
CHANGES = (Change("upgrade", "a", "amd64", "1.0", "1.1"), Change("remove", "b", "amd64", "1.0", None))
JOURNAL = Journal(
    run="20261122T020500Z-aaaaaaaaaaaa",
    digest="sha256:" + "a" * 64,
    policy_commit="c" * 40,
    started=AT,
    boot_id="boot-1",
    manager="apt",
    before=(Installed("a", "amd64", "1.0", held=True),),
    steps=(Step(CHANGES[:1]), Step(CHANGES[1:])),
    settings=Settings.model_validate({"conffiles": "new", "lock_wait": "90s", "reboot": {"when": "always"}}),
    exceptional=BreakGlass("zero day", "ada"),
    health_before=(CheckResult("tcp x", ok=False),),
    hooks=(HookResult("pre", "10-x", HookOutcome.OK, 0, 0.1),),
    deadline=AT + timedelta(hours=2),
    rebooting_since=AT,
)


def test_it_survives_being_written_and_read() -> None:
    adapter = TypeAdapter(Journal)
    for phase in Phase:
        journal = replace(JOURNAL, phase=phase)
        assert adapter.validate_json(adapter.dump_json(journal)) == journal


def test_it_knows_what_was_being_done() -> None:
    assert JOURNAL.transaction == CHANGES
    assert (JOURNAL.unfinished.changes, JOURNAL.unfinished.conffiles) == (CHANGES[:1], "new")
    assert replace(JOURNAL, current=1).unfinished.changes == CHANGES[1:]
    assert replace(JOURNAL, current=2).unfinished.changes == ()
