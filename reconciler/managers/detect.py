"""Which package manager a target has, and how it is spoken to."""

from importlib import import_module
from pathlib import Path
from typing import cast

from reconciler.errors import Misuse, Stalled
from reconciler.managers.dialect import Dialect
from reconciler.managers.scripts import AnyTarget, TimedOut, question
from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import listed
from reconciler.policy.managers import MANAGERS, NAMES, ManagerName, ManagerTraits, in_words
from reconciler.reconcile.ports.where import THIS_MACHINE


def _own(manager: ManagerTraits) -> str:
    ids = " | ".join(f"*' {distribution} '*" for distribution in manager.distributions)
    return f"    {ids}) {manager.is_there} && echo {manager.name} && exit ;;\n"


_OWN = "".join(map(_own, MANAGERS))
_ANY = "".join(f"{one.is_there} && echo {one.name}\n" for one in MANAGERS)

# The distribution's own decides, since Debian packages dnf, zypper and pacman too, and a Fedora may have apt
# installed without being patched by it. Prints it, or else the name of every manager that is there. The first
# argument is the root of the system that is meant, empty for the running one; one that does not say what it
# is counts as the same as the running one, and the manager finds out whether that is true.
_HAVE = 'have() { command -v "$1" >/dev/null 2>&1; }\n'
_THERE = f"{_HAVE}{_ANY}exit 0\n".encode()
_PROBE = f"""\
id=
for file in "$1/etc/os-release" "$1/usr/lib/os-release" /etc/os-release; do
    [ -r "$file" ] || continue
    id=$(. "$file" && printf ' %s %s ' "$ID" "${{ID_LIKE:-}}")
    break
done
{_HAVE}case $id in
{_OWN}esac
{_ANY}exit 0
""".encode()

PROBE_TIMEOUT = 30.0


def detect(target: AnyTarget, *, root: Path | None = None) -> ManagerName:
    """Return the package manager of a target: its distribution's own, else the only one that is there.

    Args:
        target: Where to look.
        root: The system below this folder instead of the running one.

    Raises:
        Stalled: It has none that we know, or several, and nothing says which one is meant; or
            that was not said.
        TimedOut: It was not said in time.
        GuestAway: It is a guest that does not run.
    """
    here, probe = target.where == THIS_MACHINE, _PROBE
    if not here:
        probe = question(probe)
    machine = "this machine" if here else "this guest"
    match _asked(target, probe, "" if root is None else str(root)):
        case [only]:
            return only
        case []:
            raise Stalled(f"no package manager found on {machine}", f"patchledger knows {in_words(NAMES)}")
        case several:
            raise Stalled(
                f"{machine} has {' and '.join(several)}, and its distribution is not known here",
                "say which one patches it: `manager: NAME` in the configuration" if here else "",
            )


def check_there(manager: ManagerName, target: AnyTarget) -> None:
    """Refuse a package manager that this machine does not have.

    Raises:
        Misuse: It is not there.
        Stalled: What is there was not said.
        TimedOut: It was not said in time.
    """
    there = _asked(target, _THERE, "")
    if manager not in there:
        has = f"it has {listed(there)}" if there else f"it has none of {in_words(NAMES)}"
        hint = "leave it out, and the distribution's own is taken" if there else f"install {manager}"
        raise Misuse(f"manager: there is no {manager} on this machine; {has}", hint)


def _asked(target: AnyTarget, probe: bytes, root: str) -> list[ManagerName]:
    done = target.run(probe, "detect", (root,), timeout=PROBE_TIMEOUT)
    if done.truncated:
        raise Stalled("which package manager is there was not said: what it says has no end")
    if done.timed_out:
        raise TimedOut(f"which package manager is there was not said within {PROBE_TIMEOUT:.0f} s")
    if done.returncode or done.truncated:
        # Whatever was printed then is no answer, and nothing is none either.
        words = one_line(done.error_text, 300) or f"the question ended with {done.returncode}"
        raise Stalled(f"which package manager is there was not said: {words}")
    return [name for name in NAMES if name in done.text.split()]


def dialect_of(manager: ManagerName) -> Dialect:
    """Return how a manager's patch script is read; the parsers of the others are not imported."""
    return cast("Dialect", getattr(import_module(f"reconciler.managers.{manager}"), manager.upper()))
