"""``patchledger doctor``: look at all that a host needs, and say what is wrong and what to do.

Nothing is changed.
"""

import sys
from pathlib import Path

from reconciler.cli.showing.table import wrapped
from reconciler.cli.showing.terminal import Format, colour, print_json, width
from reconciler.cli.verbs.doctor_checks import CheckFinding, Examined, Level, examine, read, redacted
from reconciler.errors import DONE, worst
from reconciler.host.config import Config
from reconciler.notify import redact, secrets_of
from reconciler.planning.text.wording import plural
from reconciler.policy.problems import visible

_SHOWN = {Level.OK: "ok", Level.UNKNOWN: "?", Level.WARNING: "warning", Level.PROBLEM: "PROBLEM"}
_COLOURS = {Level.OK: "32", Level.UNKNOWN: "2", Level.WARNING: "33", Level.PROBLEM: "1;31"}
_MARGIN = 22  # columns before a message
_SHORTEST_SECRET = 4  # shorter values are words that stand everywhere
_NO_SECRETS = frozenset({"localhost", "127.0.0.1"})


def run(config_file: str, form: Format, *, offline: bool) -> int:
    """Print what was found, and return 0, or the exit code of the worst problem."""
    examined = read(Path(config_file).absolute())
    secrets = _secrets(examined)
    findings: list[CheckFinding] = []
    is_text = form == "text"
    for finding in examine(examined, offline=offline):  # as they are made, since servers may take their time
        shown = redacted(finding, lambda text: redact(text, secrets))
        findings.append(shown)
        if is_text:
            sys.stdout.write(_line(shown, columns=width(), coloured=colour()))
            sys.stdout.flush()
    if is_text:
        sys.stdout.write(f"\n{_count(findings)}\n")
    else:
        print_json(_document(examined.config, findings))
    return worst([DONE, *(finding.code for finding in findings)])


def _secrets(examined: Examined) -> frozenset[str]:
    """Return what must not be shown: addresses of notifiers, and values of the configured environment."""
    config = examined.config
    if config is None:
        return frozenset()
    known = frozenset(value for value in config.secrets if len(value) >= _SHORTEST_SECRET)
    addresses = [held.address for held in examined.notifiers.values() if held.address is not None]
    # A notifier may be called like its user or its service.
    return known.union(*map(secrets_of, addresses)) - _NO_SECRETS - config.notifiers.keys()


def _line(finding: CheckFinding, *, columns: int, coloured: bool) -> str:
    level = f"{_SHOWN[finding.level]:<7}"
    if coloured:
        level = f"\x1b[{_COLOURS[finding.level]}m{level}\x1b[0m"
    texts = _visible_lines(finding.message)
    if finding.hint and finding.level is not Level.OK:
        texts.append(f"hint: {visible(finding.hint)}")
    lines = [line for text in texts for line in wrapped(text, max(40, columns - _MARGIN), hang="")]
    head, *rest = lines
    return f"{level} {finding.check:<13} {head}\n" + "".join(f"{'':{_MARGIN}}{line}\n" for line in rest)


def _visible_lines(text: str) -> list[str]:
    """Return the lines of a text, each with nothing that could move a cursor."""
    return [visible(line) for line in text.splitlines()] or [""]


def _count(findings: list[CheckFinding]) -> str:
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    said = [
        plural(counts[level], noun)
        for level, noun in ((Level.PROBLEM, "problem"), (Level.WARNING, "warning"))
        if counts[level]
    ]
    return " and ".join(said) if said else "All is well."


def _document(config: Config | None, findings: list[CheckFinding]) -> dict[str, object]:
    return {
        "host": None if config is None else config.host,
        "findings": [
            {"check": one.check, "level": one.level.value, "message": one.message, "hint": one.hint}
            for one in findings
        ],
    }
