"""Messages are bounded, and nothing in them can steer a terminal or start Markdown."""

from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reconciler.planning.notices import message
from reconciler.planning.notices.message import Contents, Message, MessageSection, PackageLine, compose
from reconciler.planning.text.untrusted import one_line
from tests.examples import examples

HOSTILE = (
    "[click](http://evil.example) <img src=x> **bold** `code` \x1b[31mred\x07 "
    "\u202eright-to-left\u2066 @everyone\n# head"
)


WHOLE = compose(
    "web-01",
    "failed: grub-pc could not be configured",
    Contents(
        lines=("Deferred through the freeze <year-end>.",),
        facts=(("Host", "web-01"), ("Outcome", "failed"), ("Next window", "2026-12-02 02:00 UTC")),
        packages_title="Packages",
        packages=(
            PackageLine("grub-pc", "amd64", "2.06-13", "2.06-13+deb12u1", security=True),
            PackageLine("libnew", "amd64", None, "1.0-1"),
            PackageLine("libold", "amd64", "0.9-1", None),
        ),
        log_excerpt="Setting up grub-pc ...\ndpkg: error processing package grub-pc (--configure):\n",
        sections=(
            MessageSection("Not planned, and why", ("php, php-cli: held by the exception hold-php",)),
            MessageSection("Exceptions that end soon", ()),
        ),
    ),
)
ELEMENTS = {"html", "head", "meta", "title", "body", "div", "h1", "h2", "p", "b", "ul", "li", "span", "pre"}


class Page(HTMLParser):
    """What a mail reader makes of a page: elements, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(made: Message) -> Page:
    """Read the page, which must be whole and hold nothing but what its own template has."""
    page = Page(made.html)
    assert page.open == []
    assert page.elements <= ELEMENTS
    assert page.attributes <= {"lang", "charset", "style", "name", "content"}
    return page


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_a_message_is_written_as_before(form: str, golden: Callable[[str, bytes], None]) -> None:
    suffix = {"text": "txt", "markdown": "md", "html": "html"}[form]
    golden(f"message/failed.{suffix}", getattr(WHOLE, form).encode())


def test_the_page_gives_the_same_account_and_loads_nothing() -> None:
    page = _read(WHOLE)
    for said in ("freeze <year-end>", "grub-pc:amd64 2.06-13 → 2.06-13+deb12u1 security", "php-cli: held by"):
        assert said in page.text
    assert "Exceptions that end soon" not in WHOLE.text + WHOLE.markdown + WHOLE.html
    assert not [word for word in ("http", "src=", "url(", "href") if word in WHOLE.html]


def _contents(packages: int = 1, lines: tuple[str, ...] = (), log: str = "") -> Contents:
    shown = tuple(
        PackageLine(f"package{n}", "amd64", "1.0-1", "1.0-2", security=n == 0) for n in range(packages)
    )
    return Contents(lines, (("Host", "web-01"), ("Next window", "none")), "Planned", shown, log)


def test_the_plain_text_reads_like_a_letter() -> None:
    made = compose("web-01", "plan changed: 2 updates", _contents(2, ("First.", "Second.")))
    assert made.title == "[patchledger] web-01: plan changed: 2 updates"
    assert made.text == (
        "First.\nSecond.\n\n"
        "Host:        web-01\n"
        "Next window: none\n\n"
        "Planned:\n"
        "- package0:amd64 1.0-1 -> 1.0-2 [security]\n"
        "- package1:amd64 1.0-1 -> 1.0-2\n"
    )


def test_the_markdown_renders_to_the_same_account() -> None:
    made = compose("web-01", "x", _contents(1, ("First: 1.0-2 <more>.",), "a\n``` b"))
    html = MarkdownIt().render(made.markdown)
    assert "<p>First: 1.0-2 &lt;more&gt;.</p>" in html
    assert "<li><strong>Host:</strong> web-01</li>" in html
    assert (
        "<code>package0:amd64</code> <code>1.0-1</code> → <code>1.0-2</code> <strong>security</strong>"
        in html
    )
    assert "<pre><code>a\n``` b\n</code></pre>" in html


def test_installs_and_removals_are_told_apart() -> None:
    packages = (PackageLine("in", "all", None, "1"), PackageLine("out", "all", "1", None))
    made = compose("h", "x", Contents((), (), "Packages", packages))
    assert "- in:all (new) -> 1\n- out:all 1 -> (gone)\n" in made.text


EVIL = (
    HOSTILE,
    "</span></li></ul><script>alert(1)</script>",
    '" onmouseover="alert(1)" x="',
    "&lt;img src=x onerror=alert(1)&gt;",
    "<!-- -->]]><svg/onload=alert(1)>",
    "</title></head><body onload=alert(1)>",
    "</pre><iframe src=//evil.example>",
)


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_text_stays_text(evil: str) -> None:
    made = compose(
        evil,
        evil,
        Contents(
            (evil,),
            (("Reason", evil),),
            "P",
            (PackageLine(evil, evil, evil, evil),),
            evil,
            (MessageSection("S", (evil,)),),
        ),
    )
    markdown = MarkdownIt().render(made.markdown)
    tags = ("<a ", "<img", "<h1", "<strong>bold", "<code>code</code>", "<script", "<svg", "<iframe", "<body")
    assert not [tag for tag in tags if tag in markdown]
    page = _read(made)
    start = evil.split("\x1b", maxsplit=1)[0].split("\n", maxsplit=1)[0].strip()
    # Title, heading, line, fact, section, four times in the package, log.
    assert page.text.count(start) >= 10
    everything = made.title + made.text + made.markdown + made.html
    assert not [character for character in "\x1b\x07\u202e\u2066" if character in everything]
    assert "\n" not in made.title


@given(st.text(alphabet=st.characters(), max_size=300))
@examples(100)
def test_no_text_breaks_a_page(text: str) -> None:
    _read(
        compose(
            text, text, Contents((text,), (("x", text),), "P", (PackageLine(text, text, text, text),), text)
        )
    )


@given(st.text(alphabet=st.characters(), max_size=2000), st.integers(min_value=2, max_value=300))
@examples(100)
def test_a_shortened_text_is_one_short_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1


def test_a_text_that_fits_is_not_cut() -> None:
    assert one_line("just right", 10) == "just right"
    assert one_line("just too long", 10) == "just too …"


def test_every_part_has_an_end() -> None:
    huge = "x" * 100_000
    many = tuple(PackageLine(huge, huge, huge, huge) for _ in range(1000))
    made = compose(huge, huge, Contents((huge,) * 1000, (("Reason", huge),), "Packages", many, huge * 5))
    assert len(made.title) == message.TITLE_LIMIT
    assert "and 980 more" in made.text
    assert f"and {1000 - message.PACKAGES_LIMIT} more" in made.text
    assert max(len(made.text), len(made.markdown)) < 120_000
    assert len(made.html) < 200_000


def test_the_end_of_the_log_is_shown() -> None:
    log = "\n".join(f"line {number}" for number in range(5000))
    made = compose("h", "x", _contents(0, (), log))
    assert made.text.endswith("line 4999\n")
    assert len(made.text) < message.EXCERPT_LIMIT + 500
    first = made.text.partition("End of the log:\n")[2].splitlines()[:2]
    assert (first[0], first[1] in log.splitlines()) == ("…", True)
    assert "…" not in compose("h", "x", _contents(0, (), log[-message.EXCERPT_LIMIT :])).text


def test_a_log_of_one_line_and_one_of_ten_megabytes_have_an_end() -> None:
    made = compose("h", "x", _contents(0, (), "\u202e\0" + "x" * 10_000_000 + "the end"))
    assert "…\nx" in made.text
    assert len(made.text) < message.EXCERPT_LIMIT + 500
    assert len(made.html) < 2 * message.EXCERPT_LIMIT + 5000


def test_the_shorter_accounts_leave_out_the_log_and_then_the_lists() -> None:
    made = compose("h", "x", _contents(3, (), "dpkg: error"))
    without_log, bare = made.shorter
    assert "dpkg: error" in made.text
    assert "dpkg: error" not in without_log.text + without_log.markdown
    assert without_log.text in made.text
    assert len(bare.text) < len(without_log.text)
    assert len(bare.markdown) < len(without_log.markdown)


def test_a_page_folds_long_words_and_has_no_colours_of_its_own() -> None:
    page = compose("h", "x" * 300, _contents(1, (), "")).html
    assert "overflow-wrap:anywhere" in page
    assert '<meta name="color-scheme" content="light dark"/>' in page
    assert "background:#ffffff" not in page
