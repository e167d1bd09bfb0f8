"""Approvals that must let nothing happen: not merged, not for this host any more, used, over, in a freeze."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from reconciler.planning.gates.types import BreakGlass
from tests.e2e.site import OPENING, Site, git
from tests.e2e.test_apply import INSIDE, Striding, host, machine, offer, runs, tick, want
from tests.e2e.test_asked_anew import FREEZE, NAMES
from tests.e2e.test_run import LostClock
from tests.labs.apt import AptLab, Deb
from tests.labs.signing import Key, SignedRepository

__all__ = ["host", "machine"]  # fixtures

FILE = "approvals/one.yaml"
SOON = INSIDE + timedelta(minutes=15)


def approval(what: str, expires: str = "2099-01-01", name: str = "one") -> str:
    return f"kind: Approval\nname: {name}\n{what}\nexpires: {expires}\n"


@pytest.fixture
def digest(host: Site, machine: AptLab) -> str:
    """A plan of one package that waits for an approval, in an open window."""
    offer(machine, Deb("one", "1.1"))
    want(host, "one", policy="approval: required\n")
    return refused(host, machine)


def refused(host: Site, machine: AptLab, outcome: str = "approval") -> str:
    """Have the host tick and apply nothing; return the digest of its plan."""
    found = tick(host)
    assert (found.report.decision.outcome, found.runs) == (outcome, ())
    assert machine.versions()["one"] == "1.0"
    return found.report.plan.digest


def applied(host: Site) -> None:
    assert [one.outcome for one in tick(host, SOON).runs] == ["applied"]


def test_a_branch_that_is_not_merged_approves_nothing(host: Site, machine: AptLab, digest: str) -> None:
    git(host.policy, "checkout", "-q", "-b", "approve/one")
    host.commit({FILE: approval(f"plan: {digest}")})
    git(host.policy, "checkout", "-q", "main")
    refused(host, machine)
    git(host.policy, "merge", "-q", "--no-ff", "--no-edit", "approve/one")
    applied(host)


def test_who_has_left_the_group_is_not_meant_any_more(host: Site, machine: AptLab, digest: str) -> None:
    def role(name: str) -> dict[str, str]:
        return {"hosts/web-01.yaml": f"kind: Host\nname: web-01\nlabels: {{role: {name}}}\n"}

    host.commit({**role("web"), FILE: approval(f"plan: {digest}\nmatch: {{labels: {{role: web}}}}")})
    host.commit(role("db"))
    refused(host, machine)
    host.commit(role("web"))
    applied(host)


@pytest.mark.parametrize("overrides", [False, True])
def test_who_breaks_the_glass_needs_an_approval_all_the_same(
    host: Site, machine: AptLab, digest: str, *, overrides: bool
) -> None:
    del digest
    host.commit({"freezes/emergency.yaml": FREEZE})
    found = tick(host, SOON, BreakGlass("zero day", "ada", overrides_freeze=overrides))
    assert (found.report.decision.outcome, found.runs) == ("approval" if overrides else "freeze", ())
    assert machine.versions()["one"] == "1.0"


def test_a_freeze_outweighs_an_approval_and_does_not_use_it_up(
    host: Site, machine: AptLab, digest: str
) -> None:
    host.commit({"freezes/emergency.yaml": FREEZE, FILE: approval(f"plan: {digest}")})
    refused(host, machine, "freeze")
    host.commit({"freezes/emergency.yaml": None})
    applied(host)


def test_a_second_document_with_the_same_digest_lets_nothing_happen_twice(
    host: Site, machine: AptLab, digest: str
) -> None:
    again = {"approvals/two.yaml": approval(f"plan: {digest}", name="two")}
    host.commit({FILE: approval(f"plan: {digest}"), **again})
    applied(host)
    machine.go_back(Deb("one", "1.0"))
    assert refused(host, machine) == digest
    assert "used up" in host.report()["decision"]["reason"]
    host.commit({FILE: None, "approvals/two.yaml": None})
    host.commit({"approvals/three.yaml": approval(f"plan: {digest}", name="three")})
    refused(host, machine)
    host.commit({"approvals/four.yaml": approval('versions: {one: "1.1"}', name="four")})
    applied(host)


def test_a_clock_that_is_set_back_behind_the_approval_does_not_make_it_young_again(
    host: Site, machine: AptLab, digest: str
) -> None:
    over = OPENING + timedelta(minutes=1)
    text = approval(f"plan: {digest}", f'"{over:%Y-%m-%d %H:%M}"')
    given = f"{OPENING - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    SignedRepository(host.policy).commit({FILE: text}, date=given)
    refused(host, machine)
    assert "(1 expired)" in host.report()["decision"]["reason"]
    lost = LostClock(over - timedelta(days=1))
    found = run_once(host.config, wire(load_config(host.config), lost))
    assert (found.report.decision.outcome, found.runs) == ("clock", ())
    assert machine.versions()["one"] == "1.0"


def test_an_approval_that_is_over_between_two_steps_stops_the_run(host: Site, machine: AptLab) -> None:
    offer(machine, *(Deb(one, "1.1") for one in NAMES))
    want(host, *NAMES, policy="approval: required\nbudget: 30m\nstep_time: 10s\n")
    digest = tick(host).report.plan.digest
    over = OPENING + timedelta(minutes=30)
    host.commit({FILE: approval(f"plan: {digest}", f'"{over:%Y-%m-%d %H:%M}"')})
    wiring = wire(load_config(host.config), Striding(OPENING + timedelta(minutes=20), timedelta(minutes=12)))
    (done,) = run_once(host.config, wiring).runs
    assert (done.outcome, done.code) == ("partial", "approval")
    assert "(1 expired)" in done.reason
    assert len(done.difference.changed) == 3
    assert len(runs(host)) == 1


def test_an_approval_by_somebody_who_may_not_sign_policy_is_none(
    host: Site, machine: AptLab, ada: Key, eve: Key
) -> None:
    offer(machine, Deb("one", "1.1"))
    want(host, "one", policy="approval: required\n")
    host.commit({"patchledger.yaml": "repository: example/policy\n"})
    policy = SignedRepository(host.policy)
    good = policy.commit({}, ada)
    listed = Path(host.folder / "allowed_signers")
    listed.write_text(ada.line(), encoding="utf-8")
    trust = {"mode": "signed", "allowed_signers": str(listed), "repository": "example/policy", "floor": good}
    host.configure(environment=machine.environment, trust=trust)
    digest = refused(host, machine)

    evil = policy.commit({FILE: approval(f"plan: {digest}")}, eve)
    refused(host, machine, "policy-stalled")
    told = host.report()
    assert (told["policy"]["commit"], told["policy"]["refused"]) == (good, evil)
    assert told["approvals"] == []
    # Nor is it by a commit of somebody who may on top of it: that the line is whole counts.
    policy.commit({}, ada)
    refused(host, machine, "policy-stalled")
    # But a merge of what eve wrote is by who merged.
    policy.git("reset", "-q", "--hard", good)
    policy.git("checkout", "-q", "-b", "approve/one")
    policy.commit({FILE: approval(f"plan: {digest}")}, eve)
    policy.git("checkout", "-q", "main")
    policy.merge("approve/one", ada)
    applied(host)
