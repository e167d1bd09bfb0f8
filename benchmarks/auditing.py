"""``fleet audit`` of a quarter: a hundred runs, a whole fleet that is killed in between, and 60,000 files."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench, Row, cpu
from benchmarks.measure import SpoiledError, Spread, measure
from benchmarks.quarters import BEGIN, DAYS, END, OFFERED, Quarter
from benchmarks.reading_fleets import SPLIT

_FEW, _TENTH, _WHOLE = 8, 100, 1_000
"""Hosts, each of which makes 13 runs and sends 90 heartbeats in a quarter."""
_TURNS = 3
_FILES, _AT_ONCE = 60_000, 2_500
_LOOKED_EVERY = 0.2
"""Seconds between two looks at how far an audit is that is to be killed."""
_BUDGET = 900.0
_OF_BRANCHES = ("audit/*", "*.audit-proofs.json")
_OF_PUBLISHERS = ("*.witnesses.json",)
"""What an audit remembers: of branches, and of the commits of publishers."""


def audit(bench: Bench) -> Iterator[Row]:
    """Audit a hundred runs, then the same with 60,000 files beside them, then a tenth of a large fleet."""
    few = _made(bench, "few", _FEW)
    name, runs = "audit", few.runs
    said = f"{runs} proved, 0 unproved, 0 refuted"
    yield from _fetched(bench, name, few)
    known = [_cold(bench, few, said, *_OF_BRANCHES) for _ in range(_TURNS)]
    what = f"{runs} runs with {OFFERED} updates each"
    for figure, which in (("own CPU", 0), ("CPU of children", 1)):
        yield Row(name, f"{what}: {figure}, for each", _each(runs, *(one[which] for one in known)), "ms")
    yield Row(name, f"{what}: CPU, for each", _each(runs, *map(sum, known)), "ms", 60)
    fresh = [_cold(bench, few, said, *_OF_BRANCHES, *_OF_PUBLISHERS) for _ in range(_TURNS)]
    figure = "where nobody asked before what publishers signed: CPU, for each"
    yield Row(name, figure, _each(runs, *map(sum, fresh)), "ms")
    alone = [_cold(bench, few, said, *_OF_BRANCHES, *_OF_PUBLISHERS, "*.checked*") for _ in range(_TURNS)]
    figure = "where no publisher was on this machine either: CPU, for each"
    yield Row(name, figure, _each(runs, *map(sum, alone)), "ms")
    again = bench.turns(bench.command("again", *_argv(bench, few), says=said), runs=_TURNS)
    yield Row(name, "again, nothing new: CPU", again.each(cpu, *again.commands), "s")
    yield from _with_many_files(bench, few, said)
    yield from _killed(bench, name, _made(bench, "tenth", _TENTH), _BUDGET / 10)


def audit_fleet(bench: Bench) -> Iterator[Row]:
    """Audit a quarter of a thousand hosts."""
    yield from _killed(bench, "audit-fleet", _made(bench, "whole", _WHOLE), _BUDGET)


def _made(bench: Bench, name: str, hosts: int) -> Quarter:
    folder = bench.installation.folder / name
    folder.mkdir()
    return Quarter.create(folder, hosts)


def _argv(bench: Bench, made: Quarter, *more: str) -> tuple[str, ...]:
    last = END.fromordinal(END.toordinal() - 1)
    span = ("--since", f"{BEGIN:%Y-%m-%d}", "--until", f"{last:%Y-%m-%d}")
    return (bench.installation.patchledger, *_arguments(made, *span), *more)


def _arguments(made: Quarter, *more: str) -> tuple[str, ...]:
    return ("--config", str(made.configuration()), "fleet", "audit", *more)


def _fetched(bench: Bench, name: str, made: Quarter) -> Iterator[Row]:
    """Have a publisher look, who leaves its copy of the reports, as it does all the time."""
    key = str(made.folder / "publisher")
    publish = ("--config", str(made.configuration()), "fleet", "publish", "--signing-key", key)
    command = bench.command("publish", bench.installation.patchledger, *publish, says="published")
    first = measure(command, bench.output)
    figure = f"{len(made.hosts)} hosts, first publish, which brings the reports: CPU"
    yield Row(name, figure, Spread.of([first.cpu]), "s")


def _cold(bench: Bench, made: Quarter, says: str, *forgotten: str) -> tuple[float, float]:
    """Audit without some of what is remembered, and return own seconds of CPU and of children."""
    for pattern in forgotten:
        for path in _state(made).glob(pattern):
            path.unlink()
    python = str(bench.installation.python)
    argv = ("-I", "-c", SPLIT, *_argv(bench, made)[1:])
    measure(bench.command("split", python, *argv, says=says), bench.output)
    _, own, others = bench.output.read_text(encoding="utf-8").split()[-3:]
    return float(own), float(others)


def _state(made: Quarter) -> Path:
    return made.folder / "state" / "fleet"


def _each(number: int, *seconds: float) -> Spread:
    return Spread.of([one / number * 1000 for one in seconds])


def _killed(bench: Bench, name: str, made: Quarter, budget: float) -> Iterator[Row]:
    """Kill an audit when half of its answers are kept, and have the next one go on."""
    hosts, runs = len(made.hosts), made.runs
    yield from _fetched(bench, name, made)
    first = _until_half(bench, made)
    left = sum(1 for _ in _state(made).glob("audit/[!.]*"))
    command = bench.command("the rest", *_argv(bench, made), says=f"{runs} proved, 0 unproved, 0 refuted")
    rest = measure(command, bench.output)
    what = f"{hosts} hosts, {runs} runs, {DAYS * 13 * hosts} heartbeats"
    yield Row(name, f"{what}: CPU until it was killed, {left} answers kept", Spread.of([first]), "s")
    yield Row(name, "the rest: CPU", Spread.of([rest.cpu]), "s")
    yield Row(name, "both: CPU", Spread.of([first + rest.cpu]), "s", budget)
    yield Row(name, "both: CPU, for each run", _each(runs, first + rest.cpu), "ms")
    yield Row(name, "the rest: by the clock", Spread.of([rest.wall]), "s")
    yield Row(name, "the rest: peak RSS of one process", Spread.of([rest.rss]), "MiB", 512)
    said = bench.output.read_bytes()
    again = measure(command, bench.output)
    if bench.output.read_bytes() != said:
        raise SpoiledError("an audit says something else the second time")
    yield Row(name, "again, nothing new: CPU", Spread.of([again.cpu]), "s")


def _until_half(bench: Bench, made: Quarter) -> float:
    """Return the seconds of CPU that an audit took until it was killed, in the midst of its answers."""
    argv = _argv(bench, made)
    with subprocess.Popen(argv, env=bench.installation.env, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            if sum(1 for _ in _state(made).glob("audit/[!.]*")) >= len(made.hosts) // 2:
                child.send_signal(signal.SIGKILL)
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
                return usage.ru_utime + usage.ru_stime
            time.sleep(_LOOKED_EVERY)
    raise SpoiledError(f"an audit ended with {child.returncode} before half of its answers were kept")


def _with_many_files(bench: Bench, made: Quarter, says: str) -> Iterator[Row]:
    """Have a host push 60,000 files that nobody needs: in many commits, then in a single one."""
    before = _cold(bench, made, says, *_OF_BRANCHES)
    host = made.hosts[-1]
    proved = f"{made.runs} proved"
    made.litter(host, _FILES, _AT_ONCE)
    measure(bench.command("fetch", *_argv(bench, made), says=""), bench.output)
    many = _cold(bench, made, proved, *_OF_BRANCHES)
    figure = f"{_FILES} files more in commits of {_AT_ONCE}: CPU more"
    yield Row("audit", figure, Spread.of([sum(many) - sum(before)]), "s", 30)
    made.litter(host, _FILES, _FILES)
    command = bench.command("fetch", *_argv(bench, made), says=f"{made.runs - 13} proved")
    once = measure(command, bench.output)
    yield Row("audit", f"{_FILES} files more in a single one: peak RSS", Spread.of([once.rss]), "MiB", 512)
    one = _cold(bench, made, f"{made.runs - 13} proved", *_OF_BRANCHES)
    figure = f"{_FILES} files more in a single one: CPU more, and no run of that host counts"
    yield Row("audit", figure, Spread.of([sum(one) - sum(before)]), "s", 30)
