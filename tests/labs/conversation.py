"""A program on a terminal of its own, and somebody who reads it and types."""

import contextlib
import os
import pty
import select
import subprocess
import termios
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

PATIENCE = 60.0  # seconds until the program must have said what is waited for


@dataclass
class Conversation:
    """A running program.

    Attributes:
        text: All that was to be seen on the terminal so far, typing included where it was echoed.
    """

    process: subprocess.Popen[bytes]
    terminal: int
    text: str = ""
    _read: int = 0

    @classmethod
    @contextlib.contextmanager
    def start(cls, argv: Sequence[str], env: dict[str, str]) -> Iterator["Conversation"]:
        """Start a program, and end it where it has not ended by itself."""
        ours, its = pty.openpty()
        try:
            process = subprocess.Popen(
                ["setsid", "--ctty", *argv],
                stdin=its,
                stdout=its,
                stderr=its,
                env={**os.environ, "COLUMNS": "500", **env},
            )
        finally:
            os.close(its)
        try:
            yield cls(process, ours)
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    def expect(self, words: str) -> str:
        """Wait until ``words`` are said after what was expected before; return what came before them.

        Raises:
            AssertionError: They are not said.
        """
        deadline = monotonic() + PATIENCE
        while words not in self.text[self._read :]:
            ready, _, _ = select.select([self.terminal], [], [], max(0.0, deadline - monotonic()))
            chunk = self._chunk() if ready else b""
            if not chunk:
                raise AssertionError(f"{words!r} was not said:\n{self.text}")
            self.text += chunk.decode("utf-8", "replace").replace("\r\n", "\n")
        before, _, _ = self.text[self._read :].partition(words)
        self._read += len(before) + len(words)
        return before

    def answer(self, question: str, said: str) -> None:
        """Wait for a question, and type an answer and Enter."""
        self.expect(question)
        self.expect(": ")
        self.type(said)

    def answer_unseen(self, question: str, said: str) -> None:
        """The same where the answer must not be seen; the echo is off when it is typed."""
        self.expect(question)
        self.expect(": ")
        assert not termios.tcgetattr(self.terminal)[3] & termios.ECHO, "the answer would be seen"
        self.type(said)

    def type(self, said: str) -> None:
        """Type a line."""
        os.write(self.terminal, f"{said}\n".encode())

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        while chunk := self._chunk():
            self.text += chunk.decode("utf-8", "replace").replace("\r\n", "\n")
        return self.process.wait(PATIENCE)

    def _chunk(self) -> bytes:
        try:
            return os.read(self.terminal, 65536)
        except OSError:  # a terminal whose program has ended
            return b""
