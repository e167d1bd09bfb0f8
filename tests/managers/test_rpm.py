"""What dnf and zypper tell of an installed package."""

import pytest

from reconciler.errors import Stalled
from reconciler.managers.rpm import rows
from reconciler.managers.sections import Section


@pytest.mark.parametrize(
    ("version", "source_rpm", "source"),
    [
        ("5.2-1.el9", "a-5.2-1.el9.src.rpm", ("", "")),
        ("1:5.2-1.el9", "a-5.2-1.el9.src.rpm", ("", "")),
        ("5.2-1.el9", "a-b-c-5.2-1.el9.src.rpm", ("a-b-c", "")),
        ("1:5.2-1.el9", "suite-7.0-3.el9.nosrc.rpm", ("suite", "7.0-3.el9")),
        ("5.2-1.el9", "(none)", ("", "")),
        ("5.2-1.el9", "", ("", "")),
        ("5.2-1.el9", "no-release.src.rpm", ("", "")),
        ("5.2-1.el9", "x-1-2.src.rpm.src.rpm", ("x", "1-2.src.rpm")),
        ("5.2-1.el9", "x-1-2.noarch.rpm", ("", "")),
    ],
)
def test_what_a_package_was_built_from_is_told_where_it_is_called_otherwise(
    version: str, source_rpm: str, source: tuple[str, str]
) -> None:
    section = Section("installed", (f"a\tx86_64\t{version}\t10\t1700000000\t{source_rpm}",), (), 0)
    (row,) = rows(section, 5)
    assert (row.source, row.source_version) == source


def test_a_script_of_an_earlier_release_tells_no_source() -> None:
    (row,) = rows(Section("installed", ("a\tx86_64\t5.2-1\t10\t1700000000",), (), 0), 5)
    assert (row.version, row.size, row.source, row.source_version) == ("5.2-1", 10, "", "")


def test_a_row_with_more_columns_is_of_another_table() -> None:
    with pytest.raises(Stalled, match="does not parse"):
        tuple(rows(Section("installed", ("a\tx86_64\t5.2-1\t10\t17\tb-1-1.src.rpm\tmore",), (), 0), 5))
