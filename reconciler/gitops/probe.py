"""Ask a remote whether it will serve this host, before anything relies on it; nothing is changed there."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from reconciler.errors import PolicyRejected, Stalled
from reconciler.gitops import damage
from reconciler.gitops.failures import explain
from reconciler.gitops.git import Git, GitAccess
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.signed_history import SignedHistory, SigningRules
from reconciler.planning.facts.observation import ClockState
from reconciler.planning.gates.gates import why_no_key_is_judged
from reconciler.policy.remotes import parse_remote, redact_url
from reconciler.reconcile.ports.policies import (
    Acceptance,
    Advanced,
    Fetched,
    FirstUse,
    Rewritten,
    Unchanged,
    Unverified,
)
from reconciler.records import dataclass

_ACCEPTED_BEFORE = "who was listed when this host accepted it"
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_NAME = "reports"
ACCESS_REFUSED = "AccessRefused"
"""The reason of an error that says: the server knows who asks, and says no."""
_READ_ONLY = (
    "marked as read only",  # GitHub
    "does not have write access",  # GitLab
    "not allowed to push code",  # GitLab
    "not authorized to write",  # Gitea and Forgejo
    "does not support push code",  # Gitee
)
"""What forges say by ssh to a key that may only read; by https it is a status that git names."""
_READ_ONLY_HINT = "give this host's credential the right to push there"
_SOMEBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "patchledger"), ("EMAIL", "patchledger@localhost"))
}


@dataclass(frozen=True, slots=True)
class Served:
    """The policy can be had.

    Attributes:
        head: Full id of the branch's newest commit.
        subject: First line of its message, untrusted.
        committed_at: When it was made, in UTC.
        signer: Who signed it, empty where nobody need.
    """

    head: str
    subject: str
    committed_at: datetime
    signer: str = ""


def _synchronised() -> ClockState:
    return ClockState.SYNCHRONISED


@dataclass(frozen=True, slots=True)
class Demands:
    """What a policy must be to be followed.

    Attributes:
        floor: ``trust.floor``, ``None`` without one.
        rules: Who must have signed it, ``None`` where nobody need.
        tell: As of :class:`SignedHistory`.
        clock: Says whether the present can be believed, by which keys are valid or not.
        known: What this host accepted last, after it was verified; ``None`` where nothing was.
    """

    floor: str | None = None
    rules: SigningRules | None = None
    tell: Callable[[int, int], None] | None = None
    clock: Callable[[], ClockState] = _synchronised
    known: Acceptance | None = None


@contextlib.contextmanager
def opened_policy(
    remote: str,
    ref: str,
    options: GitAccess,
    wanted: Demands,
    *,
    timeout: float,
    now: datetime,
    kept: Path | None = None,
) -> Iterator[tuple[PolicyMirror, Served]]:
    """Fetch the policy once, and verify it where that is wanted.

    Args:
        remote: Its address.
        ref: Its branch.
        options: How to reach it.
        wanted: What it must be.
        timeout: Seconds for each conversation with the remote.
        now: The present instant, aware.
        kept: Folder for the copy, where it is fetched again and what was verified is remembered; ``None`` for
            one that is thrown away.

    Raises:
        PolicyRejected: A commit that must be signed is not, by who may.
        Transient: The remote cannot be reached.
        Stalled: It refuses, or has no such branch; or the floor is not in the history of the branch; or the
            clock is wrong, so that no key is judged.
        Misuse: The address, branch, floor or a file of the options cannot be used.
    """
    with contextlib.ExitStack() as held:
        folder = kept or Path(held.enter_context(tempfile.TemporaryDirectory(prefix="patchledger-")))
        folder.mkdir(mode=0o700, exist_ok=True)
        source = PolicyMirror(folder / "policy.git", remote, ref, options, wanted.floor)
        found = source.fetch(timeout=timeout, now=now)
        if not isinstance(found, Fetched):
            raise found.problem
        assessed = source.succession(found.head, wanted.known)
        if isinstance(assessed, Rewritten):
            raise _rewritten(source, wanted, assessed)
        signer = _signer(source, wanted, assessed, now)
        shown = source.describe(found.head)
        yield source, Served(found.head, shown.subject, shown.committed_at, signer)


def _rewritten(source: PolicyMirror, wanted: Demands, found: Rewritten) -> Stalled:
    if wanted.known is not None:
        return found.problem
    return Stalled(
        f"trust.floor {wanted.floor} is not in the history of {source.branch} of {source.shown}",
        "take a commit that `git log --first-parent` shows there",
    )


def _signer(
    source: PolicyMirror, wanted: Demands, found: FirstUse | Unchanged | Advanced, now: datetime
) -> str:
    """Return who signed the head, in words where nobody need be asked that again."""
    if wanted.rules is None:
        return ""
    is_first = not isinstance(found, Advanced)
    why = why_no_key_is_judged(wanted.clock(), _dates(source, found), now)
    if why:
        raise Stalled(why, "have the clock of this machine set", "NoKeyJudged")
    if isinstance(found, Unchanged):
        return _ACCEPTED_BEFORE
    commits = found.commits if isinstance(found, Advanced) else source.line(found.commit)[::-1]
    signed = SignedHistory(source, wanted.rules, wanted.tell).verify(commits, now, is_first=is_first)
    if isinstance(signed, Unverified):
        raise PolicyRejected(signed.message, signed.hint)
    return signed[-1].signer if signed else "whoever chose it as trust.floor"


def _dates(source: PolicyMirror, found: FirstUse | Unchanged | Advanced) -> dict[str, datetime]:
    """Return what is known to lie in the past."""
    told = (found.commit, found.since) if isinstance(found, Advanced) else (found.commit,)
    dates = {oid: source.describe(oid).committed_at for oid in told}
    if isinstance(found, FirstUse):
        # Nobody vouches for what came before it, and whoever made the head chose its date.
        dates |= [source.latest(found.commit)]
    return dates


def probe_push(remote: str, branch: str, options: GitAccess, *, timeout: float) -> bool:
    """Ask for the right to push a branch, as ``git push --dry-run`` does, and return whether it is there yet.

    Nothing is sent, so a hook of the server may still refuse.

    Raises:
        Transient: The remote cannot be reached.
        Stalled: It refuses, or is no repository.
        Misuse: The address or a file of the options cannot be used.
    """
    parsed = parse_remote(remote)
    doing = f"cannot push to {redact_url(remote)}"
    with tempfile.TemporaryDirectory(prefix="patchledger-") as folder:
        git = Git(Path(folder) / "probe.git", options)
        damage.create_bare(git.git_dir, git)
        tree = git.run("hash-object", "-t", "tree", "-w", "--stdin", stdin=b"")
        made = git.run("commit-tree", "-m", "probe", _EMPTY_TREE, environment=_SOMEBODY)
        if tree.returncode or made.returncode:
            raise explain(made if made.returncode else tree, "cannot make a commit to ask with")
        commit = made.text.strip()
        arguments = ("push", "--dry-run", "--porcelain", "--no-signed", "--recurse-submodules=no", _NAME)
        done = git.talk(parsed, _NAME, *arguments, f"{commit}:refs/heads/{branch}", timeout=timeout)
        # A branch that is there has a history that this commit does not continue: git found that out only
        # after the server had let it in.
        if "(fetch first)" in done.text or "(non-fast-forward)" in done.text:
            return True
        if any(words in done.error_text for words in _READ_ONLY):
            raise Stalled(f"{doing}: the server lets this host read only", _READ_ONLY_HINT, ACCESS_REFUSED)
        if done.returncode or done.timed_out:
            raise explain(done, doing, parsed)
        return False
