"""Put the parts of one host together, as its configuration says: the composition root."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from reconciler import __version__
from reconciler.cli.showing.terminal import counter, outlived_by
from reconciler.cli.wiring.notifiers import notifiers_of
from reconciler.cli.wiring.remotes import (
    git_options,
    is_report_key_revoked,
    report_key,
    revocation,
    signing_rules,
)
from reconciler.errors import Misuse, Stalled
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.refs import is_oid
from reconciler.gitops.report_branches import host_branch
from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.gitops.revision import read_accepted
from reconciler.gitops.seal import Seals
from reconciler.gitops.signed_history import SignedHistory, authorities
from reconciler.gitops.upkeep import Upkeep
from reconciler.host.config import Config, digest_of_rules
from reconciler.host.install import credentials
from reconciler.host.machine.checks import Checks, settle
from reconciler.host.machine.clock import SystemClock, wait
from reconciler.host.machine.hooks import HookFolder
from reconciler.host.machine.inhibitors import Inhibitors
from reconciler.host.machine.links import NetworkLink
from reconciler.host.machine.locking import ROOTS_FOLDER, MachineLock
from reconciler.host.machine.reboot import SystemPower
from reconciler.host.machine.restarts import Restarts
from reconciler.host.state.fingerprint import signature
from reconciler.host.state.folder import StateFolder
from reconciler.host.state.run_logs import RunLogFolder
from reconciler.managers.detect import check_there, detect, dialect_of
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript, PolicyScripts
from reconciler.notify import (
    AppriseSender,
    Outbox,
    OutboxMessenger,
)
from reconciler.ownership import check_ours
from reconciler.planning.facts.guest_rows import GuestRow
from reconciler.planning.runs.hooks_and_health import CheckResult
from reconciler.policy.load import PolicyFile, Revision
from reconciler.reconcile.apply import Applier
from reconciler.reconcile.assess import Assessor
from reconciler.reconcile.policy_in_force import PolicyFollower, SignedTrust
from reconciler.reconcile.ports.policies import ReadPolicy
from reconciler.reconcile.ports.reports import Messenger
from reconciler.reconcile.ports.target import Clock, Power
from reconciler.reconcile.ports.where import ThisMachine
from reconciler.reconcile.recall import followed
from reconciler.reconcile.reporter import Reporter
from reconciler.reconcile.site import Site
from reconciler.reconcile.surroundings import Surroundings
from reconciler.reconcile.tick import Ticker
from reconciler.records import dataclass
from reconciler.targets.service import local_target

PROGRAM = f"patchledger {__version__}"

MIRROR = "policy.git"
QUEUE = "reports.git"
"""Folder of the state folder with the mirror of the policy."""

_BEAT = 5.0  # seconds between two looks for guests that are at work

UNPARSED = "unparsed.txt"
"""File of the state folder with the last output of a patch script that could not be read."""


@dataclass(slots=True)
class Witness:
    """What the package manager's files were like just before it was observed last.

    What changes while a tick is at work must be looked at again by the next one, but for what a refresh of
    the tick itself changed, since that is observed anew.

    Attributes:
        watched: Files and folders, as :func:`reconciler.host.state.fingerprint.signature` takes them.
        signature: Of these, before the last observation; empty before the first.
    """

    watched: tuple[str, ...] = ()
    signature: str = ""

    def look(self) -> None:
        """Take the signature anew."""
        self.signature = signature(self.watched)


@dataclass(slots=True)
class GuestsTold:
    """What the hypervisor's report says of its guests; the tick over them fills it before the hypervisor's.

    Attributes:
        rows: The worst first.
        fingerprint: How the next tick sees that none of them is to be looked at, as of
            :class:`reconciler.host.state.fingerprint.Fingerprint`; ``None`` where one is, or there are none.
        until: When one is to be looked at though nothing changed; ``None`` where that is never so.
        policy_commit: By which they were looked at.
        told_until: When what is held back of their messages is told at the latest, ``None`` where nothing is.
    """

    rows: tuple[GuestRow, ...] = ()
    fingerprint: dict[str, Any] | None = None
    until: datetime | None = None
    policy_commit: str = ""
    told_until: datetime | None = None

    def stand_by(self, commit: str) -> bool:
        """Say whether none is to be looked at by a policy: a newer one may be fetched before a step."""
        return self.fingerprint is not None and self.policy_commit == commit


@dataclass(frozen=True, slots=True)
class Wiring:
    """The parts of one host, ready for its verbs.

    Attributes:
        site: What belongs to this host alone.
        read: Gives what the policy is made of at a commit.
    """

    config: Config
    site: Site[ThisMachine]
    folder: StateFolder
    source: PolicyMirror
    read: ReadPolicy
    queue: ReportQueue
    ticker: Ticker
    upkeep: Upkeep
    outbox: Outbox
    manager: ScriptedManager
    witness: Witness
    guests: GuestsTold


def wire(
    config: Config,
    clock: Clock | None = None,
    power: Power[ThisMachine] | None = None,
    encrypted: Path = credentials.FOLDER,
) -> Wiring:
    """Put the parts together as ``config`` says, with this machine's own clock and power unless given.

    Args:
        config: Of the host.
        clock: Instead of this machine's.
        power: Instead of this machine's.
        encrypted: Folder of the encrypted credentials.

    Raises:
        Misuse: The state folder or the other root cannot be used, or an address in the configuration is none.
        Stalled: The patch script is not the one that was shipped, or the package manager is not supported.
    """
    check_usable(config)
    folder = StateFolder(config.state_dir)
    folder.prepare()
    source = policy_mirror(config)
    witness = Witness()
    manager = _manager(config, folder, witness.look)
    queue = _queue(config)
    guests = GuestsTold()
    site = _site(config, folder, manager, power, guests)
    used, timeout = clock or SystemClock(), config.git.timeout
    read = _reader(source, timeout)
    trust = _trust(config, source, used)
    of_runs = tuple if trust is None else partial(_policies_of_runs, run_logs(config))
    reported = partial(followed, queue, site.branch, of_runs)
    follower = PolicyFollower(source, read, timeout, reported, trust)
    names = frozenset(config.notifiers)
    outbox = Outbox(folder.path / "outbox")
    link = NetworkLink()
    assessor = Assessor(site, used, follower, queue, PROGRAM, timeout, names, outbox.complaints, link)
    applier = Applier(site, used, PROGRAM, assessor.ask_anew, link)
    send = AppriseSender(notifiers_of(config, encrypted), environment=config.environment)
    reporter = _reporter(config, site, queue, OutboxMessenger(outbox, send))
    return Wiring(
        config=config,
        site=site,
        folder=folder,
        source=source,
        read=read,
        queue=queue,
        ticker=Ticker(site, assessor, applier, reporter, config.secrets),
        upkeep=Upkeep(source, queue, Seals(folder.path / "seals.json")),
        outbox=outbox,
        manager=manager,
        witness=witness,
        guests=guests,
    )


def _site(
    config: Config,
    folder: StateFolder,
    manager: ScriptedManager,
    power: Power[ThisMachine] | None,
    guests: GuestsTold,
) -> Site[ThisMachine]:
    """Return what belongs to this host alone; of another root, nothing of the running system does."""
    own = config.root is None
    return Site(
        config.host,
        config.labels,
        host_branch(config.host),
        folder,
        MachineLock(
            ROOTS_FOLDER if os.geteuid() == 0 else folder.path,
            manager.database,
            (timedelta(0) if config.guests is None else config.guests.wait) if own else None,
            _patient,
        ),
        manager,
        _surroundings(config),
        power or (SystemPower() if own else None),
        run_logs(config),
        Inhibitors() if own else None,
        digest_of_rules(config),
        report_key(config),
        partial(is_report_key_revoked, config),
        guests=lambda: guests.rows,
        needed=partial(_needed, config),
    )


def _needed(config: Config, revision: Revision | None, now: datetime, until: datetime) -> str:
    if config.guests is None:
        return ""
    from reconciler.cli.wiring.needed import needed_by_guests  # noqa: PLC0415 - it builds on this module

    return needed_by_guests(config, revision, now, until)


def policy_mirror(config: Config) -> PolicyMirror:
    """Return the mirror of the policy that a host follows."""
    policy, mirror = config.policy, config.state_dir / MIRROR
    return PolicyMirror(mirror, policy.remote, policy.ref, git_options(config), config.trust.floor)


def _trust(config: Config, source: PolicyMirror, clock: Clock) -> SignedTrust | None:
    """Return what a signed policy must show, ``None`` where it need not be signed."""
    rules, repository = signing_rules(config), config.trust.repository
    if rules is None or repository is None:
        return None
    trust, history = config.trust, SignedHistory(source, rules, counter("policy commits are verified"))
    has_forge = trust.forge is not None
    return SignedTrust(
        history,
        repository,
        trust.max_head_age,
        trusts_forge=has_forge,
        clock=clock.state,
        authorities=partial(authorities, rules),
    )


def _reader(source: PolicyMirror, timeout: timedelta) -> ReadPolicy:
    def read(commit: str, now: datetime) -> Sequence[PolicyFile]:
        return read_accepted(source, commit, timeout=timeout.total_seconds(), now=now)

    return read


def _queue(config: Config) -> ReportQueue:
    return report_queue(config, copies=partial(_copies_of_reports, config.state_dir, config.log_dir))


def report_queue(config: Config, copies: Callable[[], Iterable[Path]] = tuple) -> ReportQueue:
    """Return this host's side of the report repository.

    Args:
        config: Of the host.
        copies: As of :class:`reconciler.gitops.report_queue.ReportQueue`.

    Raises:
        Misuse: An address cannot be used.
    """
    return ReportQueue(
        config.state_dir / QUEUE,
        config.report_remote,
        Identity(config.host, str(config.reports.signing_key or "")),
        git_options(config),
        others=config.report_remotes[1:],
        copies=copies,
        revoked=partial(revocation, config),
    )


def _reporter(config: Config, site: Site[ThisMachine], queue: ReportQueue, messenger: Messenger) -> Reporter:
    return Reporter(
        site,
        queue,
        messenger,
        heartbeat=config.reports.heartbeat,
        keep_runs=config.retention.runs,
        timeout=config.git.timeout,
        has_remote=config.report_remote is not None,
    )


def _policies_of_runs(logs: RunLogFolder) -> Iterator[str]:
    """Yield the policy commit that was accepted last, and those of this host's runs, the newest first.

    Both are kept beside the logs of runs, where a lost state folder does not take them away.
    """
    spare = logs.spare()
    if spare is not None and is_oid(spare.policy):
        yield spare.policy
    for run in reversed(logs.runs()):
        told = (logs.record(run) or {}).get("policy_commit")
        if isinstance(told, str) and is_oid(told):
            yield told


def _patient(is_free: Callable[[], bool], within: timedelta) -> bool:
    clock = SystemClock()
    until = clock.elapsed() + within
    while not is_free():
        if clock.elapsed() >= until:
            return False
        wait(_BEAT)
    return True


def _copies_of_reports(state: Path, logs: Path) -> Iterator[Path]:
    """Yield the files outside of the queue that hold what reports hold, byte by byte."""
    yield from (state / "report.json", state / "observation.json")
    for pattern in ("*.json", "*.log"):
        yield from sorted(logs.glob(pattern))


def _surroundings(config: Config) -> Surroundings[ThisMachine]:
    """Return what is done around a run; of another root, no service of this system is touched."""
    own = config.root is None
    return Surroundings(HookFolder(config.hooks_dir, {}), Checks({}), Restarts({}) if own else None, settled)


def settled(
    ask: Callable[[], Sequence[CheckResult]], before: Sequence[CheckResult], within: timedelta
) -> tuple[CheckResult, ...]:
    """Give services their time, by this machine's clock."""
    clock = SystemClock()
    return settle(ask, before, within, wait=wait, elapsed=lambda: clock.elapsed().total_seconds())


def run_logs(config: Config) -> RunLogFolder:
    """Return where the logs of runs are kept, and how long."""
    kept = config.retention.logs
    return RunLogFolder(config.log_dir, kept.count, kept.age)


def check_usable(config: Config) -> None:
    """Refuse what keeps every tick from its work and no server can mend.

    Raises:
        Misuse: The other root cannot be used, or a branch or commit that is named can be none.
    """
    policy_mirror(config)
    if config.root is not None and not config.root.is_dir():
        raise Misuse(f"root: there is no folder {config.root}", "name the top of a chroot or image")
    if config.root is not None:
        check_ours(str(config.root), "root")


def check_manager(config: Config) -> None:
    """Refuse a configuration by which no tick would find its package manager.

    A tick itself need not ask: what it runs then says so.

    Raises:
        Misuse: The named one is not there; or none is named, and there is none, or it cannot be told which.
        Transient: This machine did not say in time what it has.
        Stalled: It could not say.
    """
    target = local_target(config.environment)
    if config.manager is not None:
        check_there(config.manager, target)
        return
    try:
        detect(target, root=config.root)
    except Stalled as error:
        raise Misuse(f"manager: {error.message}", error.hint) from error


def _manager(config: Config, folder: StateFolder, before_observe: Callable[[], None]) -> ScriptedManager:
    target = local_target(config.environment)
    dialect = dialect_of(config.manager or detect(target, root=config.root))

    def keep(printed: bytes) -> str:
        folder.write(UNPARSED, printed)
        return str(folder.path / UNPARSED)

    script = PatchScript.load(dialect.script)
    return ScriptedManager(
        dialect,
        target,
        script,
        folder.path / "cache",
        root=config.root,
        keep=keep,
        before_observe=before_observe,
        at_work=partial(outlived_by, dialect.name),
        policy_scripts=policy_scripts(config),
    )


def policy_scripts(config: Config) -> PolicyScripts:
    """Return which scripts of the policy repository may run on the host."""
    accepted = frozenset(pin.removeprefix("sha256:") for pin in config.allow_policy_scripts)
    return PolicyScripts(accepted, config.state_dir / "scripts")
