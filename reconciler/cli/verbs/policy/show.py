"""``policy show``: what holds for one host, and where each value is written."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping

from reconciler.cli.showing.table import table
from reconciler.cli.showing.terminal import note
from reconciler.cli.verbs.policy.check import examine
from reconciler.cli.verbs.policy.described import left_open
from reconciler.errors import REJECTED
from reconciler.policy.documents import AnyDocument
from reconciler.policy.load import Placed
from reconciler.policy.match import HostFacts
from reconciler.policy.problems import dotted, visible
from reconciler.policy.resolve import Effective, Resolver, flat_settings, shown_value
from reconciler.policy.unfollowed import unfollowed

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


def _record(host: HostFacts, labels: Mapping[str, str], effective: Effective) -> dict[str, object]:
    return {
        "host": host.name,
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


def _lines(host: HostFacts, labels: Mapping[str, str], effective: Effective) -> Iterator[str]:
    yield host.name
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
        (key, shown_value(value), str(effective.origins.get(key, "default")))
        for key, value in flat_settings(effective.settings)
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
