"""systemd's normalized form of an OnCalendar expression: what ``systemd-analyze calendar`` prints of it."""

from reconciler.policy.calendar import CalendarExpression, Span

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SECOND = 1_000_000
_EVERY_SECOND = (Span(0, -1, _SECOND),)


def normalized(expression: CalendarExpression) -> str:
    """Return the normalized form, which parses to an equal expression."""
    parts = [_weekdays(expression.weekdays)] if expression.weekdays else []
    from_end = "~" if expression.from_month_end else "-"
    parts.append(
        f"{_chain(expression.years, 4)}-{_chain(expression.months)}{from_end}{_chain(expression.days)}"
    )
    seconds = "*" if expression.seconds == _EVERY_SECOND else _chain(expression.seconds, scale=_SECOND)
    parts.append(f"{_chain(expression.hours)}:{_chain(expression.minutes)}:{seconds}")
    return " ".join([*parts, expression.timezone] if expression.timezone else parts)


def _weekdays(weekdays: frozenset[int]) -> str:
    runs: list[list[str]] = []
    for day in sorted(weekdays):
        if day - 1 in weekdays:
            runs[-1].append(_DAYS[day])
        else:
            runs.append([_DAYS[day]])
    return ",".join(f"{run[0]}..{run[-1]}" if len(run) > 2 else ",".join(run) for run in runs)


def _chain(spans: tuple[Span, ...], width: int = 2, scale: int = 1) -> str:
    return ",".join(_span(span, width, scale) for span in spans) or "*"


def _span(span: Span, width: int, scale: int) -> str:
    text = _number(span.start, width, scale)
    if span.stop > 0:
        text += f"..{_number(span.stop, width, scale)}"
    if span.step and not (span.stop > 0 and span.step == scale):
        text += f"/{_number(span.step, 1, scale)}"
    return text


def _number(value: int, width: int, scale: int) -> str:
    whole, fraction = divmod(value, scale)
    return f"{whole:0{width}d}" + (f".{fraction:06d}" if fraction else "")
