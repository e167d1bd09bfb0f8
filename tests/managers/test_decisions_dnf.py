"""What dnf's patch script decides by itself, in functions that are fed with what dnf and rpm would say."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.managers.shell import call

pytestmark = pytest.mark.lab

INSTALLED = """\
bash\tx86_64\t5.2-1\t1\t1
curl\tx86_64\t8.0-1\t1\t1
glibc\ti686\t2.38-1\t1\t1
glibc\tx86_64\t2.38-1\t1\t1
kernel\tx86_64\t6.1-1\t1\t1
kernel\tx86_64\t6.2-1\t1\t1
moved\tx86_64\t1.0-1\t1\t1
tzdata\tnoarch\t2024a-1\t1\t1
vim\tx86_64\t2:9.0-1\t1\t1
"""


def decide(
    tmp_path: Path, shell: tuple[str, ...], body: str, files: Mapping[str, str] | None = None
) -> list[str]:
    return call(tmp_path, shell, "dnf", body, {"installed": INSTALLED, **(files or {})}).splitlines()


@pytest.mark.parametrize(
    ("locks", "found"),
    [
        ("curl-0:8.0-1.*", ["curl\tx86_64"]),
        ("glibc", ["glibc\ti686", "glibc\tx86_64"]),
        ("glibc.i686", ["glibc\ti686"]),
        ("vim-2:9.0-1.*", ["vim\tx86_64"]),
        ("vim-2:8.0-1.*", ["vim\tx86_64"]),
        ("tz*", ["tzdata\tnoarch"]),
        ("b?sh", ["bash\tx86_64"]),
        ("!curl-0:8.0-1.*", []),
        ("cur", []),
        ("curl-0:8.1-1.*", []),
        ("curl-8.1*", []),
        ("curl-8.1-1.x86_64", []),
        ("curl-8.2*", ["curl\tx86_64"]),
        ("!curl", []),
        ("vim-*:9.1*", []),
    ],
)
def test_a_version_lock_holds_its_package(
    tmp_path: Path, shell: tuple[str, ...], locks: str, found: list[str]
) -> None:
    body = 'version_locks() { cat "$WORK/list"; }\nknow_locks\nlocked'
    offered = "curl\tx86_64\t8.1-1\tlab\t1\t1\nvim\tx86_64\t2:9.1-1\tlab\t1\t1\n"
    assert decide(tmp_path, shell, body, {"list": f"{locks}\n", "upgrades": offered}) == found


@pytest.mark.parametrize(
    ("every", "taken"),
    [("", ["glibc", "curl.x86_64"]), ("all", ["glibc", "curl.x86_64", "new", "curl.i686"])],
)
def test_names_are_those_of_installed_packages_unless_all_are_asked_for(
    tmp_path: Path, shell: tuple[str, ...], every: str, taken: list[str]
) -> None:
    body = f"lines_of glibc,curl:x86_64,,new,curl:i686 | as_dnf_takes {every}"
    assert decide(tmp_path, shell, body) == taken


AVAILABLE = """\
curl\tx86_64\t8.1-1\t0:8.1-1
curl\ti686\t8.1-1\t0:8.1-1
curl\tsrc\t8.1-1\t0:8.1-1
curl\tx86_64\t8.2-1\t0:8.2-1
moved\tnoarch\t1.1-1\t0:1.1-1
source\tsrc\t1-1\t0:1-1
"""


def test_what_is_offered_is_of_the_wanted_architecture_or_of_one_that_fits(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    wanted = "curl\t\t8.1-1\ncurl\ti686\t8.1-1\nmoved\tx86_64\t1.1-1\n"
    wanted += "curl\tx86_64\t8.3-1\nsource\t\t1-1\nmoved\ti686\t1.1-1\n"
    body = ': >"$WORK/gone"; matching "$WORK/wanted" x86_64; echo --; cat "$WORK/gone"'
    assert decide(tmp_path, shell, body, {"available": AVAILABLE, "wanted": wanted}) == [
        "curl\tx86_64\t8.1-1\tcurl-0:8.1-1.x86_64",
        "curl\ti686\t8.1-1\tcurl-0:8.1-1.i686",
        "moved\tnoarch\t1.1-1\tmoved-0:1.1-1.noarch",
        "--",
        "curl:x86_64=8.3-1",
        "source=1-1",
        "moved:i686=1.1-1",
    ]


def test_other_versions_of_what_is_chosen_stay_out_but_for_the_installed_one(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    available = f"{AVAILABLE}curl\tx86_64\t8.0-1\t0:8.0-1\n"
    files = {"available": available, "chosen": "curl\tx86_64\t8.1-1\tcurl-0:8.1-1.x86_64\n"}
    assert decide(tmp_path, shell, 'others "$WORK/chosen"', files) == ["curl-0:8.2-1.x86_64"]


DNF4 = """\
Dependencies resolved.
================================================================
 Package        Arch     Version     Repository     Size
================================================================
Upgrading:
 curl           x86_64   8.1-1       updates        100 k
     replacing  oldcurl.x86_64 1.0-1
Installing dependencies:
 a-package-with-a-name-longer-than-its-column
                x86_64   1-1         updates        1 k
Removing:
 gone           noarch   1-1         @System        0
Enabling module streams:
 perl                    5.32
Skipping packages with conflicts:
(add '--best --allowerasing' to command line to force their upgrade):
 kept           x86_64   2-1         updates        1 k
Skipping packages with broken dependencies:
 broken         x86_64   2-1         updates        1 k

Transaction Summary
================================================================
Upgrade  1 Package
"""
DNF5 = """\
Package          Arch   Version  Repository      Size
Upgrading:
 curl            x86_64 8.1-1    updates    100.0 KiB
   replacing curl x86_64 8.0-1   updates    100.0 KiB
   replacing oldcurl x86_64 1-1  updates    100.0 KiB
Transaction Summary:
"""


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        (
            DNF4,
            [
                "upgrade curl x86_64 8.1-1 updates",
                "replace oldcurl x86_64 1.0-1 curl",
                "install a-package-with-a-name-longer-than-its-column x86_64 1-1 updates",
                "remove gone noarch 1-1 @System",
                "skip kept x86_64 2-1 updates",
                "broken broken x86_64 2-1 updates",
            ],
        ),
        (DNF5, ["upgrade curl x86_64 8.1-1 updates", "replace oldcurl x86_64 1-1 curl"]),
        (DNF4.replace("Removing:", "Bewitching:"), ["unknown Bewitching"]),
        (DNF4.replace("noarch   1-1         @System        0", ""), ["unknown remove gone"]),
    ],
    ids=["dnf 4", "dnf 5", "a heading of the future", "a row that is cut"],
)
def test_the_table_is_read_whole_or_called_unknown(
    tmp_path: Path, shell: tuple[str, ...], table: str, rows: list[str]
) -> None:
    printed = [
        row.replace("\t", " ") for row in decide(tmp_path, shell, 'moves "$WORK/answer"', {"answer": table})
    ]
    assert printed == rows if len(rows) > 1 else rows[0] in printed


@pytest.mark.parametrize(
    ("code", "error", "table", "good"),
    [
        (0, "", DNF4, True),
        (1, "Operation aborted.", DNF4, True),
        (1, "Error: something", DNF4, False),
        (1, "Operation aborted.", DNF4.replace("Removing:", "Bewitching:"), False),
    ],
)
def test_an_answer_was_understood_and_declined(
    tmp_path: Path, shell: tuple[str, ...], code: int, error: str, table: str, *, good: bool
) -> None:
    files = {"answer": table, "err": f"{error}\n"}
    body = f"code={code}; if read_answer; then echo True; else echo False; fi"
    assert decide(tmp_path, shell, body, files) == [str(good)]


def test_what_is_named_and_there_in_another_architecture_is_there(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    named = "curl:x86_64=8.1-1,bash:x86_64=5.2-1,moved:noarch=1.0-1,glibc:x86_64=2.38-10,new:x86_64=1-1"
    assert decide(tmp_path, shell, f"INSTALL={named}; not_there") == [
        "curl\tx86_64\t8.1-1", "glibc\tx86_64\t2.38-10", "new\tx86_64\t1-1",
    ]  # fmt: skip


MOVES = (
    "upgrade\tcurl\tx86_64\t8.1-1\tupdates\nremove\tgone\tnoarch\t1-1\t@System\nskip\tkept\tx86_64\t2-1\tu\n"
)


@pytest.mark.parametrize(
    ("todo", "remove", "found"),
    [
        ("curl\tx86_64\t8.1-1\tx\n", "gone.noarch\n", []),
        ("", "gone.noarch\n", ["would also upgrade curl.x86_64 8.1-1"]),
        ("curl\tx86_64\t8.1-1\tx\n", "", ["would also remove gone.noarch 1-1"]),
        (
            "curl\tx86_64\t8.10-1\tx\n",
            "gone.noarch\ngone.noarch\n",
            [
                "would also upgrade curl.x86_64 8.1-1",
                "would not install curl.x86_64 8.10-1",
                "would not remove gone.noarch",
            ],
        ),
    ],
)
def test_what_dnf_would_do_besides_or_not_is_told(
    tmp_path: Path, shell: tuple[str, ...], todo: str, remove: str, found: list[str]
) -> None:
    files = {"todo": todo, "remove": remove, "moves": MOVES}
    assert decide(tmp_path, shell, "differences", files) == found


def test_the_oldest_kernel_is_not_removed_by_its_name_once_it_has_gone(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    body = "INSTALL=kernel:x86_64=6.2-1 REMOVE=kernel:x86_64,bash:x86_64\nnames_of_remove; echo --\n"
    body += 'echo todo >"$WORK/todo"; names_of_remove'
    assert decide(tmp_path, shell, body, {"todo": ""}) == [
        "bash.x86_64",
        "--",
        "kernel.x86_64",
        "bash.x86_64",
    ]


def test_what_is_excluded_and_would_go_is_named(tmp_path: Path, shell: tuple[str, ...]) -> None:
    moves = "remove\tcurl\tx86_64\t8.0-1\t@\nreplace\tglibc\ti686\t1\tx\nupgrade\tbash\tx86_64\t6-1\tu\n"
    body = "EXCLUDE=curl,bash BLOCK=glibc:i686,glibc:x86_64\nexcluded_going"
    assert decide(tmp_path, shell, body, {"moves": moves}) == [" curl glibc.i686"]


def test_security_moves_what_advisories_name_but_for_what_is_chosen_or_included(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    files = {
        "chosen": "curl\tx86_64\t8.1-1\tcurl-0:8.1-1.x86_64\n",
        "named": "".join(f"{name}\tx86_64\t9-1\t{name}-0:9-1.x86_64\n" for name in ("curl", "bash", "vim")),
    }
    body = 'security_versions() { cat "$WORK/named"; }\nINCLUDE=bash:x86_64; security_specs'
    assert decide(tmp_path, shell, body, files) == ["curl-0:8.1-1.x86_64", "bash.x86_64", "vim-0:9-1.x86_64"]


def test_of_what_is_provided_only_the_needed_is_told(tmp_path: Path, shell: tuple[str, ...]) -> None:
    facts = """\
@\ta\tx86_64\t1-1\tu\t1\t1
\trequires
libb.so
(c if d)
\tprovides
a = 1-1
\tconflicts
old
@\tb\tx86_64\t1-1\tu\t1\t1
\trequires
\tprovides
libb.so
b(x86-64) = 1-1
d
\tconflicts
"""
    body = 'records() { cat "$WORK/declared"; }\nfacts_of a b'
    printed = decide(tmp_path, shell, body, {"declared": facts})
    dropped = [line for line in facts.splitlines() if line not in printed]
    assert dropped == ["a = 1-1", "b(x86-64) = 1-1"]


DUPLICATES = "curl\tx86_64\t8.0-1\ncurl\tx86_64\t8.1-1\nbash\tx86_64\t1:5.2-1\nbash\tx86_64\t1:5.3-1\n"


def test_what_would_stay_of_what_is_there_twice(tmp_path: Path, shell: tuple[str, ...]) -> None:
    moves = "reinstall\tcurl\tx86_64\t8.1-1\tu\n"
    moves += "remove\tcurl\tx86_64\t8.0-1\t@\nremove\tbash\tx86_64\t1:5.2-1\t@\n"
    files = {"moves": moves, "duplicates": DUPLICATES}
    assert decide(tmp_path, shell, "staying", files) == ["bash-5.3-1.x86_64"]


def test_a_repair_moves_what_was_begun_and_nothing_else(tmp_path: Path, shell: tuple[str, ...]) -> None:
    moves = """\
reinstall\tcurl\tx86_64\t8.1-1\tu
remove\tcurl\tx86_64\t8.0-1\t@
upgrade\tglibc\tx86_64\t2.39-1\tu
install\tnew\tx86_64\t1-1\tu
downgrade\tbash\tx86_64\t5.1-1\tu
replace\tgone\tx86_64\t1-1\tnew
upgrade\tvim\tx86_64\t2:9.1-1\tu
remove\ttzdata\tnoarch\t2024a-1\t@
remove\tmoved\tx86_64\t1.0-1\t@
skip\tkept\tx86_64\t2-1\tu
"""
    body = (
        "INSTALL=glibc:x86_64=2.39-1,new:x86_64=1-1,bash:x86_64=5.1-1 REMOVE=tzdata:noarch\nother_than_begun"
    )
    assert decide(tmp_path, shell, body, {"moves": moves, "duplicates": DUPLICATES}) == [
        "replace gone.x86_64 1-1", "upgrade vim.x86_64 2:9.1-1", "remove moved.x86_64 1.0-1",
    ]  # fmt: skip


SPOKEN = """\
  Running scriptlet: curl-8.1-1.x86_64
error: %prein(curl-8.1-1.x86_64) scriptlet failed, exit status 1
Error in PREIN scriptlet in rpm package curl
error: unpacking of archive failed on file /x: cpio: open
Error unpacking rpm package vim-2:9.1-1.x86_64
[RPM] Error in <unknown> scriptlet: bash-5.3-1.x86_64
"""


def test_whom_rpm_complains_of(tmp_path: Path, shell: tuple[str, ...]) -> None:
    printed = [line.split("\t") for line in decide(tmp_path, shell, "failed", {"said": SPOKEN})]
    assert [row[0] for row in printed] == ["curl", "vim", "bash"]
    assert printed[0][1] == "error: %prein(curl-8.1-1.x86_64) scriptlet failed, exit status 1"


UNTRUSTED = """\
Package one-1.1-1.noarch.rpm is not signed
Public key for two-1.1-1.x86_64.rpm is not installed. Failing package is: two-2:1.1-1.x86_64
 GPG Keys are configured as: file:///named.asc
The GPG keys listed for the "lab" repository are already installed but they are not correct for this package.
Check that the correct key URLs are configured for this repository.. Failing package is: three-x-1-1.noarch
 GPG Keys are configured as: file:///other.asc
Error: GPG check FAILED
"""


def test_each_package_that_is_not_trusted_is_named_with_the_keys(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    printed = decide(tmp_path, shell, "ended=1\nnot_trusted", {"said": UNTRUSTED})
    rows = [line[1:].split("\t") for line in printed if line.startswith("|")]
    assert [row[0] for row in rows] == ["one:noarch", "two:x86_64", "three-x:noarch"]
    assert rows[0][1] == "Package one-1.1-1.noarch.rpm is not signed"
    assert rows[1][1].endswith("GPG Keys are configured as: file:///named.asc")
    assert "not correct for this package" in rows[2][1]
    assert "file:///other.asc" in rows[2][1]
