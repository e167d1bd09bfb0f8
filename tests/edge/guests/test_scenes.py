"""What goes wrong around a guest in whole ticks on the node: a broken way in, and whoever is killed."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.edge.guests.conftest import Acting, go_on, is_to_wait, reaches, version
from tests.edge.guests.test_ticks import OPEN, Hypervisor, hypervisor
from tests.labs.guests import LAB
from tests.labs.machine import PATIENCE

__all__ = ["hypervisor"]  # the fixture

HERE = f"""\
#!/bin/sh
if [ "$1" = exec ]; then
    for word; do
        [ "$word" != "$(cat {LAB}/broken)" ] || {{ shift 3; exec "$@"; }}
    done
fi
exec {LAB}/bin/pct.whole "$@"
"""
"""A ``pct`` that enters nothing where a word is among the arguments: what is meant for a guest runs here."""
ELSEWHERE = "this is not the guest that is meant: other processes are here"


@contextmanager
def a_broken_way(acting: Acting) -> Iterator[None]:
    pct = acting.node.folder / "bin" / "pct"
    whole = pct.rename(pct.with_name("pct.whole"))
    pct.write_text(HERE)
    pct.chmod(0o755)
    try:
        yield
    finally:
        whole.rename(pct)


def test_text_that_would_run_on_the_hypervisor_does_nothing_there(
    hypervisor: Hypervisor, acting: Acting
) -> None:
    """That its own packages stay as they are is looked at after each test."""
    hypervisor.configure({}, {"only": {"ids": ["201"]}})
    hypervisor.policy(OPEN)
    assert hypervisor.run()[0] == 0
    with a_broken_way(acting):
        for verb, outcome in (("--observe", "failed"), ("--apply", "interrupted")):
            (acting.node.folder / "broken").write_text(f"{verb}\n")
            code, said = hypervisor.run()
            assert (code, version(acting, "201")) == (1, "ii 1.0"), said
            assert ELSEWHERE in said
            told, why = hypervisor.rows()["201"]
            assert (told, ELSEWHERE in why) == (outcome, True)
    # What was refused there is no answer of the guest's package manager.
    code, said = hypervisor.run()
    assert (code, version(acting, "201")) == (0, "ii 1.1"), said


def begun(hypervisor: Hypervisor) -> "subprocess.Popen[str]":
    """Begin a tick."""
    return subprocess.Popen(
        [*hypervisor.acting.node.entering, *hypervisor.argv("run")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until_done(hypervisor: Hypervisor) -> tuple[int, str]:
    """Make ticks until none of them finds a package manager at work; return what the last one said."""
    for _ in range(50):
        code, said = hypervisor.run()
        if "the package manager of run" not in said:
            break
    return code, said


@pytest.mark.parametrize("killed", [("run",), ("client",), ("run", "client")])
def test_whoever_is_killed_the_next_tick_finds_the_work_and_tells_the_truth(
    hypervisor: Hypervisor, acting: Acting, killed: tuple[str, ...]
) -> None:
    hypervisor.configure({}, {"only": {"ids": ["201"]}})
    hypervisor.policy(OPEN)
    assert hypervisor.run()[0] == 0
    is_to_wait(acting, "201")
    first = begun(hypervisor)
    reaches(acting, "201")
    if "run" in killed:
        acting.ends(f"reconciler --config {hypervisor.seen}/config.yaml run")
    if "client" in killed:
        acting.ends("^lxc-attach .*PATCHLEDGER_EXECUTION=")
    if "run" in killed:
        _, said = hypervisor.run()
        assert "guest 201: the package manager of run " in said
        assert "is still at work" in said
    go_on(acting, "201")
    said = first.communicate(timeout=PATIENCE)[0]
    if "run" in killed:
        _, said = until_done(hypervisor)
    assert version(acting, "201") == "ii 1.1"
    assert "201: applied 1 change\n" in said
    assert hypervisor.run()[0] == 0
    assert hypervisor.rows()["201"] == ("fine", "up to date")


def test_one_whose_postinst_hangs_holds_up_nobody(hypervisor: Hypervisor, acting: Acting) -> None:
    hypervisor.configure({}, {"wait": "5s"})
    hypervisor.policy(OPEN)
    assert hypervisor.run()[0] == 0
    is_to_wait(acting, "201")
    try:
        code, said = hypervisor.run()
        assert "guest 201: its package manager is still at work after 15s\n" in said
        assert (code, version(acting, "204")) == (5, "ii 1.1"), said
        assert hypervisor.rows()["201"] == ("failed", "its package manager is still at work after 15s")
        code, said = hypervisor.run()
        assert "is still at work" in said
    finally:
        reaches(acting, "201")
        go_on(acting, "201")
    code, said = until_done(hypervisor)
    assert "201: applied 1 change\n" in said
    assert version(acting, "201") == "ii 1.1"
    assert hypervisor.run()[0] == 0
    assert hypervisor.rows()["201"] == ("fine", "up to date")
