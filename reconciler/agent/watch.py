"""A process that waits, and has each tick made by a child of its own.

The child is ``patchledger run``, exactly as a timer starts it (docs/adr/0015). So what is here only decides
when, and survives whatever a tick does. It sleeps until a signal, a change on the disk or an instant wakes
it, and never waits for anything else: a tick at work does not keep it from hearing.
"""

import contextlib
import os
import random
import select
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import reconciler
from reconciler import process
from reconciler.agent.overlong import PATIENCE, Overlong, Step
from reconciler.agent.wakeup import Cause, Past, Wake, next_wake, waits_for
from reconciler.agent.watch_settings import WatchSettings
from reconciler.durable import replace_file
from reconciler.errors import (
    DONE,
    FAILED,
    INTERRUPTED,
    MISUSE,
    TRANSIENT,
    ReconcilerError,
    Stalled,
    Transient,
)
from reconciler.host.machine.clock import SystemClock
from reconciler.host.machine.locking import take
from reconciler.host.machine.sdnotify import VARIABLES, ServiceManager
from reconciler.host.machine.watching import FileWatch, folders_of
from reconciler.host.state import next_tick
from reconciler.host.state.fingerprint import digest, signature
from reconciler.host.state.next_tick import Outlook

LAST_GOOD = "watch.yaml"
"""File of the state folder: the last configuration without a mistake."""
LOCK = "watch.lock"
"""File of the state folder that one ``watch`` at a time holds."""

_PROGRAM = (str(reconciler.__file__),)
"""What every upgrade of this program replaces."""

_LONGEST_SLEEP = timedelta(seconds=30)
"""The clock may be set, or the machine be suspended, while we sleep; and where files cannot be watched, they
are looked at so often."""


class Watch:
    """The loop.

    Args:
        config: The configuration file.
        manager: Is told how we are.
        heard: Descriptor that becomes readable when something happens; a byte with its number for each
            signal, a zero for a change on the disk.
        files: Tells of changes on the disk.
        note: Tells a person a line, on standard error.
    """

    def __init__(
        self, config: Path, manager: ServiceManager, heard: int, files: FileWatch, note: Callable[[str], None]
    ) -> None:
        self._config = config
        self._manager = manager
        self._heard = heard
        self._files = files
        self._note = note
        self._clock = SystemClock()
        self._command = _command()
        self._program = self._installed()
        self._settings: WatchSettings | None = None
        self._lock: int | None = None
        self._seen: dict[str, str] = {}
        self._past: Past | None = None
        self._outlook = Outlook()
        self._changed: tuple[str, ...] = ()
        self._must_check = True
        self._refusal = ""
        self._is_misled = False
        self._said = ""
        self._check: process.Child | None = None
        self._tick: process.Child | None = None
        self._overlong: Overlong | None = None
        self._began = self._clock.now()
        self._exit: int | None = None
        self._kill_at: timedelta | None = None

    def run(self) -> int:
        """Go on until told to end, and return the exit code."""
        self._status("checks the configuration")
        while True:
            if self._exit is None:
                self._begin_what_is_due()
            elif not self._children:
                return self._exit
            self._sleep()
            self._hear()
            self._attend()
            self._look_around()

    def close(self) -> None:
        """Kill children that are still there, and give up what is held."""
        for child in self._children:
            child.kill()
        self._files.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _children(self) -> tuple[process.Child, ...]:
        return tuple(child for child in (self._check, self._tick) if child is not None)

    # --- waiting --------------------------------------------------------------------------------------------

    def _sleep(self) -> None:
        """Wait for whatever comes first."""
        spans = [_LONGEST_SLEEP]
        if self._manager.watchdog is not None:
            spans.append(self._manager.watchdog / 2)
        if self._kill_at is not None:
            spans.append(self._kill_at - self._clock.elapsed())
        if self._is_idle:
            spans.append(self._next().wait)
        if self._overlong is not None and (span := self._overlong.wait(self._clock.elapsed())) is not None:
            spans.append(span)
        seconds = max(0.0, min(spans).total_seconds())
        select.select([self._heard], [], [], seconds)
        self._manager.alive()

    @property
    def _is_idle(self) -> bool:
        """Whether the next thing to do is a tick."""
        return self._exit is None and self._settings is not None and not self._children

    def _next(self) -> Wake:
        interval = timedelta(0) if self._settings is None else self._settings.interval
        return next_wake(
            self._past,
            self._outlook,
            interval,
            now=self._clock.now(),
            elapsed=self._clock.elapsed(),
            is_changed=bool(self._changed),
        )

    def _hear(self) -> None:
        """Take note of the signals that came."""
        try:
            numbers = os.read(self._heard, 4096)
        except BlockingIOError:
            return
        for number in numbers:
            if number in {signal.SIGTERM, signal.SIGINT} and self._exit is None:
                self._end(number)
            elif number == signal.SIGHUP:
                self._must_check = True
                self._changed = (*self._changed, "SIGHUP")

    def _end(self, number: int) -> None:
        self._exit = INTERRUPTED if number == signal.SIGINT else DONE
        self._note(f"ends, told to by {signal.Signals(number).name}")
        self._manager.stopping("ends")
        for child in self._children:
            child.interrupt()
        self._kill_at = self._clock.elapsed() + PATIENCE

    def _look_around(self) -> None:
        """Find out what has changed on the disk since the last time."""
        settings = self._settings
        if settings is None:
            return
        changed = self._compare(settings)
        is_new_failure = not self._files.failure
        if self._files.arm(folders_of(path for paths in settings.watched.values() for path in paths)):
            changed += self._compare(settings)  # in the moment between
            if self._files.failure and is_new_failure:
                why = self._files.failure
                self._note(f"files cannot be watched ({why}): they are looked at twice a minute")
        self._must_check |= "configuration" in changed
        self._changed = tuple(dict.fromkeys((*self._changed, *changed)))

    def _compare(self, settings: WatchSettings) -> tuple[str, ...]:
        """Return the names of what is not as it was; what was not looked at before counts as unchanged."""
        now = {name: signature(paths) for name, paths in settings.watched.items()}
        changed = tuple(name for name, found in now.items() if self._seen.get(name, found) != found)
        self._seen = now
        return changed

    # --- children -------------------------------------------------------------------------------------------

    def _begin_what_is_due(self) -> None:
        if self._must_check and self._check is None:
            self._begin_check()
        if not self._is_idle:
            return
        wake = self._next()
        if wake.wait > timedelta(0):
            self._status(waits_for(wake, self._outlook, self._past, now=self._clock.now()))
            return
        if self._installed() != self._program and all(map(os.path.exists, (*_PROGRAM, self._command[0]))):
            self._note("this program was replaced: goes on as the new one")
            self.close()
            os.execv(self._command[0], [*self._command, *sys.argv[1:]])  # noqa: S606 - ourselves, as we were started
        self._begin_tick(wake.cause)

    def _installed(self) -> tuple[str, str, str]:
        """Return what tells one installation of this program from another, with another interpreter too."""
        return signature(_PROGRAM), os.path.realpath(self._command[0]), os.path.realpath(sys.executable)

    def _begin_check(self) -> None:
        self._must_check = False
        if self._settings is not None:
            self._manager.reloading("reads the configuration anew")
            self._said = ""
        argv = (*self._command, "--config", str(self._config), "watch", "--check", "--format", "json")
        self._check = process.start(argv, env=_environment(), keeps_output=True)

    def _begin_tick(self, cause: Cause) -> None:
        why = " and ".join(self._changed) if cause is Cause.CHANGE else cause.value
        if cause is not Cause.INTERVAL:
            self._note(f"tick, woken by {why}")
        self._changed = ()
        self._began = self._clock.now()
        self._status(f"tick at work since {self._began:%H:%M} UTC, woken by {why}")
        config = self._config
        if self._refusal and self._settings is not None:
            config = self._settings.state_dir / LAST_GOOD
        self._tick = process.start((*self._command, "--config", str(config), "run"), env=_environment())
        if self._settings is not None:
            limit, state_dir = self._settings.tick_timeout, self._settings.state_dir
            self._overlong = Overlong(self._clock.elapsed(), limit, state_dir)

    def _attend(self) -> None:
        """See which children have ended, and what they came to."""
        if self._kill_at is not None and self._clock.elapsed() >= self._kill_at:
            for child in self._children:
                child.kill()
        if self._check is not None and (code := self._check.poll()) is not None:
            out, err = self._check.output()
            self._check = None
            if self._exit is None:
                self._conclude_check(code, out, err.decode("utf-8", "replace"))
        if self._tick is not None and (code := self._tick.poll()) is not None:
            self._tick = self._overlong = None
            self._conclude_tick(code)

        if self._tick is not None and self._overlong is not None and self._exit is None:
            self._mind(self._tick, self._overlong)

    def _mind(self, tick: process.Child, overlong: Overlong) -> None:
        """Tell of a tick that is at work too long, and end it where that may be."""
        step, said = overlong.look(self._clock.elapsed())
        if said:
            self._note(said)
        match step:
            case Step.INTERRUPT:
                tick.interrupt()
            case Step.KILL:
                tick.kill()
            case Step.WAIT:
                pass

    def _conclude_tick(self, code: int) -> None:
        is_transient = code in {TRANSIENT, INTERRUPTED} or code < 0
        failures = 0 if self._past is None else self._past.failures
        share = random.random()  # noqa: S311 - spreads the load of a server, and keeps no secret
        self._past = Past(self._began, self._clock.elapsed(), failures + 1 if is_transient else 0, share)
        if self._settings is not None:
            self._outlook = next_tick.read(str(self._settings.state_dir / next_tick.FILE))
        if code and self._exit is None:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            self._note(f"the tick {how}; what it said stands above")
        if code == MISUSE and not self._refusal:
            # The file became a bad one just before the child read it, or something beyond it is wrong.
            self._is_misled = True
            self._must_check |= self._check is None

    # --- the configuration ----------------------------------------------------------------------------------

    def _conclude_check(self, code: int, out: bytes, err: str) -> None:
        sys.stderr.write(err)
        if code:
            self._refuse(_first_line(err) or f"its check ended with {code}", code if code > 0 else FAILED)
            return
        try:
            settings = WatchSettings.from_json(out)
            # What is looked at before the file is read cannot have changed unnoticed.
            self._changed = tuple(dict.fromkeys((*self._changed, *self._compare(settings))))
            data = self._config.read_bytes()
        except (OSError, ValueError) as error:
            self._refuse(f"{self._config}: {error}", FAILED)
            return
        if digest(data) != settings.digest:
            self._must_check = True  # it was changed again
            return
        if self._settings is None or self._settings.state_dir != settings.state_dir:
            try:
                self._move_to(settings.state_dir)
            except ReconcilerError as error:
                if self._settings is None:
                    raise
                self._refuse(error.message, FAILED)
                return
        self._take_over(settings, data)

    def _take_over(self, settings: WatchSettings, data: bytes) -> None:
        """Make a configuration without a mistake the one in force, and keep it."""
        file = settings.state_dir / LAST_GOOD
        try:
            if not file.is_file() or file.read_bytes() != data:
                replace_file(file, data)
        except OSError as error:
            self._note(f"{file}: the configuration in force cannot be kept: {error.strerror}")
            with contextlib.suppress(OSError):
                file.unlink()  # an older one must not come into force instead
        if self._settings is not None:
            self._note(f"{self._config}: the configuration is taken over")
        else:
            seconds = settings.interval.total_seconds()
            self._note(f"watches: a tick at least every {seconds:.0f} s, and on changes")
        self._settings, self._refusal, self._is_misled = settings, "", False
        self._manager.ready("watches")
        self._said = ""

    def _refuse(self, why: str, code: int) -> None:
        """Go on with the configuration that is in force; at the start there is none."""
        if self._settings is None:
            self._exit = code
            return
        self._refusal = f"configuration refused, the last good one is in force ({why})"
        self._note(self._refusal)
        self._changed = tuple(one for one in self._changed if one not in {"configuration", "SIGHUP"})
        if self._is_misled:
            self._changed = (*self._changed, "the refused configuration that the last one read")
        self._is_misled = False
        self._manager.ready(self._refusal)
        self._said = ""

    def _move_to(self, folder: Path) -> None:
        """Hold the lock of a state folder, instead of the one held before.

        Raises:
            Transient: Another ``watch`` holds it.
            Stalled: It cannot be made.
        """
        try:
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            hint = "look at the folder's owner and mode"
            raise Stalled(f"{folder / LOCK}: {error.strerror}", hint) from error
        try:
            take(handle, f"another patchledger watch is at work on {folder}")
        except Transient as error:
            os.close(handle)
            raise Transient(error.message, "stop it first, or leave the ticks to it") from error
        if self._lock is not None:
            os.close(self._lock)
        self._lock = handle

    def _status(self, text: str) -> None:
        whole = f"{self._refusal}; {text}" if self._refusal else text
        if whole != self._said:
            self._manager.status(whole)
            self._said = whole


def _command() -> tuple[str, ...]:
    """Return how this program was started, without its arguments: so its children are, too.

    A command is named by its path, which may be a link that leads to a newer version by then.
    """
    command = Path(sys.argv[0])
    if command.is_absolute() and command.is_file() and os.access(command, os.X_OK):
        return (str(command),)
    return (sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1])


def _environment() -> dict[str, str]:
    """Return what the service manager gave us, but for what it means for this process alone."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES}


def _first_line(text: str) -> str:
    return next((line.removeprefix("patchledger: ") for line in text.splitlines() if line.strip()), "")
