"""Who signed the policy: every way to be believed or refused, with real keys and programs."""

import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.signed_history import SignedHistory, SigningRules
from reconciler.planning.gates.types import SignedBy, SignMethod
from reconciler.reconcile.ports.policies import Fetched, Unproved, Unverified
from tests.labs.signing import Key, Keys, SignedRepository

NOW = datetime.now(UTC).replace(microsecond=0)
SIGNERS = "trust/allowed_signers"
BACKDATED = "2020-01-01T00:00:00Z"


@pytest.fixture(scope="session")
def either(keys: Keys, ada: Key) -> dict[str, Key]:
    """A key for each of the programs that check signatures."""
    return {"ssh-keygen": ada, "gpg": keys.openpgp("lea@example.org")}


class World:
    """A repository, the host's own lists, and what the host says of it."""

    def __init__(self, folder: Path) -> None:
        self.policy = SignedRepository.create(folder / "policy")
        self.root = folder / "allowed_signers"
        self.revoked: Path | None = None
        self.ref = ""
        self.report_key = ""
        self.environment: dict[str, str] = {}
        self.mirror = PolicyMirror(folder / "policy.git", str(self.policy.path))

    def trust(self, *lines: str) -> None:
        self.root.write_text("".join(lines), encoding="utf-8")

    def revoke(self, text: str) -> None:
        self.revoked = self.root.with_name("revoked")
        self.revoked.write_text(text, encoding="utf-8")

    def line(self, since: str = "") -> tuple[str, ...]:
        """Fetch, and return the first-parent line after ``since``, oldest first."""
        fetched = self.mirror.fetch(timeout=60, now=NOW)
        assert isinstance(fetched, Fetched)
        commits = tuple(reversed(self.mirror.line(fetched.head)))
        return commits[commits.index(since) + 1 :] if since else commits

    def verify(
        self, since: str = "", at: datetime = NOW, *, is_first: bool = False
    ) -> tuple[SignedBy, ...] | Unverified:
        rules = SigningRules(self.root, self.revoked, self.ref, self.environment, report_key=self.report_key)
        return SignedHistory(self.mirror, rules).verify(self.line(since), at, is_first=is_first)

    def refused(self, since: str = "", at: datetime = NOW) -> Unverified:
        found = self.verify(since, at)
        assert isinstance(found, Unverified), found
        return found

    def signers(self, since: str = "", at: datetime = NOW) -> list[str]:
        found = self.verify(since, at)
        assert not isinstance(found, Unverified), found
        return [one.signer for one in found]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_openpgp_key_of_the_future_does_not_count_yet(world: World, keys: Keys) -> None:
    lea = keys.openpgp("future@example.org")
    world.trust(lea.line())
    world.policy.commit({"a": "1"}, lea)
    assert world.refused(at=NOW - timedelta(days=2)).why is Unproved.KEY_NOT_YET


def test_a_gpg_that_takes_no_keyring_verifies_nothing_and_says_so(
    world: World, keys: Keys, tmp_path: Path
) -> None:
    lea = keys.openpgp("keyboxd@example.org")
    world.trust(lea.line())
    world.policy.commit({"a": "1"}, lea)
    instead = tmp_path / "bin/gpg"
    instead.parent.mkdir()
    instead.write_text("#!/bin/sh\ncat >/dev/null\necho 'gpg: no keyboxd running' >&2\nexit 2\n")
    instead.chmod(0o755)
    world.environment = {"PATH": f"{instead.parent}:/usr/bin:/bin"}
    found = world.refused()
    assert found.why is Unproved.CANNOT_VERIFY
    assert "use-keyboxd" in found.hint


# --- who is believed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_key_of_the_hosts_own_list(world: World, keys: Keys, kind: str) -> None:
    key = keys.ssh(f"{kind}@example.org", kind)
    world.trust(key.line())
    commit = world.policy.commit({"a": "1"}, key)
    assert world.verify() == (SignedBy(commit, key.who, key.fingerprint, SignMethod.SSH),)


def test_a_certificate_of_a_listed_authority(world: World, keys: Keys, ada: Key) -> None:
    world.trust(ada.line("cert-authority", "*@ops.example.org"))
    carl = keys.certified("carl", ada, "other,carl@ops.example.org")
    commit = world.policy.commit({"a": "1"}, carl)
    expected = SignedBy(commit, "carl@ops.example.org", carl.fingerprint, SignMethod.SSH_CERTIFICATE)
    assert world.verify() == (expected,)


@pytest.mark.parametrize("by", ["key", "subkey"])
def test_an_openpgp_key(world: World, keys: Keys, by: str) -> None:
    dora = keys.openpgp(f"dora-{by}@example.org", subkey=by == "subkey")
    world.trust(dora.line())
    commit = world.policy.commit({"a": "1"}, dora)
    assert world.verify() == (SignedBy(commit, dora.who, dora.fingerprint, SignMethod.OPENPGP),)


def test_a_key_that_the_commit_before_listed(world: World, ada: Key, ben: Key) -> None:
    world.trust(ada.line())
    world.policy.commit({SIGNERS: ben.line()}, ada)
    world.policy.commit({"a": "1"}, ben)
    assert world.signers() == [ada.who, ben.who]


def test_a_rotation_is_followed_by_a_host_that_slept_through_it(
    world: World, ada: Key, ben: Key, eve: Key
) -> None:
    world.trust(ada.line())
    world.policy.commit({SIGNERS: ben.line()}, ada)
    world.policy.commit({SIGNERS: ben.line() + eve.line()}, ben)
    world.policy.commit({SIGNERS: eve.line()}, ben)  # takes the own key out
    world.policy.commit({"a": "1"}, eve)
    assert world.signers() == [ada.who, ben.who, ben.who, eve.who]


def test_a_signed_merge_of_what_nobody_signed(world: World, ada: Key) -> None:
    world.trust(ada.line())
    first = world.policy.commit({"a": "1"}, ada)
    world.policy.git("checkout", "-q", "-b", "side")
    world.policy.commit({"b": "1"})
    world.policy.git("checkout", "-q", "main")
    world.policy.commit({"c": "1"}, ada)
    world.policy.merge("side", ada)
    assert world.signers(first) == [ada.who, ada.who]


# --- who is refused -----------------------------------------------------------------------------------------


def test_an_unsigned_commit_under_a_signed_head(world: World, ada: Key) -> None:
    world.trust(ada.line())
    world.policy.commit({"a": "1"}, ada)
    evil = world.policy.commit({"b": "1"})
    world.policy.commit({"c": "1"}, ada)
    found = world.refused()
    assert (found.commit, found.why) == (evil, Unproved.UNSIGNED)
    assert found.message == f"policy commit {evil[:12]} is not signed"


def test_a_key_that_nobody_lists(world: World, ada: Key, eve: Key) -> None:
    world.trust(ada.line())
    evil = world.policy.commit({"a": "1"}, eve)
    found = world.refused()
    assert (found.commit, found.why) == (evil, Unproved.UNKNOWN_KEY)
    assert eve.fingerprint in found.message


def test_a_list_that_only_the_new_key_signed(world: World, ada: Key, eve: Key) -> None:
    world.trust(ada.line())
    world.policy.commit({"a": "1"}, ada)
    world.policy.commit({SIGNERS: eve.line()}, eve)
    assert world.refused().why is Unproved.UNKNOWN_KEY


def test_a_key_that_was_taken_out_of_the_list(world: World, ada: Key, ben: Key) -> None:
    world.trust(ada.line())
    world.policy.commit({SIGNERS: ben.line()}, ada)
    world.policy.commit({SIGNERS: "# nobody\n"}, ada)
    evil = world.policy.commit({"a": "1"}, ben)
    assert (world.refused().commit, world.refused().why) == (evil, Unproved.UNKNOWN_KEY)


def test_a_key_whose_time_is_over_though_the_commit_is_dated_before(world: World, ada: Key) -> None:
    world.trust(ada.line('valid-before="20260101"'))
    world.policy.commit({"a": "1"}, ada, date=BACKDATED)
    assert world.refused().why is Unproved.KEY_ENDED


def test_a_key_whose_time_has_not_come_though_the_commit_is_dated_after(world: World, ada: Key) -> None:
    world.trust(ada.line('valid-after="20990101"'))
    world.policy.commit({"a": "1"}, ada, date="2099-06-01T00:00:00Z")
    assert world.refused().why is Unproved.KEY_NOT_YET


@pytest.mark.parametrize(
    ("validity", "why"),
    [("20200101:20210101", Unproved.KEY_ENDED), ("20990101:20991231", Unproved.KEY_NOT_YET)],
)
def test_a_certificate_that_does_not_hold_now(
    world: World, keys: Keys, ada: Key, validity: str, why: Unproved
) -> None:
    world.trust(ada.line("cert-authority", "*"))
    carl = keys.certified("carl", ada, f"carl{validity[:4]}", "-V", validity)
    world.policy.commit({"a": "1"}, carl, date="2020-06-01T00:00:00Z")
    assert world.refused().why is why


def test_a_certificate_for_somebody_else(world: World, keys: Keys, ada: Key) -> None:
    world.trust(ada.line("cert-authority", "*@ops.example.org"))
    world.policy.commit({"a": "1"}, keys.certified("dan", ada, "dan@web.example.org"))
    assert world.refused().why is Unproved.UNKNOWN_KEY


def test_a_certificate_for_a_host(world: World, keys: Keys, ada: Key) -> None:
    world.trust(ada.line("cert-authority", "*"))
    world.policy.commit({"a": "1"}, keys.certified("host", ada, "server", "-h"))
    assert world.refused().why is Unproved.BAD_SIGNATURE


def test_a_certificate_that_is_restricted(world: World, keys: Keys, ada: Key) -> None:
    world.trust(ada.line("cert-authority", "*"))
    bot = keys.certified("bot", ada, "bot", "-O", "force-command=/bin/true")
    world.policy.commit({"a": "1"}, bot)
    assert world.refused().why is Unproved.BAD_SIGNATURE


def test_a_certificate_of_a_key_that_is_too_short(world: World, keys: Keys, ada: Key) -> None:
    world.trust(ada.line("cert-authority", "*"))
    short = keys.ssh("short@example.org", "rsa", "-b", "1024")
    world.policy.commit({"a": "1"}, keys.certify(short, "short", ada, "short"))
    found = world.refused()
    assert found.why is Unproved.BAD_SIGNATURE
    assert "is too short" in found.message


def test_names_in_a_certificate_of_anybody_are_told_short_and_visible(
    world: World, keys: Keys, ada: Key, eve: Key
) -> None:
    world.trust(ada.line())
    names = ",".join(f"\x1b[31m{number}\nx" for number in range(100))
    world.policy.commit({"a": "1"}, keys.certified("long", eve, "x", "-n", names))
    found = world.refused()
    assert found.why is Unproved.UNKNOWN_KEY
    assert found.message.isprintable()
    assert len(found.message) < 500


def test_a_certificate_by_a_key_that_is_no_authority(world: World, keys: Keys, ada: Key) -> None:
    world.trust(ada.line())
    world.policy.commit({"a": "1"}, keys.certified("fred", ada, "fred"))
    assert world.refused().why is Unproved.UNKNOWN_KEY


def test_an_authority_that_signs_by_itself(world: World, ada: Key) -> None:
    world.trust(ada.line("cert-authority"))
    world.policy.commit({"a": "1"}, ada)
    assert world.refused().why is Unproved.UNKNOWN_KEY


@pytest.mark.parametrize("how", ["line", "fingerprint"])
def test_a_revoked_key(world: World, ada: Key, how: str) -> None:
    world.trust(ada.line())
    world.revoke(f"# lost\n{ada.public if how == 'line' else ada.fingerprint}\n")
    world.policy.commit({"a": "1"}, ada, date=BACKDATED)
    assert world.refused().why is Unproved.KEY_REVOKED


def test_a_certificate_of_a_revoked_authority_or_key(world: World, keys: Keys, ada: Key) -> None:
    world.trust(ada.line("cert-authority", "*"))
    gina = keys.certified("gina", ada, "gina")
    world.policy.commit({"a": "1"}, gina)
    for key in (ada, gina):
        world.revoke(key.fingerprint)
        assert world.refused().why is Unproved.KEY_REVOKED


def test_a_commit_that_was_altered_after_it_was_signed(world: World, ada: Key) -> None:
    world.trust(ada.line())
    commit = world.policy.commit({"a": "1"}, ada)
    altered = world.policy.git("cat-file", "commit", commit).replace("change", "chance") + "\n"
    forged = world.policy.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=altered)
    world.policy.git("update-ref", "refs/heads/main", forged)
    assert (world.refused().commit, world.refused().why) == (forged, Unproved.BAD_SIGNATURE)


def test_an_altered_commit_of_an_openpgp_key(world: World, keys: Keys) -> None:
    hans = keys.openpgp("hans@example.org")
    world.trust(hans.line())
    commit = world.policy.commit({"a": "1"}, hans)
    altered = world.policy.git("cat-file", "commit", commit).replace("change", "chance") + "\n"
    forged = world.policy.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=altered)
    world.policy.git("update-ref", "refs/heads/main", forged)
    assert world.refused().why is Unproved.BAD_SIGNATURE


def test_an_openpgp_key_that_nobody_lists(world: World, keys: Keys, ada: Key) -> None:
    world.trust(ada.line())
    world.policy.commit({"a": "1"}, keys.openpgp("ines@example.org"))
    assert world.refused().why is Unproved.UNKNOWN_KEY


def test_an_openpgp_key_that_expired_since(world: World, keys: Keys) -> None:
    jan = keys.openpgp("jan@example.org", expires="1d")
    world.trust(jan.line())
    world.policy.commit({"a": "1"}, jan)
    assert world.signers() == [jan.who]
    assert world.refused(at=NOW + timedelta(days=2)).why is Unproved.KEY_ENDED


def test_an_openpgp_subkey_that_was_given_up(world: World, keys: Keys) -> None:
    lea = keys.openpgp("sub@example.org", subkey=True)
    world.trust(lea.line())
    world.policy.commit({"a": "1"}, lea)
    assert world.signers() == [lea.who]
    world.trust(keys.without_subkey(lea).line())
    assert world.refused().why is Unproved.KEY_REVOKED


def test_a_signature_that_holds_what_it_signs_is_none(world: World, keys: Keys) -> None:
    """Gpg tells what it is about by what is inside, and not by the first line of the armour."""
    lea = keys.openpgp("inline@example.org")
    world.trust(lea.line())
    world.policy.commit({"a": "1"})
    commit = world.policy.git("cat-file", "commit", "HEAD")
    message = keys.message(lea, commit).replace("PGP MESSAGE", "PGP SIGNATURE")
    head, _, text = commit.partition("\n\n")
    signature = "gpgsig " + message.replace("\n", "\n ")
    stored = world.policy.git(
        "hash-object", "-t", "commit", "-w", "--stdin", stdin=f"{head}\n{signature}\n\n{text}\n"
    )
    world.policy.git("update-ref", "refs/heads/main", stored)
    assert world.refused().why is Unproved.BAD_SIGNATURE


def test_an_openpgp_key_whose_line_has_ended(world: World, keys: Keys) -> None:
    kim = keys.openpgp("kim@example.org")
    world.trust(kim.line('valid-before="20260101"'))
    world.policy.commit({"a": "1"}, kim, date=BACKDATED)
    assert world.refused().why is Unproved.KEY_ENDED


def test_an_openpgp_key_whose_owner_is_named_like_an_answer_of_gpg(
    world: World, keys: Keys, ada: Key
) -> None:
    rows = ("BADSIG", "VALIDSIG 1 2", "NO_PUBKEY")
    nora = keys.openpgp("nora@example.org" + "".join(f"\u2028[GNUPG:] {row}" for row in rows))
    world.trust(ada.line(), nora.line("", "nora"))
    world.policy.commit({"a": "1"}, nora)
    assert world.signers() == ["nora"]


def test_an_openpgp_signature_of_text(world: World, keys: Keys) -> None:
    # It would fit as well with other ends of lines.
    owen = keys.openpgp("owen@example.org")
    world.trust(owen.line())
    program = keys.folder / "gpg-text"
    program.write_text('#!/bin/sh\nexec gpg --textmode "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    world.policy.git("config", "gpg.program", str(program))
    world.policy.commit({"a": "1"}, owen)
    assert world.refused().why is Unproved.BAD_SIGNATURE


def test_an_openpgp_key_that_is_listed_twice_is_as_its_owner_has_it_now(world: World, keys: Keys) -> None:
    rita = keys.openpgp("rita@example.org", expires="1d")
    later = keys.extended(rita)
    world.trust(rita.line(), later.line())
    world.policy.commit({"a": "1"}, rita)
    assert world.signers(at=NOW + timedelta(days=2)) == [rita.who]
    world.trust(rita.line(), keys.given_up(rita).line())
    assert world.refused().why is Unproved.KEY_REVOKED


def test_two_signatures_on_one_commit(world: World, ada: Key) -> None:
    world.trust(ada.line())
    good = world.policy.git("cat-file", "commit", world.policy.commit({"a": "1"}, ada))
    begin = good.index("gpgsig ")
    signature = good[begin : good.index("\n\n", begin) + 1]
    twice = good.replace(signature, signature * 2) + "\n"
    forged = world.policy.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=twice)
    world.policy.git("update-ref", "refs/heads/main", forged)
    assert world.refused().why is Unproved.UNSIGNED


def test_a_commit_that_names_no_branch_or_another_one(world: World, ada: Key) -> None:
    world.trust(ada.line())
    world.ref = "main"
    first = world.policy.commit({"a": "1"}, ada, message="one\n\nPolicy-Ref: main")
    assert world.signers() == [ada.who]
    for message in (
        "two",
        "two\n\nPolicy-Ref: staging",
        "Policy-Ref: main\n\ntwo",
        "x\n\nPolicy-Ref: mainly",
    ):
        world.policy.git("reset", "-q", "--hard", first)
        world.policy.commit({"a": message}, ada, message=message)
        assert world.refused(first).why is Unproved.OTHER_BRANCH


# --- first use ----------------------------------------------------------------------------------------------


def test_a_list_that_nobody_vouches_for_has_nobody_trusted_at_first_use(
    world: World, ada: Key, eve: Key
) -> None:
    world.trust(ada.line())
    world.policy.commit({"a": "1"}, ada)
    world.policy.commit({SIGNERS: eve.line()})
    evil = world.policy.commit({"a": "2"}, eve)
    found = world.verify(is_first=True)
    assert isinstance(found, Unverified)
    assert found.commit != evil  # what nobody signed after ada's is named first
    world.policy.git("checkout", "-q", "--orphan", "other")
    world.policy.commit({SIGNERS: eve.line()})
    evil = world.policy.commit({"a": "3"}, eve)
    world.policy.git("branch", "-f", "main", evil)
    found = world.verify(is_first=True)
    assert isinstance(found, Unverified)
    assert (found.commit, found.why) == (evil, Unproved.UNKNOWN_KEY)


def test_first_use_begins_at_the_newest_commit_by_the_hosts_own_list(
    world: World, ada: Key, ben: Key
) -> None:
    world.trust(ada.line())
    world.policy.commit({"a": "1"})
    world.policy.commit({SIGNERS: ben.line()}, ada)
    world.policy.commit({"a": "2"}, ben)
    found = world.verify(is_first=True)
    assert not isinstance(found, Unverified), found
    assert [one.signer for one in found] == [ada.who, ben.who]


# --- checkpoints --------------------------------------------------------------------------------------------


def test_a_key_that_ended_counts_below_a_commit_of_the_hosts_own_list(
    world: World, ada: Key, ben: Key
) -> None:
    world.trust(ada.line())
    world.policy.commit({SIGNERS: ben.line('valid-before="20260101"')}, ada)
    sealed = world.policy.commit({"a": "1"}, ben)
    found = world.refused()
    assert (found.commit, found.why) == (sealed, Unproved.KEY_ENDED)
    assert ben.who in found.message
    world.policy.commit({"a": "2"}, ada)
    assert world.signers() == [ada.who, ben.who, ada.who]


def test_the_way_on_names_the_commit_from_which_on_all_are_good(
    world: World, ada: Key, ben: Key, eve: Key
) -> None:
    world.trust(ada.line())
    two = ben.line('valid-before="20260101"') + eve.line()
    world.policy.commit({SIGNERS: two}, ada)
    world.policy.commit({"a": "1"}, ben)
    good = world.policy.commit({"a": "2"}, eve)
    world.policy.commit({"a": "3"}, eve)
    assert f"set trust.floor to {good}" in world.refused().hint


def test_what_is_unsigned_stays_refused_below_a_checkpoint(world: World, ada: Key) -> None:
    world.trust(ada.line())
    world.policy.commit({"a": "1"})
    world.policy.commit({"a": "2"}, ada)
    assert world.refused().why is Unproved.UNSIGNED


# --- lists and programs that fail ---------------------------------------------------------------------------


def test_every_mistake_of_the_hosts_own_lists_is_told_and_closes(world: World, ada: Key) -> None:
    world.trust(ada.line(), "nobody\n", 'x valid-before="soon" ssh-ed25519 AAAA\n')
    world.revoke("no key at all\n")
    world.policy.commit({"a": "1"}, ada)
    found = world.refused()
    assert found.why is Unproved.BAD_LIST
    for part in ("allowed_signers:2:", "allowed_signers:3:", "revoked:1:"):
        assert part in found.message


def test_the_key_of_the_hosts_own_reports_signs_no_policy(
    world: World, keys: Keys, ada: Key, ben: Key
) -> None:
    """Neither by the host's own list, nor by that of the policy, nor by a certificate."""
    world.report_key = ben.fingerprint
    world.trust(ada.line(), ben.line())
    world.policy.commit({"a": "1"}, ada)
    assert (found := world.refused()).why is Unproved.BAD_LIST
    assert "allowed_signers:2: is the key of this host's own reports" in found.message
    world.trust(ada.line(), ada.line("cert-authority", "*@ops.example.org"))
    world.policy.commit({SIGNERS: ben.line()}, ada)
    listed = world.policy.head()
    world.policy.commit({"a": "2"}, ben)
    assert world.refused().why is Unproved.OTHER_ROLE
    world.policy.git("reset", "-q", "--hard", listed)
    world.policy.commit({"a": "3"}, keys.certify(ben, "ben", ada, "ben@ops.example.org"))
    assert world.refused().why is Unproved.OTHER_ROLE


@pytest.mark.parametrize("size", ["4k", "12k"])
def test_a_full_folder_for_temporary_files_verifies_nothing(
    world: World, ada: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    world.trust(ada.line())
    world.policy.commit({"a": "1"}, ada)
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(full)], check=True)
    try:
        (full / "fill").write_bytes(bytes(int(size[:-1]) * 1024))
        monkeypatch.setattr(tempfile, "tempdir", str(full))
        found = world.refused()
    finally:
        monkeypatch.undo()
        subprocess.run(["umount", str(full)], check=True)
    assert found.why is Unproved.CANNOT_VERIFY
    assert "No space left on device" in found.message


def test_a_list_with_a_mistake_in_the_repository_counts_for_nobody(world: World, ada: Key, ben: Key) -> None:
    world.trust(ada.line())
    world.policy.commit({SIGNERS: ben.line() + "oops\n"}, ada)
    world.policy.commit({"a": "1"}, ben)
    assert world.refused().why is Unproved.UNKNOWN_KEY


@pytest.mark.parametrize("program", ["ssh-keygen", "gpg"])
@pytest.mark.parametrize("fails", ["", "exit 0", "exit 1", "kill -9 $$", "cat; echo Good; exit 0"])
def test_a_program_that_is_missing_or_dies_verifies_nothing(
    world: World, either: dict[str, Key], tmp_path: Path, program: str, fails: str
) -> None:
    key = either[program]
    world.trust(key.line())
    world.policy.commit({"a": "1"}, key)
    instead = tmp_path / "bin" / program
    instead.parent.mkdir()
    if fails:
        instead.write_text(f"#!/bin/sh\n{fails}\n", encoding="utf-8")
        instead.chmod(0o755)
    path = f"{instead.parent}:/usr/bin" if fails else str(instead.parent)
    history = SignedHistory(world.mirror, SigningRules(world.root, environment={"PATH": path}))
    found = history.verify(world.line(), NOW)
    assert isinstance(found, Unverified)
    assert found.why in {Unproved.CANNOT_VERIFY, Unproved.BAD_SIGNATURE}


@pytest.mark.parametrize("lost", ["HEAD:trust/allowed_signers", "HEAD:trust", "HEAD^{tree}"])
def test_a_list_that_cannot_be_read_is_fetched_anew_and_is_not_no_list(
    world: World, ada: Key, ben: Key, lost: str
) -> None:
    world.trust(ada.line())
    world.policy.commit({SIGNERS: ben.line()}, ada)
    oid = world.policy.git("rev-parse", lost)
    world.policy.commit({"a": "1"}, ben)
    line = world.line()
    for pack in (world.mirror.mirror / "objects" / "pack").glob("*.pack"):
        data = pack.read_bytes()
        pack.unlink()
        pack.with_suffix(".idx").unlink()
        argv = ["git", "-C", str(world.mirror.mirror), "unpack-objects", "-q"]
        subprocess.run(argv, input=data, check=True)
    (world.mirror.mirror / "objects" / oid[:2] / oid[2:]).unlink()
    away = world.policy.path.rename(world.policy.path.with_name("away"))
    history = SignedHistory(world.mirror, SigningRules(world.root))
    with pytest.raises(Stalled, match="cannot fetch the policy"):
        history.verify(line, NOW)
    away.rename(world.policy.path)
    assert world.signers() == [ada.who, ben.who]


def test_a_parent_is_what_git_takes_for_one(world: World, ada: Key, eve: Key) -> None:
    world.trust(ada.line())
    world.policy.commit({"a": "1"}, ada)
    world.policy.git("checkout", "-q", "-b", "side")
    mine = world.policy.commit({SIGNERS: eve.line()})
    world.policy.git("checkout", "-q", "main")
    good = world.policy.git("cat-file", "commit", world.policy.commit({"a": "2"}))
    forged = good.replace("\n\n", f"\nparent {mine}\n\n", 1) + "\n"
    # Signed by eve, with a line that looks like a parent behind all others.
    evil = world.policy.stored(forged.encode(), eve)
    world.policy.git("update-ref", "refs/heads/main", evil)
    assert (world.refused().commit, world.refused().why) == (evil, Unproved.UNKNOWN_KEY)


def test_an_openpgp_key_that_is_cut_off_locks_nobody_out(world: World, keys: Keys) -> None:
    # gpg reads nothing of a keyring with such a key in it.
    pia, quin = keys.openpgp("pia@example.org"), keys.openpgp("quin@example.org")
    world.trust(pia.line())
    cut = pia.public[:-40]
    world.policy.commit({SIGNERS: f"quin {cut}\n{quin.line()}"}, pia)
    world.policy.commit({SIGNERS: quin.line()}, pia)
    world.policy.commit({"a": "1"}, quin)
    assert world.signers() == [pia.who, pia.who, quin.who]


# --- long lines ---------------------------------------------------------------------------------------------


def test_a_line_goes_on_at_the_commit_that_was_refused(
    world: World, ada: Key, eve: Key, tmp_path: Path
) -> None:
    calls, instead = tmp_path / "calls", tmp_path / "bin" / "ssh-keygen"
    instead.parent.mkdir()
    instead.write_text(f'#!/bin/sh\necho >> {calls}\nexec /usr/bin/ssh-keygen "$@"\n', encoding="utf-8")
    instead.chmod(0o755)
    world.environment = {"PATH": f"{instead.parent}:/usr/bin:/bin"}
    world.trust(ada.line())
    world.policy.commit({"a": "1"}, ada)
    world.policy.line(2, ada)
    evil = world.policy.commit({"a": "evil"}, eve)
    for _ in range(2):
        assert (world.refused().commit, world.refused().why) == (evil, Unproved.UNKNOWN_KEY)
        assert calls.read_text() == "\n" * 3  # once each, whatever comes next
    world.policy.git("reset", "-q", "--hard", "HEAD~1")
    world.policy.commit({"a": "2"}, ada)
    assert world.signers() == 4 * [ada.who]  # told of all, as if they came at once
    assert calls.read_text() == "\n" * 4


def test_what_counts_only_by_a_checkpoint_above_is_not_remembered_without_it(
    world: World, ada: Key, ben: Key, eve: Key
) -> None:
    world.trust(ada.line())
    world.policy.commit({SIGNERS: ben.line('valid-before="20260101"')}, ada)
    ended = world.policy.commit({"a": "1"}, ben)
    world.policy.commit({"a": "2"}, eve)
    world.policy.commit({"a": "3"}, ada)
    assert world.refused().why is Unproved.UNKNOWN_KEY
    world.policy.git("reset", "-q", "--hard", ended)
    world.policy.commit({"a": "4"}, ben)
    assert (world.refused().commit, world.refused().why) == (ended, Unproved.KEY_ENDED)


def test_a_long_line_is_remembered_and_told_of_by_the_hundred(world: World, ada: Key, eve: Key) -> None:
    world.trust(ada.line())
    world.policy.commit({"a": "1"}, ada)
    world.policy.line(109, ada)
    told: list[tuple[int, int]] = []
    history = SignedHistory(world.mirror, SigningRules(world.root), lambda *counted: told.append(counted))
    assert len(tuple(history.verify(world.line(), NOW))) == 110  # type: ignore[arg-type]  # it is good
    assert told == [(100, 110)]
    assert len(world.signers()) == 21  # the last one anew, beside the twenty that are remembered
    world.trust(ada.line(), eve.line())
    assert len(world.signers()) == 110  # by other lists


def test_what_was_good_from_one_commit_on_is_not_good_from_an_earlier_one(world: World, ada: Key) -> None:
    world.trust(ada.line())
    evil = world.policy.commit({"a": "evil"})
    world.policy.line(101, ada)
    assert len(world.signers(evil)) == 101
    assert (world.refused().commit, world.refused().why) == (evil, Unproved.UNSIGNED)
