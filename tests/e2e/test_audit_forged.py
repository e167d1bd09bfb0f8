"""A host that lies in its own name: each forgery is signed by its own key, and named for what it is.

One story is made for real, and written anew by the host. For each check there is a forgery that this one
alone sees: without the check, it would pass.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.planning.audit.audit import CHECKS
from reconciler.planning.audit.verdicts import Verdict
from reconciler.planning.text.canonical import exact_instant, instant
from tests.conftest import in_memory
from tests.e2e.site import BEFORE, OPENING
from tests.e2e.test_apply import INSIDE, offer, tick
from tests.e2e.test_audit import freeze
from tests.labs.apt import AptLab, Deb
from tests.labs.audited import Audited, Edit, Reported, reasons
from tests.labs.signing import Keys

GLASS = {"by": "ada", "reason": "the shop is down", "overrides_freeze": False}
HOUR = timedelta(hours=1)
OTHER = "kind: Policy\nname: other\nmatch: {name: other}\n"
CLOSING = OPENING + 3 * HOUR
LATER = INSIDE + HOUR
EARLY = INSIDE - timedelta(minutes=3)
"""In the window, before the run began."""
WAITS, BY_HAND, QUIET, ANNOUNCES, TELLS, AFTER = range(6)
"""The reports of the story."""


@pytest.fixture(scope="module")
def told(apt_world: AptLab, keys: Keys) -> Iterator[Audited]:
    """A host that waits, is changed by hand, and applies; a publisher saw it waiting."""
    with in_memory() as folder:
        folder.mkdir()
        machine = apt_world.copy(folder / "machine", repository=True)
        world = Audited.create(folder / "site", machine, keys.ssh("web-01"), keys.ssh("pub"))
        offer(machine, Deb("one", "1.1"))
        world.want("one")
        tick(world.site, BEFORE)
        world.publish(BEFORE + HOUR)
        machine.install(Deb("byhand", "1.0"))
        tick(world.site, BEFORE + 2 * HOUR)
        world.site.commit({"policies/other.yaml": OTHER})
        tick(world.site, BEFORE + 3 * HOUR)
        assert [one.outcome for one in tick(world.site).runs] == ["applied"]
        world.site.commit({"policies/other.yaml": OTHER.replace("name: other}", "name: another}")})
        tick(world.site, CLOSING + HOUR)
        assert len(world.commits()) == AFTER + 1
        yield world


def test_nothing_is_refuted_of_what_was_told_truly(told: Audited, tmp_path: Path) -> None:
    world = told.copy(tmp_path / "copy")
    world.rewrite({ANNOUNCES: nothing})
    world.publish(LATER)
    found = world.audit(LATER)
    assert reasons(found) == {
        "outside": "unproved: no run made it: no policy, plan or window stands behind it"
    }
    assert [one.verdict for one in found.changes] == ["unproved", "proved"]


@dataclass(frozen=True)
class Forgery:
    """What the host writes anew.

    Attributes:
        edits: By number of the report.
        check: The only one that sees it.
        said: Begin of what it says.
        seen: When publishers look, and how many reports have arrived by then; all where none are told.
        also: Others that see something of it, and refute nothing.
        frozen: The policy had been changed before the run, so that it would not have been allowed.
        was_seen: As ``seen``, of the true story.
    """

    edits: dict[int, Edit]
    check: str
    said: str
    seen: tuple[tuple[datetime, int], ...] = ((LATER, TELLS),)
    also: frozenset[str] = frozenset()
    frozen: bool = False
    was_seen: tuple[tuple[datetime, int], ...] = ()


def shifted(text: str, by: timedelta) -> str:
    at = datetime.fromisoformat(text) + by
    return exact_instant(at) if "." in text else instant(at)


def record_of(change: Callable[[Any], None]) -> Edit:
    """Change the run's record."""
    return lambda one: change(one.run)


def at_window_end(run: Any, *, started: timedelta, asked: timedelta) -> None:
    """Have the run end with its window: each step asked and started so long before the end of that."""
    for step in run["steps"]:
        step["asked"]["at"] = instant(CLOSING - asked)
        step["started"] = step["ended"] = instant(CLOSING - started)
    run["ended"] = instant(CLOSING - started + timedelta(minutes=1))


def asked_at(run: Any, at: datetime, started: datetime = INSIDE) -> None:
    run["started"] = instant(started)
    for step in run["steps"]:
        step["asked"]["at"] = instant(at)


def without_last_span(one: Reported) -> None:
    one.recording["inputs"]["windows"]["spans"].pop()


def without_what_was_done_by_hand(one: Reported) -> None:
    one.recording["changed_outside"] = []


def nothing(one: Reported) -> None:
    del one


def by_another(one: Reported) -> None:
    assert one.key is not None
    one.key = Keys(Path(one.key.settings["user.signingkey"]).parent).ssh("another")


def by_nobody(one: Reported) -> None:
    one.key = None


def by_the_policy_before(one: Reported) -> None:
    """Say that the policy was the one that the very first report names."""
    new, old = one.recording["policy_commit"], one.first_policy
    text = json.dumps(one.documents).replace(new, old).replace(new[:12], old[:12])
    one.documents = json.loads(text)
    one.message = one.message.replace(new, old)


def of_a_later_release(one: Reported) -> None:
    one.report.update(schema=99, program="patchledger 9.9")


def left_out(one: Reported) -> None:
    one.is_left_out = True


def dated(one: Reported, at: datetime) -> None:
    """Leave out what was done by hand, and say that it was told at another time."""
    without_what_was_done_by_hand(one)
    one.dated = at


def without_what_the_report_says_was_done_by_hand(one: Reported) -> None:
    one.report["changed_outside"] = []


def with_other_labels(one: Reported) -> None:
    one.recording["labels"] = [["env", "lab"]]


def never_failed(one: Reported) -> None:
    one.recording["observation"]["quarantined"] = [
        {
            "name": "two",
            "arch": "all",
            "version": "9",
            "at": one.recording["now"],
            "run": "20261101T000000Z-0123456789ab",
            "message": "it failed",
            "policy_commit": one.recording["policy_commit"],
            "rivals": [],
        }
    ]
    one.recording["inputs"]["host"]["quarantined"] = ["two:all"]


def more_than_planned(one: Reported) -> None:
    extra = {**one.run["steps"][0]["changes"][0], "name": "byhand", "from": None, "to": "1.0"}
    one.run["steps"][0]["changes"].append(extra)


FORGERIES = {
    "the window is another in the recording": Forgery(
        {ANNOUNCES: without_last_span},
        "rebuilt",
        "refuted: the host recorded otherwise than the policy says: windows",
    ),
    "the report is touched up": Forgery(
        {ANNOUNCES: lambda one: one.report["counts"].update(updates=0)},
        "report",
        "refuted: the report that announced it is not what its recording",
    ),
    "announced by a report that said wait": Forgery(
        {TELLS: lambda one: one.run["announced"].update(commit=one.before[QUIET])},
        "decision",
        "refuted: it was not allowed when it was decided: outside the windows",
        also=frozenset({"announced"}),
    ),
    "a step without the time that it needs": Forgery(
        {
            TELLS: record_of(
                lambda run: at_window_end(run, started=timedelta(minutes=5), asked=timedelta(minutes=6))
            )
        },
        "steps",
        "refuted: step 1 was not allowed when it began: a run needs 30m",
        ((CLOSING + HOUR, TELLS),),
    ),
    "a step that began long after it was asked for": Forgery(
        {TELLS: record_of(lambda run: at_window_end(run, started=-HOUR, asked=HOUR))},
        "window",
        "refuted: step 1 began at",
        ((CLOSING + 3 * HOUR, TELLS),),
    ),
    "gates that were asked long before the step": Forgery(
        {
            TELLS: record_of(
                lambda run: at_window_end(run, started=timedelta(minutes=5), asked=timedelta(minutes=40))
            )
        },
        "window",
        "unproved: step 1 began 35m after its gates were asked",
        ((CLOSING + HOUR, TELLS),),
    ),
    "gates that were asked before the run": Forgery(
        {TELLS: record_of(lambda run: asked_at(run, EARLY))},
        "window",
        "unproved: the times in its record are not in their order",
    ),
    "a run that asked its gates before it was decided on": Forgery(
        {TELLS: record_of(lambda run: asked_at(run, EARLY, started=EARLY))},
        "window",
        "unproved: the times in its record are not in their order",
    ),
    "a plan that is announced after the fact": Forgery(
        {ANNOUNCES: nothing},
        "announced",
        "refuted: it was not announced before: by",
        ((INSIDE + HOUR / 2, QUIET), (LATER, TELLS)),
    ),
    "a run of another time": Forgery(
        {ANNOUNCES: nothing}, "bracket", "refuted: it is to have ended at", ((INSIDE - HOUR, TELLS),)
    ),
    "nobody has seen it": Forgery({ANNOUNCES: nothing}, "bracket", "unproved: nobody else has dated it", ()),
    "a change by hand that is left out": Forgery(
        {BY_HAND: without_what_was_done_by_hand},
        "inventory",
        "refuted: what is installed is not what was before and what is told of since: byhand",
    ),
    "a change that the run made and its record leaves out": Forgery(
        {TELLS: record_of(lambda run: run["difference"].update(changed=[]))},
        "inventory",
        "refuted: what is installed is not what was before and what is told of since: one",
    ),
    "a change by hand that the report leaves out": Forgery(
        {BY_HAND: without_what_the_report_says_was_done_by_hand},
        "inventory",
        "refuted: the report and its recording differ about what was changed outside of runs",
    ),
    "a change by hand that is left out, and a report that is dated back": Forgery(
        {BY_HAND: lambda one: dated(one, datetime(2020, 1, 1, tzinfo=UTC))},
        "inventory",
        "refuted: what is installed is not what was before and what is told of since: byhand",
    ),
    "a change by hand that is left out, and a report that is dated ahead": Forgery(
        {BY_HAND: lambda one: dated(one, datetime(2060, 1, 1, tzinfo=UTC))},
        "inventory",
        "refuted: what is installed is not what was before and what is told of since: byhand",
    ),
    "a run without steps": Forgery(
        {TELLS: record_of(lambda run: run.update(steps=[]))},
        "carried-out",
        "unproved: no step was told to change one:all, which moved meanwhile",
    ),
    "labels that its document does not give": Forgery(
        {ANNOUNCES: with_other_labels},
        "rebuilt",
        "refuted: the host recorded otherwise than the policy says: labels",
    ),
    "a quarantine without a failure": Forgery(
        {ANNOUNCES: never_failed},
        "failures",
        "refuted: it left two:all alone for a run that there is no record of",
    ),
    "more than was planned": Forgery(
        {TELLS: more_than_planned}, "carried-out", "refuted: its steps were told to change byhand"
    ),
    "a report that is left out": Forgery(
        {QUIET: left_out},
        "order",
        "refuted: the report follows",
    ),
    "a report by somebody else": Forgery(
        {TELLS: by_another}, "signed", "refuted: report", also=frozenset({"own-reports"})
    ),
    "a report between that nobody signed": Forgery({QUIET: by_nobody}, "own-reports", "unproved: report"),
    "an older policy than before": Forgery(
        {ANNOUNCES: by_the_policy_before, TELLS: by_the_policy_before},
        "policy-line",
        "refuted: it rests on an older policy than a report before it",
    ),
    "a policy that was withdrawn": Forgery(
        {ANNOUNCES: nothing}, "withdrawn", "unproved: step 1: policy", frozen=True
    ),
    "an ordinary run that is told as break-glass": Forgery(
        {TELLS: record_of(lambda run: run.update(exceptional=GLASS))},
        "exceptional",
        "refuted: its record and its announcement differ about who",
    ),
    "a run that used up its approval, and is told as if it had not": Forgery(
        {TELLS: record_of(lambda run: run.update(outcome="partial", code="window", reason="it closed"))},
        "outcome",
        "unproved: all that was planned is there, and it is told as partial",
    ),
    "a failure that is told as a success": Forgery(
        {TELLS: record_of(lambda run: run["difference"].update(missing=run["difference"]["changed"]))},
        "outcome",
        "refuted: it is told as applied, and ",
    ),
    "a record of another run": Forgery(
        {TELLS: record_of(lambda run: run.update(run="20261101T000000Z-0123456789ab"))},
        "record",
        "refuted: its record is in the file of another run",
    ),
    "a downgrade that is told as an upgrade": Forgery(
        {TELLS: record_of(lambda run: run["difference"]["changed"][0].update(action="downgrade"))},
        "carried-out",
        "refuted: it tells otherwise than the plan what it did with one",
    ),
    "a script that came from nowhere": Forgery(
        {TELLS: record_of(lambda run: run["scripts"][0].update(is_of_policy=True))},
        "scripts",
        "refuted: apt-update.sh came from the policy, which pins none",
    ),
    "a script that is not the program's": Forgery(
        {TELLS: record_of(lambda run: run["scripts"][0].update(sha256="0" * 64))},
        "scripts",
        "unproved: apt-update.sh is not the one of patchledger",
    ),
    "a record that is rewritten later": Forgery(
        {AFTER: record_of(lambda run: run.update(notes=["nothing happened"]))},
        "record",
        "refuted: its record was altered afterwards",
    ),
    "a report of a later release": Forgery(
        {AFTER: of_a_later_release}, "readable", "unproved: not replayable here: needs patchledger 9.9"
    ),
    "a branch that was written anew": Forgery(
        {AFTER: lambda one: setattr(one, "message", f"{one.message}\n")},
        "seen-before",
        "refuted: the branch was rewritten: it does not hold",
        (),
        was_seen=((LATER, TELLS), (CLOSING + 2 * HOUR, AFTER)),
    ),
    "the clock goes back": Forgery(
        {BY_HAND: lambda one: one.recording.update(now=shifted(one.recording["now"], timedelta(hours=30)))},
        "order",
        "unproved: the clock went back",
    ),
}


def at_the_end_of_the_calendar(run: Any) -> None:
    for step in run["steps"]:
        step["started"] = step["ended"] = step["asked"]["at"] = "9999-12-31T23:59:59Z"
    run["started"] = run["ended"] = "9999-12-31T23:59:59Z"


def test_a_run_at_the_end_of_the_calendar_is_named_and_ends_no_audit(told: Audited, tmp_path: Path) -> None:
    world = told.copy(tmp_path / "copy")
    world.rewrite({TELLS: record_of(at_the_end_of_the_calendar)})
    world.publish(LATER)
    found = reasons(world.audit(CLOSING + 4 * HOUR))
    assert found["bracket"].startswith("refuted: it is to have ended at 9999-12-31 23:59 UTC")
    assert not [one for one in found.values() if "could not be asked" in one]


def with_window_and_clock_shifted(one: Reported) -> None:
    """Decide five hours later, after the window, and have that be five hours longer."""
    one.recording["now"] = shifted(one.recording["now"], 5 * HOUR)
    for span in one.recording["inputs"]["windows"]["spans"]:
        span["end"] = shifted(span["end"], 5 * HOUR)


def all_later(run: Any) -> None:
    """Have a run be five hours later."""
    for part in (run, *run["steps"], *(step["asked"] for step in run["steps"])):
        for key in {"started", "ended", "deadline", "at"} & part.keys():
            part[key] = shifted(part[key], 5 * HOUR)


def test_a_window_that_is_shifted_with_the_clock_is_named_by_all_that_policy_decides(
    told: Audited, tmp_path: Path
) -> None:
    world = told.copy(tmp_path / "copy")
    world.rewrite({ANNOUNCES: with_window_and_clock_shifted, TELLS: record_of(all_later), AFTER: left_out})
    world.publish(CLOSING + 5 * HOUR)
    found = reasons(world.audit(CLOSING + 6 * HOUR))
    assert found["rebuilt"] == "refuted: the host recorded otherwise than the policy says: windows"
    for check in ("decision", "steps", "window"):
        assert found[check].startswith("refuted: "), found
        assert "window" in found[check]


def told_as_a_reboot(run: Any) -> None:
    run.update(outcome="rebooted", steps=[], announced=None)


def test_a_run_that_is_told_as_a_reboot_is_not_proved(told: Audited, tmp_path: Path) -> None:
    """What a reboot changed is told like what a run did, and no report announces it."""
    world = told.copy(tmp_path / "copy")
    world.rewrite({TELLS: record_of(told_as_a_reboot)})
    world.publish(LATER)
    found = world.audit(CLOSING + 4 * HOUR)
    assert reasons(found)["announced"] == "unproved: its record names no report that announced it"
    assert [one.verdict for one in found.changes if one.kind == "run"] == [Verdict.UNPROVED]


ELSEWHERE = {"approval", "first-sight", "unneeded", "covered", "whole", "own-key"}
"""Checks that are taken out in the tests of their own stories."""


def test_each_check_has_something_that_it_alone_sees() -> None:
    assert {one.check for one in FORGERIES.values()} | ELSEWHERE == {one.name for one in CHECKS}


def done(told: Audited, folder: Path, forgery: Forgery) -> Audited:
    world = told.copy(folder)
    line = world.commits()
    for at, number in forgery.was_seen:
        world.move(line[number])
        world.publish(at)
    if forgery.frozen:
        world.commit_policy(INSIDE - HOUR, "freezes/now.yaml", freeze(INSIDE - HOUR, INSIDE + HOUR))
    world.rewrite(forgery.edits)
    line = world.commits()
    for at, number in forgery.seen:
        world.move(line[min(number, len(line) - 1)])
        world.publish(at)
    world.move(line[-1])
    return world


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_named_and_by_one_check_alone(told: Audited, tmp_path: Path, name: str) -> None:
    forgery = FORGERIES[name]
    world = done(told, tmp_path / "forged", forgery)
    found = reasons(world.audit(CLOSING + 4 * HOUR))
    found.pop("outside", None)
    assert set(found) == {forgery.check, *forgery.also}, found
    assert found[forgery.check].startswith(forgery.said)
    others = tuple(one for one in CHECKS if one.name != forgery.check)
    without = world.audit(CLOSING + 4 * HOUR, others)
    assert set(reasons(without)) <= {"outside", *forgery.also}
    assert without.verdict is not Verdict.REFUTED
