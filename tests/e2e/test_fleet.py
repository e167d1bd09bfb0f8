"""``fleet publish``, ``status`` and ``metrics`` as people call them, on real repositories."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema
from reconciler.cli.verbs.fleet_commands import STATES
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.fleet.rows import TargetState
from reconciler.planning.fleet.summary import read_summary, summary_schema
from tests.edge.gitops.bench import git
from tests.labs.conversation import Conversation
from tests.labs.fleet import FleetWorld
from tests.labs.signing import Key, Keys


@pytest.fixture
def world(tmp_path: Path, keys: Keys, ada: Key) -> FleetWorld:
    """A fleet of three, and the configuration of who reads it."""
    world = FleetWorld.create(tmp_path, keys, ada, "web-01", "web-02", "db-01")
    world.now = SystemClock().now().replace(microsecond=0)
    configure(world)
    return world


def configure(world: FleetWorld, **more: Any) -> None:
    told = {
        "host": "console-01",
        "policy": {"remote": f"file://{world.policy.path}/.git"},
        "reports": {"remote": f"file://{world.reports}"},
        "trust": {"mode": "signed", "allowed_signers": f"{world.folder}/signers", "repository": "example"},
        "state_dir": f"{world.folder}/state",
        "log_dir": f"{world.folder}/log",
        **more,
    }
    (world.folder / "config.yaml").write_text(json.dumps(told), encoding="utf-8")


def call(world: FleetWorld, *arguments: str) -> int:
    return main(["--config", f"{world.folder}/config.yaml", "fleet", *arguments])


def publish(world: FleetWorld, *arguments: str) -> int:
    return call(world, "publish", "--signing-key", world.publisher.settings["user.signingkey"], *arguments)


def told(capsys: pytest.CaptureFixture[str], name: str) -> Any:
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema(name), format_checker=Draft202012Validator.FORMAT_CHECKER).validate(document)
    return document


def test_a_fleet_is_published_and_shown(
    world: FleetWorld, eve: Key, capsys: pytest.CaptureFixture[str]
) -> None:
    world.report("web-01")
    world.report("web-02", key=eve)
    assert publish(world) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "3 targets: 1 unverified, 1 silent, 1 fine"
    assert out[1].startswith("published ")
    assert call(world, "status") == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()[4:]] == ["unverified", "silent", "fine"]
    assert call(world, "status", "--check") == 4
    assert call(world, "status", "--check", "--state", "fine") == 0
    capsys.readouterr()
    assert publish(world, "--format", "json") == 0
    found = told(capsys, "fleet-publish")
    assert [one["is_new"] for one in found["branches"]] == [False]


def test_who_only_looks_publishes_nothing(world: FleetWorld, capsys: pytest.CaptureFixture[str]) -> None:
    world.report("web-01")
    assert call(world, "status") == 2
    assert "no reports were read yet" in capsys.readouterr().err
    assert call(world, "status", "--fetch", "--format", "json") == 0
    found = told(capsys, "fleet-status")
    assert found["states"] == {"silent": 2, "fine": 1}
    assert git(world.reports, "for-each-ref", "refs/heads/fleet") == ""


def test_the_json_of_the_branch_is_as_its_schema_says(world: FleetWorld) -> None:
    world.report("web-01")
    publish(world)
    summary = git(world.reports, "show", "fleet:summary.json") + "\n"
    Draft202012Validator(summary_schema()).validate(json.loads(summary))
    assert [line.row.target for line in read_summary(summary.encode())[1]] == ["db-01", "web-02", "web-01"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (("--label", "env=production"), ["web-01"]),
        (("--label", "env=production", "--label", "a=b"), []),
        (("--state", "fine"), ["web-01"]),
        (("--state", "silent", "--state", "fine"), ["db-01", "web-02", "web-01"]),
        (("--manager", "apt"), ["web-01"]),
        (("--manager", "dnf"), []),
        (("--policy", "web"), ["web-01"]),
        (("--policy", "other"), []),
    ],
)
def test_filters(
    world: FleetWorld, capsys: pytest.CaptureFixture[str], filters: tuple[str, ...], names: list[str]
) -> None:
    world.report("web-01")
    publish(world)
    capsys.readouterr()
    assert call(world, "status", "--format", "csv", *filters) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["target"] for row in rows] == names


def test_an_alarm_that_watches_nobody_is_a_mistake(
    world: FleetWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    for host in ("web-01", "web-02", "db-01"):
        world.report(host)
    publish(world)
    assert call(world, "status", "--check", "--state", "failed") == 0
    assert call(world, "status", "--check", "--state", "failed", "--label", "env=production") == 0
    for wrong in (("--label", "env=prodcution"), ("--policy", "wep"), ("--manager", "dnf")):
        assert call(world, "status", *wrong) == 0
        capsys.readouterr()
        assert call(world, "status", "--check", *wrong) == 2
        assert "nothing is watched" in capsys.readouterr().err


def test_a_branch_that_nobody_has_is_not_accepted_in_silence(
    world: FleetWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world.report("web-01")
    assert publish(world, "--accept-rewritten", "web-1") == 2
    said = capsys.readouterr()
    assert "there is no target web-1" in said.err
    assert "web-01" in said.err
    assert said.out.splitlines()[1].startswith("published ")


def test_no_host_publishes(world: FleetWorld, capsys: pytest.CaptureFixture[str]) -> None:
    world.report("web-01")
    key = world.key("web-02").settings["user.signingkey"]
    assert call(world, "publish", "--signing-key", key) == 2
    assert "is the report_key of web-02" in capsys.readouterr().err
    assert git(world.reports, "for-each-ref", "refs/heads/fleet") == ""


def test_one_target_in_full(world: FleetWorld, capsys: pytest.CaptureFixture[str]) -> None:
    commit = world.report("web-01")
    publish(world)
    capsys.readouterr()
    assert call(world, "status", "web-01") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("web-01: fine\n")
    for words in (
        commit,
        "openssl:amd64 3.0.15-1 waits since",
        "debian 12, apt",
        world.key("web-01").fingerprint,
    ):
        assert words in shown
    assert call(world, "status", "web-1") == 2
    assert "web-01" in capsys.readouterr().err
    assert call(world, "status", "--label", "nonsense") == 2


def test_the_words_of_the_help_are_those_of_the_states() -> None:
    assert list(STATES) == [str(state) for state in TargetState]


def test_metrics(world: FleetWorld, capsys: pytest.CaptureFixture[str]) -> None:
    world.report("web-01")
    publish(world)
    capsys.readouterr()
    assert call(world, "metrics") == 0
    printed = capsys.readouterr().out
    assert 'patchledger_fleet_targets{state="silent"} 2\n' in printed
    assert printed.endswith("# EOF\n")
    file = world.folder / "fleet.prom"
    assert call(world, "metrics", "--output", str(file)) == 0
    assert file.stat().st_mode & 0o777 == 0o644
    assert b'{state="fine"} 1\n' in file.read_bytes()
    assert call(world, "metrics", "--output", "/nonexistent/x.prom") == 1


def test_how_long_a_host_may_be_silent_is_for_who_reads_the_fleet_to_say(
    world: FleetWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    for host in ("web-01", "web-02", "db-01"):
        world.report(host, at=world.now - timedelta(days=3))
    assert publish(world, "--silent-after", "7d") == 0
    assert call(world, "status", "--check") == 0
    assert call(world, "status", "--check", "--fetch") == 0
    assert call(world, "status", "--check", "--fetch", "--silent-after", "36h") == 4
    assert call(world, "status", "--check") == 4
    assert publish(world) == 0
    assert call(world, "status", "--check") == 4
    capsys.readouterr()
    for wrong in ("3", "0d", "soon"):
        assert publish(world, "--silent-after", wrong) == 2
    assert call(world, "status", "--silent-after", "3d") == 2
    assert capsys.readouterr().err.count("--silent-after") == 4


def test_what_began_to_need_somebody_is_told_once(
    world: FleetWorld, eve: Key, capsys: pytest.CaptureFixture[str]
) -> None:
    address = world.folder / "address"
    address.write_text("json://127.0.0.1:9/", encoding="utf-8")  # nobody listens: it waits
    address.chmod(0o600)
    configure(world, notifiers={"ops": {"file": str(address)}})
    world.report("web-01")
    world.report("web-02")
    world.report("db-01")
    assert publish(world, "--notify", "ops") == 0
    outbox = world.folder / "state" / "fleet-outbox"
    assert not list(outbox.glob("*.json"))
    world.report("web-02", key=eve)
    assert publish(world, "--notify", "ops") == 0
    assert publish(world, "--notify", "ops") == 0
    (waiting,) = (path for path in outbox.iterdir() if path.name[0].isdigit())
    message = json.loads(waiting.read_bytes())
    assert message["title"] == "[patchledger] fleet: 1 target began to need somebody: web-02"
    assert eve.fingerprint in message["text"]
    assert "was not delivered" in capsys.readouterr().err
    assert publish(world, "--notify", "nobody") == 2


def test_a_publisher_without_a_key(world: FleetWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(world, "publish", "--signing-key", f"{world.folder}/signers") == 2
    assert "no SSH private key" in capsys.readouterr().err


def test_where_nothing_is_new_the_policy_language_is_not_even_imported(world: FleetWorld) -> None:
    world.report("web-01")
    assert publish(world) == 0
    program = "import sys; from reconciler.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    arguments = Publisher(world, "state").argv[3:]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert "nothing new since" in done.stdout
    dear = {"reconciler.policy.documents", "reconciler.policy.load", "reconciler.notify", "apprise", "git"}
    assert dear.isdisjoint(done.stdout.split())


class Publisher:
    """``fleet publish`` in a process of its own."""

    def __init__(self, world: FleetWorld, state: str) -> None:
        config = json.loads((world.folder / "config.yaml").read_text())
        self.config = world.folder / f"{state}.yaml"
        self.config.write_text(json.dumps({**config, "state_dir": f"{world.folder}/{state}"}))
        key = world.publisher.settings["user.signingkey"]
        self.argv = [sys.executable, "-m", "reconciler", "--config", str(self.config), "fleet", "publish"]
        self.argv += ["--signing-key", key]

    def start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )


def test_who_watches_is_told_how_far_a_first_reading_is_and_nobody_else(world: FleetWorld) -> None:
    for host in ("web-01", "web-02", "db-01"):
        world.report(host)
    cold, again, unseen = (Publisher(world, state).argv for state in ("state", "state", "other"))
    with Conversation.start(cold, {}) as watched:
        assert watched.end() == 0
        assert "3 of 3 targets are looked at" in watched.text
        assert re.search(r"(\d+) of \1 objects are fetched", watched.text)
        # In our words: git's own name each branch, and are drawn over one another.
        assert "Receiving" not in watched.text
        assert "new branch" not in watched.text
    with Conversation.start(again, {}) as watched:
        assert watched.end() == 0
        assert "looked at" not in watched.text
        assert "fetched" not in watched.text
    done = subprocess.run(unseen, capture_output=True, text=True, check=True)
    assert "looked at" not in done.stdout + done.stderr
    assert "fetched" not in done.stdout + done.stderr


def is_whole(world: FleetWorld) -> None:
    git(world.reports, "fsck", "--full", "--no-dangling")
    if git(world.reports, "for-each-ref", "refs/heads/fleet"):
        read_summary((git(world.reports, "show", "fleet:summary.json") + "\n").encode())


def test_a_publisher_that_is_killed_leaves_the_branch_whole_and_the_next_one_goes_on(
    world: FleetWorld,
) -> None:
    publisher = Publisher(world, "state")
    began = time.monotonic()
    publisher.start().communicate()
    usual = time.monotonic() - began
    for number in range(10):
        commit = world.report(("web-01", "web-02", "db-01")[number % 3])
        child = publisher.start()
        killer = threading.Timer(usual * (number + 1) / 11, os.killpg, (child.pid, signal.SIGKILL))
        killer.start()
        child.communicate()
        killer.cancel()
        is_whole(world)
    child = publisher.start()
    _, said = child.communicate()
    assert child.returncode == 0, said
    assert commit in git(world.reports, "show", "fleet:heads.txt")
    assert set(world.targets()) == {"web-01", "web-02", "db-01"}
    is_whole(world)


def test_two_publishers_at_once(world: FleetWorld) -> None:
    both = [Publisher(world, "state"), Publisher(world, "other")]
    for host in ("web-01", "web-02", "db-01"):
        commit = world.report(host)
        children = [one.start() for one in both]
        said = [child.communicate()[1] for child in children]
        assert [child.returncode for child in children] == [0, 0], said
        assert commit in git(world.reports, "show", "fleet:heads.txt")
        is_whole(world)
    # Nobody's commit is lost: each one is the first parent of the next.
    made = git(world.reports, "rev-list", "fleet").splitlines()
    assert made == git(world.reports, "rev-list", "--first-parent", "fleet").splitlines()
