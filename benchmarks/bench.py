"""What all benchmarks share: how a figure is shown, what it is measured with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.installation import Installation
from benchmarks.measure import Command, Sample, Spread, Turns, in_turn

# Runs the command inside a bare interpreter that counts the processes it starts and reads its own peak.
WITNESS = """\
import sys
started = 0
def see(event, arguments):
    global started
    started += event in {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.system"}
sys.addaudithook(see)
from reconciler.cli import main
code = main(sys.argv[1:])
with open("/proc/self/status", "rb") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith(b"VmHWM:"))
print(f"\\nwitness {started} {peak}")
sys.exit(code)
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure and its budget.

    Attributes:
        benchmark: Its name.
        figure: What was measured.
        found: Median and range over the turns.
        unit: ``×`` for ratios.
        budget: Upper bound of the median; ``None`` where the figure only informs.
        stretch: A bound that would be nice to keep.
        command: What was measured, for the JSON file.
    """

    benchmark: str
    figure: str
    found: Spread
    unit: str
    budget: float | None = None
    stretch: float | None = None

    @property
    def verdict(self) -> str:
        """Say whether the median keeps the budget."""
        if self.budget is None:
            return "for information"
        if self.found.median > self.budget:
            return "MISSED"
        if self.stretch is None:
            return "kept"
        return "kept, stretch too" if self.found.median <= self.stretch else "kept, stretch missed"


@dataclass(frozen=True, slots=True)
class Bench:
    """What a benchmark works with."""

    installation: Installation
    runs: int
    note: Callable[[str], None]

    @property
    def output(self) -> Path:
        """Where measured processes print to."""
        return self.installation.folder / "output"

    def command(self, name: str, *argv: str, says: str = "") -> Command:
        """Return a command with the environment all measured processes get."""
        return Command(name, argv, self.installation.env, says)

    def turns(self, *commands: Command, runs: int | None = None, warm: bool = False) -> Turns:
        """Measure commands in turn; a turn that was spoiled and made again is noted."""
        return in_turn(commands, self.runs if runs is None else runs, self.output, self.note, warm=warm)


def cpu(sample: Sample) -> float:
    """Return seconds of CPU."""
    return sample.cpu


def cpu_ratio(mine: Sample, other: Sample) -> float:
    """Return how much more CPU one used than the other."""
    return mine.cpu / other.cpu


def milliseconds(sample: Sample) -> float:
    """Return the time that passed."""
    return sample.wall * 1000


def rss(sample: Sample) -> float:
    """Return the peak of memory in MiB."""
    return sample.rss


def wall(sample: Sample) -> float:
    """Return the seconds that passed."""
    return sample.wall


def wall_ratio(mine: Sample, other: Sample) -> float:
    """Return how much longer one took than the other."""
    return mine.wall / other.wall


def cpu_more(mine: Sample, other: Sample) -> float:
    """Return how many seconds of CPU one used more than the other."""
    return mine.cpu - other.cpu


def wall_more(mine: Sample, other: Sample) -> float:
    """Return how many seconds longer one took than the other."""
    return mine.wall - other.wall
