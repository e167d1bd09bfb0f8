"""What becomes of ``--refresh``, with a good and with bad repositories."""

import os
from datetime import UTC, datetime, timedelta

from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Question, RefreshOutcome
from reconciler.targets.local import LocalTarget
from tests.labs.naming import moved
from tests.labs.rpm import Rpm
from tests.labs.zypper import ZypperLab


def exit_code(lab: ZypperLab, script: PatchScript) -> int:
    target = LocalTarget(lab.environment)
    return script.run(target, ["--refresh", "--root", str(lab.root)], timeout=60).exit_code


def test_a_refresh_finds_what_was_published(own_lab: ZypperLab, own_zypper: ScriptedManager) -> None:
    own_lab.repository.publish(Rpm("plain", "1.2-1"))
    assert own_zypper.refresh().outcome is RefreshOutcome.REFRESHED
    versions = moved(own_zypper.resolve(Question()).changes)
    assert versions["plain"] == "1.2-1"


def test_a_refresh_that_finds_nothing_new_is_remembered_as_well(
    lab: ZypperLab, zypper: ScriptedManager
) -> None:
    for file in (lab.root / "var/cache/zypp/raw/lab/repodata").iterdir():
        os.utime(file, (1_700_000_000, 1_700_000_000))
    now = datetime.now(UTC)
    (old,) = zypper.observe(now).sources
    assert old.fetched == datetime.fromtimestamp(1_700_000_000, UTC)
    zypper.refresh()
    (new,) = zypper.observe(now).sources
    assert new.fetched is not None
    assert new.fetched - now < timedelta(minutes=1)


def test_a_dead_repository_beside_a_good_one(
    lab: ZypperLab, zypper: ScriptedManager, script: PatchScript
) -> None:
    lab.configure_repository("dead", "http://user:hunter2@127.0.0.1:9/x")
    refresh = zypper.refresh()
    assert refresh.outcome is RefreshOutcome.FAILED
    assert "dead" in refresh.detail
    assert "hunter2" not in refresh.detail
    assert exit_code(lab, script) == 21


def test_what_could_not_be_read_is_known_by_its_alias(
    own_lab: ZypperLab, own_zypper: ScriptedManager
) -> None:
    own_lab.configure_repository("dead]x", "http://127.0.0.1:9/x")
    own_lab.configure_repository("no more", f"file://{own_lab.folder}/nowhere")
    own_lab.repository.publish(Rpm("plain", "1.2-1"))
    missing = own_zypper.refresh().missing
    assert missing == ("dead]x", "no more")
    sources = own_zypper.observe(datetime.now(UTC)).sources
    assert {source.identity for source in sources} == {"lab", *missing}
    assert moved(own_zypper.resolve(Question(without=missing)).changes)["plain"] == "1.2-1"


def test_a_repository_that_is_gone(own_lab: ZypperLab, script: PatchScript) -> None:
    own_lab.repository.folder.rename(own_lab.folder / "elsewhere")
    assert exit_code(own_lab, script) == 21


def test_an_unsigned_repository_that_must_be_signed(
    lab: ZypperLab, zypper: ScriptedManager, script: PatchScript
) -> None:
    lab.configure_repository("signed", lab.repository.url, gpgcheck=True)
    refresh = zypper.refresh()
    assert refresh.outcome is RefreshOutcome.FAILED
    assert "Signature verification failed for repomd.xml" in refresh.detail
    assert exit_code(lab, script) == 22


def test_a_locked_machine(lab: ZypperLab, zypper: ScriptedManager, script: PatchScript) -> None:
    (lab.root / "run/zypp.pid").write_text(f"{os.getpid()}\n")
    refresh = zypper.refresh()
    assert refresh.outcome is RefreshOutcome.FAILED
    assert f"pid {os.getpid()}" in refresh.detail
    assert exit_code(lab, script) == 20
