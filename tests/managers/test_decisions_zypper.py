"""What zypper's patch script decides by itself, in functions that are fed with what zypper would say."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.managers.shell import call

pytestmark = pytest.mark.lab

INSTALLED = """\
bash\tx86_64\t5.2-1\t1\t1\t11
curl\tx86_64\t8.0-1\t1\t1\t12
kernel\tx86_64\t6.1-1\t1\t1\t13
kernel\tx86_64\t6.2-1\t1\t1\t14
tzdata\tnoarch\t2024a-1\t1\t1\t15
vim\tx86_64\t2:9.0-1\t1\t1\t16
"""


def decide(
    tmp_path: Path, shell: tuple[str, ...], body: str, files: Mapping[str, str] | None = None
) -> list[str]:
    known = {"installed": INSTALLED, "culprits": "", "including": "", **(files or {})}
    return call(tmp_path, shell, "zypper", body, known).splitlines()


ANSWER = """\
<?xml version='1.0'?>
<stream>
<message type="info">Loading &lt;solvable&gt; data...</message>
<install-summary>
<to-upgrade>
<solvable type="package" name="curl" edition="8.1-1" arch="x86_64" edition-old="8.0-1"/>
</to-upgrade>
<to-change-arch>
<solvable type="package" name="tzdata" edition="2024a-1" arch="x86_64" arch-old="noarch"/>
</to-change-arch>
<to-remove>
<solvable type="package" name="bash" edition="5.2-1" arch="x86_64"/>
</to-remove>
<to-install>
<solvable type="patch" name="SUSE-1" edition="1" arch="noarch"/>
</to-install>
</install-summary>
</stream>
"""


def test_of_the_answer_the_packages_count_each_with_what_becomes_of_it(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    assert decide(tmp_path, shell, "summary", {"answer": ANSWER}) == [
        "to-upgrade\tcurl\tx86_64\t8.1-1\t-",
        "to-change-arch\ttzdata\tx86_64\t2024a-1\tnoarch",
        "to-remove\tbash\tx86_64\t5.2-1\t-",
    ]


MOVES = """\
to-upgrade\tcurl\tx86_64\t8.1-1\t-
to-change-arch\ttzdata\tx86_64\t2-1\tnoarch
to-remove\tbash\tx86_64\t5.2-1\t-
"""


@pytest.mark.parametrize(
    ("todo", "found"),
    [
        ("curl\tx86_64\t8.1-1\ntzdata\tnoarch\t2-1\nbash\tx86_64\t-\n", []),
        ("curl\tx86_64\t8.1-1\ntzdata\tx86_64\t2-1\nbash\tx86_64\t-\n", []),
        ("curl\tx86_64\t8.1-1\ntzdata\tnoarch\t2-1\n", ["it would also remove bash"]),
        (
            "curl\tx86_64\t8.10-1\ntzdata\tnoarch\t2-1\nbash\tx86_64\t-\nvim\tx86_64\t-\n",
            [
                "it would also install curl 8.1-1",
                "it would not install curl 8.10-1",
                "it would not remove vim",
            ],
        ),
    ],
)
def test_what_zypper_would_do_besides_or_not_is_told(
    tmp_path: Path, shell: tuple[str, ...], todo: str, found: list[str]
) -> None:
    assert decide(tmp_path, shell, "differences", {"todo": todo, "moves": MOVES}) == found


def test_what_is_named_and_not_made_yet(tmp_path: Path, shell: tuple[str, ...]) -> None:
    body = (
        "INSTALL=curl:x86_64=8.1-1,bash:x86_64=5.2-1,tzdata:x86_64=2024a-1,vim:x86_64=2:9.10-1\n"
        "REMOVE=kernel:x86_64,gone:x86_64\nleft_to_do"
    )
    assert decide(tmp_path, shell, body) == [
        "curl\tx86_64\t8.1-1",
        "vim\tx86_64\t2:9.10-1",
        "kernel\tx86_64\t-",
    ]


def test_what_is_named_is_written_as_it_is_offered_or_is_lost(tmp_path: Path, shell: tuple[str, ...]) -> None:
    files = {
        "offers": "curl\tx86_64\t8.1-1\ntzdata\tnoarch\t2-1\n",
        "todo": "curl\tx86_64\t8.1-1\ntzdata\tx86_64\t2-1\nbash\tx86_64\t-\nvim\tx86_64\t9-1\n",
    }
    assert decide(tmp_path, shell, 'targets; echo --; cat "$WORK/lost"', files) == [
        "curl.x86_64=8.1-1", "tzdata=2-1", "!bash.x86_64", "--", "vim\tx86_64\t9-1",
    ]  # fmt: skip


def test_a_repository_that_is_enabled_and_was_never_read(tmp_path: Path, shell: tuple[str, ...]) -> None:
    repositories = """<repo-list>
<repo alias="main" enabled="1" name="Main"/>
<repo alias="a/b" enabled="1" name="AB"/>
<repo alias="R&amp;D &lt;x&gt;" enabled="1" name="R&amp;D"/>
<repo alias="new" enabled="1" name="New"/>
<repo alias="off" enabled="0" name="Off"/>
</repo-list>"""
    files = {"known": "main\na_b\nR&D <x>\n", "without": "", "repos": repositories}
    assert decide(tmp_path, shell, 'never_read "$WORK/repos"', files) == ["new"]
    body = 'echo new >"$WORK/without"; never_read "$WORK/repos"'
    assert decide(tmp_path / "again", shell, body, files) == []


PRIMARY = """<metadata packages="2">
<package type="rpm"><name>curl</name><arch>x86_64</arch><version epoch="0" ver="8.1" rel="1"/></package>
<package type="rpm"><name>vim</name><arch>x86_64</arch><version epoch="2" ver="9.1" rel="1"/></package>
</metadata>"""

LOOKED_UP = """
RAW=$WORK/raw CACHE=$WORK/cache OFF=
primary=$RAW/lab/repodata/$(printf '%064d' 1)-primary.xml
mkdir -p "$CACHE" "${primary%/*}"
cp "$WORK/primary" "$primary"
ask() { printf "$1" >"$WORK/keys"; records | sed 's/^lab.*<name>//; s/<.*//' | paste -s -d ' '; }
ask 'curl\\tx86_64\\t8.1-1\\n'
: >"$primary"
"""


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("curl\\tx86_64\\t8.1-1\\n", "curl"),
        # It was not looked for, and is not there any more.
        ("curl\\tx86_64\\t8.1-1\\nvim\\tx86_64\\t2:9.1-1\\n", ""),
    ],
    ids=["the same", "another"],
)
def test_records_that_were_looked_up_are_answered_from_what_is_kept(
    tmp_path: Path, shell: tuple[str, ...], asked: str, found: str
) -> None:
    body = f"{LOOKED_UP}ask '{asked}'"
    assert decide(tmp_path, shell, body, {"primary": PRIMARY}) == ["curl", *([found] if found else [""])]


def test_what_is_looked_up_later_is_kept_beside_what_was_before(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    vim, both = "vim\\tx86_64\\t2:9.1-1\\n", "curl\\tx86_64\\t8.1-1\\nvim\\tx86_64\\t2:9.1-1\\n"
    body = f"""{LOOKED_UP}
cp "$WORK/primary" "$primary"
ask '{vim}'
: >"$primary"
ask '{both}'
ask 'none\\tx\\t1-1\\n'"""
    assert decide(tmp_path, shell, body, {"primary": PRIMARY}) == ["curl", "vim", "curl vim", ""]


UPDATES = """<update-list>
<update kind="patch" name="SUSE-1" edition="1" arch="noarch" status="needed" category="security"/>
<update kind="patch" name="SUSE-2" edition="1" arch="noarch" status="needed" category="recommended"/>
<update kind="patch" name="SUSE-3" edition="1" arch="noarch" status="applied" category="security"/>
<update kind="patch" name="SUSE-4" edition="1" arch="noarch" status="needed" category="security"/>
<update kind="package" name="curl" edition="8.1-1" arch="x86_64"/>
<update kind="package" name="bash" edition="5.3-1" arch="x86_64"/>
<update kind="package" name="vim" edition="9.1-1" arch="x86_64"/>
</update-list>"""


def test_security_asks_for_needed_patches_of_that_category_that_were_not_left_out(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    files = {"patches": UPDATES, "culprits": "patch SUSE-4\n"}
    assert decide(tmp_path, shell, "security_patches", files) == ["patch:SUSE-1"]


def test_what_is_included_is_what_an_update_would_take(tmp_path: Path, shell: tuple[str, ...]) -> None:
    body = "INCLUDE=curl,bash:x86_64,vim:i586; included"
    assert decide(tmp_path, shell, body, {"updates": UPDATES}) == ["curl.x86_64=8.1-1", "bash.x86_64=5.3-1"]


LOCKED = """\
<message type="info">Problem: the to be installed patch:SUSE-1-1.noarch conflicts with bash &lt; 5.3</message>
<message type="info"> Solution 1: do not install patch:SUSE-4-1.noarch</message>
<message type="info"> Solution 2: keep obsolete curl-8.0-1.x86_64</message>
<message type="info"> Solution 3: keep obsolete unknown-8.0-1.x86_64</message>
"""


def test_a_vendor_is_one_field_whatever_it_holds(tmp_path: Path, shell: tuple[str, ...]) -> None:
    said = "curl\\tAcme\\t Inc\\nbash\\t(none)\\nvim\\ttwo\\nlines\\n"
    body = f"VENDOR_CHANGE=; rpm_() {{ printf '{said}'; }}; owners"
    assert decide(tmp_path, shell, body) == ["bash\t(none)", "curl\tAcme Inc", "vim\ttwo"]


def test_who_stands_in_the_way_is_left_out_once(tmp_path: Path, shell: tuple[str, ...]) -> None:
    files = {"answer": LOCKED, "patch-names": "patch\tSUSE-1\t1\tnoarch\npatch\tSUSE-4\t1\tnoarch\n"}
    body = 'find_culprits; echo $?; cat "$WORK/culprits"; find_culprits || echo none'
    assert decide(tmp_path, shell, body, files) == [
        "0", "package curl", "patch SUSE-1", "patch SUSE-4", "none",
    ]  # fmt: skip


def test_what_is_included_and_cannot_come_is_left_out(tmp_path: Path, shell: tuple[str, ...]) -> None:
    answer = """\
<message type="info"> Solution 1: do not install newname-2.0-1.noarch</message>
<message type="info"> Solution 2: do not install curl-8.1-1.x86_64</message>
<message type="info"> Solution 3: do not install other-2.0-1.noarch</message>
"""
    files = {"answer": answer, "patch-names": "", "including": "newname:noarch\ncurl\n", "updates": ""}
    body = 'find_culprits; cat "$WORK/culprits"; INCLUDE=newname:noarch,new-er included'
    assert decide(tmp_path, shell, body, files) == ["package newname", "new-er"]


def test_what_must_go_for_one_version_is_what_zypper_offers_to_deinstall(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    answer = "Problem: x\n 1: deinstallation of vim-9.0-1.x86_64\n 2: deinstallation of x-1-1.noarch\n"
    body = 'find_going && cat "$WORK/going" && cmp "$WORK/why" "$WORK/answer"; find_going || echo none'
    assert decide(tmp_path, shell, body, {"answer": answer, "going": ""}) == ["!vim.x86_64", "none"]


def test_who_may_not_move_is_locked_for_this_run(tmp_path: Path, shell: tuple[str, ...]) -> None:
    files = {"own": "type: package\nsolvable_name: mine\n", "culprits": "patch SUSE-1\n"}
    body = "LOCKS=$WORK/own EXCLUDE=curl:x86_64,gone BLOCK=new CHOOSE=bash:x86_64=5.2-2 ONLY=; limits; "
    printed = decide(tmp_path, shell, body + 'grep -E "^(type|version|solvable_name)" "$WORK/locks"', files)
    assert [line.partition(": ")[2] for line in printed] == [
        "package", "mine", "package", "curl", "package", "new",
        "package", "> 5.2-2", "bash", "patch", "SUSE-1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "culprits", "own"),
    [
        ("EXCLUDE=gone", "", False),
        ("CHOOSE=bash=1", "", True),
        ("BLOCK=new", "", True),
        ("ONLY=", "patch SUSE-1\n", True),
    ],
)
def test_without_any_limit_the_operators_own_locks_count(
    tmp_path: Path, shell: tuple[str, ...], limit: str, culprits: str, *, own: bool
) -> None:
    body = f"LOCKS=/nowhere; {limit}; limits; if [ -e $WORK/locks ]; then echo True; else echo False; fi"
    assert decide(tmp_path, shell, body, {"locks": "", "culprits": culprits}) == [str(own)]


def test_an_older_instance_beside_the_last_is_a_duplicate_unless_several_may_be(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    now = f"{INSTALLED}curl\tx86_64\t8.1-1\t1\t1\t20\nbash\tx86_64\t5.1-1\t1\t1\t3\n"
    body = 'installed() { cat "$WORK/rows"; }\nmultiversion() { echo kernel; }\nduplicates'
    assert decide(tmp_path, shell, body, {"rows": now}) == [
        "curl\tx86_64\t8.0-1\t8.1-1", "bash\tx86_64\t5.1-1\t5.2-1",
    ]  # fmt: skip


def test_marks_are_set_on_what_is_there_and_has_none(tmp_path: Path, shell: tuple[str, ...]) -> None:
    files = {"now": INSTALLED, "marks": "curl\n"}
    body = "AUTOMATIC=curl:x86_64,bash:x86_64,bash,vim:i586,gone:noarch,tzdata:noarch; not_marked"
    assert decide(tmp_path, shell, body, files) == ["bash", "tzdata"]


SAID = """\
Installing: curl-8.1-1.x86_64 [...error]
Installation of (1)curl-8.1-1.x86_64 failed:
 error: %prein(curl-8.1-1.x86_64) scriptlet failed, exit status 1
 error: curl-8.1-1.x86_64: install failed
 error: unpacking of archive failed on file /x: cpio: open
 error: vim-2:9.1-1.x86_64: install failed
Removal of (2)bash-5.2-1.x86_64 failed:
"""


def test_whom_rpm_complains_of_in_the_words_that_tell_most(tmp_path: Path, shell: tuple[str, ...]) -> None:
    assert decide(tmp_path, shell, "failed", {"said": SAID}) == [
        "curl\terror: %prein(curl-8.1-1.x86_64) scriptlet failed, exit status 1",
        "vim\terror: unpacking of archive failed on file /x: cpio: open",
        "bash\tRemoval of (2)bash-5.2-1.x86_64 failed:",
    ]


def test_problems_and_locks_are_told_once_each(tmp_path: Path, shell: tuple[str, ...]) -> None:
    problem = "Problem: a &lt; b\n"
    answer = f"{problem} 1: remove lock to allow installation of curl-8.1-1.x86_64\n{problem}"
    assert decide(tmp_path, shell, "problems", {"answer": answer}) == [
        "a < b; there is a lock on curl-8.1-1.x86_64"
    ]


# --- what newer ones do differently -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "problem",
    [
        "Problem: {}\n",
        "Problem: 1: {}\n",
        "Problem: 1: Detailed information: \n- {}\n- conflicting requests\n",
    ],
    ids=["plain", "numbered", "listed"],
)
def test_a_problem_is_a_line_in_whatever_form_it_comes(
    tmp_path: Path, shell: tuple[str, ...], problem: str
) -> None:
    told = problem.format("the to be installed patch:a conflicts with &apos;b &lt; 2&apos;")
    answer = f"<prompt><description>{told} Solution 1: x\n- y\n</description></prompt>\n"
    assert decide(tmp_path, shell, "plainly", {"answer": answer}) == [
        "Problem: the to be installed patch:a conflicts with 'b < 2'",
        " Solution 1: x",
        "- y",
        "",
    ]


FOLDERS = """
for file in etc/zypp/zypp.conf usr/etc/zypp/zypp.conf usr/share/zypp/zypp.conf etc/zypp/zypp.conf.d/b.conf \\
    usr/etc/zypp/zypp.conf.d/a.conf usr/etc/zypp/zypp.conf.d/b.conf usr/etc/zypp/zypp.conf.d/README; do
    mkdir -p "$ROOT/${file%/*}"
    : >"$ROOT/$file"
done
"""


@pytest.mark.parametrize(
    ("more", "files"),
    [
        ("", ["etc/zypp/zypp.conf", "usr/etc/zypp/zypp.conf.d/a.conf", "etc/zypp/zypp.conf.d/b.conf"]),
        (
            'rm "$ROOT/etc/zypp/zypp.conf"',
            ["usr/etc/zypp/zypp.conf", "usr/etc/zypp/zypp.conf.d/a.conf", "etc/zypp/zypp.conf.d/b.conf"],
        ),
        ("ZYPP_CONF=$ROOT/own", ["own"]),
    ],
    ids=["own", "vendor's", "named"],
)
def test_the_configuration_is_all_that_newer_ones_read(
    tmp_path: Path, shell: tuple[str, ...], more: str, files: list[str]
) -> None:
    body = f'ROOT=$WORK/root\n{FOLDERS}\n{more}\nconfiguration_files | sed "s,^$ROOT/,,"'
    assert decide(tmp_path, shell, body) == files


def test_each_section_of_it_stands_once_and_what_is_in_none_not_at_all(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    given = "[main]\na = 1\n[env]\nA=x\n[]\nlost = 1\n [main] # again\na = 2\n\n[]\n"
    assert [line for line in decide(tmp_path, shell, 'merged <"$WORK/given"', {"given": given}) if line] == [
        "[main]",
        "a = 1",
        "a = 2",
        "[env]",
        "A=x",
    ]


@pytest.mark.parametrize(
    ("before", "meanwhile", "is_there"),
    [("", "", False), (': >"$REBOOTING"', "", True), ("", 'echo x >"$DATABASE/Packages"', True)],
    ids=["asked", "pending before", "somebody at work"],
)
def test_the_mark_of_a_reboot_that_comes_of_a_question_is_taken_back(
    tmp_path: Path, shell: tuple[str, ...], before: str, meanwhile: str, *, is_there: bool
) -> None:
    body = f"""
ROOT=$WORK/root DATABASE=$WORK REBOOTING=$WORK/root/run/reboot-needed
mkdir -p "$ROOT/run"
touch "$DATABASE/Packages"
{before}
watch_mark
{meanwhile}
touch "$REBOOTING"
unmark
! [ -e "$REBOOTING" ] || echo there"""
    assert decide(tmp_path, shell, body) == (["there"] if is_there else [])
