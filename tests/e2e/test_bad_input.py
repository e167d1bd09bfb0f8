"""What goes wrong outside of us: a clear message with a hint, the documented exit code, nothing lost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from reconciler.host.state.folder import StateFolder
from reconciler.planning.facts.observation import ClockState
from tests.e2e.site import POLICY, SetClock, Site, git
from tests.labs.apt import AptLab

Command = Callable[..., tuple[int, str, str]]


def one_line_with_hint(err: str, *words: str) -> None:
    """Assert that standard error holds one line of ours with all ``words``, and a hint after it."""
    lines = err.splitlines()
    told = [
        line for line in lines if line.startswith("patchledger: ") and all(word in line for word in words)
    ]
    assert told, err
    assert any(line.startswith("  hint: ") for line in lines), err
    assert "Traceback" not in err


# --- the policy repository ----------------------------------------------------------------------------------


def test_an_unreachable_remote_on_the_first_run(site: Site, lab: AptLab, patchledger: Command) -> None:
    site.configure(environment=lab.environment, policy={"remote": "https://127.0.0.1:1/policy.git"})
    code, _, err = patchledger("run")
    assert code == 5
    one_line_with_hint(err, "127.0.0.1")
    assert "PolicyUnreachable" in {one["type"] for one in site.report()["conditions"]}


def test_an_unreachable_remote_later_keeps_the_last_policy_with_its_age(
    site: Site, patchledger: Command
) -> None:
    patchledger("run")
    before = site.report()
    site.policy.rename(site.folder / "away")
    code, _, err = patchledger("run")
    assert code in {1, 5}
    one_line_with_hint(err, "policy")
    after = site.report()
    assert after["policy_commit"] == before["policy_commit"]
    assert after["plan"] == before["plan"]
    assert after["policy"]["fetched_at"] is not None
    (site.folder / "away").rename(site.policy)
    assert patchledger("run")[0] == 0


def test_a_wrong_remote(site: Site, lab: AptLab, patchledger: Command) -> None:
    site.configure(environment=lab.environment, policy={"remote": str(site.folder / "nothing-here")})
    code, _, err = patchledger("run")
    assert code == 1
    one_line_with_hint(err, "nothing-here")


def test_a_transport_that_runs_commands_is_refused(site: Site, lab: AptLab, patchledger: Command) -> None:
    site.configure(environment=lab.environment, policy={"remote": "ext::sh -c touch% /tmp/owned"})
    code, _, err = patchledger("run")
    assert code == 2
    one_line_with_hint(err, "ext::")


def test_a_password_in_an_address_is_refused_and_not_shown(
    site: Site, lab: AptLab, patchledger: Command
) -> None:
    site.configure(environment=lab.environment, policy={"remote": "https://bot:hunter2@127.0.0.1:1/p.git"})
    code, out, err = patchledger("run")
    assert code == 2
    one_line_with_hint(err, "policy.remote: 'https://***@127.0.0.1:1/p.git' holds a password")
    assert "hunter2" not in out + err


def test_an_empty_repository(site: Site, lab: AptLab, patchledger: Command) -> None:
    git(site.folder, "init", "-q", "--bare", "empty.git")
    site.configure(environment=lab.environment, policy={"remote": str(site.folder / "empty.git")})
    code, _, err = patchledger("run")
    assert code == 1
    one_line_with_hint(err, "empty")


def test_a_missing_branch_names_those_there_are(site: Site, lab: AptLab, patchledger: Command) -> None:
    site.configure(environment=lab.environment, policy={"remote": str(site.policy), "ref": "production"})
    code, _, err = patchledger("run")
    assert code == 1
    one_line_with_hint(err, "no branch production", "main")


def test_a_rewritten_policy_is_not_followed_until_the_operator_says_so(
    site: Site, lab: AptLab, patchledger: Command
) -> None:
    patchledger("run")
    accepted = site.report()["policy_commit"]
    git(site.policy, "commit", "-q", "--amend", "-m", "rewritten", "--date", "2026-11-21T08:00:00Z")
    rewritten = git(site.policy, "rev-parse", "HEAD")
    code, _, err = patchledger("run")
    assert code == 3
    one_line_with_hint(err, "rewritten", accepted)
    report = site.report()
    assert report["policy_commit"] == accepted
    assert report["policy"]["refused"] == rewritten
    assert report["decision"]["outcome"] == "policy-stalled"
    site.configure(environment=lab.environment, trust={"floor": rewritten})
    assert patchledger("run")[0] == 0
    assert site.report()["policy_commit"] == rewritten


def test_an_invalid_policy_is_not_followed_and_every_problem_is_told(
    site: Site, patchledger: Command
) -> None:
    patchledger("run")
    accepted = site.report()["policy_commit"]
    site.commit(
        {"policies/base.yaml": POLICY + "updatez: all\n", "policies/latin.yaml": "kind: Policy\nname: x\n"}
    )
    (site.policy / "policies" / "latin.yaml").write_bytes(b"kind: Policy\nname: caf\xe9\n")
    git(site.policy, "commit", "-q", "-a", "--amend", "--no-edit")
    code, _, err = patchledger("run")
    assert code == 3
    one_line_with_hint(err, "policies/base.yaml:5", "updatez", "and 1 more")
    report = site.report()
    assert report["policy_commit"] == accepted
    assert report["decision"]["outcome"] == "policy-stalled"
    site.commit({"policies/base.yaml": POLICY, "policies/latin.yaml": None})
    assert patchledger("run")[0] == 0
    assert site.report()["policy_commit"] == git(site.policy, "rev-parse", "HEAD")


STARTS = "DTSTART:20260101T000000Z\n"
FREEZE = "kind: Freeze\nname: now\nfrom: 2026-11-01\nuntil: 2036-01-31\ntimezone: UTC\nreason: year's end\n"


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("freeze/now.yaml", FREEZE, "freeze/now.yaml:1: kind: is a document of kind Freeze"),
        ("year-end.yaml", f"# now\n{FREEZE}", "year-end.yaml:2: kind: is a document of kind Freeze"),
        ("freezes/.now.yaml", FREEZE, "freezes/.now.yaml:1: is hidden"),
        (
            "schedules/far.yaml",
            "kind: Schedule\nname: far\ntimezone: " + "A/" * 3000 + "A\nwindows: []\n",
            "schedules/far.yaml:3: timezone: unknown time zone",
        ),
        ("patchledger.yaml", f'requires: ">={"1" * 10_000}"\n', "patchledger.yaml:1: requires: "),
        (
            "calendars/c.ics",
            f"BEGIN:VCALENDAR\nBEGIN:VEVENT\n{2 * STARTS}END:VEVENT\nEND:VCALENDAR\n",
            "calendars/c.ics:1: event 'without a name' has more than one DTSTART",
        ),
    ],
)
def test_a_policy_that_cannot_be_used_is_told_with_its_place_and_the_last_good_one_stays_in_force(
    site: Site, patchledger: Command, path: str, text: str, told: str
) -> None:
    patchledger("run")
    accepted = site.report()["policy_commit"]
    site.commit({path: text})
    code, _, err = patchledger("run")
    assert code == 3
    one_line_with_hint(err, told)
    report = site.report()
    assert report["policy_commit"] == accepted
    rejected = next(one for one in report["conditions"] if one["type"] == "PolicyRejected")
    assert (rejected["reason"], told in rejected["message"]) == ("Invalid", True)
    assert report["plan"]["transaction"]


def test_other_policy_in_a_place_that_is_not_read_is_a_condition(site: Site, patchledger: Command) -> None:
    site.commit({"policy/more.yaml": "kind: Policy\nname: more\nupdates: none\n", "README.md": "ours\n"})
    assert patchledger("run")[0] == 0
    report = site.report()
    assert report["policy_commit"] == git(site.policy, "rev-parse", "HEAD")
    told = next(one for one in report["conditions"] if one["type"] == "PolicyMisplaced")
    assert told["message"].startswith("not in force: policy/more.yaml:1: kind: is a document of kind Policy")
    site.commit({"policy/more.yaml": None})
    assert patchledger("run")[0] == 0
    assert "PolicyMisplaced" not in {one["type"] for one in site.report()["conditions"]}


def test_an_invalid_policy_on_the_first_run_is_reported_too(site: Site, patchledger: Command) -> None:
    site.commit({"policies/base.yaml": "kind: Polizy\n"})
    code, _, err = patchledger("run")
    assert code == 3
    one_line_with_hint(err, "Polizy")
    report = site.report()
    assert (report["policy_commit"], report["plan"]["updates"]) == ("", [])
    assert "PolicyRejected" in {one["type"] for one in report["conditions"]}


def test_a_policy_for_a_newer_version_asks_for_an_upgrade(site: Site, patchledger: Command) -> None:
    patchledger("run")
    site.commit({"patchledger.yaml": 'requires: ">=99"\n'})
    code, _, err = patchledger("run")
    assert code == 3
    one_line_with_hint(err, "requires patchledger >=99")
    assert site.report()["decision"]["outcome"] == "needs-upgrade"


@pytest.mark.parametrize("damage", ["HEAD", "objects", "refs"])
def test_a_corrupt_mirror_is_fetched_anew(site: Site, patchledger: Command, damage: str) -> None:
    patchledger("run")
    accepted = StateFolder(site.state).recall().state.accepted
    mirror = site.state / "policy.git"
    if damage == "HEAD":
        (mirror / "HEAD").write_text("garbage", encoding="utf-8")
    elif damage == "refs":
        for ref in (mirror / "refs").rglob("*"):
            if ref.is_file():
                ref.write_text("garbage\n", encoding="utf-8")
    else:
        for file in (mirror / "objects").rglob("*"):
            if file.is_file():
                file.chmod(0o600)
                file.write_bytes(b"")
    site.commit({"policies/more.yaml": "kind: Policy\nname: more\npriority: 1\nupdates: all\n"})
    code, _, err = patchledger("run")
    assert code == 0, err
    assert site.report()["policy_commit"] == git(site.policy, "rev-parse", "HEAD") != accepted


# --- the report repository ----------------------------------------------------------------------------------


def test_reports_wait_while_the_remote_is_away_and_none_is_lost(
    site: Site, lab: AptLab, patchledger: Command
) -> None:
    site.reports.rename(site.folder / "away.git")
    site.configure(environment=lab.environment, reports={"remote": "https://127.0.0.1:1/reports.git"})
    code, out, err = patchledger("run")
    assert code == 5
    one_line_with_hint(err, "127.0.0.1")
    assert "what was not pushed waits in" in out
    lab.apt("install", "-q", "-y", "plain=1.1")
    assert patchledger("run")[0] == 5
    (site.folder / "away.git").rename(site.reports)
    site.configure(environment=lab.environment)
    assert patchledger("run")[0] == 0
    assert len(site.commits()) >= 2


def test_a_lost_state_folder_goes_on_from_what_was_pushed(site: Site, patchledger: Command) -> None:
    patchledger("run")
    shutil.rmtree(site.state)
    assert patchledger("run")[0] == 0
    # It is said where the policy goes on from, and nothing else is new.
    assert "the newest commit that this host's own reports name" in site.report()["policy"]["verification"]
    patchledger("run")
    assert len(site.commits()) == 2


# --- this host ----------------------------------------------------------------------------------------------


def test_a_missing_configuration(site: Site, patchledger: Command) -> None:
    site.config.unlink()
    for verb in ("run", "plan", "explain", "status", "windows"):
        code, _, err = patchledger(verb)
        assert code == 2, verb
        one_line_with_hint(err, "config.yaml")


def test_every_mistake_of_the_configuration_is_told_at_once(site: Site, patchledger: Command) -> None:
    site.config.write_text(
        "host: Web 01\npolicy: {remot: /x}\nstate_dir: relative\ncolour: red\n", encoding="utf-8"
    )
    code, _, err = patchledger("run")
    assert code == 2
    for words in (":1: host", ":2: policy.remot", "did you mean", ":3: state_dir", ":4: colour"):
        assert words in err


def test_a_configuration_that_others_may_change_is_refused(site: Site, patchledger: Command) -> None:
    site.config.chmod(0o666)
    code, _, err = patchledger("run")
    assert code == 2
    one_line_with_hint(err, "others can change")


def test_a_state_folder_that_others_may_write_to_is_refused(site: Site, patchledger: Command) -> None:
    site.state.mkdir(mode=0o700)
    site.state.chmod(0o777)
    code, _, err = patchledger("run")
    assert code == 2
    one_line_with_hint(err, "others than its owner may write")


def test_a_damaged_state_is_set_aside_and_the_run_goes_on(site: Site, patchledger: Command) -> None:
    patchledger("run")
    (site.state / "runs.json").write_text("{", encoding="utf-8")
    (site.state / "fingerprint.json").write_text("{", encoding="utf-8")
    code, _, err = patchledger("run")
    assert code == 0
    assert "runs.json.damaged" in err
    assert (site.state / "runs.json.damaged").read_text(encoding="utf-8") == "{"


def test_two_runs_at_once(site: Site, patchledger: Command) -> None:
    parts = wire(load_config(site.config))
    with parts.folder.locked():
        code, _, err = patchledger("run")
    assert code == 5
    one_line_with_hint(err, f"pid {os.getpid()}")


def test_no_apt_on_the_machine(site: Site, lab: AptLab, tmp_path: Path, patchledger: Command) -> None:
    # A PATH with a shell's tools and git, and nothing of apt.
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "cat", "mktemp", "rm", "awk", "sed", "uname", "git", "prlimit"):
        (tools / name).symlink_to(shutil.which(name) or "")
    site.configure(environment={**lab.environment, "PATH": str(tools)})
    code, _, err = patchledger("run")
    assert code == 1
    one_line_with_hint(err, "no package manager")


def test_a_clock_that_is_wrong_closes_the_gate(site: Site) -> None:
    class Doubtful(SetClock):
        def state(self) -> ClockState:
            return ClockState.UNSYNCHRONISED

    # The policy commit is of 2026-11-20; a clock before it is contradicted.
    clock = Doubtful(datetime(2026, 10, 20, tzinfo=UTC))
    run_once(site.config, wire(load_config(site.config), clock))
    report = site.report()
    assert report["decision"]["outcome"] == "clock"
    assert any(one["type"] == "ClockWrong" for one in report["conditions"])


FULL_DISK = """
set -e
mount -t tmpfs -o size=64m tmpfs "$1/disk"
cp -a "$1/state/." "$1/disk/"
mount --bind "$1/disk" "$1/state"
cat /dev/zero >"$1/disk/filler" 2>/dev/null || true
truncate -s "-$2" "$1/disk/filler"
code=0
"$3" -m reconciler --config "$1/config.yaml" run || code=$?
rm "$1/disk/filler"
umount "$1/state"
cp -a "$1/disk/." "$1/after/"
exit $code
"""


@pytest.mark.parametrize("room", ["0", "16K", "150K"])
def test_a_full_state_folder_loses_nothing(site: Site, lab: AptLab, room: str, patchledger: Command) -> None:
    """The state folder is a real file system without room, in a mount namespace of its own."""
    assert patchledger("run")[0] == 0
    kept = (site.state / "trust.json").read_bytes()
    pushed = site.commits()
    lab.apt("install", "-q", "-y", "plain=1.1")
    site.commit({"policies/base.yaml": POLICY + "updates: security\n"})
    for name in ("disk", "after"):
        (site.folder / name).mkdir()
    done = subprocess.run(
        [
            "unshare",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            FULL_DISK,
            "sh",
            site.folder,
            room,
            sys.executable,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(Path.cwd())},
    )
    assert done.returncode in {1, 5}, done.stderr
    one_line_with_hint(done.stderr, "space")
    assert site.commits()[-len(pushed) :] == pushed
    shutil.rmtree(site.state)
    (site.folder / "after").rename(site.state)
    assert StateFolder(site.state).recall().state.accepted
    assert (site.state / "trust.json").read_bytes() == kept or done.returncode == 5
    assert patchledger("run")[0] == 0
    assert site.report()["policy_commit"] == git(site.policy, "rev-parse", "HEAD")


def test_without_a_policy_explain_claims_nothing(site: Site, lab: AptLab, patchledger: Command) -> None:
    site.configure(environment=lab.environment, policy={"remote": str(site.folder / "nothing-here")})
    assert patchledger("run")[0] == 1
    code, out, err = patchledger("explain", "plain")
    assert (code, out) == (1, "")
    one_line_with_hint(err, "no policy in force")
    assert "PolicyUnavailable" in {one["type"] for one in site.report()["conditions"]}


def test_output_that_nobody_reads_is_no_success(site: Site) -> None:
    command = [sys.executable, "-m", "reconciler", "--config", str(site.config), "plan", "--format", "json"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        said = running.stderr.read()
        assert (running.wait(), said) == (141, b"")
