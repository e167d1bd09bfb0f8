"""Transactions as tests write them, and what dpkg's database says of them."""

from reconciler.planning.facts.observation import Change
from reconciler.planning.runs.execution import Instruction
from tests.labs.apt import AptLab


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
