"""What the patch scripts share: no question fails unnoticed, and each tool is the one that PATH has."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from reconciler.managers.sections import parse_sections
from reconciler.resources import locate

pytestmark = pytest.mark.lab

COMMON = locate("scripts/patch/common.sh").read_text()
BEGIN = "SELF=try.sh ROOT=\nbegin apt\nmake_work_dir\ntools $TEXT\n"


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    folder = tmp_path / "stubs"
    folder.mkdir()
    return folder


def stub(folder: Path, name: str, body: str) -> None:
    """Put a tool in front of all others of its name."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def perform(shell: tuple[str, ...], stubs: Path, body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*shell, "-c", f"{COMMON}\n{BEGIN}{body}"],
        env={"PATH": f"{stubs}:{os.environ['PATH']}", "TMPDIR": str(stubs.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


UNEXPLAINED = {
    "not in time": ("exec sleep 60", 1, 124, ("no answer within 1 s",)),
    "killed": ("echo half; kill -9 $$", 60, 137, ("adviser ended with 137",)),
    "another code": ("echo half; exit 3", 60, 3, ()),
}
"""What the adviser does, how many seconds it may take, its exit code, and what is said."""


@pytest.mark.parametrize("case", UNEXPLAINED.values(), ids=UNEXPLAINED)
def test_what_only_explains_and_has_no_answer_costs_no_more_than_that(
    case: tuple[str, int, int, tuple[str, ...]], shell: tuple[str, ...], stubs: Path
) -> None:
    body, limit, code, said = case
    stub(stubs, "adviser", body)
    ask = f"ask() {{ echo begun; may adviser; }}\nEXPLAINING={limit}\nexplain asked ask\n"
    done = perform(shell, stubs, f"{ask}section rest echo whole\nfinish 0")
    sections = parse_sections(done.stdout)
    asked = sections.need("asked")
    assert (asked.lines, asked.errors, asked.code) == ((), said, code)
    assert sections.need("rest").lines == ("whole",)
    assert sections.exit_code == 0


def test_what_explains_in_time_is_told(shell: tuple[str, ...], stubs: Path) -> None:
    stub(stubs, "adviser", "echo whole; echo but >&2")
    done = perform(shell, stubs, "ask() { may adviser; }\nexplain asked ask\nfinish 0")
    asked = parse_sections(done.stdout).need("asked")
    assert (asked.lines, asked.errors, asked.code) == (("whole",), ("but",), 0)


def test_all_that_one_explanation_asks_has_one_time_together(shell: tuple[str, ...], stubs: Path) -> None:
    stub(stubs, "adviser", f"echo asked >>{stubs.parent}/asked; exec sleep 0.6")
    ask = "ask() { for _ in 1 2 3 4 5 6 7 8; do may adviser || return; done; }\nEXPLAINING=1\n"
    done = perform(shell, stubs, f"{ask}explain asked ask\nfinish 0")
    assert (stubs.parent / "asked").read_text().count("asked") <= 2
    asked = parse_sections(done.stdout).need("asked")
    assert (asked.lines, asked.errors, asked.code) == ((), ("no answer within 1 s",), 124)


def test_one_that_is_killed_since_it_does_not_end_had_no_answer_in_time(
    shell: tuple[str, ...], stubs: Path
) -> None:
    stub(stubs, "timeout", '[ "${4##*/}" != adviser ] || { sleep 1.1; exit 137; }; shift 3; exec "$@"')
    stub(stubs, "adviser", "echo half")
    done = perform(shell, stubs, "ask() { may adviser; }\nEXPLAINING=1\nexplain asked ask\nfinish 0")
    asked = parse_sections(done.stdout).need("asked")
    assert (asked.lines, asked.errors, asked.code) == ((), ("no answer within 1 s",), 124)


NO_END = {
    "of busybox": ('busybox timeout "$@"', 1),
    "gone between two looks": ("exit 127", 127),
}


@pytest.mark.parametrize(("body", "code"), NO_END.values(), ids=NO_END)
def test_what_only_explains_is_not_asked_where_nothing_could_end_it(
    body: str, code: int, shell: tuple[str, ...], stubs: Path
) -> None:
    stub(stubs, "timeout", body)
    stub(stubs, "adviser", "touch $0.asked")
    done = perform(shell, stubs, "bounded 1 true\necho $?\n")
    assert done.stdout.splitlines()[-1] == str(code)
    done = perform(shell, stubs, "ask() { may adviser || :; }\nexplain asked ask\nfinish 0")
    asked = parse_sections(done.stdout).need("asked")
    assert (asked.lines, asked.code) == ((), 127)
    assert asked.errors == ("no timeout is here that knows --foreground",)
    assert not (stubs / "adviser.asked").exists()


FAULTS = {
    "alone": "awk '1' </dev/null >/dev/null\nfinish 0",
    "left of a pipe": "awk '1' </dev/null | cat >/dev/null\nfinish 0",
    "in a substitution": 'all=$(awk 1 </dev/null)\necho "$all" >/dev/null\nfinish 10',
    "where complaints go nowhere": "awk 1 </dev/null 2>/dev/null || :\nfinish 0",
    "as a condition": "if may awk 1 </dev/null; then :; fi\nfinish 0",
    "in a section": "both() { awk 1 </dev/null | sort; }\nsection both both\nfinish 0",
    "before something is refused": 'all=$(awk 1 </dev/null)\nrefused "gone:$all" 26',
    "before something is done": 'all=$(awk 1 </dev/null)\nact apply echo "$all"\nfinish 0',
    "before the script decides": "all=$(awk 1 </dev/null)\nsure\necho decided >&2\nfinish 0",
    "in a loop that a pipe feeds": "echo one | while read -r line; do awk 1 </dev/null; done\nfinish 0",
}


@pytest.mark.parametrize("body", FAULTS.values(), ids=FAULTS)
def test_a_killed_tool_ends_the_script_wherever_it_stood(
    body: str, shell: tuple[str, ...], stubs: Path
) -> None:
    stub(stubs, "awk", "kill -9 $$")
    done = perform(shell, stubs, body)
    # awk is what prints sections, too.
    assert done.returncode == 1
    sections = parse_sections(done.stdout)
    assert sections.exit_code == 1
    assert sections.by_name["question"].errors == ("awk ended with 137",)
    assert done.stderr.splitlines()[-1] == "try.sh: awk ended with 137"
    assert "decided" not in done.stderr
    assert "apply" not in sections.by_name
    assert "refused" not in sections.by_name


def test_a_section_with_a_fault_does_not_end_with_0(shell: tuple[str, ...], stubs: Path) -> None:
    stub(stubs, "tr", "kill -9 $$")
    done = perform(shell, stubs, "left() { tr a b </dev/null | cat; }\nsection left left\nfinish 0")
    assert parse_sections(done.stdout).by_name["left"].code == 137


def test_a_question_whose_code_is_not_0_ends_the_script(shell: tuple[str, ...], stubs: Path) -> None:
    done = perform(shell, stubs, "no() { return 3; }\nquestion first no\nsection second true\nfinish 0")
    sections = parse_sections(done.stdout)
    assert (sections.exit_code, sections.by_name["first"].code) == (1, 3)
    assert "second" not in sections.by_name


ANSWERS = {
    "grep finds nothing": "echo a | grep b\nfinish 0",
    "files differ": "cmp -s /dev/null /proc/version\nfinish 0",
    "the reader had enough": "{ yes | head -n 1; } >/dev/null\nfinish 0",
    "a code that the script looks at": "may awk 'BEGIN { exit 3 }'; [ $? -eq 3 ] && finish 0\nfinish 2",
    "what changes the machine": "run awk 'BEGIN { exit 3 }'; [ $? -eq 3 ] && finish 0\nfinish 2",
    "a section that the script looks at": "no() { return 3; }\nsection no no\n[ $code -eq 3 ] && finish 0",
}


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS)
def test_a_code_that_is_an_answer_ends_nothing(body: str, shell: tuple[str, ...], stubs: Path) -> None:
    done = perform(shell, stubs, body)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_was_done_is_still_finished_after_a_fault(shell: tuple[str, ...], stubs: Path) -> None:
    stub(stubs, "tr", "kill -9 $$")
    body = 'act apply true\nall=$(tr a b </dev/null)\nsection marks echo "$all"\nfinish 0'
    sections = parse_sections(perform(shell, stubs, body).stdout)
    assert sections.exit_code == 1
    assert sections.by_name["marks"].code == 137


def test_a_tool_that_is_gone_is_a_fault_as_well(shell: tuple[str, ...], stubs: Path) -> None:
    done = perform(shell, stubs, "may not-there-at-all || :\nfinish 0")
    assert (done.returncode, done.stderr) == (1, "try.sh: not-there-at-all ended with 127\n")


def test_lists_are_split_without_any_tool(shell: tuple[str, ...], stubs: Path) -> None:
    done = perform(shell, stubs, "PATH=\nlines_of 'a,*,b:c'\nlines_of ''\nexit 0")
    assert done.stdout.splitlines()[1:] == ["a", "*", "b:c", ""]


def test_a_tool_is_the_one_that_path_has_and_not_the_shell_s_own(shell: tuple[str, ...], stubs: Path) -> None:
    for name in ("rpm", "dpkg", "awk"):
        stub(stubs, name, f"echo our {name}")
    done = perform(shell, stubs, "must rpm; tools dpkg; dpkg; awk; exit 0")
    assert done.stdout.splitlines()[1:] == ["our rpm", "our dpkg", "our awk"]


def left_over(shell: tuple[str, ...], stubs: Path) -> Path:
    """Return the folder that a killed script left."""
    before = set(stubs.parent.glob("patchledger.*"))
    perform(shell, stubs, "kill -9 $$")
    (left,) = set(stubs.parent.glob("patchledger.*")) - before
    return left


def test_what_a_killed_script_left_goes_with_the_next(shell: tuple[str, ...], stubs: Path) -> None:
    left = left_over(shell, stubs)
    assert left.stat().st_mode & 0o777 == 0o700
    assert perform(shell, stubs, "finish 0").returncode == 0
    assert list(stubs.parent.glob("patchledger.*")) == []


def test_what_is_in_use_or_not_ours_stays(shell: tuple[str, ...], stubs: Path) -> None:
    left = left_over(shell, stubs)
    pid, since, first, rest = left.name.removeprefix("patchledger.").split(".")
    container = left.with_name(f"patchledger.{pid}.{since}.{int(first) + 1}.{rest}")
    unknown = left.with_name(f"patchledger.{rest}")
    link = left.with_name(f"patchledger.{pid}.{since}.{first}.link")
    (stubs / "elsewhere").mkdir()
    for folder in (container, unknown):
        folder.mkdir()
    link.symlink_to(stubs / "elsewhere")
    # The script's own folder is another's while that lives: a second one runs inside of the first.
    inner = 'kept=$WORK; WORK=; make_work_dir; [ -d "$kept" ] || finish 2; rm -rf "$kept"; finish 0'
    with subprocess.Popen(["sleep", "60"], env={"HELD": str(left)}) as child:
        assert perform(shell, stubs, inner).returncode == 0
        assert left.is_dir()
        child.kill()
    assert perform(shell, stubs, "finish 0").returncode == 0
    assert set(stubs.parent.glob("patchledger.*")) == {container, unknown, link}
    assert (stubs / "elsewhere").is_dir()


def test_what_is_left_elsewhere_goes_too(shell: tuple[str, ...], stubs: Path) -> None:
    left = left_over(shell, stubs)
    (stubs / "elsewhere").mkdir()
    left.rename(stubs / "elsewhere" / left.name)
    done = perform(shell, stubs, f"take_left_over {stubs}/elsewhere; finish 0")
    assert (done.returncode, done.stderr) == (0, "")
    assert list((stubs / "elsewhere").iterdir()) == []


def test_many_that_are_left_go_a_few_at_a_time(shell: tuple[str, ...], stubs: Path) -> None:
    left = left_over(shell, stubs)
    for number in range(25):
        left.with_name(f"{left.name}{number}").mkdir()
    perform(shell, stubs, "finish 0")
    assert len(list(stubs.parent.glob("patchledger.*"))) == 6
