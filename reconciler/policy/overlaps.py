"""Find policies of one priority that set one setting differently, before a host meets them.

What a host is like is known only in part here: of a Host document the name and the labels it gives. So an
overlap that a known host certainly meets is a problem, and one that some host could meet is a warning. Where
it cannot be told whether two policies can match the same host, they are taken to. So many pairs are compared
as takes a second; where there are more, that is a warning.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations, groupby, islice, product

from reconciler.policy.documents import Host, Match, Policy
from reconciler.policy.load import Placed, Revision
from reconciler.policy.match import fits, is_pattern, means_guests
from reconciler.policy.problems import MAX_PROBLEMS, Problem, dotted
from reconciler.policy.resolve import Key, settings_of

_MOST_PAIRS = 200_000

Dimensions = Mapping[str, tuple[str, ...]]


def check_overlaps(revision: Revision) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Return the ambiguities that known hosts meet, and those that others could meet; both sorted."""
    return _Overlaps(revision).check()


class _Overlaps:
    def __init__(self, revision: Revision) -> None:
        self._hosts = revision.hosts
        pool: dict[object, object] = {}  # Equal values become one object, so that comparing them is cheap.
        self._layers = {
            one.value.name: (
                one,
                {key: pool.setdefault(value, value) for key, value in settings_of(one.value).items()},
            )
            for one in revision.policies
        }
        self._dimensions = {one.value.name: _dimensions(one.value.match) for one in revision.policies}
        self._met: dict[str, frozenset[str]] = {}

    def check(self) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
        problems: list[Problem] = []
        warnings: list[Problem] = []
        for number, pair in enumerate(self._pairs()):
            first, second = sorted(pair, key=lambda one: one.value.name)
            if number >= _MOST_PAIRS or len(problems) + len(warnings) >= MAX_PROBLEMS:
                warnings.append(_unfinished(first))
                break
            keys = self._differing(first, second)
            if not keys or not self._can_meet(first, second):
                continue
            undecided = {key: self._undecided(first, second, key) for key in keys}
            known = [key for key in keys if undecided[key]]
            if known:
                problems += [_problem(first, second, key, undecided[key]) for key in known]
            else:
                warnings.append(_problem(first, second, keys[0], ()))
        return tuple(sorted(problems)), tuple(sorted(warnings))

    def _pairs(self) -> Iterator[tuple[Placed[Policy], Placed[Policy]]]:
        """Yield every two policies of one priority that one plain value does not already keep apart."""
        policies = sorted((one for one, _ in self._layers.values()), key=lambda one: one.value.priority)
        for _, group in groupby(policies, key=lambda one: one.value.priority):
            members = sorted(group, key=lambda one: one.value.name)
            yield from self._apart(members)

    def _apart(self, members: Sequence[Placed[Policy]]) -> Iterator[tuple[Placed[Policy], Placed[Policy]]]:
        """Split by the dimension that most of them name, so that few pairs are left to compare."""
        named = Counter(key for one in members for key in self._plain(one))
        if not named:
            yield from combinations(members, 2)
            return
        dimension, _ = named.most_common(1)[0]
        by_value: dict[str, list[Placed[Policy]]] = defaultdict(list)
        anywhere = [one for one in members if dimension not in self._plain(one)]
        tied = [one for one in members if dimension in self._plain(one)]
        for one in tied:
            for value in self._plain(one)[dimension]:
                by_value[value].append(one)
        # Two that ask for different values of it never meet. Who asks for none meets everybody.
        pairs = chain(*(combinations(group, 2) for group in by_value.values()))
        named_pairs = islice(pairs, _MOST_PAIRS)
        yield from {(one.value.name, other.value.name): (one, other) for one, other in named_pairs}.values()
        yield from combinations(anywhere, 2)
        yield from product(anywhere, tied)

    def _plain(self, one: Placed[Policy]) -> Dimensions:
        """Return what it asks for without patterns; ``os`` is left out, since two of its texts can agree."""
        return {
            key: values
            for key, values in self._dimensions[one.value.name].items()
            if key != "os" and not any(map(is_pattern, values))
        }

    def _differing(self, first: Placed[Policy], second: Placed[Policy]) -> list[Key]:
        ours, theirs = (self._layers[one.value.name][1] for one in (first, second))
        return sorted(key for key in ours.keys() & theirs.keys() if ours[key] is not theirs[key])

    def _can_meet(self, first: Placed[Policy], second: Placed[Policy]) -> bool:
        ours, theirs = (self._dimensions[one.value.name] for one in (first, second))
        return _can_share(ours, theirs) and not _exclude(first.value.match, second.value.match)

    def _undecided(self, first: Placed[Policy], second: Placed[Policy], key: Key) -> tuple[str, ...]:
        """Return the known hosts that meet both while no stronger policy settles the matter."""
        both = self._hosts_of(first.value) & self._hosts_of(second.value)
        if not both:
            return ()
        stronger = (
            one.value
            for one, leaves in self._layers.values()
            if one.value.priority > first.value.priority and key in leaves
        )
        return tuple(sorted(both.difference(*map(self._hosts_of, stronger))))

    def _hosts_of(self, policy: Policy) -> frozenset[str]:
        if policy.name not in self._met:
            met = (host.value.name for host in self._hosts if certainly(policy.match, host.value))
            self._met[policy.name] = frozenset(met)
        return self._met[policy.name]


def can_meet(one: Match, other: Match) -> bool:
    """Tell whether some host could be selected by both; where it cannot be told, it could."""
    return _can_share(_dimensions(one), _dimensions(other)) and not _exclude(one, other)


def leaves_out_all(match: Match) -> bool:
    """Tell whether the ``not`` of a match surely leaves out all that the rest of it selects."""
    return _excludes(match, match)


def _can_share(ours: Dimensions, theirs: Dimensions) -> bool:
    return all(_share(key, ours[key], theirs[key]) for key in ours.keys() & theirs.keys())


def _exclude(one: Match, other: Match) -> bool:
    return _excludes(one, other) or _excludes(other, one)


def certainly(match: Match, host: Host) -> bool | None:
    """Tell whether a match selects a host of which only the document is known; ``None``: it depends."""
    answers: list[bool | None] = []
    home = host.guest_of
    if match.name is not None:
        is_named = fits(match.name, host.name.rpartition("/")[2])
        answers.append(None if home is not None and not is_named else is_named)  # It may be called so.
    for key, wanted in (match.labels or {}).items():
        answers.append(fits(wanted, host.labels[key]) if key in host.labels else None)
    if match.guest_of is not None:
        answers.append(home is not None and fits(match.guest_of, home))
    if match.os is not None or match.manager is not None:
        answers.append(None)
    if match.not_ is not None:
        inner = certainly(match.not_, host)
        answers.append(None if inner is None else not inner)
    if False in answers:
        return False
    return None if None in answers else True


def _dimensions(match: Match) -> Dimensions:
    found: dict[str, tuple[str, ...]] = {
        f"label {key}": wanted for key, wanted in (match.labels or {}).items()
    }
    for key in ("os", "manager", "guest_of"):
        wanted = getattr(match, key)
        if wanted is not None:
            found[key] = wanted
    if match.name is not None and (key := _name_or_id(match)):
        found[key] = match.name
    return found


def _name_or_id(match: Match) -> str:
    """Return which of its names a match asks for: one guest may have the id 101 and be called web."""
    numbers = [text.isdecimal() for text in match.name or ()]
    if not means_guests(match) or not any(numbers):
        return "name"
    return "id" if all(numbers) else ""


def _share(key: str, ours: Iterable[str], theirs: Sequence[str]) -> bool:
    """Tell whether one text could fit both lists."""
    if key == "os":
        ours = [text for one in ours for text in (one, f"{one}-*")]
        theirs = [text for one in theirs for text in (one, f"{one}-*")]
    return any(_agree(one, other) for one in ours for other in theirs)


def _agree(one: str, other: str) -> bool:
    match is_pattern(one), is_pattern(other):
        case False, False:
            return one == other
        case False, True:
            return fits((other,), one)
        case True, False:
            return fits((one,), other)
        case _:
            starts = _fixed_start(one), _fixed_start(other)
            return starts[0].startswith(starts[1]) or starts[1].startswith(starts[0])


def _fixed_start(pattern: str) -> str:
    return pattern[: min(pattern.index(char) for char in "*?[" if char in pattern)]


def _excludes(match: Match, other: Match) -> bool:
    """Tell whether all that ``other`` selects is surely among what ``match`` leaves out with ``not``."""
    left_out = match.not_
    if left_out is None or left_out.not_ is not None:
        return False
    wanted, given = _dimensions(left_out), _dimensions(other)
    return all(key in given and _within(given[key], texts) for key, texts in wanted.items())


def _within(given: Iterable[str], wanted: Sequence[str]) -> bool:
    return "*" in wanted or all(one in wanted or (not is_pattern(one) and fits(wanted, one)) for one in given)


def _unfinished(policy: Placed[Policy]) -> Problem:
    message = "this and others were not compared with all policies of their priority: there are too many"
    return Problem(
        policy.origin.file, policy.origin.line, "priority", message, "use more priorities", "unfinished"
    )


def _problem(first: Placed[Policy], second: Placed[Policy], key: Key, hosts: Sequence[str]) -> Problem:
    ours, theirs = first.origin_of(key), second.origin_of(key)
    other = f"{ours.file}:{ours.line}"
    message = f"Policy {second.value.name} and Policy {first.value.name} ({other}) set this differently"
    message += f" with the same priority {first.value.priority}"
    if hosts:
        more = f" and {len(hosts) - 1} more" if len(hosts) > 1 else ""
        message += f", and both match {hosts[0]}{more}"
    else:
        message += ", and one host could match both"
    rule = "" if hosts else "ambiguous"
    return Problem(theirs.file, theirs.line, dotted(key), message, "give one of them a higher priority", rule)
