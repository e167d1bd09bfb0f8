"""A server on loopback that says exactly what a test wants, however strange."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Talk = Callable[[socket.socket], None]
"""What is done with each connection; it is closed afterwards."""


@dataclass
class Talker:
    """A running server: its port, and the beginning of what each caller said."""

    port: int
    heard: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def talking(
    talk: Talk,
    *,
    address: str = "127.0.0.1",
    context: ssl.SSLContext | None = None,
) -> Iterator[Talker]:
    """Serve one caller after another on a free port of loopback; with ``context`` by TLS.

    Raises:
        OSError: There is no such address here.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.bind((address, 0))
        listening.listen()
        talker = Talker(listening.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listening, talk, talker, context))
        thread.start()
        yield talker
        listening.shutdown(socket.SHUT_RDWR)  # wakes accept()
        thread.join()


def _serve(listening: socket.socket, talk: Talk, talker: Talker, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            plain, _ = listening.accept()
        except OSError:
            return
        plain.settimeout(60)
        with plain, contextlib.suppress(OSError):  # the caller has gone
            line = plain if context is None else context.wrap_socket(plain, server_side=True)
            with line:
                talker.heard.append(line.recv(65536))
                talk(line)


def saying(*parts: bytes) -> Talk:
    """Return a talk of these parts, one after another."""

    def talk(line: socket.socket) -> None:
        for part in parts:
            line.sendall(part)

    return talk


def silent(line: socket.socket) -> None:
    """Say nothing until the caller goes."""
    line.recv(1)


def endless(beginning: bytes, part: bytes, *, every: float = 0.0) -> Talk:
    """Return a talk without an end of its own: ``beginning``, then ``part`` again and again."""

    def talk(line: socket.socket) -> None:
        line.sendall(beginning)
        while True:
            line.settimeout(every or 60)
            if every:
                with contextlib.suppress(TimeoutError):
                    if not line.recv(65536):  # waits, and sees the caller go
                        return
            line.settimeout(60)
            line.sendall(part)

    return talk
