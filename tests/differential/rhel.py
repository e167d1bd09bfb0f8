"""Worlds of rpms on a relative of RHEL, and what dnf would do there."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.differential.machines import Answer, Moved, ask
from tests.differential.rpms import installed_in, make_repositories, rpms
from tests.differential.worlds import Pin, World
from tests.labs.dnf import DnfLab

_HEADING = re.compile(r"^(\w.*):$")
_ROW = re.compile(r"^ (?P<name>\S+) +(?P<arch>\w+) +(?P<version>\S+) +\S+ +[\d.]+ ")
_REPLACING = re.compile(r"^ +replacing +(?P<name>\S+)\.(?P<arch>\w+) ")
_ANSWERED = ("Nothing to do.", "Operation aborted.")


@dataclass(frozen=True, slots=True)
class Rhels:
    """A root with nothing but its release, from which all worlds begin."""

    template: DnfLab

    @classmethod
    def prepare(cls, folder: Path) -> "Rhels":
        """Make it."""
        return cls(DnfLab.empty(folder))

    def make(self, world: World, folder: Path) -> "Rhel":
        """Build the packages of a world, and the machine."""
        lab = replace(self.template.copy(folder), origin=folder)
        lab.install(*rpms(world.installed, world))
        (lab.root / "etc/yum.repos.d/lab.repo").unlink()
        for source, repository in make_repositories(world, folder).items():
            lab.configure_repository(source, repository.url)
            file = lab.root / f"etc/yum.repos.d/{source}.repo"
            file.write_text(file.read_text() + "".join(_settings(world.pins, source)))
        if world.held:
            lab.configure(f"excludepkgs={','.join(sorted(world.held))}")
        lab.refresh()
        return Rhel(lab)


@dataclass(frozen=True, slots=True)
class Rhel:
    """One of these machines."""

    lab: DnfLab

    @property
    def environment(self) -> dict[str, str]:
        return self.lab.environment

    @property
    def settings(self) -> Mapping[str, object]:
        return {"root": str(self.lab.root)}

    def installed(self) -> frozenset[Moved]:
        return installed_in(self.lab.root, self.environment)

    def would_do(self, world: World, excluded: Iterable[str]) -> Answer:
        with tempfile.TemporaryDirectory(dir=self.lab.folder.parent) as folder:
            other = self.lab.copy(Path(folder) / "lab")
            if held := world.held.union(excluded):
                other.configure(f"excludepkgs={','.join(sorted(held))}")
            answers = (_ask(other, verb) for verb in _verbs(world))
            return next((answer for answer in answers if answer.resolves), Answer(resolves=False))


def _ask(lab: DnfLab, verb: Sequence[str]) -> Answer:
    done = ask(
        [
            *("dnf", "-c", str(lab.root / "etc/dnf/dnf.conf"), f"--installroot={lab.root}"),
            *("-C", "--assumeno", *verb),
        ],
        lab.environment,
    )
    said = done.stdout + done.stderr
    return Answer(any(word in said for word in _ANSWERED), frozenset(_moves(done.stdout)), said)


def _settings(pins: Iterable[Pin], source: str) -> Iterator[str]:
    """Yield what a repository's file says of pins; a lower priority is the better one, and 99 the usual."""
    for pin in pins:
        if pin.package == "*":
            yield f"priority={1000 - pin.priority}\n" if pin.source == source else "priority=500\n"
        elif (pin.source == source) == (pin.priority < 500):
            yield f"excludepkgs={pin.package}\n"


def _verbs(world: World) -> Iterator[tuple[str, ...]]:
    """Yield what a person types; where that does not resolve, what dnf then says one may try."""
    match world.wishes.updates, world.wishes.upgrade:
        case "security", _:
            yield ("upgrade-minimal", "--security", "--setopt=best=0")
        case _, "full":
            yield ("upgrade", "--best", "--allowerasing")
            yield ("upgrade", "--setopt=best=0", "--allowerasing")
        case _:
            yield ("upgrade", "--setopt=best=0")


def _moves(said: str) -> Iterator[Moved]:
    heading = ""
    for line in said.partition("Transaction Summary")[0].splitlines():
        if found := _HEADING.match(line):
            heading = found[1]
        elif found := _REPLACING.match(line):
            yield Moved(found["name"], found["arch"], "")
        elif (found := _ROW.match(line)) and not heading.startswith("Skipping"):
            version = "" if heading.startswith("Removing") else found["version"]
            yield Moved(found["name"], found["arch"], version)
