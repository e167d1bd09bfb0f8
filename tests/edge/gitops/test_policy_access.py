"""What is asked of a policy before a host obeys it: whether the host could write it, and who signed it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.cli.verbs.setup_checks import Access, PolicyLook, policy_access, verified_before
from reconciler.errors import PolicyRejected, Stalled
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.host.config import Config
from reconciler.planning.facts.observation import ClockState
from tests.edge.gitops.bench import HttpsServer, Repository, SshServer, git, make_key
from tests.labs.signing import Key, SignedRepository


def host(remote: str, reports: str | None = None, **access: str) -> Config:
    return Config.model_validate(
        {"host": "web-01", "policy": {"remote": remote}, "reports": {"remote": reports}, "git": access}
    )


def over_ssh(server: SshServer, identity: Path) -> dict[str, str]:
    return {"known_hosts": str(server.known_hosts), "identity": str(identity)}


def answer(config: Config) -> tuple[Access, str]:
    found = policy_access(config)
    assert found is not None
    return found


def refs(policy: Path) -> str:
    return git(policy, "for-each-ref")


def test_a_key_that_may_push_is_told_and_nothing_is_changed(served: Path, sshd: SshServer) -> None:
    before = refs(served / "policy.git")
    config = host(f"{sshd.url}/policy.git", **over_ssh(sshd, sshd.identity))
    access, said = answer(config)
    assert access is Access.MAY_WRITE
    assert said.endswith("only a hook there could still refuse")
    assert refs(served / "policy.git") == before


@pytest.mark.parametrize(
    "words",
    [
        "ERROR: The key you are authenticating with has been marked as read only.",
        "remote: ERROR: This deploy key does not have write access to this project.",
        "Gitea: Deploy Key: 5:host is not authorized to write to ops/policy.",
        "FATAL: W any ops/policy host DENIED by fallthru",
    ],
)
def test_a_key_that_may_only_read_is_told_in_the_words_of_each_forge(
    tmp_path: Path, sshd: SshServer, words: str
) -> None:
    wrapper = tmp_path / "serve"
    wrapper.write_text(
        "#!/bin/sh\ncase $SSH_ORIGINAL_COMMAND in\n"
        'git-upload-pack*) exec git-shell -c "$SSH_ORIGINAL_COMMAND" ;;\n'
        f"esac\necho '{words}' >&2\nexit 1\n"
    )
    wrapper.chmod(0o755)
    key = make_key(tmp_path / "reader")
    with (sshd.identity.parent / "authorized").open("a") as listed:
        listed.write(f'\nrestrict,command="{wrapper}" {key.with_suffix(".pub").read_text()}')
    assert answer(host(f"{sshd.url}/policy.git", **over_ssh(sshd, key)))[0] is Access.READS_ONLY


def test_a_server_that_takes_no_pushes_by_https_is_read_only(served: Path, https: HttpsServer) -> None:
    policy = Repository.create(served / "read-only.git")
    policy.commit({"policies/base.yaml": "kind: Policy\nname: base\n"})
    git(policy.path, "config", "http.receivepack", "false")
    access = {"ca_file": str(https.ca_file), "credential": str(https.credential)}
    assert answer(host(f"{https.url}/git/read-only.git", **access))[0] is Access.READS_ONLY
    assert answer(host(f"{https.url}/git/policy.git", **access))[0] is Access.MAY_WRITE


def test_what_could_not_be_found_out_is_said_to_be_so(tmp_path: Path, sshd: SshServer) -> None:
    access, said = answer(host("https://127.0.0.1:9/policy.git"))
    assert access is Access.UNKNOWN
    assert "could not be found out" in said
    nobody = tmp_path / "known"
    nobody.write_text("")
    unknown = {"known_hosts": str(nobody), "identity": str(sshd.identity)}
    assert answer(host(f"{sshd.url}/policy.git", **unknown))[0] is Access.UNKNOWN


def test_of_a_folder_nothing_is_asked(served: Path) -> None:
    assert policy_access(host(str(served / "policy.git"))) is None


class LostClock:
    """A clock that was set back and knows it."""

    def now(self) -> datetime:
        return datetime(2025, 6, 1, tzinfo=UTC)

    def state(self) -> ClockState:
        return ClockState.UNSYNCHRONISED


@pytest.fixture
def signed(tmp_path: Path, ada: Key, ben: Key) -> tuple[SignedRepository, Config]:
    """A policy, and a host that trusts ada for ever and ben until 2026."""
    listed = tmp_path / "signers"
    listed.write_text(ada.line() + ben.line('valid-before="20260101"'), encoding="utf-8")
    policy = SignedRepository.create(tmp_path / "policy")
    trust = {"mode": "signed", "allowed_signers": str(listed), "repository": "example/policy"}
    told = {"host": "web-01", "policy": {"remote": str(policy.path)}, "state_dir": str(tmp_path / "state")}
    return policy, Config.model_validate({**told, "trust": trust})


@pytest.mark.parametrize("begins", ["at a floor", "at the head", "where the host is"])
def test_setup_and_doctor_judge_no_key_by_a_clock_that_is_wrong(
    signed: tuple[SignedRepository, Config], ada: Key, ben: Key, begins: str
) -> None:
    """Else what a key signed that has ended would become the floor, from which on all is trusted."""
    policy, config = signed
    first = policy.commit({"a": "1"}, ada)
    evil = policy.commit({"a": "2"}, ben, date="2025-05-01T00:00:00Z")
    known = None
    match begins:
        case "at a floor":
            config = config.model_copy(update={"trust": config.trust.model_copy(update={"floor": first})})
        case "where the host is":
            mirror = PolicyMirror(config.state_dir / "policy.git", str(policy.path), "main")
            config.state_dir.mkdir()
            mirror.fetch(timeout=20, now=datetime.now(UTC))
            mirror.accept(first, is_verified=True)
            known = verified_before(config)
            assert known is not None
        case _:
            with pytest.raises(Stalled, match="no key is judged by it"):
                PolicyLook(clock=LostClock()).first_floor(config)
    with pytest.raises(Stalled, match="is from the future: no key is judged by it") as caught:
        PolicyLook(clock=LostClock()).check(config, known)
    assert caught.value.hint == "have the clock of this machine set"
    if begins != "at the head":
        with pytest.raises(PolicyRejected, match=f"{evil[:12]} is signed by .* valid no longer"):
            PolicyLook().check(config, known)


def test_doctor_goes_on_from_what_the_host_has_verified(
    signed: tuple[SignedRepository, Config], ada: Key, ben: Key
) -> None:
    """What is in force stays so when its key ends: that is no problem of the host."""
    policy, config = signed
    policy.commit({"a": "1"}, ada)
    accepted = policy.commit({"a": "2"}, ben)
    mirror = PolicyMirror(config.state_dir / "policy.git", str(policy.path), "main")
    config.state_dir.mkdir()
    assert verified_before(config) is None
    mirror.fetch(timeout=20, now=datetime.now(UTC))
    mirror.accept(accepted)
    assert verified_before(config) is None, "nobody had to sign it"
    mirror.accept(accepted, is_verified=True)
    before = sorted(config.state_dir.rglob("*"))
    said = PolicyLook().check(config, verified_before(config))
    assert said.endswith(", signed by who was listed when this host accepted it")
    policy.commit({"a": "3"}, ada)
    assert PolicyLook().check(config, verified_before(config)).endswith(f", signed by {ada.who}")
    policy.git("reset", "-q", "--hard", "HEAD~2")
    with pytest.raises(Stalled, match="does not continue what was accepted"):
        PolicyLook().check(config, verified_before(config))
    assert sorted(config.state_dir.rglob("*")) == before, "nothing is changed"
