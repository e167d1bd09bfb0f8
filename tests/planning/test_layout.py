"""A field that comes into a layout leaves older files readable, and what they said reproducible."""

from dataclasses import dataclass

import pytest

from reconciler.planning.text import canonical
from reconciler.planning.text.layout import SCHEMA_VERSION, fields_of, is_known, is_newer, refusal, since


@dataclass(frozen=True, slots=True)
class Step:
    """A record that grew."""

    name: str
    policy: str = since(2, "")


@dataclass(frozen=True, slots=True)
class Run:
    """A record of records."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = since(3, ())


def test_a_new_field_has_its_default() -> None:
    assert Step("a") == Step("a", "")
    assert Run(()) == Run((), ())


def test_each_version_writes_its_own_fields() -> None:
    run = Run((Step("a", "abc"),), ("told",))
    assert canonical.plain(run, version=1) == {"steps": [{"name": "a"}]}
    assert canonical.plain(run, version=2) == {"steps": [{"name": "a", "policy": "abc"}]}
    assert canonical.plain(run, version=3)["notes"] == ["told"]
    assert [one.name for one in fields_of(Run, 2)] == ["steps"]


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0, None, SCHEMA_VERSION + 1])
def test_other_versions_are_not_known(version: object) -> None:
    assert not is_known(version)


def test_a_newer_version_is_told_from_no_version() -> None:
    assert is_newer(SCHEMA_VERSION + 1)
    assert "written by a newer patchledger" in refusal("x.json", SCHEMA_VERSION + 1)[0]
    assert "there is no such version" in refusal("x.json", "two")[0]
