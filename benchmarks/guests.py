"""A hypervisor with twenty guests: ticks that look at all, one by one and four at a time, and at none."""

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import WITNESS, Bench, Row, cpu, cpu_ratio, wall, wall_ratio
from benchmarks.installation import PLAN
from benchmarks.measure import Command, Spread, measure
from tests.edge.guests.conftest import SET_UP, make_repository
from tests.labs.guests import LAB, GuestLab, Made

_MANY = 20
_TURNS = 3
_FIRST = 300
_ASIDE = "match: {not: {guest_of: '*'}}\n"
_GUESTS = """\
kind: Policy
name: guests
match: {guest_of: benchmark}
updates: all
action: apply
refresh: {every: 520w, stale_after: 520w}
"""


def guests(bench: Bench) -> Iterator[Row]:
    """Tick over containers of LXC that really run, in a node of the lab; each has one update to plan."""
    with GuestLab.running(()) as node:
        make_repository(node.folder / "repository")
        for number in range(_FIRST, _FIRST + _MANY):
            _make(node, str(number))
        config = bench.installation.host(
            policy={**{path: text + _ASIDE for path, text in PLAN.items()}, "policies/guests.yaml": _GUESTS}
        )
        each = {number: _with(config, number) for number in (1, 4)}
        yield from _full(bench, node, each)
        yield from _quiet(bench, node, each[4])


def _make(node: GuestLab, number: str) -> None:
    node.make(Made(number, f"g{number}", is_started=True, init="/bin/sleep infinity"))
    inside = f"{LAB}/store/subvol-{number}-disk-0"
    node.run("cp", "-R", f"{LAB}/repository", f"{inside}/srv/repository")
    set_up = f"{SET_UP}\necho {int(number):032x} >/etc/machine-id"
    node.run("pct", "exec", number, "--", "sh", "-c", set_up)


def _with(config: Path, parallel: int) -> Path:
    """Return the configuration with guests; as each is another one, every tick by another looks at all."""
    made = config.with_name(f"parallel-{parallel}.yaml")
    said = json.dumps({"from": ["proxmox"], "parallel": parallel})
    made.write_text(f"{config.read_text(encoding='utf-8')}guests: {said}\n", encoding="utf-8")
    made.chmod(0o600)
    return made


def _inside(node: GuestLab, name: str, *argv: str, says: str = "") -> Command:
    program, *rest = node.entering
    return Command(name, (f"/usr/bin/{program}", *rest, *argv), says=says)


def _full(bench: Bench, node: GuestLab, each: dict[int, Path]) -> Iterator[Row]:
    program = bench.installation.patchledger
    one, four = (
        _inside(node, f"parallel: {number}", program, "--config", str(path), "run", says="report")
        for number, path in each.items()
    )
    turns = bench.turns(one, four, runs=min(bench.runs, _TURNS))
    what = f"{_MANY} guests, all looked at"
    ratio = turns.each(wall_ratio, four, one)
    yield Row("guests", f"{what}: by the clock, `parallel: 4` ÷ `parallel: 1`", ratio, "×", 0.65)
    yield Row("guests", f"{what}: `parallel: 1`, by the clock", turns.each(wall, one), "s")
    yield Row("guests", f"{what}: CPU", turns.each(cpu, one), "s")
    yield Row("guests", f"{what}: CPU, `parallel: 4` ÷ `parallel: 1`", turns.each(cpu_ratio, four, one), "×")


def _quiet(bench: Bench, node: GuestLab, config: Path) -> Iterator[Row]:
    python = str(bench.installation.python)
    says = "no guest is to be looked at"
    tick = (bench.installation.patchledger, "--config", str(config), "run")
    run = _inside(node, "quiet", *tick, says=says)
    floor = _inside(node, "pass", str(bench.installation.interpreter), "-I", "-S", "-c", "pass")
    turns = bench.turns(run, floor)
    what = f"{_MANY} guests, none looked at"
    yield Row("guests", f"{what}: CPU ÷ `python3 -I -S -c pass`", turns.each(cpu_ratio, run, floor), "×", 8)
    yield Row("guests", f"{what}: CPU", turns.each(lambda one: one.cpu * 1000, run), "ms")
    before = node.calls()
    measure(_inside(node, "witness", python, "-I", "-c", WITNESS, *tick[1:], says=says), bench.output)
    _, started, peak = bench.output.read_text(encoding="utf-8").split()[-3:]
    entered = len(node.calls()) - len(before)
    yield Row("guests", f"{what}: processes started", Spread.of([float(started)]), "", 1)
    yield Row("guests", f"{what}: guests entered", Spread.of([float(entered)]), "", 0)
    yield Row("guests", f"{what}: peak RSS", Spread.of([float(peak) / 1024]), "MiB", 20)
