"""A run is judged by what is installed before and after it; what the manager said only explains."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from reconciler.planning.facts.observation import Change, Installed, Move, Rival
from reconciler.planning.reporting.run_markdown import run_markdown
from reconciler.planning.reporting.schema import run_schema
from reconciler.planning.reporting.summary import run_headline, run_subject
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.runs.execution import FailedPackage, Lacks, automatic_after, automatic_in
from reconciler.planning.runs.hooks_and_health import CheckResult, HookOutcome, HookResult
from reconciler.planning.runs.log import LIMIT, bounded, write_log
from reconciler.planning.runs.record import (
    NOT_SEEN,
    Difference,
    Ending,
    Rollback,
    RunOutcome,
    RunRecord,
    StepOutcome,
    StepRecord,
    conclude_steps,
    difference,
    move_of,
    quarantine_of,
    run_id,
    to_run_document,
    undoing,
    with_health,
    with_rollback,
)
from reconciler.planning.text.layout import SCHEMA_VERSION, UnknownWord
from reconciler.policy.managers import NAMES
from tests.report_samples import report_of

BEFORE = [Installed("a", "amd64", "1.0")]
AT = datetime(2026, 11, 22, 2, 5, tzinfo=UTC)


def package(name: str, version: str, status: str = "installed", arch: str = "amd64") -> Installed:
    return Installed(name, arch, version, status)


def upgrade(name: str, old: str = "1.0", new: str = "1.1") -> Change:
    return Change("upgrade", name, "amd64", old, new, origin="Debian")


def test_what_arrived_as_planned_is_told_as_planned() -> None:
    found = difference([package("a", "1.0")], [package("a", "1.1")], [upgrade("a")], "apt")
    assert found == Difference((move_of(upgrade("a")),), (), (), ())


def test_a_change_that_did_not_happen_is_missing() -> None:
    found = difference([package("a", "1.0")], [package("a", "1.0")], [upgrade("a")], "apt")
    assert (found.changed, found.missing) == ((), (move_of(upgrade("a")),))


def test_a_package_that_is_half_done_is_missing_and_broken() -> None:
    after = [package("a", "1.1", "half-configured")]
    found = difference([package("a", "1.0")], after, [upgrade("a")], "apt")
    assert ([move.name for move in found.missing], found.broken) == (["a"], ("a (half-configured)",))


def test_what_was_half_done_before_is_not_of_this_run() -> None:
    half = package("b", "1.0", "half-configured")
    assert difference([half], [half], [], "apt").broken == ()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [package("a", "1.0")], [("install", None, "1.0")]),
        ([package("a", "1.0")], [], [("remove", "1.0", None)]),
        ([package("a", "1.1")], [package("a", "1.0")], [("downgrade", "1.1", "1.0")]),
        ([package("a", "1.9")], [package("a", "1.10")], [("upgrade", "1.9", "1.10")]),
        # A package that becomes one of all architectures, or of one, moves once.
        ([package("a", "1.0", arch="all")], [package("a", "1.1")], [("upgrade", "1.0", "1.1")]),
        # Of what may be there several times, one comes and another goes.
        (
            [package("k", "1"), package("k", "2")], [package("k", "2"), package("k", "3")],
            [("install", None, "3"), ("remove", "1", None)],
        ),
    ],
)  # fmt: skip
def test_what_nobody_planned_is_seen_too(
    before: list[Installed], after: list[Installed], expected: list[tuple[str, str | None, str | None]]
) -> None:
    found = difference(before, after, [], "apt")
    assert sorted((move.action, move.from_, move.to) for move in found.changed) == sorted(expected)
    assert found.unplanned == found.changed


ARCHES = ("amd64", "i386")


def same(*versions: str, status: str = "installed") -> list[Installed]:
    """Return the package ``ma``, one of each architecture; no version stands for not installed."""
    return [
        package("ma", version, status, arch)
        for arch, version in zip(ARCHES, versions, strict=True)
        if version
    ]


SAME = [Change("upgrade", "ma", arch, "1.0", "1.1", origin="Debian") for arch in ARCHES]


def test_both_architectures_of_a_name_are_told_by_themselves() -> None:
    found = difference(same("1.0", "1.0"), same("1.1", "1.1"), SAME, "apt")
    assert found == Difference(tuple(map(move_of, SAME)), (), (), ())
    assert [(one.name, one.arch) for one in undoing(found.changed)] == [("ma", "i386"), ("ma", "amd64")]


def test_of_two_architectures_the_one_that_did_not_arrive_is_missing() -> None:
    found = difference(same("1.0", "1.0"), same("1.1", "1.0"), SAME, "apt")
    assert (found.changed, found.missing) == ((move_of(SAME[0]),), (move_of(SAME[1]),))
    ending = conclude_steps([step()], found, None, "apt")
    assert (ending.outcome, ending.code) == ("failed", "not-as-planned")
    assert "ma:i386 is not as planned" in ending.reason


def test_an_architecture_goes_while_the_other_stays() -> None:
    gone = Change("remove", "ma", "i386", "1.0", None)
    found = difference(same("1.0", "1.0"), same("1.0", ""), [gone], "apt")
    assert found == Difference((move_of(gone),), (), (), ())
    assert difference(same("1.0", "1.0"), same("1.0", "1.0"), [gone], "apt").missing == (move_of(gone),)


def test_another_architecture_that_moves_unasked_is_unplanned() -> None:
    found = difference(same("1.0", "1.0"), same("1.1", "1.1"), SAME[:1], "apt")
    assert [(move.name, move.arch) for move in found.unplanned] == [("ma", "i386")]


def test_of_two_architectures_the_half_done_one_is_named_and_left_alone() -> None:
    before, after = (
        same("1.0", "1.0"),
        [package("ma", "1.1"), package("ma", "1.1", "half-configured", "i386")],
    )
    found = difference(before, after, SAME, "apt")
    assert found.broken == ("ma:i386 (half-configured)",)
    steps = (step(StepOutcome.FAILED, 27, "ma:i386"),)
    record = replace(RECORD, steps=steps, difference=found)
    assert [(one.name, one.arch) for one in quarantine_of(record, before, after)] == [("ma", "i386")]
    # Where the manager says no architecture, it is the one that is not there.
    unsaid = replace(record, steps=(step(StepOutcome.FAILED, 27, "ma"),))
    assert [(one.arch, one.message) for one in quarantine_of(unsaid, before, after)] == [
        ("i386", "its script failed")
    ]


def test_one_architecture_that_the_plan_has_go_and_another_come_are_two_moves() -> None:
    cross = [Change("remove", "ma", "i386", "1.0", None), Change("install", "ma", "amd64", None, "1.1")]
    found = difference(same("", "1.0"), same("1.1", ""), cross, "dnf")
    assert (found.missing, found.unplanned) == ((), ())
    assert {(move.action, move.arch) for move in found.changed} == {("remove", "i386"), ("install", "amd64")}


def test_a_package_that_changes_its_architecture_beside_another_of_its_name_is_as_planned() -> None:
    before = [package("ma", "1.0", arch="all"), package("ma", "1.0", arch="i386")]
    planned = [Change("upgrade", "ma", "all", "1.0", "1.1"), Change("upgrade", "ma", "i386", "1.0", "1.1")]
    found = difference(before, same("1.1", "1.1"), planned, "apt")
    assert (found.missing, found.unplanned) == ((), ())
    assert [(move.arch, move.from_, move.to) for move in found.changed] == [
        ("all", "1.0", "1.1"),
        ("i386", "1.0", "1.1"),
    ]


def step(
    outcome: StepOutcome = StepOutcome.DONE, code: int = 0, *failed: str, message: str = ""
) -> StepRecord:
    words = tuple(FailedPackage(name, "its script failed") for name in failed)
    return StepRecord((move_of(upgrade("a")),), AT, AT, outcome, code, 0, message, words)


NONE = Difference((), (), (), ())
ARRIVED = Difference((move_of(upgrade("a")),), (), (), ())
MISSING = Difference((), (move_of(upgrade("a")),), (), ())


@pytest.mark.parametrize(
    ("steps", "found", "stopped", "outcome", "code"),
    [
        ([step()], ARRIVED, None, "applied", ""),
        ([step()], MISSING, None, "failed", "not-as-planned"),
        ([step(StepOutcome.FAILED, 27, "a")], MISSING, None, "failed", "packages-failed"),
        ([step(StepOutcome.FAILED, 23)], MISSING, None, "failed", "no-space"),
        ([step(StepOutcome.FAILED, 21)], MISSING, None, "failed", "unreachable"),
        ([], NONE, Ending(RunOutcome.DEFERRED, "window", "closed"), "deferred", "window"),
        ([step()], ARRIVED, Ending(RunOutcome.DEFERRED, "window", "closed"), "partial", "window"),
        (
            [step(StepOutcome.REFUSED, 25)], NONE, Ending(RunOutcome.PLAN_CHANGED, "plan-changed", "x"),
            "plan-changed", "plan-changed",
        ),
        ([step(StepOutcome.FAILED, 24)], MISSING, None, "failed", "manager-ended"),
        (
            [step(), step(StepOutcome.FAILED, 27, "a")], MISSING,
            Ending(RunOutcome.DEFERRED, "window", "closed"), "failed", "packages-failed",
        ),
    ],
)  # fmt: skip
def test_how_a_run_ended_follows_from_what_is_there(
    steps: list[StepRecord], found: Difference, stopped: Ending | None, outcome: str, code: str
) -> None:
    ending = conclude_steps(steps, found, stopped, "apt")
    assert (ending.outcome, ending.code) == (outcome, code)
    assert bool(ending.reason) == (outcome != "applied")


HALF = Difference((move_of(upgrade("a")),), (), (), ("a (half-configured)",))
FAILED = step(StepOutcome.FAILED, 27, "a")
OTHER = replace(step(), changes=(move_of(upgrade("b")),))


@pytest.mark.parametrize(
    ("manager", "steps", "found", "stopped", "outcome"),
    [
        # What failed in one step and was configured in the next is there, and whole.
        ("apt", [FAILED, OTHER], ARRIVED, None, "applied"),
        ("apt", [FAILED], ARRIVED, None, "applied"),
        ("apt", [FAILED, OTHER], HALF, None, "failed"),
        ("apt", [FAILED], ARRIVED, Ending(RunOutcome.DEFERRED, "window", "closed"), "partial"),
        # rpm and pacman call it installed all the same: only what they say tells of a failed scriptlet.
        ("dnf", [FAILED], ARRIVED, None, "failed"),
        ("zypper", [FAILED, OTHER], ARRIVED, None, "failed"),
        ("pacman", [step(StepOutcome.FAILED, 27, "hook Updating icons")], ARRIVED, None, "failed"),
        # Until it was made again, and went well.
        ("dnf", [FAILED, step()], ARRIVED, None, "applied"),
        ("dnf", [step(), FAILED], ARRIVED, None, "failed"),
        ("dnf", [FAILED, FAILED], ARRIVED, None, "failed"),
        # A step that failed for another reason, and whose change came all the same.
        ("dnf", [step(StepOutcome.FAILED, 23), step()], ARRIVED, None, "applied"),
    ],
)
def test_the_last_look_outweighs_what_a_step_said(
    manager: str, steps: list[StepRecord], found: Difference, stopped: Ending | None, outcome: str
) -> None:
    assert conclude_steps(steps, found, stopped, manager).outcome == outcome


RECORD = RunRecord(
    schema=SCHEMA_VERSION,
    program="patchledger 1.0",
    run=run_id(AT, "sha256:" + "a" * 64),
    target="web-01",
    policy_commit="c" * 40,
    digest="sha256:" + "a" * 64,
    started=AT,
    ended=AT + timedelta(minutes=1),
    outcome=RunOutcome.APPLIED,
    code="",
    reason="",
    exceptional=None,
    deadline=AT + timedelta(hours=2),
    overran=False,
    steps=(step(),),
    difference=ARRIVED,
)


def test_a_run_is_named_by_its_start_and_its_plan() -> None:
    assert RECORD.run == "20261122T020500Z-aaaaaaaaaaaa"


def test_what_failed_is_quarantined_in_the_version_that_failed() -> None:
    record = replace(RECORD, steps=(step(StepOutcome.FAILED, 27, "a:amd64"),), difference=MISSING)
    (one,) = quarantine_of(record, BEFORE, BEFORE)
    assert (one.name, one.version, one.message, one.policy_commit) == (
        "a",
        "1.1",
        "its script failed",
        "c" * 40,
    )
    # What a repair could not mend is half done in the version that it is.
    mended = replace(record, difference=NONE)
    other = package("b", "1", "half-configured")
    (one,) = quarantine_of(mended, [*BEFORE, other], [package("a", "1.1", "half-configured"), other])
    assert (one.name, one.version) == ("a", "1.1")


def test_what_nothing_needs_and_cannot_go_is_left_alone_in_each_version() -> None:
    kernels = [package("k", version) for version in ("1", "2", "3")]
    going = [Change("remove", "k", "amd64", one.version, None, unused="kernel") for one in kernels[:2]]
    moves = tuple(map(move_of, going))
    told = replace(step(StepOutcome.FAILED, 27, "k"), changes=moves)
    record = replace(RECORD, steps=(told,), difference=difference(kernels, kernels, going, "apt"))
    assert quarantine_of(record, kernels, kernels) == ()  # What goes for an update goes with that.
    found = quarantine_of(record, kernels, kernels, unused=going)
    assert [(one.version, one.is_removal, one.message) for one in found] == [
        ("1", True, "its script failed"),
        ("2", True, "its script failed"),
    ]
    # Where no package is named, what was to go alone is what failed; not so for a lock or a full disk.
    unnamed = replace(told, failed=(), message="a transaction failed")
    found = quarantine_of(replace(record, steps=(unnamed,)), kernels, kernels, unused=going)
    assert [(one.version, one.message) for one in found] == [(one, "a transaction failed") for one in "12"]
    passing = replace(record, steps=(replace(unnamed, exit_code=23),))
    assert quarantine_of(passing, kernels, kernels, unused=going) == ()
    (left,) = quarantine_of(record, kernels, kernels[1:], unused=going)
    assert left.version == "2"
    undone = with_rollback(replace(record, steps=(replace(step(), changes=moves),)), rollback(), NONE)
    assert [one.message for one in quarantine_of(undone, kernels, kernels, unused=going)] == 2 * [
        "rolled back"
    ]


def test_what_was_only_not_reached_is_not_quarantined() -> None:
    record = replace(RECORD, steps=(step(StepOutcome.FAILED, 23),), difference=MISSING)
    assert quarantine_of(record, BEFORE, BEFORE) == ()


def refused(*pairs: tuple[str, str]) -> RunRecord:
    """Return the record of a run that did not begin, since of each pair neither can be beside the other."""
    names = sorted({name for pair in pairs for name in pair})
    failed = tuple(
        FailedPackage(
            name,
            "a file",
            tuple(
                Rival(other, "", "1.1") for pair in pairs if name in pair for other in pair if other != name
            ),
        )
        for name in names
    )
    moves = tuple(move_of(upgrade(name)) for name in (*names, "plain"))
    one = replace(step(StepOutcome.FAILED, 28), changes=moves, failed=failed)
    return replace(RECORD, steps=(one,), difference=Difference((), moves, (), ()))


def put_aside(record: RunRecord, *security: str) -> list[str]:
    record = replace(record, security=tuple(f"{name}:amd64" for name in security))
    return [one.name for one in quarantine_of(record, BEFORE, BEFORE)]


def test_of_two_that_cannot_be_beside_each_other_security_may_want_one() -> None:
    pair = refused(("a", "b"))
    assert pair.leaves_rest
    assert not RECORD.leaves_rest
    assert put_aside(pair) == put_aside(pair, "a", "b") == put_aside(pair, "plain") == ["a", "b"]
    assert put_aside(pair, "a") == ["b"]
    three = refused(("a", "b"), ("b", "c"))
    assert put_aside(three, "b") == ["a", "c"]
    assert put_aside(three, "a") == ["b", "c"]
    assert put_aside(three, "a", "b") == ["a", "b", "c"]
    # Beside what is installed and does not move, none can come.
    (alone,) = refused(("a", "b")).steps
    installed = replace(alone, failed=(FailedPackage("a", "a file", (Rival("z", "", "1"),)),))
    assert put_aside(replace(pair, steps=(installed,)), "a") == ["a"]


def test_a_run_that_did_not_begin_names_each_cause_once() -> None:
    pair = refused(("a", "b"))
    ending = conclude_steps(pair.steps, pair.difference, None, "dnf")
    assert ending == Ending(RunOutcome.FAILED, "not-begun", "a, b: a file")


def not_fetched(code: int = 29, **lacking: Lacks) -> RunRecord:
    """Return the record of a run in which the files of some packages could not be had."""
    failed = tuple(FailedPackage(name, f"no {name}", lacks=why) for name, why in lacking.items())
    moves = tuple(move_of(upgrade(name)) for name in (*lacking, "plain"))
    one = replace(step(StepOutcome.FAILED, code), changes=moves, failed=failed)
    return replace(RECORD, steps=(one,), difference=Difference((), moves, (), ()))


def test_what_could_not_be_fetched_is_left_alone_for_a_time() -> None:
    record = not_fetched(a="file", b="server")
    assert record.leaves_rest
    found = quarantine_of(record, BEFORE, BEFORE, lists=AT)
    assert [(one.name, one.version, one.message, one.lists) for one in found] == [
        ("a", "1.1", "no a", AT), ("b", "1.1", "no b", AT),
    ]  # fmt: skip
    # The server has not got the one; of the other nobody knows, so it is asked again soon.
    assert [one.until for one in found] == [
        record.ended + timedelta(hours=1),
        record.ended + timedelta(minutes=10),
    ]
    # The same run, whose tick was killed before it had forgotten it, is one try.
    assert quarantine_of(record, BEFORE, BEFORE, lists=AT, earlier=found) == found
    later = replace(record, run="later")
    again = quarantine_of(later, BEFORE, BEFORE, lists=AT, earlier=found)
    assert [(one.attempts, one.until) for one in again] == [
        (2, record.ended + timedelta(hours=2)), (0, record.ended + timedelta(minutes=10)),
    ]  # fmt: skip
    # Another version has not been tried yet.
    other = [replace(one, version="1.0.9") for one in again]
    assert [one.attempts for one in quarantine_of(later, BEFORE, BEFORE, earlier=other)] == [1, 0]


def test_where_nothing_could_be_fetched_only_what_is_known_is_left_alone() -> None:
    record = not_fetched(21, a="file", b="file")
    assert not record.leaves_rest
    assert quarantine_of(record, BEFORE, BEFORE) == ()
    (known,) = quarantine_of(not_fetched(a="file"), BEFORE, BEFORE)
    assert [one.name for one in quarantine_of(record, BEFORE, BEFORE, earlier=[known])] == ["a"]


def test_what_came_in_the_end_is_not_left_alone_though_it_was_missing_at_first() -> None:
    record = replace(not_fetched(a="file"), difference=ARRIVED)
    assert quarantine_of(record, BEFORE, BEFORE) == ()
    lacking = replace(step(StepOutcome.FAILED, 29), failed=(FailedPackage("a", "no a", lacks="file"),))
    assert conclude_steps([lacking, step()], ARRIVED, None, "dnf").outcome == "applied"


def test_a_script_that_failed_outweighs_a_file_that_is_missing() -> None:
    lacking, broken = step(StepOutcome.FAILED, 29), step(StepOutcome.FAILED, 27)
    assert conclude_steps([lacking], MISSING, None, "apt").code == "not-fetched"
    assert conclude_steps([lacking, broken], MISSING, None, "apt").code == "packages-failed"


def test_after_a_rollback_nothing_of_it_is_tried_again() -> None:
    undone = with_rollback(with_health(RECORD, [CheckResult("tcp x", ok=False)]), rollback(), NONE)
    assert [(one.name, one.version) for one in quarantine_of(undone, BEFORE, BEFORE)] == [("a", "1.1")]


def rollback(*left: Move) -> Rollback:
    return Rollback(tuple(map(move_of, undoing(ARRIVED.changed))), left, "gone" if left else "", healthy=True)


def test_undoing_is_the_opposite_of_every_move() -> None:
    moves = [
        Move("upgrade", "a", "amd64", "1.0", "1.1", ""),
        Move("install", "b", "amd64", None, "1.0", ""),
        Move("replace", "c", "amd64", "1.0", None, ""),
        Move("downgrade", "d", "amd64", "2.0", "1.0", ""),
    ]
    assert [(one.action, one.name, one.from_version, one.to_version) for one in undoing(moves)] == [
        ("upgrade", "d", "1.0", "2.0"),
        ("install", "c", None, "1.0"),
        ("remove", "b", "1.0", None),
        ("downgrade", "a", "1.1", "1.0"),
    ]


def test_a_rollback_is_told_with_what_is_left() -> None:
    unhealthy = with_health(RECORD, [CheckResult("tcp x", ok=False, detail="refused")])
    assert (unhealthy.outcome, unhealthy.code) == ("failed", "unhealthy")
    assert "tcp x: refused" in unhealthy.reason
    assert with_rollback(unhealthy, rollback(), NONE).outcome == "rolled-back"
    partly = with_rollback(unhealthy, rollback(move_of(upgrade("a"))), ARRIVED)
    assert partly.outcome == "failed"
    assert "not undone: a (gone)" in partly.reason


@pytest.mark.parametrize(("name", "rest"), [("a", True), ("hook Making a snapshot", False)])
def test_a_hook_that_is_against_a_run_leaves_no_rest_to_try(name: str, *, rest: bool) -> None:
    told = FailedPackage(name, "no")
    moves = (move_of(upgrade("a")), move_of(upgrade("b")))
    refused = StepRecord(moves, AT, AT, StepOutcome.FAILED, 28, 1, "no", (told,))
    assert replace(RECORD, steps=(refused,)).leaves_rest is rest


def there(name: str, *, automatic: bool = False, version: str = "1.0", arch: str = "amd64") -> Installed:
    return Installed(name, arch, version, automatic=automatic)


def comes(name: str, version: str = "1.0", arch: str = "amd64") -> Change:
    return Change("install", name, arch, None, version)


def replaced(name: str, *by: str) -> Change:
    return Change("replace", name, "amd64", "1.0", None, by=by)


def test_marks_of_what_was_automatic_or_comes_in_are_set_again_and_of_what_may_fail_to_go() -> None:
    gone = Change("remove", "old", "amd64", "1.0", None)
    changes = [upgrade("a"), upgrade("b"), comes("lib"), gone]
    before = [there("a"), *(there(name, automatic=True) for name in ("b", "old", "z"))]
    assert automatic_after(changes, before, "apt") == ("b:amd64", "lib:amd64", "old:amd64")


@pytest.mark.parametrize("manager", NAMES)
def test_what_replaces_a_package_is_marked_as_that_was(manager: str) -> None:
    wanted, marked = there("old"), there("old", automatic=True)
    changes = [replaced("old", "new"), comes("new"), comes("lib")]
    assert automatic_after(changes, [wanted], manager) == ("lib:amd64",)
    assert automatic_after(changes, [marked], manager) == ("lib:amd64", "new:amd64", "old:amd64")


def test_what_replaces_several_is_wanted_where_one_of_them_was() -> None:
    changes = [replaced("one", "new"), replaced("other", "new"), comes("new")]
    assert automatic_after(changes, [there("one", automatic=True), there("other")], "dnf") == ("one:amd64",)


def test_all_that_replace_one_package_take_its_mark() -> None:
    each = [replaced("old", "new"), replaced("old", "new-data")]
    for going in ([replaced("old", "new", "new-data")], each):
        assert automatic_after([*going, comes("new"), comes("new-data")], [there("old")], "dnf") == ()


def test_a_package_that_is_there_keeps_its_own_mark_whatever_it_replaces() -> None:
    changes = [replaced("old", "a"), upgrade("a")]
    assert automatic_after(changes, [there("old"), there("a", automatic=True)], "dnf") == ("a:amd64",)


def test_a_further_version_is_marked_as_those_beside_it() -> None:
    two = [there("kernel"), there("kernel", version="2.0")]
    assert automatic_after([comes("kernel", "3.0")], two, "dnf") == ()
    mixed = [there("kernel", automatic=True), there("kernel", version="2.0")]
    assert automatic_after([comes("kernel", "3.0")], mixed, "dnf") == ()
    marked = [there("kernel", automatic=True)]
    assert automatic_after([comes("kernel", "3.0")], marked, "dnf") == ("kernel:amd64",)


def test_another_architecture_has_the_same_mark_where_the_manager_marks_names() -> None:
    changes, before = [comes("lib", arch="i386")], [there("lib")]
    assert automatic_after(changes, before, "dnf") == ("lib:i386",)
    assert automatic_after(changes, before, "zypper") == ()


def test_of_several_versions_all_must_be_automatic_to_be_marked_so_again() -> None:
    mixed = [there("kernel", automatic=True), there("kernel", version="2.0"), there("lib", automatic=True)]
    assert automatic_in(mixed) == ("lib:amd64",)


@pytest.mark.parametrize("outcome", list(RunOutcome))
def test_every_outcome_has_its_words_and_fits_the_schema(outcome: RunOutcome) -> None:
    record = replace(
        RECORD,
        outcome=outcome,
        reason="because" if outcome is not RunOutcome.APPLIED else "",
        hooks=(HookResult("pre", "10-x", HookOutcome.FAILED, 1, 0.5, "no"),),
        rollback=rollback(),
        unhealthy=(CheckResult("tcp x", ok=False),),
    )
    Draft202012Validator(run_schema(), format_checker=FormatChecker()).validate(to_run_document(record))
    assert run_headline(record) in run_markdown(record)


@pytest.mark.parametrize(
    ("there", "halves", "words"),
    [
        ((), (), "interrupted, 0 of 3 changes made"),
        (("a",), (), "interrupted, 1 of 3 changes made"),
        (("a",), ("b",), "interrupted, 1 of 3 changes made, 1 half done"),
        (("a", "b", "c"), (), "interrupted, 3 of 3 changes made"),
    ],
)
def test_a_headline_counts_all_of_the_plan(
    there: tuple[str, ...], halves: tuple[str, ...], words: str
) -> None:
    """Also steps that had not begun, of which there is no record."""
    before = [package(name, "1.0") for name in "abc"]
    after = [
        package(
            name, "1.1" if name in (*there, *halves) else "1.0", "unpacked" * (name in halves) or "installed"
        )
        for name in "abc"
    ]
    found = difference(before, after, [upgrade(name) for name in "abc"], "apt")
    record = replace(RECORD, outcome=RunOutcome.INTERRUPTED, code="interrupted", steps=(), difference=found)
    assert run_headline(record) == words


def test_a_failure_is_not_told_in_the_words_of_a_success() -> None:
    before, after = [package(name, "1.0") for name in "abc"], [package(name, "1.1") for name in "abc"]
    found = difference(before, after, [upgrade(name) for name in "abc"], "apt")
    record = replace(RECORD, outcome=RunOutcome.FAILED, code="unhealthy", steps=(), difference=found)
    assert run_headline(record) == "failed, though all of 3 changes were made"


def test_a_run_of_a_newer_release_has_a_headline_with_its_word() -> None:
    newer: Any = UnknownWord("postponed")
    assert run_headline(replace(RECORD, outcome=newer)).startswith("postponed, ")


def test_a_headline_claims_nothing_where_nobody_could_look() -> None:
    record = replace(RECORD, outcome=RunOutcome.FAILED, code=NOT_SEEN, difference=Difference((), (), (), ()))
    assert run_headline(record) == "failed, what was changed is not known"


def test_the_subject_of_a_run_tells_what_is_wrong_after_it() -> None:
    half = Condition(
        ConditionType.PACKAGE_SYSTEM_INTERRUPTED, True, "Interrupted", "half done: a (unpacked); mend it"
    )
    report = replace(report_of(), conditions=(half,))
    assert run_subject(report, RECORD) == "web-01: applied 1 change, half done: a (unpacked)"


def test_a_page_shows_hostile_words_as_text() -> None:
    hostile = "<img src=x onerror=alert(1)> [x](http://evil) | ``` \n# big"
    moves = (Move("upgrade", "a`|<b>", "amd64", "1", hostile, ""),)
    record = replace(
        RECORD,
        outcome=RunOutcome.FAILED,
        reason=hostile,
        steps=(step(StepOutcome.FAILED, 27, message=hostile),),
        difference=Difference(moves, moves, moves, (hostile,)),
        conffiles=(hostile,),
        notes=(hostile,),
    )
    page = run_markdown(record)
    assert "<img" not in page
    assert "](http" not in page
    assert "\n# big" not in page


def test_a_log_is_bounded_and_holds_no_secrets() -> None:
    parts = [("step-1", b"fetched http://user:hunter2@mirror/ with s3cr3t-token\nopen end")]
    text = write_log(parts, ["s3cr3t-token", "x"]).decode()
    assert "hunter2" not in text
    assert "s3cr3t-token" not in text
    assert text.startswith("== step-1\n")
    assert text.endswith("open end\n")
    huge = write_log([("step-1", b"line\n" * LIMIT), ("step-2", b"\xff\xfe the end\n")], [])
    assert len(huge) <= LIMIT + 100
    assert b"bytes left out" in huge
    assert huge.decode().endswith("the end\n")


def test_a_short_text_is_left_whole_and_a_long_one_loses_its_middle() -> None:
    assert bounded(b"abc", 10) == b"abc"
    cut = bounded(b"first\n" + b"x" * 1000 + b"\nlast\n", 100)
    assert cut.startswith(b"first\n")
    assert cut.endswith(b"last\n")
    assert len(cut) < 200
