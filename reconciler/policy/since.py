"""Since which version a kind or a key of the policy language exists, and what `requires` must therefore say.

A host takes a key that it does not know for a mistake, and refuses the whole revision. `requires` says the
same in better words, and before anything else is looked at. What is marked by nothing is as old as what it
is in; what came first is as old as the language.
"""

import re
from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from reconciler.policy.documents import AnyDocument, Document
from reconciler.policy.fields import FIRST, Since
from reconciler.policy.load import Placed, Revision, is_met, release
from reconciler.policy.placement import REPOSITORY_FILE
from reconciler.policy.problems import Problem
from reconciler.records import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Newer:
    """A kind or a key that is younger than the language.

    Attributes:
        path: Of the key; empty where the kind is meant.
        version: Since which it exists.
    """

    path: Path
    version: str


def newer_in(document: Document) -> Iterator[Newer]:
    """Yield every kind and key in a document that came after the first version."""
    if document.since != FIRST:
        yield Newer((), document.since)
    yield from _newer_keys(document, ())


def _newer_keys(value: object, path: Path) -> Iterator[Newer]:
    if isinstance(value, BaseModel):
        for name in sorted(value.model_fields_set):
            field = type(value).model_fields[name]
            here = (*path, field.alias or name)
            yield from (Newer(here, mark.version) for mark in field.metadata if isinstance(mark, Since))
            yield from _newer_keys(getattr(value, name), here)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _newer_keys(item, (*path, key))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _newer_keys(item, (*path, index))


def check_requires(revision: Revision, versions: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return a problem for each kind and key that asks for a newer version than ``requires`` does; sorted.

    Args:
        revision: To be judged.
        versions: Of the program on each host that is known, by the host's id.
    """
    found = (problem for one in revision.documents for problem in _unrequired(one, revision, versions))
    return tuple(sorted(found))


def check_hosts(revision: Revision, versions: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return a warning where hosts run a version that ``requires`` does not admit, and so refuse it."""
    hosts = {host: version for host, version in versions.items() if not is_met(revision.requires, version)}
    if not hosts:
        return ()
    message = f"patchledger {revision.requires} is not what these hosts run, which refuse the revision: "
    hint = "upgrade them first; until then they follow what they have"
    return (Problem(REPOSITORY_FILE, 1, "requires", message + _named(hosts), hint, "refused"),)


def _unrequired(
    placed: Placed[AnyDocument], revision: Revision, versions: Mapping[str, str]
) -> Iterator[Problem]:
    for one in newer_in(placed.value):
        if admits_nothing_before(revision.requires, one.version):
            continue
        what = "exists" if one.path else "this kind exists"
        message = f"{what} since patchledger {one.version}, and an older host refuses the whole revision"
        older = {host: own for host, own in versions.items() if release(own) < release(one.version)}
        message += f": {_named(older)}" if older else ""
        hint = f'write `requires: ">={one.version}"` in {REPOSITORY_FILE}'
        yield placed.problem(one.path, "", message, hint)


def _named(hosts: Mapping[str, str]) -> str:
    """Name the first hosts with their versions, and count the others."""
    shown = [f"{host} ({version})" for host, version in sorted(hosts.items())]
    more = f" and {len(shown) - _MOST_NAMED} more" if len(shown) > _MOST_NAMED else ""
    return ", ".join(shown[:_MOST_NAMED]) + more


_MOST_NAMED = 5


def admits_nothing_before(requires: str, version: str) -> bool:
    """Tell whether no version older than ``version`` fulfils a requirement such as ``>=1.4, <2``."""
    bounds = re.findall(r"(>=|==|>)\s*([0-9.]+)", requires)
    return any(release(bound) >= release(version) for _, bound in bounds)
