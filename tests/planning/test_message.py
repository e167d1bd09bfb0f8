"""Messages are bounded, and nothing in them can steer a terminal or start Markdown."""

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reconciler.planning import message
from reconciler.planning.message import Contents, PackageLine, compose
from reconciler.planning.untrusted import one_line

HOSTILE = (
    "[click](http://evil.example) <img src=x> **bold** `code` \x1b[31mred\x07 "
    "\u202eright-to-left\u2066 @everyone\n# head"
)


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
    assert "- in:all (new) -> 1\n- out:all 1 -> (removed)\n" in made.text


def test_hostile_text_stays_text() -> None:
    made = compose(
        HOSTILE,
        HOSTILE,
        Contents((HOSTILE,), (("Reason", HOSTILE),), "P", (PackageLine(HOSTILE, "a", "1", "2"),), HOSTILE),
    )
    html = MarkdownIt().render(made.markdown)
    assert not [tag for tag in ("<a ", "<img", "<h1", "<strong>bold", "<code>code</code>") if tag in html]
    everything = made.title + made.text + made.markdown
    assert not [character for character in "\x1b\x07\u202e\u2066" if character in everything]
    assert "\n" not in made.title


@given(st.text(alphabet=st.characters(), max_size=2000), st.integers(min_value=2, max_value=300))
@settings(max_examples=100, deadline=None)
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


def test_the_end_of_the_log_is_shown() -> None:
    log = "\n".join(f"line {number}" for number in range(5000))
    made = compose("h", "x", _contents(0, (), log))
    assert made.text.endswith("line 4999\n")
    assert len(made.text) < message.EXCERPT_LIMIT + 500
