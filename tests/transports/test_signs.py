"""What shows from outside that guests are not as they were: by one digest, without a process."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.transports.signs import seen

ALL = ("proxmox", "lxc", "nspawn")
LISTENS = "0000000000000000: 00000002 00000000 00010000 0001 01 {} @/var/lib/lxc/{}/command"
TALKS = "0000000000000000: 00000003 00000000 00000000 0001 03 {} @/var/lib/lxc/{}/command"


def write(root: Path, path: str, text: str = "") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def sockets(root: Path, *lines: str) -> None:
    write(
        root,
        "proc/net/unix",
        "Num       RefCount Protocol Flags    Type St Inode Path\n" + "\n".join(lines) + "\n",
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with a guest of each kind."""
    write(tmp_path, "proc/sys/kernel/random/boot_id", "one\n")
    sockets(tmp_path, LISTENS.format(11, "101"), "0: 2 0 00010000 1 01 9 /run/dbus/socket")
    write(tmp_path, "etc/pve/lxc/101.conf", "hostname: web\n")
    write(tmp_path, "etc/pve/qemu-server/200.conf", "name: win\n")
    write(tmp_path, "var/lib/lxc/old/config", "lxc.uts.name = old\n")
    for group in ("lxc/101", "lxc.payload.old", "machine.slice/systemd-nspawn@new.service"):
        write(tmp_path, f"sys/fs/cgroup/{group}/cgroup.events", "populated 1\nfrozen 0\n")
    write(tmp_path, "run/systemd/machines/new", "NAME=new\n")
    write(tmp_path, "var/lib/machines/image.raw", "bytes")
    return tmp_path


def test_it_is_the_same_as_long_as_nothing_changes(root: Path) -> None:
    before = seen(ALL, str(root))
    sockets(root, "0: 2 0 00010000 1 01 9 /run/other", LISTENS.format(11, "101"), TALKS.format(12, "101"))
    write(root, "var/lib/machines/image.raw", "more bytes")
    write(root, "sys/fs/cgroup/system.slice/cgroup.events", "populated 0\n")
    assert seen(ALL, str(root)) == before


def test_what_is_done_inside_is_not_seen(root: Path) -> None:
    write(root, "var/lib/lxc/old/rootfs/var/lib/dpkg/status", "inside")
    before = seen(ALL, str(root))
    write(root, "var/lib/lxc/old/rootfs/var/lib/dpkg/status", "inside again")
    write(root, "var/lib/lxc/old/rootfs/new", "")
    assert seen(ALL, str(root)) == before


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("etc/pve/lxc/101.conf", "hostname: web\nlock: backup\n"),
        ("etc/pve/lxc/102.conf", "hostname: db\n"),
        ("etc/pve/qemu-server/200.conf", "name: win\ntemplate: 1\n"),
        ("var/lib/lxc/old/config", "lxc.uts.name = other\n"),
        ("var/lib/lxc/newer/config", ""),
        ("proc/net/unix", ""),
        ("proc/sys/kernel/random/boot_id", "two\n"),
        ("sys/fs/cgroup/lxc/101/cgroup.events", "populated 1\nfrozen 1\n"),
        ("sys/fs/cgroup/lxc.payload.old/cgroup.freeze", "1\n"),
        ("sys/fs/cgroup/freezer/lxc/101/freezer.state", "FROZEN\n"),
        ("sys/fs/cgroup/machine.slice/systemd-nspawn@new.service/cgroup.events", "populated 1\nfrozen 1\n"),
        ("run/systemd/machines/another", "NAME=another\n"),
        ("var/lib/machines/another.raw", ""),
    ],
)
def test_every_change_is_seen(root: Path, path: str, text: str) -> None:
    before = seen(ALL, str(root))
    write(root, path, text)
    assert seen(ALL, str(root)) != before
    assert seen(ALL, str(root)) == seen(ALL, str(root))


@pytest.mark.parametrize(
    "path",
    [
        "etc/pve/lxc/101.conf",
        "etc/pve/qemu-server/200.conf",
        "var/lib/lxc/old/config",
        "run/systemd/machines/new",
    ],
)
def test_what_went_is_seen(root: Path, path: str) -> None:
    before = seen(ALL, str(root))
    (root / path).unlink()
    assert seen(ALL, str(root)) != before


def test_a_container_that_was_started_anew_is_seen(root: Path) -> None:
    before = seen(ALL, str(root))
    sockets(root, LISTENS.format(13, "101"))
    assert seen(ALL, str(root)) != before


def test_a_folder_that_cannot_be_written_any_more_is_seen(root: Path) -> None:
    before = seen(ALL, str(root))
    (root / "etc/pve/lxc").chmod(0o500)  # as it is without a quorum
    assert seen(ALL, str(root)) != before


def test_of_a_kind_that_is_not_looked_for_nothing_is_seen(root: Path) -> None:
    before = seen(("nspawn",), str(root))
    write(root, "etc/pve/lxc/102.conf", "")
    sockets(root)
    assert seen(("nspawn",), str(root)) == before


@contextmanager
def incus(root: Path, answers: list[bytes]) -> Iterator[list[bytes]]:
    """Answer as Incus does, once for each of ``answers``; gives what was asked."""
    asked: list[bytes] = []
    path = root / "var/lib/incus/unix.socket"
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            for answer in answers:
                line, _ = server.accept()
                with line:
                    asked.append(line.recv(4096))
                    line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join()


def answer(body: str, date: str = "Mon", status: str = "200 OK") -> bytes:
    return f"HTTP/1.0 {status}\r\nDate: {date}\r\nContent-Type: application/json\r\n\r\n{body}".encode()


def test_incus_is_asked_and_only_its_list_counts(tmp_path: Path) -> None:
    one, other = (
        '{"metadata":[{"name":"c1","status":"Running"}]}',
        '{"metadata":[{"name":"c1","status":"Frozen"}]}',
    )
    with incus(tmp_path, [answer(one), answer(one, "Tue"), answer(other)]) as asked:
        told = [seen(("incus",), str(tmp_path)) for _ in range(3)]
    assert told[0] == told[1] != told[2]
    assert {line.split(b"\r\n")[0] for line in asked} == {b"GET /1.0/instances?recursion=1 HTTP/1.0"}


@pytest.mark.parametrize("said", [b"", answer("{}", status="500 Internal"), b"HTTP/1.0"])
def test_incus_that_does_not_answer_is_nothing_that_was_seen(tmp_path: Path, said: bytes) -> None:
    with incus(tmp_path, [said]), pytest.raises(OSError, match="no list of instances"):
        seen(("incus",), str(tmp_path))


def test_incus_that_does_not_run_is_nothing_that_was_seen(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        seen(("incus",), str(tmp_path))
