"""What must work after a run: units, ports, URLs; and waiting for it, bounded.

Rules:

1. A check answers within its time limit, whatever is on the other side: one that says nothing, one that says
   a byte a second, one that never stops. Only the look-up of a name has the resolver's own limits.
2. A URL is asked once, directly: no proxy, no redirect followed, certificates verified. Any status from 200
   to 399 is well. The body is not read.
3. What cannot be asked is not well, and says why.
"""

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from reconciler.errors import Stalled, Transient
from reconciler.host.machine.systemd import RUNTIME, Systemd, is_active_state, unit_name
from reconciler.planning.runs.hooks_and_health import CheckResult, newly_failing
from reconciler.reconcile.ports.where import THIS_MACHINE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from reconciler.policy.documents import Health

PATIENCE = timedelta(seconds=5)
"""How long one port or URL may take to answer."""

EVERY = timedelta(seconds=2)
"""How long :func:`settle` waits before it asks again."""

_GOOD_STATUS = range(200, 400)
_URL_CHARACTERS = "%/:=&?~#+!$,;'@()*[]"  # RFC 3986: what a path or query may hold as it is


class Checks:
    """The checks that a policy's ``health`` names, and systemd's failed units.

    Args:
        environment: Added to what :func:`reconciler.process.run` gives ``systemctl``.
        systemd: Exists where systemd runs.
        patience: How long one port or URL may take.
    """

    where = THIS_MACHINE

    def __init__(
        self, environment: Mapping[str, str], *, systemd: Path = RUNTIME, patience: timedelta = PATIENCE
    ) -> None:
        self._systemd = Systemd(environment, systemd)
        self._patience = patience.total_seconds()

    def check(self, wanted: "Health") -> tuple[CheckResult, ...]:
        """Ask every unit, port and URL of ``wanted`` once, in this order; never raises a domain error."""
        return (
            *self._units(wanted.units),
            *(self._tcp(endpoint) for endpoint in wanted.tcp),
            *(self._http(url) for url in wanted.http),
        )

    def failed_units(self) -> tuple[CheckResult, ...]:
        """Return a failing check for each unit that systemd counts as failed; none where it does not run."""
        if not self._systemd.is_running:
            return ()
        try:
            return tuple(_unit_check(name, "failed") for name in self._systemd.failed_units())
        except (Stalled, Transient) as error:
            return (CheckResult("failed units", ok=False, detail=error.message),)

    def _units(self, units: Sequence[str]) -> tuple[CheckResult, ...]:
        names = tuple(unit_name(unit) for unit in units)
        if names and not self._systemd.is_running:
            return tuple(_unit_check(name, "systemd does not run here") for name in names)
        try:
            states = self._systemd.states(names)
        except (Stalled, Transient) as error:
            return tuple(_unit_check(name, error.message) for name in names)
        return tuple(map(_unit_check, names, states))

    def _tcp(self, endpoint: str) -> CheckResult:
        name = f"tcp {endpoint}"
        host, _, port = endpoint.rpartition(":")
        try:
            _Connection(host.strip("[]"), int(port), self._patience).close()
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be looked up at all
            return CheckResult(name, ok=False, detail=_words(error))
        return CheckResult(name, ok=True, detail="accepts connections")

    def _http(self, url: str) -> CheckResult:
        name = f"http {url}"
        try:
            status = _status_of(url, self._patience)
        except (OSError, ValueError) as error:
            return CheckResult(name, ok=False, detail=_words(error))
        except http.client.HTTPException as error:
            return CheckResult(name, ok=False, detail=f"no answer in HTTP ({type(error).__name__})")
        return CheckResult(name, ok=status in _GOOD_STATUS, detail=f"status {status}")


def settle(
    ask: Callable[[], Sequence[CheckResult]],
    before: Sequence[CheckResult],
    within: timedelta,
    *,
    wait: Callable[[float], None],
    elapsed: Callable[[], float],
) -> tuple[CheckResult, ...]:
    """Ask until nothing fails that did not fail ``before``, or the time is over; return the last answer.

    It is asked at least once, and again when the time is just over, unless an answer took longer than that.

    Args:
        ask: All that is to be asked, such as checks, failed units and health scripts.
        before: What was answered before the run.
        within: The policy's ``health.settle``.
        wait: Lets so many seconds pass.
        elapsed: Seconds on a clock that nobody sets.
    """
    start = elapsed()
    while True:
        results = tuple(ask())
        left = within.total_seconds() - (elapsed() - start)
        if left <= 0 or not newly_failing(before, results):
            return results
        wait(min(left, EVERY.total_seconds()))


def _unit_check(name: str, state: str) -> CheckResult:
    return CheckResult(f"unit {name}", ok=is_active_state(state), detail=state)


def _words(error: OSError | ValueError) -> str:
    """Return what the system says of an error, without addresses and numbers that differ each time."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    words = error.strerror if isinstance(error, OSError) else str(error)
    return words or str(error) or type(error).__name__


class _Connection:
    """A connection whose whole life has one time limit.

    A socket's own timeout is for each call, so that a peer that says a byte a second is never late. It has
    what :mod:`http.client` asks of a socket.
    """

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._deadline = monotonic() + seconds
        self._socket = self._connected(host, port)

    def _connected(self, host: str, port: int) -> socket.socket:
        refusal: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            line = socket.socket(family, kind, protocol)
            try:
                line.settimeout(self.left())
                line.connect(address)
            except OSError as error:
                line.close()
                refusal = refusal or error
            else:
                return line
        raise refusal or OSError(f"{host} has no address")

    def left(self) -> float:
        seconds = self._deadline - monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def encrypt(self, host: str) -> None:
        self._socket.settimeout(self.left())
        self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=host)

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(self.left())
        self._socket.sendall(data)

    def recv_into(self, buffer: "WriteableBuffer") -> int:
        self._socket.settimeout(self.left())
        return self._socket.recv_into(buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self))

    def close(self) -> None:
        self._socket.close()


class _Reading(io.RawIOBase):
    def __init__(self, line: _Connection) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        return self._line.recv_into(buffer)


def _status_of(url: str, seconds: float) -> int:
    """Return the status that a GET of ``url`` answers with; the body is left unread.

    Raises:
        OSError: No connection, no answer in time, or no trust in its certificate.
        ValueError: The URL cannot be asked.
        http.client.HTTPException: The answer is no HTTP.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_encrypted = parts.scheme == "https"
    kind = http.client.HTTPSConnection if is_encrypted else http.client.HTTPConnection
    connection = kind(host, parts.port or kind.default_port)
    target = quote(parts.path or "/", safe=_URL_CHARACTERS)
    if parts.query:
        target += f"?{quote(parts.query, safe=_URL_CHARACTERS)}"
    line = _Connection(host, connection.port, seconds)
    try:
        if is_encrypted:
            line.encrypt(host)
        connection.sock = line
        connection.auto_open = 0  # It must never connect by itself: without our time limit, that is.
        connection.request("GET", target, headers={"User-Agent": "patchledger", "Connection": "close"})
        with connection.getresponse() as response:
            return response.status
    finally:
        line.close()
