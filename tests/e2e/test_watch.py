"""``watch`` as a process: real changes, signals and a socket that listens as systemd does."""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler import launch
from reconciler.agent.wakeup import FIRST_RETRY
from reconciler.host.state import next_tick
from tests.e2e.site import POLICY, Site
from tests.labs.apt import AptLab

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds for anything to happen; it takes below ten
FREEZE = """\
kind: Freeze
name: soon-over
from: 2020-01-01
until: "{until:%Y-%m-%d %H:%M:%S}"
timezone: UTC
reason: a test
"""


@dataclass
class Daemon:
    """A ``watch`` at work, and what it says."""

    process: subprocess.Popen[bytes]
    notified: socket.socket
    log: Path
    heard: str = ""

    def wait_until(self, said: str) -> str:
        """Wait until it tells its service manager so; return that message."""
        while True:
            message = self.notified.recv(65536).decode()
            self.heard += message + "\n"
            if said in message:
                return message

    def pass_over(self) -> None:
        """Do not wait for anything that it has said so far."""
        while select.select([self.notified], [], [], 0)[0]:
            self.heard += self.notified.recv(65536).decode() + "\n"

    def wait_for_rest(self) -> str:
        """Wait until it waits for the next interval."""
        while True:
            message = self.wait_until("STATUS=")
            _, is_waiting, rest = message.partition("next tick")
            if is_waiting and " (" not in rest:
                return message

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end, and return its exit code."""
        self.send(number)
        return self.process.wait(PATIENCE)

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    @property
    def child(self) -> int:
        """Process number of the tick at work."""
        pid = self.process.pid
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        (child,) = [int(word) for task in tasks for word in task.read_text().split()]
        return child


Watch = Callable[..., contextlib.AbstractContextManager[Daemon]]


@pytest.fixture
def watch(site: Site, tmp_path: Path) -> Watch:
    """Return what starts a ``watch`` on the site, and ends it."""

    @contextlib.contextmanager
    def start(
        *before: str,
        code: Path = REPOSITORY,
        command: Sequence[str] = (sys.executable, "-m", "reconciler"),
        **environ: str,
    ) -> Iterator[Daemon]:
        address = str(tmp_path / "notify")
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
            (tmp_path / "log").open("wb") as log,
        ):
            notified.bind(address)
            notified.settimeout(PATIENCE)
            process = subprocess.Popen(
                [*before, *command, "--config", str(site.config), "watch"],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(code), "NOTIFY_SOCKET": address, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                yield Daemon(process, notified, tmp_path / "log")
            finally:
                process.terminate()
                process.wait(PATIENCE)
                sys.stdout.write((tmp_path / "log").read_text())  # shown where a test fails

    return start


@contextlib.contextmanager
def silent_server() -> Iterator[tuple[str, socket.socket]]:
    """Serve an address that takes connections and never answers, so that a fetch from it lasts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        yield f"http://127.0.0.1:{server.getsockname()[1]}/policy.git", server


def gates(site: Site) -> dict[str, str]:
    """Return the gates' states as the last tick found them."""
    report = json.loads((site.state / "report.json").read_bytes())
    return {gate["gate"]: gate["state"] for gate in report["gates"]}


# --- at rest ------------------------------------------------------------------------------------------------


def test_it_makes_a_tick_and_says_what_it_waits_for(site: Site, watch: Watch) -> None:
    with watch() as daemon:
        assert daemon.wait_until("READY=1").startswith("READY=1\nSTATUS=")
        status = daemon.wait_for_rest()
        assert status.startswith("STATUS=next tick ")
        assert "window: outside the windows of nightly" in status
        assert "; asked again " in status
        assert site.report()["decision"]["outcome"] == "window"
        maps = Path(f"/proc/{daemon.process.pid}/maps").read_text()
        assert "_rust_notify" in maps
        assert "pydantic" not in maps
        assert "yaml" not in maps
        assert daemon.end() == 0
        assert daemon.wait_until("STOPPING=1")
    assert "ends, told to by SIGTERM" in daemon.said


def test_every_change_wakes_it(site: Site, watch: Watch) -> None:
    with watch() as daemon:
        daemon.wait_for_rest()
        (site.state / "wake").touch()
        daemon.wait_until("tick at work since")
        daemon.wait_for_rest()
        commit = site.commit({"policies/base.yaml": "kind: Policy\nname: base\n"})
        assert "woken by policy" in daemon.wait_until("tick at work since")
        daemon.wait_for_rest()
        assert site.report()["policy_commit"] == commit
        site.hook("pre", "10-shop", "true")
        assert "woken by hooks" in daemon.wait_until("tick at work since")
        daemon.wait_for_rest()
        site.hook("pre", "10-shop", "false")
        assert "woken by hooks" in daemon.wait_until("tick at work since")
        daemon.wait_for_rest()
        (site.state / "wake").touch()
        assert "woken by trigger" in daemon.wait_until("tick at work since")
        daemon.wait_for_rest()
    assert "nothing changed since" in daemon.said, "a tick that a child finds quiet is quiet"


def test_what_changes_during_a_tick_makes_another(site: Site, watch: Watch, lab: AptLab) -> None:
    with silent_server() as (address, server):
        site.configure(environment=lab.environment, policy={"remote": address})
        with watch() as daemon, server.accept()[0] as connection:
            (site.state / "wake").touch()
            # It hears at work too: the configuration is taken over while the tick still waits for its answer.
            site.configure(environment=lab.environment)
            daemon.wait_until("RELOADING=1")
            daemon.wait_until("READY=1")
            assert daemon.child, "it is still at work"
            connection.close()
            assert "woken by" in daemon.wait_until("tick at work since")
            daemon.wait_for_rest()
    assert "exit code 5" in daemon.said
    assert site.report()["policy_commit"]


def test_the_interval(site: Site, watch: Watch, lab: AptLab) -> None:
    site.configure(environment=lab.environment, tick="3s")
    with watch() as daemon:
        daemon.wait_for_rest()
        for _ in range(2):
            assert "woken by the interval" in daemon.wait_until("tick at work since")
            daemon.wait_for_rest()


def test_the_end_of_a_freeze(site: Site, watch: Watch) -> None:
    with watch() as daemon:
        daemon.wait_for_rest()
        until = (datetime.now(UTC) + timedelta(seconds=20)).replace(microsecond=0)
        site.commit({"freezes/soon-over.yaml": FREEZE.format(until=until)})
        daemon.wait_until("(woken by the clock)")
        assert gates(site)["freeze"] == "closed"
        assert "woken by the clock" in daemon.wait_until("tick at work since")
        assert datetime.now(UTC) >= until
        daemon.wait_for_rest()
        assert gates(site)["freeze"] == "open"


def test_a_tick_says_when_a_message_is_to_be_sent_again(
    site: Site, lab: AptLab, patchledger: Callable[..., tuple[int, str, str]]
) -> None:
    address = site.folder / "ops.url"
    address.write_text("json://127.0.0.1:1/\n", encoding="utf-8")
    address.chmod(0o600)
    site.configure(environment=lab.environment, notifiers={"ops": {"file": str(address)}})
    site.commit({"policies/base.yaml": POLICY + "notify: [{to: ops, on: [every-run]}]\n"})
    before = datetime.now(UTC)
    assert patchledger("run")[0] == 5
    left = next_tick.read(str(site.state / "next.json"))
    assert left.resend is not None
    assert before < left.resend <= datetime.now(UTC) + FIRST_RETRY
    assert left.changes is not None
    assert left.changes > left.resend
    assert left.says.startswith("window: outside the windows of nightly; asked again ")


def test_signs_of_life_are_given_at_rest_and_at_work(site: Site, watch: Watch, lab: AptLab) -> None:
    with silent_server() as (address, server):
        site.configure(environment=lab.environment, policy={"remote": address})
        with watch(WATCHDOG_USEC="400000") as daemon, server.accept()[0] as connection:
            # It has asked: a tick is at work, and would be for half a minute; a minute later comes the next.
            daemon.pass_over()
            for _ in range(3):
                daemon.wait_until("WATCHDOG=1")
            assert daemon.child, "it is still at work"
            connection.close()
            daemon.wait_until("next tick")
            for _ in range(3):
                daemon.wait_until("WATCHDOG=1")


def test_where_the_kernel_watches_no_more_files_it_looks_by_itself(site: Site, watch: Watch) -> None:
    exhausted = 'echo 0 >/proc/sys/user/max_inotify_instances; exec "$@"'
    with watch("unshare", "--user", "--map-root-user", "sh", "-c", exhausted, "sh") as daemon:
        daemon.wait_for_rest()
        (site.state / "wake").touch()
        daemon.send(signal.SIGCHLD)  # as if the time to look had come
        daemon.wait_until("woken by trigger")
        daemon.wait_for_rest()
    assert "files cannot be watched" in daemon.said


# --- the configuration --------------------------------------------------------------------------------------


def test_a_bad_configuration_leaves_the_last_good_one_in_force(site: Site, watch: Watch, lab: AptLab) -> None:
    with watch() as daemon:
        daemon.wait_for_rest()
        good = site.config.read_text(encoding="utf-8")
        site.config.write_text(good + "colour: red\n", encoding="utf-8")
        daemon.wait_until("RELOADING=1")
        refused = daemon.wait_until("READY=1")
        assert "configuration refused, the last good one is in force" in refused
        assert "colour: is not a key here" in refused
        commit = site.commit({"policies/base.yaml": "kind: Policy\nname: base\n"})
        daemon.wait_until("woken by policy")
        assert daemon.wait_for_rest().startswith("STATUS=configuration refused")
        assert site.report()["policy_commit"] == commit
        site.configure(environment=lab.environment, host="web-02")
        daemon.wait_until("READY=1")
        assert "woken by configuration" in daemon.wait_until("tick at work since")
        assert "refused" not in daemon.wait_for_rest()
        assert site.report("hosts/web-02")["target"] == "web-02"
        site.config.unlink()
        assert "there is no such file" in daemon.wait_until("READY=1")
    kept = site.state / "watch.yaml"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "web-02" in kept.read_text(encoding="utf-8")


def test_a_tick_that_read_the_bad_configuration_is_made_again(site: Site, watch: Watch) -> None:
    with watch() as daemon:
        daemon.wait_for_rest()
        good = site.config.read_text(encoding="utf-8")
        commit = site.commit({"policies/base.yaml": "kind: Policy\nname: base\n"})
        # Whether it or its check reads the file first is open, and makes no difference in the end.
        site.config.write_text(good + "colour: red\n", encoding="utf-8")
        while site.report()["policy_commit"] != commit:
            daemon.wait_until("next tick")
        assert "configuration refused" in daemon.said


def test_a_bad_configuration_at_the_start_ends_it(site: Site, watch: Watch, lab: AptLab) -> None:
    site.configure(environment=lab.environment, colour="red", tick="0s")
    with watch() as daemon:
        assert daemon.process.wait(PATIENCE) == 2
        assert "READY=1" not in daemon.notified.recv(65536).decode()
    assert "colour: is not a key here" in daemon.said
    assert "tick: " in daemon.said
    assert daemon.said.count("hint:") == 1


def test_sighup_reads_it_anew_and_makes_a_tick(watch: Watch) -> None:
    with watch() as daemon:
        daemon.wait_for_rest()
        daemon.send(signal.SIGHUP)
        daemon.wait_until("RELOADING=1\nMONOTONIC_USEC=")
        daemon.wait_until("READY=1")
        daemon.wait_until("woken by SIGHUP")
        daemon.wait_for_rest()


def test_another_state_folder_is_moved_to(site: Site, watch: Watch, lab: AptLab) -> None:
    with watch() as daemon:
        daemon.wait_for_rest()
        other = site.folder / "elsewhere"
        site.configure(environment=lab.environment, state_dir=str(other))
        daemon.wait_until("READY=1")
        daemon.wait_for_rest()
        (other / "wake").touch()
        daemon.wait_until("woken by trigger")
        with (site.state / "watch.lock").open("rb") as old, (other / "watch.lock").open("rb") as new:
            fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with pytest.raises(BlockingIOError):
                fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)


# --- the end, and others ------------------------------------------------------------------------------------


def test_ctrl_c_ends_it(watch: Watch) -> None:
    with watch() as daemon:
        daemon.wait_for_rest()
        assert daemon.end(signal.SIGINT) == 130


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_told_to_end_at_work_it_leaves_nothing_running(
    site: Site, watch: Watch, lab: AptLab, number: signal.Signals, code: int
) -> None:
    with silent_server() as (address, server):
        site.configure(environment=lab.environment, policy={"remote": address})
        with watch() as daemon, server.accept()[0] as connection:
            child = daemon.child
            environ = Path(f"/proc/{child}/environ").read_bytes()
            assert b"NOTIFY_SOCKET" not in environ
            assert daemon.end(number) == code
            connection.settimeout(PATIENCE)
            while connection.recv(65536):
                pass  # git has ended too
            with pytest.raises(ProcessLookupError):
                os.kill(child, 0)
    assert "Traceback" not in daemon.said
    with (site.state / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_killed_tick_is_made_again_soon(site: Site, watch: Watch, lab: AptLab) -> None:
    with silent_server() as (address, server):
        site.configure(environment=lab.environment, policy={"remote": address})
        with watch() as daemon, server.accept()[0] as connection:
            os.kill(daemon.child, signal.SIGKILL)
            assert "again after a transient failure, 1 in a row" in daemon.wait_until("next tick")
            connection.close()
    assert "the tick was killed by signal 9" in daemon.said


def test_a_tick_that_does_not_end_is_told_and_ended_but_never_while_packages_are_changed(
    site: Site, watch: Watch, lab: AptLab
) -> None:
    execution = site.state / "runs" / "20261121T020004Z-0001" / "step-1-1"
    execution.mkdir(parents=True)
    order = launch.order(["sleep", "100"], {"PATH": os.environ["PATH"]}, execution)
    with (
        silent_server() as (address, server),
        subprocess.Popen(launch.COMMAND, stdin=subprocess.PIPE) as patching,
    ):
        assert patching.stdin is not None
        patching.stdin.write(order)
        patching.stdin.close()
        try:
            site.configure(environment=lab.environment, policy={"remote": address}, tick_timeout="2s")
            with watch(WATCHDOG_USEC="400000") as daemon, server.accept()[0] as connection:
                # Nothing that it could hear ends it, nor a signal that it does not get.
                os.kill(daemon.child, signal.SIGSTOP)
                while "left to end: a package manager is at work" not in daemon.said:
                    daemon.wait_until("WATCHDOG=1")
                assert daemon.said.count("the tick is at work for") == 2
                assert daemon.child, "it is still at work"
                patching.terminate()
                patching.wait(PATIENCE)
                daemon.send(signal.SIGCHLD)  # as if the time to look again had come
                assert "again after a transient failure, 1 in a row" in daemon.wait_until("next tick")
                connection.close()
        finally:
            patching.kill()
    assert "the tick is ended: it was at work for" in daemon.said
    assert "the tick was killed by signal 9" in daemon.said


def test_a_second_one_is_refused(site: Site, watch: Watch) -> None:
    with watch() as daemon:
        daemon.wait_for_rest()
        second = subprocess.run(
            [sys.executable, "-m", "reconciler", "--config", str(site.config), "watch"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert second.returncode == 5
        assert (
            f"another patchledger watch is at work on {site.state} (pid {daemon.process.pid})"
            in second.stderr
        )
        assert "hint: stop it first" in second.stderr


def test_the_run_of_a_timer_has_its_turn_first(site: Site, watch: Watch) -> None:
    with watch() as daemon:
        daemon.wait_for_rest()
        with (site.state / "lock").open("rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            site.commit(
                {"policies/base.yaml": "kind: Policy\nname: base\n"}
            )  # no quiet tick, which needs no lock
            assert "again after a transient failure" in daemon.wait_until("(again")
        (site.state / "wake").touch()
        daemon.wait_until("woken by trigger")
        daemon.wait_for_rest()
    assert f"another patchledger run is at work on {site.state}" in daemon.said


def test_a_new_version_of_the_program_takes_over(site: Site, watch: Watch, tmp_path: Path) -> None:
    for folder in ("reconciler", "scripts", "schemas", "examples"):
        shutil.copytree(REPOSITORY / folder, tmp_path / "program" / folder)
    with watch(code=tmp_path / "program") as daemon:
        daemon.wait_for_rest()
        own = tmp_path / "program" / "reconciler" / "__init__.py"
        own.with_name("new").write_text(own.read_text().replace('__version__ = "', '__version__ = "77.'))
        own.with_name("new").replace(own)
        (site.state / "wake").touch()
        daemon.wait_until("READY=1")
        daemon.wait_for_rest()
        assert daemon.process.poll() is None, "it is the same process"
        assert site.report()["program"].startswith("patchledger 77.")
        assert daemon.end() == 0
    assert "this program was replaced: goes on as the new one" in daemon.said


def test_a_link_that_is_turned_to_a_new_version_is_followed(site: Site, watch: Watch, tmp_path: Path) -> None:
    """As packages have it: every installation in a folder of its own, and one link to the newest."""
    current = tmp_path / "current"
    for version in ("77", "78"):
        folder = tmp_path / version
        for part in ("reconciler", "scripts", "schemas", "examples"):
            shutil.copytree(REPOSITORY / part, folder / part)
        (folder / "reconciler/__init__.py").write_text(f'__version__ = "{version}"\n')
        command = folder / "patchledger"
        command.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(folder)!r})\n"
            "from reconciler.cli import main\nsys.exit(main())\n"
        )
        command.chmod(0o755)
    current.symlink_to("77")
    with watch(command=(str(current / "patchledger"),)) as daemon:
        daemon.wait_for_rest()
        assert site.report()["program"] == "patchledger 77"
        (tmp_path / "next").symlink_to("78")
        (tmp_path / "next").replace(current)
        (site.state / "wake").touch()
        daemon.wait_until("READY=1")
        daemon.wait_for_rest()
        assert site.report()["program"] == "patchledger 78"
        assert daemon.end() == 0
    assert "this program was replaced: goes on as the new one" in daemon.said


def test_another_interpreter_under_it_takes_over(site: Site, watch: Watch, tmp_path: Path) -> None:
    """As a release upgrade has it: what python3 leads to is another one."""
    real = Path(sys.executable).resolve()
    python, other = tmp_path / "python3", tmp_path / "other"
    python.symlink_to(real)
    shutil.copy2(real, other)
    path = f"{REPOSITORY}:{sysconfig.get_path('purelib')}"
    with watch(command=(str(python), "-m", "reconciler"), PYTHONPATH=path) as daemon:
        daemon.wait_for_rest()
        (tmp_path / "next").symlink_to(other)
        (tmp_path / "next").replace(python)
        (site.state / "wake").touch()
        daemon.wait_until("READY=1")
        daemon.wait_for_rest()
        assert Path(f"/proc/{daemon.process.pid}/exe").resolve() == other
        assert daemon.end() == 0
    assert "this program was replaced: goes on as the new one" in daemon.said


# --- watch --check ------------------------------------------------------------------------------------------


def test_check_says_what_would_wake(site: Site, patchledger: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = patchledger("watch", "--check")
    assert (code, err) == (0, "")
    assert "A tick at least every 15m" in out
    for path in (
        site.config,
        site.folder / "hooks",
        site.state / "wake",
        site.policy / ".git/refs/heads/main",
    ):
        assert f" {path}\n" in out


def test_check_follows_a_linked_worktree(
    site: Site, patchledger: Callable[..., tuple[int, str, str]]
) -> None:
    subprocess.run(["git", "worktree", "add", "-q", "../tree"], cwd=site.policy, check=True)
    site.configure(policy={"remote": f"file://{site.folder}/tree", "ref": "tree"})
    code, out, _ = patchledger("watch", "--check")
    assert code == 0
    assert f" {site.policy}/.git/refs/heads/tree\n" in out


def test_check_tells_all_mistakes(site: Site, patchledger: Callable[..., tuple[int, str, str]]) -> None:
    site.configure(tick="soon", colour="red")
    code, out, err = patchledger("watch", "--check", "--format", "json")
    assert (code, out) == (2, "")
    assert "tick: " in err
    assert "colour: " in err
