"""How many processes a plan takes with pacman: its own, and those of the script that asks it."""

from datetime import UTC, datetime
from pathlib import Path

from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Question
from reconciler.targets.local import LocalTarget
from tests.labs.counted import TOOLS, Counted
from tests.labs.pacman import PacmanLab

NOW = datetime.now(UTC)

PROGRAMS = ("pacman", "pacman-conf")
AT_MOST = {"pacman": 7, "pacman-conf": 2}
"""A plan looks (its version, what is newer, what takes whose place, the versions of that, dependencies) and
asks (its version, the transaction). Each of the two reads the configuration."""

OWN_AT_MOST = 57
"""Of the script's tools, in both."""


def test_a_plan_starts_pacman_and_tools_no_more_often_than_it_must(
    lab: PacmanLab, script: PatchScript, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "counted", (*PROGRAMS, *TOOLS))
    target = LocalTarget({**lab.environment, **counted.environment})
    pacman = ScriptedManager(PACMAN, target, script, lab.cache)
    assert len(pacman.observe(NOW).offers) > 10
    assert len(pacman.resolve(Question()).changes) > 10
    starts = counted.starts()
    assert {name: starts.pop(name) for name in PROGRAMS} == AT_MOST
    assert starts.total() <= OWN_AT_MOST, starts


def test_what_is_installed_is_not_copied_to_be_looked_at(
    lab: PacmanLab, script: PatchScript, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "counted", ("cp", "mkdir", "xargs"))
    target = LocalTarget({**lab.environment, **counted.environment})
    pacman = ScriptedManager(PACMAN, target, script, lab.cache)
    pacman.observe(NOW)
    pacman.resolve(Question())
    copying = [asked for tool in ("cp", "mkdir", "xargs") for asked in counted.asked(tool)]
    assert not [asked for asked in copying if "local" in asked]
    lab.lock.touch()
    counted.begin()
    pacman.resolve(Question())
    assert any("local" in asked for asked in counted.asked("cp"))
