"""Whatever a patch script prints is read to a value, or refused with a sentence.

The recorded outputs are changed line by line and byte by byte, by a random sequence that a seed gives: the
examples are the same on every machine.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError
from tests.vectors.vector import FOLDER, Vector, expected_of

PATHS = sorted(FOLDER.glob("*.json"))
EXAMPLES = 150  # of each recorded output: about a quarter of a second

NUMBERS = ("0", "-1", "1²", "٣", "9" * 12, "9" * 18, "9" * 5000, "1e9", "0x10", "")
PIECES = (
    "\t", " ", "  ", "-", ":", "=", "~", "^", "<", ">", "</", "<!--x-->", "<!DOCTYPE a>", "&x;", "[", "]",
    "\0", "\x85", "\u2028", "\ud800", "\udc80", "é", "|", "->", "(", ")", "@", "Fri, 31 Dec 9999 23:59 -2359",
)  # fmt: skip

Change = Callable[[random.Random, list[str]], None]


def _drop(chance: random.Random, lines: list[str]) -> None:
    del lines[chance.randrange(len(lines))]


def _repeat(chance: random.Random, lines: list[str]) -> None:
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))


def _cut(chance: random.Random, lines: list[str]) -> None:
    at = chance.randrange(len(lines))
    lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]


def _insert(chance: random.Random, lines: list[str]) -> None:
    at = chance.randrange(len(lines))
    where = chance.randrange(len(lines[at]) + 1)
    lines[at] = lines[at][:where] + chance.choice(PIECES) + lines[at][where:]


def _take_out(chance: random.Random, lines: list[str]) -> None:
    at = chance.randrange(len(lines))
    where = chance.randrange(len(lines[at]) + 1)
    lines[at] = lines[at][:where] + lines[at][where + 1 :]


def _miscount(chance: random.Random, lines: list[str]) -> None:
    """Write another number in the place of one."""
    at = chance.randrange(len(lines))
    words = lines[at].replace("\t", " \t ").split(" ")
    numbers = [place for place, word in enumerate(words) if word.strip("|").isdigit()]
    if numbers:
        place = chance.choice(numbers)
        mark = "|" if words[place].startswith("|") else ""
        words[place] = mark + chance.choice(NUMBERS)
        lines[at] = " ".join(words).replace(" \t ", "\t")


CHANGES: tuple[Change, ...] = (_drop, _repeat, _cut, _insert, _take_out, _miscount, _miscount)


def _examples(vector: Vector, seed: str) -> Iterator[Vector]:
    chance = random.Random(seed)
    for _ in range(EXAMPLES):
        lines = list(vector.output)
        for _ in range(chance.randint(1, 3)):
            chance.choice(CHANGES)(chance, lines)
        yield vector.model_copy(update={"output": tuple(lines)})


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_changed_output_is_read_or_refused(path: Path) -> None:
    vector = Vector.model_validate_json(path.read_bytes())
    refusals = [_refusal(example) for example in _examples(vector, path.stem)]
    assert any(refusals), "no change was one that matters"


def _refusal(vector: Vector) -> str:
    """Return why an output is refused, empty where it is read; any other error fails the test."""
    try:
        expected_of(vector)
    except ReconcilerError as error:
        return error.message
    return ""
