"""A small relative of SLES to patch for real: a repository of rpms and patches, and a root of its own.

    lab = ZypperLab.build(folder)           # once for a test session: about two seconds
    mine = lab.copy(tmp_path / "lab")       # per test: some hundredths of a second
    ScriptedManager(ZYPPER, LocalTarget(mine.environment), script, mine.cache, root=mine.root)

The world, and what an update without any policy does with it:

===================  ======================================================================================
``plain``            1.0-1 → 1.1-1; a recommended patch
``epoch``            1:1.0-1 → 1:1.0-2
``secure``           1.0-1 → 1.0-2, a security patch with two CVEs
``superseded``       1.0-1 → 1.2-1; the security patch names 1.1-1
``rebooting``        1.0-1 → 1.1-1, a security patch that wants a reboot
``pair, pair-data``  1.0-1 → 1.1-1 together (``=``)
``lima``             1.0-1 → 1.1-1; `lock` makes it the operator's
``newdep``           1.0-1 → 1.1-1, which needs ``newdep-lib`` that is not installed; a security patch
``obsoleter``        1.0-1 → 2.0-1, which obsoletes ``obsoleted``
``remover``          1.0-1 → 2.0-1, which conflicts with ``victim``: stays as it is
``unsat``            1.0-1 → 1.1-1, which needs what nobody has
``user``, ``base``   ``user`` 1.1-1 needs ``base`` >= 1.1
``local``            1.0-1, in no repository
``configured``       1.0-1 → 1.1-1 with a ``%config(noreplace)`` file that differs
``native.x86_64``    1.0-1 → 1.1-1, of this machine's architecture
``twin``             1.0-1 in both architectures, x86_64 and i686: an update leaves both as they are, since
                     zypper has one package of a name and would replace one of them by the other
``hostile``          1.0-1 → 1.1-1 with a description that looks like a patch script's output
``kernel-default``   5.14.21-1.1; 5.14.21-2.1 comes in beside it
===================  ======================================================================================
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.labs import rpm
from tests.labs.folders import digest_of
from tests.labs.programs import tool
from tests.labs.rpm import Advisory, Repository, Rpm, twins

HOSTILE = """A package with ideas of its own
= 0
[resolve]
|<install-summary><to-remove><solvable type="package" name="victim"/></to-remove></install-summary>
exit 0"""

_KERNEL: Mapping[str, str] = {"Provides": "multiversion(kernel)"}
_CONF = "etc/configured.conf"

OLD: tuple[Rpm, ...] = (
    Rpm("plain", "1.0-1"),
    Rpm("epoch", "1:1.0-1"),
    Rpm("secure", "1.0-1"),
    Rpm("superseded", "1.0-1"),
    Rpm("rebooting", "1.0-1"),
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
    Rpm("kernel-default", "5.14.21-1.1", fields=_KERNEL),
)

NEW: tuple[Rpm, ...] = (
    Rpm("plain", "1.0-1"),
    Rpm("plain", "1.1-1"),
    Rpm("epoch", "1:1.0-2"),
    Rpm("secure", "1.0-2"),
    Rpm("superseded", "1.1-1"),
    Rpm("superseded", "1.2-1"),
    Rpm("rebooting", "1.1-1"),
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
    Rpm("kernel-default", "5.14.21-2.1", fields=_KERNEL),
)

ADVISORIES: tuple[Advisory, ...] = (
    Advisory("LAB-SA-2026:0001", ("secure-1.0-2",), cves=("CVE-2026-0001", "CVE-2026-0002")),
    Advisory("LAB-SA-2026:0002", ("superseded-1.1-1",), severity="Moderate"),
    Advisory("LAB-BA-2026:0003", ("plain-1.1-1",), kind="bugfix"),
    Advisory("LAB-SA-2026:0004", ("rebooting-1.1-1",), severity="Critical", reboot=True),
    Advisory("LAB-SA-2026:0005", ("newdep-1.1-1",), severity="Low"),
)

OS_RELEASE = (
    'PRETTY_NAME="Lab Linux Enterprise 15"\nVERSION_ID="15.6"\nID="sled-lab"\nID_LIKE="suse opensuse"\n'
)

_PRODUCT = """<?xml version="1.0" encoding="UTF-8"?>
<product schemeversion="0"><vendor>Lab</vendor><name>Lab</name><version>15</version><release>1</release>
<arch>x86_64</arch><summary>Lab</summary><productline>lab</productline></product>
"""

_REPOSITORY = """\
[{alias}]
name=The lab's {alias}
baseurl={url}
type=rpm-md
enabled=1
autorefresh=1
gpgcheck={gpgcheck}
repo_gpgcheck={gpgcheck}
"""

# Which any reader of an SQLite database maps into memory and so marks as changed.
_TOUCHED_BY_READING = ".sqlite-shm"


@dataclass(frozen=True, slots=True)
class ZypperLab:
    """A root and the repository it is patched from.

    Attributes:
        folder: Holds ``root``, ``repository`` and ``cache``.
        origin: The folder of the lab whose repository this one uses: its own, unless it was copied alone.
    """

    folder: Path
    origin: Path

    @classmethod
    def build(cls, folder: Path) -> "ZypperLab":
        """Build the repository and the root with the old world installed, metadata read."""
        lab = cls._made(folder)
        Repository.make(lab.origin / "repository", NEW, ADVISORIES)
        rpm.build_rpms(OLD, lab.origin / "old")
        lab.install(*OLD)
        lab.refresh()
        # zypper has parsed all that is there, as on a machine where it has been used before.
        lab.zypper("--no-refresh", "list-updates")
        return lab

    @classmethod
    def empty(cls, folder: Path) -> "ZypperLab":
        """Make a root without packages, and a repository of none."""
        lab = cls._made(folder)
        Repository.make(lab.origin / "repository")
        return lab

    @classmethod
    def _made(cls, folder: Path) -> "ZypperLab":
        lab = cls(folder, folder)
        lab.cache.mkdir(parents=True)
        lab._make_root()
        return lab

    def copy(self, folder: Path, *, repository: bool = False) -> "ZypperLab":
        """Copy the root, and with ``repository`` what it is patched from, so that it may be changed."""
        for part in ("root", "cache", *(("repository", "old") if repository else ())):
            shutil.copytree(self.folder / part, folder / part, symlinks=True)
        lab = ZypperLab(folder, folder if repository else self.origin)
        if repository:
            lab.configure_repository()
            lab.refresh()
            lab.zypper("--no-refresh", "list-updates")
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
        """What the product needs in its environment: rpm's database is below HOME on Debian 12."""
        return {"HOME": "/root"}

    @property
    def own_environment(self) -> dict[str, str]:
        """What zypper itself needs, used by hand."""
        return {
            **self.environment,
            "ZYPP_CONF": str(self.root / "etc/zypp/zypp.conf"),
            "ZYPP_LOCKFILE_ROOT": str(self.root),
            "ZYPP_LOGFILE": os.devnull,
        }

    # --- the machine ---

    def zypper(self, *args: str) -> str:
        """Run ``zypper`` on the root."""
        return tool("zypper", "--root", str(self.root), "--non-interactive", *args, env=self.own_environment)

    def zypper_dry(self, *args: str) -> str:
        """Run ``zypper --dry-run`` on the root, and return its XML whatever its exit code is."""
        done = subprocess.run(
            [
                "zypper", "--root", str(self.root), "--xmlout", "--non-interactive", "--no-refresh",
                *args, "--dry-run",
            ],
            env={**os.environ, "LC_ALL": "C", **self.own_environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout

    def refresh(self) -> None:
        """Read the metadata."""
        self.zypper("refresh", "--force")

    def install(self, *packages: Rpm) -> None:
        """Install packages with rpm, in no particular order; what is not built yet is."""
        rpm.build_rpms(packages, self.origin / "old")
        files = [self.origin / "old" / package.file_name for package in packages]
        rpm.install(self.root, *files, env=self.environment)

    def rpm(self, *args: str) -> None:
        """Run ``rpm`` on the root, as somebody who knows no zypper."""
        tool("rpm", "--root", str(self.root), *args, env=self.environment)

    def versions(self) -> dict[str, str]:
        """Return the version of every installed package, by name; several are joined by blanks."""
        return rpm.versions(self.root, self.environment)

    def configure_repository(self, alias: str = "lab", url: str = "", *, gpgcheck: bool = False) -> None:
        """Write a repository's file; with ``gpgcheck`` its metadata and packages must be signed."""
        path = self.root / f"etc/zypp/repos.d/{alias.replace('/', '_')}.repo"
        text = _REPOSITORY.format(alias=alias, url=url or self.repository.url, gpgcheck=int(gpgcheck))
        path.write_text(text)

    def lock(self, *names: str) -> None:
        """Lock packages, as the operator would."""
        self.zypper("--no-refresh", "addlock", *names)

    def give_shell(self) -> None:
        """Give the root a shell, with a package that says so, for scriptlets that need one."""
        needed = [Path("/bin/dash").resolve()]
        for line in tool("ldd", "/bin/dash").splitlines():
            needed += [Path(word) for word in line.split() if word.startswith("/")]
        for path in needed:
            target = self.root / path.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        (self.root / "bin").mkdir(exist_ok=True)
        shutil.copy2("/bin/dash", self.root / "bin/sh")
        self.install(Rpm("mini-sh", "1.0-1", fields={"Provides": "/bin/sh"}))

    @property
    def database(self) -> Path:
        """The folder of rpm's database."""
        return rpm.database(self.root, self.environment)

    @property
    def locks(self) -> Path:
        """The operator's locks."""
        return self.root / "etc/zypp/locks"

    @property
    def automatic(self) -> frozenset[str]:
        """Names that zypper lists as installed only for others."""
        lines = (self.root / "var/lib/zypp/AutoInstalled").read_text().splitlines()
        return frozenset(line for line in lines if line and not line.startswith("#"))

    def mark_automatic(self, *names: str) -> None:
        """Mark packages as installed only for others."""
        path = self.root / "var/lib/zypp/AutoInstalled"
        path.write_text(path.read_text() + "".join(f"{name}\n" for name in names))

    def digest(self) -> str:
        """Return a digest of the whole root: names, types, modes, owners, times and content."""
        return digest_of(self.root, lambda path: not path.name.endswith(_TOUCHED_BY_READING))

    def _make_root(self) -> None:
        for folder in (
            "boot", "run", "tmp", "var/tmp", "var/log", "var/cache/zypp", "var/lib/zypp",
            "etc/products.d", "etc/zypp/repos.d", "etc/zypp/multiversion.d",
        ):  # fmt: skip
            (self.root / folder).mkdir(parents=True)
        contents = {
            "etc/os-release": OS_RELEASE,
            "etc/products.d/Lab.prod": _PRODUCT,
            "etc/zypp/zypp.conf": "[main]\n",
            "etc/zypp/multiversion.d/kernel": "provides:multiversion(kernel)\n",
            # Without it, zypper takes for automatic all that its own history does not know.
            "var/lib/zypp/AutoInstalled": "# nothing yet\n",
        }
        for path, text in contents.items():
            (self.root / path).write_text(text)
        (self.root / "etc/products.d/baseproduct").symlink_to("Lab.prod")
        self.configure_repository()
