"""What people probably meant, by the key and the kind of their mistake.

Nothing here decides whether something is a mistake: it only finds the words that lead out of one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from reconciler.policy.problems import quoted, shortened, visible
from reconciler.policy.values import DIGEST, GLOB, NAME, nearest

MAPPINGS: Mapping[str, str] = {
    "min_age": "{security: 0d, other: 7d}",
    "deadline": "{security: 14d, other: 30d}",
    "refresh": "{every: 6h}",
    "reboot": "{when: if-required}",
    "inhibit": "{sessions: defer}",
    "restart_services": "{mode: restart}",
    "health": "{units: [nginx]}",
    "hooks": "{timeout: 5m}",
    "concurrency": "{group: web, slots: 1}",
    "rollout": "{name: monthly, ring: first}",
    "sources": '{only: ["o=Debian"]}',
    "match": "{name: web-01}",
    "not": "{name: web-01}",
    "labels": "{env: production}",
    "versions": '{nginx: "1.22.1-9"}',
    "scripts": '{apt-update.sh: "sha256:..."}',
    "policy": '{remote: "ssh://git@git.example.org/policy.git"}',
    "reports": '{remote: "ssh://git@git.example.org/reports.git"}',
    "notifiers": "{ops: {file: /etc/patchledger/ops.url}}",
}
"""How a mapping of some key is written."""

_ENTRIES: Mapping[str, str] = {
    "notify": "- {to: ops, on: [failed]}",
    "windows": '- {start: "Sun 02:00", duration: 3h}',
    "rings": "- {name: first}",
}
_MISSING: Mapping[str, str] = {
    "expires": "write the day on which it ends: `expires: 2027-03-31`",
    "reason": "say why, for whoever meets it: `reason: TEXT`",
    "from": "write when it begins: `from: 2026-12-20`",
    "until": "write when it ends: `until: 2027-01-04`",
    "timezone": "write the zone that its times are in: `timezone: Europe/Berlin`",
    "duration": "write how long it is open: `duration: 3h`",
    "at": 'write the time of day at which it opens: `at: "22:00"`',
    "on": "name the events: `on: [failed, recovered]`",
    "to": "name a notifier of the host: `to: ops`",
    "name": "give it a name of its own: `name: NAME`",
    "packages": "name the packages: `packages: [nginx]`",
    "action": "say what to do: `action: hold`",
    "host": "give an id, such as web-01",
    "policy": "write `policy: {remote: ADDRESS}`",
    "remote": "give the address of the repository",
}
_OTHER_WORDS: Mapping[str, Sequence[str]] = {
    "start": ("from",),
    "begin": ("from", "start"),
    "end": ("until", "duration", "expires"),
    "to": ("until",),
    "group": ("labels",),
    "groups": ("labels",),
    "tags": ("labels",),
    "host": ("name",),
    "hosts": ("name",),
    "hostname": ("name",),
    "package": ("packages",),
    "time": ("at", "start"),
    "date": ("from", "expires"),
    "valid_until": ("expires",),
    "window": ("schedule",),
    "require": ("requires",),
    "address": ("file",),
    "url": ("file", "remote"),
    "address_file": ("file",),
}
_OTHER_VALUES: Mapping[str, str] = {
    "yum": "dnf",
    "dnf5": "dnf",
    "apt-get": "apt",
    "aptitude": "apt",
    "install": "apply",
    "auto": "apply",
    "upgrade": "apply",
    "pin": "hold",
    "exclude": "hold",
    "*": "every-run",
}
NO_COMMAND = "policy names no command: a hook is a script in the host's own folder of hooks"
KUBERNETES = (
    "has the form of Kubernetes",
    "`kind`, `name` and settings stand at the top, without apiVersion, metadata and spec",
)


def of_missing(key: str) -> str:
    """Return what to write for a key that is required."""
    return _MISSING.get(key, "")


def of_value(word: str, choices: Sequence[str]) -> str:
    """Return which of the words somebody probably meant."""
    other = _OTHER_VALUES.get(word.casefold(), "")
    return f"did you mean {other}?" if other in choices else nearest(word, choices)


def of_key(word: str, known: Sequence[str]) -> str:
    """Return which of the keys somebody probably meant."""
    other = next((key for key in _OTHER_WORDS.get(word.casefold(), ()) if key in known), "")
    return f"did you mean {other}?" if other else nearest(word, known)


def of_mapping(key: str, value: object, known: Iterable[str]) -> str:
    """Return how to write a mapping where something else stands."""
    if key == "hooks" and isinstance(value, str):
        return NO_COMMAND
    example = MAPPINGS.get(key, "")
    if example:
        return f"write {example}"
    keys = sorted(known)
    return f"its keys are {', '.join(keys)}" if keys else "write {KEY: VALUE}"


def of_list(key: str, value: object) -> str:
    """Return how to write a list where something else stands."""
    if key in _ENTRIES:
        return f"write each entry in a line of its own: `{_ENTRIES[key]}`"
    if isinstance(value, str | int | float):
        return f"write [{value}]"
    return "begin each entry with `- `"


def of_text(key: str, written: str) -> str:
    """Return how to write a text where a number or a truth value stands."""
    match key:
        case "requires":
            return f'write ">={written}", with quotes'
        case "versions":
            return f'write ">= {written}", with quotes'
        case "os":
            return f"write the name as well, such as debian-{written}"
        case _:
            return f'write "{written}" with quotes'


def of_pattern(pattern: str, key: str, value: str) -> tuple[str, str] | None:
    """Return message and hint for a text that does not fit a pattern, where the text says what was meant."""
    if pattern == NAME and "://" in value:
        scheme = visible(shortened(value.partition("://")[0]))
        hint = "addresses and passwords stay in the host's own `notifiers`: write the name that one has there"
        return f'"{scheme}://…" is an address, not a name', hint
    if pattern == GLOB and re.search(r"\s", value):
        return _of_spaces(key, value)
    if pattern == DIGEST and re.fullmatch(r"sha256:[0-9a-f]{4,63}…?", value):
        return (
            f"{quoted(value)} is cut short",
            "copy all 64 digits from the report, or take `patchledger approve`",
        )
    if pattern == DIGEST and re.fullmatch(r"[0-9a-fA-F]{64}", value):
        hint = f'write "sha256:" before it, in small letters: "sha256:{value.lower()}"'
        return f'"{value[:12]}…" is not a SHA-256 pin', hint
    return None


def _of_spaces(key: str, value: str) -> tuple[str, str] | None:
    if "," in value:
        return f"{quoted(value)} holds several names in one text", f"write [{value}]"
    if key == "os":
        hint = f"write {'-'.join(value.lower().split())}, as in /etc/os-release"
        return f"{quoted(value)} holds a space", hint
    return None
