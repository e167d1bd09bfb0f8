"""Plans become changes of a real small machine: inside the window, exactly as planned, and told in git."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import main
from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.host.config import load_config
from reconciler.managers.scripts import PatchScript
from reconciler.planning.gates.types import BreakGlass
from reconciler.reconcile.tick import Tick
from tests.e2e.site import BEFORE, OPENING, POLICY, SetClock, Site, git
from tests.labs.apt import MAIN, AptLab, Deb
from tests.labs.naming import in_json

pytestmark = pytest.mark.usefixtures("lawful")

INSIDE = OPENING + timedelta(minutes=5)
OTHERS = "updates: none\n"
"""Of the lab's usual world nothing is wanted; a test's own packages come in by an exception."""


@pytest.fixture
def machine(apt_world: AptLab, tmp_path: Path) -> AptLab:
    """With a repository of its own, to be changed."""
    return apt_world.copy(tmp_path / "machine", repository=True)


@pytest.fixture
def host(machine: AptLab, tmp_path: Path) -> Site:
    """An installation on ``machine`` that wants nothing but what :func:`want` names."""
    site = Site.create(tmp_path / "site", environment=machine.environment)
    site.commit({"policies/base.yaml": POLICY + OTHERS})
    return site


def want(site: Site, *names: str, policy: str = "") -> str:
    """Let the policy want updates of these packages alone."""
    return site.commit(
        {
            "policies/base.yaml": POLICY + OTHERS + policy,
            "exceptions/wanted.yaml": f"kind: Exception\nname: wanted\npackages: {json.dumps(names)}\n"
            "action: include\nreason: of this test\nexpires: 2099-01-01\n",
        }
    )


def offer(lab: AptLab, *packages: Deb) -> None:
    """Install 1.0 of each and offer the given version."""
    lab.install(*(Deb(one.name, "1.0") for one in packages))
    lab.publish(MAIN, *packages)
    lab.refresh()


def tick(site: Site, at: datetime = INSIDE, glass: BreakGlass | None = None) -> Tick:
    return run_once(site.config, wire(load_config(site.config), SetClock(at)), glass)


def runs(site: Site) -> list[Any]:
    """Return the records of all runs in the newest tree, oldest first."""
    names = git(site.reports, "ls-tree", "--name-only", "hosts/web-01", "runs/").splitlines()
    return [
        json.loads(git(site.reports, "show", f"hosts/web-01:{name}"))
        for name in sorted(names)
        if name.endswith(".json")
    ]


def moved(record: Any) -> dict[str, str]:
    return {name: move["to"] for name, move in in_json(record["difference"]["changed"]).items()}


def test_a_plan_waits_for_its_window_and_is_then_applied_exactly(site: Site, lab: AptLab) -> None:
    site.commit(
        {
            "exceptions/both.yaml": "kind: Exception\nname: both\npackages: both\naction: hold\n"
            "reason: breaks the lab\nexpires: 2099-01-01\n",
        }
    )
    before = lab.versions()
    waiting = tick(site, BEFORE)
    assert (waiting.report.decision.outcome, waiting.report.decision.until) == ("window", OPENING)
    assert lab.versions() == before
    planned = {name: move["to"] for name, move in in_json(site.report()["plan"]["transaction"]).items()}
    assert planned
    assert "both" not in planned

    done = tick(site)
    assert done.failures == ()
    (record,) = runs(site)
    assert record["outcome"] == "applied"
    assert moved(record) == planned
    after = lab.versions()
    assert {name: after.get(name, after.get(f"{name}:i386")) for name in planned} == planned
    assert after["both"] == before["both"]
    assert (site.report()["decision"]["outcome"], site.report()["counts"]["pending"]) == ("nothing", 0)
    assert "applied" in site.commits()[0]

    again = tick(site, INSIDE + timedelta(minutes=15))
    assert again.runs == ()
    assert lab.versions() == after


def test_a_new_version_after_the_approval_is_reported_and_not_applied(host: Site, machine: AptLab) -> None:
    offer(machine, Deb("one", "1.1"))
    want(host, "one", policy="approval: required\n")
    digest = tick(host, BEFORE).report.plan.digest
    host.commit({"approvals/one.yaml": approval(f"plan: {digest}")})
    machine.publish(MAIN, Deb("one", "1.2"))
    found = tick(host)
    assert (found.report.decision.outcome, found.runs) == ("approval", ())
    assert [move.to for move in found.report.plan.transaction] == ["1.2"]
    assert host.report()["plan"]["digest"] != digest
    assert machine.versions()["one"] == "1.0"


def approval(what: str) -> str:
    return f"kind: Approval\nname: one\n{what}\nreason: looked at\nexpires: 2099-01-01\n"


def test_an_approved_version_that_vanished_is_never_replaced_by_another(host: Site, machine: AptLab) -> None:
    offer(machine, Deb("one", "1.1"))
    want(host, "one", policy="approval: required\n")
    tick(host, BEFORE)
    host.commit({"approvals/one.yaml": approval('versions: {one: "1.1"}')})
    machine.withdraw(MAIN, "one")
    machine.publish(MAIN, Deb("one", "1.2"))
    assert tick(host).report.decision.outcome == "approval"
    machine.withdraw(MAIN, "one")
    machine.publish(MAIN, Deb("one", "1.1"))
    (record,) = tick(host, INSIDE + timedelta(hours=1)).runs
    assert record.outcome == "applied"
    assert machine.versions()["one"] == "1.1"


def test_an_approved_plan_is_applied_only_when_its_report_was_pushed(host: Site, machine: AptLab) -> None:
    offer(machine, Deb("one", "1.1"))
    want(host, "one", policy="approval: required\n")
    host.commit({"approvals/one.yaml": approval('versions: {one: "1.1"}')})
    away = host.reports.rename(host.folder / "away.git")
    done = tick(host)
    assert (bool(done.failures), done.published.pushed) == (True, False)
    assert (done.runs, machine.versions()["one"]) == ((), "1.0")
    away.rename(host.reports)
    assert [one.outcome for one in tick(host, INSIDE + timedelta(minutes=5)).runs] == ["applied"]


def test_a_failing_package_is_left_alone_and_takes_nothing_with_it(host: Site, machine: AptLab) -> None:
    broken = Deb("golf", "1.1", scripts={"postinst": "echo no fairway here; exit 3"})
    offer(machine, broken, Deb("one", "1.1"), Deb("two", "1.1"))
    want(host, "golf", "one", "two")
    done = tick(host)
    (record,) = done.runs
    assert record.outcome == "failed"
    assert record.reason.startswith("golf: ")
    assert "3" in record.reason  # dpkg names the exit code
    assert [type(one) for one in done.failures] != []
    assert (machine.versions()["one"], machine.versions()["two"]) == ("1.1", "1.1")
    assert "no fairway here" in git(host.reports, "show", f"hosts/web-01:runs/{record.run}.log")
    quarantined = next(one for one in host.report()["conditions"] if one["type"] == "PackagesQuarantined")
    assert "golf 1.1" in quarantined["message"]

    # Nothing changed: it is not tried again, and keeps nothing else back.
    machine.publish(MAIN, Deb("one", "1.2"))
    (record,) = tick(host, INSIDE + timedelta(hours=1, minutes=1)).runs
    assert moved(runs(host)[-1]) == {"one": "1.2"}
    assert tick(host, INSIDE + timedelta(hours=1, minutes=20)).runs == ()
    assert any(one["type"] == "PackagesQuarantined" for one in host.report()["conditions"])


def test_a_new_commit_gives_a_failed_package_another_chance(host: Site, machine: AptLab) -> None:
    once = 'if [ -e "$DPKG_ROOT/tried" ]; then exit 0; fi; : >"$DPKG_ROOT/tried"; exit 1'
    offer(machine, Deb("golf", "1.1", scripts={"postinst": once}))
    want(host, "golf")
    assert [one.outcome for one in tick(host).runs] == ["failed"]
    want(host, "golf", policy="description: try again\n")
    tick(host, INSIDE + timedelta(minutes=15))
    assert [run["outcome"] for run in runs(host)] == ["failed", "repaired"]
    assert machine.versions()["golf"] == "1.1"
    assert not any(one["type"] == "PackagesQuarantined" for one in host.report()["conditions"])


def test_a_changed_configuration_file_stays_and_the_new_one_is_named(host: Site, machine: AptLab) -> None:
    want(host, "configured")
    file = machine.root / "etc/configured.conf"
    file.write_text("mine\n")
    (record,) = tick(host).runs
    assert record.outcome == "applied"
    assert file.read_text() == "mine\n"
    assert [Path(path).name for path in record.conffiles] == ["configured.conf.dpkg-dist"]


def test_marks_stay_as_the_operator_left_them(host: Site, machine: AptLab) -> None:
    want(host, "newdep", "newdep-lib", "plain")
    machine.mark_auto("plain")
    (record,) = tick(host).runs
    assert (record.outcome, record.notes) == ("applied", ())
    automatic = machine.automatic()
    assert {"plain", "newdep-lib"} <= automatic
    assert "newdep" not in automatic


def test_a_lock_held_by_another_program_defers_the_run(host: Site, machine: AptLab) -> None:
    want(host, "plain", policy="lock_wait: 1s\n")
    with (machine.admin / "lock-frontend").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        done = tick(host)
    (record,) = done.runs
    assert (record.outcome, record.code) == ("deferred", "locked")
    assert [type(one) for one in done.failures] == [Transient]
    assert machine.versions()["plain"] == "1.0"
    assert [one.outcome for one in tick(host, INSIDE + timedelta(minutes=15)).runs] == ["applied"]


def test_without_patience_a_held_lock_closes_the_gate(host: Site, machine: AptLab) -> None:
    want(host, "plain", policy="lock_wait: 0s\n")
    with (machine.admin / "lock-frontend").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        done = tick(host)
    assert (done.report.decision.outcome, done.runs) == ("locked", ())
    assert f"pid {os.getpid()}" in done.report.decision.reason


def test_now_passes_over_the_window_and_says_so(host: Site, machine: AptLab) -> None:
    want(host, "plain")
    (record,) = tick(host, BEFORE, BreakGlass("zero day", "ada")).runs
    assert (record.outcome, record.deadline) == ("applied", None)
    told = runs(host)[-1]["exceptional"]
    assert (told["by"], told["reason"]) == ("ada", "zero day")
    assert "Exceptional" in git(host.reports, "show", f"hosts/web-01:runs/{record.run}.md")
    assert machine.versions()["plain"] == "1.1"


@pytest.mark.parametrize("overrides", [False, True])
def test_a_freeze_holds_against_now_unless_it_is_overridden(
    host: Site, machine: AptLab, *, overrides: bool
) -> None:
    want(host, "plain")
    frozen = (
        "kind: Freeze\nname: year-end\nfrom: 2026-11-20\nuntil: 2036-11-30\ntimezone: UTC\n"
        "reason: change freeze\n"
    )
    host.commit({"freezes/year-end.yaml": frozen})
    done = tick(host, BEFORE, BreakGlass("zero day", "ada", overrides_freeze=overrides))
    assert len(done.runs) == overrides
    assert machine.versions()["plain"] == ("1.1" if overrides else "1.0")


# A run that is ended from outside: the script runs one tick in a process of its own, which the test kills.
TICK = """\
import os, sys
sys.path[:0] = sys.argv[1].split(":")
from datetime import datetime
from pathlib import Path
from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from tests.e2e.site import SetClock
left = int(sys.argv[4])
def see(event, arguments):
    global left
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in {"subprocess.Popen", "os.rename", "os.remove", "os.mkdir", "os.utime"}:
        left -= 1
        if not left:
            os._exit(137)
if left:
    sys.addaudithook(see)
config = Path(sys.argv[2])
run_once(config, wire(load_config(config), SetClock(datetime.fromisoformat(sys.argv[3]))))
"""


def start(site: Site, at: datetime = INSIDE, effect: int = 0) -> subprocess.Popen[bytes]:
    paths = ":".join([str(Path.cwd()), *(path for path in sys.path if path.endswith("-packages"))])
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-c", TICK, paths, str(site.config), at.isoformat(), str(effect)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def processes_in(site: Site) -> Iterator[int]:
    """Return every living process that works on the machine of ``site``, by its environment."""
    mark = str(site.folder.parent / "machine").encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if mark in (folder / "environ").read_bytes():
                    yield int(folder.name)
            except OSError:
                continue


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


SLOW = 'touch "$DPKG_ROOT/begun"; while [ ! -e "$DPKG_ROOT/go" ]; do sleep 0.05; done'


def test_everything_killed_during_a_maintainer_script_is_repaired_by_the_next_run(
    host: Site, machine: AptLab
) -> None:
    offer(machine, Deb("slow", "1.1", scripts={"postinst": SLOW}), Deb("one", "1.1"))
    machine.mark_auto("slow")
    machine.hold_package("lima")
    want(host, "slow", "one")
    child = start(host)
    wait_for(machine.root / "begun")
    child.kill()
    for pid in list(processes_in(host)):
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(pid, signal.SIGKILL)
    child.communicate()
    (machine.root / "go").touch()
    # Also outside of the window: what was begun in one is brought to its end.
    done = tick(host, BEFORE + timedelta(days=1))
    (record,) = done.runs
    assert record.outcome == "interrupted"
    assert record.difference.missing == ()
    assert (machine.versions()["slow"], machine.versions()["one"]) == ("1.1", "1.1")
    assert done.failures != ()
    assert runs(host)[-1]["outcome"] == "interrupted"
    # The operator's marks and holds are as they were.
    assert machine.automatic() == {"slow"}
    assert "lima" in machine.apt("-s", "dist-upgrade").partition("kept back:")[2]
    assert tick(host, INSIDE + timedelta(days=1)).runs == ()


def test_a_transaction_outlives_the_run_and_is_found_by_the_next(host: Site, machine: AptLab) -> None:
    offer(machine, Deb("slow", "1.1", scripts={"postinst": SLOW}))
    want(host, "slow")
    child = start(host)
    wait_for(machine.root / "begun")
    child.kill()
    child.communicate()
    with pytest.raises(Transient, match="is still at work"):
        tick(host, INSIDE + timedelta(minutes=15))
    (machine.root / "go").touch()
    for _ in range(600):
        if not list(processes_in(host)):
            break
        time.sleep(0.05)
    done = tick(host, INSIDE + timedelta(minutes=30))
    (record,) = done.runs
    # Its package manager ended well, and so did the run.
    assert (record.outcome, record.difference.missing, done.failures) == ("applied", (), ())
    assert "a later one completed this record" in record.notes[0]
    assert machine.versions()["slow"] == "1.1"


def test_a_second_run_meanwhile_is_turned_away(host: Site, machine: AptLab) -> None:
    offer(machine, Deb("slow", "1.1", scripts={"postinst": SLOW}))
    want(host, "slow")
    child = start(host)
    wait_for(machine.root / "begun")
    with pytest.raises(Transient, match=rf"another patchledger run .*pid {child.pid}"):
        tick(host)
    (machine.root / "go").touch()
    _, errors = child.communicate()
    assert (child.returncode, errors) == (0, b"")
    assert machine.versions()["slow"] == "1.1"


def test_a_run_killed_anywhere_is_made_up_for_by_the_next(host: Site, machine: AptLab) -> None:
    """Every thirty-seventh effect of a run that applies; ``tests/chaos/run`` tries instants of chance."""
    offer(machine, Deb("one", "1.1"))
    effect, killed, version, at = 1, True, 1, INSIDE
    while killed:
        version += 1
        machine.publish(MAIN, Deb("one", f"1.{version}"))
        machine.refresh()
        want(host, "one", policy=f"description: attempt {effect}\n")
        at += timedelta(minutes=2)
        child = start(host, at, effect)
        child.communicate()
        killed = child.returncode == 137
        for _ in range(50):
            try:
                tick(host, at + timedelta(minutes=1))
                break
            except ReconcilerError as error:
                assert "still at work" in error.message  # noqa: PT017 - the only one that may come
                time.sleep(0.2)
        assert machine.versions()["one"] == f"1.{version}", effect
        last = runs(host)[-1]
        assert (last["outcome"], moved(last)) in [
            (outcome, {"one": f"1.{version}"}) for outcome in ("applied", "interrupted")
        ], effect
        assert not (host.state / "journal.json").exists()
        effect += 37
    assert effect > 37


@pytest.mark.parametrize("action", ["download", "apply"])
def test_packages_are_fetched_before_the_window_and_only_once(
    host: Site, machine: AptLab, action: str
) -> None:
    sources = machine.root / "etc/apt/sources.list"
    sources.write_text(sources.read_text().replace("file:", "copy:"))  # what is local is not copied otherwise
    machine.refresh()
    want(host, "plain")
    base = (host.policy / "policies/base.yaml").read_text()
    host.commit(
        {"policies/base.yaml": base.replace("action: apply", f"action: {action}\ndescription: ahead")}
    )
    archives = machine.root / "var/cache/apt/archives"
    done = tick(host, BEFORE)
    assert (done.failures, done.runs) == ((), ())
    assert [path.name for path in archives.glob("*.deb")] == ["plain_1.1_all.deb"]
    assert machine.versions()["plain"] == "1.0"
    (archives / "plain_1.1_all.deb").unlink()
    tick(host, BEFORE + timedelta(minutes=15))
    assert not list(archives.glob("*.deb"))


def test_an_approval_of_a_plan_is_used_up_by_applying_it(host: Site, machine: AptLab) -> None:
    offer(machine, Deb("one", "1.1"))
    want(host, "one", policy="approval: required\n")
    digest = tick(host, BEFORE).report.plan.digest
    host.commit({"approvals/one.yaml": approval(f"plan: {digest}")})
    assert [one.outcome for one in tick(host).runs] == ["applied"]
    machine.go_back(Deb("one", "1.0"))
    again = tick(host, INSIDE + timedelta(minutes=15))
    assert again.report.plan.digest == digest
    assert (again.report.decision.outcome, again.runs) == ("approval", ())
    assert "used up" in again.report.decision.reason


def test_a_script_that_the_policy_pins_otherwise_runs_no_further(host: Site, machine: AptLab) -> None:
    want(host, "plain", policy=f'scripts: {{apt-update.sh: "sha256:{"0" * 64}"}}\n')
    done = tick(host)
    assert (done.report.decision.outcome, done.runs) == ("unhealthy", ())
    assert "pins apt-update.sh" in done.report.decision.reason
    assert [type(one).__name__ for one in done.failures] == ["Stalled"]
    assert machine.versions()["plain"] == "1.0"
    digest = dict(PatchScript.load("apt-update.sh").hashes)["apt-update.sh"]
    want(host, "plain", policy=f'scripts: {{apt-update.sh: "sha256:{digest}"}}\n')
    assert [one.outcome for one in tick(host, INSIDE + timedelta(minutes=15)).runs] == ["applied"]


def test_a_closing_window_stops_before_the_next_step_and_the_rest_waits(host: Site, machine: AptLab) -> None:
    names = [f"part{number}" for number in range(12)]  # three of them are a step
    offer(machine, *(Deb(name, "1.1") for name in names))
    want(host, *names, policy="budget: 30m\nstep_time: 10s\n")
    clock = Striding(OPENING + timedelta(hours=2, minutes=20), timedelta(minutes=12))
    done = run_once(host.config, wire(load_config(host.config), clock))
    (record,) = done.runs
    assert (record.outcome, record.code) in [("partial", "budget"), ("partial", "window")]
    assert len(record.difference.changed) == 3
    assert done.failures == ()
    rest = tick(host, INSIDE + timedelta(days=1))
    assert sum(len(run["difference"]["changed"]) for run in runs(host)) == 12
    assert rest.report.plan.transaction == ()


def test_what_this_program_stands_on_comes_last_in_a_step_of_its_own(host: Site, machine: AptLab) -> None:
    offer(machine, Deb("git", "1.1"), Deb("one", "1.1"))
    want(host, "git", "one")
    (record,) = tick(host).runs
    assert [[move.name for move in step.changes] for step in record.steps] == [["one"], ["git"]]
    assert record.outcome == "applied"


class Striding(SetClock):
    """A clock on which every look takes a while once packages are changed."""

    def __init__(self, at: datetime, stride: timedelta) -> None:
        super().__init__(at)
        self._stride = stride
        self._asked = 0

    def now(self) -> datetime:
        self._asked += 1
        if self._asked > 6:  # beginning, upkeep, the look and its date, the intent, the first step
            self.at += self._stride
        return self.at


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--now"], "needs a reason"),
        (["--reason", "x"], "belong to --now"),
        (["--now", "--reason", "x", "--override-freeze"], "does not allow --override-freeze"),
    ],
)
def test_half_a_break_glass_is_a_misuse(
    host: Site, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["--config", str(host.config), "run", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_now_works_from_the_command_line_and_prints_what_it_did(
    host: Site, machine: AptLab, capsys: pytest.CaptureFixture[str]
) -> None:
    want(host, "plain")
    assert main(["--config", str(host.config), "run", "--now", "--reason", "zero day"]) == 0
    out = capsys.readouterr().out
    assert "applied 1 change" in out
    assert "plain" in out
    assert machine.versions()["plain"] == "1.1"
    assert runs(host)[-1]["exceptional"]["reason"] == "zero day"


def test_a_damaged_journal_stops_everything_and_is_never_deleted(host: Site, machine: AptLab) -> None:
    want(host, "plain")
    tick(host, BEFORE)
    (host.state / "journal.json").write_text("{not json")
    with pytest.raises(Stalled, match="journal of an unfinished run does not parse"):
        tick(host)
    assert (host.state / "journal.json").read_text() == "{not json"
    assert machine.versions()["plain"] == "1.0"


def test_what_this_version_cannot_promise_is_not_done_without_it(host: Site, machine: AptLab) -> None:
    want(host, "plain", policy="snapshot: required\n")
    done = tick(host)
    assert (done.report.decision.outcome, done.runs) == ("unhealthy", ())
    assert "SnapshotUnavailable" in {one.type for one in done.report.conditions}
    assert machine.versions()["plain"] == "1.0"


def test_now_tries_again_what_failed_and_leaves_it_alone_when_it_fails_again(
    host: Site, machine: AptLab
) -> None:
    offer(machine, Deb("golf", "1.1", scripts={"postinst": "exit 1"}))
    want(host, "golf")
    assert [one.outcome for one in tick(host).runs] == ["failed"]
    assert tick(host, INSIDE + timedelta(minutes=15)).runs == ()
    again = tick(host, INSIDE + timedelta(minutes=30), BreakGlass("it was mended", "ada"))
    assert [one.outcome for one in again.runs] == ["failed"]
    assert any(one.type == "PackagesQuarantined" for one in again.report.conditions)
    assert tick(host, INSIDE + timedelta(minutes=45)).runs == ()


def test_two_runs_of_one_plan_within_a_second_are_two_runs(host: Site, machine: AptLab) -> None:
    once = 'if [ -e "$DPKG_ROOT/tried" ]; then exit 0; fi; : >"$DPKG_ROOT/tried"; exit 1'
    offer(machine, Deb("golf", "1.1", scripts={"preinst": once}))
    want(host, "golf")
    first = tick(host).runs
    again = tick(host, INSIDE, BreakGlass("at once", "ada")).runs
    assert [one.outcome for one in (*first, *again)] == ["failed", "applied"]
    assert len({one.run for one in (*first, *again)}) == len(runs(host)) == 2
