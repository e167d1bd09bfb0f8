"""Which updates a real host takes by severity, and by the state of a day; all is decided again from git."""

from datetime import timedelta

import pytest

from reconciler.cli import main
from tests.e2e.machines import INSIDE, Plant, RedHat, Suse
from tests.e2e.site import BEFORE, POLICY
from tests.labs.rpm import Advisory

pytestmark = pytest.mark.usefixtures("lawful")


@pytest.mark.parametrize("plant", ["dnf", "zypper"], indirect=True)
def test_what_is_severe_is_installed_and_the_rest_explains_itself(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("grave", "mild"):
        plant.offer(name)
    assert isinstance(plant.machine, RedHat | Suse)
    plant.machine.repo.advise(
        Advisory("LAB-1", ("grave-1.1-1",), severity="Critical"),
        Advisory("LAB-2", ("mild-1.1-1",), severity="Moderate"),
    )
    policy = "updates: security\nseverity: important\nsteps: single\n"
    plant.site.commit({"policies/base.yaml": f"{POLICY}{policy}"})
    assert plant.tick().failures == ()
    versions = {name: plant.version(name) for name in ("grave", "mild")}
    assert versions == {"grave": "1.1", "mild": "1.0"}
    assert main(["--config", str(plant.site.config), "explain", "mild"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "its advisories are moderate at most, and policy wants important" in said
    assert "policies/base.yaml:" in said
    # The same with a lower bar is another plan of the same recording.
    plant.site.commit({"policies/base.yaml": f"{POLICY}{policy}".replace("important", "moderate")})
    assert plant.tick(INSIDE + timedelta(minutes=20)).failures == ()
    assert plant.version("mild") == "1.1"


@pytest.mark.parametrize("plant", ["apt", "dnf"], indirect=True)
def test_the_state_of_a_day_is_installed_and_nothing_newer(plant: Plant) -> None:
    plant.offer("tool")
    plant.want("tool", policy=f"as_of: {BEFORE:%Y-%m-%d}\nrefresh: {{stale_after: 520w}}\n")
    assert plant.tick(BEFORE).failures == ()
    plant.machine.publish("tool", "1.2")
    assert plant.tick(INSIDE + timedelta(days=1)).failures == ()
    assert plant.version("tool") == "1.1"
    left = plant.update("tool")
    assert (left["disposition"], left["candidate"][:3]) == ("too-young", "1.2")
    assert f"and policy patches to the state of {BEFORE:%Y-%m-%d}" in left["reasons"][0]["message"]
    # It never becomes ready: only another day brings it.
    assert plant.tick(INSIDE + timedelta(days=2)).failures == ()
    assert plant.version("tool") == "1.1"
