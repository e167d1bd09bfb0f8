"""An audit as text: the verdict, each target, each change, and what nobody but the hosts says."""

from collections.abc import Iterator

from reconciler.cli.showing.interfaces import AuditShown
from reconciler.cli.showing.table import Paint, Style
from reconciler.planning.audit.verdicts import Against, ChangeSet, TargetAudit, Verdict
from reconciler.planning.text.wording import minute, plural
from reconciler.policy.problems import visible

_SHORT = 12
_STYLES = {Verdict.REFUTED: Style.BAD, Verdict.UNPROVED: Style.NOTE, Verdict.PROVED: Style.GOOD}


def lines(told: AuditShown, *, colour: bool) -> Iterator[str]:
    """Yield the lines that show an audit."""
    paint = Paint(colour=colour)
    trust = "its signatures verified" if told.policy_is_verified else "its signatures are not asked for"
    yield paint(f"{told.verdict}: {minute(told.since)} until {minute(told.until)}", _STYLES[told.verdict])
    yield f"Policy {told.policy_commit[:_SHORT]}, {trust}; by {told.program}"
    counts = ", ".join(f"{number} {word}" for word, number in told.counts.items())
    yield f"{plural(len(told.targets), 'target')}; runs and changes outside of runs: {counts}"
    for target in told.targets:
        yield ""
        yield from _target(target, paint)
    yield ""
    yield "Nobody's but the hosts' word is:"
    yield from (f"- {one}" for one in told.believed)


def _target(target: TargetAudit, paint: Paint) -> Iterator[str]:
    told = f"{target.target}: {target.verdict}, {plural(target.reports, 'report')}"
    yield paint(visible(f"{told} up to {target.tip[:_SHORT] or 'none'}"), _STYLES[target.verdict])
    yield from (_against(one, "  ") for one in target.against)
    for change in target.changes:
        yield from _change(change, paint)


def _change(change: ChangeSet, paint: Paint) -> Iterator[str]:
    what = f"run {change.run}, {change.outcome}" if change.kind == "run" else "changed outside of runs"
    yield paint(visible(f"  {minute(change.started)}  {change.verdict}: {what}"), _STYLES[change.verdict])
    glass = change.exceptional
    if glass is not None:
        freeze = ", a freeze as well" if glass.overrides_freeze else ""
        yield visible(f"    exceptional{freeze}: by {glass.by}: {glass.reason}")
    if change.kind == "run":
        yield visible(f"    {_rests_on(change)}")
    for one in change.changes:
        ends = f"{one.from_ or 'new'} → {one.to or 'gone'}" if one.from_ != one.to else one.to or ""
        yield visible(f"    {one.action} {one.package} {ends}")
    yield from (_against(one, "    ") for one in change.against)


def _rests_on(change: ChangeSet) -> str:
    said = f"policy {change.policy_commit[:_SHORT] or 'none'}"
    said += f", announced by {change.announced[:_SHORT] or 'none'}, told by {change.commit[:_SHORT]}"
    said += f", approved by {change.approved_by}" if change.approved_by else ""
    bracket = change.bracket
    if bracket is not None and bracket.before is not None:
        after = "" if bracket.after is None else f"after {minute(bracket.after)} and "
        said += f"; by others {after}before {minute(bracket.before)} ({bracket.witness[:_SHORT]})"
    return said


def _against(one: Against, indent: str) -> str:
    commits = f" [{', '.join(oid[:_SHORT] for oid in one.commits)}]" if one.commits else ""
    return visible(f"{indent}{one.verdict} ({one.check}): {one.reason}{commits}")
