"""Look at a machine, and do to it what a plan of :mod:`reconciler.host.install.installation` says."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from reconciler.durable import replace_file, sync_file, sync_folder
from reconciler.errors import Misuse, ReconcilerError, Stalled
from reconciler.host.install import competing, credentials, units
from reconciler.host.install.installation import (
    Action,
    Aim,
    Disable,
    Enable,
    Encrypt,
    ForgetTimer,
    Layout,
    MakeFolder,
    MakeKey,
    Manifest,
    Park,
    Present,
    Reload,
    RemoveFile,
    RemoveFolder,
    Restore,
    WriteFile,
    concerned,
    is_copy,
    read_manifest,
)
from reconciler.host.machine.locking import take
from reconciler.host.machine.systemd import Systemd, unanswered
from reconciler.ownership import is_own
from reconciler.process import Completed, run

Tell = Callable[[str], None]
_PATIENCE = 30.0  # seconds for a program of this machine


class Installer:
    """Changes this machine.

    Args:
        layout: Where things are.
        tell: Is given a line for everything that was done.
    """

    def __init__(self, layout: Layout, tell: Tell) -> None:
        self._layout = layout
        self._made: tuple[Path, ...] = ()
        self._tell = tell
        self._systemd = Systemd({})

    # --- Looking ----------------------------------------------------------------------------------------

    def manifest(self) -> Manifest | None:
        """Return what was installed, ``None`` where nothing was.

        Raises:
            Misuse: The manifest is unreadable, damaged or that of another installation.
        """
        path = self._layout.manifest
        data = _read(path)
        if data is None:
            return None
        found = read_manifest(data, path)
        if found.config != self._layout.config:
            raise Misuse(
                f"{self._layout.folder} belongs to the installation of {found.config}",
                "give --config with that file, or with one in another folder",
            )
        return found

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this installation.

        Folders that are made for it count as missing, and go again where nobody came to use them.

        Raises:
            Transient: Another setup, adjust or cleanup is at work; its process id is named.
            Misuse: The folder cannot be written, or others may write to it.
        """
        layout = self._layout
        try:
            self._made = tuple(path for path in (layout.folder, *layout.folder.parents) if not path.exists())
            layout.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not is_own(layout.folder.stat()):
                raise Misuse(
                    f"{layout.folder}: others may put files there",
                    f"chown it to yourself or root and chmod go-w {layout.folder}",
                )
            handle = _locked_file(layout)
        except OSError as error:
            raise cannot_write(error, layout) from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                layout.lock.unlink(missing_ok=True)
                for path in self._made:
                    path.rmdir()
            os.close(handle)

    @contextlib.contextmanager
    def policy_copy(self) -> Iterator[Path]:
        """Give a folder for what is looked at of the policy; the lock is held meanwhile.

        It is there again where setup was killed or interrupted, so that a long line of signed commits is
        verified from where that had come to; else nobody needs it any more.
        """
        try:
            yield self._layout.policy_copy
        except ReconcilerError:
            self.forget_policy()
            raise
        self.forget_policy()

    def forget_policy(self) -> None:
        """Remove what an earlier setup may have left of the policy."""
        shutil.rmtree(self._layout.policy_copy, ignore_errors=True)

    def present(self, manifest: Manifest | None, aim: Aim | None = None) -> Present:
        """Look at everything that a plan for ``aim``, or the removal of what is installed, can be about.

        Raises:
            Misuse: Something cannot be read.
            ReconcilerError: systemd does not answer.
        """
        asked = concerned(self._layout, manifest, aim)
        paths, folders = set(asked.files), set(asked.folders)
        paths |= {path for folder in asked.copies for path in _entries(folder) if is_copy(path.name)}
        for path in (path for folder in asked.data for path in _entries(folder)):
            (folders if path.is_dir() and not path.is_symlink() else paths).add(path)
        files = {path: data for path in paths if (data := _read(path)) is not None}
        return Present(
            files=files,
            modes={path: stat.S_IMODE(path.stat().st_mode) for path in files},
            folders=frozenset(path for path in folders if self._is_there(path)),
            secrets=self._secrets(aim),
            manifest=manifest,
            updaters=competing.find() if self._speaks else (),
            enabled=frozenset(name for name in units.NAMES if self._is_on(name)),
            has_systemd=self._speaks,
        )

    def _is_there(self, folder: Path) -> bool:
        if not folder.is_dir() or folder in self._made:
            return False
        # A setup that was given up right at its beginning leaves no more than its lock, or what it looked at.
        own = {self._layout.lock, self._layout.policy_copy}
        return folder != self._layout.folder or not own.issuperset(folder.iterdir())

    def _secrets(self, aim: Aim | None) -> dict[str, bytes]:
        found = {}
        for name in aim.credentials if aim else ():
            # What does not decrypt is encrypted anew.
            with contextlib.suppress(ReconcilerError):
                found[name] = credentials.decrypt(name, self._layout.encrypted(name))
        return found

    @property
    def _speaks(self) -> bool:
        return self._layout.is_system and self._systemd.is_running

    def _is_on(self, name: str) -> bool:
        """Tell whether a unit is enabled, and at work where it is one that should be."""
        if not self._layout.is_system or shutil.which("systemctl") is None:
            return False
        if self._ask("is-enabled", "--quiet", "--", name).returncode:
            return False
        return not self._speaks or name == units.BOOT or self._systemd.is_active(name)

    # --- Doing ------------------------------------------------------------------------------------------

    def carry_out(self, actions: Iterable[Action]) -> None:
        """Do everything that a plan says, in order, and tell each thing that is done.

        Raises:
            ReconcilerError: Something cannot be done; what came before it is done. A folder that cannot be
                removed keeps nothing else from being done: all of them are named in the end.
        """
        left: list[str] = []
        for action in actions:
            try:
                self._do(action)
            except OSError as error:
                if not isinstance(action, RemoveFolder):
                    raise cannot_write(error, self._layout) from error
                left.append(_said_of(error, action.path))
                continue
            self._tell(str(action))
        if left:
            raise Stalled("\n".join(left), "everything else was done; remove what is named by hand")

    def _do(self, action: Action) -> None:
        match action:
            case MakeFolder() | WriteFile() | Encrypt() | MakeKey():
                _make(action)
            case RemoveFile(path):
                path.unlink(missing_ok=True)
                sync_folder(path.parent)
            case RemoveFolder(path, with_content):
                _remove_folder(path, with_content=with_content)
            case Park(updaters, record):
                competing.park(updaters, record)
            case Restore(record):
                for said in competing.restore(record):
                    self._tell(said)
            case _:
                self._do_to_units(action)

    def _do_to_units(self, action: Reload | Enable | Disable | ForgetTimer) -> None:
        match action:
            case Reload():
                self._command("daemon-reload")
            case Enable(names):
                self._command("enable", *names)
                if self._speaks:
                    self._command("restart", names[0])
            case Disable(names):
                self._command("disable", *(("--now",) if self._speaks else ()), *names)
                self._ask("reset-failed", "--", *names)
            case ForgetTimer(name):
                # Of versions before 247, which have no such command, nothing but a time stays.
                self._ask("clean", "--what=state", "--", name)

    def _command(self, verb: str, *arguments: str) -> None:
        done = self._ask(verb, *arguments)
        if done.returncode or done.timed_out:
            problem = unanswered(f"systemctl {verb} {' '.join(arguments)}".rstrip(), done)
            raise Stalled(problem.message, "see systemctl status patchledger.timer; then do the same again")

    def _ask(self, *arguments: str) -> Completed:
        return self._systemd.ask("systemctl", "--no-ask-password", *arguments)


def _locked_file(layout: Layout) -> int:
    while True:
        handle = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            take(handle, "another patchledger setup, adjust or cleanup is at work")
            # Whoever held it before may have removed the file, and another one have made it anew.
            if os.path.samestat(os.fstat(handle), layout.lock.stat()):
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def cannot_write(error: OSError, layout: Layout) -> ReconcilerError:
    """Return what an error of the file system means for an installation."""
    return Misuse(
        _said_of(error, layout.folder),
        "run it as root on a writable file system, or give --config and --unit-dir in a folder of your own",
    )


def _said_of(error: OSError, where: Path) -> str:
    """Say what the file system refused, also where the error itself does not say of what."""
    return f"{error.filename or where}: {error.strerror or error}"


def _make(action: MakeFolder | WriteFile | Encrypt | MakeKey) -> None:
    match action:
        case MakeFolder(path, mode):
            # One folder and no more: what else is made on the way, nobody would take away again.
            path.mkdir(mode=mode, exist_ok=True)
        case WriteFile(path, content, kind):
            replace_file(path, content, kind.mode)
        case Encrypt(credential, path, secret):
            credentials.encrypt(credential, secret, path)
            why = credentials.why_not_decrypted(credential, path)
            if why:
                raise Stalled(why, "answer that the address is kept as a file, or mend systemd-creds")
        case MakeKey(path, comment):
            _make_key(path, comment)


def _make_key(path: Path, comment: str) -> None:
    """Make a key aside, and give it its name only if nothing bears that by then."""
    folder = path.with_name(f".{path.name}.new")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        fresh = folder / "key"
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(fresh)]
        done = run(argv, timeout=_PATIENCE)
        if done.returncode or done.timed_out:
            said = (done.error_text or done.text or "it does not end").splitlines()[-1]
            raise Stalled(f"cannot make the key {path}: {said}", "make one, and name it by --signing-key")
        sync_file(fresh)
        os.link(fresh, path)
        replace_file(path.with_name(f"{path.name}.pub"), fresh.with_name("key.pub").read_bytes(), 0o644)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_folder(path: Path, *, with_content: bool) -> None:
    if path.is_symlink():
        raise OSError(
            errno.ELOOP, f"is a link; it is left, with what it leads to ({path.readlink()})", str(path)
        )
    if with_content:
        shutil.rmtree(path)
    else:
        with contextlib.suppress(OSError):
            path.rmdir()


def _entries(folder: Path) -> tuple[Path, ...]:
    return tuple(folder.iterdir()) if folder.is_dir() else ()


def _read(path: Path) -> bytes | None:
    try:
        if path.is_symlink() or not path.is_file():
            return b"" if path.is_symlink() or (path.exists() and not path.is_dir()) else None
        return path.read_bytes()
    except OSError as error:
        raise Misuse(f"{path}: {error.strerror}", "run as root") from error
