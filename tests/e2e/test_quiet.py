"""The tick that finds nothing changed: what it may cost, and everything that must wake the full tick."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from reconciler.cli import main
from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring import quiet
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from reconciler.host.state.fingerprint import signature
from reconciler.policy.yamltext import parse_documents
from tests.e2e.machines import Plant
from tests.e2e.site import BEFORE, OPENING, POLICY, SetClock, Site, git
from tests.labs.apt import AptLab
from tests.labs.witness import witnessed

Command = Callable[..., tuple[int, str, str]]

# Endpoints and guests where there are none, other verbs, and what they show.
NOT_ASKED_BY_A_PLAN = (
    "http.client", "ssl", "reconciler.cli.showing.interfaces", "reconciler.cli.verbs.arrivals",
    "reconciler.cli.verbs.explain", "reconciler.cli.verbs.fleet", "reconciler.cli.verbs.policy",
    "reconciler.cli.verbs.windows",
    "reconciler.cli.wiring.in_guests", "reconciler.forges", "reconciler.planning.audit",
    "reconciler.planning.fleet", "reconciler.planning.impact", "reconciler.transports",
)  # fmt: skip

MANY_OBJECTS = 60_000

DEAR = {
    "apprise", "argparse", "ast", "asyncio", "click", "cronsim", "dataclasses", "datetime", "dateutil",
    "email", "git", "hashlib", "http", "icalendar", "importlib.metadata", "inspect", "jinja2", "logging",
    "pathlib", "pydantic", "pydantic_core", "reconciler.cli.dispatch", "reconciler.gitops",
    "reconciler.managers", "reconciler.planning", "reconciler.policy", "reconciler.reconcile",
    "recurring_ical_events", "rich", "selectors", "shutil", "signal", "socket", "ssl", "structlog",
    "subprocess", "tempfile", "threading", "typing", "typing_extensions", "urllib", "watchfiles", "yaml",
    "zoneinfo",
}  # fmt: skip


def is_quiet(site: Site) -> bool:
    """Say whether the next ``run`` is answered without a full tick."""
    return quiet.tick(("--config", str(site.config), "run")) == 0


def remembered(site: Site) -> Any:
    return json.loads((site.state / "fingerprint.json").read_bytes())


def remember(site: Site, **changed: object) -> None:
    """Change what the last full tick left."""
    whole = {**remembered(site), **changed}
    (site.state / "fingerprint.json").write_text(json.dumps(whole), encoding="utf-8")


@pytest.fixture
def settled(site: Site, patchledger: Command) -> Site:
    """A site whose last full tick left nothing to do over."""
    code, _, err = patchledger("run")
    assert code == 0, err
    # The first one fetched the plan's packages, which the package manager's folders show.
    code, _, err = patchledger("run")
    assert code == 0, err
    assert is_quiet(site)
    return site


# --- what it costs ------------------------------------------------------------------------------------------


def test_it_imports_next_to_nothing_and_starts_one_child(settled: Site) -> None:
    seen = witnessed("--config", str(settled.config), "run")
    assert seen["code"] == 0
    assert not DEAR & set(seen["modules"])
    assert len(seen["modules"]) <= 45
    (child,) = seen["started"]
    assert {"git", "fetch"} <= set(child)


def test_a_report_branch_that_is_gone_is_seen_at_the_next_tick(settled: Site, patchledger: Command) -> None:
    git(settled.reports, "update-ref", "-d", "refs/heads/hosts/web-01")
    assert not is_quiet(settled)
    code, _, err = patchledger("run")
    assert (code, err) == (0, "")  # all of it was sent again
    assert is_quiet(settled)


def test_it_says_what_it_found_and_commits_nothing(settled: Site, patchledger: Command) -> None:
    before = settled.commits()
    code, out, err = patchledger("run")
    assert (code, err) == (0, "")
    assert out.startswith("web-01: nothing changed since ")
    assert settled.commits() == before


def test_it_remembers_when_the_remote_last_answered(settled: Site) -> None:
    stamp = Path(remembered(settled)["stamp"])
    os.utime(stamp, (0, 0))
    assert is_quiet(settled)
    assert stamp.stat().st_mtime > 0


@pytest.mark.parametrize(
    ("verb", "once"),
    [
        ("run", {"--inputs", "--observe", "detect", "ls-tree", "log"}),
        ("plan", {"--observe", "detect", "ls-tree", "log"}),
    ],
)
def test_a_full_look_starts_each_child_once(settled: Site, verb: str, once: set[str]) -> None:
    (settled.state / "fingerprint.json").unlink()
    seen = witnessed("--config", str(settled.config), verb, packages=True)
    assert seen["code"] == 0
    counted = Counter(map(role, seen["started"]))
    # Policy is read by one `cat-file`, the last report by another. The resolver is asked for the plan, and
    # for each of three updates why it is not in it.
    assert counted.pop("cat-file") <= len({"policy", "report"})
    assert counted.pop("--dry-run") == len({"plan", "remover", "replacer", "unsat"})
    # A tick asks for its own report branch, too: nobody else may have changed it.
    assert counted.pop("fetch") == len({"policy", "report"} if verb == "run" else {"policy"})
    assert dict(counted) == dict.fromkeys(once, 1)
    assert not {"apprise", "git", "icalendar", "watchfiles"} & set(seen["modules"])
    if verb == "plan":
        asked = [one for one in seen["modules"] if one.startswith(NOT_ASKED_BY_A_PLAN)]
        assert not asked
        assert len(seen["modules"]) <= 450
        # Nor is what it has imported searched for cycles again and again.
        assert seen["searching"] == [False]
        # And once they may be looked for again, there is nothing new to be searched.
        assert seen["searched"] < MANY_OBJECTS


@pytest.mark.parametrize(("given", "is_frozen"), [("", True), ("sys.argv[1:]", False)])
def test_a_process_that_ends_searches_for_no_cycles(given: str, is_frozen: bool) -> None:  # noqa: FBT001
    """One that calls the command and goes on must not lose what it can collect."""
    script = (
        "import gc, sys; from reconciler.cli import main; "
        f"main({given}); print(gc.get_freeze_count(), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=True
    )
    assert (int(done.stderr) > 0) is is_frozen


def role(argv: list[str]) -> str:
    """Name what a child does: the subcommand of git, the verb of the patch script."""
    if "git" in argv:
        return argv[argv.index("git") + 1]
    return next((word for word in argv if word.startswith("--")), argv[3])


def test_policy_check_parses_every_file_once(site: Site) -> None:
    site.commit({f"policies/{number}.yaml": f"kind: Policy\nname: p{number}\n" for number in range(20)})
    parsed: Counter[str] = Counter()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is parse_documents.__code__:
            parsed[frame.f_locals["file"]] += 1

    sys.setprofile(watch)
    try:
        code = main(["policy", "check", str(site.policy)])
    finally:
        sys.setprofile(None)
    assert code == 0
    assert set(parsed.values()) == {1}
    assert len(parsed) == len(list(site.policy.glob("*/*.yaml")))


def test_status_and_help_start_nothing_and_import_little(settled: Site) -> None:
    for arguments in (("--config", str(settled.config), "status"), ("--help",)):
        seen = witnessed(*arguments)
        assert (seen["code"], seen["started"]) == (0, [])
        assert not {"pydantic", "yaml", "git", "apprise", "dataclasses"} & set(seen["modules"])


# --- what wakes the full tick -------------------------------------------------------------------------------


def test_a_new_policy_commit(settled: Site) -> None:
    settled.commit({"policies/base.yaml": POLICY + "updates: security\n"})
    assert not is_quiet(settled)


def test_a_rewritten_policy(settled: Site) -> None:
    git(settled.policy, "commit", "-q", "--amend", "-m", "rewritten", "--date", "2026-11-21T08:00:00Z")
    assert not is_quiet(settled)


def test_every_watched_file(settled: Site, lab: AptLab) -> None:
    """Touched, made or removed, one after the other."""
    watched = remembered(settled)["watched"]
    # The program's own folder and this machine's own files are left alone.
    mine = [Path(path) for path in watched if str(path).startswith((str(settled.folder), str(lab.root)))]
    assert {path.name for path in mine} >= {"status", "extended_states", "lists", "config.yaml"}
    for path in mine:
        if path.exists():
            os.utime(path, (1, 1))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        assert not is_quiet(settled), path
        remember(settled, signature=signature(watched))
        assert is_quiet(settled), path


def test_a_file_below_a_watched_folder(settled: Site) -> None:
    lists = next(path for path in remembered(settled)["watched"] if path.rstrip("/").endswith("lists"))
    Path(lists, "new_InRelease").touch()
    assert not is_quiet(settled)


def test_a_change_of_the_machine(settled: Site, lab: AptLab) -> None:
    lab.apt("install", "-q", "-y", "plain=1.1")
    assert not is_quiet(settled)


def test_an_edited_configuration(settled: Site) -> None:
    text = settled.config.read_text(encoding="utf-8")
    settled.config.write_text(text.replace('"test"', '"prod"'), encoding="utf-8")
    # Also where only the content differs and not what stat(2) tells.
    remember(settled, signature=signature(remembered(settled)["watched"]))
    assert not is_quiet(settled)


def test_time_alone(settled: Site) -> None:
    until = remembered(settled)["until"]
    now = datetime.now(UTC).timestamp()
    assert until > now
    remember(settled, until=now - 1)
    assert not is_quiet(settled)


@pytest.mark.parametrize(
    ("policy", "until"),
    [
        (POLICY, OPENING),  # the window opens
        ("kind: Policy\nname: base\n", BEFORE + timedelta(hours=24)),  # the next heartbeat
    ],
)
def test_when_time_alone_would_change_the_outcome(site: Site, policy: str, until: datetime) -> None:
    site.commit({"policies/base.yaml": f"{policy}refresh: {{every: 520w, stale_after: 520w}}\n"})
    run_once(site.config, wire(load_config(site.config), SetClock(BEFORE)))
    assert datetime.fromtimestamp(remembered(site)["until"], UTC) == until


@pytest.mark.parametrize("plant", ["apt"], indirect=True)
def test_a_gate_that_the_machine_closed_for_a_moment(plant: Plant) -> None:
    """Nothing that is compared tells that a lock was let go, so that no tick may be quiet meanwhile."""
    plant.want("plain", policy="lock_wait: 0s\n")
    with plant.machine.locked():
        plant.tick()
        assert plant.report()["decision"]["outcome"] == "locked"
        assert not (plant.site.state / "fingerprint.json").exists()
    plant.tick()
    assert [one["outcome"] for one in plant.runs()] == ["applied"]
    assert (plant.site.state / "fingerprint.json").exists()


def test_a_hook_that_asks_for_another_time(site: Site) -> None:
    site.commit({"policies/base.yaml": POLICY + "hooks: {on_pre_failure: skip}\n"})
    veto = site.hook("pre", "10-busy", "exit 1")
    config = load_config(site.config)
    clock = SetClock(OPENING + timedelta(minutes=5))
    assert [one.outcome for one in run_once(site.config, wire(config, clock)).runs] == ["vetoed"]
    assert not (site.state / "fingerprint.json").exists()
    veto.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    assert [one.outcome for one in run_once(site.config, wire(config, clock)).runs] == ["applied"]


def test_a_clock_that_was_set_back(settled: Site) -> None:
    remember(settled, since=remembered(settled)["since"] + 3600)
    assert not is_quiet(settled)


@pytest.mark.parametrize("name", ["fingerprint.json", "../config.yaml"])
def test_a_file_that_others_may_write(settled: Site, name: str) -> None:
    (settled.state / name).chmod(0o666)
    remember(settled, signature=signature(remembered(settled)["watched"]))
    assert not is_quiet(settled)


def test_another_version_of_the_program(settled: Site) -> None:
    remember(settled, program="0.0.1 /somewhere/else")
    assert not is_quiet(settled)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b"\xff"])
def test_a_damaged_fingerprint(settled: Site, content: bytes) -> None:
    (settled.state / "fingerprint.json").write_bytes(content)
    assert not is_quiet(settled)


def test_a_missing_mirror(settled: Site, patchledger: Command) -> None:
    shutil.rmtree(settled.state / "policy.git")
    assert not is_quiet(settled)
    assert patchledger("run")[0] == 0
    assert is_quiet(settled)


def test_a_mirror_whose_ref_is_gone(settled: Site) -> None:
    mirror = settled.state / "policy.git"
    # A fetch would bring it back; so the remote's branch is gone as well.
    (mirror / remembered(settled)["ref"]).unlink()
    git(settled.policy, "branch", "-m", "main", "other")
    assert not is_quiet(settled)


def test_a_ref_that_housekeeping_has_packed_is_still_found(settled: Site) -> None:
    mirror = settled.state / "policy.git"
    git(mirror, "pack-refs", "--all")
    assert not (mirror / remembered(settled)["ref"]).exists()
    assert is_quiet(settled)


def test_a_failing_fetch(settled: Site, patchledger: Command) -> None:
    settled.policy.rename(settled.folder / "away")
    assert not is_quiet(settled)
    assert patchledger("run")[0] in {1, 5}
    # A run with failures leaves no fingerprint: the next one looks properly too.
    assert not (settled.state / "fingerprint.json").exists()
    (settled.folder / "away").rename(settled.policy)


def test_a_report_that_waits_for_its_remote(settled: Site, lab: AptLab, patchledger: Command) -> None:
    settled.configure(environment=lab.environment, reports={"remote": "https://127.0.0.1:1/reports.git"})
    settled.commit({"policies/base.yaml": POLICY + "updates: security\n"})
    assert patchledger("run")[0] == 5
    assert not is_quiet(settled)


@pytest.mark.parametrize("extra", [("--format", "json"), ("--help",)])
def test_any_other_argument(settled: Site, extra: tuple[str, ...]) -> None:
    assert quiet.tick(("--config", str(settled.config), "run", *extra)) is None


# --- what is remembered -------------------------------------------------------------------------------------


def test_the_fingerprint_holds_no_secret_and_only_the_owner_reads_it(
    site: Site, lab: AptLab, patchledger: Command
) -> None:
    secrets = {
        "https_proxy": "http://bot:hunter1@127.0.0.1:1",
        "ALL_PROXY": "bot:hunter4@127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
        "API_TOKEN": "hunter2",
        "GIT_CONFIG_VALUE_99": "hunter3",
        "GIT_DIR": "/hunter5",
    }
    site.configure(environment={**lab.environment, **secrets})
    assert (patchledger("run")[0], patchledger("run")[0]) == (0, 0)
    file = site.state / "fingerprint.json"
    assert b"hunter" not in file.read_bytes()
    assert remembered(site)["env"]["http_proxy"] == "http://127.0.0.1:1"
    assert site.state.stat().st_mode & 0o077 == 0
    assert is_quiet(site)
