"""Which kernel a package is of: told by its name and version, and by how a kernel calls itself.

This is the only place that knows how distributions name kernels. Four ways are in use:

=============  ==========================================  ================================
Debian         ``linux-image-6.1.0-10-amd64`` 6.1.38-1     ``6.1.0-10-amd64``
Proxmox        ``proxmox-kernel-6.8.12-1-pve-signed``      ``6.8.12-1-pve``
rpm            ``kernel-core`` 5.14.0-427.el9              ``5.14.0-427.el9.x86_64+debug``
SUSE           ``kernel-default`` 5.14.21-150500.55.1      ``5.14.21-150500.55-default``
=============  ==========================================  ================================

Whoever asks what must stay takes a package for one of a kernel where any of them fits.
"""

import re
from collections.abc import Iterable, Iterator

from reconciler.planning.facts.observation import Installed
from reconciler.planning.facts.package import PackageId

_RELEASE = re.compile(r"-[0-9]+\.[0-9][^-]*(?:-[0-9][^-]*)*|-signed$")
"""In Debian's names; what comes after it is the flavour, such as ``-rt-amd64``."""
_BY_RELEASE = re.compile(r"(?:linux-image|proxmox-kernel|pve-kernel)(?:-unsigned)?-[0-9].*")
"""Debian's, one of each release; a meta package has no release, and brings nothing to ``/boot``."""
_BY_VERSION = re.compile(r"kernel(?:-.*)?")
_BESIDE = frozenset(
    {
        *("dbg", "debuginfo", "debugsource", "devel", "doc", "docs", "extra", "firmware", "headers", "libs"),
        *("livepatch", "macros", "modules", "obs", "optional", "source", "stablelists", "syms", "tools"),
    }
)
"""Words in the name of an rpm that is made with a kernel, or for one, and is none."""


def is_image(name: str) -> bool:
    """Say whether a package of this name brings a kernel, so that files come to ``/boot``."""
    if _BY_RELEASE.fullmatch(name):
        return not name.endswith("-dbg")
    words = name.split("-")[1:]
    return _BY_VERSION.fullmatch(name) is not None and not _BESIDE.intersection(words)


def is_of(release: str, name: str, version: str) -> bool:
    """Say whether a package is made for the kernel that calls itself ``release``.

    Args:
        release: As ``uname -r`` says it; of an empty one no package is.
        name: Of the package.
        version: Of the package; an epoch is not told by a kernel.
    """
    upstream = version.rpartition(":")[2]
    if not release:
        return False
    if f"-{release}-" in f"{name}-":
        return True
    return bool(upstream) and not _BY_RELEASE.fullmatch(name) and _is_version_of(release, upstream)


def _is_version_of(release: str, version: str) -> bool:
    if _begins(release, version, ".+-"):
        return True
    # SUSE's calls itself without the last number, and with what it is made for.
    bare, _, made_for = release.rpartition("-")
    return "-" in bare and bool(made_for) and _begins(version, bare, ".")


def _begins(text: str, start: str, ends: str) -> bool:
    """Say whether ``text`` begins with the whole of ``start``: a number goes on in none of ``ends``."""
    return text.startswith(start) and (len(text) == len(start) or text[len(start)] in ends)


def kernels_like(package: PackageId, installed: Iterable[Installed]) -> Iterator[Installed]:
    """Yield what is installed of the same sort and flavour: Debian's have their release in the name."""
    stem = _RELEASE.sub("", package.name)
    return (one for one in installed if _RELEASE.sub("", one.name) == stem and one.arch == package.arch)
