"""The product's own packages, released once for a test run, and made into other versions of themselves.

built = build(folder)                   # a minute, or nothing where another worker has done it
newer = other_version(built.deb, "0.1.0-2", folder)
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconciler import __version__

ROOT = Path(__file__).parents[2]
TAG = f"v{__version__}"
HOME = "usr/lib/patchledger"
_NEVER_IMPORTED = "raise SystemError('this is a file of the new version')\n"


@dataclass(frozen=True, slots=True)
class Built:
    """A release; ``version`` is Debian's, as ``0.1.0-1``.

    Attributes:
        deb: A package.
        rpm: The other one.
        tree: The repository with the tag that it was made from.
    """

    deb: Path
    rpm: Path
    tree: Path

    @property
    def folder(self) -> Path:
        return self.deb.parent

    @property
    def version(self) -> str:
        return self.deb.name.split("_")[1]


def build(folder: Path) -> Built:
    """Release what this working tree has below ``folder``, which all workers of a test run share."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            tag_throw_away(folder / "tree")
            run_script(folder / "tree/scripts/release", TAG, "--output", folder / "packages")
            (folder / "done").touch()
    (deb,), (rpm,) = (list((folder / "packages").glob(f"*.{kind}")) for kind in ("deb", "rpm"))
    return Built(deb, rpm, folder / "tree")


def tag_throw_away(tree: Path) -> None:
    """Make a clone in which this working tree, with a section in its list of changes, is tagged."""
    _git(ROOT, "clone", "--quiet", "--no-hardlinks", ROOT, tree)
    told = _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, told.split("\0")):
        (tree / name).unlink(missing_ok=True)
        if (ROOT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
    changes = tree / "CHANGELOG.md"
    text = changes.read_text(encoding="utf-8")
    changes.write_text(text.replace("## Unreleased", f"## {__version__} - 2026-11-30", 1), encoding="utf-8")
    _git(tree, "add", "--all")
    _git(
        tree, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "-m", "Release"
    )
    _git(tree, "tag", TAG)


def _git(folder: Path, *arguments: str | Path) -> str:
    return subprocess.run(
        ["git", "-C", folder, *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def run_script(script: Path, *arguments: str | Path, umask: int = 0o022) -> None:
    """Run a script of the repository as a person would."""
    environment = {name: os.environ[name] for name in os.environ if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(
        [script, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        umask=umask,
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
