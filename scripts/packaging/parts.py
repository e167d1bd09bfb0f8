"""Put the compiled modules of several Pythons side by side, each with its ABI in its name.

Usage: ``python -m scripts.packaging.parts compiled PINS SITE``  (prints the lines of PINS whose parts,
as they lie in SITE, are for one Python alone)
       ``python -m scripts.packaging.parts merge SITE OTHER``  (takes what OTHER has more)
"""

import re
import shutil
import sys
from pathlib import Path

from packaging.utils import canonicalize_name

_OF_ONE_PYTHON = re.compile(r"^Tag: cp\d+-cp\d+-", re.MULTILINE)


def main() -> None:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["compiled", pins, site]:
            sys.stdout.write(_compiled(Path(pins).read_text(encoding="utf-8"), Path(site)))
        case ["merge", site, other]:
            _merge(Path(site), Path(other))
        case _:
            sys.exit(__doc__)


def _compiled(pins: str, site: Path) -> str:
    names = {
        canonicalize_name(wheel.parent.name.split("-")[0])
        for wheel in site.glob("*.dist-info/WHEEL")
        if _OF_ONE_PYTHON.search(wheel.read_text(encoding="utf-8"))
    }
    parts = re.split(r"^(?=\w)", pins, flags=re.MULTILINE)
    return "".join(part for part in parts if canonicalize_name(part.split("==")[0]) in names)


def _merge(site: Path, other: Path) -> None:
    """Take the compiled modules of ``other``; all else must be the same, or be about the wheel alone."""
    for path in sorted(other.rglob("*")):
        name = path.relative_to(other)
        if path.is_dir() or name.parts[0].endswith(".dist-info"):
            continue
        if path.suffix == ".so" and ".cpython-" in path.name:
            shutil.copy2(path, site / name)
        elif path.read_bytes() != (site / name).read_bytes():
            sys.exit(f"{name} is not the same for each Python: {other}")


if __name__ == "__main__":
    main()
