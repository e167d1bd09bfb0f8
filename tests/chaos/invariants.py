"""What holds after every fault, as soon as the host was left alone for three ticks."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.world import BRANCH, HELD, Host, Truth
from tests.e2e.site import git

TICKS = 4
"""Ticks until one has nothing to do: one that recovers, one or two that go on, and the quiet one."""

_CODES = frozenset({0, 1, 5, -9, 137})
"""The documented ones of ``run`` here, and those of a call that was killed."""


def violations(host: Host, before: Truth) -> Iterator[str]:
    """Yield what is not as it must be.

    Args:
        host: Left alone for long enough.
        before: What was so before the first tick.
    """
    after = Truth.of(host.lab)
    yield from _of_calls(host)
    yield from _of_records(host, before, after)
    yield from _of_the_machine(before, after)
    yield from _of_the_queue(host)


def _of_calls(host: Host) -> Iterator[str]:
    for done in host.ended:
        if "Traceback" in done.err:
            yield f"traceback: {done.err[-600:]}"
        if done.code not in _CODES:
            yield f"exit code {done.code}: {done.err[-300:]}"


def _of_records(host: Host, before: Truth, after: Truth) -> Iterator[str]:
    """What the records say moved is what moved, and each run is told once."""
    told: dict[str, tuple[str | None, str | None]] = {}
    for record in host.runs():
        for change in record["difference"]["changed"]:
            name, start = change["name"], told.get(change["name"], (change["from"], change["from"]))
            if start[1] != change["from"]:
                yield f"{record['run']}: {name} went from {change['from']}, and was at {start[1]}"
            told[name] = (start[0], change["to"])
    said = {name: move for name, move in told.items() if move[0] != move[1]}
    names = before.versions.keys() | after.versions.keys()
    moves = {name: (before.versions.get(name), after.versions.get(name)) for name in names}
    real = {name: move for name, move in moves.items() if move[0] != move[1]}
    if said != real:
        yield f"the records say {said}, and it was {real}"
    runs = host.reported_runs()
    if len(runs) != len(set(runs)):
        yield f"a run was reported twice: {runs}"


def _of_the_machine(before: Truth, after: Truth) -> Iterator[str]:
    if after.half_done:
        yield f"half done: {dict(after.half_done)}"
    if after.held != before.held or after.versions[HELD] != before.versions[HELD]:
        yield f"holds went from {sorted(before.held)} to {sorted(after.held)}"
    if after.automatic != before.automatic:
        yield f"marks went from {sorted(before.automatic)} to {sorted(after.automatic)}"


def _of_the_queue(host: Host) -> Iterator[str]:
    if (host.site.state / "journal.json").exists():
        yield "a journal is left"
    for repository in (host.queue, host.site.state / "policy.git", host.site.reports):
        yield from _unsound(repository)
    if host.head(host.queue) != host.head(host.site.reports):
        yield "the queue and the remote differ"


def _unsound(repository: Path) -> Iterator[str]:
    done = subprocess.run(
        ["git", "-C", str(repository), "fsck", "--no-dangling", "--no-progress"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        yield f"{repository.name} is unsound: {done.stderr[-300:]}"


def lost(host: Host, commits: tuple[str, ...]) -> Iterator[str]:
    """Yield the report commits that the remote's branch does not continue."""
    known = set(git(host.site.reports, "log", "--format=%H", BRANCH).split())
    for commit in commits:
        if commit not in known:
            yield f"report {commit[:12]} was lost"
