"""Text that others chose, made safe to show."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from markdown_it import MarkdownIt

from reconciler.planning.text.untrusted import clip, markdown, markdown_code, width
from reconciler.policy.problems import visible
from tests.planning_texts import HOSTILE_TEXT


@given(HOSTILE_TEXT)
def test_what_is_visible_holds_nothing_that_moves_the_cursor_or_hides(text: str) -> None:
    seen = visible(text)
    assert all(character == " " or unicodedata.category(character)[0] not in "CZ" for character in seen)
    assert visible(seen) == seen


def test_what_is_invisible_is_spelt_out() -> None:
    assert visible("a\x1b[31m\u202eb\n") == r"a\u{1b}[31m\u{202e}b\u{a}"
    assert visible("nginx 1.2~é") == "nginx 1.2~é"


def _inline(text: str) -> list[str]:
    """Return the types of the tokens that CommonMark with tables and strikethrough makes of a list item."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(f"- {text}")
    return [token.type for token in tokens] + [
        child.type for token in tokens for child in token.children or ()
    ]


PLAIN = {
    "bullet_list_open", "list_item_open", "paragraph_open", "inline", "text", "paragraph_close",
    "list_item_close", "bullet_list_close",
}  # fmt: skip


@given(HOSTILE_TEXT)
@example("<script>alert(1)</script>")
@example("[x](javascript:alert(1))")
@example("![x](http://tracker.example/x.png)")
@example("1. list")
@example("- [x] task")
@example("    code")
@example("`a` **b** ~~c~~ <!-- d -->")
@example("https://a.example www.a.example a@b.example")
def test_prose_stays_prose(text: str) -> None:
    assert set(_inline(markdown(text))) <= PLAIN


@given(HOSTILE_TEXT)
def test_an_identifier_is_at_most_a_code_span(text: str) -> None:
    assert set(_inline(markdown_code(text))) <= PLAIN | {"code_inline"}


@given(HOSTILE_TEXT)
def test_a_cell_stays_one_cell_without_html_or_mention(text: str) -> None:
    for cell in (markdown(text), markdown_code(text)):
        assert not set(cell) & set("<>|\n")
        outside_code = re.sub(r"`[^`]*`", "", cell)
        assert not re.search(r"@|`", outside_code)
        assert "#" not in re.sub(r"&#\d+;", "", outside_code)


@given(HOSTILE_TEXT)
def test_prose_reads_as_the_visible_text(text: str) -> None:
    rendered = MarkdownIt("commonmark").parseInline(markdown(text, 10_000))
    shown = "".join(child.content for token in rendered for child in token.children or ())
    assert shown.replace("\u2060", "").strip() == visible(text).strip()


def test_what_is_cut_says_so() -> None:
    assert clip("abcdef", 4) == "abc…"
    assert clip("abcd", 4) == "abcd"


@pytest.mark.parametrize(("text", "expected"), [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("→", 1)])
def test_width_counts_terminal_cells(text: str, expected: int) -> None:
    assert width(text) == expected
