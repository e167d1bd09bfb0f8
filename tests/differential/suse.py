"""Worlds of rpms on a relative of SLES, and what zypper would do there."""

import re
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.differential.machines import Answer, Moved, Said, ask
from tests.differential.rpms import advised, installed_in, make_repositories, rpms
from tests.differential.worlds import Pin, World
from tests.labs.zypper import ZypperLab

_UNSOLVED = 4
_GOING = "to-remove"
_PROBLEM = re.compile(r"<description>Problem: (.*?)</description>", re.DOTALL)
_PATCH = re.compile(r"do not install patch:(LAB-[\w-]+)-1\.noarch")


@dataclass(frozen=True, slots=True)
class Suses:
    """A root without packages, from which all worlds begin."""

    template: ZypperLab

    @classmethod
    def prepare(cls, folder: Path) -> "Suses":
        """Make it."""
        return cls(ZypperLab.empty(folder))

    def make(self, world: World, folder: Path) -> "Suse":
        """Build the packages of a world, and the machine."""
        lab = replace(self.template.copy(folder), origin=folder)
        lab.install(*rpms(world.installed, world))
        lab.mark_automatic(*sorted(world.automatic))
        (lab.root / "etc/zypp/repos.d/lab.repo").unlink()
        for source, repository in make_repositories(world, folder).items():
            lab.configure_repository(source, repository.url)
            file = lab.root / f"etc/zypp/repos.d/{source}.repo"
            file.write_text(file.read_text() + "".join(_settings(world.pins, source)))
        if world.mixes_vendors:
            with (lab.root / "etc/zypp/zypp.conf").open("a") as configuration:
                configuration.write("solver.allowVendorChange = true\n")
        lab.refresh()
        lab.zypper("--no-refresh", "list-updates")
        if world.held:
            lab.lock(*sorted(world.held))
        return Suse(lab)


@dataclass(frozen=True, slots=True)
class Suse:
    """One of these machines."""

    lab: ZypperLab

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
            locked = world.held.union(excluded)
            if locked:
                other.lock(*sorted(locked))
            # Beside a lock on its package, zypper takes a patch for a problem that it leaves to a person.
            patches = frozenset(_patches_of(locked, world))
            done = _asked(other, world, patches)
            while more := frozenset(_impossible(done.stdout)) - patches:
                patches |= more
                done = _asked(other, world, more)
        # The same version from another vendor is no update.
        moves = frozenset(_moves(done.stdout)) - self.installed()
        return Answer(done.returncode != _UNSOLVED, moves, done.stdout + done.stderr)


def _asked(lab: ZypperLab, world: World, without: frozenset[str]) -> Said:
    if without:
        lab.zypper("--no-refresh", "addlock", "--type", "patch", *sorted(without))
    options = ("--root", str(lab.root), "--xmlout", "--non-interactive", "--no-refresh")
    return ask(["zypper", *options, *_verb(world), "--dry-run"], lab.own_environment)


def _impossible(said: str) -> Iterator[str]:
    """Yield the patches without which zypper would go on: it leaves that to a person, having no other."""
    for problem in _PROBLEM.findall(said):
        patches = set(_PATCH.findall(problem))
        if len(patches) == 1:
            yield from patches


def _patches_of(names: Collection[str], world: World) -> Iterator[str]:
    for source in world.offered:
        for id_, rpm in advised(world, source):
            if rpm.name in names:
                yield id_


def _settings(pins: Iterable[Pin], source: str) -> Iterator[str]:
    """Yield what a repository's file says of pins: a lower priority is the better one, and 99 the usual."""
    for pin in pins:
        if pin.source == source:
            yield f"priority={50 if pin.priority > 500 else 150}\n"


def _verb(world: World) -> tuple[str, ...]:
    match world.wishes.updates, world.wishes.upgrade:
        case "security", _:
            return ("patch", "--category", "security", "--with-interactive")
        case _, "full":
            return ("dist-upgrade",)
        case _:
            return ("update",)


def _moves(said: str) -> Iterator[Moved]:
    for block in ET.fromstring(said).iterfind("install-summary/*"):  # noqa: S314 - zypper's own words
        for one in block.iterfind("solvable[@type='package']"):
            version = "" if block.tag == _GOING else one.attrib["edition"]
            yield Moved(one.attrib["name"], one.attrib["arch"], version)
