"""Who wrote a line of a policy, and the commit that brought it onto its first-parent line."""

from pathlib import Path

import pytest

from reconciler.gitops.authorship import Place, authorship
from reconciler.gitops.git import Git
from tests.edge.gitops.bench import git


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "policy")
    return tmp_path / "policy"


def commit(policy: Path, who: str, text: str, subject: str) -> str:
    (policy / "a.yaml").write_text(text)
    git(policy, "add", "-A")
    variables = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", who), ("EMAIL", f"{who}@example.org"), ("DATE", "2026-11-02T08:00:00Z"))
    }
    git(policy, "commit", "--quiet", "-m", subject, **variables)
    return git(policy, "rev-parse", "HEAD")


def lines(policy: Path) -> list[str]:
    return git(policy, "log", "--first-parent", "--format=%H").split()


def test_a_line_is_of_who_changed_it_last_and_came_with_the_merge(policy: Path) -> None:
    first = commit(policy, "ada", "kind: Policy\nname: p\n", "begin")
    git(policy, "checkout", "--quiet", "-b", "topic")
    changed = commit(policy, "ben", "kind: Policy\nname: q\n", "call it q\n\nfor a reason")
    git(policy, "checkout", "--quiet", "main")
    git(policy, "commit", "--quiet", "--allow-empty", "-m", "meanwhile")
    git(policy, "merge", "--quiet", "--no-ff", "-m", "merge topic", "topic")
    merge = commit(policy, "ada", "kind: Policy\nname: q\n# later\n", "later") and lines(policy)[1]
    found = authorship(Git(policy / ".git"), Place("a.yaml", 2, "main"), lines(policy))
    assert found is not None
    assert (found.commit, found.author, found.subject) == (changed, "ben <ben@example.org>", "call it q")
    assert found.accepted == merge
    assert f"{found.at:%Y-%m-%d %H:%M %Z}" == "2026-11-02 08:00 UTC"
    begun = authorship(Git(policy / ".git"), Place("a.yaml", 1, "main"), lines(policy))
    assert begun is not None
    assert (begun.commit, begun.accepted) == (first, first)


@pytest.mark.parametrize("place", [("b.yaml", 1), ("a.yaml", 99)])
def test_what_is_not_there_is_nobodys(policy: Path, place: tuple[str, int]) -> None:
    commit(policy, "ada", "kind: Policy\nname: p\n", "begin")
    assert authorship(Git(policy / ".git"), Place(*place, "main"), lines(policy)) is None


def test_a_document_is_of_who_changed_it_last_also_by_taking_something_out(policy: Path) -> None:
    hold = (
        "# ours\nkind: Exception\nmatch: {name: web-01}\nexpires: 2026-12-01\n---\nkind: Exception\nname: b\n"
    )
    commit(policy, "ada", hold, "hold it on web-01")

    def told(line: int) -> tuple[str, str]:
        place = Place("a.yaml", line, "main", is_document=True)
        found = authorship(Git(policy / ".git"), place, lines(policy))
        assert found is not None
        assert found.accepted == found.commit
        return found.author, found.subject

    assert told(2) == ("ada <ada@example.org>", "hold it on web-01")
    longer = hold.replace("2026", "2099")
    commit(policy, "ben", longer, "hold it for ever")
    assert told(2) == ("ben <ben@example.org>", "hold it for ever")
    wider = longer.replace("match: {name: web-01}\n", "")
    commit(policy, "eve", wider, "hold it everywhere")
    commit(policy, "ann", wider.replace("name: b", "name: c"), "another one")
    assert told(2) == ("eve <eve@example.org>", "hold it everywhere")
    assert told(5) == ("ann <ann@example.org>", "another one")
    (policy / "a.yaml").unlink()
    git(policy, "commit", "--quiet", "-am", "gone")
    assert authorship(Git(policy / ".git"), Place("a.yaml", 2, "main", is_document=True), ()) is None
