"""An impact as a comment on a pull request: Markdown of bounded length, its detail folded.

The rules:

1. It is never longer than :data:`MOST` characters, which every forge takes. What does not fit is counted, and
   in the JSON.
2. Every ``<details>`` is closed, whatever was left out: a part is taken whole or not at all.
3. What a host or a document chose forms no markup, and mentions nobody.
"""

from collections.abc import Iterator, Sequence

from reconciler.planning.impact.effect import Concern, Group, Impact, PolicySide
from reconciler.planning.impact.words import SHOWN, WAS, compared, facts, lines, verdict
from reconciler.planning.text.untrusted import markdown, markdown_code
from reconciler.planning.text.wording import listed, plural

MOST = 60_000
"""Characters; GitHub refuses more than 65,536."""
MARK = "<!-- patchledger impact -->"
"""The first line, by which a job finds its own comment again."""
_RESERVED = 1_000
"""Characters that are kept for what is said of what was left out."""
_CELL = 600
_NAMED = 5
_LISTED = 100
_ROWS = 200


def comment(impact: Impact) -> str:
    """Return an impact as Markdown for a comment."""
    page = _Page()
    page.add(f"{MARK}\n### Impact: {markdown(verdict(impact), _CELL)}\n")
    said = (compared(impact), facts(impact.facts, impact.hosts, impact.at))
    page.add("".join(f"\n{markdown(text, _CELL)}.\n" for text in said))
    if impact.concerns:
        page.add("\n**Not to be missed**\n\n| what | hosts | why |\n|---|---:|---|\n")
    missed = sum(not page.add(_concern(one)) for one in impact.concerns)
    for word, side in (("head", impact.head), ("base", impact.base)):
        page.add_first(_problems(word, side))
    left = sum(not page.add_first(_group(number, one)) for number, one in enumerate(impact.groups, 1))
    page.add_first(_unjudged(impact))
    page.add_first(_unreached(impact))
    for count, what in ((missed, "warning that must not be missed"), (left, "group")):
        if count:
            page.end(f"\n{_left(count, what)} did not fit, and can be read with `--format json`.\n")
    return page.text


def _left(count: int, what: str) -> str:
    noun, blank, rest = what.partition(" ")
    return f"{plural(count, f'more {noun}')}{blank}{rest}"


class _Page:
    """A text that grows part by part as long as there is room."""

    def __init__(self) -> None:
        self.text = ""

    def add(self, part: str) -> bool:
        """Add a part, and say whether there was room for it."""
        is_fit = len(self.text) + len(part) <= MOST - _RESERVED
        if is_fit:
            self.text += part
        return is_fit

    def add_first(self, parts: Iterator[str]) -> bool:
        """Add the first of some forms of a part for which there is room; say whether there was any."""
        forms = list(parts)
        return not forms or any(self.add(part) for part in forms)

    def end(self, part: str) -> None:
        """Add what is said last, for which there is always room."""
        self.text += part[:_RESERVED]


def _problems(word: str, side: PolicySide) -> Iterator[str]:
    """Yield the problems of a policy, each time fewer of them."""
    for number in (_LISTED, _NAMED) if side.problems else ():
        rows = [f"- {markdown(str(one), _CELL)}\n" for one in side.problems[:number]]
        more = len(side.problems) - len(rows)
        rest = f"- {more} more\n" if more else ""
        title = f"{plural(len(side.problems), 'problem')} of the {word}"
        yield _folded(title, "".join(rows) + rest)


def _concern(concern: Concern) -> str:
    hosts = listed(concern.hosts, _NAMED)
    words = f"{concern.message} ({hosts})" if hosts else concern.message
    return f"| **{concern.peril}** | {len(concern.hosts) or ''} | {markdown(words, _CELL)} |\n"


def _group(number: int, group: Group) -> Iterator[str]:
    """Yield a group, each time with less of it."""
    named = group.hosts[0] if len(group.hosts) == 1 else f"such as {group.hosts[0]}"
    title = f"Group {number}: {plural(len(group.hosts), 'host')}, {named}"
    for limit in (None, SHOWN, 0):
        rows = [(line.subject, line.words, line.is_part) for line in lines(group.effect, limit)]
        if len(rows) > _ROWS:
            continue
        told = "".join(
            f"| {'· ' * is_part}{markdown(subject, _CELL)} | {markdown(words, _CELL)} |\n"
            for subject, words, is_part in rows
        )
        yield _folded(title, f"| what | change |\n|---|---|\n{told}\n{_names(group.hosts)}")
    yield f"\n- {markdown(title, _CELL)}\n"


def _names(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - _LISTED} more" if len(hosts) > _LISTED else ""
    return f"Hosts: {', '.join(map(markdown_code, hosts[:_LISTED]))}{more}\n"


def _unjudged(impact: Impact) -> Iterator[str]:
    for number in (_LISTED, _NAMED) if impact.unjudged else ():
        rows = [
            f"| {markdown_code(one.target)} | {markdown(one.reason)} |\n" for one in impact.unjudged[:number]
        ]
        more = len(impact.unjudged) - len(rows)
        rest = f"\n{more} more.\n" if more else ""
        title = f"Hosts that were not judged: {len(impact.unjudged)}"
        yield _folded(title, f"| host | why |\n|---|---|\n{''.join(rows)}{rest}")


def _unreached(impact: Impact) -> Iterator[str]:
    for number in (_LISTED, _NAMED) if impact.unreached else ():
        rows = [
            f"| {markdown(f'{one.kind} {one.name}')} | {WAS[one.was]} | {markdown(one.origin)} |\n"
            for one in impact.unreached[:number]
        ]
        more = len(impact.unreached) - len(rows)
        rest = f"\n{more} more.\n" if more else ""
        title = f"Documents that reach no host that is known: {len(impact.unreached)}"
        yield _folded(title, f"| document | before | where |\n|---|---|---|\n{''.join(rows)}{rest}")


def _folded(title: str, body: str) -> str:
    """Return a part that is folded; the blank lines let a forge read Markdown inside of it."""
    return f"\n<details><summary>{markdown(title, _CELL)}</summary>\n\n{body}\n</details>\n"
