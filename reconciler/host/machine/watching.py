"""Notice that files changed, by watchfiles (inotify), in a thread.

What watchfiles tells is only a hint: a folder may be replaced while it is watched, and an event says nothing
of what a file is like now. So whoever is woken compares signatures
(:func:`reconciler.host.state.fingerprint.signature`), and what is watched is the folders that the files of
interest are in.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence

from watchfiles._rust_notify import RustNotify

_DEPTH = 5  # as deep as a signature looks
_STEP = 200  # milliseconds between two looks for events; also the longest time that ending takes
_DEBOUNCE = 1600  # milliseconds after which a storm of events is told of, though it goes on


def folders_of(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the folders in which everything that can happen to ``paths`` would show.

    These are the nearest existing folder above each, and a folder itself with all below.
    """
    found: set[str] = set()
    for path in paths:
        above = os.path.dirname(path)
        while not os.path.isdir(above):
            above = os.path.dirname(above)
        found.add(above)
        found.update(_below(path, _DEPTH))
    return tuple(sorted(found))


class FileWatch:
    """Watches folders, each without those below it.

    Args:
        wake: Called in another thread when something may have changed.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._armed: object = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure = ""
        """Why nothing is noticed, empty where all is well."""

    def arm(self, folders: Sequence[str]) -> bool:
        """Watch ``folders``, unless it is these very ones that are watched already.

        Returns:
            Whether it began anew, so that something may have changed unnoticed just before.
        """
        wanted = [(folder, _identity(folder)) for folder in folders]
        if wanted == self._armed and not self.failure:
            return False
        self.close()
        try:
            # What may not be looked into is left out here: told to ignore that, the library ignores every
            # error of inotify_add_watch(2), the limit of watches too.
            seen = [folder for folder in folders if os.access(folder, os.R_OK, effective_ids=True)]
            notify = RustNotify(seen, False, False, 0, recursive=False, ignore_permission_denied=False)
        except (OSError, RuntimeError) as error:
            # RuntimeError is the library's own for what it does not know, such as a limit of inotify.
            self.failure = str(error)
            return True
        self._armed, self.failure, self._stop = wanted, "", threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(notify, self._stop), name="files")
        self._thread.start()
        return True

    def close(self) -> None:
        """Watch nothing any more; takes a fifth of a second."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = self._armed = None

    def _listen(self, notify: RustNotify, stop: threading.Event) -> None:
        while True:
            try:
                found = notify.watch(_DEBOUNCE, _STEP, 0, stop)
            except (OSError, RuntimeError) as error:
                self.failure = str(error)
                self._wake()
                return
            if not isinstance(found, set):
                return
            self._wake()


def _identity(folder: str) -> tuple[int, int]:
    try:
        found = os.stat(folder)
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino


def _below(path: str, depth: int) -> Iterable[str]:
    if not os.path.isdir(path):
        return
    yield path
    if not depth:
        return
    try:
        with os.scandir(path) as entries:
            names = [entry.path for entry in entries if entry.is_dir()]
    except OSError:
        return
    for name in names:
        yield from _below(name, depth - 1)
