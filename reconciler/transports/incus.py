"""Containers of Incus: one question to its socket, and ``incus exec``.

The list is that of ``GET /1.0/instances?recursion=1`` in the default project (Incus's REST API).
"""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from reconciler.planning.facts.guests import (
    NEEDS_ITS_OWN,
    FrozenGuest,
    Guest,
    GuestKind,
    Inspected,
    Moved,
    Running,
    State,
    Stopped,
    Unsupported,
    plainly_named,
)
from reconciler.planning.text.untrusted import one_line
from reconciler.policy.values import suggested_id

SOCKETS = (Path("/run/incus/unix.socket"), Path("/var/lib/incus/unix.socket"))
_PATIENCE = 10.0
_MOST = 64 * 1024 * 1024
_ALONE = "none"  # the place of an instance where there is no cluster


def entering(guest: Guest, inner: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs ``inner`` in a guest; it ends with its exit code."""
    return ("incus", "exec", guest.name, "--mode=non-interactive", "--", *inner)


def restarting(guest: Guest, seconds: int) -> tuple[str, ...]:
    """Return the command that restarts a guest, which has so many seconds to shut down."""
    return ("incus", "restart", guest.name, f"--timeout={seconds}")


_OUTLIVING = """\
umask 077
for folder in ${TMPDIR:+"$TMPDIR"} /dev/shm /tmp; do
    said=$(mktemp -d "$folder/patchledger-said.XXXXXX" 2>/dev/null) && break
done
[ -n "$said" ] || { echo "no folder for what it says can be made" >&2; exit 125; }
setsid "$@" >"$said/out" 2>"$said/err" </dev/null &
wait $!
code=$?
cat "$said/out"
cat "$said/err" >&2
rm -rf "$said"
exit "$code"
"""


def outliving(inner: Sequence[str]) -> tuple[str, ...]:
    """Return a command that runs ``inner`` so that it goes on when this command is killed.

    ``incus exec`` ends what it began when it is ended itself. So that is another shell, which waits, and says
    in the end what was said: into files of the guest, since its own pipes go with it. These stay where it was
    killed.
    """
    return ("sh", "-c", _OUTLIVING, "patchledger", *inner)


def inspect(sockets: Sequence[Path] = SOCKETS) -> Inspected:
    """Return the instances of the Incus of this machine.

    Args:
        sockets: Where its socket may be; the first that is there is asked.
    """
    try:
        path = next((one for one in sockets if one.is_socket()), None)
    except OSError as error:
        return Inspected(problem=f"{error.filename} cannot be asked: {error.strerror}")
    if path is None:
        return Inspected(problem=f"there is no {sockets[-1]}: Incus does not run")
    try:
        listed = _ask(path, "/1.0/instances?recursion=1")
        instances = read_instances(listed)
        is_cluster = any(place != _ALONE for _, place in instances)
        own = _name_of_server(_ask(path, "/1.0")) if is_cluster else _ALONE
    except (OSError, HTTPException, ValueError) as error:
        return Inspected(problem=f"Incus does not answer at {path}: {one_line(str(error), 200)}")
    return Inspected(tuple(_placed(guest, place, own) for guest, place in instances))


def read_instances(answer: bytes) -> list[tuple[Guest, str]]:
    """Return the instances of a list, and the member of the cluster that each is on; pure.

    Raises:
        ValueError: It is no list of instances.
    """
    listed = _metadata(answer)
    if not isinstance(listed, list):
        raise ValueError("its answer is no list of instances")  # noqa: TRY004 - it is what was read
    return [_instance(one) for one in listed if isinstance(one, dict)]


def _instance(told: Mapping[str, Any]) -> tuple[Guest, str]:
    name = str(told.get("name", ""))
    place = told.get("location")
    guest = Guest(suggested_id(name), GuestKind.INCUS, name, _state(told), volume=_made(told))
    return plainly_named(guest), str(place or _ALONE)


def _made(told: Mapping[str, Any]) -> str:
    """Return what no other instance has, also none that gets the name later; empty where it is not told."""
    config = told.get("config")
    unique = config.get("volatile.uuid") if isinstance(config, dict) else None
    return f"instance {one_line(unique, 60)}" if isinstance(unique, str) and unique else ""


def _state(told: Mapping[str, Any]) -> State:
    config = told.get("config")
    if told.get("type") != "container":
        return Unsupported(f"it is a virtual machine: {NEEDS_ITS_OWN}")
    if isinstance(config, dict) and config.get("volatile.container.oci") == "true":
        return Unsupported(f"it is an application container: {NEEDS_ITS_OWN}")
    match told.get("status"):
        case "Running":
            return Running()
        case "Frozen":
            return FrozenGuest()
        case "Stopped":
            return Stopped()
        case other:
            return Unsupported(f"Incus says that it is {one_line(str(other), 40)}")


def _placed(guest: Guest, place: str, own: str) -> Guest:
    elsewhere = place not in {own, _ALONE}
    state: State = Moved(one_line(place, 63)) if elsewhere else guest.state
    return replace(guest, state=state)


def _name_of_server(answer: bytes) -> str:
    told = _metadata(answer)
    environment = told.get("environment") if isinstance(told, dict) else None
    name = environment.get("server_name") if isinstance(environment, dict) else None
    if not isinstance(name, str) or not name:
        raise ValueError("it does not tell its name")
    return name


def _metadata(answer: bytes) -> object:
    told = json.loads(answer)
    return told.get("metadata") if isinstance(told, dict) else None


class _Local(HTTPConnection):
    """A conversation over a socket of this machine."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_PATIENCE)
        self.sock.connect(str(self._path))


def _ask(path: Path, what: str) -> bytes:
    connection = _Local(path)
    try:
        connection.request("GET", what)
        answer = connection.getresponse()
        data = answer.read(_MOST + 1)
    finally:
        connection.close()
    if answer.status != 200:  # noqa: PLR2004 - OK
        raise ValueError(f"status {answer.status}")
    if len(data) > _MOST:
        raise ValueError("its answer has no end")
    return data
