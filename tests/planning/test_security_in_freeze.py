"""The separate plan of a freeze that lets security updates through: what it is, and what leads."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.planning.gates.inputs import is_security_plan
from reconciler.planning.gates.reboot import History, against
from reconciler.planning.gates.recording import Judged, Ruling
from reconciler.planning.gates.security_plan import passed_freeze
from reconciler.planning.gates.types import BreakGlass, Outcome
from reconciler.planning.notices.events import Event, events
from reconciler.planning.notices.snapshot import announcement_due, snapshot_of
from reconciler.planning.reporting.markdown import to_markdown
from reconciler.planning.reporting.overdue import overdue
from reconciler.planning.reporting.report import plan_json
from reconciler.planning.resolving.dispositions import Deadline
from reconciler.planning.resolving.plan import security_only
from reconciler.planning.text.wording import short_digest
from reconciler.policy.documents import PackageException, Settings
from reconciler.policy.load import Placed
from reconciler.policy.windows import Freeze
from tests.report_samples import EXCEPTION, HELD, INPUTS, NOW, effective, plan_of, report_of, update

HOUR = timedelta(hours=1)
LENIENT = Freeze("year-end", NOW - HOUR, NOW + 100 * HOUR, "security", "change freeze", "freezes/y.yaml:1@c")
STRICT = Freeze("audit", NOW - HOUR, NOW + HOUR, "none", "audit", "freezes/a.yaml:1@c")
OPENSSL, CURL = update("openssl", security=True), update("curl")


def policy(frozen: tuple[Freeze, ...] = (LENIENT,), **settings: Any) -> Any:
    return replace(effective(), settings=Settings(action="apply", **settings), frozen=frozen)


def exception(action: str) -> Placed[PackageException]:
    return replace(EXCEPTION, value=EXCEPTION.value.model_copy(update={"action": action}))


@pytest.mark.parametrize(
    ("frozen", "settings", "manager", "expected"),
    [
        ((LENIENT,), {}, "apt", "year-end"),
        ((LENIENT,), {"updates": "security"}, "dnf", "year-end"),
        ((LENIENT, replace(LENIENT, name="later", end=NOW + 900 * HOUR)), {}, "zypper", "later"),
        ((), {}, "apt", None),
        ((LENIENT, STRICT), {}, "apt", None),
        ((replace(LENIENT, end=NOW),), {}, "apt", None),
        ((LENIENT,), {"updates": "none"}, "apt", None),
        ((LENIENT,), {"kinds": ("bugfix",)}, "dnf", None),
        ((LENIENT,), {"kinds": ("security", "bugfix")}, "dnf", "year-end"),
        ((LENIENT,), {}, "pacman", None),
    ],
)
def test_which_freeze_has_a_security_plan(
    frozen: tuple[Freeze, ...], settings: Mapping[str, Any], manager: str, expected: str | None
) -> None:
    found = passed_freeze(policy(frozen, **settings), manager, NOW)
    assert (None if found is None else found.name) == expected


def test_who_passes_over_the_freeze_wants_the_whole_plan() -> None:
    over, through = BreakGlass("outage", "ada", overrides_freeze=True), BreakGlass("outage", "ada")
    assert passed_freeze(policy(), "apt", NOW, over) is None
    assert passed_freeze(policy(), "apt", NOW, through) == LENIENT


def test_a_freeze_lets_security_through_and_widens_nothing() -> None:
    wide = policy(updates="all", removals="allow", allow_removals=("lib*",), autoremove="kernels")
    alone = security_only(replace(wide, exceptions=(exception("hold"), exception("include"))))
    settings = alone.settings
    assert (settings.updates, settings.removals) == ("security", "forbid")
    assert (settings.allow_removals, settings.autoremove) == ((), "none")
    assert [one.value.action for one in alone.exceptions] == ["hold"]
    assert security_only(policy(updates="none")).settings.updates == "none"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"updates": "all"}, False),
        ({"updates": "none"}, False),
        ({"removals": "allow"}, False),
        ({"allow_removals": ("lib*",)}, False),
        ({"autoremove": "kernels"}, False),
    ],
)
def test_a_plan_passes_where_it_can_hold_nothing_else(changed: Mapping[str, Any], *, expected: bool) -> None:
    wanted = {"updates": "security", **changed}
    assert is_security_plan(policy(**wanted)) == expected


def test_what_an_exception_lets_in_does_not_pass() -> None:
    wanted = policy(updates="security")
    assert is_security_plan(replace(wanted, exceptions=(exception("hold"),)))
    assert not is_security_plan(replace(wanted, exceptions=(exception("include"),)))


def test_the_security_plan_leads_unless_it_has_nothing_to_do() -> None:
    inputs = replace(INPUTS, freezes=(LENIENT,))
    ordinary = Ruling.of(plan_of(OPENSSL, CURL), inputs, NOW)
    alone = Ruling.of(plan_of(OPENSSL), replace(inputs, is_security_plan=True), NOW)
    nothing = Ruling.of(plan_of(), replace(inputs, is_security_plan=True), NOW)
    assert Judged(ordinary).leading is ordinary
    assert Judged(ordinary, nothing).leading is ordinary
    both = Judged(ordinary, alone)
    assert (both.leading, both.rulings) == (alone, (alone, ordinary))


def test_a_package_manager_that_does_not_tell_is_named() -> None:
    report = report_of(inputs=replace(INPUTS, freezes=(LENIENT,), untold_by="pacman"))
    assert report.decision.outcome is Outcome.FREEZE
    assert report.decision.reason == (
        "frozen by year-end (change freeze) for all but security updates; pacman does not tell which these"
        " are, so that nothing passes"
    )
    assert not any(window.security for window in report.windows)


def frozen_report() -> Any:
    return report_of(
        plan_of(OPENSSL, CURL),
        replace(INPUTS, freezes=(LENIENT,)),
        security_plan=plan_of(OPENSSL),
    )


def test_a_report_tells_of_both_plans_and_messages_of_the_one_that_leads() -> None:
    report = frozen_report()
    assert (report.decision.outcome, report.security_decision.outcome) == (Outcome.FREEZE, Outcome.APPLY)
    assert report.leading.plan == report.security_plan
    assert report.windows[0].blocked_by == "year-end"
    assert (report.windows[0].security, report.leading.windows[0].blocked_by) == (True, None)
    page = to_markdown(report)
    assert "The freeze lets security updates pass" in page
    assert "`year-end`, but for security updates" in page
    told = snapshot_of(report, action="apply")
    assert (told.digest, [one.name for one in told.planned]) == (report.security_plan.digest, ["openssl"])
    assert told.outcome == "apply"


def test_programs_are_told_what_the_freeze_lets_through_and_what_becomes_of_it() -> None:
    told = plan_json(frozen_report())
    assert [move["name"] for move in told["security_plan"]["transaction"]] == ["openssl"]
    assert (told["decision"]["outcome"], told["security_decision"]["outcome"]) == ("freeze", "apply")
    assert set(told["security_plan"]) == set(told["plan"])
    assert plan_json(report_of(plan_of(OPENSSL, CURL)))["security_plan"] is None


def test_the_window_of_the_security_plan_is_announced_in_time() -> None:
    day = timedelta(days=1)
    opening = NOW + 7 * day - HOUR
    lenient = replace(LENIENT, end=NOW + 30 * day)
    report = report_of(
        plan_of(OPENSSL, CURL), replace(INPUTS, freezes=(lenient,)), security_plan=plan_of(OPENSSL)
    )
    assert announcement_due(report, day) == opening - day
    assert snapshot_of(report, action="apply", announce=7 * day).announced == opening


def test_who_is_asked_for_an_approval_is_asked_for_one_plan_and_no_other() -> None:
    """Two wait: to approve what the target waits for would approve what the message does not tell of."""
    inputs = replace(INPUTS, freezes=(LENIENT,), settings=replace(INPUTS.settings, approval="required"))
    report = report_of(plan_of(OPENSSL, CURL), inputs, security_plan=plan_of(OPENSSL))
    now = snapshot_of(report, action="apply")
    assert report.security_plan is not None
    (asked,) = (one for one in events(None, now, NOW) if one.event is Event.NEEDS_APPROVAL)
    digest = short_digest(report.security_plan.digest)
    assert f"`patchledger approve web-01 --plan {digest}`" in asked.message.text


def test_a_digest_says_what_the_freeze_keeps_back_and_why() -> None:
    bash = update("bash")
    report = report_of(
        plan_of(OPENSSL, CURL, bash, HELD),
        replace(INPUTS, freezes=(LENIENT,)),
        security_plan=plan_of(OPENSSL),
    )
    held, frozen = sorted(snapshot_of(report, action="apply").waits, key=lambda one: "frozen by" in one)
    assert frozen == (
        "curl, bash: frozen by year-end (change freeze) for all but security updates, and this plan holds"
        " others"
    )
    assert held.startswith(f"{HELD.name}: ")


def test_what_is_overdue_waits_for_what_its_own_plan_waits_for() -> None:
    late = Deadline(NOW - HOUR, NOW - 2 * HOUR, "2", "deadline.security", "policies/p.yaml:1@c")
    openssl, curl = replace(OPENSSL, deadline=late), replace(CURL, deadline=late)
    report = report_of(
        plan_of(openssl, curl), replace(INPUTS, freezes=(LENIENT,)), security_plan=plan_of(openssl)
    )
    found = {one.name: one.obstacle.code for one in overdue(report)}
    assert found == {"openssl": "apply", "curl": "freeze"}


@pytest.mark.parametrize(
    ("freezes", "glass", "expected"),
    [
        ((LENIENT,), None, "frozen by year-end (change freeze), and nothing reboots in a freeze"),
        ((STRICT,), None, "frozen by audit (audit), and nothing reboots in a freeze"),
        ((LENIENT,), BreakGlass("outage", "ada"), "frozen by year-end (change freeze), and nothing reboots"),
        ((LENIENT,), BreakGlass("outage", "ada", overrides_freeze=True), ""),
        ((replace(LENIENT, start=NOW + timedelta(minutes=5)),), None, "before the freeze year-end"),
        ((), None, ""),
    ],
)
def test_nothing_reboots_in_a_freeze_that_lets_security_through(
    freezes: tuple[Freeze, ...], glass: BreakGlass | None, expected: str
) -> None:
    inputs = replace(INPUTS, freezes=freezes, break_glass=glass, is_security_plan=True)
    found = against(plan_of(OPENSSL), inputs, Settings(action="apply"), History(), NOW)
    assert expected in ("" if found is None else found.why)
    assert (found is None) == (not expected)
