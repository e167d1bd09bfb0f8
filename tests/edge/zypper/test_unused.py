"""What nothing needs any more, as a real zypper tells it and lets it go."""

import platform
from pathlib import Path

import pytest

from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.managers.zypper import ZYPPER
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Answer, Change, Question
from reconciler.planning.runs.execution import Instruction
from reconciler.targets.local import LocalTarget
from tests.labs.folders import Folder, numbered
from tests.labs.rpm import Repository, Rpm
from tests.labs.running import run_inside
from tests.labs.unused_machines import (
    BEFORE,
    BY_UPDATE,
    NEEDING,
    keep_kernels,
    suse_kernel,
    zypper_machine,
)
from tests.labs.unused_machines import SUSE_KERNEL as KERNEL
from tests.labs.unused_machines import SUSE_VERSIONS as VERSIONS
from tests.labs.zypper import ZypperLab
from tests.managers.told import parse_answer

UNUSED = Question(unused=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ZypperLab:
    return zypper_machine(tmp_path_factory.mktemp("unused") / "lab")


@pytest.fixture
def lab(world: ZypperLab, tmp_path: Path) -> ZypperLab:
    return world.copy(tmp_path / "lab")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Make a folder for each execution."""
    return numbered(tmp_path)


def kernels(answer: Answer) -> set[tuple[str, str | None]]:
    return {(one.name, one.from_version) for one in answer.changes if one.unused == "kernel"}


def packages(answer: Answer) -> set[str]:
    return {one.name for one in answer.changes if one.unused == "package"}


def all_of(*versions: str) -> set[tuple[str, str | None]]:
    return {(name, version) for name in KERNEL for version in versions}


def going(answer: Answer) -> Question:
    found = ((str(one.package), one.from_version or "") for one in answer.changes)
    return Question(remove=tuple(sorted(found)))


def test_old_kernels_and_all_that_only_unneeded_packages_need(
    lab: ZypperLab, zypper: ScriptedManager
) -> None:
    answer = zypper.resolve(UNUSED)
    assert kernels(answer) == all_of(*VERSIONS[:3])
    assert packages(answer) == set(BEFORE)
    assert {one.action for one in answer.changes} == {"remove"}
    lab.zypper("--no-refresh", "update", NEEDING)
    assert packages(zypper.resolve(UNUSED)) == {*BEFORE, *BY_UPDATE}


@pytest.mark.parametrize(
    ("setting", "going_"),
    [
        ("latest,latest-2,running", (0, 1, 3)),
        ("latest,oldest,running", (1, 2, 3)),
        (f"latest,{VERSIONS[1]},running", (0, 2, 3)),
        ("latest,oldest+1", (0, 2, 3)),
        ("latest,latest-1,latest-2,latest-3,oldest", ()),
        ("", ()),
    ],
)
def test_which_kernels_stay_is_the_operators_setting_as_zypper_reads_it(
    lab: ZypperLab, zypper: ScriptedManager, setting: str, going_: tuple[int, ...]
) -> None:
    keep_kernels(lab, setting)
    assert kernels(zypper.resolve(UNUSED)) == all_of(*(VERSIONS[number] for number in going_))


def test_the_running_kernel_stays_whatever_the_setting_says(
    lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    running = platform.release().partition("-")[0]
    lab.install(*suse_kernel(f"{running}-fc.1"))
    keep_kernels(lab, "oldest")
    commands = "patch --dry-run --unused >/mnt/said"
    results = run_inside(lab.root, script, tmp_path, commands)
    answer = parse_answer(ZYPPER, (results / "said").read_text())
    assert kernels(answer) == all_of(*VERSIONS[1:])


def test_what_the_operator_locks_is_unused_all_the_same_and_goes_not(
    lab: ZypperLab, zypper: ScriptedManager, folder: Folder
) -> None:
    lab.lock(BEFORE[1])
    before = lab.digest()
    unused = zypper.resolve(UNUSED)
    assert packages(unused) == set(BEFORE)
    refused = zypper.resolve(going(unused))
    assert (refused.exit_code, refused.changes) == (exit_codes.UNRESOLVED, ())
    assert f"there is a lock on {BEFORE[1]}" in refused.message
    assert zypper.apply(Instruction(unused.changes), folder()).exit_code == exit_codes.UNRESOLVED
    assert lab.digest() == before


def test_a_locked_kernel_is_not_old(lab: ZypperLab, zypper: ScriptedManager) -> None:
    lab.lock(KERNEL[0])
    assert {name for name, _ in kernels(zypper.resolve(UNUSED))} <= {*KERNEL[1:]}


def test_the_removal_of_exactly_these_is_asked_about(zypper: ScriptedManager) -> None:
    unused = zypper.resolve(UNUSED)
    answer = zypper.resolve(going(unused))
    assert answer.exit_code == 0
    assert {(one.action, one.package, one.from_version) for one in answer.changes} == {
        (one.action, one.package, one.from_version) for one in unused.changes
    }


def test_what_would_go_along_is_told(zypper: ScriptedManager) -> None:
    answer = zypper.resolve(Question(remove=((f"{BY_UPDATE[1]}:noarch", "1.0-1"),)))
    assert {one.name for one in answer.changes} == {BY_UPDATE[0], BY_UPDATE[1], NEEDING}


def test_a_version_that_is_not_there_is_named(zypper: ScriptedManager) -> None:
    answer = zypper.resolve(Question(remove=((f"{BEFORE[0]}:noarch", "0.9-1"),)))
    assert answer.exit_code == exit_codes.GONE
    assert answer.message == f"not installed any more: {BEFORE[0]}:noarch=0.9-1"


def test_they_go_and_nothing_else_and_come_back_as_they_were(
    lab: ZypperLab, script: PatchScript, shell: tuple[str, ...], folder: Folder
) -> None:
    # Even where the operator lets zypper remove more.
    configuration = lab.root / "etc/zypp/zypp.conf"
    configuration.write_text(configuration.read_text() + "solver.cleandepsOnRemove = true\n")
    zypper = ScriptedManager(ZYPPER, LocalTarget(lab.environment, shell), script, lab.cache, root=lab.root)
    lab.zypper("--no-refresh", "update", NEEDING)
    before, marks = lab.versions(), lab.automatic
    unused = zypper.resolve(UNUSED).changes
    new = tuple(one for one in unused if one.unused == "kernel" or one.name in BY_UPDATE)
    assert len(new) == 9 + 5
    assert zypper.apply(Instruction(new), folder()).exit_code == 0
    expected = {name: version for name, version in before.items() if name not in BY_UPDATE}
    expected |= dict.fromkeys(KERNEL, " ".join(sorted(VERSIONS[3:])))
    assert lab.versions() == expected
    assert zypper.apply(Instruction(new), folder()).exit_code == 10
    back = tuple(Change("install", name, "noarch", None, "1.0-1") for name in BY_UPDATE)
    marked = tuple(str(one.package) for one in back)
    assert zypper.apply(Instruction(back, automatic=marked), folder()).exit_code == 0
    assert lab.versions() == expected | dict.fromkeys(BY_UPDATE, "1.0-1")
    assert lab.automatic == marks
    assert packages(zypper.resolve(UNUSED)) == {*BEFORE, *BY_UPDATE}


def test_an_old_kernel_comes_back_beside_the_newer_ones(
    lab: ZypperLab, zypper: ScriptedManager, folder: Folder, tmp_path: Path
) -> None:
    before = lab.versions()
    unused = tuple(one for one in zypper.resolve(UNUSED).changes if one.unused == "kernel")
    assert zypper.apply(Instruction(unused), folder()).exit_code == 0
    kernels_ = [each for one in VERSIONS for each in suse_kernel(one)]
    lab.configure_repository("more", Repository.make(tmp_path / "more", kernels_).url)
    lab.refresh()
    back = tuple(Change("install", one.name, one.arch, None, one.from_version) for one in unused)
    execution = zypper.apply(Instruction(back), folder())
    assert (execution.exit_code, execution.message) == (0, "")
    assert lab.versions() == before


def test_one_that_is_needed_again_stops_it(lab: ZypperLab, zypper: ScriptedManager, folder: Folder) -> None:
    unused = zypper.resolve(UNUSED).changes
    lab.install(Rpm("newcomer", "1.0-1", fields={"Requires": BEFORE[2]}))
    before = lab.digest()
    execution = zypper.apply(Instruction(unused), folder())
    assert execution.exit_code == 25
    assert "newcomer" in execution.message
    assert lab.digest() == before


def test_asking_changes_nothing_and_needs_no_source(lab: ZypperLab, zypper: ScriptedManager) -> None:
    lab.configure_repository("never-read", "file:///nowhere")
    before = lab.digest()
    assert zypper.resolve(going(zypper.resolve(UNUSED))).exit_code == 0
    assert lab.digest() == before
