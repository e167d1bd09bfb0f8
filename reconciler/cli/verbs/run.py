"""``patchledger run``: one tick, told on the terminal, and the fingerprint that makes a next one quiet."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import reconciler
from reconciler.agent.tick_files import TickFiles, failed_early
from reconciler.cli.showing.render import render_run, render_status, render_summary
from reconciler.cli.showing.terminal import Format, colour, note, print_json, tell, width
from reconciler.cli.wiring import quiet
from reconciler.cli.wiring.aimed import Aim, entered
from reconciler.cli.wiring.compose import Wiring, wire
from reconciler.cli.wiring.looks import changes_at, passes_unseen
from reconciler.errors import DONE, TRANSIENT, Misuse, ReconcilerError, Stalled, exit_code, worst
from reconciler.gitops.failures import Damaged
from reconciler.host.config import Config, load_config
from reconciler.host.install.credentials import folder_beside
from reconciler.host.machine.clock import SystemClock
from reconciler.host.state import next_tick, standstill
from reconciler.host.state.fingerprint import Fingerprint, digest
from reconciler.host.state.folder import PAUSE, TELLING
from reconciler.host.state.next_tick import Outlook
from reconciler.notify.memory import REFUSED
from reconciler.ownership import user_name
from reconciler.planning.gates.types import BreakGlass
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.report import plan_json
from reconciler.planning.reporting.summary import decided
from reconciler.planning.resolving.dispositions import ConditionType
from reconciler.planning.runs.record import to_run_document
from reconciler.planning.text.wording import on_the_clock
from reconciler.policy.problems import visible
from reconciler.reconcile.policy_in_force import InForce
from reconciler.reconcile.ports.state import Standstill
from reconciler.reconcile.tick import Tick
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What ``run`` is told; its help says what each is."""

    config: str
    now: bool
    reason: str | None
    override_freeze: bool
    target: str | None
    format: Format


def run(options: RunOptions) -> int:
    """Make one tick, print what it came to, and return the exit code of the worst that happened."""
    config_path = Path(options.config)
    config = load_config(config_path)
    glass = _break_glass(options, config)
    aimed = entered(config, options.target)
    if aimed.guest is not None:
        return _run_in(aimed, wire(config, encrypted=folder_beside(config_path)), glass, options.format)
    try:
        wiring = wire(config, encrypted=folder_beside(config_path))
    except ReconcilerError as error:
        failed_early(config, SystemClock(), render_status, error)
        raise
    done = run_once(config_path, wiring, glass)
    note(*_noticed(wiring, done))
    return _shown(wiring, done, wiring.site.branch, options.format)


def _run_in(aimed: Aim, wiring: Wiring, glass: BreakGlass | None, form: Format) -> int:
    """Make one tick in a guest alone, and print it as that of a host is printed."""
    from reconciler.cli.verbs.run_guest import tick_in

    if aimed.guest is None:
        raise ValueError("no guest")
    came = tick_in(wiring, aimed.guest, glass)
    note(*came.notices, *_noticed(wiring, came.done))
    return _shown(wiring, came.done, aimed.branch, form)


def _shown(wiring: Wiring, done: Tick, branch: str, form: Format) -> int:
    """Print what a tick came to, and return its exit code."""
    for failure in done.failures:
        tell(failure)
    if form == "json":
        published = done.published
        runs = [to_run_document(record) for record in (*done.of_guests, *done.runs)]
        print_json(
            {
                **plan_json(done.report),
                "commit": published.commit,
                "pushed": published.pushed,
                "runs": runs,
            }
        )
    else:
        for record in (*done.of_guests, *done.runs):
            sys.stdout.write(render_run(record, width=width(), colour=colour()) + "\n")
        sys.stdout.write(render_summary(done.report, width=width(), colour=colour()))
        sys.stdout.write("\n" + _committed(wiring, done, branch) + "\n")
    return worst([DONE, *map(exit_code, done.failures)])


def _break_glass(options: RunOptions, config: Config) -> BreakGlass | None:
    """Return who passes over the window, and why; ``None`` for an ordinary run.

    Raises:
        Misuse: Half of it is missing, or the configuration does not allow it.
    """
    if not options.now:
        if options.reason or options.override_freeze:
            raise Misuse("--reason and --override-freeze belong to --now", "add --now, or leave them out")
        return None
    reason = (options.reason or "").strip()
    if not reason:
        raise Misuse("--now needs a reason for the record", 'add --reason "..."')
    if options.override_freeze and not config.override_freeze:
        raise Misuse(
            "this host's configuration does not allow --override-freeze",
            f"set override_freeze: true in {options.config}, or wait for the freeze to end",
        )
    return BreakGlass(reason, user_name(), overrides_freeze=options.override_freeze)


def run_once(config_path: Path, wiring: Wiring, break_glass: BreakGlass | None = None) -> Tick:
    """Make one whole tick and leave what ``status`` and a quiet tick read.

    Raises:
        Transient: Another run is at work.
        ReconcilerError: The machine cannot be observed, or the report not even be committed locally.
    """
    folder = wiring.folder
    with folder.locked():
        config = config_path.read_bytes()  # before the work: a change during it is news to the next tick
        wiring.witness.watched = _watched(config_path, wiring)
        # Whatever ends this tick, the next one must not be a quiet one.
        for file in (quiet.FILE, next_tick.FILE):
            (folder.path / file).unlink(missing_ok=True)
        left = TickFiles(
            wiring.config,
            folder,
            wiring.ticker.applier.clock,
            render_status,
            partial(_unpushed, wiring),
            os.environ,
        )
        began = left.begin()
        try:
            wiring.upkeep.begin(
                timeout=wiring.config.git.timeout.total_seconds(), now=wiring.ticker.applier.clock.now()
            )
            begins = partial(left.begins, config, wiring.source.stamp)
            done = _ticks(wiring, digest(config), begins, break_glass)
            wiring.upkeep.end()
            unleft = left.done(began, config, done, _noticed(wiring, done), wiring.source.stamp)
            folder.write(next_tick.FILE, next_tick.content(_outlook(wiring, done)))
            _remember(config, wiring, done, is_left=not unleft)
        except BaseException as error:
            left.failed(began, error)
            raise
    return replace(done, notices=(*done.notices, *unleft))


def _noticed(wiring: Wiring, done: Tick) -> tuple[str, ...]:
    """Return what a person should know and is no failure."""
    return (*done.notices, *wiring.upkeep.notices, *wiring.source.notices, *done.published.notices)


def _ticks(
    wiring: Wiring, configured: str, begins: Callable[[Report], None], break_glass: BreakGlass | None
) -> Tick:
    """Make the ticks of all guests, then that of their hypervisor; most hosts have none.

    Raises:
        ReconcilerError: As of :func:`_tick`, of the hypervisor.
    """
    has_guests = wiring.config.guests is not None
    # What was kept while there were guests is told all the same, be it of the host alone.
    if not has_guests and not (wiring.folder.path / TELLING).exists():
        return _tick(wiring, begins, break_glass)
    from reconciler.cli.verbs.run_guests import push_guests, tick_guests
    from reconciler.cli.wiring.telling import looked_after, together

    wiring, telling = together(wiring)
    of_guests = tick_guests(wiring, configured)
    try:
        made = _tick(wiring, begins, break_glass, of_guests.in_force, of_guests.failures)
        done = of_guests.and_host(made)
    except ReconcilerError:
        # What guests have reported goes out all the same; what fails is told by the next one that pushes.
        tuple(wiring.ticker.reporter.push())
        for failure in of_guests.failures:
            tell(failure)
        raise
    finally:
        now = wiring.ticker.applier.clock.now()
        untold = tuple(telling.end(now, looked_after(wiring.config.host, wiring.guests)))
        wiring.guests.told_until = telling.until
        if not has_guests:
            telling.forget()
    # Of a hypervisor that is another machine nothing is pushed, though its guests are who they were.
    unpushed = tuple(push_guests(wiring)) if done.assessment.is_anothers else ()
    return replace(done, earlier=(*done.earlier, *unpushed, *untold))


def _tick(
    wiring: Wiring,
    begins: Callable[[Report], None],
    break_glass: BreakGlass | None,
    in_force: InForce | None = None,
    before_it: Sequence[ReconcilerError] = (),
) -> Tick:
    """Make a tick, and count those that come to nothing; from ``alert_after`` on that is a failure.

    Args:
        wiring: Of the host.
        begins: As of :class:`reconciler.reconcile.tick.Ticker`.
        break_glass: As there.
        in_force: As there.
        before_it: What went wrong in its guests: the tick of a hypervisor ends by that, too.

    Raises:
        ReconcilerError: As of :meth:`reconciler.reconcile.tick.Ticker.tick`.
    """
    before, limit = standstill.read(wiring.folder), wiring.config.alert_after
    made = replace(
        wiring.ticker, begins=begins, standstill=before if before.ticks >= limit else None, in_force=in_force
    )
    try:
        done = made.tick(break_glass)
    except ReconcilerError as error:
        stood = _counted(wiring, before, (error,))
        if stood.ticks < limit:
            raise
        made.alert(stood)
        raise _stood_still(stood) from error
    stood = _counted(wiring, before, (*before_it, *done.failures))
    if stood.ticks < limit:
        return done
    made.alert(stood)
    return replace(done, earlier=(*done.earlier, _stood_still(stood)))


def _counted(wiring: Wiring, before: Standstill, failures: Sequence[ReconcilerError]) -> Standstill:
    """Count a tick that ended with these failures; where that cannot be written, the next one counts on."""
    counted = standstill.MOVING
    if worst(map(exit_code, failures)) == TRANSIENT:
        said = next(one for one in failures if exit_code(one) == TRANSIENT)
        counted = before.and_another(
            visible(said.message.partition("\n")[0]), wiring.ticker.applier.clock.now()
        )
    with contextlib.suppress(ReconcilerError):
        standstill.write(wiring.folder, counted)
    return counted


def _stood_still(stood: Standstill) -> Stalled:
    return Stalled(stood.message, "see what is in the way; `patchledger doctor` asks everything once")


def _unpushed(wiring: Wiring) -> tuple[str, ...]:
    """Name the report branches that the remote does not have whole; none where there is no remote."""
    if not wiring.ticker.reporter.has_remote:
        return ()
    try:
        return wiring.queue.unpushed()
    except Damaged:
        return ()  # the next commit builds the queue anew, and says so


def _watched(config_path: Path, wiring: Wiring) -> tuple[str, ...]:
    """Name what a tick depends on besides the policy.

    That is the configuration, the operator's pause and hooks, the program and the package manager's files.
    """
    pause = str(wiring.folder.path.absolute() / PAUSE)
    hooks = str(wiring.config.hooks_dir)
    refused = str(wiring.folder.path.absolute() / "outbox" / REFUSED)  # the next report tells of it
    own = (str(config_path.absolute()), pause, refused, hooks, *reconciler.__path__)
    return tuple(sorted({*own, *wiring.manager.inputs()}))


def _outlook(wiring: Wiring, done: Tick) -> Outlook:
    """Return what this tick leaves for a ``watch`` that waits for the next one."""
    decision = done.report.leading.decision
    until = decision.until
    asked_again = f"; asked again {on_the_clock(until, done.report.timezone)}" if until else ""
    return Outlook(
        changes=_changes_at(wiring, done),
        resend=min(_attempts(wiring), default=None),
        says=visible(f"{decided(done.report)}{asked_again}"),
    )


def _attempts(wiring: Wiring) -> tuple[datetime, ...]:
    """Return when the messages that wait are tried next."""
    return tuple(message.not_before for message in wiring.outbox.pending())


def _changes_at(wiring: Wiring, done: Tick) -> datetime:
    """Return the first instant at which a tick will have something new to say though nothing changed."""
    others = (wiring.guests.until, wiring.guests.told_until)
    return min((changes_at(wiring.config, done), *(at for at in others if at is not None)))


def _remember(data: bytes, wiring: Wiring, done: Tick, *, is_left: bool) -> None:
    """Leave a fingerprint for the next tick, if this one left nothing to do over."""
    folder, config, source, report = wiring.folder, wiring.config, wiring.source, done.report
    settled = is_left and not done.failures and done.published.pushed
    stood = any(one.type is ConditionType.STOOD_STILL for one in report.conditions)
    settled = settled and (config.guests is None or wiring.guests.stand_by(report.policy_commit))
    if not settled or stood or passes_unseen(done.assessment) or not report.policy_commit:
        (folder.path / quiet.FILE).unlink(missing_ok=True)
        return
    argv, env = source.invocation()
    known = Fingerprint(
        program=quiet.PROGRAM,
        config=digest(data),
        watched=wiring.witness.watched,
        signature=wiring.witness.signature,
        commit=report.policy_commit,
        mirror=str(source.mirror),
        ref=source.tracking,
        stamp=str(source.stamp),
        argv=argv,
        env=env,
        timeout=config.git.timeout.total_seconds(),
        since=report.generated_at.timestamp(),
        # Its age tells whoever collects the metrics when the host was last found well.
        touched=() if config.metrics is None else (str(config.metrics),),
        reports=_question(wiring),
        guests=wiring.guests.fingerprint,
        # A message that waits is no work before its next attempt.
        until=min((_changes_at(wiring, done), *_attempts(wiring))).timestamp(),
        says=visible(
            f"{config.host}: nothing changed since {on_the_clock(report.generated_at, report.timezone)}"
            f"{'' if config.guests is None else ', and no guest is to be looked at'}; {decided(report)}"
        ),
    )
    folder.write(quiet.FILE, known.to_json())


def _question(wiring: Wiring) -> dict[str, Any] | None:
    """Return what a quiet tick needs to see that the report branch is as it was left."""
    asked = wiring.queue.question(wiring.site.branch)
    return None if asked is None else {**asked, "stamp": str(wiring.folder.path / quiet.FILE)}


def _committed(wiring: Wiring, done: Tick, branch: str) -> str:
    reporter, published = wiring.ticker.reporter, done.published
    where = wiring.queue.shown if reporter.has_remote else str(wiring.queue.queue)
    if done.assessment.is_anothers:
        return f"No report was committed: the branch {branch} is another machine's."
    if published.commit is None:
        said = "Nothing changed since the last report; no commit was made"
    else:
        said = f"Committed report {published.commit[:12]} on branch {branch}"
    if not reporter.has_remote:
        return f"{said} (in {where}; no report remote is configured)."
    if not published.pushed:
        return f"{said}; what was not pushed waits in {wiring.queue.queue} for {where}."
    return f"{said}." if published.commit is None else f"{said} and pushed it to {where}."
