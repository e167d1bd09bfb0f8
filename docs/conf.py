"""How the Markdown of this repository becomes a site; ``scripts/docs`` calls Sphinx with this.

Pages and links are those that a forge shows: nothing is written for the site alone. The sidebar lists what
``docs/index.md`` lists, in its order.
"""

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from sphinx.application import Sphinx

_HERE = Path(__file__).parent
_LINK = re.compile(r"\]\(([^)#\s]+)\.md\)")
_BESIDE = ("docs/index", "CONTRIBUTING", "benchmarks/README", "CHANGELOG")
"""Pages that the index of the documentation does not list."""

project = "patchledger"
author = "the authors of patchledger"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/*/*.md",
    "benchmarks/*.md",
    "examples/*/*.md",
    "examples/*/*/*.md",
]
templates_path = [str(_HERE / "templates")]
myst_heading_anchors = 6
html_theme = "furo"
html_title = "patchledger"
html_copy_source = False
html_show_sourcelink = False
html_additional_pages = {"index": "first-page.html"}


def setup(app: Sphinx) -> None:
    """Have Sphinx ask for the sidebar when it reads the first page."""
    app.connect("source-read", _with_sidebar)


def _with_sidebar(app: Sphinx, page: str, text: list[str]) -> None:
    if page == app.config.root_doc:
        text[0] += _sidebar((_HERE / "index.md").read_text(encoding="utf-8"))


def _sidebar(index: str) -> str:
    """Return the directives that list what an index lists, below a heading for each of its sections."""
    listed = set(_BESIDE)
    directives = [_directive("About", _BESIDE)]
    for section in index.split("\n## ")[1:]:
        pages = [posixpath.normpath(f"docs/{name}") for name in _LINK.findall(section)]
        directives.append(_directive(section.partition("\n")[0], [one for one in pages if one not in listed]))
        listed.update(pages)
    directives.append(_directive("Examples", ["examples/*/README", "examples/*/*/README"]))
    return "".join(directives)


def _directive(heading: str, pages: Sequence[str]) -> str:
    return "\n".join(
        ["", "```{toctree}", ":hidden:", ":glob:", f":caption: {heading}", "", *pages, "```", ""]
    )
