"""Worlds of rpms on a relative of RHEL, and what dnf would do there."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
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
            return _answer(other, world)


def _answer(lab: DnfLab, world: World) -> Answer:
    """Return what dnf would do.

    One update that cannot be installed ends all that ``--best`` would do: then dnf is asked again without
    what it names as broken, so that nothing else is held up. Where it cannot even so, or would then erase a
    package whose own update was left out, its answer without ``--best`` counts.
    """
    match world.wishes.updates, world.wishes.upgrade:
        case "security", _:
            return _ask(lab, "upgrade-minimal", "--security", "--setopt=best=0")
        case _, "full":
            whole = ("upgrade", "--best", "--allowerasing")
            if (best := _ask(lab, *whole)).resolves:
                return best
            careful = _ask(lab, "upgrade", "--setopt=best=0", "--allowerasing")
            broken = dict(_broken(careful.said))
            rest = _ask(lab, *whole, *(f"--exclude={nevra}" for nevra in broken))
            return rest if rest.resolves and rest.removed.isdisjoint(broken.values()) else careful
        case _:
            return _ask(lab, "upgrade", "--setopt=best=0")


def _ask(lab: DnfLab, *verb: str) -> Answer:
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


def _moves(said: str) -> Iterator[Moved]:
    for heading, name, arch, version in _rows(said):
        if not heading.startswith("Skipping"):
            yield Moved(name, arch, "" if heading.startswith(("Removing", "replacing")) else version)


def _broken(said: str) -> Iterator[tuple[str, str]]:
    """Yield what has broken dependencies, as dnf takes it, and by name."""
    for heading, name, arch, version in _rows(said):
        if heading == "Skipping packages with broken dependencies":
            yield f"{name}-{version}.{arch}", name


def _rows(said: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the heading, the name, the architecture and the version of all that stands in the table."""
    heading = ""
    for line in said.partition("Transaction Summary")[0].splitlines():
        if found := _HEADING.match(line):
            heading = found[1]
        elif found := _REPLACING.match(line):
            yield "replacing", found["name"], found["arch"], ""
        elif found := _ROW.match(line):
            yield heading, found["name"], found["arch"], found["version"]
