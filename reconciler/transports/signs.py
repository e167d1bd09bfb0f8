"""Whether guests are as they were, as seen without a process and without entering one.

Configurations by their stat(2), command sockets of running containers by their inodes, control groups that
stand still, the answer of Incus: all of it becomes one digest. What is inside of a guest is not seen: below
its root nothing is looked at, since a file system of the guest's can let whoever asks it wait for ever.

A quiet tick imports this module and little else.
"""

import hashlib
import os

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import a quiet tick would pay for
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_BOOT_ID = "proc/sys/kernel/random/boot_id"
_SOCKETS = "proc/net/unix"
_LISTENS = b"00010000"  # __SO_ACCEPTCON of linux/net.h: who only talks to a container is no news
_COLUMNS = 8
_CGROUPS = ("sys/fs/cgroup", "sys/fs/cgroup/unified", "sys/fs/cgroup/freezer")
_STANDS_STILL = ("cgroup.events", "cgroup.freeze", "freezer.state")
_CLUSTER = "etc/pve"
_LXC = "var/lib/lxc"
_MACHINES = "run/systemd/machines"
_IMAGES = "var/lib/machines"
_INCUS = ("run/incus/unix.socket", "var/lib/incus/unix.socket")
_QUESTION = b"GET /1.0/instances?recursion=1 HTTP/1.0\r\nHost: incus\r\n\r\n"
_PATIENCE = 10.0
_MOST = 64 * 1024 * 1024
_CHUNK = 65536


def seen(kinds: "Collection[str]", root: str = "/") -> str:
    """Return a digest of all that shows, from outside, which guests there are and how they are.

    It holds for one boot. What a guest's ``inspect`` reads has changed only where this has, but for an image
    of systemd-nspawn that changes into one of another kind.

    Args:
        kinds: Of guests, as the configuration names them.
        root: Below which all is looked for.

    Raises:
        OSError: Incus does not answer.
    """
    digest = hashlib.sha256()
    for part in _parts(kinds, root):
        digest.update(part + b"\n")
    return digest.hexdigest()


def _parts(kinds: "Collection[str]", root: str) -> "Iterator[bytes]":
    yield _read(os.path.join(root, _BOOT_ID))
    if "proxmox" in kinds or "lxc" in kinds:
        yield from _command_sockets(os.path.join(root, _SOCKETS))
        yield from _groups(root, "lxc", "lxc.payload")
    if "proxmox" in kinds:
        for name in ("lxc", "qemu-server"):
            yield from _folder(os.path.join(root, _CLUSTER, name))
    if "lxc" in kinds:
        yield str(os.path.isdir(os.path.join(root, _CLUSTER))).encode()
        yield from _folder(os.path.join(root, _LXC), "config")
    if "incus" in kinds:
        yield _incus([os.path.join(root, path) for path in _INCUS])
    if "nspawn" in kinds:
        yield from _folder(os.path.join(root, _MACHINES))
        # By name alone: an image changes whenever its guest writes.
        yield from map(os.fsencode, _names(os.path.join(root, _IMAGES)))
        yield from _groups(root, "machine.slice")


def _folder(path: str, inner: str = "") -> "Iterator[bytes]":
    """Yield how a folder is, and each entry of it; with ``inner``, the file of that name in each as well."""
    yield _stat(path)
    for name in _names(path):
        yield _stat(os.path.join(path, name))
        if inner:
            yield _stat(os.path.join(path, name, inner))


def _names(path: str) -> "list[str]":
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def _stat(path: str) -> bytes:
    name = os.fsencode(path)
    try:
        found = os.stat(path)
    except OSError as error:
        return b"%s\0%d" % (name, error.errno or 0)
    numbers = (found.st_mode, found.st_ino, found.st_uid, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return b"%s\0%d\0%d\0%d\0%d\0%d\0%d" % (name, *numbers)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _command_sockets(path: str) -> "list[bytes]":
    """Return number and name of each socket on which a container of LXC takes commands, sorted."""
    found = set()
    for line in _read(path).split(b"\n"):
        if b"@/" in line and line.endswith(b"/command"):
            columns = line.split(None, _COLUMNS - 1)
            if len(columns) == _COLUMNS and columns[3] == _LISTENS:
                found.add(b"%s %s" % (columns[6], columns[7]))
    return sorted(found)


def _groups(root: str, *parents: str) -> "Iterator[bytes]":
    """Yield what is told of each control group of containers that tells whether it stands still."""
    for top in _CGROUPS:
        tree = os.path.join(root, top)
        beside = [os.path.join(tree, name) for name in _names(tree) if name.startswith("lxc.payload.")]
        below = [
            os.path.join(tree, parent, name)
            for parent in parents
            for name in _names(os.path.join(tree, parent))
        ]
        for group in (*beside, *below):
            if os.path.isdir(group):
                yield os.fsencode(group)
                yield from (_read(os.path.join(group, file)) for file in _STANDS_STILL)


def _incus(paths: "list[str]") -> bytes:
    """Return the list of instances, as the first socket that is there answers.

    Raises:
        OSError: It does not answer, or not with a list.
    """
    import socket

    path = next((one for one in paths if os.path.exists(one)), paths[-1])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(_PATIENCE)
        line.connect(path)
        line.sendall(_QUESTION)
        said = b""
        while chunk := line.recv(_CHUNK):
            said += chunk
            if len(said) > _MOST:
                raise OSError(f"{path}: the answer has no end")
    head, _, body = said.partition(b"\r\n\r\n")
    if head.split()[1:2] != [b"200"]:
        raise OSError(f"{path}: no list of instances")
    return body
