"""A webhook receiver on loopback."""

import contextlib
import json
import os
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Receiver:
    """A running HTTP server: the bodies it got, and the status it answers with."""

    port: int = 0
    status: int = 200
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    processes: str = ""


def _visible_processes() -> str:
    """Return arguments and environments of our own children, which others on a machine might see."""
    found = ""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found += (status.parent / "cmdline").read_text() + (status.parent / "environ").read_text()
    return found


def receive(receiver: Receiver, context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Serve on a free port of loopback while the generator is suspended; with ``context`` by TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            (receiver.bodies if receiver.status == 200 else receiver.refused).append(body)
            receiver.paths.append(self.path)
            receiver.processes += _visible_processes()
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()
