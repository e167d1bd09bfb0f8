"""Applying all updates that this machine waits for, on copies of it, beside apt doing the same."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench, Row, cpu_more, cpu_ratio, wall_more, wall_ratio
from benchmarks.installation import PATH, ROOT
from benchmarks.measure import Command, SpoiledError, measure

FEWEST = 20
"""Fewer updates than this say nothing about a usual patch night."""

# The window is always open, and the lists are as recent as they need to be.
POLICY = """\
kind: Policy
name: everything
updates: all
action: apply
schedule: [always]
upgrade: full
removals: allow
conffiles: keep
steps: {steps}
refresh: {{every: 520w, stale_after: 520w, before_apply: 520w}}
---
kind: Schedule
name: always
timezone: UTC
windows:
  - {{start: "*-*-* 00:00", duration: 48h}}
"""
# As Debian installs apt: container images keep the lists compressed, no cache and no archives. Then all
# packages are fetched; the last line says what there is to do.
PREPARE = """\
set -eu
rm -f /etc/apt/apt.conf.d/docker-*
cd /var/lib/apt/lists
for file in *.lz4 *.gz *.xz *.zst; do
    [ -e "$file" ] || continue
    /usr/lib/apt/apt-helper cat-file "$file" >"${file%.*}"
    touch -r "$file" "${file%.*}"
    rm "$file"
done
apt-get -qq -y --download-only dist-upgrade >/dev/null
apt-get -s dist-upgrade
"""
_PLAIN = (
    *("/usr/bin/apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confdef"),
    *("-o", "Dpkg::Options::=--force-confold", "dist-upgrade"),
)
_SUMMARY = re.compile(
    r"^(\d+) upgraded, (\d+) newly installed, (\d+) to remove and \d+ not upgraded\.$", re.MULTILINE
)
_ENVIRONMENT = {
    "PATH": PATH,
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "NEEDRESTART_SUSPEND": "1",
}


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of this machine, equal at the start of each command.

    Attributes:
        layer: In memory: what all copies have and this machine has not.
    """

    layer: Path

    def command(self, name: str, *argv: str, says: str = "") -> Command:
        """Return a command on a copy of its own, without network, whose changes are forgotten."""
        below = f"{self.layer}/changes:/"
        return Command(name, (*_apart("--net"), below, "-", "-", *argv), _ENVIRONMENT, says)

    def prepare(self, bring: Path) -> str:
        """Make the layer: everything fetched, ``bring`` in it; return what apt says it would do.

        Raises:
            SpoiledError: That did not succeed.
        """
        argv = (*_apart(), "/", str(self.layer), str(bring), "/bin/sh", "-c", PREPARE)
        done = subprocess.run(argv, env=_ENVIRONMENT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SpoiledError(f"no copy of this machine could be made: {done.stderr.strip()[-500:]}")
        return done.stdout


def _apart(*more: str) -> tuple[str, ...]:
    """Start what comes in namespaces of its own; all its processes end with it."""
    namespaces = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--ipc", "--uts")
    return ("/usr/bin/unshare", *namespaces, *more, str(ROOT / "benchmarks/overlay"))


def apply(bench: Bench) -> Iterator[Row]:
    """``patchledger run`` in an open window beside ``apt-get dist-upgrade``, on copies of this machine."""
    missing = _missing()
    if missing:
        bench.note(f"`apply` WAS NOT MEASURED: {missing}")
        return
    layer = Path(tempfile.mkdtemp(prefix="patchledger-benchmark-", dir="/dev/shm"))
    try:
        yield from _measured(bench, Copies(layer))
    finally:
        shutil.rmtree(layer)


def _missing() -> str:
    if not Path("/usr/bin/apt-get").exists():
        return "this machine has no apt"
    return "it needs root, to work on a copy of this machine" if os.geteuid() else ""


def _measured(bench: Bench, copies: Copies) -> Iterator[Row]:
    here = bench.installation
    configs = {steps: here.host(steps, POLICY.format(steps=steps)) for steps in ("single", "minimal")}
    found = _SUMMARY.search(copies.prepare(here.venv.parent))
    changes = 0 if found is None else sum(map(int, found.groups()))
    if found is None or changes < FEWEST:
        bench.note(f"`apply` WAS NOT MEASURED: {changes} changes are pending here, and it takes {FEWEST}")
        return
    plain = copies.command("apt-get dist-upgrade", *_PLAIN, says=found.group())
    mine = {
        steps: copies.command(
            f"patchledger run, steps: {steps}",
            *(here.patchledger, "--config", str(config), "run"),
            says=f"applied {changes} changes",
        )
        for steps, config in configs.items()
    }
    turns = bench.turns(plain, mine["single"], runs=max(3, bench.runs // 5))
    yield from (
        Row("apply", f"{figure} `apt-get dist-upgrade`, {changes} changes", found, unit, budget)
        for figure, found, unit, budget in (
            ("wall ÷", turns.each(wall_ratio, mine["single"], plain), "×", 1.05),
            ("CPU ÷", turns.each(cpu_ratio, mine["single"], plain), "×", 1.05),
            ("wall more than", turns.each(wall_more, mine["single"], plain), "s", None),
            ("CPU more than", turns.each(cpu_more, mine["single"], plain), "s", None),
        )
    )
    # A step for almost each change: minutes, of which a first turn to warm up would not take much away.
    once = measure(mine["minimal"], bench.output)
    for figure, ratio in (("wall ÷", wall_ratio), ("CPU ÷", cpu_ratio)):
        seen = turns.each(lambda sample, ratio=ratio: ratio(once, sample), plain)
        yield Row("apply", f"`steps: minimal`, once: {figure} `apt-get dist-upgrade`", seen, "×")
