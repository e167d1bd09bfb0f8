"""By which run a package came to the version that it has, and whether what let it come still holds.

Policy that is taken back downgrades nothing: who asks afterwards is told so, and where the version is from.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from reconciler.cli.wiring.compose import QUEUE
from reconciler.errors import Misuse, ReconcilerError
from reconciler.gitops.git import Git
from reconciler.gitops.refs import is_oid
from reconciler.host.config import Config
from reconciler.host.state.run_logs import TargetLogs
from reconciler.planning.facts.observation import Installed
from reconciler.planning.facts.package import Names, PackageId
from reconciler.planning.reporting.document import ApprovalState, ExceptionState, Report
from reconciler.planning.reporting.reader import read_report
from reconciler.planning.resolving.selection import is_named_by
from reconciler.planning.runs.record import RunOutcome
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.wording import minute
from reconciler.records import dataclass

STAYS = "what is applied already stays: nothing is downgraded"
_MOST_REPORT = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Letting:
    """A document that let a version come.

    Attributes:
        name: Of the document.
        words: What it did.
        origin: Where it stood then.
        is_in_force: It says the same today.
    """

    name: str
    words: str
    origin: str
    is_in_force: bool

    def text(self) -> str:
        """Return it in words, on one line."""
        return f"{self.words} [{self.origin}]{'' if self.is_in_force else ', in force no more'}"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A version that is installed, and the last run that brought it.

    Attributes:
        at: When the run began.
        policy: Commit that it began under.
        let_by: Exceptions and approvals.
    """

    package: PackageId
    version: str
    run: str
    at: datetime
    policy: str
    let_by: tuple[Letting, ...]

    def text(self, name: Names) -> Iterator[str]:
        """Yield it in words, a line each."""
        where = f"by run {self.run} of {minute(self.at)}, policy {self.policy[:12]}"
        yield f"{name(self.package)} {self.version}: {where}"
        yield from (f"  {one.text()}" for one in self.let_by)
        if not all(one.is_in_force for one in self.let_by):
            yield f"  {STAYS}"

    def plain(self) -> dict[str, object]:
        """Return it as JSON data."""
        return {
            "name": self.package.name,
            "arch": self.package.arch,
            "version": self.version,
            "run": self.run,
            "at": instant(self.at),
            "policy_commit": self.policy or None,
            "let_by": [
                {"name": one.name, "words": one.words, "origin": one.origin, "in_force": one.is_in_force}
                for one in self.let_by
            ],
        }


def arrivals(
    config: Config, logs: TargetLogs, report: Report, installed: Iterable[Installed]
) -> tuple[Arrival, ...]:
    """Return by which runs packages came to the versions that they have; of others, and from before, nothing.

    Args:
        config: Of the host.
        logs: Of the target's runs.
        report: The newest one: what it lists is in force.
        installed: The packages that are asked about.
    """
    found = []
    for one in installed:
        if (brought := run_that_brought(logs, one.package, one.version)) is not None:
            run, record = brought
            announced = announced_report(config, record)
            let_by = () if announced is None else tuple(_let_by(announced, one.package, report))
            began = datetime.fromisoformat(record["started"]).astimezone(UTC)
            policy = str(record.get("policy_commit") or "")
            found.append(Arrival(one.package, one.version, run, began, policy, let_by))
    return tuple(found)


def run_that_brought(
    logs: TargetLogs, package: PackageId, version: str | None, until: datetime | None = None
) -> tuple[str, dict[str, Any]] | None:
    """Return id and record of the last run that moved a package to a version, ``None`` where none is known.

    Args:
        logs: Of the target.
        package: Of one architecture.
        version: ``None`` of one that was removed.
        until: Leave aside runs that began later.
    """
    try:
        for run in reversed(logs.runs()):
            record = logs.record(run)
            if record is not None and _brought(record, package, version, until):
                return run, record
    except ReconcilerError:
        pass  # What is closed to this person is explained by less.
    return None


def _brought(record: dict[str, Any], package: PackageId, version: str | None, until: datetime | None) -> bool:
    try:
        began = datetime.fromisoformat(record["started"]).astimezone(UTC)
        moved = {(one["name"], one["arch"], one["to"]) for one in record["difference"]["changed"]}
        # What was undone is in the record's difference all the same.
        was_undone = record["outcome"] == RunOutcome.ROLLED_BACK
    except (KeyError, TypeError, ValueError):
        return False  # damaged
    is_in_time = until is None or began <= until
    return is_in_time and not was_undone and (package.name, package.arch, version) in moved


def announced_commit(record: dict[str, Any]) -> str:
    """Return the report that announced a run, empty where none did."""
    announced = record.get("announced")
    commit = announced.get("commit") if isinstance(announced, dict) else None
    return commit if isinstance(commit, str) and is_oid(commit) else ""


def announced_report(config: Config, record: dict[str, Any]) -> Report | None:
    """Return what that report says of the plan that the run made real, be it a freeze's security plan.

    ``None`` where this host does not have it any more.
    """
    commit, queue = announced_commit(record), config.state_dir / QUEUE
    if not commit or not queue.is_dir():
        return None
    found = Git(queue).run("cat-file", "blob", f"{commit}:report.json", limit=_MOST_REPORT)
    try:
        return read_report(b"" if found.returncode else found.stdout).leading
    except Misuse:
        return None


def covering(report: Report) -> tuple[ApprovalState, ...]:
    """Return the approvals that let the plan of a report be applied."""
    return tuple(one for one in report.approvals if one.is_given)


def approved(approval: ApprovalState) -> str:
    """Return name and reason of an approval."""
    return f"{approval.name}{f': {approval.reason}' if approval.reason else ''}"


def _let_by(then: Report, package: PackageId, now: Report) -> Iterator[Letting]:
    exceptions = {one.origin: one for one in then.exceptions}
    stand = {(one.name, one.action, one.patterns) for one in now.exceptions if not one.expired}
    reasons = [reason for one in then.plan.updates if one.package == package for reason in one.reasons]
    for reason in reasons:
        if (by := exceptions.get(reason.origin)) is not None:
            is_same = (by.name, by.action, by.patterns) in stand
            yield Letting(by.name, reason.message, reason.origin, is_same)
    given = [(one.name, one.plan, dict(one.versions)) for one in now.approvals if not one.expired]
    for each in covering(then):
        is_same = (each.name, each.plan, dict(each.versions)) in given
        yield Letting(each.name, f"approved by {approved(each)}", each.origin, is_same)


def holding(report: Report, packages: Iterable[PackageId]) -> Iterator[str]:
    """Yield which exceptions keep back what is not on offer now: nobody need wait for an older version."""
    for package in packages:
        if all(one.package != package for one in report.plan.updates):
            yield from (_held(one) for one in report.exceptions if _holds(one, package))


def _holds(exception: ExceptionState, package: PackageId) -> bool:
    is_back = exception.action in {"hold", "block"} and not exception.expired
    return is_back and is_named_by(package, exception.patterns)


def _held(exception: ExceptionState) -> str:
    does = "holds back" if exception.action == "hold" else "blocks"
    said = f"exception '{exception.name}' {does} newer versions ({exception.reason}) [{exception.origin}]"
    return f"{said}; the one that is installed stays"
