"""Branches that a job keeps on a policy repository, and that are left alone once a person pushed to one."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.errors import Misuse, Stalled, Transient
from reconciler.gitops.git import Git, GitAccess
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.proposal import Proposal, Pusher
from reconciler.gitops.proposal_branches import WHO, ProposalBranches
from reconciler.planning.fleet.proposing import StandingProposal
from reconciler.reconcile.ports.policies import Fetched
from tests.edge.gitops.bench import NOW, HttpsServer, Repository, SshServer, git
from tests.labs.signing import Key

BRANCH, FILE = "proposals/web-01", "approvals/plan-1.yaml"
TOKEN = "p@ss/w"


@dataclass
class Desk:
    """A policy repository, a mirror of it, and the job's view of the branches."""

    server: Repository
    mirror: PolicyMirror
    head: str
    branches: ProposalBranches

    def propose(self, branch: str = BRANCH, data: bytes = b"kind: Approval\n", old: str = "") -> str:
        proposal = Proposal(branch, FILE, data, "Approve plan 1")
        commit = self.branches.commit(proposal, self.head, NOW)
        assert self.branches.move(branch, old, commit)
        return commit

    def standing(self, branch: str = BRANCH) -> StandingProposal:
        (one,) = [one for one in self.branches.fetched(self.head) if one.branch == branch]
        return one

    def commit(self, files: dict[str, str], *options: str, **who: str) -> str:
        """Commit on the branch as people do, and return the commit."""
        work = self.server.path.parent / "work"
        git(self.server.path.parent, "clone", "--quiet", "--branch", BRANCH, str(self.server.path), "work")
        for name, text in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text, encoding="utf-8")
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "-m", "mine", *options, **who)
        git(work, "push", "--quiet", "--force", "origin", f"HEAD:{BRANCH}")
        return git(work, "rev-parse", "HEAD")


def desk_at(folder: Path, server: Repository, pusher: Pusher) -> Desk:
    mirror = PolicyMirror(folder / "policy.git", str(server.path))
    fetched = mirror.fetch(timeout=20, now=NOW)
    assert isinstance(fetched, Fetched)
    return Desk(server, mirror, fetched.head, ProposalBranches(Git(mirror.mirror), pusher, 20.0))


@pytest.fixture
def desk(tmp_path: Path, upstream: Repository) -> Desk:
    return desk_at(tmp_path, upstream, Pusher(str(upstream.path), GitAccess()))


def test_a_branch_is_made_moved_and_deleted(desk: Desk) -> None:
    first = desk.propose()
    assert desk.standing() == StandingProposal(BRANCH, first, FILE, "kind: Approval\n")
    assert git(desk.server.path, "diff", "--name-status", "main", BRANCH) == f"A\t{FILE}"
    second = desk.propose(data=b"kind: Approval\nname: b\n", old=first)
    assert git(desk.server.path, "rev-parse", f"{BRANCH}^") == desk.head
    assert desk.standing().tip == second
    assert desk.branches.move(BRANCH, second, "")
    assert desk.branches.fetched(desk.head) == []
    assert desk.server.head() == desk.head


def test_what_the_policy_became_meanwhile_does_not_make_it_another_ones(desk: Desk) -> None:
    desk.propose()
    desk.server.commit({"policies/b.yaml": "kind: Policy\nname: b\n"})
    fetched = desk.mirror.fetch(timeout=20, now=NOW)
    assert isinstance(fetched, Fetched)
    desk.head = fetched.head
    assert (desk.standing().foreign, desk.standing().path) == ("", FILE)
    git(desk.server.path, "update-ref", "refs/heads/main", BRANCH)
    fetched = desk.mirror.fetch(timeout=20, now=NOW)
    assert isinstance(fetched, Fetched)
    desk.head = fetched.head
    assert desk.standing().is_merged


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        ({FILE: "kind: Approval\nexpires: 2099-01-01\n"}, (), "somebody else pushed to it"),
        ({FILE: "kind: Approval\nexpires: 2099-01-01\n"}, ("--amend",), "somebody else pushed to it"),
        ({}, ("--amend", "--no-edit"), "somebody else pushed to it"),
        ({}, ("--allow-empty",), "somebody else pushed to it"),
        ({"policies/x.yaml": "kind: Policy\n"}, (), "it changes policies/x.yaml, and not one new file"),
        ({"a": "1", "b": "2"}, (), "it changes a and 1 more, and not one new file below approvals/ alone"),
        ({"approvals/two.yaml": "kind: Approval\n"}, (), "it does not hold one new file below approvals/"),
        ({"approvals/a/b.yaml": "1"}, (), "it changes approvals/a/b.yaml, and not one new file"),
    ],
)
def test_whoever_pushes_to_it_makes_it_theirs(
    desk: Desk, files: dict[str, str], options: tuple[str, ...], said: str
) -> None:
    first = desk.propose()
    theirs = desk.commit(files, *options)
    assert desk.standing().foreign.startswith(said)
    # What was looked at before they pushed moves nothing.
    commit = desk.branches.commit(Proposal(BRANCH, FILE, b"kind: Approval\n", "again"), desk.head, NOW)
    assert not desk.branches.move(BRANCH, first, commit)
    assert not desk.branches.move(BRANCH, first, "")
    assert not desk.branches.move(BRANCH, "", commit)
    assert desk.server.head(BRANCH) == theirs


def test_who_takes_the_name_of_the_job_is_known_by_what_is_sealed(desk: Desk) -> None:
    desk.propose()
    names = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in zip(("NAME", "EMAIL"), WHO, strict=True)
    }
    desk.commit({FILE: "kind: Approval\nname: other\n"}, "--amend", "--no-edit", **names)
    assert desk.standing().foreign == "somebody else pushed to it"


def test_a_key_signs_where_there_is_one_and_a_signed_branch_is_the_jobs(desk: Desk, ada: Key) -> None:
    key = ada.settings["user.signingkey"]
    pusher = Pusher(str(desk.server.path), GitAccess())
    desk.branches = ProposalBranches(Git(desk.mirror.mirror), pusher, 20.0, ref="main", key=key)
    commit = desk.propose()
    told = git(desk.server.path, "cat-file", "commit", commit)
    assert "BEGIN SSH SIGNATURE" in told
    assert "\nPolicy-Ref: main\nProposal-Seal: " in told
    assert desk.standing().foreign == ""


def test_a_branch_under_another_name_is_not_the_jobs(desk: Desk) -> None:
    commit = desk.propose()
    git(desk.server.path, "update-ref", "refs/heads/proposals/copy", commit)
    assert desk.standing("proposals/copy").foreign == "somebody else pushed to it"
    assert desk.standing().foreign == ""


def test_a_branch_that_shares_nothing_with_the_policy_is_left_alone(desk: Desk) -> None:
    desk.server.commit({"x": "1"}, branch=BRANCH, parents=())
    assert desk.standing().foreign == "it does not hold one new file below approvals/"


def test_a_document_too_long_to_be_one_is_not_read(desk: Desk) -> None:
    desk.server.commit({FILE: "x" * 100_000}, branch=BRANCH, parents=(desk.head,))
    found = desk.standing()
    assert found.text == ""
    assert found.foreign


def test_a_policy_that_was_written_anew_leaves_branches_that_are_brought_up_to_date(desk: Desk) -> None:
    desk.propose()
    desk.server.commit({"policies/z.yaml": "kind: Policy\nname: z\n"}, branch="next", parents=())
    git(desk.server.path, "update-ref", "refs/heads/main", "next")
    fresh = desk_at(
        desk.mirror.mirror.parent / "fresh", desk.server, Pusher(str(desk.server.path), GitAccess())
    )
    assert (fresh.standing().foreign, fresh.standing().path) == ("", "")


def test_a_server_that_refuses_says_why(desk: Desk) -> None:
    hook = desk.server.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'only ada may'\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    commit = desk.branches.commit(Proposal(BRANCH, FILE, b"kind: Approval\n", "x"), desk.head, NOW)
    with pytest.raises(
        Stalled, match=r"cannot move proposals/web-01 of .*: the server refused: only ada may"
    ):
        desk.branches.move(BRANCH, "", commit)


def test_nobody_answers(desk: Desk) -> None:
    away = ProposalBranches(Git(desk.mirror.mirror), Pusher("https://127.0.0.1:9/p.git", GitAccess()), 20.0)
    with pytest.raises(Transient, match=r"cannot fetch proposals/\* from https://127"):
        away.fetched(desk.head)
    with pytest.raises(Transient, match="cannot move proposals/x"):
        away.move("proposals/x", "", desk.head)


def test_a_key_pushes_by_ssh(tmp_path: Path, served: Path, sshd: SshServer) -> None:
    options = GitAccess(known_hosts=str(sshd.known_hosts))
    pusher = Pusher(f"{sshd.url}/policy.git", options, credential=str(sshd.identity))
    desk = desk_at(tmp_path, Repository(served / "policy.git"), pusher)
    commit = desk.propose("proposals/ssh")
    assert desk.branches.move("proposals/ssh", commit, "")


def test_a_token_pushes_by_https_and_is_written_nowhere(
    tmp_path: Path, served: Path, https: HttpsServer
) -> None:
    options = GitAccess(ca_file=str(https.ca_file))
    address = https.url.replace("https://", "https://host@")
    pusher = Pusher(f"{address}/git/policy.git", options, token=TOKEN)
    desk = desk_at(tmp_path, Repository(served / "policy.git"), pusher)
    commit = desk.propose("proposals/https")
    assert desk.branches.move("proposals/https", commit, "")
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written
    wrong = Pusher(f"{address}/git/policy.git", options, token="another")
    refused = ProposalBranches(Git(desk.mirror.mirror), wrong, 20.0)
    with pytest.raises(Stalled, match="the server refused the user name or password") as caught:
        refused.move("proposals/https", "", commit)
    assert "another" not in caught.value.message


@pytest.mark.parametrize("secret", [{"token": TOKEN}, {"credential": "/nowhere"}])
def test_no_token_and_no_password_travels_readable(desk: Desk, secret: dict[str, str]) -> None:
    pusher = Pusher("http://git.example/policy.git", GitAccess(), **secret)
    with pytest.raises(Misuse, match=r"would travel readable to http://git\.example"):
        ProposalBranches(Git(desk.mirror.mirror), pusher, 20.0)
    ProposalBranches(Git(desk.mirror.mirror), Pusher("http://127.0.0.1:9/p.git", GitAccess(), **secret), 20.0)
    ProposalBranches(Git(desk.mirror.mirror), Pusher("http://git.example/policy.git", GitAccess()), 20.0)
