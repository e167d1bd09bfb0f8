"""What to do about a damaged local repository: find out, move it aside, build anew.

A damaged repository is evidence and may hold the only copy of a report, so it is never repaired in place. Nor
is git's text trusted to say that a repository is damaged: ``git fsck`` says so.
"""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.gitops.failures import Damaged, Suspect, explain
from reconciler.gitops.git import Git
from reconciler.gitops.refs import list_refs
from reconciler.process import Completed

if TYPE_CHECKING:
    from pathlib import Path

_LOOSE_SAMPLE = 27  # objects in one of 256 folders: about 6,700 in all, git's own limit for housekeeping
_MANY_PACKS = 50
_LEFT_OVERS = ("fast_import_crash_*", "objects/pack/tmp_*", "objects/??/tmp_obj_*")


def create_bare(git_dir: "Path", git: Git) -> None:
    """Make an empty bare repository at ``git_dir``, whole or not at all.

    Raises:
        Stalled: The file system refuses.
    """
    building = git_dir.with_name(git_dir.name + ".new")
    remove_tree(building)
    try:
        building.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Stalled(f"cannot create {building.parent}: {error.strerror}", "run as its owner") from error
    made = Git(building, git.options).run(
        "init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(building)
    )
    if made.returncode:
        remove_tree(building)
        raise explain(made, f"cannot create {git_dir}")
    try:
        building.rename(git_dir)
    except OSError as error:
        remove_tree(building)
        raise Stalled(f"cannot create {git_dir}: {error.strerror}", "remove what is in its place") from error


def is_sound(git: Git) -> bool:
    """Tell whether every object and ref can be read; slow, so asked only after a failure."""
    return soundness(git) is True


def soundness(git: Git) -> bool | None:
    """Tell whether every object and ref can be read; None where git was killed or ran out of time."""
    checked = _looked_through(git)
    return None if checked.timed_out or checked.returncode < 0 else not checked.returncode


def _looked_through(git: Git) -> Completed:
    return git.run("fsck", "--full", "--no-dangling", "--no-progress", "--no-reflogs")


def judge(git: Git, completed: Completed, doing: str) -> ReconcilerError:
    """Return what the failure of a local git command means, after a look at the repository where in doubt.

    Returns:
        :class:`Damaged` where the repository is unsound, else what :func:`explain` says.
    """
    problem = explain(completed, doing)
    if isinstance(problem, Suspect) and not is_sound(git):
        return Damaged(f"{problem.message}; {git.git_dir} is damaged", problem.hint)
    return problem


def move_aside(git_dir: "Path", *, keep: int | None) -> "Path":
    """Rename a damaged repository to ``NAME.broken-N`` and return its new path.

    Args:
        git_dir: The repository; it may be missing.
        keep: How many moved ones to keep, the newest; None keeps all.

    Raises:
        Stalled: The file system refuses.
    """
    stem = f"{git_dir.name}.broken-"
    present = sorted(
        (int(path.name[len(stem) :]), path)
        for path in git_dir.parent.glob(f"{stem}*")
        if path.name[len(stem) :].isdigit()
    )
    aside = git_dir.with_name(f"{stem}{present[-1][0] + 1 if present else 1}")
    try:
        if git_dir.exists():
            git_dir.rename(aside)
    except OSError as error:
        raise Stalled(f"cannot move {git_dir} aside: {error.strerror}", "run as its owner") from error
    if keep is not None:
        for _, path in present[: len(present) + 1 - keep]:
            remove_tree(path)
    return aside


def salvage(git: Git, broken: "Path", commit: str) -> bool:
    """Copy ``commit`` and all it needs from a damaged repository; return whether it is whole now.

    Only the objects folder of the damaged one is used, and of that only what no ref of ``git`` has already.

    Args:
        git: A sound repository.
        broken: The damaged one.
        commit: A commit of it.
    """
    known = "".join(f"^{oid}\n" for oid in set(list_refs(git.git_dir, "refs/").values()))
    folder = str(broken / "objects").replace("\\", "\\\\").replace('"', '\\"')
    git.run(
        *("pack-objects", "--quiet", "--revs", "--non-empty", str(git.git_dir / "objects/pack/pack")),
        stdin=f"{commit}\n{known}".encode(),
        environment={"GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{folder}"'},
    )
    return not git.run("rev-list", "--objects", "--quiet", commit).returncode


def remove_tree(folder: "Path") -> None:
    """Delete a folder and all in it without following links; nothing happens where there is none."""
    # shutil.rmtree does this too, but costs a quiet tick several milliseconds of import.
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(f"{parent}/{name}")
        for name in folders:
            path = f"{parent}/{name}"
            if os.path.islink(path):
                os.unlink(path)
            else:
                os.rmdir(path)
    if folder.is_dir():
        folder.rmdir()


def unlock(git_dir: "Path") -> bool:
    """Delete the lock files that killed gits left behind; return whether there was one.

    A run holds the state folder, so nobody else starts a git there: a lock is stale as soon as no git lives
    that works on the repository. One may, though, since it outlives a run that was killed.

    Raises:
        Transient: There is a lock and such a git, whose process is named.
    """
    locks = list(git_dir.rglob("*.lock"))
    if not locks:
        return False
    pid = at_work(git_dir)
    if pid is not None:
        raise Transient(
            f"{git_dir} is locked, and git is at work there (process {pid})",
            "nothing to do: it is tried again; end that process if it lasts",
        )
    for lock in locks:
        with suppress(OSError):  # What cannot be removed is told by the git that needs it.
            lock.unlink()
    return True


def at_work(git_dir: "Path") -> str | None:
    """Return the id of a process that works on a repository; None where there is none.

    Ours are known by their environment, which names it; a person's git by its folder or arguments (proc(5)).
    """
    named = b"\0GIT_DIR=%s\0" % os.fsencode(git_dir)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if pid != str(os.getpid()):
            with suppress(OSError):  # it ended, or belongs to somebody who may not write here
                if named in b"\0" + _of_process(pid, "environ") or _is_persons(pid, os.fsencode(git_dir)):
                    return pid
    return None


def _is_persons(pid: str, folder: bytes) -> bool:
    if not _of_process(pid, "comm").startswith(b"git"):
        return False
    place = os.fsencode(os.readlink(f"/proc/{pid}/cwd"))
    return f"{os.fsdecode(place)}/".startswith(f"{os.fsdecode(folder)}/") or folder in _of_process(
        pid, "cmdline"
    )


def _of_process(pid: str, what: str) -> bytes:
    with open(f"/proc/{pid}/{what}", "rb") as file:
        return file.read()


def sweep(git_dir: "Path") -> None:
    """Delete what gits that failed or were killed left of objects: it would fill a full disk further."""
    with suppress(OSError):
        left = [path for pattern in _LEFT_OVERS for path in git_dir.glob(pattern)]
        if left and at_work(git_dir) is None:
            for path in left:
                path.unlink()


def keep_small(git: Git) -> None:
    """Tidy a repository up, and pack it where it holds very many objects, as ``git gc --auto`` would.

    Called where objects may have been added, by whomever, since automatic housekeeping is off. Folders are
    listed; git is started only where there is much.

    Raises:
        Transient: A git is at work there, or it takes too long.
        Stalled: The file system refuses.
        Damaged: An object cannot be read.
    """
    sweep(git.git_dir)
    objects = git.git_dir / "objects"
    if _count(objects / "17") <= _LOOSE_SAMPLE and _count(objects / "pack") <= 2 * _MANY_PACKS:
        return
    unlock(git.git_dir)
    # Forced, since what a killed one left says that it is still at work.
    packed = git.run("gc", "--quiet", "--force", timeout=600)
    if packed.timed_out:
        raise Transient(f"packing {git.git_dir} took too long", "run git gc in it once by hand")
    if packed.returncode:
        raise judge(git, packed, f"cannot pack {git.git_dir}")


def _count(folder: "Path") -> int:
    try:
        return len(os.listdir(folder))
    except FileNotFoundError:
        return 0
