"""What an audit reads of a report repository: every commit of a branch, and little of most of them.

The rules:

1. One process lists a branch, with what each commit changed; a file is known by its content's id, and read
   once. What is not named as a report's own files are is not looked at.
2. Signatures are asked for where something rests on them: reports that tell of a run or announced one, those
   of the period that say something new, those at its ends, and the newest of all. Each is asked for once,
   and remembered. Such a one vouches for the bytes of a recording, which is read without comparing them.
3. What cannot be read is a value with its reason, and the trouble of one target.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from reconciler.durable import replace_file
from reconciler.errors import Misuse
from reconciler.fleet.branches import FLEET, FleetBranches
from reconciler.fleet.cache import (
    MOST_BYTES,
    MOST_FILES,
    MOST_REPORT_BYTES,
    ReportCache,
    chunks,
    report_commit,
)
from reconciler.fleet.gathering import MOST_HELD
from reconciler.fleet.proofs import Proof, Proofs, told_by
from reconciler.fleet.report_keys import KeyBook
from reconciler.gitops.git import commit_date
from reconciler.gitops.objects import bounded, contents_of, described
from reconciler.gitops.signed_commits import MAX_COMMIT_BYTES, read_commit
from reconciler.planning.audit.coverage import Covering
from reconciler.planning.audit.periods import Period
from reconciler.planning.audit.story import Link, RunFile, Sighting, Story, Unread
from reconciler.planning.gates.recording import Recording, read_vouched
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.reader import read_report, read_run
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.text import canonical
from reconciler.planning.text.layout import is_newer
from reconciler.policy.enrolment import Standing
from reconciler.policy.problems import visible
from reconciler.reconcile.ports.policies import Unproved
from reconciler.reconcile.ports.reports import SignedReport, UnprovedReport
from reconciler.records import dataclass

_DOING = "cannot read the reports"
_MOST_LISTED = 64 * 2**20
_MOST_HEADS = 64 * 2**20
_AT_ONCE = 500
_HEADS_AT_ONCE = 8
"""Lists of a whole fleet that are held together."""
_KEPT = 64
"""Reports that are held together, and in _HELD recordings, of which each may take megabytes."""
_HELD = 8
_TOO_MUCH = "with the records before it, it is more than is read of a branch"
_TELLING = 3
"""Recordings that the checks of one run look at, where nothing is out of the ordinary."""
_Read = TypeVar("_Read")
_MALFORMED = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError)


@dataclass(slots=True)
class _Listed:
    """A commit as ``git log`` lists it."""

    commit: str
    at: datetime
    parents: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)


class TargetHistory:
    """Reads the branches of one copy.

    Args:
        cache: The copy, as it was fetched.
        book: Who is enrolled.
        proofs: Who signed what.
    """

    def __init__(self, cache: ReportCache, book: KeyBook, proofs: Proofs) -> None:
        self._cache = cache
        self._book = book
        self._proofs = proofs
        self._ahead: dict[str, bytes | None] = {}
        self.report = lru_cache(_KEPT)(self._report)
        self.recording = lru_cache(_HELD)(self._recording)

    def is_cut(self) -> bool:
        """Say whether the copy lacks what came before some commits."""
        return (self._cache.git.git_dir / "shallow").exists()

    def links(self, tip: str) -> tuple[Link, ...] | Unread:
        """Return the commits of a branch, parents first, before anybody looked who signed them.

        Raises:
            Damaged: The copy cannot be read.
        """
        listed = self._listed(tip)
        return listed if isinstance(listed, Unread) else tuple(self._with_files(listed))

    def proved(self, story: Story, period: Period) -> Story:
        """Return a story with what the signatures are worth on which something rests in a period.

        Raises:
            Damaged: The copy cannot be read.
            OSError: Temporary files cannot be written.
        """
        wanted = _wanted(story, period)
        proofs = self._proofs.of([(story.branch, oid) for oid in wanted])
        enrolment = self._book.of(story.branch.split("/")[1])
        self._read_ahead(story.links, wanted)
        told = dict(
            zip(wanted, zip(proofs, enrolment.standings(map(told_by, proofs)), strict=True), strict=True)
        )
        links = (_judged(link, *told[link.commit]) if link.commit in told else link for link in story.links)
        return replace(story, links=tuple(links))

    def _read_ahead(self, links: Sequence[Link], wanted: Collection[str]) -> None:
        """Read what the checks of a branch will ask for, as far as memory allows, by two processes."""
        known = {link.commit: link for link in links}
        blobs: dict[str, None] = {}
        for link in links:
            if link.commit in wanted:
                near = [link, *(known[oid] for oid in link.parents if oid in known)]
                blobs |= dict.fromkeys(one.report for one in near)
                blobs |= dict.fromkeys(_judged_by(link, known) if link.runs else ())
        self._ahead = {}
        few, size = list[str](), 0
        oids = [oid for oid in blobs if oid]
        for oid, _, told in described(self._cache.git, oids, _DOING) if oids else ():
            if oid and int(told) > MOST_BYTES:
                self._ahead[oid] = None
            elif oid and size + int(told) <= MOST_HELD:
                size += int(told)
                few.append(oid)
        self._ahead |= zip(few, contents_of(self._cache.git, few, _DOING, size), strict=True) if few else ()

    def _listed(self, tip: str) -> list[_Listed] | Unread:
        asked = self._cache.git.run(
            *("log", "--topo-order", "--reverse", "--raw", "-z", "--no-abbrev", "--no-renames"),
            *("--diff-merges=first-parent", "--format=%x01%H %ct %P", tip, "--"),
            limit=_MOST_LISTED,
        )
        if asked.truncated:
            return Unread("its branch holds more files than any report has")
        if asked.returncode:
            return Unread("its branch cannot be read: commits of it are missing")
        found: list[_Listed] = []
        words = iter(asked.stdout.decode("utf-8", "replace").split("\0"))
        for word in words:
            told = word.lstrip("\n")
            if told.startswith("\1"):
                oid, at, *parents = told[1:].split()
                found.append(_Listed(oid, commit_date(at), tuple(parents)))
            elif told.startswith(":"):
                mode, blob, path = told.split(" ")[1], told.split(" ")[3], next(words)
                found[-1].files[path] = blob if mode == "100644" else ""
                if len(found[-1].files) > MOST_FILES:
                    return Unread("its branch holds more files than any report has")
        return found

    def _with_files(self, listed: Sequence[_Listed]) -> list[Link]:
        runs: dict[str, str] = {}
        new: dict[str, list[tuple[str, str, bool]]] = {}
        held: dict[str, tuple[str, str]] = {}
        for one in listed:
            before = held.get(one.parents[0], ("", "")) if one.parents else ("", "")
            report, recording = one.files.get("report.json"), one.files.get("observation.json")
            held[one.commit] = (
                before[0] if report is None else _blob(report),
                before[1] if recording is None else _blob(recording),
            )
            for path, blob in sorted(one.files.items()):
                run = path.removeprefix("runs/").removesuffix(".json")
                if path != f"runs/{run}.json" or not _blob(blob) or runs.get(run) == blob:
                    continue
                new.setdefault(one.commit, []).append((run, blob, run in runs))
                runs.setdefault(run, blob)
        records = self._records([blob for some in new.values() for _, blob, _ in some])
        return [
            Link(
                one.commit,
                one.parents,
                one.at,
                *held[one.commit],
                runs=tuple(
                    RunFile(run, records[blob], is_altered)
                    for run, blob, is_altered in new.get(one.commit, ())
                ),
                is_heartbeat=bool(one.parents) and not one.files,
            )
            for one in listed
        ]

    def _records(self, blobs: Sequence[str]) -> dict[str, RunRecord | Unread]:
        """Read the records of a branch by two processes, as far as all of them together can be held."""
        oids = list(dict.fromkeys(blobs))
        found: dict[str, RunRecord | Unread] = {}
        few, size = list[str](), 0
        for oid, (_, _, told) in (
            zip(oids, described(self._cache.git, oids, _DOING), strict=True) if oids else ()
        ):
            if int(told) > MOST_REPORT_BYTES or size + int(told) > MOST_HELD:
                found[oid] = Unread("it is too large" if int(told) > MOST_REPORT_BYTES else _TOO_MUCH)
            else:
                size += int(told)
                few.append(oid)
        held = contents_of(self._cache.git, few, _DOING, size) if few else ()
        return found | {oid: _read(read_run, data) for oid, data in zip(few, held, strict=True)}

    def _report(self, blob: str) -> Report | Unread:
        return (
            _read(read_report, self._text(blob, MOST_REPORT_BYTES))
            if blob
            else Unread("it has no report.json")
        )

    def _recording(self, blob: str) -> Recording | Unread:
        if not blob:
            return Unread("it has no observation.json")
        return _read(read_vouched, self._text(blob, MOST_BYTES))

    def _text(self, blob: str, most: int) -> bytes | None:
        if blob not in self._ahead:
            return self._cache.texts([blob], most)[0]
        held = self._ahead[blob]
        return held if held is not None and len(held) <= most else None


def _blob(oid: str) -> str:
    """Return the id of a file; empty where it went."""
    return oid if oid.strip("0") else ""


def _read(read: Callable[[bytes], _Read], data: bytes | None) -> _Read | Unread:
    if data is None:
        return Unread("it is too large")
    try:
        return read(data)
    except Misuse as error:
        return _unread(error.message, data)
    except _MALFORMED as error:
        return Unread(f"it cannot be read: {canonical.fault_in(error)}")


def _unread(said: str, data: bytes) -> Unread:
    try:
        told = json.loads(data)
        program, schema = str(told.get("program", ""))[:80], told.get("schema")
    except (ValueError, AttributeError, RecursionError):
        return Unread(f"it cannot be read: {said}")
    if is_newer(schema):
        needs = visible(program.removeprefix("patchledger ")) or "a newer one"
        return Unread(f"not replayable here: needs patchledger {needs}", is_newer=True)
    return Unread(f"it cannot be read: {said}")


def _judged_by(link: Link, known: Mapping[str, Link]) -> list[str]:
    """Return the recordings that tell of a run: what came of it, its announcement, and one before that."""
    found: dict[str, None] = {}
    here: Link | None = link
    while here is not None and len(found) < _TELLING:
        found[here.recording] = None
        here = known.get(here.parents[0]) if here.parents else None
    return list(found)


def _wanted(story: Story, period: Period) -> list[str]:
    """Return the commits on whose signatures something rests, in their order."""
    covering = Covering.of(story, period)
    wanted = {link.commit for link in (*story.links[-1:], *(covering.links if covering else ()))}
    wanted.update(link.commit for link in period.of(story) if not link.is_heartbeat)
    for link in story.links:
        if link.runs:
            records = [one.record for one in link.runs if isinstance(one.record, RunRecord)]
            wanted.add(link.commit)
            wanted.update(record.announced.commit for record in records if record.announced is not None)
    return [link.commit for link in story.links if link.commit in wanted]


def _judged(link: Link, proof: Proof, standing: Standing) -> Link:
    match proof:
        case SignedReport(policy=policy):
            said = "" if standing.counts else f"report {link.commit[:12]} does not count: {standing}"
            return replace(link, standing=standing, against=said, policy=policy)
        case UnprovedReport(why=Unproved.CANNOT_VERIFY, message=message):
            return replace(link, against=message)
        case UnprovedReport(message=message):
            return replace(link, standing=standing, against=message)


class Publishers:
    """What publishers saw of all branches, from the branch ``fleet`` of one copy.

    Args:
        cache: The copy, as it was fetched.
        branches: Says which commits a publisher signed, at a given time.
        remembered: File that keeps which did.

    Attributes:
        unchecked: How many commits could not be checked this time; they count as signed by none.
    """

    def __init__(self, cache: ReportCache, branches: FleetBranches, remembered: Path) -> None:
        self._cache = cache
        self._branches = branches
        self._path = remembered
        self.unchecked = 0

    def witnesses(self) -> dict[str, tuple[Sighting, ...]]:
        """Return what they saw of each branch, in the order of their dates.

        Raises:
            Damaged: The copy cannot be read.
            OSError: Files cannot be written.
        """
        tip = self._cache.tips().get(FLEET, "")
        oids = list(self._cache.history([tip], [], _MOST_HEADS)) if tip else []
        seen = sorted(self._signed(oids), key=lambda one: one[1])
        found: dict[str, list[Sighting]] = {}
        branches = set[str]()
        for oid, at, heads in self._with_heads(seen):
            branches |= heads.keys()
            for branch in branches:
                _note(found.setdefault(branch, []), Sighting(oid, at, heads.get(branch, "")))
        return {branch: tuple(some) for branch, some in found.items()}

    def _signed(self, oids: Sequence[str]) -> Iterator[tuple[str, datetime]]:
        by = sorted(one.fingerprint for one in self._branches.signers)
        known = _remembered(self._path, by)
        new = [oid for oid in oids if oid not in known]
        for some in chunks(new, _AT_ONCE):
            for oid, data in zip(some, bounded(self._cache.git, some, _DOING, MAX_COMMIT_BYTES), strict=True):
                told = report_commit(data)
                at = None if told is None else told.at
                good = at is not None and replace(self._branches, now=at).checked(
                    read_commit(oid, data or b""), FLEET
                )
                if good is None:
                    self.unchecked += 1  # and not remembered: the next time may find it out
                else:
                    known[oid] = at.isoformat() if at is not None and good else ""
            replace_file(self._path, json.dumps({"by": by, "signed": known}).encode())
        return ((oid, datetime.fromisoformat(known[oid])) for oid in oids if known.get(oid))

    def _with_heads(
        self, seen: Sequence[tuple[str, datetime]]
    ) -> Iterator[tuple[str, datetime, Mapping[str, str]]]:
        names = [f"{oid}:heads.txt" for oid, _ in seen]
        blobs = [oid if kind == "blob" else "" for oid, kind, _ in described(self._cache.git, names, _DOING)]
        last, heads = "", dict[str, str]()
        for some in chunks(
            [(one, blob) for one, blob in zip(seen, blobs, strict=True) if blob], _HEADS_AT_ONCE
        ):
            wanted = list(dict.fromkeys(blob for _, blob in some))
            texts = dict(zip(wanted, self._cache.texts(wanted, _MOST_HEADS), strict=True))
            for (oid, at), blob in some:
                if blob != last:
                    last, heads = blob, _heads(texts[blob] or b"")
                yield oid, at, heads


def _note(seen: list[Sighting], one: Sighting) -> None:
    """Keep the first and the last of those that saw the same."""
    if len(seen) > 1 and seen[-1].tip == seen[-2].tip == one.tip:
        seen[-1] = one
    else:
        seen.append(one)


def _heads(text: bytes) -> dict[str, str]:
    rows = (line.partition(" ") for line in text.decode("utf-8", "replace").split("\n") if line)
    return {branch: oid for oid, _, branch in rows}


def _remembered(path: Path, by: Sequence[str]) -> dict[str, str]:
    try:
        told = json.loads(path.read_bytes())
        if told["by"] != list(by):
            return {}
        return {str(oid): str(at) for oid, at in told["signed"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def same_keys(book: KeyBook) -> dict[str, tuple[str, ...]]:
    """Return for each host the others for which the policy ever named a key of it."""
    by_key: dict[str, set[str]] = {}
    for host, changes in book.changes.items():
        for _, key in changes:
            if key:
                by_key.setdefault(key, set()).add(host)
    found: dict[str, set[str]] = {}
    for hosts in by_key.values():
        for host in hosts if len(hosts) > 1 else ():
            found.setdefault(host, set()).update(hosts - {host})
    return {host: tuple(sorted(others)) for host, others in found.items()}
