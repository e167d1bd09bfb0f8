"""What a hypervisor sends, tells and forgets of its guests where something of its own is in the way."""

import json
from datetime import timedelta

import pytest

from reconciler.cli.wiring.compose import Wiring, wire
from reconciler.cli.wiring.guests import folders_of
from reconciler.cli.wiring.looking import in_guests
from reconciler.host.config import load_config
from reconciler.planning.facts.guests import Gone, Guest
from reconciler.planning.gates.recording import read_recording
from reconciler.planning.reporting.report import to_json
from reconciler.reconcile.assess import decide_again
from tests.e2e.site import BEFORE, OPENING, SetClock, Site, git
from tests.e2e.test_apply import tick
from tests.e2e.test_identity import OURS, THEIRS, become
from tests.labs.apt import AptLab

WEB = "guests/web-01/201"
INSIDE = OPENING + timedelta(minutes=5)


def hypervisor(site: Site, lab: AptLab) -> Wiring:
    """Have the host look after guests, of which nobody can say here how they are."""
    site.configure(environment=lab.environment, guests={"from": ["incus"]})
    return wire(load_config(site.config), SetClock(INSIDE))


def reported(site: Site, wiring: Wiring) -> None:
    """Have a guest that was reported once, though that was not pushed yet."""
    files = {name: (site.state / name).read_bytes() for name in ("report.json", "observation.json")}
    wiring.queue.commit(WEB, files, "web", INSIDE, keep_runs=9)
    folders_of(wiring.config).of("201").prepare()


def test_reports_of_guests_are_pushed_though_the_hypervisor_is_another_machine(
    site: Site, lab: AptLab
) -> None:
    wiring = hypervisor(site, lab)
    become(lab, OURS)
    tick(site, BEFORE)
    become(lab, THEIRS)
    reported(site, wiring)
    head = git(site.reports, "rev-parse", "hosts/web-01")
    assert tick(site, INSIDE).assessment.is_anothers
    assert git(site.reports, "rev-parse", "hosts/web-01") == head
    assert git(site.reports, "for-each-ref", "--format=%(subject)", f"refs/heads/{WEB}") == "web"


def test_a_guest_that_went_is_told_of_and_forgotten_though_its_policy_is_lost(
    site: Site, lab: AptLab
) -> None:
    """The history was rewritten, or no longer is policy for this version: no tick would ever read it."""
    wiring = hypervisor(site, lab)
    tick(site, BEFORE)
    seen = site.state / "observation.json"
    lost = json.loads(seen.read_bytes())["policy_commit"]
    seen.write_bytes(seen.read_bytes().replace(lost.encode(), b"0" * 39 + b"1"))
    reported(site, wiring)
    inside = in_guests(wiring, wiring.ticker.assessor.follow(wiring.folder.recall().state))
    assert inside.farewell(Guest("201", None, "web", Gone())) == "guest 201: gone: destroyed"
    assert inside.kept.known() == frozenset()
    report, recording = (wiring.queue.last(WEB, name) for name in ("report.json", "observation.json"))
    assert report is not None
    assert recording is not None
    told = json.loads(report.data)
    assert (told["host"]["gone"], told["policy"]["commit"]) == ("gone: destroyed", "")
    again = decide_again(read_recording(recording.data), wiring.read)
    assert to_json(again.report) == report.data


@pytest.mark.parametrize("seen", [b"", b"{}"])
def test_a_guest_that_went_is_forgotten_though_its_last_report_is_none(
    site: Site, lab: AptLab, seen: bytes
) -> None:
    wiring = hypervisor(site, lab)
    tick(site, BEFORE)
    (site.state / "observation.json").write_bytes(seen)
    reported(site, wiring)
    inside = in_guests(wiring, wiring.ticker.assessor.follow(wiring.folder.recall().state))
    said = inside.farewell(Guest("201", None, "web", Gone()))
    assert said.startswith("guest 201: gone: destroyed; no report says so, since the last one is none: obs")
    assert inside.kept.known() == frozenset()


def test_a_hypervisor_looks_after_itself_though_looks_at_guests_cannot_be_kept(
    site: Site, lab: AptLab
) -> None:
    hypervisor(site, lab)
    (site.state / "guests.json").mkdir(parents=True)
    done = tick(site, BEFORE)
    assert done.published.pushed
    assert git(site.reports, "rev-parse", "hosts/web-01")
    assert any("guests.json" in one for one in done.notices)
