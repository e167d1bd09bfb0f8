"""What is wrong with a policy document, and where."""

from reconciler.policy.remotes import redact_url
from reconciler.records import dataclass

MAX_PROBLEMS = 1000
"""What is wrong is looked for until there are as many."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that makes a file unusable; sorts by file, line and path.

    Attributes:
        file: Path inside the policy repository, with ``/``.
        line: Counted from 1; 1 where the whole file is meant.
        path: The key it is about, such as ``windows[0].duration``; empty where the whole file is meant.
        message: What is wrong, as a clause without a trailing full stop.
        hint: What to write instead; empty where there is nothing to advise.
        rule: Of a warning: which kind it is, such as ``no-window``; empty of a mistake.
    """

    file: str
    line: int
    path: str
    message: str
    hint: str = ""
    rule: str = ""

    def __post_init__(self) -> None:
        # What is wrong with a document is read in logs of CI, whichever key a password was written into.
        for name in ("path", "message", "hint"):
            object.__setattr__(self, name, redact_url(getattr(self, name)))

    def __str__(self) -> str:
        subject = f"{self.path}: " if self.path else ""
        advice = f" ({self.hint})" if self.hint else ""
        # A file may hold a word of any length, and this sentence goes into reports and messages.
        return shortened(
            visible(f"{self.file}:{self.line}: {subject}{shortened(self.message, _LONGEST)}{advice}"),
            2 * _LONGEST,
        )


_LONGEST = 500


def visible(text: str) -> str:
    r"""Return ``text`` on one line with everything that cannot be seen, or moves a cursor, as ``\u{...}``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text)


def quoted(text: str) -> str:
    """Return a piece of a document fit to be named in a message: quoted, printable and not too long."""
    return f'"{visible(shortened(redact_url(text)))}"'


def shortened(text: str, longest: int = 80) -> str:
    """Return ``text``, its end left out where it has more than ``longest`` characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def dotted(path: tuple[str | int, ...]) -> str:
    """Return a key's place as people write it: ``("windows", 0, "at")`` is ``windows[0].at``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
