"""Who signed the policy: each commit of its first-parent line, by keys that were listed before it.

The rules:

1. A commit is judged by this host's own list and by the one in its **first parent**, so that only who is
   trusted already can have others trusted. A list with a mistake counts for nobody.
2. What counts is the key's fingerprint in these lists, and its validity **now**. A program's exit code alone,
   the date of a commit and the names of its author and committer count for nothing.
3. A commit signed by a key of this host's own list is a checkpoint: of those before it, a key may have ended
   since. Commits that are not signed, or by a key that was never listed or is revoked, stay refused.
4. Where nothing before a commit is trusted yet, the list there is anybody's. So a line that is followed for
   the first time begins at the newest commit that a key of this host's own list signed.
5. A key of a forge is none of these: it vouches for merges by listed accounts, and is believed only beside
   what is trusted already (:mod:`reconciler.gitops.forge_merges`).
6. Nothing is read of a policy before all of this holds.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from reconciler.errors import Stalled
from reconciler.gitops.damage import judge
from reconciler.gitops.failures import Damaged
from reconciler.gitops.forge_merges import MERGE_HINT, NoMerge, TrustedForge, merged_by
from reconciler.gitops.git import Git
from reconciler.gitops.objects import MAX_FILE_BYTES, bounded, described
from reconciler.gitops.openpgp_signatures import check_openpgp
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.refs import read_file, write_file
from reconciler.gitops.report_tree import object_id
from reconciler.gitops.signed_commits import MAX_COMMIT_BYTES, OPENPGP, SSH, Bench, SignedCommit, read_commit
from reconciler.gitops.ssh_signatures import SshSignature, check_ssh, read_signature, who
from reconciler.ownership import check_ours
from reconciler.planning.gates.types import SignedBy, SignMethod
from reconciler.policy.problems import Problem
from reconciler.policy.remotes import one_line
from reconciler.policy.signers import OPENPGP as OPENPGP_KEY
from reconciler.policy.signers import (
    SIGNERS_FILE,
    Revocation,
    Signer,
    SignerList,
    is_weak,
    read_revoked,
    read_signers,
)
from reconciler.reconcile.ports.policies import ONE_ROLE, Unproved, Unverified
from reconciler.records import dataclass

_DOING = "cannot read who signed the policy"
_FILE = "patchledger-verified"
_TRAILER = "Policy-Ref"
_SHORT = 12
_AT_ONCE = 100
"""Commits after which a long line is remembered, and told of."""
_KEPT = 20
"""Of those that are remembered, how many signers; a report names as many."""
_READ_AT_ONCE = 20
"""Commits that are held in memory, with their lists: who made them may be anybody."""
_MOST_TOLD = 20
_MOST_OF_NAMES = 200
_NO_FORGE = TrustedForge()
_OWN_HINT = "set trust.floor, or have a commit signed by a key of this host's own list"
_SEALED_HINT = "have a commit on top of it signed by a key of this host's own list"


@dataclass(frozen=True, slots=True)
class SigningRules:
    """What this host's own configuration says of signatures.

    Attributes:
        signers: File of the keys that it trusts by itself.
        revoked: File of keys that count no more, wherever they are listed.
        ref: The branch that each commit must name in its trailer ``Policy-Ref``; empty where none need.
        environment: Added to that of the programs that check signatures.
        forge_keys: File of the keys of a forge whose merge button is trusted.
        forge_accounts: Addresses of the accounts whose merges count there.
        report_key: Fingerprint of the key that signs this host's reports, and therefore no policy; empty
            without one.
    """

    signers: Path
    revoked: Path | None = None
    ref: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    forge_keys: Path | None = None
    forge_accounts: frozenset[str] = frozenset()
    report_key: str = ""


@dataclass(frozen=True, slots=True)
class HostLists:
    """The host's own lists.

    Attributes:
        signers: Whom it trusts by itself.
        revoked: Keys that count no more.
        digest: Tells when the lists, or the branch that commits must name, are others.
        problems: All mistakes in them; with any, nothing may be verified.
        forge: Whose merges count as well.
    """

    signers: tuple[Signer, ...]
    revoked: Revocation
    digest: str
    problems: tuple[Problem, ...]
    forge: TrustedForge = _NO_FORGE


class SignedHistory:
    """Says who signed the commits of a mirror.

    Args:
        mirror: Where they are.
        rules: What this host's own configuration says.
        tell: Is told, while a long line is verified, how many of how many commits are good.
    """

    def __init__(
        self, mirror: PolicyMirror, rules: SigningRules, tell: Callable[[int, int], None] | None = None
    ) -> None:
        self._mirror = mirror
        self._rules = rules
        self._tell = tell

    def verify(
        self, commits: Sequence[str], now: datetime, *, is_first: bool = False
    ) -> tuple[SignedBy, ...] | Unverified:
        """See :class:`reconciler.reconcile.ports.policies.PolicyVerifier`.

        A line is remembered as far as it was good, so that nothing is done twice where a run is killed, or
        where a later commit is refused at each tick.
        """
        if not commits:
            return ()
        local = self._local(commits[0])
        if isinstance(local, Unverified):
            return local
        try:
            with tempfile.TemporaryDirectory(prefix="patchledger-") as folder:
                bench = Bench(Path(folder), self._rules.environment)
                judge = _Judge(local, now, self._rules, bench, Git(self._mirror.mirror))
                return self._mirror.whole(lambda: self._verified(judge, commits, is_first=is_first))
        except OSError as error:
            said = f"signatures cannot be verified: {error.filename}: {error.strerror}"
            hint = "free some space for temporary files"
            return Unverified(commits[0], Unproved.CANNOT_VERIFY, said, hint)

    def _verified(
        self, judge: "_Judge", commits: Sequence[str], *, is_first: bool
    ) -> tuple[SignedBy, ...] | Unverified:
        line = _Line(judge, judge.git, commits)
        if is_first:
            line = line.begun()
        first, count = line.commits[0], len(line.commits)
        before, found = self._remembered(line.commits, judge.local)
        firm = len(found)
        for number, one in enumerate(line.after(before).judged(), start=before + 1):
            if isinstance(one.by, Unverified):
                self._remember(first, found[:firm], judge.local)
                return one.by
            found.append(one.by)
            # What only a checkpoint above it holds up is not remembered: that may be taken back, and this was
            # never good by itself.
            firm = len(found) if one.is_firm else firm
            if not number % _AT_ONCE:
                self._remember(first, found[:firm], judge.local)
                if self._tell is not None:
                    self._tell(number, count)
        if count > _KEPT:
            # For whoever looks at the same line next, as setup does more than once; the last is judged again.
            self._remember(first, found[: min(firm, len(found) - 1)], judge.local)
        return tuple(found)

    def _local(self, commit: str) -> "HostLists | Unverified":
        """Read this host's own lists; any mistake in them closes everything."""
        lists = read_rules(self._rules)
        if lists.problems:
            said = "; ".join(map(str, lists.problems[:_MOST_TOLD]))
            return Unverified(commit, Unproved.BAD_LIST, said, "correct it: nothing is verified meanwhile")
        return lists

    def _remembered(self, commits: Sequence[str], local: HostLists) -> tuple[int, list[SignedBy]]:
        """Return how many commits were found good before, by the very same lists, and who signed the last."""
        about, *rows = read_file(self._mirror.mirror / _FILE).rstrip("\n").split("\n")
        try:
            signed = [_signed(row) for row in rows]
        except ValueError:
            signed = []
        newest = signed[-1].commit if signed else ""
        if about != f"{local.digest} {commits[0]}" or newest not in commits[:-1]:
            return 0, []
        return commits.index(newest) + 1, signed

    def _remember(self, first: str, signed: Sequence[SignedBy], local: HostLists) -> None:
        if signed:
            rows = (f"{one.commit} {one.method} {one.fingerprint} {one.signer}" for one in signed[-_KEPT:])
            text = "\n".join((f"{local.digest} {first}", *rows)) + "\n"
            write_file(self._mirror.mirror / _FILE, text, alone=True)


def _signed(row: str) -> SignedBy:
    commit, method, fingerprint, signer = row.split(" ", 3)
    return SignedBy(commit, signer, fingerprint, SignMethod(method))


def read_rules(rules: SigningRules) -> HostLists:
    """Read the lists that the host's own configuration names.

    Raises:
        Misuse: Somebody else may change one of them.
        Stalled: One cannot be read.
    """
    listed, given_up = _own(rules.signers, "trust.allowed_signers"), _revoked(rules)
    root = read_signers(listed, str(rules.signers))
    revoked = read_revoked(given_up, str(rules.revoked))
    of_forge = b"" if rules.forge_keys is None else _own(rules.forge_keys, "trust.forge.key")
    forge, crossed = _forge(rules, of_forge, root)
    accounts = "\n".join(sorted(rules.forge_accounts)).encode()
    digest = sha256(b"\0".join((listed, given_up, rules.ref.encode(), of_forge, accounts))).hexdigest()
    own = _reporting(rules, root.signers, forge.keys)
    wrong = (*root.problems, *revoked.problems, *crossed, *own)
    return HostLists(root.signers, revoked, digest, wrong, forge)


def authorities(rules: SigningRules) -> frozenset[str]:
    """Return the keys of the host's own list that certify others.

    Raises:
        Misuse: As of :func:`read_rules`.
        Stalled: The same.
    """
    listed = read_signers(_own(rules.signers, "trust.allowed_signers"), str(rules.signers)).signers
    return frozenset(one.fingerprint for one in listed if one.is_authority)


def read_revocation(rules: SigningRules) -> Revocation:
    """Read which keys count no more, by the host's own configuration.

    Raises:
        Misuse: Somebody else may change the list.
        Stalled: It cannot be read.
    """
    return read_revoked(_revoked(rules), str(rules.revoked))


def _revoked(rules: SigningRules) -> bytes:
    return b"" if rules.revoked is None else _own(rules.revoked, "trust.revoked")


def _reporting(rules: SigningRules, people: Sequence[Signer], forge: Sequence[Signer]) -> Iterator[Problem]:
    """Yield where the key that signs this host's reports is listed as one that signs policy."""
    said = "is the key of this host's own reports (reports.signing_key), and one key has one role"
    for file, signers in ((rules.signers, people), (rules.forge_keys, forge)):
        for one in signers:
            if one.fingerprint == rules.report_key:
                yield Problem(str(file), one.line, "", said, "take it out")


def _forge(rules: SigningRules, data: bytes, root: SignerList) -> tuple[TrustedForge, tuple[Problem, ...]]:
    """Read the keys of the forge, and all that is wrong with them."""
    file = str(rules.forge_keys)
    found = read_signers(data, file)
    forge = TrustedForge(found.signers, rules.forge_accounts)
    said = "certifies keys, and a forge's key vouches for merges alone"
    problems = [Problem(file, one.line, "", said, "leave it out") for one in forge.keys if one.is_authority]
    said = "is a key of the forge (trust.forge.key) as well, and one key has one role"
    crossed = (one for one in root.signers if one.fingerprint in forge.fingerprints)
    problems += [Problem(str(rules.signers), one.line, "", said, "take it out here") for one in crossed]
    if rules.forge_keys is not None and not (found.signers or found.problems):
        problems.append(Problem(file, 1, "", "lists no key", "write the forge's name, then its key"))
    return forge, (*found.problems, *problems)


@dataclass(frozen=True, slots=True)
class _Read:
    """A commit, and the list in its first parent.

    Attributes:
        is_alone: Nothing before it is trusted, so that the host's own list alone counts.
    """

    commit: SignedCommit
    listed: SignerList
    is_alone: bool = False


def _own(path: Path, setting: str) -> bytes:
    check_ours(str(path), setting)
    try:
        return path.read_bytes()
    except OSError as error:
        raise Stalled(
            f"{setting}: cannot read {path}: {error.strerror}", "nothing is verified meanwhile"
        ) from error


def _read(git: Git, commits: Sequence[str]) -> Iterator[_Read]:
    """Yield the commits with their lists: four processes for twenty of them, and nothing is kept for long."""
    known: dict[str, SignerList] = {}
    for start in range(0, len(commits), _READ_AT_ONCE):
        some = commits[start : start + _READ_AT_ONCE]
        texts = zip(some, bounded(git, some, _DOING, MAX_COMMIT_BYTES), strict=True)
        read = [read_commit(oid, data or b"") for oid, data in texts]
        lists = _lists(git, [one.parent for one in read])
        # Of the lists before these only what is needed again is kept: each may be as large as a file may be.
        known = {oid: known[oid] for oid in lists if oid in known} | {"": SignerList()}
        new = [oid for oid in dict.fromkeys(lists) if oid not in known]
        held = bounded(git, new, _DOING, MAX_FILE_BYTES) if new else []
        known |= {oid: _signers(text) for oid, text in zip(new, held, strict=True)}
        yield from (_Read(one, known[oid]) for one, oid in zip(read, lists, strict=True))


def _signers(text: bytes | None) -> SignerList:
    return _too_large() if text is None else read_signers(text, SIGNERS_FILE)


def _too_large() -> SignerList:
    return SignerList(problems=(Problem(SIGNERS_FILE, 1, "", "is too large"),))


def _lists(git: Git, commits: Sequence[str]) -> list[str]:
    """Return the id of the list in each of these commits, empty where there is none.

    That it cannot be read is another thing than that there is none: so folders are asked what they hold, and
    not objects whether they are there.
    """
    wanted = [oid for oid in dict.fromkeys(commits) if oid]
    found = described(git, [f"{oid}^{{tree}}" for oid in wanted], _DOING) if wanted else []
    trees = {commit: tree for commit, (tree, _, _) in zip(wanted, found, strict=True)}
    missing = [commit for commit, tree in trees.items() if not tree]
    if missing:
        raise Damaged(f"{_DOING}: commit {missing[0]} cannot be read in {git.git_dir}")
    listed = _listed(git, list(dict.fromkeys(trees.values()))) if trees else {}
    return [listed.get(trees.get(commit, ""), "") for commit in commits]


def _listed(git: Git, trees: Sequence[str]) -> dict[str, str]:
    """Return the id of the list in each of these trees that has one (git-diff-tree(1), RAW OUTPUT FORMAT)."""
    nothing = object_id(b"tree 0\0", trees[0])
    # Compared with an empty tree all of a tree is new, and the path leaves one line of it, or none.
    pairs = "".join(f"{nothing} {tree}\n" for tree in trees)
    asked = git.run("diff-tree", "--stdin", "-r", "--no-abbrev", "--", SIGNERS_FILE, stdin=pairs.encode())
    if asked.returncode:
        raise judge(git, asked, _DOING)
    listed, tree = {}, ""
    for line in asked.lines:
        details, _, path = line.partition("\t")
        words = details.split()
        if not details.startswith(":"):
            tree = words[1]
        # A regular file: what a link or a submodule of that name stands for is not in the commit.
        elif path == SIGNERS_FILE and words[1].startswith("100"):
            listed[tree] = words[3]
    return listed


@dataclass(frozen=True, slots=True)
class _Line:
    """A part of the first-parent line, oldest first.

    Attributes:
        judge: Judges its commits.
        git: Where they are.
        commits: Their ids.
        is_first: Nothing before the first of them is trusted, so that the list beside it counts for nobody.
    """

    judge: "_Judge"
    git: Git
    commits: Sequence[str]
    is_first: bool = False

    def after(self, count: int) -> "_Line":
        """Return what follows the first ``count`` commits, which are good."""
        return self if not count else replace(self, commits=self.commits[count:], is_first=False)

    def begun(self) -> "_Line":
        """Return the line from the newest commit by a key of the own list on; without one, its head."""
        start = self.newest_own()
        return replace(self, commits=self.commits[start:] if start >= 0 else self.commits[-1:], is_first=True)

    def newest_own(self) -> int:
        """Return where the newest commit by a key of the host's own list stands, -1 without one."""
        newest = len(self.commits) - 1
        for back, one in enumerate(_read(self.git, self.commits[::-1])):
            if isinstance(self.judge.commit(_alone(one)), SignedBy):
                return newest - back
        return -1

    def judged(self) -> Iterator["_Judged"]:
        """Yield who signed each commit, up to the first that is refused."""
        sealed: int | None = None
        for index, one in enumerate(_read(self.git, self.commits)):
            judged = _alone(one) if self.is_first and not index else one
            found = self.judge.commit(judged)
            if isinstance(found, Unverified) and found.why is Unproved.KEY_ENDED:
                # Looked for only once, and only where a key has ended: that reads the line from its other
                # end.
                sealed = self.newest_own() if sealed is None else sealed
                is_sealed = index < sealed
                found = self.judge.commit(judged, is_sealed=True) if is_sealed else self._way_on(found, index)
            yield _Judged(found, is_firm=sealed is None or index >= sealed)
            if isinstance(found, Unverified):
                return

    def _way_on(self, found: Unverified, index: int) -> Unverified:
        """Name the commit from which on all are good."""
        good = ""
        # Backwards from the head, so that the last one that is good is the oldest from which all are.
        for one in _read(self.git, self.commits[:index:-1]):
            if isinstance(self.judge.commit(one), Unverified):
                break
            good = one.commit.oid
        more = (
            f", or look at the history and set trust.floor to {good}, from which on all are good"
            if good
            else ""
        )
        return replace(found, hint=_SEALED_HINT + more)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What was found of a commit.

    Attributes:
        by: Who signed it, or why it is refused.
        is_firm: It and those before it are good whatever follows, and not by a checkpoint above it alone.
    """

    by: SignedBy | Unverified
    is_firm: bool


def _alone(one: _Read) -> _Read:
    """Return a commit as the host's own list alone judges it."""
    return replace(one, listed=SignerList(), is_alone=True)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges one commit by the lists that hold for it."""

    local: HostLists
    now: datetime
    rules: SigningRules
    bench: Bench
    git: Git

    def commit(self, one: _Read, *, is_sealed: bool = False) -> SignedBy | Unverified:
        """Say who signed a commit; of one that is sealed, the key may have ended since."""
        commit = one.commit
        # Of two signatures a reader may look at the good one and git at the other.
        if commit.count != 1:
            said = "carries more than one signature" if commit.count else "is not signed"
            hint = f"rebase buttons sign nothing: {MERGE_HINT}" if self.local.forge.keys else ""
            return _refused(commit, Unproved.UNSIGNED, said, hint)
        ref = self.rules.ref
        if ref and commit.trailers(_TRAILER) != (ref,):
            return _refused(commit, Unproved.OTHER_BRANCH, f"does not say {_TRAILER}: {ref}")
        try:
            found = self._signed(commit, self._listed(one), is_sealed=is_sealed)
        except Stalled as error:
            return _refused(
                commit, Unproved.CANNOT_VERIFY, f"cannot be verified: {error.message}", error.hint
            )
        if isinstance(found, Unverified) or found.fingerprint not in self.local.forge.fingerprints:
            return found
        return self._merged(one, found)

    def _listed(self, one: _Read) -> tuple[Signer, ...]:
        """Return whose keys count for a commit; a key of the forge counts as that, wherever it is listed."""
        forge = self.local.forge
        # A key of the forge in the list of people would sign whatever its button makes, so that list is
        # passed over.
        people = (*self.local.signers, *(() if one.listed.problems else one.listed.signers))
        return (*(each for each in people if each.fingerprint not in forge.fingerprints), *forge.keys)

    def _merged(self, one: _Read, found: SignedBy) -> SignedBy | Unverified:
        """Say who made the merge that the forge's key signed."""
        forge = self.local.forge
        name = next(key.who for key in forge.keys if key.fingerprint == found.fingerprint)
        said = f"is signed by the forge {name}"
        # Its first parent is anybody's work then, and the forge vouches only for what a merge adds to it.
        if one.is_alone:
            said += ", and nothing before it is trusted"
            return _refused(one.commit, Unproved.FORGE_KEY, said, _OWN_HINT)
        account = merged_by(one.commit, forge, self.git)
        if isinstance(account, NoMerge):
            return _refused(one.commit, Unproved.FORGE_KEY, f"{said}, {account.said}", account.hint)
        return replace(found, signer=f"{account} (trust in the forge {name})", method=SignMethod.FORGE)

    def _signed(
        self, commit: SignedCommit, listed: Sequence[Signer], *, is_sealed: bool
    ) -> SignedBy | Unverified:
        if commit.signature.startswith(SSH):
            return self._ssh(commit, listed, is_sealed=is_sealed)
        if commit.signature.startswith(OPENPGP):
            return self._openpgp(commit, listed, is_sealed=is_sealed)
        return _refused(commit, Unproved.UNKNOWN_KEY, "is signed neither by an SSH nor by an OpenPGP key")

    def _ssh(
        self, commit: SignedCommit, listed: Sequence[Signer], *, is_sealed: bool
    ) -> SignedBy | Unverified:
        signature = read_signature(commit.signature)
        if signature is None:
            return _refused(commit, Unproved.BAD_SIGNATURE, "carries something that is no signature by SSH")
        # Whose it is said to be comes first: a key that nobody listed costs no process.
        mine = [signer for signer in listed if who(signature, signer) is not None]
        said = _named(signature, mine)
        if mine and signature.fingerprint == self.rules.report_key:
            said = f"is signed by {said}, which signs this host's reports"
            return _refused(commit, Unproved.OTHER_ROLE, said, ONE_ROLE)
        chosen = self._chosen(commit, mine, said, {signature.fingerprint}, is_sealed=is_sealed)
        if isinstance(chosen, Unverified):
            return chosen
        against = self._against(commit, signature, said, is_sealed=is_sealed)
        if against is not None:
            return against
        # That a certificate ended is judged above, where a checkpoint may forgive it; the program would not.
        at = self.now if signature.certificate is None else signature.certificate.within(self.now)
        wrong = check_ssh(signature, commit.payload, chosen, at, self.bench)
        if wrong is not None:
            return _refused(commit, wrong, f"carries a signature by {said} that is not good")
        method = SignMethod.SSH if signature.certificate is None else SignMethod.SSH_CERTIFICATE
        return SignedBy(commit.oid, who(signature, chosen) or "", signature.fingerprint, method)

    def _against(
        self, commit: SignedCommit, signature: SshSignature, said: str, *, is_sealed: bool
    ) -> Unverified | None:
        """Say what is against a key that is not listed itself, but certified."""
        certificate = signature.certificate
        if certificate is None:
            return None
        held = certificate.held(self.now)
        if held is not None and not (is_sealed and held is Unproved.KEY_ENDED):
            return _refused(commit, held, f"is signed by {said}, whose certificate {_words(held)}")
        if certificate.is_restricted:
            said += ", whose certificate is for certain uses only,"
            return _refused(commit, Unproved.BAD_SIGNATURE, f"is signed by {said} and signs no policy")
        if is_weak(signature.key):
            return _refused(commit, Unproved.BAD_SIGNATURE, f"is signed by {said}, which is too short")
        return None

    def _openpgp(
        self, commit: SignedCommit, listed: Sequence[Signer], *, is_sealed: bool
    ) -> SignedBy | Unverified:
        keys = [signer for signer in listed if signer.type == OPENPGP_KEY]
        if not keys:  # whichever it is, and with thousands of them a process for each would take long
            return self._unlisted(commit, "an OpenPGP key")
        found = check_openpgp(commit.signature, commit.payload, keys, self.now, self.bench)
        mine = [signer for signer in keys if signer.fingerprint == found.primary]
        said = f"the OpenPGP key {found.primary or found.key}" if found.key else "an OpenPGP key"
        # Of a signature that is not good gpg names no key for certain, so that no line can be chosen by it.
        if not found.primary and found.wrong is Unproved.BAD_SIGNATURE:
            return _refused(commit, found.wrong, f"carries a signature by {said} that is not good")
        chosen = self._chosen(commit, mine, said, {found.key}, is_sealed=is_sealed)
        if isinstance(chosen, Unverified):
            return chosen
        if found.wrong is not None and not (is_sealed and found.wrong is Unproved.KEY_ENDED):
            return _refused(commit, found.wrong, f"is signed by {said}, and that {_words(found.wrong)}")
        return SignedBy(commit.oid, chosen.who, chosen.fingerprint, SignMethod.OPENPGP)

    def _unlisted(self, commit: SignedCommit, said: str) -> Unverified:
        where = f"is signed by {said}, which is listed neither here nor in the commit before it"
        return _refused(commit, Unproved.UNKNOWN_KEY, where)

    def _chosen(
        self, commit: SignedCommit, mine: Sequence[Signer], said: str, also: set[str], *, is_sealed: bool
    ) -> Signer | Unverified:
        """Return the line by which a signature counts."""
        if not mine:
            return self._unlisted(commit, said)
        # Before any date: a checkpoint forgives an end, and never that a key was revoked. Of OpenPGP it may
        # be the subkey that is listed as revoked.
        if self.local.revoked.has(*also, *(signer.fingerprint for signer in mine)):
            return _refused(commit, Unproved.KEY_REVOKED, f"is signed by {said}, which is revoked")
        begun = [signer for signer in mine if not signer.begins_after(self.now)]
        if not begun:
            return _refused(commit, Unproved.KEY_NOT_YET, f"is signed by {said}, which is not valid yet")
        holding = [signer for signer in begun if is_sealed or not signer.ended_before(self.now)]
        if not holding:
            return _refused(commit, Unproved.KEY_ENDED, f"is signed by {said}, which is valid no longer")
        return holding[0]


def _words(against: Unproved) -> str:
    match against:
        case Unproved.KEY_ENDED:
            return "is valid no longer"
        case Unproved.KEY_NOT_YET:
            return "is not valid yet"
        case Unproved.KEY_REVOKED:
            return "is revoked"
        case Unproved.BAD_SIGNATURE:
            return "does not fit the commit"
        case _:  # the others are about a commit or a list, and no key's
            return "is listed nowhere"


def _named(signature: SshSignature, mine: Sequence[Signer]) -> str:
    owner = next((who(signature, signer) or "" for signer in mine), "")
    of = f" of {owner}" if owner else ""
    if signature.certificate is not None:
        names = one_line(", ".join(signature.certificate.principals), _MOST_OF_NAMES) or "nobody"
        return f"the SSH key {signature.fingerprint}, certified for {names}"
    return f"the SSH key {signature.fingerprint}{of}"


def _refused(commit: SignedCommit, why: Unproved, said: str, hint: str = "") -> Unverified:
    usual = "have it signed anew by somebody who is listed, or take the commit back"
    return Unverified(commit.oid, why, f"policy commit {commit.oid[:_SHORT]} {said}", hint or usual)
