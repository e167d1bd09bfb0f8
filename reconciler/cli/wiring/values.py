"""The values that this host knows, for the shells that complete them: a line each, and never a mistake.

The shells take a list of words for text of theirs: bash and zsh carry out what stands in it. Names of
packages are what a repository wrote, so a value with any character that could mean something there is not
told.

Whoever types waits for it, so next to nothing is imported, and only what lies on this host is looked at.
"""

import os
import sys

from reconciler.cli.wiring.quiet import state_dir
from reconciler.host import DEFAULT_CONFIG
from reconciler.ownership import read_own

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import costs as much as all the rest
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COMMAND = "__values"
"""What the completions call, with the kind of values: no verb of a person's."""

_LOGS = "/var/log/patchledger"
_NEWEST = 100
_PLAIN = str.maketrans("", "", "+-.:@_")
"""Takes out of a value what means nothing to any shell, beside letters and digits."""


def tell(arguments: "Sequence[str]") -> int:
    """Print the values of a kind: ``packages``, ``notifiers`` or ``runs``; nothing where none is known.

    Args:
        arguments: The kind; and a configuration file instead of the usual one.
    """
    kind, path, *_ = (*arguments, "", "")
    try:
        config = read_own(path or DEFAULT_CONFIG) or b""
        found = sorted(_KINDS[kind](config)) if kind in _KINDS else []
    except Exception:  # noqa: BLE001 - nobody who types is helped by why there is no list
        return 0
    sys.stdout.writelines(f"{one}\n" for one in found if _is_plain(one))
    return 0


def _is_plain(value: str) -> bool:
    """Say whether no shell takes a value for anything else, nor this program for an option."""
    return value.translate(_PLAIN).isalnum() and not value.startswith("-")


def _packages(config: bytes) -> "Iterable[str]":
    """Yield the packages of the last report that have an update."""
    import json

    told = json.loads(read_own(os.path.join(state_dir(config), "report.json")) or b"")
    return {str(update["name"]) for update in told["plan"]["updates"]}


def _notifiers(config: bytes) -> "Iterable[str]":
    return map(str, _parsed(config)["notifiers"])


def _runs(config: bytes) -> "Iterable[str]":
    folder = str(_parsed(config).get("log_dir", _LOGS)) if b"log_dir" in config else _LOGS
    names = sorted(name.removesuffix(".json") for name in os.listdir(folder) if name.endswith(".json"))
    return ["last", *names[-_NEWEST:]]


def _parsed(config: bytes) -> "dict[str, Iterable[str]]":
    from yaml import CSafeLoader, load

    found: dict[str, Iterable[str]] = load(config, CSafeLoader)
    return found


_KINDS = {"packages": _packages, "notifiers": _notifiers, "runs": _runs}
