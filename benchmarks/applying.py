"""Applying all updates that this machine waits for, on copies of it, beside apt and unattended-upgrade."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench, Row, cpu, cpu_more, cpu_ratio, wall, wall_more, wall_ratio
from benchmarks.installation import PATH, ROOT
from benchmarks.measure import Command, SpoiledError

_THIRD = 0.333
FEWEST = 20
"""Fewer updates than this say nothing about a usual patch night."""

# The lists are as recent as they need to be.
_POLICY = """\
kind: Policy
name: everything
updates: all
action: apply
schedule: [window]
upgrade: full
removals: allow
conffiles: keep
steps: {steps}
refresh: {{every: 520w, stale_after: 520w, before_apply: 520w}}
"""
_SCHEDULE = """\
kind: Schedule
name: window
timezone: UTC
windows:
  - {{start: "{start}", duration: 48h}}
"""
_LATER, _NOW = "2099-01-01 00:00", "*-*-* 00:00"
# As Debian installs apt: container images keep the lists compressed, no cache and no archives. Then
# unattended-upgrade comes in, if it can be had, all packages are fetched, patchledger ticks outside of its
# window, as a host does for days, and policy opens it; the last line says what there is to do.
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
apt-get -qq -y --no-install-recommends install unattended-upgrades >/dev/null || echo "no unattended-upgrade"
printf '%s\n' '#clear Unattended-Upgrade::Origins-Pattern;' '#clear Unattended-Upgrade::Allowed-Origins;' \
    'Unattended-Upgrade::Origins-Pattern { "site=*"; };' \
    'DPkg::Options { "--force-confdef"; "--force-confold"; };' >/etc/apt/apt.conf.d/99benchmark
apt-get -qq -y --download-only dist-upgrade >/dev/null
"$1" --config "$2" run >/dev/null
git -C "$3" update-ref refs/heads/main refs/heads/open
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
        return Command(name, (*_apart("--net"), below, "-", "", *argv), _ENVIRONMENT, says)

    def prepare(self, *argv: str, bring: Sequence[Path] = ()) -> str:
        """Make the layer by a command of the copy, with the folders ``bring`` in it; return what that prints.

        Raises:
            SpoiledError: That did not succeed.
        """
        argv = (*_apart(), "/", str(self.layer), ":".join(map(str, bring)), *argv)
        done = subprocess.run(argv, env=_ENVIRONMENT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SpoiledError(f"no copy of this machine could be made: {done.stderr.strip()[-500:]}")
        return done.stdout


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared: the same ``changes`` made by patchledger and by apt alone.

    Attributes:
        first: As ``mine``, by a patchledger that has never run before.
        unattended: unattended-upgrade with its own defaults (``MinimalSteps``), which may take every update;
            ``None`` where it cannot be had.
    """

    mine: Command
    first: Command
    plain: Command
    unattended: Command | None
    changes: int


def _apart(*more: str) -> tuple[str, ...]:
    """Start what comes in namespaces of its own; all its processes end with it."""
    namespaces = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--ipc", "--uts")
    return ("/usr/bin/unshare", *namespaces, *more, str(ROOT / "benchmarks/overlay"))


def apply(bench: Bench) -> Iterator[Row]:
    """``patchledger run`` in an open window beside ``apt-get dist-upgrade``, on copies of this machine."""
    with _prepared(bench, "apply", "single") as pair:
        if pair is not None:
            yield from _in_one_step(bench, pair)


def apply_steps(bench: Bench) -> Iterator[Row]:
    """The same with ``steps: minimal``, the default."""
    with _prepared(bench, "apply-steps", "minimal") as pair:
        if pair is not None:
            yield from _in_few_steps(bench, pair)


def _in_few_steps(bench: Bench, pair: Pair) -> Iterator[Row]:
    turns = bench.turns(pair.mine, pair.plain, runs=_turns(bench))
    for figure, ratio in (("wall ÷", wall_ratio), ("CPU ÷", cpu_ratio)):
        found = turns.each(ratio, pair.mine, pair.plain)
        what = f"{figure} `apt-get dist-upgrade`, {pair.changes} changes"
        yield Row("apply-steps", what, found, "×", 1.4, 1.2)
    yield Row("apply-steps", "wall of `apt-get dist-upgrade`", turns.each(wall, pair.plain), "s")
    yield Row("apply-steps", "CPU of `apt-get dist-upgrade`", turns.each(cpu, pair.plain), "s")
    yield from _beside_unattended(bench, "apply-steps", pair, _THIRD)


def _beside_unattended(bench: Bench, name: str, pair: Pair, budget: float | None) -> Iterator[Row]:
    """Compare with unattended-upgrade, in turns of their own: each takes as long as some of the others."""
    if pair.unattended is None:
        bench.note(
            f"`{name}` was not compared with unattended-upgrade, which could not be installed in a copy"
        )
        return
    turns = bench.turns(pair.mine, pair.unattended, runs=_turns(bench), warm=True)
    for figure, ratio in (("wall ÷", wall_ratio), ("CPU ÷", cpu_ratio)):
        found = turns.each(ratio, pair.mine, pair.unattended)
        yield Row(name, f"{figure} `unattended-upgrade`, {pair.changes} changes", found, "×", budget)


def _turns(bench: Bench) -> int:
    return max(1, bench.runs // 3)


def _in_one_step(bench: Bench, pair: Pair) -> Iterator[Row]:
    turns = bench.turns(pair.mine, pair.plain, pair.first, runs=_turns(bench))
    for figure, how, unit, budget in (
        ("wall ÷", wall_ratio, "×", 1.05),
        ("CPU ÷", cpu_ratio, "×", 1.05),
        ("wall more than", wall_more, "s", None),
        ("CPU more than", cpu_more, "s", None),
    ):
        found = turns.each(how, pair.mine, pair.plain)
        yield Row("apply", f"{figure} `apt-get dist-upgrade`, {pair.changes} changes", found, unit, budget)
    found = turns.each(cpu_more, pair.first, pair.plain)
    yield Row("apply", "CPU more, where patchledger has never run before", found, "s")
    yield Row("apply", "wall of `apt-get dist-upgrade`", turns.each(wall, pair.plain), "s")
    yield Row("apply", "CPU of `apt-get dist-upgrade`", turns.each(cpu, pair.plain), "s")
    yield from _beside_unattended(bench, "apply", pair, None)


@contextlib.contextmanager
def _prepared(bench: Bench, name: str, steps: str) -> Iterator[Pair | None]:
    """Make copies possible, and say what to run on them; ``None``, and a note, where that cannot be."""
    missing = _missing()
    if missing:
        bench.note(f"`{name}` WAS NOT MEASURED: {missing}")
        yield None
        return
    here = bench.installation
    config = here.host(policy=_documents(steps, _LATER))
    here.next_policy(config, "open", _documents(steps, _NOW))
    layer = Path(tempfile.mkdtemp(prefix="patchledger-benchmark-", dir="/dev/shm"))
    try:
        copies = Copies(layer)
        script = (
            "/bin/sh",
            "-c",
            PREPARE,
            "sh",
            here.patchledger,
            str(config),
            str(config.parent / "policy"),
        )
        told = copies.prepare(*script, bring=(here.venv, config.parent))
        pair = _pair(copies, here.patchledger, config, told)
        if pair.changes < FEWEST:
            bench.note(f"`{name}` WAS NOT MEASURED: {pair.changes} changes are pending, it takes {FEWEST}")
        yield pair if pair.changes >= FEWEST else None
    finally:
        shutil.rmtree(layer)


def _missing() -> str:
    if not Path("/usr/bin/apt-get").exists():
        return "this machine has no apt"
    return "it needs root, to work on a copy of this machine" if os.geteuid() else ""


def _documents(steps: str, start: str) -> dict[str, str]:
    return {
        "policies/everything.yaml": _POLICY.format(steps=steps),
        "schedules/window.yaml": _SCHEDULE.format(start=start),
    }


def _pair(copies: Copies, patchledger: str, config: Path, told: str) -> Pair:
    found = _SUMMARY.search(told)
    if found is None:
        raise SpoiledError(f"apt does not say what it would do: {told.strip()[-500:]}")
    changes = sum(map(int, found.groups()))
    run, says = (patchledger, "--config", str(config), "run"), f"applied {changes} changes"
    has_unattended = "no unattended-upgrade" not in told.splitlines()
    unattended = ("/usr/bin/unattended-upgrade", "--verbose")
    forgetful = ("/bin/sh", "-c", 'rm -r "$0" && exec "$@"', str(config.parent / "state"))
    return Pair(
        copies.command("patchledger run", *run, says=says),
        copies.command("patchledger run, the first of all", *forgetful, *run, says=says),
        copies.command("apt-get dist-upgrade", *_PLAIN, says=found.group()),
        copies.command("unattended-upgrade", *unattended, says="All upgrades installed")
        if has_unattended
        else None,
        changes,
    )
