"""Every typical mistake meets a sentence that says what is wrong, where, and what to write instead."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from reconciler.policy.idle import check_idle
from reconciler.policy.load import NeedsUpgrade, Rejected, Revision, load
from reconciler.policy.overlaps import check_overlaps
from tests.policy.mistakes import MISTAKES, PIN, RIGHT, Tree
from tests.policy.trees import files

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
MOST_SENTENCES = 4
LONGEST = 420


def told(tree: Tree) -> list[str]:
    """Return what ``policy check`` says of a tree."""
    match load(files(tree)):
        case Rejected(problems):
            return [str(one) for one in problems]
        case NeedsUpgrade(requires, _):
            return [f"asks for patchledger {requires}"]
        case Revision() as revision:
            refused, warned = check_overlaps(revision)
            doubts = (*revision.warnings, *warned, *check_idle(revision, NOW, {"apt-update.sh": PIN}))
            return [
                *(str(one) for one in (*revision.misplaced, *refused)),
                *(f"warning: {one}" for one in sorted(doubts)),
            ]


def test_every_mistake_has_its_sentence(golden: Callable[[str, bytes], None]) -> None:
    found = {case: told(tree) for case, tree in MISTAKES.items()}
    pages = [f"## {case}\n" + "".join(f"{line}\n" for line in lines) for case, lines in found.items()]

    assert len(found) >= 130
    assert [case for case, lines in found.items() if not lines] == []
    golden("policy/mistakes.txt", "\n".join(pages).encode())


@pytest.mark.parametrize("case", MISTAKES)
def test_a_sentence_is_short_enough_to_be_read_and_tells_no_password(case: str) -> None:
    lines = told(MISTAKES[case])

    assert 0 < len(lines) <= MOST_SENTENCES
    assert max(map(len, lines)) <= LONGEST
    assert "hunter2" not in "".join(lines)
    assert "s3cr3t" not in "".join(lines)


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right_is_accepted_in_silence(case: str) -> None:
    assert told(RIGHT[case]) == []
