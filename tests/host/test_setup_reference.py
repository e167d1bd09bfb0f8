"""The page about setup: its example is valid, its keys and options exist, and all verbs are on it."""

import re
from pathlib import Path

import pytest

from reconciler.cli.arguments import build_parser
from reconciler.host.config import Config, Notifier
from reconciler.host.install.answers import OPTIONS, Answers, NotifierAnswer, read_answers

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "setup.md").read_text(encoding="utf-8")
HIDDEN = {"--unit-dir", "--program"}
"""For images: not in the help, since hosts have no use for them."""


def options(verb: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        build_parser().parse_args([verb, "--help"])
    return set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


def test_the_example_is_valid(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    file = tmp_path / "setup.yaml"
    file.touch(mode=0o600)
    file.write_text(example[1], encoding="utf-8")
    answers = read_answers(file).check()
    assert isinstance(answers, Answers), answers
    assert answers.host == "web-01"


def test_the_keys_that_only_setup_knows_are_there() -> None:
    named = re.findall(r"^\| `([a-zA-Z_.]+)` \|", PAGE, re.MULTILINE)
    more = {f"notifiers.NAME.{key}" for key in set(NotifierAnswer.model_fields) - set(Notifier.model_fields)}
    assert more | (set(Answers.model_fields) - set(Config.model_fields)) <= set(named)


def test_the_options_of_the_page_exist(capsys: pytest.CaptureFixture[str]) -> None:
    verbs = ("setup", "adjust", "enable", "disable", "cleanup")
    there = set[str]().union(*(options(verb, capsys) for verb in verbs))
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) - {"--config", *HIDDEN} <= there


@pytest.mark.parametrize("verb", ["setup", "adjust"])
def test_each_answer_has_the_option_that_mistakes_name(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(OPTIONS.values()) <= options(verb, capsys)
