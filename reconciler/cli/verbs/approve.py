"""``approve``: what waits for an approval in the fleet, and the branch that approves it."""

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from reconciler.cli.showing.forges import PullRequest
from reconciler.cli.showing.interfaces import ApprovalProposal, WaitingShown
from reconciler.cli.showing.table import table
from reconciler.cli.showing.terminal import Format, note, print_json, width
from reconciler.cli.verbs.fleet import label_of
from reconciler.cli.wiring.fleet import folder_of, sources
from reconciler.errors import Misuse
from reconciler.fleet.reading import Gathered, last_gathered, read_fleet, reports_of
from reconciler.gitops.revision import read_revision
from reconciler.host.config import Config, load_config
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.fleet.approving import Terms, by_digest, by_versions
from reconciler.planning.fleet.waiting import Selector, Waiting, WaitingPlan, chosen, waiting
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import changes_of, listed, minute, short_digest
from reconciler.policy.load import PolicyFile, Rejected, Revision, load
from reconciler.policy.match import is_pattern
from reconciler.policy.problems import visible
from reconciler.policy.values import BRANCH, DURATION, MOMENT, as_duration
from reconciler.policy.zones import end_instant, parse_moment, shifted, zone
from reconciler.reconcile.policy_in_force import rejection
from reconciler.records import dataclass

_SHOWN_TARGETS = 3
_LONGEST_REASON = 300
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ApproveOptions:
    """What ``approve`` is told; its help says what each is."""

    config: str
    target: Sequence[str]
    list: bool
    group: Sequence[str]
    plan: str | None
    versions: bool
    propose: bool
    max_open: int | None
    expires: str | None
    timezone: str
    reason: str | None
    folder: str
    remote: str
    base: str | None
    dry_run: bool
    fetch: bool
    format: Format


def approve(options: ApproveOptions) -> int:
    """List what waits, or push a branch with the documents that approve it; return 0.

    Raises:
        Misuse: Nobody reports what is to be approved, nothing was gathered yet, or an argument is wrong.
        ReconcilerError: The remote cannot be reached, or refuses.
    """
    config = load_config(Path(options.config))
    if options.max_open is not None:
        raise Misuse("--max-open is about --propose", "add that, or leave it out")
    selector = _selector(options)
    if selector is None and not options.list:
        raise Misuse("approve what?", "name a target, --group KEY=VALUE or --plan DIGEST; or see --list")
    terms = None if options.list else _terms(options, SystemClock().now())
    fleet = gathered(config, fetch=options.fetch)
    found = waiting(reports_of(folder_of(config), fleet.rows))
    for target, why in found.refused:
        note(f"{target} cannot be approved: {why}")
    if terms is None:
        plans = found.plans if selector is None else chosen(found, fleet.rows, selector)
        return _print_list(plans, options)
    return _propose(config, _Fleet(fleet, found), selector or Selector(), terms, options)


def gathered(config: Config, *, fetch: bool) -> Gathered:
    """Return the fleet as it was read last, or as it is read now.

    Raises:
        Misuse: It was never read.
        ReconcilerError: A part of it cannot be read now.
    """
    now = SystemClock().now()
    if fetch:
        done = read_fleet(sources(config), now)
        note(*done.notices)
        for problem in done.problems:
            raise problem  # What cannot be read now is not to be approved by what was read before.
    fleet = last_gathered(folder_of(config))
    if fleet is None:
        raise Misuse(f"{folder_of(config)}: no reports were read yet", "add --fetch")
    if not fetch:
        note(f"by the reports as they were read {minute(fleet.at)}; --fetch reads them anew")
    lines = tuple(line.as_of(now, fleet.head.silent_after) for line in fleet.lines)
    return Gathered(fleet.head, lines, fleet.at)


def _selector(options: ApproveOptions) -> Selector | None:
    labels = {}
    for text in options.group:
        key, value = label_of("--group", text)
        if is_pattern(value):
            # The document would be about more targets than were looked at, or about none.
            raise Misuse(f"--group {visible(text)} is a pattern", "give the whole value of one label")
        labels[key] = value
    if not (options.target or labels or options.plan):
        return None
    return Selector(tuple(dict.fromkeys(options.target)), labels or None, options.plan or "")


def _terms(options: ApproveOptions, now: datetime) -> Terms:
    """Return what the documents say besides what is approved.

    Raises:
        Misuse: It says no end, or one that has passed.
    """
    if not options.expires:
        raise Misuse("an approval needs an end", "add --expires 7d, or a date")
    try:
        tz = zone(options.timezone)
    except ValueError as error:
        raise Misuse(f"--timezone: {error}") from error
    written = _end(options.expires, now, tz)
    try:
        ends = end_instant(parse_moment(written), tz)
    except ValueError as error:
        raise Misuse(f"--expires {visible(options.expires)}: {error}", "write 7d, or 2026-12-20") from error
    if ends <= now:
        raise Misuse(f"--expires {visible(options.expires)} has passed", "name a later end")
    return Terms(written, options.timezone, reason_of(options))


def reason_of(options: ApproveOptions) -> str:
    """Return the reason that stands in a document, in one line; empty without."""
    return one_line(options.reason or "", _LONGEST_REASON)


def _end(text: str, now: datetime, tz: tzinfo) -> str:
    """Return an end as a document has it: of whole days the day on which they are over, else the minute."""
    if re.fullmatch(DURATION, text):
        length = as_duration(text)
        ends = shifted(now, length)
        if length % _DAY:
            return f"{shifted(ends, _MINUTE - timedelta.resolution).astimezone(tz):%Y-%m-%d %H:%M}"
        return f"{ends.astimezone(tz):%Y-%m-%d}"
    if not re.fullmatch(MOMENT, text):
        raise Misuse(f"--expires {visible(text)} is no date and no duration", "write 7d, or 2026-12-20")
    return text


# --- the list


def _print_list(plans: Sequence[WaitingPlan], options: ApproveOptions) -> int:
    if options.format == "json":
        print_json(plain(tuple(_shown(plan) for plan in plans)))
        return 0
    columns = width() if sys.stdout.isatty() else None
    if plans:
        heads = ("Plan", "Changes", "First window", "Targets")
        rows = [
            (
                short_digest(plan.digest),
                changes_of(len(plan.changes), len(plan.security)),
                "none in sight" if plan.window is None else minute(plan.window),
                _targets(plan),
            )
            for plan in plans
        ]
        sys.stdout.writelines(f"{line}\n" for line in table(rows, columns, heads=heads, indent=""))
    else:
        sys.stdout.write("no plan waits for an approval\n")
    return 0


def _targets(plan: WaitingPlan) -> str:
    return f"{len(plan.targets)}: {listed([one.row.target for one in plan.targets], _SHOWN_TARGETS)}"


def _shown(plan: WaitingPlan) -> WaitingShown:
    targets = tuple(one.row.target for one in plan.targets)
    return WaitingShown(plan.digest, targets, plan.changes, tuple(sorted(plan.security)), plan.window)


# --- the branch


@dataclass(frozen=True, slots=True)
class _Fleet:
    """What is known of the fleet, and what waits in it."""

    known: Gathered
    found: Waiting


def _propose(config: Config, fleet: _Fleet, selector: Selector, terms: Terms, options: ApproveOptions) -> int:
    from reconciler.gitops.working_copy import BranchDraft, Clone

    base = options.base or config.policy.ref
    if not re.fullmatch(BRANCH, base):
        # To git it could be a refspec, which moves a branch of the clone.
        raise Misuse(f"--base {visible(base)} is no name of a branch", "name the branch that hosts follow")
    clone = Clone(Path(options.folder), options.remote)
    head = clone.fetch(base)
    commit = fleet.known.head.policy_commit
    if not clone.holds(commit, head):
        said = f"{base} of {options.folder} does not hold {commit[:12]}, by which the fleet was read"
        raise Misuse(said, "name a clone of the policy with --folder")
    write = by_versions if options.versions else by_digest
    plans = chosen(fleet.found, fleet.known.rows, selector)
    _check_effect(plans, terms, options)
    policy = read_revision(clone.git_dir, head)
    made = write(plans, selector, terms, taken(in_force(policy, head)))
    files = {path: text.encode() for path, text in made.files.items()}
    check_whole(policy, files)
    branch = f"approve/{made.name}"
    if options.dry_run:
        _print(ApprovalProposal(branch, None, made.title, made.body, made.files, ()), options)
        return 0
    trailer = f"\nPolicy-Ref: {base}\n" if config.trust.require_ref else ""
    pushed = clone.propose(BranchDraft(branch, files, f"{made.title}\n\n{made.body}{trailer}"), head)
    commands = tuple(PullRequest(branch, base, made.title, pushed).commands(clone.address))
    _print(ApprovalProposal(branch, pushed, made.title, made.body, made.files, commands), options)
    return 0


def _check_effect(plans: Sequence[WaitingPlan], terms: Terms, options: ApproveOptions) -> None:
    """Say which approvals would let nothing happen.

    Raises:
        Misuse: A plan would be approved by its digest, which is used up wherever it waits.
    """
    for plan in plans:
        used = [] if options.versions else [one.row.target for one in plan.targets if one.seen]
        if used:
            said = (
                f"plan {short_digest(plan.digest)} was approved and applied on {listed(used, _SHOWN_TARGETS)}"
            )
            if len(used) == len(plan.targets):
                hint = "approve the versions with --versions"
                raise Misuse(f"{said}: its digest approves no second run there", hint)
            note(f"{said}: there its digest approves no second run")
        if terms.ends_before(plan) and plan.window is not None:
            when = minute(plan.window)
            note(f"plan {short_digest(plan.digest)} can meet no window before {when}, when this has ended")


def in_force(policy: Sequence[PolicyFile], head: str) -> Revision:
    """Return a policy that documents are to be added to.

    Raises:
        PolicyRejected: It is invalid: nothing that is added to it would count.
    """
    loaded = load(policy, head)
    if not isinstance(loaded, Revision):
        raise rejection(loaded, head)
    return loaded


def taken(policy: Revision) -> set[str]:
    """Return the names that its Approvals and their files have."""
    files = {Path(one.origin.file).stem for one in policy.approvals}
    return files | {one.value.name for one in policy.approvals}


def check_whole(policy: Sequence[PolicyFile], files: Mapping[str, bytes]) -> None:
    """Refuse to propose what hosts would refuse once it is merged, with all that is in the policy.

    Raises:
        Misuse: They would.
    """
    match load([*policy, *(PolicyFile(path, "100644", data) for path, data in files.items())]):
        case Rejected(problems=problems):
            hint = "write the Approval by hand" if len(files) == 1 else "approve fewer at once"
            raise Misuse(f"with these documents hosts would refuse the policy: {problems[0]}", hint)
        case _:
            pass


def _print(proposal: ApprovalProposal, options: ApproveOptions) -> None:
    if options.format == "json":
        print_json(plain(proposal))
        return
    if options.dry_run:
        note(f"this would be pushed as {proposal.branch} to {options.remote}")
        for path, text in proposal.documents.items():
            sys.stdout.write(f"# {path}\n{text}\n")
    else:
        note(f"pushed {proposal.branch} to {options.remote}; merging it approves; to open the pull request:")
        for command in proposal.commands:
            note(f"  {command}")
    sys.stdout.write(f"{visible(proposal.title)}\n\n{proposal.body}")
