"""Whose work a plan is: the package manager's own processes, or all the rest, which is ours.

A plan is made once more for it in each turn, with the manager's programs counted (:mod:`tests.labs.counted`).
Own are Python, the shell and its tools (awk, sed, sort, ...); of the total, what the manager's processes took
is the manager's, with what it takes to count them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.bench import Bench, Row
from benchmarks.measure import Command, Spread, measure
from tests.labs.counted import Counted

OWN_CPU = 0.4
"""Seconds that a plan may take beside the package manager's own processes."""


@dataclass(frozen=True, slots=True)
class Shares:
    """One run.

    Attributes:
        own: Seconds of CPU of all but the manager's processes.
        manager: Of these.
        started: How many of these were started.
        listed: The same by name, as ``2 dnf, 1 rpm``.
    """

    own: float
    manager: float
    started: int
    listed: str


def programs(bench: Bench, *names: str) -> Counted:
    """Make counted programs; the host to be measured has ``PATH: {counted.path}`` in its ``environment``."""
    return Counted(bench.installation.folder / "counted", names)


def shares(bench: Bench, command: Command, counted: Counted) -> Sequence[Shares]:
    """Run a command as often as the benchmark has turns."""
    return [_share(bench, command, counted) for _ in range(bench.runs)]


def _share(bench: Bench, command: Command, counted: Counted) -> Shares:
    counted.begin()
    total = measure(command, bench.output).cpu
    starts = counted.starts()
    listed = ", ".join(f"{number} {name}" for name, number in sorted(starts.items())) or "none"
    return Shares(total - counted.cpu(), counted.cpu(), starts.total(), listed)


def rows(benchmark: str, found: Sequence[Shares], budget: float | None = OWN_CPU) -> Iterator[Row]:
    """Tell what is whose."""
    yield Row(
        benchmark,
        "own CPU (all but the manager's processes)",
        Spread.of([one.own for one in found]),
        "s",
        budget,
    )
    yield Row(benchmark, "CPU of the manager's processes", Spread.of([one.manager for one in found]), "s")
    listed = found[-1].listed
    yield Row(
        benchmark, f"manager processes started ({listed})", Spread.of([one.started for one in found]), ""
    )
