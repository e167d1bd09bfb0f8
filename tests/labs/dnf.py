"""A small relative of RHEL to patch for real: a repository of rpms and a root of its own.

    lab = DnfLab.build(folder)              # once for a test session: about two seconds
    mine = lab.copy(tmp_path / "lab")       # per test: some hundredths of a second
    ScriptedManager(DNF, LocalTarget(mine.environment), script, mine.cache, root=mine.root)

The world, and what an upgrade without any policy does with it:

===================  ======================================================================================
``plain``            1.0-1 → 1.1-1
``epoch``            1:1.0-1 → 1:1.0-2
``secure``           1.0-1 → 1.0-2, a security advisory with two CVEs
``superseded``       1.0-1 → 1.2-1; the security advisory names 1.1-1
``pair, pair-data``  1.0-1 → 1.1-1 together (``=``)
``lima``             1.0-1 → 1.1-1; ``configure`` and ``lock_version`` make it the operator's
``newdep``           1.0-1 → 1.1-1, which needs ``newdep-lib`` that is not installed
``obsoleter``        1.0-1 → 2.0-1, which obsoletes ``obsoleted``
``remover``          1.0-1 → 2.0-1, which conflicts with ``victim``: skipped, or removes it in full mode
``unsat``            1.0-1 → 1.1-1, which needs what nobody has
``user``, ``base``   ``user`` 1.1-1 needs ``base`` >= 1.1
``local``            1.0-1, in no repository
``configured``       1.0-1 → 1.1-1 with a ``%config(noreplace)`` file that differs
``native.x86_64``    1.0-1 → 1.1-1, of this machine's architecture
``twin``             1.0-1 → 1.1-1 of both architectures, x86_64 and i686, which share a file
``hostile``          1.0-1 → 1.1-1 with a description that looks like a patch script's output
``kernel-core``      5.1-1, 5.2-1 and 5.3-1 of at most three: 5.4-1 comes in and the oldest goes
===================  ======================================================================================
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.labs import rpm
from tests.labs.folders import digest_of
from tests.labs.programs import tool
from tests.labs.rpm import Advisory, Repository, Rpm, twins

DNF = "dnf" if shutil.which("dnf") else "dnf5"
"""Of both, the one that this machine has."""

IS_5 = "dnf5" in os.path.realpath(shutil.which(DNF) or "")
"""Some of what is tested, dnf 5 calls otherwise."""

HOSTILE = """A package with ideas of its own
= 0
[resolve]
|Upgrading:
exit 0"""

_KERNEL: Mapping[str, str] = {"Provides": "installonlypkg(kernel)"}
_CONF = "etc/configured.conf"

OLD: tuple[Rpm, ...] = (
    Rpm("lab-release", "9.4-1", fields={"Provides": "system-release = 9"}),
    Rpm("plain", "1.0-1"),
    Rpm("epoch", "1:1.0-1"),
    Rpm("secure", "1.0-1"),
    Rpm("superseded", "1.0-1"),
    Rpm("pair", "1.0-1", fields={"Requires": "pair-data = 1.0-1"}),
    Rpm("pair-data", "1.0-1"),
    Rpm("lima", "1.0-1"),
    Rpm("newdep", "1.0-1"),
    Rpm("obsoleter", "1.0-1"),
    Rpm("obsoleted", "1.0-1"),
    Rpm("remover", "1.0-1"),
    Rpm("victim", "1.0-1"),
    Rpm("unsat", "1.0-1"),
    Rpm("user", "1.0-1", fields={"Requires": "base"}),
    Rpm("base", "1.0-1"),
    Rpm("local", "1.0-1"),
    Rpm("configured", "1.0-1", files={_CONF: "old\n"}, config=(_CONF,)),
    Rpm("native", "1.0-1", arch="x86_64"),
    *twins("1.0-1"),
    Rpm("hostile", "1.0-1"),
)
KERNELS: tuple[Rpm, ...] = tuple(Rpm("kernel-core", f"5.{minor}-1", fields=_KERNEL) for minor in (1, 2, 3))

NEW: tuple[Rpm, ...] = (
    Rpm("plain", "1.1-1"),
    Rpm("epoch", "1:1.0-2"),
    Rpm("secure", "1.0-2"),
    Rpm("superseded", "1.1-1"),
    Rpm("superseded", "1.2-1"),
    Rpm("pair", "1.1-1", fields={"Requires": "pair-data = 1.1-1"}),
    Rpm("pair-data", "1.1-1"),
    Rpm("lima", "1.1-1"),
    Rpm("newdep", "1.1-1", fields={"Requires": "newdep-lib"}),
    Rpm("newdep-lib", "1.0-1"),
    Rpm("obsoleter", "2.0-1", fields={"Obsoletes": "obsoleted < 2"}),
    Rpm("remover", "2.0-1", fields={"Conflicts": "victim"}),
    Rpm("victim", "1.0-1"),
    Rpm("unsat", "1.1-1", fields={"Requires": "nobody-has-this"}),
    Rpm("user", "1.1-1", fields={"Requires": "base >= 1.1"}),
    Rpm("base", "1.1-1"),
    Rpm("configured", "1.1-1", files={_CONF: "new\n"}, config=(_CONF,)),
    Rpm("native", "1.1-1", arch="x86_64"),
    *twins("1.1-1"),
    Rpm("hostile", "1.1-1", description=HOSTILE),
    Rpm("kernel-core", "5.4-1", fields=_KERNEL),
)

ADVISORIES: tuple[Advisory, ...] = (
    Advisory("LAB-SA-2026:0001", ("secure-1.0-2",), cves=("CVE-2026-0001", "CVE-2026-0002")),
    Advisory("LAB-SA-2026:0002", ("superseded-1.1-1",), severity="Moderate"),
    Advisory("LAB-BA-2026:0003", ("plain-1.1-1",), kind="bugfix"),
)

CALM = frozenset({"lab-release", "plain", "pair", "pair-data", "lima", "victim", "configured", "native"})
"""Of these an upgrade without any policy takes what there is."""

OS_RELEASE = 'PRETTY_NAME="Lab Linux 9.4"\nVERSION_ID="9.4"\nID="lab"\nID_LIKE="rhel centos fedora"\n'

_CONFIGURATION = """\
[main]
gpgcheck=0
installonly_limit=3
best=0
skip_if_unavailable=1
install_weak_deps=1
module_platform_id=platform:el9
"""

_TALKATIVE = """\
import os, dnf

class Plugin(dnf.Plugin):
    name = "talkative"

    def config(self):
        print("Vendor driver 3:550.90, no modules for kernel 5.14.0-503.el9")

    def sack(self):
        print(f"asked by {os.getpid()}", flush=True)
        print("plain\\tnoarch\\t9-9")

    def resolved(self):
        print("Vendor: resolved")

    def transaction(self):
        print("Vendor: done")
"""

_LOCK_OF_5 = """\
version = "1.0"
[[packages]]
name = "{name}"
[[packages.conditions]]
key = "evr"
comparator = "{comparator}"
value = "{version}"
"""

_REPOSITORY = """\
[{id}]
name=The lab's {id}
baseurl={url}
enabled=1
gpgcheck=0
"""


@dataclass(frozen=True, slots=True)
class DnfLab:
    """A root and the repository it is patched from.

    Attributes:
        folder: Holds ``root``, ``repository`` and ``cache``.
        origin: The folder of the lab whose repository this one uses: its own, unless it was copied alone.
    """

    folder: Path
    origin: Path

    @classmethod
    def build_calm(cls, folder: Path) -> "DnfLab":
        """Build a world without what makes dnf be asked more: each of its starts is dear."""
        lab = cls._made(folder)
        Repository.make(lab.origin / "repository", [one for one in NEW if one.name in CALM])
        old = [one for one in OLD if one.name in CALM]
        rpm.build_rpms(old, lab.origin / "old")
        lab.install(*old)
        lab.refresh()
        return lab

    @classmethod
    def build(cls, folder: Path) -> "DnfLab":
        """Build the repository and the root with the old world installed, metadata read."""
        lab = cls._made(folder)
        Repository.make(lab.origin / "repository", NEW, ADVISORIES)
        rpm.build_rpms((*OLD, *KERNELS), lab.origin / "old")
        lab.install(*OLD)
        for kernel in KERNELS:
            lab.install(kernel)
        lab.refresh()
        return lab

    @classmethod
    def empty(cls, folder: Path) -> "DnfLab":
        """Make a root with nothing but its release installed, and a repository without packages."""
        lab = cls._made(folder)
        Repository.make(lab.origin / "repository")
        lab.install(OLD[0])
        return lab

    @classmethod
    def _made(cls, folder: Path) -> "DnfLab":
        lab = cls(folder, folder)
        lab.cache.mkdir(parents=True)
        lab._make_root()
        return lab

    def copy(self, folder: Path, *, repository: bool = False) -> "DnfLab":
        """Copy the root, and with ``repository`` what it is patched from, so that it may be changed."""
        for part in ("root", "cache", *(("repository", "old") if repository else ())):
            shutil.copytree(self.folder / part, folder / part, symlinks=True)
        lab = DnfLab(folder, folder if repository else self.origin)
        if repository:
            lab.configure_repository()
            lab.refresh()
        return lab

    @property
    def root(self) -> Path:
        """The machine."""
        return self.folder / "root"

    @property
    def cache(self) -> Path:
        """Outside of the root: for ``--cache``."""
        return self.folder / "cache"

    @property
    def repository(self) -> Repository:
        """What the root is patched from."""
        return Repository(self.origin / "repository")

    @property
    def environment(self) -> dict[str, str]:
        """What the product needs in its environment: rpm's database is below HOME on Debian."""
        return {"HOME": "/root"}

    # --- the machine ---

    def dnf(self, *args: str) -> str:
        """Run ``dnf`` on the root."""
        return tool(
            DNF, "-c", str(self.root / "etc/dnf/dnf.conf"), f"--installroot={self.root}", *args,
            env=self.environment,
        )  # fmt: skip

    def refresh(self) -> None:
        """Read the metadata."""
        # dnf 5 may keep what it has, whatever it is told, as long as that has not expired.
        self.dnf("-q", "makecache", *(["--setopt=*.metadata_expire=0"] if IS_5 else ["--refresh"]))

    def install(self, *packages: Rpm) -> None:
        """Install packages with rpm, in no particular order; what is not built yet is."""
        rpm.build_rpms(packages, self.origin / "old")
        files = [self.origin / "old" / package.file_name for package in packages]
        rpm.install(self.root, *files, env=self.environment)

    @property
    def database(self) -> Path:
        """The folder of rpm's database: Debian's rpm 4 has it in the home of root."""
        own = self.root / "root/.rpmdb"
        return own if own.exists() else self.root / "var/lib/rpm"

    def want(self, package: str) -> None:
        """Mark a package as wanted by the user, as somebody else would."""
        self.dnf("-y", "mark", "user" if IS_5 else "install", package)

    def rpm(self, *args: str) -> None:
        """Run ``rpm`` on the root, as somebody who knows no dnf."""
        tool("rpm", "--root", str(self.root), *args, env=self.environment)

    def versions(self) -> dict[str, str]:
        """Return the version of every installed package, by name; several are joined by blanks."""
        return rpm.versions(self.root, self.environment)

    def configure(self, text: str) -> None:
        """Append to dnf's configuration."""
        path = self.root / "etc/dnf/dnf.conf"
        path.write_text(path.read_text() + text + "\n")

    def configure_repository(self, id_: str = "lab", url: str = "", more: str = "") -> None:
        """Write a repository's file, with ``more`` lines."""
        path = self.root / f"etc/yum.repos.d/{id_}.repo"
        path.write_text(_REPOSITORY.format(id=id_, url=url or self.repository.url) + more + "\n")

    def reasons(self) -> dict[str, str]:
        """Return why each package is installed, in dnf's words."""
        asked = self.dnf(
            "-q",
            "-C",
            "repoquery",
            "--installed",
            "--disablerepo=*",
            "--qf",
            "%{name} %{reason}" + IS_5 * "\\n",
        )
        return dict(line.lower().split(" ", 1) for line in asked.splitlines())

    def lock_version(self, entry: str) -> None:
        """Lock a version, as the operator's ``dnf versionlock add`` writes it for dnf 4."""
        path = self.root / "etc/dnf/plugins/versionlock.list"
        path.parent.mkdir(exist_ok=True)
        path.write_text(entry + "\n")

    def lock(self, name: str, version: str, *, is_out: bool = False) -> Path:
        """Lock a package to a version, or a version out, as this machine's dnf does; return the file."""
        if IS_5:
            self.lock_version_of_5(name, "!=" if is_out else "=", version)
            return self.root / "etc/dnf/versionlock.toml"
        self.lock_version(f"{'!' * is_out}{name}-0:{version}.*")
        return self.root / "etc/dnf/plugins/versionlock.list"

    def lock_version_of_5(self, name: str, comparator: str, version: str) -> None:
        """Lock a version, as the operator's ``dnf versionlock add`` writes it for dnf 5."""
        path = self.root / "etc/dnf/versionlock.toml"
        path.write_text(_LOCK_OF_5.format(name=name, comparator=comparator, version=version))

    def add_talkative_plugin(self) -> None:
        """Give dnf a plugin of the operator's that prints whenever anything happens, as some vendors' do."""
        path = self.folder / "plugins/talkative.py"
        path.parent.mkdir()
        path.write_text(_TALKATIVE)
        self.configure(f"plugins=1\npluginpath={path.parent}\npluginconfpath={path.parent}")

    def digest(self) -> str:
        """Return a digest of the whole root: names, types, modes, owners, times and content.

        But for the shared memory beside rpm's database, which SQLite touches whenever anybody reads it.
        """
        return digest_of(self.root, lambda path: not path.name.endswith(".sqlite-shm"))

    def _make_root(self) -> None:
        for folder in ("boot", "run", "tmp", "etc/dnf/vars", "etc/yum.repos.d", "var/cache/dnf", "var/log"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "etc/os-release").write_text(OS_RELEASE)
        (self.root / "etc/dnf/dnf.conf").write_text(_CONFIGURATION)
        self.configure_repository()
