"""A second copy of the reports that nobody else has, beside the queue, for as long as nobody else has them.

Packs of git, which say of themselves whether they are whole, in a folder of their own. They hold the commits
that the remote lacks and all that these name, down to the last one that it has, so that not even a file
is missing while the remote is away. What is new is added as another pack; of many one is made again. The
copy is no repository: nobody works in it, and a damaged or missing one is written anew.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.durable import replace_file, sync_folder
from reconciler.errors import ReconcilerError
from reconciler.gitops import damage, salvage
from reconciler.gitops.failures import explain
from reconciler.gitops.git import Git
from reconciler.gitops.refs import is_oid

if TYPE_CHECKING:
    from pathlib import Path

_HEADS = "heads"
_END = "^"
"""Begins a line of that file which names a commit that the remote had, where the copy ends."""
_MOST_PACKS = 12


def folder_of(queue: "Path") -> "Path":
    """Return where the copy of a queue lies, such as ``reports.unpushed``."""
    return queue.with_suffix(".unpushed")


def keep(git: Git, heads: Iterable[str], pushed: Iterable[str], *, is_intact: bool) -> None:
    """Bring the copy up to date; where all was pushed, delete it.

    A copy that is begun anew replaces the old one only when it is whole.

    Args:
        git: The queue.
        heads: Ids of the commits that the remote lacks; what is below them and it lacks is kept, too.
        pushed: Ids of commits that the remote has.
        is_intact: The present copy is as it was written; else it is made anew.

    Raises:
        ReconcilerError: The queue cannot be read, or the disk is full; the copy is as before.
        OSError: The file system refuses.
    """
    folder, wanted, base = _found(git.git_dir), set(heads), set(pushed)
    building = _building(folder)
    copied = _copied(folder, base) if is_intact else set()
    if not wanted:
        damage.remove_tree(folder)
    elif not wanted <= copied and not _has_grown(git, folder, wanted, copied, base):
        damage.remove_tree(building)
        building.mkdir(mode=0o700)
        _write(git, building, wanted, base, [f"--shallow {oid}" for oid in sorted(base)])
        damage.remove_tree(folder)
        building.rename(folder)
        sync_folder(folder.parent)


def take_back(git: Git, queue: "Path") -> bool:
    """Put what the copy of ``queue`` holds into the repository ``git``; return whether there was one.

    Raises:
        Stalled: The disk is full.
    """
    packs = sorted(_found(queue).glob("*.pack"))
    for path in packs:
        with suppress(OSError):
            salvage.copy_pack(path.read_bytes(), git)
    return bool(packs)


def _found(queue: "Path") -> "Path":
    """Return the folder of the copy, after ending what a tick began that was killed between two copies."""
    folder = folder_of(queue)
    if _building(folder).is_dir() and not folder.exists():
        with suppress(OSError):
            _building(folder).rename(folder)
    return folder


def _building(folder: "Path") -> "Path":
    return folder.with_name(folder.name + ".new")


def _copied(folder: "Path", base: set[str]) -> set[str]:
    """Return the heads of which the copy holds everything down to ``base``; none where it ends elsewhere.

    A remote may have lost what it had: then the copy must reach further down.
    """
    try:
        words = (folder / _HEADS).read_text("utf-8", "replace").split()
    except OSError:
        return set()
    ends = {word[1:] for word in words if word.startswith(_END)}
    return {word for word in words if is_oid(word)} if ends == base else set()


def _has_grown(git: Git, folder: "Path", wanted: set[str], copied: set[str], base: set[str]) -> bool:
    """Add a pack of what is new; return False where the copy is to be made anew."""
    if not copied or len(list(folder.glob("*.pack"))) >= _MOST_PACKS:
        return False
    with suppress(ReconcilerError):  # a queue that was built anew may not know what was copied from another
        _write(git, folder, wanted, base, [f"^{oid}" for oid in sorted(copied)])
        return True
    return False


def _write(git: Git, folder: "Path", wanted: set[str], base: set[str], ends: Iterable[str]) -> None:
    """Write one pack of all commits down to ``ends``, and then what the copy holds now, and its ``base``.

    ``--shallow ID`` lets the history begin with that commit, which is packed whole: a pack needs nothing that
    the remote alone has. So does ``git upload-pack`` ask for what it sends to a shallow clone.
    """
    done = git.run(
        *("pack-objects", "--quiet", "--revs", "--non-empty", str(folder / "pack")),
        stdin="".join(f"{line}\n" for line in (*ends, *sorted(wanted))).encode(),
        settings={"core.commitGraph": "false"},  # a graph would tell what lies before such a beginning
    )
    if done.returncode:
        damage.sweep(git.git_dir)
        raise explain(done, f"cannot copy the unpushed reports of {git.git_dir}")
    lines = [*sorted(wanted), *(_END + oid for oid in sorted(base))]
    replace_file(folder / _HEADS, "".join(f"{line}\n" for line in lines).encode())
