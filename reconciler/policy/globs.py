"""Shell patterns that name the same packages as a regular expression, where there are such.

The expressions are those of unattended-upgrades' lists: Python's, and compared with the beginning of a name,
so that ``linux-`` is ``linux-*`` and only ``linux-$`` is ``linux-``. What a shell pattern cannot say
(repetition inside of a name, look-around, backreferences) has no counterpart.
"""

import re
from itertools import product

from reconciler.policy.values import PACKAGE_GLOB

_MOST = 50
_LONGEST = 255
_TOKEN = re.compile(
    r"""
      (?P<group> \( (?:\?:)? ) | (?P<end> \) ) | (?P<or> \| )
    | (?P<anchor> [\^$] )
    | (?P<any> \. ) (?P<repeated> (?: [*+] \?? )? )
    | \[ (?P<none> \^? ) (?P<some> (?:[A-Za-z0-9]-[A-Za-z0-9] | [A-Za-z0-9.+_~])+ -? ) \]
    | \\ (?P<digit> d ) | \\ (?P<escaped> [.+_~-] ) | (?P<plain> [A-Za-z0-9_~-] )
    """,
    re.VERBOSE,
)


class _Beyond(Exception):
    """The expression says more than shell patterns can."""


def globs_of(expression: str) -> tuple[str, ...] | None:
    """Return the shell patterns of packages for an expression, ``None`` where it has no counterpart."""
    if len(expression) > _LONGEST:
        return None
    try:
        texts, end = _alternatives(expression, 0)
    except _Beyond:
        return None
    globs = tuple(dict.fromkeys(_glob(text) for text in texts))
    is_whole = end == len(expression)
    return globs if is_whole and all(re.fullmatch(PACKAGE_GLOB, glob) for glob in globs) else None


def _glob(text: str) -> str:
    """Turn one alternative, in which the anchors still stand, into a pattern; one elsewhere stays."""
    text = text.lstrip("^")
    text = text.rstrip("$") if text.endswith("$") else f"{text}*"
    return re.sub(r"\*+", "*", text)


def _alternatives(text: str, at: int) -> tuple[list[str], int]:
    """Read alternatives up to a closing parenthesis or the end; return them and where they end."""
    done: list[str] = []
    texts = [""]
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _Beyond
        if found["end"]:
            break
        at = found.end()
        if found["or"]:
            done, texts = done + texts, [""]
            continue
        options, at = _alternatives(text, at) if found["group"] else ([_piece(found)], at)
        if found["group"]:
            if text[at : at + 1] != ")":
                raise _Beyond
            at += 1
        rest = text[at:]
        if rest in {"+", "*"} and not found["repeated"]:
            # Anything may follow, more of the same, too.
            options, at = options if rest == "+" else [""], len(text)
        elif rest.startswith("?"):
            options, at = [*options, ""], at + 1
        texts = [before + option for before, option in product(texts, options)]
        if len(done) + len(texts) > _MOST:
            raise _Beyond
    return done + texts, at


def _piece(found: re.Match[str]) -> str:
    if found["any"]:
        return {"": "?", "*": "*", "+": "?*"}[found["repeated"].rstrip("?")]
    if found["some"]:
        return f"[{'!' if found['none'] else ''}{found['some']}]"
    return "[0-9]" if found["digit"] else found["anchor"] or found["escaped"] or found["plain"]
