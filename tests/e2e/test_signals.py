"""A tick that is told to end while packages are changed says that they go on, and is no alert afterwards."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler import launch
from tests.e2e.site import Site
from tests.e2e.test_apply import SLOW, host, machine, offer, runs, tick, wait_for, want
from tests.labs.apt import AptLab, Deb

__all__ = ["host", "machine"]

COMMAND = """\
import signal, sys
{before}
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = sys.argv[1].split(":")
from reconciler.cli import main
sys.exit(main(sys.argv[2:]))
"""


def start(site: Site, before: str = "") -> "subprocess.Popen[str]":
    paths = ":".join([str(Path.cwd()), *(path for path in sys.path if path.endswith("-packages"))])
    arguments = [paths, "--config", str(site.config), "run", "--now", "--reason", "now"]
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-c", COMMAND.replace("{before}", before), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, -15), (signal.SIGHUP, -1), (signal.SIGINT, 130)]
)
def test_the_package_manager_goes_on_and_the_next_tick_says_how_it_ended(
    host: Site, machine: AptLab, number: signal.Signals, code: int
) -> None:
    offer(machine, Deb("slow", "1.1", scripts={"postinst": SLOW}))
    want(host, "slow")
    with start(host) as child:
        wait_for(machine.root / "begun")
        child.send_signal(number)
        out, errors = child.communicate()
    assert (child.returncode, out) == (code, "")
    assert errors == "patchledger: apt goes on by itself; the next tick reports what came of it\n"
    (machine.root / "go").touch()
    (folder,) = (host.state / "runs").glob("*/step-1-1")
    launch.wait(folder)
    done = tick(host)
    assert done.failures == ()
    (record,) = runs(host)
    assert (record["outcome"], record["code"], record["reason"]) == ("applied", "", "")
    assert "the tick that began it was ended from outside" in record["notes"][0]
    assert machine.versions()["slow"] == "1.1"


EARLY = """\
import runpy, signal, sys
name = sys.argv.pop(1)
class Finder:
    def find_spec(self, found, path=None, target=None):
        if found == name:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("reconciler", run_name="__main__")
"""


@pytest.mark.parametrize(
    "module", ["reconciler.cli", "reconciler.cli.wiring.quiet", "reconciler.cli.dispatch"]
)
def test_told_to_end_while_it_imports_it_ends_without_a_word(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EARLY, module, "--config", str(tmp_path / "config.yaml"), "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_caller_that_ignores_its_children_makes_no_failure_a_success(host: Site) -> None:
    host.policy.rename(host.policy.with_name("away"))
    with start(host, before="signal.signal(signal.SIGCHLD, signal.SIG_IGN)") as child:
        out, errors = child.communicate()
    assert "PolicyUnavailable (NoSuchPolicy)" in out
    assert "cannot fetch the policy" in errors
    assert child.returncode != 0
