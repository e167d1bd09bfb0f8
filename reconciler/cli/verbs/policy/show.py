"""``policy show``: what holds for one host, and where each value is written."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from reconciler.cli.showing.table import table
from reconciler.cli.showing.terminal import note
from reconciler.cli.verbs.policy.check import examine
from reconciler.cli.verbs.policy.described import facts, left_open
from reconciler.errors import REJECTED, Misuse
from reconciler.policy.documents import DEFAULTS, AnyDocument
from reconciler.policy.load import Placed
from reconciler.policy.match import HostFacts
from reconciler.policy.problems import dotted, quoted, visible
from reconciler.policy.resolve import Effective, Resolver, flat_settings, shown_value
from reconciler.policy.unfollowed import unfollowed
from reconciler.policy.values import nearest
from reconciler.records import dataclass

_WIDEST = 40
"""Cells of a value, before its origin stands further right than the others."""


def show(host: HostFacts, folder: str, rev: str | None, form: str) -> int:
    """Print the settings in force for ``host``.

    Returns:
        0, or 3 where the repository is invalid; its problems are then on standard error.

    Raises:
        Misuse: There is no such folder or revision.
        Stalled: It cannot be read.
    """
    checked = examine(folder, rev)
    if checked.revision is None:
        sys.stderr.writelines(f"{problem}\n" for problem in checked.problems)
        return REJECTED
    if not checked.revision.policies:
        sys.stderr.write(f"{folder} holds no Policy: everything below is a default\n")
    resolver = Resolver(checked.revision)
    effective = resolver.resolve(host)
    labels = resolver.labels_of(host)
    if form == "json":
        sys.stdout.write(json.dumps(_record(host, labels, effective), indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{visible(line)}\n" for line in _lines(host, labels, effective))
    note(*left_open(checked.revision, host))
    return 0


@dataclass(frozen=True, slots=True)
class AllOptions:
    """What ``policy show --all`` is told; its help says what each is."""

    all: bool
    host: str | None
    folder: str
    rev: str | None
    setting: Sequence[str]
    label: Sequence[str]
    os: str
    manager: str
    guest_of: str | None
    guest_name: str | None
    format: str


def show_all(options: AllOptions) -> int:
    """Print a table of all hosts with a Host document and their settings.

    Returns:
        0, or 3 where the repository is invalid; its problems are then on standard error.

    Raises:
        Misuse: There is no such folder, revision or setting, or arguments do not go together.
        Stalled: It cannot be read.
    """
    keys = _columns(options)
    folder = options.folder if options.host is None else options.host  # The only word that is no option.
    checked = examine(folder, options.rev)
    if checked.revision is None:
        sys.stderr.writelines(f"{problem}\n" for problem in checked.problems)
        return REJECTED
    resolver = Resolver(checked.revision)
    hosts = [facts(one.value.name, (), options.os, options.manager) for one in checked.revision.hosts]
    found = [(host, resolver.resolve(host)) for host in hosts]
    if options.format == "json":
        records = [_record(host, resolver.labels_of(host), effective) for host, effective in found]
        sys.stdout.write(json.dumps(records, indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{visible(line)}\n" for line in _table(found, keys))
    if not hosts:
        note("there is no Host document: name a host instead of --all, with its labels, --os and --manager")
    note(*(line for host in hosts[:1] for line in left_open(checked.revision, host)))
    return 0


def _columns(options: AllOptions) -> Sequence[str]:
    """Return the settings that are asked for, or those that people look for first."""
    if not options.all:
        raise Misuse("policy show needs a host", "name one, or give --all for those with a Host document")
    if options.host is not None and options.folder != ".":
        raise Misuse("--all and a host do not go together", "leave one of them out")
    if options.label or options.guest_of or options.guest_name:
        raise Misuse(
            "--label, --guest-of and --guest-name describe one host", "leave them out, or name that host"
        )
    known = [key for key, _ in flat_settings(DEFAULTS)]
    for key in options.setting:
        if key not in known:
            raise Misuse(
                f"there is no setting {quoted(key)}", nearest(key, known) or f"known: {', '.join(known)}"
            )
    return options.setting or ("action", "updates", "schedule", "approval", "reboot.when")


def _table(found: Sequence[tuple[HostFacts, Effective]], keys: Sequence[str]) -> Iterator[str]:
    rows = []
    for host, effective in found:
        values = dict(flat_settings(effective.settings))
        policies = ", ".join(name for name, _ in effective.policies) or "-"
        cells = (shown_value(values.get(key)) for key in keys)
        rows.append((host.target, *cells, policies, ", ".join(_remarks(effective)) or "-"))
    heads = ("HOST", *(key.upper() for key in keys), "POLICIES", "REMARKS")
    if rows:
        yield from table(rows, heads=heads, indent="", widest=_WIDEST)


def _remarks(effective: Effective) -> Iterator[str]:
    """Yield what somebody who reads the table should not miss of a host."""
    yield from (f"{one.key} is ambiguous" for one in effective.ambiguities)
    held = [dotted(one.key) for one in unfollowed(effective.settings) if one.holds]
    if held:
        yield f"{' and '.join(held)} keeps everything from being applied"
    elif effective.settings.action == "apply" and not effective.schedules:
        yield "no schedule, so nothing is applied"
    if effective.freezes:
        yield f"frozen at times by {', '.join(one.value.name for one in effective.freezes)}"
    if effective.exceptions:
        yield f"exceptions {', '.join(one.value.name for one in effective.exceptions)}"


def _record(host: HostFacts, labels: Mapping[str, str], effective: Effective) -> dict[str, object]:
    return {
        "host": host.target,
        "policy_commit": effective.commit,
        "labels": dict(sorted(labels.items())),
        "policies": [{"name": name, "origin": str(origin)} for name, origin in effective.policies],
        "settings": effective.settings.model_dump(mode="json"),
        "origins": {key: str(origin) for key, origin in effective.origins.items()},
        "exceptions": _named(effective.exceptions),
        "freezes": _named(effective.freezes),
        "approvals": _named(effective.approvals),
        "ambiguities": [{"key": one.key, "message": one.message} for one in effective.ambiguities],
    }


def _named(placed: Iterable[Placed[AnyDocument]]) -> list[dict[str, str]]:
    return [{"name": one.value.name, "origin": str(one.origin)} for one in placed]


def _rows(key: str, value: object, origin: str) -> Iterator[tuple[str, str, str]]:
    """Yield the rows of a setting: one for each route of messages, which are long, and one for all else."""
    routes = [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
    if key != "notify" or not routes:
        yield key, shown_value(value), origin
    for number, route in enumerate(routes if key == "notify" else ()):
        told = f"to {route['to']}: {', '.join(route['on'])}"
        yield (key, told, origin) if not number else ("", told, "")


def _lines(host: HostFacts, labels: Mapping[str, str], effective: Effective) -> Iterator[str]:
    yield host.target + (f" ({host.called})" if host.called else "")
    known = " ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    yield f"labels: {known or 'none'}"
    chain = ", ".join(f"{name} ({origin})" for name, origin in effective.policies)
    yield f"policies, strongest first: {chain or 'none'}"
    for one in effective.ambiguities:
        yield f"AMBIGUOUS {one.key}: {one.message}"
    for each in unfollowed(effective.settings):
        yield f"{'NOTHING IS APPLIED' if each.holds else 'NO EFFECT'} {dotted(each.key)}: {each.message}"
    yield ""
    rows = [
        row
        for key, value in flat_settings(effective.settings)
        for row in _rows(key, value, str(effective.origins.get(key, "default")))
    ]
    yield from table(rows, indent="", widest=_WIDEST)
    for title, placed in (
        ("exceptions", effective.exceptions),
        ("freezes", effective.freezes),
        ("approvals", effective.approvals),
    ):
        if placed:
            yield ""
            yield f"{title}:"
            yield from (f"  {one.value.name} ({one.origin})" for one in placed)
