"""The verb ``plan``: what would be done to one target, and why."""

import contextlib
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from reconciler.cli.showing.render import render_plan
from reconciler.cli.showing.terminal import Format, colour, note, print_json, tell, width, working
from reconciler.cli.wiring.aimed import Aim, entered, refuse
from reconciler.cli.wiring.compose import Wiring, wire
from reconciler.cli.wiring.looking import look
from reconciler.errors import (
    DONE,
    PENDING,
    Misuse,
    PolicyRejected,
    ReconcilerError,
    Stalled,
    Transient,
    exit_code,
    worst,
)
from reconciler.host.config import ReportRemote, load_config
from reconciler.host.install.credentials import folder_beside
from reconciler.planning.gates.recording import read_recording
from reconciler.planning.notices.events import Event, Route, Untold, dry_run
from reconciler.planning.notices.snapshot import snapshot_of
from reconciler.planning.reporting.ailments import failures
from reconciler.planning.reporting.report import plan_json
from reconciler.policy.problems import visible
from reconciler.policy.values import BRANCH
from reconciler.reconcile.assess import Assessment, Finding, decide_again
from reconciler.reconcile.memory import routes_of
from reconciler.reconcile.ports.state import State
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What ``plan`` is told; its help says what each is."""

    config: str
    root: str | None = None
    policy_ref: str | None = None
    check: bool = False
    notify: bool = False
    target: str | None = None
    format: Format = "text"


def plan(options: PlanOptions) -> int:
    """Print what would be done and why; with ``--check`` return 4 where updates are pending.

    Raises:
        ReconcilerError: The machine cannot be observed, or the configuration is wrong.
    """
    config = load_config(Path(options.config))
    if options.root is not None and options.target is not None:
        raise Misuse("--root and --target do not go together", "leave one of them out")
    aimed = entered(config, options.target)
    if options.root is not None:
        config = config.model_copy(update={"root": Path(options.root).absolute()})
        aimed = Aim(config)
    if options.policy_ref is not None:
        if options.notify:
            raise Misuse(
                "--policy-ref and --notify do not go together", "what is only tried is told to nobody"
            )
        with _tried(aimed, options.policy_ref) as tried:
            return _shown(tried, replace(aimed, config=tried.config), options)
    return _shown(wire(config, encrypted=folder_beside(Path(options.config))), aimed, options)


@contextlib.contextmanager
def _tried(aimed: Aim, ref: str) -> Iterator[Wiring]:
    """Give what follows another branch, in a state folder that is thrown away afterwards.

    What was seen and done before counts as it would: ages of updates, what is held in quarantine. Which
    commit was accepted does not, since that was one of the branch which is followed. Reports are neither
    read nor made.

    Raises:
        Misuse: It cannot be a branch's name.
    """
    if not re.fullmatch(BRANCH, ref):
        raise Misuse(f"--policy-ref {visible(ref)} is no branch's name", "give one of the policy repository")
    config = aimed.config
    with tempfile.TemporaryDirectory(prefix="patchledger-") as folder:
        aside = {"state_dir": Path(folder) / "state", "log_dir": Path(folder) / "log"}
        policy = config.policy.model_copy(update={"ref": ref})
        wiring = wire(config.model_copy(update={"policy": policy, "reports": ReportRemote(), **aside}))
        for one in (Aim(config), aimed) if aimed.guest is not None else (aimed,):
            kept = replace(one, config=wiring.config).folder
            kept.prepare()
            kept.save(_remembered(one))
        note(f"by {ref}, and not by {config.policy.ref}, which this host follows; nothing of this is kept")
        yield wiring


def _remembered(one: Aim) -> State:
    """Return what is kept of a target, as if no policy had been accepted."""
    before = one.folder.recall().state if one.folder.path.is_dir() else State()
    return replace(before, accepted="", floor="", beginning="", is_verified=False, signed=())


def _shown(wiring: Wiring, aimed: Aim, options: PlanOptions) -> int:
    asked = wiring.manager.name if aimed.guest is None else f"guest {aimed.guest.id}"
    with working(f"{asked} is asked what it would do; that takes a while where much is offered"):
        assessment = look_at(wiring, aimed)
    if options.format == "json":
        print_json(plan_json(assessment.report))
    else:
        sys.stdout.write(render_plan(assessment.report, width=width(), colour=colour()))
    pending = PENDING if options.check and assessment.report.plan.transaction else DONE
    unsent = _send(wiring, aimed, assessment) if options.notify else ()
    wrong = failures(assessment.report.conditions)
    for failure in wrong:
        tell(failure)
    return worst([pending, *map(exit_code, (*assessment.failures, *wrong, *unsent))])


def whom(aimed: Aim) -> str:
    """Return what a target is called in a sentence."""
    return "this host" if aimed.guest is None else aimed.shown


def look_at(wiring: Wiring, aimed: Aim) -> Assessment:
    """Look at a target now, and tell what went wrong on the way."""
    if aimed.guest is not None and aimed.guest.left_out:
        refuse(aimed.guest)
    assessment, complaints = look(wiring, aimed)
    note(*complaints, *wiring.source.notices)
    for failure in assessment.failures:
        tell(failure)
    return assessment


def _send(wiring: Wiring, aimed: Aim, assessment: Assessment) -> tuple[ReconcilerError, ...]:
    """Send the plan to whoever hears of anything about this host, and return what could not be delivered.

    It goes through the outbox, so that what a service does not take now is tried again by the next runs.

    Raises:
        Stalled: The policy names nobody, or the outbox cannot be written.
    """
    effective = assessment.finding.effective
    names = tuple(dict.fromkeys(route.to for route in routes_of(effective)))
    if effective is None or not names:
        raise Stalled(
            f"the plan was sent to nobody: the policy in force names no notifier for {whom(aimed)}",
            "add `notify` to a policy that matches it",
        )
    report, routes = assessment.report, tuple(Route(name, frozenset(Event)) for name in names)
    notice = dry_run(snapshot_of(report, action=effective.settings.action), report.generated_at)
    with wiring.folder.locked():
        complaints = wiring.ticker.reporter.messenger.tell((notice,), routes, report.generated_at)
    failures = tuple(map(_failure, complaints))
    for failure in failures:
        tell(failure)
    if not failures:
        note(f"sent the plan to {', '.join(names)}")
    return failures


def _failure(untold: Untold) -> ReconcilerError:
    if untold.is_refused:
        return Stalled(untold.sentence, "correct the address, or what its service says to it")
    return Transient(untold.sentence, "it waits in the outbox and is tried again")


def last_finding(wiring: Wiring, aimed: Aim) -> Finding | None:
    """Make the last decision about a target again; ``None`` where none was recorded that can be read."""
    recorded = aimed.folder.read("observation.json") if aimed.folder.path.is_dir() else None
    if recorded is None:
        return None
    try:
        return decide_again(read_recording(recorded), wiring.read)
    except (Misuse, PolicyRejected):
        return None  # written by another version: look anew
