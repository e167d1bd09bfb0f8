"""The four patch scripts have one command line: the same verbs, options, limits and words."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.managers.scripted import options
from reconciler.managers.scripts import PatchScript
from reconciler.planning.runs.execution import Instruction
from reconciler.resources import locate
from reconciler.targets.local import LocalTarget

pytestmark = pytest.mark.lab

NAMES = ("apt", "dnf", "zypper", "pacman")
NOT_HAD = {
    "apt": (),
    "dnf": ("--relations", "--security-source"),
    "zypper": ("--relations", "--security-source"),
    "pacman": ("--relations", "--security-source", "--include", "--keep-size", "--keep-days"),
}
DOC = Path("docs/reference/patch-scripts.md")


def say(shell: Sequence[str], name: str, *args: str) -> tuple[int, str, str]:
    """Call a script where no program is, so that it can do no more than read its arguments.

    Returns:
        Its exit code; what it printed and what it complained of, without its own name.
    """
    script = f"{name}-update.sh"
    target = LocalTarget({"PATH": "/nowhere"}, (str(shutil.which(shell[0])), *shell[1:]))
    done = target.run(PatchScript.load(script).content, script, args, timeout=30)
    return done.returncode, done.text.replace(name, "NAME"), done.error_text.replace(name, "NAME")


def is_accepted(shell: Sequence[str], name: str, *args: str) -> bool:
    code, printed, said = say(shell, name, *args)
    accepted = code == 1 and "[missing]" in printed
    assert accepted or (code, printed) == (2, "exit 2\n"), (printed, said)
    return accepted


def test_the_usage_is_the_same_for_all() -> None:
    usages = {
        subprocess.run(
            ["sh", locate(f"scripts/patch/{name}-update.sh"), "--help"],
            capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, cwd="/",
        ).stdout.replace(f"{name}-update.sh", "NAME-update.sh")
        for name in NAMES
    }  # fmt: skip
    assert len(usages) == 1
    assert usages.pop().startswith("usage: NAME-update.sh VERB")


CHANGE = ("--install", "a:all=1-1")
WRONG = {
    (): "a verb is needed, such as --observe or --dry-run; see --help",
    ("--dry-run", "--observe"): "--dry-run and --observe at once",
    ("--apply",): "--apply needs --install or --remove",
    ("--download",): "--download needs --install or --remove",
    ("--repair", "--exclude", "a"): "--repair does not take --exclude; see --help",
    ("--apply", "--install", "a:all"): "--install: 'a:all' is not NAME=VERSION",
    ("--apply", "--install", "a=1-1"): "--install: 'a' has no architecture",
    ("--dry-run", "--choose", "a=1 2-1"): "--choose: '1 2-1' is no version",
    ("--dry-run", "--choose", "a=1-1-"): "--choose: '1-1-' is no version",
    ("--apply", "--install", "a:all="): "--install: '' is no version",
    ("--apply", "--install", "a:all,b:all=1-1"): "--install: 'a:all,b:all=1-1' is not NAME=VERSION",
    ("--apply", "--install", "=1-1"): "--install: '' is no package name",
    ("--apply", "--remove", "a="): "--remove: 'a' has no architecture",
    ("--apply", "--remove", "a:all="): "--remove: '' is no version",
    ("--dry-run", "--going", "a:all"): "--going: 'a:all' is not NAME=VERSION",
    ("--dry-run", "--going", "a=1-1"): "--going: 'a' has no architecture",
    ("--apply", *CHANGE, "--unused"): "--apply does not take --unused; see --help",
    ("--apply", "--remove", "a:all,b"): "--remove: 'b' has no architecture",
    ("--apply", *CHANGE, "--conffiles", "ask"): "--conffiles needs keep or new",
    ("--apply", *CHANGE, "--lock-wait", "-1"): "--lock-wait needs a whole number",
    ("--apply", *CHANGE, "--lock-wait", "08"): "--lock-wait needs a whole number",
    ("--apply", *CHANGE, "--lock-wait", "99999999999"): "--lock-wait needs a whole number",
    ("--apply", *CHANGE, "--keep-size", "much"): "--keep-size needs a whole number",
    ("--apply", *CHANGE, "--keep-days", "0"): "--keep-days needs at least 1",
    ("--apply", *CHANGE, "--log", "log"): "--log needs an absolute path",
    ("--apply", *CHANGE, "--security"): "--apply does not take --security; see --help",
    ("--download", *CHANGE, "--automatic", "a;b"): "--automatic: 'a;b' is no package name",
    ("--observe", "--lock-wait", "1"): "--observe does not take --lock-wait; see --help",
    ("--observe", "--exclude", "nginx"): "--observe does not take --exclude; see --help",
    ("--dry-run", *CHANGE): "--dry-run does not take --install; see --help",
    ("--dry-run", "--without-source", "a\nb"): "--without-source: 'a\nb' is no source's id",
    ("--dry-run", "--without-source", "-y"): "--without-source: '-y' is no source's id",
    ("--dry-run", "--exclude"): "--exclude needs a value",
    ("--dry-run", "--exclude", "a;b"): "--exclude: 'a;b' is no package name",
    ("--dry-run", "--exclude", "a b"): "--exclude: 'a b' is no package name",
    ("--dry-run", "--exclude", ""): "--exclude: '' is no package name",
    ("--dry-run", "--exclude", "--help"): "--exclude: '--help' is no package name",
    ("--dry-run", "--block", "x,,y"): "--block: '' is no package name",
    ("--dry-run", "--block", "ngin*"): "--block: 'ngin*' is no package name",
    ("--dry-run", "--choose", "nginx"): "--choose: 'nginx' is not NAME=VERSION",
    ("--dry-run", "--choose", "nginx=/x/-1"): "--choose: '/x/-1' is no version",
    ("--dry-run", "--only", "a=1-1", "--only", "b=1-1"): "--only twice",
    ("--dry-run", "--cache", "relative"): "--cache needs an absolute path",
    ("--dry-run", "--cache", "/does/not/exist"): "--cache: /does/not/exist is no folder",
    ("--dry-run", "--root", "relative"): "--root needs an absolute path",
    ("--dry-run", "--root", "/does/not/exist"): "--root: /does/not/exist is no folder",
    ("--dry-run", "--full=1"): "--full takes no value",
    ("--dry-run", "--nonsense"): "unknown argument '--nonsense'; see --help",
    ("--dry-run", "nginx"): "unknown argument 'nginx'; see --help",
    ("--dry-run --observe",): "unknown argument '--dry-run --observe'; see --help",
}


@pytest.mark.parametrize("args", WRONG, ids=" ".join)
@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_use_ends_with_2_and_the_same_words(
    name: str, args: tuple[str, ...], shell: tuple[str, ...]
) -> None:
    assert say(shell, name, *args) == (2, "exit 2\n", f"NAME-update.sh: {WRONG[args]}")


ODD_NAMES = ("unbound_exporter:all", "g++:amd64", "libX11.so:i386", "x-:all", "0ad:all")
ODD_VERSIONS = ("1.1_rc2", "v1.1", "~1", "1:1.0+", "2^git", "1.0(beta)", "1.0%1", "1.0@main;x", "_1")


@pytest.mark.parametrize("version", ODD_VERSIONS)
@pytest.mark.parametrize("name", ODD_NAMES)
def test_what_dpkg_installs_can_be_named(name: str, version: str, shell: tuple[str, ...]) -> None:
    assert is_accepted(shell, "apt", "--apply", "--install", f"{name}={version}", "--exclude", name)
    assert is_accepted(shell, "apt", "--dry-run", "--choose", f"{name}={version}", "--block", name)


@pytest.mark.parametrize(
    "version", ["1 2", "1*", "1?", "[1]", "1/2", "1=2", "1,2", "-1", "1'", '1"', "1\\", "1\n2"]
)
def test_what_would_be_another_word_or_a_pattern_is_no_version(version: str, shell: tuple[str, ...]) -> None:
    assert not is_accepted(shell, "apt", "--dry-run", "--choose", f"a={version}")


@pytest.mark.parametrize("name", NAMES)
def test_a_root_must_be_one_of_the_manager(name: str, shell: tuple[str, ...], tmp_path: Path) -> None:
    code, _, said = say(shell, name, "--observe", "--root", str(tmp_path))
    assert code == 2
    assert re.fullmatch(r"NAME-update\.sh: --root: there is no \S+ below .*", said)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_manager_cannot_do_is_refused_in_the_same_words(name: str, shell: tuple[str, ...]) -> None:
    for option in NOT_HAD[name]:
        args = (option,) if option == "--relations" else ("--apply", option, "1")
        assert say(shell, name, *args) == (
            2, "exit 2\n", f"NAME-update.sh: there is no {option} with this package manager",
        )  # fmt: skip


def table_of(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading of the reference."""
    text = DOC.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


VERBS = tuple(row[0].strip("`") for row in table_of("Verbs") if row[0] != "`--help`")
VALUES = {
    "--install": "a:all=1-1", "--remove": "a:all", "--choose": "a=1-1", "--only": "a=1-1", "--log": "/x",
    "--conffiles": "new", "--lock-wait": "9999999", "--keep-size": "0",
    "--limit-rate": "1", "--keep-days": "1", "--going": "a:all=1-1",
}  # fmt: skip


@pytest.mark.parametrize("row", table_of("Options"), ids=lambda row: row[0])
@pytest.mark.parametrize("name", NAMES)
def test_an_option_goes_with_the_verbs_that_the_reference_says(
    name: str, row: list[str], shell: tuple[str, ...], tmp_path: Path
) -> None:
    option = row[0].strip("`").split()[0].rstrip("`")
    for path in ("var/lib/dpkg/status", "etc/zypp", "var/lib/pacman/local"):
        (tmp_path / path).mkdir(parents=True)
    given = {**VALUES, "--root": str(tmp_path), "--cache": str(tmp_path)}.get(option, "a")
    values = () if option in {"--full", "--security", "--unused"} else (given,)
    said = VERBS if row[1] == "all" else tuple(re.findall(r"--[a-z-]+", row[1]))
    for verb in set(VERBS) - set(NOT_HAD[name]):
        needed = CHANGE if verb in {"--download", "--apply", "--relations"} else ()
        cached = ("--cache", str(tmp_path)) if verb == "--refresh" else ()
        accepted = is_accepted(shell, name, verb, *needed, *cached, option, *values)
        assert accepted == (verb in said and option not in NOT_HAD[name]), verb


@pytest.mark.parametrize("name", NAMES)
def test_values_may_be_joined_and_options_repeated(name: str, shell: tuple[str, ...]) -> None:
    assert is_accepted(shell, name, "--dry-run", "--exclude=a,b", "--exclude", "c", "--only=a=1-1")
    named = ("--install=a:all=1-1", "--install=b:all=1-1", "--remove", "c:all,d:all", "--remove=e:all=1-1")
    assert is_accepted(shell, name, "--apply", *named, "--conffiles=new", "--lock-wait=5")


@pytest.mark.parametrize(
    ("wait", "said"),
    [(timedelta(seconds=-1), "0"), (timedelta(days=200), "9999999"), (timedelta.max, "9999999")],
)
def test_a_script_is_told_no_longer_wait_than_it_takes(wait: timedelta, said: str) -> None:
    told = options(Instruction((), lock_wait=wait))
    assert told[told.index("--lock-wait") + 1] == said
