"""Make every decision of a report repository again, from it and the policy repository alone.

``python -m tests.replay REPORTS POLICY`` walks all commits of all report branches, whatever schema version
wrote them. For each it reads ``observation.json`` strictly, takes the policy at the recorded commit, decides
again, and compares the report that comes out with the ``report.json`` beside it, byte by byte. The digest of
a plan is computed from the report alone. Only what is wrong is told; then the exit code is 1.
"""

import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

from reconciler.errors import ReconcilerError
from reconciler.gitops.revision import read_revision
from reconciler.planning.gates.recording import read_recording
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.reader import read_report
from reconciler.planning.reporting.report import digest_of_planned, to_json
from reconciler.policy.load import PolicyFile
from reconciler.reconcile.assess import decide_again
from reconciler.reconcile.ports.policies import ReadPolicy

_WITH_HASHES = 3
BRANCHES = ("refs/heads/hosts/", "refs/heads/guests/")


@dataclass(frozen=True)
class Replayed:
    """One commit of a report branch; ``problem`` is empty where its report came out byte for byte."""

    commit: str
    problem: str = ""


def replay(reports: Path, policy: Path, foreign: Collection[str] = ()) -> tuple[Replayed, ...]:
    """Make the decision of every report commit again, the oldest first.

    Args:
        reports: Git folder of the report repository.
        policy: Git folder of the policy repository, or a work tree of it.
        foreign: Commits that no host made, so that nothing can be expected of them.
    """
    inside = policy / ".git"
    read = _reader(inside if inside.is_dir() else policy)
    commits = (commit for commit in _commits(reports) if commit not in foreign)
    return tuple(Replayed(commit, _problem(reports, commit, read)) for commit in commits)


def _reader(policy: Path) -> ReadPolicy:
    @lru_cache(maxsize=1)
    def at(commit: str) -> list[PolicyFile]:
        return read_revision(policy, commit)

    def read(commit: str, now: datetime) -> list[PolicyFile]:
        del now
        return at(commit)

    return read


def _commits(reports: Path) -> Iterator[str]:
    refs = _git(reports, "for-each-ref", "--format=%(objectname)", *BRANCHES).split()
    if refs:
        listed = _git(reports, "rev-list", "--reverse", "--topo-order", *map(bytes.decode, refs))
        yield from listed.decode().split()


def _problem(reports: Path, commit: str, read: ReadPolicy) -> str:
    written = _git(reports, "cat-file", "blob", f"{commit}:report.json")
    recorded = _git(reports, "cat-file", "blob", f"{commit}:observation.json")
    try:
        again = to_json(decide_again(read_recording(recorded), read).report)
    except ReconcilerError as error:
        return f"cannot be decided again: {error.message}"
    if again == written:
        return _problem_of_digests(read_report(written))
    pairs = zip_longest(written.splitlines(), again.splitlines())
    number, (was, came) = next((n, pair) for n, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    return f"report.json:{number} is {was!r} and comes out as {came!r}"


def _problem_of_digests(report: Report) -> str:
    """Compute each plan's digest from the report alone; before version 3 it does not say enough for that."""
    plans = (report.plan, report.security_plan) if report.schema >= _WITH_HASHES else ()
    wrong = [plan.digest for plan in plans if plan is not None and digest_of_planned(plan) != plan.digest]
    return f"{wrong[0]} is not the digest of its plan" if wrong else ""


def _git(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True).stdout


def main(arguments: Sequence[str]) -> int:
    """Replay the two repositories that ``arguments`` name, and say what differs."""
    reports, policy = map(Path, arguments)
    done = replay(reports, policy)
    failed = [one for one in done if one.problem]
    for one in failed:
        sys.stdout.write(f"{one.commit}: {one.problem}\n")
    sys.stdout.write(f"{len(done)} report commits, {len(failed)} not the same\n")
    return 1 if failed or not done else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
