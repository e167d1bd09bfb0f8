"""Which repository a folder lies in, by its files: no process, and without GitPython, which starts two.

The rules are those of git (gitrepository-layout(5)); variables such as ``GIT_DIR`` do not count, since the
folder is what was asked for.
"""

from pathlib import Path

from reconciler.errors import Misuse
from reconciler.records import dataclass

_POINTER = b"gitdir: "
_LONGEST = 8192
"""Of a file that says where a repository is."""


@dataclass(frozen=True, slots=True)
class WorkingCopy:
    """A folder inside a repository somebody works on.

    Attributes:
        git_dir: Where the objects are, for :func:`reconciler.gitops.revision.read_revision`.
        folder: Path of the folder from the top of the repository, empty for the top.
    """

    git_dir: Path
    folder: str


def locate(folder: Path) -> WorkingCopy:
    """Return the repository that ``folder`` lies in; it may be bare itself.

    Raises:
        Misuse: It lies in none.
    """
    try:
        start = folder.resolve(strict=True)
        if _is_repository(start):
            return WorkingCopy(start, "")
        for top in (start, *start.parents) if start.is_dir() else ():
            git_dir = _git_dir(top / ".git")
            if git_dir is not None:
                inside = start.relative_to(top)
                return WorkingCopy(git_dir, "" if inside == Path() else inside.as_posix())
    except OSError as error:
        raise Misuse(f"cannot look at {error.filename or folder}: {error.strerror}", _HINT) from error
    raise Misuse(f"{folder} is in no git repository", _HINT)


_HINT = "run git init there, or give another folder"


def _git_dir(path: Path) -> Path | None:
    """Return the repository that a ``.git`` is, or, of a work tree beside others or a submodule, names."""
    if path.is_file():
        with path.open("rb") as file:
            text = file.read(_LONGEST)
        if not text.startswith(_POINTER):
            return None
        path = (
            path.parent / text.removeprefix(_POINTER).decode("utf-8", "surrogateescape").strip()
        ).resolve()
    return path if _is_repository(path) else None


def _is_repository(path: Path) -> bool:
    """Tell it by what git asks for: a head, and objects and refs of its own or of the repository it is of."""
    is_linked = (path / "commondir").is_file()
    return (path / "HEAD").is_file() and (
        is_linked or all((path / one).is_dir() for one in ("objects", "refs"))
    )
