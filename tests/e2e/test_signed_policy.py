"""A host in ``trust.mode: signed``: what it obeys, what it refuses with which words, and what it reports."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from tests.e2e.site import POLICY, SCHEDULE, Site
from tests.e2e.test_apply import tick
from tests.e2e.test_run import LostClock
from tests.labs.apt import AptLab
from tests.labs.signing import Key, Keys, SignedRepository
from tests.labs.witness import witnessed

Command = Callable[..., tuple[int, str, str]]
NAME = "patchledger.yaml"
OURS = "repository: example/policy\n"
FILES = {"policies/base.yaml": POLICY, "schedules/nightly.yaml": SCHEDULE, NAME: OURS}


@pytest.fixture
def trust(site: Site, lab: AptLab) -> Callable[..., None]:
    """Return a function that has the host trust these lines alone."""

    def configure(signers: str, *, path: str = "", **more: object) -> None:
        listed = site.folder / "allowed_signers"
        listed.write_text(signers, encoding="utf-8")
        chosen = {"mode": "signed", "allowed_signers": str(listed), "repository": "example/policy", **more}
        programs = {"PATH": path} if path else {}
        site.configure(environment={**lab.environment, **programs}, trust=chosen)

    return configure


@pytest.fixture
def policy(site: Site, ada: Key, trust: Callable[..., None]) -> SignedRepository:
    """A policy whose first commit ada signed, and a host that trusts her alone."""
    (site.folder / "policy").rename(site.folder / "unsigned")
    policy = SignedRepository.create(site.policy)
    policy.commit(FILES, ada)
    trust(ada.line())
    return policy


def condition(site: Site) -> str:
    """Return the reason for which the newest policy is refused, as the report has it."""
    found = [one for one in site.report()["conditions"] if one["type"] == "PolicyRejected"]
    return found[0]["reason"] if found else ""


def test_a_signed_policy_is_in_force_and_its_signer_is_on_record(
    site: Site, policy: SignedRepository, ada: Key, patchledger: Command
) -> None:
    code, _, err = patchledger("run")
    assert code == 0, err
    told = site.report()["policy"]
    assert told["signed"] == [
        {"commit": policy.head(), "fingerprint": ada.fingerprint, "method": "ssh", "signer": ada.who}
    ]
    assert told["verification"].startswith("signed by listed keys: trusted on first use")


def test_a_host_that_slept_through_a_rotation_names_all_who_signed_by_whatever_they_sign(
    site: Site, policy: SignedRepository, ada: Key, keys: Keys, patchledger: Command
) -> None:
    assert patchledger("run")[0] == 0
    authority, ben = keys.ssh("authority"), keys.ssh("ben@example.org", "ecdsa")
    carl = keys.certified("carl", authority, "carl@ops.example.org")
    dora = keys.openpgp("dora@example.org", subkey=True)
    listed = authority.line("cert-authority", "*@ops.example.org") + dora.line()
    policy.commit({"trust/allowed_signers": ben.line()}, ada)
    policy.commit({"trust/allowed_signers": listed}, ben)  # takes himself out
    policy.commit({"docs/x": "1"}, carl)
    policy.commit({"docs/x": "2"}, dora)
    code, _, err = patchledger("run")
    assert code == 0, err
    assert [(one["signer"], one["method"]) for one in site.report()["policy"]["signed"]] == [
        (ada.who, "ssh"),
        (ben.who, "ssh"),
        ("carl@ops.example.org", "ssh-certificate"),
        (dora.who, "openpgp"),
    ]
    policy.commit({"docs/x": "3"}, ben)
    assert patchledger("run")[0] == 3
    assert condition(site) == "UnknownKey"


def test_a_commit_of_another_key_is_refused_and_the_last_good_policy_stays(
    site: Site, policy: SignedRepository, ada: Key, eve: Key, patchledger: Command
) -> None:
    patchledger("run")
    good = policy.head()
    evil = policy.commit({"policies/base.yaml": POLICY + "updates: none\n"}, eve)
    code, _, err = patchledger("run")
    assert code == 3
    assert f"policy commit {evil[:12]} is signed by the SSH key {eve.fingerprint}" in err
    told = site.report()
    assert (told["policy"]["commit"], told["policy"]["refused"]) == (good, evil)
    assert told["policy"]["signed"][0]["signer"] == ada.who
    assert condition(site) == "UnknownKey"


def test_a_merge_by_the_button_of_a_trusted_forge_is_told_as_such(
    site: Site, policy: SignedRepository, eve: Key, trust: Callable[..., None], patchledger: Command
) -> None:
    keys = site.folder / "forge_keys"
    keys.write_text(eve.line(who="forge.example"), encoding="utf-8")
    account = "ben@users.forge.example"
    people = (site.folder / "allowed_signers").read_text(encoding="utf-8")
    trust(people, forge={"key": str(keys), "accounts": [account]})
    assert patchledger("run")[0] == 0
    merge = policy.merge_by(account, eve, {"policies/base.yaml": POLICY + "updates: none\n"})
    code, _, err = patchledger("run")
    assert code == 0, err
    told = site.report()["policy"]
    assert (told["commit"], told["signed"][-1]["commit"]) == (merge, merge)
    assert told["signed"][-1]["method"] == "forge"
    assert told["signed"][-1]["signer"] == f"{account} (trust in the forge forge.example)"
    assert told["verification"].startswith("signed by listed keys or by a trusted forge: ")

    policy.merge_by("mallory@users.forge.example", eve, {"policies/base.yaml": POLICY})
    code, _, err = patchledger("run")
    assert (code, condition(site)) == (3, "ForgeKey")
    assert "which is none of trust.forge.accounts" in err


@pytest.mark.parametrize("first", ["none", "eve"])
def test_a_first_policy_that_nobody_signed_who_may_is_never_read(
    site: Site, policy: SignedRepository, eve: Key, patchledger: Command, first: str
) -> None:
    # What is in it would be told as a mistake if anybody had read it.
    policy.commit({"policies/base.yaml": "kind: Nonsense\n"}, eve if first == "eve" else None)
    code, _, err = patchledger("run")
    assert code == 3
    assert "Nonsense" not in err
    assert condition(site) == ("UnknownKey" if first == "eve" else "Unsigned")
    assert site.report()["policy"]["commit"] == ""


def test_who_may_push_cannot_list_a_key_of_their_own_before_a_host_looks_for_the_first_time(
    site: Site, policy: SignedRepository, eve: Key, patchledger: Command
) -> None:
    evil = policy.commit({"trust/allowed_signers": eve.line()})
    policy.commit({"docs/x": "1"}, eve)
    code, _, err = patchledger("run")
    assert code == 3
    assert f"policy commit {evil[:12]} is not signed" in err
    assert site.report()["policy"]["commit"] == ""
    policy.git("reset", "-q", "--hard", "HEAD~2")
    assert patchledger("run")[0] == 0


@pytest.mark.parametrize("named", ['requires: ">=0.1"\n', "repository: another/policy\n"])
def test_the_signed_policy_of_another_repository_is_refused(
    site: Site, policy: SignedRepository, ada: Key, patchledger: Command, named: str
) -> None:
    policy.commit({NAME: named}, ada)
    code, _, err = patchledger("run")
    assert code == 3
    assert 'this host follows "example/policy"' in err
    assert condition(site) == "ForeignRepository"


def test_a_host_that_followed_an_unsigned_policy_obeys_nothing_of_it_once_signatures_are_asked_for(
    site: Site, ada: Key, trust: Callable[..., None], patchledger: Command
) -> None:
    patchledger("run")
    assert site.report()["policy"]["commit"]
    trust(ada.line())
    code, _, err = patchledger("run")
    assert code == 3
    assert "is not signed" in err
    assert site.report()["policy"]["commit"] == ""
    # And goes on as soon as its head is signed.
    site.commit({NAME: OURS})
    signed = SignedRepository(site.policy)
    signed.commit({}, ada)
    code, _, err = patchledger("run")
    assert code == 0, err
    assert site.report()["policy"]["commit"] == signed.head()


def test_a_policy_in_force_is_obeyed_no_more_when_the_host_follows_another_repository(
    site: Site, policy: SignedRepository, ada: Key, trust: Callable[..., None], patchledger: Command
) -> None:
    assert patchledger("run")[0] == 0
    trust(ada.line(), repository="example/other")
    code, _, err = patchledger("run")
    assert code == 3
    assert 'this host follows "example/other"' in err
    told = site.report()["policy"]
    assert (told["commit"], told["refused"]) == ("", policy.head())


def test_from_the_floor_on_every_commit_counts(
    policy: SignedRepository, ada: Key, trust: Callable[..., None], patchledger: Command
) -> None:
    floor = policy.head()
    evil = policy.commit({"docs/x": "1"})
    policy.commit({"docs/x": "2"}, ada)
    trust(ada.line(), floor=floor)
    code, _, err = patchledger("run")
    assert code == 3
    assert f"policy commit {evil[:12]} is not signed" in err


def test_a_server_that_keeps_newer_commits_back_closes_the_gate_and_a_heartbeat_opens_it(
    site: Site,
    policy: SignedRepository,
    ada: Key,
    trust: Callable[..., None],
    patchledger: Command,
) -> None:
    def gate() -> tuple[str, str]:
        patchledger("run")
        decision = site.report()["decision"]
        return decision["outcome"], decision["reason"]

    trust(ada.line(), max_head_age="3d")  # the head is of 2026-11-20
    assert gate()[0] == "policy-stale"
    assert "the server may keep newer commits back" in gate()[1]
    for key, value in {**ada.settings, "user.name": "Ada", "user.email": ada.who}.items():
        policy.git("config", key, value)
    code, out, _ = patchledger("policy", "heartbeat", str(policy.path))
    assert (code, out.strip()) == (0, policy.head())
    assert policy.git("log", "-1", "--format=%(trailers:key=Policy-Ref,valueonly)") == "main"
    assert policy.git("diff", "--stat", "HEAD~1") == ""
    assert gate()[0] != "policy-stale"
    assert site.report()["policy"]["signed"][-1]["commit"] == policy.head()
    policy.git("config", "user.signingkey", "/nonexistent")
    code, _, err = patchledger("policy", "heartbeat", str(policy.path))
    assert code == 1
    assert "cannot sign a commit" in err


def test_no_key_is_judged_by_a_clock_that_is_wrong(
    site: Site, policy: SignedRepository, ada: Key, ben: Key, trust: Callable[..., None]
) -> None:
    """Else a key that ended would be accepted while the clock is set back, and obeyed ever after."""
    trust(ada.line() + ben.line('valid-before="20260101"'))
    good = policy.head()
    tick(site)
    evil = policy.commit({"docs/x": "1"}, ben, date="2025-05-01T00:00:00Z")
    lost = LostClock(datetime(2025, 6, 1, tzinfo=UTC))
    run_once(site.config, wire(load_config(site.config), lost), None)
    told = site.report()
    assert told["policy"]["commit"] == good
    assert [one["reason"] for one in told["conditions"] if one["type"] == "ClockWrong"] == ["NoKeyJudged"]
    assert told["decision"]["outcome"] != "apply"
    assert condition(site) == ""
    tick(site)
    assert condition(site) == "KeyEnded"
    assert site.report()["policy"]["commit"] == good != evil


def test_at_first_use_a_head_that_is_dated_back_does_not_vouch_for_a_clock_that_is_wrong(
    site: Site, policy: SignedRepository, ada: Key, ben: Key, trust: Callable[..., None]
) -> None:
    """Whoever has an ended key chooses the date of what it signs; the commits before that tell the time."""
    trust(ada.line() + ben.line('valid-before="20260101"'))
    policy.commit({"docs/x": "1"}, ben, date="2025-05-01T00:00:00Z")
    lost = LostClock(datetime(2025, 6, 1, tzinfo=UTC))
    run_once(site.config, wire(load_config(site.config), lost), None)
    told = site.report()
    assert told["policy"]["commit"] == ""
    assert [one["reason"] for one in told["conditions"] if one["type"] == "ClockWrong"] == ["NoKeyJudged"]


def test_history_stays_forward_only(
    site: Site, policy: SignedRepository, ada: Key, patchledger: Command
) -> None:
    old = policy.head()
    policy.commit({"docs/x": "1"}, ada)
    patchledger("run")
    policy.git("reset", "-q", "--hard", old)
    code, _, err = patchledger("run")
    assert code == 3
    assert "does not continue what was accepted" in err
    assert condition(site) == "HistoryRewritten"


@pytest.fixture
def calls(policy: SignedRepository, ada: Key, trust: Callable[..., None], tmp_path: Path) -> Path:
    """Give the policy 119 commits after the floor, and return where calls of ssh-keygen are counted.

    The one that makes the 110th is killed.
    """
    calls, instead = tmp_path / "calls", tmp_path / "bin" / "ssh-keygen"
    instead.parent.mkdir()
    killing = f'[ "$(wc -l < {calls})" -ne 110 ] || kill -9 $PPID'
    instead.write_text(f'#!/bin/sh\necho >> {calls}\n{killing}\nexec /usr/bin/ssh-keygen "$@"\n')
    instead.chmod(0o755)
    trust(ada.line(), path=f"{instead.parent}:{os.environ['PATH']}", floor=policy.head())
    policy.line(119, ada)
    return calls


def test_a_long_line_goes_on_where_a_run_was_killed_and_costs_a_quiet_tick_nothing(
    site: Site, policy: SignedRepository, calls: Path, patchledger: Command, tmp_path: Path
) -> None:
    run = [sys.executable, "-m", "reconciler", "--config", str(site.config), "run"]
    here, there = os.openpty()
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    killed = subprocess.run(run, env=env, stdout=subprocess.DEVNULL, stderr=there, check=False)
    os.close(there)
    assert killed.returncode == -9
    assert os.read(here, 1000).decode().strip() == "patchledger: 100 of 119 policy commits are verified"
    os.close(here)
    code, _, err = patchledger("run")
    assert (code, err) == (0, "")  # here is no terminal
    assert len(calls.read_text()) == 110 + 19
    assert site.report()["policy"]["commit"] == policy.head()
    assert patchledger("run")[0] == 0
    (child,) = witnessed("--config", str(site.config), "run")["started"]
    assert "fetch" in child
    assert len(calls.read_text()) == 110 + 19


def test_the_list_of_the_host_is_closed_to_others(
    site: Site, policy: SignedRepository, patchledger: Command
) -> None:
    del policy
    Path(site.folder / "allowed_signers").chmod(0o666)
    code, _, err = patchledger("run")
    assert code != 0
    assert "trust.allowed_signers" in err


def test_a_signature_of_the_hosts_own_report_key_is_none_of_policy(
    site: Site, policy: SignedRepository, ada: Key, eve: Key, patchledger: Command
) -> None:
    host = f"kind: Host\nname: web-01\nreport_key: {eve.public}\n"
    policy.commit({"hosts/web-01.yaml": host}, ada)
    assert patchledger("run")[0] == 0
    policy.commit({"docs/x": "1"}, eve)
    assert patchledger("run")[0] == 3
    assert condition(site) == "UnknownKey"
    # Nor may a policy be in force that gives one key both roles.
    policy.git("reset", "-q", "--hard", "HEAD~1")
    policy.commit({"trust/allowed_signers": eve.line()}, ada)
    code, _, err = patchledger("run")
    assert code == 3
    assert "is the key of trust/allowed_signers as well" in err


def test_keys_of_signed_mode_without_it_are_refused(site: Site, patchledger: Command) -> None:
    site.configure(trust={"repository": "example/policy"})
    code, _, err = patchledger("run")
    assert code == 2
    assert "mode: signed" in err
    site.configure(trust={"mode": "signed"})
    code, _, err = patchledger("run")
    assert "mode signed needs allowed_signers and repository as well" in err


def test_explain_names_who_signed_the_line_of_policy_behind_a_decision(
    policy: SignedRepository, ada: Key, patchledger: Command
) -> None:
    hold = "kind: Exception\nname: hold\npackages: plain\naction: hold\nreason: r\nexpires: 2099-01-01\n"
    policy.commit({"exceptions/hold.yaml": hold}, ada)
    patchledger("run")
    words = " ".join(patchledger("explain", "plain")[1].split())
    assert f", signed by {ada.who} ({ada.fingerprint}); until 2099-01-02 00:00 UTC" in words
