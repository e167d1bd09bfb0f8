"""What a host that lost its memory still knows: by the other copy of it, and by its own reports.

The rules:

1. What was accepted last is kept twice, in the state and in the mirror. The newer one in the policy's history
   counts; one that the policy does not hold is no memory, but damage.
2. Where both are lost, the host's own reports are asked, all of them: who writes the newest one cannot take
   the others back. The newest commit that they name, and the configured floor, may only raise each other.
3. A report counts for more than that only where the host's own key signed it: the policy that it says was in
   force, signed by whom, was verified then, and is so taken. Which report is the newest, only the remote
   knows; one that is older than what others name proves nothing.
4. A commit that was reported and that the policy does not hold means that its history was rewritten. That is
   a person's decision, made by a ``trust.floor`` that is another one than the last report knew. Of a host
   with a key only its own reports say so: anybody may push one that names a commit which is none.
5. Evidence, quarantine, a failure, and approvals that are used up are in the newest report's recording.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from reconciler.errors import Misuse, PolicyRejected
from reconciler.planning.gates.recording import Recording, read_recording
from reconciler.planning.gates.types import SignedBy, SignMethod
from reconciler.planning.text.wording import minute
from reconciler.reconcile.ports.policies import Acceptance, Followed, PolicyHistory
from reconciler.reconcile.ports.reports import ReportRepository, Stored
from reconciler.reconcile.ports.state import RUNS, TRUST, Recalled, State
from reconciler.records import dataclass

FIRST_USE = "trusted on first use"
CONFIGURED = "begun at the configured trust.floor"
_OWN_REPORTS = "continued from {}, the newest commit that this host's own reports name"
_PROVEN = "continued from {}, in force in this host's own report of {} under its own signature"
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Begin:
    """A host goes on, or begins, here.

    Attributes:
        acceptance: What the head must continue, ``None`` where the configuration alone says it.
        how: For people: where that is known from.
    """

    acceptance: Acceptance | None
    how: str


def remembered(repository: PolicyHistory, state: Acceptance | None) -> Acceptance | None:
    """Return what was accepted last, by the sound one of two memories; starts no process where they agree."""
    mirror = repository.accepted()
    if state is None or mirror is None:
        return state or mirror
    if state.commit == mirror.commit:
        return state
    theirs = repository.line(mirror.commit)
    if not theirs:
        return state
    # Where neither continues the other the mirror counts: it is written first.
    return state if mirror.commit in repository.line(state.commit) else mirror


def begin(repository: PolicyHistory, head: str, followed: Followed) -> Begin | PolicyRejected:
    """Say where a host begins that remembers nothing.

    Args:
        repository: Where policy comes from.
        head: The fetched commit.
        followed: What the host's own reports say.
    """
    floor = repository.floor
    configured = Begin(None, CONFIGURED if floor else FIRST_USE)
    if not followed.commits:
        return configured
    age = {commit: index for index, commit in enumerate(repository.line(head))}
    held = [commit for commit in followed.commits if commit in age]
    lost = [commit for commit in followed.commits if commit not in age]
    newest = min(held, key=age.__getitem__, default="")
    if floor and floor not in age:
        return configured  # which refuses the head
    vouched = followed.vouched() if lost else None
    if vouched is not None:
        lost = [commit for commit in lost if commit in vouched]  # what anybody may push stops no host
    if lost and not _is_consent(floor, newest, followed, age):
        return _rewritten(repository, lost[0], newest)
    if not newest or (floor and age[floor] < age[newest]):
        return configured
    proven = followed.signed[-1].commit if followed.signed else ""
    if newest != proven or followed.signed_at is None:
        return Begin(Acceptance(newest, floor), _OWN_REPORTS.format(newest[:_SHORT]))
    how = _PROVEN.format(newest[:_SHORT], minute(followed.signed_at))
    return Begin(Acceptance(newest, floor, is_verified=True, signed=followed.signed), how)


def _is_consent(floor: str, newest: str, followed: Followed, age: dict[str, int]) -> bool:
    """Tell whether the configured floor was set after the last report, and lowers nothing."""
    if not floor or floor == followed.floor:
        return False
    if not newest:
        return True
    return age[floor] < age[newest] or (followed.floor is not None and age[floor] == age[newest])


def _rewritten(repository: PolicyHistory, lost: str, newest: str) -> PolicyRejected:
    at_least = f", at least as new as {newest}" if newest else ""
    return PolicyRejected(
        f"this host has lost what it accepted last, and its own reports name commit {lost}, which is not "
        f"in the history of branch {repository.branch} of {repository.shown}: that was rewritten",
        "if the rewrite was intended, set trust.floor to the full id of a commit of the new history"
        f"{at_least}",
    )


def followed(queue: ReportRepository, branch: str, of_runs: Callable[[], Iterable[str]] = tuple) -> Followed:
    """Return what the host's own reports on ``branch`` say of the policy that it followed.

    Args:
        queue: Where they are.
        branch: The host's.
        of_runs: Gives the policy commits that were kept elsewhere on the host, with the logs of runs.

    Raises:
        ReconcilerError: The queue cannot be read.
    """
    proven = queue.proven(branch)
    last = proven or queue.last(branch)
    floor = None if last is None else _policy_of(last).get("floor")
    kept = tuple(of_runs())
    commits = tuple(dict.fromkeys((*queue.policy_commits(branch), *kept)))
    signed = () if proven is None else _signed(_policy_of(proven))
    when = None if proven is None else proven.when

    def vouched() -> frozenset[str] | None:
        own = queue.own_policy_commits(branch)
        return None if own is None else own.union(kept)

    return Followed(commits, floor if isinstance(floor, str) else None, signed, when, vouched)


def _policy_of(report: Stored) -> dict[str, Any]:
    """Return what a report says of its policy, empty where it says it in no known way."""
    try:
        policy = json.loads(report.data)["policy"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return policy if isinstance(policy, dict) else {}


def _signed(policy: dict[str, Any]) -> tuple[SignedBy, ...]:
    """Return who had signed a policy and the commit in force, which is the last; empty of an unsigned one."""
    try:
        found = tuple(
            SignedBy(row["commit"], row["signer"], row["fingerprint"], SignMethod(row["method"]))
            for row in policy["signed"]
        )
    except (KeyError, TypeError, ValueError):
        return ()
    return found if found and found[-1].commit == policy.get("commit") else ()


def restored(recalled: Recalled, queue: ReportRepository, branch: str) -> State:
    """Return what the state remembers, and of what it lost what the newest report still knows.

    Raises:
        ReconcilerError: The queue cannot be read.
    """
    state = recalled.state
    if not recalled.missing & {RUNS, TRUST}:
        return state
    told = _told(queue, branch)
    if told is None:
        return state
    if TRUST in recalled.missing:
        state = replace(state, first_seen=told.observation.first_seen)
    if RUNS in recalled.missing:
        state = replace(
            state,
            failed=state.failed or told.inputs.host.failed,
            quarantine=state.quarantine or told.observation.quarantined,
            used=tuple(dict.fromkeys((*told.inputs.used, *state.used))),
        )
    return state


def _told(queue: ReportRepository, branch: str) -> Recording | None:
    """Return the recording of the newest report, ``None`` where there is none that can be read."""
    last = queue.last(branch, "observation.json")
    try:
        return None if last is None else read_recording(last.data)
    except Misuse:
        return None
