"""What all patch scripts decide alike, in functions of ``common.sh``."""

import os
from pathlib import Path

import pytest

from tests.managers.shell import call

pytestmark = pytest.mark.lab

DAY = 86400
NOW = 1_700_000_000


def keep(folder: Path, name: str, size: int = 1, gone: int | None = None) -> None:
    """Put a package file of so many MiB there, superseded so many days ago."""
    (folder / name).touch()
    os.truncate(folder / name, size * 1048576)
    if gone is not None:
        mark = folder / f"{name}.gone"
        mark.touch()
        os.utime(mark, (NOW, NOW - gone * DAY))


@pytest.mark.parametrize(
    ("size", "left"),
    [
        (100, ["here.deb", "large.deb", "new.deb", "new.deb.gone", "recent.deb", "recent.deb.gone"]),
        (8, ["here.deb", "large.deb", "new.deb", "new.deb.gone"]),
        (7, ["here.deb", "large.deb"]),
        (3, ["here.deb"]),
        (0, ["here.deb"]),
    ],
)
def test_what_is_kept_goes_by_age_then_by_size_and_never_what_is_named(
    tmp_path: Path, shell: tuple[str, ...], size: int, left: list[str]
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    keep(kept, "here.deb", 2)
    keep(kept, "large.deb", 5)
    keep(kept, "old.deb", gone=91)
    keep(kept, "recent.deb", gone=30)
    keep(kept, "new.deb")
    body = f"KEPT={kept} KEEP_DAYS=90 KEEP_SIZE={size}\ndate() {{ echo {NOW}; }}\nbound_kept"
    call(tmp_path, shell, "common", body, {}, stdin="!here.deb\nlarge.deb\n")
    assert sorted(path.name for path in kept.iterdir()) == left


@pytest.mark.parametrize(
    ("begun", "is_so"),
    [("INSTALL=curl:x86_64=8.1-1", True), ("REMOVE=lib:x86_64", True), ("INSTALL=vim:x86_64=1-1", False)],
)
def test_what_does_not_fit_matters_where_the_run_had_to_do_with_it(
    tmp_path: Path, shell: tuple[str, ...], begun: str, *, is_so: bool
) -> None:
    said = "Unsatisfied dependencies for curl-8.1-1.x86_64:\n\tlib >= 2 is needed by curl-8.1-1.x86_64\n"
    body = (
        'unsatisfied() { cat "$WORK/rpm"; return 1; }\n'
        f"{begun}; if begun_is_unsatisfied; then echo True; else echo False; fi"
    )
    assert call(tmp_path, shell, "common", body, {"rpm": said}).splitlines() == [str(is_so)]


def test_a_kept_package_is_found_damaged_or_gone(tmp_path: Path, shell: tuple[str, ...]) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    for name in ("curl-8.0-1.x86_64.rpm", "vim-9.0-1.x86_64.rpm"):
        (folder / name).touch()
    wanted = "curl\tx86_64\t8.0-1\nvim\tx86_64\t2:9.0-1\nbash\tx86_64\t5-1\n"
    body = (
        'is_whole_rpm() { [ "$2" = curl ]; }\n'
        f'kept_rpms "$WORK/wanted" {folder}\n'
        'for file in damaged gone; do echo "[$file]"; cat "$WORK/$file"; done'
    )
    assert call(tmp_path, shell, "common", body, {"wanted": wanted}).splitlines() == [
        f"curl\tx86_64\t8.0-1\t{folder}/curl-8.0-1.x86_64.rpm",
        "[damaged]", f"vim=2:9.0-1 ({folder}/vim-9.0-1.x86_64.rpm)",
        "[gone]", "bash:x86_64=5-1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", ""),
        ("  a\nb c\n", "a; b c"),
        ("x\n" * 20, "x; " * 19 + "x"),
        ("x\n" * 23, "x; " * 20 + "and 3 more"),
    ],
)
def test_many_lines_are_told_in_one(tmp_path: Path, shell: tuple[str, ...], lines: str, told: str) -> None:
    assert call(tmp_path, shell, "common", "in_one_line", {}, stdin=lines) == told


def test_who_has_written_its_number_into_a_file_is_told_while_it_lives(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    alive = str(os.getpid())
    files = {"open": alive, "ended": f"{alive}\n", "dead": "999999999\n", "no": "12 or so\n", "none": ""}
    body = 'for file in open ended dead no none missing; do (cd "$WORK" && holder_in "$file"); done'
    assert call(tmp_path, shell, "common", body, files).splitlines() == [
        f"same\t{os.getpid()}\t{name}\topen", f"same\t{os.getpid()}\t{name}\tended",
    ]  # fmt: skip


TESTED = """\
Error: Transaction test error:
  file /usr/bin/my tool conflicts between attempted installs of third-1.1-1.noarch and a-base-2:1.1-2.x86_64
  file /etc/x from install of third-1.1-1.noarch conflicts with file from package old.one-0:1~rc1-1.i686
  - file /usr/bin/y conflicts between attempted installs of third-1.1-1.noarch and a-base-2:1.1-2.x86_64
\tpackage odd-1-1.s390x is intended for a s390x architecture
  package odd-1-1.s390x does not verify: no digest
  file /usr/bin/z conflicts between attempted installs of nothing and else
  file /usr/bin/z conflicts between attempted
"""


def test_rpm_names_the_file_and_both_packages_when_it_does_not_begin(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    body = 'refused_by_rpm "$WORK/said" >"$WORK/named"; not_begun "$WORK/named"'
    printed = call(tmp_path, shell, "common", body, {"said": TESTED}).splitlines()
    one = "conflicts between attempted installs of third-1.1-1.noarch and a-base-2:1.1-2.x86_64"
    other = (
        "/etc/x from install of third-1.1-1.noarch conflicts with file from package old.one-0:1~rc1-1.i686"
    )
    odd = "package odd-1-1.s390x"
    assert printed == [
        "[failed]",
        f"|third:noarch\tfile /usr/bin/my tool {one}; file {other}; file /usr/bin/y {one}",
        f"|a-base:x86_64\tfile /usr/bin/my tool {one}; file /usr/bin/y {one}",
        f"|odd:s390x\t{odd} is intended for a s390x architecture; {odd} does not verify: no digest",
        "= 0",
        "[rivals]",
        "|a-base:x86_64\tthird:noarch\t1.1-1",
        "|third:noarch\ta-base:x86_64\t2:1.1-2",
        "|third:noarch\told.one:i686\t1~rc1-1",
        "= 0",
    ]


def test_what_a_dead_script_left_is_removed_from_any_folder(tmp_path: Path, shell: tuple[str, ...]) -> None:
    body = """
began 1
mkdir "$WORK/place"
mkdir "$WORK/place/patchledger.99999999.1.${_began:-0}.abcdef" "$WORK/place/patchledger.99999999.1.7.abcdef"
unset _began
take_left_over "$WORK/place"
ls "$WORK/place" """
    # The other one is of another system that sees the same folder.
    assert call(tmp_path, shell, "common", body, {}).split() == ["patchledger.99999999.1.7.abcdef"]
