"""A month of hosts, a row each: on which days a run may begin or is expected, and what keeps it from that.

It is drawn for a terminal, and as a picture (SVG) that loads nothing. What hosts are called is text in both.
"""

import calendar
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from enum import StrEnum

from reconciler.cli.showing.table import Paint, Style
from reconciler.planning.text.untrusted import html
from reconciler.planning.text.untrusted import width as cells
from reconciler.policy.problems import shortened, visible
from reconciler.records import dataclass

_NAME = 30
"""Cells of a name at most."""
_LETTERS = "MTWTFSS"


class DayMark(StrEnum):
    """What a day is like."""

    NONE = "·"
    PLANNED = "◆"
    OPEN = "■"
    BLOCKED = "x"
    FROZEN = "~"
    LEFT_OUT = "-"


WORDS = {
    DayMark.PLANNED: "a window opens, and updates are planned for it",
    DayMark.OPEN: "a window opens",
    DayMark.BLOCKED: "a window opens, and no run can begin in it",
    DayMark.FROZEN: "a freeze, and no window",
    DayMark.LEFT_OUT: "left out by a calendar",
    DayMark.NONE: "no window",
}
_STYLES = {
    DayMark.PLANNED: Style.GOOD,
    DayMark.OPEN: Style.GOOD,
    DayMark.BLOCKED: Style.BAD,
    DayMark.FROZEN: Style.NOTE,
    DayMark.LEFT_OUT: Style.NOTE,
    DayMark.NONE: Style.PLAIN,
}
_COLOURS = {
    DayMark.PLANNED: "#0b4f9e",
    DayMark.OPEN: "#1a7f37",
    DayMark.BLOCKED: "#b42318",
    DayMark.FROZEN: "#9ec5e8",
    DayMark.LEFT_OUT: "#f2d479",
    DayMark.NONE: "#eef0f2",
}


@dataclass(frozen=True, slots=True)
class MonthRow:
    """A host, or a Schedule, and a mark for each day.

    Attributes:
        notes: More about some days, which are counted from 0.
    """

    name: str
    marks: tuple[DayMark, ...]
    notes: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Month:
    """A month by the clock of one zone."""

    year: int
    month: int
    timezone: str
    rows: tuple[MonthRow, ...]

    @property
    def title(self) -> str:
        """Its name, and the zone."""
        return f"{calendar.month_name[self.month]} {self.year} (by the clock of {self.timezone})"

    @property
    def weekdays(self) -> tuple[int, ...]:
        """Of each day, from 0 for Monday."""
        first, number = calendar.monthrange(self.year, self.month)
        return tuple((first + day) % 7 for day in range(number))


def drawn(month: Month, *, colour: bool = False) -> Iterator[str]:
    """Yield the lines of a month for a terminal."""
    paint, days = Paint(colour=colour), range(1, len(month.weekdays) + 1)
    names = [shortened(visible(row.name), _NAME) for row in month.rows]
    indent = " " * (max(map(cells, names), default=0) + 2)
    yield month.title
    yield ""
    yield indent + "".join(" " if day % 10 else str(day // 10) for day in days).rstrip()
    yield indent + "".join(str(day % 10) for day in days)
    yield indent + "".join(_LETTERS[day] for day in month.weekdays)
    for name, row in zip(names, month.rows, strict=True):
        padded = name + " " * (len(indent) - cells(name))
        yield padded + "".join(paint(mark.value, _STYLES[mark]) for mark in row.marks)
    yield ""
    shown = _marks(month)
    yield "  ".join(f"{mark.value} {words}" for mark, words in WORDS.items() if mark in shown)


_CELL = 18
_LEFT = 200
_TOP = 64
_LEGEND, _LETTER = 30, 7  # what a word of the legend takes beside its letters, and a letter


def _marks(month: Month) -> frozenset[DayMark]:
    return frozenset(mark for row in month.rows for mark in row.marks)


def svg(month: Month) -> str:
    """Return a month as a picture: well-formed, and without anything that would be loaded."""
    days, shown = len(month.weekdays), _marks(month)
    legend = sum(_LEGEND + _LETTER * len(WORDS[mark]) for mark in shown)
    width, height = max(_LEFT + days * _CELL, legend) + 10, _TOP + len(month.rows) * _CELL + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _words(10, 22, month.title, "font-size='15'"),
    ]
    for number, weekday in enumerate(month.weekdays):
        middle = _LEFT + number * _CELL + _CELL // 2
        grey = "text-anchor='middle' fill='#57606a'"
        parts += [_words(middle, 44, _LETTERS[weekday], grey), _words(middle, 58, str(number + 1), grey)]
    for index, row in enumerate(month.rows):
        top = _TOP + index * _CELL
        parts.append(_words(10, top + 13, shortened(row.name, _NAME)))
        parts += [
            f'<rect x="{_LEFT + number * _CELL + 1}" y="{top + 1}" width="{_CELL - 2}" height="{_CELL - 2}" '
            f'fill="{_COLOURS[mark]}"><title>{_said(row, number)}</title></rect>'
            for number, mark in enumerate(row.marks)
        ]
    return "\n".join((*parts, *_legend(shown, _TOP + len(month.rows) * _CELL + 24), "</svg>")) + "\n"


def _said(row: MonthRow, number: int) -> str:
    more = f": {row.notes[number]}" if number in row.notes else ""
    return html(f"{row.name}, {number + 1}: {WORDS[row.marks[number]]}{more}", 300)


def _legend(shown: Collection[DayMark], top: int) -> Iterator[str]:
    left = 10
    for mark, words in WORDS.items():
        if mark not in shown:
            continue
        yield f'<rect x="{left}" y="{top - 11}" width="12" height="12" fill="{_COLOURS[mark]}"/>'
        yield _words(left + 18, top, words)
        left += _LEGEND + _LETTER * len(words)


def _words(left: int, top: int, text: str, more: str = "") -> str:
    return f'<text x="{left}" y="{top}"{" " + more if more else ""}>{html(text, 200)}</text>'


def named_rows(rows: Sequence[MonthRow]) -> tuple[MonthRow, ...]:
    """Return rows by name, as people look for one."""
    return tuple(sorted(rows, key=lambda row: row.name))
