"""The web services of the world on loopback: a proxy that is every host it is asked for, TLS included."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme


@dataclass(frozen=True)
class Asked:
    """One request: where it went and what it held."""

    method: str
    host: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.body)

    @property
    def fields(self) -> dict[str, str]:
        """Its body as a form, or the fields of its JSON that are texts."""
        try:
            read = json.loads(self.body)
        except ValueError:
            return {
                name: values[0] for name, values in parse_qs(self.body.decode("utf-8", "replace")).items()
            }
        return {name: text for name, text in read.items() if isinstance(text, str)}


@dataclass
class Services:
    """A running proxy.

    Attributes:
        answers: Says status and body to a request.
        asked: What it was asked for, in order.
    """

    answers: Callable[[Asked], tuple[int, bytes]] = lambda _: (200, b"{}")
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    def environment(self, authority_file: str) -> dict[str, str]:
        """Return what makes a program take this for the world."""
        place = f"http://127.0.0.1:{self.port}"
        return {
            "HTTP_PROXY": place,
            "HTTPS_PROXY": place,
            "http_proxy": place,
            "SSL_CERT_FILE": authority_file,
        }


@contextmanager
def serve(services: Services, authority: trustme.CA) -> Iterator[Services]:
    """Serve on a free port while the context is open."""
    contexts: dict[str, ssl.SSLContext] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        beyond = ""

        def do_CONNECT(self) -> None:
            self.beyond = self.path.partition(":")[0]
            if self.beyond not in contexts:
                contexts[self.beyond] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                authority.issue_cert(self.beyond).configure_cert(contexts[self.beyond])
            self.send_response(200)
            self.end_headers()
            self.close_connection = False
            self.connection = contexts[self.beyond].wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            place = urlsplit(self.path)
            host = self.beyond or place.hostname or ""
            path = place.path + (f"?{place.query}" if place.query else "")
            asked = Asked(self.command, host, path, dict(self.headers.items()), body)
            services.asked.append(asked)
            status, said = services.answers(asked)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    services.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield services
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
