"""Questions on a terminal: defaults, secrets without an echo, and yes or no."""

import getpass
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Protocol

from reconciler.cli.showing.table import wrapped
from reconciler.errors import Misuse
from reconciler.policy.problems import visible


class Terminal(Protocol):
    """Somebody who can be asked."""

    def say(self, text: str = "") -> None:
        """Show a line."""

    def ask(self, question: str, default: str = "") -> str:
        """Return the answer to a question, stripped; the default for an empty one."""

    def ask_secret(self, question: str) -> str:
        """Return the answer to a question that must not be seen, empty for none."""


class OwnTerminal:
    """The terminal that the command was started on; talk goes to standard error."""

    def say(self, text: str = "") -> None:
        """Show a line; what git or a server said in it cannot move the cursor."""
        sys.stderr.write("\n".join(_folded(text)) + "\n")

    def ask(self, question: str, default: str = "") -> str:
        """Ask on standard error, and read a line of standard input.

        Raises:
            Misuse: Standard input has ended.
        """
        sys.stderr.write("\n".join(_folded(f"{question}{f' [{default}]' if default else ''}:")) + " ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            sys.stderr.write("\n")
            raise _ended()
        return line.strip() or default

    def ask_secret(self, question: str) -> str:
        """Ask on the terminal itself, with its echo off.

        Raises:
            Misuse: There is no terminal, or its echo cannot be turned off.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            try:
                return getpass.getpass(f"{visible(question)}: ").strip()
            except getpass.GetPassWarning as error:
                raise Misuse(
                    "a secret cannot be asked here, since it would be seen",
                    "give --notifier NAME=FILE, with the address in a file that only you may read",
                ) from error
            except EOFError as error:
                raise _ended() from error


def _folded(text: str) -> list[str]:
    """Return a text as lines that fit on the terminal, broken between words."""
    shown = visible(text)
    indent = " " * (len(shown) - len(shown.lstrip(" ")))
    columns = shutil.get_terminal_size((100, 24)).columns
    return wrapped(shown, columns - 1, indent) if len(shown) >= columns else [shown]


def is_present() -> bool:
    """Tell whether there is a terminal to ask on."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(terminal: Terminal, question: str, *, default: bool) -> bool:
    """Ask for yes or no until it is one of them."""
    while True:
        said = terminal.ask(f"{question} (yes or no)", "yes" if default else "no").lower()
        if said in {"y", "yes"}:
            return True
        if said in {"n", "no"}:
            return False
        terminal.say("Please answer yes or no.")


def agreed(deeds: Sequence[object], *, default: bool) -> bool:
    """Show on our own terminal what will be done, and ask whether to do it."""
    terminal = OwnTerminal()
    terminal.say("This will be done:")
    for deed in deeds:
        terminal.say(f"  {deed}")
    return confirm(terminal, "Do it", default=default)


def choose(terminal: Terminal, question: str, choices: Mapping[str, str], default: str) -> str:
    """Ask for one of several words, or its first letter, until it is one of them; return the word."""
    shown = ", ".join(f"{word} ({meaning})" for word, meaning in choices.items())
    while True:
        said = terminal.ask(f"{question} {shown}", default).lower()
        for word in choices:
            if said in {word, word[0]}:
                return word
        terminal.say(f"Please answer one of {', '.join(choices)}.")


def _ended() -> Misuse:
    return Misuse(
        "nobody answers: standard input has ended", "nothing was changed; give --yes with --answers FILE"
    )
