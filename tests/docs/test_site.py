"""The documentation as a site: what a reader finds there, and that nothing of it comes from elsewhere."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [ROOT / "scripts/docs", folder], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages(site: Path) -> Iterator[tuple[Path, str]]:
    for page in sorted(site.rglob("*.html")):
        yield page, page.read_text(encoding="utf-8")


def test_the_first_page_leads_to_what_the_readme_says(site: Path) -> None:
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', (site / "index.html").read_text())
    assert found is not None
    assert "Quick start" in (site / found[1] / "index.html").read_text(encoding="utf-8")


def test_each_page_of_the_documentation_is_there_and_in_the_sidebar(site: Path) -> None:
    first = (site / "README/index.html").read_text(encoding="utf-8")
    sidebar = first.partition('<div class="sidebar-tree">')[2].partition("</div>\n")[0]
    for page in sorted((ROOT / "docs").rglob("*.md")):
        place = page.relative_to(ROOT).with_suffix("").as_posix()
        place = place.removesuffix("/index") if place.endswith("/index") else place
        assert (site / place / "index.html").is_file()
        assert f'href="../{place}/"' in sidebar


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r'<(?:script|img|iframe)[^>]* src="([^"]+)"|<link[^>]* href="([^"]+)"')
    found = [(page, one or other) for page, text in pages(site) for one, other in loaded.findall(text)]
    assert len(found) > 500
    assert [where for where in found if urlsplit(where[1]).scheme or where[1].startswith(("/", "//"))] == []


def test_files_that_pages_lead_to_are_part_of_the_site(site: Path) -> None:
    led = re.compile(r'<a [^>]*href="([^"]+)"')
    missing = {
        (page.relative_to(site).as_posix(), target)
        for page, text in pages(site)
        for target in map(urlsplit, led.findall(text))
        if not target.scheme and not (page.parent / target.path).exists()
    }
    assert missing == set()
