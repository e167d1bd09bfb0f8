#!/usr/bin/env python3
"""Make an inventory for Ansible of what ``patchledger fleet status --format json`` prints.

Reads that from standard input, and prints an inventory of Ansible's YAML plugin, as JSON. It needs Python 3.9
or newer, and nothing else.

The rules:

1. Ansible takes what stands in a variable for a template, and runs what it says: so a variable has a word of
   a closed list, a number, or text without braces. Headlines and reasons, which hosts write, are left out.
2. Of labels, systems and states groups are made, whose names hold letters, digits and ``_`` alone. A label
   that would have the name of another group has a digest behind it, since a host chooses labels for itself.
3. A name that is no host's, such as a guest's ``HOST/GUEST``, is left out, and told on standard error.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

Group = tuple[str, str]

HOST = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
PLAIN = re.compile(r"[A-Za-z0-9 ._:+@/-]{0,200}")
MEMBER = re.compile(r"group/([A-Za-z_][A-Za-z0-9_]*)=member")
RESERVED = frozenset({"all", "ungrouped"})


def inventory(status: dict[str, Any]) -> dict[str, Any]:
    """Return the inventory of a fleet's status."""
    hosts: dict[str, Any] = {}
    members: dict[Group, dict[str, None]] = {}
    for row in status["rows"]:
        if not HOST.fullmatch(row["target"]):
            sys.stderr.write(f"left out: {row['target']!a}\n")
            continue
        hosts[row["target"]] = variables(row)
        for group in groups(row):
            members.setdefault(group, {})[row["target"]] = None
    names = named(sorted(members))
    children = {names[group]: {"hosts": found} for group, found in sorted(members.items())}
    return {"all": {"hosts": hosts, "children": children}}


def variables(row: dict[str, Any]) -> dict[str, Any]:
    """Return what is worth knowing of a host and cannot be taken for a template."""
    counts = row["counts"] or {}
    found = {
        "patchledger_state": row["state"],
        "patchledger_heard": row["heard"],
        "patchledger_policy_commit": row["policy_commit"],
        "patchledger_os": row["os"],
        "patchledger_manager": row["manager"],
        "patchledger_reboot": row["reboot"],
        "patchledger_pending": counts.get("pending"),
        "patchledger_pending_security": counts.get("pending_security"),
    }
    return {name: value for name, value in found.items() if is_harmless(value)}


def is_harmless(value: object) -> bool:
    """Tell whether Ansible takes a value for itself."""
    return isinstance(value, (bool, int)) or (isinstance(value, str) and PLAIN.fullmatch(value) is not None)


def groups(row: dict[str, Any]) -> Iterator[Group]:
    """Yield what groups a host is in: each as a kind and words."""
    yield "state", row["state"]
    yield "manager", row["manager"] or "unknown"
    yield "os", row["os"] or "unknown"
    if row["reboot"]:
        yield "reboot", "pending"
    for key, value in row["labels"].items():
        yield "label", f"{key}={value}"


def named(found: list[Group]) -> dict[Group, str]:
    """Return a name for each group; labels that would have the name of another one have a digest in it."""
    plain = {group: name_of(*group) for group in found}
    others = {name for (kind, _), name in plain.items() if kind != "label"} | RESERVED
    labels = [name for (kind, _), name in plain.items() if kind == "label"]
    doubtful = others | {name for name in labels if labels.count(name) > 1}
    return {
        (kind, words): f"{name}_{digest(words)}" if kind == "label" and name in doubtful else name
        for (kind, words), name in plain.items()
    }


def name_of(kind: str, words: str) -> str:
    """Return what a group is called if no other one is."""
    member = MEMBER.fullmatch(words) if kind == "label" else None
    return member[1] if member else re.sub(r"[^A-Za-z0-9]+", "_", f"{kind}_{words}")


def digest(words: str) -> str:
    """Return a few letters for a label that no other one has."""
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:12]


if __name__ == "__main__":
    json.dump(inventory(json.load(sys.stdin)), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
