"""What nothing needs any more, as a real dnf tells it and lets it go."""

import platform
from pathlib import Path

import pytest

from reconciler.managers.dnf import DNF
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Answer, Change, Question
from reconciler.planning.runs.execution import Instruction
from reconciler.targets.local import LocalTarget
from tests.labs.dnf import DnfLab
from tests.labs.folders import Folder
from tests.labs.rpm import Repository, Rpm
from tests.labs.running import run_inside
from tests.labs.unused_machines import BEFORE, BY_UPDATE, NEEDING, dnf_kernel, dnf_machine
from tests.labs.unused_machines import DNF_KERNEL as KERNEL
from tests.labs.unused_machines import DNF_VERSIONS as VERSIONS
from tests.managers.told import parse_answer

UNUSED = Question(unused=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> DnfLab:
    return dnf_machine(tmp_path_factory.mktemp("unused") / "lab")


@pytest.fixture
def lab(world: DnfLab, tmp_path: Path) -> DnfLab:
    return world.copy(tmp_path / "lab")


def update(lab: DnfLab) -> None:
    """Update what needs some of the packages."""
    lab.dnf("-y", "--setopt=installonly_limit=0", "upgrade", NEEDING)


def kernels(answer: Answer) -> set[tuple[str, str | None]]:
    return {(one.name, one.from_version) for one in answer.changes if one.unused == "kernel"}


def packages(answer: Answer) -> set[str]:
    return {one.name for one in answer.changes if one.unused == "package"}


def all_of(*versions: str) -> set[tuple[str, str | None]]:
    return {(name, version) for name in KERNEL for version in versions}


def going(answer: Answer) -> Question:
    found = ((str(one.package), one.from_version or "") for one in answer.changes)
    return Question(remove=tuple(sorted(found)))


def test_old_kernels_and_all_that_only_unneeded_packages_need(lab: DnfLab, dnf: ScriptedManager) -> None:
    answer = dnf.resolve(UNUSED)
    assert kernels(answer) == all_of(*VERSIONS[:3])
    assert packages(answer) == set(BEFORE)
    assert len(answer.changes) == 9 + 15
    assert {one.action for one in answer.changes} == {"remove"}
    update(lab)
    assert packages(dnf.resolve(UNUSED)) == {*BEFORE, *BY_UPDATE}


@pytest.mark.parametrize(
    ("setting", "left"),
    [("installonly_limit=3", 2), ("installonly_limit=5", 0), ("installonly_limit=0", 0)],
)
def test_how_many_kernels_stay_is_the_operators_setting(
    lab: DnfLab, dnf: ScriptedManager, setting: str, left: int
) -> None:
    lab.configure(setting)
    assert kernels(dnf.resolve(UNUSED)) == all_of(*VERSIONS[:left])


def test_the_running_kernel_stays_though_it_is_the_oldest(
    lab: DnfLab, script: PatchScript, tmp_path: Path
) -> None:
    # As dnf reckons, it is one of the two that stay, and the newest is the other one.
    image = Rpm("kernel-image", VERSIONS[0], files={f"boot/vmlinuz-{platform.release()}": "x"})
    lab.install(image)
    results = run_inside(lab.root, script, tmp_path, "patch --dry-run --unused >/mnt/said")
    answer = parse_answer(DNF, (results / "said").read_text())
    assert kernels(answer) == all_of(*VERSIONS[1:4])


def test_what_rpm_installed_is_wanted_and_what_is_recommended_is_needed(
    lab: DnfLab, dnf: ScriptedManager
) -> None:
    lab.install(Rpm("by-rpm", "1.0-1"), Rpm("fan", "1.0-1", fields={"Recommends": BEFORE[0]}))
    assert packages(dnf.resolve(UNUSED)) == set()


def test_what_the_operator_excludes_is_unused_all_the_same_and_goes_not(
    lab: DnfLab, dnf: ScriptedManager
) -> None:
    lab.configure(f"excludepkgs={NEEDING},{BEFORE[1]}")
    assert packages(dnf.resolve(UNUSED)) == set(BEFORE)
    refused = dnf.resolve(
        Question(remove=((f"{BEFORE[0]}:noarch", "1.0-1"), (f"{BEFORE[1]}:noarch", "1.0-1")))
    )
    assert (refused.exit_code, refused.changes) == (exit_codes.UNRESOLVED, ())
    assert f"would not remove {BEFORE[1]}" in refused.message


@pytest.mark.parametrize("name", [BEFORE[3], "kernel-core"])
def test_what_the_operator_locks_does_not_go(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder, name: str
) -> None:
    # dnf itself lets go what is locked.
    version = "1.0-1" if name == BEFORE[3] else VERSIONS[0]
    lab.lock(name, version)
    before = lab.digest()
    answer = dnf.resolve(going(dnf.resolve(UNUSED)))
    assert (answer.exit_code, answer.changes) == (exit_codes.UNRESOLVED, ())
    assert answer.message == f"locked by the operator: {name}.noarch"
    alone = Instruction((Change("remove", name, "noarch", version, None, unused="kernel"),))
    execution = dnf.apply(alone, folder())
    assert (execution.exit_code, execution.message) == (25, f"locked by the operator: {name}.noarch")
    assert lab.digest() == before


def test_the_removal_of_exactly_these_is_asked_about(dnf: ScriptedManager) -> None:
    unused = dnf.resolve(UNUSED)
    answer = dnf.resolve(going(unused))
    assert answer.exit_code == 0
    assert {(one.action, one.package, one.from_version) for one in answer.changes} == {
        (one.action, one.package, one.from_version) for one in unused.changes
    }
    assert all(one.installed_delta is not None for one in answer.changes)


def test_what_would_go_along_is_told(dnf: ScriptedManager) -> None:
    answer = dnf.resolve(Question(remove=((f"{BY_UPDATE[1]}:noarch", "1.0-1"),)))
    assert {one.name for one in answer.changes} == {BY_UPDATE[0], BY_UPDATE[1], NEEDING}
    core = dnf.resolve(Question(remove=((f"{KERNEL[0]}:noarch", VERSIONS[1]),)))
    assert {(one.name, one.from_version) for one in core.changes} == all_of(VERSIONS[1])


def test_a_version_that_is_not_there_is_named(dnf: ScriptedManager) -> None:
    answer = dnf.resolve(Question(remove=((f"{BEFORE[0]}:noarch", "0.9-1"),)))
    assert answer.exit_code == exit_codes.GONE
    assert answer.message == f"not installed any more: {BEFORE[0]}:noarch=0.9-1"


def test_they_go_and_nothing_else_and_come_back_as_they_were(
    lab: DnfLab, script: PatchScript, shell: tuple[str, ...], folder: Folder
) -> None:
    dnf = ScriptedManager(DNF, LocalTarget(lab.environment, shell), script, lab.cache, root=lab.root)
    update(lab)
    before, reasons = lab.versions(), lab.reasons()
    new = tuple(one for one in dnf.resolve(UNUSED).changes if one.unused == "kernel" or one.name in BY_UPDATE)
    assert len(new) == 9 + 5
    assert dnf.apply(Instruction(new), folder()).exit_code == 0
    expected = {name: version for name, version in before.items() if name not in BY_UPDATE}
    expected |= dict.fromkeys(KERNEL, " ".join(sorted(VERSIONS[3:])))
    assert lab.versions() == expected
    assert {name: reasons[name] for name in expected} == lab.reasons()
    assert dnf.apply(Instruction(new), folder()).exit_code == 10
    back = tuple(
        Change("install", one.name, one.arch, None, one.from_version) for one in new if one.name in BY_UPDATE
    )
    marked = tuple(str(one.package) for one in back)
    assert dnf.apply(Instruction(back, automatic=marked), folder()).exit_code == 0
    assert {name: lab.reasons()[name] for name in BY_UPDATE} == {name: reasons[name] for name in BY_UPDATE}
    assert packages(dnf.resolve(UNUSED)) == {*BEFORE, *BY_UPDATE}


def test_an_old_kernel_comes_back_beside_the_newer_ones(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder, tmp_path: Path
) -> None:
    # dnf by itself would let one of those go for it.
    before = lab.versions()
    unused = tuple(one for one in dnf.resolve(UNUSED).changes if one.unused == "kernel")
    assert dnf.apply(Instruction(unused), folder()).exit_code == 0
    own = Repository.make(tmp_path / "more", [each for one in VERSIONS for each in dnf_kernel(one)])
    lab.configure_repository("more", own.url)
    lab.refresh()
    back = tuple(Change("install", one.name, one.arch, None, one.from_version) for one in unused)
    execution = dnf.apply(Instruction(back), folder())
    assert (execution.exit_code, execution.message) == (0, "")
    assert lab.versions() == before


def test_one_that_is_needed_again_stops_it(lab: DnfLab, dnf: ScriptedManager, folder: Folder) -> None:
    unused = dnf.resolve(UNUSED).changes
    lab.install(Rpm("newcomer", "1.0-1", fields={"Requires": BEFORE[2]}))
    before = lab.digest()
    execution = dnf.apply(Instruction(unused), folder())
    assert (execution.exit_code, execution.message) == (25, "dnf would also remove newcomer.noarch 1.0-1")
    assert lab.digest() == before


def test_kernels_beyond_the_limit_stay_where_nobody_names_them(
    lab: DnfLab, dnf: ScriptedManager, folder: Folder
) -> None:
    # dnf 5 by itself lets them go with whatever it is told.
    (change,) = dnf.resolve(Question()).changes
    assert change.name == NEEDING
    assert dnf.apply(Instruction((change,)), folder()).exit_code == 0
    assert {lab.versions()[name] for name in KERNEL} == {" ".join(sorted(VERSIONS))}


def test_asking_changes_nothing(lab: DnfLab, dnf: ScriptedManager) -> None:
    before = lab.digest()
    dnf.resolve(going(dnf.resolve(UNUSED)))
    assert lab.digest() == before
