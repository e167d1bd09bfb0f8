"""``runs/<id>.log``: what the package manager said in a run, bounded and without secrets."""

from collections.abc import Iterable

from reconciler.planning.text.untrusted import redacted

LIMIT = 1024 * 1024
"""Bytes of a log that is committed; of a longer one head and tail are kept."""

_SHORT = 6
"""Values shorter than this are no secrets, and would blacken half of the text."""


def write_log(parts: Iterable[tuple[str, bytes]], secrets: Iterable[str]) -> bytes:
    """Put a run's log together.

    Args:
        parts: Name and output of each execution, in order; output need not be text.
        secrets: Texts that must not be in it, such as the values of the configured environment.

    Returns:
        UTF-8, at most about :data:`LIMIT` bytes, with a heading for each part.
    """
    text = "".join(f"== {name}\n{_text(data)}" for name, data in parts)
    return bounded(without_secrets(text, secrets).encode(), LIMIT)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` without any of ``secrets``, and without the user information of the URLs in it."""
    for secret in sorted((one for one in set(secrets) if len(one) >= _SHORT), key=len, reverse=True):
        text = text.replace(secret, "[redacted]")
    return redacted(text)


def _text(data: bytes) -> str:
    # Surrogates cannot come from here, and a line that is left open is ended.
    text = bounded(data, 2 * LIMIT).decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if not text or text.endswith("\n") else text + "\n"


def bounded(data: bytes, limit: int) -> bytes:
    """Return ``data`` whole, or head and tail of it with a line between them that says what is left out."""
    if len(data) <= limit:
        return data
    half = limit // 2
    head, tail = data[:half], data[-half:]
    # Cut at line ends, so that no line and no character is a torn one.
    head = head[: head.rfind(b"\n") + 1] or head
    tail = tail[tail.find(b"\n") + 1 :] or tail
    left_out = len(data) - len(head) - len(tail)
    return head + f"[… {left_out} bytes left out …]\n".encode() + tail


def excerpt(log: bytes, limit: int = 4000) -> str:
    """Return the end of a log, for a message."""
    return log[-limit:].decode("utf-8", "replace")
