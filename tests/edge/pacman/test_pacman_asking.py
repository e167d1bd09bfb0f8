"""How many processes a plan takes with pacman: its own, and those of the script that asks it."""

from datetime import UTC, datetime
from pathlib import Path

from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Question
from reconciler.targets.local import LocalTarget
from tests.labs.counted import TOOLS, Counted
from tests.labs.pacman import PacmanLab, Pkg

NOW = datetime.now(UTC)

PROGRAMS = ("pacman", "pacman-conf")
AT_MOST = {"pacman": 7, "pacman-conf": 2}
"""A plan looks (its version, what is newer, what takes whose place, the versions of that, dependencies) and
asks (its version, the transaction). Each of the two reads the configuration."""

OWN_AT_MOST = 55
"""Of the script's tools, in both."""


def _counting(lab: PacmanLab, script: PatchScript, counted: Counted) -> ScriptedManager:
    return ScriptedManager(PACMAN, LocalTarget({**lab.environment, **counted.environment}), script, lab.cache)


def test_a_plan_starts_pacman_and_tools_no_more_often_than_it_must(
    lab: PacmanLab, script: PatchScript, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "counted", (*PROGRAMS, *TOOLS))
    pacman = _counting(lab, script, counted)
    pacman.observe(NOW)
    pacman.resolve(Question())
    counted.begin()
    assert len(pacman.observe(NOW).offers) > 10
    assert len(pacman.resolve(Question()).changes) > 10
    starts = counted.starts()
    assert {name: starts.pop(name) for name in PROGRAMS} == AT_MOST
    assert starts.total() <= OWN_AT_MOST, starts


def test_what_is_installed_is_not_copied_to_be_looked_at(
    lab: PacmanLab, script: PatchScript, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "counted", ("cp", "mkdir", "xargs"))
    pacman = _counting(lab, script, counted)
    pacman.observe(NOW)
    pacman.resolve(Question())
    copying = [asked for tool in ("cp", "mkdir", "xargs") for asked in counted.asked(tool)]
    assert not [asked for asked in copying if "local" in asked]
    lab.lock.touch()
    counted.begin()
    pacman.resolve(Question())
    assert any("local" in asked for asked in counted.asked("cp"))


def test_databases_are_not_read_again_for_packages_that_were_looked_up_in_them(
    lab: PacmanLab, script: PatchScript, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "counted", ("bsdtar",))
    pacman = _counting(lab, script, counted)

    def looked() -> object:
        return pacman.observe(NOW).offers, pacman.resolve(Question()).changes

    first = looked()
    assert counted.starts().total() > 0
    looked()
    counted.begin()
    assert looked() == first
    assert counted.starts() == {}
    # Of what was not looked for yet, in a question of its own.
    assert pacman.resolve(Question(choose=(("plain", "1.1-1"),))).changes
    counted.begin()
    assert looked() == first
    assert counted.starts() == {}
    (lab.cache / "offered").unlink()
    assert looked() == first


def test_what_is_published_is_found_in_databases_that_were_read_before(
    lab: PacmanLab, pacman: ScriptedManager
) -> None:
    before = {offer.name: offer.candidate for offer in pacman.observe(NOW).offers}
    lab.publish(Pkg("plain", "1.2-1"))
    pacman.refresh()
    after = {offer.name: offer.candidate for offer in pacman.observe(NOW).offers}
    assert after == {**before, "plain": "1.2-1"}
    assert pacman.resolve(Question()).changes
    (lab.cache / "offered.123").write_text("of one that was stopped")
    lab.publish(Pkg("plain", "1.3-1"))
    pacman.refresh()
    assert {offer.candidate for offer in pacman.observe(NOW).offers if offer.name == "plain"} == {"1.3-1"}
    assert not (lab.cache / "offered.123").exists()
