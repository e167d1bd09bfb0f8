"""Which policy revision holds: the newest where it is good, else the last that was."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.errors import PolicyRejected, ReconcilerError, Transient
from reconciler.planning.facts.observation import ClockState
from reconciler.planning.gates.gates import why_no_key_is_judged
from reconciler.planning.gates.types import PolicyStanding, PolicyState, SignedBy
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.policy.load import NeedsUpgrade, Rejected, Revision, load
from reconciler.policy.problems import Problem, quoted
from reconciler.reconcile.ports.policies import (
    ONE_ROLE,
    Acceptance,
    Advanced,
    Fetched,
    FirstUse,
    Followed,
    Offline,
    PolicyRepository,
    PolicyVerifier,
    ReadPolicy,
    Rewritten,
    Unchanged,
    Unproved,
    Unverified,
    crossed,
)
from reconciler.reconcile.recall import FIRST_USE, Begin, begin, remembered
from reconciler.records import dataclass


def _synchronised() -> ClockState:
    return ClockState.SYNCHRONISED


_MOST_REMEMBERED = 20
"""How many of the commits that were accepted together are told with who signed them, the newest."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The policy revision that holds now, and what became of the newest one.

    Attributes:
        revision: ``None`` while no revision was ever usable.
        state: The same for gates and report.
        acceptance: What the state must remember.
        conditions: Why the newest revision is not the one in force.
        failures: What went wrong on the way, for the exit code.
        beginning: Where the history that is followed begins, for people; to be remembered as well.
    """

    revision: Revision | None
    state: PolicyState
    acceptance: Acceptance | None
    conditions: tuple[Condition, ...] = ()
    failures: tuple[ReconcilerError, ...] = ()
    beginning: str = FIRST_USE


@dataclass(frozen=True, slots=True)
class _Setback:
    """What kept the newest revision back.

    Attributes:
        standing: ``READY`` where the next tick tries again, else it takes a commit or a person.
        type: What it is told as, with ``reason``.
        error: What is wrong, and what to do.
        refused: The revision that is not followed.
    """

    standing: PolicyStanding
    type: ConditionType
    reason: str
    error: ReconcilerError
    refused: str = ""


@dataclass(frozen=True, slots=True)
class SignedTrust:
    """What a signed policy must show.

    Attributes:
        verifier: Says who signed it.
        repository: The name that it must give itself, so that one repository's policy is not another's.
        max_head_age: How old its head may be, ``None`` where that does not matter.
        trusts_forge: Merges that a forge signed count as well.
        clock: Says whether the present can be believed, by which keys are valid or not.
        authorities: Gives the keys of the host's own list that certify others.
    """

    verifier: PolicyVerifier
    repository: str
    max_head_age: timedelta | None = None
    trusts_forge: bool = False
    clock: Callable[[], ClockState] = _synchronised
    authorities: Callable[[], frozenset[str]] = frozenset

    @property
    def said(self) -> str:
        """What it comes to, for people."""
        return f"signed by listed keys{' or by a trusted forge' if self.trusts_forge else ''}"


@dataclass(frozen=True, slots=True)
class PolicyFollower:
    """Follows the policy branch, forward only.

    Attributes:
        repository: Where policy comes from.
        read: Gives what a policy is made of at a commit.
        timeout: Longest time of one conversation with the remote.
        followed: Gives what the host's own reports say; asked only where nothing else remembers.
        trust: Who must have signed the policy, ``None`` where nobody need.
    """

    repository: PolicyRepository
    read: ReadPolicy
    timeout: timedelta
    followed: Callable[[], Followed] = Followed
    trust: "SignedTrust | None" = None

    def follow(
        self,
        acceptance: Acceptance | None,
        now: datetime,
        *,
        accept: bool,
        within: timedelta = timedelta.max,
        beginning: str = "",
    ) -> InForce:
        """Fetch, and say which revision holds: the newest that is good, else the last that was.

        Args:
            acceptance: What was accepted last, as far as the state knows; ``None`` asks the mirror.
            now: Present instant, aware.
            accept: Remember a new valid revision as accepted. A dry-run does not.
            within: Shorter than usual, where somebody cannot wait as long for the remote.
            beginning: As it was found at the first acceptance, empty where nobody knows.

        Raises:
            ReconcilerError: The last good revision itself cannot be read any more.
        """
        timeout = min(self.timeout, within).total_seconds()
        found, how = self._follow(acceptance, now, timeout, accept=accept)
        how = how or beginning or FIRST_USE
        trusted = "not verified (trust.mode is none)" if self.trust is None else self.trust.said
        verification = f"{trusted}: {how}, then forward only"
        return replace(found, beginning=how, state=replace(found.state, verification=verification))

    def _follow(
        self, acceptance: Acceptance | None, now: datetime, timeout: float, *, accept: bool
    ) -> tuple[InForce, str]:
        """Return what holds, and where the history begins, empty where it began before."""
        known = remembered(self.repository, acceptance)
        try:
            answer = self.repository.fetch(timeout=timeout, now=now)
        except ReconcilerError as error:
            if isinstance(error, Transient):
                return self._keep(known, now, _out_of_reach("Unreachable", error)), ""
            reason = error.reason or "NoSuchPolicy"
            setback = _Setback(PolicyStanding.STALLED, ConditionType.POLICY_UNAVAILABLE, reason, error)
            return self._keep(known, now, setback), ""
        match answer:
            case Offline(problem=problem):
                return self._keep(known, now, _out_of_reach("Unreachable", problem)), ""
            case Fetched(head=head) if known is None:
                return self._begin(head, now, accept=accept)
            case Fetched(head=head):
                return self._advance(head, known, now, accept=accept), ""

    def _begin(self, head: str, now: datetime, *, accept: bool) -> tuple[InForce, str]:
        """Go on from what the host's own reports say, or begin as the configuration says."""
        match begin(self.repository, head, self.followed()):
            case PolicyRejected() as error:
                return self._keep(None, now, _refused("HistoryRewritten", error, head)), ""
            case Begin(acceptance=acceptance, how=how):
                if acceptance is not None and acceptance.commit == head:
                    proven = acceptance if self.trust is not None and acceptance.is_verified else None
                    new = None if proven is None else ()
                    return self._consider(head, proven, now, new, accept=accept), how
                return self._advance(head, acceptance, now, accept=accept), how

    def _advance(self, head: str, known: Acceptance | None, now: datetime, *, accept: bool) -> InForce:
        match self.repository.succession(head, known):
            case Rewritten(commit=commit, problem=problem):
                rewritten = PolicyRejected(problem.message, problem.hint)
                return self._keep(known, now, _refused("HistoryRewritten", rewritten, commit))
            case Unchanged() if self._may_hold(known):
                return self._keep(known, now)
            case Advanced(commit=commit, commits=commits) if known is None or self._may_hold(known):
                return self._consider(commit, known, now, commits, accept=accept)
            case Unchanged(commit=commit) | Advanced(commit=commit) | FirstUse(commit=commit):
                return self._consider(commit, known, now, None, accept=accept)

    def _may_hold(self, known: Acceptance | None) -> bool:
        """Say whether what was accepted may be obeyed: where signatures are asked for, only with them."""
        return known is not None and (self.trust is None or known.is_verified)

    def _verified(
        self, trust: SignedTrust, commit: str, commits: Sequence[str] | None, now: datetime
    ) -> tuple[SignedBy, ...] | Unverified:
        """Say who signed what must be: what is new, or all since the floor where nothing was verified."""
        if commits is not None:
            return trust.verifier.verify(commits, now)
        line, floor = self.repository.line(commit), self.repository.floor
        since = line[: line.index(floor)] if floor in line else line
        return trust.verifier.verify(since[::-1], now, is_first=floor not in line)

    def _consider(
        self,
        commit: str,
        known: Acceptance | None,
        now: datetime,
        commits: Sequence[str] | None,
        *,
        accept: bool,
    ) -> InForce:
        """Take a new revision if it is signed and valid, else keep the last good one and say why.

        Args:
            commit: The new head.
            known: What was accepted last.
            now: Present instant, aware.
            commits: What must be signed, oldest first; ``None`` where nothing before it was verified.
            accept: As of :meth:`follow`.
        """
        try:
            wrong = None if self.trust is None else self._wrong_clock(self.trust, commit, known, now)
            if wrong is not None:
                return self._keep(known, now, wrong)
            # Who signed it comes first: nothing that a stranger wrote is parsed.
            signed = () if self.trust is None else self._verified(self.trust, commit, commits, now)
            if isinstance(signed, Unverified):
                return self._keep(known, now, _unproved(signed, commit))
            loaded = load(self.read(commit, now), commit)
        except ReconcilerError as error:
            is_passing = isinstance(error, Transient)
            setback = (
                _out_of_reach("Unreadable", error) if is_passing else _refused("Unreadable", error, commit)
            )
            return self._keep(known, now, setback)
        match loaded:
            case Revision() if against := self._foreign(loaded) or self._crossed(loaded, known, signed, now):
                return self._keep(known, now, against)
            case Revision():
                is_verified, newest = self.trust is not None, signed[-_MOST_REMEMBERED:]
                if not newest and known is not None and known.commit == commit:
                    newest = known.signed  # nothing is new: it was verified before
                kept = Acceptance(commit, is_verified=is_verified, signed=newest)
                if accept:
                    kept = replace(self.repository.accept(commit, is_verified=is_verified), signed=newest)
                return InForce(loaded, self._state(commit, signed=newest), kept, _conditions(loaded))
            case Rejected() | NeedsUpgrade():
                return self._keep(known, now, _unusable(loaded, commit))

    def _wrong_clock(
        self, trust: SignedTrust, head: str, known: Acceptance | None, now: datetime
    ) -> _Setback | None:
        """Return why nothing is judged now: at a wrong present, an ended key would be accepted for good."""
        if trust.clock() is not ClockState.UNSYNCHRONISED:
            return None
        told = [one for one in ("" if known is None else known.commit, self.repository.floor) if one]
        dates = {commit: self.repository.describe(commit).committed_at for commit in (head, *told)}
        if not told:
            # Nobody vouches for what came before it, and whoever made the head chose its date.
            dates |= [self.repository.latest(head)]
        why = why_no_key_is_judged(ClockState.UNSYNCHRONISED, dates, now)
        if not why:
            return None
        error = Transient(why, "have the clock of this host set")
        return _Setback(PolicyStanding.READY, ConditionType.CLOCK_WRONG, "NoKeyJudged", error)

    def _foreign(self, revision: Revision) -> _Setback | None:
        """Return what is against a revision that is of another repository than it must be."""
        if self.trust is None or revision.repository == self.trust.repository:
            return None
        return _foreign(revision, self.trust.repository)

    def _crossed(
        self, revision: Revision, known: Acceptance | None, signed: Sequence[SignedBy], now: datetime
    ) -> _Setback | None:
        """Return what is against a revision that a host's or publisher's key has signed.

        Such a key may stand in this host's own list, or have a certificate by one there, of which whoever
        wrote the policy knows nothing. It is what it was before the revision, too, which may say otherwise.
        """
        if not signed:
            return None
        roles = revision.other_roles()
        before = load(self.read(known.commit, now), known.commit) if self._may_hold(known) and known else None
        if isinstance(before, Revision):
            roles = {**roles, **before.other_roles()}
        said = crossed(signed, roles, frozenset() if self.trust is None else self.trust.authorities())
        return (
            _refused(Unproved.OTHER_ROLE, PolicyRejected(said, ONE_ROLE), revision.commit) if said else None
        )

    def _keep(self, known: Acceptance | None, now: datetime, setback: _Setback | None = None) -> InForce:
        """Stay with the last accepted revision, and tell what kept the newest one back."""
        revision, signed = None, () if known is None else known.signed
        if known is not None and self._may_hold(known):
            match load(self.read(known.commit, now), known.commit):
                case Revision() as other if foreign := self._foreign(other):
                    setback = setback or foreign  # this host followed another repository when it was accepted
                case Revision() as good:
                    revision = good
                case Rejected() | NeedsUpgrade() as unusable:
                    # It was valid for the version that accepted it, and is not for this one.
                    setback = setback or _unusable(unusable, known.commit)
        state = self._state("" if revision is None else revision.commit, setback, signed)
        conditions = () if revision is None else _conditions(revision)
        if setback is None:
            return InForce(revision, state, known, conditions)
        return InForce(revision, state, known, (_condition(setback), *conditions), (setback.error,))

    def _state(
        self, commit: str, setback: _Setback | None = None, signed: tuple[SignedBy, ...] = ()
    ) -> PolicyState:
        info = self.repository.describe(commit) if commit else None
        standing, message, refused = PolicyStanding.READY, "", ""
        if setback is not None and setback.standing is not PolicyStanding.READY:
            standing, message, refused = setback.standing, setback.error.message, setback.refused
        return PolicyState(
            remote=self.repository.shown,
            ref=self.repository.branch,
            commit=commit,
            committed_at=None if info is None else info.committed_at,
            fetched_at=self.repository.fetched_at(),
            standing=standing,
            message=message,
            refused=refused,
            floor=self.repository.floor,
            signed=signed if commit else (),
            max_head_age=None if self.trust is None else self.trust.max_head_age,
        )


def _out_of_reach(reason: str, error: ReconcilerError) -> _Setback:
    return _Setback(PolicyStanding.READY, ConditionType.POLICY_UNREACHABLE, reason, error)


def _refused(reason: str, error: ReconcilerError, commit: str) -> _Setback:
    return _Setback(PolicyStanding.STALLED, ConditionType.POLICY_REJECTED, reason, error, commit)


def _unproved(found: Unverified, head: str) -> _Setback:
    error = PolicyRejected(found.message, found.hint)
    return _refused(found.why, error, head)


def _foreign(revision: Revision, expected: str) -> _Setback:
    name = quoted(revision.repository) if revision.repository else "nothing"
    error = PolicyRejected(
        f"policy {revision.commit[:12]} says in patchledger.yaml that it is {name}, and "
        f"this host follows {quoted(expected)}",
        "correct trust.repository of this host, or repository: there",
    )
    return _refused("ForeignRepository", error, revision.commit)


def _condition(setback: _Setback) -> Condition:
    error = setback.error
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    is_stalled = setback.standing is not PolicyStanding.READY
    return Condition(setback.type, True, setback.reason, message, stalled=is_stalled)


def _conditions(revision: Revision) -> tuple[Condition, ...]:
    """Return what is to be told of a revision although it is in force."""
    if not revision.misplaced:
        return ()
    message = f"not in force: {_first_of(revision.misplaced)}"
    return (Condition(ConditionType.POLICY_MISPLACED, True, "NotRead", message),)


def _first_of(problems: Sequence[Problem]) -> str:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def _unusable(loaded: Rejected | NeedsUpgrade, commit: str) -> _Setback:
    error = rejection(loaded, commit)
    if isinstance(loaded, Rejected):
        return _refused("Invalid", error, commit)
    told = ConditionType.NEEDS_UPGRADE
    return _Setback(PolicyStanding.NEEDS_UPGRADE, told, "NeedsUpgrade", error, commit)


def rejection(loaded: Rejected | NeedsUpgrade, commit: str) -> PolicyRejected:
    """Return the error for a policy that cannot be used: its first problem, and how many more there are."""
    match loaded:
        case Rejected(problems=problems):
            return PolicyRejected(
                f"policy {commit[:12]} is invalid: {_first_of(problems)}",
                "run `patchledger policy check` on it",
            )
        case NeedsUpgrade(requires=requires, running=running):
            return PolicyRejected(
                f"policy {commit[:12]} requires patchledger {requires}, and this is {running}",
                "upgrade patchledger on this host",
            )
