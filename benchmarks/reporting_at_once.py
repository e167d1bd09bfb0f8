"""A thousand hosts that report at the same moment to one repository, over ``file://``."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench, Row
from benchmarks.measure import Spread, measure

HOSTS = 1000
_AT_ONCE = 60
"""Hosts at work in the same moment: as many as a small machine has memory for."""

# Makes a queue with one report for each host, or has all of them push, and says how many needed one push.
PROGRAM = """\
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from reconciler.gitops.report_queue import Identity, ReportQueue, host_branch
from reconciler.planning.text.untrusted import commit_message
from reconciler.reconcile.ports.reports import Pushed
what, folder, count, workers = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
remote = f"file://{folder}/reports.git"
def queue(number):
    host = f"host-{number:04}"
    return host, ReportQueue(folder / "queues" / f"{host}.git", remote, Identity(host))
def commit(number):
    host, sink = queue(number)
    now = datetime.now(UTC)
    told = f"{host} {now.isoformat()} ".encode()
    files = {"report.json": told * 300, "observation.json": told * 5000}
    message = commit_message(f"{host}: nothing pending", {"Host": host})
    sink.commit(host_branch(host), files, message, now, keep_runs=5)
    return True
def push(number):
    host, sink = queue(number)
    return sink.push(timeout=600) == Pushed((host_branch(host),))
with ThreadPoolExecutor(workers) as pool:
    done = sum(pool.map({"commit": commit, "push": push}[what], range(count)))
print(f"done {done}")
"""
_HOOK = "#!/bin/sh\nexec >/dev/null\nmktemp %s/push.XXXXXXXX\n"
"""Leaves a file for each push that comes, whatever becomes of it."""


def reports_at_once(bench: Bench) -> Iterator[Row]:
    """Have a thousand hosts push their first report, and then another one, all at once."""
    folder = bench.installation.folder / "at-once"
    (folder / "pushes").mkdir(parents=True)
    (folder / "queues").mkdir()
    subprocess.run(
        ["git", "init", "-q", "--bare", str(folder / "reports.git")], check=True, env=dict(os.environ)
    )
    hook = folder / "reports.git" / "hooks" / "pre-receive"
    hook.write_text(_HOOK % (folder / "pushes"), encoding="utf-8")
    hook.chmod(0o755)
    for what in ("first report", "next report"):
        yield from _round(bench, folder, what)


def _round(bench: Bench, folder: Path, what: str) -> Iterator[Row]:
    python = str(bench.installation.python)
    arguments = (str(folder), str(HOSTS), str(_AT_ONCE))
    for phase in ("commit", "push"):
        argv = (python, "-I", "-c", PROGRAM, phase, *arguments)
        done = measure(bench.command(phase, *argv, says=f"done {HOSTS}"), bench.output)
    pushes = list((folder / "pushes").iterdir())
    for one in pushes:
        one.unlink()
    yield Row("reports-at-once", f"{what}: pushes for each host", Spread.of([len(pushes) / HOSTS]), "×", 1)
    yield Row("reports-at-once", f"{what}: all, by the clock", Spread.of([done.wall]), "s")
    yield Row(
        "reports-at-once", f"{what}: CPU of both ends, each", Spread.of([done.cpu / HOSTS * 1000]), "ms"
    )
