"""``policy test``: does the policy do what its authors expect of it."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from reconciler.cli.showing.interfaces import ExpectationFailure, PolicyTest, TestedExpectation
from reconciler.cli.showing.junit import JunitCase, junit
from reconciler.cli.verbs.policy.check import examine_files, read
from reconciler.errors import FAILED, REJECTED, Misuse
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.resolving.expectations import JudgedExpectation, Unmet, judge
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.wording import listed, plural
from reconciler.policy.expectation import Expectation, read_expectations
from reconciler.policy.problems import visible

_LISTED_HOSTS = 3


def test(folder: str, rev: str | None, form: str) -> int:
    """Print what does not hold in the chosen format, and a count on standard error.

    Returns:
        0, 1 where an expectation fails, or 3 where the policy or an Expectation is invalid; the problems are
        then on standard error.

    Raises:
        Misuse: There is no such folder or revision, or it holds no Expectation.
        Stalled: It cannot be read.
    """
    files, commit = read(folder, rev, also=Expectation.folder)
    checked = examine_files(folder, files, commit)
    found = read_expectations(files, commit)
    problems = sorted((*checked.problems, *found.problems))
    if checked.revision is None or problems:
        sys.stderr.writelines(f"{problem}\n" for problem in problems)
        return REJECTED
    if not found.placed:
        # No test at all would be a green light that nothing stands behind.
        raise Misuse(f"{folder} holds no Expectation", f"write one into {Expectation.folder}/NAME.yaml")
    now = SystemClock().now()
    judged = tuple(judge(checked.revision, found.placed, now))
    sys.stdout.write(_FORMATS[form](judged))
    for one in judged:
        if all(span.end <= now for span in one.expectation.value.spans(now)):
            place = one.expectation.origin
            sys.stderr.write(f"warning: {place}: all of its time has passed; it says nothing of what comes\n")
    failed = sum(bool(one.failures) for one in judged)
    sys.stderr.write(f"{plural(len(judged), 'expectation')}, {failed or 'none'} failed\n")
    return FAILED if failed else 0


def _text(judged: Sequence[JudgedExpectation]) -> str:
    return "".join(f"{visible(line)}\n" for one in judged for line in _lines(one))


def _lines(judged: JudgedExpectation) -> Iterator[str]:
    name, place = judged.expectation.value.name, judged.expectation.origin
    if not judged.failures:
        yield f"ok      {name} ({place}): {plural(len(judged.hosts), 'host')}"
        return
    yield f"FAILED  {name} ({place})"
    for key, message, hosts in _alike(judged.failures):
        yield f"  {_of(hosts)}{key}: {message}"


def _of(hosts: Sequence[str]) -> str:
    return f"{listed(hosts, _LISTED_HOSTS)}: " if any(hosts) else ""


def _alike(failures: Sequence[Unmet]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield each failure once, with all hosts that have it."""

    def what(failure: Unmet) -> tuple[str, str]:
        return failure.key, failure.message

    for (key, message), alike in groupby(sorted(failures, key=what), what):
        yield key, message, tuple(one.host for one in alike)


def _junit(judged: Sequence[JudgedExpectation]) -> str:
    cases = [
        JunitCase(
            one.expectation.value.name,
            tuple(
                (f"{key}: {message}", f"{one.expectation.origin}: {_of(hosts)}{key}: {message}")
                for key, message, hosts in _alike(one.failures)
            ),
        )
        for one in judged
    ]
    return junit("patchledger policy test", "policy.expectations", cases)


def _json(judged: Sequence[JudgedExpectation]) -> str:
    tested = tuple(
        TestedExpectation(
            name=one.expectation.value.name,
            origin=str(one.expectation.origin),
            hosts=one.hosts,
            failures=tuple(
                ExpectationFailure(each.host or None, each.key, each.message) for each in one.failures
            ),
        )
        for one in judged
    )
    return json.dumps(plain(PolicyTest(tested)), indent=2) + "\n"


_FORMATS: dict[str, Callable[[Sequence[JudgedExpectation]], str]] = {
    "text": _text,
    "json": _json,
    "junit": _junit,
}
