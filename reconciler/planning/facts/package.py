"""What a package is: a name and an architecture, wherever packages are compared.

The rules:

1. One name may stand on a machine in several architectures (``libc6:amd64`` beside ``libc6:i386``,
   ``glibc.x86_64`` beside ``glibc.i686``). They are different packages: each moves, fails and goes by itself.
2. A package may change its architecture, from ``all`` to the native one for instance. It is the same package
   all the same, where exactly one of its name went and exactly one came.
3. Package managers and people often say a name alone. That means every architecture of it.
"""

from collections import defaultdict
from collections.abc import Iterable

from reconciler.records import dataclass


@dataclass(frozen=True, slots=True, order=True)
class PackageId:
    """Which package: two are the same where name and architecture are."""

    name: str
    arch: str

    def __str__(self) -> str:
        """Return ``name:arch``."""
        return f"{self.name}:{self.arch}"

    @property
    def mention(self) -> "Mention":
        """What to call this one and no other."""
        return Mention(self.name, self.arch)


@dataclass(frozen=True, slots=True)
class Transition:
    """A package goes from one version to another: the shape of every change, planned, made or told.

    Attributes:
        old: ``None`` where the package comes in.
        new: ``None`` where it goes.
    """

    package: PackageId
    old: str | None
    new: str | None

    @property
    def words(self) -> tuple[str, str]:
        """Return both ends for people, also where there is no version at one of them."""
        return self.old or "(new)", self.new or "(gone)"


class Identified:
    """Base of what is about one package and holds its name and architecture."""

    __slots__ = ()

    name: str
    arch: str

    @property
    def package(self) -> PackageId:
        """Which package it is about."""
        return PackageId(self.name, self.arch)


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """What somebody calls a package; an empty architecture means all of the name."""

    name: str
    arch: str = ""

    def __str__(self) -> str:
        """Return ``name`` or ``name:arch``."""
        return f"{self.name}:{self.arch}" if self.arch else self.name

    @classmethod
    def parse(cls, text: str) -> "Mention":
        """Read ``name`` or ``name:arch``."""
        name, _, arch = text.partition(":")
        return cls(name, arch)

    def means(self, package: PackageId) -> bool:
        """Tell whether ``package`` is, or is among, what is meant."""
        return self.name == package.name and self.arch in {"", package.arch}

    def overlaps(self, other: "Mention") -> bool:
        """Tell whether both may mean the same package."""
        return self.name == other.name and (self.arch == other.arch or "" in {self.arch, other.arch})


@dataclass(frozen=True, slots=True)
class Names:
    """What people read a package as: its name, and its architecture where the name alone could mean another.

    Attributes:
        shared: Names that stand in more than one architecture among what is told.
        native: The machine's own architecture; of another one, a package is told with it. Empty where that
            is not known.
    """

    shared: frozenset[str] = frozenset()
    native: str = ""

    @classmethod
    def among(cls, packages: "Iterable[PackageId | Identified]", native: str = "") -> "Names":
        """Return how to name each of ``packages`` beside all the others."""
        arches: defaultdict[str, set[str]] = defaultdict(set)
        for package in packages:
            arches[package.name].add(package.arch)
        shared = (name for name, found in arches.items() if len(found) > 1)
        # Some managers call a machine otherwise than its packages; then nothing is foreign.
        is_known = any(native in found for found in arches.values())
        return cls(frozenset(shared), native if is_known else "")

    def __call__(self, package: PackageId) -> str:
        """Return ``name``, or ``name:arch``."""
        return str(package) if package.name in self.shared or self._is_foreign(package) else package.name

    def _is_foreign(self, package: PackageId) -> bool:
        return bool(self.native) and package.arch not in {self.native, *_OF_NO_ARCHITECTURE}


_OF_NO_ARCHITECTURE = frozenset({"all", "noarch", "any", ""})


def of_other_architecture(gone: Iterable[PackageId], come: Iterable[PackageId]) -> dict[PackageId, PackageId]:
    """Find packages that changed their architecture.

    Args:
        gone: What is not there any more under its old architecture.
        come: What was not there before under its new one.

    Returns:
        The new identity by the old one, for each name of which exactly one went and exactly one came.
    """
    went, came = _by_name(gone), _by_name(come)
    return {
        old[0]: came[name][0]
        for name, old in went.items()
        if len(old) == 1 and len(came.get(name, ())) == 1 and old != came[name]
    }


def _by_name(packages: Iterable[PackageId]) -> dict[str, list[PackageId]]:
    found: defaultdict[str, list[PackageId]] = defaultdict(list)
    for package in packages:
        found[package.name].append(package)
    return found
