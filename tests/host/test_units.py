"""Our units as systemd reads them: no complaint, no surprise, and no worse than the documentation says."""

import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from reconciler.errors import Misuse
from reconciler.host.install.units import BOOT, NAMES, SERVICE, TIMER, WATCH, UnitInputs, unit_files

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "units.md"
USUAL = UnitInputs(
    Path("/usr/bin/env"),  # systemd-analyze wants it to be there
    Path("/etc/patchledger/config.yaml"),
    timedelta(minutes=15),
    (("ops", Path("/etc/patchledger/credentials/ops.cred")),),
    (Path("/srv/reports.git"),),
)


def installed(tick: timedelta = USUAL.tick) -> UnitInputs:
    return replace(USUAL, tick=tick)


def write(folder: Path, units: UnitInputs) -> list[str]:
    for name, text in unit_files(units).items():
        (folder / name).write_text(text, encoding="utf-8")
    return [str(folder / name) for name in NAMES]


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found.setdefault(name, []).append(value)
    return found


ODD = UnitInputs(
    Path("/usr/bin/env"),
    Path('/etc/a folder/50% $HOME "quoted".yaml'),
    timedelta(minutes=45),
    (("ops", Path("/etc/a folder/50%.cred")),),
    (Path("/srv/a folder"), Path("/srv/50%")),
    Path("/srv/a folder/state"),
)


@pytest.mark.lab
@pytest.mark.parametrize("units", [installed(), installed(timedelta(minutes=7)), ODD])
def test_systemd_has_nothing_to_complain_about(tmp_path: Path, units: UnitInputs) -> None:
    files = write(tmp_path, units)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.lab
@pytest.mark.parametrize("name", [SERVICE, BOOT, WATCH])
def test_exposure_is_no_worse_than_documented(tmp_path: Path, name: str) -> None:
    write(tmp_path, installed())
    stated = re.search(r"exposure level of (\d+\.\d)", PAGE.read_text(encoding="utf-8"))
    assert stated is not None
    threshold = round(float(stated[1]) * 10)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={threshold}", str(tmp_path / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-400:]


@pytest.mark.lab
def test_every_missing_restriction_has_its_reason(tmp_path: Path) -> None:
    """Whatever systemd-analyze finds wanting stands in the page's table."""
    write(tmp_path, installed())
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(tmp_path / SERVICE)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "COLUMNS": "300"},
    )
    wanting = {line.split()[1].split("=")[0] for line in done.stdout.splitlines() if line.startswith("✗")}
    assert len(wanting) > 5
    table = PAGE.read_text(encoding="utf-8").partition("## What is missing")[2]
    assert {name for name in wanting if f"`{name}=" not in table} == set()


def test_the_timer_pulls_in_nothing_and_catches_up() -> None:
    files = unit_files(installed())
    assert not [name for name, text in files.items() if "Requires=" in text]
    timer = settings(files[TIMER])
    assert timer["Persistent"] == ["yes"]
    assert timer["WantedBy"] == ["timers.target"]
    assert "[Install]" not in files[SERVICE], "nothing but the timer starts it"
    assert settings(files[WATCH])["Conflicts"] == [TIMER]
    journals = [f"|/var/lib/patchledger/{name}" for name in ("journal.json", "journal.copy.json")]
    assert settings(files[BOOT])["ConditionPathExists"] == journals


@pytest.mark.lab
@pytest.mark.parametrize("minutes", [1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 288, 360, 480, 720, 1440])
def test_ticks_come_at_even_distances(minutes: int) -> None:
    """Asked of systemd itself: a whole day of elapses, across a night in which clocks change."""
    tick = timedelta(minutes=minutes)
    starts: set[datetime] = set()
    count = 1440 // minutes
    for expression in settings(unit_files(installed(tick))[TIMER])["OnCalendar"]:
        said = subprocess.run(
            [
                "systemd-analyze",
                "calendar",
                f"--iterations={count}",
                "--base-time=2026-03-28 12:00:00 UTC",
                expression,
            ],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": "/usr/bin:/bin", "TZ": "Europe/Berlin", "LC_ALL": "C"},
        ).stdout
        shown = re.findall(r"(?:\(in UTC\)|Next elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC", said)
        starts |= {datetime.strptime(at, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) for at in shown}
    day = sorted(starts)[:count]
    assert {later - earlier for earlier, later in pairwise(day)} <= {tick}
    assert len(day) == count


def test_tick_and_delay_fit_into_what_windows_have_to_spare() -> None:
    """`policy check` wants 20 minutes more than the budget: a tick, and its delay."""
    assert settings(unit_files(installed())[TIMER])["RandomizedDelaySec"] == ["300s"]
    assert settings(unit_files(installed(timedelta(minutes=1)))[TIMER])["RandomizedDelaySec"] == ["20s"]


def test_the_time_between_ticks_may_be_odd() -> None:
    timer = settings(unit_files(installed(timedelta(minutes=7)))[TIMER])
    assert (timer["OnActiveSec"], timer["OnUnitActiveSec"]) == (["7min"], ["7min"])
    assert "OnCalendar" not in timer


@pytest.mark.parametrize("tick", [timedelta(0), timedelta(seconds=90), timedelta(days=2)])
def test_a_tick_that_cannot_be_had_is_refused(tick: timedelta) -> None:
    with pytest.raises(Misuse, match="tick: "):
        unit_files(installed(tick))


@pytest.mark.parametrize("path", [Path("etc/config.yaml"), Path("/etc/a\nExecStart=sh")])
def test_no_path_can_add_a_line(path: Path) -> None:
    with pytest.raises(Misuse, match="cannot stand in a unit"):
        unit_files(replace(USUAL, config=path))


@pytest.mark.parametrize("name", [SERVICE, BOOT, WATCH])
def test_a_tick_has_a_bound_for_memory(name: str) -> None:
    found = settings(unit_files(USUAL)[name])
    assert (found["MemoryMax"], found["OOMPolicy"]) == (["2G"], ["continue"])
