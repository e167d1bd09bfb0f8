"""What ``setup`` can find out by itself, for its defaults and to show that it looked."""

import platform
import shutil
import socket
import sys
from pathlib import Path

from reconciler.errors import Misuse, ReconcilerError
from reconciler.host.install.answers import host_id
from reconciler.host.install.competing import Updater, find
from reconciler.host.install.credentials import is_available
from reconciler.managers.detect import detect
from reconciler.ownership import who_else_may_change
from reconciler.records import dataclass
from reconciler.targets.local import LocalTarget

_ZONEINFO = "zoneinfo/"


@dataclass(frozen=True, slots=True)
class Detected:
    """This machine, as far as ``setup`` is concerned.

    Attributes:
        distribution: For people.
        manager: The package manager, or why there is none, for people.
        host: The host id that its name suggests, empty for none.
        zone: Its time zone, empty where it has none.
        updaters: Others that change packages by themselves.
        why_no_credentials: Empty where secrets can be encrypted.
    """

    distribution: str
    manager: str
    host: str
    zone: str
    updaters: tuple[Updater, ...]
    why_no_credentials: str


def look(*, is_system: bool) -> Detected:
    """Look at this machine; what cannot be found out is empty.

    Args:
        is_system: Units of this system are written, so that its other updaters matter.
    """
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        system = "Linux"
    try:
        manager: str = detect(LocalTarget({}))
    except ReconcilerError as error:
        manager = error.message
    try:
        updaters = find() if is_system else ()
    except ReconcilerError:
        updaters = ()
    return Detected(system, manager, host_id(socket.gethostname()), time_zone(), updaters, is_available())


def program(named: str | None, *, as_root: bool) -> Path:
    """Return the command that the units start: the one that is running.

    Args:
        named: Another one.
        as_root: Units of the system start it as root, so nobody else may be able to change it.

    Raises:
        Misuse: It cannot be told where it is, or others could change it.
    """
    started = Path(named or sys.argv[0])
    beside = Path(sys.executable).with_name("patchledger")
    found = started if named or (started.name == "patchledger" and started.is_file()) else beside
    if not found.is_file():
        other = None if named else shutil.which("patchledger")
        if other is None:
            raise Misuse(
                "there is no patchledger command that a unit could start",
                "install the package, or run setup by the patchledger command of its environment",
            )
        found = Path(other)
    found = found.absolute()
    others = who_else_may_change(str(found)) if as_root else ""
    if others:
        raise Misuse(
            f"{found} would be started as root, and {others}",
            "install patchledger where root alone may write",
        )
    return found


def time_zone() -> str:
    """Return the name of this machine's time zone, empty where it has none."""
    try:
        link = str(Path("/etc/localtime").readlink())
    except OSError:
        return ""
    return link.partition(_ZONEINFO)[2]
