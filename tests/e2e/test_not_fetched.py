"""Packages whose files cannot be had: set aside for a time, so that they hold up nothing else."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.machines import INSIDE, Plant, code_of
from tests.e2e.site import OPENING
from tests.labs.fileserver import serving

pytestmark = pytest.mark.usefixtures("lawful")

QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)


@pytest.fixture
def served(plant: Plant) -> Iterator[Plant]:
    """A machine that fetches its packages from a server, with four updates of which one needs another."""
    for name in ("lost", "spoilt"):
        plant.offer(name)
    plant.machine.install("needer")
    plant.machine.publish("needer", needs="lost")
    plant.want("lost", "spoilt", "needer", "plain")
    with serving(plant.machine.repository) as url:
        plant.machine.fetch_from(url)
        yield plant


def spoil(file: Path) -> bytes:
    """Have a file be another one of the same size; returns what it was."""
    whole = file.read_bytes()
    file.write_bytes(whole[:-20] + bytes(byte ^ 255 for byte in whole[-20:]))
    return whole


def take_away(plant: Plant) -> dict[Path, bytes]:
    """Have the server lose one package and serve another that is damaged; returns what they were."""
    lost, spoilt = plant.machine.offered("lost"), plant.machine.offered("spoilt")
    kept = {lost: lost.read_bytes(), spoilt: spoil(spoilt)}
    lost.unlink()
    return kept


def versions(plant: Plant) -> dict[str, str | None]:
    return {name: plant.version(name) for name in ("lost", "needer", "plain", "spoilt")}


def test_what_cannot_be_fetched_is_set_aside_and_the_rest_is_applied(served: Plant) -> None:
    kept = take_away(served)
    done = served.tick()
    assert code_of(done) == 5, done.failures
    assert [(run.outcome, run.code) for run in done.runs][-1] == ("applied", "")
    assert {run.code for run in done.runs[:-1]} == {"not-fetched"}
    assert versions(served) == {"lost": "1.0", "needer": "1.0", "plain": "1.1", "spoilt": "1.0"}

    for name, words in (("lost", ("404", "not found", "file size")), ("spoilt", ("sum", "Sum", "igest"))):
        (reason,) = served.update(name)["reasons"]
        assert (served.update(name)["disposition"], reason["code"]) == ("held", "not-fetched")
        assert any(word in reason["message"] for word in words), reason
        assert f"tried again after {INSIDE + HOUR:%Y-%m-%dT%H:%M}" in reason["message"]
    assert "lost" in served.update("needer")["reasons"][0]["message"]
    told = served.condition("PackagesQuarantined")
    assert told["reason"] == "NotFetched"
    assert told["message"].startswith("in quarantine: lost 1.1")
    assert "spoilt 1.1" in told["message"].partition("; ")[0]

    # Nothing is tried again before its time, and nothing else is held up.
    quiet = served.tick(INSIDE + QUARTER)
    assert (code_of(quiet), quiet.runs) == (0, ())

    for file, content in kept.items():
        file.write_bytes(content)
    done = served.tick(INSIDE + HOUR + QUARTER)
    assert (code_of(done), [run.outcome for run in done.runs]) == (0, ["applied"])
    assert set(versions(served).values()) == {"1.1"}
    assert served.condition("PackagesQuarantined") is None


@pytest.mark.parametrize("plant", ["apt"], indirect=True)
def test_what_stays_missing_is_tried_ever_more_seldom_and_holds_up_nothing(served: Plant) -> None:
    served.want("lost", "spoilt", "plain")
    take_away(served)
    served.tick()
    # After an hour both are tried again, though now none of all files can be had; the next time comes later.
    codes = [code_of(served.tick(INSIDE + number * HOUR / 2)) for number in range(1, 5)]
    assert codes == [0, 5, 0, 0]
    assert served.runs()[-1]["code"] == "unreachable"
    assert served.condition("PackagesQuarantined")["reason"] == "NotFetched"


def test_where_the_server_is_away_nothing_is_set_aside(plant: Plant) -> None:
    for name in ("lost", "spoilt"):
        plant.offer(name)
    plant.want("lost", "spoilt", "plain")
    with serving(plant.machine.repository) as url:
        plant.machine.fetch_from(url)
        # Outside of the window, and with an action that fetches nothing ahead, the metadata are read.
        plant.site.commit({"policies/more.yaml": "kind: Policy\nname: more\npriority: 9\naction: plan\n"})
        assert code_of(plant.tick(OPENING - QUARTER)) == 0
    plant.site.commit({"policies/more.yaml": None})
    done = plant.tick()
    assert code_of(done) == 5, done.failures
    assert {plant.version(name) for name in ("lost", "spoilt", "plain")} == {"1.0"}
    assert plant.condition("PackagesQuarantined") is None
