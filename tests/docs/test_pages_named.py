"""What a message names, this machine has: a page of the documentation, wherever the program is installed."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.resources import page

ROOT = Path(__file__).parents[2]
_PATH = re.compile(r"(docs|adr)/[\w/-]+(\.md)?")


def _texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the strings of a module that are no docstrings."""
    told = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node


def test_no_message_names_a_page_by_a_path_of_the_repository() -> None:
    named = [
        f"{path.relative_to(ROOT)}:{text.lineno}: {text.value!r}"
        for path in (ROOT / "reconciler").rglob("*.py")
        if path.name != "resources.py"
        for text in _texts(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(text.value, str) and _PATH.search(text.value)
    ]
    assert named == []


def test_every_page_that_is_named_is_there() -> None:
    calls = re.compile(r"\bpage\([\"']([\w/-]+)[\"']\)")
    names = {
        name
        for path in (ROOT / "reconciler").rglob("*.py")
        for name in calls.findall(path.read_text(encoding="utf-8"))
    }
    assert names
    assert [name for name in sorted(names) if not Path(page(name)).is_file()] == []


def test_a_hint_names_a_page_that_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["windows", "--start", "nonsense", "--duration", "1h"]) == 2
    (path,) = re.findall(r"see (/\S+\.md) for the syntax", capsys.readouterr().err)
    assert Path(path).is_file()
