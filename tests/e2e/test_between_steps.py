"""Between two steps: killed, frozen, out of time. What is made stands; the rest comes later, and once."""

import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from tests.e2e.machines import TICK
from tests.e2e.site import OPENING, Site
from tests.e2e.test_apply import INSIDE, Striding, host, machine, moved, runs, tick, want
from tests.e2e.test_asked_anew import FREEZE
from tests.labs.apt import MAIN, SECURITY, AptLab, Deb

__all__ = ["host", "machine"]

QUARTER = timedelta(minutes=15)
STEPS = [["fix", "lib"], ["more", "other"], ["git"]]
NAMES = tuple(name for step in STEPS for name in step)

# Ends the process just before, or just after, the journal is written for the given time.
KILLED = """\
import os, signal, sys
where, left = sys.argv.pop(1), int(sys.argv.pop(1))
def see(event, arguments):
    global left
    if event == "os.rename" and str(arguments[1]).endswith("/journal.json"):
        left -= 1
        if not left and where == "before":
            os.kill(os.getpid(), signal.SIGKILL)
    elif event == "subprocess.Popen" and left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(see)
"""


def arrange(site: Site, machine: AptLab, policy: str = "", **scripts: str) -> None:
    """Offer five updates, of which one fixes security and needs another; each notes that it is configured."""

    def package(name: str, version: str) -> Deb:
        more = scripts.get(name, "") if version == "1.1" else ""
        noted = f'echo {name} {version} >>"$DPKG_ROOT/configured"; {more}'
        needs = {"Depends": f"lib (>= {version})"} if name == "fix" else {}
        return Deb(name, version, fields=needs, scripts={"postinst": noted})

    machine.install(*(package(name, "1.0") for name in NAMES))
    (machine.root / "configured").unlink()
    machine.publish(SECURITY, package("fix", "1.1"))
    machine.publish(MAIN, *(package(name, "1.1") for name in NAMES if name != "fix"))
    machine.refresh()
    want(site, *NAMES, policy=policy)


def assert_all_came_once(site: Site, machine: AptLab) -> None:
    assert {name: machine.versions()[name] for name in NAMES} == dict.fromkeys(NAMES, "1.1")
    configured = (machine.root / "configured").read_text().splitlines()
    assert sorted(configured) == sorted(f"{name} 1.1" for name in NAMES)
    told = [name for record in runs(site) for name in moved(record)]
    assert sorted(told) == sorted(NAMES)
    assert site.report()["counts"]["pending"] == 0
    assert not (site.state / "journal.json").exists()


def steps_of(record: Any) -> list[list[str]]:
    return [[move["name"] for move in step["changes"]] for step in record["steps"]]


def test_security_updates_come_first_and_what_this_program_stands_on_last(
    host: Site, machine: AptLab
) -> None:
    arrange(host, machine)
    tick(host)
    (record,) = runs(host)
    assert [sorted(step) for step in steps_of(record)] == STEPS
    assert record["notes"] == []
    assert_all_came_once(host, machine)


def killed(site: Site, where: str, write: int) -> None:
    paths = [str(Path.cwd()), *(path for path in sys.path if path.endswith("-packages"))]
    argv = [where, str(write), json.dumps(paths), str(site.config), INSIDE.isoformat()]
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", KILLED + TICK, *argv], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize(
    ("where", "write", "made"),
    [  # The journal is written twice before the first step, and then for each.
        ("before", 3, 0),
        ("before", 4, 1),
        ("after", 4, 1),
        ("before", 5, 2),
        ("after", 5, 2),
        ("before", 6, 3),
    ],
)
def test_killed_between_two_steps(host: Site, machine: AptLab, where: str, write: int, made: int) -> None:
    arrange(host, machine)
    killed(host, where, write)
    done = [name for step in STEPS[:made] for name in step]
    assert {name for name in NAMES if machine.versions()[name] == "1.1"} == set(done)
    for number in (1, 2):
        tick(host, INSIDE + number * QUARTER)
    first = runs(host)[0]
    assert set(moved(first)) == set(done)
    expected = {"applied"} if made == len(STEPS) else {"partial", "interrupted"}
    assert first["outcome"] in expected
    assert first["reason"] or first["outcome"] == "applied"
    assert_all_came_once(host, machine)


def test_a_freeze_that_is_pushed_between_two_steps(host: Site, machine: AptLab) -> None:
    (host.folder / "freeze.yaml").write_text(FREEZE)
    author = "-c user.name=Ada -c user.email=ada@example.org"
    file = f"{host.policy}/freezes/emergency.yaml"
    push = f"mkdir -p {host.policy}/freezes && cp {host.folder}/freeze.yaml {file} && cd {host.policy}"
    arrange(host, machine, fix=f"{push} && git add -A && git {author} commit -qm brake")
    tick(host)
    (record,) = runs(host)
    assert (record["outcome"], record["code"]) == ("partial", "freeze")
    assert set(moved(record)) == set(STEPS[0])
    tick(host, INSIDE + QUARTER)
    assert len(runs(host)) == 1
    host.commit({"freezes/emergency.yaml": FREEZE.replace("2036-11-30", "2026-11-21")})
    tick(host, INSIDE + 2 * QUARTER)
    assert_all_came_once(host, machine)


def test_a_window_that_closes_between_two_steps(host: Site, machine: AptLab) -> None:
    arrange(host, machine, policy="budget: 30m\n")
    clock = Striding(OPENING + timedelta(hours=2, minutes=20), timedelta(minutes=9))
    run_once(host.config, wire(load_config(host.config), clock))
    (record,) = runs(host)
    assert (record["outcome"], record["code"]) in [("partial", "window"), ("partial", "budget")]
    assert set(moved(record)) == set(STEPS[0])
    tick(host, INSIDE + timedelta(days=1))
    assert_all_came_once(host, machine)


def test_one_of_many_in_a_step_that_fails_takes_only_what_needs_it_along(host: Site, machine: AptLab) -> None:
    names = [f"part{number:02}" for number in range(30)]

    def package(name: str, version: str) -> Deb:
        fails = {"preinst": "exit 1"} if (name, version) == ("part07", "1.1") else {}
        needs = {
            "part20": {"Depends": f"part07 (>= {version})"},
            "part25": {"Pre-Depends": f"part24 (>= {version})"},
        }
        return Deb(name, version, fields=needs.get(name, {}), scripts=fails)

    machine.install(*(package(name, "1.0") for name in names))
    machine.publish(MAIN, *(package(name, "1.1") for name in names))
    machine.refresh()
    want(host, *names)
    tick(host)
    (record,) = runs(host)
    assert [len(step["changes"]) for step in record["steps"]] == [30]
    assert (record["outcome"], record["code"]) == ("failed", "packages-failed")
    assert "part07" in record["reason"]
    left = {move["name"] for move in record["difference"]["missing"]}
    assert left == {"part07", "part20"}
    versions = machine.versions()
    assert all(versions[name] == "1.1" for name in names if name not in left)
