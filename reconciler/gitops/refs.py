"""Refs of our own bare repositories, read and written as files, so that a quiet tick needs no second child.

Git's ``files`` backend (gitrepository-layout(5)): a ref is a loose file that holds an object id, or else a
line of ``packed-refs``. Writing follows git's own protocol: create ``REF.lock`` exclusively, write, sync,
rename.
"""

import os
from typing import TYPE_CHECKING

from reconciler.durable import sync_folder
from reconciler.errors import Stalled, Transient
from reconciler.gitops.failures import Damaged

if TYPE_CHECKING:
    from pathlib import Path

_OID_LENGTHS = (40, 64)  # SHA-1 and SHA-256 in hexadecimal
_FORBIDDEN = frozenset(" ~^:?*[\\\x7f") | frozenset(map(chr, range(32)))


def target_of(branch: str) -> str:
    """Return the target of a report branch, as reports name it: a guest with its host, ``HOST/GUEST``.

    A guest may be called like a host.
    """
    return branch.partition("/")[2]


def is_oid(text: str) -> bool:
    """Tell whether ``text`` is a full object id in lower-case hexadecimal."""
    return len(text) in _OID_LENGTHS and not text.strip("0123456789abcdef")


def is_ref_safe(name: str) -> bool:
    """Tell whether ``name`` may be a ref or a part of one (the rules of git-check-ref-format(1))."""
    parts = name.split("/")
    return (
        not _FORBIDDEN.intersection(name)
        and ".." not in name
        and "@{" not in name
        and name != "@"
        and not name.endswith(".")
        and not name.startswith("-")
        and all(part and not part.startswith(".") and not part.endswith(".lock") for part in parts)
    )


def read_ref(git_dir: "Path", name: str) -> str | None:
    """Return the object id that ``name`` points to, or None where there is no such ref.

    Args:
        git_dir: A bare repository.
        name: Full name, such as ``refs/heads/main``; symbolic refs are not followed.

    Raises:
        Damaged: The ref holds something else.
        Stalled: It may not be read.
    """
    loose = _read(git_dir / name)
    if loose is not None:
        return _checked(loose.strip(), git_dir, name)
    return _packed(git_dir).get(name)


def list_refs(git_dir: "Path", prefix: str) -> dict[str, str]:
    """Return every ref below ``prefix`` with its object id, sorted by name.

    Args:
        git_dir: A bare repository.
        prefix: Such as ``refs/heads/``.

    Raises:
        Damaged: One of them holds something else.
        Stalled: One may not be read.
    """
    found = {name: oid for name, oid in _packed(git_dir).items() if name.startswith(prefix)}
    for folder, _, files in os.walk(git_dir / prefix.rstrip("/")):
        for file in files:
            name = f"{folder}/{file}"[len(f"{git_dir}/") :]
            if not file.endswith(".lock"):
                found[name] = _checked((_read(git_dir / name) or "").strip(), git_dir, name)
    return dict(sorted(found.items()))


def write_ref(git_dir: "Path", name: str, oid: str, *, alone: bool = False) -> None:
    """Make ``name`` point to ``oid``, atomically and safe from a power cut.

    Args:
        git_dir: A bare repository.
        name: Full name, such as ``refs/heads/main``.
        oid: An object that exists.
        alone: As of :func:`write_file`.

    Raises:
        Transient: Another process is writing the same ref.
        Stalled: The file system refuses; the ref is as before.
    """
    write_file(git_dir / name, oid + "\n", alone=alone)


def write_file(path: "Path", text: str, *, alone: bool = False) -> None:
    """Replace a small file of a repository by git's lock-file protocol.

    Args:
        path: The file.
        text: Its new content.
        alone: Nobody else writes it, neither git nor another run: a lock that is there was left by a run that
            was killed, and is taken over at once.

    Raises:
        Transient: Another process is writing it.
        Stalled: The file system refuses; the file is as before.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if alone:
            lock.unlink(missing_ok=True)
        descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise Transient(f"{path} is locked by another process", f"wait, or remove {lock}") from None
    except OSError as error:
        raise _refused(path, error) from error
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        lock.replace(path)
    except OSError as error:
        lock.unlink(missing_ok=True)
        raise _refused(path, error) from error
    sync_folder(path.parent)


def read_file(path: "Path") -> str:
    """Return the text of a small file of a repository, empty where it does not exist.

    Raises:
        Stalled: It may not be read.
    """
    return _read(path) or ""


def _read(path: "Path") -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise Stalled(f"cannot read {path}: {error.strerror}", "run as the owner of that folder") from error


def _packed(git_dir: "Path") -> dict[str, str]:
    refs = {}
    for line in (_read(git_dir / "packed-refs") or "").split("\n"):
        if line and line[0] not in "#^":
            oid, _, name = line.partition(" ")
            refs[name] = _checked(oid, git_dir, "packed-refs")
    return refs


def _checked(oid: str, git_dir: "Path", name: str) -> str:
    if not is_oid(oid):
        raise Damaged(f"{name} of {git_dir} holds no object id")
    return oid


def _refused(path: "Path", error: OSError) -> Stalled:
    return Stalled(
        f"cannot write {path}: {error.strerror}", "free space on that file system, or run as its owner"
    )
