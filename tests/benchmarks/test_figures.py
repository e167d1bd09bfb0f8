"""The benchmarks' own arithmetic and inputs; what they measure is not tested here."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import policies
from benchmarks.bench import Row
from benchmarks.measure import Command, Sample, SpoiledError, Spread, Turns, measure
from reconciler.gitops.revision import read_folder
from reconciler.policy.load import Revision, load


def test_the_documents_are_a_thousand_valid_ones_and_always_the_same(tmp_path: Path) -> None:
    files = policies.write(tmp_path / "one")
    again = policies.write(tmp_path / "two")
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]
    revision = load(read_folder(tmp_path / "one"))
    assert isinstance(revision, Revision)
    found = {kind: len(getattr(revision, kind)) for kind in policies.KINDS}
    assert found == policies.KINDS
    assert sum(found.values()) == 1000


def test_ratios_are_taken_within_a_turn() -> None:
    mine, other = Command("mine", ("/bin/true",)), Command("other", ("/bin/true",))
    samples = tuple((Sample(cpu, 0, 0), Sample(base, 0, 0)) for cpu, base in ((2, 1), (30, 10), (4, 1)))
    turns = Turns((mine, other), samples)
    assert turns.each(lambda a, b: a.cpu / b.cpu, mine, other) == Spread(3, 2, 4)
    assert Spread.of([1, 2, 4, 8]) == Spread(3, 1, 8)


@pytest.mark.parametrize(
    ("median", "stretch", "verdict"),
    [
        (1.1, None, "MISSED"),
        (1.0, None, "kept"),
        (0.9, 0.7, "kept, stretch missed"),
        (0.7, 0.7, "kept, stretch too"),
    ],
)
def test_the_median_decides(median: float, stretch: float | None, verdict: str) -> None:
    assert Row("plan", "CPU", Spread(median, 0, 9), "×", 1.0, stretch).verdict == verdict


def test_cpu_time_of_grandchildren_counts(tmp_path: Path) -> None:
    spin = "import time\nwhile time.process_time() < 0.2: pass"
    shell = Command("spin", ("/bin/sh", "-c", f"'{sys.executable}' -c '{spin}'; echo done"), {}, "done")
    assert measure(shell, tmp_path / "out").cpu >= 0.2


@pytest.mark.parametrize(("script", "says"), [("exit 3", ""), ("echo other", "expected")])
def test_a_process_that_does_something_else_is_not_measured(tmp_path: Path, script: str, says: str) -> None:
    with pytest.raises(SpoiledError, match="wrong ended with"):
        measure(Command("wrong", ("/bin/sh", "-c", script), {}, says), tmp_path / "out")


def test_an_unknown_benchmark_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "idle-tick" in done.stderr
