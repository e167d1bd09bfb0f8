"""What a service manager hears of us, over a real socket; the protocol is sd_notify(3)."""

import os
import socket
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.host.machine.sdnotify import ServiceManager


class Manager:
    """A service manager that listens."""

    def __init__(self, listener: socket.socket, address: str) -> None:
        self._listener = listener
        self.address = address

    def heard(self) -> list[str]:
        return self._listener.recv(65536).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@patchledger-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(10)
        listener.bind(address.replace("@", "\0", 1))
        yield Manager(listener, address)


def test_every_message(manager: Manager) -> None:
    service = ServiceManager.of({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"})
    service.ready("watches")
    assert manager.heard() == ["READY=1", "STATUS=watches"]
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    service.reloading("reads")
    state, at, status = manager.heard()
    assert (state, status) == ("RELOADING=1", "STATUS=reads")
    name, _, microseconds = at.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(microseconds) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    service.status("next tick 14:30 UTC")
    assert manager.heard() == ["STATUS=next tick 14:30 UTC"]
    service.alive()
    assert manager.heard() == ["WATCHDOG=1"]
    service.stopping("ends")
    assert manager.heard() == ["STOPPING=1", "STATUS=ends"]


@pytest.mark.parametrize("text", ["a\nMAINPID=1", "a\r\n MAINPID=1", "a\u2028 MAINPID=1", "a\x1b MAINPID=1"])
def test_a_status_is_one_line_whatever_it_is_made_of(manager: Manager, text: str) -> None:
    ServiceManager(manager.address).status(text)
    assert manager.heard() == ["STATUS=a MAINPID=1"]


def test_a_long_status_is_cut(manager: Manager) -> None:
    ServiceManager(manager.address).status("x" * 1_000_000)
    assert len(manager.heard()[0]) < 2000


@pytest.mark.parametrize(
    ("environ", "watchdog"),
    [
        ({"WATCHDOG_USEC": "1500000"}, timedelta(seconds=1.5)),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, timedelta(seconds=1.5)),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_when_signs_of_life_are_asked_for(environ: dict[str, str], watchdog: timedelta | None) -> None:
    assert ServiceManager.of({"NOTIFY_SOCKET": "/nowhere", **environ}).watchdog == watchdog


def test_no_sign_of_life_is_given_unasked(manager: Manager) -> None:
    service = ServiceManager(manager.address)
    service.alive()
    service.status("the only message")
    assert manager.heard() == ["STATUS=the only message"]


@pytest.mark.parametrize(
    "address", ["", "relative", "vsock:2:1234", "/nowhere/notify", "@nobody", "/" + "x" * 500]
)
def test_nobody_who_listens_is_no_failure(address: str) -> None:
    service = ServiceManager.of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"})
    service.ready("watches")
    service.alive()
    assert (service.watchdog is not None) == address.startswith(("/", "@"))


def test_a_manager_that_does_not_read_holds_nobody_up(manager: Manager) -> None:
    service = ServiceManager(manager.address)
    for number in range(5000):
        service.status(f"{number} {'x' * 900}")
    assert manager.heard()[0].startswith("STATUS=0 ")
