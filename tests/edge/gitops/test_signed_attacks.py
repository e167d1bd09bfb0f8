"""Attacks upon a host that obeys only what is signed: what is in force, and why not what is newer.

The whole table, with the attacks that are tried elsewhere, is in ``docs/explanation/attacks.md``. A commit is
judged in the mirror, whatever brought it there. What a transport could change is which commits arrive, what
is in them, and where the branch stands, so all of this is done over each of them.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from reconciler.gitops.git import GitAccess
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.revision import read_accepted
from reconciler.gitops.signed_history import SignedHistory, SigningRules, authorities
from reconciler.planning.gates.gates import policy_gate
from reconciler.planning.gates.types import Closed, GateSettings, Pass
from reconciler.policy.load import PolicyFile
from reconciler.reconcile.policy_in_force import InForce, PolicyFollower, SignedTrust
from reconciler.reconcile.ports.policies import Acceptance, Followed
from tests.labs.signing import Key, Keys, SignedRepository

NOW = datetime.now(UTC).replace(microsecond=0)
POLICY = "kind: Policy\nname: base\naction: plan\n"
EVIL = {"policies/base.yaml": POLICY.replace("plan", "apply")}
FREEZE = "kind: Freeze\nname: now\nfrom: 2026-01-01\nuntil: 2030-01-01\nreason: a bad update\ntimezone: UTC\n"
NAME, OURS = "patchledger.yaml", "repository: example/policy\n"
ANOTHER = {NAME: "repository: another/policy\n"}
BACKDATED = "2020-01-01T00:00:00Z"
MESSAGE = "one\n\nPolicy-Ref: main"


@pytest.fixture(scope="session")
def people(keys: Keys, ada: Key, eve: Key) -> dict[str, Key]:
    """Everybody who signs here, by what they are."""
    authority, certifying = keys.ssh("authority@example.org"), keys.ssh("web-03")
    return {
        "ada": ada,
        "eve": eve,
        "old": keys.ssh("old@example.org"),
        "later": keys.ssh("later@example.org"),
        "lost": keys.ssh("lost@example.org"),
        "host": keys.ssh("web-01"),
        "publisher": keys.ssh("publisher@example.org"),
        "authority": authority,
        "expired": keys.certified("exp", authority, "exp@ops.example.org", "-V", "20190101:20210101"),
        "other": keys.certified("oth", authority, "oth@web.example.org"),
        "twice": keys.ssh("twice@example.org"),
        "certified host": keys.certified("web-02", authority, "web-02@ops.example.org"),
        "by a host": keys.certified("dan", certifying, "dan@of-a-host.example.org"),
        "certifying": certifying,
    }


@dataclass
class Target:
    """A host, and whoever may push to the policy that it follows."""

    folder: Path
    address: str
    access: GitAccess
    policy: SignedRepository
    people: dict[str, Key]
    known: Acceptance | None = None
    reported: list[str] = field(default_factory=list)
    lives: int = 0

    def trust(self) -> SigningRules:
        """Write the host's own lists."""
        own = [
            self.people["ada"].line(),
            self.people["old"].line('valid-before="20260101"'),
            self.people["later"].line('valid-after="20990101"'),
            self.people["lost"].line(),
            self.people["twice"].line(),
            self.people["authority"].line("cert-authority", "*@ops.example.org"),
            self.people["certifying"].line("cert-authority", "*@of-a-host.example.org"),
        ]
        (self.folder / "signers").write_text("".join(own), encoding="utf-8")
        (self.folder / "revoked").write_text(self.people["lost"].fingerprint, encoding="utf-8")
        return SigningRules(self.folder / "signers", self.folder / "revoked", "main")

    def tick(self) -> InForce:
        """Follow the policy, as a tick does, and report which is in force."""
        mirror = PolicyMirror(
            self.folder / f"state-{self.lives}" / "policy.git", self.address, "main", self.access
        )

        def read(commit: str, now: datetime) -> list[PolicyFile]:
            return read_accepted(mirror, commit, timeout=60, now=now)

        oldest = timedelta(days=3)
        rules = self.trust()
        trust = SignedTrust(
            SignedHistory(mirror, rules),
            "example/policy",
            oldest,
            authorities=partial(authorities, rules),
        )
        told = Followed(tuple(self.reported[::-1]))
        found = PolicyFollower(mirror, read, timedelta(minutes=1), lambda: told, trust).follow(
            self.known, NOW, accept=True
        )
        self.known = found.acceptance
        if found.revision is not None and found.revision.commit not in self.reported:
            self.reported.append(found.revision.commit)
        return found

    def lose_state(self) -> None:
        """Lose all that the host remembers, but not the reports that it has pushed."""
        self.known = None
        self.lives += 1

    def commit(
        self,
        by: str | None,
        files: dict[str, str],
        message: str = MESSAGE,
        date: str = "2026-11-20T08:00:00Z",
    ) -> str:
        return self.policy.commit(files, self.people[by] if by else None, message=message, date=date)

    def back(self, commit: str) -> None:
        self.policy.git("reset", "-q", "--hard", commit)

    def follows(self, commit: str) -> None:
        found = self.tick()
        assert found.conditions == ()
        assert found.revision is not None
        assert found.revision.commit == commit

    def refuses(self, reason: str, in_force: str) -> None:
        found = self.tick()
        assert [one.reason for one in found.conditions] == [reason]
        assert (found.revision.commit if found.revision is not None else "") == in_force
        assert found.state.commit == in_force


@pytest.fixture
def target(tmp_path: Path, route: Callable[[Path], tuple[str, GitAccess]], people: dict[str, Key]) -> Target:
    policy = SignedRepository.create(tmp_path / "policy")
    address, access = route(policy.path / ".git")
    return Target(tmp_path, address, access, policy, people)


def good(target: Target) -> str:
    """Return a policy's first commit, in which every key has one role."""
    hosts = {
        f"hosts/{name}.yaml": f"kind: Host\nname: {name}\nreport_key: {target.people[key].public}\n"
        for name, key in (("web-01", "host"), ("web-02", "certified host"), ("web-03", "certifying"))
    }
    publishers = target.people["publisher"].line() + target.people["twice"].line()
    files = {
        "policies/base.yaml": POLICY,
        NAME: OURS,
        **hosts,
        "trust/publishers": publishers,
    }
    return target.commit("ada", files)


def by(who: str, date: str = "2026-11-20T08:00:00Z") -> Callable[[Target], object]:
    return lambda target: target.commit(who, EVIL, date=date)


def unsigned_below(target: Target) -> None:
    target.commit(None, EVIL)
    target.commit("ada", {"docs/x": "1"})


def altered(target: Target) -> None:
    """Change a word of a signed commit."""
    commit = target.commit("ada", EVIL)
    text = target.policy.git("cat-file", "commit", commit).replace("\n\none\n", "\n\ntwo\n") + "\n"
    forged = target.policy.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=text)
    target.policy.git("update-ref", "refs/heads/main", forged)


def listed_by_itself(target: Target) -> None:
    target.commit("eve", {"trust/allowed_signers": target.people["eve"].line(), **EVIL})


def no_host_any_more(target: Target) -> None:
    """Take a host's document away, by the key that it names."""
    target.policy.git("rm", "-q", "hosts/web-02.yaml")
    target.commit("certified host", EVIL)


def draft(target: Target) -> None:
    """Move main forward to a draft, which is signed as such."""
    target.policy.git("checkout", "-q", "-B", "draft")
    target.commit("ada", EVIL, "a draft\n\nPolicy-Ref: draft")
    target.policy.git("branch", "-f", "main")
    target.policy.git("checkout", "-q", "main")


def another_repository(target: Target) -> None:
    target.commit("ada", {**ANOTHER, **EVIL})


def rewritten(target: Target) -> None:
    target.policy.signed("commit", "-q", "--amend", "-m", MESSAGE, key=target.people["ada"], date=BACKDATED)


ATTACKS: dict[str, tuple[Callable[[Target], object], str]] = {
    "an unsigned commit under a signed head": (unsigned_below, "Unsigned"),
    "an unknown key": (by("eve"), "UnknownKey"),
    "an expired key, the commit dated before": (by("old", BACKDATED), "KeyEnded"),
    "an expired certificate, the commit dated before": (by("expired", BACKDATED), "KeyEnded"),
    "a certificate of another principal": (by("other"), "UnknownKey"),
    "a key that is valid later": (by("later"), "KeyNotYetValid"),
    "a revoked key": (by("lost", BACKDATED), "KeyRevoked"),
    "an altered commit": (altered, "BadSignature"),
    "the report key of a host": (by("host"), "UnknownKey"),
    "the key of a publisher": (by("publisher"), "UnknownKey"),
    "the key of a publisher that the host lists": (by("twice"), "OtherRole"),
    "the report key of a host with a certificate": (by("certified host"), "OtherRole"),
    "the report key of a host that there was": (no_host_any_more, "OtherRole"),
    "a certificate by the report key of a host": (by("by a host"), "OtherRole"),
    "a list that only the new key signed": (listed_by_itself, "UnknownKey"),
    "a signed commit of another branch": (draft, "OtherBranch"),
    "the policy of another repository": (another_repository, "ForeignRepository"),
    "a rewritten history": (rewritten, "HistoryRewritten"),
}


def test_whoever_may_push_has_nothing_obeyed_that_nobody_signed_who_may(target: Target) -> None:
    first = good(target)
    target.follows(first)
    for name, (attack, reason) in ATTACKS.items():
        attack(target)
        try:
            target.refuses(reason, first)
        except AssertionError as error:
            raise AssertionError(name) from error
        target.back(first)
    target.follows(target.commit("ada", EVIL))  # what they all brought, and signed


def test_an_old_signed_commit_is_refused_also_where_all_that_was_remembered_is_lost(target: Target) -> None:
    first = good(target)
    target.follows(first)
    second = target.commit("ada", {"freezes/now.yaml": FREEZE})
    target.follows(second)
    target.back(first)
    target.refuses("HistoryRewritten", second)
    target.lose_state()
    target.refuses("HistoryRewritten", "")
    target.back(second)
    target.follows(second)


def test_a_server_that_keeps_a_freeze_back_has_nothing_applied_for_long(target: Target) -> None:
    good(target)
    young = target.commit("ada", {}, date=f"{NOW:%Y-%m-%dT%H:%M:%SZ}")
    target.follows(young)
    assert isinstance(policy_gate(target.tick().state, GateSettings(), (), NOW), Pass)
    target.commit("ada", {"freezes/now.yaml": FREEZE}, date=f"{NOW:%Y-%m-%dT%H:%M:%SZ}")
    target.back(young)  # the server answers, and serves what was newest before
    found = target.tick()
    assert (found.state.commit, found.conditions) == (young, ())
    later = NOW + timedelta(days=4)
    gate = policy_gate(replace(found.state, fetched_at=later), GateSettings(), (), later)
    assert isinstance(gate, Closed)
    assert "the server may keep newer commits back" in gate.reason


def test_at_first_use_a_signed_head_of_another_repository_or_branch_is_refused(target: Target) -> None:
    good(target)
    another_repository(target)
    target.refuses("ForeignRepository", "")
    target.back("HEAD~1")
    draft(target)
    target.refuses("OtherBranch", "")
    target.back("HEAD~1")
    target.follows(target.policy.head())


@pytest.mark.parametrize("route", ["file"], indirect=True)
def test_what_root_has_in_its_own_keyring_and_configuration_counts_for_nothing(
    target: Target, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, eve = keys.openpgp("mine@example.org"), target.people["eve"]
    listed, settings = tmp_path / "listed", tmp_path / "gitconfig"
    listed.write_text(eve.line(), encoding="utf-8")
    settings.write_text(f'[gpg "ssh"]\n\tallowedSignersFile = {listed}\n', encoding="utf-8")
    for name, value in {"GNUPGHOME": mine.home, "GIT_CONFIG_GLOBAL": str(settings)}.items():
        monkeypatch.setenv(name, value)
    first = good(target)
    target.follows(first)
    for key in (mine, eve):
        target.policy.commit(EVIL, key, message=MESSAGE)
        believed = subprocess.run(
            ["git", "-C", str(target.policy.path), "verify-commit", "HEAD"], check=False
        )
        assert believed.returncode == 0  # by this user's git
        target.refuses("UnknownKey", first)
        target.back(first)
