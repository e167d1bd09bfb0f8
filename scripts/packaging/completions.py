"""Write the completions of bash, zsh and fish from the argument parser.

Usage: ``python -m scripts.packaging.completions FOLDER``; the files are named as the shells look for them.
"""

import argparse
import sys
from pathlib import Path

import shtab

from reconciler.cli.arguments import build_parser

_NAMES = {"bash": "patchledger", "zsh": "_patchledger", "fish": "patchledger.fish"}
_KINDS = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY, "FOLDER": shtab.DIRECTORY}


def main() -> None:
    """Write one file for each shell into the folder that the command line names."""
    folder = Path(sys.argv[1])
    parser = build_parser()
    _prepare(parser)
    for shell, name in _NAMES.items():
        (folder / name).write_text(shtab.complete(parser, shell), encoding="utf-8")


def _prepare(parser: argparse.ArgumentParser) -> None:
    """Say of each argument what completes it, and of each command what its list of commands says."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of what was added
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - nor a public name for this
            for listed in action._choices_actions:  # noqa: SLF001 - nor a public place of their help
                action.choices[listed.dest].description = listed.help
            for command in action.choices.values():
                _prepare(command)
        elif isinstance(action.metavar, str) and action.metavar in _KINDS:
            action.complete = _KINDS[action.metavar]  # type: ignore[attr-defined] # shtab's own way to be told


if __name__ == "__main__":
    main()
