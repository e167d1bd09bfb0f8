"""What an execution left in its folder, read when it ended or long after, by whoever is there then."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from reconciler import drain
from reconciler.errors import Stalled
from reconciler.managers.sections import Sections, parse_sections, sentence_of
from reconciler.planning.facts import exit_codes as codes
from reconciler.planning.facts.observation import Rival
from reconciler.planning.facts.package import Mention
from reconciler.planning.runs.execution import Execution, FailedPackage
from reconciler.planning.text.untrusted import redacted

OUT = "out"
"""File with the script's standard output."""
ERR = "err"
"""File with its standard error."""

_ACTS = ("apply", "download", "repair")

_TROUBLE = re.compile(
    r"\s*(E:|W:|Err:|error:|Error:?\b|Problem\b|Transaction failed:|- installing package|dpkg: error|fatal\b"
    r"|Can't|Cannot)",
    re.IGNORECASE,
)


def read_execution(folder: Path) -> Execution:
    """Read what the patch script of an execution printed.

    Args:
        folder: Of the execution.

    Returns:
        What it came to; not finished, where its output is missing, cut or of another form than documented.
        Nothing is guessed from it then: what happened is seen by observing the machine.
    """
    try:
        # A whole at once, so that none of what is taken out of it can name a password.
        text = redacted((folder / OUT).read_bytes().decode("utf-8", "replace"))
        ended = datetime.fromtimestamp((folder / OUT).stat().st_mtime, UTC)
        sections = parse_sections(text)
    except (OSError, Stalled) as error:
        said = _tail(folder / ERR) or str(error)
        return Execution(codes.OTHER, message=f"it did not end by itself: {said}", is_finished=False)
    return replace(_execution(sections), ended=ended)


def _execution(sections: Sections) -> Execution:
    native = next((sections.by_name[name].code for name in _ACTS if name in sections.by_name), 0)
    rivals = _rivals(sections)
    failed = tuple(
        FailedPackage(name, message, tuple(rivals[name]))
        for name, _, message in (line.partition("\t") for line in sections.get("failed").lines)
    )
    failed += tuple(_unfetched(sections))
    return Execution(
        exit_code=sections.exit_code,
        native_code=native,
        message="" if sections.exit_code in codes.WELL else _message(sections),
        failed=failed,
        conffiles=tuple(sorted(set(sections.get("conffiles").lines))),
    )


def _unfetched(sections: Sections) -> Iterator[FailedPackage]:
    """Read which packages could not be fetched."""
    for line in sections.get("unfetched").lines:
        name, _, rest = line.partition("\t")
        kind, _, message = rest.partition("\t")
        yield FailedPackage(name, message, lacks="file" if kind == "file" else "server")


def _rivals(sections: Sections) -> defaultdict[str, list[Rival]]:
    """Read what packages failed beside, by what they are called."""
    found: defaultdict[str, list[Rival]] = defaultdict(list)
    for line in sections.get("rivals").lines:
        name, _, rest = line.partition("\t")
        other, _, version = rest.partition("\t")
        mention = Mention.parse(other)
        found[name].append(Rival(mention.name, mention.arch, version))
    return found


def _message(sections: Sections) -> str:
    """Return the words that tell best why it did not end well."""
    if missing := sections.get("missing").lines:
        return f"there is no {missing[0]} on this machine"
    said = tuple(line for name in ("question", "refused", "work") for line in sections.get(name).errors)
    if not said:
        lines = [line for section in sections.by_name.values() for line in (*section.lines, *section.errors)]
        said = tuple(_troubles(lines))
    words = sentence_of(said)
    return words or f"it ended with {sections.exit_code}"


def _troubles(lines: Iterable[str]) -> Iterator[str]:
    """Return the lines that tell of trouble, each with the causes that are indented below it."""
    goes_on = False
    for line in lines:
        is_trouble = bool(_TROUBLE.match(line))
        goes_on = line.rstrip().endswith(":") if is_trouble else goes_on and line[:1] == " "
        if is_trouble or goes_on:
            yield line


def _tail(path: Path) -> str:
    """Return the last words, and how a guest was left."""
    try:
        said, ending = drain.read_ending(path.read_bytes()[-2000:])
    except OSError:
        return ""
    lines = said.decode("utf-8", "replace").strip().split("\n")
    words = (redacted(lines[-1].strip()), "" if ending is None else ending.words)
    return "; ".join(filter(None, words))
