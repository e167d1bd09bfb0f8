"""Patch scripts run only as promised, and their output is taken apart exactly."""

import hashlib
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from reconciler.errors import Stalled, Transient
from reconciler.managers import scripts
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import COMMON, GUARD, PatchScript, PolicyScripts
from reconciler.managers.sections import Section, parse_sections
from reconciler.managers.zypper import ZYPPER
from reconciler.planning.facts.observation import Answer, Question
from reconciler.process import Completed
from reconciler.reconcile.ports.unless import Unless
from reconciler.reconcile.ports.where import THIS_MACHINE
from reconciler.resources import locate
from reconciler.targets.local import LocalTarget

FOLDER = locate("scripts/patch")
GOOD = "patchledger-patch 1 apt\n[one]\n|a\n!b\n= 3\n[two]\n= 0\nexit 10\n"


def test_every_shipped_script_is_what_the_manifest_promises() -> None:
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shared = FOLDER / COMMON
    guard = FOLDER / GUARD
    for path in FOLDER.glob("*-update.sh"):
        loaded = PatchScript.load(path.name)
        assert loaded.content == shared.read_bytes() + b"\n" + path.read_bytes()
        assert dict(loaded.hashes) == {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (shared, path)
        }
        guarded = loaded.guarded()
        assert guarded.content == guard.read_bytes() + b"\n" + loaded.content
        assert dict(guarded.hashes) == {
            **dict(loaded.hashes),
            GUARD: hashlib.sha256(guard.read_bytes()).hexdigest(),
        }
        assert guarded.guarded() == guarded


def test_a_script_of_the_policy_is_guarded_where_the_one_that_it_replaces_was() -> None:
    own = b"echo mine\n"
    accepted = frozenset({hashlib.sha256(own).hexdigest()})
    script = PatchScript.load("apt-update.sh")
    assert not script.replaced(own, accepted).is_guarded
    replaced = script.guarded().replaced(own, accepted)
    assert replaced.content == (FOLDER / GUARD).read_bytes() + b"\n" + script.replaced(own, accepted).content
    assert {name for name, _ in replaced.hashes} == {"apt-update.sh", COMMON, GUARD}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*-update.sh")), ids=lambda path: path.name)
def test_no_function_of_a_script_takes_the_place_of_one_that_all_share(path: Path) -> None:
    """A shell takes the later one without a word, also for those who call the other."""
    defined = re.findall(r"^(\w+)\(\)", PatchScript.load(path.name).guarded().content.decode(), re.MULTILINE)
    assert len(defined) > 50
    assert [name for name, times in Counter(defined).items() if times > 1] == []


@pytest.mark.lab
def test_every_shipped_script_is_clean_posix_shell() -> None:
    paths = [str(path) for path in FOLDER.glob("*.sh")]
    done = subprocess.run(
        ["shellcheck", "-x", "-s", "sh", *paths], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    for shell in (["dash"], ["busybox", "sh"]):
        for path in paths:
            subprocess.run([*shell, "-n", path], check=True)


def test_one_changed_byte_is_refused() -> None:
    contents = {name: (FOLDER / name).read_bytes() for name in ("apt-update.sh", scripts.COMMON)}
    for name, content in contents.items():
        for position in (0, len(content) // 2, len(content) - 1):
            changed = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
            with pytest.raises(Stalled, match=f"{name} is not what the manifest promises"):
                PatchScript.verified("apt-update.sh", *{**contents, name: changed}.values())
    assert PatchScript.verified("apt-update.sh", *contents.values()) == PatchScript.load("apt-update.sh")


def test_a_missing_script_is_refused() -> None:
    with pytest.raises(Stalled, match=r"no-such\.sh cannot be read"):
        PatchScript.load("no-such.sh")


def test_a_file_that_the_manifest_does_not_name_is_refused() -> None:
    with pytest.raises(Stalled, match="does not name SHA256SUMS"):
        PatchScript.load("SHA256SUMS")


def test_a_script_too_long_for_one_argument_is_refused() -> None:
    with pytest.raises(Stalled, match="at most 129024 can be run"):
        PatchScript.verified("x.sh", b"#" * scripts.MAX_SCRIPT, b"")


def script_of(text: str) -> PatchScript:
    content = text.encode()
    return PatchScript("t.sh", content, (("t.sh", hashlib.sha256(content).hexdigest()),))


def test_the_very_bytes_run_with_arguments_and_closed_input() -> None:
    text = (
        "printf '%s\\n' 'patchledger-patch 1 apt' '[said]' \"|$0 $1 $2\" \"|$(wc -c)\" '= 0' 'exit 0'\n# é\n"
    )
    sections = script_of(text).run(LocalTarget({}), ["a b", "c"], timeout=30)
    assert sections.get("said").lines == ("t.sh a b c", "0")


def test_only_the_given_environment_is_seen() -> None:
    completed = LocalTarget({"APT_CONFIG": "/x"}).run(b"env", "e", [], timeout=30)
    names = {line.partition("=")[0] for line in completed.text.splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"APT_CONFIG", "HOME", "LC_ALL", "PATH"}


def test_bytes_that_are_no_text_arrive_unchanged() -> None:
    completed = LocalTarget({}).run(b"printf '%s' '\xff\xfe'", "b", [], timeout=30)
    assert completed.stdout == b"\xff\xfe"


def test_a_nul_byte_is_refused() -> None:
    with pytest.raises(Stalled, match="NUL byte"):
        LocalTarget({}).run(b"echo \0", "n", [], timeout=30)


def test_a_time_limit_is_transient() -> None:
    with pytest.raises(Transient, match="did not end within"):
        script_of("sleep 60").run(LocalTarget({}), ["--observe"], timeout=0.2)


def test_an_exit_code_that_the_output_does_not_confirm_is_refused() -> None:
    with pytest.raises(Stalled, match="ended with 4 but says 0"):
        script_of("printf '%s\\n' 'patchledger-patch 1 apt' 'exit 0'; exit 4").run(
            LocalTarget({}), [], timeout=30
        )


def test_what_a_broken_script_complained_of_is_told() -> None:
    with pytest.raises(Stalled, match=r"does not parse.*disk on fire"):
        script_of("echo 'disk on fire' >&2; exit 9").run(LocalTarget({}), [], timeout=30)


class Flood:
    """A target whose output was cut."""

    where = THIS_MACHINE

    def run(self, script: bytes, name: str, args: Sequence[str], *, timeout: float | None) -> Completed:
        del script, args, timeout
        return Completed((name,), 0, GOOD.encode(), b"", truncated=True)

    def execute(
        self, script: bytes, name: str, args: Sequence[str], *, folder: Path, unless: Unless | None = None
    ) -> None:
        raise AssertionError(f"{name} was to be executed in {folder}: {len(script)} {args} {unless}")

    def is_at_work(self, folder: Path) -> bool:
        raise AssertionError(f"{folder} was asked for")


class Endless(Flood):
    """A target where nothing ends in time.

    Attributes:
        limits: The time that each run had.
    """

    def __init__(self) -> None:
        self.limits: list[float | None] = []

    def run(self, script: bytes, name: str, args: Sequence[str], *, timeout: float | None) -> Completed:
        del script, args
        self.limits.append(timeout)
        return Completed((name,), -9, b"", b"", timed_out=True)


@pytest.mark.parametrize(("only", "limit"), [(None, 1800), (("a", "2"), 120)])
def test_that_a_question_had_no_answer_in_time_is_the_answer(
    only: tuple[str, str] | None, limit: int
) -> None:
    answer = ScriptedManager(ZYPPER, Endless(), script_of("")).resolve(Question(only=only))
    assert answer == Answer((), exit_code=1, message=f"t.sh --dry-run did not end within {limit} s")


def test_all_questions_of_a_plan_have_one_time_together() -> None:
    # Each of the first two takes a thousand seconds.
    instants = iter((0.0, 1000.0, 1000.0, 2000.0, 2000.0, 2001.0))
    target = Endless()
    manager = ScriptedManager(ZYPPER, target, script_of(""), stopwatch=lambda: next(instants))
    said = [manager.resolve(Question(exclude=(name,))).message for name in ("a", "b", "c")]
    assert target.limits == [1800, 800, 1]
    late = "t.sh --dry-run did not end within 1800 s"
    assert said == [late, *[f"{late} together with the questions before it"] * 2], "the same at each tick"


def test_output_that_was_cut_is_refused() -> None:
    with pytest.raises(Stalled, match="more than can be kept"):
        script_of("").run(Flood(), [], timeout=1)


def test_sections_are_taken_apart() -> None:
    sections = parse_sections(GOOD)
    assert (sections.manager, sections.exit_code) == ("apt", 10)
    assert sections.get("one") == Section("one", ("a",), ("b",), 3)
    assert sections.get("absent").lines == ()
    with pytest.raises(Stalled, match=r"no section \[absent\]"):
        sections.need("absent")


def test_only_a_line_feed_ends_a_line() -> None:
    text = "patchledger-patch 1 apt\n[one]\n|a\v[two]\r= 0\x85exit 26\u2028\n= 0\nexit 0\n"
    assert parse_sections(text).get("one").lines == ("a\v[two]\r= 0\x85exit 26\u2028",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "exit 0\n",
        "patchledger-patch 1 apt\n",
        GOOD[:-1],
        GOOD.replace("exit 10\n", ""),
        GOOD.replace("= 3\n", ""),
        GOOD.replace("= 0\n", ""),
        GOOD.replace("|a", "a"),
        GOOD.replace("[two]", "[one]"),
        GOOD.replace("[two]", "two"),
        GOOD.replace("[two]\n", "[two]\n\n"),
        GOOD.replace("= 3", "= three"),
        GOOD.replace("patchledger-patch 1 apt", "Sub-process died"),
        GOOD + "more\n",
    ],
)
def test_garbage_is_refused_and_nothing_guessed(text: str) -> None:
    with pytest.raises(Stalled, match="does not parse"):
        parse_sections(text)


def test_another_version_of_the_contract_is_refused() -> None:
    with pytest.raises(Stalled, match="version 2 of the contract"):
        parse_sections(GOOD.replace("patch 1", "patch 2"))


def test_every_cut_of_good_output_is_refused() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(Stalled, match="does not parse"):
            parse_sections(GOOD[:length])


def failing(question: Question) -> Answer:
    text = "printf '%s\\n' 'patchledger-patch 1 zypper' '[resolve]' '|<stream><no' '= 0' 'exit 0'\n"
    return ScriptedManager(ZYPPER, LocalTarget({}), script_of(text)).resolve(question)


def test_a_question_that_is_only_to_explain_costs_no_more_than_its_answer() -> None:
    answer = failing(Question(only=("a", "2")))
    assert (answer.changes, answer.exit_code) == ((), 1)
    assert "does not parse" in answer.message
    with pytest.raises(Stalled, match="does not parse"):
        failing(Question())


THEIRS = (FOLDER / "apt-update.sh").read_bytes() + b"# ours\n"
DIGEST = hashlib.sha256(THEIRS).hexdigest()


def test_another_script_replaces_the_own_one_where_its_hash_is_accepted() -> None:
    own = PatchScript.load("apt-update.sh")
    replaced = own.replaced(THEIRS, {DIGEST})
    assert replaced.content == (FOLDER / COMMON).read_bytes() + b"\n" + THEIRS
    assert dict(replaced.hashes) == {**dict(own.hashes), "apt-update.sh": DIGEST}
    assert own.replaced((FOLDER / "apt-update.sh").read_bytes(), ()) is own
    for changed in (THEIRS + b"\n", THEIRS[:-1], b""):
        with pytest.raises(Stalled, match="is not accepted by this host") as refused:
            own.replaced(changed, {DIGEST})
        assert refused.value.reason == "NotAccepted"
    long = b"#" * scripts.MAX_SCRIPT
    with pytest.raises(Stalled, match="can be run"):
        own.replaced(long, {hashlib.sha256(long).hexdigest()})


def test_what_a_script_began_it_also_repairs_as_long_as_it_is_accepted(tmp_path: Path) -> None:
    own, folder = PatchScript.load("apt-update.sh"), tmp_path / "scripts"
    chosen = PolicyScripts(frozenset({DIGEST}), folder)
    assert chosen.last(own) is own
    chosen.begin(own.replaced(THEIRS, {DIGEST}))
    assert chosen.last(own).replacement == THEIRS
    assert PolicyScripts(frozenset({"0" * 64}), folder).last(own) is own
    assert PolicyScripts(frozenset(), folder).last(own) is own
    (folder / "apt-update.sh").chmod(0o666)
    assert chosen.last(own) is own
    chosen.begin(own)
    assert not (folder / "apt-update.sh").exists()
    chosen.begin(own)


def test_a_script_that_cannot_be_kept_begins_nothing(tmp_path: Path) -> None:
    own = PatchScript.load("apt-update.sh")
    (tmp_path / "scripts").write_text("in the way")
    with pytest.raises(Stalled, match="cannot write"):
        PolicyScripts(frozenset({DIGEST}), tmp_path / "scripts").begin(own.replaced(THEIRS, {DIGEST}))
