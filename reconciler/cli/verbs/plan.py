"""The verbs that answer about one target: ``plan`` and ``explain``."""

import contextlib
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.cli.showing.render import render_explain, render_plan
from reconciler.cli.showing.table import wrapped
from reconciler.cli.showing.terminal import Format, colour, note, print_json, tell, width, working
from reconciler.cli.verbs.arrivals import arrivals, holding
from reconciler.cli.verbs.origins import Lines, written_lines
from reconciler.cli.verbs.since import since
from reconciler.cli.wiring.aimed import Aim, aim, entered, kept_at_all, refuse
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
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.facts.observation import Installed
from reconciler.planning.facts.package import Mention, PackageId
from reconciler.planning.gates.recording import read_recording
from reconciler.planning.notices.events import Event, Route, Untold, dry_run
from reconciler.planning.notices.snapshot import snapshot_of
from reconciler.planning.reporting.ailments import failures
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.report import plan_json
from reconciler.planning.resolving.unneeded_account import told_of_unused
from reconciler.planning.text.wording import on_the_clock
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


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """What ``explain`` is told; its help says what each is."""

    config: str
    package: str | None
    fresh: bool
    since: str | None
    target: str | None
    format: Format


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


def explain(options: ExplainOptions) -> int:
    """Print why a package, or every update, has the fate it has.

    The last run's decision is made again from its recording; where there is none, the host is looked at.

    Raises:
        ReconcilerError: As for :func:`plan`.
    """
    aimed = kept_at_all(aim(load_config(Path(options.config)), options.target))
    wiring = wire(aimed.config)
    if options.since is not None:
        if options.package is None or options.fresh:
            raise Misuse("--since is about one package, and what was reported", "name the package alone")
        return since(wiring, aimed, options.package, options.since, options.format)
    last = None if options.fresh else last_finding(wiring, aimed)
    found = look_at(wiring, aimed).finding if last is None else last
    report, observed = found.report, found.recording.observation
    if found.effective is None:
        raise Stalled(
            f"there is no policy in force for {_whom(aimed)}, so nothing was asked of the package manager",
            "see `patchledger status` for why",
        )
    lines = Lines.of(found.effective, _origins(report, options.package))
    written = written_lines(wiring.config, wiring.source, lines, SystemClock().now())
    present = _present(observed.installed, options.package)
    came = arrivals(wiring.config, aimed.logs, report, present)
    packages, recording = [one.package for one in present], found.recording
    unused = [*told_of_unused(packages, observed, found.effective, recording.exchanges, recording.now)]
    if options.format == "json":
        more = {
            "written": [one.plain() for one in written],
            "came": [one.plain() for one in came],
            "installed": [f"{one.package} {one.version}" for one in present],
            "unused": unused,
        }
        print_json({**_explained(report, options.package), **more})
        return DONE
    at, commit = on_the_clock(report.generated_at, report.timezone), report.policy_commit[:12] or "none"
    as_of = f"(as of {at}, policy {commit})"
    text = render_explain(
        report,
        options.package,
        installed=observed.installed,
        quarantined=observed.quarantined,
        width=width(),
        colour=colour(),
    )
    kept = holding(report, (one.package for one in present))
    arrived = (line for one in came for line in one.text(report.name_of))
    sections = (
        ("How it came:", arrived),
        ("Nothing needs it any more:", unused),
        ("From now on:", kept),
        ("Where that is written:", (one.text() for one in written)),
    )
    shown = "".join(_section(head, lines) for head, lines in sections)
    sys.stdout.write(f"{text}{shown}{as_of}\n" if not shown else f"{text}{shown}\n{as_of}\n")
    return DONE


def _whom(aimed: Aim) -> str:
    return "this host" if aimed.guest is None else aimed.shown


def _present(installed: Sequence[Installed], package: str | None) -> list[Installed]:
    asked = None if package is None else Mention.parse(package)
    return [one for one in installed if asked is not None and asked.means(one.package)]


def _section(head: str, lines: Iterable[str]) -> str:
    told = [line for one in lines for line in wrapped(visible(one), width(), "  ")]
    return "".join(f"{line}\n" for line in ("", head, *told)) if told else ""


def _origins(report: Report, package: str | None) -> Iterator[str]:
    """Yield the lines of policy that the fate of packages rests on."""
    asked = None if package is None else Mention.parse(package)
    for update in report.plan.updates:
        if asked is None or asked.means(update.package):
            yield from (reason.origin for reason in update.reasons)
            if update.deadline is not None:
                yield update.deadline.origin


def _explained(report: Report, package: str | None) -> dict[str, Any]:
    """Return what ``plan`` prints, with no updates but those that were asked about."""
    whole = plan_json(report)
    if package is not None:
        asked, plan_ = Mention.parse(package), whole["plan"]
        plan_["updates"] = [
            one for one in plan_["updates"] if asked.means(PackageId(one["name"], one["arch"]))
        ]
    return whole


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
            f"the plan was sent to nobody: the policy in force names no notifier for {_whom(aimed)}",
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
