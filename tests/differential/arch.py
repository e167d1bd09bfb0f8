"""Worlds of Arch packages, and what pacman does there."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.differential.machines import Answer, Moved, ask
from tests.differential.worlds import Relation, Release, World
from tests.labs.pacman import PacmanLab, Pkg

_AGAIN = re.compile(r"^reinstalling (.+)\.\.\.$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Arches:
    """A root without packages, from which all worlds begin."""

    template: PacmanLab

    @classmethod
    def prepare(cls, folder: Path) -> "Arches":
        """Make it."""
        return cls(PacmanLab.empty(folder))

    def make(self, world: World, folder: Path) -> "ArchLinux":
        """Build the packages of a world, and the machine."""
        lab = replace(self.template.copy(folder), origin=folder)
        lab.configuration.write_text(lab.configuration.read_text().partition("[lab]")[0])
        for source, releases in world.offered.items():
            lab.publish_in(source, *(_pkg(release, world) for release in releases))
        lab.pacman("-Sy")
        lab.install(*(_pkg(release, world) for release in world.installed))
        if world.automatic:
            lab.pacman("-D", "--asdeps", *sorted(world.automatic))
        if world.held:
            lab.hold_package(" ".join(sorted(world.held)))
        return ArchLinux(lab)


@dataclass(frozen=True, slots=True)
class ArchLinux:
    """One of these machines."""

    lab: PacmanLab

    @property
    def environment(self) -> dict[str, str]:
        return self.lab.environment

    @property
    def settings(self) -> Mapping[str, object]:
        return {}

    def installed(self) -> frozenset[Moved]:
        return frozenset(Moved(name, "any", version) for name, version in self.lab.versions().items())

    def would_do(self, world: World, excluded: Iterable[str]) -> Answer:
        """Let it be done on the copy: what pacman prints beforehand does not tell what goes."""
        with tempfile.TemporaryDirectory(dir=self.lab.folder.parent) as folder:
            other = replace(self.lab.copy(Path(folder) / "lab"), origin=self.lab.origin)
            if ignored := sorted(world.held.union(excluded)):
                other.hold_package(" ".join(ignored))
            done = ask(["pacman", "--config", str(other.configuration), "--noconfirm", "-Su"], {})
            there = other.versions()
        # What takes a place in its own version is told in words alone.
        again = {Moved(name, "any", there[name]) for name in _AGAIN.findall(done.stdout) if name in there}
        moves = again.union(_moves(self.lab.versions(), there))
        return Answer(done.returncode == 0, frozenset(moves), done.stdout + done.stderr)


def _moves(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Moved]:
    for name in before.keys() | after.keys():
        if before.get(name) != after.get(name):
            yield Moved(name, "any", after.get(name, ""))


def _pkg(release: Release, world: World) -> Pkg:
    version = world.version(release.rung)
    info = [
        *(("depend", _relation(one, world)) for one in release.needs),
        *(("conflict", _relation(one, world)) for one in release.conflicts),
    ]
    for name in release.replaces:
        info += [("replaces", name), ("conflict", name), ("provides", f"{name}={version}")]
    return Pkg(release.name, version, info)


def _relation(relation: Relation, world: World) -> str:
    return relation.name + (relation.sign + world.version(relation.rung) if relation.sign else "")
