"""What is not of the documented form is refused, and every state has its words."""

from datetime import UTC, datetime

import pytest

from reconciler.errors import Stalled
from reconciler.managers.pacman import PACMAN
from reconciler.planning.facts.observation import RebootNeed, RefreshOutcome, Unmet
from tests.managers.told import parse_answer, parse_observe, parse_refresh
from tests.vectors.vector import FOLDER, Vector

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def recorded(name: str) -> str:
    return Vector.model_validate_json((FOLDER / f"pacman-{name}.json").read_bytes()).text


@pytest.mark.parametrize(
    ("modules", "container", "root", "need"),
    [
        ("missing", "no", "/", RebootNeed.REQUIRED),
        ("present", "no", "/", RebootNeed.NOT_REQUIRED),
        ("none", "no", "/", RebootNeed.UNKNOWN),
        ("missing", "yes", "/", RebootNeed.NOT_REQUIRED),
        ("missing", "no", "/srv/image", RebootNeed.NOT_REQUIRED),
    ],
)
def test_a_reboot_is_needed_where_the_running_kernels_modules_are_gone(
    modules: str, container: str, root: str, need: RebootNeed
) -> None:
    text = recorded("observe-lab")
    for key, value in (("modules", modules), ("container", container), ("root", root)):
        (line,) = (each for each in text.splitlines() if each.startswith(f"|{key}="))
        text = text.replace(line, f"|{key}={value}")
    assert parse_observe(PACMAN, text, NOW).reboot.need is need


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("|plain 1.0-1 -> 1.1-1", "|plain 1.0-1 => 1.1-1"),
        ("|plain 1.0-1 -> 1.1-1", "|plain 0.9-1 -> 1.1-1"),
        ("|plain\t1.0-1\tany", "|plain\t1.0-1 any"),
        ("|lab\tplain\t1.1-1", "|lab plain 1.1-1"),
        ("|1795341600 1795345200 lab", "|yesterday"),
    ],
)
def test_an_observation_of_another_form_is_refused(old: str, new: str) -> None:
    text = recorded("observe-lab")
    assert old in text
    with pytest.raises(Stalled, match="does not parse"):
        parse_observe(PACMAN, text.replace(old, new), NOW)


def test_a_machine_without_packages_is_no_machine_of_pacmans() -> None:
    head, _, rest = recorded("observe-lab").partition("[installed]\n")
    text = head + "[installed]\n= 0\n" + rest.partition("= 0\n")[2]
    with pytest.raises(Stalled, match="knows no installed package"):
        parse_observe(PACMAN, text, NOW)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("plain-1.1-1", "plain-1.2-1"),
        ("plain-1.1-1", "plain"),
        ("replaced-1.0-1 [removal]", "absent-1.0-1 [removal]"),
    ],
)
def test_an_answer_that_names_what_nobody_offers_or_has_is_refused(old: str, new: str) -> None:
    text = recorded("answer-all")
    assert f"  {old}" in text
    with pytest.raises(Stalled, match="does not parse"):
        parse_answer(PACMAN, text.replace(f"  {old}", f"  {new}"))


def test_relations_are_read_whatever_words_are_around_them() -> None:
    text = recorded("answer-conflict").replace(
        "|:: plain and victim are in conflict\n",
        "|:: plain and victim are in conflict (libx)\n"
        "|:: removing old breaks dependency 'libx.so=1' required by new\n",
    )
    assert parse_answer(PACMAN, text).unmet == (
        Unmet("plain", "", "Conflicts", "victim"),
        Unmet("old", "", "Breaks", "new (which needs libx.so (= 1))"),
    )


def test_a_conflict_names_packages_also_where_pacman_writes_their_versions() -> None:
    said = "|:: plain-1.2-1 and new-name-2:1.0-1.1 are in conflict\n"
    text = recorded("answer-conflict").replace("|:: plain and victim are in conflict\n", said)
    assert parse_answer(PACMAN, text).unmet == (Unmet("plain", "", "Conflicts", "new-name"),)


def test_an_ordinary_user_may_not_refresh() -> None:
    text = (
        "patchledger-patch 1 pacman\n[refresh]\n"
        "!error: you cannot perform this operation unless you are root.\n= 1\nexit 1\n"
    )
    assert parse_refresh(PACMAN, text).outcome is RefreshOutcome.NOT_PERMITTED


def test_a_failed_refresh_tells_pacmans_words_without_passwords() -> None:
    text = recorded("refresh-unreachable").replace("/srv/repository", "http://me:secret@mirror/lab")
    refresh = parse_refresh(PACMAN, text)
    assert refresh.outcome is RefreshOutcome.FAILED
    assert "secret" not in refresh.detail
    assert "http://mirror/lab" in refresh.detail
