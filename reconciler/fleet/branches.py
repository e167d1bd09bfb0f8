"""The branches ``fleet`` and ``fleet-rings`` of a report repository: what many reports came to.

The rules:

1. ``fleet`` points at the trees of the targets, in 256 folders by the hash of the name, so that no file is
   written twice and no folder gets long. Beside them are ``heads.txt``, ``summary.json`` and ``STATUS.md``.
2. ``fleet-rings`` holds one small file, since whoever fetches ``fleet`` fetches the whole fleet.
3. Both only move forward, by commits that a publisher's key signed. One that none signed is continued, but
   nothing is taken from it.
4. Where nothing changed, nothing is committed; but once in six hours a commit of the same tree says that the
   fleet is still read.
5. A branch is moved only from where it was seen. Whoever loses against another publisher looks again.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from reconciler.errors import Misuse, ReconcilerError, Stalled
from reconciler.fleet.cache import ReportCache
from reconciler.gitops import damage
from reconciler.gitops.commit_tree import commit_tree
from reconciler.gitops.failures import explain
from reconciler.gitops.git import PLAIN_PUSH
from reconciler.gitops.objects import bounded, described
from reconciler.gitops.refs import is_oid
from reconciler.gitops.refusals import server_words
from reconciler.gitops.report_branches import is_report_branch
from reconciler.gitops.report_tree import blob_id
from reconciler.gitops.signed_commits import MAX_COMMIT_BYTES, SSH, Bench, SignedCommit, read_commit
from reconciler.gitops.signed_reports import own_public_key
from reconciler.gitops.ssh_signatures import check_ssh, read_signature, who
from reconciler.ownership import check_ours
from reconciler.planning.fleet.pages import heads, status_page
from reconciler.planning.fleet.summary import Head, Line, counted, read_summary
from reconciler.planning.text.untrusted import commit_message
from reconciler.planning.text.wording import plural
from reconciler.policy.signers import NOTHING_REVOKED, Revocation, Signer, is_weak, read_signers
from reconciler.reconcile.ports.policies import Unproved
from reconciler.records import dataclass

FLEET = "fleet"
RINGS = "fleet-rings"
STILL_THERE = timedelta(hours=6)
"""After as long a commit of the same tree says that the fleet is read."""
_DOING = "cannot publish the fleet"
_SUMMARY = "summary.json"
_MOST_SUMMARY = 512 * 2**20
_STAGED = "refs/patchledger/publishing"
_WHO = ("patchledger fleet", "fleet@patchledger")
_TRAILER = "Fleet-Branch"
_LONG_AGO = datetime.fromtimestamp(0, UTC)


def signer_of(key: Path) -> Signer:
    """Return a publisher's own key as a line of a list.

    Raises:
        Misuse: It is no SSH private key that can be read.
    """
    public = own_public_key(key)
    found = read_signers(f"publisher {public}\n".encode(), str(key))
    if not public or not found.signers or found.problems:
        raise Misuse(f"{key} is no SSH private key that can be read", "name one with --signing-key")
    return found.signers[0]


@dataclass(frozen=True, slots=True)
class FleetCommit:
    """What became of the branch ``fleet``.

    Attributes:
        commit: The newest commit of it.
        is_new: That was made now.
    """

    commit: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    """A branch as it was fetched.

    Attributes:
        commit: Where it is, empty where there is none.
        tree: Of that commit, where a publisher signed it; else empty, and nothing of it counts.
        at: When it was made.
    """

    commit: str = ""
    tree: str = ""
    at: datetime = _LONG_AGO


@dataclass(frozen=True, slots=True)
class FleetBranches:
    """The branches of the fleet in one report repository.

    Attributes:
        cache: Its copy, as it was fetched.
        signers: Whose commits count.
        now: The present instant, aware.
        timeout: Seconds for each conversation with the remote.
        environment: Added to that of the program that checks signatures.
        revoked: Keys that count no more.
    """

    cache: ReportCache
    signers: tuple[Signer, ...]
    now: datetime
    timeout: float
    environment: Mapping[str, str] = field(default_factory=dict)
    revoked: Revocation = NOTHING_REVOKED

    def rows(self) -> list[Line]:
        """Return the rows that a publisher left; none where there are none that can be understood.

        Raises:
            Damaged: The copy cannot be read.
        """
        seen = self._seen(FLEET)
        if not seen.tree:
            return []
        ((oid, kind, _),) = described(self.cache.git, [f"{seen.tree}:{_SUMMARY}"], _DOING)
        if kind != "blob":
            return []
        try:
            lines = read_summary(bounded(self.cache.git, [oid], _DOING, _MOST_SUMMARY)[0] or b"")[1]
            return [line for line in lines if not line.branch or is_report_branch(line.branch)]
        except Misuse as error:
            self.cache.notices += (f"what the fleet was like before is not used: {error.message}",)
            return []

    def publish(self, head: Head, lines: Sequence[Line], summary: bytes, key: Path) -> FleetCommit | None:
        """Bring both branches to what the fleet is now, and push them; ``None`` where another was quicker.

        Args:
            head: What the summary says besides its rows.
            lines: The rows, the worst first.
            summary: Both, as ``summary.json`` has them.
            key: File of the private key that signs.

        Raises:
            Transient: The remote cannot be reached.
            Stalled: It refuses.
            Damaged: The copy cannot be read.
        """
        seen = self._seen(FLEET)
        is_same = self._holds(seen, summary)
        if is_same and self.now - seen.at < STILL_THERE:
            return FleetCommit(seen.commit, is_new=False)
        tree = seen.tree if is_same else self._tree(_files(head, lines, summary), self._trees(lines))
        commit = self._commit(tree, seen.commit, _message(lines, FLEET, is_news=tree != seen.tree), key)
        before = self._seen(RINGS)
        small = self._tree({"fleet.json": _ring_file(head, lines, commit)}, {})
        rings = self._commit(small, before.commit, _message(lines, RINGS, is_news=True), key)
        moved = {FLEET: (seen.commit, commit), RINGS: (before.commit, rings)}
        return FleetCommit(commit, is_new=True) if self._pushed(moved) else None

    def _seen(self, branch: str) -> _Seen:
        tip = self.cache.tips().get(branch, "")
        if not tip:
            return _Seen()
        (told,) = self.cache.commits([tip])
        if told is None:
            return _Seen(tip)
        commit = read_commit(tip, bounded(self.cache.git, [tip], _DOING, MAX_COMMIT_BYTES)[0] or b"")
        if self.is_signed(commit, branch):
            return _Seen(tip, told.tree, told.at)
        said = f"the newest commit of {branch} is by no publisher; it is continued, and nothing taken from it"
        self.cache.notices += () if said in self.cache.notices else (said,)
        return _Seen(tip)

    def _holds(self, seen: _Seen, summary: bytes) -> bool:
        """Say whether a branch is what this summary makes of it: all else there follows from its rows."""
        if not seen.tree:
            return False
        ((oid, _, size),) = described(self.cache.git, [f"{seen.tree}:{_SUMMARY}"], _DOING)
        return int(size) == len(summary) and oid == blob_id(summary, seen.tree)

    def _trees(self, lines: Sequence[Line]) -> dict[str, str]:
        """Return where the tree of each target goes; one that is lost is left out, and said."""
        told = [line for line in lines if line.tree and line.branch]
        kept = [line.tree for line in told if not line.state.is_reported]
        lost = {tree for tree, is_there in zip(kept, self.cache.has(kept), strict=True) if not is_there}
        if lost:
            said = f"{plural(len(lost), 'report')} that nobody has any more cannot be kept"
            self.cache.notices += (said,)
        return {_place(line): line.tree for line in told if line.tree not in lost}

    def _tree(self, files: Mapping[str, bytes], trees: Mapping[str, str]) -> str:
        """Write a tree, and return its id: one process, however much is in it (git-fast-import(1))."""
        author = f"{_WHO[0]} <{_WHO[1]}> 0 +0000"
        lines = [f"commit {_STAGED}\nmark :1\ncommitter {author}\ndata 0\ndeleteall\n".encode()]
        lines += [f"M 040000 {oid} {path}\n".encode() for path, oid in sorted(trees.items())]
        for path, data in sorted(files.items()):
            lines.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
        lines.append(b"\nget-mark :1\ndone\n")
        git = self.cache.git
        done = git.run("fast-import", "--quiet", "--done", "--force", stdin=b"".join(lines))
        oid = done.text.strip()
        if done.returncode or not is_oid(oid):
            damage.sweep(git.git_dir)
            raise damage.judge(git, done, _DOING)
        ((tree, _, _),) = described(git, [f"{oid}^{{tree}}"], _DOING)
        return tree

    def _commit(self, tree: str, parent: str, message: str, key: Path) -> str:
        check_ours(str(key), "--signing-key")
        parents = [parent] if parent else []
        return commit_tree(
            self.cache.git,
            tree,
            parents,
            message.encode(),
            who=_WHO,
            when=self.now,
            key=str(key),
            doing=_DOING,
        )

    def _pushed(self, moved: Mapping[str, tuple[str, str]]) -> bool:
        """Move branches from where they were seen; return whether that is where they are now.

        What the server says of a refusal is not read: the branch is, as it is afterwards.
        """
        cache = self.cache
        specs = [f"{new}:refs/heads/{branch}" for branch, (_, new) in moved.items()]
        leases = [f"--force-with-lease=refs/heads/{branch}:{old}" for branch, (old, _) in moved.items()]
        words = (*PLAIN_PUSH, *leases, "reports", *specs)
        done = cache.git.talk(cache.remote, "reports", *words, timeout=self.timeout)
        if not done.returncode and not done.timed_out:
            return True
        patterns = (f"refs/heads/{branch}" for branch in moved)
        listed = cache.git.list_heads(cache.remote, "reports", *patterns, timeout=self.timeout)
        if listed is None or listed.returncode:
            raise explain(done, f"{_DOING} on {cache.shown}", cache.remote)
        there = {ref: oid for oid, _, ref in (line.partition("\t") for line in listed.lines)}
        now = {branch: there.get(f"refs/heads/{branch}", "") for branch in moved}
        if now[FLEET] == moved[FLEET][1]:
            return True
        if any(now[branch] != old for branch, (old, _) in moved.items()):
            return False
        raise _refused(cache, done.error_text)

    def is_signed(self, commit: SignedCommit, branch: str) -> bool:
        """Say whether a publisher signed a commit for this branch.

        Raises:
            Stalled: There is no program to check that.
            OSError: Temporary files cannot be written.
        """
        return self.checked(commit, branch) is True

    def checked(self, commit: SignedCommit, branch: str) -> bool | None:
        """Say the same; ``None`` where it could not be found out this time.

        Raises:
            Stalled: There is no program to check that.
            OSError: Temporary files cannot be written.
        """
        signature = read_signature(commit.signature) if commit.signature.startswith(SSH) else None
        if commit.count != 1 or signature is None or commit.trailers(_TRAILER) != (branch,):
            return False
        mine = [one for one in self.signers if who(signature, one) is not None and _holds(one, self.now)]
        if not mine or self.revoked.has(signature.fingerprint, mine[0].fingerprint):
            return False
        certificate = signature.certificate
        if certificate is not None and (certificate.is_restricted or is_weak(signature.key)):
            return False
        with tempfile.TemporaryDirectory(prefix="patchledger-") as folder:
            bench = Bench(Path(folder), self.environment)
            wrong = check_ssh(signature, commit.payload, mine[0], self.now, bench)
        return None if wrong is Unproved.CANNOT_VERIFY else wrong is None


def _holds(signer: Signer, now: datetime) -> bool:
    return not signer.begins_after(now) and not signer.ended_before(now)


def _files(head: Head, lines: Sequence[Line], summary: bytes) -> dict[str, bytes]:
    return {
        "heads.txt": heads(lines),
        _SUMMARY: summary,
        "STATUS.md": status_page(head, lines),
    }


def _ring_file(head: Head, lines: Sequence[Line], commit: str) -> bytes:
    states = counted(lines)
    told = {
        "schema": 1,
        "fleet": commit,
        "policy_commit": head.policy_commit,
        "policy_is_verified": head.policy_is_verified,
        "targets": len(lines),
        "states": {str(state): number for state, number in states.items()},
    }
    return (json.dumps(told, sort_keys=True, indent=1) + "\n").encode()


def _place(line: Line) -> str:
    kind, _, target = line.branch.partition("/")
    return f"{kind}/{sha256(target.encode()).hexdigest()[:2]}/{target}"


def _message(lines: Sequence[Line], branch: str, *, is_news: bool) -> str:
    states = counted(lines)
    told = ", ".join(f"{number} {state}" for state, number in states.items())
    still = "" if is_news else "nothing new, "
    return commit_message(f"{still}{plural(len(lines), 'target')}: {told or 'none'}", {_TRAILER: branch})


def _refused(cache: ReportCache, said: str) -> ReconcilerError:
    words = server_words(said)
    told = f": {words}" if words else ""
    hint = "ask its owner who may publish there"
    return Stalled(f"{_DOING} on {cache.shown}: the server refused{told}", hint)
