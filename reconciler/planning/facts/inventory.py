"""What is installed as one digest, and what moved on a machine although nothing was run."""

from collections.abc import Iterable
from hashlib import sha256
from json.encoder import encode_basestring as _quoted
from typing import Literal

from reconciler.planning.facts.observation import Action, Installed
from reconciler.planning.facts.package import Identified
from reconciler.planning.text.canonical import as_text
from reconciler.planning.text.layout import since
from reconciler.records import dataclass

OutsideAction = Literal[Action, "hold", "release", "status"]
"""What was done by hand; ``hold``, ``release`` and ``status`` leave the version as it is."""


@dataclass(frozen=True, slots=True)
class OutsideChange(Identified):
    """What became of a package although no run did it.

    Attributes:
        from_version: ``None`` of a new one.
        to_version: ``None`` of one that is gone.
        status: What it is in now, ``installed`` where it is whole; empty of one that is gone.
    """

    action: OutsideAction
    name: str
    arch: str
    from_version: str | None
    to_version: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Previous:
    """The last report before this one.

    Attributes:
        commit: Its id.
        inventory: What it says was installed; empty where it is of a version that did not say it.
        remote: Address of the report repository that it is in, without secrets; empty where it is in the same
            as this one.
    """

    commit: str
    inventory: str
    remote: str = since(3, "", is_left_out=True)


def inventory_of(installed: Iterable[Installed]) -> str:
    """Identify what is installed, whatever is known of it besides and in whatever order.

    Returns:
        ``sha256:`` and the hexadecimal SHA-256 of sorted lines ``["name","arch","version","status",held]``:
        JSON without blanks, UTF-8, a line feed behind each.
    """
    lines = [_line(one) for one in installed]
    try:
        told = "".join(sorted(lines)).encode()
    except UnicodeEncodeError:  # half a character, which no file can hold
        told = "".join(sorted(map(as_text, lines))).encode()
    return "sha256:" + sha256(told).hexdigest()


def _line(one: Installed) -> str:
    """Return a line without an encoder: there are thousands of each machine."""
    name, arch, version, status = map(_quoted, (one.name, one.arch, one.version, one.status))
    return f"[{name},{arch},{version},{status},{'true' if one.held else 'false'}]\n"
