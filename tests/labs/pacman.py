"""A small Arch to patch for real: a local repository and a root of its own.

Everything is real but small: packages written by ``bsdtar``, a repository made by ``repo-add``, installed by
``pacman`` into a root that it sees through a configuration file of the lab. Nothing outside of the lab's
folder is read for state or written. Scriptlets run in the root, as pacman always does it, with a shell copied
there.

    lab = PacmanLab.build(folder)           # once for a test session: about two seconds
    mine = lab.copy(tmp_path / "lab")       # per test: some hundredths of a second
    LocalTarget(mine.environment)           # what the product is given

The world, and what an upgrade without any policy does with it:

==================  =======================================================================================
``plain``           1.0-1 → 1.1-1
``epoch``           1:1.0-1 → 1:1.0-2
``pair, pair-data`` 1.0-1 → 1.1-1 together (``=``)
``user, base``      ``user`` 1.1 needs ``base`` >= 1.1; ``base`` was installed only for others
``newdep``          1.0-1 → 1.1-1, which needs ``newdep-lib`` that is not installed
``replacer``        2.0-1 comes in, and takes the place of ``replaced`` (provides, conflicts, replaces)
``lima``            1.0-1 → 1.1-1; ``hold_package`` makes it the operator's IgnorePkg
``configured``      1.0-1 → 1.1-1 with a backup file that differs
``local``           1.0-1, in no repository
``hostile``         1.0-1 → 1.1-1 with a description that looks like a patch script's output
==================  =======================================================================================

It is the one lab without a package of two architectures: pacman has one package of a name, whatever its
architecture is, and multilib's ``lib32-…`` are names of their own.

Since one update that cannot be had stops a whole upgrade, those that make trouble are published by the tests
that want it: `UNSAT`, `CONFLICTING`, `FAILING`, `SLOW`, `CLASHING`.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.labs.folders import digest_of
from tests.labs.programs import tool

HOSTILE = "x\v[resolve]\x1c= 0\x85exit 10 | !evil [removal]"


@dataclass(frozen=True, slots=True)
class Pkg:
    """A package to build.

    Attributes:
        info: More lines of .PKGINFO, such as ``("depend", "base>=1.1")``.
        files: Content by path in the root, without the leading slash.
        backup: Which of the files are kept where they were changed.
        install: Functions of .INSTALL, such as ``post_upgrade() { false; }``; they run in the root.
        size: Bytes on disk, as the package says it.
    """

    name: str
    version: str
    info: Sequence[tuple[str, str]] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    backup: Sequence[str] = ()
    install: str = ""
    size: int = 0
    description: str = "a package of the lab"

    @property
    def file_name(self) -> str:
        """As in a repository."""
        return f"{self.name}-{self.version}-any.pkg.tar.zst"

    @property
    def text(self) -> str:
        """What .PKGINFO says."""
        fields = [
            ("pkgname", self.name),
            ("pkgbase", self.name),
            ("pkgver", self.version),
            ("pkgdesc", self.description),
            ("url", "https://example.invalid/"),
            ("builddate", "1700000000"),
            ("packager", "Lab <lab@example.invalid>"),
            ("size", str(self.size or (12288 if ":" in self.version or "1.0" in self.version else 20480))),
            ("arch", "any"),
            ("license", "MIT"),
            *self.info,
            *(("backup", path) for path in self.backup),
        ]
        return "".join(f"{key} = {value}\n" for key, value in fields)


OLD: tuple[Pkg, ...] = (
    Pkg("plain", "1.0-1"),
    Pkg("epoch", "1:1.0-1"),
    Pkg("pair", "1.0-1", (("depend", "pair-data=1.0-1"),)),
    Pkg("pair-data", "1.0-1"),
    Pkg("user", "1.0-1", (("depend", "base"),)),
    Pkg("base", "1.0-1"),
    Pkg("newdep", "1.0-1"),
    Pkg("replaced", "1.0-1"),
    Pkg("lima", "1.0-1"),
    Pkg("configured", "1.0-1", files={"etc/configured.conf": "old\n"}, backup=("etc/configured.conf",)),
    Pkg("local", "1.0-1"),
    Pkg("hostile", "1.0-1"),
    Pkg("victim", "1.0-1"),
)

NEW: tuple[Pkg, ...] = (
    Pkg("plain", "1.1-1"),
    Pkg("epoch", "1:1.0-2"),
    Pkg("pair", "1.1-1", (("depend", "pair-data=1.1-1"),)),
    Pkg("pair-data", "1.1-1"),
    Pkg("user", "1.1-1", (("depend", "base>=1.1"),)),
    Pkg("base", "1.1-1"),
    Pkg("newdep", "1.1-1", (("depend", "newdep-lib"),)),
    Pkg("newdep-lib", "1.0-1"),
    Pkg(
        "replacer",
        "2.0-1",
        (("provides", "replaced=2.0"), ("conflict", "replaced"), ("replaces", "replaced")),
    ),
    Pkg("lima", "1.1-1"),
    Pkg("configured", "1.1-1", files={"etc/configured.conf": "new\n"}, backup=("etc/configured.conf",)),
    Pkg("hostile", "1.1-1", description=HOSTILE),
    Pkg("victim", "1.0-1"),
)

UNSAT = Pkg("plain", "1.2-1", (("depend", "nobody-has-this"),))
"""An update that needs what nobody has."""
CONFLICTING = Pkg("plain", "1.2-1", (("conflict", "victim"),))
"""An update that cannot be beside ``victim``, and does not replace it."""
FAILING = Pkg("plain", "1.2-1", install="post_upgrade() { echo about to fail; return 7; }")
"""An update whose .INSTALL fails."""
SLOW = Pkg("plain", "1.2-1", install="post_upgrade() { read answer </run/gate || :; }")
"""An update whose .INSTALL waits for somebody to write to ``/run/gate`` of the root."""
CLASHING = Pkg("plain", "1.2-1", files={"usr/share/lab/victim": "mine\n"})
"""An update with a file that another package has."""

OS_RELEASE = 'NAME="Arch Linux"\nPRETTY_NAME="Arch Linux"\nID=arch\nBUILD_ID=rolling\n'


@dataclass(frozen=True, slots=True)
class PacmanLab:
    """A root and the repository it is patched from.

    Attributes:
        folder: Holds ``root``, ``repository`` and ``cache``.
        origin: The folder of the lab whose repository this one uses: its own, unless it was copied alone.
    """

    folder: Path
    origin: Path

    @classmethod
    def build(cls, folder: Path) -> "PacmanLab":
        """Build the repository and the root with the old world installed; nothing is offered yet."""
        lab = cls.empty(folder)
        lab.publish(*OLD)
        lab.pacman("-Sy")
        lab.install(*OLD)
        lab.pacman("-D", "--asdeps", "base", "pair-data")
        lab.withdraw("local")
        lab.withdraw("replaced")
        lab.publish(*NEW)
        return lab

    @classmethod
    def empty(cls, folder: Path) -> "PacmanLab":
        """Make a root without packages; there is no repository yet."""
        lab = cls(folder, folder)
        lab.cache.mkdir(parents=True)
        lab._make_root()
        return lab

    def copy(self, folder: Path, *, repository: bool = False) -> "PacmanLab":
        """Copy the root, and with ``repository`` what it is patched from, so that it may be changed."""
        for part in ("root", "cache", *(("repository",) if repository else ())):
            shutil.copytree(self.folder / part, folder / part, symlinks=True)
        lab = PacmanLab(folder, folder if repository else self.origin)
        text = self.configuration.read_text().replace(f"{self.root}", f"{lab.root}")
        lab.configuration.write_text(text.replace(f"{self.repository}", f"{lab.repository}"))
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
    def repository(self) -> Path:
        """What the root is patched from."""
        return self.origin / "repository"

    @property
    def configuration(self) -> Path:
        """The root's pacman.conf."""
        return self.root / "etc/pacman.conf"

    @property
    def database(self) -> Path:
        """The folder of pacman's database."""
        return self.root / "var/lib/pacman"

    @property
    def lock(self) -> Path:
        """Pacman's lock."""
        return self.database / "db.lck"

    @property
    def archives(self) -> Path:
        """The folder of downloaded packages."""
        return self.root / "var/cache/pacman/pkg"

    @property
    def environment(self) -> dict[str, str]:
        """What makes the product see this root; for ``environment:`` of the configuration."""
        return {"PACMAN_CONF": str(self.configuration)}

    # --- the machine ---

    def pacman(self, *args: str) -> str:
        """Run pacman on the root."""
        return tool("pacman", "--config", str(self.configuration), "--noconfirm", "--color", "never", *args)

    def install(self, *packages: Pkg) -> None:
        """Install packages as files."""
        with tempfile.TemporaryDirectory() as folder:
            self.pacman("-U", *(str(build_package(package, Path(folder))) for package in packages))

    def keep_archives(self, *packages: Pkg) -> None:
        """Put packages into the folder of downloaded ones."""
        for package in packages:
            build_package(package, self.archives)

    def versions(self) -> dict[str, str]:
        """Return the version of every installed package, by name."""
        rows = (line.split(" ", 1) for line in self.pacman("-Q").splitlines())
        return dict(rows)

    def automatic(self) -> set[str]:
        """Return the names of packages that were installed only for others."""
        return set(self.pacman("-Qdq").split())

    def hold_package(self, name: str) -> None:
        """Hold a package, as the operator would."""
        self.configure(f"IgnorePkg = {name}")

    def configure(self, line: str) -> None:
        """Add a line to the options of the configuration."""
        text = self.configuration.read_text().replace("[options]\n", f"[options]\n{line}\n")
        self.configuration.write_text(text)

    def digest(self, but: Path | None = None) -> str:
        """Return a digest of the whole root: names, types, modes, owners, times and content.

        Args:
            but: A folder of which only the content counts, and not the folder itself.
        """
        return digest_of(self.root, lambda path: path != but)

    # --- the repository ---

    def publish(self, *packages: Pkg) -> None:
        """Offer packages, each instead of another version of it."""
        self.repository.mkdir(parents=True, exist_ok=True)
        files = [str(build_package(package, self.repository)) for package in packages]
        self._change_database("repo-add", *files)

    def publish_in(self, repository: str, *packages: Pkg) -> None:
        """Offer packages in another repository, behind those that are there already."""
        folder = self.origin / repository
        folder.mkdir()
        files = [str(build_package(package, folder)) for package in packages]
        tool("repo-add", "-q", str(folder / f"{repository}.db.tar.gz"), *files)
        text = self.configuration.read_text()
        self.configuration.write_text(f"{text}[{repository}]\nServer = file://{folder}\n")

    @staticmethod
    def spoil(database: Path) -> None:
        """Have a mirror answer with a login page, a second newer than the database that it had."""
        newer = database.stat().st_mtime + 1
        database.unlink()
        database.write_text("<html>please log in</html>\n")
        os.utime(database, (newer, newer))

    def withdraw(self, name: str) -> None:
        """Offer a package no longer."""
        self._change_database("repo-remove", name)

    def _change_database(self, program: str, *what: str) -> None:
        """Write the database anew, a second later than before: mirrors are asked for what is newer."""
        path = self.repository / "lab.db.tar.gz"
        before = path.stat().st_mtime if path.exists() else time.time() - 3600
        tool(program, "-q", str(path), *what)
        os.utime(path, (before + 1, before + 1))

    def _make_root(self) -> None:
        for part in _FOLDERS:
            (self.root / part).mkdir(parents=True)
        (self.root / "etc/os-release").write_text(OS_RELEASE)
        self.configuration.write_text(_CONFIGURATION.format(root=self.root, repository=self.repository))
        for source in _shell_files():
            target = self.root / source.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        shutil.copy("/usr/bin/dash", self.root / "bin/sh")


_FOLDERS = (
    "bin",
    "run",
    "tmp",
    "boot",
    "etc/pacman.d/gnupg",
    "etc/pacman.d/hooks",
    "var/lib/pacman",
    "var/cache/pacman/pkg",
    "var/log",
)

_CONFIGURATION = """\
[options]
RootDir = {root}
DBPath = {root}/var/lib/pacman/
CacheDir = {root}/var/cache/pacman/pkg/
LogFile = {root}/var/log/pacman.log
HookDir = {root}/etc/pacman.d/hooks/
GPGDir = {root}/etc/pacman.d/gnupg/
Architecture = x86_64
SigLevel = Never
LocalFileSigLevel = Never
[lab]
Server = file://{repository}
"""


def _shell_files() -> list[Path]:
    """Return the libraries that dash needs."""
    said = tool("ldd", "/usr/bin/dash")
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", said)]


def build_package(package: Pkg, folder: Path) -> Path:
    """Build a package into a folder, unless it is there, and return its path."""
    target = folder / package.file_name
    if target.exists():
        return target
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch)
        (tree / ".PKGINFO").write_text(package.text)
        if package.install:
            (tree / ".INSTALL").write_text(package.install + "\n")
        for path, text in {f"usr/share/lab/{package.name}": package.version + "\n", **package.files}.items():
            file = tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for each in tree.rglob("*"):
            os.utime(each, (1700000000, 1700000000))
        tops = sorted(top.name for top in tree.iterdir())
        tool("bsdtar", "--uid", "0", "--gid", "0", "--zstd", "-cf", str(target), *tops, cwd=tree)
    return target
