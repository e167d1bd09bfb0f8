"""What a reader must know about a target is a condition, and its status never claims more than is known."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import (
    Answer,
    Available,
    Exchange,
    FirstSeen,
    Health,
    Installed,
    Observation,
    Offer,
    Question,
    Reboot,
    RebootNeed,
    Refresh,
    RefreshOutcome,
    Source,
)
from reconciler.planning.resolving.conditions import asked_again, next_change
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.resolving.plan import make_plan
from reconciler.planning.resolving.sources import SourcesAsked
from reconciler.policy.load import PolicyFile
from reconciler.policy.resolve import Effective
from tests.fakes import STABLE, Build, PackageWorld, converse, healthy, plan_for
from tests.policies import effective, resolved

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOTHING = effective()


def conditions(
    observation: Observation, policy: Effective = NOTHING, now: datetime = NOW
) -> dict[str, Condition]:
    found = make_plan(observation, policy, [], now).conditions
    assert [condition.type for condition in found] == sorted({condition.type for condition in found})
    return {condition.type: condition for condition in found}


def source(**changes: object) -> tuple[Source, ...]:
    fresh = Source("Debian:12/stable", "http://deb.example/debian", NOW, None, NOW)
    return (replace(fresh, **changes),)  # type: ignore[arg-type]  # the fields a test names


def test_a_machine_without_worries_has_only_the_reboot_condition() -> None:
    assert conditions(healthy(NOW)) == {
        "RebootRequired": Condition(
            ConditionType.REBOOT_REQUIRED, False, "NotRequired", "no reboot is pending"
        )
    }


@pytest.mark.parametrize(
    ("manager", "sources", "updates", "reason"),
    [
        ("apt", source(security=False), "security", "NoSource"),
        ("apt", (), "security", "NoSource"),
        ("apt", source(security=False), "all", ""),
        ("apt", source(security=False), "none", ""),
        ("apt", (*source(security=False), *source(security=True)), "security", ""),
        ("apt", source(), "security", ""),
        ("dnf", source(), "security", ""),
        ("dnf", source(security=False), "security", "NoSource"),
        ("zypper", (*source(security=False), *source()), "security", ""),
    ],
    ids=[
        "none",
        "no-source",
        "all-wanted",
        "none-wanted",
        "one",
        "told-by-an-older-version",
        "not-by-source",
        "no-advisories",
        "advisories-of-one",
    ],
)
def test_where_no_source_serves_security_updates_that_is_said(
    manager: str, sources: tuple[Source, ...], updates: str, reason: str
) -> None:
    seen = replace(healthy(NOW), manager=manager, sources=sources)
    found = conditions(seen, effective({"updates": updates})).get("SecurityUnknown")
    assert (found.reason if found else "") == reason
    assert found is None or ("'security_sources'" if manager == "apt" else "advisories") in found.message


def test_where_policy_leaves_the_security_service_out_that_is_the_cause() -> None:
    (service,) = source(security=True)
    sources = (replace(service, id="service", release="o=Debian"), *source(security=False))
    seen = replace(healthy(NOW), manager="apt", sources=sources)
    found = conditions(seen, effective({"updates": "security", "sources": {"except": ["o=Debian"]}}))
    assert found["SecurityUnknown"].message == (
        "of the package sources that count, none serves security updates, so nothing is planned with"
        " 'updates: security'; Debian:12/stable would: see 'sources' and 'refresh.may_be_missing',"
        " or use 'updates: all'"
    )


@pytest.mark.parametrize(
    ("seen", "status", "reason"),
    [
        ({"refresh": Refresh(RefreshOutcome.FAILED, "E: no network")}, True, "RefreshFailed"),
        ({"refresh": Refresh(RefreshOutcome.FAILED, "E: other", "accept it")}, True, "NeedsAcceptance"),
        ({"sources": source(problem="expired key")}, True, "SourceProblem"),
        ({"sources": source(valid_until=NOW)}, True, "Expired"),
        ({"sources": source(valid_until=NOW + HOUR)}, False, ""),
        ({"sources": source(fetched=NOW - 3 * DAY)}, True, "TooOld"),
        ({"sources": source(fetched=NOW - 3 * DAY + HOUR)}, False, ""),
        ({"sources": source(fetched=NOW - 9 * DAY) + source(fetched=NOW)}, False, ""),
        ({"sources": source(fetched=None)}, None, "AgeUnknown"),
        ({"sources": source(age_unknown="no release file", fetched=None)}, False, ""),
        ({"sources": source(age_unknown="dates are passed over", valid_until=NOW)}, False, ""),
        ({"sources": ()}, None, "AgeUnknown"),
        ({"refresh": Refresh(RefreshOutcome.NOT_PERMITTED)}, False, ""),
        ({"refresh": Refresh(RefreshOutcome.NOT_DUE)}, False, ""),
    ],
)
def test_metadata_are_fresh_or_the_plan_says_not(
    seen: dict[str, object], *, status: bool | None, reason: str
) -> None:
    found = conditions(replace(healthy(NOW), **seen)).get("MetadataStale")  # type: ignore[arg-type]  # the fields a test names
    assert (found.status, found.reason) == (status, reason) if found else status is False


def test_policy_can_forbid_sources_of_unknown_age() -> None:
    seen = replace(healthy(NOW), sources=source(age_unknown="no release file"))
    found = conditions(seen, effective({"refresh": {"age_unknown": "stale"}}))["MetadataStale"]
    assert (found.status, found.reason) == (True, "AgeUnknown")
    assert found.message == "Debian:12/stable: no release file"


THIRD = Source("third", "http://third.example", NOW - 9 * DAY, None, NOW - 9 * DAY)
NEVER_READ = Source("third", "http://third.example", None, None, None, "its metadata have never been read")
FAILED = Refresh(RefreshOutcome.FAILED, "no route to host", missing=("third",))


@pytest.mark.parametrize(
    ("refresh", "third", "setting", "missing"),
    [
        (FAILED, replace(THIRD, may_be_missing=True), {}, True),
        (FAILED, THIRD, {}, False),
        (FAILED, replace(THIRD, may_be_missing=True), {"may_be_missing": "none"}, False),
        (FAILED, THIRD, {"may_be_missing": ["th*"]}, True),
        (FAILED, THIRD, {"may_be_missing": "th*"}, True),
        (FAILED, THIRD, {"may_be_missing": ["other"]}, False),
        (FAILED, replace(THIRD, may_be_missing=True), {"may_be_missing": ["other"]}, True),
        # What else could not be read counts as ever, and so does a failure whose cause nobody names.
        (replace(FAILED, missing=("base", "third")), replace(THIRD, may_be_missing=True), {}, False),
        (replace(FAILED, missing=()), replace(THIRD, may_be_missing=True), {}, False),
        (Refresh(RefreshOutcome.REFRESHED), replace(NEVER_READ, may_be_missing=True), {}, True),
        (Refresh(RefreshOutcome.REFRESHED), NEVER_READ, {}, False),
    ],
)
def test_a_source_that_may_be_missing_holds_up_nothing(
    refresh: Refresh, third: Source, setting: Mapping[str, object], *, missing: bool
) -> None:
    seen = replace(healthy(NOW), manager="dnf", sources=(*source(), third), refresh=refresh)
    found = conditions(seen, effective({"refresh": setting}))
    assert ("MetadataStale" in found) is not missing
    if missing:
        assert (found["SourceMissing"].status, found["SourceMissing"].stalled) == (True, False)


def test_a_missing_source_is_told_with_its_age() -> None:
    for third, age in ((THIRD, "was last read at 2026-11-13T09:00:00Z"), (NEVER_READ, "has never been read")):
        sources = (*source(), replace(third, may_be_missing=True))
        found = conditions(replace(healthy(NOW), sources=sources, refresh=FAILED))
        assert found["SourceMissing"].message == (
            f"third cannot be read, and all else goes on without it; it {age}"
        )


def test_what_was_not_explained_is_told_and_holds_up_nothing() -> None:
    said = ("pacman did not say what would take the place of installed packages: no answer within 60 s",)
    missing = conditions(replace(healthy(NOW), unexplained=said))["ExplanationMissing"]
    assert (missing.status, missing.message, missing.stalled) == (True, *said, False)
    assert "ExplanationMissing" not in conditions(healthy(NOW))


def test_not_every_source_that_counts_may_be_missing() -> None:
    for third in (THIRD, NEVER_READ):
        alone = (replace(third, may_be_missing=True),)
        for sources in (alone, (*alone, *source())):
            seen = replace(healthy(NOW), sources=sources, refresh=FAILED)
            found = conditions(seen, effective({"sources": {"only": ["third"]}}))
            assert found["MetadataStale"].status is True
            assert found.keys().isdisjoint({"SourceMissing", "NoSourceAdmitted"})


def test_no_question_counts_on_what_a_missing_source_had() -> None:
    seen = replace(
        healthy(NOW),
        installed=(Installed("tool", "amd64", "1"),),
        offers=(Offer("tool", "amd64", "1", "2", (Available("2", ("third",), False, left_out=True),)),),
        sources=(*source(), replace(THIRD, may_be_missing=True)),
        refresh=FAILED,
    )
    asked = SourcesAsked.of(seen, effective().settings)
    (update,) = make_plan(seen, effective(), (), NOW).updates
    assert asked.without == ("third",)
    assert (update.reasons[0].code, update.reasons[0].message) == (
        "source-missing",
        "tool 2 comes from third, which could not be read",
    )


def test_a_plan_from_metadata_that_could_not_be_refreshed_says_so() -> None:
    seen = replace(healthy(NOW), refresh=Refresh(RefreshOutcome.NOT_PERMITTED))
    found = conditions(seen)["MetadataNotRefreshed"]
    assert (found.status, found.stalled) == (True, False)
    assert "only root may refresh" in found.message
    assert "MetadataNotRefreshed" not in conditions(healthy(NOW))


def test_every_cause_of_stale_metadata_is_told() -> None:
    observation = replace(
        healthy(NOW),
        refresh=Refresh(RefreshOutcome.FAILED, "E: no network"),
        sources=source(problem="key expired", fetched=NOW - 4 * DAY),
    )
    message = conditions(observation)["MetadataStale"].message
    assert all(words in message for words in ("E: no network", "key expired", "2026-11-18T09:00:00Z"))


def test_policy_says_when_metadata_are_stale() -> None:
    observation = replace(healthy(NOW), sources=source(fetched=NOW - 4 * DAY))
    assert "MetadataStale" not in conditions(observation, effective({"refresh": {"stale_after": "5d"}}))


@pytest.mark.parametrize(
    ("need", "status"),
    [(RebootNeed.REQUIRED, True), (RebootNeed.NOT_REQUIRED, False), (RebootNeed.UNKNOWN, None)],
)
def test_an_unknown_reboot_need_is_never_a_required_one(need: RebootNeed, *, status: bool | None) -> None:
    found = conditions(replace(healthy(NOW), reboot=Reboot(need, ("linux-image",))))["RebootRequired"]
    assert found.status is status


def test_a_package_system_in_trouble_is_named() -> None:
    health = Health(interrupted=("nginx",), broken=("a depends on b",))
    found = conditions(replace(healthy(NOW), health=health))
    assert "nginx" in found["PackageSystemInterrupted"].message
    assert "a depends on b" in found["DependenciesBroken"].message
    assert found["DependenciesBroken"].stalled


def test_ambiguous_policy_stalls_the_target() -> None:
    files = [
        PolicyFile(
            f"policies/{name}.yaml", "100644", f"kind: Policy\nname: {name}\nupdates: {updates}\n".encode()
        )
        for name, updates in (("one", "all"), ("two", "security"))
    ]
    found = conditions(healthy(NOW), resolved(files))["PolicyAmbiguous"]
    assert found.stalled
    assert "policies/one.yaml:3" in found.message
    assert "policies/two.yaml:3" in found.message


INSTALLED = replace(healthy(NOW), installed=(Installed("a", "amd64", "1"),))


@pytest.mark.parametrize(
    ("expires", "expected"),
    [
        ("2026-11-21", "ExceptionExpired"),
        ("2026-11-22", "ExceptionExpiring"),
        ("2026-12-05", "ExceptionExpiring"),
        ("2026-12-06", None),
        ("2027-12-06", None),
    ],
)
def test_exceptions_are_reported_before_and_after_their_end(expires: str, expected: str | None) -> None:
    policy = effective(exceptions=[{"packages": ["a"], "action": "hold", "expires": expires}])
    all_found = conditions(INSTALLED, policy)
    found = all_found.keys() & {"ExceptionExpired", "ExceptionExpiring"}
    for one in found:
        said = all_found[one].message
        assert f", expires: {expires}) " in said
        assert ("ended at" in said) == (one == "ExceptionExpired") != ("ends at" in said)
    assert found == ({expected} if expected else set())


def test_an_exception_that_matches_nothing_is_told_with_its_place() -> None:
    policy = effective(
        exceptions=[{"packages": ["a"], "action": "hold"}, {"packages": ["apache*"], "action": "hold"}]
    )
    found = conditions(INSTALLED, policy)["ExceptionUnused"]
    assert "exceptions/e1.yaml:1@0123456789ab" in found.message
    assert "e0" not in found.message
    assert not found.stalled


def test_refused_removals_are_a_condition() -> None:
    machine = PackageWorld((Build("a", "2", conflicts=("b",)),), {"a": "1", "b": "1"})
    found = {condition.type: condition for condition in plan_for(machine, NOTHING, NOW).conditions}
    assert found[ConditionType.REMOVALS_REFUSED].message.startswith("a: ")


def test_a_range_of_versions_holds_where_the_order_is_not_known() -> None:
    machine = PackageWorld((Build("a", "2"), Build("b", "2")), {"a": "1", "b": "1"})
    policy = effective(
        {"updates": "security"},
        exceptions=[
            {"packages": ["a"], "action": "hold", "versions": "< 1"},
            {"packages": ["b"], "action": "include", "versions": ">= 2"},
        ],
    )
    observation = replace(machine.observe(NOW), manager="portage")
    plan = make_plan(observation, policy, converse(machine, observation, policy, NOW), NOW)
    assert [(update.name, update.disposition) for update in plan.updates] == [
        ("a", "held"),
        ("b", "not-selected"),
    ]
    unjudged = next(each for each in plan.conditions if each.type == "VersionRangeUnjudged")
    assert "'e0'" in unjudged.message
    assert "'e1'" in unjudged.message


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (effective(), NOW + 3 * DAY),
        (effective({"refresh": {"stale_after": "1h"}}), NOW + HOUR),
        (
            effective(exceptions=[{"packages": ["a"], "action": "hold", "expires": "2026-11-22"}]),
            datetime(2026, 11, 23, tzinfo=UTC),
        ),
        (
            effective(exceptions=[{"packages": ["a"], "action": "hold", "expires": "2026-12-06"}]),
            datetime(2026, 11, 23, tzinfo=UTC),
        ),
        (effective(approvals=[{"plan": "sha256:" + "0" * 64, "expires": "2026-11-22"}]), NOW + 3 * DAY),
        (
            effective(
                {"approval": "required"},
                approvals=[{"plan": "sha256:" + "0" * 64, "expires": "2026-11-22"}],
            ),
            datetime(2026, 11, 23, tzinfo=UTC),
        ),
    ],
)
def test_the_next_change_is_the_next_instant_at_which_policy_or_evidence_end(
    policy: Effective, expected: datetime
) -> None:
    assert next_change(healthy(NOW), policy, NOW) == expected


def test_where_time_alone_changes_nothing_there_is_no_next_change() -> None:
    assert next_change(replace(healthy(NOW), sources=()), NOTHING, NOW) is None


def test_a_date_of_first_sight_in_the_future_does_not_postpone_the_next_change() -> None:
    observation = replace(healthy(NOW), sources=(), first_seen=(FirstSeen(STABLE, "a", "2", NOW + 99 * DAY),))
    assert next_change(observation, effective({"min_age": {"other": "1d"}}), NOW) == NOW + DAY


@pytest.mark.parametrize(
    ("unexplained", "code", "expected"),
    [
        ((), exit_codes.DONE, None),
        ((), exit_codes.UNRESOLVED, None),
        (("what would replace packages is not known",), exit_codes.DONE, NOW + HOUR),
        ((), exit_codes.OTHER, NOW + HOUR),
    ],
)
def test_what_had_no_answer_is_asked_again_in_an_hour(
    unexplained: tuple[str, ...], code: int, expected: datetime | None
) -> None:
    observation = replace(healthy(NOW), unexplained=unexplained)
    answered = [Exchange(Question(), Answer((), exit_code=code))]
    assert asked_again(observation, answered, NOW) == expected
