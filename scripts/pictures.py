"""Print what the documentation shows: ``impact`` and ``proposal`` in Markdown, and mails in HTML.

They are of a made-up fleet, and say what the program says.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from reconciler.planning.facts.observation import Exchange, RebootNeed
from reconciler.planning.fleet.approving import Terms
from reconciler.planning.fleet.proposal_text import body_of_proposal
from reconciler.planning.fleet.rows import Heard, Row, row_of
from reconciler.planning.fleet.waiting import WaitingPlan, WaitingTarget
from reconciler.planning.gates.recording import Recording, record
from reconciler.planning.impact.comparison import Comparison
from reconciler.planning.impact.effect import Impact
from reconciler.planning.impact.markdown import comment
from reconciler.planning.impact.sides import Side, side_of
from reconciler.planning.notices.events import (
    Event,
    Expiring,
    LastRun,
    PastRun,
    Snapshot,
    Whereabouts,
    continued,
    events,
)
from reconciler.planning.notices.message import PackageLine
from reconciler.planning.reporting.document import PlannedMove
from reconciler.planning.reporting.report import digest_of_planned
from reconciler.planning.resolving.dialogue import unrestricted
from reconciler.planning.runs.record import RunResult
from reconciler.policy.resolve import Effective, Resolver
from tests.fakes import Build, PackageWorld, converse
from tests.policy.trees import files
from tests.report_samples import FACTS, INPUTS, report_of

_NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
_BASE, _HEAD = "4f66681ce0", "97ad3b1f20"
_TREE = {
    "policies/base.yaml": "kind: Policy\nname: base\naction: apply\nschedule: [sunday]\n",
    "policies/production.yaml": (
        "kind: Policy\nname: production\npriority: 50\nmatch: {labels: {env: production}}\n"
        "approval: required\n"
    ),
    "schedules/sunday.yaml": (
        "kind: Schedule\nname: sunday\ntimezone: UTC\nwindows:\n"
        '  - {start: "Sun 02:00", duration: 3h}\n  - {start: "Wed 22:00", duration: 2h}\n'
    ),
}
_CHANGE = {
    "schedules/sunday.yaml": (
        'kind: Schedule\nname: sunday\ntimezone: UTC\nwindows:\n  - {start: "Sun 03:00", duration: 3h}\n'
    ),
    "exceptions/openssl.yaml": (
        "kind: Exception\nname: openssl-handshakes\npackages: [openssl]\naction: hold\nowner: platform\n"
        "match: {labels: {role: web}}\nreason: handshakes fail with old clients\nexpires: 2026-12-31\n"
    ),
    "freezes/year-end.yaml": (
        "kind: Freeze\nname: year-end\nmatch: {labels: {role: db}}\nfrom: 2026-11-30\nuntil: 2027-01-04\n"
        "timezone: Europe/Berlin\nreason: books are closed\n"
    ),
    "policies/kiosks.yaml": (
        "kind: Policy\nname: kiosks\npriority: 60\nmatch: {labels: {env: kisok}}\nupdates: security\n"
    ),
}
_WORLD = PackageWorld(
    (
        Build("bash", "5.2.15-2+b8"),
        Build("libssl3", "3.0.17-1", security=True),
        Build("nginx", "1.22.1-9+deb12u2", (("libssl3", ""),)),
        Build("openssl", "3.0.17-1", (("libssl3", "3.0.17-1"),), security=True),
        Build("tzdata", "2026b-0+deb12u1"),
    ),
    {
        "bash": "5.2.15-2+b7",
        "libssl3": "3.0.16-1",
        "nginx": "1.22.1-9",
        "openssl": "3.0.16-1",
        "tzdata": "2026a-0+deb12u1",
    },
)


def _row(name: str, **labels: str) -> Row:
    heard = Heard("c" * 40, "d" * 40, "SHA256:key", _BASE, _NOW - timedelta(minutes=25 + len(name)))
    found = row_of(f"hosts/{name}", report_of(target=name), None, heard)
    return replace(found, labels=labels, own_labels=labels, resolution=f"sha256:{labels['role']}")


def _fleet() -> list[Row]:
    web = [_row(f"web-{number:02}", env="production", role="web") for number in range(1, 25)]
    databases = [_row(f"db-{number:02}", env="production", role="db") for number in range(1, 7)]
    return [*web, *databases, *(_row(f"build-{number}", env="test", role="build") for number in range(1, 4))]


def _side(tree: Mapping[str, str], name: str, commit: str) -> Side:
    return side_of(files(tree), name, commit)


def _recording(policy: Effective) -> Recording:
    seen = _WORLD.observe(_NOW)
    exchanges = converse(_WORLD, seen, policy, _NOW)
    made = record(seen, exchanges, INPUTS, FACTS, program="patchledger 0.1.0", now=_NOW)
    asked = unrestricted(seen, policy, exchanges, _NOW)
    return replace(made, unrestricted=tuple(Exchange(one, _WORLD.answer(one)) for one in asked))


def impact() -> Impact:
    """Return what a change does that moves windows, holds a package, freezes databases, and has a mistake."""
    base, head = _side(_TREE, "main", _BASE), _side({**_TREE, **_CHANGE}, "later-windows", _HEAD)
    fleet = _fleet()
    compared = Comparison(base, head, fleet, _NOW, _NOW + timedelta(days=30))
    resolver = Resolver(base.revision) if base.revision is not None else None
    for target in compared.samples():
        row = next(one for one in fleet if one.target == target)
        if resolver is not None:
            host = replace(FACTS, name=target, labels=row.labels)
            compared.judge(target, _recording(resolver.of_class(resolver.class_of(host))))
    return compared.impact("reports")


def proposal() -> str:
    """Return the text of the pull request of a plan that twenty-four hosts wait to have approved."""
    moves = tuple(
        PlannedMove("upgrade", build.name, "amd64", _WORLD.installed[build.name], build.version, "")
        for build in _WORLD.archive
    )
    windows = (datetime(2026, 12, 2, 22, tzinfo=UTC), datetime(2026, 12, 6, 2, tzinfo=UTC))
    targets = tuple(
        WaitingTarget(row, windows[0], windows) for row in _fleet() if row.labels["role"] == "web"
    )
    security = frozenset(f"{one.name}:amd64" for one in _WORLD.archive if one.security)
    digest = digest_of_planned(replace(report_of().plan, transaction=moves))
    return body_of_proposal(WaitingPlan(digest, moves, security, targets), Terms("2026-12-14", "UTC", ""))


def _lines(*, of_security: bool = False) -> tuple[PackageLine, ...]:
    return tuple(
        PackageLine(one.name, "amd64", _WORLD.installed[one.name], one.version, security=one.security)
        for one in _WORLD.archive
        if one.security or not of_security
    )


_SUNDAY = datetime(2026, 11, 29, 1, tzinfo=UTC)
_WEEK = timedelta(days=7)
_PLAN = "sha256:" + "cd6f35493b46" * 5 + "0123"
_WAITS = Snapshot(
    at=_SUNDAY - timedelta(hours=1),
    target="web-01",
    mode="apply",
    outcome="window",
    reason="outside the windows of sunday",
    policy_commit="6f7bcbfe4817c0ffee",
    digest=_PLAN,
    planned=_lines(),
    pending=2,
    reboot=RebootNeed.NOT_REQUIRED,
    boot_id="b",
    next_windows=(_SUNDAY, _SUNDAY + _WEEK),
    place=Whereabouts("Europe/Berlin", "hosts/web-01", "632922679ae9", "main"),
)


def mail_applied() -> str:
    """Return the mail about a run that did what was planned."""
    now = _SUNDAY + timedelta(minutes=6)
    done = replace(
        _WAITS,
        at=now,
        outcome="nothing",
        reason="no source offers anything newer",
        planned=(),
        digest="sha256:" + "0" * 64,
        open_until=_SUNDAY + timedelta(hours=3),
        next_windows=(_SUNDAY + _WEEK,),
        place=replace(_WAITS.place, report="9ab31f00c0de"),
        last_run=LastRun("20261129T010412Z-cd6f35493b46", RunResult.APPLIED, _PLAN, packages=_lines()),
    )
    return _mail(_WAITS, done, Event.APPLIED)


def mail_digest() -> str:
    """Return the digest of a week."""
    now = datetime(2026, 11, 30, 0, 5, tzinfo=UTC)
    current = replace(
        _WAITS,
        at=now,
        planned=_lines(of_security=True),
        next_windows=tuple(_SUNDAY + number * _WEEK for number in (1, 2, 3)),
        recent=(
            PastRun(_SUNDAY - timedelta(days=4), "failed", 0, 0, "the mirror does not answer"),
            PastRun(_SUNDAY, "applied", 5, 2),
        ),
        waits=(
            "exception 'nginx-http2' holds nginx until Sun 2026-12-06 00:00 Europe/Berlin",
            "grub-pc 2.06-13+deb12u1 was first seen on Thu 2026-11-26 and is old enough on Thu 2026-12-03",
        ),
        expiring=(
            Expiring(
                "nginx-http2", "2026-12-05", "hold", ("nginx*",), "HTTP/2 regression, web-team, CHG-1234"
            ),
        ),
    )
    return _mail(replace(current, at=now - timedelta(minutes=15)), current, Event.WEEKLY_DIGEST)


def _mail(previous: Snapshot, current: Snapshot, event: Event) -> str:
    found = events(previous, continued(previous, current), current.at)
    return next(one.message.html for one in found if one.event is event)


if __name__ == "__main__":
    texts = {
        "impact": lambda: comment(impact()),
        "proposal": proposal,
        "mail-applied": mail_applied,
        "mail-digest": mail_digest,
    }
    sys.stdout.write(texts[sys.argv[1]]())
