"""Reports as plain text for a terminal.

Text that packages, machines or git could have chosen is shown on one line with every control and invisible
character spelt out, so that nothing can move the cursor or hide. The only escape sequences are this module's
own colours, and those only where the caller asks for them. Nothing here depends on the moment of reading.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from difflib import get_close_matches

from reconciler.cli.showing.table import Paint, Row, Style, table, wrapped
from reconciler.planning.facts.guest_rows import GuestOutcome, GuestRow, counted
from reconciler.planning.facts.observation import Installed, Quarantined, RebootNeed
from reconciler.planning.facts.package import Mention, Names, PackageId
from reconciler.planning.gates.types import Outcome, PolicyStanding
from reconciler.planning.reporting.ailments import failures, is_known
from reconciler.planning.reporting.by_clock import by_its_clock
from reconciler.planning.reporting.document import Decided, GateState, Planned, PlannedMove, Report, Upcoming
from reconciler.planning.reporting.summary import headline, run_headline, went_well
from reconciler.planning.resolving.dispositions import Condition, Deadline, Disposition, Update
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.text.wording import (
    day_and_hours,
    mebibytes,
    on_the_clock,
    plural,
    sentence,
    short_digest,
)
from reconciler.policy.problems import visible
from reconciler.policy.values import format_duration

_SUGGESTIONS = 3


def render_plan(report: Report, *, width: int = 100, colour: bool = False) -> str:
    """Return what ``plan`` prints: the transaction, what is left out and why, and why not now.

    Args:
        report: Of a tick that applied nothing.
        width: Of the terminal; sentences are wrapped and tables cut to it.
        colour: Whether to use colours.
    """
    report, paint = by_its_clock(report), Paint(colour=colour)
    blocks = [
        _title(report, paint, width),
        list(_condition_lines(report.conditions, width, paint)),
        list(_transaction_lines(report, width, paint)),
        list(_left_out_lines(report, width, paint)),
        list(_decision_lines(report, width, paint)),
        list(_security_lines(report, width, paint)),
    ]
    return _join(blocks)


def render_summary(report: Report, *, width: int = 100, colour: bool = False) -> str:
    """Return what ``run`` prints: the headline, what is wrong, and what happens when."""
    report, paint = by_its_clock(report), Paint(colour=colour)
    blocks = [
        _title(report, paint, width),
        list(_condition_lines(report.conditions, width, paint)),
        list(_decision_lines(report, width, paint)),
        list(_security_lines(report, width, paint)),
        list(_window_lines(report.windows[:1], width)),
    ]
    return _join(blocks)


def render_run(record: RunRecord, *, width: int = 100, colour: bool = False) -> str:
    """Return what ``run`` prints of a run: its headline, and what did not go as planned."""
    paint = Paint(colour=colour)
    style = Style.STRONG if went_well(record.outcome) else Style.BAD
    title = paint(f"{visible(record.target)}: {run_headline(record)}", style)
    changed = record.difference.changed
    name = Names.among(move.package for move in changed)
    rows = [(name(move.package), *move.transition.words) for move in changed]
    lines = [title, *table(rows, width)]
    said = [record.reason, *record.notes]
    said += [f"waits for a person: {path}" for path in record.conffiles]
    return _join([lines, [visible(one) for one in said if one]])


def render_status(report: Report, *, width: int = 100, colour: bool = False) -> str:
    """Return what ``status`` prints: the last report in a screenful, with gates and next windows."""
    report, paint = by_its_clock(report), Paint(colour=colour)
    blocks = [
        _title(report, paint, width),
        list(_condition_lines(report.conditions, width, paint)),
        list(table(_facts(report), width)),
        [
            f"Gates (by the clock of {visible(report.timezone)})",
            *table(
                [_gate_row(gate, report.timezone) for gate in report.gates],
                width,
                paint=paint,
                style_of=_gate_style,
            ),
        ],
        list(_window_lines(report.windows, width)),
        list(_guest_lines(report, width, paint)),
        list(_exception_lines(report, width)),
        list(_decision_lines(report, width, paint)),
        list(_security_lines(report, width, paint)),
    ]
    return _join(blocks)


def _title(report: Report, paint: Paint, width: int) -> list[str]:
    style = Style.BAD if failures(report.conditions) else Style.STRONG
    said = f"{visible(report.target_id)}: {visible(headline(report))}"
    return [paint(line, style) for line in wrapped(said, width)]


def render_explain(
    report: Report,
    package: str | None = None,
    *,
    installed: Sequence[Installed] = (),
    quarantined: Sequence[Quarantined] = (),
    width: int = 100,
    colour: bool = False,
) -> str:
    """Return why a package has the fate it has, or the fate of every update where none is named.

    Args:
        report: The newest one.
        package: ``name`` or ``name:arch``.
        installed: The recorded packages of the machine, so that one without an update can be told from one
            that is not there.
        quarantined: Versions that failed to install or to go, and are left alone until something changes.
        width: Of the terminal.
        colour: Whether to use colours.
    """
    report, paint = by_its_clock(report), Paint(colour=colour)
    name = report.name_of
    if package is None:
        lines = [
            line
            for update in report.plan.updates
            for line in _explained(update, name, width, paint, report.timezone)
        ]
        decided = [*_decision_lines(report, width, paint)]
        alone = [*_security_lines(report, width, paint)]
        return _join([lines or [_nothing_newer(report)], decided, alone])
    asked = Mention.parse(package)
    found = [update for update in report.plan.updates if asked.means(update.package)]
    lines = [
        *_half_done([one for one in installed if asked.means(one.package)], name),
        *_failed([one for one in quarantined if asked.means(one.package)], name, width, report.timezone),
        *(line for update in found for line in _explained(update, name, width, paint, report.timezone)),
    ]
    is_planned = any(update.disposition is Disposition.PLANNED for update in found)
    decided = [*_decision_lines(report, width, paint)] if is_planned else []
    # Whatever the whole plan does with it, the freeze may let it pass.
    passes = report.security_plan is not None and any(map(asked.means, _packages(report.security_plan)))
    if decided or passes:
        return _join([lines, decided, [*_security_lines(report, width, paint)]])
    return _join([lines or [*_without_update(report, package, installed)]])


def _packages(plan: Planned) -> Iterator[PackageId]:
    return (move.package for move in plan.transaction)


def _nothing_newer(report: Report) -> str:
    """Say that nothing newer is on offer, where that is known."""
    if is_known(report.conditions):
        return "no source offers anything newer"
    return "no newer version is known, and what the sources offer cannot be told; see `patchledger status`"


def _half_done(installed: Iterable[Installed], name: Names) -> Iterator[str]:
    """Say of packages that they are not wholly installed, whatever is on offer for them."""
    for one in installed:
        if not one.is_whole:
            yield f"{visible(name(one.package))} {visible(one.version)}: half done ({visible(one.status)})"


def _failed(quarantined: Iterable[Quarantined], name: Names, width: int, timezone: str) -> Iterator[str]:
    """Say of versions that installing or fetching them failed, and why."""
    for one in quarantined:
        doing = "removing" if one.is_removal else "installing"
        what = f"{doing} it failed" if one.until is None else "its file could not be fetched"
        when = on_the_clock(one.at, timezone)
        text = f"{name(one.package)} {one.version}: in quarantine, since {what} at {when}"
        again = "" if one.until is None else f"; it is tried again after {on_the_clock(one.until, timezone)}"
        why = sentence(one.message) or "the package manager gave no reason"
        yield from wrapped(visible(f"{text}: {why}{again}"), width)


def _without_update(report: Report, package: str, installed: Sequence[Installed]) -> Iterator[str]:
    """Say that a package is up to date, or that there is none of that name and what was perhaps meant."""
    present = [one for one in installed if Mention.parse(package).means(one.package)]
    name = Names.among((one.package for one in installed), report.host.facts.architecture)
    for one in present:
        held = ", on hold by the operator" if one.held else ""
        fresh = " and up to date" if is_known(report.conditions) else ""
        state = f"installed{fresh}{held}; {_nothing_newer(report)}"
        yield f"{visible(name(one.package))} {visible(one.version)}: {state}"
    if present:
        return
    yield f"{visible(package)}: not installed, and no update of that name"
    names = sorted({one.name for one in installed} | {update.name for update in report.plan.updates})
    near = get_close_matches(package, names, n=_SUGGESTIONS, cutoff=0.6)
    if near:
        yield f"did you mean {', '.join(visible(name) for name in near)}?"


def _explained(update: Update, name: Names, width: int, paint: Paint, timezone: str) -> Iterator[str]:
    """Yield ``nginx 1 → 2: held`` and the chain of reasons below it."""
    moved = _moved(update)
    fate = paint(str(update.disposition), _fate_style(update))
    security = " (security)" if update.security else ""
    yield f"{visible(name(update.package))} {moved}{security}: {fate}"
    for reason in update.reasons:
        origin = f" [{visible(reason.origin)}]" if reason.origin else ""
        yield from wrapped(f"because {visible(reason.message)}{origin}", width, "  ")
    if update.deadline is not None:
        yield from wrapped(_due(update.deadline, timezone), width, "  ")


def _due(deadline: Deadline, timezone: str) -> str:
    length = format_duration(deadline.at - deadline.since)
    since = f"{visible(deadline.version)} was first seen at {on_the_clock(deadline.since, timezone)}"
    setting = f"{deadline.setting} is {length} [{visible(deadline.origin)}]"
    return f"due by {on_the_clock(deadline.at, timezone)}: {since} and {setting}"


def _moved(update: Update) -> str:
    if update.installed is None:
        return f"{visible(update.candidate or '')} (new)"
    if update.candidate is None:
        return f"{visible(update.installed)} (to be removed)"
    return f"{visible(update.installed)} → {visible(update.candidate)}"


def _fate_style(update: Update) -> Style:
    if update.disposition is Disposition.PLANNED:
        return Style.GOOD
    return Style.BAD if update.security else Style.NOTE


def _condition_lines(conditions: Iterable[Condition], width: int, paint: Paint) -> Iterator[str]:
    for condition in conditions:
        if condition.status is False:
            continue
        title = paint(visible(condition.type), Style.BAD if condition.stalled else Style.NOTE)
        doubt = "" if condition.status else ", unknown"
        yield f"{title} ({visible(condition.reason)}{doubt})"
        yield from wrapped(visible(condition.message), width, "  ")


def _transaction_lines(report: Report, width: int, paint: Paint) -> Iterator[str]:
    plan = report.plan
    if not plan.transaction:
        return
    size = f", {mebibytes(plan.download)} to download" if plan.download else ""
    said = f"Would change {plural(len(plan.transaction), 'package')} (plan {short_digest(plan.digest)}{size})"
    yield from wrapped(said, width)
    security = plan.security_keys
    rows = [_move_row(move, move.package in security) for move in plan.in_reading_order]
    yield from table(rows, width, paint=paint, style_of=_move_style)


def _move_row(move: PlannedMove, is_security: bool) -> tuple[str, ...]:  # noqa: FBT001 - one column of a row
    return (
        move.action,
        str(move.package),
        move.from_ or "-",
        "→",
        move.to or "-",
        "security" if is_security else "",
        move.origin,
    )


def _move_style(row: Row) -> Style:
    return Style.BAD if row[0] in ("remove", "downgrade") else Style.PLAIN


def _left_out_lines(report: Report, width: int, paint: Paint) -> Iterator[str]:
    name = report.name_of
    left = [one for one in report.plan.updates if one.disposition is not Disposition.PLANNED]
    if not left:
        return
    yield f"Not in the plan: {plural(len(left), 'update')}"
    for update in sorted(left, key=lambda one: not one.security):
        for line in _explained(update, name, width - 2, paint, report.timezone):
            yield f"  {line}"


def _security_lines(report: Report, width: int, paint: Paint) -> Iterator[str]:
    """Yield what a freeze that lets security updates pass lets pass, and what becomes of that."""
    plan, name = report.security_plan, report.name_of
    if plan is None:
        return
    names = (
        ", ".join(f"{visible(name(move.package))} {visible(move.to or '')}" for move in plan.transaction)
        or "nothing"
    )
    said = f"The freeze lets security updates pass (plan {short_digest(plan.digest)}): {names}"
    yield from wrapped(said, width)
    if report.of_security is not None:
        yield from _decision_lines(report.of_security, width, paint)


def _decision_lines(report: Report, width: int, paint: Paint) -> Iterator[str]:
    decision = report.decision
    deciding = next((gate for gate in report.gates if gate.outcome is decision.outcome), None)
    origin = f" [{visible(deciding.origin)}]" if deciding is not None and deciding.origin else ""
    opening, style = _opening(decision)
    text = f"{opening}: {visible(decision.reason)}{origin}{_until(decision, report.timezone)}"
    for line in wrapped(text, width):
        yield paint(line, style)
    if lacks := report.lacks_approval:
        if decision.outcome is not Outcome.APPROVAL:
            also = f"A person must act as well: {visible(lacks)}"
            yield from (paint(line, Style.NOTE) for line in wrapped(also, width))
        if report.is_used_up:
            yield "To let the same happen once more, approve its versions"
        else:
            yield f"To approve exactly this plan: plan: {visible(report.plan.digest)}"


def _opening(decision: Decided) -> tuple[str, Style]:
    match decision.outcome:
        case Outcome.APPLY:
            return "Would be applied now", Style.GOOD
        case Outcome.NOTHING:
            return "Nothing to do", Style.GOOD
        case _:  # a gate is closed, whichever
            return f"Not now ({decision.outcome})", Style.NOTE


def _until(decision: Decided, timezone: str) -> str:
    if decision.until is None:
        return ""
    word = "window ends" if decision.outcome is Outcome.APPLY else "asked again"
    return f" ({word} {on_the_clock(decision.until, timezone)})"


def _facts(report: Report) -> list[tuple[str, ...]]:
    policy = report.policy
    state = "" if policy.state is PolicyStanding.READY else f" ({policy.state})"
    commit = policy.commit[:12] or "none yet"
    return [
        ("Observed", on_the_clock(report.generated_at, report.timezone)),
        ("System", f"{report.host.facts.os_name}, kernel {report.host.facts.kernel}"),
        ("Policy", f"{commit} of {policy.ref}{state}, confirmed {_at(policy.fetched_at, report.timezone)}"),
        ("Plan", short_digest(report.plan.digest)),
        ("Reboot", _reboot(report)),
    ]


def _at(at: datetime | None, timezone: str) -> str:
    return "never" if at is None else on_the_clock(at, timezone)


def _reboot(report: Report) -> str:
    reasons = "; ".join(report.reboot.reasons)
    match report.reboot.need:
        case RebootNeed.REQUIRED:
            return f"required: {reasons}" if reasons else "required"
        case RebootNeed.NOT_REQUIRED:
            return "not required"
        case RebootNeed.UNKNOWN:
            return "unknown"


def _gate_row(gate: GateState, timezone: str) -> tuple[str, ...]:
    origin = f" [{gate.origin}]" if gate.origin else ""
    return (
        str(gate.gate),
        gate.state,
        "" if gate.until is None else on_the_clock(gate.until, timezone).removesuffix(f" {timezone}"),
        gate.message + origin,
    )


def _gate_style(row: Row) -> Style:
    return {"open": Style.GOOD, "warning": Style.NOTE, "closed": Style.BAD}[row[1]]


def _blocked(window: Upcoming) -> str:
    if window.blocked_by is None:
        return ""
    return f"blocked by {window.blocked_by}{' but for security updates' if window.security else ''}"


def _window_lines(windows: Sequence[Upcoming], width: int) -> Iterator[str]:
    if not windows:
        yield "No window in sight"
        return
    yield "Next windows"
    rows = [
        (
            day_and_hours(window.start, window.end, window.timezone or "UTC"),
            window.schedule,
            _blocked(window),
        )
        for window in windows
    ]
    yield from table(rows, width)


def _guest_lines(report: Report, width: int, paint: Paint) -> Iterator[str]:
    """Yield how many guests there are and a row for each, the worst first."""
    if not report.guests:
        return
    yield f"Guests: {counted(report.guests)}"
    yield from table(
        [_guest_row(one, report.timezone) for one in report.guests], width, paint=paint, style_of=_guest_style
    )


def _guest_row(guest: GuestRow, timezone: str) -> tuple[str, ...]:
    opens = "" if guest.next is None else on_the_clock(guest.next, timezone)
    return (guest.id, guest.name, guest.os, str(guest.outcome), opens, guest.reason)


def _guest_style(row: Row) -> Style:
    outcome = next((one for one in GuestOutcome if one == row[3]), None)
    if outcome is None or outcome.is_trouble:
        return Style.BAD
    return Style.PLAIN if outcome is GuestOutcome.FINE else Style.NOTE


def _exception_lines(report: Report, width: int) -> Iterator[str]:
    if not report.exceptions:
        return
    yield "Exceptions"
    rows = [
        (
            one.name,
            one.action,
            ("expired " if one.expired else "until ") + on_the_clock(one.expires, report.timezone),
            one.reason,
            f"[{one.origin}]",
        )
        for one in report.exceptions
    ]
    yield from table(rows, width)


def _join(blocks: Iterable[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"
