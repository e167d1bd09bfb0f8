"""Before each step the policy is fetched once more: it can stop a run that it let begin."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.site import POLICY, Site, git
from tests.e2e.test_apply import OTHERS, approval, host, machine, offer, runs, tick, want
from tests.labs.apt import AptLab, Deb
from tests.labs.signing import Key

__all__ = ["host", "machine"]

NAMES = tuple(f"part{number:02}" for number in range(12))  # three of them are a step
FREEZE = """\
kind: Freeze
name: emergency
from: 2026-11-20
until: 2036-11-30
timezone: UTC
reason: something burns
"""
HOLD = "kind: Exception\nname: no\npackages: part11\naction: hold\nreason: it breaks\nexpires: 2099-01-01\n"


def commit_in_the_first_step(site: Site, machine: AptLab, files: Mapping[str, str | None]) -> None:
    """Offer twelve packages; while the first is configured, the policy repository gets a commit."""
    for name, text in files.items():
        path = site.folder / "next" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or "")
    copies = "; ".join(
        f"mkdir -p $(dirname {site.policy}/{name}); cp {site.folder}/next/{name} {site.policy}/{name}"
        if text is not None
        else f"rm {site.policy}/{name}"
        for name, text in files.items()
    )
    author = "-c user.name=Ada -c user.email=ada@example.org"
    script = f"{copies}; cd {site.policy} && git add -A && git {author} commit -qm brake"
    offer(
        machine, *(Deb(one, "1.1", scripts={"postinst": script} if one == NAMES[0] else {}) for one in NAMES)
    )
    want(site, *NAMES, policy="approval: required\nstep_time: 10s\n")
    site.commit({"approvals/all.yaml": approval(f"versions: {dict.fromkeys(NAMES, '1.1')}")})


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({"freezes/emergency.yaml": FREEZE}, "freeze", "something burns"),
        ({"approvals/all.yaml": None}, "approval", "approv"),
        ({"policies/base.yaml": POLICY.replace("apply", "plan") + OTHERS}, "plan-only", "plan"),
        ({"exceptions/no.yaml": HOLD}, "policy-changed", "wants something else"),
    ],
)
def test_a_new_revision_stops_a_run_at_its_next_step(
    host: Site, machine: AptLab, files: Mapping[str, str | None], code: str, words: str
) -> None:
    commit_in_the_first_step(host, machine, files)
    done = tick(host)
    (record,) = runs(host)
    assert (record["outcome"], record["code"]) == ("partial", code), record["reason"]
    assert words in record["reason"]
    assert [len(step["changes"]) for step in record["steps"]] == [3]
    assert len(record["difference"]["changed"]) == 3
    # The report that tells of it is made by that revision, too.
    head = git(host.policy, "rev-parse", "HEAD")
    assert done.report.policy_commit == head
    (step,) = record["steps"]
    assert step["policy"]["commit"] == record["policy_commit"] != head
    assert step["policy"]["reason"] == ""


def test_a_host_that_is_retired_during_a_run_makes_no_further_step(
    host: Site, machine: AptLab, ada: Key
) -> None:
    host.commit({"hosts/web-01.yaml": f"kind: Host\nname: web-01\nreport_key: {ada.public}\n"})
    commit_in_the_first_step(host, machine, {"hosts/web-01.yaml": None})
    done = tick(host)
    (record,) = runs(host)
    assert (record["outcome"], record["code"]) == ("partial", "policy-changed")
    assert len(record["difference"]["changed"]) == 3
    assert "HostRetired" in {str(one.type) for one in done.report.conditions}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"policies/base.yaml": "kind: Policy\nname: base\nactoin: plan\n"}, "is invalid"),
        ({"README.md": "of no concern\n"}, ""),
    ],
)
def test_what_is_invalid_or_of_no_concern_stops_nothing(
    host: Site, machine: AptLab, files: Mapping[str, str | None], words: str
) -> None:
    commit_in_the_first_step(host, machine, files)
    tick(host)
    (record,) = runs(host)
    assert (record["outcome"], len(record["difference"]["changed"])) == ("applied", 12)
    told: list[Any] = [step["policy"] for step in record["steps"]]
    assert told[0] == {**told[0], "reason": ""}
    assert words in told[1]["reason"]
    assert (told[1]["commit"] == told[0]["commit"]) == bool(words)


def test_a_remote_that_went_away_leaves_the_policy_as_it_was(host: Site, machine: AptLab) -> None:
    offer(machine, Deb("one", "1.1"))
    want(host, "one")
    host.hook("pre", "10-away", f"mv {host.policy} {host.policy}.away")
    tick(host)
    (record,) = runs(host)
    assert record["outcome"] == "applied"
    (step,) = record["steps"]
    assert step["policy"]["reason"] != ""
    assert step["policy"]["fetched_at"] is not None
    host.policy.with_name("policy.away").rename(host.policy)


def test_a_freeze_that_a_hook_waited_for_stops_the_first_step(host: Site, machine: AptLab) -> None:
    offer(machine, Deb("one", "1.1"))
    want(host, "one")
    (host.folder / "freeze.yaml").write_text(FREEZE)
    author = "-c user.name=Ada -c user.email=ada@example.org"
    host.hook(
        "pre",
        "10-freeze",
        f"mkdir -p {host.policy}/freezes && cp {host.folder}/freeze.yaml {host.policy}/freezes/emergency.yaml"
        f" && cd {host.policy} && git add -A && git {author} commit -qm brake",
    )
    tick(host)
    (record,) = runs(host)
    assert (record["outcome"], record["code"]) == ("deferred", "freeze")
    assert machine.versions()["one"] == "1.0"
