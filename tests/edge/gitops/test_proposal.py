"""A branch that enrols a host, pushed with somebody's credential over each transport."""

from pathlib import Path

import pytest

from reconciler.errors import Misuse, Stalled
from reconciler.gitops.git import GitAccess
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.proposal import Proposal, Pusher, propose
from reconciler.gitops.report_queue import Identity
from reconciler.reconcile.ports.policies import Fetched
from tests.edge.gitops.bench import NOW, HttpsServer, Repository, SshServer, git

DOCUMENT = b"kind: Host\nname: web-01\n"
TOKEN = "p@ss/w"


def proposed(folder: Path, served: Path, pusher: Pusher, host: str) -> Repository:
    """Push a proposal for a host, and return the server's side."""
    policy = Repository(served / "policy.git")
    before = policy.head()
    source = PolicyMirror(folder / "policy.git", str(policy.path))
    fetched = source.fetch(timeout=20, now=NOW)
    assert isinstance(fetched, Fetched)
    proposal = Proposal(f"enrol/{host}", f"hosts/{host}.yaml", DOCUMENT, f"enrol {host}\n")
    propose(source, fetched.head, proposal, pusher, who=Identity(host), when=NOW)
    assert policy.head() == before
    return policy


def test_the_branch_is_the_head_and_one_file_more(tmp_path: Path, served: Path) -> None:
    policy = proposed(tmp_path, served, Pusher(str(served / "policy.git"), GitAccess()), "file-01")
    assert git(policy.path, "rev-parse", "enrol/file-01^") == policy.head()
    assert git(policy.path, "diff", "--name-status", "main", "enrol/file-01") == "A\thosts/file-01.yaml"
    assert policy.show("enrol/file-01:hosts/file-01.yaml") == DOCUMENT.decode().strip()
    assert git(policy.path, "log", "-1", "--format=%an %s", "enrol/file-01") == (
        "patchledger on file-01 enrol file-01"
    )


def test_a_branch_that_is_there_is_not_written_over(tmp_path: Path, served: Path) -> None:
    pusher = Pusher(str(served / "policy.git"), GitAccess())
    policy = proposed(tmp_path, served, pusher, "file-02")
    before = policy.head("enrol/file-02")
    source = PolicyMirror(tmp_path / "again.git", str(policy.path))
    source.fetch(timeout=20, now=NOW)
    other = Proposal("enrol/file-02", "hosts/file-02.yaml", b"kind: Host\n", "another\n")
    with pytest.raises(Stalled, match="that branch is there already"):
        propose(source, policy.head(), other, pusher, who=Identity("file-02"), when=NOW)
    assert policy.head("enrol/file-02") == before


def test_a_branch_is_there_already_within_the_same_second(tmp_path: Path, served: Path) -> None:
    pusher = Pusher(str(served / "policy.git"), GitAccess())
    policy = proposed(tmp_path, served, pusher, "file-04")
    before = policy.head("enrol/file-04")
    with pytest.raises(Stalled, match="that branch is there already"):
        proposed(tmp_path / "again", served, pusher, "file-04")
    assert policy.head("enrol/file-04") == before


def test_a_branch_that_somebody_began_and_that_holds_nothing_yet_is_not_moved(
    tmp_path: Path, served: Path
) -> None:
    policy = Repository(served / "policy.git")
    git(policy.path, "branch", "enrol/file-05", "main")
    with pytest.raises(Stalled, match="that branch is there already"):
        proposed(tmp_path, served, Pusher(str(policy.path), GitAccess()), "file-05")
    assert policy.head("enrol/file-05") == policy.head()


def test_a_file_of_that_name_is_not_written_over(tmp_path: Path, served: Path) -> None:
    policy = Repository(served / "policy.git")
    path = "hosts/file-03.yaml"
    head = policy.commit({path: "kind: Host\nname: db-01\n"}, branch="others")
    source = PolicyMirror(tmp_path / "others.git", str(policy.path), "others")
    source.fetch(timeout=20, now=NOW)
    pusher = Pusher(str(policy.path), GitAccess())
    with pytest.raises(Stalled, match=f"the policy has another {path}"):
        propose(
            source,
            head,
            Proposal("enrol/file-03", path, DOCUMENT, "enrol file-03\n"),
            pusher,
            who=Identity("file-03"),
            when=NOW,
        )
    assert not git(policy.path, "for-each-ref", "refs/heads/enrol/file-03")


def test_a_key_pushes_by_ssh(tmp_path: Path, served: Path, sshd: SshServer) -> None:
    options = GitAccess(known_hosts=str(sshd.known_hosts))
    pusher = Pusher(f"{sshd.url}/policy.git", options, credential=str(sshd.identity))
    assert proposed(tmp_path, served, pusher, "ssh-01").show("enrol/ssh-01:hosts/ssh-01.yaml")


def test_a_key_that_is_refused_is_said_to_be_that_of_this_call(
    tmp_path: Path, served: Path, sshd: SshServer
) -> None:
    options = GitAccess(known_hosts=str(sshd.known_hosts))
    pusher = Pusher(f"{sshd.url}/policy.git", options, credential=str(sshd.stranger))
    with pytest.raises(Stalled, match="the server refused the ssh key") as caught:
        proposed(tmp_path, served, pusher, "ssh-02")
    assert caught.value.hint == "give a credential that may push a branch to the policy repository"


def test_a_token_pushes_by_https_and_is_written_nowhere(
    tmp_path: Path, served: Path, https: HttpsServer
) -> None:
    options = GitAccess(ca_file=str(https.ca_file))
    address = https.url.replace("https://", "https://host@")
    pusher = Pusher(f"{address}/git/policy.git", options, token=TOKEN)
    assert TOKEN not in repr(pusher)
    assert proposed(tmp_path, served, pusher, "https-01").show("enrol/https-01:hosts/https-01.yaml")
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written


def test_a_credential_in_a_file_pushes_by_https(tmp_path: Path, served: Path, https: HttpsServer) -> None:
    options = GitAccess(ca_file=str(https.ca_file))
    pusher = Pusher(f"{https.url}/git/policy.git", options, credential=str(https.credential))
    assert proposed(tmp_path, served, pusher, "https-02").show("enrol/https-02:hosts/https-02.yaml")


@pytest.mark.parametrize("protocol", ["ssh", "https"])
def test_a_file_that_is_not_there_is_named_as_what_it_is(tmp_path: Path, served: Path, protocol: str) -> None:
    pusher = Pusher(f"{protocol}://127.0.0.1:9/policy.git", GitAccess(), credential="/nonexistent")
    with pytest.raises(Misuse, match=r"cannot push .*: credential: /nonexistent does not exist"):
        proposed(tmp_path, served, pusher, "nobody")


def test_ssh_takes_no_token(tmp_path: Path, served: Path) -> None:
    pusher = Pusher("ssh://127.0.0.1:9/policy.git", GitAccess(), token=TOKEN)
    with pytest.raises(Misuse, match="ssh takes a key, not a token"):
        proposed(tmp_path, served, pusher, "nobody")
