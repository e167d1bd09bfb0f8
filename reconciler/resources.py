"""Find the files that ship beside the code: patch scripts, schemas, example policies and what people read."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_DOC = Path("/usr/share/doc/patchledger")
"""Where a package shows what people read."""


def locate(relative: str) -> Path:
    """Return the path of a shipped file or folder.

    Args:
        relative: Path as in the repository, such as ``scripts/patch/apt-update.sh``, ``schemas`` or
            ``examples/policies/minimal``.

    Returns:
        The copy inside the installed package, or the repository's own file in an editable install.

    Raises:
        FileNotFoundError: Neither exists, so the installation is incomplete.
    """
    for base in (_PACKAGE / "_data", _PACKAGE.parent):
        path = base / relative
        if path.exists():
            return path
    raise FileNotFoundError(f"{relative} is missing from this installation of patchledger")


def page(name: str) -> str:
    """Return the path of a page of the documentation, to be told.

    Whatever names a page to people gets its path here, so that it is one that this machine has.

    Args:
        name: Such as ``reference/windows``.

    Raises:
        FileNotFoundError: The installation is incomplete.
    """
    found = locate(f"docs/{name}.md")
    shown = _DOC / "docs" / f"{name}.md"
    # The same file by a shorter way, unless that is another version's.
    return str(shown if shown.exists() and shown.samefile(found) else found)
