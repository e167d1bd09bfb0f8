"""An impact as one HTML page that needs nothing beside it: all of it, its detail folded.

It has no script and loads nothing, which its own policy of content says as well; whatever a host or a
document chose is text.
"""

from collections.abc import Iterable, Iterator, Sequence

from reconciler.planning.impact.effect import Group, Impact, PolicySide
from reconciler.planning.impact.words import WAS, ChangeLine, compared, facts, lines, verdict
from reconciler.planning.text.untrusted import html
from reconciler.planning.text.wording import plural

_LONG = 2_000
"""Characters of a sentence."""
_HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Impact</title>
<style>
body { font: 1rem/1.5 sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; }
td, th { border-top: 1px solid #ccc; padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
td.part { padding-left: 1.5rem; }
summary { cursor: pointer; font-weight: bold; margin-top: 1rem; }
</style>
</head>
<body>
"""


def page(impact: Impact) -> str:
    """Return an impact as an HTML page."""
    return _HEAD + "".join(f"{part}\n" for part in _parts(impact)) + "</body>\n</html>\n"


def _parts(impact: Impact) -> Iterator[str]:
    yield f"<h1>{_text(verdict(impact))}</h1>"
    yield f"<p>{_text(compared(impact))}.</p>"
    yield f"<p>{_text(facts(impact.facts, impact.hosts, impact.at))}.</p>"
    if impact.concerns:
        yield "<h2>Not to be missed</h2>"
        told = ((str(one.peril), one.message, ", ".join(one.hosts)) for one in impact.concerns)
        yield _table(("what", "why", "hosts"), told)
    for word, side in (("head", impact.head), ("base", impact.base)):
        yield from _problems(word, side)
    if impact.groups:
        yield "<h2>Groups</h2>"
        yield from (_group(number, one) for number, one in enumerate(impact.groups, 1))
    if impact.unjudged:
        hosts = ((one.target, one.reason) for one in impact.unjudged)
        title = f"Hosts that were not judged: {len(impact.unjudged)}"
        yield _folded(title, _table(("host", "why"), hosts))
    if impact.unreached:
        rows = ((f"{one.kind} {one.name}", WAS[one.was], one.origin) for one in impact.unreached)
        title = f"Documents that reach no host that is known: {len(impact.unreached)}"
        yield _folded(title, _table(("document", "before", "where"), rows))


def _problems(word: str, side: PolicySide) -> Iterator[str]:
    if side.problems:
        yield f"<h2>Problems of the {word}</h2>"
        yield f"<ul>{''.join(f'<li>{_text(str(one))}</li>' for one in side.problems)}</ul>"


def _group(number: int, group: Group) -> str:
    named = group.hosts[0] if len(group.hosts) == 1 else f"such as {group.hosts[0]}"
    rows = "".join(map(_row, lines(group.effect)))
    hosts = f"<p>Hosts: {', '.join(map(_text, group.hosts))}</p>"
    title = f"Group {number}: {plural(len(group.hosts), 'host')}, {named}"
    return _folded(title, f"<table>\n{rows}</table>\n{hosts}")


def _row(line: ChangeLine) -> str:
    begin = '<td class="part">' if line.is_part else "<td>"
    return f"<tr>{begin}{_text(line.subject)}</td><td>{_text(line.words)}</td></tr>\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    above = "".join(f"<th>{_text(head)}</th>" for head in heads)
    told = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table>\n<tr>{above}</tr>\n{told}</table>"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{_text(title)}</summary>\n{body}\n</details>"


def _text(text: str) -> str:
    return html(text, _LONG)
