"""A folder over HTTP, for package managers that fetch nothing from a folder of this machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO


class Stall:
    """Packages whose second half does not come, as long as it is wanted.

    Attributes:
        begun: A first half was sent.
        gone: Whoever wanted it has gone.
    """

    def __init__(self) -> None:
        self.is_wanted = True
        self.begun = threading.Event()
        self.gone = threading.Event()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the base class
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder while the context lasts, and return its URL."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def stalling(folder: Path, *suffixes: str) -> Iterator[tuple[str, Stall]]:
    """Serve a folder as :func:`serving` does, of whose files with these suffixes half comes at first."""
    stall = Stall()

    class Handler(_Quiet):
        def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:  # type: ignore[override]
            data = source.read()
            if not (stall.is_wanted and self.path.endswith(suffixes)):
                outputfile.write(data)
                return
            outputfile.write(data[: len(data) // 2])
            outputfile.flush()
            stall.begun.set()
            with suppress(ConnectionError):
                self.connection.recv(1)  # until it is closed: no more is asked for before this has come
            stall.gone.set()

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", stall
        finally:
            server.shutdown()
            thread.join()
