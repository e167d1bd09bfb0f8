"""How numbers, lists, sizes and digests stand in sentences, wherever one is written."""

from collections.abc import Sequence
from datetime import datetime


def plural(number: int, noun: str) -> str:
    """Return ``1 update`` or ``2 updates``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def changes_of(number: int, security: int) -> str:
    """Return ``5 changes`` or, where some are for security, ``5 changes (2 security)``."""
    return plural(number, "change") + (f" ({security} security)" if security else "")


def listed(items: Sequence[str], limit: int = 5) -> str:
    """Write a list that stays readable however long it is: up to ``limit`` items, the others counted."""
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def sentence(words: str) -> str:
    """Write what somebody said on several lines as one sentence: each line once, joined by semicolons."""
    lines = (line.strip().rstrip(";").rstrip() for line in words.splitlines())
    return "; ".join(dict.fromkeys(line for line in lines if line))


def mebibytes(size: int) -> str:
    """Write a size in bytes as whole mebibytes, rounded up."""
    return f"{-(-size // 2**20)} MiB"


def short_digest(digest: str) -> str:
    """Return the first twelve digits of a plan's digest, without the name of the algorithm."""
    return digest.removeprefix("sha256:")[:12]


def minute(at: datetime) -> str:
    """Write an aware instant to the minute, with its zone: ``2026-11-26 02:00 UTC``."""
    return at.strftime("%Y-%m-%d %H:%M %Z").strip()
