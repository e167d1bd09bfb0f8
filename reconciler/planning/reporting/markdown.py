"""``report.md``: what a reader on a git forge sees at a glance.

Bad conditions come first, then what would happen and why not now, then what is held back and why, with the
line of policy behind it. All text that a package, a machine or git could have chosen is written through
:mod:`reconciler.planning.text.untrusted`; the only HTML is this module's own ``<details>``. The page stays
below :data:`LIMIT` characters: lists are cut, and say how much is left out.
"""

from collections.abc import Iterable, Sequence

from reconciler.planning.facts.guest_rows import counted, is_trouble
from reconciler.planning.facts.observation import RebootNeed
from reconciler.planning.gates.types import Outcome, PolicyStanding
from reconciler.planning.reporting.by_clock import by_its_clock
from reconciler.planning.reporting.document import (
    ApprovalState,
    ExceptionState,
    GateState,
    Planned,
    Report,
    Upcoming,
)
from reconciler.planning.reporting.overdue import overdue
from reconciler.planning.reporting.summary import headline
from reconciler.planning.resolving.dispositions import Deadline, Disposition, Reason
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.untrusted import markdown as prose
from reconciler.planning.text.untrusted import markdown_code as code
from reconciler.planning.text.wording import by_both_clocks, listed, mebibytes, plural, short_digest

LIMIT = 60_000
"""Characters; forges stop rendering, or refuse a comment, not far above it."""

_ROWS = (200, 100, 50, 20, 8, 2, 0)
"""Rows of the longest table, tried in turn until the page fits."""

_FOLD = 25
"""A list longer than this is folded."""

Row = Sequence[str]


def to_markdown(report: Report) -> str:
    """Return ``report.md`` for ``report``: CommonMark with GitHub's tables, shorter than :data:`LIMIT`."""
    report = by_its_clock(report, beside=True)
    pages = (_page(report, rows) for rows in _ROWS)
    return next((page for page in pages if len(page) < LIMIT), _page(report, 0)[:LIMIT])


def _page(report: Report, rows: int) -> str:
    sections = [
        f"# {prose(report.target, 130)}: {prose(headline(report))}",
        _verdict(report),
        _conditions(report, rows),
        _overdue(report, rows),
        _facts(report),
        _outside(report, rows),
        _transaction("What would happen", report.plan, rows),
        _security_plan(report, rows),
        _left_out(report, rows),
        _gates(report),
        _windows(report),
        _guests(report, rows),
        _exceptions(report, rows),
        _approvals(report, rows),
        _sources(report, rows),
        _small_print(report, rows),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _verdict(report: Report) -> str:
    decision = report.decision
    match decision.outcome:
        case Outcome.APPLY:
            opening = "Would be applied now"
        case Outcome.NOTHING:
            opening = "Nothing to do"
        case _:
            opening = f"Not now ({decision.outcome})"
    deciding = next((gate for gate in report.gates if gate.outcome is decision.outcome), None)
    origin = f" ({code(deciding.origin)})" if deciding is not None and deciding.origin else ""
    until = ""
    if decision.until is not None:
        word = "The window ends" if decision.outcome is Outcome.APPLY else "Asked again"
        until = f" {word} at {by_both_clocks(decision.until, report.timezone)}."
    verdict = f"**{opening}**: {prose(decision.reason)}{origin}.{until}"
    if lacks := report.lacks_approval:
        how = f"To approve exactly this plan, merge an Approval with `plan:` {code(report.plan.digest)}."
        if report.is_used_up:
            how = "To let the same happen once more, merge an Approval with its `versions:`."
        also = "" if decision.outcome is Outcome.APPROVAL else f"A person must act as well: {prose(lacks)}. "
        verdict += f"\n\n{also}{how}"
    if report.of_security is not None:
        plan = code(short_digest(report.of_security.plan.digest))
        verdict += f"\n\nThe freeze lets security updates pass, plan {plan}. {_verdict(report.of_security)}"
    return verdict


def _conditions(report: Report, rows: int) -> str:
    lines = [
        (prose(one.type, 60), _status(one.status), prose(one.reason, 60), prose(one.message))
        for one in report.conditions
        if one.status is not False
    ]
    return _section("Conditions", ("Condition", "Status", "Reason", "What it means"), lines, rows)


def _overdue(report: Report, rows: int) -> str:
    late = overdue(report)
    lines = [
        (
            code(one.name),
            code(one.deadline.version),
            by_both_clocks(one.deadline.since, report.timezone),
            _due(one.deadline, report.timezone),
            _because(one.obstacle),
        )
        for one in late
    ]
    header = ("Package", "Lacks", "First seen", "Was due", "In the way")
    return _section(f"Past the deadline: {plural(len(lines), 'update')}", header, lines, rows)


def _due(deadline: Deadline, timezone: str) -> str:
    return f"**{by_both_clocks(deadline.at, timezone)}** ({_with_origin(deadline.setting, deadline.origin)})"


def _guests(report: Report, rows: int) -> str:
    lines = [
        (
            code(one.id),
            prose(one.name, 60),
            prose(f"{one.state} ({one.detail})" if one.state in {"locked", "moved"} else one.state, 80),
            prose(one.os, 40),
            f"**{prose(one.outcome, 30)}**" if is_trouble(one) else prose(one.outcome, 30),
            prose(one.reason),
            code(one.report) if one.report else "",
            "" if one.next is None else by_both_clocks(one.next, report.timezone),
        )
        for one in report.guests
    ]
    header = ("Guest", "Name", "State", "System", "Outcome", "Why", "Report", "Next window")
    return _section(f"Guests: {counted(report.guests)}", header, lines, rows) if lines else ""


def _status(status: bool | None) -> str:  # noqa: FBT001 - a condition's status is a truth value
    return "**true**" if status else "unknown"


def _facts(report: Report) -> str:
    policy = report.policy
    state = "in force" if policy.state is PolicyStanding.READY else f"**{policy.state}**"
    place = f"{code(policy.commit[:12])} of {code(policy.ref)}" if policy.commit else "none yet"
    upcoming = next(iter(report.leading.free_windows), None)
    plan = report.plan
    rows = [
        ("System", f"{prose(report.host.facts.os_name)}, kernel {code(report.host.facts.kernel)}"),
        ("Policy", f"{place}, {state}"),
        ("Plan", f"{code(short_digest(plan.digest))}, {mebibytes(plan.download)} to download"),
        ("Next window", "none in sight" if upcoming is None else _interval(upcoming)),
        ("Reboot", _reboot(report)),
        ("Observed", by_both_clocks(report.generated_at, report.timezone)),
    ]
    return table(("", ""), rows)


def _interval(window: Upcoming) -> str:
    first, last = (by_both_clocks(at, window.timezone or "UTC") for at in (window.start, window.end))
    return f"{first} to {last}"


def _reboot(report: Report) -> str:
    why = "; ".join(prose(reason, 120) for reason in report.reboot.reasons[:3])
    match report.reboot.need:
        case RebootNeed.REQUIRED:
            return f"**required**: {why}" if why else "**required**"
        case RebootNeed.NOT_REQUIRED:
            return "not required"
        case RebootNeed.UNKNOWN:
            return f"unknown: {why}" if why else "unknown"


def _outside(report: Report, rows: int) -> str:
    lines = [
        (one.action, code(one.name), code(one.arch), code(one.from_ or "none"), code(one.to or "none"))
        for one in report.changed_outside
    ]
    title = f"Changed outside of runs ({report.outside})"
    return _section(title, ("Change", "Package", "Arch", "From", "To"), lines, rows)


def _transaction(title: str, plan: Planned, rows: int) -> str:
    moves, security = plan.in_reading_order, plan.security_keys
    if not moves:
        return ""
    lines = [
        (
            move.action,
            code(move.name),
            code(move.arch),
            code(move.from_ or "none"),
            code(move.to or "none"),
            "**security**" if move.package in security else "",
            code(move.origin) if move.origin else "",
        )
        for move in moves
    ]
    header = ("Action", "Package", "Architecture", "From", "To", "Kind", "Origin")
    return _section(f"{title}: {plural(len(moves), 'change')}", header, lines, rows)


def _security_plan(report: Report, rows: int) -> str:
    if report.security_plan is None:
        return ""
    title = f"Security updates alone, plan {short_digest(report.security_plan.digest)}"
    return _transaction(title, report.security_plan, rows)


def _left_out(report: Report, rows: int) -> str:
    name = report.name_of
    left = [update for update in report.plan.updates if update.disposition is not Disposition.PLANNED]
    if not left:
        return ""
    lines = [
        (
            code(name(update.package)),
            code(update.installed or "none"),
            code(update.candidate or "none"),
            "**security**" if update.security else "",
            str(update.disposition),
            _chain(update.reasons),
        )
        for update in sorted(left, key=lambda one: (not one.security, one.package))
    ]
    header = ("Package", "Installed", "Offered", "Kind", "Fate", "Why")
    return _section(f"Not in the plan: {plural(len(left), 'update')}", header, lines, rows)


def _chain(reasons: Sequence[Reason], limit: int = 3) -> str:
    shown = "; ".join(_because(reason) for reason in reasons[:limit])
    return shown if len(reasons) <= limit else f"{shown}; and {len(reasons) - limit} more"


def _because(reason: Reason) -> str:
    return _with_origin(reason.message, reason.origin)


def _with_origin(message: str, origin: str) -> str:
    return f"{prose(message)} ({code(origin)})" if origin else prose(message)


def _gates(report: Report) -> str:
    rows = [_gate(state, report.timezone) for state in report.gates]
    return _section("Gates", ("Gate", "State", "Why", "Asked again"), rows, len(rows))


def _gate(state: GateState, timezone: str) -> Row:
    shown = {"open": "open", "warning": "open, with a warning", "closed": "**closed**"}[state.state]
    why = _with_origin(state.message, state.origin)
    return (str(state.gate), shown, why, "" if state.until is None else by_both_clocks(state.until, timezone))


def _blocked(window: Upcoming) -> str:
    if window.blocked_by is None:
        return ""
    return f"{code(window.blocked_by)}{', but for security updates' if window.security else ''}"


def _windows(report: Report) -> str:
    rows = [
        (
            by_both_clocks(window.start, window.timezone or "UTC"),
            by_both_clocks(window.end, window.timezone or "UTC"),
            code(window.schedule),
            _blocked(window),
        )
        for window in report.windows
    ]
    return _section("Next windows", ("From", "To", "Schedule", "Blocked by"), rows, len(rows))


def _exceptions(report: Report, rows: int) -> str:
    lines = [
        (
            code(one.name),
            one.action,
            _list(one.patterns),
            _list(one.packages) or "nothing at present",
            prose(one.reason),
            prose(one.owner or ""),
            prose(one.ticket or ""),
            _end(one, report.timezone),
            code(one.origin),
        )
        for one in report.exceptions
    ]
    header = ("Exception", "Action", "Patterns", "Decides", "Reason", "Owner", "Ticket", "Until", "Origin")
    return _section("Exceptions", header, lines, rows)


def _end(one: ExceptionState | ApprovalState, timezone: str) -> str:
    until = by_both_clocks(one.expires, timezone)
    return f"**expired** {until}" if one.expired else until


def _list(items: Sequence[str], limit: int = 5) -> str:
    return listed([code(item) for item in items], limit)


def _approvals(report: Report, rows: int) -> str:
    lines = [
        (
            code(one.name),
            code(short_digest(one.plan)) if one.plan else f"{plural(len(one.versions), 'version')}",
            "yes" if one.is_given else "no",
            prose(one.reason),
            _end(one, report.timezone),
            code(one.origin),
        )
        for one in report.approvals
    ]
    return _section("Approvals", ("Approval", "Of", "Covers", "Reason", "Until", "Origin"), lines, rows)


def _sources(report: Report, rows: int) -> str:
    lines = [
        (
            code(source.name),
            "" if source.published is None else instant(source.published),
            "" if source.fetched is None else instant(source.fetched),
            prose(source.problem or source.age_unknown) or "none",
        )
        for source in report.metadata.sources
    ]
    header = ("Source", "Published", "Fetched", "Problem")
    return _fold("Package sources", _rows(header, lines, rows)) if lines else ""


def _small_print(report: Report, rows: int) -> str:
    lines = [
        ("Program", prose(report.program)),
        ("Package manager", f"{prose(report.host.manager)} {prose(report.host.manager_version)}"),
        ("Labels", _list([f"{key}={value}" for key, value in sorted(report.host.labels.items())], 10)),
        ("Policy remote", code(report.policy.remote)),
        ("Plan digest", code(report.plan.digest)),
    ]
    lines += [("Policy " + code(one.name), code(one.origin)) for one in report.policy.matching]
    lines += [
        (f"Script {code(one.name)}{' of the policy' if one.is_of_policy else ''}", code(one.sha256))
        for one in report.scripts
    ]
    return _fold("Made with", _rows(("", ""), lines, max(rows, 5)))


def _section(title: str, header: Row, lines: Sequence[Row], rows: int) -> str:
    if not lines:
        return ""
    table = _rows(header, lines, rows)
    if len(lines) > _FOLD:
        return f"## {title}\n\n{_fold('Show the list', table)}"
    return f"## {title}\n\n{table}"


def _rows(header: Row, lines: Sequence[Row], rows: int) -> str:
    left = len(lines) - rows
    if left <= 0:
        return table(header, lines)
    rest = f"... and {left} more in `report.json`."
    return f"{table(header, lines[:rows])}\n\n{rest}" if rows else rest


def table(header: Row, lines: Iterable[Row]) -> str:
    """Return a table of GitHub's Markdown; what is in the cells is written safely by the caller."""
    ruler = ("---",) * len(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ruler, *lines))


def _fold(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"
