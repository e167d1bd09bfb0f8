"""Find the files that ship beside the code: patch scripts, schemas and example policies."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


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
