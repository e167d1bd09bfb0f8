"""What ``--dry-run`` answers, against a real resolver, and that it does nothing else."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Answer, Question, Unmet
from reconciler.planning.runs.execution import Instruction
from reconciler.targets.local import LocalTarget
from tests.edge.pacman.conftest import run
from tests.labs.pacman import CONFLICTING, UNSAT, PacmanLab

NEW = {
    "base": "1.1-1",
    "configured": "1.1-1",
    "epoch": "1:1.0-2",
    "hostile": "1.1-1",
    "lima": "1.1-1",
    "newdep": "1.1-1",
    "newdep-lib": "1.0-1",
    "pair": "1.1-1",
    "pair-data": "1.1-1",
    "plain": "1.1-1",
    "replaced": None,
    "replacer": "2.0-1",
    "user": "1.1-1",
}


def moved(answer: Answer) -> dict[str, str | None]:
    return {change.name: change.to_version for change in answer.changes}


def without(*names: str) -> dict[str, str | None]:
    return {name: version for name, version in NEW.items() if name not in names}


def test_an_upgrade_is_a_full_one_and_replaces(pacman: ScriptedManager) -> None:
    answer = pacman.resolve(Question())
    assert moved(answer) == NEW
    actions = {change.name: change.action for change in answer.changes if change.action != "upgrade"}
    assert actions == {"newdep-lib": "install", "replaced": "replace", "replacer": "install"}
    assert (answer.exit_code, answer.native_code, answer.message) == (0, 0, "")


def test_both_modes_are_the_same(pacman: ScriptedManager) -> None:
    assert pacman.resolve(Question("full")) == pacman.resolve(Question("safe"))


def test_changes_carry_origin_size_growth_and_hash(lab: PacmanLab, pacman: ScriptedManager) -> None:
    offers = {offer.name: offer.versions[0] for offer in pacman.observe(datetime.now(UTC)).offers}
    for change in pacman.resolve(Question()).changes:
        if change.to_version is None:
            assert (change.origin, change.installed_delta) == ("", -12288)
            continue
        file = lab.repository / f"{change.name}-{change.to_version}-any.pkg.tar.zst"
        assert (change.origin, change.size) == ("lab", file.stat().st_size)
        if change.action == "upgrade":
            assert change.sha256 == offers[change.name].sha256
            assert change.installed_delta == (0 if change.name == "epoch" else 8192)


def test_whose_doing_a_move_is(pacman: ScriptedManager) -> None:
    by = {change.name: change.by for change in pacman.resolve(Question()).changes if change.by}
    assert by == {
        "newdep-lib": ("newdep",),
        "replaced": ("replacer",),
        "base": ("user",),
        "pair-data": ("pair",),
    }


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        (("lima",), ("lima",)),
        (("lima:any", "plain"), ("lima", "plain")),
        (("replacer",), ("replacer", "replaced")),
        (("replaced",), ("replacer", "replaced")),
        (("base", "user"), ("base", "user")),
        (("nobody-knows-it",), ()),
    ],
)
@pytest.mark.parametrize("how", ["exclude", "block"])
def test_an_exclusion_does_not_move_and_the_rest_goes_on(
    pacman: ScriptedManager, how: str, names: tuple[str, ...], gone: tuple[str, ...]
) -> None:
    question = Question(**{how: names})  # type: ignore[arg-type] # one of two tuple fields
    assert moved(pacman.resolve(question)) == without(*gone)


def test_more_may_be_left_out_than_one_argument_holds(
    lab: PacmanLab, pacman: ScriptedManager, tmp_path: Path
) -> None:
    many = (*(f"{number}-{'long-name' * 20}" for number in range(800)), "plain")
    answer = pacman.resolve(Question(exclude=many))
    assert "plain" not in {change.name for change in answer.changes}
    assert answer.changes
    done = pacman.apply(Instruction(answer.changes, exclude=many), tmp_path)
    assert (done.exit_code, done.message) == (0, "")
    assert lab.versions()["plain"] == "1.0-1"


@pytest.mark.parametrize(
    ("names", "unmet"),
    [
        (("base",), Unmet("user", "", "Depends", "base (>= 1.1)")),
        (("newdep-lib",), Unmet("newdep", "", "Depends", "newdep-lib")),
        (("pair-data",), Unmet("pair", "", "Depends", "pair-data (= 1.1-1)")),
        (("pair",), Unmet("pair-data", "1.1-1", "Breaks", "pair (which needs pair-data (= 1.0-1))")),
    ],
)
def test_where_an_exclusion_makes_all_impossible_the_answer_says_what_stands_in_the_way(
    pacman: ScriptedManager, names: tuple[str, ...], unmet: Unmet
) -> None:
    answer = pacman.resolve(Question(exclude=names))
    assert (answer.changes, answer.exit_code, answer.native_code) == ((), 25, 1)
    assert answer.unmet == (unmet,)
    assert "could not satisfy dependencies" in answer.message
    assert "[y/N]" not in answer.message


def test_what_nobody_has_and_what_conflicts_makes_all_impossible(
    lab: PacmanLab, script: PatchScript, pacman: ScriptedManager
) -> None:
    lab.publish(UNSAT)
    run(lab, script, "--refresh")
    assert pacman.resolve(Question()).unmet == (Unmet("plain", "", "Depends", "nobody-has-this"),)
    lab.withdraw("plain")
    (lab.repository / UNSAT.file_name).unlink()
    lab.publish(CONFLICTING)
    run(lab, script, "--refresh")
    answer = pacman.resolve(Question())
    assert answer.unmet == (Unmet("plain", "", "Conflicts", "victim"),)
    assert "unresolvable package conflicts" in answer.message


@pytest.mark.parametrize(
    ("question", "expected", "unmet"),
    [
        (Question(only=("plain", "1.1-1")), {"plain": "1.1-1"}, ()),
        (Question(only=("user:any", "1.1-1")), {"user": "1.1-1", "base": "1.1-1"}, ()),
        (Question(only=("base", "1.1-1")), {"base": "1.1-1"}, ()),
        # What would break is mended by its own update, as a full upgrade would do it.
        (Question(only=("pair-data", "1.1-1")), {"pair": "1.1-1", "pair-data": "1.1-1"}, ()),
        (
            Question(only=("user", "1.1-1"), exclude=("base",)),
            {},
            (Unmet("user", "", "Depends", "base (>= 1.1)"),),
        ),
    ],
)
def test_what_one_update_alone_would_do(
    pacman: ScriptedManager, question: Question, expected: dict[str, str], unmet: tuple[Unmet, ...]
) -> None:
    answer = pacman.resolve(question)
    assert (moved(answer), answer.unmet) == (expected, unmet)


def test_a_version_that_is_not_offered_is_gone(pacman: ScriptedManager) -> None:
    assert moved(pacman.resolve(Question(choose=(("plain", "1.1-1"),)))) == NEW
    for question in (Question(choose=(("plain", "1.0-2"),)), Question(only=("plain", "9-1"))):
        answer = pacman.resolve(question)
        assert answer.exit_code == 26
        assert answer.message.startswith("no longer offered: plain=")


def test_security_updates_are_not_guessed(pacman: ScriptedManager) -> None:
    answer = pacman.resolve(Question(security=True))
    assert (answer.exit_code, answer.changes) == (25, ())
    assert answer.message == "pacman does not know which updates fix security problems"


def test_the_operators_holds_stay_and_their_lists_as_well(lab: PacmanLab, pacman: ScriptedManager) -> None:
    lab.hold_package("lima")
    lab.configure("VerbosePkgLists")
    lab.configure("Color")
    assert moved(pacman.resolve(Question())) == without("lima")


def test_nothing_to_do_is_said(lab: PacmanLab, script: PatchScript, pacman: ScriptedManager) -> None:
    lab.pacman("-Syu")
    run(lab, script, "--refresh")
    answer = pacman.resolve(Question())
    assert (answer.changes, answer.exit_code) == ((), 10)


def test_every_shell_answers_the_same(
    lab: PacmanLab, script: PatchScript, shell: tuple[str, ...], pacman: ScriptedManager
) -> None:
    other = ScriptedManager(PACMAN, LocalTarget(lab.environment, shell), script, lab.cache)
    for question in (Question(), Question(exclude=("base",)), Question(only=("pair-data", "1.1-1"))):
        assert other.resolve(question) == pacman.resolve(question)


def test_a_dry_run_leaves_the_root_as_it_was_byte_for_byte_also_with_packages_at_hand(
    lab: PacmanLab, pacman: ScriptedManager
) -> None:
    for file in lab.repository.glob("*.pkg.tar.zst"):
        (lab.archives / file.name).write_bytes(file.read_bytes())
    before = lab.digest()
    for question in (Question(), Question(exclude=("base",)), Question(only=("plain", "1.1-1"))):
        pacman.resolve(question)
    assert lab.digest() == before


def test_a_dry_run_goes_on_while_somebody_else_works(lab: PacmanLab, pacman: ScriptedManager) -> None:
    lab.lock.touch()
    assert moved(pacman.resolve(Question())) == NEW
    assert lab.lock.exists()


def test_no_folder_is_left_behind(lab: PacmanLab, script: PatchScript, tmp_path: Path) -> None:
    target = LocalTarget({**lab.environment, "TMPDIR": str(tmp_path)})
    ScriptedManager(PACMAN, target, script, lab.cache).resolve(Question())
    assert list(tmp_path.iterdir()) == []
