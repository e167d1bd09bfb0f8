"""Enrol this host: the document that names its key, and the branch that proposes it."""

import sys
from dataclasses import replace
from pathlib import Path

from reconciler.cli.showing.terminal import note
from reconciler.cli.verbs.setup_checks import PolicyLook
from reconciler.cli.wiring.remotes import git_options
from reconciler.errors import Misuse, ReconcilerError
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.proposal import Proposal, Pusher, propose
from reconciler.gitops.report_queue import Identity
from reconciler.gitops.revision import read_revision
from reconciler.gitops.signed_reports import own_public_key
from reconciler.host.config import Config
from reconciler.host.machine.clock import SystemClock
from reconciler.host.machine.identity import machine_id
from reconciler.planning.text.untrusted import commit_message
from reconciler.policy.documents import Host
from reconciler.policy.enrolment import Applicant
from reconciler.policy.load import Placed, Revision, load
from reconciler.reconcile.policy_in_force import rejection
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Proposed:
    """What became of it.

    Attributes:
        document: What the policy is to have, empty where it has it, or no report is signed here.
        failure: Why the policy could not be looked at, or the branch not be pushed.
    """

    document: str = ""
    failure: ReconcilerError | None = None


def machine_of(config: Config) -> Applicant | None:
    """Return what this machine has to say of itself; ``None`` where no key signs its reports."""
    key = config.reports.signing_key
    public = "" if key is None else own_public_key(key)
    if not public:
        return None
    return Applicant(config.host, config.labels, machine_id(config.root or Path("/")), public)


def pusher_of(config: Config, given: str | None) -> Pusher | None:
    """Return who pushes the branch; ``None`` where no credential is given, so that none is pushed.

    Args:
        config: Says how the policy repository is reached.
        given: The file of a credential, or ``-`` for a token on standard input.

    Raises:
        Misuse: Nothing stands on standard input.
    """
    if given is None:
        return None
    options = replace(git_options(config), identity="", credential="", client_certificate="", client_key="")
    if given != "-":
        return Pusher(config.policy.remote, options, credential=str(Path(given).absolute()))
    token = sys.stdin.readline().strip()
    if not token:
        raise Misuse("--enrol-with -: there is no token on standard input", "give it there, in one line")
    return Pusher(config.policy.remote, options, token=token)


def enrol(config: Config, policy: PolicyLook, pusher: Pusher | None) -> Proposed:
    """Say which document enrols this host, and push a branch with it where somebody may."""
    machine = machine_of(config)
    if machine is None:
        said = "this host cannot be enrolled: no key signs its reports"
        if pusher is not None:
            return Proposed(failure=Misuse(said, "install ssh-keygen, or name a key by --signing-key"))
        note(said)
        return Proposed()
    try:
        with policy.opened(config) as (source, served):
            return _with_policy(machine, source, served.head, pusher)
    except ReconcilerError as error:
        return Proposed(machine.document(), error)


def _with_policy(machine: Applicant, source: PolicyMirror, head: str, pusher: Pusher | None) -> Proposed:
    loaded = load(read_revision(source.mirror, head), head)
    if not isinstance(loaded, Revision):
        raise rejection(loaded, head)
    known = next((one for one in loaded.hosts if one.value.name == machine.host), None)
    if known is not None and machine.is_named_by(known.value):
        note(f"this host is enrolled by {known.origin}")
        return Proposed()
    if known is not None:
        return _changed(machine, known, pusher)
    document = machine.document()
    note(f"to enrol this host, let the policy repository have this as {machine.file}:")
    if pusher is None:
        return Proposed(document)
    branch = f"enrol/{machine.host}"
    message = commit_message(f"enrol {machine.host}", {"Host": machine.host})
    proposal = Proposal(branch, machine.file, document.encode(), message)
    try:
        propose(source, head, proposal, pusher, who=Identity(machine.host), when=SystemClock().now())
    except ReconcilerError as error:
        return Proposed(document, error)
    note(f"pushed it as branch {branch} of {source.shown}; merge that, after a look at the key")
    return Proposed(document)


def _changed(machine: Applicant, known: Placed[Host], pusher: Pusher | None) -> Proposed:
    """Tell what a document that is there is to say; people change it, since they wrote it."""
    document = replace(machine, labels=known.value.labels).document()
    note(f"the policy knows this host by {known.origin}, but not this key and machine; to have it say:")
    if pusher is None:
        return Proposed(document)
    said = f"no branch was pushed, since {known.origin} names this host already"
    return Proposed(document, Misuse(said, "change that document by a pull request of your own"))
