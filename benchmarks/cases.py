"""The benchmarks: what is measured against what, and the budget of each (docs: ``benchmarks/README.md``)."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import policies, shares
from benchmarks.adopting import first_adoption
from benchmarks.applying import apply, apply_steps
from benchmarks.auditing import audit, audit_fleet
from benchmarks.bench import WITNESS, Bench, Row, cpu, cpu_more, cpu_ratio, milliseconds, rss
from benchmarks.guests import guests
from benchmarks.impacts import impact
from benchmarks.installation import PATH, PLAN
from benchmarks.measure import Command, Spread, measure
from benchmarks.other_managers import plan_dnf, plan_pacman, plan_zypper
from benchmarks.reading_fleets import fleet, heartbeats
from benchmarks.reporting_at_once import reports_at_once

COMPOSE = """\
import pathlib, sys, yaml
for path in pathlib.Path(sys.argv[1]).rglob("*.yaml"):
    for node in yaml.compose_all(path.read_bytes(), yaml.CLoader):
        pass
"""

_PROGRAMS = ("apt-get", "apt-cache", "apt-config", "apt-mark", "dpkg", "dpkg-query")
"""What of a plan is apt's own."""


def idle_tick(bench: Bench) -> Iterator[Row]:
    """A tick where nothing changed since the last, over file://."""
    config = str(bench.installation.host())
    run = (bench.installation.patchledger, "--config", config, "run")
    measure(bench.command("first tick", *run, says="Committed report"), bench.output)
    tick = bench.command("patchledger run", *run, says="nothing changed since")
    floor = bench.command(
        "python3 -I -S -c pass", str(bench.installation.interpreter), "-I", "-S", "-c", "pass"
    )
    apt = bench.command("apt-get -s dist-upgrade", "/usr/bin/apt-get", "-s", "dist-upgrade")
    fetch = _its_fetch(bench)
    turns = bench.turns(tick, floor, fetch)
    name = "idle-tick"
    yield Row(name, "CPU ÷ `python3 -I -S -c pass`", turns.each(cpu_ratio, tick, floor), "×", 7)
    bare = turns.each(lambda mine, *parts: mine.cpu / sum(one.cpu for one in parts), tick, floor, fetch)
    yield Row(name, "CPU ÷ (`python3 -I -S -c pass` + its `git fetch` alone)", bare, "×", 3, 2)
    yield Row(name, "CPU", turns.each(lambda one: one.cpu * 1000, tick), "ms")
    if _has_apt(bench):
        against = bench.turns(tick, apt, runs=max(3, bench.runs // 3))
        yield Row(name, "CPU ÷ `apt-get -s dist-upgrade`", against.each(cpu_ratio, tick, apt), "×", 0.12)
    python = str(bench.installation.python)
    witness = bench.command("witness", python, "-I", "-c", WITNESS, *run[1:], says="nothing changed since")
    measure(witness, bench.output)
    _, started, peak = bench.output.read_text(encoding="utf-8").split()[-3:]
    yield Row(name, "processes started", Spread.of([float(started)]), "", 1)
    yield Row(name, "peak RSS", Spread.of([float(peak) / 1024]), "MiB", 20)


def plan(bench: Bench) -> Iterator[Row]:
    """A dry-run on this machine's own package database."""
    if not _has_apt(bench):
        return
    config = bench.installation.host()
    mine = bench.command("patchledger plan", bench.installation.patchledger, "--config", str(config), "plan")
    apt = bench.command("apt-get -s dist-upgrade", "/usr/bin/apt-get", "-s", "dist-upgrade")
    turns = bench.turns(mine, apt)
    label = "CPU ÷ `apt-get -s dist-upgrade`"
    yield Row("plan", f"{label}, as configured here", turns.each(cpu_ratio, mine, apt), "×", 1.0, 0.7)
    yield Row("plan", "CPU", turns.each(cpu, mine), "s")
    yield Row("plan", "peak RSS", turns.each(rss, mine), "MiB", 90)
    usual = bench.installation.usual_apt()
    with config.open("a", encoding="utf-8") as file:
        file.write(f"environment: {{APT_CONFIG: {usual}}}\n")
    mine_usual = replace(mine, name="patchledger plan, usual apt")
    apt_usual = replace(apt, name="apt-get -s, usual apt", env={**apt.env, "APT_CONFIG": str(usual)})
    turns = bench.turns(mine_usual, apt_usual)
    ratio = turns.each(cpu_ratio, mine_usual, apt_usual)
    yield Row("plan", f"{label}, both with Debian's own cache settings", ratio, "×", 1.0, 0.7)
    yield from _own_work(bench)
    yield from _against_unattended_upgrade(bench, mine)


def _own_work(bench: Bench) -> Iterator[Row]:
    counted = shares.programs(bench, *_PROGRAMS)
    environment = json.dumps(counted.environment)
    config = bench.installation.host("counting", settings=f"environment: {environment}\n")
    argv = (bench.installation.patchledger, "--config", str(config), "plan")
    mine = bench.command("patchledger plan, counted", *argv)
    measure(mine, bench.output)  # which makes the package cache
    yield from shares.rows("plan", shares.shares(bench, mine, counted), None)


def _against_unattended_upgrade(bench: Bench, mine: Command) -> Iterator[Row]:
    program = shutil.which("unattended-upgrade", path=bench.installation.env["PATH"])
    if program is None or os.geteuid():
        missing = "it is not installed" if program is None else "it needs root"
        bench.note(f"`plan` was not compared with `unattended-upgrade --dry-run`: {missing}")
        return
    other = bench.command("unattended-upgrade --dry-run", program, "--dry-run")
    turns = bench.turns(mine, other, runs=5)
    figure = "CPU ÷ `unattended-upgrade --dry-run`"
    yield Row("plan", figure, turns.each(cpu_ratio, mine, other), "×", 0.05)


def _its_fetch(bench: Bench) -> Command:
    """Return what a quiet tick of :meth:`Installation.host` starts, by itself."""
    file = bench.installation.folder / "host/state/fingerprint.json"
    told = json.loads(file.read_bytes())
    program, *arguments = told["argv"]
    found = shutil.which(program, path=PATH)
    if found is None:
        raise SystemExit(f"{program} is not there any more")
    return Command("git fetch", (found, *arguments), {**bench.installation.env, **told["env"]})


def policy_check(bench: Bench) -> Iterator[Row]:
    """Checking 1,000 documents."""
    folder = bench.installation.folder / "policies"
    policies.write(folder)
    argv = (bench.installation.patchledger, "policy", "check", str(folder))
    check = bench.command("patchledger policy check", *argv)
    compose = bench.command("bare compose", str(bench.installation.python), "-c", COMPOSE, str(folder))
    turns = bench.turns(check, compose)
    name = "policy-check"
    share = turns.each(lambda mine, bare: mine.cpu / (2 * bare.cpu + 0.5), check, compose)
    yield Row(name, "CPU ÷ (2 × bare libyaml `compose` + 0.5 s)", share, "×", 1.0)
    yield Row(name, "CPU ÷ bare libyaml `compose`", turns.each(cpu_ratio, check, compose), "×")
    yield Row(name, "CPU", turns.each(cpu, check), "s")
    yield Row(name, "peak RSS", turns.each(rss, check), "MiB", 80)


def full_policy(bench: Bench) -> Iterator[Row]:
    """A look under a policy that is as large as one may be, and under the smallest."""
    if not _has_apt(bench):
        return
    commands = []
    for name, policy in (("full", policies.full()), ("small", PLAN)):
        config = bench.installation.host(name, policy)
        argv = (bench.installation.patchledger, "--config", str(config), "plan")
        commands.append(bench.command(f"patchledger plan, {name} policy", *argv))
    full, small = commands
    turns = bench.turns(full, small)
    name = "full-policy"
    yield Row(name, "CPU more than under a small one", turns.each(cpu_more, full, small), "s", 2.0)
    more = turns.each(lambda mine, other: rss(mine) - rss(other), full, small)
    yield Row(name, "peak RSS more", more, "MiB", 200)


def help_and_status(bench: Bench) -> Iterator[Row]:
    """The commands that people wait for."""
    config = str(bench.installation.host())
    program = bench.installation.patchledger
    measure(bench.command("first tick", program, "--config", config, "run"), bench.output)
    floor = bench.command("python3 -c pass", str(bench.installation.interpreter), "-c", "pass")
    shown = bench.command("--help", program, "--help", says="usage:")
    status = bench.command("status", program, "--config", config, "status", says="benchmark")
    turns = bench.turns(shown, status, floor)
    for command in (shown, status):
        ratio = turns.each(cpu_ratio, command, floor)
        yield Row("help-status", f"`{command.name}`: CPU ÷ `python3 -c pass`", ratio, "×", 6)
        yield Row("help-status", f"`{command.name}`: wall", turns.each(milliseconds, command), "ms", 200)


def _has_apt(bench: Bench) -> bool:
    if Path("/usr/bin/apt-get").exists():
        return True
    bench.note("no comparison with apt: this machine has none")
    return False


BENCHMARKS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "idle-tick": idle_tick,
    "plan": plan,
    "plan-dnf": plan_dnf,
    "plan-zypper": plan_zypper,
    "plan-pacman": plan_pacman,
    "policy-check": policy_check,
    "full-policy": full_policy,
    "help-status": help_and_status,
    "first-adoption": first_adoption,
    "fleet": fleet,
    "heartbeats": heartbeats,
    "guests": guests,
    "impact": impact,
    "audit": audit,
    "audit-fleet": audit_fleet,
    "reports-at-once": reports_at_once,
    "apply": apply,
    "apply-steps": apply_steps,
}
LONG = frozenset({"apply-steps", "audit", "audit-fleet", "fleet", "guests", "impact", "reports-at-once"})
"""What is measured only where it is asked for by name."""
