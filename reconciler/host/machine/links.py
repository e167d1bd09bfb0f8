"""Whether this machine's connection costs money, by NetworkManager.

Rules:

1. Only the connection counts that the default route leads through: that is what NetworkManager's own
   property ``Metered`` is about (NMMetered in its D-Bus types). Yes and a guessed yes count; a no, a guessed
   no and what it does not know do not.
2. systemd-networkd has no such word: its connections never count as metered.
3. It is asked by its bus, with ``busctl``, which systemd brings, and never started by that.
4. It has its time. Where it runs and gives no answer, that is told, and counts as not metered.
"""

from collections.abc import Mapping
from pathlib import Path

from reconciler import process
from reconciler.errors import Stalled
from reconciler.planning.facts.links import FREE, Cost

RUNTIME = Path("/run/NetworkManager")
"""A folder that is there wherever NetworkManager has run since the machine began."""

_ASK = (
    "busctl",
    "--timeout=10",
    "--auto-start=no",
    "call",
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.DBus.Properties",
    "Get",
    "ss",
    "org.freedesktop.NetworkManager",
    "Metered",
)
_TIMEOUT = 20.0
_METERED = {
    "v u 1": "a connection that NetworkManager calls metered",
    "v u 3": "a connection that NetworkManager takes for metered",
}
_KNOWN = frozenset({"v u 0", "v u 2", "v u 4"})
_NOBODY = ("not provided by any", "not activatable", "has no owner", "Failed to connect to bus")


class NetworkLink:
    """The connection of this machine, and so of its guests.

    Args:
        environment: Added to what :func:`reconciler.process.run` gives a child.
        runtime: Exists where NetworkManager has run.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, runtime: Path = RUNTIME) -> None:
        self._environment = dict(environment or {})
        self._runtime = runtime

    def cost(self) -> Cost:
        """Say what it costs now; never raises a domain error."""
        if not self._runtime.is_dir():
            return FREE
        try:
            done = process.run(_ASK, env=self._environment, timeout=_TIMEOUT)
        except Stalled as error:
            return Cost(trouble=error.message)
        said = done.text.strip()
        if not done.returncode and not done.timed_out and (said in _KNOWN or said in _METERED):
            return Cost(_METERED.get(said, ""), is_watched=True)
        complaint = done.error_text.strip()
        if any(words in complaint for words in _NOBODY):
            return FREE
        words = "" if done.timed_out else (complaint or said).rpartition("\n")[2]
        words = words or "it does not answer"
        return Cost(is_watched=True, trouble=f"NetworkManager cannot be asked: {words}")
