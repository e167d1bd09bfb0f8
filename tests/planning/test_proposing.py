"""Which plans are proposed, as which branches, and what their pull requests say."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reconciler.planning.fleet.proposal_text import mark_of
from reconciler.planning.fleet.proposing import (
    Agenda,
    ProposalRules,
    StandingProposal,
    Unapproved,
    WantedProposal,
    agenda,
    approval_in,
    in_turn,
    still_waited_for,
    target_of,
    unapproved,
)
from reconciler.planning.fleet.waiting import WaitingPlan, WaitingTarget, waiting
from reconciler.planning.reporting.document import PlannedMove
from reconciler.planning.reporting.report import digest_of_planned
from reconciler.policy.resolve import Resolver
from tests.planning.test_waiting import BASH, BOTH, told, whole
from tests.policy.trees import loaded
from tests.report_samples import NOW, change

RULES = ProposalRules(NOW, timedelta(days=14), 20)
PLAN, OTHER = whole(BOTH).digest, whole(BASH).digest


def waits(*of: tuple[str, str], security: Sequence[str] = (), windows: Sequence[datetime] = ()) -> Unapproved:
    """Return plans by the targets that wait for each, as ``(target, name of the plan)``."""
    targets: dict[str, list[str]] = {}
    for target, name in of:
        targets.setdefault(name, []).append(target)
    plans = []
    for name, every in targets.items():
        move = PlannedMove("upgrade", name, "amd64", "1", "2", "")
        plan = replace(told("x")[1].plan, transaction=(move,))
        row = told("x")[0]
        waiting_targets = tuple(
            WaitingTarget(replace(row, target=one), next(iter(windows), None), tuple(windows))
            for one in sorted(every)
        )
        marked = frozenset({f"{name}:amd64"} if name in security else ())
        plans.append(WaitingPlan(digest_of_planned(plan), (move,), marked, waiting_targets))
    return Unapproved(tuple(plans), frozenset(), ())


def digest(name: str) -> str:
    (plan,) = waits(("a", name)).plans
    return plan.digest


def stands(*wanted: WantedProposal) -> list[StandingProposal]:
    """Return branches as they are once they were pushed."""
    return [StandingProposal(one.branch, "1" * 40, one.path, one.document) for one in wanted]


def named(found: Agenda) -> dict[str, str]:
    """Return the branch of each plan, by its package."""
    return {one.plan.changes[0].name: one.branch for one in found.wanted}


# --- branches


def test_a_branch_is_called_after_a_target_and_stays_with_the_plan() -> None:
    first = agenda(waits(("web-01", "a"), ("web-02", "a"), ("db/x", "b")), (), (), RULES)
    assert named(first) == {"a": "proposals/web-01", "b": "proposals/db_x"}
    there = stands(*first.wanted)
    # Another target joins, with a name before the others; and the one that gave its name leaves.
    joined = agenda(waits(("app-01", "a"), ("web-02", "a"), ("db/x", "b")), there, (), RULES)
    assert named(joined) == named(first)
    assert all(one.is_right for one in joined.wanted)
    # Who left has a plan of its own, and takes the pull request of the others from nobody.
    apart = agenda(waits(("web-01", "c"), ("web-02", "a"), ("db/x", "b")), there, (), RULES)
    assert named(apart) == {**named(first), "c": "proposals/web-01+2"}


def test_the_pull_request_of_a_target_is_brought_up_to_date_when_its_plan_changes() -> None:
    first = agenda(waits(("web-01", "a"), ("web-02", "a")), (), (), RULES)
    later = agenda(waits(("web-01", "b"), ("web-02", "b")), stands(*first.wanted), (), RULES)
    (one,) = later.wanted
    assert (one.branch, one.is_right) == ("proposals/web-01", False)
    assert approval_in(stands(one)[0]) is not None
    assert (later.ended, one.tip) == ((), "1" * 40)


def test_what_nobody_waits_for_ends_and_says_why() -> None:
    first = agenda(waits(("a-1", "a"), ("b-1", "b"), ("c-1", "c")), (), (), RULES)
    there = [*stands(*first.wanted), StandingProposal("proposals/d-1", "2" * 40, is_merged=True)]
    now = replace(waits(("c-1", "c"), ("e-1", "e"), security=["e"]), approved=frozenset({digest("a")}))
    found = agenda(now, there, (), replace(RULES, max_open=1))
    assert {one.standing.branch: one.why for one in found.ended} == {
        "proposals/a-1": "this plan is approved, or needs no approval any more",
        "proposals/b-1": "no target waits for this plan any more",
        "proposals/c-1": "other plans have their turn first; it is proposed again when there is room",
        "proposals/d-1": "it was merged",
    }


def test_a_branch_of_somebody_else_is_left_alone_and_its_plan_with_it() -> None:
    (first,) = agenda(waits(("web-01", "a")), (), (), RULES).wanted
    theirs = StandingProposal(first.branch, "3" * 40, first.path, first.document, foreign="somebody pushed")
    found = agenda(waits(("web-01", "a"), ("db-01", "b")), [theirs], (), RULES)
    assert named(found) == {"b": "proposals/db-01"}
    assert (found.foreign, found.ended) == ((theirs,), ())
    # What they approve is not what the target waits for by now.
    assert named(agenda(waits(("web-01", "c")), [theirs], (), RULES)) == {"c": "proposals/web-01+2"}
    # Nobody can tell what they are about: the target that the branch is called after is theirs.
    unknown = replace(theirs, path="", text="")
    assert named(agenda(waits(("web-01", "c")), [unknown], (), RULES)) == {}
    # What they did there is in the policy, and they left the branch.
    merged = replace(unknown, is_merged=True)
    assert named(agenda(waits(("web-01", "c")), [merged], (), RULES)) == {"c": "proposals/web-01+2"}


def test_what_is_declined_keeps_its_branch_and_takes_no_room() -> None:
    few = replace(RULES, max_open=1)
    first = agenda(waits(("web-01", "a")), (), (), few)
    both = waits(("web-01", "a"), ("db-01", "b"))
    there = stands(*first.wanted)
    assert still_waited_for(both, there) == {digest("a"): there[0]}
    found = agenda(both, there, (), few, {digest("a")})
    assert named(found) == {"b": "proposals/db-01"}
    assert ([one.standing for one in found.declined], found.ended, found.later) == (there, (), ())
    # Its target waits for another plan: the branch goes on with that.
    assert still_waited_for(waits(("web-01", "c")), there) == {}
    assert named(agenda(waits(("web-01", "c")), there, (), few)) == {"c": "proposals/web-01"}


def test_who_needs_no_approval_any_more_is_not_proposed() -> None:
    free = Resolver(loaded({"policies/p.yaml": "kind: Policy\nname: p\n"}))
    found = unapproved(waiting([told("web-01")]), free, NOW)
    assert (found.plans, found.approved) == ((), frozenset({PLAN}))


@pytest.mark.parametrize(("days", "is_kept"), [(0, True), (6, True), (8, False), (20, False)], ids=str)
def test_an_end_stays_until_half_of_its_time_is_over(days: int, *, is_kept: bool) -> None:
    (first,) = agenda(waits(("web-01", "a")), (), (), RULES).wanted
    later = replace(RULES, now=NOW + timedelta(days=days))
    (one,) = agenda(waits(("web-01", "a")), stands(first), (), later).wanted
    assert one.is_right is is_kept
    approval = approval_in(stands(one)[0])
    assert approval is not None
    assert approval.ends() >= later.now + RULES.span / 2


def test_an_end_that_somebody_set_far_ahead_is_not_kept() -> None:
    (first,) = agenda(waits(("web-01", "a")), (), (), replace(RULES, span=timedelta(days=900))).wanted
    (one,) = agenda(waits(("web-01", "a")), stands(first), (), RULES).wanted
    assert not one.is_right
    assert "expires: 2026-12-06" in one.document


def test_no_document_takes_the_name_of_one_that_expired() -> None:
    (one,) = agenda(waits(("web-01", "a")), (), [f"plan-{digest('a')[7:19]}"], RULES).wanted
    assert one.path == f"approvals/plan-{digest('a')[7:19]}-2.yaml"


_TARGETS = st.sampled_from([f"{host}{guest}" for host in "abcd" for guest in ("", "/x", "/y", "/+2", "_z")])
_FLEETS = st.dictionaries(
    _TARGETS.filter(lambda one: "_" not in one and "+" not in one), st.sampled_from("pqrs")
)


@example([{"a": "q"}, {"a": "p", "a/x": "q", "b": "p", "c": "r"}], 2)  # what is chosen stays chosen
@given(st.lists(_FLEETS, min_size=2, max_size=5), st.integers(1, 5))
def test_whatever_fleets_go_through_branches_and_plans_stay_one_to_one(
    fleets: list[dict[str, str]], most: int
) -> None:
    there: list[StandingProposal] = []
    for fleet in fleets:
        found = agenda(waits(*fleet.items()), there, (), replace(RULES, max_open=most))
        branches = [one.branch for one in found.wanted]
        assert len(set(branches)) == len(branches) <= most
        assert len({one.plan.digest for one in found.wanted}) == len(branches)
        assert len(found.wanted) + len(found.later) == len(set(fleet.values()))
        assert {one.branch for one in there} == {one.standing.branch for one in found.ended} | {
            one.branch for one in found.wanted if one.tip
        }
        assert all(target_of(one.branch) for one in found.wanted)
        there = stands(*found.wanted)
        again = agenda(waits(*fleet.items()), there, (), replace(RULES, max_open=most))
        assert {one.branch for one in again.wanted} == set(branches)
        assert all(one.is_right for one in again.wanted)
        assert again.ended == ()


# --- turns


def test_a_host_that_floods_plans_has_its_turn_and_no_other() -> None:
    flood = [(f"evil/{number}", f"flood{number}") for number in range(1000)]
    honest = [(f"web-{number}", f"plan{number % 10}") for number in range(100)]
    found = agenda(waits(*flood, *honest, security=[name for _, name in flood]), (), (), RULES)
    shown = [one.plan.changes[0].name for one in found.wanted]
    assert {f"plan{number}" for number in range(10)} <= set(shown[:11])
    assert len(found.wanted) == 20
    assert len(found.later) == 990
    # Also where it was there first, and has taken every place.
    there = stands(*agenda(waits(*flood), (), (), RULES).wanted)
    after = agenda(waits(*flood, *honest), there, (), RULES)
    assert {f"plan{number}" for number in range(10)} <= {one.plan.changes[0].name for one in after.wanted}


def test_who_joins_the_plan_of_others_takes_their_turn_from_nobody() -> None:
    honest = [("web-01", "a"), ("web-02", "a"), ("db-01", "b")]
    joined = waits(*honest, *((f"evil/{number}", "ab"[number % 2]) for number in range(9)))
    assert [one.changes[0].name for one in in_turn(joined.plans)][:2] == ["a", "b"]


def test_security_comes_first_then_what_is_proposed_already_then_what_most_hosts_wait_for() -> None:
    plans = waits(("a", "p"), ("b", "q"), ("c", "q"), ("d", "r"), ("e", "s"), security=["s"]).plans
    assert [one.changes[0].name for one in in_turn(plans, frozenset({digest("r")}))] == ["s", "r", "q", "p"]


# --- what is approved already


def policy(*approvals: str) -> Resolver:
    files = {f"approvals/{number}.yaml": text for number, text in enumerate(approvals)}
    return Resolver(loaded({"policies/p.yaml": "kind: Policy\nname: p\napproval: required\n", **files}))


def approval(what: str, match: str = "", expires: str = "2036-01-01") -> str:
    return f"kind: Approval\nname: ok\n{what}\nexpires: {expires}\n{match}\n"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", ["web-01", "web-02"]),
        (approval(f"plan: {PLAN}"), []),
        (approval(f"plan: {PLAN}", "match: {name: [web-01]}"), ["web-02"]),
        (approval(f"plan: {PLAN}", expires="2020-01-01"), ["web-01", "web-02"]),
        (approval(f"plan: {OTHER}"), ["web-01", "web-02"]),
        (approval("versions: {bash: 1.0-2, openssl: 3.0.15-1}"), []),
        (approval("versions: {bash: 1.0-2}"), ["web-01", "web-02"]),
    ],
)
def test_what_the_newest_policy_approves_is_not_proposed_again(text: str, left: list[str]) -> None:
    found = unapproved(waiting([told("web-01"), told("web-02")]), policy(*filter(None, [text])), NOW)
    assert [one.row.target for plan in found.plans for one in plan.targets] == left
    assert found.approved == (frozenset() if left else frozenset({PLAN}))
    assert found.used_up == ()


def test_a_guest_is_not_the_host_of_its_name_whatever_it_says() -> None:
    row, report = told("pve-1/web-01")
    named_host = policy(approval(f"plan: {PLAN}", "match: {name: [web-01], not: {guest_of: '*'}}"))
    lying = replace(row, guest_of=None)
    found = unapproved(waiting([(lying, report)]), named_host, NOW)
    assert [one.row.target for plan in found.plans for one in plan.targets] == ["pve-1/web-01"]


def test_who_saw_its_approval_and_waits_all_the_same_has_used_it_up() -> None:
    (found,) = waiting([told("web-01")]).plans
    saw = replace(found.targets[0], seen=frozenset({"ok"}))
    seen = waiting([told("web-01")])
    seen = replace(seen, plans=(replace(found, targets=(saw,)),))
    known = unapproved(seen, policy(approval(f"plan: {PLAN}")), NOW)
    assert (known.plans, known.used_up) == ((), (("web-01", "ok"),))


# --- what is said


def test_the_text_says_what_is_merged_and_bears_a_mark_of_all_of_it() -> None:
    windows = [datetime(2026, 11, 22, 2, tzinfo=UTC), datetime(2026, 11, 29, 2, tzinfo=UTC)]
    (one,) = agenda(waits(("web-01", "a"), ("web-02", "a"), windows=windows), (), (), RULES).wanted
    assert "exactly this plan, once on each target that has it, until 2026-12-06 UTC" in one.body
    assert "- Targets: `web-01`, `web-02`\n" in one.body
    ahead = "2026-11-22 02:00 UTC (2 targets), 2026-11-29 02:00 UTC (2 targets)"
    assert f"- Windows ahead: {ahead}\n" in one.body
    assert len(mark_of(one.body)) == 64
    (more,) = agenda(waits(("web-01", "a"), windows=windows), (), (), RULES).wanted
    assert mark_of(more.body) not in {mark_of(one.body), ""}
    assert mark_of("<!-- patchledger proposal 12 -->") == ""


def test_an_approval_that_ends_before_any_window_says_so() -> None:
    late = [NOW + timedelta(days=30)]
    (one,) = agenda(waits(("web-01", "a"), windows=late), (), (), RULES).wanted
    assert "**This approval ends before that.**" in one.body


@given(st.text(min_size=1, max_size=40), st.text(max_size=40), st.integers(1, 300))
def test_nothing_that_a_host_says_forms_markup_however_much_of_it(
    name: str, version: str, count: int
) -> None:
    moves = tuple(
        change(f"{name}{number}", to_version=version or None) for number in range(min(count, 3))
    ) + tuple(change(f"{name}-{number}") for number in range(count))
    found = waiting([told("web-01", replace(BASH, transaction=moves))])
    (one,) = agenda(unapproved(found, policy(), NOW), (), (), RULES).wanted
    assert len(one.body) < 65_536
    assert len(one.title) <= 255
    assert "\n" not in one.title
    tokens = MarkdownIt("commonmark").enable("table").parse(one.body)
    kinds = {child.type for token in tokens for child in (token, *(token.children or []))}
    assert not kinds & {"link_open", "image", "html_inline", "fence", "code_block", "blockquote_open", "hr"}
    html = [token.content for token in tokens if token.type == "html_block"]
    assert [text.strip() for text in html] == [one.body.splitlines()[0]]
    assert not any(line.startswith("/") for line in one.body.splitlines())  # GitLab would carry it out
