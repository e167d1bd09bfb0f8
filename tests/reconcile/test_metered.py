"""A connection that costs money: nothing is fetched through it, and what is being fetched is ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import Transient
from reconciler.planning.facts.links import FREE, Cost
from reconciler.planning.facts.observation import (
    Observation,
    Reboot,
    RebootNeed,
    Refresh,
    RefreshOutcome,
    Source,
)
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.planning.runs.record import RunOutcome
from reconciler.reconcile.ports.target import Power
from reconciler.reconcile.ports.unless import Unless
from reconciler.reconcile.ports.where import ThisMachine
from reconciler.reconcile.tick import Ticker
from tests.fakes import Build, PackageWorld
from tests.reconcile.test_tick import POLICY, Fleet, Host, Reboots, ticker

METERED = Cost("a connection that NetworkManager calls metered", is_watched=True)
UNMETERED = Cost(is_watched=True)
OUTSIDE = timedelta(hours=12)
SAID = "inhibited by a connection that NetworkManager calls metered"


@dataclass
class Way:
    """A link whose costs are these, one after another; the last stays."""

    costs: list[Cost]

    def cost(self) -> Cost:
        return self.costs.pop(0) if len(self.costs) > 1 else self.costs[0]


@dataclass
class Fetching(Host):
    """A host that fetches for as long as it is asked about, three times, if nobody ends it."""

    fetched: list[str] = field(default_factory=list)
    refreshed: int = 0

    def download(self, instruction: Instruction, folder: Path, unless: Unless | None = None, /) -> Execution:
        del instruction, folder
        for _ in range(3) if unless is not None else ():
            assert unless is not None
            if unless.is_over():
                self.fetched.append("ended")
                return Execution(1, message="", is_finished=False)
        self.fetched.append("watched" if unless is not None else "whole")
        return Execution(0)

    def observe(self, at: datetime, *sources: Sequence[str]) -> Observation:
        read = Source("base", "", None, None, self.at - timedelta(hours=0 if self.refreshed else 2))
        return replace(super().observe(at, *sources), sources=(read,))

    def refresh(self, _rate: int | None = None, /) -> Refresh:
        self.refreshed += 1
        return Refresh(RefreshOutcome.REFRESHED)


@pytest.fixture
def host() -> Fetching:
    return Fetching(PackageWorld((Build("tool", "1.0"), Build("tool", "1.1")), {"tool": "1.0"}))


@dataclass
class Waiting(Reboots, Fetching):
    """One that waits for a reboot, and can be told to."""

    def observe(self, at: datetime, *sources: Sequence[str]) -> Observation:
        return replace(super().observe(at, *sources), root="/", reboot=Reboot(RebootNeed.REQUIRED))


def through(host: Host, *costs: Cost, policy: str = "", power: Power[ThisMachine] | None = None) -> Ticker:
    """Return what makes a tick of a host with a link of these costs."""
    base = replace(POLICY[0], data=POLICY[0].data + policy.encode())
    made = ticker(Fleet(policy=(base, *POLICY[1:])), host, power=power)
    way = Way(list(costs))
    return replace(made, assessor=replace(made.assessor, link=way), applier=replace(made.applier, link=way))


def test_nothing_begins_and_nothing_is_fetched_through_it(host: Fetching) -> None:
    done = through(host, METERED).tick()
    assert (done.runs, host.fetched, host.refreshed) == ((), [], 0)
    assert (done.report.decision.outcome, done.report.decision.reason) == ("inhibited", SAID)
    assert done.failures == ()


def test_old_metadata_are_told_with_what_keeps_them_old(host: Fetching) -> None:
    done = through(host, METERED, policy="refresh: {stale_after: 1h}\n").tick()
    (told,) = (one.message for one in done.report.conditions if one.type == "MetadataStale")
    assert told.endswith(f"; none are fetched through {METERED.metered}")
    done = through(host, UNMETERED, policy="refresh: {stale_after: 1h}\n").tick()
    assert not [one for one in done.report.conditions if one.type == "MetadataStale"]


def test_metadata_that_are_due_are_read_when_that_is_over(host: Fetching) -> None:
    through(host, METERED).tick()
    assert host.refreshed == 0
    through(host, UNMETERED).tick()
    assert host.refreshed == 1


def test_nor_ahead_of_a_window(host: Fetching) -> None:
    host.at += OUTSIDE
    assert through(host, METERED).tick().runs == ()
    assert host.fetched == []
    assert through(host, UNMETERED).tick().runs == ()
    assert host.fetched == ["watched"]


def test_where_policy_says_so_it_does_not_matter(host: Fetching) -> None:
    done = through(host, METERED, policy="inhibit: {metered: ignore}\n").tick()
    assert [one.outcome for one in done.runs] == [RunOutcome.APPLIED]
    assert host.fetched == []


def test_one_that_may_cost_nothing_else_is_watched_before_a_run_that_nothing_ends(host: Fetching) -> None:
    done = through(host, UNMETERED).tick()
    assert [one.outcome for one in done.runs] == [RunOutcome.APPLIED]
    assert host.fetched == ["watched"]


def test_where_nobody_knows_of_costs_nothing_is_fetched_twice(host: Fetching) -> None:
    done = through(host, FREE).tick()
    assert [one.outcome for one in done.runs] == [RunOutcome.APPLIED]
    assert host.fetched == []


def test_one_that_begins_to_cost_money_in_the_middle_of_a_download_ends_it(host: Fetching) -> None:
    host.at += OUTSIDE
    # When it is looked at, when the download begins, and twice while it goes on.
    done = through(host, UNMETERED, UNMETERED, UNMETERED, METERED).tick()
    assert host.fetched == ["ended"]
    (failure,) = done.failures
    assert isinstance(failure, Transient)
    assert failure.message == f"packages are not fetched any further: the machine has {METERED.metered} now"
    assert through(host, METERED).tick().report.decision.reason == SAID
    assert host.fetched == ["ended"]
    through(host, UNMETERED).tick()
    assert host.fetched == ["ended", "watched"]


def test_one_that_begins_to_cost_money_when_a_run_begins_defers_it(host: Fetching) -> None:
    done = through(host, UNMETERED, UNMETERED, UNMETERED, METERED).tick()
    assert [(one.outcome, one.code, one.reason) for one in done.runs] == [
        (RunOutcome.DEFERRED, "inhibited", SAID)
    ]
    assert host.world.installed["tool"] == "1.0"
    assert host.fetched == ["ended"]


def test_that_it_cannot_be_asked_is_told_and_keeps_nothing_back(host: Fetching) -> None:
    trouble = "NetworkManager cannot be asked: it does not answer"
    done = through(host, Cost(is_watched=True, trouble=trouble)).tick()
    assert [one.outcome for one in done.runs] == [RunOutcome.APPLIED]
    told = [one.message for one in done.report.conditions if one.type == "SettingWithoutEffect"]
    assert told == [f"inhibit.metered has no effect: {trouble}"]


def test_a_reboot_fetches_nothing_and_does_not_wait_for_it(host: Fetching) -> None:
    waiting = Waiting(host.world)
    done = through(waiting, METERED, policy="reboot: {when: if-required}\n", power=waiting).tick()
    assert (done.runs, len(waiting.told)) == ((), 1)


def test_what_decided_is_recorded_so_that_it_can_be_decided_again(host: Fetching) -> None:
    recording = through(host, METERED).tick().assessment.finding.recording
    assert [(one.kind, one.detail) for one in recording.inputs.host.inhibitors] == [
        ("metered", METERED.metered)
    ]
    assert "metered" in recording.inputs.settings.inhibit
