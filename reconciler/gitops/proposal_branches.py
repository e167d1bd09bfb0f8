"""The branches ``proposals/*`` of a policy repository: one commit with one document each, which a job keeps.

The rules:

1. A branch is the job's own where its tip is a commit as the job makes them: of its name, with one parent,
   and sealed by a digest of branch, parent and tree. So nothing needs to be remembered, and whoever amends,
   rebases, merges or adds a commit makes the branch theirs. The seal is no secret: it tells work of people
   apart, and keeps out nobody who may push there.
2. A branch is moved or deleted only from the tip that was looked at.
3. What a branch holds is all that it changes since it left the policy. Unless that is one new file below
   ``approvals/`` it is not the job's own, whoever made its tip.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.gitops import damage
from reconciler.gitops.commit_tree import commit_tree
from reconciler.gitops.failures import explain
from reconciler.gitops.git import PLAIN_PUSH, QUIET_FETCH, Git
from reconciler.gitops.objects import bounded, described
from reconciler.gitops.proposal import BranchRefused, Proposal, Pusher, with_file
from reconciler.gitops.refs import is_oid
from reconciler.gitops.refusals import server_words
from reconciler.gitops.signed_commits import MAX_COMMIT_BYTES, SignedCommit, read_commit
from reconciler.ownership import check_ours
from reconciler.planning.fleet.proposing import PREFIX, StandingProposal
from reconciler.planning.text.untrusted import commit_message
from reconciler.policy.remotes import redact_url
from reconciler.records import dataclass

WHO = ("patchledger proposals", "proposals@patchledger")
_NAME = "policy"
_KEPT = "refs/patchledger/proposals/"
_SEAL = "Proposal-Seal"
_MOST_BYTES = 64 * 1024
"""Of the document of a branch."""
_MOST_CHANGES = 1000
_DOCUMENT = re.compile(r"approvals/[A-Za-z0-9][A-Za-z0-9._-]*\.yaml")
_PUSHED = "somebody else pushed to it"
_REFUSED = ("", "AccessRefused")
_FOR_ALL = ("AccessRefused", "HostKeyUnknown", "CertificateNotTrusted")
_HINT = "let the token or key push, move and delete branches proposals/* of the policy repository"


@dataclass(frozen=True, slots=True)
class _ChangedPath:
    """One path of a commit that its parent has otherwise."""

    status: str
    mode: str
    oid: str
    path: str


class ProposalBranches:
    """The branches of one policy repository.

    Args:
        git: A mirror of it, with the head that is built upon.
        pusher: With whose credential.
        timeout: Seconds for each conversation with the remote.
        ref: The followed branch, where commits must name it in a trailer; else empty.
        key: File of the SSH private key that signs commits; empty without.

    Raises:
        Misuse: The credential cannot be used.
    """

    def __init__(self, git: Git, pusher: Pusher, timeout: float, *, ref: str = "", key: str = "") -> None:
        self._remote, options = pusher.reaching()
        self._git = Git(git.git_dir, options)
        self._shown = redact_url(pusher.remote)
        self._timeout = timeout
        self._key = key
        self._trailers = {"Policy-Ref": ref} if ref else {}

    def fetched(self, head: str) -> list[StandingProposal]:
        """Fetch the branches, and say what each of them is.

        Args:
            head: Full id of the newest commit of the policy.

        Raises:
            Transient: The remote cannot be reached.
            Stalled: It refuses.
        """
        refspec = f"+refs/heads/{PREFIX}*:{_KEPT}*"
        done = self._git.talk(
            self._remote, _NAME, *QUIET_FETCH, "--prune", _NAME, refspec, timeout=self._timeout
        )
        doing = f"cannot fetch {PREFIX}* from {self._shown}"
        if done.returncode or done.timed_out:
            raise explain(done, doing, self._remote)
        listed = self._git.run("for-each-ref", "--format=%(objectname) %(refname)", _KEPT)
        if listed.returncode:
            raise damage.judge(self._git, listed, doing)
        rows = (row.partition(" ") for row in listed.lines)
        return [self._standing(PREFIX + ref.removeprefix(_KEPT), tip, head) for tip, _, ref in rows]

    def commit(self, proposal: Proposal, head: str, when: datetime) -> str:
        """Make the commit of a branch, here, and return it.

        Args:
            proposal: What it holds; its message is one line.
            head: Full id of the commit that it continues.
            when: Its date, aware.
        """
        doing = f"cannot make a commit for {proposal.branch}"
        if self._key:
            check_ours(self._key, "proposals.signing_key")
        tree = self._tree(head, proposal, doing)
        seal = _seal(proposal.branch, head, tree)
        message = commit_message(proposal.message, {**self._trailers, _SEAL: seal})
        return commit_tree(
            self._git, tree, [head], message.encode(), who=WHO, when=when, key=self._key, doing=doing
        )

    def move(self, branch: str, old: str, new: str) -> bool:
        """Move a branch, or delete it; return whether it is there now: else somebody else moved it.

        Args:
            branch: Its name.
            old: Where it was seen, empty where it was not there.
            new: Where it is to be, empty where it is to be no more.

        Raises:
            Transient: The remote cannot be reached.
            BranchRefused: It refuses this branch.
            Stalled: It would refuse every other one as well.
        """
        lease = f"--force-with-lease=refs/heads/{branch}:{old}"
        words = (*PLAIN_PUSH, lease, _NAME, f"{new}:refs/heads/{branch}")
        done = self._git.talk(self._remote, _NAME, *words, timeout=self._timeout)
        if not done.returncode and not done.timed_out:
            return True
        # Not by what the server says of the refusal: the branch is, as it is afterwards.
        now = self._now(branch)
        doing = f"cannot {'move' if new else 'delete'} {branch} of {self._shown}"
        problem = explain(done, doing, self._remote)
        if now is None:
            raise self._explained(done.error_text, problem)
        if now == new:
            return True
        if now != old:
            return False
        if done.timed_out or problem.reason in _FOR_ALL:
            raise self._explained(done.error_text, problem)
        said = self._explained(done.error_text, Stalled(f"{doing}: the server refused", _HINT))
        raise BranchRefused(said.message, said.hint, said.reason)

    def tip_of(self, branch: str) -> str:
        """Ask where a branch is by now, empty where it is not there.

        Raises:
            Transient: The remote does not tell.
        """
        now = self._now(branch)
        if now is None:
            said = f"{self._shown} does not tell whether {branch} is there"
            raise Transient(said, "nothing to do: the next run asks again")
        return now

    def _now(self, branch: str) -> str | None:
        ref = f"refs/heads/{branch}"
        listed = self._git.list_heads(self._remote, _NAME, ref, timeout=self._timeout)
        if listed is None or listed.returncode or listed.timed_out:
            return None
        # It tells of every ref that ends so: a branch may be called refs/heads/….
        rows = (line.partition("\t") for line in listed.lines)
        return next((oid for oid, _, name in rows if name == ref), "")

    def _explained(self, said: str, problem: ReconcilerError) -> ReconcilerError:
        """Return a refusal with what the server's own hooks said, and a hint about this credential."""
        words = server_words(said.replace(self._remote.password, "***") if self._remote.password else said)
        if not isinstance(problem, Stalled):
            return problem
        hint = _HINT if problem.reason in _REFUSED else problem.hint
        return Stalled(problem.message + (f": {words}" if words else ""), hint, problem.reason)

    def _tree(self, head: str, proposal: Proposal, doing: str) -> str:
        """Write the tree of a commit with one file more, and return its id."""
        done = with_file(self._git, head, proposal, f"{WHO[0]} <{WHO[1]}> 0 +0000", b"")
        oid = done.text.strip()
        if done.returncode or not is_oid(oid):
            damage.sweep(self._git.git_dir)
            raise damage.judge(self._git, done, doing)
        ((tree, _, _),) = described(self._git, [f"{oid}^{{tree}}"], doing)
        return tree

    def _standing(self, branch: str, tip: str, head: str) -> StandingProposal:
        """Say what a branch is."""
        doing = f"cannot read {branch}"
        data = bounded(self._git, [tip], doing, MAX_COMMIT_BYTES)[0]
        commit = None if data is None else read_commit(tip, data)
        is_own = commit is not None and _is_own(branch, commit)
        start = self._git.run("merge-base", head, tip).text.strip()
        if start == tip:
            return StandingProposal(branch, tip, is_merged=True, foreign="" if is_own else _PUSHED)
        changes = self._changes(start, tip, doing) if start else []
        others = [one for one in changes if not _is_document(one)]
        only = changes[0] if len(changes) == 1 and not others else None
        text = None if only is None else bounded(self._git, [only.oid], doing, _MOST_BYTES)[0]
        if only is None or text is None:
            # Where the policy was rewritten, its lost commits are on the branch too: those are nobody's.
            is_left = is_own and commit is not None and commit.parent != start
            return StandingProposal(branch, tip, foreign="" if is_left else _holds(others))
        told = text.decode("utf-8", "replace")
        return StandingProposal(branch, tip, only.path, told, "" if is_own else _PUSHED)

    def _changes(self, parent: str, tip: str, doing: str) -> list[_ChangedPath]:
        limit = _MOST_CHANGES * 512
        words = ("diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", parent, tip)
        found = self._git.run(*words, limit=limit, ends_at_limit=True)
        if found.returncode and not found.truncated:
            raise damage.judge(self._git, found, doing)
        return list(_read_changes(found.stdout.split(b"\0")))


def _read_changes(fields: Sequence[bytes]) -> Iterator[_ChangedPath]:
    for details, path in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, oid, status = details.decode("ascii", "replace").split()
        yield _ChangedPath(status, mode, oid, path.decode("utf-8", "backslashreplace"))


def _is_document(one: _ChangedPath) -> bool:
    return one.status == "A" and one.mode == "100644" and bool(_DOCUMENT.fullmatch(one.path))


def _holds(others: Sequence[_ChangedPath]) -> str:
    """Say what a branch holds that is not one new document."""
    if not others:
        return "it does not hold one new file below approvals/"
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"it changes {others[0].path}{more}, and not one new file below approvals/ alone"


def _is_own(branch: str, commit: SignedCommit) -> bool:
    head = commit.payload.partition(b"\n\n")[0].decode("utf-8", "replace").split("\n")
    whos = {line.rpartition(" <")[0] for line in head if line.startswith(("author ", "committer "))}
    parents = sum(line.startswith("parent ") for line in head)
    seal = _seal(branch, commit.parent, head[0].removeprefix("tree "))
    is_sealed = commit.trailers(_SEAL) == (seal,)
    return parents == 1 and is_sealed and whos == {f"author {WHO[0]}", f"committer {WHO[0]}"}


def _seal(branch: str, parent: str, tree: str) -> str:
    return sha256(f"{branch}\n{parent}\n{tree}\n".encode()).hexdigest()
