"""Tables, wrapped sentences and colours on a terminal: the one way in which all commands draw them."""

import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from itertools import compress

from reconciler.planning.text.untrusted import width as cells
from reconciler.policy.problems import visible

_LAST_COLUMN = 24
"""Cells that a table's last column has at least, so that it stays a column on a narrow terminal."""
_ANY = sys.maxsize

Row = Sequence[str]


class Style(StrEnum):
    """Select Graphic Rendition parameters (ECMA-48, 8.3.117)."""

    PLAIN = ""
    STRONG = "1"
    BAD = "31"
    GOOD = "32"
    NOTE = "33"


class Paint:
    """Colours text, or leaves it alone where no colour is wanted."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(self, text: str, style: Style) -> str:
        """Return the text in its colour."""
        if not self._colour or style is Style.PLAIN or not text:
            return text
        return f"\x1b[{style.value}m{text}\x1b[0m"


_NO_PAINT = Paint(colour=False)


def _plain(_row: Row) -> Style:
    return Style.PLAIN


def table(
    rows: Sequence[Row],
    width: int | None = None,
    *,
    heads: Row = (),
    indent: str = "  ",
    widest: int | None = None,
    paint: Paint = _NO_PAINT,
    style_of: Callable[[Row], Style] = _plain,
) -> Iterator[str]:
    """Yield rows with aligned columns, two spaces apart; what cannot be seen in a cell is spelt out.

    Args:
        rows: The cells of a line each. A column in which nothing stands is left out.
        width: Of the terminal: the last column is wrapped below itself; where that has no room each row is
            a sentence, so that no line is longer; ``None`` wraps nothing.
        heads: What stands above each column.
        indent: Before each line.
        widest: Cells that a column is padded to at most; a longer cell pushes the rest of its line.
        paint: Colours a line.
        style_of: What a row is painted in.
    """
    above = [heads] if heads else []
    whole = [*above, *([visible(cell) for cell in row] for row in rows)]
    filled = [any(column) for column in zip(*whole, strict=True)]
    lines = [list(compress(row, filled)) for row in whole]
    sizes = [min(max(map(cells, column)), widest or _ANY) for column in zip(*lines, strict=True)]
    styles = [*(Style.PLAIN for _ in above), *map(style_of, rows)]
    if width is not None and _needs(sizes, indent) > width:
        for line, style in zip(lines[len(above) :], styles[len(above) :], strict=True):
            text = "  ".join(cell.strip() for cell in line if cell.strip())
            yield from (paint(part, style) for part in wrapped(text, width, indent))
        return
    for line, style in zip(lines, styles, strict=True):
        padded = [cell + " " * (size - cells(cell)) for cell, size in zip(line, sizes, strict=True)]
        head = indent + "".join(f"{cell}  " for cell in padded[:-1])
        last = "".join(line[-1:]).rstrip()
        parts = [last] if width is None else wrapped(last, max(width - cells(head), _LAST_COLUMN), hang="")
        for number, part in enumerate(parts):
            yield paint(((" " * cells(head) if number else head) + part).rstrip(), style)


def _needs(sizes: Sequence[int], indent: str) -> int:
    """Return the cells that a line takes where its last column is as narrow as it may be."""
    return cells(indent) + sum(size + 2 for size in sizes[:-1]) + min((*sizes[-1:], _LAST_COLUMN))


def wrapped(text: str, width: int, indent: str = "", *, hang: str = "  ") -> list[str]:
    """Wrap one sentence; a word that is longer than a line stays whole, so that it can be copied.

    Args:
        text: The sentence.
        width: Of a line.
        indent: Before each line.
        hang: Before each line but the first, besides.
    """
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [indent]
