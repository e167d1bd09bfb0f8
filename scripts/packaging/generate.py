"""Write the files of a package that are made from the program itself: manual, completions and units.

Usage: ``python -m scripts.packaging.generate ROOT DATE``; the date stands at the foot of manual pages.
"""

import argparse
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import shtab

from reconciler.cli.arguments import build_parser
from reconciler.cli.wiring.values import COMMAND
from reconciler.host import DEFAULT_CONFIG
from reconciler.host.install.units import UnitInputs, unit_files
from scripts.packaging.manual import commands_page, config_page

_TICK = timedelta(minutes=15)
# Where each shell looks for the completion of a command.
_COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/patchledger",
    "zsh": "usr/share/zsh/vendor-completions/_patchledger",
    "fish": "usr/share/fish/vendor_completions.d/patchledger.fish",
}
# Kinds of values that the host itself knows, by verb and what stands for the value in its usage.
_KNOWN = {
    ("patchledger explain", "PACKAGE"): "packages",
    ("patchledger notify test", "NAME"): "notifiers",
    ("patchledger log", "RUN"): "runs",
}
_COMPLETED = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY, "FOLDER": shtab.DIRECTORY}


def main() -> None:
    """Write the files below the root that the command line names."""
    root, date = Path(sys.argv[1]), sys.argv[2]
    for name, text in _files(date):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _files(date: str) -> Iterator[tuple[str, str]]:
    yield "usr/share/man/man1/patchledger.1", commands_page(build_parser(), date)
    yield "usr/share/man/man5/patchledger-config.5", config_page(date)
    parser = build_parser()
    _prepare(parser)
    for shell, name in _COMPLETIONS.items():
        yield name, shtab.complete(parser, shell)
    # The units that setup writes for this host take the place of these, which have the default paths.
    for name, text in unit_files(
        UnitInputs(Path("/usr/bin/patchledger"), Path(DEFAULT_CONFIG), _TICK)
    ).items():
        yield f"usr/lib/systemd/system/{name}", text


def _prepare(parser: argparse.ArgumentParser) -> None:
    """Say of each argument what completes it, and of each command what the list of commands says."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of what was added
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - nor a public name for this
            for listed in action._choices_actions:  # noqa: SLF001 - nor a public place of their help
                action.choices[listed.dest].description = listed.help
            for command in action.choices.values():
                _prepare(command)
        elif (kind := _KNOWN.get((parser.prog, str(action.metavar)))) is not None:
            action.complete = shtab.cmd(f"patchledger {COMMAND} {kind} 2>/dev/null")  # type: ignore[attr-defined] # the same
        elif isinstance(action.metavar, str) and action.metavar in _COMPLETED:
            action.complete = _COMPLETED[action.metavar]  # type: ignore[attr-defined] # so shtab wants to be told


if __name__ == "__main__":
    main()
