"""Write the documents that approve plans, and what a pull request says of them.

The rules:

1. A document by digest is about one plan, whoever has it, or only the targets that were named. One by
   versions lists every package of the plans together, and lasts until it expires.
2. What a host could choose, such as the name of a package, forms no markup in the text of a pull request.
3. No document takes the name of another one.
4. The text is as long as forges and shells take, whatever hosts report, and tells of removals first.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from reconciler.errors import Misuse
from reconciler.planning.fleet.waiting import Selector, WaitingPlan
from reconciler.planning.reporting.document import PlannedMove
from reconciler.planning.text.untrusted import markdown, markdown_code
from reconciler.planning.text.wording import changes_of, listed, minute, plural, short_digest
from reconciler.policy.conversion import yaml_of
from reconciler.policy.values import GLOB, PACKAGE
from reconciler.policy.zones import end_instant, parse_moment, zone
from reconciler.records import dataclass

_MOST_ROWS = 200
"""Changes that a pull request lists."""
_MOST_HOSTS = 50
_LONGEST = 60_000
"""Bytes of the text of a pull request: GitHub takes 65,536 characters, an argument of a command 131,071."""
_LEAST = 1200
"""Bytes for each plan; what does not fit is counted."""
_TITLE_HOSTS = 3


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for each document that is written.

    Attributes:
        expires: As a document has it: a date, or a local date and time.
        timezone: Of that.
        reason: For people; empty without.
    """

    expires: str
    timezone: str
    reason: str

    @property
    def ends(self) -> datetime:
        """First instant at which an approval counts no more."""
        return end_instant(parse_moment(self.expires), zone(self.timezone))

    def ends_before(self, plan: WaitingPlan) -> bool:
        """Tell whether an approval is over before a target could meet any window that is known."""
        return plan.window is not None and plan.window >= self.ends


@dataclass(frozen=True, slots=True)
class Documents:
    """What is to be proposed.

    Attributes:
        files: Path in the policy repository, and text.
        title: In one line.
        body: Markdown, for the pull request and the commit.
        name: Of the first document; the branch is called after it.
    """

    files: Mapping[str, str]
    title: str
    body: str
    name: str


def by_digest(
    plans: Sequence[WaitingPlan], selector: Selector, terms: Terms, taken: Iterable[str]
) -> Documents:
    """Write a document for each plan, by its digest.

    Args:
        plans: At least one.
        selector: Whom they are for; without targets and labels each is for whoever has that plan.
        terms: What holds for all.
        taken: Names of Approvals that there are.
    """
    names = FreshNames(taken)
    files = {}
    first = ""
    for plan in plans:
        for match in _matches(plan, selector):
            name = names.new(f"plan-{short_digest(plan.digest)}")
            first = first or name
            files[f"approvals/{name}.yaml"] = _document(name, {"plan": plan.digest}, match, terms)
    return Documents(files, title_of(plans), body_of(plans, terms), first)


def approval_of(name: str, digest: str, terms: Terms) -> str:
    """Write the document that approves a plan, by its digest, for whoever has it."""
    return _document(name, {"plan": digest}, {}, terms)


def by_versions(
    plans: Sequence[WaitingPlan], selector: Selector, terms: Terms, taken: Iterable[str]
) -> Documents:
    """Write one document with the version of each package, for all plans together; as :func:`by_digest`.

    Raises:
        Misuse: A plan removes something, or two of them want two versions of one package.
    """
    versions: dict[str, str] = {}
    for move in (move for plan in plans for move in plan.changes):
        if move.to is None or not re.fullmatch(GLOB, move.to) or not re.fullmatch(PACKAGE, move.name):
            raise Misuse(f"{move.package} has no version that could be listed", "approve by digest")
        if versions.setdefault(move.name, move.to) != move.to:
            said = f"{move.name} goes to {versions[move.name]} on one target and to {move.to} on another"
            raise Misuse(said, "approve by digest, or fewer targets or plans at once")
    matches = [match for plan in plans for match in _matches(plan, selector)]
    names, files, first = FreshNames(taken), {}, ""
    for match in _joined(matches):
        name = names.new(f"versions-{short_digest(plans[0].digest)}")
        first = first or name
        files[f"approvals/{name}.yaml"] = _document(
            name, {"versions": dict(sorted(versions.items()))}, match, terms
        )
    return Documents(files, title_of(plans), body_of(plans, terms), first)


class FreshNames:
    """Gives names that no document has."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def new(self, wanted: str) -> str:
        """Return this name, or with a number where a document has it."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}-{number}"
        self._taken.add(name)
        return name


_Match = Mapping[str, object]


def _matches(plan: WaitingPlan, selector: Selector) -> Iterator[_Match]:
    """Yield what the documents of a plan match: guests of one host need one of their own.

    A guest may bear the name of a host, and is another machine.
    """
    if not selector.targets:
        yield {"labels": dict(selector.labels)} if selector.labels else {}
        return
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for one in plan.targets:
        home, _, guest = one.row.target.rpartition("/")
        homes[home].append(guest)
    for home, names in sorted(homes.items()):
        yield {"name": names, "guest_of": home} if home else {"name": names, "not": {"guest_of": "*"}}


def _joined(matches: Iterable[_Match]) -> list[_Match]:
    """Join the matches of several plans: names of one hypervisor, or of none, together."""
    found: dict[object, dict[str, object]] = {}
    for match in matches:
        known = found.setdefault(match.get("guest_of"), dict(match))
        names = [*_names_of(known), *_names_of(match)]
        if names:
            known["name"] = sorted(set(names))
    return list(found.values())


def _names_of(match: _Match) -> list[str]:
    names = match.get("name")
    return names if isinstance(names, list) else []


def _document(name: str, what: Mapping[str, object], match: _Match, terms: Terms) -> str:
    document = {
        "kind": "Approval",
        "name": name,
        **what,
        **({"match": match} if match else {}),
        "expires": terms.expires,
        **({"timezone": terms.timezone} if terms.timezone != "UTC" else {}),
        **({"reason": terms.reason} if terms.reason else {}),
    }
    return yaml_of(document)


def title_of(plans: Sequence[WaitingPlan]) -> str:
    """Return what a pull request that approves these plans is called."""
    targets = [one.row.target for plan in plans for one in plan.targets]
    digests = ", ".join(short_digest(plan.digest) for plan in plans[:2])
    more = f" and {len(plans) - 2} more" if len(plans) > 2 else ""  # noqa: PLR2004 - as many as are named
    return f"Approve {digests}{more} on {listed(targets, _TITLE_HOSTS)}"


def body_of(plans: Sequence[WaitingPlan], terms: Terms) -> str:
    """Return the text, at most as long as forges and command lines take; each plan has an equal share."""
    share = max(_LONGEST // len(plans), _LEAST)
    text, told = "", 0
    for plan in plans:
        lines = "\n".join(_lines(plan, terms, share)) + "\n"
        if told and _size(text) + _size(lines) > _LONGEST:
            break
        text, told = text + lines, told + 1
    if told == len(plans):
        return text
    targets = sum(len(plan.targets) for plan in plans[told:])
    return f"{text}… and {plural(len(plans) - told, 'plan')} more on {plural(targets, 'target')}.\n"


def _lines(plan: WaitingPlan, terms: Terms, share: int) -> Iterator[str]:
    yield f"### {changes_of(len(plan.changes), len(plan.security))} on {plural(len(plan.targets), 'target')}"
    yield ""
    yield "| package | from | to | |"
    yield "|---|---|---|---|"
    rows = [f"| {' | '.join(map(_cell, _told(move)))} | {_kind(plan, move)} |" for move in _first(plan)]
    shown = _fitting(rows, share // 2)
    yield from shown
    if len(plan.changes) > len(shown):
        yield f"\n… and {len(plan.changes) - len(shown)} more."
    names = _fitting([markdown_code(one.row.target) for one in plan.targets[:_MOST_HOSTS]], share // 4)
    more = f" and {len(plan.targets) - len(names)} more" if len(plan.targets) > len(names) else ""
    yield ""
    yield f"- Targets: {', '.join(names)}{more}"
    window = plan.window
    yield f"- First window that one of them can meet: {'none in sight' if window is None else minute(window)}"
    if terms.ends_before(plan):
        yield "- **This approval ends before that.**"
    yield f"- Plan: `{plan.digest}`"
    yield f"- Expires: {terms.expires} {terms.timezone}"
    if terms.reason:
        yield f"- Reason: {markdown(terms.reason)}"
    yield ""


def _first(plan: WaitingPlan) -> list[PlannedMove]:
    """Return the changes that are listed: what takes something away is never among those left out."""
    order = {"removal": 0, "security": 1, "": 2}
    return sorted(plan.changes, key=lambda one: (order[_kind(plan, one)], one.name, one.arch))[:_MOST_ROWS]


def _kind(plan: WaitingPlan, move: PlannedMove) -> str:
    if move.to is None:
        return "removal"
    return "security" if str(move.package) in plan.security else ""


def _told(move: PlannedMove) -> tuple[str, str, str]:
    return str(move.package), move.from_ or "", move.to or ""


def _cell(text: str) -> str:
    return markdown_code(text) if text else ""


def _fitting(texts: Sequence[str], room: int) -> list[str]:
    """Return the first texts that take so many bytes, at least one."""
    sizes = accumulate(_size(text) + 2 for text in texts)
    count = sum(1 for size in sizes if size <= room)
    return list(texts[: max(count, 1)])


def _size(text: str) -> int:
    return len(text.encode())
