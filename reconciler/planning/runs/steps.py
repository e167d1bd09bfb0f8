"""Split a transaction into small self-contained steps, each of which leaves a whole system behind.

A package cannot move before what its move needs has moved; what needs each other moves together. So the steps
are the strongly connected components of "needs", in an order that puts what is needed first.

Security updates come first, with what they need: whatever closes in between, they are there. What this
program itself stands on comes last, in a step of its own: should it break, all else is done and recorded.
Neighbours are joined as far as time allows, see :mod:`reconciler.planning.runs.costs`.

Where a package manager tells no relations, its answers do: what it would do with a part of the updates alone
is such a step, where that is a part of what it does with all.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Answer, Change
from reconciler.planning.facts.package import PackageId
from reconciler.planning.gates.types import Step
from reconciler.policy.managers import traits_of

Needs = Mapping[PackageId, tuple[str, ...]]
"""By the package of a change: names of the changes without which it cannot be made."""


def is_own(name: str, manager: str) -> bool:
    """Tell whether a run of this program stands on a package."""
    return any(fnmatchcase(name, pattern) for pattern in traits_of(manager).own)


def own_last(
    steps: Sequence[Step], needs: Needs | None, manager: str
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Set apart what this program stands on, and what cannot move before that has.

    Args:
        steps: From :func:`split`, what is needed first.
        needs: As there.
        manager: Whose names they are.

    Returns:
        The other steps, and those that come last, both in order.
    """
    first: list[Step] = []
    late: list[Step] = []
    names: set[str] = set()
    for step in steps:
        own = any(is_own(change.name, manager) for change in step.changes)
        if own or not names.isdisjoint(_needed(step, needs)):
            late.append(step)
            names.update(change.name for change in step.changes)
        else:
            first.append(step)
    return tuple(first), tuple(late)


def security_first(steps: Sequence[Step], needs: Needs | None) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Set apart what fixes security, and what that needs.

    Args:
        steps: As for :func:`own_last`.
        needs: As there.

    Returns:
        Those, and the others, both in order.
    """
    urgent: list[Step] = []
    others: list[Step] = []
    wanted: set[str] = set()
    for step in reversed(steps):
        if any(change.security or change.name in wanted for change in step.changes):
            urgent.append(step)
            wanted.update(_needed(step, needs))
        else:
            others.append(step)
    return tuple(reversed(urgent)), tuple(reversed(others))


def _needed(step: Step, needs: Needs | None) -> set[str]:
    return {name for change in step.changes for name in (needs or {}).get(change.package, ())}


def split(changes: Sequence[Change], needs: Needs | None) -> tuple[Step, ...]:
    """Return ``changes`` as steps, each change in exactly one of them.

    Args:
        changes: A transaction, in the resolver's order.
        needs: What is known of its relations; ``None`` where nothing is, which makes it one step. Changes
            that share a name (a package of two architectures) move together, and so does a package that goes
            with those whose doing it is.

    Returns:
        Deterministically ordered: what is needed first, else as the resolver had it.
    """
    if needs is None or not changes:
        return (Step(tuple(changes)),) if changes else ()
    names = list(dict.fromkeys(change.name for change in changes))
    edges: dict[str, set[str]] = {name: set() for name in names}
    for change in changes:
        for other in needs.get(change.package, ()):
            if other in edges:
                edges[change.name].add(other)
        if change.to_version is None:
            # In both directions, which makes them one part whatever the order.
            for doer in set(change.by) & edges.keys():
                edges[change.name].add(doer)
                edges[doer].add(change.name)
    parts = _components(names, edges)
    return tuple(Step(tuple(change for change in changes if change.name in part)) for part in parts)


def part_of(whole: Sequence[Change], answer: Answer) -> tuple[Change, ...] | None:
    """Return which changes of ``whole`` an answer about a part of the updates makes, in their order.

    Args:
        whole: What the resolver does with all of them.
        answer: Of the same resolver, on the same machine, with some of them left out.

    Returns:
        What leaves a whole system behind when it is made alone, and when the rest follows; ``None`` where the
        answer is none, or does anything that ``whole`` does not.
    """
    if answer.exit_code not in exit_codes.WELL:
        return None
    made = {change.transition for change in answer.changes}
    part = tuple(change for change in whole if change.transition in made)
    return part if len(part) == len(made) else None


def _components(names: Sequence[str], edges: Mapping[str, set[str]]) -> list[frozenset[str]]:
    """Return the strongly connected components, what is needed first (Tarjan 1972, without recursion)."""
    order = {name: number for number, name in enumerate(names)}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[frozenset[str]] = []
    for root in names:
        if root in index:
            continue
        work = [(root, iter(sorted(edges[root], key=order.__getitem__)))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            name, rest = work[-1]
            fresh = next((other for other in rest if other not in index), None)
            if fresh is not None:
                index[fresh] = low[fresh] = len(index)
                stack.append(fresh)
                work.append((fresh, iter(sorted(edges[fresh], key=order.__getitem__))))
                continue
            work.pop()
            low[name] = min([low[name], *(low[other] for other in edges[name] if other in stack)])
            if low[name] == index[name]:
                cut = stack.index(name)
                found.append(frozenset(stack[cut:]))
                del stack[cut:]
    return found
