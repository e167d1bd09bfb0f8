"""One message for all that a hypervisor's tick has to tell of its guests and itself, on each route.

The rules:

1. A single thing to tell is told as a host's is. As soon as there is more, and a guest has a part in it, all
   that one route hears of a tick is one message, the worst first.
2. Targets with the same trouble for the same reason are one incident: named together, and recovered together.
   That one of them is well again is not told before all of them are, or are looked after no more; at the
   latest a day after the first. Services that keep incidents know it by its cause, and are told its end by
   the last of them.
3. One that has new trouble meanwhile tells of that, and its being well again in between is told no more.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import get_args

from reconciler.planning.notices import asked
from reconciler.planning.notices.events import OVER, Event, Gist, Notice, Route, TroubleEvent
from reconciler.planning.notices.message import Contents, MessageSection, compose
from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import changes_of, plural, short_digest
from reconciler.records import dataclass

LONGEST_WAIT = timedelta(days=1)
"""How long what is over waits to be told, for others of the same incident."""
_IN_A_LINE = 8
"""Targets that are named in one line."""
_NAME = 60
_WORST = tuple(dict.fromkeys((*get_args(TroubleEvent), Event.RECOVERED, *Event)))
_EXCERPT = 3600


@dataclass(frozen=True, slots=True)
class Heard:
    """Something that is to be told, and on which routes of the policy of its target.

    Attributes:
        notice: With its gist.
    """

    notice: Notice
    routes: tuple[Route, ...]

    @property
    def target(self) -> str:
        """Which target it is about."""
        return "" if self.notice.gist is None else self.notice.gist.target


@dataclass(frozen=True, slots=True)
class Shared:
    """An incident of several targets.

    Attributes:
        cause: What they have in common.
        wrong: Of each target that still has it, by what that is known.
        since: When the first of them was well again, ``None`` where none is.
        well: The targets that are well again, which is not told yet.
    """

    cause: str
    wrong: Mapping[str, tuple[str, ...]]
    since: datetime | None = None
    well: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is to be told, and what is kept of what was.

    Attributes:
        fresh: By this tick.
        held: That somebody is well again, until others are, too.
        shared: Incidents that are not over.
    """

    fresh: tuple[Heard, ...] = ()
    held: tuple[Heard, ...] = ()
    shared: tuple[Shared, ...] = ()

    @property
    def until(self) -> datetime | None:
        """When what is held is told at the latest, ``None`` where nothing is."""
        begun = (one.since for one in self.shared if one.since is not None and one.well)
        return min((since + LONGEST_WAIT for since in begun), default=None) if self.held else None


def settled(
    gathered: Gathered, now: datetime, looked_after: Collection[str] | None = None
) -> tuple[tuple[Heard, ...], Gathered]:
    """Return what is told now, and what is kept.

    Args:
        gathered: So far.
        now: Aware.
        looked_after: The targets that are looked after; ``None`` where not all were asked for.
    """
    shared = [_without(one, looked_after) for one in gathered.shared]
    new = [heard for heard in gathered.fresh if heard.notice.event is not Event.RECOVERED]
    over = [heard for heard in gathered.fresh if heard.notice.event is Event.RECOVERED]
    in_trouble = {heard.target for heard in new if heard.notice.event in get_args(TroubleEvent)}
    held = [heard for heard in gathered.held if heard.target not in in_trouble]
    shared = [_recovering(one, over, now) for one in _begun(shared, new)]
    shared = [replace(one, well=tuple(each for each in one.well if each not in in_trouble)) for one in shared]
    # Kept until it is over for all, since that is when services that keep incidents are told its end.
    kept = [replace(one, well=() if _is_late(one, now) else one.well) for one in shared if one.wrong]
    waits = {target for one in kept for target in one.well}
    ended = [one for one in shared if not one.wrong]
    told = [*new, *(_closing(heard, ended) for heard in (*held, *over) if heard.target not in waits)]
    still = tuple(heard for heard in (*held, *over) if heard.target in waits)
    return tuple(told), Gathered((), still, tuple(kept))


def _without(one: Shared, looked_after: Collection[str] | None) -> Shared:
    if looked_after is None:
        return one
    return replace(one, wrong={name: codes for name, codes in one.wrong.items() if name in looked_after})


def _begun(shared: Sequence[Shared], new: Iterable[Heard]) -> list[Shared]:
    """Return incidents with those that begin: of several targets, or of one more with what others have."""
    by_cause: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for heard in new:
        gist = heard.notice.gist
        if gist is not None and gist.codes and heard.notice.event in get_args(TroubleEvent):
            by_cause[gist.cause][gist.target] = gist.codes
    known = {one.cause: one for one in shared}
    for cause, targets in by_cause.items():
        if cause in known:
            one = known[cause]
            # Where all who were well again are told, whoever comes now waits for others as they did.
            since = one.since if one.well else None
            known[cause] = replace(one, wrong={**one.wrong, **targets}, since=since)
        elif len(targets) > 1:
            known[cause] = Shared(cause, targets)
    return list(known.values())


def _recovering(one: Shared, over: Iterable[Heard], now: datetime) -> Shared:
    for heard in over:
        codes = set(one.wrong.get(heard.target, ()))
        if heard.notice.gist is not None and codes.intersection(heard.notice.gist.codes):
            wrong = {name: each for name, each in one.wrong.items() if name != heard.target}
            one = replace(one, wrong=wrong, since=one.since or now, well=(*one.well, heard.target))
    return one


def _closing(heard: Heard, ended: Iterable[Shared]) -> Heard:
    """Return that a target is well again as the end of what it shared with others, where that is over."""
    notice, target = heard.notice, heard.target
    more = tuple(_incident(target.partition("/")[0], one.cause) for one in ended if target in one.well)
    return replace(heard, notice=replace(notice, closes=(*notice.closes, *more)))


def _incident(home: str, cause: str) -> str:
    """Return what services know an incident of several targets by."""
    return f"{home}/guests/{_short([cause])}"


def _is_late(one: Shared, now: datetime) -> bool:
    return one.since is not None and not one.since <= now < one.since + LONGEST_WAIT


def told_together(home: str, told: Sequence[Heard]) -> Iterator[tuple[str, tuple[Notice, ...]]]:
    """Yield for each notifier what it is sent.

    Args:
        home: Id of the hypervisor.
        told: From :func:`settled`.
    """
    by_notifier: dict[str, dict[tuple[str, str], Notice]] = defaultdict(dict)
    for heard in told:
        for route in heard.routes:
            if not heard.notice.told.isdisjoint(route.on):
                by_notifier[route.to][heard.notice.key, heard.notice.occasion] = heard.notice
    for name, found in by_notifier.items():
        notices = tuple(found.values())
        is_own = all(one.gist is None or one.gist.target == home for one in notices)
        yield name, notices if is_own or len(notices) == 1 else (_together(home, notices),)


def _together(home: str, notices: Sequence[Notice]) -> Notice:
    groups: dict[tuple[Event, str], list[Notice]] = defaultdict(list)
    for notice in sorted(notices, key=lambda one: _WORST.index(one.event)):
        if notice.gist is not None:
            groups[notice.event, notice.gist.cause].append(notice)
    worst = next(iter(groups))[0]
    incident = _incident_of(home, next(iter(groups.items())))
    begun = (_incident_of(home, each) for each in groups.items() if each[0][0] in get_args(TroubleEvent))
    headline = _headline(groups, home)
    gists = [one.gist for group in groups.values() for one in group if one.gist is not None]
    contents = Contents(
        lines=(),
        facts=tuple(_facts(home, gists)),
        packages_title="",
        packages=(),
        log_excerpt=_excerpt(gists),
        sections=tuple(
            _section(event, [one.gist for one in group if one.gist]) for (event, _), group in groups.items()
        ),
        happened=f"{home}: {headline}",
        asked=_asks(gists),
        document=_documents(gists),
    )
    keys = sorted(one.key for one in notices)
    occasions = sorted(f"{one.key} {one.occasion}" for one in notices)
    return Notice(
        worst,
        f"{home}/guests/{_short(keys)}",
        _short(occasions),
        notices[0].at,
        compose(home, headline, contents),
        frozenset(event for one in notices for event in one.told),
        incident=incident,
        closes=tuple(sorted({each for one in notices for each in one.closes})),
        # A service that keeps incidents opens each: it is closed by its own end, and not by that of another.
        opens=tuple(one for one in dict.fromkeys(begun) if one != incident),
    )


def _incident_of(home: str, told: tuple[tuple[Event, str], Sequence[Notice]]) -> str:
    """Return the incident that a part of a message is of."""
    (event, cause), group = told
    if event not in get_args(TroubleEvent) or len(group) == 1:
        return group[0].incident
    return _incident(home, cause)


def _headline(groups: Mapping[tuple[Event, str], Sequence[Notice]], home: str) -> str:
    by_event: dict[Event, list[Gist]] = defaultdict(list)
    for (event, _), group in groups.items():
        by_event[event] += [one.gist for one in group if one.gist is not None]
    return ", ".join(f"{_words(event, gists)} {_where(gists, home)}" for event, gists in by_event.items())


def _words(event: Event, gists: Sequence[Gist]) -> str:
    match event:
        case Event.APPLIED:
            packages = [one for gist in gists for one in gist.contents.packages]
            return f"applied {changes_of(len(packages), sum(one.security for one in packages))}"
        case Event.RECOVERED:
            return "recovered"
        case _:
            return str(event).replace("-", " ")


def _where(gists: Sequence[Gist], home: str) -> str:
    names = list(dict.fromkeys(one.target for one in gists))
    guests = [one for one in names if one != home]
    if len(guests) == 1:
        here = _name(next(one for one in gists if one.target == guests[0]), home)
    else:
        here = plural(len(guests), "guest")
    own = [home] if home in names else []
    return f"in {' and '.join([here, *own] if guests else own)}"


def _name(gist: Gist, home: str) -> str:
    name = gist.target.removeprefix(f"{home}/")
    return f"{name} ({one_line(gist.called, _NAME)})" if gist.called else name


def _section(event: Event, gists: Sequence[Gist]) -> MessageSection:
    """Return what targets have in common, and who they are; where they have nothing, a line for each."""
    names = {one.target: one for one in gists}
    shown = [
        f"{one.target} ({one_line(one.called, _NAME)})" if one.called else one.target
        for one in names.values()
    ]
    if len({one.headline for one in gists}) == 1 and event is not Event.APPLIED:
        lines = [", ".join(shown[begin : begin + _IN_A_LINE]) for begin in range(0, len(shown), _IN_A_LINE)]
        return MessageSection(one_line(_heading(event, gists[0]), _HEADLINE), tuple(lines))
    lines = [f"{name}: {_line(event, gist)}" for name, gist in zip(shown, gists, strict=False)]
    return MessageSection(str(event).replace("-", " ").capitalize(), tuple(lines))


_HEADLINE = 200


def _heading(event: Event, gist: Gist) -> str:
    if event is not Event.RECOVERED:
        return gist.headline
    return f"{gist.headline}: {'; '.join(line.removeprefix(OVER) for line in gist.contents.lines)}"


def _line(event: Event, gist: Gist) -> str:
    if event is not Event.APPLIED:
        return gist.headline
    moved = ", ".join(f"{one.package} {' → '.join(one.transition.words)}" for one in gist.contents.packages)
    return f"{gist.headline}: {moved}"


def _facts(home: str, gists: Sequence[Gist]) -> Iterator[tuple[str, str]]:
    yield "Host", home
    yield (
        "Reports",
        f"branches guests/{home}/ID"
        + (f" and hosts/{home}" if any(one.target == home for one in gists) else ""),
    )
    yield "Look", f"`patchledger status` on {home}, with `--target ID` for one guest"
    at = next((value for one in gists for label, value in one.contents.facts if label == "At"), "")
    if at:
        yield "At", at


def _asks(gists: Sequence[Gist]) -> str:
    """Return what is asked for, each once; where several guests ask the same, as of any of them."""
    asks: dict[str, list[str]] = defaultdict(list)
    for one in gists:
        if one.contents.asked not in ("", asked.NOTHING):
            asks[_of_any(one)].append(one.contents.asked)
    wanted = [own[0] if len(own) == 1 else of_any for of_any, own in asks.items()]
    return "; ".join(wanted[:_MOST_ASKS]) or asked.NOTHING


def _of_any(gist: Gist) -> str:
    run = next((value for label, value in gist.contents.facts if label == "Run"), "")
    text = gist.contents.asked.replace(run, "RUN") if run else gist.contents.asked
    own = gist.target.rpartition("/")[2]
    plan = next((value for label, value in gist.contents.facts if label == "Plan"), "")
    if plan:
        text = text.replace(f" --plan {short_digest(plan)}", " --plan DIGEST")
    return text.replace(f"--target {own}`", "--target ID`").replace(
        f"`patchledger approve {gist.target}", "`patchledger approve TARGET"
    )


_MOST_ASKS = 3


def _excerpt(gists: Sequence[Gist]) -> str:
    one = next((one for one in gists if one.contents.log_excerpt), None)
    return "" if one is None else f"({one.target})\n{one.contents.log_excerpt[-_EXCERPT:]}"


def _documents(gists: Sequence[Gist]) -> tuple[str, str]:
    found = [one.contents.document for one in gists if one.contents.document[1]]
    if len(found) < 2:  # noqa: PLR2004 - two
        return found[0] if found else ("", "")
    return (
        "Approvals, each in a file of its own",
        "---\n".join(f"# {heading}\n{text}" for heading, text in found),
    )


def _short(parts: Iterable[str]) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:16]
