"""What of rebooting can be tried on a machine that must stay up; the rest is in tests/edge/systemd."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.host.machine.clock import SystemClock
from reconciler.host.machine.reboot import request_reboot


def test_without_systemd_nobody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(Stalled, match="systemd is not its init"):
        request_reboot(notice=timedelta(0), message="never", booted=tmp_path / "missing")


def test_elapsed_time_never_goes_back() -> None:
    clock = SystemClock()
    first = clock.elapsed()
    assert timedelta(0) < first <= clock.elapsed()
