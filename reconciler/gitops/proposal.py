"""Propose a change of the policy: a branch with one commit on top of its head, for people to merge.

The credential is that of a person who may push there, given for this one call: it goes to git as every other
does, and is kept nowhere.
"""

from dataclasses import field, replace
from datetime import datetime

from reconciler.errors import Misuse, ReconcilerError, Stalled
from reconciler.gitops.failures import explain
from reconciler.gitops.git import PLAIN_PUSH, Git, GitAccess
from reconciler.gitops.objects import described
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.refs import is_oid
from reconciler.gitops.report_queue import Identity
from reconciler.policy.remotes import Remote, parse_remote, redact_url, refuse_readable
from reconciler.process import Completed
from reconciler.records import dataclass

_NAME = "policy"
_TIMEOUT = 60.0  # seconds, while somebody waits
_STAGED = "refs/patchledger/proposal"
_HINT = "give a credential that may push a branch to the policy repository"


class BranchRefused(Stalled):
    """The server refuses one branch, and may well take the next one."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A file that the policy is to have.

    Attributes:
        branch: It is proposed as, such as ``enrol/web-01``.
        path: From the top of the repository; a name of ours, since git is told it as it is.
        data: What it holds.
        message: Of the commit.
    """

    branch: str
    path: str
    data: bytes = field(repr=False)
    message: str


@dataclass(frozen=True, slots=True)
class Pusher:
    """Who pushes.

    Attributes:
        remote: Address of the policy repository.
        options: How it is reached, without the host's own credentials.
        credential: A file: an SSH private key for ssh, a token or password for https; empty without.
        token: Or the token itself, for https.
    """

    remote: str
    options: GitAccess
    credential: str = ""
    token: str = field(default="", repr=False)

    def reaching(self) -> tuple[Remote, GitAccess]:
        """Return the remote and how it is reached with the credential.

        Raises:
            Misuse: There is no such address, or the credential is of no use for it.
        """
        remote = parse_remote(self.remote)
        if self.token or self.credential:
            refuse_readable(remote, "a token or password")
        if self.token and remote.protocol == "ssh":
            raise Misuse("ssh takes a key, not a token", "name the file of a private key")
        if self.token:
            return replace(remote, username=remote.username or "git", password=self.token), self.options
        if remote.protocol == "ssh":
            return remote, replace(self.options, identity=self.credential)
        return remote, replace(self.options, credential=self.credential)


def propose(
    source: PolicyMirror, head: str, proposal: Proposal, pusher: Pusher, *, who: Identity, when: datetime
) -> None:
    """Push a new branch that holds one file more than the policy's head; none that is there is moved.

    Args:
        source: A mirror that has the head.
        head: Full id of the commit that is built upon.
        proposal: What is proposed.
        pusher: With whose credential.
        who: Author and committer.
        when: Date of the commit, aware.

    Raises:
        Transient: The remote cannot be reached.
        Stalled: It refuses, or has that branch or file already.
        Misuse: The credential cannot be used.
    """
    remote, options = pusher.reaching()
    doing = f"cannot push {proposal.branch} to {redact_url(pusher.remote)}"
    _check_new(Git(source.mirror), head, proposal.path, doing)
    commit = _committed(Git(source.mirror), head, proposal, who, when)
    ref = f"refs/heads/{proposal.branch}"
    # The server is asked to make it: where it is there, at whatever commit, even one before ours, it stays.
    push = (*PLAIN_PUSH, f"--force-with-lease={ref}:", _NAME, f"{commit}:{ref}")
    try:
        done = Git(source.mirror, options).talk(remote, _NAME, *push, timeout=_TIMEOUT)
    except Misuse as error:
        # The file is not the one of the configuration.
        said = error.message.replace("git.identity", "credential").replace("git.credential", "credential")
        raise Misuse(f"{doing}: {said}", error.hint) from error
    # The very same commit, of the same second, is not pushed a second time: "=".
    is_there = "(stale info)" in done.text or any(line.startswith("=\t") for line in done.lines)
    if not is_there and not done.returncode and not done.timed_out:
        return
    if is_there:
        raise Stalled(f"{doing}: that branch is there already", "merge or delete it first")
    raise _without_our_files(explain(done, doing, remote))


def _check_new(git: Git, head: str, path: str, doing: str) -> None:
    """Refuse to write over what people wrote, under whichever name of a file they keep it."""
    ((found, _, _),) = described(git, [f"{head}:{path}"], doing)
    if found:
        raise Stalled(
            f"{doing}: the policy has another {path}", "add the document by a pull request of your own"
        )


def _committed(git: Git, head: str, proposal: Proposal, who: Identity, when: datetime) -> str:
    committer = f"{who.name} <{who.address}> {int(when.timestamp())} +0000"
    done = with_file(git, head, proposal, committer, proposal.message.encode())
    if done.returncode or not is_oid(done.text.strip()):
        raise explain(done, f"cannot make a commit for {proposal.branch}")
    return done.text.strip()


def with_file(git: Git, head: str, proposal: Proposal, committer: str, message: bytes) -> Completed:
    """Make a commit that holds one file more than ``head``; git prints its id (git-fast-import(1)).

    Args:
        git: The repository.
        head: Full id of the commit that it continues.
        proposal: The file.
        committer: Name, address and date, as git writes them into a commit.
        message: All of it.
    """
    stream = f"commit {_STAGED}\nmark :1\ncommitter {committer}\ndata {len(message)}\n".encode() + message
    stream += f"\nfrom {head}\nM 100644 inline {proposal.path}\ndata {len(proposal.data)}\n".encode()
    stream += proposal.data + b"\nget-mark :1\ndone\n"
    return git.run("fast-import", "--quiet", "--done", "--force", stdin=stream)


def _without_our_files(problem: ReconcilerError) -> ReconcilerError:
    """Return a refusal whose hint is not about the host's own credential."""
    return Stalled(problem.message, _HINT, problem.reason) if isinstance(problem, Stalled) else problem
