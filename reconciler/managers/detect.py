"""Which package manager a target has, and how it is spoken to."""

from importlib import import_module
from pathlib import Path
from typing import cast

from reconciler.errors import Stalled
from reconciler.managers.dialect import Dialect
from reconciler.managers.scripts import Target
from reconciler.policy.managers import MANAGERS, NAMES, ManagerName, ManagerTraits, in_words


def _own(manager: ManagerTraits) -> str:
    ids = " | ".join(f"*' {distribution} '*" for distribution in manager.distributions)
    return f"    {ids}) {manager.is_there} && echo {manager.name} && exit ;;\n"


_OWN = "".join(map(_own, MANAGERS))
_ANY = "".join(f"{one.is_there} && echo {one.name}\n" for one in MANAGERS)

# The distribution's own decides, since Debian packages dnf, zypper and pacman too, and a Fedora may have apt
# installed without being patched by it. Prints it, or else the name of every manager that is there. The first
# argument is the root of the system that is meant, empty for the running one; one that does not say what it
# is counts as the same as the running one, and the manager finds out whether that is true.
_PROBE = f"""\
id=
for file in "$1/etc/os-release" "$1/usr/lib/os-release" /etc/os-release; do
    [ -r "$file" ] || continue
    id=$(. "$file" && printf ' %s %s ' "$ID" "${{ID_LIKE:-}}")
    break
done
have() {{ command -v "$1" >/dev/null 2>&1; }}
case $id in
{_OWN}esac
{_ANY}exit 0
""".encode()

PROBE_TIMEOUT = 30.0


def detect(target: Target, *, root: Path | None = None) -> ManagerName:
    """Return the package manager of a target: its distribution's own, else the only one that is there.

    Args:
        target: Where to look.
        root: The system below this folder instead of the running one.

    Raises:
        Stalled: It has none that we know, or several, and nothing says which one is meant.
    """
    said = target.run(_PROBE, "detect", ("" if root is None else str(root),), timeout=PROBE_TIMEOUT).text
    match [name for name in NAMES if name in said.split()]:
        case [only]:
            return only
        case []:
            raise Stalled("no package manager found on this machine", f"patchledger knows {in_words(NAMES)}")
        case several:
            raise Stalled(
                f"this machine has {' and '.join(several)}, and its distribution is not known here",
                "say which one patches it: `manager: NAME` in the configuration",
            )


def dialect_of(manager: ManagerName) -> Dialect:
    """Return how a manager's patch script is read; the parsers of the others are not imported."""
    return cast("Dialect", getattr(import_module(f"reconciler.managers.{manager}"), manager.upper()))
