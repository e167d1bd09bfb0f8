"""The two policies of an impact, each as far as it can be judged."""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.planning.impact.effect import PolicySide
from reconciler.policy.load import NeedsUpgrade, PolicyFile, Rejected, Revision, load
from reconciler.policy.placement import REPOSITORY_FILE
from reconciler.policy.problems import Problem

_ROUNDS = 8
"""How often files with problems are left out, and the rest is read anew: one that is too much is named."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two policies.

    Attributes:
        said: What is told of it.
        revision: What was judged; ``None`` where nothing of it can be.
        requires: Which programs it asks for, empty where it asks for none.
    """

    said: PolicySide
    revision: Revision | None
    requires: str = ""


def side_of(files: Sequence[PolicyFile], name: str, commit: str = "") -> Side:
    """Return a policy as far as it can be judged: without the files that have problems, where there are any.

    Args:
        files: All of its files.
        name: What it was asked for as.
        commit: Full id, empty of a folder.
    """
    problems: set[Problem] = set()
    requires, left = "", list(files)
    for _ in range(_ROUNDS):
        match load(left, commit):
            case Revision() as revision:
                found = tuple(sorted({*problems, *revision.misplaced}))
                return Side(PolicySide(name, commit, found), revision, requires or revision.requires)
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
    return Side(PolicySide(name, commit, tuple(sorted(problems))), None, requires)
