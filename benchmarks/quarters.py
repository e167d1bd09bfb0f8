"""A fleet whose hosts ran every week of a quarter, in git: what an audit reads, of real size.

Hosts with the same day of the week did the same at the same instants. What they told is made once for all of
them by the program's own rules, and differs by names and commits alone; it is stored as a server stores it
that packs what it has: as a difference to what is alike.
"""

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.fleets import Repositories, git, public_line, ran, signed_by
from reconciler.fleet.auditing import PROGRAM
from reconciler.fleet.cache import copy_of
from reconciler.fleet.proofs import GoodSignatures
from reconciler.gitops.revision import read_revision
from reconciler.managers.scripts import manifest
from reconciler.planning.facts.inventory import Previous, inventory_of
from reconciler.planning.facts.observation import Exchange, ExecutedScript, FirstSeen
from reconciler.planning.gates.inputs import gate_inputs
from reconciler.planning.gates.recording import Judged, Own, Recording, judge, record, write
from reconciler.planning.gates.types import Apply, PolicyState
from reconciler.planning.reporting.report import build_report, to_json
from reconciler.planning.resolving.age import observe_first_seen
from reconciler.planning.runs.record import (
    Announced,
    GatesAsked,
    PolicySeen,
    RunOutcome,
    RunRecord,
    StepOutcome,
    StepRecord,
    difference,
    move_of,
    run_json,
)
from reconciler.planning.text.layout import SCHEMA_VERSION
from reconciler.planning.text.untrusted import commit_message
from reconciler.policy.load import Revision, load
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import Effective, Resolver
from reconciler.policy.signers import fingerprint_of_line
from reconciler.reconcile.ports.reports import SignedReport
from tests.fakes import Build, PackageWorld, converse

WEEKS, DAYS = 13, 7
INSTALLED, OFFERED = 960, 119
"""Packages of a host that was measured, and its updates."""
BEGIN = datetime(2026, 7, 5, tzinfo=UTC)
END = BEGIN + timedelta(days=DAYS * WEEKS)
_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_FRACTION = timedelta(microseconds=123_456)
"""Of a second, as the clock of a host tells it, and its report does not."""
_SEEN_BEFORE = timedelta(days=3, hours=6)
"""So long before its window a host first sees what it will install then."""
_POLICIES, _ROLES = 50, 15
_COMMIT = re.compile(rb"f{32}[0-9]{8}")
"""Stands for the commit of a report that is not made yet, by its number."""
_KINDS = {b"commit": 1, b"tree": 2, b"blob": 3}
_DIFFERENCE = 7
_MOST_COPIED = 0xFFFFFF


@dataclass(frozen=True, slots=True)
class Quarter(Repositories):
    """A generated fleet.

    Attributes:
        hosts: Their ids.
        looks: Hours between two looks of a publisher.
    """

    hosts: tuple[str, ...]
    looks: int = 1

    @classmethod
    def create(cls, folder: Path, count: int, looks: int = 1) -> "Quarter":
        """Make a fleet of so many hosts in an empty folder."""
        made = cls(folder, tuple(f"host-{number:05}" for number in range(count)), looks)
        key = folder / "publisher"
        ran("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pub", "-f", str(key))
        policies = made._make_policy()
        git(folder, "init", "-q", "--bare", "reports.git")
        heads: dict[str, list[Made]] = {}
        asked: list[tuple[Exchange, ...]] = []
        for day in range(DAYS):
            of_day = made.hosts[day::DAYS]
            if of_day:
                heads |= _reported(made.reports, Week(day, policies, asked), of_day)
        made._look(heads)
        git(made.reports, "pack-refs", "--all")
        return made

    @property
    def runs(self) -> int:
        """How many runs the hosts made."""
        return WEEKS * len(self.hosts)

    def litter(self, host: str, number: int, at_once: int) -> None:
        """Have a host push so many files that are no records of runs, so many in each commit."""
        branch, at = f"refs/heads/hosts/{host}", END - _HOUR
        who = f"{host} <{host}@{host}> {int(at.timestamp())} +0000"
        tip = git(self.reports, "rev-parse", branch).decode().strip()
        stream = []
        for start in range(0, number, at_once):
            begun = f"from {tip}\n" if not start else ""
            stream.append(f"commit {branch}\ncommitter {who}\ndata 6\nlitter\n{begun}".encode())
            for one in range(start, start + at_once):
                data = b'{"number": %d, "of": %d}\n' % (one, at_once)
                path = b"runs/%d-%05d.json" % (at_once, one)
                stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(data), data))
        git(self.reports, "fast-import", "--quiet", "--done", stdin=b"".join([*stream, b"done\n"]))

    def _make_policy(self) -> "Policies":
        git(self.folder, "init", "-q", "--bare", "-b", "main", "policy.git")
        first = BEGIN - timedelta(days=DAYS)
        today = (self.folder / "publisher.pub").read_text(encoding="utf-8")
        publishers = f"before {public_line('before')}\ntoday {today}"
        begun = {
            "trust/publishers": publishers,
            **_documents(),
            **dict(map(_enrolled, enumerate(self.hosts))),
        }
        stream = [_changed(first, begun)]
        for number in range(1, DAYS * (WEEKS + 1) + 1):
            document = (
                f"kind: Exception\nname: hold-{number:03}\npackages: [other-{number:03}]\naction: hold\n"
                f"match: {{labels: {{role: r{number % _ROLES}}}}}\n"
                "reason: a regression\nexpires: 2030-01-01\n"
            )
            at = first + number * _DAY + 6 * _HOUR
            stream.append(_changed(at, {f"exceptions/{number:03}.yaml": document}))
        git(self.policy, "fast-import", "--quiet", "--done", stdin=b"".join([*stream, b"done\n"]))
        listed = git(self.policy, "log", "--reverse", "--format=%H %ct", "main").decode().split("\n")
        rows = [line.split() for line in listed if line]
        return Policies(self.policy, [(datetime.fromtimestamp(int(at), UTC), oid) for oid, at in rows])

    def _look(self, heads: "Mapping[str, Sequence[Made]]") -> None:
        """Have a publisher look every so many hours, and write and remember what an audit reads."""
        pack, after = Pack(), ""
        moves = sorted((one.at, host, one) for host, line in heads.items() for one in line)
        folder = self.folder / "state" / "fleet"
        folder.mkdir(mode=0o700, parents=True)
        checked = GoodSignatures(folder / f"{copy_of(f'file://{self.reports}')}.checked")
        keys = {host: fingerprint_of_line(public_line(host)) for host in self.hosts}
        now: dict[str, str] = {}
        at, place = BEGIN - timedelta(days=DAYS), 0
        while at < END + 2 * _DAY:
            at += self.looks * _HOUR
            new: dict[str, Made] = {}
            while place < len(moves) and moves[place][0] <= at:
                new[moves[place][1]] = moves[place][2]
                place += 1
            now |= {host: one.commit for host, one in new.items()}
            checked.add(
                ((f"hosts/{host}", one.commit), SignedReport(one.commit, keys[host], one.policy))
                for host, one in new.items()
            )
            if new:
                text = "".join(f"{oid} hosts/{host}\n" for host, oid in sorted(now.items()))
                tree = pack.add(b"tree", _tree({"heads.txt": pack.add(b"blob", text.encode())}))
                message = commit_message(f"{len(now)} targets", {"Fleet-Branch": "fleet"})
                after = pack.add(b"commit", _commit("before", tree, after, at, message))
        pack.write(self.reports, {"refs/heads/fleet": after})


@dataclass(frozen=True)
class Policies:
    """The commits of the policy, each with its date, the oldest first."""

    repository: Path
    line: Sequence[tuple[datetime, str]]
    _known: dict[str, Resolver] = field(default_factory=dict)

    def at(self, moment: datetime) -> tuple[PolicyState, Resolver]:
        """Return what a host follows at an instant, fetched a minute before."""
        at, oid = max(one for one in self.line if one[0] <= moment)
        if oid not in self._known:
            revision = load(read_revision(self.repository, oid), oid)
            if not isinstance(revision, Revision):
                raise SystemExit(f"the policy is not valid: {revision}")
            self._known.clear()
            self._known[oid] = Resolver(revision)
        told = "not verified: this host trusts the remote"
        state = PolicyState(f"file://{self.repository}", "main", oid, at, moment - _MINUTE, told)
        return state, self._known[oid]


def _documents() -> dict[str, str]:
    found = {
        "policies/base.yaml": "kind: Policy\nname: base\npriority: 1\nupdates: all\naction: apply\n"
        "min_age: {other: 2d}\nbudget: 30m\n",
    }
    for number in range(1, _POLICIES):
        found[f"policies/{number:03}.yaml"] = (
            f"kind: Policy\nname: policy-{number:03}\npriority: {number + 100}\n"
            f"match: {{labels: {{role: r{number % _ROLES}}}}}\nmax_policy_age: {20 + number}d\n"
        )
    days = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
    for number, day in enumerate(days):
        found[f"schedules/{number}.yaml"] = (
            f"kind: Schedule\nname: night-{number}\ntimezone: UTC\n"
            f'windows: [{{start: "{day} 02:00", duration: 3h}}]\n'
        )
        found[f"policies/night-{number}.yaml"] = (
            f"kind: Policy\nname: night-{number}\npriority: 900\n"
            f"match: {{labels: {{night: n{number}}}}}\nschedule: [night-{number}]\n"
        )
    return found


def _labels(number: int) -> dict[str, str]:
    """Return what the document of a host says of it: all of a day have the same role."""
    return {"night": f"n{number % DAYS}", "role": f"r{number % DAYS}"}


def _enrolled(numbered: tuple[int, str]) -> tuple[str, str]:
    number, host = numbered
    labels = json.dumps(_labels(number))
    text = f'kind: Host\nname: {host}\nlabels: {labels}\nreport_key: "{public_line(host)}"\n'
    return f"hosts/{host}.yaml", text


# --- what the hosts of a day do -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """A report that is to be made.

    Attributes:
        at: When.
        files: What is in it, by path; nothing of a heartbeat, which has what the one before it has.
        policy: The commit that its message names.
        more: Trailers of its message.
    """

    at: datetime
    files: Mapping[str, bytes]
    policy: str
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Made:
    """A report that was made: when, which commit, and the policy that it names."""

    at: datetime
    commit: str
    policy: str


class Week:
    """Makes the reports of a host whose window is on one day of the week.

    Args:
        day: From 0 for Sunday.
        policies: What the hosts follow.
        asked: What the package manager was asked and answered, look by look: the same on each day.
    """

    def __init__(self, day: int, policies: Policies, asked: list[tuple[Exchange, ...]]) -> None:
        self._day = day
        self._asked = asked
        self._looks = 0
        self.host = f"host-{day:05}"
        self._policies = policies
        self._world = PackageWorld((), {f"package-{number:03}": "1" for number in range(INSTALLED)})
        self._seen: tuple[FirstSeen, ...] = ()
        self._number = 0
        self._inventory = ""

    def reports(self) -> Iterator[Told]:
        """Yield all of the quarter, the oldest first."""
        yield self._told(self._decided(BEGIN - 4 * _DAY + 8 * _HOUR))
        noon = BEGIN + 12 * _HOUR
        yield from (self._heartbeat(noon + day * _DAY) for day in range(-4, self._day - 3))
        for week in range(WEEKS):
            opening = BEGIN + timedelta(days=DAYS * week + self._day) + 2 * _HOUR
            self._offer(week)
            yield self._told(self._decided(opening - _SEEN_BEFORE))
            yield from (self._heartbeat(opening - back * _DAY + 10 * _HOUR) for back in (3, 2, 1))
            announced = self._decided(opening + _MINUTE)
            yield self._told(announced)
            run, world = self._run(announced, opening)
            self._world = world
            yield self._told(self._decided(opening + 22 * _MINUTE), {f"runs/{run.run}.json": run_json(run)})
            yield from (self._heartbeat(opening + ahead * _DAY + 10 * _HOUR) for ahead in range(4))
        last = DAYS * WEEKS + 2
        yield from (self._heartbeat(noon + day * _DAY) for day in range(last + self._day - 5, last))

    def _offer(self, week: int) -> None:
        builds = []
        for one in range(OFFERED):
            name = f"package-{(week * OFFERED + one) % INSTALLED:03}"
            version = str(int(self._world.installed[name]) + 1)
            builds.append(Build(name, version, security=one % 6 == 0))
        self._world = PackageWorld(tuple(builds), self._world.installed)

    def _decided(self, at: datetime) -> tuple[Recording, Effective, Judged]:
        now = at + _FRACTION
        state, resolver = self._policies.at(now)
        seen = self._world.observe(now)
        first = observe_first_seen(self._seen, seen.offers, now, order=None)
        seen = replace(seen, first_seen=first)
        self._seen = first
        own = {"env": "production"}
        host = HostFacts(self.host, {**own, **_labels(self._day)}, "debian", "12", "apt")
        effective = resolver.resolve(host)
        if self._looks == len(self._asked):
            self._asked.append(converse(self._world, seen, effective, now))
        exchanges = self._asked[self._looks]
        self._looks += 1
        inputs = gate_inputs(effective, seen, state, target=self.host, conditions=(), now=now)
        made = record(seen, exchanges, inputs, host, program=PROGRAM, now=now, own=Own(own))
        if self._number:
            made = replace(made, previous=Previous(_placeholder(self._number - 1), self._inventory))
        self._inventory = inventory_of(seen.installed)
        return made, effective, judge(made, effective)

    def _told(
        self, decided: tuple[Recording, Effective, Judged], more: Mapping[str, bytes] | None = None
    ) -> Told:
        made, effective, judged = decided
        self._number += 1
        files = {
            "observation.json": write(made),
            "report.json": to_json(build_report(made, effective, judged)),
            "report.md": f"# {self.host}\n".encode(),
            **(more or {}),
        }
        return Told(made.now, files, made.policy_commit)

    def _heartbeat(self, at: datetime) -> Told:
        self._number += 1
        more = {"Inventory": self._inventory, "Program": PROGRAM}
        return Told(at, {}, self._policies.at(at)[0].commit, more)

    def _run(
        self, announced: tuple[Recording, Effective, Judged], opening: datetime
    ) -> tuple[RunRecord, PackageWorld]:
        made, _, judged = announced
        plan, inputs = judged.plan, made.inputs
        if not isinstance(judged.ordinary.decision, Apply) or len(plan.transaction) != OFFERED:
            raise SystemExit(f"nothing would be done: {judged.ordinary.decision}")
        after = self._world.apply(plan.transaction)
        begun, ended = opening + 2 * _MINUTE, opening + 20 * _MINUTE
        step = StepRecord(
            tuple(map(move_of, plan.transaction)),
            begun,
            ended,
            StepOutcome.DONE,
            0,
            0,
            "",
            policy=PolicySeen(made.policy_commit, begun),
            asked=GatesAsked.of(inputs, judged.ordinary.gates, begun),
        )
        moved = difference(
            made.observation.installed, after.observe(ended).installed, plan.transaction, "apt"
        )
        run = RunRecord(
            SCHEMA_VERSION,
            PROGRAM,
            f"{begun:%Y%m%dT%H%M%SZ}-{plan.digest[7:19]}",
            self.host,
            made.policy_commit,
            plan.digest,
            begun,
            ended,
            RunOutcome.APPLIED,
            "",
            "",
            None,
            opening + 3 * _HOUR,
            overran=False,
            steps=(step,),
            difference=moved,
            scripts=(ExecutedScript("apt-update.sh", manifest()["apt-update.sh"]),),
            announced=Announced(_placeholder(self._number - 1), pushed=True),
        )
        return run, after


def _placeholder(number: int) -> str:
    return "f" * 32 + f"{number:08}"


# --- how it is stored ---------------------------------------------------------------------------------


class Pack:
    """Objects that are to be stored together (gitformat-pack(5))."""

    def __init__(self) -> None:
        self._parts: dict[str, bytes] = {}

    def add(self, kind: bytes, data: bytes) -> str:
        """Add an object whole, and return its id."""
        oid = _id(kind, data)
        if oid not in self._parts:
            self._parts[oid] = _head(_KINDS[kind], len(data)) + zlib.compress(data, 1)
        return oid

    def add_like(self, base: str, data: bytes, changes: bytes) -> str:
        """Add a file by what turns another one into it, and return its id."""
        oid = _id(b"blob", data)
        head = _head(_DIFFERENCE, len(changes)) + bytes.fromhex(base)
        self._parts.setdefault(oid, head + zlib.compress(changes, 1))
        return oid

    def write(self, repository: Path, refs: Mapping[str, str]) -> None:
        """Store them, and set refs."""
        whole = [struct.pack(">4sII", b"PACK", 2, len(self._parts)), *self._parts.values()]
        digest = hashlib.sha1(usedforsecurity=False)
        for part in whole:
            digest.update(part)
        git(repository, "index-pack", "--stdin", stdin=b"".join([*whole, digest.digest()]))
        moves = "".join(f"update {ref} {oid}\n" for ref, oid in refs.items())
        git(repository, "update-ref", "--stdin", stdin=moves.encode())


class Template:
    """A file of one host, and what is another in the same file of others."""

    def __init__(self, host: str, data: bytes, pack: Pack) -> None:
        self._words = re.split(b"(%s|%s)" % (host.encode(), _COMMIT.pattern), data)
        self._size = len(data)
        self._base = pack.add(b"blob", data)

    def of(self, host: str, commits: Sequence[str], pack: Pack) -> str:
        """Store the same file of another host, and return its id."""
        words, changes = list(self._words), [_number(self._size), b""]
        at = 0
        for place, word in enumerate(words):
            if place % 2:
                told = commits[int(word[32:])] if _COMMIT.fullmatch(word) else host
                words[place] = new = told.encode()
                changes.append(bytes([len(new)]) + new)
            else:
                changes += _copied(at, len(word))
            at += len(word)
        data = b"".join(words)
        changes[1] = _number(len(data))
        return pack.add_like(self._base, data, b"".join(changes))


def _copied(at: int, size: int) -> Iterator[bytes]:
    while size:
        some = min(size, _MOST_COPIED)
        yield b"\xff" + struct.pack("<I", at) + struct.pack("<I", some)[:3]
        at, size = at + some, size - some


def _number(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:  # noqa: PLR2004 - seven bits a byte
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _head(kind: int, size: int) -> bytes:
    first, size = (kind << 4) | (size & 15), size >> 4
    return bytes([first | 0x80]) + _number(size) if size else bytes([first])


def _id(kind: bytes, data: bytes) -> str:
    return hashlib.sha1(b"%s %d\0%s" % (kind, len(data), data), usedforsecurity=False).hexdigest()


def _reported(repository: Path, week: Week, hosts: Sequence[str]) -> dict[str, list["Made"]]:
    """Store what these hosts told, and return when each told which report."""
    told, pack = list(week.reports()), Pack()
    templates = [{path: Template(week.host, data, pack) for path, data in one.files.items()} for one in told]
    found = {host: list(_line(host, told, templates, pack)) for host in hosts}
    refs = {f"refs/heads/hosts/{host}": line[-1].commit for host, line in found.items()}
    pack.write(repository, refs)
    return found


def _line(
    host: str, told: Sequence[Told], templates: Sequence[Mapping[str, Template]], pack: Pack
) -> Iterator["Made"]:
    commits: list[str] = []
    files: dict[str, str] = {}
    runs: dict[str, str] = {}
    tree = ""
    for one, made in zip(told, templates, strict=True):
        for path, template in made.items():
            oid = template.of(host, commits, pack)
            folder, _, name = path.rpartition("/")
            (runs if folder else files)[name] = oid
        if made:
            below = {"runs": pack.add(b"tree", _tree(runs))} if runs else {}
            tree = pack.add(b"tree", _tree(files, below))
        message = commit_message(f"{host}: a report", {"Host": host, "Policy-Commit": one.policy, **one.more})
        after = commits[-1] if commits else ""
        commits.append(pack.add(b"commit", _commit(host, tree, after, one.at, message)))
        yield Made(one.at, commits[-1], one.policy)


def _tree(files: Mapping[str, str], folders: Mapping[str, str] | None = None) -> bytes:
    rows = [(name, b"100644", oid) for name, oid in files.items()]
    rows += [(f"{name}/", b"40000", oid) for name, oid in (folders or {}).items()]
    return b"".join(
        b"%s %s\0%s" % (mode, name.rstrip("/").encode(), bytes.fromhex(oid))
        for name, mode, oid in sorted(rows)
    )


def _commit(who: str, tree: str, after: str, at: datetime, message: str) -> bytes:
    by = f"{who} <{who}@{who}> {int(at.timestamp())} +0000"
    parent = f"parent {after}\n" if after else ""
    head = f"tree {tree}\n{parent}author {by}\ncommitter {by}\n".encode()
    body = f"\n{message}".encode()
    signature = signed_by(who, head + body).replace(b"\n", b"\n ")
    return head + b"gpgsig " + signature + b"\n" + body


def _changed(at: datetime, files: Mapping[str, str]) -> bytes:
    """Return what ``git fast-import`` makes a commit of the policy of."""
    who = f"Ada <ada@example.org> {int(at.timestamp())} +0000"
    parts = [f"commit refs/heads/main\ncommitter {who}\ndata 6\nchange\n".encode()]
    for path, text in files.items():
        data = text.encode()
        parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    return b"".join(parts)
