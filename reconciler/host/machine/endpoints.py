"""Ask ports and URLs, each within a time limit: from here, or in the network of another process.

As a program it enters the network namespace of a process first (setns(2)), looks whether that is the one that
was meant, and asks from there; nothing else of that process is touched, and none of its files. What is found
is a line of JSON for each question, ``[name, is well, detail]``.

Rules:

1. A check answers within its time limit, whatever is on the other side: one that says nothing, one that says
   a byte a second, one that never stops. Only the look-up of a name has the resolver's own limits.
2. A URL is asked once, directly: no proxy, no redirect followed, certificates verified. Any status from 200
   to 399 is well. The body is not read.
3. Names are looked up, and certificates judged, by the machine that this runs on.

Imports the standard library alone: it runs where nothing else can be imported.
"""

import ctypes
import http.client
import io
import json
import os
import socket
import ssl
import sys
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

COMMAND = (sys.executable, "-I", "-S", __file__)
"""What asks in the network of another process; see :func:`arguments`."""
PATIENCE = 5.0
"""Seconds that one port or URL may take to answer."""

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET of clone(2)
_GOOD_STATUS = range(200, 400)
_URL_CHARACTERS = "%/:=&?~#+!$,;'@()*[]"  # RFC 3986: what a path or query may hold as it is


class Reply(NamedTuple):
    """What came of one question.

    Attributes:
        name: ``tcp HOST:PORT`` or ``http URL``.
        is_well: It answers as it should.
        detail: Why, or why not.
    """

    name: str
    is_well: bool
    detail: str


def ask(name: str, seconds: float = PATIENCE) -> Reply:
    """Ask one port or URL.

    Args:
        name: As of :class:`Reply`.
        seconds: That it may take.
    """
    kind, _, meant = name.partition(" ")
    try:
        if kind == "tcp":
            host, _, port = meant.rpartition(":")
            _Connection(host.strip("[]"), int(port), seconds).close()
            return Reply(name, True, "accepts connections")
        status = _status_of(meant, seconds)
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be looked up at all
        return Reply(name, False, _words(error))
    except http.client.HTTPException as error:
        return Reply(name, False, f"no answer in HTTP ({type(error).__name__})")
    return Reply(name, status in _GOOD_STATUS, f"status {status}")


class Network(NamedTuple):
    """The network of a process, and what proves that it is the one that is meant.

    Attributes:
        pid: Its number.
        processes: Its namespace of processes, ``pid:[NUMBER]``.
        network: Its network namespace, ``net:[NUMBER]``.
    """

    pid: int
    processes: str
    network: str


def arguments(network: Network, names: Sequence[str]) -> tuple[str, ...]:
    """Return the command that asks ports and URLs in the network of another process."""
    return (*COMMAND, str(network.pid), network.processes, network.network, *names)


def enter(network: Network) -> None:
    """Go into the network of another process, for good.

    Raises:
        OSError: It has gone, is another one, or we may not.
    """
    process = f"/proc/{network.pid}/ns"
    descriptor = os.open(f"{process}/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Looked at now that it is open: the number may have become another's meanwhile.
        if os.readlink(f"{process}/pid") != network.processes:  # noqa: PTH115 - (one word)
            raise ProcessLookupError(f"process {network.pid} is another one")
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _NEW_NETWORK):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)
    if os.readlink("/proc/self/ns/net") != network.network:  # noqa: PTH115 - (the same)
        raise ProcessLookupError(f"the network of process {network.pid} is another one")


def main() -> None:
    """Enter a network, and ask what is wanted from there."""
    pid, processes, network, *names = sys.argv[1:]
    try:
        enter(Network(int(pid), processes, network))
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        sys.exit(1)
    for name in names:
        sys.stdout.write(json.dumps(ask(name)) + "\n")
        sys.stdout.flush()


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


if __name__ == "__main__":
    main()
