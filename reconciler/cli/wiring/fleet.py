"""Put together what a fleet is read with, as a configuration says."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from reconciler.cli.showing.terminal import counter
from reconciler.cli.wiring.remotes import git_options, signing_rules
from reconciler.errors import Misuse
from reconciler.fleet.reading import FOLDER, FleetSources, last_gathered
from reconciler.fleet.verified_policy import SignedPolicy
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.signed_history import SignedHistory, authorities, read_revocation
from reconciler.host.config import Config
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.fleet.rows import Row
from reconciler.planning.fleet.summary import SILENT_AFTER
from reconciler.policy.remotes import open_remote


def folder_of(config: Config) -> Path:
    """Return where copies of the report repositories are, and what was gathered last."""
    return config.state_dir / FOLDER


def sources(
    config: Config,
    policy: str | None = None,
    reports: Sequence[str] = (),
    accepted: Sequence[str] = (),
    *,
    silent_after: timedelta | None = None,
    changed: Callable[[Sequence[Row], Sequence[Row], str], None] | None = None,
) -> FleetSources:
    """Return where the fleet is read from.

    Args:
        config: Says how repositories are reached, and what the policy must show.
        policy: Address of the policy, instead of the configuration's.
        reports: Addresses of the report repositories, instead of the configuration's.
        accepted: Targets whose rewritten branches are accepted.
        silent_after: As of :class:`FleetSources`; ``None`` for what it was when reports were read last.
        changed: As there.

    Raises:
        Misuse: There is no report repository, an address cannot be used, or the list of revoked keys is
            wrong.
        Stalled: That list cannot be read.
    """
    remotes = tuple(reports or config.reports.remote or ())
    if not remotes:
        raise Misuse("there is no report repository", "set reports.remote, or give --reports REMOTE")
    address = policy or config.policy.remote
    for one in (address, *remotes):
        open_remote(one)
    access, folder = git_options(config), folder_of(config)
    mirror = PolicyMirror(folder / "policy.git", address, config.policy.ref, access, config.trust.floor)
    return FleetSources(
        folder=folder,
        mirror=mirror,
        signed=_signed(config, mirror),
        remotes=remotes,
        access=access,
        timeout=config.git.timeout.total_seconds(),
        environment=config.environment,
        accepted=frozenset(f"{'guests' if '/' in one else 'hosts'}/{one}" for one in accepted),
        silent_after=_as_before(folder) if silent_after is None else silent_after,
        tell=counter("targets are looked at"),
        fetching=counter("objects are fetched"),
        changed=changed,
    )


def _as_before(folder: Path) -> timedelta:
    try:
        known = last_gathered(folder)
    except Misuse:  # it is damaged, and about to be made anew
        known = None
    return SILENT_AFTER if known is None else known.head.silent_after


def _signed(config: Config, mirror: PolicyMirror) -> SignedPolicy | None:
    rules, repository = signing_rules(config), config.trust.repository
    if rules is None or repository is None:
        return None
    history = SignedHistory(mirror, rules, counter("policy commits are verified"))
    revoked = read_revocation(rules)
    if revoked.problems:
        hint = "correct it: nobody can say which reports count meanwhile"
        raise Misuse("\n".join(map(str, revoked.problems)), hint)
    return SignedPolicy(history, repository, SystemClock().state, revoked, partial(authorities, rules))
