"""The benchmarks' own arithmetic and inputs; what they measure is not tested here."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import policies
from benchmarks.__main__ import measured
from benchmarks.applying import Copies
from benchmarks.bench import Bench, Row
from benchmarks.installation import Installation
from benchmarks.measure import Command, Sample, SpoiledError, Spread, Turns, in_turn, measure
from reconciler.gitops.revision import read_folder
from reconciler.policy.budgets import CALENDAR_LINES, DOCUMENTS, OCCURRENCES
from reconciler.policy.load import Revision, load
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import Resolver
from reconciler.policy.windows import starts


def test_the_documents_are_a_thousand_valid_ones_and_always_the_same(tmp_path: Path) -> None:
    files = policies.write(tmp_path / "one")
    again = policies.write(tmp_path / "two")
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]
    revision = load(read_folder(tmp_path / "one"))
    assert isinstance(revision, Revision)
    found = {kind: len(getattr(revision, kind)) for kind in policies.KINDS}
    assert found == policies.KINDS
    assert sum(found.values()) == 1000


def test_the_full_policy_is_valid_and_comes_near_every_limit(tmp_path: Path) -> None:
    for path, text in policies.full().items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8", newline="")
    revision = load(read_folder(tmp_path))
    assert isinstance(revision, Revision), revision
    documents = sum(len(getattr(revision, kind)) for kind in policies.KINDS)
    assert documents > 0.8 * DOCUMENTS.most
    assert sum(data.count(b"\n") for data in revision.calendars.values()) > 0.8 * CALENDAR_LINES.most
    schedules = Resolver(revision).resolve(HostFacts("web-01", {}, "debian", "12", "apt")).schedules
    assert sum(starts(window) for one in schedules for window in one.windows) > 0.8 * OCCURRENCES.most


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


def test_a_process_may_be_expected_to_end_otherwise(tmp_path: Path) -> None:
    shell = Command("no", ("/bin/sh", "-c", "echo there is a plan; exit 1"), {}, "a plan", code=1)
    assert measure(shell, tmp_path / "out").wall > 0


def test_a_spoiled_turn_is_made_again_whole_and_told(tmp_path: Path) -> None:
    marker, log = tmp_path / "spoiled", tmp_path / "log"
    once = f"echo a >>{log}; [ $(wc -l <{log}) -ne 3 ] || exit 1"
    commands = (
        Command("sound", ("/bin/sh", "-c", f"echo b >>{marker}")),
        Command("once", ("/bin/sh", "-c", once)),
    )
    told: list[str] = []
    turns = in_turn(commands, 3, tmp_path / "out", told.append)
    assert [len(turn) for turn in turns.samples] == [2, 2, 2]
    # One turn to warm up, three that count, one that was spoiled: both of its commands were run once more.
    assert (len(marker.read_text().split()), len(log.read_text().split())) == (5, 5)
    assert [one.split(" and said")[0] for one in told] == ["a turn is made again, since once ended with 1"]


def test_turns_are_not_made_again_for_ever(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(SpoiledError, match="wrong ended with 3"):
        in_turn((Command("wrong", ("/bin/sh", "-c", "exit 3")),), 10, tmp_path / "out", told.append)
    assert len(told) == 4


def test_what_is_done_to_a_copy_of_this_machine_is_forgotten(tmp_path: Path) -> None:
    marker = Path("/etc/patchledger-benchmark-marker")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as layer:
        (Path(layer) / "changes/etc").mkdir(parents=True)
        (Path(layer) / "changes/etc/only-in-copies").write_text("mine\n")
        script = (
            f"cat /etc/only-in-copies; echo more >>/etc/only-in-copies; : >{marker}; test -e {marker};"
            "test -x /usr/sbin/policy-rc.d; cat /proc/net/dev"
        )
        copy = Copies(Path(layer)).command("copy", "/bin/sh", "-ec", script, says="mine\nInter-")
        for _ in range(2):
            measure(copy, tmp_path / "out")
    interfaces = (tmp_path / "out").read_text().splitlines()[3:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    assert not marker.exists()


def test_an_unknown_benchmark_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "idle-tick" in done.stderr


def test_a_spoiled_benchmark_keeps_the_figures_of_the_others(tmp_path: Path) -> None:
    bench = Bench(Installation(tmp_path, tmp_path, tmp_path), 1, print)
    figure = Row("sound", "time", Spread(1.0, 1.0, 1.0), "s")

    def sound(_bench: Bench) -> Iterator[Row]:
        yield figure

    def spoiled(_bench: Bench) -> Iterator[Row]:
        yield Row("spoiled", "time", Spread(2.0, 2.0, 2.0), "s")
        raise SpoiledError("it printed something else")

    rows, notes = measured({"spoiled": spoiled, "sound": sound}, lambda _name: bench)

    assert figure in rows
    assert notes == ["spoiled could not be measured: it printed something else"]
