"""``patchledger fleet audit``: what the two repositories prove of a period."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from reconciler.cli.showing import audit as shown
from reconciler.cli.showing.interfaces import AuditShown, CheckMade, TickProblem
from reconciler.cli.showing.terminal import colour, note, tell
from reconciler.cli.wiring.fleet import sources
from reconciler.errors import DONE, FAILED, PENDING, Misuse, Stalled, exit_code, worst
from reconciler.fleet.answers import OnDemand
from reconciler.fleet.auditing import PROGRAM, AuditAsked, FleetAudit, audit_fleet
from reconciler.host.config import load_config
from reconciler.host.machine.clock import SystemClock
from reconciler.managers.scripts import manifest
from reconciler.planning.audit.audit import CHECKS, OF_REPORTS
from reconciler.planning.audit.verdicts import Against, Changed, ChangeSet, TargetAudit, Verdict
from reconciler.planning.audit.verdicts import worst as worst_verdict
from reconciler.planning.facts.package import Mention
from reconciler.policy.problems import visible
from reconciler.policy.zones import end_instant, parse_moment, start_instant, zone
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What ``fleet audit`` is told; its help says what each is."""

    config: str
    since: str
    until: str | None
    policy: str | None
    reports: Sequence[str]
    target: Sequence[str]
    package: Sequence[str]
    cve: Sequence[str]
    strict: bool
    format: Literal["text", "json", "markdown", "csv"]


def audit(options: AuditOptions) -> int:
    """Audit a period, and return 0, 1 where something is refuted, or 4 where that was asked for and is so.

    Raises:
        ReconcilerError: The policy cannot be had, or an argument or the configuration is wrong.
        Stalled: The file system refuses.
    """
    now = SystemClock().now()
    since = _instant("--since", options.since)
    until = now if options.until is None else _instant("--until", options.until, is_end=True)
    if since >= until:
        raise Misuse("the period ends before it begins", "look at --since and --until")
    config = load_config(Path(options.config))
    asked = AuditAsked(since, until, tuple(options.target), manifest())
    try:
        found = audit_fleet(sources(config, options.policy, options.reports), asked, now)
    except OSError as error:
        said = f"{error.filename or 'the file system'}: {error.strerror}"
        raise Stalled(said, "free space, or run as the owner of that folder") from error
    note(*found.notices)
    for problem in found.problems:
        tell(problem)
    told = _told(found, asked, Chosen.of(options))
    _print(told, options.format)
    codes = [FAILED] if told.verdict is Verdict.REFUTED else []
    codes += [PENDING] if options.strict and told.verdict is Verdict.UNPROVED else []
    return worst([*codes, *map(exit_code, found.problems), DONE])


def _print(told: AuditShown, form: Literal["text", "json", "markdown", "csv"]) -> None:
    match form:
        case "json":
            sys.stdout.writelines(shown.as_json(told))
        case "csv":
            sys.stdout.writelines(shown.as_csv(told))
        case "markdown":
            sys.stdout.writelines(f"{line}\n" for line in shown.page(told))
        case "text":
            sys.stdout.writelines(f"{line}\n" for line in shown.lines(told, colour=colour()))


def _instant(option: str, text: str, *, is_end: bool = False) -> datetime:
    try:
        moment = parse_moment(text)
        return (end_instant if is_end else start_instant)(moment, zone("UTC"))
    except ValueError as error:
        raise Misuse(f"{option} {visible(text)}: {error}", "write 2026-12-20") from error


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which changes are shown: those of any of these packages, that fix any of these; all without any."""

    packages: tuple[Mention, ...]
    advisories: frozenset[str]

    @classmethod
    def of(cls, options: AuditOptions) -> "Chosen":
        """Read it of what the command line says."""
        packages = tuple(map(Mention.parse, options.package))
        return cls(packages, frozenset(one.upper() for one in options.cve))

    @property
    def is_all(self) -> bool:
        """Whether nothing was chosen."""
        return not self.packages and not self.advisories

    def has(self, change: Changed) -> bool:
        """Say whether a change is shown."""
        is_named = not self.packages or any(one.means(change.package) for one in self.packages)
        fixed = {one.upper() for one in change.advisories}
        return is_named and (not self.advisories or not self.advisories.isdisjoint(fixed))


def _told(found: FleetAudit, asked: AuditAsked, chosen: Chosen) -> AuditShown:
    targets = OnDemand(len(found.targets), lambda number: only(found.targets[number], chosen))
    verdicts, counts = _summed_up(targets)
    # What could not be read is not proved, whatever was.
    unread = [Verdict.UNPROVED] if found.problems or not targets else []
    return AuditShown(
        PROGRAM,
        asked.since,
        asked.until,
        found.policy_commit,
        found.policy_is_verified,
        worst_verdict([*verdicts, *unread]),
        counts,
        targets,
        tuple(CheckMade(one.name, one.sentence) for one in CHECKS),
        found.believed,
        found.notices,
        tuple(TickProblem(one.message, one.hint) for one in found.problems),
    )


def only(target: TargetAudit, chosen: Chosen) -> TargetAudit:
    """Return what an audit says of the chosen changes; what speaks against the branch stays.

    So does what speaks against a report: it may be the chosen package that is left out of it. And a run that
    is refuted stays: who lies about one package is not believed about another.
    """
    if chosen.is_all:
        return target
    sets = [replace(one, changes=tuple(filter(chosen.has, one.changes))) for one in target.changes]
    kept = [one for one in sets if one.changes or one.verdict is Verdict.REFUTED]
    left = [one for one in sets if not one.changes and one.verdict is not Verdict.REFUTED]
    told = (each for one in left for each in one.against if each.check in OF_REPORTS)
    against = tuple(dict.fromkeys((*target.against, *told, *_untold(target, kept, chosen))))
    verdict = worst_verdict([*(one.verdict for one in kept), *(one.verdict for one in against)])
    return replace(target, changes=tuple(kept), against=against, verdict=verdict)


def _untold(target: TargetAudit, kept: Sequence[ChangeSet], chosen: Chosen) -> Iterator[Against]:
    """Yield that nothing is found because nobody tells what changes fix: that is no proof of anything."""
    changes = [one for some in target.changes for one in some.changes]
    if chosen.advisories and changes and not kept and not any(one.advisories for one in changes):
        said = "nothing tells what its changes fix: its package manager may tell of no advisories"
        yield Against("advisories", Verdict.UNPROVED, said)


def _summed_up(targets: Sequence[TargetAudit]) -> tuple[frozenset[Verdict], Mapping[str, int]]:
    """Return which verdicts there are of targets, and how many changes have which: it is told first."""
    found, verdicts, exceptional = set[Verdict](), Counter[Verdict](), 0
    for target in targets:
        found.add(target.verdict)
        verdicts.update(one.verdict for one in target.changes)
        exceptional += sum(one.exceptional is not None for one in target.changes)
    told = {str(verdict): verdicts[verdict] for verdict in reversed(Verdict)}
    return frozenset(found), {**told, "exceptional": exceptional}
