"""Services that run replaced files, and their restarting.

``systemctl`` and ``needrestart`` are small scripts in a folder of the test: systemd does not run where these
tests do. They answer in the words of the real ones (systemd 252, needrestart 3.6).
"""

from pathlib import Path
from time import monotonic

import pytest

from reconciler.errors import Stalled, Transient
from reconciler.host.machine.restarts import Restarts
from reconciler.planning.runs.hooks_and_health import Leftovers, Restart
from tests.labs.programs import Programs


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "bin")


def restarts(programs: Programs, tmp_path: Path, patience: float = 60.0) -> Restarts:
    return Restarts(programs.environment, systemd=tmp_path, patience=patience)


def test_without_needrestart_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert Restarts({"PATH": str(tmp_path / "empty")}, systemd=tmp_path).leftovers() is None


def test_what_needrestart_says_is_read(programs: Programs, tmp_path: Path) -> None:
    programs.put(
        "needrestart",
        "echo 'NEEDRESTART-VER: 3.6'; echo 'NEEDRESTART-KCUR: 6.1.0-18-amd64'; echo 'NEEDRESTART-KSTA: 1'\n"
        "echo 'NEEDRESTART-SVC: nginx.service'; echo 'some noise' >&2",
    )
    assert restarts(programs, tmp_path).leftovers() == Leftovers(
        services=("nginx.service",), kernel="current", kernel_detail="6.1.0-18-amd64 runs"
    )
    assert programs.asked("needrestart") == ["-b -r l"]


def test_a_needrestart_that_fails_is_told(programs: Programs, tmp_path: Path) -> None:
    programs.put("needrestart", "echo 'NEEDRESTART-VER: 3.6'; echo 'Cannot read /proc!' >&2; exit 1")
    with pytest.raises(Transient, match="needrestart failed: Cannot read /proc!"):
        restarts(programs, tmp_path).leftovers()


def test_garbage_is_told(programs: Programs, tmp_path: Path) -> None:
    programs.put("needrestart", "echo 'Scanning processes...'")
    with pytest.raises(Stalled, match="line 1 of needrestart's answer is not understood: Scanning"):
        restarts(programs, tmp_path).leftovers()


def test_each_service_is_restarted_by_itself(programs: Programs, tmp_path: Path) -> None:
    programs.put(
        "systemctl",
        'case "$4" in\ngone*) echo "Failed to restart $4: Unit $4 not found." >&2; exit 5;;\n'
        'bad*) echo "Job for $4 failed because the control process exited with error code." >&2\n'
        'echo "See \\"systemctl status $4\\" and \\"journalctl -xeu $4\\" for details." >&2; exit 1;;\n'
        "mute*) exit 4;;\nesac",
    )
    services = ("nginx.service", "gone.service", "bad.service", "mute", "cron.service")
    assert restarts(programs, tmp_path).restart(services) == (
        Restart("nginx.service", "restarted"),
        Restart("gone.service", "failed", "Failed to restart gone.service: Unit gone.service not found."),
        Restart(
            "bad.service",
            "failed",
            "Job for bad.service failed because the control process exited with error code.",
        ),
        Restart("mute", "failed", "systemctl ended with 4"),
        Restart("cron.service", "restarted"),
    )
    assert programs.asked("systemctl") == [f"--no-ask-password restart -- {service}" for service in services]


def test_a_restart_that_hangs_is_not_waited_for(programs: Programs, tmp_path: Path) -> None:
    programs.put("systemctl", '[ "$4" = fine ] || sleep 300')
    start = monotonic()
    assert restarts(programs, tmp_path, patience=1.0).restart(["slow", "fine"]) == (
        Restart("slow", "failed", "systemd had not restarted it in time"),
        Restart("fine", "restarted"),
    )
    assert monotonic() - start < 15


def test_where_systemd_does_not_run_nothing_is_restarted(programs: Programs, tmp_path: Path) -> None:
    programs.put("systemctl", "exit 0")
    absent = Restarts(programs.environment, systemd=tmp_path / "nowhere")
    assert absent.restart(["nginx"]) == (Restart("nginx", "failed", "systemd does not run here"),)
    assert programs.asked("systemctl") == []


def test_without_systemctl_a_restart_has_failed(tmp_path: Path) -> None:
    missing = Restarts({"PATH": str(tmp_path)}, systemd=tmp_path)
    (result,) = missing.restart(["nginx"])
    assert (result.state, result.detail) == ("failed", "cannot start systemctl: No such file or directory")
