"""A guest is restarted by a command of its own and waited for. This machine stands for the guest."""

import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.managers.scripts import guard_text
from reconciler.planning.facts.guests import GuestPlace, Running
from reconciler.targets.guest import Door, GuestTarget
from reconciler.targets.power import GuestPower, Switch

GUARD = guard_text()[0]
HERE = GuestPlace(
    str(Path("/proc/self/ns/pid").readlink()), f"{Path('/').stat().st_dev}:{Path('/').stat().st_ino}"
)
ELSEWHERE = GuestPlace("pid:[1]", HERE.root)


def power(
    folder: Path, command: str, starts: Sequence[str], place: GuestPlace = HERE, patience: float = 60
) -> GuestPower:
    """Return the power of a guest whose starts, one after another, are these; the last one stays."""

    def seen() -> Iterator[str]:
        yield from starts
        while True:
            yield starts[-1]

    said = seen()
    target = GuestTarget(Door("101", lambda inner: inner, Running, lambda: place), GUARD)
    return GuestPower(
        target, Switch(("sh", "-c", command), lambda: next(said), lambda: folder), GUARD, patience=patience
    )


def reboot(power: GuestPower) -> None:
    power.reboot(timedelta(minutes=5), "patchledger: something was changed")


def test_it_returns_when_the_guest_is_another_start_of_itself(tmp_path: Path) -> None:
    made = power(tmp_path, f"echo x >{tmp_path}/done", ("one", "one", "", "two"))
    reboot(made)
    assert (tmp_path / "done").read_text() == "x\n"
    assert made.boot_id() == "two"


def test_a_command_that_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(Stalled, match=r"^guest 101 is not restarted: CT is locked \(backup\)$"):
        reboot(power(tmp_path, "echo 'CT is locked (backup)' >&2; exit 255", ("one",)))


def test_one_that_is_down_since_the_command_failed_is_left_to_who_looks_after_it(tmp_path: Path) -> None:
    made = power(tmp_path, "echo 'it cannot be started' >&2; exit 255", ("one", ""))
    reboot(made)
    assert made.boot_id() == ""


def test_one_that_is_not_seen_to_run_is_not_restarted(tmp_path: Path) -> None:
    with pytest.raises(Stalled, match="guest 101 is not seen to run, and is not restarted"):
        reboot(power(tmp_path, f"touch {tmp_path}/done", ("",)))
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_takes_too_long_is_waited_for_no_more_and_never_ended(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    waits = f"read -r word <{tmp_path}/go; echo $word >{tmp_path}/done"
    reboot(power(tmp_path, f"mkfifo {tmp_path}/done; {waits}", ("one",), patience=0.2))
    (tmp_path / "go").write_text("on\n")
    assert (tmp_path / "done").read_text() == "on\n"


def test_another_guest_in_its_place_is_not_it(tmp_path: Path) -> None:
    """It never proves that it is the one that is meant, so that who asked looks in vain."""
    reboot(power(tmp_path, "exit 0", ("one", "two"), place=ELSEWHERE, patience=2))
