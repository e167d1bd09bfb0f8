"""The product's own packages, built once for a test run, and made into other versions of themselves.

built = build(folder)                   # half a minute, or nothing where another worker has done it
newer = other_version(built.deb, "0.1.0-2", folder)
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = "usr/lib/patchledger"
_NEVER_IMPORTED = "raise SystemError('this is a file of the new version')\n"


@dataclass(frozen=True, slots=True)
class Built:
    """Both packages; ``version`` is Debian's, as ``0.1.0-1``."""

    deb: Path
    rpm: Path

    @property
    def version(self) -> str:
        return self.deb.name.split("_")[1]


def build(folder: Path) -> Built:
    """Build both packages below ``folder``, which all workers of a test run share."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            run_build(folder / "packages")
            (folder / "done").touch()
    (deb,), (rpm,) = (list((folder / "packages").glob(f"*.{kind}")) for kind in ("deb", "rpm"))
    return Built(deb, rpm)


def run_build(output: Path, *arguments: str) -> None:
    """Run ``scripts/package`` as a person would."""
    environment = {name: os.environ[name] for name in os.environ if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(
        [ROOT / "scripts/package", "--output", output, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def other_version(
    deb: Path, version: str, folder: Path, change: Callable[[Path], None] | None = None
) -> Path:
    """Return the package with another version, after ``change`` to its unpacked files."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    old = deb.name.split("_")[1]
    for name in ("DEBIAN/control", "DEBIAN/postinst"):
        path = tree / name
        path.write_text(path.read_text(encoding="utf-8").replace(old, version), encoding="utf-8")
    if change is not None:
        change(tree)
    made = folder / deb.name.replace(old, version)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, made],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(tree)
    return made


def spoil(tree: Path) -> None:
    """Make every module one that no process of another version can import."""
    for compiled in (tree / HOME).rglob("*.pyc"):
        compiled.unlink()
    for module in (tree / HOME).rglob("*.py"):
        module.write_text(_NEVER_IMPORTED, encoding="utf-8")
