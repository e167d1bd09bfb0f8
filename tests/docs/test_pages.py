"""Every command of every how-to is run by a test as it is printed, or is named with the reason why not."""

import re
from pathlib import Path

import pytest

from tests.labs.pages import HOW_TO, NOT_FOLLOWED, ROOT, blocks, commands

TESTS = Path(__file__).parents[1]
PAGES = sorted(page.name for page in HOW_TO.glob("*.md"))
FOLLOWS = re.compile(r"\bto_follow\(|\breader\.follow\(")
NAMED = re.compile(r'"([a-z-]+\.md)"')
# What begins so is typed, and must not hide among outputs and addresses.
TYPED = re.compile(
    r"^(?:[#$] )?(?:patchledger|git|cat|curl|ssh\S*|scp|systemctl|apt\S*|dnf|zypper|scripts/\S+|install|sh) ",
    re.MULTILINE,
)

README = {
    "git clone": "tests/e2e/test_quickstart.py",
    "./scripts/quickstart": "tests/e2e/test_quickstart.py",
    "patchledger --config": "tests/e2e/test_quickstart.py",
    "scripts/package deb": "tests/labs/packages.py",
    "patchledger setup": "tests/docs/test_how_tos.py",
    "./scripts/test": "CONTRIBUTING.md",
    "./scripts/check": "CONTRIBUTING.md",
}
"""Who does what the README prints, by how a command begins; the last two are what runs tests."""


def test_each_command_of_the_readme_is_done_somewhere() -> None:
    printed = [one.text for one in commands(ROOT / "README.md")]
    assert [text for text in printed if not text.startswith(tuple(README))] == []
    for start, where in README.items():
        assert any(text.startswith(start) for text in printed)
        assert (ROOT / where).exists()


def test_each_how_to_is_followed_by_a_test() -> None:
    tests = [path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    followed = {page for text in tests if FOLLOWS.search(text) for page in NAMED.findall(text)} & set(PAGES)
    typed = {
        page for page in PAGES if any((page, one.text) not in NOT_FOLLOWED for one in commands(HOW_TO / page))
    }
    assert followed == typed


def test_what_is_not_followed_is_printed_somewhere_and_has_a_reason() -> None:
    printed = {(page, one.text) for page in PAGES for one in commands(HOW_TO / page)}
    assert set(NOT_FOLLOWED) - printed == set()
    assert all(NOT_FOLLOWED.values())


@pytest.mark.parametrize("page", PAGES)
def test_what_is_typed_stands_in_a_block_of_commands(page: str) -> None:
    found = blocks(HOW_TO / page)
    assert {one.language for one in found} <= {"sh", "console", "text", "yaml", "ini"}
    assert [one.text for one in found if one.language == "text" and TYPED.search(one.text)] == []
