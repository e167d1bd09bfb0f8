"""What systemd is told about a transaction or a question in a guest."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from reconciler.targets.local import as_child
from reconciler.targets.service import (
    as_asking,
    as_service,
    as_service_before,
    asking,
    guest_starter,
    unit_name,
)

UNITS = ("pve-guests.service", "lxc@web.service")


def properties(argv: object) -> list[str]:
    words = list(argv) if isinstance(argv, tuple) else []
    return [after for before, after in pairwise(words) if before == "--property"]


def test_a_shutdown_waits_before_it_stops_the_guest() -> None:
    """A unit that stops guests and is not named would end the work at once."""
    argv = as_service_before(("launch", "$HOME"), Path("/x/runs/r1/step"), UNITS)
    assert argv[:6] == (
        *("systemd-run", "--quiet", "--pipe", "--wait", "--collect"),
        f"--unit={unit_name(Path('/x/runs/r1/step'))}",
    )
    assert argv[-3:] == ("--", "launch", "$$HOME")
    told = properties(argv)
    after = "network.target remote-fs.target dbus.service pve-guests.service lxc@web.service"
    assert f"After={after}" in told
    for needed in ("KillMode=process", "SendSIGKILL=no", "TimeoutStopSec=infinity", "KillSignal=SIGCONT"):
        assert needed in told


def test_on_this_machine_it_is_ordered_as_ever() -> None:
    told = properties(as_service(("launch",), Path("/x/runs/r1/step")))
    assert "After=network.target remote-fs.target dbus.service" in told


def test_a_question_has_its_time_and_a_name_of_its_own() -> None:
    one, another = as_asking(("launch",), 329.6), as_asking(("launch",), 329.6)
    assert properties(one) == ["RuntimeMaxSec=330", "IgnoreSIGPIPE=no"]
    named = [[word for word in argv if word.startswith("--unit=patchledger-")] for argv in (one, another)]
    assert len(named[0]) == len(named[1]) == 1
    assert named[0] != named[1]


def test_where_no_systemd_is_it_is_a_child(tmp_path: Path) -> None:
    assert guest_starter(UNITS, tmp_path / "none") is as_child
    assert asking(tmp_path / "none")(("launch",), 1.0) == ("launch",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is obeyed by systemd")
@pytest.mark.root
def test_where_systemd_is_it_is_a_service(tmp_path: Path) -> None:
    assert guest_starter(UNITS, tmp_path)(("launch",), tmp_path)[0] == "systemd-run"
    assert asking(tmp_path)(("launch",), 1.0)[0] == "systemd-run"
