"""The manual pages: patchledger(1) from the argument parser, patchledger-config(5) from the JSON Schema."""

import argparse
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler import __version__
from reconciler.resources import locate

_WIDTH = 66  # of the source's lines before escapes; mandoc(1) asks for less than 80

_FILES = {
    "/etc/patchledger/config.yaml": "This host's configuration, see patchledger-config(5).",
    "/etc/patchledger/hooks": "The host's own hooks: pre.d, post.d, pre-reboot.d and health.d.",
    "/var/lib/patchledger": "State: mirrors, the queue of reports, caches, the journal of a run.",
    "/var/log/patchledger": "Logs.",
    "/usr/share/doc/patchledger/examples": "Example policies.",
}


def commands_page(parser: argparse.ArgumentParser, date: str) -> str:
    """Return patchledger(1) as roff, in the macros of man(7); ``date`` stands at its foot."""
    status = re.findall(r"(\d+) ([^;]+)", (parser.epilog or "").partition(":")[2])
    return _page(
        _title(parser.prog, 1, date, "GitOps for OS patching"),
        ".SH SYNOPSIS",
        _usage(parser),
        ".SH DESCRIPTION",
        _text(parser.description or ""),
        ".SH OPTIONS",
        *_arguments(parser),
        ".SH COMMANDS",
        *(line for command in _commands(parser) for line in _command(*command)),
        ".SH EXIT STATUS",
        *(line for code, meaning in status for line in _item(_bold(code), meaning)),
        ".SH ENVIRONMENT",
        *_item(_bold("NO_COLOR"), "Print without colours, also on a terminal."),
        ".SH FILES",
        *(line for path, meaning in _FILES.items() for line in _item(_italic(path), meaning)),
        ".SH SEE ALSO",
        ".BR patchledger\\-config (5),",
        ".BR git (1),",
        ".BR systemd.timer (5)",
    )


def config_page(date: str) -> str:
    """Return patchledger-config(5) as roff, in the macros of man(7)."""
    schema = json.loads(locate("schemas/config.schema.json").read_text(encoding="utf-8"))
    return _page(
        _title("patchledger-config", 5, date, "configuration of a host for patchledger"),
        ".SH SYNOPSIS",
        _italic("/etc/patchledger/config.yaml"),
        ".SH DESCRIPTION",
        _text(
            "A YAML file that says where policy comes from and where reports go. It must belong to root, or "
            "to the user who runs patchledger, and others must not be able to write to it. Unknown keys are "
            "errors. Paths are absolute; durations are written 90s, 30m, 6h, 14d, 2w or 1h30m."
        ),
        ".SH KEYS",
        *_keys(schema, schema["$defs"], "", {}),
        ".SH EXAMPLE",
        ".EX",
        "host: web\\-01",
        "labels: {env: production, role: web}",
        'policy: {remote: "ssh://git@git.example.org/policy.git", ref: main}',
        'reports: {remote: "ssh://git@git.example.org/reports.git"}',
        "git: {identity: /etc/patchledger/deploy_key}",
        ".EE",
        ".SH SEE ALSO",
        ".BR patchledger (1)",
    )


# --- the argument parser ---


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str, list[str]]]:
    """Yield every command that can be run: its parser, its short help and its other names."""
    for action in _actions(parser):
        if not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no public name for it
            continue
        for listed in action._choices_actions:  # noqa: SLF001 - the same: help stands nowhere else
            command = action.choices[listed.dest]
            below = list(_commands(command))
            same = [name for name, one in action.choices.items() if one is command and name != listed.dest]
            yield from below or [(command, listed.help or "", same)]


def _command(parser: argparse.ArgumentParser, summary: str, aliases: list[str]) -> Iterator[str]:
    yield f".SS {_roff(parser.prog.partition(' ')[2])}"
    yield _usage(parser)
    yield ".PP"
    yield _text(parser.description or _sentence(summary))
    if aliases:
        yield ".PP"
        yield _text(f"Also called: {', '.join(aliases)}.")
    yield from _arguments(parser)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):  # noqa: SLF001 - the same
            continue
        names = ", ".join(map(_bold, action.option_strings))
        value = _value(action)
        text = (action.help or "").replace("%(prog)s", parser.prog).replace("%%", "%")
        yield from _item(f"{names} {_italic(value)}".strip() if value else names, _sentence(text))


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no public list of what was added


def _usage(parser: argparse.ArgumentParser) -> str:
    # Without this prefix argparse fills the lines by itself; the reader's terminal has its own width.
    usage = " ".join(parser.format_usage().removeprefix("usage:").split()).replace(" [-h]", "")
    name = parser.prog
    return f"{_bold(name)} {_roff(usage.removeprefix(name).strip())}".strip()


# --- the schema ---


def _keys(
    section: Mapping[str, Any], known: Mapping[str, Any], prefix: str, defaults: Mapping[str, Any]
) -> Iterator[str]:
    """Describe the keys of a section; ``defaults`` are those that its parent names, as people write them."""
    for name, value in section["properties"].items():
        default = defaults.get(name, value.get("default"))
        if "$ref" in value:
            yield from _keys(_followed(value, known), known, f"{prefix}{name}.", default or {})
        elif "$ref" in (each := value.get("additionalProperties") or {}):
            yield from _keys(_followed(each, known), known, f"{prefix}{name}.NAME.", {})
        else:
            required = " Required." if name in section.get("required", ()) else ""
            shown = f" Default: {default}." if default not in (None, {}, False) else ""
            text = value.get("description", "").rstrip(".") + "."
            yield from _item(_bold(f"{prefix}{name}"), f"{text}{required}{shown}")


def _followed(reference: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = known[reference["$ref"].rpartition("/")[2]]
    return found


# --- roff ---


def _page(*lines: str) -> str:
    return "\n".join(line for line in lines if line) + "\n"


def _title(name: str, section: int, date: str, summary: str) -> str:
    # A date is no text: escaped, mandoc(1) would not know it for one.
    return (
        f'.TH {_roff(name.upper())} {section} {date} "patchledger {__version__}"\n'
        f".SH NAME\n{_roff(name)} \\- {_roff(summary)}"
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def _item(term: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield term
    yield _text(text)


def _text(text: str) -> str:
    """Return a paragraph, filled; what stands between two backquotes is bold."""
    lines = textwrap.wrap(" ".join(text.split()), _WIDTH, break_on_hyphens=False, break_long_words=False)
    filled = "\n".join(map(_roff, lines))
    return re.sub(r"``?([^`]+)``?", r"\\fB\1\\fR", filled)


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def _bold(text: str) -> str:
    return f"\\fB{_roff(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_roff(text)}\\fR"
