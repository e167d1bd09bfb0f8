"""A report branch that somebody else has written to is continued, and nothing of it is obeyed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.gitops.report_tree import ReportPath, import_stream, read_files
from reconciler.reconcile.ports.reports import NOBODY, Commit, NothingNew, Pushed, Writer
from tests.edge.gitops.bench import NOW, Repository, git

WEB = "hosts/web-01"
OID = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def sink(tmp_path: Path, reports: Repository) -> ReportQueue:
    """The queue of host web-01, not made yet: it continues what the remote has."""
    return ReportQueue(tmp_path / "state" / "reports.git", str(reports.path), Identity("web-01"))


def tree_of(repository: Path, branch: str = WEB) -> list[str]:
    return git(repository, "ls-tree", "-rz", "--name-only", branch).rstrip("\0").split("\0")


def reported(sink: ReportQueue, text: bytes = b"{}") -> None:
    answer = sink.commit(WEB, {"report.json": text}, "mine\n", NOW, keep_runs=20)
    assert isinstance(answer, Commit)
    assert sink.push(timeout=20) == Pushed((WEB,))


def test_of_a_foreign_report_only_as_much_is_read_as_fits_into_memory(
    sink: ReportQueue, reports: Repository
) -> None:
    reported(sink)
    text = '{"host": {"facts": {"boot_id": "b", "machine_id": "m"}}, "rest": [%s0]}'
    for times, writer in ((1, Writer("m", "b")), (3 * 2**20, NOBODY)):
        reports.commit({"report.json": text % ("{}," * times)}, branch=WEB)
        found = sink.standing(WEB, timeout=20, ask=True)
        assert found is not None
        assert found.writer == writer


def test_a_foreign_report_that_is_adopted_is_read_by_its_values_too(
    sink: ReportQueue, reports: Repository
) -> None:
    """Millions of empty values are a few bytes each, and a hundred in memory."""
    for times, is_read in ((1, True), (2 * 10**6, False)):
        text = '{"rest": [%s0]}' % ("{}," * times)
        reports.commit({"report.json": text}, branch=WEB)
        again = ReportQueue(sink.queue.with_name(f"again-{times}"), str(reports.path), Identity("web-01"))
        found = again.last(WEB)
        assert found is not None
        assert bool(found.data) == is_read


@pytest.mark.parametrize(
    "command",
    [
        "reset refs/heads/hosts/db-02\nfrom {forged}\n\n",
        "reset config\nfrom {forged}\n\n",
        "reset packed-refs\nfrom {forged}\n\n",
        "reset objects/info/alternates\nfrom {forged}\n\n",
    ],
)
def test_a_file_name_is_no_command_of_git(sink: ReportQueue, reports: Repository, command: str) -> None:
    forged = reports.commit({"report.json": '{"forged": true}'}, branch=WEB)
    again = f"\n\ncommit refs/heads/{WEB}\ncommitter x <x@y> 0 +0000\ndata 0\nD runs/x"
    name = "runs/0\n" + command.format(forged=forged).rstrip("\n") + again
    many = {f"runs/{number}.json": "x" for number in range(10, 35)}
    reports.commit({name: "x", "report.json": "{}", **many}, branch=WEB)
    reported(sink, b'{"mine": 1}')
    reported(sink, b'{"mine": 2}')
    assert git(reports.path, "for-each-ref", "--format=%(refname)") == f"refs/heads/{WEB}"
    assert git(sink.queue, "for-each-ref", "--format=%(refname)", "refs/heads") == f"refs/heads/{WEB}"
    assert not (sink.queue / "objects/info/alternates").exists()
    assert tree_of(reports.path) == ["report.json", *sorted(many)[5:]]
    git(sink.queue, "fsck", "--strict")


@pytest.mark.parametrize(
    "name",
    [
        'runs/"quoted".json',
        "runs/tab\there.json",
        "runs/-first.json",
        "runs/a b.json",
        "runs/\\n.json",
        "runs/deep/er.json",
        "runs/ü.json",
        "other/file",
        "unknown.json",
        "-x",
        "100755:runs/executable.json",
        "120000:runs/link.json",
        "160000:runs/submodule.json",
    ],
)
def test_what_is_no_file_of_a_report_is_left_behind(
    sink: ReportQueue, reports: Repository, name: str
) -> None:
    content = reports.commit({"x": "y"}, branch="other") if name.startswith("160000:") else "/etc/shadow"
    theirs = reports.commit({"report.json": "{}", "runs/1.json": "1", name: content}, branch=WEB)
    reported(sink, b"mine")
    assert tree_of(reports.path) == ["report.json", "runs/1.json"]
    assert git(reports.path, "rev-parse", f"{WEB}^") == theirs, "and history keeps it"


@pytest.mark.parametrize("name", ["report.json/x", "120000:report.json", "160000:report.json", "runs"])
def test_something_else_under_the_name_of_a_report_counts_as_none(
    sink: ReportQueue, reports: Repository, name: str
) -> None:
    content = reports.commit({"x": "y"}, branch="other") if name.startswith("160000:") else "/etc/shadow"
    reports.commit({name: content}, branch=WEB)
    last = sink.last(WEB)
    assert last is not None
    assert not last.data.startswith(b"{")
    reported(sink)
    assert tree_of(reports.path) == ["report.json"]
    again = sink.commit(WEB, {"report.json": b"{}"}, "same\n", NOW, keep_runs=5)
    assert again == NothingNew(reports.head(WEB))


def test_a_huge_report_or_message_of_theirs_counts_as_none(sink: ReportQueue, reports: Repository) -> None:
    tree = git(reports.path, "mktree", stdin="")
    message = "x" * (65 * 1024 * 1024)
    oid = git(reports.path, "commit-tree", tree, stdin=message)
    git(reports.path, "update-ref", f"refs/heads/{WEB}", oid)
    last = sink.last(WEB)
    assert last is not None
    assert (last.oid, last.data) == (oid, b"")
    reported(sink)


def test_a_tree_larger_than_any_of_ours_is_not_continued_but_its_history_is(
    sink: ReportQueue, reports: Repository
) -> None:
    blob = git(reports.path, "hash-object", "-w", "--stdin", stdin="x")
    stem = "a" * 180
    runs = git(
        reports.path, "mktree", stdin="".join(f"100644 blob {blob}\t{stem}{n:06}\n" for n in range(75_000))
    )
    top = git(reports.path, "mktree", stdin=f"040000 tree {runs}\truns\n")
    theirs = git(reports.path, "commit-tree", "-m", "many", top)
    git(reports.path, "update-ref", f"refs/heads/{WEB}", theirs)
    reported(sink)
    assert tree_of(reports.path) == ["report.json"]
    assert git(reports.path, "rev-parse", f"{WEB}^") == theirs


@given(st.lists(st.binary(max_size=40).filter(lambda name: b"\0" not in name), max_size=5))
def test_no_foreign_name_reaches_the_stream(names: list[bytes]) -> None:
    listed = b"".join(b"100644 blob %s\t%s\0" % (OID.encode(), name) for name in names)
    kept = read_files(listed)
    stream = import_stream(
        "refs/heads/x", (), committer="a <b>", when=NOW, message="m", kept=kept, written={}
    )
    lines = stream.decode("ascii").splitlines()
    assert lines[-1] == "done"
    assert len(lines) == 9 + len(kept)
    for line in lines[6 : 6 + len(kept)]:
        assert ReportPath(line.removeprefix(f"M 100644 {OID} ")) in kept


@pytest.mark.parametrize("host", ["web-01\nreset refs/heads/main", "x> <y", "Web", ""])
def test_an_author_is_a_host(host: str) -> None:
    with pytest.raises(Exception, match="no host or guest id"):
        Identity(host)
