"""Small machines of all four package managers behind one interface, and what can go wrong on each.

What a test does to a machine, it does to a real one: packages that fail, a program that holds the lock, a
repository that is gone or forged. Each kind of machine says in its own way how that is done.
"""

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.errors import DONE, exit_code, worst
from reconciler.host.config import load_config
from reconciler.reconcile.tick import Tick
from tests.e2e.site import OPENING, POLICY, SetClock, Site, git
from tests.labs.apt import MAIN, AptLab, Deb
from tests.labs.dnf import DnfLab
from tests.labs.pacman import PacmanLab, Pkg
from tests.labs.rpm import Repository, Rpm
from tests.labs.zypper import ZypperLab

INSIDE = OPENING + timedelta(minutes=5)
MANAGERS = ("apt", "dnf", "zypper", "pacman")
PATIENCE = 60.0  # seconds for anything to happen; it takes below two

# Scriptlets that stand still where a test has called Machine.arrange_pause.
_SHELL_PAUSE = (
    'if [ -p "{root}/run/reached" ]; then : >"{root}/run/reached"; read -r word <"{root}/run/go"; fi'
)
_LUA_PAUSE = """\
if posix.access("/run/reached") then
    local reached = io.open("/run/reached", "w"); reached:write("x"); reached:close()
    local go = io.open("/run/go", "r"); go:read(1); go:close()
end"""

_PACMANS_LOCK = """
import os, sys
lock = open(sys.argv[1], "x")
print("held", flush=True)
sys.stdin.read()
os.unlink(sys.argv[1])
"""


class Machine(Protocol):
    """A small machine of some distribution.

    Attributes:
        manager: Its package manager.
        waiting: What a new configuration file is called that waits for a person.
    """

    manager: str
    waiting: str

    @property
    def root(self) -> Path: ...

    @property
    def environment(self) -> dict[str, str]: ...

    @property
    def settings(self) -> dict[str, object]:
        """Of the host's configuration."""
        ...

    def versions(self) -> dict[str, str]: ...

    def install(self, name: str) -> None:
        """Install version 1.0."""
        ...

    def publish(
        self, name: str, version: str = "1.1", script: str = "", size: int = 0, needs: str = ""
    ) -> None:
        """Offer a version, with a script after unpacking (``fails``, ``pauses``) and a file of a size.

        It needs version 1.1 of ``needs``.
        """
        ...

    def fetch_from(self, url: str) -> None:
        """Let the repository be reached by another address."""
        ...

    def offered(self, name: str, version: str = "1.1") -> Path:
        """Return the file of a package in the repository."""
        ...

    @property
    def repository(self) -> Path:
        """The folder of all that is offered."""
        ...

    @property
    def index(self) -> Path:
        """A file of metadata that another one vouches for, or that is one piece."""
        ...

    def republish(self) -> None:
        """Write the metadata anew."""
        ...

    def locked(self) -> contextlib.AbstractContextManager[int]:
        """Let another program hold the database; gives its process id."""
        ...

    def hold(self, name: str) -> Path:
        """Hold a package as the operator does; returns the file where that stands."""
        ...


class Debian:
    manager = "apt"
    waiting = "dpkg-dist"

    def __init__(self, lab: AptLab) -> None:
        self.lab = lab

    @property
    def root(self) -> Path:
        return self.lab.root

    @property
    def environment(self) -> dict[str, str]:
        return self.lab.environment

    @property
    def settings(self) -> dict[str, object]:
        return {}

    def versions(self) -> dict[str, str]:
        return self.lab.versions()

    def install(self, name: str) -> None:
        self.lab.install(Deb(name, "1.0"))

    def publish(
        self, name: str, version: str = "1.1", script: str = "", size: int = 0, needs: str = ""
    ) -> None:
        scripts = {"fails": "echo no luck; exit 3", "pauses": _SHELL_PAUSE.format(root="$DPKG_ROOT"), "": ""}
        text = scripts[script]
        self.lab.publish(
            MAIN,
            Deb(
                name,
                version,
                fields={"Depends": f"{needs} (>= 1.1)"} if needs else {},
                scripts={"postinst": text} if text else {},
                files={f"opt/{name}": noise(size)} if size else {},
            ),
        )

    def fetch_from(self, url: str) -> None:
        sources = self.root / "etc/apt/sources.list"
        sources.write_text(re.sub(r"(file|http):\S+", url.rstrip("/"), sources.read_text()))

    def offered(self, name: str, version: str = "1.1") -> Path:
        return self.lab.repository / "pool" / Deb(name, version).file_name

    @property
    def repository(self) -> Path:
        return self.lab.repository

    @property
    def index(self) -> Path:
        return self.lab.repository / "dists" / MAIN / "main/binary-amd64/Packages"

    def republish(self) -> None:
        self.lab.sign(MAIN)

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        with (self.lab.admin / "lock-frontend").open("w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            yield os.getpid()

    def hold(self, name: str) -> Path:
        self.lab.hold_package(name)
        return self.lab.admin / "status"


class _Rpms:
    """What dnf's and zypper's machines have in common."""

    waiting = "rpmnew"
    lab: DnfLab | ZypperLab

    @property
    def root(self) -> Path:
        return self.lab.root

    @property
    def environment(self) -> dict[str, str]:
        return self.lab.environment

    def versions(self) -> dict[str, str]:
        return {name: version.removesuffix("-1") for name, version in self.lab.versions().items()}

    def install(self, name: str) -> None:
        self.lab.install(Rpm(name, "1.0-1"))

    def publish(
        self, name: str, version: str = "1.1", script: str = "", size: int = 0, needs: str = ""
    ) -> None:
        scripts: Mapping[str, Mapping[str, str]] = {
            "fails": {"post": "error('no luck')"},
            "refuses": {"pre": "error('no luck')"},
            "pauses": {"post": _LUA_PAUSE},
            "": {},
        }
        self.repo.publish(
            Rpm(
                name,
                f"{version}-1",
                fields={"Requires": f"{needs} >= 1.1"} if needs else {},
                scripts=scripts[script],
                files={f"opt/{name}": noise(size)} if size else {},
            )
        )

    def fetch_from(self, url: str) -> None:
        self.lab.configure_repository(url=url)

    def offered(self, name: str, version: str = "1.1") -> Path:
        return self.repo.file(name, f"{version}-1")

    @property
    def repo(self) -> Repository:
        return self.lab.repository

    @property
    def repository(self) -> Path:
        return self.repo.folder

    @property
    def index(self) -> Path:
        (path,) = (self.repo.folder / "repodata").glob("*-primary.xml.*")
        return path

    def republish(self) -> None:
        self.repo.index()


class RedHat(_Rpms):
    manager = "dnf"
    lab: DnfLab

    def __init__(self, lab: DnfLab) -> None:
        self.lab = lab

    @property
    def settings(self) -> dict[str, object]:
        return {"root": str(self.root), "manager": "dnf"}

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        with (self.lab.database / ".rpm.lock").open("r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            yield os.getpid()

    def hold(self, name: str) -> Path:
        return self.lab.lock(name, "1.0-1")


class Suse(_Rpms):
    manager = "zypper"
    lab: ZypperLab

    def __init__(self, lab: ZypperLab) -> None:
        self.lab = lab

    @property
    def settings(self) -> dict[str, object]:
        return {"root": str(self.root), "manager": "zypper"}

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        pid = self.root / "run/zypp.pid"
        pid.write_text(f"{os.getpid()}\n")
        yield os.getpid()
        pid.unlink()

    def hold(self, name: str) -> Path:
        self.lab.lock(name)
        return self.lab.locks


class Arch:
    manager = "pacman"
    waiting = "pacnew"

    def __init__(self, lab: PacmanLab) -> None:
        self.lab = lab

    @property
    def root(self) -> Path:
        return self.lab.root

    @property
    def environment(self) -> dict[str, str]:
        return self.lab.environment

    @property
    def settings(self) -> dict[str, object]:
        return {"manager": "pacman"}

    def versions(self) -> dict[str, str]:
        return {name: version.removesuffix("-1") for name, version in self.lab.versions().items()}

    def install(self, name: str) -> None:
        self.lab.install(Pkg(name, "1.0-1"))

    def publish(
        self, name: str, version: str = "1.1", script: str = "", size: int = 0, needs: str = ""
    ) -> None:
        scripts = {"fails": "echo no luck; return 7", "pauses": _SHELL_PAUSE.format(root=""), "": ""}
        text = scripts[script]
        self.lab.publish(
            Pkg(
                name,
                f"{version}-1",
                info=(("depend", f"{needs}>=1.1"),) if needs else (),
                install=f"post_upgrade() {{ {text}; }}" if text else "",
                files={f"opt/{name}": noise(size)} if size else {},
                size=size,
            )
        )

    def fetch_from(self, url: str) -> None:
        text = self.lab.configuration.read_text()
        self.lab.configuration.write_text(re.sub(r"Server = \S+", f"Server = {url.rstrip('/')}", text))

    def offered(self, name: str, version: str = "1.1") -> Path:
        return self.lab.repository / Pkg(name, f"{version}-1").file_name

    @property
    def repository(self) -> Path:
        return self.lab.repository

    @property
    def index(self) -> Path:
        return (self.lab.repository / "lab.db").resolve()

    def republish(self) -> None:
        self.lab.publish(Pkg("victim", "1.0-1"))

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        with subprocess.Popen(
            [sys.executable, "-c", _PACMANS_LOCK, str(self.lab.lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            yield holder.pid
            holder.communicate()

    def hold(self, name: str) -> Path:
        self.lab.hold_package(name)
        return self.lab.configuration


def noise(size: int) -> str:
    """Return text that cannot be made smaller than half of its size."""
    import random  # noqa: PLC0415 - few tests need it

    return random.Random(0).randbytes(size // 2).hex()


class Plant:
    """A machine and the installation that looks after it, at night, at made-up times.

    Args:
        machine: To be patched.
        site: Its policy wants what :meth:`want` names; pacman's wants everything, since it knows no less.
    """

    def __init__(self, machine: Machine, site: Site) -> None:
        self.machine = machine
        self.site = site

    @classmethod
    def build(cls, manager: str, world: Any, folder: Path) -> "Plant":
        """Make a copy of a world, with a repository of its own to be changed, and an installation for it."""
        kinds: dict[str, Any] = {"apt": Debian, "dnf": RedHat, "zypper": Suse, "pacman": Arch}
        machine: Machine = kinds[manager](world.copy(folder / "machine", repository=True))
        # What a killed script leaves behind goes with the test.
        environment = {**machine.environment, "TMPDIR": str(folder)}
        site = Site.create(folder / "site", environment=environment, **machine.settings)
        return cls(machine, site)

    def want(self, *names: str, policy: str = "") -> None:
        """Let the policy want updates of these packages alone, in one step."""
        updates = "all" if self.machine.manager == "pacman" else "none"
        self.site.commit(
            {
                "policies/base.yaml": f"{POLICY}updates: {updates}\nsteps: single\n{policy}",
                "exceptions/wanted.yaml": f"kind: Exception\nname: wanted\npackages: {json.dumps(names)}\n"
                "action: include\nreason: of this test\nexpires: 2099-01-01\n",
            }
        )

    def offer(self, name: str, script: str = "", size: int = 0) -> None:
        """Install 1.0 of a package and offer 1.1."""
        self.machine.install(name)
        self.machine.publish(name, "1.1", script, size)

    def tick(self, at: datetime = INSIDE) -> Tick:
        """Make a whole tick of the product."""
        return run_once(self.site.config, wire(load_config(self.site.config), SetClock(at)))

    def version(self, name: str) -> str | None:
        return self.machine.versions().get(name)

    # --- what stands in git ---

    def report(self) -> Any:
        return self.site.report()

    def condition(self, kind: str) -> Any:
        """Return a condition of the newest report, ``None`` where it does not hold."""
        found = {one["type"]: one for one in self.report()["conditions"]}
        return found.get(kind)

    def update(self, name: str) -> Any:
        """Return what the newest report says of an update."""
        (found,) = (one for one in self.report()["plan"]["updates"] if one["name"] == name)
        return found

    def runs(self) -> list[Any]:
        """Return the records of all runs in the newest tree, oldest first."""
        names = git(self.site.reports, "ls-tree", "--name-only", "hosts/web-01", "runs/").splitlines()
        return [
            json.loads(git(self.site.reports, "show", f"hosts/web-01:{name}"))
            for name in sorted(names)
            if name.endswith(".json")
        ]

    def log(self, run: str) -> str:
        """Return what the package manager said in a run."""
        return git(self.site.reports, "show", f"hosts/web-01:runs/{run}.log")

    # --- a tick in a process of its own ---

    def start(self, at: datetime = INSIDE, *before: str) -> "subprocess.Popen[str]":
        """Begin a tick in a process of its own, started by the command ``before``."""
        paths = [str(Path.cwd()), *(path for path in sys.path if path.endswith("-packages"))]
        arguments = [json.dumps(paths), str(self.site.config), at.isoformat()]
        return subprocess.Popen(
            [*before, sys.executable, "-I", "-B", "-c", TICK, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def tick_where(self, mounts: str, at: datetime = INSIDE) -> tuple[int, str]:
        """Make a tick in a mount namespace of its own, in which a shell command has mounted something.

        Returns:
            The exit code of what went wrong, and the messages, a line each.
        """
        script = f'set -e; {mounts}; exec "$@"'
        with self.start(at, "unshare", "--mount", "sh", "-c", script, "sh") as running:
            said, errors = running.communicate()
        assert "Traceback" not in errors
        assert running.returncode == 0, errors
        code, *messages = said.splitlines()
        return int(code), "\n".join(messages)

    def processes(self) -> Iterator[int]:
        """Return every living process that works on the machine."""
        mark = str(self.machine.root)
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                with contextlib.suppress(OSError):
                    told = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
                    if mark.encode() in told or str((folder / "root").readlink()).startswith(mark):
                        yield int(folder.name)

    def kill_everything(self) -> None:
        """End every process that works on the machine, as a lost plug does."""
        while handles := [handle for pid in self.processes() if (handle := _killed(pid)) is not None]:
            for handle in handles:
                assert select.select([handle], [], [], PATIENCE)[0]
                os.close(handle)

    def arrange_pause(self) -> None:
        """Let the next script that pauses stand still."""
        for name in ("reached", "go"):
            os.mkfifo(self.machine.root / "run" / name)

    def wait_for_pause(self) -> None:
        """Return when a script stands still."""
        reader = os.open(self.machine.root / "run/reached", os.O_RDONLY | os.O_NONBLOCK)
        has_come = select.select([reader], [], [], PATIENCE)[0]
        os.close(reader)
        assert has_come, "no script has come to its pause"

    def forget_pause(self) -> None:
        """Let nothing stand still any more; what did has been killed."""
        for name in ("reached", "go"):
            (self.machine.root / "run" / name).unlink()


def code_of(done: Tick) -> int:
    """Return the exit code of a tick."""
    return worst([DONE, *map(exit_code, done.failures)])


def _killed(pid: int) -> int | None:
    """Kill a process; return what can be waited for, ``None`` where it has ended meanwhile."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    return handle


TICK = """\
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from datetime import datetime
from pathlib import Path
from reconciler.cli.verbs.run import run_once
from reconciler.errors import exit_code, worst
from reconciler.cli.wiring.compose import wire
from reconciler.errors import ReconcilerError
from reconciler.host.config import load_config
from tests.e2e.site import SetClock
config = Path(sys.argv[2])
try:
    done = run_once(config, wire(load_config(config), SetClock(datetime.fromisoformat(sys.argv[3]))))
    failures = done.failures
except ReconcilerError as error:
    failures = (error,)
print(worst([0, *map(exit_code, failures)]))
for failure in failures:
    print(failure.message)
"""
