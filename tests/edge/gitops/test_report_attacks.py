"""Attacks upon reports by whoever may push to them, over each transport.

What a server could change is which commits arrive, what is in them, and where branches stand. So the tables
here are gone through over a folder, over ssh and over https; the finer differences are tried once, by the
tests that ``docs/explanation/attacks.md`` names.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.gitops.git import GitAccess
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.gitops.revision import read_accepted
from reconciler.gitops.signed_history import SignedHistory, SigningRules
from reconciler.planning.facts.observation import Facts
from reconciler.planning.fleet.rows import TargetState
from reconciler.planning.text.untrusted import commit_message
from reconciler.policy.load import PolicyFile
from reconciler.reconcile.identity import Claim, told_of_machine
from reconciler.reconcile.policy_in_force import InForce, PolicyFollower, SignedTrust
from reconciler.reconcile.ports.reports import Commit, Pushed
from reconciler.reconcile.recall import followed
from tests.edge.gitops.bench import Repository, git
from tests.labs.fleet import FleetWorld
from tests.labs.signing import Key, Keys, SignedRepository
from tests.report_samples import report_of

Route = Callable[[Path], tuple[str, GitAccess]]
WEB = "hosts/web-01"
NOW = datetime.now(UTC).replace(microsecond=0)


# --- Whoever reads the fleet --------------------------------------------------------------------------------


@dataclass
class Watched:
    """A fleet that is read over a transport, who may push there, and what each host had reported."""

    world: FleetWorld
    address: str
    access: GitAccess
    people: dict[str, Key]
    first: dict[str, str] = field(default_factory=dict)
    good: dict[str, str] = field(default_factory=dict)

    def read(self) -> dict[str, tuple[str, str, str]]:
        """Return the state, the newest report that counts and the reason of each host."""
        rows = self.world.rows(remotes=(self.address,), access=self.access)
        return {host: (row.state, row.head, row.reason) for host, row in rows.items()}

    def point(self, host: str, commit: str) -> None:
        git(self.world.reports, "update-ref", f"refs/heads/hosts/{host}", commit)


Attack = Callable[[Watched, str], object]


def by(who: str) -> Attack:
    return lambda watched, host: watched.world.report(host, key=watched.people[who])


def by_git(who: str) -> Attack:
    """Return what has git itself sign a report, with whatever key."""

    def attack(watched: Watched, host: str) -> None:
        key, reports = watched.people[who], watched.world.reports
        settings = [word for pair in key.settings.items() for word in ("-c", "=".join(pair))]
        message = commit_message("a report", {"Host": host, "Policy-Commit": watched.world.policy.head()})
        words = ("commit-tree", "-S", "-p", f"hosts/{host}", "-m", message, f"hosts/{host}^{{tree}}")
        watched.point(host, git(reports, *settings, *words, GNUPGHOME=key.home))

    return attack


def unsigned(watched: Watched, host: str) -> None:
    watched.world.report(host, is_signed=False)


def of_another_host(watched: Watched, host: str) -> None:
    """Have the branch stand on what another host reported, which its own key signed."""
    watched.point(host, watched.world.tip("other"))


def of_another_host_on_top(watched: Watched, host: str) -> None:
    watched.world.report(host, trailer="other", key=watched.people["other"])


def told_of_another(watched: Watched, host: str) -> None:
    watched.world.report(host, report_of(target="other"))


def changed(watched: Watched, host: str, commit: str, word: str, by: str) -> None:
    text = git(watched.world.reports, "cat-file", "commit", commit) + "\n"
    assert text.count(word) == 1
    made = git(
        watched.world.reports, "hash-object", "-t", "commit", "-w", "--stdin", stdin=text.replace(word, by)
    )
    watched.point(host, made)


def altered(watched: Watched, host: str) -> None:
    changed(watched, host, watched.world.report(host), "a report", "a lie")


def with_its_signature(watched: Watched, host: str) -> None:
    """Have another tree bear the signature of a report that is good."""
    commit = watched.world.report(host)
    changed(watched, host, commit, watched.world.tree_of(commit), watched.world.tree({"report.json": b"{}"}))


def taken_back(watched: Watched, host: str) -> None:
    watched.point(host, watched.first[host])


def begun_anew(watched: Watched, host: str) -> None:
    watched.world.report(host, parent="")


def by_the_old_key(watched: Watched, host: str) -> None:
    """Go back to the policy by which an old key counted."""
    watched.world.report(
        host, key=watched.people["old"], policy=watched.world.policy.git("rev-parse", "HEAD~1")
    )


def of_no_policy(watched: Watched, host: str) -> None:
    watched.world.report(host, policy="f" * 40)


def deleted(watched: Watched, host: str) -> None:
    git(watched.world.reports, "update-ref", "-d", f"refs/heads/hosts/{host}")


ATTACKS: dict[str, tuple[Attack, str]] = {
    "by-nobody": (unsigned, "is not signed"),
    "by-another-host": (by("other"), "which is not its key"),
    "by-a-signer-of-policy": (by("signer"), "which is not its key"),
    "by-a-publisher": (by("publisher"), "which is not its key"),
    "by-an-unknown-key": (by("eve"), "which is not its key"),
    "by-the-key-that-was-its-own": (by_the_old_key, "which is not its key"),
    "by-a-certificate": (by_git("certified"), "is not signed by a plain SSH key"),
    "by-openpgp": (by_git("openpgp"), "is not signed by a plain SSH key"),
    "another-hosts-branch": (of_another_host, "rewritten"),
    "another-hosts-report-on-top": (of_another_host_on_top, "does not say Host: another-hosts-report-on-top"),
    "tells-of-another": (told_of_another, "its report tells of another target"),
    "altered": (altered, "that is not good"),
    "signature-under-another-tree": (with_its_signature, "that is not good"),
    "taken-back": (taken_back, "rewritten"),
    "begun-anew": (begun_anew, "rewritten"),
    "names-no-policy": (of_no_policy, "a commit that the policy does not hold"),
    "deleted": (deleted, "its branch is gone"),
}
"""What is done to the branch of a host of that name, and why that counts for nothing."""


@pytest.fixture(scope="module")
def openpgp(keys: Keys) -> Key:
    return keys.openpgp("by-openpgp")


@pytest.fixture
def watched(tmp_path: Path, route: Route, keys: Keys, openpgp: Key, ada: Key) -> Watched:
    """A fleet in which ada signs policy, and one host gets another key."""
    world = FleetWorld.create(tmp_path, keys, ada, *ATTACKS, "other")
    address, access = route(world.reports)
    changing = "by-the-key-that-was-its-own"
    people = {
        "old": world.key(changing),
        "other": world.key("other"),
        "publisher": world.publisher,
        "signer": ada,
        "eve": keys.ssh("eve-of-reports"),
        "certified": keys.certified("certified", world.key("by-a-certificate"), "by-a-certificate"),
        "openpgp": openpgp,
    }
    world.host_keys[changing] = keys.ssh(f"{changing}-now")
    world.policy.commit({f"hosts/{changing}.yaml": world.document(changing, world.key(changing))}, ada)
    return Watched(world, address, access, people)


def test_what_whoever_may_push_writes_is_nobodys_report(watched: Watched) -> None:
    world, hosts = watched.world, (*ATTACKS, "other")
    watched.first = {host: world.report(host) for host in hosts}
    watched.good = {host: world.report(host) for host in hosts}
    assert {state for state, _, _ in watched.read().values()} == {TargetState.FINE}
    trees = world.targets()
    for host, (attack, _) in ATTACKS.items():
        attack(watched, host)
    for lost in (False, True):
        if lost:
            shutil.rmtree(world.folder / world.state)
        found = watched.read()
        assert found.pop("other")[:2] == (TargetState.FINE, watched.good["other"])
        for host, (state, head, said) in found.items():
            assert (state, head) == (TargetState.UNVERIFIED, watched.good[host]), host
            assert ATTACKS[host][1] in said, (host, said)
        assert world.targets() == trees


def test_what_nobody_published_who_may_is_continued_and_not_believed(watched: Watched) -> None:
    """The branch of the fleet by each other role, and by a stranger: it would hide who is unwell."""
    world = watched.world
    world.report("other")
    watched.read()
    told = json.loads(git(world.reports, "show", "fleet:summary.json"))
    tree = world.tree({"summary.json": json.dumps({**told, "targets": []}).encode()})
    message = commit_message("all is well", {"Fleet-Branch": "fleet"})
    for who in ("signer", "other", "eve"):
        settings = (f"{name}={value}" for name, value in watched.people[who].settings.items())
        words = ("commit-tree", "-S", "-p", "fleet", "-m", message, tree)
        forged = git(world.reports, *(word for pair in settings for word in ("-c", pair)), *words)
        git(world.reports, "update-ref", "refs/heads/fleet", forged)
        shutil.rmtree(world.folder / world.state)
        found = world.read(remotes=(watched.address,), access=watched.access)
        assert any("by no publisher" in notice for notice in found.notices), who
        assert git(world.reports, "rev-parse", "fleet~1") == forged
        states = {row.target: row.state for row in found.fleet.rows}
        assert states["other"] is TargetState.FINE
        assert set(states) == {*ATTACKS, "other"}


# --- The host itself ----------------------------------------------------------------------------------------


@dataclass
class Reporting:
    """A host that follows a signed policy and signs its reports, without a package manager."""

    folder: Path
    policy: SignedRepository
    reports: Path
    address: str
    access: GitAccess
    ada: Key
    key: Key
    lives: int = 0
    facts: Facts = field(default_factory=lambda: Facts("", "", "", "", "", "one", "a" * 32))
    runs: list[str] = field(default_factory=list)

    def queue(self, key: Key | None = None, name: str = "") -> ReportQueue:
        signing = (key or self.key).settings["user.signingkey"]
        folder = self.folder / (name or f"life-{self.lives}") / "reports.git"
        folder.parent.mkdir(exist_ok=True)
        return ReportQueue(folder, self.address, Identity("web-01", signing), self.access)

    def follow(self) -> InForce:
        folder = self.folder / f"life-{self.lives}"
        mirror = PolicyMirror(folder / "policy.git", f"file://{self.policy.path}/.git", "main", GitAccess())
        (self.folder / "signers").write_text(self.ada.line(), encoding="utf-8")
        history = SignedHistory(mirror, SigningRules(self.folder / "signers"))

        def read(commit: str, now: datetime) -> list[PolicyFile]:
            return read_accepted(mirror, commit, timeout=60, now=now)

        def kept() -> Iterable[str]:
            return reversed(self.runs)

        told = lambda: followed(self.queue(), WEB, kept)  # noqa: E731
        trust = SignedTrust(history, "example/policy")
        follower = PolicyFollower(mirror, read, timedelta(minutes=1), told, trust)
        return follower.follow(None, NOW, accept=True)

    def report(
        self, queue: ReportQueue, policy: str, *, facts: Facts | None = None, signers: Iterable[Key] = ()
    ) -> str:
        """Push a report that follows ``policy``, which it says that these had signed."""
        signed = [
            {"commit": policy, "fingerprint": one.fingerprint, "method": "ssh", "signer": one.who}
            for one in signers
        ]
        seen = facts or self.facts
        report = {
            "policy": {"commit": policy, "signed": signed, "floor": ""},
            "host": {"facts": {"machine_id": seen.machine_id, "boot_id": seen.boot_id}},
        }
        message = commit_message("a report", {"Host": "web-01", "Policy-Commit": policy})
        queue.standing(WEB, timeout=20, ask=True)
        queue.last(WEB)
        files = {"report.json": json.dumps(report).encode()}
        made = queue.commit(WEB, files, message, NOW, keep_runs=5)
        assert isinstance(made, Commit)
        assert queue.push(timeout=20) == Pushed((WEB,))
        return made.oid

    def lose_state(self) -> None:
        self.lives += 1

    def told(self) -> dict[str, str]:
        """Return what the host says about whose its branch is, by type."""
        queue = self.queue()
        diverged = queue.standing(WEB, timeout=20, ask=True)
        claim = Claim("web-01", WEB, self.facts, self.key.fingerprint)
        told = told_of_machine(claim, None, queue.last(WEB), diverged)
        found = {str(one.type): one.reason for one in told}
        return found | ({"Diverged": ""} if diverged is not None else {})


@pytest.fixture
def host(tmp_path: Path, route: Route, keys: Keys, ada: Key) -> Reporting:
    policy = SignedRepository.create(tmp_path / "policy")
    policy.commit({"patchledger.yaml": "repository: example/policy\n"}, ada)
    reports = Repository.create(tmp_path / "reports.git").path
    address, access = route(reports)
    return Reporting(tmp_path, policy, reports, address, access, ada, keys.ssh("web-01"))


def in_force(found: InForce) -> tuple[str, list[str]]:
    return found.state.commit, [one.reason for one in found.conditions]


def test_reports_that_are_taken_back_or_forged_begin_no_policy_anew(host: Reporting, eve: Key) -> None:
    first = host.policy.head()
    assert in_force(host.follow()) == (first, [])
    reported = host.report(host.queue(), first, signers=[host.ada])
    second = host.policy.commit({"docs/x": "1"}, host.ada)
    assert in_force(host.follow()) == (second, [])
    good = host.report(host.queue(), second, signers=[host.ada])
    host.runs.append(second)

    # An old signed policy, with the state deleted; and with the branch taken back to an older signed report.
    host.policy.git("reset", "-q", "--hard", first)
    host.lose_state()
    assert in_force(host.follow()) == ("", ["HistoryRewritten"])
    git(host.reports, "update-ref", f"refs/heads/{WEB}", reported)
    host.lose_state()
    assert in_force(host.follow()) == ("", ["HistoryRewritten"])
    git(host.reports, "update-ref", f"refs/heads/{WEB}", good)
    host.policy.git("reset", "-q", "--hard", second)
    host.lose_state()
    assert in_force(host.follow()) == (second, [])

    # A report by another key, which says that a policy was verified; or that there was another one.
    evil = host.policy.commit({"docs/x": "2"})
    host.report(host.queue(eve, "of eve"), evil, signers=[host.ada])
    host.lose_state()
    assert in_force(host.follow()) == ("", ["Unsigned"])
    host.policy.git("reset", "-q", "--hard", second)
    host.report(host.queue(eve, "of eve"), "f" * 40, signers=[host.ada])
    host.lose_state()
    assert in_force(host.follow()) == (second, [])


def clones(host: Reporting, eve: Key) -> Iterator[tuple[str, Key, Facts, dict[str, str]]]:
    """Yield who else writes the branch: with which key, as which machine, and what the host says of it."""
    other, again = replace(host.facts, machine_id="b" * 32), replace(host.facts, boot_id="two")
    yield "a clone with a machine id of its own", host.key, other, {"OtherMachine": "ReportBranch"}
    yield "an identical clone", host.key, again, {"OtherMachine": "OwnKeyElsewhere"}
    yield "another key that says it is this machine", eve, again, {}


def test_whoever_else_writes_the_branch_of_a_host_is_seen_and_no_other_key_stops_it(
    host: Reporting, eve: Key
) -> None:
    policy = host.policy.head()
    good = host.report(host.queue(), policy)
    assert host.told() == {}
    for name, key, facts, expected in clones(host, eve):
        host.report(host.queue(key, name), policy, facts=facts)
        assert host.told() == {**expected, "Diverged": ""}, name
        git(host.reports, "update-ref", f"refs/heads/{WEB}", good)
        assert host.told() == {}, name


def test_a_machine_that_takes_the_id_of_a_host_is_seen_at_once(host: Reporting) -> None:
    host.report(host.queue(), host.policy.head())
    host.lose_state()
    host.facts = replace(host.facts, machine_id="b" * 32)
    assert host.told() == {"OtherMachine": "LastReport"}
