"""A tick enters the guests that are to be looked at: mostly none, and then it starts next to nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.edge.guests.conftest import Acting
from tests.edge.guests.test_execution import another
from tests.edge.guests.test_ticks import SHUT, Hypervisor, hypervisor
from tests.labs.guests import LAB, REPOSITORY
from tests.labs.witness import WITNESS

__all__ = ["hypervisor"]

CALM = "kind: Policy\nname: hosts\nmatch: {not: {guest_of: '*'}}\nupdates: none\n"


def witnessed(hypervisor: Hypervisor) -> Any:
    """Run a tick on the node in a bare interpreter; return its exit code, modules and children."""
    argv = [sys.executable, "-I", "-S", "-B", "-c", WITNESS, json.dumps([str(REPOSITORY)])]
    done = subprocess.run(
        [*hypervisor.acting.node.entering, *argv, "--config", f"{hypervisor.seen}/config.yaml", "run"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def entered(acting: Acting) -> set[str]:
    """Return the guests that were entered since this was asked last."""
    words = [line.split() for line in acting.node.calls()]
    acting.node.run("sh", "-c", ": >/run/lab/pct.log")
    return {line[1] for line in words if line[0] == "exec"}


def settle(hypervisor: Hypervisor) -> None:
    """Make ticks until nothing is left to do over."""
    for _ in range(2):  # the first look applies nothing, and so does not stand
        code, said = hypervisor.run()
        assert code == 0, said
        assert entered(hypervisor.acting) == {"201", "204"}


def is_quiet(hypervisor: Hypervisor) -> bool:
    code, said = hypervisor.run()
    assert code == 0, said
    return "pve1: nothing changed since " in said


@pytest.fixture
def settled(hypervisor: Hypervisor) -> Hypervisor:
    hypervisor.policy(SHUT, hosts=CALM)
    settle(hypervisor)
    assert is_quiet(hypervisor)
    assert entered(hypervisor.acting) == set()
    return hypervisor


@contextmanager
def done_and_undone(acting: Acting, *commands: tuple[str, ...]) -> Iterator[None]:
    first, second = commands
    acting.node.run(*first)
    try:
        yield
    finally:
        acting.node.run(*second)


def test_a_quiet_tick_starts_no_process_but_to_ask_for_the_policy(settled: Hypervisor) -> None:
    seen = witnessed(settled)
    assert seen["code"] == 0
    (child,) = seen["started"]
    assert {"git", "fetch"} <= set(child)
    dear = {
        "dataclasses",
        "pathlib",
        "pydantic",
        "socket",
        "reconciler.planning",
        "reconciler.reconcile",
        "yaml",
    }
    assert not dear & set(seen["modules"])
    assert len(seen["modules"]) <= 62
    assert entered(settled.acting) == set()


def test_what_happens_to_guests_is_seen(settled: Hypervisor) -> None:
    acting = settled.acting
    both = {"201", "204"}
    with done_and_undone(acting, ("lxc-freeze", "-n", "204"), ("lxc-unfreeze", "-n", "204")):
        assert not is_quiet(settled)
        assert entered(acting) == {"201"}
        assert settled.rows()["204"] == ("skipped", "it is frozen")
        assert is_quiet(settled)
    assert not is_quiet(settled)
    assert entered(acting) == both
    assert settled.rows()["204"][0] == "pending"
    with done_and_undone(acting, ("pct", "set", "201", "--lock", "backup"), ("pct", "unlock", "201")):
        assert not is_quiet(settled)
        assert entered(acting) == {"204"}
    assert not is_quiet(settled)
    assert entered(acting) == both
    assert is_quiet(settled)
    acting.node.run("mv", "/etc/pve/lxc/202.conf", f"{LAB}/202.conf")
    try:
        assert not is_quiet(settled)
        assert "202" not in settled.rows()
    finally:
        acting.node.run("mv", f"{LAB}/202.conf", "/etc/pve/lxc/202.conf")
    assert not is_quiet(settled)
    assert settled.rows()["202"] == ("skipped", "it is stopped")
    assert is_quiet(settled)


def test_what_is_of_one_guest_alone_costs_the_others_nothing(settled: Hypervisor) -> None:
    acting = settled.acting
    pause = settled.folder / "state/guests/204/pause.json"
    pause.write_text(
        json.dumps({"reason": "not now", "by": "ada", "since": "2026-11-30T00:00:00Z", "until": None})
    )
    assert not is_quiet(settled)
    assert entered(acting) == {"204"}
    assert settled.rows()["204"][1].startswith("paused: ")
    assert is_quiet(settled)
    pause.unlink()
    assert not is_quiet(settled)
    assert entered(acting) == {"204"}
    assert settled.rows()["204"][1].startswith("outside-window: ") or settled.rows()["204"][0] == "pending"
    assert is_quiet(settled)


def test_one_in_which_something_fails_is_looked_at_each_time_and_alone(settled: Hypervisor) -> None:
    acting = settled.acting
    with another(acting, "453", "rm usr/bin/apt-get usr/bin/dpkg"):
        assert settled.run()[0] == 1
        assert entered(acting) == {"201", "204", "453"}
        for _ in range(2):
            code, said = settled.run()
            assert code == 1, said
            assert "guest 453: no package manager found on this guest" in said
            assert entered(acting) == {"453"}
            assert settled.rows()["201"][0] == "pending"
            assert settled.rows()["453"][0] == "failed"


def test_a_window_that_opens(hypervisor: Hypervisor) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    hypervisor.policy(timedelta(minutes=30), hosts=CALM)
    settle(hypervisor)
    told = json.loads((hypervisor.folder / "state/fingerprint.json").read_bytes())
    assert now < datetime.fromtimestamp(told["until"], UTC) <= now + timedelta(minutes=31)


def test_time_alone(settled: Hypervisor) -> None:
    """Nothing is seen of what is done inside: a look does not become older than an hour."""
    acting = settled.acting
    now = datetime.now(UTC)
    told = json.loads((settled.folder / "state/fingerprint.json").read_bytes())
    assert timedelta(0) < datetime.fromtimestamp(told["until"], UTC) - now <= timedelta(hours=1)
    looks = settled.folder / "state/guests.json"
    kept = json.loads(looks.read_bytes())
    past, young = (now - timedelta(minutes=number) for number in (40, 10))
    kept["of"]["201"] |= {"at": past.isoformat(), "until": (now - timedelta(minutes=1)).isoformat()}
    kept["of"]["204"]["at"] = young.isoformat()
    looks.write_text(json.dumps(kept))
    (settled.folder / "state/fingerprint.json").unlink()
    assert not is_quiet(settled)
    assert entered(acting) == {"201"}
    # What is half as old as may be is looked at together with another one.
    kept = json.loads(looks.read_bytes())
    kept["of"]["201"]["until"] = now.isoformat()
    kept["of"]["204"]["at"] = past.isoformat()
    looks.write_text(json.dumps(kept))
    (settled.folder / "state/fingerprint.json").unlink()
    assert not is_quiet(settled)
    assert entered(acting) == {"201", "204"}
    assert is_quiet(settled)


def test_what_everything_depends_on(settled: Hypervisor) -> None:
    acting = settled.acting
    both = {"201", "204"}
    settled.policy(SHUT, hosts=CALM, more="kind: Policy\nname: more\nmatch: {name: nobody}\nupdates: none\n")
    assert not is_quiet(settled)
    assert entered(acting) == both
    hook = settled.folder / "guest-hooks/pre.d/10-lab"
    hook.parent.mkdir(parents=True)
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    assert not is_quiet(settled)
    assert entered(acting) == both
    (settled.folder / "config.yaml").write_text((settled.folder / "config.yaml").read_text() + "# more\n")
    assert not is_quiet(settled)
    assert entered(acting) == both
    (settled.folder / "state/guests.json").write_text("damaged")
    (settled.folder / "state/fingerprint.json").unlink()
    assert not is_quiet(settled)
    assert entered(acting) == both
    assert is_quiet(settled)
    assert entered(acting) == set()
