"""``patchledger log``: the runs of this host or a guest, and one with what the package manager said."""

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from reconciler.cli.showing.interfaces import LoggedRun, LogLine, LogList
from reconciler.cli.showing.table import Paint, Row, Style, table
from reconciler.cli.showing.terminal import Format, colour, print_json, width
from reconciler.cli.verbs.arrivals import announced_commit, announced_report, approved, covering
from reconciler.cli.verbs.origins import Lines, written_lines
from reconciler.cli.wiring.aimed import aim, kept_at_all
from reconciler.cli.wiring.compose import policy_mirror
from reconciler.errors import DONE, Misuse
from reconciler.host.config import Config, load_config
from reconciler.host.machine.clock import SystemClock
from reconciler.host.state.run_logs import TargetLogs
from reconciler.planning.runs.record import RunOutcome, outcome_of
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.wording import plural
from reconciler.policy.problems import visible
from reconciler.records import dataclass

_COUNT = 20
_NEWEST = "last"
_DAMAGED = "damaged"
_COLUMNS = ("Began", "Outcome", "Changes", "Took", "Run", "Why")


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What ``log`` is told; its help says what each is."""

    config: str
    run: str | None
    last: int | None
    target: str | None
    format: Format


@dataclass(frozen=True, slots=True)
class Approved:
    """An approval that let a run happen.

    Attributes:
        approval: Name, reason and line of policy.
        written: Who wrote and who signed that; ``None`` where nobody can tell.
    """

    approval: str
    written: str | None

    def text(self) -> Iterator[str]:
        """Yield it in words, a line each."""
        yield f"approved by {self.approval}"
        if self.written is not None:
            yield f"  {self.written}"


def run(options: LogOptions) -> int:
    """Print the list of runs, or one run, and return 0.

    Raises:
        Misuse: There is no such run or guest, the folder cannot be read, or an argument is wrong.
    """
    aimed = kept_at_all(aim(load_config(Path(options.config)), options.target))
    config, logs = aimed.config, aimed.logs
    if options.run == _NEWEST and options.format == "text" and options.last is None and not logs.runs():
        _list(logs, 1, options.format)  # as of a list that is empty: nothing is wrong
    elif options.run is None:
        _list(logs, _COUNT if options.last is None else options.last, options.format)
    elif options.last is not None:
        raise Misuse("--last belongs to the list, not to one run", "leave it or the run out")
    else:
        _show(config, logs, find(logs, options.run), options.format)
    return DONE


def find(logs: TargetLogs, wanted: str) -> str:
    """Return the id of the run that ``wanted`` names: ``last``, a whole id, or the beginning of just one.

    Raises:
        Misuse: None or several are meant.
    """
    runs = logs.runs()
    if wanted == _NEWEST and runs:
        return runs[-1]
    meant = [wanted] if wanted in runs else [one for one in runs if wanted and one.startswith(wanted)]
    if len(meant) == 1:
        return meant[0]
    if not meant:
        if not runs:
            raise Misuse(
                f"there is no run yet: {logs.path} holds none", "`patchledger run` makes one where it applies"
            )
        said = f"there is no run {visible(wanted)}; the newest is {runs[-1]}"
        raise Misuse(said, "see `patchledger log --last 0`")
    few = ", ".join(meant[-3:])
    raise Misuse(
        f"{visible(wanted)} is the beginning of {len(meant)} runs, such as {few}", "write more of it"
    )


def _list(logs: TargetLogs, count: int, form: Format) -> None:
    if count < 0:
        raise Misuse(f"--last is 0 for all, or a number of runs, not {count}")
    runs = logs.runs()
    lines = [_line(logs, one) for one in (runs[-count:] if count else runs)]
    if form == "json":
        print_json(plain(LogList(str(logs.path), len(runs), tuple(lines))))
    elif not lines:
        sys.stdout.write(f"No run yet: {logs.path} holds none.\n")
    else:
        columns = width() if sys.stdout.isatty() else None
        shown = table(
            list(map(_row, lines)),
            columns,
            heads=_COLUMNS,
            indent="",
            paint=Paint(colour=colour()),
            style_of=_style,
        )
        sys.stdout.writelines(f"{line}\n" for line in shown)
        if len(lines) < len(runs):
            sys.stdout.write(f"{len(lines)} of {len(runs)} runs; all with --last 0.\n")


def _line(logs: TargetLogs, run_: str) -> LogLine:
    record = logs.record(run_)
    try:
        if record is not None:
            started = datetime.fromisoformat(record["started"])
            return LogLine(
                run=run_,
                started=started,
                seconds=round((datetime.fromisoformat(record["ended"]) - started).total_seconds()),
                outcome=str(record["outcome"]),
                changes=len(record["difference"]["changed"]),
                reason=str(record["reason"]),
            )
    except (KeyError, TypeError, ValueError):
        pass
    return LogLine(run_, None, None, _DAMAGED, 0, f"{run_}.json is missing or damaged")


def _row(line: LogLine) -> Row:
    took = "" if line.seconds is None else _took(line.seconds)
    return (_shown(line.started), line.outcome, str(line.changes), took, line.run, line.reason)


def _shown(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _took(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _style(row: Row) -> Style:
    word = row[_COLUMNS.index("Outcome")]
    match outcome_of(word):
        case RunOutcome.APPLIED | RunOutcome.REPAIRED | RunOutcome.REBOOTED:
            return Style.PLAIN
        case RunOutcome.FAILED | RunOutcome.INTERRUPTED | RunOutcome.ROLLED_BACK:
            return Style.BAD
        case RunOutcome.PARTIAL | RunOutcome.VETOED | RunOutcome.PLAN_CHANGED | RunOutcome.DEFERRED:
            return Style.NOTE
        case None:
            return Style.BAD if word == _DAMAGED else Style.NOTE


def _show(config: Config, logs: TargetLogs, run_: str, form: Format) -> None:
    record, log = logs.record(run_), logs.log(run_)
    approvals = _approved(config, record or {})
    if form == "json":
        names = tuple(one.approval for one in approvals)
        print_json(plain(LoggedRun(run_, record, log, names, tuple(one.written or "" for one in approvals))))
        return
    line = _line(logs, run_)
    sys.stdout.write(f"Run {run_}: {visible(line.outcome)}\n")
    for said in (*_facts(record or {}, line), *(words for one in approvals for words in one.text())):
        sys.stdout.write(f"  {visible(said)}\n")
    sys.stdout.write("\n")
    # A package manager draws its progress with carriage returns; each stands for a line of its own.
    for said in log.replace("\r", "\n").split("\n") if log else ["(nothing was printed)"]:
        sys.stdout.write(f"{visible(said.expandtabs())}\n")


def _approved(config: Config, record: dict[str, Any]) -> tuple[Approved, ...]:
    """Return which approvals covered what a report announced, by what that report says; none without it."""
    report = announced_report(config, record)
    given = () if report is None else covering(report)
    if report is None or not given:
        return ()
    ends = {one.origin: one.expires for one in given}
    lines = Lines(report.policy_commit, tuple(ends), ends)
    written = written_lines(config, policy_mirror(config), lines, SystemClock().now())
    by = {one.origin: one.text() for one in written}
    return tuple(Approved(f"{approved(one)} [{one.origin}]", by.get(one.origin)) for one in given)


def _facts(record: dict[str, Any], line: LogLine) -> Iterator[str]:
    """Yield what a record says, a line each; a key that is not there says nothing."""
    if line.reason:
        yield line.reason
    if line.seconds is not None:
        took, changed = _took(line.seconds), plural(line.changes, "package")
        yield f"began {_shown(line.started)} UTC, took {took}, changed {changed}"
    if record.get("policy_commit"):
        yield f"policy {str(record['policy_commit'])[:12]}, plan {record.get('digest')}"
    if commit := announced_commit(record):
        pushed = "pushed" if record["announced"].get("pushed") is True else "not pushed"
        yield f"announced by report {commit[:12]}, {pushed} before anything was done"
    glass = record.get("exceptional")
    if isinstance(glass, dict):
        yield f"passed over the window by {glass.get('by')}: {glass.get('reason')}"
    difference = record.get("difference")
    for move in (difference or {}).get("changed", ()) if isinstance(difference, dict) else ():
        moved = f"{move.get('from') or '(new)'} → {move.get('to') or '(gone)'}"
        yield f"{move.get('name')}:{move.get('arch')} {moved}"
    for key, words in (("notes", ""), ("conffiles", "waits for a person: ")):
        for said in record.get(key) or ():
            yield f"{words}{said}"
    for hook in record.get("hooks") or ():
        yield f"hook {hook.get('stage')}.d/{hook.get('name')}: {hook.get('outcome')}"
