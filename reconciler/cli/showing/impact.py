"""The impact of a change of policy on a terminal: verdict, what must not be missed, groups, the rest."""

from collections.abc import Iterator

from reconciler.cli.showing.table import Paint, Style, table, wrapped
from reconciler.planning.impact.effect import Impact
from reconciler.planning.impact.words import SHOWN, WAS, compared, facts, lines, verdict
from reconciler.planning.text.wording import listed, plural
from reconciler.policy.problems import visible

_NAMES = 5
_PROBLEMS = 50
_WIDEST = 30


def overview(impact: Impact, width: int | None, *, colour: bool) -> Iterator[str]:
    """Yield the lines that show an impact.

    Args:
        impact: What is shown.
        width: Of the terminal, ``None`` where lines are not to be wrapped.
        colour: Whether to use colours.
    """
    paint = Paint(colour=colour)
    yield paint(visible(verdict(impact)), Style.BAD if impact.concerns else Style.STRONG)
    yield from _fitted(compared(impact), width)
    yield from _fitted(facts(impact.facts, impact.hosts, impact.at), width)
    yield from _problems(impact, paint)
    yield from _concerns(impact, width, paint)
    yield from _groups(impact, width, paint)
    yield from _rest(impact, width, paint)


def _fitted(text: str, width: int | None) -> list[str]:
    return [visible(text)] if width is None else wrapped(visible(text), width)


def _problems(impact: Impact, paint: Paint) -> Iterator[str]:
    for word, side in (("head", impact.head), ("base", impact.base)):
        if side.problems:
            yield ""
            yield paint(f"Problems of the {word}", Style.STRONG)
            yield from (f"  {problem}" for problem in side.problems[:_PROBLEMS])
            if len(side.problems) > _PROBLEMS:
                yield f"  {len(side.problems) - _PROBLEMS} more; `patchledger policy check` tells all"


def _concerns(impact: Impact, width: int | None, paint: Paint) -> Iterator[str]:
    if not impact.concerns:
        return
    yield ""
    yield paint("Not to be missed", Style.STRONG)
    rows = [
        (
            str(one.peril),
            _count(one.hosts),
            with_hosts(one.message, one.hosts),
        )
        for one in impact.concerns
    ]
    yield from table(rows, width, paint=paint, style_of=lambda _: Style.NOTE)


def _count(hosts: tuple[str, ...]) -> str:
    return plural(len(hosts), "host") if hosts else ""


def with_hosts(message: str, hosts: tuple[str, ...]) -> str:
    """Return what must not be missed, with the first of the hosts that it is about."""
    return f"{message} ({listed(hosts, _NAMES)})" if hosts else message


def _groups(impact: Impact, width: int | None, paint: Paint) -> Iterator[str]:
    for number, group in enumerate(impact.groups, 1):
        yield ""
        named = group.hosts[0] if len(group.hosts) == 1 else f"such as {group.hosts[0]}"
        title = f"Group {number}: {plural(len(group.hosts), 'host')}, {named}"
        yield paint(visible(title), Style.STRONG)
        rows = [("  " * line.is_part + line.subject, line.words) for line in lines(group.effect, limit=SHOWN)]
        yield from table(rows, width, widest=_WIDEST)
        if len(group.hosts) > 1:
            yield from table([("hosts", listed(group.hosts, 10 * _NAMES))], width, widest=_WIDEST)


def _rest(impact: Impact, width: int | None, paint: Paint) -> Iterator[str]:
    if impact.unjudged:
        yield ""
        yield paint("Not judged", Style.STRONG)
        yield from table([(one.target, one.reason) for one in impact.unjudged], width, widest=_WIDEST)
    if impact.unreached:
        yield ""
        yield paint("Documents that reach no host that is known", Style.STRONG)
        rows = [(f"{one.kind} {one.name}", WAS[one.was], one.origin) for one in impact.unreached]
        yield from table(rows, width, widest=_WIDEST)
