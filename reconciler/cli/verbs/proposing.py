"""``approve --propose``: a scheduled job that keeps a pull request open for each plan that waits."""

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from reconciler.cli.showing.interfaces import ApprovalsProposed, LaterShown, ProposalShown, TickProblem
from reconciler.cli.showing.table import table
from reconciler.cli.showing.terminal import note, print_json, tell, width
from reconciler.cli.verbs.approve import ApproveOptions, check_whole, gathered, in_force, reason_of, taken
from reconciler.cli.wiring.fleet import folder_of, sources
from reconciler.cli.wiring.forges import proposals_of, token_of
from reconciler.cli.wiring.remotes import followed, git_options, signing_rules
from reconciler.errors import DONE, Misuse, exit_code, worst
from reconciler.fleet.branches import signer_of
from reconciler.fleet.proposals import ProposalDone, ProposalRun, declined, opened_by_branch
from reconciler.fleet.reading import Gathered, reports_of
from reconciler.forges import ForgeLine, PullRequests, authorization, place_of, pull_requests
from reconciler.gitops.git import Git
from reconciler.gitops.proposal import Pusher
from reconciler.gitops.proposal_branches import ProposalBranches
from reconciler.gitops.revision import read_revision
from reconciler.gitops.signed_history import read_rules
from reconciler.host.config import Config, load_config
from reconciler.host.install.credentials import folder_beside
from reconciler.host.machine.clock import SystemClock
from reconciler.host.state.own_folder import AT_WORK, alone
from reconciler.planning.fleet.proposing import (
    Agenda,
    ProposalRules,
    ProposalStep,
    Unapproved,
    agenda,
    named,
    still_waited_for,
    unapproved,
)
from reconciler.planning.fleet.waiting import waiting
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.wording import changes_of, plural, short_digest
from reconciler.policy.load import PolicyFile, Revision
from reconciler.policy.problems import visible
from reconciler.policy.remotes import parse_remote
from reconciler.policy.resolve import Resolver
from reconciler.policy.signers import SIGNERS_FILE, read_signers
from reconciler.policy.values import DURATION, as_duration

_MAX_OPEN = 20
_MOST_OPEN = 200
_EXPIRES = "14d"
_MOST_NAMED = 20
"""Plans that wait for their turn, or targets, of which a person is told one by one."""
_TOKEN_USER = {"github": "x-access-token", "gitlab": "oauth2", "forgejo": "patchledger"}


def propose(options: ApproveOptions) -> int:
    """Bring branches and pull requests to what waits; return 0, or the exit code of what went wrong.

    Raises:
        Misuse: An argument or the configuration is wrong.
        ReconcilerError: The reports or the policy cannot be read.
    """
    _check_alone(options)
    rules = _rules(options, SystemClock().now())
    config = load_config(Path(options.config))
    token = token_of(proposals_of(config), folder_beside(Path(options.config)))
    forge, pusher = _reached(config, token)
    fleet = gathered(config, fetch=True)
    folder = folder_of(config)
    with alone(folder / "lock", AT_WORK.format(folder)):
        run, planned, waits = _run(config, fleet, (forge, pusher), rules, is_dry=options.dry_run)
    _tell_of(planned, waits)
    if options.format == "json":
        print_json(plain(_shown(run, planned, waits)))
    else:
        sys.stdout.write(_text(run))
    for problem in run.problems:
        tell(problem)
    return worst([*map(exit_code, run.problems), DONE])


def _check_alone(options: ApproveOptions) -> None:
    others = {
        "TARGET": options.target,
        "--list": options.list,
        "--group": options.group,
        "--plan": options.plan,
        "--versions": options.versions,
        "--base": options.base,
        "--folder": options.folder != ".",
        "--remote": options.remote != "origin",
        "--timezone": options.timezone != "UTC",
    }
    given = [name for name, value in others.items() if value]
    if given:
        raise Misuse(f"--propose is about all that waits, and not about {given[0]}", "leave one of them out")


def _rules(options: ApproveOptions, now: datetime) -> ProposalRules:
    text = options.expires or _EXPIRES
    span = as_duration(text) if re.fullmatch(DURATION, text) else None
    if not span:
        raise Misuse(f"--expires {visible(text)} is no duration", "with --propose write it as 14d")
    number = _MAX_OPEN if options.max_open is None else options.max_open
    if not 1 <= number <= _MOST_OPEN:
        raise Misuse(f"--max-open {number} is not between 1 and {_MOST_OPEN}", f"such as {_MAX_OPEN}")
    return ProposalRules(now, span, number, reason_of(options))


def _reached(config: Config, token: str) -> tuple[PullRequests, Pusher]:
    """Return how the forge is reached, and the policy's branches: over https with the same token."""
    asked = proposals_of(config)
    place = place_of(config.policy.remote, asked.forge, asked.api, asked.repository)
    line = ForgeLine(
        place.api,
        authorization(place.kind, token),
        (token,),
        config.git.timeout.total_seconds(),
        str(config.git.ca_file or ""),
        config.environment,
    )
    forge = pull_requests(place, line, followed(config))
    remote = parse_remote(config.policy.remote)
    access = git_options(config)
    if remote.protocol not in {"http", "https"}:
        return forge, Pusher(config.policy.remote, access, credential=access.identity)
    address = config.policy.remote
    if not remote.username:
        scheme, _, rest = address.partition("://")
        address = f"{scheme}://{_TOKEN_USER[place.kind]}@{rest}"
    return forge, Pusher(address, replace(access, credential=""), token=token)


def _run(
    config: Config,
    fleet: Gathered,
    reached: tuple[PullRequests, Pusher],
    rules: ProposalRules,
    *,
    is_dry: bool,
) -> tuple[ProposalRun, Agenda, Unapproved]:
    mirror, head = sources(config).mirror, fleet.head.policy_commit
    found = waiting(reports_of(folder_of(config), fleet.rows))
    for target, why in found.refused[:_MOST_NAMED]:
        note(f"{target} cannot be approved: {why}")
    files = mirror.whole(lambda: read_revision(mirror.mirror, head))
    policy = in_force(files, head)
    waits = unapproved(found, Resolver(policy), rules.now)
    ref = followed(config) if config.trust.require_ref else ""
    forge, pusher = reached
    _check_key(config, files, policy)
    key = str(proposals_of(config).signing_key or "")
    timeout = config.git.timeout.total_seconds()
    branches = ProposalBranches(Git(mirror.mirror), pusher, timeout, ref=ref, key=key)
    there = branches.fetched(head)
    opened = opened_by_branch(forge)
    no = declined(forge, opened, still_waited_for(waits, there))
    planned = agenda(waits, there, taken(policy), rules, no)
    check_whole(files, {one.path: one.document.encode() for one in planned.wanted})
    run = ProposalRun(branches, forge, head, rules.now, is_dry)
    run.carry_out(planned, there, opened)
    return run, planned, waits


def _check_key(config: Config, files: Sequence[PolicyFile], policy: Revision) -> None:
    """Refuse a key that has a role already: one that signs policy would approve what it proposes.

    Raises:
        Misuse: It has one, or is no key.
    """
    key = proposals_of(config).signing_key
    if key is None:
        return
    rules, own = signing_rules(config), signer_of(key).fingerprint
    listed = [
        one for file in files if file.path == SIGNERS_FILE for one in read_signers(file.data, "").signers
    ]
    roles = {one.fingerprint: f"a key of {SIGNERS_FILE}" for one in listed}
    if rules is not None:
        roles |= {one.fingerprint: "a key of trust.allowed_signers" for one in read_rules(rules).signers}
    roles |= policy.other_roles()
    if own in roles:
        said = f"proposals.signing_key: {own} is {roles[own]}"
        raise Misuse(said, "make another key: what hosts obey, people sign")


# --- what is told


def _tell_of(planned: Agenda, waits: Unapproved) -> None:
    for target, name in waits.used_up[:_MOST_NAMED]:
        said = f"{target} applied its plan before, so that {name} is used up there"
        note(f"{said}: approve it by --versions, or change what it waits for")
    if planned.later:
        note(f"{plural(len(planned.later), 'plan')} more wait for their turn (--max-open):")
        note(*(f"  {named(plan)}" for plan in planned.later[:_MOST_NAMED]))
        if len(planned.later) > _MOST_NAMED:
            note(f"  … and {len(planned.later) - _MOST_NAMED} more")


def _text(run: ProposalRun) -> str:
    if not run.done:
        return "" if run.problems else "no plan waits for an approval\n"
    columns = width() if sys.stdout.isatty() else None
    would = "would be " if run.is_dry else ""
    rows = [
        (f"{would if one.step in _CHANGES else ''}{one.step}", one.branch, _about(one), one.address)
        for one in run.done
    ]
    lines = table(rows, columns, heads=("What", "Branch", "Plan", "Pull request"), indent="")
    return "".join(f"{line}\n" for line in lines)


_CHANGES = (ProposalStep.OPENED, ProposalStep.UPDATED, ProposalStep.CLOSED)


def _about(one: ProposalDone) -> str:
    plan = one.plan
    if plan is None:
        return visible(one.why)
    changes = changes_of(len(plan.changes), len(plan.security))
    told = f"{short_digest(plan.digest)}: {changes} on {plural(len(plan.targets), 'target')}"
    return f"{told}; {one.why}" if one.why else told


def _shown(run: ProposalRun, planned: Agenda, waits: Unapproved) -> ApprovalsProposed:
    return ApprovalsProposed(
        is_dry=run.is_dry,
        proposals=tuple(map(_one, run.done)),
        later=tuple(
            LaterShown(plan.digest, tuple(one.row.target for one in plan.targets)) for plan in planned.later
        ),
        used_up=tuple(target for target, _ in waits.used_up),
        problems=tuple(TickProblem(one.message, one.hint) for one in run.problems),
    )


def _one(one: ProposalDone) -> ProposalShown:
    plan = one.plan
    return ProposalShown(
        branch=one.branch,
        step=one.step,
        plan=None if plan is None else plan.digest,
        targets=() if plan is None else tuple(each.row.target for each in plan.targets),
        title=None if one.wanted is None else one.wanted.title,
        body=None if one.wanted is None else one.wanted.body,
        document=None if one.wanted is None else one.wanted.document,
        address=one.address or None,
        why=one.why,
    )
