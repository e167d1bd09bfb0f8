"""A package that would take the place of an installed one is an update, whatever its own name is."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.planning.facts.observation import FirstSeen, Question
from reconciler.planning.reporting.summary import count
from reconciler.planning.resolving.dispositions import Disposition, Update
from reconciler.planning.resolving.plan import make_plan
from tests.fakes import STABLE, Build, PackageWorld, converse, plan_for
from tests.policies import effective

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
SECURITY_ONLY = {"updates": "security"}


def renamed(*more: Build, security: bool = False, held: Sequence[str] = (), **installed: str) -> PackageWorld:
    new = Build("newname", "2", conflicts=("oldname",), replaces=("oldname",), security=security)
    present = {"oldname": "1", **installed}
    return PackageWorld((new, *more), present, frozenset(held), renames=True)


def told(
    machine: PackageWorld,
    settings: Mapping[str, object] | None = None,
    *exceptions: Mapping[str, object],
    first_seen: tuple[FirstSeen, ...] = (),
) -> dict[str, Update]:
    plan = plan_for(machine, effective(settings, exceptions=exceptions), NOW, first_seen)
    return {update.name: update for update in plan.updates}


@pytest.mark.parametrize("settings", [{}, {"upgrade": "full"}, SECURITY_ONLY])
def test_a_rename_is_planned_where_it_is_the_only_thing_pending(settings: Mapping[str, object]) -> None:
    found = told(renamed(security=True), settings)
    new = found["newname"]
    assert (new.disposition, new.installed, new.candidate) == (Disposition.PLANNED, None, "2")
    assert new.replaces == ("oldname",)
    assert [reason.code for reason in new.reasons] == ["selected", "replaces"]
    assert new.reasons[1].message == "it takes the place of oldname"
    assert [reason.code for reason in found["oldname"].reasons] == ["replaced"]


def test_it_is_counted_as_an_update_and_its_predecessor_as_removed() -> None:
    counts = count(tuple(told(renamed(security=True)).values()), NOW)
    assert (counts.updates, counts.pending, counts.pending_security) == (1, 1, 1)
    assert (counts.installs, counts.removals) == (0, 1)


def test_a_perfect_host_plans_nothing_afterwards() -> None:
    machine = renamed()
    after = machine.apply(plan_for(machine, effective(), NOW).transaction)
    assert after.installed == {"newname": "2"}
    assert plan_for(after, effective(), NOW).updates == ()


def test_one_that_no_advisory_names_is_no_security_update() -> None:
    found = told(renamed(), SECURITY_ONLY)
    assert [reason.code for reason in found["newname"].reasons] == ["security-only"]
    assert "oldname" not in found


@pytest.mark.parametrize("name", ["oldname", "newname"])
@pytest.mark.parametrize(("action", "code"), [("hold", "exception-hold"), ("block", "exception-block")])
def test_an_exception_for_either_name_keeps_it_out(name: str, action: str, code: str) -> None:
    found = told(renamed(), {}, {"packages": [name], "action": action})
    assert [reason.code for reason in found["newname"].reasons] == [code]
    assert "oldname" not in found


@pytest.mark.parametrize("held", ["oldname", "newname"])
def test_the_operators_hold_of_either_name_keeps_it_out_and_is_named(held: str) -> None:
    machine = renamed(Build("plain", "2"), held=[held], plain="1")
    found = told(machine)
    (reason,) = found["newname"].reasons
    assert (reason.code, reason.message) == (
        "operator-hold",
        f"{held} is on hold on this machine, by its operator",
    )
    assert found["plain"].disposition is Disposition.PLANNED
    exchanges = converse(machine, machine.observe(NOW), effective(), NOW)
    assert exchanges[0].question == Question("safe", block=("newname",))


@pytest.mark.parametrize(("days", "fate"), [(6, Disposition.TOO_YOUNG), (7, Disposition.PLANNED)])
def test_it_waits_for_its_minimum_age(days: int, fate: Disposition) -> None:
    seen = FirstSeen(STABLE, "newname", "2", NOW - timedelta(days=days))
    found = told(renamed(), {"min_age": {"other": "7d"}}, first_seen=(seen,))
    assert found["newname"].disposition is fate


@pytest.mark.parametrize("name", ["oldname", "newname"])
@pytest.mark.parametrize("updates", ["security", "none"])
def test_an_exception_for_either_name_includes_it(updates: str, name: str) -> None:
    machine = renamed(Build("plain", "2"), plain="1")
    found = told(machine, {"updates": updates}, {"packages": [name], "action": "include"})
    assert [reason.code for reason in found["newname"].reasons] == ["exception-include", "replaces"]
    assert found["plain"].disposition is Disposition.NOT_SELECTED


def test_one_that_would_remove_what_must_stay_is_left_out_and_the_rest_comes() -> None:
    new = Build("newname", "2", conflicts=("oldname", "kept"), replaces=("oldname",))
    present = {"kept": "1", "oldname": "1", "plain": "1"}
    machine = PackageWorld((new, Build("plain", "2")), present, renames=True)
    found = told(machine, {"upgrade": "full"})
    assert found["plain"].disposition is Disposition.PLANNED
    assert found["newname"].disposition is Disposition.REMOVAL_REFUSED
    assert "kept" in found["newname"].reasons[0].message


@pytest.mark.parametrize("upgrade", ["safe", "full"])
def test_an_update_that_would_replace_what_must_stay_is_left_out_and_the_rest_comes(upgrade: str) -> None:
    new = Build("tool", "2", conflicts=("oldname",), replaces=("oldname",))
    present = {"oldname": "1", "plain": "1", "tool": "1"}
    machine = PackageWorld((new, Build("plain", "2")), present, renames=True)
    hold = {"packages": ["oldname"], "action": "hold", "expires": "2099-01-01"}
    found = told(machine, {"upgrade": upgrade}, hold)
    assert {name: one.disposition for name, one in found.items()} == {
        "plain": Disposition.PLANNED, "tool": Disposition.REMOVAL_REFUSED,
    }  # fmt: skip
    assert "oldname" in found["tool"].reasons[0].message


def test_one_that_cannot_be_installed_says_why() -> None:
    new = Build("newname", "2", depends=(("nobody", ""),), conflicts=("oldname",), replaces=("oldname",))
    (update,) = told(PackageWorld((new,), {"oldname": "1"}, renames=True)).values()
    assert update.reasons[0].message == "2 cannot be installed: newname 2 needs nobody"


def test_one_that_the_manager_keeps_back_is_not_told_to_be_kept_by_what_it_replaces() -> None:
    machine = renamed()
    policy = effective({"upgrade": "safe"})
    seen = machine.observe(NOW)
    # The same offer, of a manager that does not take it by itself.
    stubborn = PackageWorld(machine.archive, machine.installed)
    (update,) = make_plan(seen, policy, converse(stubborn, seen, policy, NOW), NOW).updates
    assert update.reasons[0].message == (
        "the package manager keeps it back and does not say why; by itself, 2 can be installed"
    )
