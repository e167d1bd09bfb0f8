"""What holds for the answers of every manager: they were given, and they fit what was observed."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.errors import Stalled
from reconciler.managers.apt import APT
from reconciler.managers.dialect import Dialect, contradiction, read_answer, read_refresh
from reconciler.managers.dnf import DNF
from reconciler.managers.pacman import PACMAN
from reconciler.managers.sections import Unparsable, parse_sections
from reconciler.managers.zypper import ZYPPER
from reconciler.planning.facts.observation import Action, Change, Installed
from tests.managers.told import parse_observe
from tests.vectors.vector import FOLDER, Vector

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIALECTS = [APT, DNF, ZYPPER, PACMAN]
THERE = (Installed("a", "amd64", "1"), Installed("kernel", "amd64", "1"), Installed("kernel", "amd64", "2"))


def change(action: Action, name: str, before: str | None, after: str | None) -> Change:
    return Change(action, name, "amd64", before, after)


TRIES = [
    (
        APT,
        [
            "|Err:{n} http://one stable InRelease",
            "!E: Failed to fetch http://one/InRelease  Connection timed out [IP: 192.0.2.{n} 80]",
            "!E: Failed to fetch http://two/InRelease  Could not connect to two:80 (192.0.2.{n}), timed out",
            "!E: Failed to fetch http://three/InRelease  Cannot connect to three:80 (2001:db8::{n})",
        ],
    ),
    (DNF, ["! - Curl error (7): Couldn't connect [Failed to connect to one port 80 after {n} ms: No]"]),
    (PACMAN, ["!error: failed retrieving file 'core.db' : Connection timed out after {n} milliseconds"]),
]


@pytest.mark.parametrize(("dialect", "lines"), TRIES)
def test_words_on_a_source_that_is_down_stay_from_one_try_to_the_next(
    dialect: Dialect, lines: list[str]
) -> None:
    def try_(number: int, said: list[str]) -> str:
        said = [line.format(n=number) for line in said]
        return "\n".join((f"patchledger-patch 1 {dialect.name}", "[refresh]", *said, "= 100", "exit 1", ""))

    first, second = (
        read_refresh(dialect, parse_sections(text)) for text in (try_(7, lines), try_(8, lines[::-1]))
    )
    assert first == second
    assert "onnect" in first.detail


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_section_that_failed_is_no_empty_answer(dialect: Dialect) -> None:
    text = Vector.model_validate_json((FOLDER / f"{dialect.name}-observe-lab.json").read_bytes()).text
    names = re.findall(r"^\[([a-z-]+)\]$", text, re.MULTILINE)
    assert len(names) > 5
    for name in set(names) - dialect.coded - dialect.explaining.keys():
        failed = re.sub(rf"^(\[{name}\]\n(?:[|!].*\n)*= )\d+$", r"\g<1>137", text, flags=re.MULTILINE)
        assert failed != text
        with pytest.raises(Stalled):
            parse_observe(dialect, failed, NOW)


EXPLAINING = [(dialect, name, what) for dialect in DIALECTS for name, what in dialect.explaining.items()]


@pytest.mark.parametrize(("dialect", "name", "what"), EXPLAINING)
def test_a_section_that_only_explains_costs_no_more_than_that_where_it_failed(
    dialect: Dialect, name: str, what: str
) -> None:
    text = Vector.model_validate_json((FOLDER / f"{dialect.name}-observe-lab.json").read_bytes()).text
    text = re.sub(rf"^\[{name}\]\n(?:[|!].*\n)*= 0\n", "", text, flags=re.MULTILINE)
    silent = text.replace("[locks]", f"[{name}]\n!no answer within 60 s\n= 124\n[locks]")
    said = f"{dialect.name} did not say {what}: no answer within 60 s"
    assert parse_observe(dialect, silent, NOW) == replace(
        parse_observe(dialect, text, NOW), unexplained=(said,)
    )


@pytest.mark.parametrize("name", ["dnf", "zypper"])
def test_what_a_script_of_an_earlier_release_says_is_broken_is_no_silence(name: str) -> None:
    (dialect,) = (one for one in DIALECTS if one.name == name)
    text = Vector.model_validate_json((FOLDER / f"{name}-observe-lab.json").read_bytes()).text
    text = re.sub(r"^\[dependencies\]\n(?:[|!].*\n)*= 0\n", "", text, flags=re.MULTILINE)
    rows = "|Unsatisfied dependencies for user-1.0-1.noarch:\n|\tbase is needed by user-1.0-1.noarch\n"
    seen = parse_observe(dialect, text.replace("[locks]", f"[dependencies]\n{rows}= 1\n[locks]"), NOW)
    assert seen.health.broken == ("base is needed by user-1.0-1.noarch",)
    assert seen.unexplained == ()


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (change("upgrade", "a", "1", "2"), ""),
        (change("upgrade", "a", None, "2"), "upgrade of a, which has no installed version"),
        (change("remove", "a", None, None), "remove of a, which has no installed version"),
        (change("upgrade", "a", "1.5", "2"), "upgrade of a from 1.5, and installed is 1"),
        (change("remove", "b", "1", None), "remove of b from 1, and installed is none"),
        (change("install", "b", None, "1"), ""),
        (change("install", "kernel", None, "3"), ""),
        (change("rotate", "kernel", "1", None), ""),
        (change("rotate", "kernel", "3", None), "rotate of kernel from 3, and installed is 1, 2"),
    ],
)
def test_a_plan_fits_what_is_installed(plan: Change, words: str) -> None:
    assert contradiction((plan,), THERE) == words


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_plan_that_contradicts_its_observation_is_refused(dialect: Dialect) -> None:
    vector = {"apt": "full", "dnf": "safe", "zypper": "update", "pacman": "all"}[dialect.name]
    sections = parse_sections(
        Vector.model_validate_json((FOLDER / f"{dialect.name}-answer-{vector}.json").read_bytes()).text
    )
    assert read_answer(dialect, sections, ()).changes
    with pytest.raises(Unparsable, match="plan contradicts what is installed"):
        read_answer(dialect, sections, (), (Installed("another", "all", "1"),))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("[missing]\n|bsdtar\n= 127\n", "missing bsdtar: there is no bsdtar on this machine"),
        ("[question]\n!awk ended with 137\n= 137\n", "failed with exit 1: awk ended with 137"),
    ],
    ids=["program", "question"],
)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_refresh_that_could_not_begin_says_why(dialect: Dialect, section: str, words: str) -> None:
    text = f"patchledger-patch 1 {dialect.name}\n{section}exit 1\n"
    with pytest.raises(Stalled, match=re.escape(words)):
        read_refresh(dialect, parse_sections(text))
