"""An audit that is killed goes on from what it kept, and says what one says that nobody disturbed."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.fleet.proofs import GoodSignatures
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.facts.inventory import Previous
from reconciler.reconcile.ports.reports import SignedReport
from tests.e2e.test_fleet import configure
from tests.labs.fleet import FleetWorld
from tests.labs.signing import Key, Keys
from tests.report_samples import report_of

HOSTS = ("db-01", "web-01", "web-02")
PUBLISHED, REPORTS = 2, 3
"""Looks of a publisher, and reports of each host."""

# Runs the command, writes down each process that it starts, and dies just before it gives a file its name,
# counted from 1 (never of 0): what it wrote so far lies there under another one.
TRACED = """\
import json, os, signal, sys
left = int(sys.argv[1])
trace = open(sys.argv[2], "w", buffering=1)
def see(event, arguments):
    global left
    if event == "subprocess.Popen":
        print(json.dumps([os.fspath(one) for one in arguments[1]]), file=trace)
    elif event == "os.rename":
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(see)
sys.path[:0] = sys.argv[3].split(":")
from reconciler.cli import main
sys.exit(main(sys.argv[4:]))
"""


@dataclass(frozen=True)
class Call:
    """What an audit came to.

    Attributes:
        code: How it ended.
        printed: To standard output.
        processes: What it started, in its order.
    """

    code: int
    printed: bytes
    processes: tuple[tuple[str, ...], ...]

    @property
    def signatures(self) -> int:
        return sum(argv[0] == "ssh-keygen" for argv in self.processes)

    @property
    def branches(self) -> int:
        """How many branches it listed, which is the first thing that it asks of one."""
        return sum("--topo-order" in argv and "log" in argv for argv in self.processes)


@pytest.fixture
def world(tmp_path: Path, keys: Keys, ada: Key) -> FleetWorld:
    """Hosts that reported several times, and a publisher who looked twice."""
    world = FleetWorld.create(tmp_path, keys, ada, *HOSTS)
    world.now = SystemClock().now().replace(microsecond=0) - timedelta(days=5)
    configure(world)
    for number in range(REPORTS):
        world.later(hours=1)
        for host in HOSTS:
            report = report_of(target=host, now=world.now)
            previous = Previous(world.tip(host), report.inventory) if number else None
            world.report(host, replace(report, previous=previous))
        if number < PUBLISHED:
            world.read()
    shutil.rmtree(world.folder / world.state)
    return world


def audit(world: FleetWorld, dies_at: int = 0) -> Call:
    """Audit a period that is over, so that the time of asking makes no difference."""
    trace = world.folder / "trace"
    paths = ":".join([str(Path.cwd()), *(path for path in sys.path if path.endswith("-packages"))])
    begin, end = (f"{world.now + timedelta(days=days):%Y-%m-%d}" for days in (-1, 2))
    arguments = ("fleet", "audit", "--since", begin, "--until", end, "--format", "json")
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-B", "-c", TRACED, str(dies_at), str(trace), paths),
            *("--config", f"{world.folder}/config.yaml", *arguments),
        ],
        capture_output=True,
        check=False,
        timeout=120,
    )
    lines = trace.read_text(encoding="utf-8").split("\n")
    return Call(done.returncode, done.stdout, tuple(tuple(json.loads(line)) for line in lines if line))


def kept(world: FleetWorld) -> dict[str, int]:
    """Return the answers that are kept, each with what tells whether it was written since."""
    folder = world.folder / world.state / "fleet" / "audit"
    return {path.name: path.stat().st_ino for path in folder.glob("[!.]*")} if folder.exists() else {}


def start_anew(world: FleetWorld) -> None:
    shutil.rmtree(world.folder / world.state, ignore_errors=True)


def test_an_audit_that_is_killed_anywhere_goes_on_and_says_the_same(world: FleetWorld) -> None:
    whole = audit(world)
    assert (whole.code, whole.branches) == (0, len(HOSTS))
    assert whole.signatures >= PUBLISHED + REPORTS * len(HOSTS)
    found = set[int]()
    instant = 1
    while True:
        start_anew(world)
        dead = audit(world, dies_at=instant)
        if dead.code != -signal.SIGKILL:
            break
        assert dead.printed == b""
        before = kept(world)
        again = audit(world)
        assert (again.code, again.printed) == (whole.code, whole.printed), instant
        # Of a branch whose answer was kept nothing is asked again, neither its commits nor who signed them.
        assert again.branches == len(HOSTS) - len(before), instant
        assert again.signatures <= whole.signatures - REPORTS * len(before), instant
        after = kept(world)
        assert {name: after[name] for name in before} == before, instant
        assert len(after) == len(HOSTS)
        assert not list((world.folder / world.state / "fleet" / "audit").glob(".*")), instant
        found.add(len(before))
        instant += 1
    assert dead.printed == whole.printed
    assert found == {0, 1, 2, 3}


@pytest.mark.parametrize("rest", [b"", b'\n["hosts/web-01", "half a', b"\n\xff\n[]\n7\n[1, 2, 3, 4, 5]"])
def test_what_a_publisher_found_good_is_not_checked_again(world: FleetWorld, rest: bytes) -> None:
    world.read()  # who sees the newest report of each host
    (checked,) = (world.folder / world.state / "fleet").glob("*.checked")
    with checked.open("ab") as file:
        file.write(rest)
    audit(world)  # what publishers signed, and the policy, is remembered by now
    forget(world)
    some = audit(world)
    forget(world)
    checked.unlink()
    every = audit(world)
    assert (some.code, some.printed) == (every.code, every.printed)
    assert every.signatures == REPORTS * len(HOSTS)
    assert some.signatures == (REPORTS - 1) * len(HOSTS)


def forget(world: FleetWorld) -> None:
    """Take away what audits found out of branches."""
    folder = world.folder / world.state / "fleet"
    shutil.rmtree(folder / "audit")
    for path in folder.glob("*.audit-proofs.json"):
        path.unlink()


def test_of_what_was_found_good_no_more_is_kept_than_is_allowed(tmp_path: Path) -> None:
    checked = GoodSignatures(tmp_path / "checked", most=200)
    reports = [SignedReport(f"{number:040}", "SHA256:key", "policy") for number in range(9)]
    for one in reports:
        checked.add([(("hosts/web-01", one.commit), one)])
    told = [one for _, one in checked.all()]
    assert told == reports[-len(told) :]
    assert len(told) >= 2
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 800
    assert {path.name for path in tmp_path.iterdir()} == {"checked", "checked.before"}


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    """One bit of a commit's id, which leaves a document that can be read."""
    at = data.index(b'"tip":"') + 8
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage", [cut, flipped, lambda _: b"", lambda _: b"\xff\n{}", lambda data: data + b" "]
)
def test_an_answer_that_is_damaged_is_found_out_anew(
    world: FleetWorld, damage: Callable[[bytes], bytes]
) -> None:
    whole = audit(world)
    folder = world.folder / world.state / "fleet" / "audit"
    first, *others = sorted(folder.iterdir())
    first.write_bytes(damage(first.read_bytes()))
    (folder / f".{others[0].name}.new").write_bytes(cut(others[0].read_bytes()))
    before = kept(world)
    again = audit(world)
    assert (again.code, again.printed) == (whole.code, whole.printed)
    assert (again.branches, again.signatures) == (1, 0)
    after = kept(world)
    assert [name for name in before if after[name] != before[name]] == [first.name]
    assert len(list(folder.iterdir())) == len(HOSTS)
    assert audit(world).branches == 0
