"""What a verb is about: this host, or a guest of it that a person names by ``--target``.

The rules:

1. Without ``--target`` the host is meant, and guests are not even looked for.
2. What is kept of a guest can be read while it is stopped, locked or left out; to look into it, it must run.
3. Why it cannot be looked into is one line and what to do. What waiting mends ends with 5, all else with 2.
"""

from typing import NoReturn

from reconciler.cli.showing.terminal import note
from reconciler.cli.wiring.compose import run_logs
from reconciler.cli.wiring.guests import folders_of, guests_of
from reconciler.errors import Misuse, Transient
from reconciler.gitops.report_branches import guest_branch, host_branch
from reconciler.host.config import Config
from reconciler.host.state.folder import GuestFolder, StateFolder
from reconciler.host.state.run_logs import GuestLogs, RunLogFolder
from reconciler.planning.facts.guests import (
    NEEDS_ITS_OWN,
    FrozenGuest,
    Gone,
    Guest,
    GuestKind,
    Locked,
    Moved,
    Running,
    Stopped,
    Template,
    Unsupported,
    why_not,
)
from reconciler.planning.facts.targets import meant
from reconciler.planning.text.untrusted import one_line
from reconciler.records import dataclass

_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Aim:
    """A target, and where what is kept of it is.

    Attributes:
        config: Of this host.
        guest: Which guest it is, ``None`` where it is the host.
    """

    config: Config
    guest: Guest | None = None

    @property
    def name(self) -> str:
        """Its id among all targets: ``HOST``, or ``HOST/GUEST``."""
        return self.config.host if self.guest is None else f"{self.config.host}/{self.guest.id}"

    @property
    def shown(self) -> str:
        """The same for people, with what its hypervisor calls it."""
        called = "" if self.guest is None else one_line(self.guest.name, _WIDTH)
        return f"{self.name} ({called})" if called and self.guest and called != self.guest.id else self.name

    @property
    def folder(self) -> StateFolder | GuestFolder:
        """What is kept of it."""
        if self.guest is None:
            return StateFolder(self.config.state_dir)
        return folders_of(self.config).of(self.guest.id)

    @property
    def logs(self) -> RunLogFolder | GuestLogs:
        """The logs of its runs."""
        kept = self.config.retention.logs
        if self.guest is None:
            return run_logs(self.config)
        return folders_of(self.config).logs_of(self.guest.id, kept.count, kept.age)

    @property
    def branch(self) -> str:
        """That of its reports."""
        host = self.config.host
        return host_branch(host) if self.guest is None else guest_branch(host, self.guest.id)


def aim(config: Config, target: str | None) -> Aim:
    """Return which target a person means.

    Args:
        config: Of this host.
        target: As written, ``None`` for the host.

    Raises:
        Misuse: There is none such, several are called so, or it is one that is never looked after from here.
        Transient: Nobody can say whether there is, since a place of guests cannot be looked into.
    """
    if target is None or target == config.host:
        return Aim(config)
    said = config.guests
    found = None if said is None else guests_of(said, folders_of(config))
    problems = () if found is None else found.problems
    try:
        guest = meant(target, config.host, () if found is None else found.guests)
    except Misuse as error:
        if problems:
            raise Transient(f"{error.message}, and not all could be looked for: {problems[0]}") from error
        if said is None:
            raise Misuse(error.message, "the configuration has no `guests`: none is looked for") from error
        raise
    note(*problems)
    if guest is not None and isinstance(guest.state, Unsupported):
        refuse(guest)
    return Aim(config, guest)


def entered(config: Config, target: str | None) -> Aim:
    """Return which target a person means, to look into it.

    Raises:
        Misuse: As for :func:`aim`, or it is none that is looked after, nor will be by waiting.
        Transient: It cannot be looked into now.
    """
    found = aim(config, target)
    if found.guest is not None and found.guest.left_out:
        refuse(found.guest)
    return found


def refuse(guest: Guest) -> NoReturn:
    """Say why a guest that is left out is not looked into, and what to do.

    Raises:
        Misuse: No waiting mends that.
        Transient: It is so for now.
    """
    said = f"guest {guest.id or one_line(guest.name, _WIDTH)}: {guest.left_out}"
    if guest.left_out != why_not(guest.state):
        raise Misuse(said, "change `guests` in the configuration to have it looked after")
    match guest.state:
        case Stopped():
            raise Transient(said, "start it; it is never started for our sake")
        case FrozenGuest():
            raise Transient(said, "let its processes go on, or wait for whoever froze it")
        case Locked():
            raise Transient(said, _unlocked(guest))
        case Template():
            raise Misuse(said, "patch a guest that is made of it")
        case Moved(node):
            raise Misuse(said, f"ask on {one_line(node, _WIDTH)}")
        case Gone():
            raise Misuse(said, "nobody has it; `patchledger guests` lists those that are there")
        case Unsupported(why):
            own = "set patchledger up inside, as on any host" if NEEDS_ITS_OWN in why else ""
            raise Misuse(said, own or "`patchledger guests` lists all, and why")
        case Running():
            raise Misuse(f"{said}it runs, and is looked after", "`patchledger guests` lists all")


def _unlocked(guest: Guest) -> str:
    after_crash = f"; after a crash `pct unlock {guest.id}`" if guest.kind is GuestKind.PROXMOX else ""
    return f"wait for it to end{after_crash}"


def kept_at_all(found: Aim) -> Aim:
    """Return a target of which something is kept, or may be at any time.

    Raises:
        Misuse: It is a guest that went, or never runs, and nothing is kept of it.
    """
    guest = found.guest
    if guest is None or not isinstance(guest.state, (Template, Moved, Gone)):
        return found
    if guest.id not in folders_of(found.config).known():
        refuse(guest)
    return found
