"""Worlds of Debian packages, and what apt would do there."""

import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from tests.differential.machines import Answer, Moved, ask
from tests.differential.worlds import Arch, Relation, Release, World
from tests.labs.apt import SECURITY, AptLab, Deb, Suite

_ARCHES: Mapping[Arch, tuple[str, ...]] = {"any": ("all",), "native": ("amd64",), "both": ("amd64", "i386")}
_MULTI_ARCH: Mapping[Arch, Mapping[str, str]] = {
    "any": {"Multi-Arch": "foreign"},
    "native": {},
    "both": {"Multi-Arch": "same"},
}
_SIGNS = {"=": "=", ">=": ">=", "<": "<<"}
_COMING = r"Inst (?P<new>[^ :]+)\S* (?:\[[^]]*\] )?\((?P<to>\S+) .*\[(?P<arch>\w+)\]\)"
_GOING = r"Remv (?P<gone>[^ :]+)(?::(?P<foreign>\w+))? "
_LINE = re.compile(f"^(?:{_COMING}|{_GOING})", re.MULTILINE)
_INSTALLED, _USUAL = 100, 500


@dataclass(frozen=True, slots=True)
class Debians:
    """A root without packages and two empty suites, from which all worlds begin."""

    template: AptLab

    @classmethod
    def prepare(cls, folder: Path) -> "Debians":
        """Make them."""
        lab = AptLab.empty(folder)
        for suite in get_args(Suite):
            lab.publish(suite)
        return cls(lab)

    def make(self, world: World, folder: Path) -> "Debian":
        """Build the packages of a world, and the machine."""
        lab = self.template.copy(folder, repository=True)
        for suite in get_args(Suite):
            lab.publish(suite, *_debs(world.offered[suite], world))
        lab.install(*_debs(world.installed, world))
        lab.prefer(_preferences(world))
        lab.refresh()
        if world.held:
            lab.hold_package(*sorted(world.held))
        if world.automatic:
            lab.mark_auto(*sorted(world.automatic))
        return Debian(lab)


@dataclass(frozen=True, slots=True)
class Debian:
    """One of these machines."""

    lab: AptLab

    @property
    def environment(self) -> dict[str, str]:
        return self.lab.environment

    @property
    def settings(self) -> Mapping[str, object]:
        return {}

    def installed(self) -> frozenset[Moved]:
        form = "${db:Status-Status} ${Package} ${Architecture} ${Version}\\n"
        asked = ["dpkg-query", f"--admindir={self.lab.admin}", "-W", "-f", form]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        rows = (line.split() for line in said.splitlines())
        return frozenset(Moved(*row) for state, *row in rows if state == "installed")

    def would_do(self, world: World, excluded: Iterable[str]) -> Answer:
        """Ask apt in the two ways in which it knows an exclusion, and take the one that keeps less back.

        A package on hold still has a candidate, and what that one wants or dislikes may keep others back. A
        negative priority leaves it none, so an upgrade of the whole would rather remove it.
        """
        names = frozenset(excluded)
        on_hold = self._asked(world, names, frozenset())
        if not names:
            return on_hold
        without = self._asked(world, frozenset(), names)
        keeps_less = on_hold.moves < without.moves and not without.removed - on_hold.removed
        return without if without.resolves and keeps_less else on_hold

    def _asked(self, world: World, held: frozenset[str], without: frozenset[str]) -> Answer:
        with tempfile.TemporaryDirectory(dir=self.lab.folder.parent) as folder:
            other = self.lab.copy(Path(folder) / "lab")
            pins = "".join(
                f"Package: {name}:any\nPin: release *\nPin-Priority: -1\n\n" for name in sorted(without)
            )
            if world.wishes.updates == "security":
                goes = {release.name: _goes_to(release, world) for release in world.installed}
                held |= {release.name for release in world.installed if goes[release.name] == release.rung}
                pins += "".join(_chosen(name, goes[name], world) for name in goes.keys() - held - without)
            other.prefer(pins + _preferences(world))
            if named := _everywhere(held, world):
                other.hold_package(*named)
            is_full = world.wishes.upgrade == "full" and world.wishes.updates == "all"
            verb = ("dist-upgrade",) if is_full else ("upgrade", "--with-new-pkgs")
            done = ask(["apt-get", "-s", *verb], other.environment)
        arches = {release.name: _ARCHES[release.arch][0] for release in world.installed}
        return Answer(done.returncode == 0, frozenset(_moves(done.stdout, arches)), done.stdout + done.stderr)


def _everywhere(names: Iterable[str], world: World) -> list[str]:
    """Return names as apt-mark takes them, in every architecture that is there."""
    arches = {release.name: _ARCHES[release.arch] for release in world.installed}
    return [f"{name}:{arch}" for name in sorted(names) if name in arches for arch in arches[name]]


def _moves(said: str, arches: Mapping[str, str]) -> Iterator[Moved]:
    for line in _LINE.finditer(said):
        if line["new"]:
            yield Moved(line["new"], line["arch"], line["to"])
        else:
            yield Moved(line["gone"], line["foreign"] or arches[line["gone"]], "")


def _debs(releases: Iterable[Release], world: World) -> Iterator[Deb]:
    for release in releases:
        for arch in _ARCHES[release.arch]:
            yield _deb(release, arch, world)


def _deb(release: Release, arch: str, world: World) -> Deb:
    fields = {
        **_MULTI_ARCH[release.arch],
        "Depends": ", ".join(_relation(one, world) for one in release.needs),
        "Conflicts": ", ".join([*(_relation(one, world) for one in release.conflicts), *release.replaces]),
        "Replaces": ", ".join(release.replaces),
        "Provides": ", ".join(release.replaces),
    }
    return Deb(
        release.name,
        world.version(release.rung),
        arch,
        fields={name: value for name, value in fields.items() if value},
    )


def _relation(relation: Relation, world: World) -> str:
    if not relation.sign:
        return relation.name
    return f"{relation.name} ({_SIGNS[relation.sign]} {world.version(relation.rung)})"


def _preferences(world: World) -> str:
    return "".join(
        # Without "any", a name is that of this machine's architecture alone.
        f"Package: {pin.package}{'' if pin.package == '*' else ':any'}\n"
        f"Pin: release a={pin.source}\nPin-Priority: {pin.priority}\n\n"
        for pin in world.pins
    )


# --- Security updates only --------------------------------------------------------------------------------


def _chosen(name: str, rung: int, world: World) -> str:
    return f"Package: {name}:any\nPin: version {world.version(rung)}\nPin-Priority: 1001\n\n"


def _goes_to(release: Release, world: World) -> int:
    """Return the rung of the newest security update, where the operator prefers nothing else."""
    priorities = _priorities(release, world)
    candidate = max(
        (rung for rung in priorities if rung >= release.rung), key=lambda rung: (priorities[rung], rung)
    )
    fixes = [
        one.rung
        for one in world.offered[SECURITY]
        if one.name == release.name and one.rung > release.rung and priorities[one.rung] > 0
    ]
    if not fixes or priorities[candidate] > priorities[max(fixes)]:
        return release.rung
    return max(fixes)


def _priorities(release: Release, world: World) -> dict[int, int]:
    """Return what each version of a package is worth to apt, by rung."""
    found = {release.rung: _INSTALLED}
    for source, offered in world.offered.items():
        pins = [pin for pin in world.pins if pin.source == source and pin.package in {"*", release.name}]
        worth = pins[0].priority if pins else _USUAL
        for one in offered:
            if one.name == release.name:
                found[one.rung] = max(found.get(one.rung, worth), worth)
    return found
