"""What a hypervisor's tick tells is one message on each route, and an incident of many targets ends once."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from reconciler.planning.notices.events import (
    Event,
    LastRun,
    Notice,
    Route,
    Snapshot,
    Trouble,
    Whereabouts,
    continued,
    events,
)
from reconciler.planning.notices.message import PackageLine
from reconciler.planning.notices.together import LONGEST_WAIT, Gathered, Heard, settled, told_together
from reconciler.planning.resolving.dispositions import ConditionType
from reconciler.planning.runs.record import RunResult

NIGHT = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
TICK = timedelta(minutes=15)
CURL = PackageLine("curl", "amd64", "1", "2", security=True)
NGINX = PackageLine("nginx", "amd64", "1", "2")
STALE = Trouble(Event.METADATA_STALE, ConditionType.METADATA_STALE, "the mirror does not answer")
EVERY = (Route("ops", frozenset(Event) - {Event.EVERY_RUN}),)
TWENTY = [f"pve1/{number}" for number in range(101, 121)]


def fine(target: str) -> Snapshot:
    own = target.rpartition("/")[2]
    return Snapshot(
        at=NIGHT,
        target=target,
        mode="apply",
        outcome="nothing",
        reason="up to date",
        policy_commit="6f7bcbfe4817",
        digest=f"sha256:{own:0>64}",
        place=Whereabouts(branch=f"guests/{target}", called=f"web{own}" if "/" in target else ""),
    )


@dataclass
class Hypervisor:
    """What its ticks told, with what each target was like last."""

    stored: dict[str, Snapshot] = field(default_factory=dict)
    gathered: Gathered = field(default_factory=Gathered)
    now: datetime = NIGHT

    def tick(
        self,
        seen: Iterable[Snapshot],
        routes: tuple[Route, ...] = EVERY,
        looked_after: Collection[str] | None = None,
    ) -> dict[str, tuple[Notice, ...]]:
        self.now += TICK
        for one in seen:
            before = self.stored.get(one.target, fine(one.target))
            current = replace(one, at=self.now)
            heard = tuple(Heard(notice, routes) for notice in events(before, current, self.now))
            self.gathered = replace(self.gathered, fresh=(*self.gathered.fresh, *heard))
            self.stored[one.target] = continued(before, current)
        told, self.gathered = settled(self.gathered, self.now, looked_after)
        return dict(told_together("pve1", told))


def stale(target: str) -> Snapshot:
    return replace(fine(target), troubles=(STALE,))


def failed(target: str, reason: str = "installing bad 1.1 failed") -> Snapshot:
    run = LastRun(
        f"run-of-{target}", RunResult.FAILED, fine(target).digest, "postinst", reason, log_excerpt="dpkg"
    )
    return replace(fine(target), last_run=run)


def applied(target: str, *packages: PackageLine) -> Snapshot:
    return replace(
        fine(target), last_run=LastRun(f"run-of-{target}", RunResult.APPLIED, "sha256:1", packages=packages)
    )


def titles(sent: dict[str, tuple[Notice, ...]]) -> list[str]:
    return [one.message.title for notices in sent.values() for one in notices]


def test_twenty_that_fail_alike_are_one_message_and_recover_in_one() -> None:
    pve = Hypervisor()
    sent = pve.tick([*map(stale, TWENTY), stale("pve1")])
    assert titles(sent) == ["[patchledger] pve1: metadata stale in 20 guests and pve1"]
    ((message,),) = sent.values()
    for target in (*TWENTY, "pve1"):
        assert target in message.message.text
    assert message.message.text.count("the mirror does not answer") == 1
    assert "Asked of you: see whether the package sources can be reached" in message.message.text

    assert pve.tick([*map(stale, TWENTY), stale("pve1")]) == {}
    assert pve.tick([*map(fine, TWENTY[:12]), *map(stale, TWENTY[12:]), fine("pve1")]) == {}
    sent = pve.tick(map(fine, TWENTY))
    assert titles(sent) == ["[patchledger] pve1: recovered in 20 guests and pve1"]
    ((end,),) = sent.values()
    # What a service that keeps incidents was told to open is what it is told to close.
    assert message.incident.startswith("pve1/guests/")
    assert message.incident in end.closes
    assert pve.tick(map(fine, TWENTY)) == {}
    assert pve.gathered == Gathered()


def test_a_run_that_fails_alike_in_each_is_one_incident() -> None:
    pve = Hypervisor()
    sent = pve.tick(map(failed, TWENTY))
    assert titles(sent) == ["[patchledger] pve1: failed in 20 guests"]
    ((message,),) = sent.values()
    assert "failed: installing bad 1.1 failed:" in message.message.text
    assert "(pve1/101)\ndpkg" in message.message.text
    again = [replace(applied(target, NGINX), troubles=()) for target in TWENTY]
    again = [replace(one, last_run=replace(one.last_run, run="next")) for one in again if one.last_run]
    assert titles(pve.tick(again[:1])) == ["[patchledger] pve1/101: applied 1 change"]
    assert titles(pve.tick(again[1:])) == [
        "[patchledger] pve1: recovered in 20 guests, applied 19 changes in 19 guests"
    ]


def test_what_one_guest_alone_tells_is_told_as_of_a_host() -> None:
    pve = Hypervisor()
    sent = pve.tick([failed("pve1/101"), *map(fine, TWENTY[1:])])
    assert titles(sent) == ["[patchledger] pve1/101: failed: installing bad 1.1 failed"]
    ((message,),) = sent.values()
    assert "(`patchledger log run-of-pve1/101 --target 101` on pve1 shows all of it)" in message.message.text
    assert "Host:    pve1/101 (web101)" in message.message.text
    well = replace(applied("pve1/101"), last_run=LastRun("next", RunResult.APPLIED, "sha256:2"))
    over = pve.tick([well])
    assert titles(over) == ["[patchledger] pve1/101: recovered"]
    ((end,),) = over.values()
    assert message.incident == "pve1/101/failed"
    assert message.incident in end.closes


def test_each_trouble_of_a_message_is_an_incident_that_its_own_end_closes() -> None:
    pve = Hypervisor()
    pve.tick([failed("pve1/101")])
    well = replace(fine("pve1/101"), last_run=LastRun("next", RunResult.APPLIED, "sha256:2"))
    sent = pve.tick([well, failed("pve1/102"), *map(stale, TWENTY[2:5])])
    ((message,),) = sent.values()
    assert message.event is Event.FAILED
    assert message.incident == "pve1/102/failed"
    assert "pve1/101/failed" in message.closes
    (shared,) = message.opens
    assert shared.startswith("pve1/guests/")
    ((end,),) = pve.tick([*map(fine, TWENTY[2:5])]).values()
    assert shared in end.closes
    assert "pve1/102/failed" not in end.closes


def test_the_host_alone_tells_as_ever() -> None:
    pve = Hypervisor()
    both = replace(
        stale("pve1"), reboot_reasons=(), troubles=(STALE,), last_run=applied("pve1", CURL).last_run
    )
    assert titles(pve.tick([both, *map(fine, TWENTY)])) == [
        "[patchledger] pve1: package metadata are stale: the mirror does not answer",
        "[patchledger] pve1: applied 1 change (1 security)",
    ]


def test_a_night_of_all_sorts_is_one_message_the_worst_first() -> None:
    pve = Hypervisor()
    sent = pve.tick(
        [
            applied("pve1/101", CURL, NGINX),
            applied("pve1/102", NGINX),
            failed("pve1/103"),
            stale("pve1/104"),
            applied("pve1", CURL),
        ]
    )
    worst = "failed in 103 (web103), metadata stale in 104 (web104)"
    rest = "applied 4 changes (2 security) in 2 guests and pve1"
    assert titles(sent) == [f"[patchledger] pve1: {worst}, {rest}"]
    ((message,),) = sent.values()
    assert "- pve1/101 (web101): applied 2 changes (1 security): curl:amd64 1 → 2, nginx:amd64 1 → 2" in (
        message.message.text
    )
    assert message.told >= {Event.FAILED, Event.METADATA_STALE, Event.APPLIED}


def test_approvals_of_several_plans_are_asked_for_once() -> None:
    waiting = [replace(fine(one), planned=(NGINX,), needs_approval=True) for one in TWENTY[:5]]
    hypervisor = Hypervisor()
    told = [one.message.text for notices in hypervisor.tick(waiting).values() for one in notices]
    (asked,) = (line for text in told for line in text.split("\n") if "patchledger approve" in line)
    assert (
        asked.count("`patchledger approve TARGET --plan DIGEST`") == asked.count("patchledger approve") == 1
    )


def test_each_route_hears_what_it_asked_for() -> None:
    pve = Hypervisor()
    routes = (
        Route("pager", frozenset({Event.FAILED})),
        Route("chat", frozenset({Event.APPLIED, Event.FAILED})),
    )
    sent = pve.tick([failed("pve1/103"), applied("pve1/101", NGINX)], routes)
    assert {name: [one.message.title for one in notices] for name, notices in sent.items()} == {
        "pager": ["[patchledger] pve1/103: failed: installing bad 1.1 failed"],
        "chat": ["[patchledger] pve1: failed in 103 (web103), applied 1 change in 101 (web101)"],
    }


def test_one_that_stays_wrong_does_not_silence_the_others_for_ever() -> None:
    pve = Hypervisor()
    ((message,),) = pve.tick(map(stale, TWENTY)).values()
    assert pve.gathered.until is None
    assert pve.tick(map(fine, TWENTY[1:])) == {}
    assert pve.gathered.until == pve.now + LONGEST_WAIT
    pve.now += LONGEST_WAIT
    sent = pve.tick([stale(TWENTY[0])])
    assert titles(sent) == ["[patchledger] pve1: recovered in 19 guests"]
    assert pve.gathered.until is None
    ((told,),) = sent.values()
    over = pve.tick([fine(TWENTY[0])])
    assert titles(over) == ["[patchledger] pve1/101: recovered"]
    # It is one incident to a service until it is over for the last of them, however long that takes.
    ((end,),) = over.values()
    assert message.incident not in told.closes
    assert message.incident in end.closes
    assert pve.gathered == Gathered()


def test_who_is_well_again_after_that_waits_for_nobody() -> None:
    pve = Hypervisor()
    pve.tick(map(stale, TWENTY[:3]))
    pve.tick([fine(TWENTY[0])])
    pve.now += LONGEST_WAIT
    pve.tick([])
    assert titles(pve.tick([fine(TWENTY[1])])) == ["[patchledger] pve1/102: recovered"]
    # But those that come to it now are told together, as at first.
    pve.tick(map(stale, TWENTY[10:15]))
    assert pve.tick([fine(TWENTY[10])]) == {}
    assert titles(pve.tick([*map(fine, TWENTY[11:15]), fine(TWENTY[2])])) == [
        "[patchledger] pve1: recovered in 6 guests"
    ]


def test_one_that_went_holds_up_nobody() -> None:
    pve = Hypervisor()
    pve.tick(map(stale, TWENTY))
    sent = pve.tick(map(fine, TWENTY[1:]), looked_after={"pve1", *TWENTY[1:]})
    assert titles(sent) == ["[patchledger] pve1: recovered in 19 guests"]


def test_one_that_fails_again_is_told_and_was_never_well() -> None:
    pve = Hypervisor()
    pve.tick(map(stale, TWENTY[:2]))
    assert pve.tick([fine(TWENTY[0])]) == {}
    assert titles(pve.tick([stale(TWENTY[0])])) == [
        "[patchledger] pve1/101: package metadata are stale: the mirror does not answer"
    ]
    assert titles(pve.tick(map(fine, TWENTY[:2]))) == ["[patchledger] pve1: recovered in 2 guests"]


def test_the_same_made_again_is_the_same_message() -> None:
    pve = Hypervisor()
    for target in TWENTY:
        heard = (Heard(one, EVERY) for one in events(fine(target), replace(stale(target), at=NIGHT), NIGHT))
        pve.gathered = replace(pve.gathered, fresh=(*pve.gathered.fresh, *heard))
    made = [dict(told_together("pve1", settled(pve.gathered, NIGHT)[0])) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0]["ops"][0].key == made[1]["ops"][0].key


def test_a_hostile_name_stays_in_its_line() -> None:
    pve = Hypervisor()
    odd = replace(stale("pve1/101"), place=Whereabouts(called="x\n\x1b]0;y\x07\u202e" + "z" * 500))
    ((message,),) = pve.tick([odd, stale("pve1/102")]).values()
    assert "\x1b" not in message.message.text + message.message.html + message.message.markdown
    assert "\nx" not in message.message.text
    assert max(map(len, message.message.text.splitlines())) < 450
