"""What the repositories that are left out have neither is planned nor comes in, against a real dnf."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from reconciler.managers.scripted import ScriptedManager
from reconciler.planning.facts.observation import Change, Question
from reconciler.planning.runs.execution import Instruction
from tests.labs import naming
from tests.labs.dnf import DnfLab
from tests.labs.rpm import Repository, Rpm


def test_what_a_repository_has_that_is_left_out_is_not_there(
    lab: DnfLab, dnf: ScriptedManager, folder: Callable[[], Path]
) -> None:
    Repository.make(
        lab.folder / "stranger",
        (Rpm("plain", "9-1", fields={"Requires": "stranger"}), Rpm("stranger", "1-1")),
    )
    lab.configure_repository("stranger", f"file://{lab.folder}/stranger")
    lab.refresh()
    everything = naming.moved(dnf.resolve(Question()).changes)
    assert (everything["plain"], everything["stranger"]) == ("9-1", "1-1")
    within = {offer.name: offer.candidate for offer in dnf.observe(datetime.now(UTC), ("stranger",)).offers}
    assert within["plain"] == "1.1-1"
    counted = naming.moved(dnf.resolve(Question(without=("stranger",))).changes)
    assert counted["plain"] == "1.1-1"
    assert "stranger" not in counted

    def to(version: str) -> Instruction:
        return Instruction((Change("upgrade", "plain", "noarch", "1.0-1", version),), without=("stranger",))

    assert dnf.apply(to("9-1"), folder()).exit_code == 26
    assert lab.versions()["plain"] == "1.0-1"
    assert dnf.apply(to("1.1-1"), folder()).exit_code == 0
    assert lab.versions()["plain"] == "1.1-1"
