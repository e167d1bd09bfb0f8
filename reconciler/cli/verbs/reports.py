"""``patchledger reports repair``: join this host's report branches with what somebody else wrote there."""

import sys
from pathlib import Path

from reconciler.cli.showing.interfaces import BranchRepair, Foreign, ReportsRepair
from reconciler.cli.showing.terminal import Format, note, print_json, tell
from reconciler.cli.wiring.compose import report_queue
from reconciler.cli.wiring.guests import folders_of
from reconciler.errors import Misuse, ReconcilerError, exit_code, worst
from reconciler.gitops.report_branches import host_branch
from reconciler.gitops.report_queue import Repaired, ReportQueue
from reconciler.host.config import Config, load_config
from reconciler.host.machine.identity import machine_id
from reconciler.host.state.folder import StateFolder
from reconciler.planning.text.canonical import plain
from reconciler.policy.problems import visible
from reconciler.reconcile.ports.reports import REPAIR_HINT, Diverged, Writer


def repair(config_file: str, form: Format, *, dry_run: bool) -> int:
    """Look at each report branch of this host, join those that diverged, push, and say what was found.

    Raises:
        Misuse: There is no report repository, or the configuration is wrong.
        Transient: A run is at work.
    """
    config = load_config(Path(config_file))
    if config.report_remote is None:
        raise Misuse("reports.remote is not set, so reports stay on this host", "there is nothing to repair")
    folder = StateFolder(config.state_dir)
    folder.prepare()
    queue = report_queue(config)
    with folder.locked():
        done, failed = _each(queue, config, dry_run=dry_run)
    note(*queue.notices)
    if form == "json":
        branches = tuple(_document(one, dry_run=dry_run) for one in done)
        print_json(plain(ReportsRepair(config.host, branches)))
    else:
        for one in done:
            sys.stdout.write(_told(one, dry_run=dry_run))
    for problem in failed:
        tell(problem)
    return worst(exit_code(problem) for problem in failed)


def _each(
    queue: ReportQueue, config: Config, *, dry_run: bool
) -> tuple[list[Repaired], list[ReconcilerError]]:
    """Repair one branch after the other: what is wrong with one keeps no other from it."""
    done, failed = [], []
    timeout, keep_runs = config.git.timeout.total_seconds(), config.retention.runs
    for branch in sorted({host_branch(config.host), *queue.branches()}):
        try:
            repaired = queue.repair(
                branch,
                timeout=timeout,
                keep_runs=keep_runs,
                machine=_machine(config, branch),
                dry_run=dry_run,
            )
            done.append(repaired)
        except ReconcilerError as problem:
            failed.append(problem)
    return done, failed


def _machine(config: Config, branch: str) -> str:
    """Return the id of the machine that reports there, as the last tick saw it.

    Before the first tick that of this machine is what its file says, and that of a guest is not known.
    """
    is_own = branch == host_branch(config.host)
    folder = config.state_dir if is_own else folders_of(config).of(branch.rpartition("/")[2]).path
    try:
        seen = Writer.of((folder / "report.json").read_bytes()).machine
    except OSError:
        seen = ""
    return seen or (machine_id(config.root or Path("/")) if is_own else "")


def _told(one: Repaired, *, dry_run: bool) -> str:
    if one.found is None:
        what = "its reports were sent again" if one.sent else "nothing to repair"
        what = f"goes on on this machine from {one.joined[:12]} on" if one.joined else what
        return f"{one.branch}: {what}\n"
    found = visible(f"{one.found.message}")
    if dry_run:
        return f"{found}.\n{one.branch}: would be {_way(one.found)}; nothing was done.\n"
    return (
        f"{found}.\n{one.branch}: {_way(one.found)}, as {one.joined[:12]}; no commit was dropped. If another "
        "machine has this host's id, it happens again: give that one an id of its own.\n"
    )


def _way(found: Diverged) -> str:
    return "continued from there" if found.moved_on else "joined with this host's reports and pushed"


def _document(one: Repaired, *, dry_run: bool) -> BranchRepair:
    found = one.found
    foreign = None
    if found is not None:
        foreign = Foreign(
            found.ours, found.theirs, found.count, found.newest, found.subject, found.message, REPAIR_HINT
        )
    return BranchRepair(one.branch, foreign, one.joined, one.sent, dry_run)
