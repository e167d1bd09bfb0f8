"""What the repositories that are left out have neither is planned nor comes in, against a real pacman."""

import shutil
from datetime import UTC, datetime

from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Question
from reconciler.planning.runs.execution import Instruction
from tests.edge.pacman.conftest import Folder, run
from tests.labs.pacman import PacmanLab, Pkg


def versions_of(pacman: ScriptedManager, without: tuple[str, ...] = ()) -> dict[str, str | None]:
    return {one.name: one.to_version for one in pacman.resolve(Question(without=without)).changes}


def test_what_a_repository_has_that_is_left_out_is_not_there(
    fresh_lab: PacmanLab, script: PatchScript, pacman: ScriptedManager, folder: Folder
) -> None:
    lab = fresh_lab
    stranger = PacmanLab(lab.folder, lab.folder / "stranger")
    stranger.publish(Pkg("plain", "9-1", (("depend", "stranger"),)), Pkg("stranger", "1-1"))
    # What stands first is what pacman takes.
    text = lab.configuration.read_text()
    section = f"[stranger]\nServer = file://{stranger.repository}\n"
    lab.configuration.write_text(text.replace("[lab]\n", f"{section}[lab]\n"))
    shutil.copy(stranger.repository / "lab.db.tar.gz", stranger.repository / "stranger.db")
    assert run(lab, script, "--refresh") == 0
    everything = versions_of(pacman)
    assert (everything["plain"], everything["stranger"]) == ("9-1", "1-1")
    without = ("stranger",)
    within = {offer.name: offer.candidate for offer in pacman.observe(datetime.now(UTC), without).offers}
    assert within["plain"] == "1.1-1"
    counted = pacman.resolve(Question(without=without))
    assert versions_of(pacman, without)["plain"] == "1.1-1"
    assert "stranger" not in {one.name for one in counted.changes}
    done = pacman.apply(Instruction(counted.changes, without=without), folder())
    assert (done.exit_code, lab.versions()["plain"]) == (0, "1.1-1")
    pacman.observe(datetime.now(UTC))
    assert versions_of(pacman)["plain"] == "9-1"
