"""Whole ticks on a real small machine: policy from git, the real apt, the report in git."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring import quiet
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from reconciler.host.state.fingerprint import Fingerprint, signature
from reconciler.host.state.folder import StateFolder
from reconciler.planning.facts.observation import ClockState
from reconciler.planning.gates.recording import read_recording
from reconciler.planning.reporting.report import is_news, to_json
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.wording import on_the_clock
from reconciler.reconcile.assess import decide_again
from tests.e2e.site import BEFORE, OPENING, POLICY, SetClock, Site, git
from tests.labs.apt import AptLab

Command = Callable[..., tuple[int, str, str]]


def fates(report: dict[str, object]) -> dict[str, str]:
    """Return the disposition of every update by package name."""
    plan = report["plan"]
    assert isinstance(plan, dict)
    return {update["name"]: update["disposition"] for update in plan["updates"]}


def tick(site: Site, clock: SetClock) -> object:
    return run_once(site.config, wire(load_config(site.config), clock))


def test_the_first_run_reports_what_is_pending_and_why_not_now(site: Site, patchledger: Command) -> None:
    code, out, err = patchledger("run")
    assert (code, err) == (0, "")
    assert "Not now (window)" in out
    report = site.report()
    assert report["policy_commit"] == git(site.policy, "rev-parse", "HEAD")
    assert report["decision"]["outcome"] in {"window", "budget", "apply"}
    found = fates(report)
    assert (found["plain"], found["unsat"], found["phased"]) == ("planned", "unavailable", "phased")
    assert all(update["reasons"] for update in report["plan"]["updates"])
    page = git(site.reports, "show", "hosts/web-01:report.md")
    assert "plain" in page
    assert "Next window" in page
    trailers = git(
        site.reports, "log", "-1", "--format=%(trailers:key=Policy-Commit,valueonly)", "hosts/web-01"
    )
    assert trailers.strip() == report["policy_commit"]


def test_another_branch_is_tried_and_nothing_of_it_is_kept(site: Site, patchledger: Command) -> None:
    patchledger("run")
    git(site.policy, "checkout", "-q", "-b", "none")
    site.commit({"policies/base.yaml": POLICY + "updates: none\n"})
    git(site.policy, "checkout", "-q", "main")
    before = {path: path.read_bytes() for path in site.state.glob("*.json")}
    head = git(site.reports, "rev-parse", "hosts/web-01")

    code, out, err = patchledger("plan", "--policy-ref", "none", "--format", "json")
    assert code == 0
    assert err == "patchledger: by none, and not by main, which this host follows; nothing of this is kept\n"
    found = json.loads(out)
    assert found["policy_commit"] == git(site.policy, "rev-parse", "none")
    assert {one["disposition"] for one in found["plan"]["updates"]} == {"not-selected"}
    assert {path: path.read_bytes() for path in site.state.glob("*.json")} == before
    assert git(site.reports, "rev-parse", "hosts/web-01") == head
    assert "updates pending" in patchledger("plan")[1]


def test_a_branch_that_cannot_be_tried_is_told(patchledger: Command) -> None:
    patchledger("run")

    code, _, err = patchledger("plan", "--policy-ref", "nowhere")
    assert code != 0
    assert "nowhere" in err
    assert patchledger("plan", "--policy-ref", "-x y")[0] == 2
    assert patchledger("plan", "--policy-ref", "main", "--notify")[0] == 2


def test_a_second_run_says_nothing_changed_and_commits_nothing(site: Site, patchledger: Command) -> None:
    patchledger("run")
    patchledger("run")  # the first one fetched the plan's packages, which apt's folders show
    before = site.commits()
    code, out, err = patchledger("run")
    assert (code, err) == (0, "")
    assert "nothing changed" in out
    assert site.commits() == before


def test_nothing_on_the_machine_moves(lab: AptLab, patchledger: Command) -> None:
    # A plan never refreshes here: the lists are fresh.
    before, versions = lab.digest(), lab.versions()
    assert patchledger("plan")[0] == 0
    assert (lab.digest(), lab.versions()) == (before, versions)


def test_a_plan_writes_no_report_and_accepts_no_policy(site: Site, patchledger: Command) -> None:
    code, out, _ = patchledger("plan", "--format", "json")
    assert code == 0
    plan = json.loads(out)
    assert plan.keys() == {"target", "policy_commit", "plan", "decision", "security_plan", "conditions"}
    assert git(site.reports, "for-each-ref") == ""
    assert not (site.state / "runs.json").exists()


def test_plan_check_tells_pending_updates_by_its_exit_code(site: Site, patchledger: Command) -> None:
    assert patchledger("plan", "--check")[0] == 4
    site.commit({"policies/base.yaml": POLICY + "updates: none\n"})
    assert patchledger("plan", "--check")[0] == 0


def author(site: Site) -> str:
    return git(site.policy, "log", "-1", "--format=%an <%ae> on ")


def test_explain_answers_with_file_line_and_commit(site: Site, patchledger: Command) -> None:
    commit = site.commit(
        {
            "exceptions/plain.yaml": "kind: Exception\nname: plain-regression\npackages: plain\n"
            "action: hold\nreason: breaks the lab\nexpires: 2099-01-01\n"
        }
    )
    patchledger("run")
    code, out, _ = patchledger("explain", "plain")
    assert code == 0
    assert "held" in out
    assert f"exceptions/plain.yaml:1@{commit[:12]}" in out
    assert "breaks the lab" in " ".join(out.split())
    words = " ".join(out.split())
    assert f"Where that is written: exceptions/plain.yaml:1: by {author(site)}" in words
    assert f'in {commit[:12]} "change"; until 2099-01-02 00:00 UTC' in words
    told = json.loads(patchledger("explain", "plain", "--format", "json")[1])
    assert [(one["commit"], one["accepted"], one["signature"]) for one in told["written"]] == [
        (commit, commit, None)
    ]
    longer = site.commit(
        {
            "exceptions/plain.yaml": "kind: Exception\nname: plain-regression\npackages: plain\n"
            "action: hold\nreason: breaks the lab\nexpires: 2199-01-01\n"
        },
        "Hold it longer",
    )
    patchledger("run")
    words = " ".join(patchledger("explain", "plain")[1].split())
    assert f'in {longer[:12]} "Hold it longer"; until 2199-01-02 00:00 UTC' in words
    assert "not installed" in patchledger("explain", "no-such-package")[1]
    assert "up to date" in patchledger("explain", "local")[1]


def test_explain_since_says_what_changed_the_fate_of_a_package(site: Site, patchledger: Command) -> None:
    first = git(site.policy, "rev-parse", "HEAD")
    patchledger("run")
    hold = "kind: Exception\nname: hold\npackages: plain\naction: hold\nreason: r\nexpires: 2099-01-01\n"
    second = site.commit({"exceptions/hold.yaml": hold}, "Hold plain")
    patchledger("run")
    code, out, _ = patchledger("explain", "plain", "--since", "2020-01-01")
    words = " ".join(out.split())
    assert code == 0
    assert f"policy {first[:12]}" in words
    assert f'policy went from {first[:12]} to {second[:12]} "Hold plain"' in words
    assert words.count("plain:") == 2
    told = json.loads(patchledger("explain", "plain", "--since", "2020-01-01", "--format", "json")[1])
    assert [(one["disposition"], one["policy_commit"]) for one in told] == [
        ("planned", first),
        ("held", second),
    ]
    assert patchledger("explain", "--since", "2020-01-01")[0] == 2
    assert patchledger("explain", "plain", "--since", "yesterday")[0] == 2


def test_windows_are_this_hosts(patchledger: Command) -> None:
    patchledger("run")
    code, out, _ = patchledger("windows", "--count", "2", "--from", BEFORE.isoformat(), "--format", "json")
    assert code == 0
    assert [one["start"] for one in json.loads(out)] == [
        OPENING.isoformat(),
        (OPENING + timedelta(days=1)).isoformat(),
    ]


def test_one_commit_machine_and_time_give_one_report(site: Site, lab: AptLab, tmp_path: Path) -> None:
    twin = Site.create(tmp_path / "twin", environment=lab.environment)
    for one in (site, twin):  # the metadata are of one moment, too
        one.commit({"policies/base.yaml": POLICY + "refresh: {every: 520w, stale_after: 520w}\n"})
    assert git(twin.policy, "rev-parse", "HEAD") == git(site.policy, "rev-parse", "HEAD")
    # Where the policy is fetched from is part of the report, so both use the same place.
    twin.configure(environment=lab.environment, policy={"remote": str(site.policy)})
    tick(site, SetClock())
    tick(twin, SetClock())
    assert git(site.reports, "show", "hosts/web-01:report.json") == git(
        twin.reports, "show", "hosts/web-01:report.json"
    )


def test_a_report_can_be_made_again_from_the_two_repositories(site: Site) -> None:
    tick(site, SetClock())
    recorded = git(site.reports, "show", "hosts/web-01:observation.json") + "\n"
    parts = wire(load_config(site.config), SetClock())
    again = decide_again(read_recording(recorded.encode()), parts.read)
    assert to_json(again.report).decode().strip() == git(site.reports, "show", "hosts/web-01:report.json")


def test_time_alone_makes_no_commit_but_one_heartbeat_a_day(site: Site) -> None:
    clock = SetClock()
    tick(site, clock)
    for _ in range(5):
        clock.forward(timedelta(minutes=15))
        tick(site, clock)
    assert len(site.commits()) == 1
    clock.forward(timedelta(hours=24))
    tick(site, clock)
    assert len(site.commits()) == 2


def test_a_heartbeat_costs_a_commit_and_no_file(site: Site) -> None:
    site.commit({"policies/base.yaml": POLICY.replace("action: apply", "action: plan")})
    clock = SetClock()
    tick(site, clock)
    clock.forward(timedelta(hours=25))
    tick(site, clock)
    newest = site.commits()[0]
    assert newest.startswith("web-01: nothing new, ")
    assert git(site.reports, "diff-tree", "-r", "hosts/web-01~1", "hosts/web-01") == ""
    trailers = git(site.reports, "log", "-1", "--format=%(trailers:only,unfold)", "hosts/web-01").splitlines()
    said = dict(line.split(": ", 1) for line in trailers)
    assert said["Policy-Commit"] == site.report()["policy_commit"]
    assert said["Inventory"] == site.report()["inventory"].removeprefix("sha256:")[:12]
    assert said["Program"] == site.report()["program"]
    git(site.reports, "gc", "-q", "--prune=now")
    sizes = git(site.reports, "cat-file", "--batch-check=%(objectsize:disk)", "--batch-all-objects")
    assert len(sizes.split()) == sum({"commits": 2, "trees": 1, "files of the tree": 3}.values())


def test_the_same_report_but_for_times_is_the_same(site: Site) -> None:
    # Nothing is to be applied, so that no window is missed in the meantime.
    site.commit({"policies/base.yaml": POLICY.replace("action: apply", "action: plan")})
    clock = SetClock()
    tick(site, clock)
    first = (site.state / "report.json").read_bytes()
    clock.forward(timedelta(hours=25))
    tick(site, clock)
    second = (site.state / "report.json").read_bytes()
    assert first != second
    assert not is_news(second, first)


def test_a_release_of_packages_is_a_new_report(site: Site, lab: AptLab, patchledger: Command) -> None:
    patchledger("run")
    lab.apt("install", "-q", "-y", "plain=1.1")
    code, out, _ = patchledger("run")
    assert code == 0
    assert "nothing changed" not in out
    assert len(site.commits()) == 2
    assert "plain" not in fates(site.report())


def test_a_policy_change_takes_effect_at_the_next_run(site: Site, patchledger: Command) -> None:
    patchledger("run")
    site.commit({"policies/base.yaml": POLICY + "updates: security\n"})
    patchledger("run")
    found = fates(site.report())
    assert (found["plain"], found["secure"]) == ("not-selected", "planned")


@pytest.mark.parametrize("minutes", [0, 59])
def test_min_age_counts_from_the_first_sight(site: Site, minutes: int) -> None:
    site.commit({"policies/base.yaml": POLICY + "min_age: {other: 1h}\n"})
    clock = SetClock()
    tick(site, clock)
    clock.forward(timedelta(minutes=minutes))
    tick(site, clock)
    found = fates(site.report())
    assert (found["plain"], found["secure"]) == ("too-young", "planned")


def test_an_update_that_is_old_enough_is_planned(site: Site) -> None:
    site.commit({"policies/base.yaml": POLICY + "min_age: {other: 1h}\n"})
    clock = SetClock()
    tick(site, clock)
    clock.forward(timedelta(hours=1))
    tick(site, clock)
    assert fates(site.report())["plain"] == "planned"


def evidence(site: Site) -> dict[tuple[str, str], datetime]:
    """Return when the host first saw which version of which package, as its state has it."""
    state = StateFolder(site.state).recall().state
    return {(one.name, one.version): one.at for one in state.first_seen}


def test_what_keeps_a_plan_from_being_made_does_not_make_versions_young_again(site: Site) -> None:
    site.commit({"policies/base.yaml": POLICY + "min_age: {other: 7d}\n"})
    clock = SetClock()
    tick(site, clock)
    known = evidence(site)
    assert set(known.values()) == {BEFORE}
    clock.forward(timedelta(days=6))
    wrong = f"scripts: {{apt-update.sh: 'sha256:{'0' * 64}'}}\n"
    site.commit({"policies/base.yaml": POLICY + "min_age: {other: 7d}\n" + wrong})
    tick(site, clock)
    assert "ScriptMismatch" in {one["type"] for one in site.report()["conditions"]}
    assert evidence(site) == known
    site.commit({"policies/base.yaml": POLICY + "min_age: {other: 7d}\n"})
    tick(site, clock)
    assert evidence(site) == known
    clock.forward(timedelta(days=1))
    tick(site, clock)
    assert fates(site.report())["plain"] == "planned"


@dataclass
class LostClock(SetClock):
    """A clock that nobody keeps right."""

    def state(self) -> ClockState:
        return ClockState.UNSYNCHRONISED


def test_what_a_wrong_clock_dates_is_not_remembered(site: Site) -> None:
    site.commit({"policies/base.yaml": POLICY + "min_age: {other: 7d}\n"})
    clock = SetClock()
    tick(site, clock)
    before = StateFolder(site.state).recall().state
    site.commit({"policies/base.yaml": POLICY + "min_age: {other: 8d}\n"})
    tick(site, LostClock(datetime(1971, 1, 1, tzinfo=UTC)))
    assert site.report()["decision"]["outcome"] == "clock"
    after = StateFolder(site.state).recall().state
    assert (after.first_seen, after.refreshed_at) == (before.first_seen, before.refreshed_at)


def test_an_instant_that_has_not_come_yet_does_not_keep_metadata_from_being_fetched(site: Site) -> None:
    tick(site, SetClock())
    folder = StateFolder(site.state)
    folder.save(replace(folder.recall().state, refreshed_at=BEFORE + timedelta(days=9000)))
    tick(site, SetClock(BEFORE + timedelta(days=2)))
    assert site.report()["metadata"]["refresh"]["outcome"] == "refreshed"
    assert folder.recall().state.refreshed_at == BEFORE + timedelta(days=2)


def test_a_freeze_that_lets_security_through_has_a_plan_of_its_own(site: Site, patchledger: Command) -> None:
    site.commit(
        {
            "freezes/year-end.yaml": "kind: Freeze\nname: year-end\nfrom: 2026-11-20\nuntil: 2036-11-30\n"
            "timezone: UTC\nreason: change freeze\nallow: security\n"
        }
    )
    tick(site, SetClock())
    report = site.report()
    freeze = next(gate for gate in report["gates"] if gate["gate"] == "freeze")
    assert (freeze["state"], report["security_decision"]["outcome"]) == ("closed", "window")
    assert {move["name"] for move in report["security_plan"]["transaction"]} == {
        "secure",
        "superseded",
        "both",
    }
    assert report["security_plan"]["digest"] != report["plan"]["digest"]
    assert "The freeze lets security updates pass" in patchledger("plan")[1]


def test_another_root_shows_every_fate_with_its_reason(site: Site, lab: AptLab) -> None:
    """A small Debian root with its own signed Main and Security suites, through ``environment``."""
    lab.hold_package("lima")
    site.commit(
        {
            "policies/base.yaml": POLICY + "min_age: {other: 7d}\n",
            "exceptions/both.yaml": "kind: Exception\nname: both\npackages: both\naction: hold\n"
            "reason: breaks the lab\nexpires: 2099-01-01\n",
            "exceptions/epoch.yaml": "kind: Exception\nname: epoch\npackages: epoch\naction: block\n"
            "reason: never\nexpires: 2099-01-01\n",
        }
    )
    clock = SetClock()
    tick(site, clock)
    young = site.report()
    assert (fates(young)["plain"], fates(young)["secure"]) == ("too-young", "planned")
    assert instant(BEFORE + timedelta(days=7)) in reasons(young)["plain"]
    clock.forward(timedelta(days=7))
    tick(site, clock)
    found, why = fates(site.report()), reasons(site.report())
    assert {
        name: found[name]
        for name in ("plain", "secure", "both", "epoch", "lima", "phased", "newdep-lib", "remover", "unsat")
    } == {
        "plain": "planned",
        "secure": "planned",
        "both": "held",
        "epoch": "blocked",
        "lima": "held",
        "phased": "phased",
        "newdep-lib": "planned",
        "remover": "removal-refused",
        "unsat": "unavailable",
    }
    assert "exceptions/both.yaml:1@" in why["both"]
    assert "hold" in why["lima"]
    assert "10 %" in why["phased"]
    assert "victim" in why["remover"]
    assert "kept-back" in why["unsat"]


def test_security_only_takes_what_the_security_service_offers(site: Site) -> None:
    site.commit({"policies/base.yaml": POLICY + "updates: security\n"})
    tick(site, SetClock())
    plan = site.report()["plan"]
    moved = {move["name"]: move["to"] for move in plan["transaction"]}
    # Main has superseded 1.2 already; the security service's own version is 1.1.
    assert moved == {"secure": "1.0+deb12u1", "superseded": "1.1", "both": "1.1"}
    assert fates(site.report())["plain"] == "not-selected"


def reasons(report: dict[str, object]) -> dict[str, str]:
    """Return codes, sentences and places of every update's reasons by package name."""
    plan = report["plan"]
    assert isinstance(plan, dict)
    return {
        update["name"]: " ".join(
            f"{one['code']} {one['message']} {one['origin']}" for one in update["reasons"]
        )
        for update in plan["updates"]
    }


def test_the_root_of_the_configuration_is_planned_for_instead_of_this_machine(
    site: Site, lab: AptLab, patchledger: Command
) -> None:
    # As in a real root: its settings are in its own apt.conf.d, and its database knows its architectures.
    (lab.root / "etc/apt/apt.conf.d").mkdir(exist_ok=True)
    settings = (lab.root / "etc/apt/lab.conf").read_text(encoding="utf-8").splitlines(keepends=True)
    (lab.root / "etc/apt/apt.conf.d/lab").write_text("".join(settings[2:]), encoding="utf-8")
    site.configure(root=str(lab.root))
    before = lab.digest()
    code, out, err = patchledger("plan", "--format", "json")
    assert (code, err) == (0, "")
    assert fates(json.loads(out))["plain"] == "planned"
    assert lab.digest() == before
    assert (patchledger("run")[0], patchledger("run")[0]) == (0, 0)  # the first fetches the plan's packages
    assert "nothing changed" in patchledger("run")[1]
    site.configure()
    assert (
        fates(json.loads(patchledger("plan", "--root", str(lab.root), "--format", "json")[1]))["plain"]
        == "planned"
    )
    code, _, err = patchledger("plan", "--root", str(site.folder))
    assert code != 0
    assert "there is no var/lib/dpkg/status below" in err
    code, _, err = patchledger("plan", "--root", str(site.folder / "nowhere"))
    assert code == 2
    assert "there is no folder" in err


def test_a_host_whose_repository_is_gone_is_never_up_to_date(
    apt_world: AptLab, tmp_path: Path, site: Site
) -> None:
    lab = apt_world.copy(tmp_path / "own", repository=True)
    site.configure(environment=lab.environment)
    site.commit({"policies/base.yaml": POLICY + "refresh: {every: 1h}\n"})
    clock = SetClock(datetime.now(UTC))
    tick(site, clock)
    assert fates(site.report())["plain"] == "planned"
    lab.repository.rename(tmp_path / "gone")
    clock.forward(timedelta(hours=2))
    tick(site, clock)
    report = site.report()
    assert "up to date" not in site.commits()[0]
    assert report["decision"]["outcome"] == "metadata-stale"
    assert report["metadata"]["refresh"]["outcome"] == "failed"
    stale = next(one for one in report["conditions"] if one["type"] == "MetadataStale")
    assert (stale["status"], stale["reason"]) == (True, "RefreshFailed")
    assert "\n" not in stale["message"]


def test_the_next_window_is_found_behind_a_long_freeze(site: Site) -> None:
    last = OPENING + timedelta(days=27)
    site.commit(
        {
            # To the end of that window, on whatever day that is.
            "freezes/long.yaml": "kind: Freeze\nname: long\nfrom: 2026-11-20\n"
            f'until: "{last + timedelta(hours=3):%Y-%m-%d %H:%M}"\ntimezone: UTC\nreason: change freeze\n'
        }
    )
    tick(site, SetClock())
    free = [one["start"] for one in site.report()["windows"] if one["blocked_by"] is None]
    opening = instant(last + timedelta(days=1))
    assert free == [opening]
    shown = on_the_clock(last + timedelta(days=1), "UTC")
    assert f"| Next window | {shown}" in git(site.reports, "show", "hosts/web-01:report.md")


def test_policies_that_contradict_each_other_reject_the_policy_for_this_host(
    site: Site, patchledger: Command
) -> None:
    site.commit({"policies/other.yaml": "kind: Policy\nname: other\naction: plan\n"})
    code, _, err = patchledger("run")
    assert code == 3
    assert "policies/base.yaml:3" in err
    assert "policies/other.yaml:3" in err
    assert site.report()["decision"]["outcome"] == "policy-stalled"


@pytest.mark.parametrize("every", ["1s", "9d"])
def test_what_changes_while_a_tick_is_at_work_is_looked_at_by_the_next(
    lab: AptLab, site: Site, patchledger: Command, every: str
) -> None:
    """Also where that tick itself fetched the metadata anew; the push of its report is what comes last."""
    site.commit({"policies/base.yaml": POLICY + f"refresh: {{every: {every}, before_apply: 1s}}\n"})
    patchledger("run")
    patchledger("run")  # the first one fetched the plan's packages, which apt's folders show
    known = Fingerprint.from_json((site.state / quiet.FILE).read_bytes())
    assert known is not None
    assert known.signature == signature(known.watched)

    site.commit({"policies/base.yaml": POLICY + f"refresh: {{every: {every}, before_apply: 2s}}\n"})
    hook, changed = site.reports / "hooks" / "post-receive", lab.root / "etc/apt/preferences"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {changed}\n", encoding="utf-8")
    hook.chmod(0o755)
    patchledger("run")
    known = Fingerprint.from_json((site.state / quiet.FILE).read_bytes())
    assert known is not None
    assert known.signature != signature(known.watched)


def test_what_apt_says_in_an_error_does_not_move_the_cursor(lab: AptLab, patchledger: Command) -> None:
    lab.configure('Acquire::Weak "\x1b[31m\x9b2J";\nnonsense \x1b[31m;;}\n')
    code, _, err = patchledger("run")
    assert code
    assert err
    assert not [character for character in err if character != "\n" and not character.isprintable()]
