"""This very machine, booted once more with systemd as its first process: a copy-on-write copy in a container.

Nothing is installed or downloaded for it: its root is an overlay of ``/``, kept in memory and thrown away. It
is booted only as far as ``basic.target``, so that the machine's own services do not start a second time, and
it has no network but its own loopback. Needs root, and the Debian packages systemd-container, systemd-sysv,
dbus and libpam-systemd.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.process import BASE_PATH

_BOOT_TIME = 120.0  # seconds; it takes one on an idle machine
_GROUPS = Path("/sys/fs/cgroup")
_ASKED = ("systemctl", "loginctl", "busctl")


@dataclass(frozen=True, slots=True)
class Booted:
    """A running system.

    Attributes:
        leader: Number of its first process, as this machine sees it.
        programs: A folder whose ``systemctl``, ``loginctl`` and ``busctl`` are those of that system.
    """

    leader: int
    programs: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.programs}:{BASE_PATH}"}

    def run(self, *argv: str, stdin: str = "") -> str:
        """Run a command in there and return what it prints.

        Raises:
            subprocess.CalledProcessError: It failed.
        """
        done = subprocess.run(
            [*_entering(self.leader), *argv], input=stdin, capture_output=True, text=True, check=True
        )
        return done.stdout

    def put_unit(self, name: str, text: str) -> None:
        """Give it a unit until it is shut down."""
        self.run("tee", f"/run/systemd/system/{name}", stdin=text)
        self.run("systemctl", "daemon-reload")


@contextlib.contextmanager
def booted(folder: Path) -> Iterator[Booted]:
    """Boot a copy of this machine below the empty ``folder``, and shut it down."""
    name = f"patchledger-{os.getpid()}"
    with (
        _overlay(folder / "copy") as root,
        _own_group(name) as group,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
        (folder / "console").open("wb") as log,
    ):
        ready.settimeout(_BOOT_TIME)
        ready.bind(str(folder / "ready"))
        container = _start(name, root, group, folder / "ready", log.fileno())
        try:
            while b"READY=1" not in ready.recv(4096).splitlines():
                pass
            below = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text(encoding="ascii")
            leader = int(below.split()[0])
            yield Booted(leader, _programs(folder / "bin", leader))
        finally:
            _shut_down(container)


def _shut_down(container: "subprocess.Popen[bytes]") -> None:
    container.send_signal(signal.SIGTERM)  # An orderly shutdown: systemd-nspawn(1).
    try:
        container.wait(60)
    except subprocess.TimeoutExpired:
        container.kill()
        container.wait()


@contextlib.contextmanager
def _overlay(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", folder], check=True)
    try:
        upper, work, root = (folder / part for part in ("upper", "work", "root"))
        for part in (upper, work, root):
            part.mkdir()
        options = f"lowerdir=/,upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", root], check=True)
        try:
            (root / "etc" / "machine-id").write_text("")  # so that it makes its own
            (root / ".dockerenv").unlink(missing_ok=True)
            yield root
        finally:
            subprocess.run(["umount", "--lazy", root], check=True)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def _own_group(name: str) -> Iterator[Path]:
    """Make a control group: without one of its own, a container without registration would use ours."""
    unified = _GROUPS / "unified"
    group = (unified if unified.is_dir() else _GROUPS) / name
    group.mkdir()
    try:
        yield group
    finally:
        # Beside the unified hierarchy there may be older ones, where the container made the same group.
        for made in (group, *_GROUPS.glob(f"*/{name}")):
            for below, _, _ in os.walk(made, topdown=False):
                with contextlib.suppress(OSError):
                    Path(below).rmdir()


def _start(name: str, root: Path, group: Path, ready: Path, log: int) -> "subprocess.Popen[bytes]":
    container = (
        *(
            "systemd-nspawn",
            f"--directory={root}",
            f"--machine={name}",
            "--boot",
            "--register=no",
            "--keep-unit",
        ),
        *("--console=pipe", "--link-journal=no", "--private-network", "--notify-ready=yes", "--quiet"),
        *("--", "--unit=basic.target"),
    )
    return subprocess.Popen(
        ["sh", "-c", 'echo $$ >"$1" && shift && exec "$@"', "sh", group / "cgroup.procs", *container],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={"PATH": BASE_PATH, "NOTIFY_SOCKET": str(ready), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        start_new_session=True,
    )


def _entering(leader: int) -> tuple[str, ...]:
    inside = ("env", "-i", f"PATH={BASE_PATH}", "LC_ALL=C.UTF-8", "HOME=/root")
    return (shutil.which("nsenter") or "nsenter", "--target", str(leader), "--all", "--wd=/", *inside)


def _programs(folder: Path, leader: int) -> Path:
    folder.mkdir()
    for name in _ASKED:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {" ".join(_entering(leader))} {name} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return folder
