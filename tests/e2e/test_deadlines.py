"""What is late is said with its line of policy and what is in the way, with and without severity."""

from datetime import datetime, timedelta

import pytest

from reconciler.cli import main
from reconciler.errors import exit_code
from tests.e2e.machines import Plant, RedHat
from tests.e2e.site import BEFORE, OPENING
from tests.labs.rpm import Advisory

DAY = timedelta(days=1)
POLICY = "deadline: {critical: 2d, security: 520w, other: 30d}\nrefresh: {stale_after: 520w}\n"
HOLD = """\
kind: Exception
name: regression
packages: tool
action: hold
reason: it breaks the lab
expires: 2099-01-01
"""


def offered(plant: Plant) -> tuple[str, int]:
    """Offer an update, as critical as the package manager can tell; return its deadline's key and days."""
    plant.offer("tool")
    match plant.machine:
        case RedHat():
            plant.machine.repo.advise(
                Advisory("LAB-1", ("tool-1.1-1",), severity="Moderate"),
                Advisory("LAB-2", ("tool-1.1-1",), severity="Critical"),
            )
            return "critical", 2
        case _:
            return "other", 30


@pytest.mark.parametrize("plant", ["apt", "dnf"], indirect=True)
def test_what_is_late_is_told_until_it_is_installed(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    key, days = offered(plant)
    plant.want("tool", policy=POLICY)
    plant.site.commit({"exceptions/hold.yaml": HOLD})
    first = plant.tick(BEFORE)
    late = BEFORE + days * DAY
    assert first.failures == ()
    assert first.assessment.next_instant is not None
    assert first.assessment.next_instant <= late
    deadline = plant.update("tool")["deadline"]
    assert (datetime.fromisoformat(deadline["at"]), deadline["version"][:3]) == (late, "1.1")
    assert (deadline["setting"], deadline["origin"][:21]) == (f"deadline.{key}", "policies/base.yaml:7@")
    assert main(["--config", str(plant.site.config), "explain", "tool"]) == 0
    assert f"due by {late:%a %Y-%m-%d %H:%M} UTC" in " ".join(capsys.readouterr().out.split())

    plant.machine.publish("tool", "1.2")
    assert plant.tick(late - timedelta(seconds=1)).failures == ()
    assert plant.update("tool")["deadline"] == deadline
    (failure,) = plant.tick(late).failures
    assert (failure.message, exit_code(failure)) == ("overdue: tool", 1)
    said = plant.condition("Overdue")
    assert said["reason"] == key.capitalize()
    assert f"deadline.{key} is {days}d, policies/base.yaml:7@" in said["message"]
    assert "in the way: exception 'regression' holds back tool 1.2" in said["message"]
    assert "(exceptions/hold.yaml:1@" in said["message"]

    plant.site.commit({"exceptions/hold.yaml": None})
    (failure,) = plant.tick(late + timedelta(hours=1)).failures
    assert "in the way: window: " in failure.hint
    done = plant.tick(OPENING + (days + 1) * DAY + timedelta(minutes=5))
    assert done.failures == ()
    assert (plant.version("tool") or "").startswith("1.2")
    assert (plant.condition("Overdue"), plant.report()["counts"]["overdue"]) == (None, 0)
