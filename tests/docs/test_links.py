"""The documentation's own promises: links lead somewhere, and the reference names the commands that exist."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from reconciler.planning.resolving.dispositions import ConditionType

ROOT = Path(__file__).resolve().parents[2]
_OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def _pages() -> list[Path]:
    """Return the Markdown files that are the repository's own: what git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "*.md"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return [ROOT / name for name in sorted(listed.stdout.split("\0")) if name and (ROOT / name).is_file()]


def _tokens(page: Path) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def _targets(page: Path) -> list[str]:
    """Return where links and images of ``page`` point to, those to other sites left out."""
    found = [token.attrs.get("href", token.attrs.get("src")) for token in _tokens(page)]
    return [str(target) for target in found if target is not None and not _OUTSIDE.match(str(target))]


def _anchors(page: Path) -> set[str]:
    """Return the anchors that forges make of the headings of ``page``."""
    tokens = list(_tokens(page))
    headings = [
        tokens[index + 1].content for index, token in enumerate(tokens) if token.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in _targets(page):
        path, _, anchor = unquote(target).partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or not place.is_relative_to(ROOT):
            broken.append(f"{target}: no such file")
        elif anchor and place.suffix == ".md" and anchor not in _anchors(place):
            broken.append(f"{target}: no such heading")
    assert broken == []


def test_the_check_sees_links_images_and_anchors(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The one, and *only*\n\n| [a](b.md#c) |\n|---|\n| ![d](e.svg) <https://x> |\n\n`[no](no)`\n"
    )
    assert _targets(page) == ["b.md#c", "e.svg"]
    assert _anchors(page) == {"the-one-and-only"}


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    docs = ROOT / "docs"
    linked = {(docs / target.partition("#")[0]).resolve() for target in _targets(docs / "index.md")}
    missing = [
        str(page.relative_to(ROOT)) for page in _pages() if docs in page.parents and page not in linked
    ]
    assert missing == ["docs/index.md"]


def documented_verbs() -> frozenset[str]:
    """Return the commands in the first column of the reference's table, such as ``policy check``."""
    page = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    section = page.partition("\n## Commands\n")[2].partition("\n## ")[0]
    return frozenset(re.findall(r"^\| `([a-z]+(?: [a-z]+)*)", section, re.MULTILINE))


def real_verbs() -> frozenset[str]:
    """Return the commands that ``patchledger --help`` has, asked as a user would ask.

    A group such as ``policy`` stands for its own verbs, each as ``policy check``.
    """
    found: set[str] = set()
    for verb in _listed():
        below = _listed(verb)
        found |= {f"{verb} {each}" for each in below} or {verb}
    return frozenset(found)


def _listed(*group: str) -> list[str]:
    asked = subprocess.run(
        [sys.executable, "-m", "reconciler", *group, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "NO_COLOR": "1"},
    )
    # argparse lists verbs four columns in, an alias in brackets after its verb; options are two columns in.
    return re.findall(r"^ {4}([a-z]+)(?: \([a-z-]+\))?(?: |$)", asked.stdout, re.MULTILINE)


def test_the_reference_names_the_commands_that_exist() -> None:
    assert documented_verbs() == real_verbs()


def test_every_condition_is_in_the_reference() -> None:
    pages = (ROOT / "docs/reference" / name for name in ("dispositions.md", "decisions.md"))
    rows = [
        line for page in pages for line in page.read_text(encoding="utf-8").splitlines() if line[:2] == "| "
    ]
    documented = {name for row in rows for name in re.findall(r"`([A-Z]\w+)`", row.split("|")[1])}
    assert set(ConditionType) - documented == set()


def test_every_test_that_the_attacks_name_is_there() -> None:
    page = (ROOT / "docs/explanation/attacks.md").read_text(encoding="utf-8")
    named = {
        name for name in re.findall(r"`(test_\w+)`", page) if not list((ROOT / "tests").rglob(f"{name}.py"))
    }
    assert len(named) > 20
    texts = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in named if f"def {name}(" not in texts} == set()


_MODULE = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|sh))`")
_NAMED = re.compile(r"`((?:\w+/)+\w+\.py)` `(?:\w+\.)?(\w+)`")
_GUIDES = (
    "ARCHITECTURE.md",
    *(f"docs/explanation/{name}.md" for name in ("a-curl-update", "glossary", "where-things-are")),
)


@pytest.mark.parametrize("page", _GUIDES)
def test_the_files_that_a_newcomer_is_sent_to_are_there(page: str) -> None:
    named = set(_MODULE.findall((ROOT / page).read_text(encoding="utf-8")))
    assert len(named) > 10
    missing = [
        name for name in named if not ((ROOT / "reconciler" / name).exists() or (ROOT / name).exists())
    ]
    to_be_written = ("NAME", "apk")
    assert [name for name in missing if not any(word in name for word in to_be_written)] == []


@pytest.mark.parametrize("room", ["fleet", "gitops", "reconcile"])
def test_every_file_of_a_room_without_rooms_has_its_place_on_the_map(room: str) -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    files = {path.name for path in (ROOT / "reconciler" / room).glob("[!_]*.py")}
    assert len(files) > 5
    assert {name for name in files if f"`{name}`" not in page and f"`{room}/{name}`" not in page} == set()


def test_what_a_newcomer_is_told_to_look_for_in_a_file_is_in_it() -> None:
    named = _NAMED.findall((ROOT / "docs/explanation/a-curl-update.md").read_text(encoding="utf-8"))
    assert len(named) > 10
    for path, name in named:
        text = (ROOT / "reconciler" / path).read_text(encoding="utf-8")
        assert re.search(rf"^ *(?:class|def) {name}\b", text, re.MULTILINE), (path, name)
