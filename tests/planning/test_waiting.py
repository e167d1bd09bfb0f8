"""What waits for an approval in a fleet, who is meant, and the documents that approve it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.errors import Misuse
from reconciler.planning.facts.observation import Change
from reconciler.planning.fleet.approving import Documents, Terms, by_digest, by_versions
from reconciler.planning.fleet.rows import Heard, Row, TargetState, row_of
from reconciler.planning.fleet.waiting import Selector, Waiting, chosen, waiting
from reconciler.planning.reporting.document import Report
from reconciler.planning.resolving.approval import digest_of
from reconciler.planning.resolving.dispositions import Plan
from reconciler.policy.windows import Freeze
from tests.policy.trees import MIDNIGHT, loaded
from tests.report_samples import INPUTS, NOW, change, plan_of, report_of, update

NEEDS = replace(INPUTS, settings=replace(INPUTS.settings, approval="required"))
BASH = plan_of(update("bash"))
BOTH = plan_of(update("bash"), update("openssl", installed="3.0.14-1", candidate="3.0.15-1", security=True))
HOUR = timedelta(hours=1)
TERMS = Terms("2026-12-20", "UTC", "CHG-1")


def whole(plan: Plan) -> Plan:
    return replace(plan, digest=digest_of(plan.transaction))


def told(target: str, plan: Plan = BOTH, labels: dict[str, str] | None = None) -> tuple[Row, Report]:
    report = report_of(whole(plan), NEEDS, target=target)
    heard = Heard("c" * 40, "d" * 40, "SHA256:key", "e" * 40, NOW)
    branch = f"guests/{target}" if "/" in target else f"hosts/{target}"
    return replace(row_of(branch, report, None, heard), labels=labels or {}), report


def fleet() -> tuple[list[Row], Waiting]:
    every = [
        told("web-02", labels={"role": "web"}),
        told("web-01", labels={"role": "web"}),
        told("db-01", BASH, {"role": "db"}),
        told("pve-1/mail", BASH),
    ]
    return [row for row, _ in every], waiting(every)


def written(selector: Selector, *, versions: bool = False, taken: tuple[str, ...] = ()) -> Documents:
    rows, found = fleet()
    write = by_versions if versions else by_digest
    return write(chosen(found, rows, selector), selector, TERMS, taken)


def test_equal_plans_wait_together_and_security_comes_first() -> None:
    _, found = fleet()
    assert [[one.row.target for one in plan.targets] for plan in found.plans] == [
        ["web-01", "web-02"],
        ["db-01", "pve-1/mail"],
    ]
    assert [sorted(plan.security) for plan in found.plans] == [["openssl:amd64"], []]
    assert found.plans[0].digest == whole(BOTH).digest
    assert found.plans[0].window == datetime(2026, 11, 22, 2, tzinfo=UTC)


def test_who_needs_no_approval_or_is_not_proved_does_not_wait() -> None:
    open_ = report_of(whole(BOTH), INPUTS)
    row, report = told("web-01")
    every = [
        (row, open_),
        (replace(row, state=TargetState.UNVERIFIED), report),
        (replace(row, state=TargetState.RETIRED), report),
        told("web-03", Plan((), (), digest_of(()))),
    ]
    assert waiting(every) == Waiting((), ())


def test_a_digest_that_its_changes_do_not_have_is_not_believed() -> None:
    row, report = told("web-01")
    forged = replace(report, plan=replace(report.plan, digest="sha256:" + "0" * 64))
    found = waiting([(row, forged)])
    assert found.plans == ()
    assert [target for target, _ in found.refused] == ["web-01"]
    with pytest.raises(Misuse, match="web-01 waits for no approval; its report names another digest"):
        chosen(found, [row], Selector(("web-01",)))


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        (Selector(("web-1",)), "there is no target web-1"),
        (Selector(digest="sha256:" + "0" * 64), "no target reports plan 000000000000 any more"),
        (Selector(digest="abc"), "abc is no digest of a plan"),
        (Selector(labels={"role": "mail"}), "nothing of that waits"),
        (Selector(("db-01",), digest=whole(BOTH).digest), "nothing of that waits"),
    ],
)
def test_what_nobody_reports_is_refused(selector: Selector, said: str) -> None:
    rows, found = fleet()
    with pytest.raises(Misuse, match=said):
        chosen(found, rows, selector)


def test_a_document_approves_for_the_targets_that_were_named() -> None:
    made = written(Selector(("web-02",)))
    (path, text), *_ = made.files.items()
    short = whole(BOTH).digest[7:19]
    assert path == f"approvals/plan-{short}.yaml"
    revision = loaded({path: text, "policies/p.yaml": "kind: Policy\nname: p\n"})
    (approval,) = revision.approvals
    assert approval.value.plan == whole(BOTH).digest
    assert approval.value.match.name == ("web-02",)
    assert (approval.value.reason, str(approval.value.expires)) == ("CHG-1", "2026-12-20")
    assert made.title == f"Approve {short} on web-02"


def test_a_guest_is_matched_with_its_host_and_apart_from_hosts() -> None:
    made = written(Selector(("db-01", "pve-1/mail")), taken=(f"plan-{whole(BASH).digest[7:19]}",))
    found = loaded({**made.files, "policies/p.yaml": "kind: Policy\nname: p\n"}).approvals
    assert [(one.value.match.name, one.value.match.guest_of) for one in found] == [
        (("db-01",), None),
        (("mail",), ("pve-1",)),
    ]
    assert [one.value.name[-2:] for one in found] == ["-2", "-3"]


def test_a_group_and_a_digest_are_what_a_document_matches() -> None:
    by_label = written(Selector(labels={"role": "web"}))
    policy = {"policies/p.yaml": "kind: Policy\nname: p\n", "schedules/s.yaml": MIDNIGHT}
    (approval,) = loaded({**by_label.files, **policy}).approvals
    assert approval.value.match.labels == {"role": ("web",)}
    anyone = written(Selector(digest=whole(BOTH).digest[7:19]))
    (approval,) = loaded({**anyone.files, **policy}).approvals
    assert approval.value.match.model_fields_set == set()


def test_versions_are_those_of_all_plans_together() -> None:
    made = written(Selector(("web-01", "db-01")), versions=True)
    (approval,) = loaded({**made.files, "policies/p.yaml": "kind: Policy\nname: p\n"}).approvals
    assert approval.value.versions == {"bash": "1.0-2", "openssl": "3.0.15-1"}
    assert approval.value.match.name == ("db-01", "web-01")


@pytest.mark.parametrize(
    ("moves", "said"),
    [
        ((change("bash", action="remove", to_version=None),), "bash:amd64 has no version"),
        ((change("bash", to_version="1.0-3"),), "bash goes to 1.0-2 on one target and to 1.0-3 on another"),
    ],
)
def test_versions_that_cannot_be_listed_are_refused(moves: tuple[Change, ...], said: str) -> None:
    every = [told("web-01", BASH), told("web-02", replace(BASH, transaction=moves))]
    found = waiting(every)
    selector = Selector(("web-01", "web-02"))
    plans = sorted(
        chosen(found, [row for row, _ in every], selector), key=lambda one: one.targets[0].row.target
    )
    with pytest.raises(Misuse, match=said):
        by_versions(plans, selector, TERMS, ())


def test_no_name_of_a_package_forms_markup_in_the_text_of_a_pull_request() -> None:
    evil = "<img src=x>|@ada ![](http://evil)"
    every = [told("web-01", replace(BASH, transaction=(change(evil),)))]
    selector = Selector(("web-01",))
    made = by_digest(
        chosen(waiting(every), [every[0][0]], selector), selector, replace(TERMS, reason="# `x` @all"), ()
    )
    (line,) = [line for line in made.body.splitlines() if "img" in line]
    assert line.count("|") == 5
    for mark in ("<img", "@ada", "](http", "@all", "`x`"):
        assert mark not in made.body


@pytest.mark.parametrize(
    ("plans", "packages", "name"), [(1, 5000, "<" * 100), (40, 200, "lib"), (700, 2, "a")]
)
def test_the_text_of_a_pull_request_fits_however_much_waits(plans: int, packages: int, name: str) -> None:
    every = [
        told(
            f"web-{number}",
            replace(BASH, transaction=tuple(change(f"{name}{number}-{each}") for each in range(packages))),
        )
        for number in range(plans)
    ]
    selector = Selector(labels={})
    made = by_digest(chosen(waiting(every), [row for row, _ in every], selector), selector, TERMS, ())
    assert len(made.files) == plans
    assert len(made.body.encode()) < 65_536
    assert " more" in made.body
    headings = made.body.count("### ")
    assert made.body.count("- Plan: `sha256:") == headings
    if headings < plans:
        assert made.body.endswith(f"… and {plans - headings} plans more on {plans - headings} targets.\n")


def test_a_removal_is_told_before_what_may_be_left_out() -> None:
    moves = (*(change(f"a{each}") for each in range(400)), change("sudo", action="remove", to_version=None))
    every = [told("web-01", replace(BASH, transaction=moves))]
    found = chosen(waiting(every), [every[0][0]], Selector(("web-01",)))
    made = by_digest(found, Selector(("web-01",)), TERMS, ())
    assert "| `sudo:amd64` | `1.0-1` |  | removal |" in made.body


@pytest.mark.parametrize("name", ["2048", "0xffff", "1e3", "null", "on", "2048:i386", "g++-12", "12d"])
def test_packages_and_labels_are_texts_whatever_they_are_called(name: str) -> None:
    row, report = told("web-01", replace(BASH, transaction=(change(name),)), {"1": "2"})
    selector = Selector(labels={"1": "2"})
    made = by_versions(chosen(waiting([(row, report)]), [row], selector), selector, TERMS, ())
    (approval,) = loaded({**made.files, "policies/p.yaml": "kind: Policy\nname: p\n"}).approvals
    assert approval.value.versions == {name: "1.0-2"}
    assert approval.value.match.labels == {"1": ("2",)}


@pytest.mark.parametrize("is_first", [True, False])
def test_no_target_keeps_a_security_update_of_others_from_being_seen(*, is_first: bool) -> None:
    quiet = replace(BOTH, updates=tuple(replace(one, security=False) for one in BOTH.updates))
    every = [told("web-02"), told("web-01", quiet)]
    (plan,) = waiting(reversed(every) if is_first else every).plans
    assert sorted(plan.security) == ["openssl:amd64"]


def test_in_a_freeze_that_lets_security_through_each_plan_waits_for_its_own_approval() -> None:
    alone = whole(plan_of(update("openssl", security=True)))
    freeze = Freeze("year-end", NOW - HOUR, NOW + HOUR, "security", "year end")
    frozen = replace(NEEDS, freezes=(freeze,))
    row, _ = told("web-01")
    both = report_of(whole(BOTH), frozen, target="web-01", security_plan=alone)
    found = waiting([(row, both)])
    assert {one.digest for one in found.plans} == {alone.digest, whole(BOTH).digest}
    (security,) = (one for one in found.plans if one.digest == alone.digest)
    assert [one.row.target for one in security.targets] == ["web-01"]
    same = report_of(alone, frozen, target="web-01", security_plan=alone)
    assert [one.digest for one in waiting([(row, same)]).plans] == [alone.digest]
