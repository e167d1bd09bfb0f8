"""The words of a message: a title and one account, as plain text, Markdown and HTML, of bounded length.

Whatever comes from packages, hosts or git is untrusted here and written through
:mod:`reconciler.planning.text.untrusted`; every list and text has an end.
"""

from collections.abc import Iterable
from dataclasses import replace

from reconciler.planning.facts.package import Identified, Transition
from reconciler.planning.text.untrusted import html, markdown, markdown_code, one_line
from reconciler.records import dataclass

TITLE_LIMIT = 160
"""Characters of a title; longer ones end in an ellipsis."""
LINE_LIMIT = 400
"""Characters of one untrusted sentence or value."""
PACKAGES_LIMIT = 60
"""Packages that are listed; the rest is counted."""
LINES_LIMIT = 20
"""Sentences that are shown in one place; the rest is counted."""
ASKED = "Asked of you"
"""What the second line begins with."""
EXCERPT_LIMIT = 4000
"""Characters of a log that are shown: its end."""


@dataclass(frozen=True, slots=True)
class PackageLine(Identified):
    """One package of a list; ``old`` is ``None`` for an install, ``new`` for a removal."""

    name: str
    arch: str
    old: str | None
    new: str | None
    security: bool = False

    @property
    def transition(self) -> Transition:
        """What becomes of which package."""
        return Transition(self.package, self.old, self.new)


@dataclass(frozen=True, slots=True)
class MessageSection:
    """A list under a heading of its own."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a message tells below its title.

    Attributes:
        lines: Sentences that belong to this message only.
        facts: Label and value, in this order.
        packages: Listed under ``packages_title``.
        log_excerpt: Its end is shown; empty for none.
        sections: Further lists, between facts and packages; one without lines is left out.
        happened: What happened to what, in one sentence: the first line.
        asked: What is asked of whoever reads it: the second line; empty where nobody could be asked.
        document: A heading and a text to be copied as it stands; empty without.
    """

    lines: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    packages_title: str
    packages: tuple[PackageLine, ...]
    log_excerpt: str = ""
    sections: tuple[MessageSection, ...] = ()
    happened: str = ""
    asked: str = ""
    document: tuple[str, str] = ("", "")

    @property
    def opening(self) -> tuple[str, ...]:
        """The first lines: what happened, and what is asked for."""
        asked = f"{ASKED}: {self.asked}" if self.asked else ""
        return tuple(filter(None, (self.happened, asked)))


@dataclass(frozen=True, slots=True)
class Shorter:
    """An account that leaves something out, for services that take little."""

    text: str
    markdown: str


@dataclass(frozen=True, slots=True)
class Message:
    """A finished message: one line, then the same account in each of the three forms that services take.

    Attributes:
        shorter: The same without the log, and with what happened and the facts alone; the longest first.
    """

    title: str
    text: str
    markdown: str
    html: str
    shorter: tuple[Shorter, ...] = ()


def compose(target: str, headline: str, contents: Contents) -> Message:
    """Write the message about ``target``.

    Returns:
        A title ``[patchledger] target: headline`` of at most :data:`TITLE_LIMIT` characters on one line, and
        the bodies. Their length is bounded by the limits of this module; the HTML is well-formed XML, too,
        and loads nothing.
    """
    title = one_line(f"[patchledger] {target}: {headline}", TITLE_LIMIT)
    page = _html(f"{target}: {headline}", title, contents)
    without_log = replace(contents, log_excerpt="")
    bare = replace(without_log, packages=(), sections=(), document=("", ""))
    shorter = tuple(Shorter(_text(each), _markdown(each)) for each in (without_log, bare))
    return Message(title, _text(contents), _markdown(contents), page, shorter)


def _text(contents: Contents) -> str:
    width = max((len(label) for label, _ in contents.facts), default=0) + 1
    parts = ["\n".join(one_line(line, LINE_LIMIT) for line in contents.opening)]
    parts.append("\n".join(one_line(line, LINE_LIMIT) for line in _bounded(contents.lines)))
    parts.append(
        "\n".join(f"{label + ':':<{width}} {one_line(value, LINE_LIMIT)}" for label, value in contents.facts)
    )
    for section in filter(_has_lines, contents.sections):
        listed = [f"- {one_line(line, LINE_LIMIT)}" for line in _bounded(section.lines)]
        parts.append("\n".join([f"{section.title}:", *listed]))
    if contents.packages:
        shown = [f"- {_package(each)}" for each in contents.packages[:PACKAGES_LIMIT]]
        parts.append("\n".join([f"{contents.packages_title}:", *shown, *_more(contents)]))
    if contents.document[1]:
        heading, document = contents.document
        parts.append(f"{one_line(heading, LINE_LIMIT)}:\n\n{_verbatim(document)}")
    if contents.log_excerpt:
        parts.append("End of the log:\n" + _excerpt(contents.log_excerpt))
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown(contents: Contents) -> str:
    parts = ["\n\n".join(_prose(line) for line in (*contents.opening, *_bounded(contents.lines)))]
    parts.append("\n".join(f"- **{label}:** {_prose(value)}" for label, value in contents.facts))
    for section in filter(_has_lines, contents.sections):
        listed = [f"- {_prose(line)}" for line in _bounded(section.lines)]
        parts.append("\n".join([f"**{section.title}:**", "", *listed]))
    if contents.packages:
        shown = [f"- {_package_markdown(each)}" for each in contents.packages[:PACKAGES_LIMIT]]
        more = [f"- {line}" for line in _more(contents)]
        parts.append("\n".join([f"**{contents.packages_title}:**", "", *shown, *more]))
    if contents.document[1]:
        heading, document = contents.document
        indented = "\n".join(f"    {line}" for line in _verbatim(document).splitlines())
        parts.append(f"**{_prose(heading)}:**\n\n{indented}")
    if contents.log_excerpt:
        # Indented, not fenced: no text can end an indented block from within.
        indented = "\n".join(f"    {line}" for line in _excerpt(contents.log_excerpt).splitlines())
        parts.append("**End of the log:**\n\n" + indented)
    return "\n\n".join(part for part in parts if part) + "\n"


# No colour of page and text: readers have their own, light or dark. The others can be read on both.
_PAGE = "font-family:sans-serif;font-size:15px;line-height:1.45;max-width:54em;overflow-wrap:anywhere"
_SCHEMES = "".join(
    f'<meta name="{name}" content="light dark"/>' for name in ("color-scheme", "supported-color-schemes")
)
_CODE = "font-family:monospace;font-size:13px"
_BADGE = "background:#b42318;color:#ffffff;border-radius:3px;padding:1px 5px;font-size:12px"
_LABEL = "display:inline-block;min-width:9em;color:#767676;text-indent:0"
_HANGING = "padding-left:9.3em;text-indent:-9.3em"
"""A value of several lines stays beside its label."""


def _html(heading: str, title: str, contents: Contents) -> str:
    """Write a page that every mail reader shows, light or dark: no style sheet, no picture, no link.

    It has no table, and line breaks stand only where they do no harm: apprise makes the plain alternative
    of a mail out of it, a line of each block.
    """
    parts = [f'<h1 style="font-size:19px;margin:0 0 12px">{_words(heading)}</h1>']
    happened, *asked = contents.opening or ("",)
    is_said = happened == heading  # no sentence stands there twice
    parts.append(_paragraph(f"<b>{_words(happened)}</b>") if happened and not is_said else "")
    parts += [_paragraph(f"<b>{_words(line)}</b>") for line in asked]
    parts.append("".join(_paragraph(_words(line)) for line in _bounded(contents.lines)))
    parts.append(
        "".join(
            _paragraph(f'<b style="{_LABEL}">{_words(label)}:</b> {_words(value)}', _HANGING)
            for label, value in contents.facts
        )
    )
    parts += [
        _list(section.title, map(_words, _bounded(section.lines)))
        for section in filter(_has_lines, contents.sections)
    ]
    if contents.packages:
        shown = map(_package_html, contents.packages[:PACKAGES_LIMIT])
        parts.append(_list(contents.packages_title, (*shown, *_more(contents))))
    if contents.document[1]:
        heading, document = contents.document
        parts.append(_preformatted(heading, _verbatim(document)))
    if contents.log_excerpt:
        parts.append(_preformatted("End of the log", _excerpt(contents.log_excerpt)))
    return "\n".join(
        (
            "<!DOCTYPE html>",
            f'<html lang="en"><head><meta charset="utf-8"/>{_SCHEMES}',
            f"<title>{html(title, TITLE_LIMIT)}</title></head>",
            f'<body><div style="{_PAGE}">',
            *filter(None, parts),
            "</div></body></html>\n",
        )
    )


def _heading(text: str) -> str:
    return f'<h2 style="font-size:15px;margin:20px 0 4px">{_words(text)}:</h2>'


def _preformatted(heading: str, text: str) -> str:
    lines = "\n".join(html(line, LINE_LIMIT) for line in text.splitlines())
    style = f"{_CODE};background:rgba(127,127,127,0.15);padding:10px;white-space:pre-wrap"
    return f'{_heading(heading)}<pre style="{style}">{lines}</pre>'


def _paragraph(markup: str, style: str = "") -> str:
    return f'<p style="margin:0 0 2px{";" if style else ""}{style}">{markup}\n</p>'


def _list(title: str, items: Iterable[str]) -> str:
    written = "".join(f"<li>{item}\n</li>" for item in items)
    return f'{_heading(title)}<ul style="margin:0;padding-left:20px">{written}</ul>'


def _package_html(package: PackageLine) -> str:
    old, new = package.transition.words
    line = f"{_code(str(package.package))} {_code(old)} &#8594; {_code(new)}"
    return line + (f' <b style="{_BADGE}">security</b>' if package.security else "")


def _code(text: str) -> str:
    return f'<span style="{_CODE}">{_words(text)}</span>'


def _words(text: str) -> str:
    return html(one_line(text, LINE_LIMIT), LINE_LIMIT)


def _has_lines(section: MessageSection) -> bool:
    return bool(section.lines)


def _bounded(lines: tuple[str, ...], limit: int = LINES_LIMIT) -> tuple[str, ...]:
    return lines if len(lines) <= limit else (*lines[:limit], f"and {len(lines) - limit} more")


def _more(contents: Contents) -> list[str]:
    hidden = len(contents.packages) - PACKAGES_LIMIT
    return [f"and {hidden} more"] if hidden > 0 else []


def _package(package: PackageLine) -> str:
    old, new = package.transition.words
    line = f"{package.package} {old} -> {new}"
    return one_line(line, LINE_LIMIT) + (" [security]" if package.security else "")


def _package_markdown(package: PackageLine) -> str:
    old, new = package.transition.words
    name = markdown_code(str(package.package))
    versions = f"{markdown_code(old)} → {markdown_code(new)}"
    return f"{name} {versions}" + (" **security**" if package.security else "")


def _prose(text: str) -> str:
    return markdown(one_line(text, LINE_LIMIT), LINE_LIMIT)


def _verbatim(document: str) -> str:
    indented = ((line[: len(line) - len(line.lstrip(" "))], line) for line in document.split("\n"))
    return "\n".join(indent + one_line(line, LINE_LIMIT) for indent, line in indented).rstrip("\n")


def _excerpt(log: str) -> str:
    """Return the end of a log; what was cut off before it is an ellipsis on a line of its own."""
    end = log[-EXCERPT_LIMIT:]
    lines = [one_line(line, LINE_LIMIT) for line in end.splitlines()]
    if len(end) < len(log):
        # The first line may have begun before; it is left out, unless there is no other.
        lines = ["…", *(lines[1:] or lines)]
    return "\n".join(lines)
