"""The package managers there are, and what each can do: whatever depends on which one it is asks here.

A further one is a word of :data:`ManagerName` and an entry of :data:`MANAGERS`.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

ManagerName = Literal["apt", "dnf", "zypper", "pacman"]
NAMES: tuple[ManagerName, ...] = get_args(ManagerName)


# No dataclass: the command line names managers in its help, which pays for no heavy import.
class ManagerTraits(NamedTuple):
    """What a package manager can do, and what is known of it.

    Attributes:
        name: In policies, configurations and recordings.
        distributions: ``ID`` or ``ID_LIKE`` in the ``os-release`` of those whose own it is.
        is_there: Test of a shell that has it, in which ``have PROGRAM`` looks for a program.
        versions: Whose rules say which of two versions is the newer one; ``None`` where nobody knows.
        knows_partial_upgrades: Some updates can be made without the others.
        leaves_out: Where one update cannot be had, it resolves the others.
        tells_security: It says which updates fix security problems.
        tells_severity: It says of a security update how severe it is.
        tells_kinds: It says of each update of what kind its advisories are.
        names_security_sources: It tells them by their source, and policy can name further sources.
        tells_half_done: Its database says which package a script left half done.
        marks_names: What is installed only for others is marked by name, in all architectures at once.
        tells_unused: It says which packages nothing needs any more.
        drops_kernels: It has a rule of its own about which old kernels may go.
        own: Names and patterns of the packages that a run of this program stands on.
        to_end: What a person does where packages are half done.
        to_whole: What a person does where dependencies of installed packages are not met.
        writes: What it writes to outside ``/var`` when it only reads its metadata anew: the keys that it
            trusts, and repositories that a service of its vendor's hands out.
    """

    name: str
    distributions: tuple[str, ...]
    is_there: str
    versions: Literal["debian", "rpm", "alpm"] | None
    knows_partial_upgrades: bool
    leaves_out: bool
    tells_security: bool
    tells_severity: bool
    tells_kinds: bool
    names_security_sources: bool
    tells_half_done: bool
    marks_names: bool
    tells_unused: bool
    drops_kernels: bool
    own: tuple[str, ...]
    to_end: str
    to_whole: str
    writes: tuple[str, ...]


MANAGERS: tuple[ManagerTraits, ...] = (
    ManagerTraits(
        name="apt",
        distributions=("debian", "ubuntu"),
        is_there="have apt-get && have dpkg",
        versions="debian",
        knows_partial_upgrades=True,
        leaves_out=True,
        tells_security=True,
        tells_severity=False,
        tells_kinds=False,
        names_security_sources=True,
        tells_half_done=True,
        marks_names=False,
        tells_unused=True,
        drops_kernels=True,
        own=(
            *("patchledger", "git", "git-man", "python3", "python3-minimal", "python3.[0-9]*", "libpython3*"),
            *("systemd", "systemd-*", "libsystemd*", "libpam-systemd", "libnss-systemd", "udev", "libudev1"),
        ),
        to_end="where no run repairs it: `dpkg --configure -a`, then `apt-get --fix-broken install`",
        to_whole="`apt-get --fix-broken install` mends it, or the removal of what needs them",
        writes=(),
    ),
    ManagerTraits(
        name="dnf",
        distributions=("fedora", "rhel", "centos"),
        is_there="{ have dnf || have dnf5 || have yum; }",
        versions="rpm",
        knows_partial_upgrades=True,
        leaves_out=True,
        tells_security=True,
        tells_severity=True,
        tells_kinds=True,
        names_security_sources=False,
        tells_half_done=False,
        marks_names=False,
        tells_unused=True,
        drops_kernels=True,
        own=(
            *("patchledger", "git", "git-core", "git-core-doc", "perl-Git"),
            *("python3", "python3-libs", "python3.[0-9]*", "platform-python", "systemd", "systemd-*"),
        ),
        to_end="where no run repairs it: `dnf check`, then `dnf remove --duplicates` or reinstall it",
        to_whole="`dnf check` names them; `dnf distro-sync` mends it, or the removal of what needs them",
        writes=(),
    ),
    ManagerTraits(
        name="zypper",
        distributions=("suse", "opensuse"),
        is_there="have zypper",
        versions="rpm",
        knows_partial_upgrades=True,
        leaves_out=False,
        tells_security=True,
        tells_severity=True,
        tells_kinds=True,
        names_security_sources=False,
        tells_half_done=False,
        marks_names=True,
        tells_unused=True,
        drops_kernels=True,
        own=(
            *("patchledger", "git", "git-core", "perl-Git", "python3", "python3-base", "libpython3*"),
            *("python3[0-9]*", "systemd", "systemd-*", "libsystemd0", "udev", "libudev1"),
        ),
        to_end="where no run repairs it: `rpm --verify` on it, then `zypper install --force` on it",
        to_whole="`zypper verify` mends it, or the removal of what needs them",
        writes=("/etc/zypp",),
    ),
    ManagerTraits(
        name="pacman",
        distributions=("arch",),
        is_there="have pacman",
        versions="alpm",
        knows_partial_upgrades=False,
        leaves_out=False,
        tells_security=False,
        tells_severity=False,
        tells_kinds=False,
        names_security_sources=False,
        tells_half_done=False,
        marks_names=True,
        tells_unused=True,
        drops_kernels=False,
        own=(),  # All is one step.
        to_end="where no run repairs it: `pacman -Dk`, then `pacman -S` on it",
        to_whole="`pacman -Dk` names them; install what is missing, or remove what needs it",
        writes=("/etc/pacman.d/gnupg",),
    ),
)

_OTHER = ManagerTraits(
    name="",
    distributions=(),
    is_there="false",
    versions=None,
    knows_partial_upgrades=True,
    leaves_out=True,
    tells_security=True,
    tells_severity=True,
    tells_kinds=True,
    names_security_sources=False,
    tells_half_done=False,
    marks_names=False,
    tells_unused=True,
    drops_kernels=True,
    own=(),
    to_end="where no run repairs it, the package manager's own repair does",
    to_whole="install what is missing, or remove what needs it",
    writes=(),
)
"""What is taken for granted of a manager that only another release knows."""


def traits_of(manager: str) -> ManagerTraits:
    """Return what ``manager``, as named in a recording, can do."""
    return next((one for one in MANAGERS if one.name == manager), _OTHER)


def in_words(words: Sequence[str]) -> str:
    """Write ``apt, dnf and zypper``."""
    return f"{', '.join(words[:-1])} and {words[-1]}"
