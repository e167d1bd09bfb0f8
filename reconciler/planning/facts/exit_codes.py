"""How patch scripts end, one table for all package managers; see ``docs/reference/patch-scripts.md``."""

DONE = 0
OTHER = 1
NOTHING_TO_DO = 10
REBOOT = 11
LOCKED = 20
STALE = 21
UNTRUSTED = 22
NO_SPACE = 23
INTERRUPTED = 24
UNRESOLVED = 25
GONE = 26
SCRIPT_FAILED = 27
NOT_BEGUN = 28
NOT_FETCHED = 29
ELSEWHERE = 30

WELL = frozenset({DONE, NOTHING_TO_DO, REBOOT})
"""Codes of a script that did what it was told."""

REFUSED = frozenset({UNRESOLVED, GONE})
"""Codes of a manager that would do something else than it is told; nothing was changed."""
