"""Which of a machine's package sources a policy names, by what the package manager calls them.

A pattern names a repository by its id (dnf), alias (zypper) or name (pacman), or, where it has a ``=``, a
source of apt by fields of its release file and its host, all of which must agree, as in unattended-upgrades'
``Origins-Pattern``. Every text may be a shell pattern (``*``, ``?``, ``[abc]``); case matters.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

FIELDS: Mapping[str, str] = {
    "o": "Origin",
    "l": "Label",
    "n": "Codename",
    "a": "Suite",
    "v": "Version",
    "site": "the host of its URL",
}
"""What a field of a pattern is compared with; the first five are lines of the release file."""

_VALUE = r'(?:"[^"\x00-\x1f\x7f]*"|[^",\x00-\x1f\x7f]+)'
_FIELD = rf"(?:{'|'.join(FIELDS)})={_VALUE}"
RELEASE = rf"^{_FIELD}(?:, *{_FIELD})*$"
"""What a pattern of apt's sources looks like; a value with a comma stands in double quotes."""

PATTERN = rf'{RELEASE}|^[^=",\x00-\x1f\x7f-][^=",\x00-\x1f\x7f]{{0,254}}$'
"""What any pattern looks like."""

_PART = re.compile(rf"({'|'.join(FIELDS)})=({_VALUE})")


def written(fields: Mapping[str, str]) -> str:
    """Write what is known of an apt source as a pattern is written, by the keys of :data:`FIELDS`."""
    values = {key: fields[key].replace('"', "") for key in FIELDS if fields.get(key)}
    return ",".join(f'{key}="{value}"' if "," in value else f"{key}={value}" for key, value in values.items())


@lru_cache(maxsize=1024)
def _fields(text: str) -> Mapping[str, str]:
    """Take a pattern apart; one that names a repository has no fields. Blanks beside a comma mean nothing."""
    return {part[1]: part[2].strip(" ").strip('"') for part in _PART.finditer(text)}


def is_named(pattern: str, name: str, release: str) -> bool:
    """Tell whether a pattern names a source.

    Args:
        pattern: Of the form :data:`PATTERN`.
        name: What the manager calls it: of dnf the repository's id, of zypper its alias, of pacman its name.
        release: Of apt's sources what :func:`written` made of them; of others empty.
    """
    fields = _fields(pattern)
    if not fields:
        return not release and fnmatchcase(name, pattern)
    known = _fields(release)
    return bool(release) and all(fnmatchcase(known.get(key, ""), glob) for key, glob in fields.items())


def are_named(patterns: Iterable[str], name: str, release: str) -> bool:
    """Tell whether one of the patterns names a source; see :func:`is_named`."""
    return any(is_named(pattern, name, release) for pattern in patterns)
