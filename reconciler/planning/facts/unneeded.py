"""What nothing needs any more, and since which run: the evidence for ``autoremove: new-unused``."""

from collections.abc import Iterable

from reconciler.planning.facts.package import Identified, PackageId
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Unneeded(Identified):
    """A package that nothing needs any more.

    Attributes:
        run: Id of the run of ours that made it so; empty where it was so without one: it is nobody's to
            remove but a person's.
    """

    name: str
    arch: str
    run: str = ""


@dataclass(frozen=True, slots=True)
class UnneededSeen:
    """What nothing needed any more when a machine was last looked at, and what was done to it since.

    Attributes:
        packages: Sorted by (name, arch).
        run: Id of a run of ours that changed something since then, the latest; empty where none did.
    """

    packages: tuple[Unneeded, ...] = ()
    run: str = ""

    def by_package(self) -> dict[PackageId, str]:
        """Return the run that made each of them so."""
        return {one.package: one.run for one in self.packages}


def seen_again(before: UnneededSeen | None, unused: Iterable[PackageId]) -> UnneededSeen:
    """Return what is known of what nothing needs now.

    What is new since the last look is the doing of the run in between, where there was one, and else a
    person's. Where there was no look before, all of it was there before any run.

    Args:
        before: As it was known at the last look; ``None`` where nobody has looked.
        unused: What nothing needs now.
    """
    known = {} if before is None else before.by_package()
    run = "" if before is None else before.run
    packages = sorted(set(unused))
    return UnneededSeen(tuple(Unneeded(one.name, one.arch, known.get(one, run)) for one in packages))
