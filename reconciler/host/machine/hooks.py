"""The host's own hook scripts: which of them count, who may have written them, and how they run.

Rules:

1. Policy never names a command; hooks are files of the host, in one folder for each stage.
2. A hook is an executable regular file, or a link to one, whose name has only letters, digits, ``_``, ``.``
   and ``-``, as run-parts(8) wants it, and is no backup or switched-off copy. Everything else in the folder
   is no hook: it never runs and fails nothing, and :meth:`HookFolder.ignored` tells of it.
3. A hook that somebody but root (or the user we run as) could have changed is refused: it never runs and
   counts as failed. Links are followed, and each folder on the way is asked too.
4. Hooks run one after another in the order of their names' bytes. In the stage ``pre`` the first that is not
   well ends the stage; in the others all run.
5. Where systemd obeys us, a hook is a transient service of its own: the sandbox of the unit that we run in
   would reach into what operators write, and ends with what we leave running. Elsewhere it is our child.
"""

import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic

from reconciler import process
from reconciler.errors import Stalled
from reconciler.host.machine.systemd import RUNTIME
from reconciler.ownership import who_else_may_change
from reconciler.planning.runs.hooks_and_health import HookOutcome, HookResult, HookStage
from reconciler.reconcile.ports.where import THIS_MACHINE, InGuest

OUTPUT_LIMIT = 64 * 1024
"""Bytes kept of what one hook prints, half of them for each of its two streams."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_SET_ASIDE = re.compile(
    r".*\.(?:bak|disabled|dpkg-[a-z]+|example|old|orig|pac(?:new|orig|save)|rej|rpm(?:new|orig|save)|sample"
    r"|save|sw[a-z]|tmp|ucf-[a-z]+)",
    re.IGNORECASE,
)
_FACT = re.compile(r"PATCHLEDGER_[A-Z0-9_]+")
_CUT = "\n[the rest is not kept]"
_GRACE = 60  # seconds after which systemd itself ends a hook that we should have ended
_KILL_PATIENCE = 60.0


class Hooks:
    """The hook scripts below one folder, whichever target they are for.

    Args:
        folder: Holds ``pre.d``, ``post.d``, ``pre-reboot.d`` and ``health.d``; none of them must exist.
        environment: Variables given to every hook beside ``PATH``, ``LC_ALL`` and ``HOME``, or instead of
            their usual values. Nothing else of our own environment is passed.
        guest: Id of the guest that they are for, empty of this machine.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], guest: str = "") -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._guest = guest
        self._are_services = RUNTIME.is_dir() and os.geteuid() == 0

    def names(self, stage: HookStage) -> tuple[str, ...]:
        """Return the names of a stage's hooks, in the order in which they run, refused ones included.

        Raises:
            Stalled: The folder exists and cannot be read.
        """
        return tuple(name for name, why_not in self._entries(stage) if not why_not)

    def ignored(self, stage: HookStage) -> tuple[tuple[str, str], ...]:
        """Return what lies in a stage's folder and is no hook: the name, and why.

        Raises:
            Stalled: The folder exists and cannot be read.
        """
        return tuple(
            (os.fsencode(name).decode("utf-8", "backslashreplace"), why_not)
            for name, why_not in self._entries(stage)
            if why_not
        )

    def digest(self, stage: HookStage) -> str:
        """Tell a stage's hooks from others, and from such as may not run; empty where there are none."""
        try:
            names = self.names(stage)
        except Stalled as error:
            return hashlib.sha256(error.message.encode()).hexdigest()
        folder = self._folder_of(stage)
        seen = hashlib.sha256("".join(f"{_state(folder / name)}\n" for name in names).encode())
        return seen.hexdigest() if names else ""

    def run(
        self, stage: HookStage, *, stdin: bytes, facts: Mapping[str, str], timeout: timedelta
    ) -> tuple[HookResult, ...]:
        """Run the hooks of a stage and return what became of each; nothing a hook does raises.

        A hook's process group is killed when its time is over. What a hook leaves running in the background
        after its own end lives on and is not waited for.

        Args:
            stage: Of a run.
            stdin: What each hook reads from its standard input.
            facts: Variables for every hook, each named ``PATCHLEDGER_…``; ``PATCHLEDGER_STAGE`` is added.
            timeout: For each hook.
        """
        wrong = [name for name in facts if not _FACT.fullmatch(name)]
        if wrong:
            raise ValueError(f"facts for hooks are named PATCHLEDGER_...: {wrong}")
        try:
            names = self.names(stage)
        except Stalled as error:
            return (HookResult(stage, f"{stage}.d", HookOutcome.REFUSED, output=error.message),)
        environment = {**self._environment, **facts, "PATCHLEDGER_STAGE": stage}
        results: list[HookResult] = []
        for name in names:
            results.append(self._run_one(stage, name, stdin, environment, timeout))
            if stage == "pre" and results[-1].outcome is not HookOutcome.OK:
                break
        return tuple(results)

    def _run_one(
        self, stage: HookStage, name: str, stdin: bytes, environment: Mapping[str, str], timeout: timedelta
    ) -> HookResult:
        path = self._folder_of(stage) / name
        refusal = _refusal(path)
        if refusal:
            return HookResult(stage, name, HookOutcome.REFUSED, output=refusal)
        argv: Sequence[str] = (str(path),)
        unit = _unit_name(stage, name, self._guest) if self._are_services else ""
        if unit:
            argv = _as_service(path, unit, process.environment(environment), timeout)
        start = monotonic()
        try:
            done = process.run(
                argv,
                env=environment,
                stdin=stdin,
                cwd="/",
                timeout=timeout.total_seconds(),
                limit=OUTPUT_LIMIT // 2,
            )
            if done.timed_out and unit:
                # What was killed so far only asked systemd for it.
                process.run(["systemctl", "kill", "--signal=KILL", "--", unit], timeout=_KILL_PATIENCE)
        except Stalled as error:
            return HookResult(stage, name, HookOutcome.FAILED, output=error.message)
        seconds = round(monotonic() - start, 1)
        if done.timed_out:
            return HookResult(stage, name, HookOutcome.TIMED_OUT, None, seconds, _output(done))
        outcome = HookOutcome.FAILED if done.returncode else HookOutcome.OK
        return HookResult(stage, name, outcome, done.returncode, seconds, _output(done))

    def _folder_of(self, stage: HookStage) -> Path:
        return self._folder.absolute() / f"{stage}.d"

    def _entries(self, stage: HookStage) -> list[tuple[str, str]]:
        """Return each name in a stage's folder with why it is no hook, empty where it is one; sorted."""
        folder = self._folder_of(stage)
        try:
            names = [entry.name for entry in folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Stalled(f"cannot read {folder}: {error.strerror}", "make it a folder of hooks") from error
        return [(name, _why_no_hook(folder, name)) for name in sorted(names, key=os.fsencode)]


class HookFolder(Hooks):
    """The hooks of this machine."""

    where = THIS_MACHINE


class GuestHooks(Hooks):
    """The hooks of one guest, which run on its hypervisor: ``PATCHLEDGER_GUEST`` says for which.

    Args:
        folder: As for :class:`Hooks`; all guests have the same.
        guest: Its id.
    """

    def __init__(self, folder: Path, guest: str) -> None:
        super().__init__(folder, {"PATCHLEDGER_GUEST": guest}, guest)

    @property
    def where(self) -> InGuest:
        """What it is a part of."""
        return InGuest(self._guest)


def _unit_name(stage: HookStage, name: str, guest: str) -> str:
    # Ours alone: of a target one hook runs at a time, and the last one's service is gone when it has ended.
    whose = f"guest-{guest}-" if guest else ""
    return f"patchledger-hook-{whose}{stage}-{name[:100]}-{os.getpid()}.service"


def _as_service(path: Path, unit: str, environment: Mapping[str, str], timeout: timedelta) -> Sequence[str]:
    """Return the command that runs a hook as a service, outside of our sandbox and our control group.

    Nothing in the variables is secret: everybody may ask systemd for those of a service.
    """
    properties = (
        "Type=oneshot",  # of any other, being ended by SIGTERM counts as success
        "KillMode=process",  # what a hook leaves running lives on
        "IgnoreSIGPIPE=no",
        f"TimeoutStartSec={round(timeout.total_seconds()) + _GRACE}",
        "WorkingDirectory=/",
    )
    return (
        *("systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit={unit}"),
        f"--description=patchledger: the hook {path.parent.name}/{path.name}",
        *(f"--property={one}" for one in properties),
        *(f"--setenv={name}={value}" for name, value in environment.items()),
        "--",
        str(path).replace("$", "$$"),
    )


def _why_no_hook(folder: Path, name: str) -> str:
    if not _NAME.fullmatch(name):
        return "its name has other characters than letters, digits, '_', '.' and '-', or begins with '.'"
    if _SET_ASIDE.fullmatch(name):
        return "its name is that of a copy set aside"
    try:
        found = (folder / name).stat()
    except OSError:
        return ""  # A link to nowhere, or where we may not look: a hook was meant, and it is refused.
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    return "" if found.st_mode & 0o111 else "it is not executable"


def _refusal(path: Path) -> str:
    try:
        return who_else_may_change(str(path))
    except OSError as error:
        return f"{path} leads to nothing that could be run: {error.strerror}"


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except OSError as error:
        return f"{path.name}\0{error.errno}"
    # The time of change cannot be set back, so the bytes themselves need not be read.
    about = (found.st_mode, found.st_ino, found.st_size, found.st_ctime_ns)
    return f"{path.name}\0{about}\0{_refusal(path)}"


def _output(done: process.Completed) -> str:
    text, complaints = done.text, done.stderr.decode("utf-8", "replace")
    if text and complaints and not text.endswith("\n"):
        text += "\n"
    return text + complaints + (_CUT if done.truncated else "")
