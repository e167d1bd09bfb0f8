"""Each place where guests are is looked into, or says why not; one bad guest spoils no other."""

import json
import os
import socketserver
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from reconciler.planning.facts.guests import (
    FrozenGuest,
    Guest,
    GuestKind,
    Inspected,
    Locked,
    Moved,
    Pin,
    Running,
    State,
    Stopped,
    Template,
    Unsupported,
)
from reconciler.process import Completed
from reconciler.transports import incus, lxc, nspawn, proxmox
from reconciler.transports.kernel import Kernel, command_sockets

SOCKETS = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000000065b85582: 00000002 00000000 00010000 0001 01 9222920 @/var/lib/lxc/{}/command
000000004b19db79: 00000002 00000000 00010000 0001 01 9221749 /run/dbus/socket
000000004b19db80: 00000003 00000000 00000000 0001 03 9221750
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """Of this kernel 201 takes commands, and stands still as soon as a test says so."""
    (tmp_path / "unix").write_text(SOCKETS.format("201"))
    (tmp_path / "cgroup").mkdir()
    return Kernel(tmp_path / "unix", tmp_path / "cgroup")


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """The cluster's file system of node pve1, as pmxcfs shows it."""
    top = tmp_path / "pve"
    for folder in ("nodes/pve1/lxc", "nodes/pve1/qemu-server", "nodes/pve2/lxc", "nodes/pve2/qemu-server"):
        (top / folder).mkdir(parents=True)
    for name, aim in (
        ("local", "nodes/pve1"),
        ("lxc", "nodes/pve1/lxc"),
        ("qemu-server", "nodes/pve1/qemu-server"),
    ):
        (top / name).symlink_to(aim)
    return top


def put(cluster: Path, name: str, text: str | bytes) -> Path:
    path = cluster / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def states(found: Inspected) -> dict[str, State]:
    return {guest.id: guest.state for guest in found.guests}


def test_guests_of_proxmox(cluster: Path, kernel: Kernel) -> None:
    put(cluster, "lxc/201.conf", "hostname: web\ntags: web\n\n[s1]\ntemplate: 1\nlock: backup\n")
    put(cluster, "lxc/202.conf", "hostname: db\n")
    put(cluster, "lxc/203.conf", "template: 1\n")
    put(cluster, "lxc/204.conf", "lock: backup\n")
    put(cluster, "lxc/205.conf", "entrypoint: /usr/bin/nginx\n")
    put(cluster, "qemu-server/200.conf", "name: win\n")
    put(cluster, "qemu-server/206.conf", "template: 1\n")
    put(cluster, "nodes/pve2/lxc/301.conf", "hostname: far\n")
    for other in ("lxc/99.conf", "lxc/0123.conf", "lxc/201.conf.tmp.7", "lxc/notes"):
        put(cluster, other, "hostname: nobody\n")
    found = proxmox.inspect(cluster, kernel)
    assert states(found) == {
        "201": Running(),
        "202": Stopped(),
        "203": Template(),
        "204": Locked("backup"),
        "205": Unsupported("it is an application container: it needs its own patchledger"),
        "200": Unsupported("it is a virtual machine: it needs its own patchledger"),
        "206": Template(),
    }
    assert {guest.id: guest.name for guest in found.guests}["203"] == "CT203"
    assert found.elsewhere == {"301": "pve2"}
    assert (found.problem, found.notes) == ("", ())


@pytest.mark.parametrize("group", ["lxc/201", "lxc.payload.201"])
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("cgroup.events", "populated 1\nfrozen 1\n"),
        ("cgroup.freeze", "1\n"),
        ("freezer.state", "FREEZING\n"),
    ],
)
def test_one_that_stands_still(cluster: Path, kernel: Kernel, group: str, file: str, text: str) -> None:
    put(cluster, "lxc/201.conf", "hostname: web\n")
    folder = kernel.cgroups / group
    folder.mkdir(parents=True)
    (folder / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    (folder / "freezer.state").write_text("THAWED\n")
    assert states(proxmox.inspect(cluster, kernel)) == {"201": Running()}
    (folder / file).write_text(text)
    assert states(proxmox.inspect(cluster, kernel)) == {"201": FrozenGuest()}


def test_one_bad_configuration_spoils_no_other(cluster: Path, kernel: Kernel) -> None:
    put(cluster, "lxc/201.conf", "hostname: web\n")
    put(cluster, "lxc/210.conf", b"\xff\xfe\0hostname: \xfc\nhostname: M\xc3\xbcller \xe4\n" + b"x" * 500)
    put(cluster, "lxc/211.conf", b"a: b\n" * 300_000)
    (cluster / "lxc/212.conf").mkdir()
    (cluster / "lxc/213.conf").symlink_to("nowhere")
    found = proxmox.inspect(cluster, kernel)
    assert states(found) == {
        "201": Running(),
        "210": Stopped(),
        "211": Unsupported("its configuration is larger than 1 MiB"),
        "212": Unsupported("its configuration cannot be read: Is a directory"),
    }
    named = {guest.id: guest for guest in found.guests}
    assert named["210"].name == "Müller \ufffd"
    assert all(len(note) < 100 and note.isprintable() for note in named["210"].notes)


def test_the_cluster_s_file_system_is_not_there(tmp_path: Path, kernel: Kernel) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "none", tmp_path / "empty"):
        assert proxmox.inspect(folder, kernel) == Inspected(
            problem=f"{folder} has no folder lxc: pve-cluster.service does not run"
        )


def test_the_cluster_s_file_system_cannot_be_written(cluster: Path, kernel: Kernel) -> None:
    put(cluster, "lxc/201.conf", "hostname: web\n")
    (cluster / "nodes/pve1/lxc").chmod(0o555)
    found = proxmox.inspect(cluster, kernel)
    assert states(found) == {"201": Running()}
    assert found.notes == (f"{cluster} cannot be written: this node seems to have no quorum",)


def test_the_kernel_says_nothing(cluster: Path, tmp_path: Path) -> None:
    blind = Kernel(tmp_path / "none", tmp_path)
    put(cluster, "lxc/201.conf", "hostname: web\n")
    assert (
        proxmox.inspect(cluster, blind).problem
        == f"{tmp_path}/none cannot be read: No such file or directory"
    )


def test_only_command_sockets_count() -> None:
    odd = "\n\x00\nNum\na b c d e f g\na b c d e f g @\na b c d e f g @/x y/command\na b c d e f g @/command"
    assert command_sockets(SOCKETS.format("a b") + odd) == {"/var/lib/lxc/a b", "/x y", ""}


def test_containers_of_lxc(tmp_path: Path) -> None:
    folder = tmp_path / "lxc"
    for name in ("Web Server", "db", "101", "Ümläut", "..."):
        (folder / name).mkdir(parents=True)
        (folder / name / "config").touch()
    (folder / "no-config").mkdir()
    listed = SOCKETS.replace("/var/lib/lxc/{}", f"{folder}/Web Server")
    (tmp_path / "unix").write_text(listed)
    kernel = Kernel(tmp_path / "unix", tmp_path / "cgroup")
    found = lxc.inspect(folder, tmp_path / "pve", kernel)
    assert {guest.name: (guest.id, guest.state) for guest in found.guests} == {
        "Web Server": ("web-server", Running()),
        "db": ("db", Stopped()),
        "101": ("101", Stopped()),
        "Ümläut": ("ml-ut", Stopped()),
        "...": ("", Stopped()),
    }
    (tmp_path / "pve").mkdir()
    assert "101" not in states(lxc.inspect(folder, tmp_path / "pve", kernel))
    assert (
        lxc.inspect(tmp_path / "none", tmp_path, kernel).problem
        == f"{tmp_path}/none is not there: LXC is not installed"
    )


# --- Incus: a server that answers as its REST API is described ----------------------------------------------


def instance(name: str, **told: Any) -> dict[str, Any]:
    return {"name": name, "type": "container", "status": "Running", "location": "none", "config": {}, **told}


@contextmanager
def serving(path: Path, answers: Mapping[str, Any], status: int = 200) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = json.dumps({"type": "sync", "metadata": answers[self.path]}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def address_string(self) -> str:
            return "here"

        def log_message(self, *_: object) -> None:
            pass

    with socketserver.UnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


ALL = "/1.0/instances?recursion=1"


def test_instances_of_incus(tmp_path: Path) -> None:
    told = [
        instance("web"),
        instance("db", status="Stopped"),
        instance("cache", status="Frozen"),
        instance("odd", status="Error"),
        instance("win", type="virtual-machine"),
        instance("app", config={"volatile.container.oci": "true"}),
        "nonsense",
    ]
    with serving(tmp_path / "s", {ALL: told}):
        found = incus.inspect((tmp_path / "none", tmp_path / "s"))
    assert states(found) == {
        "web": Running(),
        "db": Stopped(),
        "cache": FrozenGuest(),
        "odd": Unsupported("Incus says that it is Error"),
        "win": Unsupported("it is a virtual machine: it needs its own patchledger"),
        "app": Unsupported("it is an application container: it needs its own patchledger"),
    }


def test_an_instance_of_incus_that_gets_the_name_of_another_is_known_apart(tmp_path: Path) -> None:
    seen = []
    for number, unique in enumerate(("0c9d-1", "0c9d-1", "77aa-2", 5)):
        path = tmp_path / str(number)
        with serving(path, {ALL: [instance("web", config={"volatile.uuid": unique})]}):
            (guest,) = incus.inspect((path,)).guests
        seen.append(guest.volume)
    first, again, another, odd = seen
    assert not Pin("web", first).contradicted(again, "")
    told = "its root is on instance 77aa-2, and was on instance 0c9d-1"
    assert Pin("web", first).contradicted(another, "") == told
    assert odd == ""


def test_instances_of_other_members_of_a_cluster(tmp_path: Path) -> None:
    told = [instance("web", location="a"), instance("db", location="b")]
    with serving(tmp_path / "s", {ALL: told, "/1.0": {"environment": {"server_name": "a"}}}):
        assert states(incus.inspect((tmp_path / "s",))) == {"web": Running(), "db": Moved("b")}


@pytest.mark.parametrize(
    ("answers", "status", "problem"),
    [
        ({ALL: {"no": "list"}}, 200, "its answer is no list of instances"),
        ({ALL: []}, 403, "status 403"),
        ({ALL: [instance("web", location="a")], "/1.0": {}}, 200, "it does not tell its name"),
    ],
)
def test_incus_that_answers_otherwise(
    tmp_path: Path, answers: dict[str, Any], status: int, problem: str
) -> None:
    with serving(tmp_path / "s", answers, status):
        assert incus.inspect((tmp_path / "s",)).problem == f"Incus does not answer at {tmp_path}/s: {problem}"


def test_incus_that_does_not_run(tmp_path: Path) -> None:
    assert incus.inspect((tmp_path / "s",)).problem == f"there is no {tmp_path}/s: Incus does not run"


# --- systemd-machined: what busctl prints -------------------------------------------------------------------

MACHINES = [
    ["web", "container", "systemd-nspawn", "/org/freedesktop/machine1/machine/web"],
    ["win", "vm", "libvirt-qemu", "/org/freedesktop/machine1/machine/win"],
    ["other", "container", "libvirt-lxc", "/org/freedesktop/machine1/machine/other"],
    [".host", "host", "", "/org/freedesktop/machine1/machine/_2ehost"],
]
IMAGES = [
    ["web", "directory", False, 0, 0, 0, "/org/freedesktop/machine1/image/web"],
    ["db", "subvolume", False, 0, 0, 0, "/org/freedesktop/machine1/image/db"],
    [".host", "directory", False, 0, 0, 0, "/org/freedesktop/machine1/image/_2ehost"],
]


def printed(rows: object) -> bytes:
    return json.dumps({"type": "a(ssso)", "data": [rows]}).encode()


def bus(machines: bytes, images: bytes, code: int = 0, said: bytes = b"") -> nspawn.Call:
    def call(argv: Sequence[str]) -> Completed:
        answer = {"ListMachines": machines, "ListImages": images}[argv[-1]]
        return Completed(tuple(argv), code, answer, said)

    return call


def test_machines_of_systemd(kernel: Kernel) -> None:
    asked = bus(printed(MACHINES), printed(IMAGES))
    assert states(nspawn.inspect(asked, kernel)) == {
        "web": Running(),
        "win": Unsupported("it is a virtual machine: it needs its own patchledger"),
        "other": Unsupported("libvirt-lxc runs it"),
        "db": Stopped(),
    }
    group = kernel.cgroups / "machine.slice" / "systemd-nspawn@web.service"
    group.mkdir(parents=True)
    (group / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    assert states(nspawn.inspect(asked, kernel))["web"] == FrozenGuest()


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (
            bus(b"", b"", 1, b"Failed to connect to bus: No such file\n"),
            "Failed to connect to bus: No such file",
        ),
        (bus(b"", b"", 1), "busctl ended with 1"),
        (bus(b'{"data": []}', b""), "its answer is no list"),
        (bus(printed([["web"]]), printed([])), "its answer has a row that is none"),
    ],
)
def test_machined_that_answers_otherwise(kernel: Kernel, call: nspawn.Call, problem: str) -> None:
    assert nspawn.inspect(call, kernel).problem == f"systemd-machined does not answer: {problem}"


HEARING = "--property=IgnoreSIGPIPE=no"


@pytest.mark.parametrize(
    ("kind", "enter", "argv"),
    [
        (GuestKind.PROXMOX, proxmox.entering, "pct exec 101 -- sh -c $x"),
        (GuestKind.LXC, lxc.entering, "lxc-attach --name=-rf -- sh -c $x"),
        (GuestKind.INCUS, incus.entering, "incus exec -rf --mode=non-interactive -- sh -c $x"),
        (
            GuestKind.NSPAWN,
            nspawn.entering,
            f"systemd-run --machine=-rf --quiet --pipe --wait --collect {HEARING} -- sh -c $$x",
        ),
    ],
)
def test_the_way_in(kind: GuestKind, enter: Any, argv: str) -> None:
    assert list(enter(Guest("101", kind, "-rf", Running()), ("sh", "-c", "$x"))) == argv.split(" ")


@pytest.mark.parametrize("name", ["-rf", "a:b", "root@.host", ".hidden", "a b", "", "a\nb"])
def test_a_name_that_would_be_taken_for_something_else_is_not_entered(
    tmp_path: Path, name: str, kernel: Kernel
) -> None:
    with serving(tmp_path / "s", {ALL: [instance(name)]}):
        (of_incus,) = incus.inspect((tmp_path / "s",)).guests
    assert isinstance(of_incus.state, Unsupported)
    machines = [[name, "container", "systemd-nspawn", "/x"]]
    of_systemd = nspawn.inspect(bus(printed(machines), printed([])), kernel).guests
    assert all(isinstance(guest.state, Unsupported) for guest in of_systemd)


@pytest.mark.root
def test_who_may_not_look_is_told_so_and_hears_of_no_empty_place(tmp_path: Path, kernel: Kernel) -> None:
    for name in ("lxc", "pve", "incus"):
        (tmp_path / name).mkdir(mode=0o700)
    place = Kernel(Path("/proc/net/unix"), kernel.cgroups)
    os.seteuid(65534)
    try:
        found = (
            lxc.inspect(tmp_path / "lxc", tmp_path / "pve", place),
            proxmox.inspect(tmp_path / "pve", place),
            incus.inspect((tmp_path / "incus" / "s",)),
        )
    finally:
        os.seteuid(0)
    assert all(one.problem.endswith("Permission denied") and not one.guests for one in found), found
