"""What nothing needs any more, as a real pacman tells it and lets it go."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Answer, Change, Question
from reconciler.planning.runs.execution import Instruction
from reconciler.targets.local import LocalTarget
from tests.labs.folders import Folder, numbered
from tests.labs.pacman import PacmanLab, Pkg
from tests.labs.unused_machines import BEFORE, BY_UPDATE, NEEDING, pacman_machine

UNUSED = Question(unused=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> PacmanLab:
    return pacman_machine(tmp_path_factory.mktemp("unused") / "lab")


@pytest.fixture
def lab(world: PacmanLab) -> Iterator[PacmanLab]:
    with tempfile.TemporaryDirectory(dir=world.folder.parent) as folder:
        Path(folder).chmod(0o755)
        yield world.copy(Path(folder) / "c", repository=True)


@pytest.fixture
def pacman(lab: PacmanLab, script: PatchScript) -> ScriptedManager:
    return ScriptedManager(PACMAN, LocalTarget(lab.environment), script, lab.cache)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Make a folder for each execution."""
    return numbered(tmp_path)


def packages(answer: Answer) -> set[str]:
    return {one.name for one in answer.changes if one.unused == "package"}


def going(*names: str) -> Question:
    return Question(remove=tuple((f"{name}:any", "1.0-1") for name in sorted(names)))


def test_all_that_only_unneeded_packages_need_and_no_kernels(lab: PacmanLab, pacman: ScriptedManager) -> None:
    answer = pacman.resolve(UNUSED)
    assert packages(answer) == set(BEFORE)
    assert {(one.action, one.unused) for one in answer.changes} == {("remove", "package")}
    lab.pacman("-Syu")
    assert packages(pacman.resolve(UNUSED)) == {*BEFORE, *BY_UPDATE}


def test_what_is_optional_to_another_is_needed(lab: PacmanLab, pacman: ScriptedManager) -> None:
    lab.install(Pkg("fan", "1.0-1", (("optdepend", f"{BEFORE[10]}: for more"),)))
    assert packages(pacman.resolve(UNUSED)) == set(BEFORE[:10])


def test_where_nothing_is_unused_that_is_the_answer(lab: PacmanLab, pacman: ScriptedManager) -> None:
    lab.pacman("-D", "--asexplicit", BEFORE[0])
    answer = pacman.resolve(UNUSED)
    assert (answer.changes, answer.exit_code) == ((), 0)


@pytest.mark.parametrize("option", ["HoldPkg", "IgnorePkg"])
def test_what_the_operator_keeps_is_unused_all_the_same_and_goes_not(
    lab: PacmanLab, pacman: ScriptedManager, option: str
) -> None:
    lab.configure(f"{option} = {BEFORE[0][:-1]}*")
    assert packages(pacman.resolve(UNUSED)) == set(BEFORE)
    answer = pacman.resolve(going(*BEFORE[:1]))
    assert (answer.exit_code, answer.changes) == (exit_codes.UNRESOLVED, ())
    assert answer.message == f"the operator keeps these as they are: {BEFORE[0]}"


def test_the_removal_of_exactly_these_is_asked_about(pacman: ScriptedManager) -> None:
    answer = pacman.resolve(going(*BEFORE))
    assert answer.exit_code == 0
    assert {(one.action, one.name, one.from_version, one.to_version) for one in answer.changes} == {
        ("remove", name, "1.0-1", None) for name in BEFORE
    }


def test_what_would_go_along_is_told(pacman: ScriptedManager) -> None:
    answer = pacman.resolve(going(BY_UPDATE[1]))
    assert answer.exit_code == 0
    assert {one.name for one in answer.changes} == {BY_UPDATE[0], BY_UPDATE[1], NEEDING}


def test_a_version_that_is_not_there_is_named(pacman: ScriptedManager) -> None:
    answer = pacman.resolve(Question(remove=((f"{BEFORE[0]}:any", "0.9-1"),)))
    assert answer.exit_code == exit_codes.GONE
    assert answer.message == f"not installed any more: {BEFORE[0]}:any=0.9-1"


@pytest.mark.parametrize("is_kept", [True, False])
def test_they_go_and_nothing_else_and_come_back_as_they_were(
    lab: PacmanLab, script: PatchScript, shell: tuple[str, ...], folder: Folder, *, is_kept: bool
) -> None:
    pacman = ScriptedManager(PACMAN, LocalTarget(lab.environment, shell), script, lab.cache)
    lab.pacman("-Syu")
    before, marks = lab.versions(), lab.automatic()
    new = tuple(one for one in pacman.resolve(UNUSED).changes if one.name in BY_UPDATE)
    assert len(new) == 5
    assert pacman.apply(Instruction(new), folder()).exit_code == 0
    assert lab.versions() == {name: version for name, version in before.items() if name not in BY_UPDATE}
    assert lab.automatic() == marks - {*BY_UPDATE}
    assert pacman.apply(Instruction(new), folder()).exit_code == 10
    if not is_kept:
        # The mirror still has them.
        for file in lab.archives.iterdir():
            file.unlink()
    back = tuple(Change("install", one.name, one.arch, None, one.from_version) for one in new)
    marked = tuple(str(one.package) for one in back)
    assert pacman.apply(Instruction(back, automatic=marked), folder()).exit_code == 0
    assert (lab.versions(), lab.automatic()) == (before, marks)


def test_a_version_that_is_named_must_be_the_one_that_goes(
    lab: PacmanLab, pacman: ScriptedManager, folder: Folder
) -> None:
    before = lab.versions()
    other = Change("remove", BEFORE[0], "any", "0.9-1", None, unused="kernel")
    execution = pacman.apply(Instruction((other,)), folder())
    assert (execution.exit_code, execution.message) == (
        exit_codes.GONE,
        f"not installed any more: {BEFORE[0]}:any=0.9-1",
    )
    assert lab.versions() == before


def test_one_that_is_needed_again_stops_it(lab: PacmanLab, pacman: ScriptedManager, folder: Folder) -> None:
    unused = pacman.resolve(UNUSED).changes
    lab.install(Pkg("newcomer", "1.0-1", (("depend", BEFORE[2]),)))
    before = lab.versions()
    execution = pacman.apply(Instruction(unused), folder())
    assert execution.exit_code == exit_codes.UNRESOLVED
    assert "could not satisfy dependencies" in execution.message
    assert lab.versions() == before


def test_asking_changes_nothing(lab: PacmanLab, pacman: ScriptedManager) -> None:
    before = lab.digest()
    pacman.resolve(UNUSED)
    pacman.resolve(going(*BEFORE))
    assert lab.digest() == before
