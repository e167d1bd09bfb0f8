"""How a test names packages: as the labs' ``versions()`` do, so that a pair is never taken for one package.

moved(answer.changes) == {"plain": "1.1", "twin:amd64": "1.1", "twin:i386": "1.1"}
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from reconciler.planning.facts.observation import Change, Move
from reconciler.planning.facts.package import Identified, Names, PackageId

AnyIdentified = TypeVar("AnyIdentified", bound=Identified)


def named(things: Iterable[AnyIdentified]) -> dict[str, AnyIdentified]:
    """Return things by name, and by ``name:arch`` where the name is there in several architectures."""
    found = tuple(things)
    name = Names.among(one.package for one in found)
    return {name(one.package): one for one in found}


def moved(changes: Iterable[Change | Move]) -> dict[str, str | None]:
    """Return the version that each package goes to."""
    return {name: one.transition.new for name, one in named(changes).items()}


def in_json(things: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the objects of a report or a run's record by name, as `named` does."""
    found = tuple(things)
    packages = [PackageId(one["name"], one["arch"]) for one in found]
    name = Names.among(packages)
    return {name(package): one for package, one in zip(packages, found, strict=True)}
