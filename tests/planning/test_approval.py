"""A digest stands for what a transaction does; an approval covers exactly that."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.observation import Change
from reconciler.planning.resolving.approval import digest_of
from reconciler.planning.resolving.dispositions import Disposition, Plan
from tests.examples import examples
from tests.fakes import ARCH, Build, PackageWorld, plan_for
from tests.policies import COMMIT, effective

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
REQUIRED = {"approval": "required"}
MACHINE = PackageWorld((Build("a", "2", depends=(("lib", ""),)), Build("lib", "1")), {"a": "1"})
UPGRADE = Change("upgrade", "a", ARCH, "1", "2", "Debian:12/stable", 100, 5, "ff" * 32)

_changes = st.lists(
    st.builds(
        Change,
        st.sampled_from(["upgrade", "downgrade", "replace"]),
        st.text("abc", min_size=1, max_size=3),
        st.sampled_from(["amd64", "i386", "all"]),
        st.sampled_from([None, "1", "2"]),
        st.sampled_from([None, "2", "3"]),
        st.sampled_from(["", "Debian:12/stable"]),
        sha256=st.sampled_from([None, "ff", "ee"]),
    ),
    max_size=6,
)


def fates(plan: Plan) -> set[Disposition]:
    return {update.disposition for update in plan.updates}


def plan_under(*approvals: dict[str, object], machine: PackageWorld = MACHINE) -> Plan:
    return plan_for(machine, effective(REQUIRED, approvals=approvals), NOW)


@examples(60)
@given(_changes, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_order_origin_or_size(changes: list[Change], random: object) -> None:
    other = [replace(change, origin="Mirror:12.9/stable", size=7, installed_delta=9) for change in changes]
    random.shuffle(other)  # type: ignore[attr-defined]  # the strategy gives a random.Random, which hypothesis does not say
    assert digest_of(other) == digest_of(changes)


@pytest.mark.parametrize(
    "other",
    [
        replace(UPGRADE, action="install"),
        replace(UPGRADE, name="b"),
        replace(UPGRADE, arch="i386"),
        replace(UPGRADE, from_version="0"),
        replace(UPGRADE, to_version="3"),
        replace(UPGRADE, sha256="ee" * 32),
        replace(UPGRADE, sha256=None),
    ],
)
def test_the_digest_depends_on_everything_that_a_transaction_does(other: Change) -> None:
    assert digest_of([other]) != digest_of([UPGRADE])


def test_the_digest_stays_the_same_from_release_to_release() -> None:
    # Approvals in policy repositories hold such digests: changing them breaks every one.
    removal = Change("remove", "b", "all", "0~1", None)
    assert digest_of([]) == "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    assert digest_of([UPGRADE, removal]) == (
        "sha256:14f0264887f66f11922953cb62182754e0479d0549a5e31d0ddf794166b39fb9"
    )


def test_where_no_approval_is_required_none_is_asked_for() -> None:
    plan = plan_for(MACHINE, effective(), NOW)
    assert fates(plan) == {Disposition.PLANNED}
    assert [reason.code for reason in plan.updates[0].reasons] == ["selected"]


def test_a_missing_approval_says_what_to_commit_and_keeps_the_transaction() -> None:
    plan = plan_under()
    assert [change.name for change in plan.transaction] == ["a", "lib"]
    assert fates(plan) == {Disposition.NOT_APPROVED}
    first = plan.updates[0].reasons[0]
    assert first.code == "approval-missing"
    assert f"plan: {plan.digest}" in first.message
    assert first.origin == f"policies/main.yaml:1@{COMMIT[:12]}"
    assert [reason.code for reason in plan.updates[0].reasons] == ["approval-missing", "selected"]


@pytest.mark.parametrize(
    "approval",
    [
        {"plan": plan_under().digest},
        {"versions": {"a": "2", "lib": "1"}},
        {"versions": {"a:amd64": "2", "lib": "1", "unrelated": "9"}},
    ],
)
def test_an_approval_covers_a_plan_by_digest_or_by_every_version(approval: dict[str, object]) -> None:
    plan = plan_under(approval)
    assert fates(plan) == {Disposition.PLANNED}
    assert [reason.code for reason in plan.updates[0].reasons] == ["selected", "approved"]
    assert plan.updates[0].reasons[1].origin == f"approvals/a0.yaml:1@{COMMIT[:12]}"


@pytest.mark.parametrize(
    "approval",
    [
        {"plan": "sha256:" + "0" * 64},
        {"versions": {"a": "2"}},
        {"versions": {"a": "2", "lib": "2"}},
        {"versions": {"a:i386": "2", "lib": "1"}},
    ],
)
def test_an_approval_of_something_else_covers_nothing(approval: dict[str, object]) -> None:
    assert fates(plan_under(approval)) == {Disposition.NOT_APPROVED}


def test_versions_never_cover_a_removal() -> None:
    machine = PackageWorld((Build("a", "2", conflicts=("b",)),), {"a": "1", "b": "1"})
    policy = effective(
        {**REQUIRED, "upgrade": "full", "removals": "allow"}, approvals=[{"versions": {"a": "2", "b": "1"}}]
    )
    plan = plan_for(machine, policy, NOW)
    assert [change.action for change in plan.transaction] == ["remove", "upgrade"]
    assert fates(plan) == {Disposition.NOT_APPROVED}


def test_a_bare_date_approves_through_the_end_of_its_day_and_an_expired_one_is_named() -> None:
    versions = {"versions": {"a": "2", "lib": "1"}}
    assert fates(plan_under({**versions, "expires": "2026-11-22"})) == {Disposition.PLANNED}
    plan = plan_under({**versions, "expires": "2026-11-21"})
    assert fates(plan) == {Disposition.NOT_APPROVED}
    codes = [reason.code for reason in plan.updates[0].reasons]
    assert codes == ["approval-expired", "approval-missing", "selected"]
    assert "2026-11-22T00:00:00Z" in plan.updates[0].reasons[0].message


def test_updates_that_are_not_in_the_transaction_keep_their_own_fate() -> None:
    machine = PackageWorld((Build("a", "2"), Build("b", "2")), {"a": "1", "b": "1"})
    policy = effective(REQUIRED, exceptions=[{"packages": ["b"], "action": "hold"}])
    found = {update.name: update.disposition for update in plan_for(machine, policy, NOW).updates}
    assert found == {"a": Disposition.NOT_APPROVED, "b": Disposition.HELD}
