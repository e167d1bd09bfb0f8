"""Whole ticks in memory with a deadline: when one wakes, what it tells, and what it remembers."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from reconciler.planning.facts.observation import FirstSeen
from reconciler.planning.gates.recording import read_recording
from reconciler.planning.notices.events import Event
from reconciler.planning.reporting.report import to_json
from reconciler.planning.runs.hooks_and_health import CheckResult
from reconciler.planning.runs.record import RunOutcome
from reconciler.policy.documents import Health
from reconciler.reconcile.assess import decide_again
from reconciler.reconcile.ports.state import TRUST, Recalled, State
from tests.fakes import Build, PackageWorld
from tests.reconcile.test_tick import COMMIT, NOW, POLICY, Fleet, Host, tick

DAY = timedelta(days=1)
AFTERNOON = NOW + timedelta(hours=12)  # outside of every window
WORLD = PackageWorld((Build("tool", "1.0"), Build("tool", "1.1")), {"tool": "1.0"})


def fleet(text: str, schedule: str = "[]") -> Fleet:
    base = f"kind: Policy\nname: base\naction: apply\nschedule: {schedule}\n{text}"
    return Fleet(policy=(replace(POLICY[0], data=base.encode()), POLICY[1]))


def told(fleet: Fleet) -> list[Event]:
    return [one.event for one in fleet.told if one.event in (Event.OVERDUE, Event.RECOVERED, Event.FAILED)]


def messages(done: object) -> list[str]:
    return [one.message for one in done.failures]  # type: ignore[attr-defined]  # a Tick, whose type says no more here


def test_the_instant_wakes_a_tick_and_what_is_late_is_told_once() -> None:
    host = Host(WORLD, at=AFTERNOON)
    all_ = fleet("deadline: {other: 36h}\nrefresh: {every: 520w, stale_after: 520w}\n")
    first = tick(all_, host)
    assert first.assessment.next_instant == AFTERNOON + timedelta(hours=36)
    host.at = AFTERNOON + timedelta(hours=36)
    assert messages(tick(all_, host)) == ["overdue: tool"]
    host.at += DAY
    assert messages(tick(all_, host)) == ["overdue: tool"]
    assert told(all_) == [Event.OVERDUE]
    host.world = replace(host.world, installed={"tool": "1.1"})  # by hand
    assert messages(tick(all_, host)) == []
    assert told(all_) == [Event.OVERDUE, Event.RECOVERED]


def test_a_new_version_each_day_does_not_postpone_it() -> None:
    host, all_ = Host(WORLD, at=AFTERNOON), fleet("deadline: {other: 3d}\n")
    late = []
    for day in range(6):
        host.at = AFTERNOON + day * DAY
        host.world = PackageWorld((Build("tool", f"1.{day + 1}"),), {"tool": "1.0"})
        late.append(bool(messages(tick(all_, host))))
    assert late == [False] * 3 + [True] * 3
    assert {(one.version, one.at) for one in host.remembered.first_seen} == {
        ("1.1", AFTERNOON),
        ("1.6", AFTERNOON + 5 * DAY),
    }


@dataclass
class Forgetful(Host):
    """A host that has lost what it remembered."""

    def recall(self) -> Recalled:
        return Recalled(State(), frozenset({TRUST}))


def test_a_host_that_lost_its_memory_has_the_dates_from_its_own_report() -> None:
    host, all_ = Host(WORLD, at=AFTERNOON), fleet("deadline: {other: 3d}\n")
    tick(all_, host)
    host.world = PackageWorld((Build("tool", "1.2"),), {"tool": "1.0"})
    host.at += DAY
    tick(all_, host)
    again = Forgetful(host.world, at=AFTERNOON + 3 * DAY)
    done = tick(all_, again)
    assert "tool 1.1 was to be installed by" in done.failures[0].hint
    assert FirstSeen("Debian:12/stable", "tool", "1.1", AFTERNOON) in again.remembered.first_seen


def test_what_is_late_comes_out_of_the_recording_byte_by_byte() -> None:
    host, all_ = Host(WORLD, at=AFTERNOON), fleet("deadline: {other: 1d}\n")
    tick(all_, host)
    host.at += DAY
    host.world = PackageWorld((Build("tool", "1.2"),), {"tool": "1.0"})
    tick(all_, host)
    (_, files) = all_.reports["hosts/web-01"][-1]
    assert b"Overdue" in files["report.json"]
    again = decide_again(read_recording(files["observation.json"]), all_.read)
    assert to_json(again.report) == files["report.json"]


@dataclass
class Sick(Host):
    """A host that is well with the old version alone."""

    def check(self, wanted: Health) -> tuple[CheckResult, ...]:
        del wanted
        return (CheckResult("unit tool.service", ok=self.world.installed["tool"] == "1.0"),)


def test_a_version_that_is_taken_back_was_lacked_all_the_time() -> None:
    host = Sick(WORLD)
    health = "on_failure: rollback\nhealth: {units: [tool], settle: 0s}\n"
    all_ = fleet(f"deadline: {{other: 36h}}\n{health}", "[nightly]")
    done = tick(all_, host)
    assert [one.outcome for one in done.runs] == [RunOutcome.ROLLED_BACK]
    host.at = NOW + timedelta(hours=36)
    (failure,) = (one for one in tick(all_, host).failures if one.message.startswith("overdue"))
    assert "first seen at 2026-11-22T03:00:00Z" in failure.hint
    assert "in the way: installing tool 1.1 failed at" in failure.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deadline: {critical: 2d}\n", "apt does not say which security updates are critical"),
        ("deadline: {critical: 2d, security: 9d}\n", ""),
        ("autoremove: kernels\n", ""),
        (
            "updates: security\nseverity: critical\n",
            "severity: critical has no effect, and every security update is wanted",
        ),
        (
            "kinds: bugfix\n",
            "apt does not say of what kind an update is, so with kinds: bugfix nothing is wanted",
        ),
    ],
)
def test_a_setting_that_cannot_have_its_effect_is_said(text: str, said: str) -> None:
    done = tick(fleet(text), Host(WORLD, at=AFTERNOON))
    found = [one.message for one in done.report.conditions if one.type == "SettingWithoutEffect"]
    assert len(found) == bool(said)
    assert said in "".join(found)
    assert done.assessment.finding.recording.policy_commit == COMMIT
