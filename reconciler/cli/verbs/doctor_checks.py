"""What ``doctor`` looks at, each as a function that yields findings and changes nothing.

A check that cannot even be made is a finding too, and never keeps the others from being made.
"""

import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from reconciler import __version__, process
from reconciler.cli.verbs.setup_checks import check_policy, check_reports
from reconciler.errors import FAILED, ReconcilerError, exit_code
from reconciler.gitops.sink import Identity, ReportSink
from reconciler.host.config import Config
from reconciler.host.install import competing, credentials, units
from reconciler.host.install.installation import Layout
from reconciler.host.machine.clock import SystemClock
from reconciler.host.machine.hooks import Hooks
from reconciler.host.machine.systemd import RUNTIME, Systemd, unanswered
from reconciler.managers.detect import detect, dialect_of
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.notify import (
    ANSWERS,
    CANNOT_BE_ASKED,
    Address,
    CredentialSource,
    FileSource,
    Notifiers,
    ask,
    parse_address,
)
from reconciler.ownership import is_own, who_else_may_change
from reconciler.planning.facts.observation import ClockState
from reconciler.planning.runs.hooks_and_health import HookStage
from reconciler.planning.text.wording import listed, mebibytes, plural
from reconciler.targets.service import local_target

_OLDEST_GIT = (2, 34)
_OLDEST_SYSTEMD = 250
_PATIENCE = 30.0  # seconds for a program of this machine
_LITTLE = 512 * 2**20  # bytes; a kernel with its initial ramdisk takes half of that
_STAGES: tuple[HookStage, ...] = ("pre", "post", "pre-reboot", "health")


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: What was looked at, such as ``policy``.
        level: How it is.
        message: What was found, as one sentence without a trailing full stop.
        hint: What to do, empty where there is nothing to do.
        code: Exit code that stands for it; 0 for all but problems.
    """

    check: str
    level: Level
    message: str
    hint: str = ""
    code: int = 0


@dataclass(slots=True)
class Patient:
    """What is examined.

    Attributes:
        config: ``None`` where it is wrong.
        layout: Where its files are.
        runtime: Exists where systemd runs.
        secrets: Whatever was seen and must not be shown; grows while checks are made.
    """

    config: Config | None
    layout: Layout
    runtime: Path
    secrets: list[Address]

    @property
    def systemd(self) -> Systemd:
        """The running systemd."""
        return Systemd({}, self.runtime)


Check = Callable[[Patient, Config], Iterator[Finding]]


def examine(
    config_file: Path, load: Callable[[Path], Config], *, offline: bool, runtime: Path = RUNTIME
) -> tuple[Patient, Iterator[Finding]]:
    """Return what is examined, and its findings as they are made.

    Args:
        config_file: The configuration, absolute.
        load: Reads it.
        offline: Ask no server.
        runtime: Exists where systemd runs.
    """
    patient = Patient(None, Layout(config_file), runtime, [])
    return patient, _examined(patient, config_file, load, offline=offline)


def _examined(
    patient: Patient, file: Path, load: Callable[[Path], Config], *, offline: bool
) -> Iterator[Finding]:
    yield from _guarded("program", lambda: _programs(patient))
    yield from _guarded("configuration", lambda: _configuration(patient, file, load))
    config = patient.config
    if config is not None:
        for name, check in (*(() if offline else _ASKING), *_LOCAL):
            yield from _guarded(name, _bound(check, patient, config))
        yield from _notifiers(patient, config, offline=offline)
    yield from _guarded("clock", _clock)
    yield from _guarded("updaters", lambda: _updaters(patient))
    yield from _guarded("timer", lambda: _timer(patient))


def _bound(check: Check, patient: Patient, config: Config) -> Callable[[], Iterator[Finding]]:
    return lambda: check(patient, config)


def _guarded(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except ReconcilerError as error:
        yield _problem(name, error)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        yield Finding(name, Level.PROBLEM, f"{place}{error.strerror}", "look at its owner and mode", FAILED)


def _problem(check: str, error: ReconcilerError) -> Finding:
    return Finding(check, Level.PROBLEM, error.message, error.hint, exit_code(error))


def _bad(check: str, message: str, hint: str) -> Finding:
    return Finding(check, Level.PROBLEM, message, hint, FAILED)


# --- Programs -------------------------------------------------------------------------------------------


def _programs(patient: Patient) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("program", Level.OK, f"patchledger {__version__} with Python {python}")
    yield from _guarded("git", _git)
    yield from _guarded("systemd", lambda: _systemd(patient))


def _git() -> Iterator[Finding]:
    said = process.run(["git", "--version"], timeout=_PATIENCE).text.strip()
    number = re.search(r"(\d+)\.(\d+)", said)
    if number is None or (int(number[1]), int(number[2])) < _OLDEST_GIT:
        yield _bad("git", f"git 2.34 or newer is needed, this is {said or 'none'}", "upgrade git")
    else:
        yield Finding("git", Level.OK, said)


def _systemd(patient: Patient) -> Iterator[Finding]:
    if not patient.systemd.is_running:
        yield Finding("systemd", Level.UNKNOWN, "systemd does not run here: there are no units and no timer")
        return
    said = patient.systemd.ask("systemctl", "--version").text
    number = re.match(r"systemd (\d+)", said)
    if number is None or int(number[1]) < _OLDEST_SYSTEMD:
        hint = "keep the addresses of notifiers in files, or upgrade"
        yield Finding(
            "systemd", Level.WARNING, "encrypted credentials need systemd 250 or newer, this is older", hint
        )
    else:
        yield Finding("systemd", Level.OK, f"systemd {number[1]} runs")


# --- Configuration and remotes --------------------------------------------------------------------------


def _configuration(patient: Patient, file: Path, load: Callable[[Path], Config]) -> Iterator[Finding]:
    patient.config = load(file)
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        yield Finding("configuration", Level.WARNING, f"{file} can be read by others", f"chmod 600 {file}")
    else:
        yield Finding("configuration", Level.OK, f"{file}: this is {patient.config.host}")


def _policy(_patient: Patient, config: Config) -> Iterator[Finding]:
    yield Finding("policy", Level.OK, check_policy(config))


def _reports(_patient: Patient, config: Config) -> Iterator[Finding]:
    if config.reports.remote is None:
        yield Finding("reports", Level.OK, "reports stay on this host: no report remote is configured")
        return
    # Its last words are a warning to a new host; here the branch should be there.
    yield Finding("reports", Level.OK, check_reports(config).partition(";")[0])


def _signing_key(_patient: Patient, config: Config) -> Iterator[Finding]:
    key = config.reports.signing_key
    if key is None:
        return
    done = process.run(["ssh-keygen", "-y", "-P", "", "-f", str(key)], timeout=_PATIENCE)
    if done.returncode:
        words = (done.error_text or "it cannot be used").splitlines()[-1]
        hint = "name a private key without a passphrase that its owner alone may read"
        yield _bad("reports", f"reports.signing_key {key}: {words}", hint)
    else:
        yield Finding("reports", Level.OK, f"reports are signed with {key}")


# --- The package manager --------------------------------------------------------------------------------


def _packages(_patient: Patient, config: Config) -> Iterator[Finding]:
    target = local_target(config.environment)
    dialect = dialect_of(config.manager or detect(target, root=config.root))
    script = PatchScript.load(dialect.script)
    names = " and ".join(name for name, _ in script.hashes)
    yield Finding("scripts", Level.OK, f"{names} are those that were delivered")
    with tempfile.TemporaryDirectory(prefix="patchledger-") as cache:
        manager = ScriptedManager(dialect, target, script, Path(cache), root=config.root)
        seen = manager.observe(SystemClock().now())
    health = seen.health
    if health.interrupted:
        hint = "the next run repairs what it left itself; else repair with the package manager"
        yield _bad("packages", f"left half done: {listed(health.interrupted)}", hint)
    if health.broken:
        yield _bad("packages", f"broken: {listed(health.broken, 3)}", "repair with the package manager")
    if health.lock_holder:
        hint = "a run waits for it, as long as the policy's lock_wait says"
        yield Finding("packages", Level.WARNING, f"the database is in use by {health.lock_holder}", hint)
    if not (health.interrupted or health.broken or health.lock_holder):
        many = plural(len(seen.installed), "package")
        yield Finding("packages", Level.OK, f"{dialect.name}: {many}, nothing half done, nobody else at work")
    for place in health.filesystems:
        if place.free < min(_LITTLE, place.size // 10):
            yield _few(place.path, place.free)


def _few(path: str, free: int) -> Finding:
    return Finding("space", Level.WARNING, f"{path} has only {mebibytes(free)} free", "free some space")


# --- Folders --------------------------------------------------------------------------------------------


def _state(_patient: Patient, config: Config) -> Iterator[Finding]:
    for key, folder in (("state_dir", config.state_dir), ("log_dir", config.log_dir)):
        yield from _folder(key, folder)
    folder = config.state_dir
    if not folder.is_dir():
        return
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    yield (
        _few(str(folder), free)
        if free < _LITTLE
        else Finding("space", Level.OK, f"{folder} has {mebibytes(free)} free")
    )
    if (folder / "journal.json").exists():
        hint = "the next tick verifies and reports it; see `patchledger status`"
        yield Finding("state", Level.WARNING, "a run waits for its end or for the proof of a reboot", hint)
    queue = folder / "reports.git"
    if queue.is_dir() and config.reports.remote is not None:
        waiting = ReportSink(queue, config.reports.remote, Identity(config.host)).unpushed()
        if waiting:
            hint = "they are pushed by the next tick that reaches the remote"
            yield Finding("reports", Level.WARNING, f"not pushed yet: {listed(waiting)}", hint)


def _folder(key: str, folder: Path) -> Iterator[Finding]:
    try:
        found = folder.stat()
    except FileNotFoundError:
        yield Finding("state", Level.OK, f"{key} {folder} is not there yet; it is made when it is needed")
        return
    others = who_else_may_change(str(folder)) or ("" if is_own(found) else "others may write to it")
    if others:
        hint = "chown what is named to root or yourself, and chmod go-w it"
        yield _bad("state", f"{key} {folder}: others may write to it or replace it: {others}", hint)
    elif key == "state_dir" and stat.S_IMODE(found.st_mode) & 0o077:
        yield Finding("state", Level.WARNING, f"{key} {folder} can be read by others", f"chmod 700 {folder}")
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield _bad("state", f"{key} {folder} cannot be written", "run as its owner, or set another")
    else:
        yield Finding("state", Level.OK, f"{key} {folder} is ours alone")


def _hooks(_patient: Patient, config: Config) -> Iterator[Finding]:
    hooks = Hooks(config.hooks_dir, {})
    fine = 0
    for stage in _STAGES:
        for name, why in hooks.ignored(stage):
            yield Finding(
                "hooks", Level.WARNING, f"{stage}.d/{name} is no hook: {why}", "see the page on hooks"
            )
        for name in hooks.names(stage):
            path = config.hooks_dir / f"{stage}.d" / name
            try:
                others = who_else_may_change(str(path))
            except OSError as error:
                others = f"it leads to nothing that could be run: {error.strerror}"
            if others:
                hint = "give it and the folders above it to root, writable by nobody else"
                yield _bad("hooks", f"{stage}.d/{name} is refused: {others}", hint)
            else:
                fine += 1
    yield Finding("hooks", Level.OK, f"{config.hooks_dir}: {plural(fine, 'hook')} in use")


# --- Notifiers ------------------------------------------------------------------------------------------


def _notifiers(patient: Patient, config: Config, *, offline: bool) -> Iterator[Finding]:
    for name in sorted(config.notifiers):
        yield from _guarded("notifiers", _notifier(patient, config, name, offline=offline))


def _notifier(
    patient: Patient, config: Config, name: str, *, offline: bool
) -> Callable[[], Iterator[Finding]]:
    def check() -> Iterator[Finding]:
        one = config.notifiers[name]
        if one.credential is None:
            address = Notifiers({name: FileSource(one.file or Path())}).address(name)
            yield Finding("notifiers", Level.OK, f"{name}: {one.file} can be read by its owner alone")
        else:
            found = _credential(patient, name, one.credential)
            yield from found[1]
            if found[0] is None:
                return
            address = found[0]
        patient.secrets.append(address)
        if not offline:
            yield _answer(config, name, address)

    return check


def _credential(patient: Patient, name: str, credential: str) -> tuple[Address | None, list[Finding]]:
    """Return the address that a credential holds, and what was found on the way to it."""
    passed = os.environ.get("CREDENTIALS_DIRECTORY")
    if passed:
        source = Notifiers({name: CredentialSource(credential)}, Path(passed))
        told = Finding("notifiers", Level.OK, f"{name}: the unit loads the credential {credential}")
        return source.address(name), [told]
    unavailable = credentials.is_available()
    if unavailable:
        message = f"{name}: whether the credential {credential} decrypts is not known: {unavailable}"
        return None, [Finding("notifiers", Level.UNKNOWN, message, "run doctor as root")]
    places = credentials.places(credential, patient.layout.credentials)
    path = next((place for place in places if place.exists()), places[0])
    try:
        address = parse_address(name, credentials.decrypt(credential, path))
    except ReconcilerError as error:
        message = f"{name}: the credential {credential} cannot be had: {error.message}"
        return None, [Finding("notifiers", Level.PROBLEM, message, error.hint, exit_code(error))]
    found = [Finding("notifiers", Level.OK, f"{name}: the credential {credential} decrypts")]
    unit = patient.layout.units / units.SERVICE
    if unit.exists() and f"\nLoadCredentialEncrypted={credential}:" not in unit.read_text(encoding="utf-8"):
        found.append(
            _bad(
                "notifiers",
                f"{name}: {unit} does not load the credential {credential}",
                "run `patchledger adjust`",
            )
        )
    return address, found


def _answer(config: Config, name: str, address: Address) -> Finding:
    said = ask(address, config.environment)
    if said == ANSWERS:
        return Finding("notifiers", Level.OK, f"{name} answers")
    if said == CANNOT_BE_ASKED:
        message = f"{name}: only a message would tell whether it answers"
        return Finding("notifiers", Level.UNKNOWN, message, f"try `patchledger notify test {name}`")
    return _bad("notifiers", f"{name}: {said}", "correct its address with `patchledger adjust`")


# --- The machine ----------------------------------------------------------------------------------------


def _clock() -> Iterator[Finding]:
    match SystemClock().state():
        case ClockState.SYNCHRONISED:
            yield Finding("clock", Level.OK, "the clock is synchronised")
        case ClockState.UNSYNCHRONISED:
            hint = "start a time service, such as systemd-timesyncd or chrony"
            yield Finding("clock", Level.WARNING, "the clock is not synchronised", hint)
        case ClockState.UNKNOWN:
            hint = "in a container, its host keeps the clock"
            yield Finding(
                "clock", Level.UNKNOWN, "the kernel does not say whether the clock is synchronised", hint
            )


def _updaters(patient: Patient) -> Iterator[Finding]:
    found = competing.find(runtime=patient.runtime)
    for updater in found:
        if updater.parked:
            continue
        acting = [unit.name for unit in updater.units if not unit.is_parked]
        hint = f"`patchledger setup` parks it; by hand: systemctl mask --now {' '.join(acting)}"
        message = f"{updater.name} updates this machine too, outside of any window ({listed(acting)})"
        yield Finding("updaters", Level.WARNING, message, hint)
    if patient.systemd.is_running and all(updater.parked for updater in found):
        yield Finding("updaters", Level.OK, "nothing else updates this machine by itself")


def _timer(patient: Patient) -> Iterator[Finding]:
    systemd = patient.systemd
    if not systemd.is_running or not patient.layout.is_system:
        return
    names = (units.TIMER, units.WATCH, units.SERVICE)
    done = systemd.ask("systemctl", "show", f"--property={','.join(_ASKED)}", "--", *names)
    if done.returncode or done.timed_out:
        raise unanswered("systemctl show", done)
    blocks = [
        dict(line.partition("=")[::2] for line in block.splitlines())
        for block in done.text.strip().split("\n\n")
    ]
    timer, watch, service = (blocks[number] if number < len(blocks) else {} for number in range(len(names)))
    yield _ticking(timer, watch)
    if service.get("LoadState") == "loaded" and service.get("InactiveEnterTimestamp"):
        yield _last(service)


def _ticking(timer: dict[str, str], watch: dict[str, str]) -> Finding:
    if watch.get("ActiveState") == "active":
        return Finding("timer", Level.OK, f"{units.WATCH} is at work")
    if timer.get("LoadState") != "loaded":
        return Finding(
            "timer", Level.WARNING, "no timer is installed: nothing runs by itself", "run `patchledger setup`"
        )
    if timer.get("UnitFileState") != "enabled" or timer.get("ActiveState") != "active":
        return Finding(
            "timer", Level.WARNING, f"{units.TIMER} is not enabled and started", "run `patchledger enable`"
        )
    return Finding(
        "timer", Level.OK, f"the next tick is at {timer.get('NextElapseUSecRealtime') or 'an unknown time'}"
    )


def _last(service: dict[str, str]) -> Finding:
    when, status = service["InactiveEnterTimestamp"], service.get("ExecMainStatus", "")
    if service.get("ActiveState") != "failed":
        return Finding("timer", Level.OK, f"the last tick ended well at {when}")
    why = "a credential could not be loaded" if status == _NO_CREDENTIALS else f"exit code {status}"
    result = f"{why}, {service.get('Result', '')}"
    hint = f"see `patchledger status` and `journalctl -u {units.SERVICE}`"
    return _bad("timer", f"the last tick failed at {when} ({result})", hint)


_ASKED = (
    *("LoadState", "UnitFileState", "ActiveState", "Result", "ExecMainStatus"),
    *("NextElapseUSecRealtime", "InactiveEnterTimestamp"),
)
_NO_CREDENTIALS = "243"  # systemd.exec(5), EXIT_CREDENTIALS
_ASKING: tuple[tuple[str, Check], ...] = (("policy", _policy), ("reports", _reports))
_LOCAL: tuple[tuple[str, Check], ...] = (
    ("reports", _signing_key),
    ("packages", _packages),
    ("state", _state),
    ("hooks", _hooks),
)


def redacted(finding: Finding, hide: Callable[[str], str]) -> Finding:
    """Return a finding whose texts went through ``hide``."""
    return replace(finding, message=hide(finding.message), hint=hide(finding.hint))
