"""Somebody on the system bus by NetworkManager's name, who knows what its connection costs and nothing else.

    python network_manager.py FILE

FILE holds the number that its property ``Metered`` is, and is read for each answer. It imports nothing of
ours and no library: a booted machine of a test has neither. The bus is spoken to as the D-Bus specification
has it (authentication EXTERNAL, messages of protocol version 1).
"""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

NAME = "org.freedesktop.NetworkManager"
ALLOWED = f"""\
<busconfig>
  <policy context="default"><allow own="{NAME}"/><allow send_destination="{NAME}"/></policy>
</busconfig>
"""
"""What the bus must be told before anybody may have the name (/etc/dbus-1/system.d)."""

_CALL, _RETURN = 1, 2
_PATH, _INTERFACE, _MEMBER, _REPLY, _DESTINATION, _SENDER, _SIGNATURE = 1, 2, 3, 5, 6, 7, 8


def _text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode() + b"\0"


def _signature(value: str) -> bytes:
    return bytes([len(value)]) + value.encode() + b"\0"


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _message(kind: int, serial: int, body: bytes, *fields: tuple[int, str, bytes]) -> bytes:
    told = b""
    for code, sort, value in fields:
        told = _padded(told) + bytes([code]) + _signature(sort) + value
    head = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), serial, len(told))
    return _padded(head + told) + body


def _to_the_bus(serial: int, member: str, sort: str = "", body: bytes = b"") -> bytes:
    bus = "org.freedesktop.DBus"
    what = ((_PATH, "o", _text("/org/freedesktop/DBus")), (_INTERFACE, "s", _text(bus)))
    whom = ((_MEMBER, "s", _text(member)), (_DESTINATION, "s", _text(bus)))
    return _message(_CALL, serial, body, *what, *whom, (_SIGNATURE, "g", _signature(sort)))


def _sender(fields: bytes) -> str:
    at = 0
    while at < len(fields):
        at += -at % 8
        code, sort = fields[at], chr(fields[at + 2])
        at += 4
        if sort == "u":
            at += 4
            continue
        size, width = (fields[at], 1) if sort == "g" else (struct.unpack_from("<I", fields, at)[0], 4)
        if code == _SENDER:
            return fields[at + width : at + width + size].decode()
        at += width + size + 1
    return ""


def _calls(bus: socket.socket) -> Iterator[tuple[int, str]]:
    """Yield serial and sender of each call that comes."""
    with bus.makefile("rb") as said:
        while head := said.read(16):
            _, kind, _, _, body, serial, size = struct.unpack("<cBBBIII", head)
            fields = said.read(size + -size % 8)[:size]
            said.read(body)
            if kind == _CALL:
                yield serial, _sender(fields)


def serve(file: Path) -> None:
    """Answer every call by what ``file`` says, for ever."""
    with socket.socket(socket.AF_UNIX) as bus:
        bus.connect("/run/dbus/system_bus_socket")
        bus.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        bus.recv(100)
        bus.sendall(b"BEGIN\r\n" + _to_the_bus(1, "Hello"))
        name = _text(NAME)
        without_flags = bytes(-len(name) % 4) + struct.pack("<I", 0)
        bus.sendall(_to_the_bus(2, "RequestName", "su", name + without_flags))
        for number, (serial, sender) in enumerate(_calls(bus), 3):
            value = _signature("u") + b"\0" + struct.pack("<I", int(file.read_text(encoding="ascii")))
            told = ((_REPLY, "u", struct.pack("<I", serial)), (_DESTINATION, "s", _text(sender)))
            bus.sendall(_message(_RETURN, number, value, *told, (_SIGNATURE, "g", _signature("v"))))


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
