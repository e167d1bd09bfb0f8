"""A question that failed has no answer: whatever program dies while a patch script asks, it says so."""

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from reconciler.managers.scripts import PatchScript
from reconciler.targets.local import LocalTarget
from tests.labs.apt import AptLab
from tests.labs.dnf import DnfLab
from tests.labs.faults import Fault, Saboteur
from tests.labs.pacman import PacmanLab
from tests.labs.unused_machines import BEFORE, dnf_machine, pacman_machine, zypper_machine
from tests.labs.zypper import ZypperLab

Question = tuple[str, ...]
Ask = Callable[[Question, Collection[tuple[str, str]]], Saboteur]
"""Makes a saboteur of a script's question, given as its arguments, and of the calls that failed already."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory: the folders of a lab are copied there, too."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def _asking(
    folder: Path, name: str, environment: Mapping[str, str], *options: str, kept: Sequence[Path] = ()
) -> Ask:
    script = PatchScript.load(f"{name}-update.sh")

    def ask(question: Question, broken: Collection[tuple[str, str]]) -> Saboteur:
        place = folder / "saboteur"
        place.mkdir(exist_ok=True)
        # What is kept is made anew by each observation, and is there for what comes after these.
        forgotten = kept if question == OBSERVE else ()
        arguments = (*question, *options)
        return Saboteur(
            place, script, arguments, environment, remembered=("dnf",), broken=broken, forgotten=forgotten
        )

    return ask


@pytest.fixture
def apt(folder: Path, apt_world: AptLab) -> Ask:
    lab = apt_world.copy(folder / "lab")
    return _asking(folder, "apt", lab.environment, "--cache", str(lab.cache))


@pytest.fixture
def dnf(folder: Path, dnf_world: DnfLab) -> Ask:
    lab = dnf_world.copy(folder / "lab")
    lab.lock("lima", "1.0-1")
    return _asking(folder, "dnf", lab.environment, "--root", str(lab.root), "--cache", str(lab.cache))


@pytest.fixture
def zypper(folder: Path, zypper_world: ZypperLab) -> Ask:
    lab = zypper_world.copy(folder / "lab")
    lab.lock("lima")
    kept = (lab.cache / "records",)
    return _asking(
        folder, "zypper", lab.environment, "--root", str(lab.root), "--cache", str(lab.cache), kept=kept
    )


@pytest.fixture
def pacman(folder: Path, pacman_world: PacmanLab) -> Ask:
    lab = pacman_world.copy(folder / "lab", repository=True)
    lab.hold_package("lima")
    script, cache = PatchScript.load("pacman-update.sh"), ("--cache", str(lab.cache))
    script.run(LocalTarget(lab.environment), ["--refresh", *cache], timeout=60)
    return _asking(folder, "pacman", lab.environment, *cache, kept=(lab.cache / "offered",))


def check(ask: Ask, *questions: Question) -> None:
    """Let each call fail once, in the first question that makes it."""
    broken: set[tuple[str, str]] = set()
    for question in questions:
        saboteur = ask(question, broken)
        assert saboteur.usual[0].code in {0, 10}, "without a fault there is an answer"
        assert (question, saboteur.overlooked()) == (question, [])
        broken.update(saboteur.calls)
    assert len(broken) >= 30, "next to nothing was tried"


OBSERVE = ("--observe",)


def test_no_fault_is_an_answer_of_apt(apt: Ask) -> None:
    check(
        apt,
        OBSERVE,
        ("--dry-run", "--full", "--exclude=plain", "--block=newdep-lib", "--choose=secure=1.0+deb12u1"),
        ("--dry-run", "--security", "--include", "plain", "--exclude", "pair"),
        ("--dry-run", "--only", "remover=2.0"),
        ("--relations", "--install", "pair:all=1.1", "--install", "pair-data:all=1.1"),
    )


def test_no_fault_is_an_answer_of_dnf(dnf: Ask) -> None:
    check(
        dnf,
        OBSERVE,
        ("--dry-run", "--full", "--exclude", "plain", "--block", "victim", "--choose", "superseded=1.1-1"),
        ("--dry-run", "--security", "--include", "plain,pair:noarch", "--exclude", "secure"),
        ("--dry-run", "--only", "remover=2.0-1"),
    )


def test_no_fault_is_an_answer_of_zypper(zypper: Ask) -> None:
    check(
        zypper,
        OBSERVE,
        ("--dry-run", "--exclude", "plain", "--block", "newdep-lib", "--choose", "superseded=1.1-1"),
        ("--dry-run", "--security", "--include", "plain", "--exclude", "secure"),
        ("--dry-run", "--only", "remover=2.0-1"),
    )


def test_no_fault_is_an_answer_of_pacman(pacman: Ask) -> None:
    check(
        pacman,
        OBSERVE,
        ("--dry-run", "--exclude", "plain", "--choose", "epoch=1:1.0-2"),
        ("--dry-run", "--only", "base=1.1-1"),
    )


UNUSED = ("--dry-run", "--unused")


def test_no_fault_is_an_answer_about_what_dnf_lets_go(folder: Path) -> None:
    lab = dnf_machine(folder / "lab")
    lab.lock("other", "1.0-1")
    ask = _asking(folder, "dnf", lab.environment, "--root", str(lab.root), "--cache", str(lab.cache))
    check(ask, UNUSED, ("--dry-run", "--going", f"{BEFORE[0]}:noarch=1.0-1"))


def test_no_fault_is_an_answer_about_what_zypper_lets_go(folder: Path) -> None:
    lab = zypper_machine(folder / "lab")
    ask = _asking(folder, "zypper", lab.environment, "--root", str(lab.root), "--cache", str(lab.cache))
    check(ask, UNUSED, ("--dry-run", "--going", f"{BEFORE[0]}:noarch=1.0-1"))


def test_no_fault_is_an_answer_about_what_pacman_lets_go(folder: Path) -> None:
    lab = pacman_machine(folder / "lab")
    lab.hold_package("other")
    ask = _asking(folder, "pacman", lab.environment)
    check(ask, UNUSED, ("--dry-run", "--going", f"{BEFORE[0]}:any=1.0-1"))


CARELESS = b"""\
printf 'patchledger-patch 1 apt\\n[installed]\\n'
seq 3 | sed 's/^/|/'
printf '= 0\\nexit 0\\n'
"""


def test_a_script_that_does_not_look_is_found_out(folder: Path) -> None:
    careless = PatchScript("careless.sh", CARELESS, ())
    saboteur = Saboteur(folder, careless, (), {})
    # Which of the two comes first, in a pipe, is chance.
    assert {fault.program for fault in saboteur.overlooked()} == {"seq", "sed"}


COUNTING = b"""\
echo patchledger-patch 1 apt
for number in 1 2 3 4; do
    printf '[part-%s]\\n' "$number"
    seq "$number" | sed 's/^/|/'
    echo '= 0'
done
echo exit 0
"""


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_it_is_the_call_that_is_meant_which_fails(folder: Path, number: int) -> None:
    saboteur = Saboteur(folder, PatchScript("counting.sh", COUNTING, ()), (), {})
    usual, said = saboteur.usual[0].sections, saboteur.run(Fault("seq", number, "killed")).sections
    assert [name for name in usual if said[name] != usual[name]] == [f"[part-{number}]"]
