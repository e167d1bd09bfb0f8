"""What the key of a forge vouches for, and what it never does."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.signed_history import SignedHistory, SigningRules
from reconciler.planning.gates.types import SignedBy, SignMethod
from reconciler.reconcile.ports.policies import Fetched, Unproved, Unverified
from tests.labs.signing import Key, Keys, SignedRepository

NOW = datetime.now(UTC).replace(microsecond=0)
ADA = "1234+ada@users.noreply.forge.example"
SIGNERS = "trust/allowed_signers"


@pytest.fixture(scope="session")
def forges(keys: Keys) -> dict[str, Key]:
    """A forge for each of the programs that check signatures."""
    return {"ssh-keygen": keys.ssh("forge.example"), "gpg": keys.openpgp("forge.example")}


@pytest.fixture
def forge(forges: dict[str, Key]) -> Key:
    return forges["ssh-keygen"]


class World:
    """A policy whose first commit ada signed, and a host that trusts her and a forge."""

    def __init__(self, folder: Path, ada: Key) -> None:
        self.folder = folder
        self.policy = SignedRepository.create(folder / "policy")
        self.mirror = PolicyMirror(folder / "policy.git", str(self.policy.path))
        self.people, self.forge = folder / "allowed_signers", folder / "forge"
        self.people.write_text(ada.line(), encoding="utf-8")
        self.accounts = frozenset({ADA})
        self.first = self.policy.commit({"a": "1", "patchledger.yaml": "repository: x\n"}, ada)

    def trust(self, *lines: str) -> None:
        self.forge.write_text("".join(lines), encoding="utf-8")

    def verify(self, *, is_first: bool = False, at: datetime = NOW) -> tuple[SignedBy, ...] | Unverified:
        fetched = self.mirror.fetch(timeout=60, now=NOW)
        assert isinstance(fetched, Fetched)
        line = tuple(reversed(self.mirror.line(fetched.head)))
        since = line if is_first else line[line.index(self.first) + 1 :]
        rules = SigningRules(self.people, forge_keys=self.forge, forge_accounts=self.accounts)
        return SignedHistory(self.mirror, rules).verify(since, at, is_first=is_first)

    def refused(self, *, is_first: bool = False, at: datetime = NOW) -> Unverified:
        found = self.verify(is_first=is_first, at=at)
        assert isinstance(found, Unverified), found
        return found


@pytest.fixture
def world(tmp_path: Path, ada: Key, forge: Key) -> World:
    made = World(tmp_path, ada)
    made.trust(forge.line())
    return made


@pytest.mark.parametrize("program", ["ssh-keygen", "gpg"])
def test_a_merge_by_a_listed_account(world: World, forges: dict[str, Key], program: str) -> None:
    key = forges[program]
    world.trust(key.line())
    commit = world.policy.merge_by(ADA, key, {"policies/x": "1"})
    told = f"{ADA} (trust in the forge forge.example)"
    assert world.verify() == (SignedBy(commit, told, key.fingerprint, SignMethod.FORGE),)


def test_people_sign_beside_the_forge(world: World, forge: Key, ada: Key) -> None:
    world.policy.merge_by(ADA, forge, {"policies/x": "1"})
    world.policy.commit({"trust/x": "1"}, ada)
    found = world.verify()
    assert not isinstance(found, Unverified), found
    assert [one.method for one in found] == [SignMethod.FORGE, SignMethod.SSH]


def test_a_squash_or_an_edit_in_the_browser(world: World, forge: Key) -> None:
    world.policy.commit({"a": "2"})
    world.policy.amend(ADA, forge)
    found = world.refused()
    assert found.why is Unproved.FORGE_KEY
    assert "is signed by the forge forge.example, and is no merge of two" in found.message
    assert "use the button that makes a merge commit" in found.hint


def test_a_rebase_is_signed_by_nobody_and_the_way_out_is_told(world: World) -> None:
    world.policy.commit({"a": "2"})
    found = world.refused()
    assert found.why is Unproved.UNSIGNED
    assert "use the button that makes a merge commit" in found.hint


def test_a_merge_of_three(world: World, forge: Key) -> None:
    for name in ("one", "two"):
        world.policy.git("checkout", "-q", "-b", name, world.first)
        world.policy.commit({f"policies/{name}": "1"})
    world.policy.git("checkout", "-q", "main")
    world.policy.signed("merge", "-q", "--no-ff", "-m", "both", "one", "two", key=None)
    world.policy.amend(ADA, forge)
    assert "is no merge of two" in world.refused().message


def test_an_account_that_may_not_merge(world: World, forge: Key) -> None:
    world.policy.merge_by("eve@example.org", forge, {"policies/x": "1"})
    found = world.refused()
    assert found.why is Unproved.FORGE_KEY
    assert 'was merged by "eve@example.org", which is none of trust.forge.accounts' in found.message


def test_an_account_counts_as_the_author_alone(world: World, forge: Key) -> None:
    world.accounts = frozenset({"mallory@example.org"})  # who commits in this lab, whatever the author
    world.policy.merge_by("eve@example.org", forge, {"policies/x": "1"})
    assert world.refused().why is Unproved.FORGE_KEY


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (SIGNERS, "trust"),
        ("trust/publishers", "trust"),
        ("scripts/apt-update.sh", "scripts"),
        ("patchledger.yaml", "patchledger.yaml"),
    ],
)
def test_what_says_whom_to_trust_or_what_to_run(world: World, forge: Key, path: str, named: str) -> None:
    world.policy.merge_by(ADA, forge, {path: "1", "policies/x": "1"})
    found = world.refused()
    assert found.why is Unproved.FORGE_KEY
    assert f"and changes {named}, which a forge's key never vouches for" in found.message


def test_a_list_that_a_merge_takes_away_is_a_change_of_it(world: World, forge: Key, ada: Key) -> None:
    world.first = world.policy.commit({SIGNERS: ada.line()}, ada)
    world.policy.git("checkout", "-q", "-b", "topic")
    world.policy.git("rm", "-q", SIGNERS)
    world.policy.commit({})
    world.policy.git("checkout", "-q", "main")
    world.policy.merge("topic")
    world.policy.amend(ADA, forge)
    assert "changes trust" in world.refused().message


def test_a_forge_that_is_listed_as_a_person_is_a_forge_still(world: World, forge: Key, ada: Key) -> None:
    world.policy.commit({SIGNERS: forge.line(who="bot@example.org")}, ada)
    world.policy.commit({"a": "2"})
    world.policy.amend(ADA, forge)
    assert world.refused().why is Unproved.FORGE_KEY


def test_a_key_of_the_forge_in_the_hosts_own_list_is_a_mistake(world: World, forge: Key, ada: Key) -> None:
    world.people.write_text(ada.line() + forge.line(), encoding="utf-8")
    world.policy.merge_by(ADA, forge, {"policies/x": "1"})
    found = world.refused()
    assert found.why is Unproved.BAD_LIST
    assert "2: is a key of the forge (trust.forge.key) as well, and one key has one role" in found.message


@pytest.mark.parametrize(("options", "said"), [("cert-authority", "certifies keys"), (None, "lists no key")])
def test_a_list_of_the_forges_keys_that_is_wrong(
    world: World, forge: Key, options: str | None, said: str
) -> None:
    world.trust("" if options is None else forge.line(options))
    world.policy.merge_by(ADA, forge, {"policies/x": "1"})
    found = world.refused()
    assert found.why is Unproved.BAD_LIST
    assert said in found.message


def test_nothing_begins_with_a_merge_of_the_forge(world: World, forge: Key, ada: Key) -> None:
    merge = world.policy.merge_by(ADA, forge, {"policies/x": "1"})
    found = world.verify(is_first=True)
    assert not isinstance(found, Unverified), found
    assert [one.commit for one in found] == [world.first, merge]
    world.people.write_text(forge_free(ada, world), encoding="utf-8")
    refused = world.refused(is_first=True)
    assert (refused.commit, refused.why) == (merge, Unproved.FORGE_KEY)
    assert "and nothing before it is trusted" in refused.message


def forge_free(ada: Key, world: World) -> str:
    """Return a list of the host's own whose only key signed nothing here."""
    assert world.people.read_text(encoding="utf-8") == ada.line()
    return ada.line("cert-authority")


def test_a_merge_of_the_forge_is_no_checkpoint(world: World, forge: Key, ben: Key, ada: Key) -> None:
    ends = NOW + timedelta(hours=1)
    world.policy.commit({SIGNERS: ben.line(f'valid-before="{ends:%Y%m%d%H%M%S}"')}, ada)
    world.policy.commit({"a": "2"}, ben)
    world.policy.merge_by(ADA, forge, {"policies/x": "1"})
    assert world.refused(at=NOW + timedelta(hours=2)).why is Unproved.KEY_ENDED
    world.policy.commit({"a": "3"}, ada)
    assert not isinstance(world.verify(at=NOW + timedelta(hours=2)), Unverified)


def test_a_key_of_the_forge_that_has_ended(world: World, forge: Key) -> None:
    world.trust(forge.line('valid-before="20240101"'))
    world.policy.merge_by(ADA, forge, {"policies/x": "1"})
    assert world.refused().why is Unproved.KEY_ENDED


def test_whoever_may_merge_no_more_is_refused_also_for_what_was_good_before(world: World, forge: Key) -> None:
    world.policy.merge_by(ADA, forge, {"policies/x": "1"})
    assert not isinstance(world.verify(), Unverified)
    world.accounts = frozenset({"ben@example.org"})
    assert world.refused().why is Unproved.FORGE_KEY


def test_without_a_forge_its_key_is_unknown(world: World, forge: Key) -> None:
    world.policy.merge_by(ADA, forge, {"policies/x": "1"})
    fetched = world.mirror.fetch(timeout=60, now=NOW)
    assert isinstance(fetched, Fetched)
    found = SignedHistory(world.mirror, SigningRules(world.people)).verify([fetched.head], NOW)
    assert isinstance(found, Unverified)
    assert found.why is Unproved.UNKNOWN_KEY
