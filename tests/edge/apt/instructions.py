"""Transactions as tests write them, and what dpkg's database says of them."""

import re

from reconciler.planning.facts.observation import Change
from reconciler.planning.runs.execution import Instruction
from reconciler.resources import locate
from tests.labs.apt import AptLab

_SCRIPT = locate("scripts/patch/apt-update.sh").read_text()
_LIST = _SCRIPT.partition("ours.conf\" <<'EOF'\n")[2].partition("EOF\n")[0]
OURS = dict(re.findall(r'^(\S+) "(.*)";$', _LIST, re.MULTILINE))
"""What the script sets in every call of apt."""
OTHERWISE = {"true": "false", "false": "true", "0": "30", "1": "2"}


REMOVING = 'APT::Solver "internal";'
"""By this a full upgrade removes for the sake of newer versions, as apt did before it had another solver."""


def against(*names: str) -> str:
    """Return a configuration of apt that wants the opposite of what the script sets."""
    return "\n".join(f'{name} "{OTHERWISE[OURS[name]]}";' for name in names)


def to(*named: str, remove: str = "", without: tuple[str, ...] = ()) -> Instruction:
    """Return the instruction for ``name=version`` or ``name:arch=version``, and the removal of some names."""
    changes = []
    for text in named:
        name, _, version = text.partition("=")
        name, _, arch = name.partition(":")
        changes.append(Change("upgrade", name, arch or "all", "1.0", version))
    changes += [Change("remove", name, "all", "1.0", None) for name in remove.split()]
    return Instruction(tuple(changes), without=without)


def difference(before: dict[str, str], after: dict[str, str]) -> dict[str, str | None]:
    """Return the version of everything that is not as it was; ``None`` where it is gone."""
    return {
        name: after.get(name)
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }


def untouched(lab: AptLab) -> str:
    """Return what no refusal may change: the packages, their marks and their files."""
    state = [lab.admin / "status", lab.root / "var/lib/apt/extended_states"]
    text = "".join(path.read_text() for path in state if path.exists())
    return text + "".join(f"{path} {path.stat().st_mtime_ns}\n" for path in sorted(lab.root.glob("usr/**/*")))
