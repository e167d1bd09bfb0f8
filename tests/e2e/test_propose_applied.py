"""From a package on offer to its pull request, its merge and its run, on a real small machine."""

import json
from pathlib import Path

import pytest

from reconciler.cli import main
from tests.e2e.site import BEFORE, Site, git
from tests.e2e.test_apply import host, machine, moved, offer, runs, tick, want
from tests.labs.apt import MAIN, AptLab, Deb
from tests.labs.forge import TOKEN, Forge, serving
from tests.labs.signing import Key

__all__ = ["host", "machine"]  # fixtures
BRANCH = "proposals/web-01"


def enrolled(site: Site, lab: AptLab, key: Key) -> None:
    """Have the host sign its reports, and the policy know its key."""
    reports = {"remote": str(site.reports), "signing_key": key.settings["user.signingkey"]}
    site.configure(environment=lab.environment, reports=reports)
    site.commit({"hosts/web-01.yaml": f"kind: Host\nname: web-01\nreport_key: {key.public}\n"})


def console(site: Site, forge: Forge) -> Path:
    """Return the configuration of the machine that proposes."""
    (site.folder / "token").write_text(TOKEN, encoding="utf-8")
    (site.folder / "token").chmod(0o600)
    told = {
        "host": "console",
        "policy": {"remote": str(site.policy)},
        "reports": {"remote": str(site.reports)},
        "state_dir": str(site.folder / "console"),
        "log_dir": str(site.folder / "console-log"),
        "proposals": {
            "forge": forge.kind,
            "api": forge.api,
            "repository": "ops/policy",
            "file": f"{site.folder}/token",
        },
    }
    path = site.folder / "console.yaml"
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


def test_what_was_merged_is_what_the_host_applies_and_nothing_else(
    host: Site, machine: AptLab, ada: Key, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled(host, machine, ada)
    offer(machine, Deb("one", "1.1"), Deb("two", "1.1"))
    want(host, "one", policy="approval: required\n")
    with serving(Forge("github", repository=host.policy)) as forge:
        config = str(console(host, forge))

        def propose() -> str:
            capsys.readouterr()
            assert main(["--config", config, "approve", "--propose"]) == 0
            return capsys.readouterr().out

        waits = tick(host, BEFORE)
        assert waits.runs == ()
        assert "opened" in propose()
        body = forge.standing()[BRANCH]["body"]
        assert "| `one:" in body
        assert "two" not in body
        assert f"- Plan: `{waits.report.plan.digest}`" in body

        # The world moves before anybody merges, and the pull request with it.
        machine.publish(MAIN, Deb("one", "1.2"))
        later = tick(host)
        assert (later.report.decision.outcome, later.runs) == ("approval", ())
        assert "updated" in propose()
        assert forge.standing()[BRANCH]["number"] == 1
        assert f"- Plan: `{later.report.plan.digest}`" in forge.standing()[BRANCH]["body"]

        git(host.policy, "merge", "-q", "--no-ff", "-m", "approve", BRANCH)
        forge.finish(BRANCH, is_merged=True)
        assert "it was merged" in propose()  # and the host has yet to see it
        assert [one.outcome for one in tick(host).runs] == ["applied"]
        assert moved(runs(host)[-1]) == {"one": "1.2"}
        assert (machine.versions()["one"], machine.versions()["two"]) == ("1.2", "1.0")
        assert propose() == "no plan waits for an approval\n"
        assert forge.standing() == {}
        assert git(host.policy, "for-each-ref", "refs/heads/proposals") == ""
        subjects = git(host.policy, "log", "--format=%s", "-3").splitlines()
        assert subjects[0] == "approve"
        assert f"Approve plan {later.report.plan.digest[7:19]}" in subjects


def test_a_pull_request_of_yesterdays_plan_approves_nothing_of_today(
    host: Site, machine: AptLab, ada: Key
) -> None:
    enrolled(host, machine, ada)
    offer(machine, Deb("one", "1.1"))
    want(host, "one", policy="approval: required\n")
    tick(host, BEFORE)
    with serving(Forge("gitlab", repository=host.policy)) as forge:
        config = str(console(host, forge))
        assert main(["--config", config, "approve", "--propose"]) == 0
        git(host.policy, "merge", "-q", "--no-ff", "-m", "approve", BRANCH)
        forge.finish(BRANCH, is_merged=True)
        machine.publish(MAIN, Deb("one", "1.2"))
        assert tick(host).runs == ()
        assert machine.versions()["one"] == "1.0"
        assert main(["--config", config, "approve", "--propose"]) == 0
        assert list(forge.standing()) == [BRANCH]
        assert len(forge.pulls) == 2
