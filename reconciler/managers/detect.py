"""Which package manager a target has."""

from pathlib import Path
from typing import Literal

from reconciler.errors import Stalled
from reconciler.managers.scripts import Target

Manager = Literal["apt", "dnf", "zypper", "pacman"]

# The distribution's own decides, since Debian packages dnf, zypper and pacman too, and a Fedora may have apt
# installed without being patched by it. Prints it, or else the name of every manager that is there. The first
# argument is the root of the system that is meant, empty for the running one; one that does not say what it
# is counts as the same as the running one, and the manager finds out whether that is true.
_PROBE = b"""\
id=
for file in "$1/etc/os-release" "$1/usr/lib/os-release" /etc/os-release; do
    [ -r "$file" ] || continue
    id=$(. "$file" && printf ' %s %s ' "$ID" "${ID_LIKE:-}")
    break
done
have() { command -v "$1" >/dev/null 2>&1; }
case $id in
    *' debian '* | *' ubuntu '*) have apt-get && echo apt && exit ;;
    *' fedora '* | *' rhel '* | *' centos '*) { have dnf || have yum; } && echo dnf && exit ;;
    *' suse '* | *' opensuse '*) have zypper && echo zypper && exit ;;
    *' arch '*) have pacman && echo pacman && exit ;;
esac
have apt-get && have dpkg && echo apt
have zypper && echo zypper
{ have dnf || have yum; } && echo dnf
have pacman && echo pacman
exit 0
"""

PROBE_TIMEOUT = 30.0


def detect(target: Target, *, root: Path | None = None) -> Manager:
    """Return the package manager of a target: its distribution's own, else the only one that is there.

    Args:
        target: Where to look.
        root: The system below this folder instead of the running one.

    Raises:
        Stalled: It has none that we know, or several, and nothing says which one is meant.
    """
    said = target.run(_PROBE, "detect", ("" if root is None else str(root),), timeout=PROBE_TIMEOUT).text
    match said.split():
        case [("apt" | "dnf" | "zypper" | "pacman") as only]:
            return only
        case []:
            raise Stalled(
                "no package manager found on this machine", "patchledger knows apt, dnf, zypper and pacman"
            )
        case several:
            raise Stalled(
                f"this machine has {' and '.join(several)}, and its distribution is not known here",
                "say which one patches it: `manager: NAME` in the configuration",
            )
