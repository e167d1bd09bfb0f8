"""What nothing needs any more, on small machines of dnf and of zypper: old kernels, and packages once needed.

repository.publish(*unused_world(before=15, by_update=5))
install NEEDING and HOLDING, then HOLDING is removed with rpm: 15 are unused
update NEEDING: 20 are
"""

from collections.abc import Mapping, Sequence

from tests.labs.rpm import Rpm

NEEDING, HOLDING = "needing", "holding"


def unused_names(count: int, first: int = 0) -> tuple[str, ...]:
    """Return the names of so many packages that came in for others, from a number on."""
    return tuple(f"unused-{number:02}" for number in range(first, first + count))


def unused_world(*, before: int, by_update: int) -> tuple[Rpm, ...]:
    """Return packages of which ``before`` are unused once `HOLDING` is gone, and the rest with `NEEDING` 1.1.

    Each of them but the first of each sort is needed by the one before it as well, so that one alone is not
    enough to tell.
    """
    first = unused_names(before)
    later = unused_names(by_update, before)
    return (
        *_chain(first),
        *_chain(later),
        Rpm(HOLDING, "1.0-1", fields={"Requires": first[:1]}),
        Rpm(NEEDING, "1.0-1", fields={"Requires": later[:1]}),
        Rpm(NEEDING, "1.1-1"),
    )


def _chain(names: Sequence[str]) -> tuple[Rpm, ...]:
    following: Sequence[str] = (*names[1:], "")
    return tuple(
        Rpm(name, "1.0-1", fields={"Requires": after} if after else {})
        for name, after in zip(names, following, strict=True)
    )


def kernel(version: str, provides: str, *names: str, arch: str = "noarch") -> tuple[Rpm, ...]:
    """Return one kernel as packages that belong together, the first of which the others need."""
    base = names[0]
    return tuple(
        Rpm(
            name,
            version,
            arch=arch,
            fields={"Provides": provides, **_needs(name, base, version)},
        )
        for name in names
    )


def _needs(name: str, base: str, version: str) -> Mapping[str, str]:
    return {} if name == base else {"Requires": f"{base} = {version}"}
