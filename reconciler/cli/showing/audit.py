"""An audit for people: the verdict, each target, each change, and what nobody but the hosts says."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from textwrap import indent

from reconciler.cli.showing.interfaces import AuditShown
from reconciler.cli.showing.table import Paint, Style
from reconciler.cli.showing.terminal import json_text
from reconciler.planning.audit.verdicts import Against, Changed, ChangeSet, TargetAudit, Verdict
from reconciler.planning.fleet.pages import cell
from reconciler.planning.text.canonical import instant, plain
from reconciler.planning.text.untrusted import markdown, markdown_code
from reconciler.planning.text.wording import minute, plural
from reconciler.policy.problems import visible

COLUMNS = (
    *("target", "verdict", "kind", "action", "package", "arch", "from", "to", "started", "ended", "run"),
    *("outcome", "digest", "commit", "announced", "policy_commit", "approved_by", "exceptional_by"),
    *("exceptional_reason", "after", "before", "witness", "advisories", "why"),
)
"""Of the table: a line for each change of a package."""
_NO_TARGETS = '  "targets": [],\n'
"""Nothing else is such a line: those of what is within are indented by more, and no text has lines."""
_SHORT = 12
_LONG = 600
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


def as_json(told: AuditShown) -> Iterator[str]:
    """Yield an audit as ``--format json`` prints it, target by target: all of them are very many."""
    head, listed, rest = json_text(plain(replace(told, targets=()))).partition(_NO_TARGETS)
    if not told.targets:
        yield head + listed + rest
        return
    yield f"{head}{_NO_TARGETS.removesuffix('],' + chr(10))}"
    for number, target in enumerate(told.targets):
        yield ",\n" if number else "\n"
        yield indent(json_text(plain(target)).rstrip("\n"), "    ")
    yield f"\n  ],\n{rest}"


def as_csv(told: AuditShown) -> Iterator[str]:
    """Yield the changes as CSV (RFC 4180) with a line of headings; no cell is a formula of a spreadsheet.

    What speaks against a branch itself is a line without a package, of the kind ``branch``.
    """
    yield _csv([dict(zip(COLUMNS, COLUMNS, strict=True))])
    for target in told.targets:
        rows = [*_branch_cells(target), *(row for change in target.changes for row in _cells(target, change))]
        yield _csv({name: cell(text) for name, text in row.items()} for row in rows)


def _csv(rows: Iterable[Mapping[str, str]]) -> str:
    written = io.StringIO()
    csv.DictWriter(written, COLUMNS, restval="", lineterminator="\r\n").writerows(rows)
    return written.getvalue()


def _branch_cells(target: TargetAudit) -> Iterator[dict[str, str]]:
    for one in target.against:
        why = f"{one.check}: {one.reason}"
        commit = one.commits[0] if one.commits else ""
        yield {
            "target": target.target,
            "verdict": one.verdict,
            "kind": "branch",
            "commit": commit,
            "why": why,
        }


def _cells(target: TargetAudit, change: ChangeSet) -> Iterator[dict[str, str]]:
    glass, bracket = change.exceptional, change.bracket
    common = {
        "target": target.target,
        "verdict": change.verdict,
        "kind": change.kind,
        "started": instant(change.started),
        "ended": instant(change.ended),
        "run": change.run,
        "outcome": change.outcome,
        "digest": change.digest,
        "commit": change.commit,
        "announced": change.announced,
        "policy_commit": change.policy_commit,
        "approved_by": change.approved_by,
        "exceptional_by": "" if glass is None else glass.by,
        "exceptional_reason": "" if glass is None else glass.reason,
        "after": "" if bracket is None or bracket.after is None else instant(bracket.after),
        "before": "" if bracket is None or bracket.before is None else instant(bracket.before),
        "witness": "" if bracket is None else bracket.witness,
        "why": "; ".join(f"{one.check}: {one.reason}" for one in change.against),
    }
    for one in change.changes:
        package = {"action": one.action, "package": one.name, "arch": one.arch}
        ends = {"from": one.from_ or "", "to": one.to or "", "advisories": " ".join(one.advisories)}
        yield {**common, **package, **ends}
    if not change.changes:
        yield common


def page(told: AuditShown) -> Iterator[str]:
    """Yield the lines of an audit as Markdown, to be kept, and signed by who answers for it."""
    yield from (f"# Audit: {told.verdict}", "")
    yield f"From {minute(told.since)} until {minute(told.until)}, by {markdown(told.program)}."
    trust = "its signatures verified" if told.policy_is_verified else "**its signatures are not asked for**"
    yield from (f"Policy {markdown_code(told.policy_commit)}, {trust}.", "", "| | |", "|---|---:|")
    yield f"| targets | {len(told.targets)} |"
    yield from (f"| {word} | {number} |" for word, number in told.counts.items())
    yield from (f"\n**Not read:** {markdown(one.message)}" for one in told.problems)
    for target in told.targets:
        yield from ("", f"## {markdown(target.target)}: {target.verdict}", "")
        yield f"{plural(target.reports, 'report')}, up to {markdown_code(target.tip or 'none')}."
        yield from (f"- {_against_in_markdown(one)}" for one in target.against)
        for change in target.changes:
            yield from _section(change)
    yield from ("", "## Nobody's but the hosts' word", "", *(f"- {one}" for one in told.believed))
    yield from ("", "## What was checked", "")
    yield from (f"- {one.name}: {one.sentence}" for one in told.checks)
    yield from ("", "Name, date, signature: ______________________________")


def _section(change: ChangeSet) -> Iterator[str]:
    what = "changed outside of runs"
    if change.kind == "run":
        what = f"run {markdown_code(change.run)}, {markdown(change.outcome)}"
    yield from ("", f"### {minute(change.started)}, {change.verdict}: {what}", "")
    glass = change.exceptional
    if glass is not None:
        freeze = ", a freeze as well" if glass.overrides_freeze else ""
        yield f"**Exceptional**{freeze}: by {markdown(glass.by)}: {markdown(glass.reason)}\n"
    if change.kind == "run":
        yield f"{markdown(_rests_on(change), _LONG)}.\n"
    yield from (f"- {markdown(_moved(one))}" for one in change.changes)
    yield from (f"- {_against_in_markdown(one)}" for one in change.against)


def _against_in_markdown(one: Against) -> str:
    commits = f" ({', '.join(markdown_code(oid) for oid in one.commits)})" if one.commits else ""
    return f"**{one.verdict}** by {one.check}: {markdown(one.reason, _LONG)}{commits}"


def _moved(one: Changed) -> str:
    ends = f"{one.from_ or 'new'} → {one.to or 'gone'}" if one.from_ != one.to else one.to or ""
    fixed = f" ({', '.join(one.advisories)})" if one.advisories else ""
    return f"{one.action} {one.package} {ends}{fixed}"


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
    yield from (visible(f"    {_moved(one)}") for one in change.changes)
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
