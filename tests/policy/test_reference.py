"""The reference pages name every key, with the default it really has."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from reconciler.policy.documents import Document, Settings
from reconciler.policy.expectation import Expectation, read_expectations
from reconciler.policy.load import Revision, load
from reconciler.policy.schema import WRITTEN_KINDS
from reconciler.policy.values import format_duration
from tests.policy.trees import files

PAGES = Path(__file__).parents[2] / "docs" / "reference"
Rows = dict[str, list[str]]


def rows(page: str) -> Rows:
    """Return the cells of every table row whose first cell is a key."""
    found: Rows = {}
    for line in (PAGES / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        key = re.fullmatch(r"`([a-z_.]+)`", cells[0])
        if line.startswith("|") and key is not None:
            found.setdefault(key[1], cells[1:])  # The document's own keys come first.
    return found


def leaves() -> dict[str, str]:
    """Return every setting and how its default is written."""
    found = {}
    for name, value in Settings().model_dump(mode="json").items():
        nested = value.items() if isinstance(value, dict) and value else [("", value)]
        for key, leaf in nested:
            found[f"{name}.{key}".rstrip(".")] = leaf
    return {key: "none" if value is None else f"`{value}`" for key, value in found.items()}


@pytest.mark.parametrize(("key", "default"), sorted(leaves().items()))
def test_the_page_on_policies_gives_every_setting_its_default(key: str, default: str) -> None:
    assert rows("policy.md")[key][-1] == default


def test_the_page_on_policies_names_no_setting_that_is_not_there() -> None:
    own = {"kind", "name", "description", "priority", "match"}

    assert set(rows("policy.md")) == set(leaves()) | own


@pytest.mark.parametrize("kind", sorted(WRITTEN_KINDS))
def test_every_page_has_every_key_of_its_kind_and_its_default(kind: str) -> None:
    model: type[Document] = WRITTEN_KINDS[kind]
    table = rows(f"{kind.lower()}.md")
    fields = {field.alias or name: field for name, field in model.model_fields.items()}

    for key in fields.keys() - Settings.model_fields.keys():
        field = fields[key]
        assert key in table, key
        if field.default is PydanticUndefined:
            assert table[key][1] == "required", key
        elif isinstance(field.default, timedelta):
            assert table[key][1] == f"`{format_duration(field.default)}`", key


@pytest.mark.parametrize("page", [*map(str.lower, sorted(WRITTEN_KINDS)), "layering"])
def test_the_example_of_every_page_is_valid(page: str) -> None:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    folder = next((model.folder for kind, model in WRITTEN_KINDS.items() if kind.lower() == page), "policies")
    night = (
        'kind: Schedule\nname: sunday-night\ntimezone: UTC\nwindows:\n- {start: "Sun 02:00", duration: 3h}\n'
    )

    board = (PAGES.parents[1] / "examples/policies/production/calendars/change-board.ics").read_text()
    tree = {f"{folder}/x.yaml": example[1], "schedules/n.yaml": night, "calendars/change-board.ics": board}
    found = load(files(tree))

    assert isinstance(found, Revision), found
    if folder == Expectation.folder:
        read = read_expectations(files(tree))
        assert (len(read.placed), read.problems) == (1, ())
