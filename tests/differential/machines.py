"""Machines as a world describes them, and what their package manager by itself would do on them.

The second is the measure. It is asked on a copy of the machine, where what must not move is on hold by the
manager's own means, and what it prints for people is read here anew. Nothing of the product is used for that.
"""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.differential.worlds import World


@dataclass(frozen=True, slots=True, order=True)
class Moved:
    """A package in the version where it is, or where it goes; ``to`` is empty where it is removed."""

    name: str
    arch: str
    to: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a package manager would do.

    Attributes:
        resolves: It finds a transaction, be it an empty one.
        said: What it printed.
    """

    resolves: bool
    moves: frozenset[Moved] = field(default_factory=frozenset)
    said: str = ""

    @property
    def removed(self) -> frozenset[str]:
        """Names of what would go."""
        coming = {move.name for move in self.moves if move.to}
        return frozenset(move.name for move in self.moves if not move.to) - coming


Said = subprocess.CompletedProcess[str]


def ask(argv: Sequence[str], environment: Mapping[str, str]) -> Said:
    """Let a package manager speak in its own words, which are told from a failure by whoever reads them."""
    return subprocess.run(
        argv,
        env={**os.environ, "LC_ALL": "C", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


class Machine(Protocol):
    """A small machine of some distribution."""

    @property
    def environment(self) -> dict[str, str]:
        """For the configuration of the product."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """More of the same."""
        ...

    def installed(self) -> frozenset[Moved]:
        """Return every installed package."""
        ...

    def would_do(self, world: World, excluded: Iterable[str]) -> Answer:
        """Say what the manager would do by the machine's configuration and the mode that the policy names.

        Args:
            world: That of the machine.
            excluded: What must not move, beside what the operator holds.
        """
        ...


class Maker(Protocol):
    """Makes the machines of one manager."""

    @classmethod
    def prepare(cls, folder: Path) -> "Maker":
        """Make once what all machines have in common."""
        ...

    def make(self, world: World, folder: Path) -> Machine:
        """Build the packages of a world, and the machine."""
        ...
