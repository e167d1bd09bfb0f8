r"""Text from packages, machines and git, made safe to show to people.

Rules:

1. What cannot be seen is made visible: control, format (bidirectional overrides, zero-width characters),
   separator and surrogate characters become ``\u{202e}``, so that nothing can hide, move the cursor or
   reorder a line. A line break is one of them: a value never spans lines.
2. In Markdown, text can form neither HTML, link, image, table cell, emphasis, code, formula nor mention,
   whatever it holds. Characters that could are written as numeric character references, which CommonMark
   reads as literal text only.
3. In HTML, text can form neither element, attribute nor reference.
4. In a commit message, text can form neither a line nor a trailer of its own.
5. What is cut says so with an ellipsis.
"""

import html as markup
import re
import unicodedata
from collections.abc import Mapping

from reconciler.policy.problems import visible

_PLAIN_CODE = re.compile(r"[A-Za-z0-9 .,+~:_@/%=()^-]+")
_STRUCTURE = frozenset("`*_[]<>|~\\$!{}")
_REFERENCE = frozenset("@#&")  # a forge would link a person, an issue or an epic
_WORD_JOINER = "&#8288;"
_LIST_START = re.compile(r"^(\d+)([.)])(?=\s|$)")


_TRAILER_KEY = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


def redacted(text: str) -> str:
    """Return a text without the user information of the URLs in it."""
    return _USERINFO.sub("", text)


def clip(text: str, limit: int) -> str:
    """Return ``text`` cut to ``limit`` characters; what was cut ends in an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(text: str, limit: int) -> str:
    """Return ``text`` on one line, white space folded, made visible and cut to ``limit``."""
    # Cut first as well: a package may hand in megabytes.
    return clip(visible(" ".join(text[: limit * 2].split())), limit)


def commit_message(subject: str, trailers: Mapping[str, str]) -> str:
    """Return a commit message whose last paragraph are these trailers (git-interpret-trailers(1)).

    A value cannot start a second line or trailer.

    Args:
        subject: Becomes one line.
        trailers: Such as ``{"Host": "web-01"}``.

    Raises:
        ValueError: A trailer's key has other characters than letters, digits and ``-``.
    """
    for key in trailers:
        if not _TRAILER_KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key of a trailer")
    lines = (f"{key}: {one_line(value, 1000)}".rstrip() for key, value in trailers.items())
    return "\n\n".join(filter(None, (one_line(subject, 200), "\n".join(lines)))) + "\n"


def markdown(text: str, limit: int = 300) -> str:
    """Return ``text`` as literal prose for a Markdown paragraph, list item or table cell."""
    seen = clip(visible(text[: limit + 1]), limit)
    written = "".join(map(_reference, seen))
    written = re.sub(r"(?i)\b(https?|ftp|mailto|www)([:.])", _broken_link, written)
    written = _LIST_START.sub(lambda match: f"{match[1]}&#{ord(match[2])};", written)
    return f"&#{ord(written[0])};{written[1:]}" if written[:1] in ("-", "+", "=", " ") else written


def _reference(character: str) -> str:
    if character in _STRUCTURE:
        return f"&#{ord(character)};"
    if character in _REFERENCE:
        return f"&#{ord(character)};{_WORD_JOINER}"
    return character


def _broken_link(match: re.Match[str]) -> str:
    return f"{match[1]}&#{ord(match[2])};"


def markdown_code(text: str, limit: int = 120) -> str:
    """Return an identifier (name, version, origin) as a Markdown code span.

    Only where each of its characters is one that identifiers have; anything else becomes literal prose, so
    that no code span has to be fenced against its own content.
    """
    seen = clip(visible(text[: limit + 1]), limit)
    if _PLAIN_CODE.fullmatch(seen) and seen == seen.strip():
        return f"`{seen}`"
    return markdown(text, limit)


def html(text: str, limit: int = 300) -> str:
    """Return ``text`` as literal text of an HTML element or of a quoted attribute."""
    return markup.escape(clip(visible(text[: limit + 1]), limit))


def width(text: str) -> int:
    """Return how many terminal cells visible ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
