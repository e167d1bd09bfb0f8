"""A parser of arguments that says what is wrong with them as we say all else: a sentence, and a way out."""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from reconciler.cli.showing.terminal import tell
from reconciler.errors import MISUSE, Misuse

_VERBS = ("COMMAND", "VERB")
_OTHER_VERBS: Mapping[str, str] = {
    "apply": "run",
    "upgrade": "run",
    "update": "run",
    "reconcile": "run",
    "tick": "run",
    "diff": "plan",
    "check": "policy check",
    "validate": "policy check",
    "lint": "policy check",
    "test": "policy test",
    "show": "policy show",
    "init": "policy init",
    "schema": "policy schema",
    "impact": "policy impact",
    "audit": "fleet audit",
    "publish": "fleet publish",
    "why": "explain",
    "history": "log",
    "suspend": "pause",
    "hold": "pause",
    "unpause": "resume",
    "install": "setup",
    "remove": "cleanup",
    "uninstall": "cleanup",
    "daemon": "watch",
    "help": "--help",
    "version": "--version",
}
"""What other tools call it, by their word."""
_OTHER_OPTIONS: Mapping[str, str] = {
    "--dry-run": "`patchledger plan` changes nothing: it is the dry run",
    "--check": "`patchledger plan --check` asks whether updates are pending",
    "--config": "it stands before the command: patchledger --config FILE COMMAND",
    "--version": "it stands without a command: patchledger --version",
    "--json": "write --format json",
    "--force": "nothing is forced; `patchledger run --now` passes over the window",
}

_SAYINGS = (
    (r"argument (\S+): invalid int value: ('.*')", "{0}: {1} is not a whole number", ""),
    (r"argument (\S+): ignored explicit argument .*", "{0} takes no value", ""),
    (r"argument (\S+): expected .*", "{0} needs a value", ""),
    (
        r"argument (\S+): not allowed with argument (\S+)",
        "{1} and {0} cannot stand together",
        "keep one of them",
    ),
)
"""What the standard library says, what we say, and our hint."""


class Parser(argparse.ArgumentParser):
    """Refuses arguments by a sentence and a hint, and exits with 2; those below it are of the same kind."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - overloads there
        """Parse like the standard library, and refuse here what it would hand to whoever called."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse(*self._of_unknown(unknown[0]))
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Say what was wrong with the arguments, and exit."""
        self._refuse(*self._said(message))

    def _refuse(self, said: str, hint: str) -> NoReturn:
        tell(Misuse(said, hint or self._help))
        raise SystemExit(MISUSE)

    @property
    def _list(self) -> str:
        return f"`{self.prog} --help` lists them"

    @property
    def _help(self) -> str:
        return f"see `{self.prog} --help`"

    def _of_unknown(self, word: str) -> tuple[str, str]:
        option, _, _ = word.partition("=")
        if not option.startswith("-"):
            return f"`{self.prog}` takes no {word!r}", ""
        known = [one for one in self._option_string_actions if one.startswith("--")]
        return f"`{self.prog}` has no option {option}", _meant(option, known, _OTHER_OPTIONS)

    def _said(self, message: str) -> tuple[str, str]:
        """Return sentence and hint for what the standard library says."""
        if found := re.fullmatch(r"the following arguments are required: (.*)", message):
            return self._of_missing(found[1])
        if found := re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message):
            return self._of_choice(found[1], found[2], re.findall(r"'([^']*)'", found[3]))
        for pattern, said, hint in _SAYINGS:
            if found := re.fullmatch(pattern, message):
                return said.format(*found.groups()), hint
        return message, ""

    def _of_missing(self, names: str) -> tuple[str, str]:
        if names in _VERBS:
            return f"`{self.prog}` needs a command", self._list
        return f"`{self.prog}` needs {names}", ""

    def _of_choice(self, place: str, word: str, choices: Sequence[str]) -> tuple[str, str]:
        if place in _VERBS:
            others = {
                name: f"did you mean {verb}?"
                for name, whole in _OTHER_VERBS.items()
                for verb in [whole.removeprefix("policy ") if place == _VERBS[1] else whole]
                if verb.partition(" ")[0] in (*choices, "--help", "--version")
            }
            hint = _meant(word, choices, others)
            return (
                f"`{self.prog}` has no command {word!r}",
                hint or f"{self._list}; options stand behind them",
            )
        return f"{place}: {word!r} is not one of {', '.join(choices)}", _meant(word, choices, {})


def _meant(word: str, known: Iterable[str], others: Mapping[str, str]) -> str:
    """Return a hint at what somebody probably meant, empty where nothing comes near."""
    near = get_close_matches(word, list(known), n=1)
    return others.get(word, f"did you mean {near[0]}?" if near else "")
