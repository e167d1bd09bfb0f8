"""Every typical mistake of a configuration, an answers file or an option meets a sentence that leads out."""

import re
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.cli.arguments import build_parser, parser_for
from reconciler.host.config import load_config
from tests.cli.mistakes import ANSWERS, CONFIG, OPTIONS, RIGHT, SMALLEST
from tests.e2e.site import git
from tests.policy.mistakes import MISTAKES

ROOT = Path(__file__).parents[2]
_ALL_KEYS = re.compile(r"((?:known:|its keys are) \w+, \w+), [^)\n]{50,}\)")
"""All keys of a configuration: they are in the reference, and become more."""
MOST_LINES = 14
LONGEST = 420


@pytest.fixture
def said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Return what runs a command: its exit code, and what it says on standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as ended:  # of what reads options
            code = ended.code if isinstance(ended.code, int) else 1
        found = capsys.readouterr()
        text = (found.err or found.out).replace(str(tmp_path), "HERE").replace(str(ROOT), "ROOT")
        return code, _ALL_KEYS.sub(r"\1 and others)", text)

    return run


def private(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def pages(found: Mapping[str, tuple[int, str]]) -> bytes:
    """Return the page of a table: each case with its exit code and what is said."""
    return "\n".join(f"## {case} [{code}]\n{text}" for case, (code, text) in found.items()).encode()


def judge(found: Mapping[str, tuple[int, str]]) -> None:
    """Refuse what does not help, shows a password, or calls a mistake a defect."""
    for case, (code, text) in found.items():
        assert code in (1, 2, 3), case
        assert 0 < text.count("\n") <= MOST_LINES, f"{case}: {text}"
        assert max(map(len, text.splitlines())) <= LONGEST, f"{case}: {text}"
        for word in ("hunter2", "s3cr3t", "Traceback", "defect"):
            assert word not in text, f"{case}: {text}"


def test_each_mistake_of_a_configuration(
    tmp_path: Path, said: Callable[..., tuple[int, str]], golden: Callable[[str, bytes], None]
) -> None:
    found = {}
    for case, text in CONFIG.items():
        private(tmp_path / "config.yaml", text)
        found[case] = said("--config", f"{tmp_path}/config.yaml", "notify", "test")
    golden("cli/mistakes-config.txt", pages(found))
    judge(found)


def test_each_mistake_of_an_answers_file(
    tmp_path: Path, said: Callable[..., tuple[int, str]], golden: Callable[[str, bytes], None]
) -> None:
    found = {}
    (tmp_path / "policy/policies").mkdir(parents=True)
    (tmp_path / "policy/policies/base.yaml").write_text("kind: Policy\nname: base\n")
    for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "begin")):
        git(tmp_path / "policy", *arguments)
    where = ("--no-plan", "--unit-dir", f"{tmp_path}/units", "--program", f"{tmp_path}/patchledger")
    for case, text in ANSWERS.items():
        told = text.replace("/srv/policy.git", f"{tmp_path}/policy") if isinstance(text, str) else text
        file = private(tmp_path / "answers.yaml", told)
        found[case] = said(
            "--config", f"{tmp_path}/etc/config.yaml", "setup", "--answers", str(file), "--yes", *where
        )
    golden("cli/mistakes-answers.txt", pages(found))
    judge(found)
    assert not (tmp_path / "etc").exists()


def test_each_mistake_of_an_option(
    said: Callable[..., tuple[int, str]], golden: Callable[[str, bytes], None], tmp_path: Path
) -> None:
    folders = "".join(f"{key}: {tmp_path}/{key}\n" for key in ("state_dir", "log_dir", "hooks_dir"))
    config = private(tmp_path / "config.yaml", f"{SMALLEST}{folders}")
    found = {}
    for case, arguments in OPTIONS.items():
        before = () if "--config" in arguments else ("--config", str(config))
        found[case] = said(*before, *arguments)
    golden("cli/mistakes-options.txt", pages(found))
    judge(found)


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right_is_taken(tmp_path: Path, case: str) -> None:
    load_config(private(tmp_path / "config.yaml", RIGHT[case]))


def test_there_are_many() -> None:
    assert len(MISTAKES) + len(CONFIG) + len(ANSWERS) + len(OPTIONS) >= 330


@pytest.mark.parametrize("before", [(), ("--config", "c.yaml"), ("--config",), ("--config=c.yaml",), ("-x",)])
@pytest.mark.parametrize("verb", ["run", "plan", "dry-run", "explain", "status", "windows", "pla", ""])
@pytest.mark.parametrize(
    "after",
    [
        (),
        ("--help",),
        ("--version",),
        ("--config", "c"),
        ("run",),
        ("--format", "json"),
        ("--format", "x"),
        ("--now", "--reason", "it burns"),
        ("--target",),
        ("curl", "--since", "2026-01-01"),
        ("--fresh", "a", "b"),
    ],
)
def test_a_verb_without_the_others_takes_and_refuses_the_same(
    before: tuple[str, ...], verb: str, after: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = (*before, *filter(None, (verb,)), *after)

    def outcome(parser: ArgumentParser) -> tuple[object, str, str]:
        try:
            found: object = vars(parser.parse_args(argv))
        except SystemExit as end:
            found = end.code
        return found, *capsys.readouterr()

    assert outcome(parser_for(argv)) == outcome(build_parser())
