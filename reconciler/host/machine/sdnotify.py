"""Tell the service manager how we are: the protocol of sd_notify(3), one datagram for each message.

Nothing here fails: a service must not end since its manager does not listen. Without ``NOTIFY_SOCKET``
nothing is sent.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from datetime import timedelta

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""What is meant for one process alone, and is not to be handed to its children."""

_LONGEST_STATUS = 1000  # characters; a message is one datagram, and a status one line


class ServiceManager:
    """The service manager that started this process, if there is one.

    Args:
        address: Of its socket: an absolute path, or ``@`` and an abstract name (unix(7)). Empty for nobody;
            any other kind of address counts as that.
        watchdog: It ends a process that is silent for so long; ``None`` where it asks for no signs of life.
    """

    def __init__(self, address: str = "", watchdog: timedelta | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._is_there = address.startswith(("/", "@"))
        self.watchdog = watchdog if self._is_there else None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "ServiceManager":
        """Return the one that ``environ``, this process's environment, tells of (sd_watchdog_enabled(3))."""
        spans = environ.get("WATCHDOG_USEC", "")
        is_meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        asked = is_meant and spans.isascii() and spans.isdigit() and int(spans) > 0
        watchdog = timedelta(microseconds=int(spans)) if asked else None
        return cls(environ.get("NOTIFY_SOCKET", ""), watchdog)

    def ready(self, status: str) -> None:
        """Tell that all is set up: for the first time, or again after :meth:`reloading`."""
        self._send("READY=1", _status(status))

    def reloading(self, status: str) -> None:
        """Tell that the configuration is being read anew; :meth:`ready` must follow."""
        # The time is how a manager of Type=notify-reload matches it with its own request.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", _status(status))

    def stopping(self, status: str) -> None:
        """Tell that we are about to end."""
        self._send("STOPPING=1", _status(status))

    def status(self, status: str) -> None:
        """Tell what we are at, in one line for people."""
        self._send(_status(status))

    def alive(self) -> None:
        """Give a sign of life, where they are asked for."""
        if self.watchdog is not None:
            self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if not self._is_there:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # A manager that does not read must not hold us up.
            sender.setblocking(False)
            sender.sendto("\n".join(assignments).encode("utf-8", "replace"), self._address)


def _status(text: str) -> str:
    # Each line of a message is an assignment: a status of two lines could say anything in our name.
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return f"STATUS={line[:_LONGEST_STATUS]}"
