"""Say which third-party parts the packages have, and by what content each is known.

Usage: ``python -m scripts.packaging.pins list NAME ...``  (in an environment that has them: what NAMEs need)
       ``python -m scripts.packaging.pins write LIST FOLDER``  (with the wheels of FOLDER, as pip reads it)
"""

import hashlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_OURS = "patchledger"
_LEFT_OUT = {"click"}
"""Needed for a command of a part that nobody starts here (apprise's), and imported by nothing else."""


def main() -> None:
    """Print what is asked for."""
    match sys.argv[1:]:
        case ["list", *names]:
            lines = sorted(_needed(names))
        case ["write", listed, folder]:
            lines = list(_pinned(Path(listed).read_text(encoding="utf-8").split(), Path(folder)))
        case _:
            sys.exit(__doc__)
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _needed(names: list[str]) -> Iterator[str]:
    """Yield name and version of all that is needed with any of the Pythons."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen or name in _LEFT_OUT:
            continue
        seen.add(name)
        found = importlib.metadata.distribution(name)
        if name != _OURS:
            yield f"{name}=={found.version}"
        waiting += [one.name for one in map(Requirement, found.requires or ()) if _counts(one)]


def _counts(needed: Requirement) -> bool:
    """Say whether it is needed without any extra, with one of the Pythons."""
    surroundings = (
        {"extra": "", "python_version": one, "python_full_version": f"{one}.2"} for one in _PYTHONS
    )
    return needed.marker is None or any(map(needed.marker.evaluate, surroundings))


def _pinned(parts: list[str], folder: Path) -> Iterator[str]:
    """Yield lines of a requirements file: each part with the hashes of all its wheels there."""
    wheels: dict[str, list[str]] = {}
    for path in folder.glob("*.whl"):
        stem, release, _, _ = parse_wheel_filename(path.name)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        wheels.setdefault(f"{stem}=={release}", []).append(digest)
    for part in parts:
        name, _, version = part.partition("==")
        hashes = sorted(set(wheels[f"{canonicalize_name(name)}=={Version(version)}"]))
        yield " \\\n    ".join((part, *(f"--hash=sha256:{one}" for one in hashes)))


if __name__ == "__main__":
    main()
