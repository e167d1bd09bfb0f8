"""What the key of a forge vouches for: that an account merged by its button, and nothing beyond that.

The rules:

1. Only a commit with two parents counts, since all else that a forge signs (an edit in the browser, a squash)
   may be made by more people than merge. What a rebase button makes is signed by nobody.
2. The account that merged must be listed. GitHub, GitLab, Gitea and Forgejo write its address into the author
   of the merge; the committer is the forge itself, or the same account.
3. Nothing that says who is trusted, or what runs as root, comes in so: what :data:`GUARDED` names must be as
   in the first parent.
4. It is trust in the forge, since whoever has taken it over writes any account into any merge.
"""

from reconciler.gitops.damage import judge
from reconciler.gitops.git import Git
from reconciler.gitops.signed_commits import SignedCommit
from reconciler.policy.problems import quoted
from reconciler.policy.signers import Signer
from reconciler.records import dataclass

GUARDED = ("trust", "scripts", "patchledger.yaml")
"""What of the policy repository a forge's key never vouches for a change of."""
_LISTED_HINT = "merge with a listed key: git merge --no-ff --gpg-sign BRANCH"
MERGE_HINT = f"use the button that makes a merge commit, or {_LISTED_HINT}"
_DOING = "cannot read what a merge changed"
_MOST_OF_AN_ADDRESS = 100


@dataclass(frozen=True, slots=True)
class TrustedForge:
    """A forge whose merge button is trusted.

    Attributes:
        keys: Those that it signs with; ``who`` is what the forge is called.
        accounts: Addresses of the accounts that may merge.
    """

    keys: tuple[Signer, ...] = ()
    accounts: frozenset[str] = frozenset()

    @property
    def fingerprints(self) -> frozenset[str]:
        """Of its keys."""
        return frozenset(key.fingerprint for key in self.keys)


@dataclass(frozen=True, slots=True)
class NoMerge:
    """Why a forge's key does not vouch for a commit, as the rest of a sentence; and what to do."""

    said: str
    hint: str = _LISTED_HINT


def merged_by(commit: SignedCommit, forge: TrustedForge, git: Git) -> str | NoMerge:
    """Return the account that made a merge which a forge signed.

    Args:
        commit: What one of its keys signed.
        forge: Who may merge.
        git: The repository that has the commit.

    Raises:
        ReconcilerError: The repository cannot be read.
    """
    account = commit.author_of_merge()
    if account is None:
        return NoMerge(
            "and is no merge of two, as squash buttons and edits in the browser make it", MERGE_HINT
        )
    if account not in forge.accounts:
        shown = quoted(account[:_MOST_OF_AN_ADDRESS])
        return NoMerge(f"and was merged by {shown}, which is none of trust.forge.accounts")
    changed = _changed(commit.oid, git)
    if changed:
        return NoMerge(f"and changes {', '.join(changed)}, which a forge's key never vouches for")
    return account


def _changed(oid: str, git: Git) -> tuple[str, ...]:
    asked = git.run("diff-tree", "--no-renames", "--name-only", "-z", f"{oid}^1", oid, "--", *GUARDED)
    if asked.returncode:
        raise judge(git, asked, _DOING)
    return tuple(name for name in asked.text.split("\0") if name)
