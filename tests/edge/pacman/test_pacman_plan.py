"""The planner and a real pacman: the largest set that resolves is found and done, and nothing is left."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Exchange
from reconciler.planning.resolving.dialogue import next_question
from reconciler.planning.resolving.dispositions import Plan
from reconciler.planning.resolving.plan import make_plan
from reconciler.planning.runs.execution import Instruction
from reconciler.targets.local import LocalTarget
from tests.edge.pacman.conftest import Folder, run
from tests.labs.pacman import CONFLICTING, UNSAT, PacmanLab, Pkg
from tests.policies import effective

ALL = {
    "base", "configured", "epoch", "hostile", "lima", "newdep", "newdep-lib", "pair", "pair-data", "plain",
    "replaced", "replacer", "user",
}  # fmt: skip


def plan(pacman: ScriptedManager, *exceptions: dict[str, object]) -> tuple[Plan, Instruction]:
    """Observe and lead the conversation; return the plan and how it is carried out."""
    now = datetime.now(UTC)
    policy = effective(exceptions=exceptions)
    observation = pacman.observe(now)
    exchanges: list[Exchange] = []
    while (question := next_question(observation, policy, exchanges, now)) is not None:
        exchanges.append(Exchange(question, pacman.resolve(question)))
    found = make_plan(observation, policy, exchanges, now)
    # What is excluded is what the question excluded that was answered with the transaction.
    question = next(
        (
            each.question
            for each in reversed(exchanges)
            if each.question.only is None and each.answer.changes == found.transaction
        ),
        None,
    )
    exclude, block = (question.exclude, question.block) if question else ((), ())
    return found, Instruction(found.transaction, exclude=exclude, block=block)


@pytest.mark.parametrize(
    ("exception", "behind"),
    [
        ({"packages": ["base"], "action": "hold"}, {"base", "user"}),
        ({"packages": ["pair"], "action": "hold"}, {"pair", "pair-data"}),
        ({"packages": ["pair-data"], "action": "hold"}, {"pair", "pair-data"}),
        ({"packages": ["newdep-lib"], "action": "block"}, {"newdep", "newdep-lib"}),
        ({"packages": ["replaced"], "action": "hold"}, {"replaced", "replacer"}),
        ({"packages": ["plain"], "action": "hold", "versions": ">= 1.1"}, {"plain"}),
    ],
)
def test_what_an_exception_keeps_and_what_needs_it_stays_behind_and_all_else_is_done(
    lab: PacmanLab,
    pacman: ScriptedManager,
    folder: Folder,
    exception: dict[str, object],
    behind: set[str],
) -> None:
    found, instruction = plan(pacman, exception)
    assert {change.name for change in found.transaction} == ALL - behind
    for update in found.updates:
        if update.name in behind:
            assert str(update.disposition) in {"held", "blocked"}
            assert update.reasons[-1].code in {"exception-hold", "exception-block"}
    assert pacman.apply(instruction, folder()).exit_code == 0
    again, _ = plan(pacman, exception)
    assert again.transaction == ()
    assert lab.pacman("-Dk") == "No database errors have been found!\n"


@pytest.mark.parametrize("trouble", [UNSAT, CONFLICTING], ids=["unsat", "conflicting"])
def test_an_update_that_cannot_be_does_not_stop_the_others(
    lab: PacmanLab, script: PatchScript, pacman: ScriptedManager, trouble: Pkg
) -> None:
    lab.publish(trouble)
    run(lab, script, "--refresh")
    found, _ = plan(pacman)
    assert {change.name for change in found.transaction} == ALL - {"plain"}
    (plain,) = (update for update in found.updates if update.name == "plain")
    assert str(plain.disposition) == "unavailable"
    assert "PartialUpgrade" in {condition.type for condition in found.conditions}


def test_the_operators_hold_is_planned_with(lab: PacmanLab, pacman: ScriptedManager, folder: Folder) -> None:
    lab.hold_package("base")
    found, instruction = plan(pacman)
    assert {change.name for change in found.transaction} == ALL - {"base", "user"}
    assert pacman.apply(instruction, folder()).exit_code == 0


SUCCESSOR = (("provides", "oldname=2"), ("conflict", "oldname"), ("replaces", "oldname"))


def of_small_world(
    lab: PacmanLab, script: PatchScript, here: tuple[Pkg, ...], **offered: tuple[Pkg, ...]
) -> ScriptedManager:
    """Install packages in an empty root, and offer others, by repository."""
    lab.configuration.write_text(lab.configuration.read_text().partition("[lab]")[0])
    lab.install(*here)
    for repository, packages in offered.items():
        lab.publish_in(repository, *packages)
    run(lab, script, "--refresh")
    return ScriptedManager(PACMAN, LocalTarget(lab.environment), script, lab.cache)


@pytest.mark.parametrize("beside", [(), (Pkg("newname", "2.0-1"),)], ids=["new", "there"])
def test_a_rename_alone_is_planned_and_done(
    tmp_path: Path, script: PatchScript, folder: Folder, beside: tuple[Pkg, ...]
) -> None:
    lab = PacmanLab.empty(tmp_path / "lab")
    here = (Pkg("oldname", "1.0-1"), *beside)
    # The same version may have been built anew, with what was in the other package.
    new = Pkg("newname", "2.0-1", SUCCESSOR, {"usr/share/lab/handed-on": "old"})
    pacman = of_small_world(lab, script, here, core=(new,))
    found, instruction = plan(pacman)
    (update,) = (one for one in found.updates if one.name == "newname")
    assert [reason.code for reason in update.reasons] == ["selected", "replaces"]
    assert pacman.apply(instruction, folder()).exit_code == 0
    assert lab.versions() == {"newname": "2.0-1"}
    assert (lab.root / "usr/share/lab/handed-on").read_text() == "old"
    assert plan(pacman)[0].transaction == ()


@pytest.mark.parametrize(
    ("held", "version", "why"),
    [
        ((), "2.0-1", "2.0-1 cannot be installed: newname 2.0-1 needs nobody"),
        ((), "1.5-1", "1.5-1 cannot be installed: newname 1.5-1 needs nobody"),
        (("oldname",), "2.0-1", "oldname is on hold on this machine, by its operator"),
    ],
    ids=["unmet", "older, of a later repository", "held"],
)
def test_what_would_take_a_place_and_cannot_is_told_where_it_is_there(
    tmp_path: Path, script: PatchScript, held: tuple[str, ...], version: str, why: str
) -> None:
    lab = PacmanLab.empty(tmp_path / "lab")
    here = (Pkg("oldname", "1.0-1"), Pkg("newname", "2.0-1"))
    needy = Pkg("newname", version, SUCCESSOR if held else (*SUCCESSOR, ("depend", "nobody")))
    first = needy if version == "2.0-1" else Pkg("newname", "2.0-1")
    pacman = of_small_world(lab, script, here, core=(first,), extra=(needy,))
    for name in held:
        lab.hold_package(name)
    found, _ = plan(pacman)
    told = [
        (one.name, one.candidate, one.replaces, [each.message for each in one.reasons])
        for one in found.updates
    ]
    assert told == [("newname", version, ("oldname",), [why])]


@pytest.mark.parametrize(
    ("exceptions", "why"),
    [
        ([], ("operator-hold", "oldname is on hold on this machine, by its operator")),
        (
            [{"packages": ["oldname"], "action": "hold"}],
            ("exception-hold", "exception 'e0' holds back oldname 1.0-1"),
        ),
    ],
    ids=["operator", "exception"],
)
def test_a_newer_version_that_takes_the_place_of_what_is_held_names_the_hold(
    tmp_path: Path, script: PatchScript, exceptions: list[dict[str, object]], why: tuple[str, str]
) -> None:
    lab = PacmanLab.empty(tmp_path / "lab")
    here = (Pkg("oldname", "1.0-1"), Pkg("newname", "1.0-1"))
    pacman = of_small_world(lab, script, here, core=(Pkg("newname", "2.0-1", SUCCESSOR),))
    if not exceptions:
        lab.hold_package("oldname")
    (update,) = plan(pacman, *exceptions)[0].updates
    told = [(reason.code, reason.message.partition(" until ")[0]) for reason in update.reasons]
    assert told == [("would-remove", "2.0-1 comes only with the removal of oldname"), why]


def told_of(found: Plan) -> dict[str, list[str]]:
    return {one.name: [reason.message for reason in one.reasons] for one in found.updates}


def test_what_needs_the_old_version_of_what_stays_behind_comes(
    tmp_path: Path, script: PatchScript, folder: Folder
) -> None:
    lab = PacmanLab.empty(tmp_path / "lab")
    here = (Pkg("library", "1.0-1"), Pkg("program", "1.0-1"))
    # The program is named first, since the library would move; and without the program, that does not.
    offered = (
        Pkg("library", "1.1-1", (("depend", "program>=1.1"),)),
        Pkg("program", "1.1-1", (("depend", "library=1.0"),)),
    )
    pacman = of_small_world(lab, script, here, core=offered)
    found, instruction = plan(pacman)
    assert told_of(found)["program"] == ["all updates are wanted"]
    assert "library" in told_of(found)
    assert pacman.apply(instruction, folder()).exit_code == 0
    assert lab.versions() == {"library": "1.0-1", "program": "1.1-1"}
    assert plan(pacman)[0].transaction == ()


@pytest.mark.parametrize("newer", [(Pkg("beside", "1.1-1"),), ()], ids=["newer on offer", "none newer"])
def test_what_brings_in_what_cannot_be_beside_another_package_stays_behind_alone(
    tmp_path: Path, script: PatchScript, folder: Folder, newer: tuple[Pkg, ...]
) -> None:
    lab = PacmanLab.empty(tmp_path / "lab")
    here = tuple(Pkg(name, "1.0-1") for name in ("beside", "needy", "other"))
    offered = (
        Pkg("needy", "1.1-1", (("depend", "newcomer"),)),
        Pkg("newcomer", "1.0-1", (("conflict", "beside"), ("provides", "beside=1.1"))),
        Pkg("other", "1.1-1"),
        *newer,
    )
    pacman = of_small_world(lab, script, here, core=offered)
    found, instruction = plan(pacman)
    assert {change.name for change in found.transaction} == {"other", *(one.name for one in newer)}
    assert told_of(found)["needy"] == ["1.1-1 cannot be installed: newcomer conflicts with beside"]
    assert pacman.apply(instruction, folder()).exit_code == 0
    assert plan(pacman)[0].transaction == ()


def test_of_two_repositories_of_one_name_the_first_counts_and_an_empty_one_is_none(
    lab: PacmanLab, script: PatchScript, pacman: ScriptedManager, folder: Folder, tmp_path: Path
) -> None:
    subprocess.run(["bsdtar", "-czf", tmp_path / "void.db", "-T", os.devnull], check=True)
    with lab.configuration.open("a") as configuration:
        configuration.write(f"[lab]\nServer = file:///nowhere\n[void]\nServer = file://{tmp_path}\n")
    assert run(lab, script, "--refresh") == 0
    _, instruction = plan(pacman)
    assert {change.name for change in instruction.changes} == ALL
    assert pacman.apply(instruction, folder()).exit_code == 0
    # With nothing to upgrade, pacman's complaint would be all of its answer.
    assert plan(pacman)[0].transaction == ()
