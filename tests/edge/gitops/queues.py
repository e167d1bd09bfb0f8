"""A report queue with a few reports, and ways to damage its files."""

import json
import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

from reconciler.gitops.git import GitAccess
from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.planning.text.untrusted import commit_message
from reconciler.reconcile.ports.reports import Commit, Pushed
from tests.edge.gitops.bench import NOW, git

WEB = "hosts/web-01"
_NO_NETWORK = (
    'case " $* " in *" fetch "* | *" push "* | *" ls-remote "*)'
    " echo 'fatal: unable to access: Could not resolve host' >&2; exit 128 ;; esac"
)
RUN = "20261122T020100Z-0123456789ab"
COUNT = 4


class Queue:
    """A queue of host web-01 that holds four reports, the second of which tells of a run."""

    def __init__(self, folder: Path, remote: Path, key: str = "") -> None:
        self.path = folder / "state" / "reports.git"
        self.remote = remote
        self.key = key
        self.no_network = folder / "no network"
        self.options: GitAccess | None = None

    def sink(self, *, is_away: bool = False) -> ReportQueue:
        """Return the queue, with the remote out of reach or not."""
        if is_away and not self.no_network.exists():
            with_git(self.no_network, _NO_NETWORK)
        options = GitAccess(environment=_path_with(self.no_network)) if is_away else self.options
        return ReportQueue(self.path, str(self.remote), Identity("web-01", self.key), options)

    def fill(self, *, pushed: int) -> None:
        for number in range(COUNT):
            self.report(self.sink(is_away=True), number)
            if number == pushed - 1:
                assert self.sink().push(timeout=20) == Pushed((WEB,))

    def report(self, sink: ReportQueue, number: int) -> None:
        when = NOW + timedelta(minutes=number)
        document = {"target": "web-01", "generated_at": when.isoformat(), "number": number}
        files = {"report.json": json.dumps(document).encode(), "report.md": b"report %d" % number}
        ran = number == 1
        if ran:
            files |= {
                f"runs/{RUN}.json": json.dumps({"run": RUN, "difference": {}}).encode(),
                f"runs/{RUN}.log": b"said",
            }
        trailers = {"Host": "web-01", "Run": RUN if ran else ""}
        message = commit_message(f"report {number}", {key: it for key, it in trailers.items() if it})
        assert isinstance(sink.commit(WEB, files, message, when, keep_runs=5), Commit)

    def objects(self) -> list[Path]:
        return sorted(path for path in (self.path / "objects").glob("??/*") if path.is_file())

    def remote_has(self, path: Path) -> bool:
        """Say whether the server has what lies in a loose object of the queue."""
        return (self.remote / path.relative_to(self.path)).exists()

    def told(self) -> list[int]:
        """Return the numbers of the reports on the server, oldest first."""
        numbers = []
        for oid in git(self.remote, "rev-list", "--reverse", "--first-parent", WEB).split():
            shown = subprocess.run(
                ["git", "-C", str(self.remote), "show", f"{oid}:report.json"],
                capture_output=True,
                check=False,
            )
            if not shown.returncode:
                numbers.append(int(json.loads(shown.stdout)["number"]))
        return list(dict.fromkeys(numbers))

    def subjects(self) -> list[str]:
        return git(self.remote, "log", "--reverse", "--format=%s", WEB).splitlines()

    def runs(self) -> list[str]:
        return git(self.remote, "ls-tree", "--name-only", WEB, "runs/").split()


WAYS = ("delete", "truncate", "zero", "flip")


def spoil(path: Path, way: str) -> None:
    path.chmod(0o600)
    content = path.read_bytes()
    match way:
        case "delete":
            path.unlink()
        case "truncate":
            path.write_bytes(content[: len(content) // 2])
        case "zero":
            path.write_bytes(bytes(len(content)))
        case _:
            path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])


def with_git(folder: Path, first: str) -> GitAccess:
    """Have every ``git`` run a line of a shell first."""
    folder.mkdir()
    script = folder / "git"
    script.write_text(f'#!/bin/sh\n{first}\nexec {shutil.which("git")} "$@"\n')
    script.chmod(0o755)
    return GitAccess(environment=_path_with(folder))


def _path_with(folder: Path) -> dict[str, str]:
    return {"PATH": f"{folder}:{os.environ['PATH']}"}
