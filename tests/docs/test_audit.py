"""The page on the audit has the checks that there are, in their words."""

import re
from pathlib import Path

from reconciler.planning.audit.audit import CHECKS, HOSTS_WORD

PAGE = (Path(__file__).parents[2] / "docs/reference/audit.md").read_text(encoding="utf-8")


def test_each_check_is_told_with_its_sentence_and_what_it_answers() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert rows == [(one.name, one.sentence, one.attack) for one in CHECKS]


def test_all_that_stays_the_hosts_word_is_told() -> None:
    told = PAGE.partition("## What stays the hosts' word")[2].partition("\n## ")[0]
    assert re.findall(r"^- (.*)$", told, re.MULTILINE) == list(HOSTS_WORD)


def test_names_are_their_own_and_sentences_are_sentences() -> None:
    names = [one.name for one in CHECKS]
    assert len(set(names)) == len(names)
    for one in CHECKS:
        assert one.sentence.endswith(".")
        assert one.attack.endswith(".")
