"""How often dnf is started to be asked: its answers are the same however that is, and an end is never one."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.managers.dnf import DNF
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Observation, Question
from reconciler.process import BASE_PATH
from reconciler.targets.local import LocalTarget
from tests.labs.counted import TOOLS, Counted
from tests.labs.dnf import DNF as PROGRAM
from tests.labs.dnf import IS_5, DnfLab
from tests.labs.rpm import Rpm

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
OF_PYTHON = pytest.mark.skipif(IS_5, reason="dnf 5 is no program of Python, and begins in no time")

AT_MOST = {"dnf": 10, "dnf5": 10, "rpm": 4} if IS_5 else {"dnf": 2, "rpm": 3}
"""A plan looks once and asks once; rpm says what is installed for each, and where it is."""

OWN_AT_MOST = 61
"""Of the script's tools, in both."""


@pytest.fixture
def asked(lab: DnfLab, script: PatchScript) -> Callable[[str], ScriptedManager]:
    """A manager with another ``PATH``."""

    def make(path: str) -> ScriptedManager:
        target = LocalTarget({**lab.environment, "PATH": path})
        return ScriptedManager(DNF, target, script, lab.cache, root=lab.root)

    return make


def test_a_plan_starts_dnf_and_rpm_no_more_often_than_it_must(
    dnf_calm_world: DnfLab, script: PatchScript, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "counted", ("dnf", "dnf5", "rpm"))
    lab = dnf_calm_world.copy(tmp_path / "lab")
    target = LocalTarget({**lab.environment, **counted.environment})
    dnf = ScriptedManager(DNF, target, script, lab.cache, root=lab.root)
    # Whether all that is needed is there, is asked when the database is another one.
    dnf.observe(NOW)
    counted.begin()
    assert len(dnf.observe(NOW).offers) == 6
    assert len(dnf.resolve(Question()).changes) == 6
    starts = counted.starts()
    assert starts[PROGRAM]
    assert {name: number for name, number in starts.items() if number > AT_MOST[name]} == {}


def test_a_plan_starts_no_more_tools_beside_them_than_it_must(
    dnf_calm_world: DnfLab, script: PatchScript, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "tools", TOOLS)
    lab = dnf_calm_world.copy(tmp_path / "lab")
    dnf = ScriptedManager(
        DNF, LocalTarget({**lab.environment, **counted.environment}), script, lab.cache, root=lab.root
    )
    dnf.observe(NOW)
    counted.begin()
    assert len(dnf.observe(NOW).offers) == 6
    assert len(dnf.resolve(Question()).changes) == 6
    starts = counted.starts()
    assert starts.total() <= OWN_AT_MOST, starts


def test_what_packages_miss_is_looked_for_again_when_others_are_installed(
    lab: DnfLab, script: PatchScript, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "counted", ("rpm",))
    target = LocalTarget({**lab.environment, **counted.environment})
    dnf = ScriptedManager(DNF, target, script, lab.cache, root=lab.root)

    def looks() -> tuple[tuple[str, ...], bool]:
        counted.begin()
        broken = dnf.observe(NOW).health.broken
        return broken, any(" -Va " in asked for asked in counted.asked("rpm"))

    assert looks() == ((), True)
    assert looks() == ((), False)
    lab.rpm("-e", "--nodeps", "base")
    missing = ("base is needed by user-1.0-1.noarch",)
    assert looks() == (missing, True)
    assert looks() == (missing, True)
    lab.install(Rpm("base", "1.0-1"))
    assert looks() == ((), True)
    assert looks() == ((), False)


def _python(folder: Path, name: str, text: str) -> str:
    """Put a program in front of all others of its name, and return the ``PATH`` with it."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return f"{folder}:{BASE_PATH}"


_DNF = """\
#!{interpreter}
import os, sys
{more}
from dnf.cli import main
main.user_main(sys.argv[1:], exit_code=True)
"""


def _told(observation: Observation) -> tuple[object, ...]:
    return observation.installed, observation.offers, observation.sources, observation.database


@OF_PYTHON
def test_answers_are_the_same_where_dnf_cannot_be_asked_for_several_at_once(
    asked: Callable[[str], ScriptedManager], tmp_path: Path
) -> None:
    refusing = _python(
        tmp_path / "bin", "python3", '#!/bin/sh\n[ "$1" != -c ] || exit 1\nexec /usr/bin/python3 "$@"\n'
    )
    alone = asked(refusing)
    _python(tmp_path / "bin", "dnf", _DNF.format(interpreter=tmp_path / "bin/python3", more=""))
    together = asked(BASE_PATH)
    assert _told(alone.observe(NOW)) == _told(together.observe(NOW))
    for question in (
        Question(),
        Question(mode="full"),
        Question(security=True),
        Question(only=("plain", "1.1-1")),
    ):
        assert alone.resolve(question) == together.resolve(question), question


@OF_PYTHON
@pytest.mark.parametrize("command", ["repolist", "updateinfo", "--upgrades"])
def test_a_question_of_several_that_is_killed_has_no_answer(
    command: str, asked: Callable[[str], ScriptedManager], tmp_path: Path
) -> None:
    dies = f'if "{command}" in sys.argv: os.kill(os.getpid(), 9)'
    path = _python(tmp_path / "bin", "dnf", _DNF.format(interpreter="/usr/bin/python3", more=dies))
    with pytest.raises(Stalled, match="dnf ended with 137"):
        asked(path).observe(NOW)


@OF_PYTHON
def test_one_process_that_is_gone_ends_the_run(
    asked: Callable[[str], ScriptedManager], tmp_path: Path
) -> None:
    # What it was asked to answer ends as well: it would still write where the test clears up.
    dies = 'if "--upgrades" in sys.argv: os.kill(os.getppid(), 9); os._exit(0)'
    path = _python(tmp_path / "bin", "dnf", _DNF.format(interpreter="/usr/bin/python3", more=dies))
    with pytest.raises(Stalled):
        asked(path).observe(NOW)


@OF_PYTHON
def test_what_dnf_says_with_an_exception_of_python_is_its_complaint(
    asked: Callable[[str], ScriptedManager], tmp_path: Path
) -> None:
    breaks = 'if "upgrade" in sys.argv: raise RuntimeError("no such thing")'
    path = _python(tmp_path / "bin", "dnf", _DNF.format(interpreter="/usr/bin/python3", more=breaks))
    manager = asked(path)
    manager.observe(NOW)
    with pytest.raises(Stalled, match="RuntimeError: no such thing"):
        manager.resolve(Question())
