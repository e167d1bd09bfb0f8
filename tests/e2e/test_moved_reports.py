"""A host whose report repository is another one than before, by an address or by a list of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli.wiring import quiet
from reconciler.policy.shards import ranked
from tests.e2e.site import POLICY, Site, git
from tests.replay import replay

Command = Callable[..., tuple[int, str, str]]
BRANCH = "hosts/web-01"


@pytest.fixture
def remotes(site: Site) -> list[Path]:
    """Three empty repositories, first the one that host web-01 chooses."""
    folders = [str(site.folder / f"reports-{number}.git") for number in range(3)]
    for path in folders:
        git(site.folder, "init", "-q", "--bare", "-b", "main", path)
    return [Path(path) for path in ranked("web-01", folders)]


def use(site: Site, *remotes: Path) -> None:
    site.configure(reports={"remote": [str(one) for one in remotes]})


def commits(remote: Path) -> list[str]:
    return git(remote, "rev-list", BRANCH).split()


def previous(remote: Path, commit: str) -> object:
    return json.loads(git(remote, "show", f"{commit}:report.json"))["previous"]


def trailer(remote: Path, commit: str) -> str:
    return git(remote, "show", "-s", "--format=%(trailers:key=Previous,valueonly)", commit).strip()


def is_quiet(site: Site) -> bool:
    return quiet.tick(("--config", str(site.config), "run")) == 0


def test_a_remote_more_moves_a_host_at_once_and_its_reports_name_the_one_of_before(
    site: Site, patchledger: Command, remotes: list[Path]
) -> None:
    own, second, third = remotes
    use(site, second, third)
    assert patchledger("run")[0] == 0
    patchledger("run")
    assert is_quiet(site)
    before = commits(second)
    use(site, third, own, second)
    assert not is_quiet(site)
    code, out, err = patchledger("run")
    assert code == 0, err
    assert f"pushed it to {own}" in out
    assert f"reports of {BRANCH} go to {own} from now on, and no more to {second}" in err
    (moved,) = commits(own)
    last = previous(own, moved)
    assert isinstance(last, dict)
    assert (last["commit"], last["remote"]) == (before[0], str(second))
    assert trailer(own, moved) == f"{second}@{before[0]}"
    assert commits(second) == before
    patchledger("run")
    assert is_quiet(site)
    asked = json.loads((site.state / "fingerprint.json").read_bytes())["reports"]
    assert (asked["folder"], asked["head"]) == (str(own), moved)
    site.commit({"policies/base.yaml": POLICY + "max_policy_age: 20d\n"})
    patchledger("run")
    newest, first = commits(own)
    assert first == moved
    later = previous(own, newest)
    assert isinstance(later, dict)
    assert (later["commit"], "remote" in later) == (moved, False)
    assert trailer(own, newest) == ""
    for remote in (second, own):
        assert [one for one in replay(remote, site.policy) if one.problem] == []


def test_reports_that_wait_for_a_remote_that_is_gone_go_to_the_next_one(
    site: Site, patchledger: Command, remotes: list[Path]
) -> None:
    own, second, _ = remotes
    use(site, second)
    patchledger("run")
    away = second.rename(second.with_name("away"))
    site.commit({"policies/base.yaml": POLICY + "max_policy_age: 20d\n"})
    assert patchledger("run")[0] != 0
    use(site, own, second)
    assert patchledger("run")[0] == 0
    moved = commits(own)
    assert commits(away) == moved[-1:]
    assert [one for one in replay(own, site.policy) if one.problem] == []
    chain = [previous(own, oid) for oid in moved]
    assert [one["commit"] if isinstance(one, dict) else None for one in chain] == [*moved[1:], None]


def test_a_host_that_lost_all_it_knew_and_moved_follows_its_reports(
    site: Site, patchledger: Command, remotes: list[Path]
) -> None:
    own, second, third = remotes
    use(site, second, third)
    patchledger("run")
    followed = git(site.policy, "rev-parse", "HEAD")
    before = commits(second)
    shutil.rmtree(site.state)
    git(site.policy, "checkout", "-q", "--orphan", "rewritten")
    git(site.policy, "commit", "-q", "-m", "of another history")
    git(site.policy, "branch", "-M", "rewritten", "main")
    use(site, own, second, third)
    code, out, err = patchledger("run")
    assert code == 3
    assert f"its own reports name commit {followed}" in out + err
    assert commits(second) == before


def test_doctor_asks_the_remote_that_is_the_hosts(
    site: Site, patchledger: Command, remotes: list[Path]
) -> None:
    own, second, third = remotes
    use(site, third, second, own)
    said = patchledger("doctor", "--format", "json")[1]
    assert f"reports may be pushed to {BRANCH} of {own}" in said
