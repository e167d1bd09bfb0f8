"""Hooks, health and rollback around a real change of a real small machine."""

import json
import socket
from pathlib import Path

import pytest

from tests.e2e.site import Site, git
from tests.e2e.test_apply import INSIDE, host, machine, moved, offer, runs, tick, want
from tests.labs.apt import MAIN, AptLab, Deb

__all__ = ["host", "machine"]


def test_hooks_run_around_the_change_and_know_what_it_is_about(host: Site, machine: AptLab) -> None:
    seen = host.folder / "seen"
    for stage in ("pre", "post"):
        version = f"dpkg-query --admindir={machine.admin} -Wf '${{Version}}' plain"
        host.hook(stage, "10-tell", f'{{ echo "$PATCHLEDGER_STAGE $({version})"; cat; }} >>{seen}.{stage}')
    want(host, "plain")
    (record,) = tick(host).runs
    assert (record.outcome, [one.outcome for one in record.hooks]) == ("applied", ["ok", "ok"])
    before, after = (Path(f"{seen}.{stage}").read_text().split("\n", 1) for stage in ("pre", "post"))
    assert (before[0], after[0]) == ("pre 1.0", "post 1.1")
    assert [move["name"] for move in json.loads(before[1])["transaction"]] == ["plain"]
    assert json.loads(after[1])["outcome"] == "applied"
    assert moved(json.loads(after[1])) == {"plain": "1.1"}


@pytest.mark.parametrize(
    ("choice", "outcome", "version"),
    [("abort", "failed", "1.0"), ("skip", "vetoed", "1.0"), ("ignore", "applied", "1.1")],
)
def test_a_pre_hook_may_veto(host: Site, machine: AptLab, choice: str, outcome: str, version: str) -> None:
    host.hook("pre", "10-import", "echo the import is running; exit 1")
    post = host.folder / "post-ran"
    host.hook("post", "10-start", f"touch {post}")
    want(host, "plain", policy=f"hooks: {{on_pre_failure: {choice}}}\n")
    done = tick(host)
    (record,) = done.runs
    assert (record.outcome, machine.versions()["plain"]) == (outcome, version)
    assert bool(done.failures) == (choice == "abort")
    assert post.exists()
    page = git(host.reports, "show", f"hosts/web-01:runs/{record.run}.md")
    assert "the import is running" in page


def test_a_hook_that_hangs_forks_and_floods_is_ended_and_told(host: Site, machine: AptLab) -> None:
    host.hook("pre", "10-hang", "yes & yes & sleep 600")
    want(host, "plain", policy="hooks: {timeout: 2s}\n")
    (record,) = tick(host).runs
    assert (record.outcome, record.code, machine.versions()["plain"]) == ("failed", "pre-hook", "1.0")
    assert [one.outcome for one in record.hooks] == ["timed-out"]
    assert len(record.hooks[0].output) <= 65536


def test_what_broke_by_the_update_is_told_and_what_was_broken_before_is_not(
    host: Site, machine: AptLab
) -> None:
    host.hook("health", "10-site", f"grep -q old {machine.root}/etc/site.conf")
    host.hook("health", "20-ever-broken", "exit 1")
    old = Deb("site", "1.0", files={"etc/site.conf": "old\n"})
    machine.install(old)
    machine.publish(MAIN, Deb("site", "1.1", files={"etc/site.conf": "new\n"}))
    machine.refresh()
    want(host, "site", policy="health: {settle: 0s}\n")
    done = tick(host)
    (record,) = done.runs
    assert (record.outcome, record.code) == ("failed", "unhealthy")
    assert [one.name for one in record.unhealthy] == ["script 10-site"]
    assert machine.versions()["site"] == "1.1"
    assert done.failures
    # The very same plan is not tried again, and nothing else changed.
    assert tick(host, INSIDE.replace(minute=40)).runs == ()


def test_an_unhealthy_host_is_rolled_back_to_the_versions_from_before(host: Site, machine: AptLab) -> None:
    host.hook("health", "10-site", f"grep -q old {machine.root}/etc/site.conf")
    old = Deb("site", "1.0", files={"etc/site.conf": "old\n"})
    machine.install(old)
    machine.publish(MAIN, old, Deb("site", "1.1", files={"etc/site.conf": "new\n"}))
    machine.refresh()
    want(host, "site", "plain", policy="on_failure: rollback\nhealth: {settle: 0s}\n")
    machine.publish(MAIN, Deb("plain", "1.0"))
    machine.refresh()
    done = tick(host)
    (record,) = done.runs
    assert (record.outcome, record.code) == ("rolled-back", "unhealthy")
    assert record.rollback is not None
    assert (record.rollback.left, record.rollback.healthy) == ((), True)
    assert (machine.versions()["site"], machine.versions()["plain"]) == ("1.0", "1.0")
    fates = {update.name: update.disposition for update in done.report.plan.updates}
    assert (fates["site"], fates["plain"]) == ("held", "held")
    assert tick(host, INSIDE.replace(minute=40)).runs == ()
    assert runs(host)[-1]["outcome"] == "rolled-back"


def test_what_cannot_be_undone_is_said(host: Site, machine: AptLab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stop = host.folder / "stop"
        host.hook("health", "10-port", f"test ! -e {stop}")
        scripts = {"postinst": f"touch {stop}"}
        offer(machine, Deb("site", "1.1", scripts=scripts))
        want(
            host,
            "site",
            policy=f'on_failure: rollback\nhealth: {{settle: 0s, tcp: ["127.0.0.1:{port}"]}}\n',
        )
        (record,) = tick(host).runs
    assert (record.outcome, record.code) == ("failed", "unhealthy")
    assert record.rollback is not None
    assert [move.name for move in record.rollback.left] == ["site"]
    assert "not undone: site" in record.reason
    assert machine.versions()["site"] == "1.1"
