"""Entries with fields in systemd's journal, by its own protocol, next to what is printed there.

The protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL. One entry is one datagram.
"""

import re
import socket
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
_VALUE_LIMIT = 16 * 1024
"""Bytes of one field: an entry must fit into one datagram."""
_PATIENCE = 5.0  # seconds that a journal which takes nothing may hold up a tick
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)


def is_ours(environment: Mapping[str, str]) -> bool:
    """Say whether this process was started by systemd, which sets both (systemd.exec(5))."""
    return "INVOCATION_ID" in environment or "JOURNAL_STREAM" in environment


def encode(fields: Mapping[str, str]) -> bytes:
    """Return the datagram of an entry; values of several lines are written with their length.

    Raises:
        ValueError: A name is none that the journal takes.
    """
    parts: list[bytes] = []
    for name, text in fields.items():
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name} is no name of a journal field")
        value = text.encode("utf-8", "replace")[:_VALUE_LIMIT]
        if b"\n" in value:
            parts.append(name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n")
        else:
            parts.append(name.encode() + b"=" + value + b"\n")
    return b"".join(parts)


def send(fields: Mapping[str, str], path: str = SOCKET) -> str:
    """Send an entry; return why that was not possible, empty where it was."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(_PATIENCE)
            # Connected, since waiting for room in the journal's own queue is a busy loop otherwise.
            sender.connect(path)
            sender.send(encode(fields))
    except OSError as error:
        return f"{path}: the journal took no entry: {error.strerror or error}"
    return ""
