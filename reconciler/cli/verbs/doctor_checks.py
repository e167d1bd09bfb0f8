"""What ``doctor`` looks at, each as a function that yields findings and changes nothing.

A check that cannot even be made is a finding too, and never keeps the others from being made.
"""

import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path

from reconciler import __version__, process
from reconciler.cli.verbs.guests import unmeant_lines
from reconciler.cli.verbs.setup_checks import (
    ACCESS_HINT,
    Access,
    PolicyLook,
    check_report_key,
    check_reports,
    policy_access,
    verified_before,
)
from reconciler.cli.wiring.compose import policy_scripts, report_queue
from reconciler.cli.wiring.guests import folders_of, guests_of, policy_here
from reconciler.cli.wiring.remotes import signing_rules
from reconciler.errors import FAILED, ReconcilerError, exit_code
from reconciler.gitops.signed_history import read_rules
from reconciler.host.config import Config, Guests, Notifier, load_config
from reconciler.host.install import competing, credentials, units
from reconciler.host.install.installation import Layout
from reconciler.host.machine.clock import SystemClock
from reconciler.host.machine.hooks import HookFolder
from reconciler.host.machine.systemd import Systemd, unanswered
from reconciler.host.state.folder import StateFolder
from reconciler.host.state.memory import read_page
from reconciler.managers.detect import check_there, detect, dialect_of
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript, PolicyScripts
from reconciler.notify import (
    ANSWERS,
    CANNOT_BE_ASKED,
    Address,
    CredentialSource,
    FileSource,
    Notifiers,
    Outbox,
    ask,
    parse_address,
)
from reconciler.ownership import is_own, who_else_may_change
from reconciler.planning.facts.guests import Gone, Inventory, Moved
from reconciler.planning.facts.matching import unmeant
from reconciler.planning.facts.observation import ClockState
from reconciler.planning.notices.events import without_notifier
from reconciler.planning.runs.hooks_and_health import HookStage
from reconciler.planning.text.wording import listed, mebibytes, plural
from reconciler.policy.problems import visible
from reconciler.policy.signers import OPENPGP
from reconciler.reconcile.ports.state import NOTICES
from reconciler.records import dataclass
from reconciler.targets.service import local_target

_OLDEST_GIT = (2, 34)
_OLDEST_SYSTEMD = 250
_PATIENCE = 30.0  # seconds for a program of this machine
_ENDS_SOON = timedelta(days=30)
"""How long before the end of a key it is told."""
_LITTLE = 512 * 2**20  # bytes; a kernel with its initial ramdisk takes half of that
_STAGES: tuple[HookStage, ...] = ("pre", "post", "pre-reboot", "health")


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class CheckFinding:
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


Findings = Iterator[CheckFinding]
Check = tuple[str, Callable[[], Findings]]
"""A check and its name, which a finding has where the check cannot be made."""


def _ok(check: str, message: str) -> CheckFinding:
    return CheckFinding(check, Level.OK, message)


def _unknown(check: str, message: str, hint: str = "") -> CheckFinding:
    return CheckFinding(check, Level.UNKNOWN, message, hint)


def _warning(check: str, message: str, hint: str) -> CheckFinding:
    return CheckFinding(check, Level.WARNING, message, hint)


def _problem(check: str, message: str, hint: str, code: int = FAILED) -> CheckFinding:
    return CheckFinding(check, Level.PROBLEM, message, hint, code)


def _unmade(check: str, error: ReconcilerError | OSError) -> CheckFinding:
    """Return the finding that a check cannot be made."""
    if isinstance(error, ReconcilerError):
        return _problem(check, error.message, error.hint, exit_code(error))
    place = f"{error.filename}: " if error.filename else ""
    return _problem(check, f"{place}{error.strerror}", "look at its owner and mode")


def _made(name: str, check: Callable[[], Findings]) -> Findings:
    try:
        yield from check()
    except (ReconcilerError, OSError) as error:
        yield _unmade(name, error)


@dataclass(frozen=True, slots=True)
class Held:
    """The address of a notifier, and what was found on the way to it.

    Attributes:
        address: ``None`` where it cannot be had.
    """

    address: Address | None
    findings: tuple[CheckFinding, ...]


@dataclass(frozen=True, slots=True)
class Examined:
    """What is examined: all that must be known before anything is shown.

    Attributes:
        layout: Where the files are.
        config: ``None`` where it is wrong.
        configuration: What was found of it.
        notifiers: Their addresses by name; what they hold must not be shown.
    """

    layout: Layout
    config: Config | None
    configuration: tuple[CheckFinding, ...]
    notifiers: Mapping[str, Held]


def read(config_file: Path) -> Examined:
    """Read a configuration, given by its absolute path, and the addresses that it names."""
    layout = Layout(config_file)
    try:
        config = load_config(config_file)
    except (ReconcilerError, OSError) as error:
        return Examined(layout, None, (_unmade("configuration", error),), {})
    return Examined(
        layout,
        config,
        tuple(_made("configuration", partial(_configuration, config_file, config))),
        {name: _held(name, one, layout) for name, one in sorted(config.notifiers.items())},
    )


def examine(examined: Examined, *, offline: bool) -> Findings:
    """Make all checks, and yield what they find as they find it.

    Args:
        examined: From :func:`read`.
        offline: Ask no server.
    """
    systemd = Systemd({})
    checks: list[Check] = [
        ("program", _program),
        ("git", _git),
        ("systemd", partial(_systemd, systemd)),
        ("configuration", lambda: iter(examined.configuration)),
    ]
    config = examined.config
    if config is not None:
        checks += [] if offline else [("policy", partial(_policy, config))]
        checks += [("signatures", partial(_signatures, config))]
        checks += [
            ("reports", partial(_reports, config, offline=offline)),
            ("packages", partial(_packages, config)),
            ("state", partial(_state, config)),
            ("hooks", partial(_hooks, config.hooks_dir)),
        ]
        if config.guests is not None:
            checks += [("guests", partial(_guests, config, config.guests))]
        checks += [
            ("notifiers", partial(_notifier, config, name, held, offline=offline))
            for name, held in examined.notifiers.items()
        ]
        checks += [("notifiers", partial(_routes, config)), ("notifiers", partial(_undelivered, config))]
    checks += [
        ("clock", _clock),
        ("updaters", partial(_updaters, systemd)),
        ("timer", partial(_timer, systemd, examined.layout)),
    ]
    for name, check in checks:
        yield from _made(name, check)


# --- Programs -------------------------------------------------------------------------------------------


def _program() -> Findings:
    python = ".".join(map(str, sys.version_info[:3]))
    yield _ok("program", f"patchledger {__version__} with Python {python}")


def _git() -> Findings:
    said = process.run(["git", "--version"], timeout=_PATIENCE).text.strip()
    number = re.search(r"(\d+)\.(\d+)", said)
    if number is None or (int(number[1]), int(number[2])) < _OLDEST_GIT:
        yield _problem("git", f"git 2.34 or newer is needed, this is {said or 'none'}", "upgrade git")
    else:
        yield _ok("git", said)


def _systemd(systemd: Systemd) -> Findings:
    if not systemd.is_running:
        yield _unknown("systemd", "systemd does not run here: there are no units and no timer")
        return
    said = systemd.ask("systemctl", "--version").text
    number = re.match(r"systemd (\d+)", said)
    if number is None or int(number[1]) < _OLDEST_SYSTEMD:
        hint = "keep the addresses of notifiers in files, or upgrade"
        yield _warning("systemd", "encrypted credentials need systemd 250 or newer, this is older", hint)
    else:
        yield _ok("systemd", f"systemd {number[1]} runs")


# --- Configuration and remotes --------------------------------------------------------------------------


def _configuration(file: Path, config: Config) -> Findings:
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        yield _warning("configuration", f"{file} can be read by others", f"chmod 600 {file}")
    else:
        yield _ok("configuration", f"{file}: this is {config.host}")


def _policy(config: Config) -> Findings:
    yield _ok("policy", PolicyLook().check(config, verified_before(config)))
    match policy_access(config):
        case Access.MAY_WRITE, said:
            yield _warning("policy", said, ACCESS_HINT)
        case Access.UNKNOWN, said:
            yield _unknown("policy", said)
        case Access.READS_ONLY, said:
            yield _ok("policy", said)
        case None:
            pass


def _signatures(config: Config) -> Findings:
    rules = signing_rules(config)
    if rules is None:
        yield _ok("signatures", "signatures are not asked for (trust.mode is none)")
        return
    found, now = read_rules(rules), SystemClock().now()
    for problem in found.problems:
        yield _problem("signatures", str(problem), "correct it: no policy is accepted meanwhile")
    counting = [one for one in found.signers if not one.ended_before(now) and not one.begins_after(now)]
    if counting:
        yield _ok("signatures", f"{plural(len(counting), 'key')} of this host's own list may sign policy")
    elif not found.problems:
        hint = "add the line of a key that is valid now"
        yield _problem("signatures", f"nobody of {rules.signers} may sign policy", hint)
    if found.forge.keys:
        accounts = plural(len(found.forge.accounts), "account")
        yield _ok("signatures", f"the forge {found.forge.keys[0].who} is trusted for merges by {accounts}")
    for one in counting:
        if one.ended_before(now + _ENDS_SOON):
            hint = "have its successor listed, by a commit that this key still signs"
            said = f"the key of {visible(one.who)} ends on {one.valid_before:%Y-%m-%d}"
            yield _warning("signatures", f"{rules.signers}:{one.line}: {said}", hint)
    path = config.environment.get("PATH", process.BASE_PATH)
    asked = {"gpg" if one.type == OPENPGP else "ssh-keygen" for one in (*counting, *found.forge.keys)}
    for program in sorted(asked):
        if shutil.which(program, path=path) is None:
            yield _problem("signatures", f"{program} is missing: no signature can be verified", "install it")


def _reports(config: Config, *, offline: bool) -> Findings:
    if not offline:
        yield from _made("reports", partial(_pushing, config))
    yield from _signing_key(config)
    if config.reports.signing_key is not None:
        yield _enrolment(config)


def _enrolment(config: Config) -> CheckFinding:
    """Say whether the policy knows the key, as the last tick found it."""
    file = config.state_dir / "report.json"
    try:
        said = json.loads(file.read_bytes())["host"]["enrolled"]
    except (OSError, ValueError, KeyError, TypeError):
        return _unknown("reports", "whether this host is enrolled is known after its first tick")
    match said:
        case "enrolled":
            return _ok("reports", "this host is enrolled: the policy names the key that signs its reports")
        case "":
            return _ok("reports", "this host is not enrolled: nobody compares by which key it signs reports")
        case _:
            hint = "see `patchledger status`; `patchledger adjust` prints what its document is to say"
            return _warning("reports", f"this host's reports do not count: {visible(str(said))}", hint)


def _pushing(config: Config) -> Findings:
    said = check_reports(config, is_new=False)
    yield _ok("reports", said or "reports stay on this host: no report remote is configured")


def _signing_key(config: Config) -> Findings:
    key = config.reports.signing_key
    if key is None:
        yield _ok("reports", "reports are not signed: no reports.signing_key is configured")
    elif not key.exists():
        hint = "run `patchledger setup`, which makes it; then have the policy name the new one"
        yield _problem("reports", f"reports.signing_key {key}: there is no such file", hint)
    else:
        yield _ok("reports", check_report_key(config))


# --- The package manager --------------------------------------------------------------------------------


def _packages(config: Config) -> Findings:
    target = local_target(config.environment)
    if config.manager is not None:
        check_there(config.manager, target)
    dialect = dialect_of(config.manager or detect(target, root=config.root))
    script = PatchScript.load(dialect.script)
    names = " and ".join(name for name, _ in script.hashes)
    yield _ok("scripts", f"{names} are those that were delivered")
    of_policy = policy_scripts(config)
    yield from _of_policy(of_policy, script)
    with tempfile.TemporaryDirectory(prefix="patchledger-") as cache:
        manager = ScriptedManager(
            dialect, target, script, Path(cache), root=config.root, policy_scripts=of_policy
        )
        seen = manager.observe(SystemClock().now())
    health = seen.health
    if health.interrupted:
        hint = "the next run repairs what it left itself; else repair with the package manager"
        yield _problem("packages", f"left half done: {listed(health.interrupted)}", hint)
    if health.broken:
        yield _problem("packages", f"broken: {listed(health.broken, 3)}", "repair with the package manager")
    if health.lock_holder:
        hint = "a run waits for it, as long as the policy's lock_wait says"
        yield _warning("packages", f"the database is in use by {health.lock_holder}", hint)
    if not (health.interrupted or health.broken or health.lock_holder):
        many = plural(len(seen.installed), "package")
        yield _ok("packages", f"{dialect.name}: {many}, nothing half done, nobody else at work")
    for place in health.filesystems:
        if place.free < min(_LITTLE, place.size // 10):
            yield _little_space(place.path, place.free)


def _of_policy(scripts: PolicyScripts, own: PatchScript) -> Findings:
    """Tell which scripts of the policy repository the host accepts, and whether the last run was by one."""
    if not scripts.accepted:
        return
    yield _ok("scripts", f"{plural(len(scripts.accepted), 'script')} of the policy repository may run here")
    if scripts.last(own).replacement:
        digest = dict(scripts.last(own).hashes)[own.name]
        yield _ok("scripts", f"the last run was by {own.name} of the policy repository, sha256 {digest}")


def _little_space(path: str, free: int) -> CheckFinding:
    return _warning("space", f"{path} has only {mebibytes(free)} free", "free some space")


# --- Folders --------------------------------------------------------------------------------------------


def _state(config: Config) -> Findings:
    for key, folder in (("state_dir", config.state_dir), ("log_dir", config.log_dir)):
        yield from _folder(key, folder)
    folder = config.state_dir
    if not folder.is_dir():
        return
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    yield (
        _little_space(str(folder), free)
        if free < _LITTLE
        else _ok("space", f"{folder} has {mebibytes(free)} free")
    )
    if StateFolder(folder).tells_of_a_run:
        hint = "the next tick verifies and reports it; see `patchledger status`"
        yield _warning("state", "a run waits for its end or for the proof of a reboot", hint)
    queue = folder / "reports.git"
    if queue.is_dir() and config.report_remote is not None:
        waiting = report_queue(config).unpushed()
        if waiting:
            hint = "they are pushed by the next tick that reaches the remote"
            yield _warning("reports", f"not pushed yet: {listed(waiting)}", hint)


def _undelivered(config: Config) -> Findings:
    for said in Outbox(config.state_dir / "outbox").complaints(SystemClock().now()):
        hint = "correct the address or what its service says to it, see `patchledger notify test`"
        yield _warning("notifiers", said, hint)


def _folder(key: str, folder: Path) -> Findings:
    try:
        found = folder.stat()
    except FileNotFoundError:
        yield _ok("state", f"{key} {folder} is not there yet; it is made when it is needed")
        return
    others = who_else_may_change(str(folder)) or ("" if is_own(found) else "others may write to it")
    if others:
        hint = "chown what is named to root or yourself, and chmod go-w it"
        yield _problem("state", f"{key} {folder}: others may write to it or replace it: {others}", hint)
    elif key == "state_dir" and stat.S_IMODE(found.st_mode) & 0o077:
        yield _warning("state", f"{key} {folder} can be read by others", f"chmod 700 {folder}")
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield _problem("state", f"{key} {folder} cannot be written", "run as its owner, or set another")
    else:
        yield _ok("state", f"{key} {folder} is ours alone")


def _hooks(folder: Path) -> Findings:
    hooks = HookFolder(folder, {})
    fine = 0
    for stage in _STAGES:
        for name, why in hooks.ignored(stage):
            yield _warning("hooks", f"{stage}.d/{name} is no hook: {why}", "see the page on hooks")
        for name in hooks.names(stage):
            path = folder / f"{stage}.d" / name
            try:
                others = who_else_may_change(str(path))
            except OSError as error:
                others = f"it leads to nothing that could be run: {error.strerror}"
            if others:
                hint = "give it and the folders above it to root, writable by nobody else"
                yield _problem("hooks", f"{stage}.d/{name} is refused: {others}", hint)
            else:
                fine += 1
    yield _ok("hooks", f"{folder}: {plural(fine, 'hook')} in use")


# --- Guests ---------------------------------------------------------------------------------------------


def _guests(config: Config, said: Guests) -> Findings:
    found = guests_of(said, folders_of(config))
    for problem in found.problems:
        yield _problem("guests", problem, "look for guests where they are: `guests.from` says where")
    for noted in found.notes:
        yield _warning("guests", noted, "see the page on guests")
    yield from _single_guests(found, said)
    if "hooks_dir" in said.model_fields_set or said.hooks_dir.is_dir():
        yield from _hooks(said.hooks_dir)
    revision = policy_here(config)
    for line in unmeant_lines(() if revision is None else unmeant(revision, found.guests, config.host)):
        yield _warning("guests", line, 'name `guest_of` in its match, or `not: {guest_of: "*"}`')
    left_out = sum(bool(one.left_out) for one in found.guests)
    yield _ok("guests", f"{plural(len(found.guests), 'guest')}, {left_out} left out (`patchledger guests`)")


def _single_guests(found: Inventory, said: Guests) -> Findings:
    """Tell of guests that the configuration means in vain, and of tags that are no labels."""
    for one in found.guests:
        if isinstance(one.state, Gone | Moved):
            hint = "leave it out of `guests` in the configuration, or correct its id"
            yield _warning("guests", f"guest {one.id} is named, and {one.left_out}", hint)
        elif one.id in said.labels and one.left_out.startswith("guests."):
            said_so = f"labels of guest {one.id} have no effect: {one.left_out}"
            yield _warning("guests", said_so, "leave one of the two out")
        for noted in one.notes:
            yield _ok("guests", f"guest {one.id}: {noted}")


# --- Notifiers ------------------------------------------------------------------------------------------


def _routes(config: Config) -> Findings:
    """Compare the halves of one setting: where the policy sends messages, and what has an address here."""
    data = StateFolder(config.state_dir).read(NOTICES)
    routes = read_page(NOTICES, data).kept.get("routes") if data is not None else None
    named = [one.get("to") for one in routes if isinstance(one, dict)] if isinstance(routes, list) else []
    wrong = without_notifier((name for name in named if isinstance(name, str)), config.notifiers)
    if wrong:
        hint = "add it by `patchledger adjust --notifier NAME=FILE`, or correct `notify` in the policy"
        yield _warning("notifiers", wrong, hint)


def _notifier(config: Config, name: str, held: Held, *, offline: bool) -> Findings:
    yield from held.findings
    if held.address is not None and not offline:
        yield _answer(config, name, held.address)


def _held(name: str, notifier: Notifier, layout: Layout) -> Held:
    try:
        if notifier.credential is not None:
            return _credential(name, notifier.credential, layout)
        address = Notifiers({name: FileSource(notifier.file or Path())}).address(name)
    except (ReconcilerError, OSError) as error:
        return Held(None, (_unmade("notifiers", error),))
    return Held(address, (_ok("notifiers", f"{name}: {notifier.file} can be read by its owner alone"),))


def _credential(name: str, credential: str, layout: Layout) -> Held:
    passed = os.environ.get("CREDENTIALS_DIRECTORY")
    if passed:
        source = Notifiers({name: CredentialSource(credential)}, Path(passed))
        told = _ok("notifiers", f"{name}: the unit loads the credential {credential}")
        return Held(source.address(name), (told,))
    unavailable = credentials.is_available()
    if unavailable:
        message = f"{name}: whether the credential {credential} decrypts is not known: {unavailable}"
        return Held(None, (_unknown("notifiers", message, "run doctor as root"),))
    places = credentials.places(credential, layout.credentials)
    path = next((place for place in places if place.exists()), places[0])
    try:
        address = parse_address(name, credentials.decrypt(credential, path))
    except ReconcilerError as error:
        message = f"{name}: the credential {credential} cannot be had: {error.message}"
        return Held(None, (_problem("notifiers", message, error.hint, exit_code(error)),))
    found = _ok("notifiers", f"{name}: the credential {credential} decrypts")
    return Held(address, (found, *_unloaded(name, credential, layout)))


def _unloaded(name: str, credential: str, layout: Layout) -> Findings:
    unit = layout.units / units.SERVICE
    if unit.exists() and f"\nLoadCredentialEncrypted={credential}:" not in unit.read_text(encoding="utf-8"):
        message = f"{name}: {unit} does not load the credential {credential}"
        yield _problem("notifiers", message, "run `patchledger adjust`")


def _answer(config: Config, name: str, address: Address) -> CheckFinding:
    said = ask(address, config.environment)
    if said == ANSWERS:
        return _ok("notifiers", f"{name} answers")
    if said == CANNOT_BE_ASKED:
        message = f"{name}: only a message would tell whether it answers"
        return _unknown("notifiers", message, f"try `patchledger notify test {name}`")
    return _problem("notifiers", f"{name}: {said}", "correct its address with `patchledger adjust`")


# --- The machine ----------------------------------------------------------------------------------------


def _clock() -> Findings:
    match SystemClock().state():
        case ClockState.SYNCHRONISED:
            yield _ok("clock", "the clock is synchronised")
        case ClockState.UNSYNCHRONISED:
            hint = "start a time service, such as systemd-timesyncd or chrony"
            yield _warning("clock", "the clock is not synchronised", hint)
        case ClockState.UNKNOWN:
            hint = "in a container, its host keeps the clock"
            yield _unknown("clock", "the kernel does not say whether the clock is synchronised", hint)


def _updaters(systemd: Systemd) -> Findings:
    found = competing.find()
    for updater in found:
        if updater.parked:
            continue
        acting = [unit.name for unit in updater.units if not unit.is_parked]
        hint = f"`patchledger setup` parks it; by hand: systemctl mask --now {' '.join(acting)}"
        message = f"{updater.name} updates this machine too, outside of any window ({listed(acting)})"
        yield _warning("updaters", message, hint)
    if systemd.is_running and all(updater.parked for updater in found):
        yield _ok("updaters", "nothing else updates this machine by itself")


def _timer(systemd: Systemd, layout: Layout) -> Findings:
    if not systemd.is_running or not layout.is_system:
        return
    names = (units.TIMER, units.WATCH, units.SERVICE)
    done = systemd.ask("systemctl", "show", f"--property={','.join(_PROPERTIES)}", "--", *names)
    if done.returncode or done.timed_out:
        raise unanswered("systemctl show", done)
    blocks = [
        dict(line.partition("=")[::2] for line in block.splitlines())
        for block in done.text.strip().split("\n\n")
    ]
    timer, watch, service = (blocks[number] if number < len(blocks) else {} for number in range(len(names)))
    yield _ticking(timer, watch, is_set_up=layout.manifest.exists())
    if service.get("LoadState") == "loaded" and service.get("InactiveEnterTimestamp"):
        yield _last(service)


def _ticking(timer: dict[str, str], watch: dict[str, str], *, is_set_up: bool) -> CheckFinding:
    if watch.get("ActiveState") == "active":
        return _ok("timer", f"{units.WATCH} is at work")
    if timer.get("LoadState") != "loaded":
        return _warning("timer", "no timer is installed: nothing runs by itself", "run `patchledger setup`")
    if timer.get("UnitFileState") != "enabled" or timer.get("ActiveState") != "active":
        hint = "run `patchledger enable`" if is_set_up else "run `patchledger setup`"
        return _warning("timer", f"{units.TIMER} is not enabled and started", hint)
    return _ok("timer", f"the next tick is at {timer.get('NextElapseUSecRealtime') or 'an unknown time'}")


def _last(service: dict[str, str]) -> CheckFinding:
    when, status = service["InactiveEnterTimestamp"], service.get("ExecMainStatus", "")
    if service.get("ActiveState") != "failed":
        return _ok("timer", f"the last tick ended well at {when}")
    why = "a credential could not be loaded" if status == _NO_CREDENTIALS else f"exit code {status}"
    result = f"{why}, {service.get('Result', '')}"
    hint = f"see `patchledger status` and `journalctl -u {units.SERVICE}`"
    return _problem("timer", f"the last tick failed at {when} ({result})", hint)


_PROPERTIES = (
    *("LoadState", "UnitFileState", "ActiveState", "Result", "ExecMainStatus"),
    *("NextElapseUSecRealtime", "InactiveEnterTimestamp"),
)
_NO_CREDENTIALS = "243"  # systemd.exec(5), EXIT_CREDENTIALS


def redacted(finding: CheckFinding, hide: Callable[[str], str]) -> CheckFinding:
    """Return a finding whose texts went through ``hide``."""
    return replace(finding, message=hide(finding.message), hint=hide(finding.hint))
