"""By which key a report was signed: what a commit of a report branch proves by itself.

The rules:

1. A signature counts by the key that made it, and by nothing else: no name, no date, no certificate. Whether
   that key is the host's is another question, which the policy answers
   (:func:`reconciler.policy.enrolment.Enrolment.standing`).
2. It counts for the branch that the commit itself names, in its trailer ``Host``: a report of one target that
   stands on the branch of another proves nothing there.
3. The program that checks it is given that one key, so that a list of signers or publishers cannot vouch for
   a report.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from reconciler.errors import Stalled
from reconciler.gitops.git import Git
from reconciler.gitops.objects import bounded
from reconciler.gitops.refs import target_of
from reconciler.gitops.signed_commits import MAX_COMMIT_BYTES, SSH, Bench, SignedCommit, read_commit
from reconciler.gitops.ssh_signatures import SshSignature, check_ssh, read_signature
from reconciler.policy.signers import Signer, is_weak, public_key_of
from reconciler.reconcile.ports.policies import Unproved
from reconciler.reconcile.ports.reports import SignedReport, UnprovedReport
from reconciler.records import dataclass

_DOING = "cannot read who signed the reports"
_AT_ONCE = 50
_SHORT = 12
_AT_ANY_TIME = datetime(2020, 1, 1, tzinfo=UTC)
"""A report key has no time of its own: it counts for as long as the policy names it."""


def signatures_of(
    git: Git,
    branch: str,
    commits: Sequence[str],
    environment: Mapping[str, str] | None = None,
    only: str = "",
) -> Iterator[SignedReport | UnprovedReport]:
    """Say by which key each commit of a report branch was signed: one process for each signature.

    Args:
        git: The repository that has them.
        branch: Which they stand on, such as ``hosts/web-01``.
        commits: Full ids; the answers come in their order, as they are asked for.
        environment: Added to that of the program that checks signatures.
        only: Fingerprint of the one key that matters: of signatures by others none is checked.

    Raises:
        Damaged: A commit is not there, or cannot be read.
        OSError: Temporary files cannot be written.
    """
    yield from signatures_on(git, [(branch, oid) for oid in commits], environment, only)


def signatures_on(
    git: Git,
    reports: Sequence[tuple[str, str]],
    environment: Mapping[str, str] | None = None,
    only: str = "",
) -> Iterator[SignedReport | UnprovedReport]:
    """Say by which key reports of many branches were signed; otherwise as :func:`signatures_of`.

    Args:
        git: The repository that has them.
        reports: Branch and full id of each.
        environment: Added to that of the program that checks signatures.
        only: As of :func:`signatures_of`.
    """
    with tempfile.TemporaryDirectory(prefix="patchledger-") as folder:
        bench = Bench(Path(folder), environment or {})
        for start in range(0, len(reports), _AT_ONCE):
            some = reports[start : start + _AT_ONCE]
            texts = bounded(git, [oid for _, oid in some], _DOING, MAX_COMMIT_BYTES)
            for (branch, oid), data in zip(some, texts, strict=True):
                yield _Examiner(branch, bench, only).examine(read_commit(oid, data or b""))


def own_public_key(private: Path) -> str:
    """Return the public half of an SSH private key, as the line of a ``.pub`` file without its comment.

    OpenSSH's own format tells it without the key being opened; of others, the file beside it does.

    Returns:
        Type and key; empty where neither file tells it.
    """
    try:
        held = private.read_bytes()
    except OSError:
        return ""
    try:
        return public_key_of(held) or public_key_of(private.with_name(f"{private.name}.pub").read_bytes())
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class _Examiner:
    """Examines the commits of one branch."""

    branch: str
    bench: Bench
    only: str = ""

    def examine(self, commit: SignedCommit) -> SignedReport | UnprovedReport:
        """Say by which key a commit was signed, or why that cannot be relied on."""
        target = target_of(self.branch)
        # Signed for this very branch: a report that one host made proves nothing on the branch of another.
        if commit.trailers("Host") != (target,):
            return _unproved(commit, Unproved.OTHER_BRANCH, f"does not say Host: {target}")
        if commit.count != 1:
            said = "carries more than one signature" if commit.count else "is not signed"
            return _unproved(commit, Unproved.UNSIGNED, said)
        signature = read_signature(commit.signature) if commit.signature.startswith(SSH) else None
        # A document names one key. What certifies keys would count for any host.
        if signature is None or signature.certificate is not None:
            return _unproved(commit, Unproved.UNKNOWN_KEY, "is not signed by a plain SSH key")
        if self.only and signature.fingerprint != self.only:
            return _unproved(commit, Unproved.UNKNOWN_KEY, f"is signed by {signature.fingerprint}")
        return self._checked(commit, signature)

    def _checked(self, commit: SignedCommit, signature: SshSignature) -> SignedReport | UnprovedReport:
        key = signature.fingerprint
        if is_weak(signature.key):
            return _unproved(commit, Unproved.BAD_SIGNATURE, f"is signed by {key}, which is too short")
        signer = Signer("report", signature.type, signature.key, key)
        try:
            wrong = check_ssh(signature, commit.payload, signer, _AT_ANY_TIME, self.bench)
        except Stalled as error:
            return _unproved(commit, Unproved.CANNOT_VERIFY, f"cannot be verified: {error.message}")
        if wrong is not None:
            return _unproved(commit, wrong, f"carries a signature by {key} that is not good")
        policies = commit.trailers("Policy-Commit")
        return SignedReport(commit.oid, key, policies[0] if len(policies) == 1 else "")


def _unproved(commit: SignedCommit, why: Unproved, said: str) -> UnprovedReport:
    return UnprovedReport(commit.oid, why, f"report {commit.oid[:_SHORT]} {said}")
