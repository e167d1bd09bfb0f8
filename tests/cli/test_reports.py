"""``reports repair``: a person joins a report branch that somebody else has changed."""

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema
from reconciler.gitops.report_queue import Identity, ReportQueue
from tests.edge.gitops.bench import NOW, Repository, git

WEB = "hosts/web-01"


class Host:
    """A host that has pushed two reports, and its report repository."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.reports = Repository.create(folder / "reports.git")
        self.config = folder / "config.yaml"
        self.configure(str(self.reports.path))
        (folder / "state").mkdir(mode=0o700)
        self.sink = ReportQueue(folder / "state/reports.git", str(self.reports.path), Identity("web-01"))
        self.report(1)
        self.report(2)

    def configure(self, remote: str | None) -> None:
        whole = {
            "host": "web-01",
            "policy": {"remote": "/nowhere"},
            "reports": {"remote": remote} if remote else {},
            "state_dir": str(self.folder / "state"),
        }
        self.config.write_text(json.dumps(whole), encoding="utf-8")
        self.config.chmod(0o600)

    def report(self, number: int, *, push: bool = True) -> None:
        files = {"report.json": b"%d" % number, f"runs/{number}.json": b"{}"}
        self.sink.commit(WEB, files, f"report {number}\n", NOW, keep_runs=9)
        if push:
            self.sink.push(timeout=20)

    def rewrite(self) -> str:
        """Let somebody else put another history in the place of the branch, and return its head."""
        files = {"report.json": "foreign", "runs/7.json": "{}"}
        return self.reports.commit(files, branch=WEB, parents=(), subject="foreign\x1b[2J")

    def run(self, *arguments: str) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = main(["--config", str(self.config), "reports", "repair", *arguments])
        said = self.capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, capsys)


def test_where_nothing_is_wrong_there_is_nothing_to_repair(host: Host) -> None:
    assert host.run() == (0, f"{WEB}: nothing to repair\n", "")
    assert host.run("--dry-run") == (0, f"{WEB}: nothing to repair\n", "")


def test_two_histories_are_joined_and_no_commit_is_dropped(host: Host) -> None:
    host.report(3, push=False)
    ours, theirs = git(host.sink.queue, "rev-parse", WEB), host.rewrite()
    code, out, err = host.run("--dry-run")
    assert (code, err) == (0, "")
    assert "holds a report there that this host does not know" in out
    assert "another machine writes this branch too" in out
    assert "restored from a backup" in out
    assert "nothing was done" in out
    assert "\x1b" not in out
    assert host.reports.head(WEB) == theirs
    code, out, err = host.run()
    assert (code, err) == (0, "")
    assert "no commit was dropped" in out
    assert "an id of its own" in out
    assert git(host.reports.path, "rev-parse", f"{WEB}^1", f"{WEB}^2").split() == [theirs, ours]
    assert git(host.reports.path, "log", "-1", "--format=%(trailers:key=Rejoined,valueonly)", WEB) == theirs
    assert host.reports.show(f"{WEB}:report.json") == "3"
    names = git(host.reports.path, "ls-tree", "-r", "--name-only", WEB).split()
    assert names == ["report.json", *(f"runs/{number}.json" for number in (1, 2, 3, 7))]
    assert host.run() == (0, f"{WEB}: nothing to repair\n", "")


def test_a_restored_queue_continues_what_it_has_forgotten(host: Host) -> None:
    shutil.copytree(host.sink.queue, host.folder / "backup")
    host.report(3)
    newest = host.reports.head(WEB)
    shutil.rmtree(host.sink.queue)
    (host.folder / "backup").rename(host.sink.queue)
    code, out, _ = host.run()
    assert code == 0
    assert "continued from there" in out
    assert git(host.sink.queue, "rev-parse", WEB) == newest == host.reports.head(WEB)


def test_a_branch_that_is_gone_is_sent_again(host: Host) -> None:
    head = host.reports.head(WEB)
    git(host.reports.path, "update-ref", "-d", f"refs/heads/{WEB}")
    assert host.run() == (0, f"{WEB}: its reports were sent again\n", "")
    assert host.reports.head(WEB) == head


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_as_data_it_is_as_its_schema_says(host: Host, arguments: tuple[str, ...]) -> None:
    ours, theirs = host.reports.head(WEB), host.rewrite()
    code, out, _ = host.run("--format", "json", *arguments)
    document = json.loads(out)
    Draft202012Validator(schema("reports-repair")).validate(document)
    (branch,) = document["branches"]
    assert (code, branch["branch"], branch["dry_run"]) == (0, WEB, bool(arguments))
    assert (branch["found"]["ours"], branch["found"]["theirs"]) == (ours, theirs)
    assert (branch["joined"] == host.reports.head(WEB)) is not bool(arguments)
    again = json.loads(host.run("--format", "json")[1])
    assert (again["branches"][0]["found"] is None) is not bool(arguments)


@pytest.mark.root
def test_its_exit_codes(host: Host) -> None:
    host.rewrite()
    host.configure("ssh://127.0.0.1:9/reports.git")
    code, out, err = host.run()
    assert (code, out) == (5, "")
    assert "cannot be reached" in err
    host.configure(str(host.folder / "nowhere.git"))
    assert host.run()[0] == 1
    host.configure(None)
    code, _, err = host.run()
    assert code == 2
    assert "reports.remote" in err
