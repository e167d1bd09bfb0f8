"""Who signed which report: asked once for each commit, and remembered while it matters.

What a signature proves depends on the commit and the branch that it stands on, and on nothing else that could
change; so it is remembered by both. Whether it counts is asked anew each time, since policy moves on. What
could not be checked at all, for want of a program, is not remembered.

Who reads a fleet all the time checks nearly every report while it is the newest one, and needs that no more.
It adds it to a file all the same (:class:`GoodSignatures`), a line each, for an audit that asks of every one.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.durable import replace_file
from reconciler.gitops.git import Git
from reconciler.gitops.signed_reports import signatures_on
from reconciler.policy.enrolment import Told
from reconciler.reconcile.ports.policies import Unproved
from reconciler.reconcile.ports.reports import SignedReport, UnprovedReport

_LAYOUT = 1
Proof = SignedReport | UnprovedReport
Place = tuple[str, str]
"""A branch, and a commit on it."""


def told_by(proof: Proof) -> Told:
    """Return what a report tells of who signed it, by which its standing is judged."""
    match proof:
        case SignedReport(key=key, policy=policy):
            return Told(key, policy)
        case UnprovedReport():
            return Told("", "")


class GoodSignatures:
    """Good signatures that were checked once, the newest of them: a line for each.

    What is not there is checked again; what is there is believed, as all that is in this folder. One process
    at a time may use it.

    Args:
        path: The file; what came before the last few hundred thousand is dropped with another one beside it.
        most: Bytes of each.
    """

    def __init__(self, path: Path, most: int = 128 * 2**20) -> None:
        self._path = path
        self._before = path.with_name(f"{path.name}.before")
        self._most = most

    def add(self, found: Iterable[tuple[Place, SignedReport]]) -> None:
        """Add what was found to be good.

        Raises:
            OSError: The file cannot be written.
        """
        lines = [json.dumps([*place, one.key, one.policy]) for place, one in found]
        if not lines:
            return
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size > self._most:
                self._path.replace(self._before)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            # A line feed first: of one who was killed half a line may be there.
            file.write("".join(f"\n{line}" for line in lines).encode())

    def all(self) -> Iterator[tuple[Place, SignedReport]]:
        """Yield what is there; a line that cannot be read is passed over."""
        for path in (self._before, self._path):
            with contextlib.suppress(OSError), path.open("rb") as file:
                for line in file:
                    with contextlib.suppress(ValueError, TypeError, RecursionError):
                        branch, oid, key, policy = map(str, json.loads(line))
                        yield (branch, oid), SignedReport(oid, key, policy)


class Proofs:
    """What signatures prove.

    Args:
        git: The repository that has the reports.
        path: File that remembers; it may be missing or damaged.
        environment: Added to that of the program that checks signatures.
        adds: Is told which were found to be good.
        asks: Is asked, before any is checked, which were found to be good before.
    """

    def __init__(
        self,
        git: Git,
        path: Path,
        environment: Mapping[str, str] | None = None,
        *,
        adds: GoodSignatures | None = None,
        asks: GoodSignatures | None = None,
    ) -> None:
        self._git = git
        self._path = path
        self._environment = environment
        self._adds, self._asks = adds, asks
        self._checked: dict[Place, SignedReport] | None = None
        self._known = _read(path)
        self._stored = dict(self._known)

    def of(self, places: Sequence[Place]) -> list[Proof]:
        """Return what each report proves, in their order.

        Raises:
            Damaged: A commit cannot be read.
            OSError: Files cannot be written.
        """
        new = list(dict.fromkeys(place for place in places if place not in self._known))
        if new and self._asks is not None:
            if self._checked is None:
                self._checked = dict(self._asks.all())
            self._known |= {place: self._checked[place] for place in new if place in self._checked}
            new = [place for place in new if place not in self._known]
        if new:
            self._known |= zip(new, signatures_on(self._git, new, self._environment), strict=True)
        if self._adds is not None:
            told = ((place, self._known[place]) for place in new)
            self._adds.add((place, one) for place, one in told if isinstance(one, SignedReport))
        found = [self._known[place] for place in places]
        for place in new:
            one = self._known[place]
            if isinstance(one, UnprovedReport) and one.why is Unproved.CANNOT_VERIFY:
                del self._known[place]
        return found

    def keep(self, branches: Iterable[str]) -> None:
        """Remember what is known of these branches, whose newest report does not count, and no more.

        Raises:
            OSError: The file cannot be written.
        """
        wanted = frozenset(branches)
        kept = {place: proof for place, proof in self._known.items() if place[0] in wanted}
        if kept != self._stored:
            told = [[*place, _written(proof)] for place, proof in sorted(kept.items())]
            replace_file(self._path, json.dumps({"layout": _LAYOUT, "proofs": told}).encode())
            self._stored = kept


class NoProofs:
    """In the place of :class:`Proofs` where nobody is enrolled: a report is taken for what it says."""

    def of(self, places: Sequence[Place]) -> list[Proof]:
        """Return that each report counts; its policy is told by the report itself."""
        return [SignedReport(oid, "", "") for _, oid in places]

    def keep(self, branches: Iterable[str]) -> None:
        """Remember nothing."""


def _written(proof: Proof) -> dict[str, str]:
    match proof:
        case SignedReport(key=key, policy=policy):
            return {"key": key, "policy": policy}
        case UnprovedReport(why=why, message=message):
            return {"why": str(why), "message": message}


def _read(path: Path) -> dict[Place, Proof]:
    try:
        told = json.loads(path.read_bytes())
        if told["layout"] != _LAYOUT:
            return {}
        return {(str(branch), str(oid)): _proof(str(oid), proof) for branch, oid, proof in told["proofs"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _proof(oid: str, told: Mapping[str, Any]) -> Proof:
    if "why" in told:
        return UnprovedReport(oid, Unproved(told["why"]), str(told["message"]))
    return SignedReport(oid, str(told["key"]), str(told["policy"]))
