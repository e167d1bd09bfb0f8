"""Hooks as services of a real systemd: what they are given, how they end, and what they leave."""

import json

import pytest

from tests.edge.units.conftest import Host

FOLDER = "/srv/hooks"
RUN = """
import dataclasses, json, sys
from datetime import timedelta
from pathlib import Path
from reconciler.host.machine.hooks import HookFolder
found = HookFolder(Path("/srv/hooks"), {{}}).run(
    "pre", stdin=b"what is to come", facts={{"PATCHLEDGER_RUN": "a $HOME %n"}}, timeout=timedelta(seconds={}))
print(json.dumps([dataclasses.asdict(one) for one in found]))
"""


def run(host: Host, text: str, seconds: float = 60) -> dict[str, object]:
    """Make a hook of ``text``, run it as a tick does, and return what became of it."""
    host.run("mkdir", "-p", f"{FOLDER}/pre.d")
    host.run("tee", f"{FOLDER}/pre.d/10-odd", stdin=f"#!/bin/sh\n{text}\n")
    host.run("chmod", "755", f"{FOLDER}/pre.d/10-odd")
    (found,) = json.loads(host.python(RUN.format(seconds)))
    assert isinstance(found, dict)
    return found


def test_a_hook_is_given_what_the_page_says(host: Host) -> None:
    found = run(
        host, 'cat; echo; echo "$PATCHLEDGER_STAGE|$PATCHLEDGER_RUN|$HOME|$LC_ALL"; pwd; echo err >&2'
    )
    assert found["output"] == "what is to come\npre|a $HOME %n|/root|C.UTF-8\n/\nerr\n"
    assert (found["outcome"], found["exit_code"]) == ("ok", 0)


def test_it_is_outside_of_our_control_group(host: Host) -> None:
    found = run(host, "cat /proc/self/cgroup")
    assert "/system.slice/patchledger-hook-pre-10-odd-" in str(found["output"])


@pytest.mark.parametrize(("text", "code"), [("exit 3", 3), ("kill -TERM $$", 255)])
def test_how_it_ends_comes_back(host: Host, text: str, code: int) -> None:
    found = run(host, text)
    assert (found["outcome"], found["exit_code"]) == ("failed", code)
    assert host.run("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""


def test_when_its_time_is_over_nothing_of_it_is_left(host: Host) -> None:
    found = run(host, "setsid sleep 4711 & sleep 4712", seconds=1.5)
    assert found["outcome"] == "timed-out"
    assert "471" not in host.run("ps", "-eo", "args", check=False)


def test_what_it_leaves_running_lives_on(host: Host) -> None:
    found = run(host, "setsid sleep 4713 >/dev/null 2>&1 &")
    assert found["outcome"] == "ok"
    assert "sleep 4713" in host.run("ps", "-eo", "args", check=False)
