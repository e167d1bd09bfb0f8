"""``policy impact`` of one changed policy among hundreds, on ten thousand generated hosts."""

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

from benchmarks.bench import WITNESS, Bench, Row, cpu, rss
from benchmarks.measure import Command, Spread, measure
from reconciler.planning.fleet import rows as fleet_rows
from reconciler.planning.fleet.summary import Head, Line, write_summary
from reconciler.planning.gates.recording import record, write
from reconciler.planning.reporting.document import Counts
from reconciler.planning.reporting.reader import read_report
from reconciler.planning.reporting.report import to_document
from reconciler.planning.text.layout import SCHEMA_VERSION
from tests.fakes import Build, PackageWorld, converse
from tests.policies import effective
from tests.report_samples import FACTS, INPUTS

HOSTS, DIGESTS, MANY_DIGESTS = 10_000, 300, 4_000
ROLES, SITES = 15, 10
"""Of these are the 150 classes of hosts that policy tells apart."""
POLICIES, EXCEPTIONS, SCHEDULES = 300, 100, 20
INSTALLED, OFFERED = 960, 119
"""Packages of a host that was measured, and its updates."""
_DOCUMENTS = 10_000
"""As many a policy may hold in all."""
_TURNS = 5
_AT = datetime(2026, 11, 22, 9, tzinfo=UTC)
_HEARD = datetime.now(UTC)
"""When the reports came: a fleet of which nothing was heard for a week costs a line of each host more."""
_SAID = f"of {HOSTS} hosts"


@dataclass(frozen=True, slots=True)
class Made:
    """What is compared.

    Attributes:
        policy: The clone; ``base`` and ``head`` are its branches.
        summary: A published summary of all hosts.
    """

    policy: Path
    summary: Path

    @classmethod
    def create(cls, folder: Path, *, are_documented: bool) -> "Made":
        """Make a policy with a change, and a summary.

        Args:
            folder: Does not exist.
            are_documented: Most hosts have a Host document, as many as a policy may hold.
        """
        policy = folder / "policy"
        documents = _documents(are_documented=are_documented)
        base = _commit_all(policy, documents, "base")
        changed = {"policies/000.yaml": documents["policies/000.yaml"].replace("3h", "1h")}
        _commit_all(policy, changed, "head")
        summary = folder / "summary.json"
        lines = [Line.of(row) for row in _rows(base, DIGESTS)]
        summary.write_bytes(write_summary(Head(base, policy_is_verified=True), lines))
        return cls(policy, summary)


def impact(bench: Bench) -> Iterator[Row]:
    """Judge a change that is about every host: from a summary, with Host documents, and from reports."""
    folder = bench.installation.folder / "impact"
    made = Made.create(folder / "plain", are_documented=False)
    command = _command(bench, made, "--summary", str(made.summary))
    floor = bench.command("policy check", bench.installation.patchledger, "policy", "check", str(made.policy))
    turns = bench.turns(command, floor, runs=_TURNS)
    what = f"{HOSTS} hosts, {POLICIES} policies, {ROLES * SITES} classes, {DIGESTS} resolutions"
    yield Row("impact", f"from a summary, {what}: CPU", turns.each(cpu, command), "s", 3.0, 1.5)
    ratio = turns.each(lambda mine, other: mine.cpu / other.cpu, command, floor)
    yield Row("impact", "the same ÷ `policy check` of the head", ratio, "×")
    yield Row("impact", "the same: peak RSS", turns.each(rss, command), "MiB", 200)
    yield Row("impact", "the same: processes started", Spread.of([_started(bench, command)]), "", 4)
    documented = Made.create(folder / "documented", are_documented=True)
    command = _command(bench, documented, "--summary", str(documented.summary))
    found = bench.turns(command, runs=_TURNS)
    number = _DOCUMENTS - POLICIES - EXCEPTIONS - SCHEDULES
    yield Row("impact", f"with {number} Host documents: CPU", found.each(cpu, command), "s", 6.0)
    yield Row("impact", "the same: peak RSS", found.each(rss, command), "MiB")
    yield from _from_reports(bench, made, folder)


def _from_reports(bench: Bench, made: Made, folder: Path) -> Iterator[Row]:
    base = _git(made.policy, "rev-parse", "base").decode().strip()
    reports = folder / "reports.git"
    _report(reports, list(_rows(base, DIGESTS)), DIGESTS)
    command = _command(bench, made, "--reports", str(reports))
    found = measure(command, bench.output)
    yield Row("impact", f"from reports, {DIGESTS} plans made again: CPU", Spread.of([found.cpu]), "s", 13.0)
    yield Row("impact", "the same: peak RSS", Spread.of([found.rss]), "MiB")
    many = folder / "many.git"
    _report(many, list(_rows(base, MANY_DIGESTS))[:MANY_DIGESTS], MANY_DIGESTS)
    command = _command(bench, made, "--reports", str(many), hosts=MANY_DIGESTS)
    found = measure(command, bench.output)
    figure = f"from {MANY_DIGESTS} reports, {MANY_DIGESTS} plans made again: CPU"
    yield Row("impact", figure, Spread.of([found.cpu]), "s", 40.0)


def _command(bench: Bench, made: Made, *source: str, hosts: int = HOSTS) -> Command:
    which = ("--base", "base", "--head", "head", "--at", _AT.isoformat())
    argv = ("policy", "impact", str(made.policy), *which, *source)
    name = f"policy impact {source[0]}"
    return bench.command(name, bench.installation.patchledger, *argv, says=f"of {hosts} hosts")


def _started(bench: Bench, command: Command) -> float:
    python = str(bench.installation.python)
    measure(
        bench.command("witness", python, "-I", "-c", WITNESS, *command.argv[1:], says=_SAID), bench.output
    )
    return float(bench.output.read_text(encoding="utf-8").split()[-2])


# --- what is judged -----------------------------------------------------------------------------------


def _labels(number: int) -> dict[str, str]:
    """Return the labels of a host: of its class, and one of its own that no policy asks for."""
    return {"role": f"r{number % ROLES}", "site": f"s{number // ROLES % SITES}", "serial": f"{number:05}"}


def _documents(*, are_documented: bool) -> dict[str, str]:
    found = {
        "policies/000.yaml": "kind: Policy\nname: everything\npriority: 900\naction: apply\n"
        "schedule: [night-00]\nmin_age: {other: 3h}\n"
    }
    for number in range(1, POLICIES):
        match = f"{{labels: {{role: r{number % ROLES}, site: s{number // ROLES % SITES}}}}}"
        found[f"policies/{number:03}.yaml"] = (
            f"kind: Policy\nname: policy-{number:03}\npriority: {number}\nmatch: {match}\n"
            f"schedule: [night-{number % SCHEDULES:02}]\nbudget: {30 + number % 30}m\n"
        )
    for number in range(EXCEPTIONS):
        found[f"exceptions/{number:03}.yaml"] = (
            f"kind: Exception\nname: hold-{number:03}\npackages: [package-{number:03}]\naction: hold\n"
            f"match: {{labels: {{role: r{number % ROLES}}}}}\nreason: a regression\nexpires: 2030-01-01\n"
        )
    for number in range(SCHEDULES):
        found[f"schedules/{number:02}.yaml"] = (
            f"kind: Schedule\nname: night-{number:02}\ntimezone: Europe/Berlin\n"
            f'windows: [{{start: "Sun {number:02}:00", duration: 3h}}]\n'
        )
    for number in range(_DOCUMENTS - len(found) if are_documented else 0):
        labels = json.dumps({"role": _labels(number)["role"]})  # a policy holds no more values
        found[f"hosts/{number:05}.yaml"] = f"kind: Host\nname: host-{number:05}\nlabels: {labels}\n"
    return found


def _rows(policy: str, digests: int) -> Iterator[fleet_rows.Row]:
    """Yield what a publisher knows of each host; the first ones have each a resolution of their own."""
    counts = Counts(
        OFFERED,
        20,
        pending=100,
        pending_security=20,
        installs=0,
        removals=0,
        held=1,
        waiting=18,
        not_selected=0,
        refused=0,
    )
    for number in range(HOSTS):
        name = f"host-{number:05}"
        oid = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
        digest = hashlib.sha256(f"{number % digests}".encode()).hexdigest()
        yield fleet_rows.Row(
            name,
            f"hosts/{name}",
            fleet_rows.TargetState.FINE,
            "outside of the windows of night-00",
            head=oid,
            tip=oid,
            tree=oid,
            key=f"SHA256:{oid}",
            heard=_AT - timedelta(minutes=number % 1_000),
            program="patchledger 0.1.0",
            policy_commit=policy,
            os="debian 12",
            manager="apt",
            labels=_labels(number),
            own_labels=_labels(number),
            resolution=f"sha256:{digest}",
            counts=counts,
            security={
                f"security-{one:02}:amd64=1.2-{number % digests}": _AT - timedelta(days=1)
                for one in range(20)
            },
        )


def _report(folder: Path, told: list[fleet_rows.Row], digests: int) -> None:
    """Make a report repository of hosts; those that are first with a resolution have a whole recording."""
    _git(folder.parent, "init", "-q", "--bare", folder.name)
    recording, sample = _recording(), _sample()
    with subprocess.Popen(
        ["git", "-C", str(folder), "fast-import", "--quiet", "--done"], stdin=subprocess.PIPE
    ) as importing:
        stream = cast("BinaryIO", importing.stdin)
        for number, row in enumerate(told):
            mine = recording.replace(b"package-", b"p%04d-" % number) if number < digests else b"{}\n"
            stream.write(_commit(row, _report_of(sample, row), mine))
        stream.write(b"done\n")
    if importing.returncode:
        raise SystemExit(f"git fast-import ended with {importing.returncode}")


def _commit(row: fleet_rows.Row, report: bytes, recording: bytes) -> bytes:
    when = int(_HEARD.timestamp())
    message = f"{row.target}: a report\n\nHost: {row.target}\nPolicy-Commit: {row.policy_commit}\n".encode()
    parts = [
        f"commit refs/heads/{row.branch}\ncommitter Ada <ada@example.org> {when} +0000\n".encode(),
        b"data %d\n%s\n" % (len(message), message),
    ]
    for path, data in (
        ("report.json", report),
        ("report.md", b"# a report\n"),
        ("observation.json", recording),
    ):
        parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    return b"".join(parts)


def _sample() -> Mapping[str, Any]:
    """Return a report of today's layout: an older one tells no resolution, and each host is a case then."""
    data = Path(__file__).with_name("report.json").read_bytes()
    return to_document(replace(read_report(data), schema=SCHEMA_VERSION))


def _report_of(sample: Mapping[str, Any], row: fleet_rows.Row) -> bytes:
    labels = dict(row.labels)
    told = {
        **sample,
        "target": row.target,
        "resolution": row.resolution,
        "policy_commit": row.policy_commit,
        "host": {**sample["host"], "labels": labels, "own_labels": labels},
    }
    return json.dumps(told).encode()


def _recording() -> bytes:
    """Return what a host with many packages recorded; a hundredth of its updates needs another one."""
    builds = [Build(f"package-{number:03}", "2", security=number % 6 == 0) for number in range(OFFERED)]
    installed = {f"package-{number:03}": "1" for number in range(INSTALLED)}
    world = PackageWorld(tuple(builds), installed)
    policy = effective(
        {"min_age": {"other": "3h"}}, exceptions=[{"packages": ["package-001"], "action": "hold"}]
    )
    seen = world.observe(_AT - timedelta(hours=2))
    exchanges = converse(world, seen, policy, _AT)
    made = record(seen, exchanges, INPUTS, FACTS, program="patchledger 0.1.0", now=_AT)
    return write(replace(made, target="host"))


def _commit_all(folder: Path, files: Mapping[str, str], branch: str) -> str:
    """Write files into a clone, commit them to a new branch, and return the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        _git(folder, "init", "-q", "-b", branch)
    else:
        _git(folder, "checkout", "-q", "-b", branch)
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    _git(folder, "add", "--all")
    _git(folder, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", branch)
    return _git(folder, "rev-parse", "HEAD").decode().strip()


def _git(folder: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
