"""What ``windows`` shows where it is about a host: this one, its guests, or those of a policy folder."""

import sys
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from reconciler.cli.showing.terminal import note
from reconciler.cli.verbs import windows as host_windows
from reconciler.cli.verbs import windows_month
from reconciler.cli.verbs.plan import last_finding, look_at
from reconciler.cli.verbs.policy.described import facts, left_open
from reconciler.cli.verbs.windows import HostWindows, WindowsOptions
from reconciler.cli.verbs.windows_planned import planned_here
from reconciler.cli.wiring.aimed import Aim
from reconciler.cli.wiring.compose import wire
from reconciler.cli.wiring.guests import folders_of, guests_of, policy_here
from reconciler.errors import (
    Misuse,
    PolicyRejected,
    Stalled,
)
from reconciler.gitops.revision import read_folder
from reconciler.host.config import load_config
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.facts.matching import facts_of_guest
from reconciler.planning.facts.targets import meant
from reconciler.policy.load import NeedsUpgrade, Rejected, Revision, load
from reconciler.policy.match import HostFacts, system_of
from reconciler.policy.resolve import Effective, Resolver, resolve
from reconciler.policy.windows import Schedule


def show_windows(options: WindowsOptions) -> int:
    """Print the next windows, of this host or as the options say, and return 0.

    Raises:
        ReconcilerError: As for :func:`windows`; Misuse also for an expression that is none.
    """
    if options.month is not None:
        return windows_month.run(options, _rows_of_month(options), SystemClock().now())
    if options.svg is not None:
        raise Misuse("--svg is a picture of --month", "add --month")
    return host_windows.run(
        options,
        now=SystemClock().now().astimezone(UTC),
        host_windows=lambda folder: (
            windows_of_target(options, options.target)
            if options.target is not None
            else windows(options.config, folder)
            if folder is None or options.host is None
            else _windows_of(Path(folder), options.host, options)
        ),
        stdout=sys.stdout,
        stderr=sys.stderr,
    )


def _rows_of_month(options: WindowsOptions) -> dict[str, HostWindows]:
    """Return whose month is drawn: this host's, one host's of a folder, or that of all its Host documents.

    Where a folder has none, each Schedule is a row.
    """
    host_windows.refuse_month_beside(options)
    folder = options.policy
    if folder is None:
        target = options.target
        one = windows(options.config, None) if target is None else windows_of_target(options, target)
        return {one.splay_key: one}
    if options.host is not None:
        return {options.host: _windows_of(Path(folder), options.host, options)}
    revision = _loaded_folder(Path(folder))
    if not revision.hosts:
        return {name: HostWindows((schedule,)) for name, schedule in _compiled(revision).items()}
    resolver = Resolver(revision)
    found = {}
    for document in revision.hosts:
        host = facts(document.value.name, (), options.os, options.manager)
        effective = resolver.resolve(host)
        found[host.target] = HostWindows(
            effective.schedules, {}, effective.frozen, host.target, effective.settings.budget
        )
    return found


def windows(config: str, folder: str | None) -> HostWindows:
    """Return what a policy folder, or this host's policy in force, says about windows.

    Raises:
        PolicyRejected: The policy has mistakes.
        Misuse: There is no such folder, or the configuration is wrong.
        Stalled: There is no policy in force.
    """
    if folder is not None:
        return HostWindows(schedules=(), known=_compiled(_loaded_folder(Path(folder))))
    aimed = Aim(load_config(Path(config)))
    wiring = wire(aimed.config)
    found = last_finding(wiring, aimed) or look_at(wiring, aimed).finding
    revision, effective = found.revision, found.effective
    if revision is None or effective is None:
        raise Stalled("there is no policy in force on this host", "see `patchledger status`")
    return HostWindows(
        schedules=effective.schedules,
        known=_compiled(revision),
        freezes=effective.frozen,
        splay_key=wiring.config.host,
        budget=effective.settings.budget,
        planned=planned_here(found),
    )


def windows_of_target(options: WindowsOptions, target: str) -> HostWindows:
    """Return what this host's policy in force says about the windows of a guest, or of the host itself.

    Raises:
        Misuse: There is no such guest, or the configuration is wrong.
        Stalled: There is no policy in force that can be read here.
    """
    config = load_config(Path(options.config))
    said = config.guests
    found = () if said is None else guests_of(said, folders_of(config)).guests
    guest = meant(target, config.host, found)
    if guest is None:
        return windows(options.config, None)
    revision = policy_here(config)
    if revision is None:
        raise Stalled("there is no policy in force on this host", "see `patchledger status`")
    os_id, os_version = system_of(options.os)
    own = facts_of_guest(guest, config.host)
    own = replace(own, os_id=os_id, os_version=os_version, manager=options.manager)
    note(*left_open(revision, replace(own, called=guest.name)))
    return _windows_by(revision, resolve(revision, own), own)


def _windows_of(folder: Path, name: str, options: WindowsOptions) -> HostWindows:
    """Return what a policy folder says about the windows of one host."""
    host = facts(name, options.label, options.os, options.manager, guest_name=options.guest_name)
    revision = _loaded_folder(folder)
    effective = resolve(revision, host)
    note(*left_open(revision, host))
    if not effective.schedules:
        note(f"no Policy names a Schedule for {host.target}: nothing is ever applied there")
    return _windows_by(revision, effective, host)


def _windows_by(revision: Revision, effective: Effective, own: HostFacts) -> HostWindows:
    return HostWindows(
        schedules=effective.schedules,
        known=_compiled(revision),
        freezes=effective.frozen,
        splay_key=own.target,
        budget=effective.settings.budget,
    )


def _loaded_folder(folder: Path) -> Revision:
    match load(read_folder(folder)):
        case Revision() as valid:
            return valid
        case Rejected(problems=problems):
            raise PolicyRejected("\n".join(map(str, problems)), "mend the policy")
        case NeedsUpgrade(requires=requires):
            raise PolicyRejected(f"the policy requires patchledger {requires}", "upgrade patchledger")


def _compiled(revision: Revision) -> dict[str, Schedule]:
    return {one.value.name: one.value.compiled(revision.events) for one in revision.schedules}
