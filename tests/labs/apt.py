"""A small Debian to patch for real: a signed local repository and a root of its own.

Everything is real but small: packages built by ``dpkg-deb``, two suites (Main, Security) signed by ``gpg``,
installed by ``dpkg`` into a root that apt sees through ``APT_CONFIG``. Nothing outside of the lab's folder is
read for state or written.

    lab = AptLab.build(folder)              # once for a test session: about a second
    mine = lab.copy(tmp_path / "lab")       # per test: some hundredths of a second
    LocalTarget(mine.environment)           # what the product is given

The world, and what an upgrade without any policy does with it:

==================  =======================================================================================
``plain``           1.0 → 1.1 from Main
``epoch``           1:1.0-1 → 1:1.0-2
``secure``          1.0 → 1.0+deb12u1 from Security only
``superseded``      1.0; Security has 1.1, Main has 1.2
``both``            1.0 → 1.1, the same file in both suites
``pair, pair-data`` 1.0 → 1.1 together (``=``); Security has ``pair-data`` 1.0+sec that fits no ``pair``
``lima``            1.0 → 1.1; ``hold_package`` makes it the operator's hold
``phased``          1.0 → 1.1 for 10 % of machines; this lab's machine id is not among them
``newdep``          1.0 → 1.1, which needs ``newdep-lib`` (Security) that is not installed
``remover``         1.0 → 2.0, which conflicts with ``victim``: kept back, or removes it in full mode
``replacer``        1.0 → 2.0, which takes the place of ``replaced`` (Provides, Conflicts, Replaces)
``unsat``           1.0 → 1.1, which needs what nobody has
``user``, ``base``  ``user`` 1.1 needs ``base`` >= 1.1
``local``           1.0, in no repository
``configured``      1.0 → 1.1 with a conffile that differs
``foreign:i386``    1.0 → 1.1, of another architecture
``twin``            1.0 → 1.1 of both architectures (``Multi-Arch: same``): dpkg wants them in one version
``hostile``         1.0 → 1.1 with a description that looks like a patch script's output
==================  =======================================================================================
"""

import hashlib
import os
import select
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Literal

from tests.labs.folders import digest_of
from tests.labs.programs import tool

Suite = Literal["stable", "stable-security"]
MAIN: Suite = "stable"
SECURITY: Suite = "stable-security"
LABELS: Mapping[Suite, str] = {MAIN: "Debian", SECURITY: "Debian-Security"}

# A machine id for which apt leaves out an update phased at 10 %.
MACHINE_ID = "0123456789abcdef0123456789abcdef"

HOSTILE = """A package with ideas of its own
 = 0
 [resolve]
 |'http://example.invalid/evil_9_all.deb' evil_9_all.deb 1 SHA256:00
 exit 0
 .
 Version: 666
 = 0
	exit 0"""

# For a maintainer script: it stands still here where a test has called AptLab.arrange_pause.
PAUSE = """\
if [ -p "$DPKG_ROOT/run/reached" ]; then
    : >"$DPKG_ROOT/run/reached"
    read -r word <"$DPKG_ROOT/run/go"
fi"""

# For equal bytes whenever they are built. Of building alone: apt leaves out no phased update where it is set.
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


@dataclass(frozen=True, slots=True)
class Deb:
    """A package to build.

    Attributes:
        fields: More control fields, such as ``{"Depends": "x"}``.
        files: Content by path in the root, without the leading slash.
        conffiles: Which of the files are conffiles.
        scripts: Maintainer scripts by name, such as ``{"postinst": "exit 1"}``; ``#!/bin/sh`` is added.
            They run on this machine with ``DPKG_ROOT`` set, so they must write below it.
        stanza: Fields of the repository's index alone, such as ``Phased-Update-Percentage``.
    """

    name: str
    version: str
    arch: str = "all"
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    conffiles: Sequence[str] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)
    stanza: Mapping[str, str] = field(default_factory=dict)

    @property
    def control(self) -> dict[str, str]:
        """The control fields, in order."""
        return {
            "Package": self.name,
            "Version": self.version,
            "Architecture": self.arch,
            "Maintainer": "Lab <lab@example.invalid>",
            "Installed-Size": "12" if self.version.endswith("1.0") else "20",
            "Description": "a package of the lab",
            **self.fields,
        }

    @property
    def file_name(self) -> str:
        """As in a pool: without the epoch."""
        return f"{self.name}_{self.version.partition(':')[2] or self.version}_{self.arch}.deb"


def twins(version: str) -> tuple[Deb, Deb]:
    """Return a package of two architectures, one beside the other."""
    amd64, i386 = (Deb("twin", version, arch, fields={"Multi-Arch": "same"}) for arch in ("amd64", "i386"))
    return amd64, i386


OLD: tuple[Deb, ...] = (
    Deb("plain", "1.0"),
    Deb("epoch", "1:1.0-1"),
    Deb("secure", "1.0"),
    Deb("superseded", "1.0"),
    Deb("both", "1.0"),
    Deb("pair", "1.0", fields={"Depends": "pair-data (= 1.0)"}),
    Deb("pair-data", "1.0"),
    Deb("lima", "1.0"),
    Deb("phased", "1.0"),
    Deb("newdep", "1.0"),
    Deb("remover", "1.0"),
    Deb("victim", "1.0"),
    Deb("replacer", "1.0"),
    Deb("replaced", "1.0"),
    Deb("unsat", "1.0"),
    Deb("user", "1.0", fields={"Depends": "base"}),
    Deb("base", "1.0"),
    Deb("local", "1.0"),
    Deb("configured", "1.0", files={"etc/configured.conf": "old\n"}, conffiles=("/etc/configured.conf",)),
    Deb("foreign", "1.0", arch="i386"),
    *twins("1.0"),
    Deb("hostile", "1.0"),
)

NEW: Mapping[Suite, tuple[Deb, ...]] = {
    MAIN: (
        Deb("plain", "1.1"),
        Deb("epoch", "1:1.0-2"),
        Deb("superseded", "1.2"),
        Deb("both", "1.1"),
        Deb("pair", "1.1", fields={"Depends": "pair-data (= 1.1)"}),
        Deb("pair-data", "1.1"),
        Deb("lima", "1.1"),
        Deb("phased", "1.1", stanza={"Phased-Update-Percentage": "10"}),
        Deb("newdep", "1.1", fields={"Depends": "newdep-lib"}),
        Deb("remover", "2.0", fields={"Conflicts": "victim"}),
        Deb("victim", "1.0"),
        Deb(
            "replacer",
            "2.0",
            fields={"Provides": "replaced", "Conflicts": "replaced", "Replaces": "replaced"},
        ),
        Deb("unsat", "1.1", fields={"Depends": "nobody-has-this"}),
        Deb("user", "1.1", fields={"Depends": "base (>= 1.1)"}),
        Deb("base", "1.1"),
        Deb("configured", "1.1", files={"etc/configured.conf": "new\n"}, conffiles=("/etc/configured.conf",)),
        Deb("foreign", "1.1", arch="i386"),
        *twins("1.1"),
        Deb("hostile", "1.1", fields={"Description": HOSTILE}),
    ),
    SECURITY: (
        Deb("secure", "1.0+deb12u1"),
        Deb("superseded", "1.1"),
        Deb("both", "1.1"),
        Deb("pair-data", "1.0+sec"),
        Deb("newdep-lib", "1.0"),
    ),
}

OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'


@dataclass(frozen=True, slots=True)
class AptLab:
    """A root and the repository it is patched from.

    Attributes:
        folder: Holds ``root``, ``repository``, ``keys`` and ``cache``.
        origin: The folder of the lab whose repository this one uses: its own, unless it was copied alone.
    """

    folder: Path
    origin: Path

    @classmethod
    def build(cls, folder: Path) -> "AptLab":
        """Build the repository and the root with the old world installed, lists read."""
        lab = cls.empty(folder)
        for suite, packages in NEW.items():
            lab.publish(suite, *packages)
        lab.install(*OLD)
        lab.refresh()
        return lab

    @classmethod
    def empty(cls, folder: Path) -> "AptLab":
        """Make a root without packages; nothing is published yet."""
        lab = cls(folder, folder)
        lab.cache.mkdir(parents=True)
        lab.make_key()
        lab._make_root()
        return lab

    def copy(self, folder: Path, *, repository: bool = False) -> "AptLab":
        """Copy the root, and with ``repository`` what it is patched from, so that it may be changed."""
        for part in ("root", "cache", *(("repository", "keys") if repository else ())):
            shutil.copytree(self.folder / part, folder / part, symlinks=True)
        lab = AptLab(folder, folder if repository else self.origin)
        for file in ("lab.conf", "sources.list"):
            path = lab.root / "etc/apt" / file
            text = path.read_text().replace(f"{self.root}", f"{lab.root}")
            path.write_text(text.replace(f"{self.origin}/", f"{lab.origin}/"))
        if repository:
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
    def repository(self) -> Path:
        """What the root is patched from."""
        return self.origin / "repository"

    @property
    def environment(self) -> dict[str, str]:
        """What makes apt, and the product, see this root; for ``environment:`` of the configuration."""
        return {"APT_CONFIG": str(self.root / "etc/apt/lab.conf")}

    # --- the machine ---

    def apt(self, *args: str) -> str:
        """Run ``apt-get`` on the root."""
        return tool("apt-get", *args, env={**self.environment, "DEBIAN_FRONTEND": "noninteractive"})

    def refresh(self) -> None:
        """Read the lists."""
        self.apt("update", "-q")

    def install(self, *packages: Deb) -> None:
        """Install packages with dpkg, in no particular order."""
        with tempfile.TemporaryDirectory() as folder:
            files = [str(build_deb(package, Path(folder))) for package in packages]
            tool("dpkg", f"--root={self.root}", "--force-script-chrootless", "--force-depends", "-i", *files)

    def go_back(self, *packages: Deb) -> None:
        """Install older versions, as somebody does by hand."""
        self.install(*packages)
        # apt tells an old cache by second and size of the database, which may be the same by chance.
        later = self.admin.joinpath("status").stat().st_mtime + 10
        os.utime(self.admin / "status", (later, later))

    def versions(self) -> dict[str, str]:
        """Return the version of every installed package, by name (``name:arch`` if foreign, or a twin)."""
        text = tool(
            "dpkg-query", f"--admindir={self.admin}", "-W", "-f", "${binary:Package} ${Version} ${Status}\\n"
        )
        rows = (line.split(" ", 2) for line in text.splitlines())
        return {name: version for name, version, status in rows if status.endswith(" installed")}

    @property
    def admin(self) -> Path:
        """The folder of dpkg's database."""
        return self.root / "var/lib/dpkg"

    def hold_package(self, *names: str) -> None:
        """Hold packages, as the operator would."""
        tool("apt-mark", "hold", *names, env=self.environment)

    def mark_auto(self, *names: str) -> None:
        """Mark packages as installed only for others."""
        tool("apt-mark", "auto", *names, env=self.environment)

    def automatic(self) -> set[str]:
        """Return what is marked as installed only for others."""
        return set(tool("apt-mark", "showauto", env=self.environment).split())

    def states(self) -> dict[str, str]:
        """Return what dpkg says of whatever is not simply installed, such as ``install ok unpacked``."""
        text = tool("dpkg-query", f"--admindir={self.admin}", "-W", "-f", "${Package} ${Status}\\n")
        rows = (line.split(" ", 1) for line in text.splitlines())
        return {name: state for name, state in rows if not state.endswith(" ok installed")}

    def arrange_pause(self) -> None:
        """Let the next maintainer script that holds :data:`PAUSE` stand still there."""
        for name in ("reached", "go"):
            os.mkfifo(self.root / "run" / name)

    def wait_for_pause(self) -> None:
        """Return when a maintainer script stands still; half a minute is too long."""
        reader = os.open(self.root / "run/reached", os.O_RDONLY | os.O_NONBLOCK)
        poll = select.poll()
        poll.register(reader)
        has_come = poll.poll(30_000)
        os.close(reader)
        assert has_come, "no maintainer script has come to its pause"

    def end_pause(self) -> None:
        """Let what stands still go on."""
        (self.root / "run/reached").unlink()
        with (self.root / "run/go").open("w") as go:  # waits until it is about to read
            go.write("go\n")
        (self.root / "run/go").unlink()

    def forget_pause(self) -> None:
        """Let nothing stand still any more; what did has been killed."""
        for name in ("reached", "go"):
            (self.root / "run" / name).unlink()

    def configure(self, text: str) -> None:
        """Append to apt's configuration."""
        path = self.root / "etc/apt/lab.conf"
        path.write_text(path.read_text() + text + "\n")

    def prefer(self, text: str) -> None:
        """Write the operator's preferences file."""
        (self.root / "etc/apt/preferences").write_text(text)

    def digest(self) -> str:
        """Return a digest of the whole root: names, types, modes, owners, times and content."""
        return digest_of(self.root)

    # --- the repository ---

    def publish(self, suite: Suite, *packages: Deb) -> None:
        """Add packages to a suite, replacing older ones of equal name only where :meth:`withdraw` did."""
        index = self._index(suite)
        pool = self.repository / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        index.mkdir(parents=True, exist_ok=True)
        with (index / "Packages").open("a") as packages_file:
            for package in packages:
                file = pool / package.file_name
                if not file.exists():
                    build_deb(package, pool)
                packages_file.write(stanza_of(package, file, self.repository))
        self.sign(suite)

    def offer(self, *moves: tuple[Deb, Deb]) -> None:
        """Install the first of each pair, offer the second in Main, and read the lists."""
        self.install(*(old for old, _ in moves))
        self.publish(MAIN, *(new for _, new in moves))
        self.refresh()

    def download_copies(self) -> None:
        """Let packages be downloaded, as from elsewhere; from ``file:`` they are used where they are."""
        sources = self.root / "etc/apt/sources.list"
        sources.write_text(sources.read_text().replace("file:", "copy:"))
        # Lists of what is local lead to the repository itself.
        shutil.rmtree(self.root / "var/lib/apt/lists")
        self.refresh()

    @property
    def archives(self) -> list[str]:
        """File names of what has been downloaded, sorted."""
        return sorted(path.name for path in (self.root / "var/cache/apt/archives").glob("*.deb"))

    def withdraw(self, suite: Suite, *names: str) -> None:
        """Remove every version of some packages from a suite."""
        path = self._index(suite) / "Packages"
        stanzas = path.read_text().split("\n\n")
        kept = [
            stanza for stanza in stanzas if stanza.partition("\n")[0] not in {f"Package: {n}" for n in names}
        ]
        path.write_text("\n\n".join(kept))
        self.sign(suite)

    def sign(
        self,
        suite: Suite,
        *,
        date: datetime | None = None,
        valid_until: datetime | None = None,
        key: str = "lab",
    ) -> None:
        """Write and sign the release file of a suite.

        Args:
            suite: Which.
            date: Instead of an hour ago.
            valid_until: Instead of a year from now.
            key: Name of the key; :meth:`make_key` makes others.
        """
        now = datetime.now(UTC)
        folder = self.repository / "dists" / suite
        fields = {
            "Origin": "Debian",
            "Label": LABELS[suite],
            "Suite": suite,
            "Codename": suite.replace("stable", "bookworm"),
            "Version": "12",
            "Date": _rfc2822(date or now - timedelta(hours=1)),
            "Valid-Until": _rfc2822(valid_until or now + timedelta(days=365)),
            "Architectures": "amd64 i386",
            "Components": "main",
        }
        lines = [f"{key_}: {value}" for key_, value in fields.items()] + ["SHA256:"]
        data = (self._index(suite) / "Packages").read_bytes()
        for arch in ("amd64", "i386"):
            index = folder / f"main/binary-{arch}"
            index.mkdir(parents=True, exist_ok=True)
            (index / "Packages").write_bytes(data)
            lines.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-{arch}/Packages")
        release = folder / "Release"
        release.write_text("\n".join(lines) + "\n")
        (folder / "InRelease").unlink(missing_ok=True)
        self.gpg(
            "--local-user",
            f"{key}@example.invalid",
            "--clearsign",
            "-o",
            str(folder / "InRelease"),
            str(release),
        )

    def make_key(self, name: str = "lab", *extra: str, expires: str = "never") -> None:
        """Make a signing key; ``extra`` are options of gpg, such as ``--faked-system-time=…``."""
        home = self.origin / "keys"
        home.mkdir(mode=0o700, exist_ok=True)
        self.gpg(
            *extra,
            "--passphrase",
            "",
            "--quick-gen-key",
            f"{name}@example.invalid",
            "ed25519",
            "sign",
            expires,
        )
        (home / f"{name}.asc").unlink(missing_ok=True)
        self.gpg("--armor", "--export", "-o", str(home / f"{name}.asc"), f"{name}@example.invalid")

    def trust(self, key: str) -> None:
        """Let the root trust this key and no other."""
        keyring = self.root / "etc/apt/lab.asc"
        keyring.write_bytes((self.origin / "keys" / f"{key}.asc").read_bytes())

    def _index(self, suite: Suite) -> Path:
        return self.repository / "dists" / suite / "main/binary-amd64"

    def gpg(self, *args: str) -> None:
        # The agent's socket needs a short path, and the agent must not outlive the call.
        with tempfile.TemporaryDirectory(prefix="gpg", dir="/tmp") as short:
            home = Path(short) / "h"
            home.symlink_to(self.origin / "keys")
            environment = {"GNUPGHOME": str(home)}
            tool("gpg", "--batch", "--quiet", *args, env=environment)
            tool("gpgconf", "--kill", "all", env=environment)

    def _make_root(self) -> None:
        root = self.root
        for folder in _FOLDERS:
            (root / folder).mkdir(parents=True)
        contents = {
            "var/lib/dpkg/status": "",
            "var/lib/dpkg/available": "",
            "var/lib/dpkg/info/format": "1\n",
            "var/lib/dpkg/arch": "amd64\ni386\n",
            "var/lib/dpkg/lock": "",
            "var/lib/dpkg/lock-frontend": "",
            "etc/os-release": OS_RELEASE,
            "etc/apt/lab.conf": _CONFIGURATION.format(root=root, machine_id=MACHINE_ID),
            "etc/apt/sources.list": "".join(
                f"deb [signed-by={root}/etc/apt/lab.asc] file:{self.repository} {suite} main\n"
                for suite in NEW
            ),
        }
        for path, text in contents.items():
            (root / path).write_text(text)
        self.trust("lab")


_FOLDERS = (
    "boot",
    "run",
    "tmp",
    *(f"etc/apt/{part}" for part in ("apt.conf.d", "preferences.d", "sources.list.d", "trusted.gpg.d")),
    *(f"var/lib/apt/{part}" for part in ("lists/partial", "periodic")),
    *(f"var/lib/dpkg/{part}" for part in ("info", "updates", "triggers", "alternatives", "parts")),
    "var/cache/apt/archives/partial",
    "var/log/apt",
)

# In the hash table of its cache apt has room for a hundred thousand packages: where the world is as small as
# ours, to write and to walk through that takes a third of the time of whatever makes the cache anew.
_CONFIGURATION = """\
APT::Cache-HashTableSize "509";
Dir "{root}/";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::Bin::dpkg "/usr/bin/dpkg";
DPkg::Options {{ "--root={root}"; "--force-script-chrootless"; "--log={root}/var/log/dpkg.log"; }};
DPkg::Path "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
DPkg::Use-Pty "0";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; "i386"; }};
APT::Sandbox::User "root";
APT::Machine-ID "{machine_id}";
Acquire::Languages "none";
Acquire::Retries "0";
"""


def build_deb(package: Deb, folder: Path) -> Path:
    """Build a package into a folder and return its path; equal packages give equal bytes."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        tree = Path(scratch) / "tree"
        control = tree / "DEBIAN"
        control.mkdir(parents=True, mode=0o755)
        (control / "control").write_text("".join(f"{k}: {v}\n" for k, v in package.control.items()))
        if package.conffiles:
            (control / "conffiles").write_text("".join(f"{path}\n" for path in package.conffiles))
        for name, text in package.scripts.items():
            (control / name).write_text(f"#!/bin/sh\n{text}\n")
            (control / name).chmod(0o755)
        for path, text in {f"usr/share/lab/{package.name}": package.version + "\n", **package.files}.items():
            file = tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for path_ in (tree, *tree.rglob("*")):
            path_.chmod(
                0o755
                if path_.is_dir() or (path_.parent == control and path_.name in package.scripts)
                else 0o644
            )
        target = folder / package.file_name
        # Without dpkg-deb's own opinion of names and versions: it is more strict than dpkg.
        options = ("--nocheck", "-Zgzip", "-z1", "--root-owner-group")
        tool("dpkg-deb", *options, "-b", str(tree), str(target), env=EPOCH)
    return target


def stanza_of(package: Deb, file: Path, repository: Path) -> str:
    data = file.read_bytes()
    fields = {
        **package.control,
        "Filename": str(file.relative_to(repository)),
        "Size": str(len(data)),
        "SHA256": hashlib.sha256(data).hexdigest(),
        **package.stanza,
    }
    return "".join(f"{key}: {value}\n" for key, value in fields.items()) + "\n"


def _rfc2822(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0)).replace("+0000", "UTC")


def names(changes: Iterable[object]) -> list[str]:
    """Return the names in a transaction, sorted."""
    return sorted(getattr(change, "name", "") for change in changes)
