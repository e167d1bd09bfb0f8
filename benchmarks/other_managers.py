"""Planning on dnf, zypper and pacman: roots of their own, with generated packages, beside their own dry-runs.

A root has 240 packages installed for dnf and zypper (they are real ones, and take a while to build) or 800
for pacman (a generated database), an eighth of which has an update; the repository offers 4,000. Every
package needs an earlier one, so that there is something to solve.
"""

import io
import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks import shares
from benchmarks.bench import Bench, Row, cpu, cpu_ratio, rss, wall_ratio
from benchmarks.installation import PLAN
from benchmarks.measure import Command, measure
from tests.labs import rpm
from tests.labs.dnf import DnfLab
from tests.labs.pacman import PacmanLab
from tests.labs.programs import tool
from tests.labs.rpm import Repository, Rpm
from tests.labs.zypper import ZypperLab

RPMS = 240
INSTALLED = 800
EVERY = 8
OFFERED = 4000
_NEVER_AGAIN = "metadata_expire=never\n"


@dataclass(frozen=True, slots=True)
class Rival:
    """A root, and the dry-run of its own package manager.

    Attributes:
        installed: How many packages it has.
        settings: Lines of patchledger's configuration.
        environment: What that gives the manager.
        programs: The manager's, whose processes are not ours.
    """

    name: str
    installed: int
    settings: str
    environment: Mapping[str, str]
    dry_run: Command
    programs: tuple[str, ...]

    @property
    def pending(self) -> int:
        """How many packages have an update."""
        return -(-self.installed // EVERY)


def plan_dnf(bench: Bench) -> Iterator[Row]:
    """Beside ``dnf --assumeno upgrade``."""
    if _lacks(bench, "plan-dnf", "dnf", "rpmbuild", "createrepo_c"):
        return
    lab = DnfLab.empty(bench.installation.folder / "lab")
    _fill(lab)
    lab.configure(_NEVER_AGAIN)
    lab.refresh()
    argv = ("-c", str(lab.root / "etc/dnf/dnf.conf"), f"--installroot={lab.root}", "--assumeno", "upgrade")
    env = {**bench.installation.env, **lab.environment}
    name = "dnf --assumeno upgrade"
    # Saying no is not success to it.
    dry_run = Command(name, ("/usr/bin/dnf", *argv), env, says="package-0008", code=1)
    settings = f"manager: dnf\nroot: {lab.root}\n"
    programs = ("dnf", "dnf5", "rpm")
    yield from _compared(bench, Rival("plan-dnf", RPMS, settings, lab.environment, dry_run, programs))


def plan_zypper(bench: Bench) -> Iterator[Row]:
    """Beside ``zypper update --dry-run``."""
    if _lacks(bench, "plan-zypper", "zypper", "rpmbuild", "createrepo_c"):
        return
    lab = ZypperLab.empty(bench.installation.folder / "lab")
    _fill(lab)
    lab.refresh()
    lab.zypper("--no-refresh", "list-updates")
    argv = ("--root", str(lab.root), "--non-interactive", "--no-refresh", "update", "--dry-run")
    env = {**bench.installation.env, **lab.own_environment}
    dry_run = Command("zypper update --dry-run", ("/usr/bin/zypper", *argv), env, says="package-0008")
    settings = f"manager: zypper\nroot: {lab.root}\n"
    programs = ("zypper", "rpm")
    yield from _compared(bench, Rival("plan-zypper", RPMS, settings, lab.environment, dry_run, programs))


def plan_pacman(bench: Bench) -> Iterator[Row]:
    """Beside ``pacman -Sup``, whose database is as recent."""
    if _lacks(bench, "plan-pacman", "pacman", "repo-add", "bsdtar"):
        return
    lab = PacmanLab.empty(bench.installation.folder / "lab")
    _fill_pacman(lab)
    lab.pacman("-Sy")
    argv = ("--config", str(lab.configuration), "-Sup", "--print-format", "%n %v %s %l")
    dry_run = Command("pacman -Sup", ("/usr/bin/pacman", *argv), bench.installation.env, says="package-0008")
    settings, environment = "manager: pacman\n", {"PACMAN_CONF": str(lab.configuration)}
    programs = ("pacman", "pacman-conf", "vercmp")
    yield from _compared(bench, Rival("plan-pacman", INSTALLED, settings, environment, dry_run, programs))


def _lacks(bench: Bench, name: str, *programs: str) -> bool:
    missing = [one for one in programs if shutil.which(one, path=bench.installation.env["PATH"]) is None]
    if missing:
        bench.note(f"`{name}` WAS NOT MEASURED: there is no {', '.join(missing)} here")
    elif os.geteuid():
        missing = ["root"]
        bench.note(f"`{name}` WAS NOT MEASURED: it needs root")
    return bool(missing)


def _compared(bench: Bench, rival: Rival) -> Iterator[Row]:
    said = f"{rival.pending} updates pending"
    mine = _planning(bench, rival, "host", said, {})
    turns = bench.turns(mine, rival.dry_run)
    label = f"`{rival.dry_run.name}`, {rival.pending} of {rival.installed} pending, {OFFERED:,} offered"
    yield Row(rival.name, f"CPU ÷ {label}", turns.each(cpu_ratio, mine, rival.dry_run), "×")
    yield Row(rival.name, f"wall ÷ {label}", turns.each(wall_ratio, mine, rival.dry_run), "×")
    yield Row(rival.name, "CPU", turns.each(cpu, mine), "s")
    yield Row(rival.name, f"CPU of `{rival.dry_run.name}`", turns.each(cpu, rival.dry_run), "s")
    counted = shares.programs(bench, *rival.programs)
    counting = _planning(bench, rival, "counting", said, counted.environment)
    yield from shares.rows(rival.name, shares.shares(bench, counting, counted))
    yield Row(rival.name, "peak RSS", turns.each(rss, mine), "MiB")


def _planning(bench: Bench, rival: Rival, host: str, said: str, more: Mapping[str, str]) -> Command:
    """Make a host that has been looked at before, and return the command that plans there."""
    settings = f"{rival.settings}environment: {json.dumps({**rival.environment, **more})}\n"
    config = str(bench.installation.host(host, policy=PLAN, settings=settings))
    program = bench.installation.patchledger
    # What is fetched once and kept is there already.
    measure(bench.command("first tick", program, "--config", config, "run", says=said), bench.output)
    return bench.command("patchledger plan", program, "--config", config, "plan", says=said)


def _name(number: int) -> str:
    return f"package-{number:04}"


def _needed(number: int) -> str | None:
    return None if number == 0 else _name(number // 2)


# --- rpm ---


def _rpm(number: int, version: str) -> Rpm:
    needed = _needed(number)
    return Rpm(_name(number), version, fields={} if needed is None else {"Requires": needed})


def _fill(lab: DnfLab | ZypperLab) -> None:
    old = [_rpm(number, "1.0-1") for number in range(RPMS)]
    lab.install(*old)
    newer = [_rpm(number, "1.1-1") for number in range(0, RPMS, EVERY)]
    rpm.build_rpms(newer, lab.repository.folder)
    lab.repository.advise()
    _multiply(lab.repository, OFFERED - len(newer))


def _multiply(repository: Repository, more: int) -> None:
    """Let the metadata tell of ``more`` packages: what the last one is told to be, by other names."""
    folder = repository.folder / "repodata"
    for kind in ("primary", "filelists", "other"):
        (packed,) = folder.glob(f"*-{kind}.xml.gz")
        text = tool("gzip", "-dc", str(packed))
        pattern = re.compile(r"<package .*?</package>\n?", re.DOTALL)
        model = pattern.findall(text)[-1]
        name = re.findall(r"package-\d{4}", model)[0]
        (digest,) = set(re.findall(r"\b[0-9a-f]{64}\b", model))
        # The length of what stands for the digest is right, and no package is the same as another.
        copies = (
            model.replace(name, _name(RPMS + number)).replace(digest, f"{number:064x}")
            for number in range(more)
        )
        end = text.rindex("</")
        plain = repository.folder / f"{kind}.xml"
        counted = re.sub(r'packages="(\d+)"', lambda found: f'packages="{int(found[1]) + more}"', text[:end])
        plain.write_text(counted + "".join(copies) + text[end:])
        packed.unlink()
        tool("modifyrepo_c", f"--mdtype={kind}", "--compress-type=gz", str(plain), str(folder))
        plain.unlink()


# --- pacman ---


def _description(number: int, version: str, more: Mapping[str, str]) -> str:
    needed = _needed(number)
    fields = {
        "NAME": _name(number),
        "VERSION": version,
        "BASE": _name(number),
        "DESC": "a package of the benchmark",
        "URL": "https://example.invalid/",
        "ARCH": "any",
        "BUILDDATE": "1700000000",
        "PACKAGER": "Benchmark <benchmark@example.invalid>",
        "LICENSE": "MIT",
        **({} if needed is None else {"DEPENDS": needed}),
        **more,
    }
    return "".join(f"%{key}%\n{value}\n\n" for key, value in fields.items())


def _fill_pacman(lab: PacmanLab) -> None:
    local = lab.database / "local"
    local.mkdir(exist_ok=True)
    (local / "ALPM_DB_VERSION").write_text("9\n")
    for number in range(INSTALLED):
        folder = local / f"{_name(number)}-1.0-1"
        folder.mkdir()
        about = {"SIZE": "12288", "INSTALLDATE": "1700000000", "VALIDATION": "none"}
        (folder / "desc").write_text(_description(number, "1.0-1", about))
        (folder / "files").write_text(f"%FILES%\nusr/share/{_name(number)}\n\n")
    lab.repository.mkdir(parents=True)
    with tarfile.open(lab.repository / "lab.db", "w:gz") as database:
        for number in range(OFFERED):
            is_newer = number % EVERY == 0 or number >= INSTALLED
            version = "1.1-1" if is_newer else "1.0-1"
            about = {
                "FILENAME": f"{_name(number)}-{version}-any.pkg.tar.zst",
                "CSIZE": "4096",
                "ISIZE": "12288",
                "SHA256SUM": f"{number:064x}",
            }
            data = _description(number, version, about).encode()
            member = tarfile.TarInfo(f"{_name(number)}-{version}/desc")
            member.size, member.mtime = len(data), int(time.time())
            database.addfile(member, io.BytesIO(data))
