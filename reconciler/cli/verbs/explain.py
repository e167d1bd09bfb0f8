"""The verb ``explain``: why packages have the fate they have, where that is written, and how they came."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reconciler.cli.showing.render import render_explain
from reconciler.cli.showing.table import wrapped
from reconciler.cli.showing.terminal import Format, colour, print_json, width
from reconciler.cli.verbs.arrivals import arrivals, holding
from reconciler.cli.verbs.origins import Lines, written_lines
from reconciler.cli.verbs.plan import last_finding, look_at, whom
from reconciler.cli.verbs.since import since
from reconciler.cli.wiring.aimed import aim, kept_at_all
from reconciler.cli.wiring.compose import wire
from reconciler.errors import DONE, Misuse, Stalled
from reconciler.host.config import load_config
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.facts.observation import Installed
from reconciler.planning.facts.package import Mention, PackageId
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.report import plan_json
from reconciler.planning.resolving.unneeded_account import told_of_unused
from reconciler.planning.text.wording import on_the_clock
from reconciler.policy.problems import visible
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """What ``explain`` is told; its help says what each is."""

    config: str
    package: str | None
    fresh: bool
    since: str | None
    target: str | None
    format: Format


def explain(options: ExplainOptions) -> int:
    """Print why a package, or every update, has the fate it has.

    The last run's decision is made again from its recording; where there is none, the host is looked at.

    Raises:
        ReconcilerError: As for :func:`reconciler.cli.verbs.plan.plan`.
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
            f"there is no policy in force for {whom(aimed)}, so nothing was asked of the package manager",
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
        asked = Mention.parse(package)
        for plan in filter(None, (whole["plan"], whole["security_plan"])):
            plan["updates"] = [
                one for one in plan["updates"] if asked.means(PackageId(one["name"], one["arch"]))
            ]
    return whole
