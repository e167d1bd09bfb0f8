"""A change by hand is a commit, a subject and a message of its own, with every package manager."""

from datetime import timedelta

from tests.e2e.machines import INSIDE, Plant
from tests.e2e.site import BEFORE


def test_a_change_by_hand_is_reported_at_the_next_tick_and_no_run_of_ours_is(plant: Plant) -> None:
    plant.offer("good")
    plant.want("good")
    plant.tick(BEFORE)
    first = plant.report()
    plant.machine.install("byhand")
    plant.tick(BEFORE + timedelta(minutes=15))
    found = plant.report()
    assert [(one["action"], one["name"], one["from"]) for one in found["changed_outside"]] == [
        ("install", "byhand", None)
    ]
    assert found["previous"]["inventory"] == first["inventory"] != found["inventory"]
    assert plant.site.commits()[0].startswith("web-01: 1 change outside of runs, ")
    number = len(plant.site.commits())

    plant.tick(BEFORE + timedelta(minutes=30))
    assert len(plant.site.commits()) == number
    plant.tick(INSIDE)
    assert plant.version("good") == "1.1"
    assert plant.report()["changed_outside"] == []
    assert plant.report()["inventory"] != found["inventory"]
