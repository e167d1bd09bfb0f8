"""What becomes of ``--refresh``: it reads what is offered into our folder, and never into pacman's own."""

from datetime import UTC, datetime, timedelta

from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Question, RefreshOutcome
from reconciler.targets.local import LocalTarget
from tests.edge.pacman.conftest import run
from tests.labs.pacman import PacmanLab, Pkg


def test_a_refresh_finds_what_was_published_and_leaves_the_root_as_it_was(
    lab: PacmanLab, pacman: ScriptedManager
) -> None:
    lab.publish(Pkg("plain", "1.2-1"))
    before = lab.digest()
    assert pacman.refresh().outcome is RefreshOutcome.REFRESHED
    assert lab.digest() == before
    versions = {change.name: change.to_version for change in pacman.resolve(Question()).changes}
    assert versions["plain"] == "1.2-1"


def test_a_refresh_that_finds_nothing_new_is_one(lab: PacmanLab, pacman: ScriptedManager) -> None:
    (before,) = pacman.observe(datetime.now(UTC)).sources
    assert pacman.refresh().outcome is RefreshOutcome.REFRESHED
    now = datetime.now(UTC)
    (source,) = pacman.observe(now).sources
    assert source.fetched is not None
    assert now - source.fetched < timedelta(seconds=10)
    assert source.published == before.published
    assert lab.digest() == lab.digest()


def test_it_goes_on_while_somebody_else_works(lab: PacmanLab, pacman: ScriptedManager) -> None:
    lab.lock.touch()
    assert pacman.refresh().outcome is RefreshOutcome.REFRESHED


def test_a_mirror_that_does_not_answer(lab: PacmanLab, script: PatchScript, pacman: ScriptedManager) -> None:
    before = pacman.resolve(Question())
    with lab.configuration.open("a") as file:
        file.write("[other]\nServer = http://user:hunter2@127.0.0.1:9/other\n")
    refresh = pacman.refresh()
    assert refresh.outcome is RefreshOutcome.FAILED
    assert "127.0.0.1" in refresh.detail
    assert "hunter2" not in refresh.detail
    assert run(lab, script, "--refresh") == 21
    # What was read before is still there, all of it.
    lab.configuration.write_text(lab.configuration.read_text().partition("[other]")[0])
    assert pacman.resolve(Question()) == before


def test_what_cannot_be_read_is_known_by_name_and_keeps_no_other_from_being_read(
    fresh_lab: PacmanLab, script: PatchScript, pacman: ScriptedManager
) -> None:
    lab = fresh_lab
    lab.publish_in("third", Pkg("third", "1-1"))
    assert run(lab, script, "--refresh") == 0
    before = {one.name: one for one in pacman.observe(datetime.now(UTC)).sources}
    lab.publish(Pkg("plain", "1.2-1"))
    lab.spoil(lab.origin / "third/third.db")
    with lab.configuration.open("a") as file:
        file.write("[dead]\nServer = http://127.0.0.1:9/dead\nServer = http://127.0.0.1:8/dead\n")
    refresh = pacman.refresh()
    assert (refresh.outcome, refresh.missing) == (RefreshOutcome.FAILED, ("dead", "third"))
    seen = {one.name: one for one in pacman.observe(datetime.now(UTC)).sources}
    assert seen["third"] == before["third"]
    assert before["lab"].fetched is not None
    assert seen["lab"].fetched is not None
    assert seen["lab"].fetched >= before["lab"].fetched
    answer = pacman.resolve(Question(without=refresh.missing))
    assert {one.name: one.to_version for one in answer.changes}["plain"] == "1.2-1"


def test_a_repository_that_is_gone(lab: PacmanLab, script: PatchScript) -> None:
    lab.repository.rename(lab.folder / "elsewhere")
    assert run(lab, script, "--refresh") == 21


def test_what_is_no_database_is_refused(lab: PacmanLab, script: PatchScript, pacman: ScriptedManager) -> None:
    lab.spoil(lab.repository / "lab.db")
    assert run(lab, script, "--refresh") == 21
    assert pacman.refresh().detail.startswith("what was fetched is no database: ")
    assert len(pacman.resolve(Question()).changes) == 13


def test_a_database_that_must_be_signed_and_is_not(lab: PacmanLab, script: PatchScript) -> None:
    text = lab.configuration.read_text()
    lab.configuration.write_text(text.replace("\nSigLevel = Never", "\nSigLevel = Required"))
    assert run(lab, script, "--refresh") == 22


def test_without_a_folder_of_ours_nothing_is_refreshed(lab: PacmanLab, script: PatchScript) -> None:
    done = LocalTarget(lab.environment).run(script.content, script.name, ["--refresh"], timeout=60)
    assert done.returncode == 2
    assert "--refresh needs --cache" in done.error_text


def test_every_shell_refreshes_alike(
    fresh_lab: PacmanLab, script: PatchScript, shell: tuple[str, ...]
) -> None:
    target = LocalTarget(fresh_lab.environment, shell)
    manager = ScriptedManager(PACMAN, target, script, fresh_lab.cache)
    assert manager.refresh().outcome is RefreshOutcome.REFRESHED
    assert len(manager.resolve(Question()).changes) == 13
