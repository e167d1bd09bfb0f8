"""A host that writes anything at all in the place of anything: no check of an audit breaks over it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any

from reconciler.errors import ReconcilerError
from reconciler.gitops.revision import read_revision
from reconciler.managers.scripts import manifest
from reconciler.planning.audit.audit import audit
from reconciler.planning.audit.story import Link, PolicyLine, RunFile, Story, Unread
from reconciler.planning.gates.recording import Recording, read_vouched
from reconciler.planning.reporting.reader import read_report, read_run
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.text import canonical
from reconciler.policy.enrolment import Standing
from reconciler.policy.load import Revision, load
from reconciler.policy.resolve import Resolver
from tests.e2e.site import BEFORE, git
from tests.e2e.test_audit_forged import ANNOUNCES, CLOSING, TELLS, told
from tests.labs.audited import Audited

__all__ = ["told"]

ODD: tuple[Any, ...] = ("", "x", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", -1, 2**63, 10**400, None, [])
OF_TIME = ODD[2:4]
"""Of a recording, whose places are many."""
Path = tuple[str | int, ...]


def places_in(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield where something else could stand in a document; of many that are alike, the first."""
    yield path
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, one in inner:
        yield from places_in(one, (*path, key))


def with_other(document: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    copy: Any = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = with_other(copy[path[0]], path[1:], value)
    return copy


def altered(document: Any, odd: tuple[object, ...]) -> Iterator[bytes]:
    for path in places_in(document):
        for one in odd:
            yield canonical.to_bytes(with_other(document, path, one))


def story_of(world: Audited) -> tuple[Story, Any, Any]:
    """Return what a host told, with the documents that its run was announced and told by."""
    reports, policy = world.site.reports, world.site.policy
    commits = world.commits()

    def document(number: int, name: str) -> bytes:
        return git(reports, "show", f"{commits[number]}:{name}").encode() + b"\n"

    @lru_cache
    def resolver(commit: str) -> Resolver | Unread:
        try:
            loaded = load(read_revision(policy / ".git", commit), commit)
        except ReconcilerError:
            return Unread("there is no such commit")
        assert isinstance(loaded, Revision)
        return Resolver(loaded)

    listed = git(reports, "ls-tree", "-r", "--name-only", commits[TELLS])
    (name,) = (one for one in listed.split("\n") if one.startswith("runs/") and one.endswith(".json"))
    run = document(TELLS, name)
    links = [
        Link(
            commit,
            (commits[number - 1],) if number else (),
            BEFORE,
            str(number),
            str(number),
            Standing.ENROLLED,
        )
        for number, commit in enumerate(commits)
    ]
    links[TELLS] = replace(links[TELLS], runs=(RunFile(name[5:-5], read_run(run)),))
    line = git(policy, "log", "--format=%H", "--reverse").split("\n")
    told = Story(
        "web-01",
        "hosts/web-01",
        tuple(links),
        PolicyLine(dict(zip(line, range(len(line)), strict=True)), dict.fromkeys(line, BEFORE), resolver),
        lru_cache(lambda blob: read_report(document(int(blob), "report.json"))),
        lru_cache(lambda blob: read_vouched(document(int(blob), "observation.json"))),
        program=json.loads(run)["program"],
        scripts=manifest(),
        read_at=CLOSING + timedelta(hours=1),
    )
    return told, json.loads(document(ANNOUNCES, "observation.json")), json.loads(run)


def with_run(story: Story, record: RunRecord) -> Story:
    links = list(story.links)
    (file,) = links[TELLS].runs
    links[TELLS] = replace(links[TELLS], runs=(RunFile(file.run, record),))
    return replace(story, links=tuple(links))


def with_recording(story: Story, recording: Recording) -> Story:
    return replace(
        story,
        recordings=lambda blob: recording if blob == str(ANNOUNCES) else story.recordings(blob),
    )


def test_no_check_breaks_over_what_a_host_may_write(told: Audited) -> None:
    story, recording, run = story_of(told)
    asked = [with_run(story, one) for one in readable(read_run, altered(run, ODD))]
    asked += [with_recording(story, one) for one in readable(read_vouched, altered(recording, OF_TIME))]
    assert len(asked) > 300
    for one in asked:
        found = audit(one, BEFORE, CLOSING)
        every = [*found.against, *(each for change in found.changes for each in change.against)]
        assert not [each for each in every if "could not be asked" in each.reason]


def readable(read: Any, texts: Iterator[bytes]) -> Iterator[Any]:
    for text in texts:
        try:
            yield read(text)
        except ReconcilerError:
            continue
