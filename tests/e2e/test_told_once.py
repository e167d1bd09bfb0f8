"""What is committed of a run stays as it is: a tick that is ended after that makes no second record of it."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.host.state.folder import StateFolder
from tests.e2e.site import Site, git
from tests.e2e.test_apply import INSIDE, approval, host, machine, runs, start, tick, want
from tests.labs.apt import MAIN, AptLab, Deb

__all__ = ["host", "machine"]

LATER = INSIDE + timedelta(minutes=15)
AFTER = INSIDE + timedelta(hours=4)  # the window is closed: nothing is tried again


def told(folder: Path) -> list[str]:
    """Return the runs that the commits of a repository tell of."""
    return git(folder, "log", "--format=%(trailers:key=Run,valueonly)", "hosts/web-01").split()


def pull_the_plug_in_the_push_of_a_run(site: Site) -> Path:
    """Let the report repository end the tick that sends it a run; return the hook that does."""
    hook = site.reports / "hooks/pre-receive"
    hook.write_text(
        "#!/bin/sh\nread -r _ new _\n"
        f'if git log "$new" | grep -q " Run: "; then kill -9 "$(cat {site.state}/lock)"; exit 1; fi\n'
    )
    hook.chmod(0o755)
    return hook


@pytest.mark.parametrize("outcome", ["applied", "failed", "vetoed"])
def test_a_tick_that_is_ended_while_it_pushes_a_run_is_made_up_for(
    host: Site, machine: AptLab, outcome: str
) -> None:
    machine.install(Deb("one", "1.0"))
    scripts = {"postinst": "exit 1"} if outcome == "failed" else {}
    machine.publish(MAIN, Deb("one", "1.1", scripts=scripts))
    machine.refresh()
    seen = host.folder / "posts"
    host.hook("post", "10-count", f"cat >/dev/null; echo once >>{seen}")
    if outcome == "vetoed":
        host.hook("pre", "10-no", "exit 1")
    want(host, "one", policy="approval: required\nhooks: {on_pre_failure: skip}\n")
    host.commit({"approvals/one.yaml": approval('versions: {one: "1.1"}')})
    hook = pull_the_plug_in_the_push_of_a_run(host)
    with start(host) as child:
        child.communicate()
    assert child.returncode == -9
    assert (host.state / "journal.json").exists()
    (run,) = told(host.state / "reports.git")
    was = git(host.state / "reports.git", "show", f"hosts/web-01:runs/{run}.json")

    hook.unlink()
    done = tick(host, AFTER)
    assert [one.outcome for one in done.runs] == [outcome]
    assert bool(done.failures) == (outcome == "failed")
    assert told(host.reports).count(run) == 1
    assert git(host.reports, "show", f"hosts/web-01:runs/{run}.json") == was
    assert seen.read_text().splitlines() == ["once"]
    assert not (host.state / "journal.json").exists()
    # What the run leaves to remember is remembered.
    state = StateFolder(host.state).recall().state
    assert bool(state.used) == (outcome == "applied")
    assert bool(state.failed) == (outcome == "failed")
    assert tick(host, AFTER + timedelta(minutes=15)).runs == ()


def test_what_cannot_be_looked_at_after_a_step_is_told_at_once(
    host: Site, machine: AptLab, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    machine.install(Deb("one", "1.0"))
    machine.publish(MAIN, Deb("one", "1.1", scripts={"postinst": f"touch {flag}"}))
    machine.refresh()
    want(host, "one")
    tools = tmp_path / "bin"
    tools.mkdir()
    liar = tools / "dpkg-query"
    liar.write_text(
        f'#!/bin/sh\n[ ! -e {flag} ] || {{ echo nonsense; exit; }}\nexec /usr/bin/dpkg-query "$@"\n'
    )
    liar.chmod(0o755)
    path = f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin"
    host.configure(environment={**machine.environment, "PATH": path})
    done = tick(host)
    (record,) = runs(host)
    assert (record["outcome"], record["code"]) == ("failed", "not-seen")
    assert "could not be looked at: " in record["reason"]
    assert [step["exit_code"] for step in record["steps"]] == [0]
    assert len(done.failures) == 1
    # When it can be looked at again, what it came to is told as well, and nobody says that it was killed.
    flag.unlink()
    done = tick(host, LATER)
    (second, first) = runs(host)  # by the names of their files
    assert first == record
    assert (second["outcome"], second["run"]) == ("applied", f"{record['run']}-2")
    assert [move["to"] for move in second["difference"]["changed"]] == ["1.1"]
    assert "from outside" not in second["reason"]
    assert (done.failures, tick(host, LATER + timedelta(minutes=15)).runs) == ((), ())
