"""An impact in words, as text and Markdown share them: a verdict, what it rests on, and each effect by lines.

Whatever a host or a document chose stands here as it is; who shows it escapes it for where it goes.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from reconciler.planning.facts.package import Names
from reconciler.planning.impact.effect import (
    Effect,
    FleetFacts,
    Impact,
    PolicySide,
    Rule,
    UpdatesEffect,
    WindowChange,
    WindowsEffect,
    WindowSpan,
)
from reconciler.planning.text.wording import listed, minute, plural
from reconciler.records import dataclass

SHOWN = 10
"""Windows, and updates of a sort, that are told one by one where not all are asked for."""
WAS = {"new": "new", "reached": "reached somebody by the base", "idle": "nor by the base"}
"""Of a document that reaches nobody, in words."""
_AN_HOUR = timedelta(hours=1)
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One thing that changes.

    Attributes:
        subject: What it is about, such as a setting's key.
        words: What becomes of it.
        is_part: It is one of several that the line above sums up.
    """

    subject: str
    words: str
    is_part: bool = False


def verdict(impact: Impact) -> str:
    """Say in one line what the change does."""
    parts = []
    if impact.head.problems:
        problems = plural(len(impact.head.problems), "problem")
        parts.append(f"every host refuses the head, which has {problems}")
    if not impact.hosts:
        return "; ".join([*parts, "no host could be judged"])
    verb = "changes" if 1 in (impact.changed, impact.hosts) else "change"
    parts.append(f"{impact.changed} of {plural(impact.hosts, 'host')} {verb}")
    for number, one, many in (
        (impact.lost_windows, "loses every window", "lose every window"),
        (impact.refusing, "refuses it", "refuse it"),
        (impact.estimated, "is estimated", "are estimated"),
        (len(impact.unjudged), "cannot be judged", "cannot be judged"),
    ):
        if number:
            parts.append(f"{number} {one if number == 1 else many}")
    return "; ".join(parts)


def compared(impact: Impact) -> str:
    """Say which policies were compared, and at which instant."""
    sides = f"{_side(impact.head)} against {_side(impact.base)}"
    return f"{sides}, both judged at {minute(impact.at)}; windows until {minute(impact.until)}"


def _side(side: PolicySide) -> str:
    return f"{side.name} ({side.commit[:12]})" if side.commit and side.name != side.commit else side.name


def facts(told: FleetFacts, hosts: int, at: datetime) -> str:
    """Say what is known of the fleet, and how old that is."""
    if told.oldest is None or told.newest is None:
        return "no host has reported"
    source = "the published summary" if told.source == "summary" else "the reports"
    ages = f"the oldest report is {_age(at - told.oldest)} old, the newest {_age(at - told.newest)}"
    other = ""
    if told.other_policy:
        verb = "was" if told.other_policy == 1 else "were"
        other = f"; {told.other_policy} of them {verb} made by another policy than the base"
    return f"{plural(hosts, 'host')} by {source}: {ages}{other}"


def _age(span: timedelta) -> str:
    span = max(span, timedelta(0))
    if span < _AN_HOUR:
        return plural(int(span.total_seconds() // 60), "minute")
    if span < 2 * _A_DAY:
        return plural(int(span / _AN_HOUR), "hour")
    return plural(span.days, "day")


def lines(effect: Effect, limit: int | None = None) -> Iterator[ChangeLine]:
    """Yield what changes, the most important first.

    Args:
        effect: What changes.
        limit: How many of many documents, windows, and updates of a sort, are told; ``None`` for all.
    """
    if effect.refusal:
        yield ChangeLine("refused", effect.refusal)
    for message in effect.ambiguities:
        yield ChangeLine("contradiction", message)
    for message in effect.contradictions_end:
        yield ChangeLine("contradiction ends", f"nothing was applied while {message}")
    for setting in effect.settings:
        place = f" ({setting.origin})" if setting.origin else " (default)" if setting.key != "splay" else ""
        yield ChangeLine(setting.key, f"{setting.before} → {setting.after}{place}")
    documents = effect.documents if limit is None else effect.documents[:limit]
    for document in documents:
        is_told = document.change == "changes" or document.kind == "Freeze"
        until = "" if is_told else f", until {minute(document.until)}"
        words = f"{document.change}: {document.what}{until} ({document.origin})"
        yield ChangeLine(f"{document.kind} {document.name}", words)
    if len(effect.documents) > len(documents):
        yield ChangeLine("documents", f"{len(effect.documents) - len(documents)} more begin, end or change")
    if effect.windows is not None:
        yield from _windows(effect.windows, limit)
    if effect.reboot:
        yield ChangeLine("reboot", effect.reboot)
    yield from _updates(effect.updates, limit)
    if _takes_back(effect):
        yield ChangeLine("installed", "what is applied already stays: nothing is downgraded")


def _takes_back(effect: Effect) -> bool:
    """Tell whether something that let packages come, or may have, is in force no more."""
    ended = [one for one in effect.documents if one.change == "ends" and one.kind != "Freeze"]
    is_over = not all(one.what.startswith(("hold ", "block ")) for one in ended)
    return is_over or any(one.change == "goes" for one in effect.updates.changes)


def _windows(told: WindowsEffect, limit: int | None) -> Iterator[ChangeLine]:
    opens = (
        "no run can start any more" if told.next_after is None else f"the next is {minute(told.next_after)}"
    )
    lost = "all are lost; " if told.are_lost else ""
    yield ChangeLine("windows", f"{told.before} → {told.after}; {lost}{opens}")
    shown = told.changes if limit is None else told.changes[:limit]
    for change in shown:
        yield ChangeLine(change.change, _window(change), is_part=True)
    if left := len(told.changes) - len(shown) + told.more:
        yield ChangeLine("", f"{left} more", is_part=True)


def _window(change: WindowChange) -> str:
    spans = [_span(one) for one in (change.before, change.after) if one is not None]
    if change.before is not None and change.after is not None and _is_same_day(change.before, change.after):
        spans[1] = f"{change.after.start:%H:%M} to {change.after.end:%H:%M} UTC"
    why = f", kept out by {change.because}" if change.because else ""
    return f"{' → '.join(spans)} ({change.schedule}){why}"


def _is_same_day(*spans: WindowSpan) -> bool:
    return len({at.date() for one in spans for at in (one.start, one.end)}) == 1


def _span(span: WindowSpan) -> str:
    same_day = span.start.date() == span.end.date()
    end = f"{span.end:%H:%M}" if same_day else f"{span.end:%a %Y-%m-%d %H:%M}"
    return f"{span.start:%a %Y-%m-%d %H:%M} to {end} UTC"


def _updates(told: UpdatesEffect, limit: int | None) -> Iterator[ChangeLine]:
    if told.basis == "same":
        return
    sorts = Counter(one.change for one in told.changes)
    said = ", ".join(f"{number} {_VERBS[change][number != 1]}" for change, number in sorts.items())
    if not said and not told.counted:
        said = "none has another fate"
    yield ChangeLine("updates", f"{said or 'by number'} ({_basis(told.basis, told.rules)})")
    name_of = Names.among(one.package for one in told.changes)
    for sort in sorts:
        ones = [one for one in told.changes if one.change == sort]
        shown = ones if limit is None else ones[:limit]
        for one in shown:
            security = ", security" if one.security else ""
            rule = f" [estimated: {one.estimated}]" if one.estimated is not None else ""
            origin = f" ({one.origin})" if one.origin else ""
            words = f"{name_of(one.package)} {one.version}{security}: {one.reason}{origin}{rule}"
            yield ChangeLine(sort, words, is_part=True)
        if len(ones) > len(shown):
            yield ChangeLine(sort, f"{len(ones) - len(shown)} more", is_part=True)
    for count in told.counted:
        rule = f" [estimated: {count.estimated}]" if count.estimated is not None else ""
        yield ChangeLine(count.change, f"at most {count.at_most}: {count.why}{rule}", is_part=True)
    if told.passing is not None:
        rule = f" [estimated: {told.passing.estimated}]" if told.passing.estimated is not None else ""
        names = listed(told.passing.packages, SHOWN) or "nothing"
        yield ChangeLine("in the freeze", f"{names} may be applied{rule}")
    if told.overdue:
        yield ChangeLine("overdue", f"{listed(told.overdue, SHOWN)} at once, by the new deadline")


_VERBS = {
    "comes": ("comes", "come"),
    "waits": ("waits", "wait"),
    "goes": ("is not applied any more", "are not applied any more"),
    "differs": ("differs", "differ"),
}


def _basis(basis: str, rules: Sequence[Rule]) -> str:
    if basis == "exact":
        return "exact"
    return f"estimated by {', '.join(rules)}"
