"""Secrets at rest: encrypted by ``systemd-creds`` for this machine, and read by systemd alone.

The rules:

- A secret travels over standard input and output only: never in an argument list, a variable or a file that
  is not encrypted.
- The key is the host's own (``/var/lib/systemd/credential.secret``), which is bound to the machine's id: a
  file that was copied to another machine, or a machine that was cloned, cannot be decrypted. Nothing is
  sealed to a TPM's measurements, since a firmware update, which may well be one of ours, would change them.
- The name is a part of what is encrypted: a file does not decrypt under another name.
"""

import os
import re
import shutil
import stat
from pathlib import Path

from reconciler import process
from reconciler.durable import replace_file
from reconciler.errors import Misuse, Stalled
from reconciler.ownership import who_else_may_change

FOLDER = Path("/etc/patchledger/credentials")
"""Where encrypted credentials are kept, unless said otherwise."""

STORE = Path("/etc/credstore.encrypted")
"""Where systemd itself looks for them."""

_PROGRAM = "systemd-creds"
_OLDEST = 250  # systemd's first version with encrypted credentials
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LARGEST = 64 * 1024  # bytes of a secret; systemd takes 1 MiB of all
_PATIENCE = 60.0  # seconds


def default_path(name: str, folder: Path = FOLDER) -> Path:
    """Return where the credential ``name`` is kept.

    Raises:
        Misuse: That is no name of a credential.
    """
    return folder / f"{_checked(name)}.cred"


def folder_beside(config: Path) -> Path:
    """Return where encrypted credentials are kept for a host with this configuration file."""
    return config.absolute().parent / FOLDER.name


def places(name: str, folder: Path = FOLDER) -> tuple[Path, ...]:
    """Return where the credential ``name`` may be, ours first.

    Raises:
        Misuse: That is no name of a credential.
    """
    return default_path(name, folder), STORE / name, STORE / f"{name}.cred"


def is_available(environment: dict[str, str] | None = None) -> str:
    """Return why secrets cannot be encrypted here, in words for a person; empty where they can.

    Args:
        environment: Added to what :func:`reconciler.process.run` gives a child.
    """
    path = {"PATH": process.BASE_PATH, **(environment or {})}["PATH"]
    if shutil.which(_PROGRAM, path=path) is None:
        return f"there is no {_PROGRAM}: encrypted credentials need systemd {_OLDEST} or newer"
    said = process.run([_PROGRAM, "--version"], env=environment, timeout=_PATIENCE).text
    number = re.match(r"systemd (\d+)", said)
    if number is None or int(number[1]) < _OLDEST:
        found = number[1] if number else "an unknown one"
        return f"encrypted credentials need systemd {_OLDEST} or newer, this is {found}"
    if os.geteuid() != 0:
        return "only root can use this machine's key"
    return ""


def encrypt(name: str, secret: bytes, path: Path) -> None:
    """Encrypt ``secret`` as the credential ``name`` into the file ``path``, for root alone (0600).

    The file is replaced whole or not at all. Its folder is made, for root alone, where there is none.

    Raises:
        Misuse: The name is none, the secret is empty or too long, or the file cannot be written safely.
        Stalled: systemd-creds is missing, or refuses.
    """
    _checked(name)
    if not secret or len(secret) > _LARGEST:
        raise Misuse(f"credential {name}: its secret is {'empty' if not secret else 'too long'}")
    done = process.run(
        [_PROGRAM, "encrypt", "--with-key=host", f"--name={name}", "-", "-"],
        stdin=secret,
        timeout=_PATIENCE,
    )
    if done.returncode or done.timed_out or not done.stdout:
        raise Stalled(f"credential {name} cannot be encrypted: {_told(done)}", "run it as root")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        others = who_else_may_change(str(path.parent))
        if others:
            raise Misuse(f"credential {name}: {others}", "keep it in a folder that only root may change")
        replace_file(path, done.stdout)
    except OSError as error:
        raise Misuse(f"credential {name}: {path}: {error.strerror}", "run as root") from error


def why_not_decrypted(name: str, path: Path) -> str:
    """Return why the credential ``name`` does not decrypt from ``path``; empty where it does.

    Neither the answer nor anything else shows what is in it.
    """
    try:
        decrypt(name, path)
    except (Misuse, Stalled) as error:
        return error.message
    return ""


def decrypt(name: str, path: Path) -> bytes:
    """Return the secret of the credential ``name`` in ``path``.

    Raises:
        Misuse: The file is missing or cannot be trusted, or that is no name of a credential.
        Stalled: It cannot be decrypted here.
    """
    _checked(name)
    try:
        found = path.lstat()
        others = who_else_may_change(str(path))
    except OSError as error:
        raise Misuse(f"{path}: {error.strerror}", "encrypt it again, or correct the path") from error
    if not stat.S_ISREG(found.st_mode):
        raise Misuse(f"{path} is no regular file", "encrypt it again")
    if others:
        raise Misuse(others, "encrypt it again into a folder that only root may change")
    done = process.run([_PROGRAM, "decrypt", f"--name={name}", str(path), "-"], timeout=_PATIENCE)
    if done.returncode or done.timed_out:
        raise Stalled(
            f"{path} does not decrypt: {_told(done)}",
            "a credential is bound to its name and to this machine's id: encrypt it again here",
        )
    return done.stdout


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise Misuse(f"{name!r} is no name of a credential", "use letters, digits, . _ -")
    return name


def _told(done: process.Completed) -> str:
    """Return systemd-creds' last complaint; it never quotes a secret, and says one thing that is no fault."""
    if done.timed_out:
        return f"{_PROGRAM} did not end"
    words = [line.strip() for line in done.error_text.splitlines() if "using anyway" not in line]
    return words[-1] if words else f"{_PROGRAM} ended with {done.returncode}"
