"""The two policies of an impact, each as far as it can be judged, and who they trust."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

from reconciler.planning.impact.effect import Concern, Peril, PolicySide
from reconciler.planning.text.wording import listed, minute
from reconciler.policy.load import NeedsUpgrade, PolicyFile, Rejected, Revision, load
from reconciler.policy.placement import REPOSITORY_FILE
from reconciler.policy.problems import Problem
from reconciler.policy.signers import PUBLISHERS_FILE, SIGNERS_FILE, Signer, read_signers
from reconciler.records import dataclass

_SEVERAL = 5
_ROLES = {SIGNERS_FILE: "may sign policy", PUBLISHERS_FILE: "may publish the fleet"}
_ROUNDS = 8
"""How often files with problems are left out, and the rest is read anew: one that is too much is named."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two policies.

    Attributes:
        said: What is told of it.
        revision: What was judged; ``None`` where nothing of it can be.
        requires: Which programs it asks for, empty where it asks for none.
        lists: Content of its lists of keys, by path.
    """

    said: PolicySide
    revision: Revision | None
    requires: str = ""
    lists: Mapping[str, bytes] = field(default_factory=dict)


def side_of(files: Sequence[PolicyFile], name: str, commit: str = "") -> Side:
    """Return a policy as far as it can be judged: without the files that have problems, where there are any.

    Args:
        files: All of its files.
        name: What it was asked for as.
        commit: Full id, empty of a folder.
    """
    problems: set[Problem] = set()
    requires, left = "", list(files)
    lists = {file.path: file.data for file in files if file.path in _ROLES}
    for _ in range(_ROUNDS):
        match load(left, commit):
            case Revision() as revision:
                found = tuple(sorted({*problems, *revision.misplaced}))
                return Side(PolicySide(name, commit, found), revision, requires or revision.requires, lists)
            case NeedsUpgrade(wanted, running):
                requires = wanted
                said = f"asks for patchledger {wanted}, this is {running}"
                problem = Problem(REPOSITORY_FILE, 1, "requires", said, "upgrade patchledger")
                told: tuple[Problem, ...] = (problem,)
            case Rejected(told):
                pass
        # What only follows from a file that is left out now is no problem of its own.
        named = {one.file for one in told}
        problems |= {one for one in told if not problems or requires}
        without = [file for file in left if file.path not in named]
        if len(without) == len(left):
            problems |= set(told)
            break
        left = without
    return Side(PolicySide(name, commit, tuple(sorted(problems))), None, requires, lists)


def of_trust(base: Side, head: Side) -> Iterator[Concern]:
    """Yield what a change does to who is believed: no setting of any host shows it.

    Args:
        base: The policy that is in force.
        head: The one that is proposed.
    """
    told = [*_of_lists(base, head), *_of_name(base, head)]
    if told:
        yield Concern(Peril.SIGNERS, (), "; ".join(told))
    moved = sorted(_others(base, head))
    if moved:
        said = "they are other machines, or report by other keys, or by none"
        yield Concern(Peril.IDENTITIES, tuple(moved), said)


def _of_lists(base: Side, head: Side) -> Iterator[str]:
    for path, role in _ROLES.items():
        was, will = (_keys(side.lists.get(path, b""), path) for side in (base, head))
        for verb, keys in ((role, will - was), (f"{role} no more", was - will)):
            if keys:
                yield f"{listed(sorted(keys), _SEVERAL)} {verb}"


def _keys(data: bytes, path: str) -> frozenset[str]:
    return frozenset(map(_described, read_signers(data, path).signers))


def _described(signer: Signer) -> str:
    words = [signer.fingerprint, "which certifies others"] if signer.is_authority else [signer.fingerprint]
    if signer.valid_after is not None:
        words.append(f"from {minute(signer.valid_after)}")
    if signer.valid_before is not None:
        words.append(f"until {minute(signer.valid_before)}")
    return f"{signer.who} ({', '.join(words)})"


def _of_name(base: Side, head: Side) -> Iterator[str]:
    if base.revision is not None and head.revision is not None:
        was, will = base.revision.repository, head.revision.repository
        if was and was != will:
            yield f"the policy calls itself {will or 'nothing'} instead of {was}"


def _others(base: Side, head: Side) -> Iterator[str]:
    """Yield the hosts whose documents say otherwise who they are, where they said it before."""
    if base.revision is None or head.revision is None:
        return
    after = {one.value.name: one.value for one in head.revision.hosts}
    for placed in base.revision.hosts:
        was, will = placed.value, after.get(placed.value.name)
        key, machine = (None, None) if will is None else (will.report_key, will.machine_id)
        is_other_key = was.report_key is not None and was.report_key != key
        if is_other_key or (was.machine_id is not None and was.machine_id != machine):
            yield was.name
