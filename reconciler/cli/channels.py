r"""Standard output and error as they are: narrow, full, gone or closed, which is no fault of a command.

Imported before all else, so that it must cost nothing. The rules:

- A character that the channel's encoding lacks is written in plain letters, or spelt out: ``->``, ``\u20ac``.
- What cannot be written since a disk is full or a terminal is gone is remembered, and the command goes on:
  whether a run ends well is not a matter of who reads about it.
- A reader who has seen enough (EPIPE) still ends the command.
- A channel that is closed is one that nobody reads.
"""

import codecs
import contextlib
import io
import os
import sys

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import a quiet tick would pay for
if TYPE_CHECKING:
    from typing import TextIO

_PLAIN = {
    "\u2192": "->",
    "\u2190": "<-",
    "\u2026": "...",
    "\u2013": "-",
    "\u2014": "-",
    "\u00d7": "x",
    "\u2265": ">=",
    "\u2264": "<=",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2713": "ok",
    "\u2500": "-",
    "\u2502": "|",
}
_HANDLER = "patchledger-plain"
_STANDARD = 3


class _Channel(io.RawIOBase):
    """A file descriptor that remembers its first failure, and takes everything from then on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type] # whatever io gives is a buffer
        if self.failure is None:
            try:
                return os.write(self._descriptor, view)
            except (BrokenPipeError, BlockingIOError):
                raise
            except OSError as error:
                self.failure = error
        return view.nbytes


def guard() -> None:
    """Have standard output and error behave as the rules say; what a test put in their place stays."""
    _open_closed()
    codecs.register_error(_HANDLER, _written_plainly)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(sys.stderr, 2)


def failure() -> OSError | None:
    """Return what kept standard output from being written, ``None`` where nothing did."""
    channel = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return channel.failure if isinstance(channel, _Channel) else None


def _open_closed() -> None:
    """Give each standard descriptor that is closed to nobody, before a file of ours gets its number."""
    for descriptor in range(_STANDARD):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(opened, True)


def _guarded(stream: "TextIO | None", descriptor: int) -> "TextIO":
    encoding = "utf-8" if stream is None else stream.encoding
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.flush()
    raw = _Channel(descriptor)
    # Errors are seen at once, results in one piece, or line by line where somebody watches.
    is_watched = descriptor == _STANDARD - 1 or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors=_HANDLER, line_buffering=is_watched
    )


def _written_plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(char) or _spelt(char) for char in text), error.end


def _spelt(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode("ascii")
