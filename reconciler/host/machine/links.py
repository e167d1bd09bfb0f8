"""Whether this machine's connection costs money, by NetworkManager.

Rules:

1. Only the connection counts that the default route leads through: that is what NetworkManager's own
   property ``Metered`` is about (NMMetered in its D-Bus types). Yes and a guessed yes count; a no, a guessed
   no and what it does not know do not.
2. systemd-networkd has no such word: its connections never count as metered.
3. It is asked by its bus, with ``busctl``, which systemd brings, and never started by that.
4. It has its time. Where it runs and gives no answer, that is told, and counts as not metered; whoever asks
   again within a minute is told the same at once, so that a tick over many guests does not wait for each.
5. Whether it runs says the bus (NameHasOwner of the D-Bus specification), since each bus has words of its
   own for somebody who is not there.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

from reconciler import process
from reconciler.errors import Stalled
from reconciler.planning.facts.links import FREE, Cost

RUNTIME = Path("/run/NetworkManager")
"""A folder that is there wherever NetworkManager has run since the machine began."""

_NAME = "org.freedesktop.NetworkManager"
_CALL = ("busctl", "--timeout=10", "--auto-start=no", "call")
_ASK = (
    *_CALL,
    _NAME,
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.DBus.Properties",
    "Get",
    "ss",
    _NAME,
    "Metered",
)
_IS_THERE = (
    *_CALL,
    "org.freedesktop.DBus",
    "/org/freedesktop/DBus",
    "org.freedesktop.DBus",
    "NameHasOwner",
    "s",
    _NAME,
)
_TIMEOUT = 20.0
_SPARED = 60.0
"""Seconds for which nobody is asked again who gave no answer."""
_METERED = {
    "v u 1": "a connection that NetworkManager calls metered",
    "v u 3": "a connection that NetworkManager takes for metered",
}
_KNOWN = frozenset({"v u 0", "v u 2", "v u 4"})
_NO_BUS = re.compile(r"Failed to connect to .*: (No such file or directory|Connection refused)")
"""What busctl says where there is no bus; which bus it means it says differently from version to version."""


class NetworkLink:
    """The connection of this machine, and so of its guests.

    Args:
        environment: Added to what :func:`reconciler.process.run` gives a child.
        runtime: Exists where NetworkManager has run.
        elapsed: Seconds since some instant.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        runtime: Path = RUNTIME,
        elapsed: Callable[[], float] = monotonic,
    ) -> None:
        self._environment = dict(environment or {})
        self._runtime = runtime
        self._elapsed = elapsed
        self._silent: tuple[float, Cost] | None = None

    def cost(self) -> Cost:
        """Say what it costs now; never raises a domain error."""
        if not self._runtime.is_dir():
            return FREE
        if self._silent is not None and self._elapsed() < self._silent[0]:
            return self._silent[1]
        cost = self._asked()
        self._silent = (self._elapsed() + _SPARED, cost) if cost.trouble else None
        return cost

    def _asked(self) -> Cost:
        try:
            done = process.run(_ASK, env=self._environment, timeout=_TIMEOUT)
        except Stalled as error:
            return Cost(trouble=error.message)
        said = done.text.strip()
        if not done.returncode and not done.timed_out and (said in _KNOWN or said in _METERED):
            return Cost(_METERED.get(said, ""), is_watched=True)
        complaint = done.error_text.strip()
        if not done.timed_out and self._is_away(complaint):
            return FREE
        words = "" if done.timed_out else (complaint or said).rpartition("\n")[2]
        words = words or "it does not answer"
        return Cost(is_watched=True, trouble=f"NetworkManager cannot be asked: {words}")

    def _is_away(self, complaint: str) -> bool:
        """Say whether nobody is there who could know."""
        if _NO_BUS.search(complaint):
            return True
        try:
            asked = process.run(_IS_THERE, env=self._environment, timeout=_TIMEOUT)
        except Stalled:
            return False
        return not asked.returncode and not asked.timed_out and asked.text.strip() == "b false"
