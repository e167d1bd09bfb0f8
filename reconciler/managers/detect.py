"""Which package manager a target has."""

from typing import Literal

from reconciler.errors import Stalled
from reconciler.managers.scripts import Target

Manager = Literal["apt", "dnf", "zypper", "pacman"]

# The first program that is there decides; a pair where one alone proves nothing: Debian packages dnf, zypper
# and pacman too, and a Fedora may have apt installed without being patched by it.
_PROBE = b"""\
id=
[ ! -r /etc/os-release ] || id=$(. /etc/os-release && printf ' %s %s ' "$ID" "$ID_LIKE")
have() { command -v "$1" >/dev/null 2>&1; }
case $id in
    *' debian '* | *' ubuntu '*) have apt-get && echo apt && exit ;;
    *' fedora '* | *' rhel '* | *' centos '*) { have dnf || have yum; } && echo dnf && exit ;;
    *' suse '* | *' opensuse '*) have zypper && echo zypper && exit ;;
    *' arch '*) have pacman && echo pacman && exit ;;
esac
have apt-get && have dpkg && echo apt && exit
have zypper && echo zypper && exit
{ have dnf || have yum; } && echo dnf && exit
have pacman && echo pacman && exit
exit 1
"""

PROBE_TIMEOUT = 30.0


def detect(target: Target) -> Manager:
    """Return the package manager of a target: its distribution's own, else the first that is there.

    Raises:
        Stalled: It has none that we know.
    """
    said = target.run(_PROBE, "detect", (), timeout=PROBE_TIMEOUT).text.strip()
    match said:
        case "apt" | "dnf" | "zypper" | "pacman":
            return said
        case _:
            raise Stalled(
                "no package manager found on this machine",
                "this version plans with apt, on Debian and its relatives",
            )
