"""Test what ``setup`` was told: is the policy served, may reports be pushed, does a notifier answer?"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import field
from enum import Enum
from pathlib import Path
from typing import TypeVar

from reconciler.cli.showing.terminal import counter
from reconciler.cli.verbs.notify import send_test
from reconciler.cli.wiring.compose import MIRROR
from reconciler.cli.wiring.remotes import git_options, is_report_key_revoked, signing_rules
from reconciler.errors import Misuse, ReconcilerError, Stalled, Transient
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.probe import ACCESS_REFUSED, Demands, Served, opened_policy, probe_push
from reconciler.gitops.report_branches import host_branch
from reconciler.host.config import Config, Notifier, load_config
from reconciler.host.install.answers import Answers, NotifierAnswer
from reconciler.host.install.credentials import decrypt
from reconciler.host.machine.clock import SystemClock
from reconciler.host.state.folder import StateFolder
from reconciler.notify import (
    ANSWERS,
    CANNOT_BE_ASKED,
    Address,
    FileSource,
    GivenSource,
    Notifiers,
    ask,
    parse_address,
)
from reconciler.ownership import check_ours
from reconciler.policy.remotes import parse_remote, redact_url
from reconciler.process import run
from reconciler.reconcile.ports.policies import Acceptance
from reconciler.reconcile.ports.target import Clock
from reconciler.records import dataclass

T = TypeVar("T")
_PATIENCE = 30.0  # seconds for a remote, while somebody waits for the answer
_NEVER_PUSHED = "patchledger-never-pushed"
_HINT = "check address, network and firewall, then try again"


@dataclass(frozen=True, slots=True)
class PolicyLook:
    """Looks at the policy that a configuration names, and who signed it where that is asked for.

    Attributes:
        kept: Folder for its copy, so that a long line is verified once, however often one looks, and also
            where setup is ended in the middle; ``None`` where nothing may be kept.
        clock: By which keys are valid or not.
    """

    kept: Path | None = None
    clock: Clock = field(default_factory=SystemClock)

    def check(self, config: Config, known: Acceptance | None = None) -> str:
        """Fetch the policy; return what was found.

        Args:
            config: As it will be read.
            known: What this host accepted last, after it was verified.

        Raises:
            ReconcilerError: It cannot be had, in one line with what to do.
        """
        since = known or _known(config)
        found = _asked(lambda: self._served(config, since))
        signed = f", signed by {found.signer}" if found.signer else ""
        return (
            f"the policy can be fetched: {config.policy.ref} is at {found.head[:12]} of "
            f"{found.committed_at:%Y-%m-%d}, {found.subject!r}{signed}"
        )

    def first_floor(self, config: Config) -> str:
        """Return the full id of the policy's newest commit, which was verified, as where a host begins.

        A host that was set up before, and has kept its state, does not begin anew: the commit must continue
        what it accepted last.

        Raises:
            Stalled: It does not.
            ReconcilerError: As for :meth:`check`.
        """
        known = _accepted_before(config)
        with self._opened(config, None) as (source, served):
            if known and known not in source.line(served.head):
                raise Stalled(
                    f"branch {source.branch} of {source.shown} does not continue commit {known}, which this "
                    f"host accepted before, by what it kept in {config.state_dir}",
                    "if that is intended, name a commit by --trust-floor",
                )
            return served.head

    def opened(self, config: Config) -> AbstractContextManager[tuple[PolicyMirror, Served]]:
        """Fetch the policy, verified where that is asked for, to be read meanwhile.

        Raises:
            ReconcilerError: As for :meth:`check`.
        """
        return self._opened(config, config.trust.floor, _known(config))

    def _served(self, config: Config, known: Acceptance | None) -> Served:
        with self._opened(config, config.trust.floor, known) as (_, served):
            return served

    def _opened(
        self, config: Config, floor: str | None, known: Acceptance | None = None
    ) -> AbstractContextManager[tuple[PolicyMirror, Served]]:
        policy, tell = config.policy, counter("policy commits are verified")
        wanted = Demands(floor, signing_rules(config), tell, self.clock.state, known)
        return opened_policy(
            policy.remote,
            policy.ref,
            git_options(config),
            wanted,
            timeout=_timeout(config),
            now=self.clock.now(),
            kept=self.kept,
        )


def _known(config: Config) -> Acceptance | None:
    """Return from where on a host that was set up goes on: a key that ended since is no worry of its.

    Without a floor it begins anew, from where it may: see :meth:`PolicyLook.first_floor`.
    """
    return None if config.trust.floor is None else verified_before(config)


def verified_before(config: Config) -> Acceptance | None:
    """Return what this host accepted last, after it was verified, by its own copy of the policy.

    Nothing is changed for that.
    """
    policy = config.policy
    try:
        found = PolicyMirror(config.state_dir / MIRROR, policy.remote, policy.ref).accepted()
    except (ReconcilerError, OSError):
        return None
    return found if found is not None and found.is_verified else None


def _accepted_before(config: Config) -> str:
    """Return the commit that this host accepted last, empty where it has kept none."""
    if not config.state_dir.is_dir():
        return ""
    policy, kept = config.policy, StateFolder(config.state_dir).recall().state.accepted
    accepted = PolicyMirror(config.state_dir / MIRROR, policy.remote, policy.ref).accepted()
    return kept or ("" if accepted is None else accepted.commit)


def check_reports(config: Config, *, is_new: bool = True) -> str:
    """Ask for the right to push this host's reports; return what was found, empty where none are pushed.

    Args:
        config: As it will be read.
        is_new: The host is only set up, so that its branch should not be there yet.

    Raises:
        ReconcilerError: They cannot be pushed, in one line with what to do.
    """
    remote = config.report_remote
    if remote is None:
        return ""
    branch = host_branch(config.host)
    is_there = _asked(lambda: probe_push(remote, branch, git_options(config), timeout=_timeout(config)))
    said = f"reports may be pushed to {branch} of {redact_url(remote)}"
    if is_there and is_new:
        said += "; that branch is there already and will be continued: no other host may have this id"
    return said


class Access(Enum):
    """Whether this host's own credential may write to the policy repository."""

    MAY_WRITE = "may write"
    READS_ONLY = "reads only"
    UNKNOWN = "unknown"


def policy_access(config: Config) -> tuple[Access, str] | None:
    """Ask whether the policy repository is opened for pushing to this host; nothing is sent there.

    Returns:
        The answer, in words as well; ``None`` where there is no credential, or one repository is for both.
    """
    remote = config.policy.remote
    if parse_remote(remote).path or config.is_one_repository:
        return None
    where = redact_url(remote)
    try:
        probe_push(remote, _NEVER_PUSHED, git_options(config), timeout=_timeout(config))
    except ReconcilerError as error:
        if error.reason == ACCESS_REFUSED:
            return Access.READS_ONLY, f"this host's credential may only read {where}"
        said = f"whether this host's credential may write to {where} could not be found out: {error.message}"
        return Access.UNKNOWN, said
    # A dry run ends before anything is sent, and so before any hook is asked.
    said = f"{where} is opened for pushing to this host's credential; only a hook there could still refuse"
    return Access.MAY_WRITE, said


ACCESS_HINT = "give hosts a credential that may only read policy, such as a read-only deploy key"


def check_report_key(config: Config) -> str:
    """Look whether reports can be signed; return what was found, empty where they are not to be.

    Raises:
        Misuse: The key that is there cannot be used, or others could change it.
    """
    key = config.reports.signing_key
    if key is None or not key.exists():
        return ""
    check_ours(str(key), "reports.signing_key")
    done = run(["ssh-keygen", "-y", "-P", "", "-f", str(key)], timeout=_PATIENCE)
    if done.returncode or done.timed_out:
        words = (done.error_text or "it cannot be used").splitlines()[-1]
        hint = "name a private key without a passphrase that its owner alone may read"
        raise Misuse(f"reports.signing_key {key}: {words}", hint)
    if is_report_key_revoked(config):
        hint = "name another one, or move it away and run `patchledger setup`, which makes a new one"
        raise Misuse(f"reports.signing_key {key}: this key is revoked by {config.trust.revoked}", hint)
    return f"reports are signed with {key}"


def check_notifier(config: Config, name: str, address: Address) -> str:
    """Send a message through a notifier; return what was done.

    Raises:
        ReconcilerError: The service did not take it, in one line with what to do.
    """
    problem = send_test(config, name, Notifiers({name: GivenSource(address)}), SystemClock().now())
    if problem is not None:
        raise problem
    return f"a test message was sent to {name}"


def notifiers_in_use(path: Path) -> Mapping[str, Notifier]:
    """Return the notifiers of the present configuration, none where it cannot be used."""
    try:
        return load_config(path).notifiers if path.exists() else {}
    except ReconcilerError:
        return {}


def is_in_use(name: str, address: Address, present: Notifier | None, places: Mapping[str, Path]) -> bool:
    """Tell whether a notifier has this very address already, so that nobody need be told that it works.

    Args:
        name: Of the notifier.
        address: That it is to have.
        present: What the present configuration says of it.
        places: Encrypted file by credential name.
    """
    if present is None:
        return False
    kept = NotifierAnswer(credential=present.credential, file=present.file)
    try:
        return address_in_use(name, kept, places).reveal() == address.reveal()
    except ReconcilerError:
        return False


def ask_notifier(config: Config, name: str, address: Address, *, is_known: bool = False) -> str:
    """Ask whether a notifier answers, and send nothing; return what was found.

    Args:
        config: As it will be read.
        name: Of the notifier.
        address: That it has.
        is_known: It has that address already.

    Raises:
        Transient: It does not, or refuses the login.
    """
    said = ask(address, config.environment)
    if said == ANSWERS:
        return f"notifier {name} answers; nothing was sent"
    if said == CANNOT_BE_ASKED:
        if is_known:
            return f"notifier {name} has the address that it had; nothing was sent"
        return f"notifier {name} would be tested by a message"
    raise Transient(f"notifier {name}: {said}", "correct its address, or try again")


def addresses_of(answers: Answers) -> dict[str, Address]:
    """Return the address of each notifier that is new.

    Raises:
        Misuse: A file cannot be read or is open to others, or holds no address; all of them are told.
    """
    found: dict[str, Address] = {}
    wrong: list[Misuse] = []
    for name, one in answers.notifiers.items():
        try:
            if one.address is not None:
                found[name] = parse_address(name, one.address.get_secret_value().encode())
            elif one.address_file is not None:
                found[name] = Notifiers({name: FileSource(one.address_file)}).address(name)
        except Misuse as error:
            wrong.append(error)
    if wrong:
        raise Misuse("\n".join(error.message for error in wrong), wrong[0].hint)
    return found


def address_in_use(name: str, answer: NotifierAnswer, places: Mapping[str, Path]) -> Address:
    """Return the address of a notifier that is kept on this host already.

    Args:
        name: Of the notifier.
        answer: Names a credential or file.
        places: Encrypted file by credential name.

    Raises:
        ReconcilerError: It cannot be read or decrypted.
    """
    if answer.credential is not None:
        if answer.credential not in places:
            raise Misuse(
                f"notifier {name}: there is no encrypted credential {answer.credential}",
                "give its address anew",
            )
        return parse_address(name, decrypt(answer.credential, places[answer.credential]))
    return Notifiers({name: FileSource(answer.file or Path())}).address(name)


def local_report_folder(config: Config) -> tuple[Path, ...]:
    """Return the report repository where it is a folder of this machine: a tick writes there.

    Raises:
        Misuse: Its address is none.
    """
    path = parse_remote(config.report_remote).path if config.report_remote else ""
    return (Path(path),) if path else ()


def _timeout(config: Config) -> float:
    return min(_PATIENCE, config.git.timeout.total_seconds())


def _asked(question: Callable[[], T]) -> T:
    try:
        return question()
    except Transient as error:
        # Nothing tries it again by itself yet.
        raise Transient(error.message, _HINT) from error
