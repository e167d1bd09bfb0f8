"""Whole processes, measured by the kernel's own accounting.

What is compared runs in turn (A B C, A B C, ...), and ratios are taken within a turn, so that a machine that
is busy for a while is busy for all of them.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024


class SpoiledError(Exception):
    """A process did not do what was to be measured."""


@dataclass(frozen=True, slots=True)
class Command:
    """A process to measure.

    Attributes:
        name: As the tables show it.
        argv: Program (an absolute path) and arguments.
        env: Its whole environment.
        says: Must be in its standard output, so that nothing else is measured by mistake.
        code: How it ends where all is well.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    says: str = ""
    code: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one process.

    Attributes:
        cpu: User and system time in seconds, with all descendants that were waited for.
        wall: Seconds.
        rss: Largest resident set of any one process of it, in MiB. A new process inherits this mark from the
            one that starts it, so it is never below what this harness itself has used (some 15 MiB).
    """

    cpu: float
    wall: float
    rss: float


def measure(command: Command, output: Path) -> Sample:
    """Run a command to its end, its standard output into the file ``output``.

    Raises:
        SpoiledError: It ended or spoke in another way than expected.
    """
    actions = (
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, f"{output}.errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    )
    start = time.perf_counter()
    child = os.posix_spawn(command.argv[0], command.argv, dict(command.env), file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - start
    code = os.waitstatus_to_exitcode(status)
    said = output.read_text(encoding="utf-8", errors="replace")
    if code != command.code or command.says not in said:
        errors = Path(f"{output}.errors").read_text(encoding="utf-8", errors="replace")
        raise SpoiledError(f"{command.name} ended with {code} and said: {(errors or said).strip()[-500:]}")
    return Sample(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / MIB)


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of some figures."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        """Sum up at least one figure."""
        ranked = sorted(figures)
        half = len(ranked) // 2
        median = ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) / 2
        return cls(median, ranked[0], ranked[-1])


@dataclass(frozen=True, slots=True)
class Turns:
    """Commands and what each turn measured of them, in the same order."""

    commands: tuple[Command, ...]
    samples: tuple[tuple[Sample, ...], ...]

    def each(self, figure: Callable[..., float], *commands: Command) -> Spread:
        """Sum up ``figure`` of the samples that each turn took of ``commands``."""
        places = [self.commands.index(command) for command in commands]
        return Spread.of([figure(*(turn[place] for place in places)) for turn in self.samples])


def in_turn(
    commands: Sequence[Command],
    runs: int,
    output: Path,
    tell: Callable[[str], None] = lambda _: None,
    *,
    warm: bool = False,
) -> Turns:
    """Measure all commands ``runs`` times in turn, after one turn that only warms up.

    A turn in which something went wrong counts for nothing and is made again, whole, since its parts are
    compared; twice, and once more for every five turns.

    Args:
        commands: In the order of a turn.
        runs: Turns that count.
        output: File for what they print.
        tell: Is told why a turn is made again.
        warm: No turn is needed to warm up.

    Raises:
        SpoiledError: Too many turns were spoiled.
    """
    turns: list[tuple[Sample, ...]] = []
    first = 0 if warm else 1
    spare = 2 + runs // 5
    while len(turns) < first + runs:
        try:
            turns.append(tuple([measure(command, output) for command in commands]))
        except SpoiledError as error:
            if not spare:
                raise
            spare -= 1
            tell(f"a turn is made again, since {error}")
    return Turns(tuple(commands), tuple(turns[first:]))
