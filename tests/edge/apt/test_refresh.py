"""What becomes of ``--refresh``, with a good and with every kind of bad source."""

import os
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.managers.apt import APT
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.exit_codes import OTHER
from reconciler.planning.facts.observation import Question, Refresh, RefreshOutcome
from reconciler.process import Completed
from reconciler.targets.local import LocalTarget
from tests.edge.apt.instructions import OURS, against
from tests.labs.apt import MAIN, AptLab, Deb
from tests.labs.naming import moved


def exit_code(lab: AptLab, script: PatchScript) -> int:
    return script.run(LocalTarget(lab.environment), ["--refresh"], timeout=60).exit_code


def test_a_refresh_finds_what_was_published(own_lab: AptLab, own_apt: ScriptedManager) -> None:
    own_lab.publish(MAIN, Deb("plain", "1.2"))
    assert own_apt.refresh().outcome is RefreshOutcome.REFRESHED
    versions = moved(own_apt.resolve(Question()).changes)
    assert versions["plain"] == "1.2"


def test_no_setting_of_the_operators_keeps_a_refresh_from_being_one(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    own_lab.publish(MAIN, Deb("plain", "1.2"))
    own_lab.configure(against(*OURS))
    assert own_apt.refresh().outcome is RefreshOutcome.REFRESHED
    assert moved(own_apt.resolve(Question()).changes)["plain"] == "1.2"


def test_a_refresh_leaves_the_stamp_of_its_success(own_apt: ScriptedManager) -> None:
    own_apt.refresh()
    now = datetime.now(UTC)
    for source in own_apt.observe(now).sources:
        assert source.fetched is not None
        assert now - source.fetched < timedelta(seconds=10)


def test_a_mirror_that_does_not_answer(
    own_lab: AptLab, own_apt: ScriptedManager, script: PatchScript
) -> None:
    with (own_lab.root / "etc/apt/sources.list").open("a") as file:
        file.write("deb [trusted=yes] http://user:hunter2@127.0.0.1:9/debian stable main\n")
    refresh = own_apt.refresh()
    assert refresh.outcome is RefreshOutcome.FAILED
    assert "127.0.0.1:9" in refresh.detail
    assert "hunter2" not in refresh.detail
    assert exit_code(own_lab, script) == 21


def test_a_repository_that_is_gone(own_lab: AptLab, script: PatchScript) -> None:
    own_lab.repository.rename(own_lab.folder / "elsewhere")
    assert exit_code(own_lab, script) == 21


def test_a_key_that_is_not_trusted(own_lab: AptLab, own_apt: ScriptedManager, script: PatchScript) -> None:
    own_lab.make_key("stranger")
    own_lab.sign(MAIN, key="stranger")
    refresh = own_apt.refresh()
    assert refresh.outcome is RefreshOutcome.FAILED
    assert re.search("NO_PUBKEY|Missing key", refresh.detail)
    assert exit_code(own_lab, script) == 22


def test_a_key_that_has_expired(own_lab: AptLab, own_apt: ScriptedManager, script: PatchScript) -> None:
    own_lab.make_key("old", "--faked-system-time=20240101T000000", expires="30d")
    own_lab.trust("old")
    folder = own_lab.repository / "dists" / MAIN
    (folder / "InRelease").unlink()
    own_lab.gpg(
        "--faked-system-time=20240102T000000", "--local-user", "old@example.invalid",
        "--clearsign", "-o", str(folder / "InRelease"), str(folder / "Release"),
    )  # fmt: skip
    # gpgv refuses what an expired key signed; apt 3 asks sqv, to which it matters whether it was valid then.
    assert re.search("EXPKEYSIG|Missing key", own_apt.refresh().detail)
    assert exit_code(own_lab, script) == 22


def test_a_repository_that_says_it_is_another_waits_for_a_person(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    folder = own_lab.repository / "dists" / MAIN
    (folder / "Release").write_text((folder / "Release").read_text().replace("Label: Debian", "Label: Other"))
    (folder / "InRelease").unlink()
    own_lab.gpg(
        "--local-user", "lab@example.invalid", "--clearsign", "-o", str(folder / "InRelease"),
        str(folder / "Release"),
    )  # fmt: skip
    refresh = own_apt.refresh()
    assert "changed its 'Label' value from 'Debian' to 'Other'" in refresh.detail
    assert refresh.accept == "apt-get update --allow-releaseinfo-change"
    own_lab.apt("update", "--allow-releaseinfo-change")
    assert own_apt.refresh() == Refresh(RefreshOutcome.REFRESHED)


def test_a_repository_that_is_not_signed(own_lab: AptLab, script: PatchScript) -> None:
    folder = own_lab.repository / "dists" / MAIN
    (folder / "InRelease").unlink()
    for path in (own_lab.root / "var/lib/apt/lists").glob("*_stable_InRelease"):
        path.unlink()
    assert exit_code(own_lab, script) == 22


@pytest.mark.parametrize(
    ("date", "valid_until", "words"),
    [
        (timedelta(days=-30), timedelta(days=-2), "is expired"),
        (timedelta(days=2), timedelta(days=9), "is not valid yet"),
    ],
)
def test_a_release_file_that_is_not_of_today(
    own_lab: AptLab, own_apt: ScriptedManager, date: timedelta, valid_until: timedelta, words: str
) -> None:
    now = datetime.now(UTC)
    own_lab.sign(MAIN, date=now + date, valid_until=now + valid_until)
    assert words in own_apt.refresh().detail
    assert exit_code(own_lab, PatchScript.load(APT.script)) == 21


def test_a_mirror_in_the_middle_of_its_update(
    own_lab: AptLab, own_apt: ScriptedManager, script: PatchScript
) -> None:
    own_lab.publish(MAIN, Deb("plain", "1.2"))
    index = own_lab.repository / "dists" / MAIN / "main/binary-amd64/Packages"
    index.write_bytes(index.read_bytes()[:-1] + b" ")
    assert "Hash Sum mismatch" in own_apt.refresh().detail
    assert exit_code(own_lab, script) == 21


def test_a_lock_that_another_holds(own_lab: AptLab, own_apt: ScriptedManager, script: PatchScript) -> None:
    code = (
        "import fcntl,sys; f=open(sys.argv[1],'w'); fcntl.lockf(f,fcntl.LOCK_EX); print(flush=True); input()"
    )
    with subprocess.Popen(
        ["python3", "-c", code, str(own_lab.root / "var/lib/apt/lists/lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        holder.stdout.readline()
        assert exit_code(own_lab, script) == 20
        assert "is held by" in own_apt.refresh().detail
        holder.kill()


def test_an_ordinary_user_may_not(own_lab: AptLab, script: PatchScript) -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh")
    before = own_lab.digest()
    refresh = ScriptedManager(APT, LocalTarget(own_lab.environment, nobody), script).refresh()
    assert refresh.outcome is RefreshOutcome.NOT_PERMITTED
    assert own_lab.digest() == before


def test_a_full_disk(own_lab: AptLab) -> None:
    script_path = "scripts/patch/apt-update.sh"
    own_lab.publish(MAIN, *(Deb(f"filler{n}", "1", fields={"Description": "x" * 20000}) for n in range(8)))
    sources = own_lab.root / "etc/apt/sources.list"
    sources.write_text(sources.read_text().replace("file:", "copy:"))  # what is local is not copied otherwise
    lists = own_lab.root / "var/lib/apt/lists"
    command = (
        f"mount -t tmpfs -o size=64k none {lists} && mkdir -p {lists}/partial && "
        f"exec sh {script_path} --refresh"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command],
        env={**os.environ, **own_lab.environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.endswith("exit 23\n"), done.stdout


def test_a_refresh_that_takes_too_long_has_failed(own_lab: AptLab) -> None:
    content = b"sleep 60"
    slow = PatchScript("slow.sh", content, (("slow.sh", "0" * 64),))
    refresh = ScriptedManager(APT, Hurried(own_lab.environment), slow).refresh()
    assert refresh == Refresh(RefreshOutcome.FAILED, "slow.sh --refresh did not end within 1800 s")


@pytest.mark.parametrize(
    ("question", "limit"),
    [(Question(), 1800), (Question(only=("plain", "1.1")), 120)],
    ids=["plan", "explain"],
)
def test_a_plan_may_take_as_long_as_a_refresh_and_an_explanation_less(
    own_lab: AptLab, question: Question, limit: int
) -> None:
    slow = PatchScript("slow.sh", b"sleep 60", (("slow.sh", "0" * 64),))
    answer = ScriptedManager(APT, Hurried(own_lab.environment), slow).resolve(question)
    assert (answer.exit_code, answer.message) == (OTHER, f"slow.sh --dry-run did not end within {limit} s")


@pytest.mark.parametrize(("rate", "limit"), [(None, 1800), (2 * 2**20, 1928), (32 * 2**10, 9992)])
def test_what_is_fetched_slowly_has_the_time_that_it_needs(
    own_lab: AptLab, rate: int | None, limit: int
) -> None:
    slow = PatchScript("slow.sh", b"sleep 60", (("slow.sh", "0" * 64),))
    told = ScriptedManager(APT, Hurried(own_lab.environment), slow).refresh(rate)
    assert told == Refresh(RefreshOutcome.FAILED, f"slow.sh --refresh did not end within {limit} s")


class Hurried(LocalTarget):
    """This machine, for which half an hour is over soon."""

    def run(self, script: bytes, name: str, args: Sequence[str], *, timeout: float | None) -> Completed:
        assert timeout is not None
        return super().run(script, name, args, timeout=timeout / 18000)


def test_lists_stay_readable_for_everybody(own_lab: AptLab, own_apt: ScriptedManager) -> None:
    own_lab.publish(MAIN, Deb("plain", "1.2"))
    for path in (own_lab.root / "var/lib/apt/lists").glob("*Release"):
        path.unlink()
    assert own_apt.refresh().outcome is RefreshOutcome.REFRESHED
    files = list((own_lab.root / "var/lib/apt/lists").glob("*Release"))
    assert len(files) == 2
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}
