"""Whether a host could write the policy that it obeys: asked of real servers, where nothing is changed."""

from pathlib import Path

import pytest

from reconciler.cli.verbs.setup_checks import Access, policy_access
from reconciler.host.config import Config
from tests.edge.gitops.bench import HttpsServer, Repository, SshServer, git, make_key


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
