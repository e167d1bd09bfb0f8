"""Whose work a run is: the programs that are counted, and all the rest."""

import sys
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.installation import Installation
from benchmarks.measure import Command
from benchmarks.shares import rows, shares
from tests.labs.counted import Counted

_BUSY = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"


def _bench(tmp_path: Path, runs: int = 1) -> Bench:
    installation = Installation(Path(sys.executable), tmp_path, tmp_path)
    return Bench(installation, runs, lambda _: None)


def _command(counted: Counted, script: str, code: int = 0) -> Command:
    return Command("it", ("/bin/sh", "-c", script), counted.environment, code=code)


def test_each_start_is_counted_with_its_arguments_and_ends_as_it_would(tmp_path: Path) -> None:
    counted = Counted(tmp_path / "counted", ("expr", "no-such-program"))
    command = _command(counted, "expr 1 + 1; expr 2 + 2; awk 'BEGIN {}'; expr 1 = 2", code=1)
    (one,) = shares(_bench(tmp_path), command, counted)
    assert (one.started, one.listed) == (3, "3 expr")
    assert counted.asked("expr") == ["1 + 1", "1 = 2", "2 + 2"]


def test_what_a_program_starts_itself_is_no_start_of_its_own(tmp_path: Path) -> None:
    counted = Counted(tmp_path / "counted", ("env", "expr"))
    (one,) = shares(_bench(tmp_path), _command(counted, "env expr 1 + 1"), counted)
    assert one.listed == "1 env"


def test_work_of_a_counted_program_is_the_managers_and_all_else_ours(tmp_path: Path) -> None:
    counted = Counted(tmp_path / "counted", ("dash",))
    theirs, ours = (
        shares(_bench(tmp_path), _command(counted, script), counted)[0]
        for script in (f"dash -c '{_BUSY}'", f"{_BUSY}; dash -c :")
    )
    assert theirs.manager > 2 * theirs.own
    assert ours.own > 2 * ours.manager


def test_each_turn_begins_anew(tmp_path: Path) -> None:
    counted = Counted(tmp_path / "counted", ("expr",))
    found = shares(_bench(tmp_path, 3), _command(counted, "expr 1 + 1"), counted)
    assert [one.started for one in found] == [1, 1, 1]
    own, manager, started = rows("plan-x", found)
    assert (own.budget, manager.budget) == (0.4, None)
    assert (started.figure, started.found.median) == ("manager processes started (1 expr)", 1)
