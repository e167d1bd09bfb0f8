"""Draw the first five minutes at a terminal as one picture that moves; ``scripts/pictures`` calls it.

Each command is run, on a terminal of a fixed width, and is a screen of the picture: it is typed, then what it
printed is there, and after a while the next one comes.
"""

import html
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.color import ColorType
from rich.style import Style
from rich.text import Text

from reconciler.process import run

_COLUMNS, _ROWS = 120, 22
_WIDTH, _HEIGHT = 8.43, 18
"""Of a character of the font, in pixels."""
_LEFT, _TOP = 14, 52
_TYPING, _READING = 1.2, 6.0
"""Seconds that a command stands there alone, and that it is read with what it printed."""
_COLOURS = ("#15181d", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0")
_DARK, _RED, _GREEN, _YELLOW, *_, _PLAIN = _COLOURS
_EXCEPTION = "quickstart/policy/exceptions/openssl.yaml"
_HELD = """kind: Exception
name: openssl
packages: [openssl, libssl3]
action: hold
reason: the shop breaks with it
expires: 2027-01-31
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A screen: what is typed, and what is run for it where that is something else."""

    typed: str
    run: str = ""


STEPS = (
    Step("./scripts/quickstart", "./scripts/quickstart 2>&1 | grep -v ^Installing"),
    Step("pl plan"),
    Step("pl explain openssl"),
    Step(
        f"mkdir quickstart/policy/exceptions; $EDITOR {_EXCEPTION}; cat {_EXCEPTION}",
        f"mkdir quickstart/policy/exceptions; cat >{_EXCEPTION} <<'END'\n{_HELD}END\ncat {_EXCEPTION}",
    ),
    Step("pl policy check quickstart/policy"),
    Step("cd quickstart/policy; git add .; git commit -m 'Hold openssl'; cd ../.."),
    Step("pl run"),
    Step("pl explain openssl"),
    Step(
        "git -C quickstart/reports.git log hosts/web-01",
        "git -C quickstart/reports.git log hosts/web-01 | cat",
    ),
)


def printed(command: str, home: str) -> str:
    """Run a command in the current folder, on a terminal, and return what it printed there.

    Raises:
        SystemExit: It failed, so that there is nothing to be shown.
    """
    shell = (
        f"stty cols {_COLUMNS} -onlcr; . scripts/environment; ensure_environment product\n"
        f'pl() {{ patchledger --config quickstart/config.yaml "$@"; }}\n{command}'
    )
    line = ("script", "--quiet", "--return", "--command", shell, "/dev/null")
    done = run(line, env={"TERM": "xterm", "SHELL": "/bin/bash", "HOME": home})
    if done.returncode:
        sys.exit(f"{command}: {done.text}{done.error_text}")
    return done.text


def lines_of(text: str) -> list[Text]:
    """Return the lines of a screen, of which the last says so where there are more."""
    whole = (Text.from_ansi(line) for line in text.rstrip("\n").split("\n"))
    lines = [line[at : at + _COLUMNS] for line in whole for at in range(0, max(len(line), 1), _COLUMNS)]
    return lines if len(lines) < _ROWS else [*lines[: _ROWS - 2], Text("...")]


def picture(screens: Sequence[tuple[str, Sequence[Text]]]) -> str:
    """Return the SVG of commands and what each printed; who wants no motion sees the first."""
    each = _TYPING + _READING
    whole = each * len(screens)
    rules, groups = [], []
    for number, (typed, lines) in enumerate(screens):
        begin, told, end = (100 * (number * each + more) / whole for more in (0, _TYPING, each))
        rules += [_shown(f"c{number}", begin, end), _shown(f"o{number}", told, end)]
        command = f'<tspan fill="{_GREEN}">$ </tspan><tspan font-weight="bold">{html.escape(typed)}</tspan>'
        output = "".join(_row("".join(_spans(line)), at) for at, line in enumerate(lines, 1))
        groups += [f'<g class="s c{number}">{_row(command, 0)}</g>', f'<g class="s o{number}">{output}</g>']
    width, height = round(_COLUMNS * _WIDTH) + 2 * _LEFT, _TOP + _ROWS * _HEIGHT
    buttons = "".join(
        f'<circle cx="{20 + 18 * at}" cy="18" r="6" fill="{fill}"/>'
        for at, fill in enumerate((_RED, _YELLOW, _GREEN))
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
            "<title>The first five minutes with patchledger, command by command</title>",
            f"<style>text {{ font: 14px ui-monospace, 'DejaVu Sans Mono', monospace; fill: {_PLAIN}; }}",
            f".s {{ visibility: hidden; animation: {whole:g}s step-end infinite; }}",
            *rules,
            "@media (prefers-reduced-motion: reduce) {",
            ".s { animation: none; } .c0, .o0 { visibility: visible; } }</style>",
            f'<rect width="{width}" height="{height}" rx="8" fill="{_DARK}"/>{buttons}',
            *groups,
            "</svg>\n",
        ]
    )


def _shown(name: str, begin: float, end: float) -> str:
    hidden, visible = ("{ visibility: hidden; }", "{ visibility: visible; }")
    frames = f"0% {hidden} {begin:.3f}% {visible} {end:.3f}% {hidden}"
    return f".{name} {{ animation-name: {name}; }} @keyframes {name} {{ {frames} }}"


def _row(content: str, number: int) -> str:
    return f'<text x="{_LEFT}" y="{_TOP + number * _HEIGHT}" xml:space="preserve">{content}</text>'


def _spans(line: Text) -> Iterator[str]:
    borders = {0, len(line), *(at for span in line.spans for at in (span.start, span.end))}
    for begin, end in pairwise(sorted(borders)):
        told = "".join(
            _attributes(span.style)
            for span in line.spans
            if span.start <= begin < span.end and isinstance(span.style, Style)
        )
        words = html.escape(line.plain[begin:end])
        yield f"<tspan{told}>{words}</tspan>" if told else words


def _attributes(style: Style) -> str:
    told = ' font-weight="bold"' if style.bold else ""
    told += ' opacity="0.6"' if style.dim else ""
    colour = style.color
    if colour is not None and colour.type is ColorType.STANDARD and colour.number is not None:
        told += f' fill="{_COLOURS[colour.number % len(_COLOURS)]}"'
    return told


if __name__ == "__main__":
    output, home = sys.argv[1:]
    screens = [(step.typed, lines_of(printed(step.run or step.typed, home))) for step in STEPS]
    Path(output).write_text(picture(screens), encoding="utf-8")
