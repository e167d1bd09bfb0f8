"""A small Proxmox node: LXC guests that really run, on btrfs, with a stand-in for ``pct``.

    with GuestLab.running() as node:      # about ten seconds
        node.run("pct", "exec", "201", "--", "hostname")

Its guests are Debian 12 with systemd. The node is a namespace of this machine's own files, where
``/etc/pve``, ``/var/lib/lxc`` and ``/run`` are the lab's, and ``pct`` (:mod:`tests.labs.pct`) is found before
all else; it has no network. ``/run/lab`` is a folder that the test sees too. Everything ends with the process
that made it, and that one with the test: guests, mounts and the loop device.

Needs root, cgroup2, btrfs in the kernel, lxc, uidmap and btrfs-progs, and a root of :mod:`tests.labs.roots`.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.labs.machine import ENVIRONMENT, PATIENCE, cgroups, remove_cgroup, run_inside
from tests.labs.roots import guest_root

REPOSITORY = Path(__file__).parents[2]
LAB = "/run/lab"
NODE = "pve1"

# The first process waits for whatever is left to it, so that nothing that ended stays.
_SCRIPT = r"""
set -eu
echo 0 >"$2/cgroup.procs"
exec unshare --cgroup --net --uts --ipc sh -eu -c '
mount -t tmpfs tmpfs "$1/memory"
mkdir "$1/memory/upper" "$1/memory/work" "$1/memory/lxc"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/memory/upper,workdir=$1/memory/work" /etc
mount --bind "$1/memory/lxc" /var/lib/lxc
mount --bind "$1/bin" /usr/local/sbin
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir /run/lab
mount --bind "$1" /run/lab
cd /run/lab
hostname pve1
echo root:100000:65536 | tee /etc/subuid >/etc/subgid
mkdir -p /etc/pve/nodes/pve1/lxc /etc/pve/nodes/pve1/qemu-server /etc/pve/nodes/pve2/lxc
ln -s nodes/pve1 /etc/pve/local
ln -s nodes/pve1/lxc /etc/pve/lxc
ln -s nodes/pve1/qemu-server /etc/pve/qemu-server
printf "btrfs: btr\n\tpath /run/lab/store\n\tcontent rootdir\n" >/etc/pve/storage.cfg
truncate --size 4G disk
mkfs.btrfs --quiet disk
mount -o loop disk store
btrfs --quiet subvolume create store/base
tar --extract --file "$2" --directory store/base --numeric-owner --exclude "./dev/*"
: >store/base/etc/machine-id
: >ready
sleep infinity &
wait
' node "$1" "$3"
"""

_LXC = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.arch = {arch}
lxc.uts.name = {name}
lxc.rootfs.path = dir:/run/lab/store/{volume}
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
lxc.cgroup.relative = 0
lxc.cgroup.dir.monitor = lxc.monitor/{id}
lxc.cgroup.dir.container = lxc/{id}
lxc.cgroup.dir.container.inner = ns
lxc.mount.auto =
lxc.mount.auto = proc:mixed sys:mixed cgroup:rw:force
lxc.init.cmd = {init}
"""
_UNPRIVILEGED = """\
lxc.include = /usr/share/lxc/config/userns.conf
lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
lxc.rootfs.options = idmap=container
"""


@dataclass(frozen=True, slots=True)
class Made:
    """A guest of the lab.

    Attributes:
        id: Its number.
        name: Its host name.
        lines: What its configuration says besides.
        is_started: It runs as soon as it is there.
        init: Its first process. Of many guests with systemd a machine may run out of inotify(7) instances.
    """

    id: str
    name: str
    lines: tuple[str, ...] = ()
    is_started: bool = False
    init: str = "/lib/systemd/systemd"


FOUR = (
    Made("201", "web", ("tags: env-prod;web",), is_started=True),
    Made("202", "db", ("tags: db",)),
    Made("203", "tmpl", ("template: 1",)),
    Made("204", "unpriv", ("unprivileged: 1",), is_started=True),
)


@dataclass(slots=True)
class GuestLab:
    """A node whose guests run.

    Attributes:
        folder: What it sees as ``/run/lab``.
    """

    folder: Path
    _process: subprocess.Popen[bytes]

    @classmethod
    @contextlib.contextmanager
    def running(cls, guests: Sequence[Made] = FOUR) -> Iterator["GuestLab"]:
        """Make a node with these guests, and end it afterwards.

        Raises:
            AssertionError: It does not come up here, with what was said.
        """
        base = guest_root()
        memory = Path("/dev/shm")  # noqa: S108 - made by tempfile
        folder = Path(tempfile.mkdtemp(prefix="guests", dir=memory if memory.is_dir() else None))
        cgroup = cgroups() / f"lab-{uuid.uuid4().hex[:12]}"
        cgroup.mkdir()
        try:
            node = cls._start(folder, cgroup, base)
            try:
                for guest in guests:
                    node.make(guest)
                yield node
            finally:
                node._process.kill()  # noqa: SLF001 - its own
                node._process.wait()  # noqa: SLF001 - (the same)
        finally:
            remove_cgroup(cgroup)
            shutil.rmtree(folder)

    @classmethod
    def _start(cls, folder: Path, cgroup: Path, base: Path) -> "GuestLab":
        for name in ("memory", "bin", "store"):
            (folder / name).mkdir()
        python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        pct = folder / "bin" / "pct"
        pct.write_text(f'#!/bin/sh\nexec {python} -I -S {REPOSITORY}/tests/labs/pct.py "$@"\n')
        pct.chmod(0o755)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *("unshare", "--mount", "--propagation", "private", "--pid", "--mount-proc"),
                    *("--fork", "--kill-child=KILL", "sh", "-c", _SCRIPT, "node"),
                    *(str(folder), str(cgroup), str(base)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.defpath + ":/usr/sbin:/sbin"},
            )
        node = cls(folder, process)
        node._wait_until_ready()
        return node

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + PATIENCE
        while not (self.folder / "ready").exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"no node of guests here:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.05)

    def make(self, guest: Made) -> None:
        """Make a guest, and start it where it is to run."""
        volume = f"subvol-{guest.id}-disk-0"
        self.run("btrfs", "--quiet", "subvolume", "snapshot", f"{LAB}/store/base", f"{LAB}/store/{volume}")
        self.write(f"{LAB}/store/{volume}/etc/hostname", f"{guest.name}\n")
        extra = _UNPRIVILEGED if "unprivileged: 1" in guest.lines else ""
        arch = os.uname().machine
        text = _LXC.format(arch=arch, name=guest.name, volume=volume, id=guest.id, init=guest.init)
        self.run("mkdir", "-p", f"/var/lib/lxc/{guest.id}")
        self.write(f"/var/lib/lxc/{guest.id}/config", text + extra)
        own = (f"hostname: {guest.name}", "ostype: debian", f"rootfs: btr:{volume},size=8G")
        self.write(
            f"/etc/pve/lxc/{guest.id}.conf", "".join(f"{line}\n" for line in sorted((*own, *guest.lines)))
        )
        if guest.is_started:
            self.run("pct", "start", guest.id)

    def write(self, path: str, text: str) -> None:
        """Write a file in there."""
        self.run("tee", path, stdin=text)

    @property
    def entering(self) -> tuple[str, ...]:
        """The beginning of a command that runs in there."""
        pid = self._process.pid
        first = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        return ("nsenter", "--target", first, "--all", "env", "-i", "--chdir=/", *ENVIRONMENT)

    def run(self, *argv: str, check: bool = True, stdin: str = "") -> str:
        """Run a command in there and return what it printed, errors included."""
        return run_inside(self.entering, argv, check=check, stdin=stdin)

    def calls(self) -> list[str]:
        """Return the arguments of each call of ``pct`` up to now."""
        return (self.folder / "pct.log").read_text(encoding="utf-8").splitlines()
