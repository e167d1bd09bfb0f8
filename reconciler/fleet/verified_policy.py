"""The policy by which reports are judged: followed forward only, its signatures verified where asked for.

It is followed by the rules of a host: what hosts refuse for what is in it, they do not follow, and so it says
nothing here of who is enrolled. Whether they do is asked once for each new head. Of what is in force a
publisher reads only who is enrolled, who publishes, and what it calls itself.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from reconciler.errors import PolicyRejected, ReconcilerError, Stalled
from reconciler.fleet.report_keys import read_keys
from reconciler.gitops.damage import judge
from reconciler.gitops.git import Git
from reconciler.gitops.objects import bounded, described
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.planning.facts.observation import ClockState
from reconciler.planning.gates.gates import why_no_key_is_judged
from reconciler.planning.gates.types import SignedBy
from reconciler.planning.text.wording import plural
from reconciler.policy.problems import quoted
from reconciler.policy.signers import NOTHING_REVOKED, PUBLISHERS_FILE, Revocation, SignerList, read_signers
from reconciler.reconcile.ports.policies import (
    ONE_ROLE,
    Advanced,
    FirstUse,
    Offline,
    Rewritten,
    Unchanged,
    Unverified,
    crossed,
)
from reconciler.records import dataclass

_DOING = "cannot read the policy"
_MOST_BYTES = 256 * 1024
_SHALLOW = (
    "the clone of the policy does not hold its whole history: reports that name an older policy cannot be "
    "verified (git fetch --unshallow)"
)
_Answer = TypeVar("_Answer")


class Verifier(Protocol):
    """Says who signed commits of the policy."""

    def verify(
        self, commits: Sequence[str], now: datetime, *, is_first: bool = False
    ) -> tuple[SignedBy, ...] | Unverified:
        """See :class:`reconciler.gitops.signed_history.SignedHistory`."""


@dataclass(frozen=True, slots=True)
class SignedPolicy:
    """What a signed policy must show.

    Attributes:
        verifier: Says who signed it.
        repository: The name that it must give itself.
        clock: Says whether the present can be believed, by which keys are valid or not.
        revoked: Keys that count no more, whoever lists them and whatever for.
        authorities: Gives the keys of the own list that certify others.
    """

    verifier: Verifier
    repository: str
    clock: Callable[[], ClockState]
    revoked: Revocation = NOTHING_REVOKED
    authorities: Callable[[], frozenset[str]] = frozenset


@dataclass(frozen=True, slots=True)
class PolicyAt:
    """The policy by which reports are judged.

    Attributes:
        git: Where it is.
        line: Its commits by their first parents, the oldest first; the last one is in force.
        is_verified: Signatures were asked for, and were good.
        publishers: Whose signature counts on the branches of the fleet, by the policy's own list.
        notices: What a person should know.
        problem: Why it is not the newest: that cannot be reached, or was refused.
        below: Where it lies in the repository, as ``folder/``; empty for its top.
    """

    git: Git
    line: tuple[str, ...]
    is_verified: bool
    publishers: SignerList
    notices: tuple[str, ...] = ()
    problem: ReconcilerError | None = None
    below: str = ""

    @property
    def commit(self) -> str:
        """The commit that is in force."""
        return self.line[-1]


@dataclass(frozen=True, slots=True)
class GivenPolicy:
    """A policy that a person has: taken as it is, up to a commit.

    Attributes:
        git_dir: The repository.
        commit: Full id of the commit that is taken as the one in force.
        below: Where the policy lies in the repository, as ``folder/``; empty for its top.
    """

    git_dir: Path
    commit: str
    below: str = ""

    def at(self) -> PolicyAt:
        """Return the line that leads to the commit, and who publishes by it.

        Raises:
            Damaged: It cannot be read.
        """
        git = Git(self.git_dir)
        listed = git.run("rev-list", "--first-parent", self.commit)
        if listed.returncode or listed.truncated:
            raise judge(git, listed, _DOING)
        publishers = _publishers(git, self.commit, self.below)
        is_shallow = git.run("rev-parse", "--is-shallow-repository").text.strip() == "true"
        line, notices = tuple(listed.text.split()[::-1]), (_SHALLOW,) if is_shallow else ()
        return PolicyAt(git, line, False, publishers, notices, below=self.below)

    def whole(self, ask: Callable[[], _Answer]) -> _Answer:
        """Return what ``ask`` reads: nothing is mended of what belongs to a person."""
        return ask()


def follow(
    mirror: PolicyMirror, signed: SignedPolicy | None, now: datetime, timeout: float, keys: Path
) -> PolicyAt:
    """Fetch the policy and take over what is new and good; else go on with what was.

    Args:
        mirror: The policy repository.
        signed: What it must show, ``None`` where nobody need sign.
        now: The present instant, aware.
        timeout: Seconds for each conversation with the remote.
        keys: File that keeps what Host documents said.

    Raises:
        PolicyRejected: Nothing of it was ever found good.
        Stalled: The remote must be mended.
        Transient: It cannot be reached, and there is nothing from before.
    """
    found: ReconcilerError | None = None
    try:
        fetched = mirror.fetch(timeout=timeout, now=now)
    except Stalled as problem:
        if not _holds(mirror, signed):
            raise
        found = _as_before(problem)
    else:
        if isinstance(fetched, Offline):
            found = _as_before(fetched.problem)
        elif (refused := _taken_over(mirror, signed, fetched.head, now, keys)) is not None:
            if not _holds(mirror, signed):
                raise refused
            found = PolicyRejected(f"a newer policy is not used: {refused.message}", refused.hint)
    accepted = mirror.accepted()
    if accepted is None or not _holds(mirror, signed):
        said = f"nothing of the policy {mirror.shown} was found good yet"
        raise Stalled(said, "see the messages above") if found is None else found
    line = mirror.line(accepted.commit)[::-1]
    git = Git(mirror.mirror)
    publishers = mirror.whole(lambda: _publishers(git, accepted.commit))
    return PolicyAt(git, line, signed is not None, publishers, mirror.notices, found)


def _as_before(problem: ReconcilerError) -> ReconcilerError:
    return type(problem)(f"the policy is as it was fetched last: {problem.message}", problem.hint)


def _holds(mirror: PolicyMirror, signed: SignedPolicy | None) -> bool:
    """Say whether what was accepted counts: where signatures are asked for, only with them."""
    accepted = mirror.accepted()
    return accepted is not None and (signed is None or accepted.is_verified)


def _taken_over(
    mirror: PolicyMirror, signed: SignedPolicy | None, head: str, now: datetime, keys: Path
) -> PolicyRejected | None:
    """Accept a new head, or say what is against it."""
    against = partial(_against, mirror, signed, head, now, keys=keys)
    match mirror.succession(head):
        case Rewritten(problem=problem):
            return PolicyRejected(problem.message, problem.hint)
        case Unchanged() if _holds(mirror, signed):
            return None
        case Advanced(commits=commits) if mirror.accepted() is None or _holds(mirror, signed):
            found = against(verify=lambda one: one.verifier.verify(commits, now))
        case Unchanged() | Advanced() | FirstUse():
            found = against(verify=lambda one: _from_the_floor(mirror, one, head, now))
    if found is None:
        found = _of_no_use(mirror, head)
    if found is None:
        mirror.accept(head, is_verified=signed is not None)
    return found


def _of_no_use(mirror: PolicyMirror, head: str) -> PolicyRejected | None:
    """Say why hosts refuse a head for what is in it; such as follow it go on with what was before."""
    from reconciler.gitops.revision import read_revision
    from reconciler.policy.load import NeedsUpgrade, Rejected, load  # dear, for a new head alone

    about = f"policy {head[:12]}"
    try:
        files = mirror.whole(lambda: read_revision(mirror.mirror, head))
    except Stalled as error:
        return PolicyRejected(error.message, error.hint)
    match load(files, head):
        case NeedsUpgrade(requires=requires, running=running):
            said = f"{about} asks for patchledger {requires}, and this is {running}"
            return PolicyRejected(said, "hosts that are no newer refuse it too; install that version")
        case Rejected(problems=(first, *others)):
            more = f", and {plural(len(others), 'more problem')}" if others else ""
            said = f"hosts refuse {about}: {first}{more}"
            return PolicyRejected(said, "correct it there; `patchledger policy check` tells all")
        case _:
            return None


def _from_the_floor(
    mirror: PolicyMirror, signed: SignedPolicy, head: str, now: datetime
) -> tuple[SignedBy, ...] | Unverified:
    line, floor = mirror.line(head), mirror.floor
    since = line[: line.index(floor)] if floor in line else line
    return signed.verifier.verify(since[::-1], now, is_first=floor not in line)


def _against(
    mirror: PolicyMirror,
    signed: SignedPolicy | None,
    head: str,
    now: datetime,
    *,
    keys: Path,
    verify: Callable[[SignedPolicy], tuple[SignedBy, ...] | Unverified],
) -> PolicyRejected | None:
    if signed is None:
        return None
    why = why_no_key_is_judged(signed.clock(), _dates(mirror, head), now)
    if why:
        return PolicyRejected(why, "have the clock of this machine set")
    found = verify(signed)
    if isinstance(found, Unverified):
        return PolicyRejected(found.message, found.hint)
    return _foreign(mirror, signed, head) or _crossed(mirror, signed, head, found, keys)


def _dates(mirror: PolicyMirror, head: str) -> dict[str, datetime]:
    """Return what is known to lie in the past."""
    accepted = mirror.accepted()
    told = (head, "" if accepted is None else accepted.commit)
    dates = {one: mirror.describe(one).committed_at for one in told if one}
    if accepted is None:
        # Nobody vouches for what came before it, and whoever made the head chose its date.
        dates |= [mirror.latest(head)]
    return dates


def _foreign(mirror: PolicyMirror, signed: SignedPolicy, head: str) -> PolicyRejected | None:
    named = mirror.whole(lambda: _name_of(Git(mirror.mirror), head))
    if isinstance(named, PolicyRejected) or named == signed.repository:
        return named if isinstance(named, PolicyRejected) else None
    said = f"policy {head[:12]} calls itself {quoted(named) if named else 'nothing'}"
    return PolicyRejected(f"{said}, and {quoted(signed.repository)} is followed", "see trust.repository")


def _crossed(
    mirror: PolicyMirror, asked: SignedPolicy, head: str, signed: Sequence[SignedBy], keys: Path
) -> PolicyRejected | None:
    said = crossed(signed, mirror.whole(lambda: _other_roles(mirror, head, keys)), asked.authorities())
    return PolicyRejected(said, ONE_ROLE) if said else None


def _other_roles(mirror: PolicyMirror, head: str, keys: Path) -> dict[str, str]:
    """Return the keys that sign something else than policy, by a new head or by what was accepted before it.

    One may stand in the own list, or have a certificate by a key there, of which the policy knows nothing.
    """
    git, accepted = Git(mirror.mirror), mirror.accepted()
    before = "" if accepted is None else accepted.commit
    hosts = read_keys(git, mirror.line(head)[::-1], keys).named_since(before)
    roles = {key: f"the report_key of {host}" for key, host in hosts.items()}
    for commit in filter(None, (before, head)):
        listed = _publishers(git, commit).signers
        roles |= {one.fingerprint: f"a key of {PUBLISHERS_FILE}" for one in listed}
    return roles


def _name_of(git: Git, commit: str) -> str | PolicyRejected:
    """Return what the policy calls itself, empty where it does not say that, or why nobody can tell here."""
    from reconciler.policy.load import NeedsUpgrade, PolicyFile, Rejected, load  # dear, for a new head alone
    from reconciler.policy.placement import REPOSITORY_FILE

    told = _read(git, commit, REPOSITORY_FILE)
    loaded = load([PolicyFile(REPOSITORY_FILE, "100644", told)] if told else [], commit)
    match loaded:
        case NeedsUpgrade(requires=requires):
            return PolicyRejected(f"it asks for patchledger {requires}", "install that where this runs")
        case Rejected(problems=problems):
            return PolicyRejected(str(problems[0]), "correct it there")
        case _:
            return loaded.repository


def _publishers(git: Git, commit: str, below: str = "") -> SignerList:
    """Return the policy's own list of publishers; one with a mistake counts for nobody."""
    found = read_signers(_read(git, commit, f"{below}{PUBLISHERS_FILE}"), PUBLISHERS_FILE)
    return found if not found.problems else SignerList(problems=found.problems)


def _read(git: Git, commit: str, path: str) -> bytes:
    ((oid, kind, _),) = described(git, [f"{commit}:{path}"], _DOING)
    if kind != "blob":
        return b""
    return bounded(git, [oid], _DOING, _MOST_BYTES)[0] or b""
