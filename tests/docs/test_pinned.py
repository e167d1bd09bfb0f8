"""What the packages are made of is what is tested."""

import re
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
_PART = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)


def pinned(name: str) -> dict[str, str]:
    found = _PART.findall((ROOT / name).read_text(encoding="utf-8"))
    return {str(canonicalize_name(part)): version for part, version in found}


@pytest.mark.parametrize("name", ["packaged.txt", "tools.txt"])
def test_each_part_of_a_package_has_the_tested_version_and_is_known_by_its_hash(name: str) -> None:
    parts = pinned(f"scripts/packaging/{name}")
    constrained = pinned("constraints.txt")
    assert parts
    assert {part: constrained.get(part) for part in parts} == parts
    text = (ROOT / "scripts/packaging" / name).read_text(encoding="utf-8")
    assert [
        line for line in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:] if "--hash=sha256:" not in line
    ] == []
