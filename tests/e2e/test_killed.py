"""A run that is killed anywhere leaves what the next run goes on from, and reports truthfully."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.e2e.site import POLICY, Site

Command = Callable[..., tuple[int, str, str]]

# Runs the command and ends without any cleaning up just before the given effect on the world, counted from 1.
KILLED = """\
import os, sys
left = int(sys.argv[1])
def see(event, arguments):
    global left
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in {"subprocess.Popen", "os.rename", "os.remove", "os.mkdir", "os.utime"}:
        left -= 1
        if not left:
            os._exit(137)
sys.addaudithook(see)
sys.path[:0] = sys.argv[2].split(":")
from reconciler.cli import main
sys.exit(main(sys.argv[3:]))
"""


def run_until(effect: int, site: Site) -> int:
    paths = ":".join([str(Path.cwd()), *(path for path in sys.path if path.endswith("-packages"))])
    arguments = [str(effect), paths, "--config", str(site.config), "run"]
    return subprocess.run(
        [sys.executable, "-I", "-B", "-c", KILLED, *arguments], capture_output=True, check=False
    ).returncode


def test_a_killed_run_is_made_up_for_by_the_next(site: Site, patchledger: Command) -> None:
    """Every twenty-third effect of a run with news; ``tests/chaos/run`` tries instants of chance."""
    patchledger("run")  # fetches the plan's packages, which the package manager's folders show
    effect, killed = 1, True
    while killed:
        commit = site.commit({"policies/base.yaml": POLICY + f"max_policy_age: {effect}d\n"})
        killed = run_until(effect, site) == 137
        code, _, err = patchledger("run")
        assert (effect, code, err) == (effect, 0, "")
        assert site.report()["policy_commit"] == commit
        assert "nothing changed" in patchledger("run")[1]
        effect += 23
    assert effect > 23
    assert not list(site.state.rglob("*.damaged"))
    assert not list(site.state.glob("*.broken-*"))
