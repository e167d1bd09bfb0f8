"""Machines on which much is left behind: old kernels, and packages that nothing needs any more.

Fifteen packages are unused, since what needed them was removed by hand; five more will be, with an update of
`NEEDING`. Each needs the next one, so that one alone is not enough to tell.

==========  ===========================================================================================
dnf         kernels 5.8 to 5.12 of three packages each; two of a name stay (``installonly_limit``)
zypper      the same as SUSE makes them; the newest two stay (``multiversion.kernels``)
pacman      no kernels, since there is one of a name
==========  ===========================================================================================
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.labs.dnf import DnfLab
from tests.labs.pacman import PacmanLab, Pkg
from tests.labs.rpm import Rpm
from tests.labs.zypper import ZypperLab

NEEDING = "needing"
_HOLDING = "holding"
_NAMES = tuple(f"unused-{number:02}" for number in range(20))
BEFORE, BY_UPDATE = _NAMES[:15], _NAMES[15:]
"""Names of what is unused, and of what will be."""


def _needs(names: Sequence[str]) -> dict[str, str]:
    """Return which of them needs which other one; the last needs none."""
    return dict(zip(names, (*names[1:], ""), strict=True))


_RELATIONS: Mapping[tuple[str, str], str] = {
    **{(name, "1.0-1"): other for names in (BEFORE, BY_UPDATE) for name, other in _needs(names).items()},
    (_HOLDING, "1.0-1"): BEFORE[0],
    (NEEDING, "1.0-1"): BY_UPDATE[0],
    (NEEDING, "1.1-1"): "",
}
"""What each package of each version needs."""


def _rpms() -> tuple[Rpm, ...]:
    return tuple(
        Rpm(name, version, fields={"Requires": other} if other else {})
        for (name, version), other in _RELATIONS.items()
    )


# --- dnf ----------------------------------------------------------------------------------------------------

DNF_KERNEL = ("kernel-core", "kernel-modules", "kernel")
DNF_VERSIONS = tuple(f"5.{number}-1" for number in (8, 9, 10, 11, 12))
"""In the order of rpm, which is not that of letters."""


def dnf_kernel(version: str) -> tuple[Rpm, ...]:
    """Return one kernel: packages of which several versions may be installed, and which belong together."""
    base = DNF_KERNEL[0]
    many = {"Provides": "installonlypkg(kernel)"}
    needs = {name: {"Requires": f"{base} = {version}"} for name in DNF_KERNEL[1:]}
    return tuple(Rpm(name, version, fields={**many, **needs.get(name, {})}) for name in DNF_KERNEL)


def dnf_machine(folder: Path) -> DnfLab:
    """Build a machine of dnf."""
    lab = DnfLab.empty(folder)
    lab.configure("installonly_limit=2")
    lab.repository.publish(*_rpms())
    lab.refresh()
    lab.dnf("-y", "install", _HOLDING, f"{NEEDING}-1.0")
    lab.rpm("-e", _HOLDING)
    for version in DNF_VERSIONS:
        lab.install(*dnf_kernel(version))
    return lab


# --- zypper -------------------------------------------------------------------------------------------------

SUSE_KERNEL = ("kernel-default", "kernel-default-devel", "kernel-devel")
SUSE_VERSIONS = tuple(f"5.{number}-2.1" for number in (8, 9, 10, 11, 12))


def suse_kernel(version: str) -> tuple[Rpm, ...]:
    """Return one kernel as SUSE makes it: a running one calls itself without the last number."""
    base, devel, common = SUSE_KERNEL
    called = f"{version.rpartition('.')[0]}-default"
    many = "multiversion(kernel)"
    provides = (many, f"kernel = {version}", f"kernel-uname-r = {called}")
    needs = (f"{base} = {version}", f"{common} = {version}")
    return (
        Rpm(base, version, "x86_64", {"Provides": provides}),
        Rpm(devel, version, "x86_64", {"Provides": many, "Requires": needs}),
        Rpm(common, version, fields={"Provides": many}),
    )


def keep_kernels(lab: ZypperLab, what: str) -> None:
    """Say which kernels stay, as the operator would."""
    (lab.root / "etc/zypp/zypp.conf").write_text(f"[main]\nmultiversion.kernels = {what}\n")


def zypper_machine(folder: Path) -> ZypperLab:
    """Build a machine of zypper."""
    lab = ZypperLab.empty(folder)
    keep_kernels(lab, "latest,latest-1,running")
    lab.repository.publish(*_rpms())
    lab.refresh()
    lab.zypper("install", _HOLDING, f"{NEEDING}=1.0-1")
    lab.rpm("-e", _HOLDING)
    for version in SUSE_VERSIONS:
        lab.install(*suse_kernel(version))
    return lab


# --- pacman -------------------------------------------------------------------------------------------------


def pacman_machine(folder: Path) -> PacmanLab:
    """Build a machine of pacman."""
    lab = PacmanLab.empty(folder)
    lab.publish(
        *(
            Pkg(name, version, (("depend", other),) if other else ())
            for (name, version), other in _RELATIONS.items()
            if version == "1.0-1"
        )
    )
    lab.pacman("-Sy", _HOLDING, NEEDING)
    lab.pacman("-R", _HOLDING)
    lab.publish(Pkg(NEEDING, "1.1-1"))
    return lab
