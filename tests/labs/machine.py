"""A booted machine: this one's files in an overlay, with systemd as init, in a container of nothing else.

    with Machine.booted({"etc/motd": "hello"}) as machine:      # about half a second
        machine.run("systemctl", "restart", "x")

It has no network, root's home is empty, its changes are in memory, and ``/lab`` is a folder that the test
sees too. It can reboot as often as it likes. Its processes are in a PID namespace and its mounts in a mount
namespace of their own. Both end with the process that made them, and that one with the test: nothing is
left, however the test ends.

Needs root, cgroup2 and ``systemd-nspawn`` (Debian: systemd-container). Where they do not suffice, booting
fails with what ``systemd-nspawn`` said; nothing is skipped.
"""

import contextlib
import os
import queue
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
INSIDE = "/opt/patchledger"
"""Where the machine sees this repository."""
LAB = "/lab"
PATIENCE = 180.0  # seconds for anything to happen; it takes below two, and more beside much other work

_SCRIPT = r"""
set -eu
work=$1 name=$2 cgroup=$3; shift 3
echo 0 >"$cgroup/cgroup.procs"
mount -t tmpfs tmpfs "$work"
mkdir -p "$work/upper" "$work/work" "$work/root" /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
if [ -n "$LAB_ARCHIVE" ]; then
    tar --extract --file "$LAB_ARCHIVE" --directory "$work/root" --numeric-owner --exclude "./dev/*"
else
    mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
    # What whoever runs the tests has a shell do, each command over ssh would do first.
    mount -t tmpfs -o mode=700 tmpfs "$work/root/root"
fi
# None of this machine's own services, and no first boot, which would enable them all.
rm -rf "$work/root/etc/systemd/system"
rm -f "$work/root/.dockerenv"
mkdir "$work/root/etc/systemd/system"
cat /proc/sys/kernel/random/uuid | tr -d - >"$work/root/etc/machine-id"
cp -R "$LAB_FILES/." "$work/root/"
unset LAB_FILES LAB_ARCHIVE
while :; do
    code=0
    systemd-nspawn --quiet --directory="$work/root" --machine="$name" --boot --notify-ready=yes \
        --register=no --keep-unit --console=pipe --link-journal=no --private-network "$@" || code=$?
    [ "$code" -eq 133 ] || exit "$code" # 133: the machine asks for a reboot
done
"""


@dataclass(slots=True)
class Machine:
    """A machine that is running.

    Attributes:
        lab: The folder that it sees as ``/lab``.
        python: An interpreter that it has.
    """

    lab: Path
    python: str
    _process: subprocess.Popen[bytes]
    _log: Path
    _ready: "queue.SimpleQueue[int]" = field(default_factory=queue.SimpleQueue)
    _booted: int = 0

    @classmethod
    @contextlib.contextmanager
    def booted(
        cls, files: Mapping[str, str], shown: Mapping[str, Path] | None = None, archive: Path | None = None
    ) -> Iterator["Machine"]:
        """Boot a machine, and end it afterwards.

        Args:
            files: Content by path in its root, without the leading slash.
            shown: Folders of this machine that it can read, by the path where it sees them.
            archive: A root of another release, in memory, which has no Python but this machine's; without
                it the machine has this machine's files.

        Raises:
            AssertionError: It does not boot here, with what was said.
        """
        folder = Path(tempfile.mkdtemp(prefix="machine"))
        cgroup = cgroups() / f"lab-{uuid.uuid4().hex[:12]}"
        cgroup.mkdir()
        try:
            with _notify_socket(folder / "notify") as notified:
                machine = cls._start(folder, cgroup, files, shown or {}, archive)
                threading.Thread(target=machine._listen, args=(notified,), daemon=True).start()  # noqa: SLF001
                try:
                    machine.wait_until_booted()
                    yield machine
                finally:
                    machine.kill()
        finally:
            remove_cgroup(cgroup)
            shutil.rmtree(folder)

    @classmethod
    def _start(
        cls,
        folder: Path,
        cgroup: Path,
        files: Mapping[str, str],
        shown: Mapping[str, Path],
        archive: Path | None,
    ) -> "Machine":
        for name in ("lab", "files", "mount"):
            (folder / name).mkdir()
        for name, content in files.items():
            path = folder / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        binds = [f"--bind={folder / 'lab'}:{LAB}", f"--bind-ro={REPOSITORY}:{INSIDE}"]
        binds += [f"--bind-ro={source}:{path}" for path, source in shown.items()]
        if not sys.base_prefix.startswith("/usr"):  # it may be on another file system, or below /tmp
            binds.append(f"--bind-ro={sys.base_prefix}")
        elif archive is not None:
            binds += [f"--bind-ro={python}", f"--bind-ro={sysconfig.get_path('stdlib')}"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                # When the test ends, however, so do they, with them the namespaces, with them everything.
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *("unshare", "--mount", "--propagation", "private", "--pid", "--mount-proc"),
                    *("--fork", "--kill-child=KILL", "sh", "-c", _SCRIPT, "machine"),
                    *(str(folder / "mount"), cgroup.name, str(cgroup), *binds),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": os.defpath + ":/usr/sbin:/sbin",
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                    "NOTIFY_SOCKET": str(folder / "notify"),
                    "LAB_FILES": str(folder / "files"),
                    "LAB_ARCHIVE": "" if archive is None else str(archive),
                },
            )
        return cls(folder / "lab", str(python), process, folder / "log")

    def _listen(self, notified: socket.socket) -> None:
        """Read all that systemd in there says, which waits until it is read."""
        while said := notified.recv(4096):
            if b"READY=1" in said:
                with contextlib.suppress(OSError, IndexError):  # it has ended
                    self._ready.put(self._init())

    def wait_until_booted(self) -> None:
        """Wait until systemd in there says that it has started everything; once for each boot."""
        booted, end = self._booted, time.monotonic() + PATIENCE
        # A systemd that executes itself anew says so again.
        while booted == self._booted:
            if self._process.poll() is not None or time.monotonic() > end:
                is_there = self._process.poll() is None
                state = "does not come up" if is_there else "has ended"
                more = _at_work(self.entering) if is_there else ""
                raise AssertionError(f"a machine that should boot {state}:\n{self._log.read_text()}{more}")
            with contextlib.suppress(queue.Empty):
                booted = self._ready.get(timeout=0.5)
        self._booted = booted

    def kill(self) -> None:
        """End it as a lost plug does; its namespaces end with it."""
        self._process.kill()
        self._process.wait()

    @property
    def entering(self) -> tuple[str, ...]:
        """The beginning of a command that runs in there."""
        return ("nsenter", "--target", str(self._init()), "--all", "env", "-i", "--chdir=/", *ENVIRONMENT)

    def put_unit(self, name: str, text: str) -> None:
        """Write or replace a unit."""
        self.run("tee", f"/run/systemd/system/{name}", stdin=text)
        self.run("systemctl", "daemon-reload")

    def run(self, *argv: str, check: bool = True, stdin: str = "") -> str:
        """Run a command in there and return what it printed, errors included."""
        return run_inside(self.entering, argv, check=check, stdin=stdin, log=self._log)

    def evaluate(self, line: str) -> str:
        """Run a line of Python in there, which can import our modules, and return what it printed."""
        code = f"import sys; sys.path.insert(0, {INSIDE!r}); {line}"
        return self.run(self.python, "-I", "-S", "-c", code).strip()

    def _init(self) -> int:
        """Return its first process, as seen from here: below unshare, the shell and nspawn."""
        pid = self._process.pid
        for _ in range(3):
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return pid


def run_inside(
    entering: Sequence[str], argv: Sequence[str], *, check: bool, stdin: str, log: Path | None = None
) -> str:
    """Run a command in a machine of ours and return what it printed, errors included.

    Args:
        entering: The beginning of a command that runs in there.
        argv: The command.
        check: It must end with 0.
        stdin: What it reads.
        log: Of the machine, told where the command fails.

    Raises:
        AssertionError: It fails, with what it said; it takes too long, with what is at work in there.
    """
    try:
        done = _inside(entering, argv, stdin, PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{error}\n{_at_work(entering)}") from None
    if check and done.returncode:
        more = "" if log is None else f"\n{log.read_text()}"
        raise AssertionError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}{more}")
    return done.stdout


def _inside(
    entering: Sequence[str], argv: Sequence[str], stdin: str, patience: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*entering, *argv],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",  # a journal, for one, has lengths in it
        timeout=patience,
        check=False,
    )


def _at_work(entering: Sequence[str]) -> str:
    """Tell what a machine is busy with that should have answered long ago."""
    said = []
    for argv in _ASKED:
        try:
            said.append(_inside(entering, argv, "", 10.0).stdout)
        except subprocess.TimeoutExpired:
            said.append(f"{argv[0]} does not answer\n")
    return "".join(said)


_ASKED = (
    ("ps", "-ww", "-e", "--forest", "-o", "pid,etimes,stat,wchan:20,args"),
    ("systemctl", "list-jobs", "--no-pager"),
    ("journalctl", "--no-pager", "--output=short", "--lines=40"),
)


ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
)


@contextlib.contextmanager
def _notify_socket(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(path))
        try:
            yield notified
        finally:
            notified.shutdown(socket.SHUT_RD)  # ends who reads it


def cgroups() -> Path:
    """Return where control groups of version 2 can be made."""
    for path in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        if (path / "cgroup.procs").exists():
            return path
    raise AssertionError(
        "no cgroup2 is mounted at /sys/fs/cgroup: systemd cannot be booted in a container here"
    )


def remove_cgroup(cgroup: Path) -> None:
    """Wait until the last process is gone, and remove the group with all below."""
    with (cgroup / "cgroup.events").open("rb") as events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while b"populated 0" not in os.pread(events.fileno(), 4096, 0):
            if not poll.poll(PATIENCE * 1000):
                raise AssertionError(f"{cgroup} still holds processes")
    for folder in sorted(cgroup.rglob("*"), reverse=True):
        if folder.is_dir():
            folder.rmdir()
    cgroup.rmdir()
