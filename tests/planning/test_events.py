"""Messages tell of transitions: of what becomes so, of what goes wrong, and of the end of it."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from reconciler.planning.facts.observation import RebootNeed
from reconciler.planning.notices.events import (
    Event,
    Expiring,
    LastRun,
    Late,
    Notice,
    PastRun,
    Snapshot,
    Trouble,
    TroubleEvent,
    dry_run,
    events,
)
from reconciler.planning.notices.message import PackageLine
from reconciler.planning.notices.missed_windows import MissedWindow
from reconciler.planning.runs.record import RunResult
from reconciler.policy import documents
from tests.examples import examples

NOW = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)  # a Wednesday
TICK = timedelta(minutes=15)
NGINX = PackageLine("nginx", "amd64", "1.22.1-9", "1.22.1-9+deb12u1", security=True)
ZLIB = PackageLine("zlib1g", "amd64", "1:1.2.13-1", "1:1.2.13-2")
QUIET = Snapshot(
    at=NOW - TICK,
    target="web-01",
    mode="plan",
    outcome="nothing",
    reason="no updates are offered",
    policy_commit="0123456789abcdef",
    digest="sha256:aaaa",
    reboot=RebootNeed.NOT_REQUIRED,
    boot_id="boot-1",
)
STALE = Trouble(
    Event.METADATA_STALE, "MetadataStale:Unreachable", "deb.example.org cannot be reached since 3 days"
)
REJECTED = Trouble(Event.POLICY_REJECTED, "PolicyRejected:Invalid", "policies/web.yaml:3: unknown key")
BROKEN = Trouble(Event.FAILED, "Unhealthy:Broken", "libfoo has unmet dependencies")
APPLIED = LastRun("run-1", RunResult.APPLIED, "sha256:bbbb", packages=(NGINX, ZLIB))
FAILED = LastRun(
    "run-1", RunResult.FAILED, "sha256:bbbb", "maintainer-script", "grub-pc could not be configured"
)
MISSED = MissedWindow(
    NOW - timedelta(hours=4), NOW - timedelta(hours=1), "nightly", "frozen stiff", False, 1, NOW
)


def _events(previous: Snapshot | None, current: Snapshot, now: datetime = NOW) -> dict[Event, Notice]:
    found = {notice.event: notice for notice in events(previous, replace(current, at=now), now)}
    del found[Event.EVERY_RUN]
    return found


def test_nothing_changed_says_nothing() -> None:
    assert _events(QUIET, QUIET) == {}


def test_a_first_run_tells_only_what_is_wrong_and_what_concerns_somebody_now() -> None:
    full = replace(
        QUIET,
        digest="sha256:bbbb",
        planned=(NGINX,),
        needs_approval=True,
        troubles=(STALE, REJECTED),
        reboot=RebootNeed.REQUIRED,
        expiring=(Expiring("hold-nginx", "2026-12-01"),),
        announced=NOW + TICK,
        missed=MISSED,
        last_run=APPLIED,
    )
    now = {Event.NEEDS_APPROVAL, Event.ANNOUNCE}
    assert set(_events(None, full)) == {Event.METADATA_STALE, Event.POLICY_REJECTED, *now}
    assert set(_events(None, replace(full, troubles=(), last_run=FAILED))) == {Event.FAILED, *now}
    assert _events(full, full) == {}


def test_every_run_is_told_each_time_for_those_who_ask() -> None:
    first = events(QUIET, replace(QUIET, at=NOW), NOW)
    second = events(QUIET, replace(QUIET, at=NOW + TICK), NOW + TICK)
    assert [each.event for each in (*first, *second)] == [Event.EVERY_RUN] * 2
    assert first[0].occasion != second[0].occasion


@pytest.mark.parametrize("trouble", [STALE, REJECTED, BROKEN], ids=lambda each: each.event.value)
def test_trouble_is_told_when_it_begins_and_when_it_ends(trouble: Trouble) -> None:
    wrong = replace(QUIET, troubles=(trouble,))
    worded_anew = replace(QUIET, troubles=(replace(trouble, message="the same since 4 days"),))
    assert set(_events(QUIET, wrong)) == {trouble.event}
    assert _events(wrong, worded_anew) == {}
    (recovered,) = _events(worded_anew, QUIET).values()
    assert recovered.event is Event.RECOVERED
    assert "over: the same since 4 days" in recovered.message.text


def late(*names: str) -> Snapshot:
    return replace(
        QUIET,
        troubles=(Trouble(Event.OVERDUE, "Overdue", f"overdue: {', '.join(names)}; and why"),),
        overdue=tuple(Late(f"{name}:amd64", name, f"{name} 2 was to be there") for name in names),
    )


def test_each_update_that_becomes_overdue_is_told_once_and_the_end_of_it_all() -> None:
    first = _events(QUIET, late("curl", "bash"))
    assert set(first) == {Event.OVERDUE}
    message = first[Event.OVERDUE].message
    assert message.title == "[patchledger] web-01: overdue: curl, bash"
    assert "curl 2 was to be there\nbash 2 was to be there\n" in message.text
    assert _events(late("curl", "bash"), late("bash", "curl")) == {}
    more = _events(late("curl", "bash"), late("bash", "zlib"))[Event.OVERDUE].message
    assert more.title == "[patchledger] web-01: overdue: zlib"
    assert "bash 2" not in more.text
    assert _events(late("curl", "bash"), late("bash")) == {}
    assert set(_events(late("bash"), QUIET)) == {Event.RECOVERED}
    assert set(_events(None, late("bash"))) == {Event.OVERDUE}


def test_a_second_trouble_is_told_and_so_is_what_is_left() -> None:
    both = replace(QUIET, troubles=(STALE, BROKEN))
    assert set(_events(replace(QUIET, troubles=(STALE,)), both)) == {Event.FAILED}
    recovered = _events(both, replace(QUIET, troubles=(STALE,)))[Event.RECOVERED]
    assert recovered.message.title == "[patchledger] web-01: recovered, 1 problem left"


def test_an_applied_plan_is_told_with_its_packages() -> None:
    before = replace(QUIET, digest="sha256:bbbb", planned=(NGINX, ZLIB))
    found = _events(before, replace(QUIET, mode="apply", outcome="nothing", last_run=APPLIED))
    assert set(found) == {Event.APPLIED}  # that the plan is empty now goes without saying
    message = found[Event.APPLIED].message
    assert message.title == "[patchledger] web-01: applied 2 changes (1 security)"
    assert "- nginx:amd64 1.22.1-9 -> 1.22.1-9+deb12u1 [security]\n" in message.text
    assert "Outcome: applied\n" in message.text


def test_a_failed_run_is_told_once_until_it_fails_differently() -> None:
    failed = replace(QUIET, last_run=replace(FAILED, log_excerpt="dpkg: error"))
    message = _events(QUIET, failed)[Event.FAILED].message
    assert message.title == "[patchledger] web-01: failed: grub-pc could not be configured"
    assert "End of the log:\ndpkg: error\n" in message.text
    assert _events(failed, replace(QUIET, last_run=replace(FAILED, run="run-2"))) == {}
    other = replace(FAILED, run="run-2", code="no-space", reason="no space left on /boot")
    assert set(_events(failed, replace(QUIET, last_run=other))) == {Event.FAILED}


def test_success_after_failure_is_a_recovery() -> None:
    failed = replace(QUIET, last_run=FAILED)
    after = replace(QUIET, last_run=replace(APPLIED, run="run-2"))
    assert list(_events(failed, after)) == [Event.APPLIED, Event.RECOVERED]


@pytest.mark.parametrize("code", ["not-fetched", "not-begun", "packages-failed"])
def test_what_a_run_left_in_quarantine_is_not_over_with_the_run_of_the_rest(code: str) -> None:
    in_quarantine = Trouble(Event.FAILED, "PackagesQuarantined:Failed", "in quarantine: golf 1.1")
    failed = replace(QUIET, last_run=replace(FAILED, code=code), troubles=(in_quarantine,))
    after = replace(failed, last_run=replace(APPLIED, run="run-2"))
    assert list(_events(failed, after)) == [Event.APPLIED]
    over = _events(after, replace(after, troubles=()))
    assert "over: in quarantine: golf 1.1" in over[Event.RECOVERED].message.text


def test_another_failure_is_over_whatever_is_in_quarantine() -> None:
    in_quarantine = Trouble(Event.FAILED, "PackagesQuarantined:Failed", "in quarantine: golf 1.1")
    failed = replace(QUIET, last_run=replace(FAILED, code="no-space"), troubles=(in_quarantine,))
    after = replace(failed, last_run=replace(APPLIED, run="run-2"))
    assert set(_events(failed, after)) == {Event.APPLIED, Event.RECOVERED}


def test_trouble_of_one_sort_is_one_incident_until_the_last_of_it_is_over() -> None:
    other = Trouble(Event.FAILED, "ClockWrong:Unsynchronised", "the clock is wrong")
    one, both = replace(QUIET, troubles=(BROKEN,)), replace(QUIET, troubles=(BROKEN, other, STALE))
    assert _events(QUIET, one)[Event.FAILED].incident == "web-01/failed"
    assert _events(one, both)[Event.FAILED].incident == "web-01/failed"
    assert _events(one, both)[Event.METADATA_STALE].incident == "web-01/metadata-stale"
    partly = _events(both, replace(one, troubles=(other,)))[Event.RECOVERED]
    assert (partly.incident, partly.closes) == ("web-01/metadata-stale", ("web-01/metadata-stale",))
    still = _events(both, replace(one, troubles=(other, STALE)))[Event.RECOVERED]
    assert (still.incident, still.closes) == ("web-01/failed", ())
    over = _events(both, QUIET)[Event.RECOVERED]
    assert over.closes == ("web-01/failed", "web-01/metadata-stale")
    assert _events(QUIET, replace(QUIET, digest="sha256:cccc"))[Event.PLAN_CHANGED].incident == ""


def test_a_run_that_failed_is_over_with_the_next_one() -> None:
    failed = replace(QUIET, last_run=FAILED)
    assert _events(QUIET, failed)[Event.FAILED].incident == "web-01/failed"
    stale = replace(failed, troubles=(STALE,))
    assert _events(stale, failed)[Event.RECOVERED].closes == ("web-01/metadata-stale",)
    after = replace(QUIET, last_run=replace(APPLIED, run="run-2"))
    assert _events(failed, after)[Event.RECOVERED].closes == ("web-01/failed", "web-01/interrupted")


def test_an_interrupted_run_and_an_overrun_are_told() -> None:
    run = LastRun(
        "run-9", RunResult.INTERRUPTED, "sha256:bbbb", "killed", "the machine lost power", overran=True
    )
    assert set(_events(QUIET, replace(QUIET, last_run=run))) == {Event.INTERRUPTED, Event.OVERRUN}


def test_a_changed_plan_and_its_approval_are_told() -> None:
    planned = replace(QUIET, digest="sha256:bbbb", planned=(NGINX, ZLIB), needs_approval=True, pending=3)
    found = _events(QUIET, planned)
    assert list(found) == [Event.PLAN_CHANGED, Event.NEEDS_APPROVAL]
    assert (
        found[Event.PLAN_CHANGED].message.title
        == "[patchledger] web-01: plan changed: 2 changes (1 security)"
    )
    assert "Not planned: 3 other updates\n" in found[Event.PLAN_CHANGED].message.text
    assert _events(planned, planned) == {}
    assert set(_events(replace(planned, needs_approval=False), planned)) == {Event.NEEDS_APPROVAL}


def test_a_reboot_is_told_when_it_becomes_needed_and_when_it_happened() -> None:
    needed = replace(QUIET, reboot=RebootNeed.REQUIRED, reboot_reasons=("linux-image-6.1.0-28-amd64",))
    found = _events(QUIET, needed)
    assert "linux-image" in found[Event.REBOOT].message.text
    assert _events(needed, needed) == {}
    assert set(_events(needed, replace(QUIET, boot_id="boot-2"))) == {Event.REBOOT}


def test_unknown_is_not_required_and_an_unreadable_boot_id_is_no_reboot() -> None:
    assert _events(QUIET, replace(QUIET, reboot=RebootNeed.UNKNOWN, boot_id="")) == {}
    assert _events(replace(QUIET, boot_id=""), QUIET) == {}


def test_a_window_is_announced_once_for_each_plan() -> None:
    soon = replace(QUIET, announced=NOW + timedelta(hours=24), planned=(NGINX,), digest="sha256:bbbb")
    before = replace(soon, announced=None)
    assert "2026-11-26 02:00 UTC" in _events(before, soon)[Event.ANNOUNCE].message.title
    assert _events(soon, soon) == {}
    assert Event.ANNOUNCE in _events(soon, replace(soon, digest="sha256:cccc"))


def test_an_announcement_says_that_it_depends_on_an_approval() -> None:
    soon = replace(QUIET, announced=NOW + timedelta(hours=24), planned=(NGINX,), needs_approval=True)
    message = _events(QUIET, soon)[Event.ANNOUNCE].message
    assert message.title.endswith(
        "1 change (1 security) could be applied from Thu 2026-11-26 02:00 UTC, once approved"
    )
    assert "unless somebody approves" in message.text


def test_a_missed_window_is_told_once_and_each_later_one_too() -> None:
    missed = replace(QUIET, missed=MISSED)
    message = _events(QUIET, missed)[Event.WINDOW_MISSED].message
    assert message.title == "[patchledger] web-01: the window of Tue 2026-11-24 22:00 UTC was missed"
    assert "passed without a run: frozen stiff\n" in message.text
    assert _events(missed, missed) == {}
    many = replace(MISSED, start=NOW, number=12)
    assert "12 windows were missed, the last on Wed 2026-11-25" in (
        _events(missed, replace(QUIET, missed=many))[Event.WINDOW_MISSED].message.title
    )
    assert _events(missed, QUIET) == {}


def test_each_exception_is_told_once_before_it_ends() -> None:
    one = replace(QUIET, expiring=(Expiring("hold-nginx", "2026-12-01"),))
    two = replace(QUIET, expiring=(*one.expiring, Expiring("hold-php", "2026-12-02")))
    assert set(_events(QUIET, one)) == {Event.EXCEPTION_EXPIRING}
    assert "hold-php" in _events(one, two)[Event.EXCEPTION_EXPIRING].message.title
    assert _events(two, one) == {}


def test_the_digest_of_a_week_comes_with_the_first_run_after_it() -> None:
    monday = datetime(2026, 11, 30, 0, 5, tzinfo=UTC)
    sunday = replace(QUIET, at=monday - timedelta(minutes=10))
    found = _events(sunday, QUIET, monday)
    assert found[Event.WEEKLY_DIGEST].message.title == (
        "[patchledger] web-01: week 2026-W48: 0 changes made, 0 planned"
    )
    assert _events(replace(QUIET, at=monday), QUIET, monday + timedelta(days=6)) == {}


def test_a_week_has_one_digest_whatever_becomes_of_the_clock() -> None:
    monday = datetime(2026, 11, 30, 0, 5, tzinfo=UTC)
    before, after = replace(QUIET, at=monday - TICK), replace(QUIET, at=monday)
    first = _events(before, QUIET, monday)[Event.WEEKLY_DIGEST]
    assert Event.WEEKLY_DIGEST not in _events(after, QUIET, monday - TICK)
    again = _events(replace(before, digest="sha256:cccc"), QUIET, monday + TICK)[Event.WEEKLY_DIGEST]
    assert (first.key, first.occasion) == (again.key, again.occasion)


def test_a_digest_after_some_weeks_off_says_which_nobody_looked_at() -> None:
    monday = datetime(2026, 11, 30, 0, 5, tzinfo=UTC)
    digest = _events(replace(QUIET, at=monday - timedelta(days=29)), QUIET, monday)[Event.WEEKLY_DIGEST]
    assert (
        "Nobody looked since Sun 2026-11-01 00:05 UTC: no digest tells of 4 weeks before."
        in digest.message.text
    )


def test_a_digest_tells_what_was_done_what_waits_what_comes_and_what_is_wrong() -> None:
    monday = datetime(2026, 11, 30, 0, 5, tzinfo=UTC)
    long_ago, done, failed = (monday - timedelta(days=days) for days in (8, 5, 2))
    current = replace(
        QUIET,
        planned=(NGINX,),
        troubles=(STALE,),
        missed=MISSED,
        recent=(
            PastRun(long_ago, "applied", 9, 9),
            PastRun(done, "applied", 5, 2),
            PastRun(failed, "failed", 0, 0, "grub-pc could not be configured"),
        ),
        waits=("php: held by the exception hold-php: breaks the shop",),
        next_windows=(NOW + timedelta(days=7), NOW + timedelta(days=14)),
        expiring=(Expiring("hold-php", "2026-12-01"),),
    )
    before = replace(current, at=monday - timedelta(minutes=10))
    message = _events(before, current, monday)[Event.WEEKLY_DIGEST].message
    assert message.title.endswith("week 2026-W48: 5 changes (2 security) made, 1 planned, 1 problem")
    sections = message.text.split("\n\n")
    assert sections[2:7] == [
        (
            "Done since 2026-11-23:\n"
            "- Wed 2026-11-25 00:05 UTC: applied, 5 changes (2 security)\n"
            "- Sat 2026-11-28 00:05 UTC: failed: grub-pc could not be configured"
        ),
        (
            "Wrong now:\n- deb.example.org cannot be reached since 3 days\n"
            "- the window nightly of Tue 2026-11-24 22:00 UTC passed without a run: frozen stiff"
        ),
        "Not planned, and why:\n- php: held by the exception hold-php: breaks the shop",
        "Next windows:\n- Wed 2026-12-02 02:00 UTC\n- Wed 2026-12-09 02:00 UTC",
        "Exceptions that end soon:\n- exception hold-php holds through 2026-12-01",
    ]


def test_a_late_digest_tells_of_the_whole_week_before_and_since() -> None:
    thursday = datetime(2026, 12, 3, 9, 0, tzinfo=UTC)
    first = PastRun(datetime(2026, 11, 23, 1, 0, tzinfo=UTC), "applied", 1, 0)
    current = replace(QUIET, recent=(first, PastRun(thursday - TICK, "applied", 2, 0)))
    title = _events(replace(QUIET, at=first.at), current, thursday)[Event.WEEKLY_DIGEST].message.title
    assert title.endswith("week 2026-W48: 3 changes made, 0 planned")


def test_a_dry_run_is_told_whenever_it_is_asked_for() -> None:
    planned = replace(QUIET, planned=(NGINX, ZLIB), waits=("php: held",))
    first, again = dry_run(planned, NOW), dry_run(replace(planned, at=NOW), NOW)
    assert first.message.title == "[patchledger] web-01: dry-run: 2 changes (1 security) planned"
    assert "Not planned, and why:\n- php: held\n" in first.message.text
    assert "- zlib1g:amd64 1:1.2.13-1 -> 1:1.2.13-2\n" in first.message.text
    assert (first.key, first.occasion != again.occasion) == (again.key, True)
    wrong = dry_run(replace(planned, troubles=(STALE,)), NOW).message
    assert wrong.title == "[patchledger] web-01: dry-run: 2 changes (1 security) planned, 1 problem"


def test_a_key_is_the_same_however_late_and_however_worded() -> None:
    wrong = replace(QUIET, troubles=(STALE,))
    later = replace(QUIET, troubles=(replace(STALE, message="since 9 days"),))
    early, late = _events(QUIET, wrong), _events(replace(QUIET, at=NOW), later, NOW + timedelta(hours=3))
    assert early[Event.METADATA_STALE].key == late[Event.METADATA_STALE].key
    assert early[Event.METADATA_STALE].occasion != late[Event.METADATA_STALE].occasion


def test_a_notice_made_again_after_a_crash_is_the_same() -> None:
    wrong = replace(QUIET, troubles=(STALE,))
    first, again = _events(QUIET, wrong), _events(QUIET, wrong, NOW + TICK)
    assert [(each.key, each.occasion) for each in first.values()] == [
        (each.key, each.occasion) for each in again.values()
    ]


def test_the_same_trouble_after_a_recovery_is_another_occasion() -> None:
    wrong = replace(QUIET, troubles=(STALE,))
    states = [QUIET, wrong, QUIET, wrong]
    timed = [replace(state, at=NOW + number * TICK) for number, state in enumerate(states)]
    told = [notice for step in itertools.pairwise(timed) for notice in _events(*step).values()]
    assert [each.event for each in told] == [Event.METADATA_STALE, Event.RECOVERED, Event.METADATA_STALE]
    assert (told[0].key, told[0].occasion != told[2].occasion) == (told[2].key, True)


_SNAPSHOTS = st.builds(
    replace,
    st.just(QUIET),
    digest=st.sampled_from(["sha256:aaaa", "sha256:bbbb"]),
    planned=st.sampled_from([(), (NGINX,), (NGINX, ZLIB)]),
    needs_approval=st.booleans(),
    troubles=st.lists(st.sampled_from([STALE, REJECTED, BROKEN]), unique=True).map(tuple),
    reboot=st.sampled_from(RebootNeed),
    reboot_reasons=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    expiring=st.sampled_from([(), (Expiring("hold", "2026-12-01"),)]),
    announced=st.sampled_from([None, NOW]),
    missed=st.sampled_from([None, MISSED]),
    recent=st.sampled_from([(), (PastRun(NOW, "applied", 1, 0),)]),
    last_run=st.sampled_from([None, APPLIED, FAILED]),
)


@given(_SNAPSHOTS)
@examples(60)
def test_no_state_repeats_itself(snapshot: Snapshot) -> None:
    assert _events(snapshot, snapshot) == {}


@given(_SNAPSHOTS, _SNAPSHOTS)
@examples(60)
def test_events_do_not_depend_on_the_order_of_troubles(previous: Snapshot, current: Snapshot) -> None:
    turned = replace(current, troubles=current.troubles[::-1])
    assert _events(previous, current) == _events(previous, turned)


@given(_SNAPSHOTS)
@examples(60)
def test_a_snapshot_survives_being_stored(snapshot: Snapshot) -> None:
    stored = TypeAdapter(Snapshot)
    assert stored.validate_json(stored.dump_json(snapshot)) == snapshot


def test_another_detail_is_told_without_a_recovery() -> None:
    first = replace(REJECTED, code="PolicyRejected:0a1b")
    second = replace(first, code="PolicyRejected:2c3d")
    assert set(_events(replace(QUIET, troubles=(first,)), replace(QUIET, troubles=(second,)))) == {
        Event.POLICY_REJECTED
    }
    assert set(_events(replace(QUIET, troubles=(second,)), QUIET)) == {Event.RECOVERED}


def test_the_words_of_the_policy_language_are_these_events() -> None:
    assert set(get_args(documents.Event)) == {event.value for event in Event}


@pytest.mark.parametrize("event", sorted(set(Event) - set(get_args(TroubleEvent))))
def test_only_trouble_is_read_as_trouble(event: Event) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Trouble).validate_python({"event": event, "code": "x", "message": "y"})
