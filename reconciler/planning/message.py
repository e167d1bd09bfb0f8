"""The words of a message: a title and the same account as plain text and as Markdown, of bounded length.

Whatever comes from packages, hosts or git is untrusted here and written through
:mod:`reconciler.planning.untrusted`; every list and text has an end.
"""

from dataclasses import dataclass

from reconciler.planning.untrusted import markdown, markdown_code, one_line

TITLE_LIMIT = 160
"""Characters of a title; longer ones end in an ellipsis."""
LINE_LIMIT = 400
"""Characters of one untrusted sentence or value."""
PACKAGES_LIMIT = 60
"""Packages that are listed; the rest is counted."""
EXCERPT_LIMIT = 4000
"""Characters of a log that are shown: its end."""


@dataclass(frozen=True, slots=True)
class PackageLine:
    """One package of a list; ``old`` is ``None`` for an install, ``new`` for a removal."""

    name: str
    arch: str
    old: str | None
    new: str | None
    security: bool = False


@dataclass(frozen=True, slots=True)
class Contents:
    """What a message tells below its title.

    Attributes:
        lines: Sentences that belong to this message only.
        facts: Label and value, in this order.
        packages: Listed under ``packages_title``.
        log_excerpt: Its end is shown; empty for none.
    """

    lines: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    packages_title: str
    packages: tuple[PackageLine, ...]
    log_excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A finished message: one line, then the same account for plain readers and for Markdown readers."""

    title: str
    text: str
    markdown: str


def compose(target: str, headline: str, contents: Contents) -> Message:
    """Write the message about ``target``.

    Returns:
        A title ``[patchledger] target: headline`` of at most :data:`TITLE_LIMIT` characters on one line, and
        both bodies. Their length is bounded by the limits of this module and the number of ``lines`` shown,
        at most 20.
    """
    title = one_line(f"[patchledger] {target}: {headline}", TITLE_LIMIT)
    return Message(title, _text(contents), _markdown(contents))


def _text(contents: Contents) -> str:
    width = max((len(label) for label, _ in contents.facts), default=0) + 1
    parts = ["\n".join(one_line(line, LINE_LIMIT) for line in _bounded(contents.lines))]
    parts.append(
        "\n".join(f"{label + ':':<{width}} {one_line(value, LINE_LIMIT)}" for label, value in contents.facts)
    )
    if contents.packages:
        shown = [f"- {_package(each)}" for each in contents.packages[:PACKAGES_LIMIT]]
        parts.append("\n".join([f"{contents.packages_title}:", *shown, *_more(contents)]))
    if contents.log_excerpt:
        parts.append("End of the log:\n" + _excerpt(contents.log_excerpt))
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown(contents: Contents) -> str:
    parts = ["\n\n".join(_prose(line) for line in _bounded(contents.lines))]
    parts.append("\n".join(f"- **{label}:** {_prose(value)}" for label, value in contents.facts))
    if contents.packages:
        shown = [f"- {_package_markdown(each)}" for each in contents.packages[:PACKAGES_LIMIT]]
        more = [f"- {line}" for line in _more(contents)]
        parts.append("\n".join([f"**{contents.packages_title}:**", "", *shown, *more]))
    if contents.log_excerpt:
        # Indented, not fenced: no text can end an indented block from within.
        indented = "\n".join(f"    {line}" for line in _excerpt(contents.log_excerpt).splitlines())
        parts.append("**End of the log:**\n\n" + indented)
    return "\n\n".join(part for part in parts if part) + "\n"


def _bounded(lines: tuple[str, ...], limit: int = 20) -> tuple[str, ...]:
    return lines if len(lines) <= limit else (*lines[:limit], f"and {len(lines) - limit} more")


def _more(contents: Contents) -> list[str]:
    hidden = len(contents.packages) - PACKAGES_LIMIT
    return [f"and {hidden} more"] if hidden > 0 else []


def _versions(package: PackageLine) -> tuple[str, str]:
    return package.old or "(new)", package.new or "(removed)"


def _package(package: PackageLine) -> str:
    old, new = _versions(package)
    line = f"{package.name}:{package.arch} {old} -> {new}"
    return one_line(line, LINE_LIMIT) + (" [security]" if package.security else "")


def _package_markdown(package: PackageLine) -> str:
    old, new = _versions(package)
    name = markdown_code(f"{package.name}:{package.arch}")
    versions = f"{markdown_code(old)} → {markdown_code(new)}"
    return f"{name} {versions}" + (" **security**" if package.security else "")


def _prose(text: str) -> str:
    return markdown(one_line(text, LINE_LIMIT), LINE_LIMIT)


def _excerpt(log: str) -> str:
    lines = [one_line(line, LINE_LIMIT) for line in log[-EXCERPT_LIMIT:].splitlines()]
    return "\n".join(lines)
