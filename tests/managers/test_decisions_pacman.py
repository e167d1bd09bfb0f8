"""What pacman's patch script decides by itself, in functions that are fed with what pacman would say."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.managers.shell import call

pytestmark = pytest.mark.lab

INSTALLED = """\
base\t1-1\tany\t0\t1\t
curl\t8.0-1\tx86_64\t0\t1\t
lib\t2:1.0-1\tx86_64\t1\t1\t
old\t1-1\tany\t0\t1\t
"""


def decide(
    tmp_path: Path, shell: tuple[str, ...], body: str, files: Mapping[str, str] | None = None
) -> list[str]:
    return call(tmp_path, shell, "pacman", body, {"installed": INSTALLED, **(files or {})}).splitlines()


def test_the_list_of_a_transaction_is_read(tmp_path: Path, shell: tuple[str, ...]) -> None:
    said = (
        "looking for conflicting packages...\n\n"
        "Packages (4) curl-8.1-1  lib-lib-2:1.1-1  old-1-1 [removal]  very-long_name@x-1.r2-3\n\n"
        "Total Installed Size: 1\n"
    )
    assert decide(tmp_path, shell, 'transaction "$WORK/answer"', {"answer": said}) == [
        "install curl 8.1-1", "install lib-lib 2:1.1-1", "remove old 1-1", "install very-long_name@x 1.r2-3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("own", "ours", "count"),
    [
        ((1, 1), (1, 2), ["ours"]),
        ((1, 3), (1, 2), ["own"]),
        ((1,), (1,), ["ours"]),
        ((1,), (), ["own"]),
        ((), (1,), ["ours"]),
    ],
)
def test_the_databases_that_were_written_later_count(
    tmp_path: Path, shell: tuple[str, ...], own: tuple[int, ...], ours: tuple[int, ...], count: list[str]
) -> None:
    for whose, written in (("own", own), ("ours", ours)):
        for number, time in enumerate(written):
            database = tmp_path / whose / "sync" / f"{number}.db"
            database.parent.mkdir(parents=True, exist_ok=True)
            database.touch()
            os.utime(database, (time, time))
    body = f"DB={tmp_path}/own OURS={tmp_path}/ours\nif ours_count; then echo ours; else echo own; fi"
    assert decide(tmp_path, shell, body) == count


NAMED = (
    "NAMED='install curl:x86_64 8.1-1\ninstall lib:x86_64 2:1.0-1\nremove old:any -\nremove gone:any -\n'\n"
)


def test_what_is_named_and_not_there_yet(tmp_path: Path, shell: tuple[str, ...]) -> None:
    assert decide(tmp_path, shell, f'{NAMED}remaining; cat "$WORK/named"; echo again; cat "$WORK/again"') == [
        "install curl 8.1-1", "remove old 1-1", "again", "install lib 2:1.0-1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("named", "again", "offers", "back"),
    [
        ("install curl 8.1-1\nremove old 1-1\n", "", "8.1-1", False),
        ("install curl 7.9-1\n", "", "8.1-1", True),
        ("remove old 1-1\n", "", "8.1-1", True),
        ("remove old 1-1\n", "install curl 8.1-1\n", "8.1-1", False),
        ("remove old 1-1\n", "install curl 7.9-1\n", "8.1-1", True),
    ],
    ids=["what is offered", "an older one", "only a removal", "offered and there", "an older one is there"],
)
def test_another_version_than_the_offered_one_is_a_way_back(
    tmp_path: Path, shell: tuple[str, ...], named: str, again: str, offers: str, *, back: bool
) -> None:
    body = f"offered() {{ printf 'core\\tcurl\\t{offers}\\n'; }}\n"
    body += "if goes_back; then echo True; else echo False; fi"
    assert decide(tmp_path, shell, body, {"named": named, "again": again}) == [str(back)]


def test_what_pacman_would_do_besides_or_not_is_told(tmp_path: Path, shell: tuple[str, ...]) -> None:
    files = {
        "would": "install curl 8.1-1\ninstall lib 1-1\nremove old 1-1\n",
        "named": "install curl 8.1-10\nremove old 1-1\n",
        "again": "install lib 1-1\n",
    }
    assert decide(tmp_path, shell, "differences", files) == [
        "it would also install curl 8.1-1", "it would not install curl 8.1-10",
    ]  # fmt: skip


def test_what_the_first_of_two_steps_removed_is_not_left(tmp_path: Path, shell: tuple[str, ...]) -> None:
    files = {
        "went": "install curl 7-1\nremove old 1-1\n",
        "named": "install curl 7-1\nremove old 1-1\nremove lib 1-1\n",
    }
    assert decide(tmp_path, shell, "left_to_remove", files) == ["lib"]


def test_the_journal_has_what_a_repair_must_know(tmp_path: Path, shell: tuple[str, ...]) -> None:
    files = {
        "would": "install curl 8.1-1\ninstall new 1-1\nremove old 1-1\n",
        "named": "install curl 8.1-1\ninstall new 1-1\nremove old 1-1\n",
    }
    row = r"core\tnew\t1-1\tany\t1\t1\ts\t\t\t\told<2 other"
    printed = decide(tmp_path, shell, f"offered() {{ printf '{row}\\n'; }}\njournal", files)
    assert printed[1:] == ["replace new 1-1 old", "change curl 8.0-1 8.1-1 0", "change new - 1-1 0"]


LEFT = """\
work /tmp/patchledger.x
change curl 8.0-1 8.1-1 0
change torn 1-1 2-1 1
change new - 1-1 0
replace next 1-1 gone
replace other 1-1 old
"""


def test_what_was_in_hand_is_in_no_database_now(tmp_path: Path, shell: tuple[str, ...]) -> None:
    assert decide(tmp_path, shell, "in_hand", {"left": LEFT}) == [
        "install next 1-1 0", "install torn 2-1 1",
    ]  # fmt: skip


def test_all_that_was_begun_and_is_not_there(tmp_path: Path, shell: tuple[str, ...]) -> None:
    assert decide(tmp_path, shell, "begun", {"left": LEFT}) == [
        "install curl 8.1-1 0", "install torn 2-1 1", "install new 1-1 0",
    ]  # fmt: skip


SAID = """\
(1/2) upgrading curl...
error: command failed to execute correctly
(2/2) installing new...
:: Running post-transaction hooks...
(1/2) Updating icons...
error: command failed to execute correctly
(2/2) Arming ConditionNeedsUpdate...
"""


def test_whose_scriptlets_failed(tmp_path: Path, shell: tuple[str, ...]) -> None:
    assert [line.split("\t")[0] for line in decide(tmp_path, shell, "failures", {"said": SAID})] == [
        "curl", "hook Updating icons",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("targets", "code", "words"),
    [
        ("curl\nold\nlib\n", 0, ""),
        ("curl\nold\nlib\nmore\n", 1, "it would also change more\n"),
        ("curl\nlib\n", 1, "it would not change old\n"),
    ],
)
def test_the_guard_lets_exactly_what_is_named_pass(
    tmp_path: Path, shell: tuple[str, ...], targets: str, code: int, words: str
) -> None:
    body = 'guard "$WORK/named" "$WORK/guard"; cat "$WORK/guard"'
    hook = "\n".join(decide(tmp_path, shell, body, {"named": "curl\nold\nlib\n"}))
    done = subprocess.run([*shell, "-c", hook], input=targets, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.replace("  ", " ").rstrip()) == (code, words.rstrip())
