"""Ticks that are killed with their package manager: the next one brings them to an end, and tells so."""

from datetime import timedelta

import pytest

from tests.e2e.machines import INSIDE, Debian, Plant, code_of
from tests.e2e.site import BEFORE
from tests.labs.apt import MAIN, PAUSE, Deb

NEXT_DAY = timedelta(days=1)


def kill_in_the_middle(plant: Plant) -> None:
    """Kill the tick and its package manager while a script stands still."""
    plant.arrange_pause()
    with plant.start() as child:
        plant.wait_for_pause()
        assert (plant.site.state / "journal.json").exists()
        child.kill()
        plant.kill_everything()
        child.communicate()
    plant.forget_pause()


def assert_recovered(plant: Plant, *names: str) -> None:
    """Let the next run come, outside of the window, and look at what it made of the machine."""
    done = plant.tick(BEFORE + NEXT_DAY)
    assert code_of(done) == 1
    (record,) = plant.runs()
    assert (record["outcome"], record["code"]) == ("interrupted", "interrupted")
    assert "ended from outside during step" in record["reason"]
    assert not (plant.site.state / "journal.json").exists()
    assert plant.condition("PackageSystemInterrupted") is None
    # What is told to have changed is what has.
    moved = {move["name"]: move["to"] for move in record["difference"]["changed"]}
    missing = {move["name"] for move in record["difference"]["missing"]}
    assert plant.version("bad") == "1.1"
    assert "bad" in moved
    for name in names:
        assert (plant.version(name) == "1.1") == (name in moved) == (name not in missing)
    # Inside the next window, what is left is done, and then there is nothing left.
    plant.tick(INSIDE + NEXT_DAY)
    assert {name: plant.version(name) for name in names} == dict.fromkeys(names, "1.1")
    assert code_of(plant.tick(INSIDE + NEXT_DAY + timedelta(minutes=15))) == 0
    assert plant.report()["counts"]["pending"] == 0


def test_everything_killed_during_a_script(plant: Plant) -> None:
    plant.offer("bad", "pauses")
    plant.want("bad", "plain")
    held = plant.machine.hold("lima").read_text()
    kill_in_the_middle(plant)
    assert_recovered(plant, "plain")
    assert plant.version("lima") == "1.0"
    assert plant.runs()[0]["notes"] == []
    assert "lima" in held


@pytest.mark.parametrize("plant", ["apt"], indirect=True)
def test_everything_killed_during_unpacking(plant: Plant) -> None:
    machine = plant.machine
    assert isinstance(machine, Debian)
    # The old version's script runs when the new files are unpacked and nothing is recorded yet.
    machine.lab.install(Deb("bad", "1.0", scripts={"postrm": PAUSE}))
    machine.lab.publish(MAIN, Deb("bad", "1.1"))
    plant.want("bad", "plain")
    kill_in_the_middle(plant)
    assert machine.lab.states() == {"bad": "install reinstreq half-installed"}
    assert_recovered(plant, "plain")
    assert machine.lab.states() == {}


@pytest.mark.parametrize("plant", ["pacman"], indirect=True)
def test_a_stale_lock_that_nobody_holds_is_cleared_once_and_told(plant: Plant) -> None:
    lock = plant.machine.root / "var/lib/pacman/db.lck"
    lock.touch()
    plant.want("plain")
    done = plant.tick()
    assert [one.outcome for one in done.runs][-1] == "applied"
    assert [one["outcome"] for one in plant.runs()] == ["repaired", "applied"]
    assert plant.version("plain") == "1.1"
    assert not lock.exists()
    assert code_of(done) == 0
