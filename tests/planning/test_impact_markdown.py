"""An impact as a comment and as a page: bounded, its folds closed, and nobody's text is markup."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reconciler.planning.impact.effect import Group, Impact, Unjudged, Unreached, UpdateChange
from reconciler.planning.impact.markdown import MARK, MOST, comment
from reconciler.planning.impact.page import page
from reconciler.planning.resolving.dispositions import Disposition
from tests.examples import examples
from tests.planning.test_impact import HOLD, TREE, impact
from tests.planning_texts import HOSTILE_TEXT

CHANGE = {
    "exceptions/e.yaml": HOLD,
    "schedules/n.yaml": TREE["schedules/n.yaml"].replace("02:00", "04:00"),
    "policies/c.yaml": "kind: Policy\nname: nobody\nmatch: {labels: {role: wbe}}\nupdates: none\n",
}
SAMPLE = impact(CHANGE)


def update(number: int, words: str = "because") -> UpdateChange:
    fate = Disposition.PLANNED
    return UpdateChange(f"package-{number}", "amd64", "1", False, "comes", None, fate, words, "", None)


def many(hosts: int, updates: int, words: str = "because") -> Group:
    group = SAMPLE.groups[0]
    changes = tuple(update(number, words) for number in range(updates))
    effect = replace(group.effect, updates=replace(group.effect.updates, changes=changes))
    return replace(group, hosts=tuple(f"web-{number:05}" for number in range(hosts)), effect=effect)


def is_balanced(text: str) -> bool:
    """Tell whether every fold is closed before the next begins, and none is closed twice."""
    tags = re.findall(r"</?details>", text)
    return tags == ["<details>", "</details>"] * (len(tags) // 2)


def test_the_verdict_comes_first_and_what_must_not_be_missed_before_what_is_folded() -> None:
    text = comment(SAMPLE)
    assert text.startswith(f"{MARK}\n### Impact: 6 of 6 hosts change")
    parts = ("### Impact", "Not to be missed", "Group 1: 6 hosts", "Documents that")
    order = [text.index(part) for part in parts]
    assert order == sorted(order)
    assert is_balanced(text)


@pytest.mark.parametrize(
    ("groups", "hosts", "updates"), [(1, 20_000, 3), (1, 1, 5_000), (400, 30, 40), (3000, 1, 1)]
)
def test_it_is_never_too_long_and_says_what_it_leaves_out(groups: int, hosts: int, updates: int) -> None:
    large = replace(SAMPLE, groups=(many(hosts, updates),) * groups)
    text = comment(large)
    assert len(text) <= MOST
    assert is_balanced(text)
    assert ("did not fit" in text) == (groups > 100)
    if updates > 1000:
        assert "4990 more" in text


def test_hosts_and_documents_without_end_do_not_make_it_too_long() -> None:
    large = replace(
        SAMPLE,
        unjudged=tuple(Unjudged(f"host-{number}", "@" * 300) for number in range(5000)),
        unreached=tuple(Unreached("Policy", f"p{number}", "x" * 300, "new") for number in range(5000)),
    )
    text = comment(large)
    assert len(text) <= MOST
    assert is_balanced(text)
    assert "not judged: 5000" in text


@given(HOSTILE_TEXT, HOSTILE_TEXT)
@examples(150)
def test_text_of_others_forms_no_markup_and_mentions_nobody(name: str, reason: str) -> None:
    text = comment(hostile(name, reason))
    plainly = comment(hostile("web", "words"))
    assert shape(text) == shape(plainly)
    assert is_balanced(text)
    assert not re.search(r"(?<![\w&])@\w", text)


def hostile(name: str, reason: str) -> Impact:
    """Return an impact in which somebody chose all that others than we can choose."""
    group = replace(many(1, 1, reason), hosts=(name or "x",))
    return replace(
        SAMPLE,
        concerns=(replace(SAMPLE.concerns[0], message=reason, hosts=(name,)),),
        groups=(group,),
        unjudged=(Unjudged(name, reason),),
        head=replace(SAMPLE.head, name=reason),
    )


class Tags(HTMLParser):
    """Notes the tags of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[object] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)

    @classmethod
    def of(cls, text: str) -> list[object]:
        tags = cls()
        tags.feed(text)
        tags.close()
        return tags.found


@given(HOSTILE_TEXT, HOSTILE_TEXT)
@examples(150)
def test_on_a_page_text_of_others_is_text(name: str, reason: str) -> None:
    text = page(hostile(name, reason))
    assert Tags.of(text) == Tags.of(page(hostile("web", "words")))
    assert is_balanced(text)


def test_a_page_has_everything_and_needs_nothing() -> None:
    text = page(replace(SAMPLE, groups=(many(300, 500),)))
    assert "package-499 1: because" in text
    assert "web-00299" in text
    assert "default-src 'none'" in text
    names = {tag[0] for tag in Tags.of(text) if isinstance(tag, tuple)}
    assert not names & {"script", "link", "img", "iframe", "object", "form"}


def shape(text: str) -> list[str]:
    """Return what a forge would make of a comment, its words left out."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    found: list[str] = []
    for token in tokens:
        if token.type != "inline":
            found.append(token.type)
        else:
            kinds = (child.type for child in token.children or ())
            found += [kind for kind in kinds if kind not in ("text", "text_special", "code_inline")]
    return found


def test_what_must_not_be_missed_is_counted_where_even_that_does_not_fit() -> None:
    loud = tuple(replace(SAMPLE.concerns[0], message="@" * 600) for _ in range(13))
    text = comment(replace(SAMPLE, concerns=loud))
    assert len(text) <= MOST
    assert "that must not be missed did not fit" in text


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400))
@examples(40)
def test_any_number_of_anything_stays_in_bounds(groups: int, hosts: int, updates: int) -> None:
    text = comment(replace(SAMPLE, groups=(many(hosts + 1, updates, "|" * 250),) * groups))
    assert len(text) <= MOST
    assert is_balanced(text)
