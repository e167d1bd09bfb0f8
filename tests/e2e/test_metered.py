"""A connection begins to cost money in the middle of a download, on each package manager."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from reconciler.planning.facts.links import Cost
from reconciler.reconcile.tick import Tick
from tests.e2e.machines import INSIDE, Plant, code_of
from tests.e2e.site import BEFORE, SetClock
from tests.labs.fileserver import Stall, stalling

METERED = "a connection that NetworkManager calls metered"
SOON = timedelta(seconds=0.1)


@dataclass
class Way:
    """A link that costs money as soon as a package has come by half, until somebody says it does not."""

    stall: Stall

    def cost(self) -> Cost:
        is_metered = self.stall.is_wanted and self.stall.begun.is_set()
        return Cost(METERED if is_metered else "", is_watched=True)


@dataclass
class Steady:
    """A link that stays as it is."""

    metered: str = ""

    def cost(self) -> Cost:
        return Cost(self.metered, is_watched=True)


def tick(plant: Plant, way: Way | Steady, at: datetime) -> Tick:
    """Make a tick as `run` does, with this link."""
    wiring = wire(load_config(plant.site.config), SetClock(at))
    assessor = replace(wiring.ticker.assessor, link=way)
    applier = replace(wiring.ticker.applier, link=way, asks_every=SOON)
    ticker = replace(wiring.ticker, assessor=assessor, applier=applier)
    return run_once(plant.site.config, replace(wiring, ticker=ticker))


def test_a_download_ends_and_goes_on_when_the_connection_is_another_one(plant: Plant) -> None:
    plant.want("plain")
    with stalling(plant.machine.repository, ".deb", ".rpm", ".zst") as (url, stall):
        plant.machine.fetch_from(url)
        way = Way(stall)
        ended = tick(plant, way, BEFORE)
        assert code_of(ended) == 5
        assert [one.message for one in ended.failures] == [
            f"packages are not fetched any further: the machine has {METERED} now"
        ]
        assert stall.gone.wait(60)

        # Nothing is done through it, in the window neither.
        waiting = tick(plant, way, INSIDE)
        assert (code_of(waiting), waiting.runs) == (0, ())
        assert waiting.report.decision.outcome == "inhibited"
        assert waiting.report.decision.reason == f"inhibited by {METERED}"
        assert plant.version("plain") == "1.0"

        stall.is_wanted = False
        done = tick(plant, way, INSIDE + timedelta(minutes=15))
        assert (code_of(done), [run.outcome for run in done.runs]) == (0, ["applied"])
    assert plant.version("plain") == "1.1"


@pytest.mark.parametrize("plant", ["apt"], indirect=True)
def test_no_tick_is_quiet_while_nothing_is_fetched(plant: Plant) -> None:
    """What there is to update is not known then, and nothing that is compared tells that it is over."""
    plant.want("of-no-such-name")
    tick(plant, Steady(METERED), INSIDE)
    assert not (plant.site.state / "fingerprint.json").exists()
    tick(plant, Steady(), INSIDE + timedelta(minutes=15))
    assert (plant.site.state / "fingerprint.json").exists()
