"""Real rpms and a repository of them, small and quickly built; the labs of dnf and zypper stand on it.

    repository = Repository.make(folder, "lab")
    repository.publish(Rpm("plain", "1.0-1"), Rpm("plain", "1.1-1"))    # builds what is not built yet
    repository.advise(Advisory("LAB-SA-2026:0001", ("plain-1.1-1",), cves=("CVE-2026-0001",)))
    install(root, repository.file("plain", "1.0-1"))

All packages of one call are subpackages of one spec each round, since starting ``rpmbuild`` is what takes
time. Scriptlets are written in rpm's own Lua, so that a root needs no shell; they run with the root as ``/``.
"""

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

from tests.labs.programs import tool

# For equal bytes whenever they are built.
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}

Kind = Literal[
    "security", "bugfix", "enhancement", "newpackage", "recommended", "optional", "feature", "document"
]
Severity = Literal["Critical", "Important", "Moderate", "Low", ""]


@dataclass(frozen=True, slots=True)
class Rpm:
    """A package to build.

    Attributes:
        version: ``[epoch:]version-release``.
        fields: More tags of the spec, such as ``{"Requires": "x = 1.0"}``; a sequence repeats the tag.
        files: Content by path in the root, without the leading slash.
        config: Which of the files are ``%config(noreplace)``.
        scripts: Lua scriptlets by name, such as ``{"post": "error('no')"}``.
        shell_scripts: The same in ``sh``, which the root must have.
        description: Free text.
    """

    name: str
    version: str
    arch: str = "noarch"
    fields: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    config: Sequence[str] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)
    shell_scripts: Mapping[str, str] = field(default_factory=dict)
    description: str = "a package of the lab"

    @property
    def file_name(self) -> str:
        """As rpmbuild names it: without the epoch."""
        return f"{self.name}-{self.version.rpartition(':')[2]}.{self.arch}.rpm"

    @property
    def target(self) -> str:
        """What rpmbuild is told to build for."""
        return "x86_64" if self.arch == "noarch" else self.arch

    @property
    def of(self) -> tuple[str, str]:
        """What all packages of one spec have in common: target and vendor."""
        vendor = self.fields.get("Vendor", "")
        return self.target, vendor if isinstance(vendor, str) else " ".join(vendor)

    @property
    def nevra(self) -> str:
        """Name, epoch, version, release and architecture, the epoch always written."""
        epoch, _, rest = self.version.rpartition(":")
        return f"{self.name}-{epoch or '0'}:{rest}.{self.arch}"


@dataclass(frozen=True, slots=True)
class Advisory:
    """What ``updateinfo`` says of some packages.

    Attributes:
        packages: As :attr:`Rpm.nevra`, or without epoch and architecture: ``plain-1.1-1``.
        severity: None, where it is empty.
        reboot: Whether its packages suggest a reboot.
        restart: Whether they suggest to start the package manager anew, as those of the update stack do.
    """

    id: str
    packages: Sequence[str]
    kind: Kind = "security"
    severity: Severity = "Important"
    cves: Sequence[str] = ()
    reboot: bool = False
    restart: bool = False
    issued: str = "2026-11-01 10:00:00"


def twins(version: str) -> tuple[Rpm, Rpm]:
    """Return a multilib package: one of each architecture, with a file that both have."""
    return Rpm("twin", version, "x86_64"), Rpm("twin", version, "i686")


def build_rpms(packages: Iterable[Rpm], folder: Path) -> None:
    """Build the packages that a folder lacks, as many at once as can be.

    Equal names need a spec each, and so does another architecture than this machine's, and another vendor,
    which rpm 4.20 gives to all that stand behind.
    """
    left = [package for package in packages if not (folder / package.file_name).exists()]
    while left:
        of, target = left[0].of, left[0].target
        # The last one of each name; the dictionary keeps the order.
        at_once = {package.name: package for package in reversed(left) if package.of == of}
        left = [package for package in left if at_once.get(package.name) is not package]
        _build(tuple(reversed(at_once.values())), folder, target)


def _build(packages: Sequence[Rpm], folder: Path, target: str) -> None:
    with tempfile.TemporaryDirectory(prefix="rpmbuild") as scratch:
        top = Path(scratch)
        spec = top / "lab.spec"
        spec.write_text(_spec(packages, top))
        definitions = {
            "_topdir": str(top),
            "_rpmdir": str(top / "out"),
            "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
            "_binary_payload": "w1.gzdio",
            "_buildhost": "lab",
            "use_source_date_epoch_as_buildtime": "1",
            "clamp_mtime_to_source_date_epoch": "1",
            # Its first use makes it, and builds beside one another would race for it.
            "_dbpath": str(top / "db"),
            "__os_install_post": "%{nil}",
            "debug_package": "%{nil}",
            # SUSE names its kernels by what the running one calls itself, which is no version to rpm.
            "_wrong_version_format_terminate_build": "0",
        }
        options = [part for name, value in definitions.items() for part in ("--define", f"{name} {value}")]
        tool(
            "rpmbuild",
            "-bb",
            "--quiet",
            "--target",
            target,
            *options,
            str(spec),
            env={**EPOCH, "HOME": str(top)},
        )
        folder.mkdir(parents=True, exist_ok=True)
        for file in (top / "out").glob("*.rpm"):
            shutil.move(file, folder / file.name)


def _spec(packages: Sequence[Rpm], top: Path) -> str:
    """Return a spec whose main package is never made; files come from a tree beside it."""
    lines = [
        "Name: lab-source",
        "Version: 1",
        "Release: 1",
        "Summary: lab",
        "License: MIT",
        "AutoReqProv: no",
        "%description",
        "lab",
    ]
    install = ["%install"]
    for package in packages:
        lines += _sections(package)
        for path, text in _files(package).items():
            source = top / "tree" / package.name / path
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(text)
        # Subpackages may share a path only if it is the same file there, which none of these do.
        install.append(f"mkdir -p %{{buildroot}} && cp -R {top}/tree/{package.name}/. %{{buildroot}}/")
    return "\n".join((*lines, *install, "chmod -R u=rwX,go=rX %{buildroot}", ""))


def _files(package: Rpm) -> dict[str, str]:
    return {f"usr/share/lab/{package.name}/{package.version}": package.version + "\n", **package.files}


def _sections(package: Rpm) -> list[str]:
    epoch, _, rest = package.version.rpartition(":")
    version, _, release = rest.rpartition("-")
    lines = [
        f"%package -n {package.name}",
        f"Version: {version}",
        f"Release: {release}",
        "Summary: a package of the lab",
        "AutoReqProv: no",
        *([f"Epoch: {epoch}"] if epoch else []),
        *([f"BuildArch: {package.arch}"] if package.arch == "noarch" else []),
    ]
    for tag, value in package.fields.items():
        lines += [f"{tag}: {one}" for one in ([value] if isinstance(value, str) else value)]
    lines += [f"%description -n {package.name}", package.description.replace("%", "%%")]
    for name, text in package.scripts.items():
        lines += [f"%{name} -n {package.name} -p <lua>", text]
    for name, text in package.shell_scripts.items():
        lines += [f"%{name} -n {package.name}", text]
    lines += [f"%files -n {package.name}", "%defattr(-,root,root)"]
    for path in _files(package):
        lines.append(("%config(noreplace) " if path in package.config else "") + f"/{path}")
    return lines


@dataclass(frozen=True, slots=True)
class Repository:
    """A folder of rpms with its metadata.

    Attributes:
        folder: What a ``baseurl`` names.
    """

    folder: Path

    @classmethod
    def make(
        cls, folder: Path, packages: Sequence[Rpm] = (), advisories: Sequence[Advisory] = ()
    ) -> "Repository":
        """Make a repository and fill it."""
        folder.mkdir(parents=True)
        repository = cls(folder)
        build_rpms(packages, folder)
        repository.advise(*advisories)
        return repository

    @property
    def url(self) -> str:
        """For ``baseurl``."""
        return f"file://{self.folder}"

    def file(self, name: str, version: str, arch: str = "noarch") -> Path:
        """Return the path of a package."""
        return self.folder / Rpm(name, version, arch).file_name

    def publish(self, *packages: Rpm) -> None:
        """Add packages; advisories stay."""
        build_rpms(packages, self.folder)
        self.index()

    def withdraw(self, *packages: Rpm) -> None:
        """Take packages away; advisories stay."""
        for package in packages:
            (self.folder / package.file_name).unlink()
        self.index()

    def advise(self, *advisories: Advisory) -> None:
        """Replace all advisories by these."""
        (self.folder / "updateinfo.xml").write_text(_updateinfo(advisories))
        self.index()

    def advise_nothing(self) -> None:
        """Take the advisories away: there is no file of them, not even an empty one."""
        (self.folder / "updateinfo.xml").unlink()
        self.index()

    def require_agreement(self, package: Rpm) -> None:
        """Say of a package that whoever installs it must agree to its license; until the next `index`."""
        id_ = sha256((self.folder / package.file_name).read_bytes()).hexdigest()
        version, _, release = package.version.partition("-")
        (self.folder / "susedata.xml").write_text(
            '<?xml version="1.0"?><susedata xmlns="http://linux.duke.edu/metadata/susedata" packages="1">'
            f'<package pkgid="{id_}" name="{package.name}" arch="noarch">'
            f'<version epoch="0" ver="{version}" rel="{release}"/><eula>Pay.</eula></package></susedata>'
        )
        tool(
            "modifyrepo_c", "--mdtype=susedata", str(self.folder / "susedata.xml"),
            str(self.folder / "repodata"),
        )  # fmt: skip

    def index(self, *, revision: int | None = None) -> None:
        """Write the metadata anew.

        Args:
            revision: Seconds since 1970 to be told as the time of making, instead of now.
        """
        options = () if revision is None else ("--revision", str(revision))
        tool("createrepo_c", "--quiet", "--no-database", *options, str(self.folder))
        if (self.folder / "updateinfo.xml").exists():
            # createrepo_c begins anew each time and knows nothing of advisories.
            tool(
                "modifyrepo_c", "--mdtype=updateinfo", str(self.folder / "updateinfo.xml"),
                str(self.folder / "repodata"),
            )  # fmt: skip


def _updateinfo(advisories: Sequence[Advisory]) -> str:
    body = "".join(_update(advisory) for advisory in advisories)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<updates>\n{body}</updates>\n'


def _update(advisory: Advisory) -> str:
    references = "".join(
        f'<reference href="https://example.invalid/{cve}" id="{cve}" title="{cve}" type="cve"/>'
        for cve in advisory.cves
    )
    suggested = "".join(
        f"<{what}_suggested>True</{what}_suggested>"
        for what, is_wanted in (("reboot", advisory.reboot), ("restart", advisory.restart))
        if is_wanted
    )
    packages = "".join(_advised(name, suggested) for name in advisory.packages)
    severity = f"<severity>{advisory.severity}</severity>" if advisory.severity else ""
    return (
        f'<update from="lab@example.invalid" status="final" type="{advisory.kind}" version="1">\n'
        f"<id>{escape(advisory.id)}</id><title>{escape(advisory.id)}</title>\n"
        f'<issued date="{advisory.issued}"/><updated date="{advisory.issued}"/>\n'
        f"{severity}<summary>s</summary><description>d</description>\n"
        f"<references>{references}</references>\n"
        f'<pkglist><collection short="lab"><name>lab</name>{packages}</collection></pkglist>\n</update>\n'
    )


def _advised(nevra: str, suggested: str) -> str:
    full, _, arch = nevra.rpartition(".") if nevra.endswith((".noarch", ".x86_64")) else (nevra, "", "noarch")
    name, evr, release = full.rsplit("-", 2)
    epoch, _, version = evr.rpartition(":")
    return (
        f'<package name="{name}" version="{version}" release="{release}" epoch="{epoch or 0}" arch="{arch}">'
        f"<filename>{name}-{version}-{release}.{arch}.rpm</filename>{suggested}</package>"
    )


def install(root: Path, *files: Path, env: Mapping[str, str] | None = None) -> None:
    """Install package files into a root with rpm, in no particular order."""
    tool("rpm", "--root", str(root), "-i", "--nodeps", "--nosignature", *map(str, files), env=env)


def database(root: Path, env: Mapping[str, str] | None = None) -> Path:
    """Return the folder of a root's package database: below HOME with the rpm of Debian 12 alone."""
    return root / tool("rpm", "--eval", "%{_dbpath}", env=env).strip().lstrip("/")


def versions(root: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the version of every installed package as rpm writes it for people, several joined by blanks.

    By name, and by ``name:arch`` where the name is there in several architectures.
    """
    query = "%{NAME}\t%{ARCH}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n"
    found: dict[str, dict[str, list[str]]] = {}
    for line in tool("rpm", "--root", str(root), "-qa", "--qf", query, env=env).splitlines():
        name, arch, version = line.split("\t")
        found.setdefault(name, {}).setdefault(arch, []).append(version.removeprefix("0:"))
    return {
        name if len(arches) == 1 else f"{name}:{arch}": " ".join(sorted(all_))
        for name, arches in found.items()
        for arch, all_ in arches.items()
    }
