"""``benchmarks/run``: prepare, measure, print a table."""

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.bench import Bench, Row
from benchmarks.cases import BENCHMARKS, LONG
from benchmarks.installation import Installation
from benchmarks.measure import SpoiledError

_RUNS = 15
_WHOLE_FROM = 20
"""Figures from here on are shown without decimals."""
_SMALL = 0.1


def main() -> int:
    """Run the chosen benchmarks; 1 where a budget was missed, or one could not be measured."""
    arguments = _parser().parse_args()
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="patchledger-benchmark-") as temporary:
        tell("Installing this checkout into a temporary folder ...")
        folder = Path(temporary)
        installation = Installation.create(folder)
        names = arguments.names or [name for name in BENCHMARKS if name not in LONG]
        rows, spoiled = measured(
            {name: BENCHMARKS[name] for name in names},
            lambda name: Bench(installation.apart(name), arguments.runs, lambda note: _note(notes, note)),
        )
    notes += spoiled
    sys.stdout.write(_table(rows) + "".join(f"\nNote: {note}.\n" for note in notes))
    if arguments.json:
        document = {
            "runs": arguments.runs,
            "python": platform.python_version(),
            "rows": list(map(_record, rows)),
        }
        text = json.dumps(document, indent=1, ensure_ascii=False)
        arguments.json.write_text(f"{text}\n", encoding="utf-8")
    return int(bool(spoiled) or any(row.verdict == "MISSED" for row in rows))


def measured(
    benchmarks: Mapping[str, Callable[[Bench], Iterable[Row]]], bench_of: Callable[[str], Bench]
) -> tuple[list[Row], list[str]]:
    """Measure one after the other, and return the figures and why others could not be had.

    What spoils one, such as a clock that was set meanwhile, takes the figures of no other.
    """
    rows: list[Row] = []
    spoiled = []
    for name, benchmark in benchmarks.items():
        bench = bench_of(name)
        tell(f"Measuring {name}: {bench.runs} turns ...")
        try:
            rows += benchmark(bench)
        except SpoiledError as error:
            spoiled.append(f"{name} could not be measured: {error}")
            tell(spoiled[-1])
    return rows, spoiled


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks/run",
        description="Measure patchledger against floors and peers, in turn, on this machine. Nothing is "
        "installed on the system and nothing is upgraded.",
    )
    parser.add_argument(
        "names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME", help=", ".join(BENCHMARKS)
    )
    parser.add_argument(
        "--runs", type=_positive, default=_RUNS, metavar="N", help=f"turns (default: {_RUNS})"
    )
    parser.add_argument(
        "--json",
        type=_writable,
        metavar="FILE",
        help="write the figures to this file too",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _writable(text: str) -> Path:
    """Make the file now: measuring takes minutes."""
    path = Path(text)
    try:
        path.touch()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from error
    return path


def tell(sentence: str) -> None:
    """Say on standard error how far it is."""
    sys.stderr.write(f"{sentence}\n")


def _note(notes: list[str], note: str) -> None:
    """Say at once what the table will say too."""
    tell(note)
    notes.append(note)


def _table(rows: Sequence[Row]) -> str:
    lines = ["| benchmark | figure | median | range | budget | verdict |", "|---|---|---:|---:|---:|---|"]
    for row in rows:
        found = row.found
        range_ = "" if found.low == found.high else f"{_shown(found.low)}..{_shown(found.high)}"
        budget = "" if row.budget is None else f"≤ {row.budget:g}"
        if row.stretch is not None:
            budget += f" (stretch {row.stretch:g})"
        median = f"{_shown(found.median)} {row.unit}".strip()
        lines.append(f"| {row.benchmark} | {row.figure} | {median} | {range_} | {budget} | {row.verdict} |")
    return "\n".join(lines) + "\n"


def _shown(figure: float) -> str:
    """Return a figure with about three digits."""
    if figure >= _WHOLE_FROM or figure == int(figure):
        return f"{figure:.0f}"
    return f"{figure:.3f}" if figure < _SMALL else f"{figure:.2f}"


def _record(row: Row) -> dict[str, object]:
    return {**asdict(row), "verdict": row.verdict}


if __name__ == "__main__":
    sys.exit(main())
