"""From a policy's ``notify`` to a receiver: told once, told when it is over, never with the secret."""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.cli.wiring.looking import in_guests
from reconciler.cli.wiring.telling import Together
from reconciler.errors import ReconcilerError, Stalled, exit_code, worst
from reconciler.host.config import load_config
from reconciler.planning.facts.guests import Guest, Running
from reconciler.planning.gates.types import BreakGlass
from reconciler.planning.notices.events import events, week_of
from reconciler.reconcile.ports.state import State
from reconciler.reconcile.tick import Tick
from tests.e2e.site import BEFORE, OPENING, POLICY, SetClock, Site
from tests.labs.apt import AptLab
from tests.labs.webhook import Receiver, receive
from tests.planning.test_together import EVERY, STALE, fine

Command = Callable[..., tuple[int, str, str]]
SECRET = "hunter2-token"
SELDOM = "refresh: {every: 520w, stale_after: 520w}\nmax_policy_age: 520w\n"
"""Nothing but windows and messages makes a full tick necessary."""
NOTIFY = POLICY + "notify: [{to: ops, on: [plan-changed, policy-rejected, recovered]}]\n"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    yield from receive(Receiver())


def titles(receiver: Receiver) -> list[str]:
    """Return the titles that were accepted."""
    return [body["title"] for body in receiver.bodies]


@pytest.fixture
def notified(site: Site, lab: AptLab, receiver: Receiver) -> Site:
    address = site.folder / "ops.url"
    address.write_text(f"json://ops:{SECRET}@127.0.0.1:{receiver.port}/hook\n", encoding="utf-8")
    address.chmod(0o600)
    site.configure(environment=lab.environment, notifiers={"ops": {"file": str(address)}})
    site.commit({"policies/base.yaml": NOTIFY})
    return site


@pytest.fixture
def small_state(notified: Site) -> Iterator[Path]:
    """The state folder, on a small disk of its own."""
    assert os.geteuid() == 0, "this test needs root, to mount a small file system"
    notified.state.mkdir(exist_ok=True)
    options = "size=64m,mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(notified.state)], check=True)
    yield notified.state
    subprocess.run(["umount", str(notified.state)], check=True)


def test_transitions_are_told_once_and_recovery_too(
    notified: Site, receiver: Receiver, patchledger: Command
) -> None:
    patchledger("run")
    assert titles(receiver) == []  # what is merely so on the first run is no news
    notified.commit({"policies/base.yaml": NOTIFY + "updatez: all\n"})
    for _ in range(2):
        assert patchledger("run")[0] == 3
    assert len(titles(receiver)) == 1
    assert "policy not accepted" in titles(receiver)[0]
    notified.commit({"policies/base.yaml": NOTIFY + "updates: security\n"})
    assert patchledger("run")[0] == 0
    assert [title.split(": ")[1].split(" ")[0] for title in titles(receiver)[1:]] == ["recovered", "plan"]


def test_nothing_is_lost_while_the_receiver_is_down_and_the_secret_is_nowhere(
    notified: Site, receiver: Receiver, patchledger: Command
) -> None:
    patchledger("run")
    receiver.status = 500
    notified.commit({"policies/base.yaml": NOTIFY + "updates: security\n"})
    code, out, err = patchledger("run")
    assert code == 5
    assert "ops" in err
    assert SECRET not in out + err
    (waiting,) = (path for path in (notified.state / "outbox").iterdir() if path.suffix == ".json")
    assert "plan-changed" in waiting.read_text(encoding="utf-8")
    assert SECRET not in _everything(notified.state, notified.reports)
    assert titles(receiver) == []


def _everything(*folders: Path) -> str:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return "".join(path.read_bytes().decode("latin-1") for path in files)


# --- what time alone brings about ---------------------------------------------------------------------------


def route(*on: str, policy: str = POLICY) -> str:
    return f"{policy}{SELDOM}notify: [{{to: ops, on: {json.dumps(on)}}}]\n"


def tick(site: Site, at: datetime, glass: BreakGlass | None = None) -> Tick:
    return run_once(site.config, wire(load_config(site.config), SetClock(at)), glass)


def until(site: Site) -> datetime:
    """Return the instant at which a quiet tick is no longer possible."""
    remembered: Any = json.loads((site.state / "fingerprint.json").read_bytes())
    return datetime.fromtimestamp(remembered["until"], UTC)


@pytest.fixture
def seldom(notified: Site, lab: AptLab) -> Site:
    """Without a heartbeat that would wake the host anyway."""
    address = str(notified.folder / "ops.url")
    notified.configure(
        environment=lab.environment,
        notifiers={"ops": {"file": address}},
        reports={"remote": str(notified.reports), "heartbeat": "52w"},
    )
    return notified


def test_a_quiet_host_wakes_to_announce_its_window_and_to_say_that_it_missed_it(
    seldom: Site, lab: AptLab, receiver: Receiver
) -> None:
    seldom.commit({"policies/base.yaml": route("announce", "window-missed", "applied") + "announce: 2h\n"})
    before = lab.versions()
    tick(seldom, BEFORE)
    tick(seldom, BEFORE + timedelta(minutes=15))  # now that the plan's packages are there
    due = OPENING - timedelta(hours=2)
    assert (until(seldom), titles(receiver)) == (due, [])
    tick(seldom, due)
    (announced,) = titles(receiver)
    assert f"will be applied from {OPENING:%a %Y-%m-%d %H:%M} UTC" in announced
    assert until(seldom) == OPENING

    # Off while the window is open, and back before the next one: told once, and nothing is made up for.
    later = tick(seldom, OPENING + timedelta(hours=4))
    tick(seldom, OPENING + timedelta(hours=5))
    assert titles(receiver)[1:] == [
        f"[patchledger] web-01: the window of {OPENING:%a %Y-%m-%d %H:%M} UTC was missed"
    ]
    assert "nobody looked then" in receiver.bodies[1]["message"]
    assert (lab.versions(), later.runs) == (before, ())
    (condition,) = [one for one in seldom.report()["conditions"] if one["type"] == "WindowMissed"]
    assert (condition["status"], condition["reason"], condition["stalled"]) == (True, "NobodyLooked", False)

    # The next window is announced anew, is used, and with it the matter is over.
    tick(seldom, OPENING + timedelta(hours=23))
    done = tick(seldom, OPENING + timedelta(hours=24, minutes=5))
    assert [run.outcome for run in done.runs] == ["applied"]
    announced, applied = titles(receiver)[2:]
    assert f"will be applied from {OPENING + timedelta(days=1):%a %Y-%m-%d %H:%M} UTC" in announced
    assert ": applied " in applied
    assert [one for one in seldom.report()["conditions"] if one["type"] == "WindowMissed"] == []
    assert lab.versions() != before
    tick(seldom, OPENING + timedelta(hours=28))
    assert titles(receiver)[4:] == []


def test_a_gate_that_kept_a_window_closed_is_named(seldom: Site, receiver: Receiver) -> None:
    seldom.commit({"policies/base.yaml": route("window-missed") + "approval: required\n"})
    for at in (BEFORE, OPENING + timedelta(minutes=1), OPENING + timedelta(hours=3, minutes=1)):
        tick(seldom, at)
    (body,) = receiver.bodies
    assert "passed without a run: " in body["message"]
    assert "approv" in body["message"].split("passed without a run: ")[1].splitlines()[0]


def test_a_person_who_passed_over_a_window_does_not_put_the_next_one_to_sleep(seldom: Site) -> None:
    seldom.commit({"policies/base.yaml": route("applied") + "approval: required\n"})
    tick(seldom, BEFORE, BreakGlass("a test", "ada"))
    tick(seldom, BEFORE, BreakGlass("a test", "ada"))
    assert until(seldom) == OPENING


def test_a_quiet_host_wakes_for_its_weekly_digest(seldom: Site, receiver: Receiver) -> None:
    seldom.commit({"policies/base.yaml": route("weekly-digest", policy="kind: Policy\nname: base\n")})
    tick(seldom, BEFORE)
    monday = week_of(BEFORE) + timedelta(days=7)
    assert (until(seldom), titles(receiver)) == (monday, [])
    tick(seldom, monday)
    (body,) = receiver.bodies
    assert "0 changes made" in body["title"]
    assert "nothing was run" in body["message"]
    assert until(seldom) == monday + timedelta(days=7)


def test_a_host_is_quiet_until_a_message_that_waits_is_tried_again(
    notified: Site, receiver: Receiver
) -> None:
    tick(notified, BEFORE)
    receiver.status = 500
    notified.commit({"policies/base.yaml": NOTIFY + "updates: security\n"})
    assert codes(notified, 1, BEFORE + timedelta(minutes=15)) == [5]
    (waiting,) = (notified.state / "outbox").glob("*.json")
    assert codes(notified, 1, BEFORE + timedelta(minutes=15, seconds=30)) == [0]
    assert until(notified) == datetime.fromisoformat(json.loads(waiting.read_bytes())["not_before"])
    assert len(receiver.refused) == 1
    receiver.status = 200
    assert codes(notified, 1, until(notified)) == [0]
    assert len(titles(receiver)) == 1


def test_a_refused_message_costs_no_tick_and_is_said_by_status_doctor_and_the_report(
    notified: Site, receiver: Receiver, patchledger: Command
) -> None:
    tick(notified, BEFORE)
    receiver.status = 400
    notified.commit({"policies/base.yaml": NOTIFY + "updates: security\n"})
    assert codes(notified, 4, BEFORE + timedelta(hours=1)) == [0, 0, 0, 0]
    assert len(receiver.refused) == 3
    assert list((notified.state / "outbox").glob("*.json")) == []
    said = "a message to ops given up since"
    assert "Untold" in patchledger("status")[1]
    assert said in patchledger("status")[1]
    assert said in " ".join(patchledger("doctor", "--offline")[1].split())
    found = {one["type"]: one for one in notified.report()["conditions"]}
    assert said in found["SettingWithoutEffect"]["message"]
    receiver.status = 200
    notified.commit({"policies/base.yaml": NOTIFY})
    assert codes(notified, 2, BEFORE + timedelta(hours=6)) == [0, 0]
    assert "SettingWithoutEffect" not in {one["type"] for one in notified.report()["conditions"]}
    assert "Untold" not in patchledger("status")[1]


def test_a_full_disk_is_told_once_and_so_is_its_end(
    notified: Site, receiver: Receiver, small_state: Path
) -> None:
    notified.commit({"policies/base.yaml": POLICY + "notify: [{to: ops, on: [failed, recovered]}]\n"})
    tick(notified, BEFORE)
    filler = small_state / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), b"x" * 4096)
    for minutes in (15, 30, 45):
        with pytest.raises(ReconcilerError):
            tick(notified, BEFORE + timedelta(minutes=minutes))
    (title,) = titles(receiver)
    assert "failed: the run came to no report" in title
    filler.unlink()
    tick(notified, BEFORE + timedelta(minutes=60))
    assert titles(receiver)[1:] == ["[patchledger] web-01: recovered"]


def test_a_run_that_comes_to_no_report_is_told_once_and_so_is_its_end(
    notified: Site, receiver: Receiver
) -> None:
    notified.commit({"policies/base.yaml": POLICY + "notify: [{to: ops, on: [failed, recovered]}]\n"})
    tick(notified, BEFORE)
    journal = notified.state / "journal.json"
    journal.write_text("not a journal", encoding="utf-8")
    for minutes in (15, 30):
        with pytest.raises(Stalled, match="journal"):
            tick(notified, BEFORE + timedelta(minutes=minutes))
    (title,) = titles(receiver)
    assert "failed: the run came to no report" in title
    journal.unlink()
    assert tick(notified, BEFORE + timedelta(minutes=45)).failures == ()
    assert titles(receiver)[1:] == ["[patchledger] web-01: recovered"]
    assert "journal" in receiver.bodies[1]["message"]


# --- what a person asks for ---------------------------------------------------------------------------------


def test_a_dry_run_is_sent_to_everybody_who_hears_of_anything(
    notified: Site, receiver: Receiver, patchledger: Command
) -> None:
    code, _, err = patchledger("plan", "--notify")
    assert (code, err) == (0, "patchledger: sent the plan to ops\n")
    patchledger("plan", "--notify")
    assert len(titles(receiver)) == 2
    assert "dry-run: " in titles(receiver)[0]
    assert "\nPlanned:\n- " in receiver.bodies[0]["message"]
    receiver.status = 500
    code, _, err = patchledger("plan", "--notify")
    assert code == 5
    assert "was not delivered" in err
    receiver.status = 200
    notified.commit({"policies/base.yaml": POLICY})
    code, _, err = patchledger("plan", "--notify")
    assert code == 1
    assert "sent to nobody" in err


# --- a host that stands still -------------------------------------------------------------------------------

NOBODY = "http://127.0.0.1:1/reports.git"
"""Nothing listens there."""


def codes(site: Site, count: int, at: datetime = BEFORE) -> list[int]:
    """Return the exit codes of some ticks in a row, an hour apart."""
    found = []
    for number in range(count):
        try:
            failures = tick(site, at + timedelta(hours=number)).failures
        except ReconcilerError as error:
            failures = (error,)
        found.append(worst(map(exit_code, failures)))
    return found


def standing(notified: Site, lab: AptLab, **settings: object) -> None:
    notified.configure(
        environment=lab.environment,
        notifiers={"ops": {"file": str(notified.folder / "ops.url")}},
        alert_after=3,
        **settings,
    )


def test_a_host_that_stands_still_is_told_at_once_and_reported_later(
    notified: Site, lab: AptLab, receiver: Receiver
) -> None:
    notified.commit({"policies/base.yaml": route("failed", "recovered")})
    standing(notified, lab)
    assert codes(notified, 1) == [0]
    standing(notified, lab, policy={"remote": NOBODY}, reports={"remote": f"{NOBODY}/reports"})
    assert codes(notified, 2) == [5, 5]
    assert titles(receiver) == []
    for name in ("trust.json", "runs.json"):  # it is counted whatever becomes of the state
        (notified.state / name).write_text("{")
    assert codes(notified, 3, BEFORE + timedelta(hours=2)) == [1, 1, 1]
    (said,) = titles(receiver)
    assert "no tick has ended well" in said
    standing(notified, lab)
    assert codes(notified, 1, BEFORE + timedelta(hours=5)) == [0]
    found = {one["type"]: one for one in notified.report()["conditions"]}
    assert found["StoodStill"]["message"].startswith(
        f"since {BEFORE:%Y-%m-%d %H:%M} UTC no tick has ended well"
    )
    assert not (notified.state / "fingerprint.json").exists()
    assert codes(notified, 1, BEFORE + timedelta(hours=6)) == [0]
    assert "StoodStill" not in {one["type"] for one in notified.report()["conditions"]}
    assert ["recovered" in title for title in titles(receiver)] == [False, True]


def test_a_tick_that_comes_to_no_report_counts_too(notified: Site, lab: AptLab, receiver: Receiver) -> None:
    notified.commit({"policies/base.yaml": route("failed")})
    standing(notified, lab)
    assert codes(notified, 1) == [0]
    parts = wire(load_config(notified.config), SetClock())
    minutes = OPENING + timedelta(minutes=5)
    with parts.site.lock.held():
        assert [codes(notified, 1, minutes)[0] for _ in range(4)] == [5, 5, 1, 1]
        (said,) = titles(receiver)
        assert "no tick has ended well" in said
    assert codes(notified, 1, minutes) == [0]
    assert json.loads((notified.state / "standstill.json").read_bytes())["ticks"] == 0


# --- what waits of a hypervisor and its guests --------------------------------------------------------------


def kept_of_guests(site: Site) -> None:
    """Leave what a tick had to tell of a guest when it was killed."""
    wiring = wire(load_config(site.config))
    kept = Together(wiring.folder, wiring.ticker.reporter.messenger, "web-01")
    before = fine("web-01/201")
    kept.keep(events(before, replace(before, troubles=(STALE,)), BEFORE), EVERY)


def test_what_waits_is_told_though_the_host_has_no_guests_any_more(
    notified: Site, receiver: Receiver
) -> None:
    kept_of_guests(notified)
    tick(notified, BEFORE)
    assert [title for title in titles(receiver) if "metadata stale" in title]
    assert not (notified.state / "telling.json").exists()


@pytest.mark.parametrize(("old", "new"), [(b'"fresh"', b"fresh"), (b"Z", b"")])
def test_it_is_said_that_what_waited_is_damaged(notified: Site, old: bytes, new: bytes) -> None:
    kept_of_guests(notified)
    file = notified.state / "telling.json"
    damaged = file.read_bytes().replace(old, new)
    file.write_bytes(damaged)
    assert [
        one.message for one in tick(notified, BEFORE).failures if "telling.json is damaged" in one.message
    ]
    assert (notified.state / "telling.json.damaged").read_bytes() == damaged
    assert tick(notified, BEFORE).failures == ()


def test_it_is_told_that_guests_cannot_be_looked_at_for_long(
    notified: Site, lab: AptLab, receiver: Receiver
) -> None:
    """By the failures of its own tick alone the hypervisor had always ended well."""
    notifiers = {"ops": {"file": str(notified.folder / "ops.url")}}
    own = {"notifiers": notifiers, "guests": {"from": ["incus"]}, "alert_after": 2}
    notified.configure(environment=lab.environment, **own)
    notified.commit({"policies/base.yaml": route("failed", "recovered")})
    assert worst(map(exit_code, tick(notified, BEFORE).failures)) == 5
    assert titles(receiver) == []
    for _ in range(2):
        assert worst(map(exit_code, tick(notified, BEFORE).failures)) == 1
    (title,) = titles(receiver)
    assert "no tick has ended well: guests: " in title
    notified.configure(environment=lab.environment, notifiers=notifiers)
    assert tick(notified, BEFORE).failures == ()
    assert "recovered" in titles(receiver)[1]


def test_it_is_told_that_one_guest_cannot_be_asked(notified: Site, lab: AptLab, receiver: Receiver) -> None:
    notifiers = {"ops": {"file": str(notified.folder / "ops.url")}}
    notified.configure(environment=lab.environment, notifiers=notifiers, guests={"from": ["incus"]})
    wiring = wire(load_config(notified.config), SetClock(BEFORE))
    inside = in_guests(wiring, wiring.ticker.assessor.follow(wiring.folder.recall().state))
    folder = inside.kept.of("201")
    folder.prepare()
    folder.save(State(snapshot=fine("web-01/201"), routes=EVERY))
    for _ in range(2):
        with pytest.raises(ReconcilerError, match="201"):
            inside.tick(Guest("201", None, "web", Running()))
    (title,) = titles(receiver)
    assert title.startswith("[patchledger] web-01/201: failed")
