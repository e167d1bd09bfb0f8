"""``explain PACKAGE --since``: what became of a package on a host, and which policy changed it."""

import sys
from collections.abc import Iterator
from datetime import datetime

from reconciler.cli.showing.table import wrapped
from reconciler.cli.showing.terminal import Format, note, print_json, width
from reconciler.cli.verbs.arrivals import run_that_brought
from reconciler.cli.wiring.aimed import Aim
from reconciler.cli.wiring.compose import Wiring
from reconciler.errors import DONE, Misuse, ReconcilerError
from reconciler.planning.facts.package import Mention
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.reader import read_report
from reconciler.planning.reporting.turns import Turn, turns
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import minute
from reconciler.policy.problems import visible
from reconciler.policy.zones import parse_moment, start_instant, zone

_SUBJECT = 100


def since(wiring: Wiring, aimed: Aim, package: str, at: str, form: Format) -> int:
    """Print each report that changed the fate of a package, the oldest first, and return 0.

    Args:
        wiring: Of the host.
        aimed: The target.
        package: ``name`` or ``name:arch``.
        at: A date, or a time, in UTC where it names no zone.
        form: How it is printed.

    Raises:
        Misuse: ``at`` is no date, or the target has no report.
        Stalled: The file system refuses.
    """
    try:
        begin = start_instant(parse_moment(at), zone("UTC"))
    except ValueError as error:
        raise Misuse(f"--since {visible(at)}: {error}", "write 2026-12-20") from error
    found = turns(Mention.parse(package), _reports(wiring, aimed, begin))
    if form == "json":
        print_json([_plain(one) for one in found])
        return DONE
    if not found:
        sys.stdout.write(f"{visible(package)}: no report since {visible(at)} tells of an update\n")
    for one in found:
        lines = wrapped(visible(f"{minute(one.at)}  {_words(one, wiring, aimed)}"), width())
        sys.stdout.writelines(f"{line}\n" for line in lines)
    return DONE


def _reports(wiring: Wiring, aimed: Aim, begin: datetime) -> Iterator[Report]:
    is_any = False
    for data in wiring.queue.since(aimed.branch, begin):
        is_any = True
        try:
            yield read_report(data)
        except Misuse as error:
            note(f"a report is passed over: {error.message}")
    if not is_any:
        raise Misuse(f"{aimed.shown} has no report yet", "run `patchledger run`")


def _words(turn: Turn, wiring: Wiring, aimed: Aim) -> str:
    update = turn.update
    if update is None:
        return f"{turn.package}: no update is listed any more{_run(turn, aimed)}{_cause(turn, wiring)}"
    moved = " → ".join(filter(None, (update.installed or "new", update.candidate or "removed")))
    reason = update.reasons[0]
    origin = f" [{reason.origin}]" if reason.origin else ""
    said = f"{turn.package} {moved}: {update.disposition}, since {reason.message}{origin}"
    return f"{said}{_cause(turn, wiring)}"


def _run(turn: Turn, aimed: Aim) -> str:
    """Name the run that brought the version that was offered, where one did."""
    if turn.before is None:
        return ""
    version = turn.before.candidate
    brought = run_that_brought(aimed.logs, turn.package, version, turn.at)
    if brought is None:
        return ""
    return f": run {brought[0]} {f'brought {version}' if version else 'removed it'}"


def _cause(turn: Turn, wiring: Wiring) -> str:
    if turn.is_first:
        return f"; policy {turn.policy[:12] or 'none'}"
    if turn.policy == turn.policy_before:
        return "; by the same policy"
    subject = _subject(wiring, turn.policy)
    return f"; policy went from {turn.policy_before[:12]} to {turn.policy[:12] or 'none'}{subject}"


def _subject(wiring: Wiring, commit: str) -> str:
    try:
        return f' "{one_line(wiring.source.describe(commit).subject, _SUBJECT)}"' if commit else ""
    except ReconcilerError:
        return ""  # The policy was rewritten since.


def _plain(turn: Turn) -> dict[str, object]:
    update = turn.update
    return {
        "at": instant(turn.at),
        "name": turn.package.name,
        "arch": turn.package.arch,
        "installed": None if update is None else update.installed,
        "candidate": None if update is None else update.candidate,
        "disposition": None if update is None else str(update.disposition),
        "reasons": [] if update is None else [one.message for one in update.reasons],
        "policy_commit": turn.policy or None,
        "policy_before": turn.policy_before or None,
    }
